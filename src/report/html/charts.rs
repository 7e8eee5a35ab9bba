//! The charts of a run: series and histograms → [`Chart`]s.

use super::chart::{Chart, Curve, Step};
use super::page::{Page, Short};
use super::scale::{Axis, LENGTH, Unit, log, step};
use crate::engine::histogram::Histogram;
use crate::engine::series::Point;
use crate::engine::{State, Summary};
use crate::units::{NS_PER_S, Span};

/// The most bins of a chart.
const BINS_MAX: u64 = 80;

/// A rate of fewer dials than this a bin would show chance.
const DIALS_PER_BIN: u64 = 8;

/// A p99 of fewer times than this is their maximum; a short run has some bins nevertheless.
const TIMES_PER_BIN: u64 = 100;
const TIMES_BINS_MIN: u64 = 20;

/// Bars of the distribution at most, and the width of the narrowest, by [`log`]: an eighth of a power
/// of two, which is several buckets of a histogram.
const BARS_MAX: u64 = 60;
const BAR_BITS_MIN: u32 = 7;

/// The least height of what is not zero.
const VISIBLE: u64 = 8;

/// States as they are stacked, from the bottom.
const STATES: [(State, &str, &str); 4] = [
    (State::Established, "established", "established"),
    (State::Closed, "closed", "closed"),
    (State::Error, "error", "errors"),
    (State::Dialing, "dialing", "dialing"),
];

const PERCENTILES: [(u32, &str); 3] = [(500, "p50"), (900, "p90"), (990, "p99")];

/// All that have something to show, in the order of the report.
pub fn write(page: &mut Page, summary: &Summary) {
    let run = Run { summary, points: summary.series.points() };
    run.levels(page);
    run.rates(page);
    run.endings(page);
    run.percentiles(page);
    distribution(page, summary);
}

/// A total of a [`Point`].
type Total = fn(&Point) -> u64;

struct Run<'a> {
    summary: &'a Summary,
    points: &'a [Point],
}

/// Equal parts of the time up to a moment.
struct Bins {
    width: Span,
    count: u64,
    end: Span,
}

impl Bins {
    fn new(end: Span, most: u64) -> Bins {
        let width = Span(step(Unit::Time, end.0.div_ceil(most.clamp(1, BINS_MAX)).max(1)));
        // A short rest belongs to the last one.
        let count = ((end.0 + width.0 / 2) / width.0).max(1);
        Bins { width: if count == 1 { end.rounded_to_3_digits() } else { width }, count, end }
    }

    fn edge(&self, index: u64) -> Span {
        if index >= self.count { self.end } else { Span(index * self.width.0) }
    }

    /// A value for each, from its beginning and its end.
    fn values(&self, of: &dyn Fn(Span, Span) -> Option<u64>) -> Vec<Option<u64>> {
        let mut values = Vec::new();
        for index in 0..self.count {
            values.push(of(self.edge(index), self.edge(index + 1)));
        }
        values
    }

    fn steps(&self, values: &[Option<u64>], x: &Axis, y: &Axis) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, value) in (0..).zip(values) {
            let (from, to) = (x.at(self.edge(index).0), x.at(self.edge(index + 1).0));
            let height = value.map(|value| y.at(value).max(VISIBLE.min(value)));
            steps.push(Step { from, to, height });
        }
        steps
    }
}

fn greatest(values: &[Option<u64>]) -> u64 {
    values.iter().copied().flatten().max().unwrap_or(0)
}

