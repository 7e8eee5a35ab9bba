//! The charts of a run: series and histograms → [`Chart`]s.

use super::chart::{Chart, Curve, Step};
use super::scale::{Axis, LENGTH, Unit, log, step};
use crate::engine::histogram::Histogram;
use crate::engine::series::Point;
use crate::engine::{State, Summary};
use crate::units::{NS_PER_S, Span};

/// The most bins of a chart.
const BINS_MAX: u64 = 80;

/// A rate of fewer dials than this a bin would show chance.
const DIALS_PER_BIN: u64 = 8;

/// Bars of the distribution at most, and the width of the narrowest, by [`log`]: an eighth of a power
/// of two, which is several buckets of a histogram.
const BARS_MAX: u64 = 60;
const BAR_BITS_MIN: u32 = 7;

/// The least height of what is not zero.
const VISIBLE: u64 = 8;

const TIME: &str = "time since the start";

/// States as they are stacked, from the bottom.
const STATES: [(State, &str, &str); 4] = [
    (State::Established, "established", "established"),
    (State::Closed, "closed", "closed"),
    (State::Error, "error", "errors"),
    (State::Dialing, "dialing", "dialing"),
];

const PERCENTILES: [(u32, &str, &str); 3] =
    [(500, "p50", "p50"), (900, "p90", "p90"), (990, "p99", "p99")];

/// All that have something to show, in the order of the report.
pub fn charts(summary: &Summary) -> Vec<Chart> {
    let over_time = [levels(summary), rates(summary), endings(summary), percentiles(summary)];
    over_time.into_iter().chain([distribution(summary)]).flatten().collect()
}

fn ends_at(points: &[Point]) -> Span {
    points.last().map_or(Span::ZERO, |point| point.at)
}

fn time_axis(most: Span) -> Axis {
    Axis::linear(TIME.to_owned(), Unit::Time, most.0)
}

fn gaps(summary: &Summary, x: &Axis) -> Vec<(u64, u64)> {
    let at = |moment: crate::units::Moment| x.at(moment.since(summary.start).0);
    let bands = summary.gaps.list().iter().map(|gap| (at(gap.from), at(gap.to)));
    bands.filter(|(from, to)| from < to).collect()
}

fn levels(summary: &Summary) -> Option<Chart> {
    let points = summary.series.points();
    let x = time_axis(ends_at(points));
    let most = u64::from(summary.last.connections);
    let y = Axis::linear("connections".to_owned(), Unit::Count, most);
    let mut sums: Vec<u64> = vec![0; points.len()];
    let mut curves = Vec::new();
    for (state, class, name) in STATES {
        let level = |point: &Point| u64::from(point.levels[state as usize]);
        if points.iter().all(|point| level(point) == 0) {
            continue;
        }
        sums.iter_mut().zip(points).for_each(|(sum, point)| *sum += level(point));
        let ends = points[1..].iter().map(|point| x.at(point.at.0)).chain([LENGTH]);
        let steps = points.iter().zip(ends).zip(&sums).map(|((point, to), sum)| Step {
            from: x.at(point.at.0),
            to,
            height: Some(y.at(*sum)),
        });
        let note = format!("{} at the end", summary.last.level(state));
        curves.push(Curve { class, name, note, steps: steps.collect(), is_filled: true });
    }
    // The lower ones are drawn over the sums.
    curves.reverse();
    let bands = gaps(summary, &x);
    (!curves.is_empty()).then(|| Chart {
        id: "levels",
        title: "Connections by state",
        note: format!("{most} connections, stacked; blank: not dialed yet"),
        x,
        y,
        curves,
        marks: Vec::new(),
        bands,
    })
}

/// Equal parts of the time up to a moment.
struct Bins {
    width: Span,
    count: u64,
    end: Span,
}

impl Bins {
    fn new(end: Span, most: u64) -> Bins {
        let width = Span(step(Unit::Time, end.0.div_ceil(most.clamp(1, BINS_MAX))));
        // A short rest belongs to the last one.
        let count = ((end.0 + width.0 / 2) / width.0).max(1);
        Bins { width: if count == 1 { end } else { width }, count, end }
    }

    fn edge(&self, index: u64) -> Span {
        if index >= self.count { self.end } else { Span(index * self.width.0) }
    }

    /// Steps over all of them, from the beginning and end of each.
    fn steps(&self, x: &Axis, height: impl Fn(Span, Span) -> Option<u64>) -> Vec<Step> {
        let bins = (0..self.count).map(|index| (self.edge(index), self.edge(index + 1)));
        bins.map(|(from, to)| Step { from: x.at(from.0), to: x.at(to.0), height: height(from, to) })
            .collect()
    }
}

