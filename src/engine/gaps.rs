//! When this host was not polling: the times between two polls in which it was stopped, starved or
//! busy, as a short list.
//!
//! What happened in such a gap is noticed at its end, and most of it has no date of its own. So the
//! stamp of an event is read by one rule: **an event stamped exactly at the end of a gap
//! is undated and happened somewhere in the gap; any other stamp is exact.** The
//! driver keeps its half of the rule: after a gap it stamps all readiness with the gap's end until a
//! poll returns a batch that is not full, but for a SYN-ACK or a FIN that the kernel has dated.

use std::ops::RangeInclusive;

use crate::units::{Moment, Span};

/// Less than this between two polls is work, more is a gap.
pub const GAP_MIN: Span = Span::from_ms(100);

/// The most that are kept apart.
pub const GAPS_MAX: usize = 32;

/// One gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gap {
    pub from: Moment,
    pub to: Moment,
    /// Whether the process was stopped (SIGSTOP, Ctrl-Z) for all or part of it.
    pub is_stop: bool,
    /// Whether several were joined, with the time between them. Where the first ones ended is lost, so
    /// any stamp within is undated.
    pub is_joined: bool,
}

impl Gap {
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }

    fn overlaps(&self, other: &Gap) -> bool {
        self.from < other.to && other.from < self.to
    }

    fn join(&self, other: &Gap) -> Gap {
        Gap {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            is_stop: self.is_stop || other.is_stop,
            is_joined: true,
        }
    }
}

/// All gaps of a run, disjoint and in order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gaps {
    list: Vec<Gap>,
    total: Span,
    count: u32,
}

impl Gaps {
    /// Allocates for [`GAPS_MAX`].
    pub fn new() -> Gaps {
        Gaps { list: Vec::with_capacity(GAPS_MAX + 1), ..Gaps::default() }
    }

    /// Those of a finished run: in order and disjoint, and what [`Gaps::total`] and [`Gaps::count`]
    /// are.
    pub fn of(list: Vec<Gap>, total: Span, count: u32) -> Gaps {
        Gaps { list, total, count }
    }

    /// Adds one. Joins those that overlap and, if the list is full, the two closest ones, so that no
    /// gap is lost. O([`GAPS_MAX`]).
    pub fn push(&mut self, from: Moment, to: Moment, is_stop: bool) {
        if to <= from {
            return;
        }
        let mut gap = Gap { from, to, is_stop, is_joined: false };
        self.count = self.count.saturating_add(1);
        let mut covered = Span::ZERO;
        while let Some(index) = self.list.iter().position(|other| other.overlaps(&gap)) {
            let other = self.list.remove(index);
            covered = covered + other.to.min(to).since(other.from.max(from));
            gap = other.join(&gap);
        }
        self.total = self.total + Span(to.since(from).0.saturating_sub(covered.0));
        let place = self.list.partition_point(|other| other.from < gap.from);
        self.list.insert(place, gap);
        if self.list.len() > GAPS_MAX {
            self.join_closest();
        }
    }

    fn join_closest(&mut self) {
        let between = |index: &usize| self.list[index + 1].from.since(self.list[*index].to);
        if let Some(index) = (0..self.list.len() - 1).min_by_key(between) {
            let later = self.list.remove(index + 1);
            self.list[index] = self.list[index].join(&later);
        }
    }

    /// In order of time, none overlapping another.
    pub fn list(&self) -> &[Gap] {
        &self.list
    }

    /// How many there were, those joined since included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Their total length; no moment counts twice unless it was joined with others before.
    pub fn total(&self) -> Span {
        self.total
    }

    /// Between which two moments an event happened that is stamped `at`.
    pub fn interval(&self, at: Moment) -> (Moment, Moment) {
        (self.earliest(at), at)
    }

    /// When an event that is stamped `at` can have happened at the earliest.
    pub fn earliest(&self, at: Moment) -> Moment {
        let index = self.list.partition_point(|gap| gap.to < at);
        let gap = self.list.get(index).filter(|gap| gap.from < at);
        match gap {
            Some(gap) if gap.to == at || gap.is_joined => gap.from,
            _ => at,
        }
    }

    /// When this host could first act on what happened at `at`, if it acts within `soon` while it
    /// polls. Monotone in `at`.
    pub fn acted_on(&self, at: Moment, soon: Span) -> Moment {
        let first = self.list.partition_point(|gap| gap.to < at);
        let is_next = |at: &mut Moment, gap: &Gap| {
            let is_next = gap.from <= *at + soon;
            *at = if is_next { gap.to } else { *at };
            is_next.then_some(*at)
        };
        self.list[first..].iter().scan(at, is_next).last().unwrap_or(at)
    }