impl Run<'_> {
    fn end(&self) -> Span {
        self.points.last().map_or(Span::ZERO, |point| point.at)
    }

    /// When a total rises for the last time, and the time of one of `count` after that: a rate over the
    /// time from the first to the last would be too high.
    fn rises_until(&self, count: u64, of: Total) -> Span {
        let all = self.points.last().map_or(0, of);
        let first = self.points.iter().find(|point| of(point) == all);
        let at = first.map_or(Span::ZERO, |point| point.at);
        match at + Span(at.0 / count.max(1)) {
            Span::ZERO => self.end(),
            until => until.min(self.end()),
        }
    }

    #[inline(never)]
    fn before(&self, at: Span) -> usize {
        self.points.partition_point(|point| point.at <= at)
    }

    /// Of each bin, in thousandths a second.
    #[inline(never)]
    fn rates_of(&self, bins: &Bins, of: Total) -> Vec<Option<u64>> {
        bins.values(&|from, to| {
            let more = self.total_at(to, of).saturating_sub(self.total_at(from, of));
            let rate = u128::from(more) * u128::from(NS_PER_S) / u128::from((to.0 - from.0).max(1));
            // Of dials that took no time at all.
            Some(rate.min(1 << 60) as u64)
        })
    }

    /// Of the dial times in each bin.
    #[inline(never)]
    fn quantiles_of(&self, bins: &Bins, permille: u32) -> Vec<Option<u64>> {
        bins.values(&|from, to| {
            // Times belong to the interval before a point.
            let first = if from == Span::ZERO { 0 } else { self.before(from) };
            let mut sum = Point::START;
            for point in self.points.get(first..self.before(to)).unwrap_or_default() {
                sum.add_dial_times(&point.dial_times);
            }
            sum.dial_quantile(permille).map(|time| time.0)
        })
    }

    /// Of each bin; `None` for zero.
    #[inline(never)]
    fn counts_of(&self, bins: &Bins, of: Total) -> Vec<Option<u64>> {
        let total = |at| self.before(at).checked_sub(1).map_or(0, |index| of(&self.points[index]));
        bins.values(&|from, to| {
            // What happened at once belongs to the first bin.
            let before = if from == Span::ZERO { 0 } else { total(from) };
            Some(total(to).saturating_sub(before)).filter(|count| *count > 0)
        })
    }

    /// A total at any time, in thousandths: in a straight line between two points.
    #[inline(never)]
    fn total_at(&self, at: Span, of: Total) -> u64 {
        let next = self.before(at);
        let Some(before) = next.checked_sub(1).map(|index| &self.points[index]) else { return 0 };
        let from = of(before) * 1_000;
        let Some(next) = self.points.get(next) else { return from };
        let (part, all) = (at - before.at, next.at - before.at);
        let more = of(next).saturating_sub(of(before)) * 1_000;
        // Less than `more`.
        from + (u128::from(more) * u128::from(part.0) / u128::from(all.0.max(1))) as u64
    }

    /// Writes a chart of the time, with the gaps in which this host did not poll.
    #[inline(never)]
    fn write(&self, page: &mut Page, chart: &Chart<'_>) {
        let mut bands = Vec::new();
        for gap in self.summary.gaps.list() {
            let [from, to] =
                [gap.from, gap.to].map(|at| chart.x.at(at.since(self.summary.start).0));
            if from < to {
                bands.push((from, to));
            }
        }
        if !chart.curves.is_empty() {
            Chart { bands: &bands, ..*chart }.write(page);
        }
    }

    /// The levels of one state on top of others.
    #[inline(never)]
    fn stack(&self, state: State, sums: &mut [u64], (x, y): (&Axis, &Axis)) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (sum, point) in sums.iter_mut().zip(self.points) {
            *sum += u64::from(point.levels[state as usize]);
            let from = x.at(point.at.0);
            if let Some(before) = steps.last_mut() {
                before.to = from;
            }
            let height = Some(y.at(*sum).max(VISIBLE.min(*sum)));
            steps.push(Step { from, to: LENGTH, height });
        }
        steps
    }

    #[inline(never)]
    fn levels(&self, page: &mut Page) {
        let x = time_axis(self.end());
        let most = u64::from(self.summary.last.connections);
        let y = Axis::linear("connections".to_owned(), Unit::Count, most);
        let mut sums: Vec<u64> = vec![0; self.points.len()];
        let mut curves = Vec::new();
        for (state, class, name) in STATES {
            let is_any = self.points.iter().any(|point| point.levels[state as usize] > 0);
            if is_any {
                let steps = self.stack(state, &mut sums, (&x, &y));
                let note = format_args!("{} at the end", self.summary.last.level(state));
                // The lower ones are drawn over the sums.
                curves.insert(0, Curve::new((class, name), &note, steps, true));
            }
        }
        let blank = match self.summary.churn {
            Some(_) => "between two dials",
            None => "not dialed yet",
        };
        let note = format_args!("{most} connections, stacked; blank: {blank}");
        self.write(
            page,
            &Chart {
                id: "levels",
                title: "Connections by state",
                note: &note,
                x: &x,
                y: &y,
                curves: &curves,
                marks: &[],
                bands: &[],
            },
        );
    }

    #[inline(never)]
    fn rates(&self, page: &mut Page) {
        let [dials, established]: [Total; 2] = [|point| point.dials, |point| point.established];
        let all = self.points.last().map_or(0, dials);
        if all == 0 {
            return;
        }
        let end = self.rises_until(all, |point| point.dials + point.established);
        let bins = Bins::new(end, all / DIALS_PER_BIN);
        let x = time_axis(end);
        let title = format!("per second, mean of {}", bins.width);
        let of_dials = self.rates_of(&bins, dials);
        let most = greatest(&of_dials);
        let y = Axis::linear(title, Unit::Rate, most + most / 16);
        let dialed = bins.steps(&of_dials, &x, &y);
        let opened = bins.steps(&self.rates_of(&bins, established), &x, &y);
        let count = &self.summary.established_ever;
        let curves = [
            Curve::new(("dials", "dials"), &all, dialed, true),
            Curve::new(("established", "established"), count, opened, false),
        ];
        let note = format_args!("Until the last dial, {}", Short(end));
        self.write(
            page,
            &Chart {
                id: "rates",
                title: "Dial rate",
                note: &note,
                x: &x,
                y: &y,
                curves: &curves,
                marks: &[],
                bands: &[],
            },
        );
    }

    /// Errors, and closes of established connections.
    #[inline(never)]
    fn endings(&self, page: &mut Page) {
        let bins = Bins::new(self.end(), BINS_MAX);
        let both = self.counts_of(&bins, |point| point.errors + point.closed);
        let x = time_axis(self.end());
        let y = Axis::linear(format!("in each {}", bins.width), Unit::Count, greatest(&both));
        let errors = self.summary.errors;
        let closed = self.points.last().map_or(0, |point| point.closed);
        let mut curves = Vec::new();
        for (class, name, count, values) in [
            ("closed", "closed", closed, both),
            ("error", "errors", errors, self.counts_of(&bins, |point| point.errors)),
        ] {
            if count > 0 {
                curves.push(Curve::new((class, name), &count, bins.steps(&values, &x, &y), true));
            }
        }
        let note = "Dials that failed, and connections closed";
        self.write(
            page,
            &Chart {
                id: "endings",
                title: "Errors and closes",
                note: &note,
                x: &x,
                y: &y,
                curves: &curves,
                marks: &[],
                bands: &[],
            },
        );
    }

    #[inline(never)]
    fn percentiles(&self, page: &mut Page) {
        let count = self.summary.established_ever;
        if count == 0 {
            return;
        }
        let end = self.rises_until(count, |point| point.established);
        let most = (count / TIMES_PER_BIN).max((count / DIALS_PER_BIN).min(TIMES_BINS_MIN));
        let bins = Bins::new(end, most);
        let x = time_axis(end);
        let least = self.quantiles_of(&bins, PERCENTILES[0].0).into_iter().flatten().min();
        let most = greatest(&self.quantiles_of(&bins, PERCENTILES[2].0));
        let y = Axis::log_times("dial time", Span(least.unwrap_or(1)), Span(most));
        let mut curves = Vec::new();
        for (permille, name) in PERCENTILES {
            let overall = Short(self.summary.established_times.quantile(permille));
            let steps = bins.steps(&self.quantiles_of(&bins, permille), &x, &y);
            curves.push(Curve::new((name, name), &format_args!("{overall} overall"), steps, false));
        }
        let note = format_args!("Of the connections established in each {}", bins.width);
        self.write(
            page,
            &Chart {
                id: "percentiles",
                title: "Dial time over time",
                note: &note,
                x: &x,
                y: &y,
                curves: &curves,
                marks: &[],
                bands: &[],
            },
        );
    }
}

