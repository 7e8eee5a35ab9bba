//! The sustained level: the most connections that stayed open together for [`WINDOW`].
//!
//! The maximum over a run of the minimum level in a sliding window, in constant memory and O(1) a
//! change, amortized: time is cut into buckets, each bucket has the lowest level in it, and a window
//! is a number of whole buckets. The minima of the window are kept as a rising queue. Source:
//! D. Lemire, "Streaming maximum-minimum filter using no more than three comparisons per element",
//! Nordic J. of Computing 13 (2006).
//!
//! It never overstates. It can miss connections that stayed open together for less than a window and
//! a bucket. A level that did not change for the window counts exactly.
//!
//! A run can end within a window of its last dials: then the level at its end counts, less the closes
//! of its last window.
//!
//! In a gap, when this host was not polling, a connection that was found closed afterwards counts as
//! closed from the gap's beginning on, and one that was found open as open from its end on.

use std::collections::VecDeque;

use crate::units::{Moment, Span};

/// For how long connections must have stayed open together.
pub const WINDOW: Span = Span::from_ms(100);

const BUCKET: Span = Span::from_ms(1);

/// Whole buckets that make a window.
const BUCKETS: u64 = WINDOW.0 / BUCKET.0;

const _: () = assert!(WINDOW.0.is_multiple_of(BUCKET.0));

/// The lowest level of some buckets: of those after the entry before, up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Minimum {
    last: u64,
    level: u32,
}

/// The level and its history, as far as it still matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sustained {
    start: Moment,
    /// How many are open, without those found open in a gap that is not over.
    level: u32,
    /// How many those are.
    found_open: u32,
    /// Since when the level has not changed.
    since: Moment,
    /// The bucket that is not over, and the lowest level in it so far.
    bucket: u64,
    lowest: u32,
    /// Rising in both fields; the first is the lowest level of the window.
    minima: VecDeque<Minimum>,
    best: u32,
    /// Closes by bucket, of the window that ends with the last of them.
    closes: VecDeque<(u64, u32)>,
    gap_from: Option<Moment>,
}

impl Sustained {
    /// Nothing is open at `start`.
    pub fn new(start: Moment) -> Sustained {
        // One for each bucket of the window, one before it, and one that is being added.
        let mut minima = VecDeque::with_capacity(BUCKETS as usize + 2);
        let bucket = bucket_of(start);
        minima.push_back(Minimum { last: bucket - 1, level: 0 });
        Sustained {
            start,
            level: 0,
            found_open: 0,
            since: start,
            bucket,
            lowest: 0,
            minima,
            best: 0,
            closes: VecDeque::with_capacity(BUCKETS as usize + 1),
            gap_from: None,
        }
    }

    /// One more was found open at `at`.
    pub fn open(&mut self, at: Moment) {
        if self.gap_from.is_some() {
            self.found_open += 1;
        } else {
            self.change(at, self.level + 1);
        }
    }

    /// One of them, open since `opened_at`, was found closed at `at`. One opened at the moment at which
    /// a gap began counts as open before it.
    pub fn close(&mut self, opened_at: Moment, at: Moment) {
        self.count_close(at);
        match self.gap_from {
            Some(from) if self.found_open > 0 && (opened_at > from || self.level == 0) => {
                self.found_open -= 1;
            }
            Some(_) => self.change(self.since, self.level.saturating_sub(1)),
            None => self.change(at, self.level.saturating_sub(1)),
        }
    }

    /// This host was not polling since `from`: what is found from now on can have happened then. What
    /// was found since `from` already (if the gap was discovered later) is counted again, except in
    /// complete windows.
    pub fn begin_gap(&mut self, from: Moment) {
        if from >= self.since && self.gap_from.is_none() {
            self.advance(from);
            self.since = from;
        } else if from < self.since {
            let bucket = bucket_of(from.max(self.start));
            while let Some(back) = self.minima.back().filter(|back| back.last >= bucket) {
                self.lowest = self.lowest.min(back.level);
                self.minima.pop_back();
            }
            self.found_open += self.level - self.lowest;
            self.level = self.lowest;
            (self.bucket, self.since) = (bucket, from.max(self.start));
        }
        self.gap_from = Some(self.since);
    }

    /// All that happened in the gap has been read by `now`.
    pub fn end_gap(&mut self, now: Moment) {
        if self.gap_from.take().is_some() {
            self.change(now, self.level + self.found_open);
            self.found_open = 0;
        }
    }

    /// The sustained level of a run that ends at `now`. Connections of the last window count, less one
    /// for each close in it, as a sign of another to come. O(`BUCKETS`).
    pub fn at_end(&self, now: Moment) -> u32 {
        if now.since(self.start) < WINDOW {
            return self.open_count();
        }
        // Connections open in a gap that is not read to its end may be closed.
        let open = if self.gap_from.is_some() { 0 } else { self.level };
        self.of_windows(now).max(open.saturating_sub(self.closes_in_window(now)))
    }