    /// For how long this host was not polling from `from` to `to`.
    pub fn within(&self, from: Moment, to: Moment) -> Span {
        let overlap = |gap: &Gap| gap.to.min(to).since(gap.from.max(from)).0;
        Span(self.list.iter().map(overlap).sum())
    }

    /// Whether this host was not polling at any moment of `stretch`.
    pub fn touch(&self, stretch: RangeInclusive<Moment>) -> bool {
        self.list.iter().any(|gap| gap.from < *stretch.end() && *stretch.start() < gap.to)
    }
}

/// What has not been read yet of what happened in a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Batches of readiness; this number was read, all of them full.
    Batches(u32),
    /// Connections on the ready list, up to this slot.
    DrainsTo(u32),
    /// The result of the last of these drains.
    Drained,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment(0) + Span::from_ms(ms)
    }

    fn of(gaps: &[(u64, u64)]) -> Gaps {
        let mut all = Gaps::new();
        for (from, to) in gaps {
            all.push(ms(*from), ms(*to), false);
        }
        all
    }

    #[test]
    fn a_stamp_at_the_end_of_a_gap_is_undated_and_any_other_is_exact() {
        let gaps = of(&[(100, 300), (300, 500), (900, 1_200)]);
        assert_eq!(gaps.interval(ms(300)), (ms(100), ms(300)));
        assert_eq!(gaps.interval(ms(500)), (ms(300), ms(500)));
        assert_eq!(gaps.interval(ms(1_200)), (ms(900), ms(1_200)));
        assert_eq!(gaps.within(ms(200), ms(1_000)), Span::from_ms(100 + 200 + 100));
        let acted_on = |at| gaps.acted_on(ms(at), Span::from_ms(10));
        assert_eq!([0, 95, 101, 300, 301, 600].map(acted_on), [0, 500, 500, 500, 500, 600].map(ms));
        for at in [0, 100, 150, 299, 301, 499, 501, 900, 1_199, 1_201] {
            assert_eq!(gaps.interval(ms(at)), (ms(at), ms(at)), "{at}");
        }
        assert_eq!((gaps.count(), gaps.total()), (3, Span::from_ms(700)));
        assert_eq!(Gaps::new().interval(ms(7)), (ms(7), ms(7)));
    }

    #[test]
    fn overlapping_gaps_are_joined_and_every_stamp_in_them_is_undated() {
        let mut gaps = of(&[(100, 300), (500, 600), (200, 550)]);
        gaps.push(ms(700), ms(900), true);
        let joined = Gap { from: ms(100), to: ms(600), is_stop: false, is_joined: true };
        let alone = Gap { from: ms(700), to: ms(900), is_stop: true, is_joined: false };
        assert_eq!(gaps.list(), [joined, alone]);
        assert_eq!((gaps.count(), gaps.total()), (4, Span::from_ms(700)));
        assert_eq!(gaps.interval(ms(300)), (ms(100), ms(300)));
        assert_eq!(gaps.interval(ms(550)), (ms(100), ms(550)));
        assert_eq!(gaps.interval(ms(100)), (ms(100), ms(100)));
        assert_eq!(gaps.interval(ms(601)), (ms(601), ms(601)));
    }

    #[test]
    fn a_full_list_joins_the_closest_and_covers_what_it_covered() {
        let mut gaps = Gaps::new();
        // Each a little further from the one before than that is from its own.
        let starts: Vec<u64> = (0..200u64).map(|index| index * 1_000 + index * index).collect();
        for start in &starts {
            gaps.push(ms(*start), ms(*start + 500), *start == 0);
            assert!(gaps.list().len() <= GAPS_MAX);
            for pair in gaps.list().windows(2) {
                assert!(pair[0].to <= pair[1].from, "{pair:?}");
            }
        }
        assert_eq!((gaps.count(), gaps.total()), (200, Span::from_ms(200 * 500)));
        for start in starts {
            assert!(gaps.earliest(ms(start + 500)) <= ms(start), "{start}");
            assert!(gaps.touch(ms(start + 1)..=ms(start + 2)));
        }
        assert!(gaps.list()[0].is_stop && gaps.list()[0].is_joined);
        assert!(!gaps.list()[GAPS_MAX - 1].is_joined);
    }

    #[test]
    fn an_empty_gap_is_none() {
        assert_eq!(of(&[(5, 5), (7, 6)]).count(), 0);
    }
}