fn time_axis(most: Span) -> Axis {
    Axis::linear("time since the start".to_owned(), Unit::Time, most.0)
}

/// Established and failed dials by dial time.
#[inline(never)]
fn distribution(page: &mut Page, summary: &Summary) {
    let Summary { established_times, failed_times, .. } = summary;
    let kinds =
        [("error", "failed", failed_times), ("established", "established", established_times)];
    let (mut least, mut most) = (Span(u64::MAX), Span::ZERO);
    for (.., times) in kinds {
        if times.count() > 0 {
            (least, most) = (least.min(times.min()), most.max(times.max()));
        }
    }
    if least > most {
        return;
    }
    let x = Axis::log_times("dial time", least, most);
    let range = log(most.0) - log(least.0);
    let bits = (BAR_BITS_MIN..64).find(|bits| range >> bits < BARS_MAX).unwrap_or(0);
    let first = log(least.0) >> bits;
    let mut tallest = 0;
    for (.., times) in kinds {
        bars(times, first, bits).iter().for_each(|count| tallest = tallest.max(*count));
    }
    let y = Axis::counts(tallest);
    let mut curves = Vec::new();
    for (class, name, times) in kinds {
        if times.count() > 0 {
            curves.push(distribution_of(times, (class, name), (first, bits), (&x, &y)));
        }
    }
    let mut marks = Vec::new();
    if established_times.count() >= DIALS_PER_BIN {
        for (permille, name) in PERCENTILES {
            marks.push((x.at(established_times.quantile(permille).0), name));
        }
    }
    let chart = Chart {
        id: "distribution",
        title: "Dial time distribution",
        note: &"Connections by their dial time",
        x: &x,
        y: &y,
        curves: &curves,
        marks: &marks,
        bands: &[],
    };
    chart.write(page);
}