    /// Whether connections count at `now` that were not open for a whole window.
    pub fn is_cut_short(&self, now: Moment) -> bool {
        self.at_end(now) > self.of_windows(now)
    }

    /// The same of whole windows only.
    fn of_windows(&self, now: Moment) -> u32 {
        let mut all = self.clone();
        all.advance(now);
        all.best
    }

    fn closes_in_window(&self, now: Moment) -> u32 {
        let first = bucket_of(now).saturating_sub(BUCKETS);
        self.closes.iter().filter(|(bucket, _)| *bucket >= first).map(|(_, count)| count).sum()
    }

    fn count_close(&mut self, at: Moment) {
        let bucket = self.closes.back().map_or(0, |(last, _)| *last).max(bucket_of(at));
        match self.closes.back_mut() {
            Some((last, count)) if *last == bucket => *count = count.saturating_add(1),
            _ => {
                let is_old = |(first, _): &(u64, u32)| first + BUCKETS < bucket;
                while self.closes.front().is_some_and(is_old) {
                    self.closes.pop_front();
                }
                self.closes.push_back((bucket, 1));
            }
        }
    }

    /// How many are open now.
    pub fn open_count(&self) -> u32 {
        self.level + self.found_open
    }

    /// Checks that it keeps no more than a window.
    ///
    /// # Panics
    /// If it does.
    pub fn audit(&self) {
        assert!(self.minima.len() <= BUCKETS as usize + 1, "{} minima", self.minima.len());
        assert!(self.closes.len() <= BUCKETS as usize + 1, "{} closes", self.closes.len());
        assert!(self.lowest <= self.level, "{} is not the lowest", self.lowest);
        let is_rising = |(a, b): (&Minimum, &Minimum)| a.last < b.last && a.level < b.level;
        assert!(self.minima.iter().zip(self.minima.iter().skip(1)).all(is_rising));
    }

    fn change(&mut self, at: Moment, level: u32) {
        self.advance(at);
        self.level = level;
        self.lowest = self.lowest.min(level);
        self.since = self.since.max(at);
    }

    /// Closes the buckets before `at`; the level changed in the first of them only.
    fn advance(&mut self, at: Moment) {
        if at.since(self.since) >= WINDOW {
            self.best = self.best.max(self.level);
        }
        let bucket = bucket_of(at);
        if bucket <= self.bucket {
            return;
        }
        self.push(self.bucket, self.lowest);
        if self.bucket + 1 < bucket {
            self.push(bucket - 1, self.level);
        }
        (self.bucket, self.lowest) = (bucket, self.level);
    }

    fn push(&mut self, last: u64, level: u32) {
        while self.minima.back().is_some_and(|back| back.level >= level) {
            self.minima.pop_back();
        }
        self.minima.push_back(Minimum { last, level });
        while self.minima.front().is_some_and(|front| front.last + BUCKETS <= last) {
            self.minima.pop_front();
        }
        let of_window = self.minima.front().map_or(level, |front| front.level);
        self.best = self.best.max(of_window);
    }
}

