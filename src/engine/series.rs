//! The run over time: levels, flows and dial times at no more than 512 moments, however long it
//! lasts. Nothing wakes the loop for it: between two turns nothing changes.

use super::connection::State;
use crate::units::Span;

/// The most points of a series.
pub const POINTS_MAX: usize = 512;

/// The distance of the points of a short run. It doubles whenever there would be too many.
const STEP_MIN: Span = Span::from_ms(1);

/// Dial times by quarters of a power of two, from 1 µs to 67 s.
pub const DIAL_BUCKETS: usize = 26 * 4;

/// The run at one moment; counts are totals since its start, so that points can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Since the start of the series.
    pub at: Span,
    /// By [`State`].
    pub levels: [u32; State::COUNT],
    pub dials: u64,
    pub established: u64,
    pub closed: u64,
    pub errors: u64,
    /// Connections established since the point before, by dial time.
    pub dial_times: [u32; DIAL_BUCKETS],
}

impl Point {
    /// Nothing yet.
    pub const START: Point = Point {
        at: Span::ZERO,
        levels: [0; State::COUNT],
        dials: 0,
        established: 0,
        closed: 0,
        errors: 0,
        dial_times: [0; DIAL_BUCKETS],
    };

    /// The dial time that `permille` of those since the point before do not exceed, to within 13%: the
    /// middle of its bucket. `None` where nothing was established.
    pub fn dial_quantile(&self, permille: u32) -> Option<Span> {
        let count: u64 = self.dial_times.iter().copied().map(u64::from).sum();
        let rank = (count * u64::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.dial_times.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let lower = bucket.checked_sub(1).map_or(Span::ZERO, upper_edge);
        Some(Span((lower.0 + upper_edge(bucket).0) / 2))
    }

    /// Adds those since another point before.
    pub fn add_dial_times(&mut self, earlier: &[u32; DIAL_BUCKETS]) {
        self.dial_times
            .iter_mut()
            .zip(earlier)
            .for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
}

/// The bucket of a dial time.
fn bucket(time: Span) -> usize {
    let us = (time.0 / 1_000).max(1);
    let octave = us.ilog2();
    // The two bits below the highest one.
    let quarter = if octave >= 2 { us >> (octave - 2) & 3 } else { us << (2 - octave) & 3 };
    (octave as usize * 4 + quarter as usize).min(DIAL_BUCKETS - 1)
}

/// What every time of a bucket is below; the last one has no such time, and is named by its lower
/// edge.
pub fn upper_edge(bucket: usize) -> Span {
    let next = (bucket + 1).min(DIAL_BUCKETS - 1) as u64;
    Span(((4 + next % 4) << (next / 4)) * 1_000 / 4)
}

/// At most [`POINTS_MAX`] points; the first and the last are always among them. 250 KB, whatever the
/// run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    step: Span,
    points: Vec<Point>,
    /// Of the connections established since the last point.
    dial_times: [u32; DIAL_BUCKETS],
}

impl Default for Series {
    fn default() -> Series {
        // Written to now, so that no page of it is missing in the middle of the run.
        let mut points = vec![Point::START; POINTS_MAX + 1];
        points.truncate(1);
        Series { step: STEP_MIN, points, dial_times: [0; DIAL_BUCKETS] }
    }
}

impl Series {
    /// Of a run of `connections` that begins: none is dialed.
    pub fn new(connections: u32) -> Series {
        let mut series = Series::default();
        series.points[0].levels[State::NotInitiated as usize] = connections;
        series
    }