#[inline(never)]
fn distribution_of(
    times: &Histogram,
    name: (&'static str, &'static str),
    (first, bits): (u64, u32),
    (x, y): (&Axis, &Axis),
) -> Curve {
    let mut steps = Vec::new();
    for (index, count) in (first..).zip(bars(times, first, bits)) {
        let (from, to) = (x.at_raw(index << bits), x.at_raw((index + 1) << bits));
        steps.push(Step { from, to, height: Some(y.at(count)).filter(|_| count > 0) });
    }
    let (p50, p99) = (Short(times.quantile(500)), Short(times.quantile(990)));
    let max = Short(times.max());
    let note = format_args!("{}, p50 {p50}, p99 {p99}, max {max}", times.count());
    Curve::new(name, &note, steps, true)
}

/// Counts by dial time, from the `first`th power of two (or part of it, by `bits`) on.
#[inline(never)]
fn bars(times: &Histogram, first: u64, bits: u32) -> [u64; 2 + BARS_MAX as usize] {
    let mut bars = [0u64; 2 + BARS_MAX as usize];
    for (from, below, count) in times.buckets() {
        let middle = Span((from.0 + below.0) / 2).max(times.min()).min(times.max());
        let index = (log(middle.0) >> bits).saturating_sub(first);
        if let Some(bar) = bars.get_mut(index as usize) {
            *bar += count;
        }
    }
    bars
}
