//! Histograms of times: percentiles, and buckets with the same edges in every report; and the run over
//! time.

use super::codec::Codec;
use super::totals::levels;
use crate::engine::Summary;
use crate::engine::histogram::{Histogram, Parts};
use crate::engine::series::{DIAL_BUCKETS, POINTS_MAX, Point, Series, upper_edge};
use crate::units::Span;

/// More than a histogram has.
const BUCKETS_MAX: usize = 10_000;

const PERCENTILES: [(&str, u32); 4] =
    [("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999)];

pub fn histograms(codec: &mut Codec<'_>, summary: &mut Summary) {
    let mut none = Histogram::new();
    let from_due = summary.churn.as_mut().map_or(&mut none, |churn| &mut churn.due_times);
    codec.object("times", &mut |codec| {
        for (field, times) in [
            ("dial", &mut summary.established_times),
            ("failed_dial", &mut summary.failed_times),
            ("handshake", &mut summary.handshake_times),
            ("notice", &mut summary.notice_times),
            ("first_byte", &mut summary.first_byte_times),
            ("lifetime", &mut summary.lifetimes),
            ("dial_lateness", &mut summary.dial_lateness),
            ("dial_from_due", &mut *from_due),
        ] {
            histogram(codec, field, times);
        }
    });
}

fn histogram(codec: &mut Codec<'_>, field: &'static str, times: &mut Histogram) {
    let mut known =
        Some((times.parts(), PERCENTILES.map(|(_, permille)| times.quantile(permille))));
    known = known.filter(|(parts, _)| parts.count > 0);
    codec.optional(field, &mut known, |codec, (parts, percentiles)| {
        buckets(codec, parts, percentiles);
    });
    if codec.is_reading() {
        *times = match known.map(|(parts, _)| Histogram::of(&parts)) {
            None => Histogram::new(),
            Some(Ok(times)) => times,
            Some(Err(what)) => {
                codec.fail(field, what);
                Histogram::new()
            }
        };
    }
}

fn buckets(codec: &mut Codec<'_>, parts: &mut Parts, percentiles: &[Span; 4]) {
    codec.number("values_count", &mut parts.count);
    codec.number("min_ns", &mut parts.min);
    codec.number("mean_ns", &mut parts.mean);
    codec.number("rest_ns", &mut parts.rest);
    codec.number("max_ns", &mut parts.max);
    codec.number("deviation_ns", &mut parts.deviation);
    if let Some(json) = codec.writing() {
        let all = PERCENTILES.iter().zip(percentiles);
        all.for_each(|((field, _), time)| json.key(field).integer(time.0));
    }
    let none = || (Span::ZERO, 0);
    codec.list("buckets", &mut parts.buckets, BUCKETS_MAX, none, &mut |codec, bucket| {
        codec.number("from_ns", &mut bucket.0);
        if let Some(json) = codec.writing() {
            json.key("below_ns").integer(Histogram::below(bucket.0).0);
        }
        codec.number("values_count", &mut bucket.1);
    });
}

/// The run over time.
pub fn timeline(codec: &mut Codec<'_>, summary: &mut Summary) {
    let mut points = summary.series.points().to_vec();
    codec.list("timeline", &mut points, POINTS_MAX, || Point::START, &mut point);
    if codec.is_reading() {
        let begins = points.first().is_some_and(|first| first.at == Span::ZERO);
        let is_in_order = points.windows(2).all(|pair| pair[0].at < pair[1].at);
        codec.check("timeline", begins && is_in_order, "moments in order, from 0, are accepted");
        let connections = u64::from(summary.last.connections);
        let sum = |point: &Point| point.levels.iter().map(|level| u64::from(*level)).sum::<u64>();
        let adds_up = points.iter().all(|point| sum(point) == connections);
        codec.check("timeline", adds_up, "levels that add up to totals.connections_count");
        summary.series = Series::of(points);
    }
}

fn point(codec: &mut Codec<'_>, point: &mut Point) {
    codec.number("at_ns", &mut point.at);
    codec.object("levels", &mut |codec| levels(codec, &mut point.levels));
    codec.number("dials_count", &mut point.dials);
    codec.number("established_ever_count", &mut point.established);
    codec.number("closed_ever_count", &mut point.closed);
    codec.number("errors_count", &mut point.errors);
    // The last bucket has no upper edge.
    let below = |index: usize| (index + 1 < DIAL_BUCKETS).then(|| upper_edge(index));
    let counted = point.dial_times.iter().enumerate().filter(|(_, count)| **count > 0);
    // Under churn there can be more than connections.
    let mut buckets: Vec<(Option<Span>, u64)> =
        counted.map(|(index, count)| (below(index), u64::from(*count))).collect();
    codec.list("dial_times", &mut buckets, DIAL_BUCKETS, || (None, 0), &mut |codec, bucket| {
        codec.number_or_null("below_ns", &mut bucket.0);
        codec.number("values_count", &mut bucket.1);
    });
    if codec.is_reading() {
        for (edge, count) in buckets {
            match (0..DIAL_BUCKETS).find(|index| below(*index) == edge) {
                Some(index) => {
                    point.dial_times[index] = u32::try_from(count).unwrap_or(u32::MAX);
                }
                None => codec.fail("dial_times", "buckets with other edges"),
            }
        }
    }
}