    /// A finished one of these points; nothing is added to it.
    pub fn of(points: Vec<Point>) -> Series {
        Series { points, ..Series::default() }
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The dial times of the points after `from`, up to `to`.
    pub fn between(&self, from: Span, to: Span) -> Point {
        let mut sum = Point::START;
        let part = self.points.iter().filter(|point| from < point.at && point.at <= to);
        part.for_each(|point| sum.add_dial_times(&point.dial_times));
        sum
    }

    /// A dial was established after `time`.
    pub fn established(&mut self, time: Span) {
        let count = &mut self.dial_times[bucket(time)];
        *count = count.saturating_add(1);
    }

    /// Whether [`Series::advance`] would add something; O(1), for each turn.
    pub fn is_due(&self, after: Span) -> bool {
        after.0.saturating_sub(self.last_at().0) >= self.step.0
    }

    /// Time goes on to `after`, and nothing has changed since `last_turn`: as `now` has it. O(1)
    /// amortized, without an allocation.
    pub fn advance(&mut self, last_turn: Span, after: Span, now: &Point) {
        let end = self.begun_by(after);
        // Where the loop slept, the change came before that.
        let change = self.begun_by(Span(last_turn.0 + self.step.0)).min(end);
        for at in [change, end] {
            if at > self.last_at() {
                self.push(Point { at, ..*now });
            }
        }
    }

    /// The whole of it up to `after`.
    pub fn finished(&self, after: Span, now: &Point) -> Series {
        let mut all = self.clone();
        match all.last_at() < after {
            true => all.push(Point { at: after, ..*now }),
            false => {
                let dial_times = std::mem::replace(&mut all.dial_times, [0; DIAL_BUCKETS]);
                if let Some(last) = all.points.last_mut() {
                    last.add_dial_times(&dial_times);
                    *last = Point { at: last.at, dial_times: last.dial_times, ..*now };
                }
            }
        }
        all
    }

    fn last_at(&self) -> Span {
        self.points.last().map_or(Span::ZERO, |point| point.at)
    }

    /// The last of the steps that has begun.
    fn begun_by(&self, after: Span) -> Span {
        Span(after.0 / self.step.0 * self.step.0)
    }

    fn push(&mut self, mut point: Point) {
        point.dial_times = std::mem::replace(&mut self.dial_times, [0; DIAL_BUCKETS]);
        self.points.push(point);
        while self.points.len() > POINTS_MAX {
            self.step = Span(self.step.0 * 2);
            self.thin_out();
        }
    }

    /// Keeps the last point of each step, and with it the first and the last of all. Where the loop
    /// slept, points are between two steps: to keep only those at a step would leave holes.
    fn thin_out(&mut self) {
        let step_of = |point: &Point, step: Span| point.at.0.div_ceil(step.0);
        let mut dropped = [0; DIAL_BUCKETS];
        let mut kept = 0;
        for index in 0..self.points.len() {
            let mut point = self.points[index];
            point.add_dial_times(&dropped);
            let next = self.points.get(index + 1);
            if next.is_some_and(|next| step_of(next, self.step) == step_of(&point, self.step)) {
                dropped = point.dial_times;
                continue;
            }
            dropped = [0; DIAL_BUCKETS];
            self.points[kept] = point;
            kept += 1;
        }
        self.points.truncate(kept);
    }

    /// Several series at once, each with its start after that of the sum.
    pub fn sum(all: &[(Span, &Series)]) -> Series {
        let mut moments: Vec<Span> = all
            .iter()
            .flat_map(|(start, one)| one.points.iter().map(|point| Span(start.0 + point.at.0)))
            .collect();
        moments.sort_unstable();
        moments.dedup();
        let mut sum = Series::default();
        sum.points.clear();
        for at in moments {
            let mut point = Point { at, ..Point::START };
            for (start, one) in all {
                let until = one.points.partition_point(|point| start.0 + point.at.0 <= at.0);
                let Some(last) = until.checked_sub(1).map(|index| &one.points[index]) else {
                    continue;
                };
                point.levels.iter_mut().zip(last.levels).for_each(|(sum, level)| *sum += level);
                point.dials += last.dials;
                point.established += last.established;
                point.closed += last.closed;
                point.errors += last.errors;
                if start.0 + last.at.0 == at.0 {
                    point.add_dial_times(&last.dial_times);
                }
            }
            sum.dial_times = point.dial_times;
            sum.push(point);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Span {
        Span::from_ms(ms)
    }

    fn now(established: u64) -> Point {
        Point { established, ..Point::START }
    }

    fn established(series: &Series) -> Vec<(u64, u64)> {
        let of = |point: &Point| (point.at.0 / 1_000_000, point.established);
        series.points().iter().map(of).collect()
    }

    #[test]
    fn a_step_of_days_counts_its_dials_up_to_the_most() {
        let dial_times = [u32::MAX - 1; DIAL_BUCKETS];
        let mut series = Series { dial_times, ..Series::default() };
        (0..3).for_each(|_| series.established(at(1)));
        let finished = series.finished(at(5), &now(3));
        assert_eq!(finished.points()[1].dial_times[bucket(at(1))], u32::MAX);
    }

    #[test]
    fn a_change_before_a_sleep_is_not_smeared_over_it() {
        let mut series = Series::default();
        // Three were established in a turn at 2.5 ms; the next turn is at 100 ms.
        series.advance(at(0), Span::from_us(2_500), &now(0));
        series.advance(Span::from_us(2_500), at(100), &now(3));
        let series = series.finished(Span::from_us(100_500), &now(4));
        assert_eq!(established(&series), [(0, 0), (1, 0), (2, 0), (3, 3), (100, 3), (100, 4)]);
    }

    #[test]
    fn dial_times_belong_to_the_interval_before_the_point() {
        let mut series = Series::default();
        series.established(Span::from_us(100));
        series.established(Span::from_us(100));
        series.advance(Span::from_us(900), at(1), &now(2));
        series.established(at(50));
        let series = series.finished(at(2), &now(3));
        let [_, first, last] = series.points() else { panic!("{series:?}") };
        let near = |quantile: Option<Span>, us: u64| {
            quantile.is_some_and(|time| time.0 >= us * 1_000 && time.0 <= us * 1_250)
        };
        assert!(near(first.dial_quantile(990), 100) && near(last.dial_quantile(500), 50_000));
        assert_eq!(series.points()[0].dial_quantile(500), None);
    }

    #[test]
    fn a_loop_that_sleeps_leaves_no_holes() {
        let mut series = Series::default();
        let (sleep, mut last) = (Span::from_us(12_500), Span::ZERO);
        for turn in 1..=3_000 {
            let time = Span(turn * sleep.0);
            if series.is_due(time) {
                series.advance(last, time, &now(turn));
            }
            last = time;
        }
        let series = series.finished(last, &now(3_000));
        let apart = series.points().windows(2).map(|pair| pair[1].at.0 - pair[0].at.0);
        let (step, most) = (last.0.div_ceil(POINTS_MAX as u64 / 2), apart.max());
        assert!(most.is_some_and(|most| most <= 2 * step), "{most:?} apart, and a step is {step}");
    }

    #[test]
    fn two_runs_add_up_by_the_clock() {
        let one = {
            let mut series = Series::default();
            series.established(at(1));
            series.advance(at(1), at(2), &now(1));
            series.finished(at(4), &now(1))
        };
        let sum = Series::sum(&[(at(0), &one), (at(3), &one)]);
        assert_eq!(established(&sum), [(0, 0), (2, 1), (3, 1), (4, 1), (5, 2), (7, 2)]);
        let dials = |series: &Series| -> u32 {
            series.points().iter().flat_map(|point| point.dial_times).sum()
        };
        assert_eq!(dials(&sum), 2 * dials(&one));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_loses_nothing(
            steps in prop::collection::vec((0u64..200_000_000, 0u64..3), 1..3_000),
        ) {
            let mut series = Series::default();
            let (mut time, mut last, mut count) = (Span::ZERO, Span::ZERO, 0);
            for (ns, news) in steps {
                time = Span(time.0 + ns);
                if series.is_due(time) {
                    series.advance(last, time, &now(count));
                }
                for _ in 0..news {
                    series.established(Span(ns));
                }
                count += news;
                last = time;
            }
            let series = series.finished(time, &now(count));
            let points = series.points();
            prop_assert!(points.len() <= POINTS_MAX);
            prop_assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));
            prop_assert!(points.windows(2).all(|pair| pair[0].established <= pair[1].established));
            let (first, end) = (points[0], points[points.len() - 1]);
            prop_assert_eq!((first.at, end.at, end.established), (Span::ZERO, time, count));
            let times: u64 = points.iter().flat_map(|point| point.dial_times).map(u64::from).sum();
            prop_assert_eq!(times, count);
        }

        #[test]
        fn a_dial_time_is_in_its_bucket(ns in 1_000u64..58_000_000_000) {
            let index = bucket(Span(ns));
            prop_assert!(ns / 1_000 * 1_000 < upper_edge(index).0);
            prop_assert!(index == 0 || ns >= upper_edge(index - 1).0 / 1_000 * 1_000);
        }
    }
}