/// When a total rises for the last time, and the time of one event after that: a rate over the time
/// from the first to the last would be too high.
fn rises_until(points: &[Point], of: fn(&Point) -> u64) -> Span {
    let end = ends_at(points);
    let last = points.windows(2).rposition(|pair| of(&pair[0]) != of(&pair[1]));
    let Some(last) = last.map(|index| &points[index + 1]) else { return end };
    Span((last.at.0 + last.at.0 / of(last).max(1)).min(end.0))
}

/// A total at any time, in thousandths: in a straight line between two points.
fn total_at(points: &[Point], at: Span, of: fn(&Point) -> u64) -> u64 {
    let next = points.partition_point(|point| point.at <= at);
    let before = next.checked_sub(1).map(|index| &points[index]);
    match (before, points.get(next)) {
        (Some(before), Some(next)) => {
            let (from, to) = (of(before), of(next));
            let (part, all) = (at.0 - before.at.0, next.at.0 - before.at.0);
            let more = u128::from(to - from) * 1_000 * u128::from(part) / u128::from(all);
            from * 1_000 + more as u64
        }
        (before, next) => before.or(next).map_or(0, |point| of(point) * 1_000),
    }
}

fn rates(summary: &Summary) -> Option<Chart> {
    let points = summary.series.points();
    let last = points.last()?;
    let end = rises_until(points, |point| point.dials.max(point.established));
    let bins = Bins::new(end, last.dials / DIALS_PER_BIN);
    let rate = |of: fn(&Point) -> u64, from: Span, to: Span| {
        let more = total_at(points, to, of) - total_at(points, from, of);
        let rate = u128::from(more) * u128::from(NS_PER_S) / u128::from((to - from).0.max(1));
        // Of dials that take no time.
        rate.min(u128::from(u64::MAX / 2)) as u64
    };
    let dials = |point: &Point| point.dials;
    let edges = (0..bins.count).map(|index| (bins.edge(index), bins.edge(index + 1)));
    let most = edges.map(|(from, to)| rate(dials, from, to)).max()?;
    let established = |point: &Point| point.established;
    let x = time_axis(end);
    let title = format!("per second, mean of {}", bins.width.rounded_to_3_digits());
    let y = Axis::linear(title, Unit::Rate, most + most / 16);
    let curve = |class, name, of: fn(&Point) -> u64, is_filled| Curve {
        class,
        name,
        note: of(last).to_string(),
        steps: bins.steps(&x, |from, to| Some(y.at(rate(of, from, to)))),
        is_filled,
    };
    let curves = vec![
        curve("dials", "dials", dials, true),
        curve("established", "established", established, false),
    ];
    let bands = gaps(summary, &x);
    (last.dials > 0).then(|| Chart {
        id: "rates",
        title: "Dial rate",
        note: format!("Until the last dial, {}", end.rounded_to_3_digits()),
        x,
        y,
        curves,
        marks: Vec::new(),
        bands,
    })
}

/// Errors, and closes of established connections.
fn endings(summary: &Summary) -> Option<Chart> {
    let points = summary.series.points();
    let end = ends_at(points);
    let bins = Bins::new(end, BINS_MAX);
    let total = |at: Span, of: fn(&Point) -> u64| {
        let next = points.partition_point(|point| point.at <= at);
        next.checked_sub(1).map_or(0, |index| of(&points[index]))
    };
    let more = |of: fn(&Point) -> u64, from, to| {
        // What happened at once belongs to the first bin.
        total(to, of) - if from == Span::ZERO { 0 } else { total(from, of) }
    };
    let errors = |point: &Point| point.errors;
    let both = |point: &Point| point.errors + point.closed;
    let edges = (0..bins.count).map(|index| (bins.edge(index), bins.edge(index + 1)));
    let most = edges.map(|(from, to)| more(both, from, to)).max()?;
    let last = points.last()?;
    let x = time_axis(end);
    let title = format!("in each {}", bins.width.rounded_to_3_digits());
    let y = Axis::linear(title, Unit::Count, most);
    let curve = |class, name, count: u64, of: fn(&Point) -> u64| {
        let height = |from, to| Some(more(of, from, to)).filter(|count| *count > 0);
        let steps =
            bins.steps(&x, |from, to| height(from, to).map(|count| y.at(count).max(VISIBLE)));
        Curve { class, name, note: count.to_string(), steps, is_filled: true }
    };
    let mut curves = Vec::new();
    if last.closed > 0 {
        curves.push(curve("closed", "closed", last.closed, both));
    }
    if last.errors > 0 {
        curves.push(curve("error", "errors", last.errors, errors));
    }
    let bands = gaps(summary, &x);
    (!curves.is_empty()).then(|| Chart {
        id: "endings",
        title: "Errors and closes",
        note: "Dials that failed, and connections closed".to_owned(),
        x,
        y,
        curves,
        marks: Vec::new(),
        bands,
    })
}