/// Counted from one, so that each has one before it.
fn bucket_of(at: Moment) -> u64 {
    at.0 / BUCKET.0 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Moment {
        Moment(0) + Span::from_us(us)
    }

    fn ms(ms: u64) -> Moment {
        us(1_000 * ms)
    }

    fn opened(count: u32, at: Moment) -> Sustained {
        let mut sustained = Sustained::new(Moment(0));
        (0..count).for_each(|_| sustained.open(at));
        sustained
    }

    fn close(sustained: &mut Sustained, count: u32, at: Moment) {
        (0..count).for_each(|_| sustained.close(Moment(0), at));
    }

    #[test]
    fn connections_open_for_less_than_the_window_do_not_count() {
        let mut sustained = opened(50, us(300));
        for round in 1..100 {
            (0..30).for_each(|_| sustained.open(ms(10 * round)));
            close(&mut sustained, 30, ms(10 * round + 9));
        }
        assert_eq!(sustained.of_windows(ms(1_000)), 50);
    }

    #[test]
    fn a_level_counts_once_it_has_lasted_for_the_window() {
        let sustained = opened(7, us(5_300));
        for (end_us, level) in [(105_299, 0), (105_300, 7), (500_000, 7)] {
            assert_eq!(sustained.of_windows(us(end_us)), level, "{end_us}");
        }
        let mut closed = sustained.clone();
        close(&mut closed, 3, us(105_299));
        assert_eq!(closed.of_windows(us(106_100)), 4, "they were open together for less");
        let mut closed = sustained;
        close(&mut closed, 3, us(105_300));
        assert_eq!(closed.of_windows(us(106_000)), 7);
    }

    #[test]
    fn in_a_short_run_the_level_at_the_end_counts() {
        let mut sustained = opened(9, ms(1));
        close(&mut sustained, 2, ms(40));
        assert_eq!((sustained.at_end(ms(99)), sustained.of_windows(ms(100))), (7, 0));
    }

    #[test]
    fn connections_open_at_the_end_count() {
        let mut sustained = opened(1, ms(1));
        (0..499).for_each(|_| sustained.open(ms(300)));
        assert_eq!(sustained.of_windows(ms(310)), 1);
        assert_eq!((sustained.at_end(ms(310)), sustained.is_cut_short(ms(310))), (500, true));
        assert_eq!((sustained.at_end(ms(400)), sustained.is_cut_short(ms(400))), (500, false));
        // Each close counts for one more to come.
        close(&mut sustained, 2, ms(305));
        assert_eq!(sustained.at_end(ms(310)), 496);
        assert_eq!(sustained.at_end(ms(406)), 498, "they were closed more than a window ago");
        close(&mut sustained, 400, ms(310));
        assert_eq!(sustained.at_end(ms(320)), 1);
        // Connections opened in a gap that is not read to its end may be closed.
        let mut unread = opened(3, ms(1));
        unread.begin_gap(ms(500));
        (0..9).for_each(|_| unread.open(ms(900)));
        assert_eq!(unread.at_end(ms(900)), 3);
        unread.end_gap(ms(900));
        assert_eq!(unread.at_end(ms(900)), 12);
    }

    /// Against a naive search through all windows, from a fixed sequence of random changes.
    #[test]
    fn it_never_overstates_and_misses_less_than_a_bucket() {
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..200 {
            let mut sustained = Sustained::new(Moment(0));
            let (mut at, mut level, mut changes) = (Moment(0), 0u32, vec![(Moment(0), 0u32)]);
            let most_us = [300, 3_000, 30_000, 250_000][next(4) as usize];
            for _ in 0..300 {
                at = at + Span::from_us(next(most_us));
                if level == 0 || next(5) < 3 {
                    (level, ()) = (level + 1, sustained.open(at));
                } else {
                    (level, ()) = (level - 1, sustained.close(Moment(0), at));
                }
                changes.push((at, level));
            }
            let end = at + Span::from_us(next(2 * most_us));
            if end.since(Moment(0)) < WINDOW {
                continue;
            }
            let found = sustained.of_windows(end);
            let (all, most) = (naive(&changes, end, WINDOW), naive(&changes, end, WINDOW + BUCKET));
            assert!((most..=all).contains(&found), "{found}, not {most} to {all}: {changes:?}");
        }
    }

    /// The highest level that lasted for `window`: the lowest of each window that begins with a
    /// change.
    fn naive(changes: &[(Moment, u32)], end: Moment, window: Span) -> u32 {
        let lowest = |index: usize| {
            let from = changes[index].0;
            let within = changes[index..].iter().take_while(|(at, _)| *at < from + window);
            within.map(|(_, level)| *level).min().unwrap_or(0)
        };
        let fits = |index: &usize| changes[*index].0 + window <= end;
        (0..changes.len()).filter(fits).map(lowest).max().unwrap_or(0)
    }

    #[test]
    fn closes_found_after_a_gap_count_from_its_beginning_and_opens_from_its_end() {
        let mut sustained = opened(20, ms(1));
        sustained.begin_gap(ms(50));
        close(&mut sustained, 5, ms(900));
        (0..10).for_each(|_| sustained.open(ms(900)));
        // One of those opened and closed again in the gap.
        sustained.close(ms(900), ms(900));
        let mut short = sustained.clone();
        short.end_gap(ms(900));
        assert_eq!(short.of_windows(ms(999)), 15);
        assert_eq!(short.of_windows(ms(1_000)), 24);
        close(&mut short, 9, ms(990));
        assert_eq!(short.of_windows(ms(2_000)), 15);
        assert_eq!(sustained.of_windows(ms(900)), 15, "before the gap is read to its end");
    }

    #[test]
    fn what_opened_as_a_gap_began_and_closed_in_it_was_not_open_throughout() {
        let mut sustained = opened(1, ms(50));
        sustained.begin_gap(ms(50));
        sustained.open(ms(900));
        sustained.close(ms(50), ms(60));
        sustained.end_gap(ms(900));
        assert_eq!(sustained.of_windows(ms(950)), 0);
        assert_eq!(sustained.of_windows(ms(1_000)), 1);
    }

    #[test]
    fn a_delay_found_out_later_is_counted_anew() {
        let mut sustained = opened(20, ms(1));
        (0..5).for_each(|_| sustained.open(ms(60)));
        close(&mut sustained, 8, ms(90));
        sustained.begin_gap(ms(30));
        close(&mut sustained, 1, ms(95));
        sustained.end_gap(ms(95));
        assert_eq!(sustained.of_windows(ms(150)), 16, "20 + 5 - 8 - 1 from 30 ms on");
        assert_eq!(sustained.of_windows(ms(300)), 16);
    }
}