fn percentiles(summary: &Summary) -> Option<Chart> {
    let points = summary.series.points();
    let end = rises_until(points, |point| point.established);
    let bins = Bins::new(end, summary.established_ever / DIALS_PER_BIN);
    let quantile = |from: Span, to: Span, permille| {
        // Times belong to the interval before a point.
        let first = points.partition_point(|point| point.at <= from && from > Span::ZERO);
        let behind = points.partition_point(|point| point.at <= to);
        let mut sum = Point::START;
        for point in &points[first.min(behind)..behind] {
            let counts = sum.dial_times.iter_mut().zip(point.dial_times);
            counts.for_each(|(sum, count)| *sum += count);
        }
        sum.dial_quantile(permille)
    };
    let edges = || (0..bins.count).map(|index| (bins.edge(index), bins.edge(index + 1)));
    let of = |permille| edges().filter_map(move |(from, to)| quantile(from, to, permille));
    let (least, most) = (of(500).min()?, of(990).max()?);
    let x = time_axis(end);
    let y = Axis::log_times("dial time, logarithmic".to_owned(), least, most);
    let curve = |(permille, class, name)| Curve {
        class,
        name,
        note: format!(
            "{} overall",
            summary.established_times.quantile(permille).rounded_to_3_digits()
        ),
        steps: bins.steps(&x, |from, to| quantile(from, to, permille).map(|time| y.at(time.0))),
        is_filled: false,
    };
    let curves = PERCENTILES.into_iter().map(curve).collect();
    let bands = gaps(summary, &x);
    let width = bins.width.rounded_to_3_digits();
    Some(Chart {
        id: "percentiles",
        title: "Dial time over time",
        note: format!("Of the connections established in each {width}"),
        x,
        y,
        curves,
        marks: Vec::new(),
        bands,
    })
}

/// Established and failed dials by dial time.
fn distribution(summary: &Summary) -> Option<Chart> {
    let kinds = [
        ("error", "failed", &summary.failed_times),
        ("established", "established", &summary.established_times),
    ];
    let kinds = kinds.into_iter().filter(|(.., times)| times.count() > 0);
    let least = kinds.clone().map(|(.., times)| times.min()).min()?;
    let most = kinds.clone().map(|(.., times)| times.max()).max()?;
    let x = Axis::log_times("dial time, logarithmic".to_owned(), least, most);
    let range = log(most.0) - log(least.0);
    let bits = (BAR_BITS_MIN..64).find(|bits| range >> bits < BARS_MAX)?;
    let first = log(least.0) >> bits;
    let bars = |times: &Histogram| {
        let mut bars = vec![0u64; 2 + BARS_MAX as usize];
        for (from, below, count) in times.buckets() {
            let middle = Span((from.0 + below.0) / 2).clamp(times.min(), times.max());
            bars[((log(middle.0) >> bits) - first) as usize] += count;
        }
        bars
    };
    let tallest = kinds.clone().flat_map(|(.., times)| bars(times)).max()?;
    let y = Axis::counts("connections", tallest);
    let curve = |(class, name, times): (_, _, &Histogram)| {
        let at = |index: u64| x.at_log(index << bits);
        let steps = (first..).zip(bars(times)).map(|(index, count)| Step {
            from: at(index),
            to: at(index + 1),
            height: Some(y.at(count)).filter(|_| count > 0),
        });
        let [p50, p99, max] =
            [times.quantile(500), times.quantile(990), times.max()].map(Span::rounded_to_3_digits);
        let note = format!("{}, p50 {p50}, p99 {p99}, max {max}", times.count());
        Curve { class, name, note, steps: steps.collect(), is_filled: true }
    };
    let marks = PERCENTILES.map(|(permille, _, name)| {
        (x.at(summary.established_times.quantile(permille).0), name.to_owned())
    });
    let has_marks = summary.established_times.count() >= DIALS_PER_BIN;
    Some(Chart {
        id: "distribution",
        title: "Dial time distribution",
        note: "Connections by their dial time".to_owned(),
        curves: kinds.map(curve).collect(),
        marks: if has_marks { marks.into() } else { Vec::new() },
        bands: Vec::new(),
        x,
        y,
    })
}
