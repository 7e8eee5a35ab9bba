//! Dials in the order of their SYNs, as a short list of cells with the same outcome for all; if there
//! are too many of these, neighbours are merged.

use std::ops::Range;

use super::dial::{Dial, DialKey, Outcome};
use crate::units::Moment;

/// The most cells of a timeline.
pub const CELLS_MAX: usize = 512;

/// A number of dials by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub dials: u32,
    /// By [`Outcome::index`].
    pub outcomes: [u32; Outcome::COUNT],
    pub closed_at_once: u32,
    pub replied: u32,
    pub no_reply: u32,
    pub unsettled: u32,
    pub syn_ack_repeated: u32,
}

impl Counts {
    pub const ZERO: Counts = Counts {
        dials: 0,
        outcomes: [0; Outcome::COUNT],
        closed_at_once: 0,
        replied: 0,
        no_reply: 0,
        unsettled: 0,
        syn_ack_repeated: 0,
    };

    /// How many had an outcome.
    pub fn of(&self, outcome: Outcome) -> u32 {
        self.outcomes[outcome.index()]
    }

    pub(super) fn add_one(&mut self, dial: Dial) {
        self.dials += 1;
        self.outcomes[dial.outcome.index()] += 1;
        // Most have none of these.
        if !dial.has_a_mark() {
            return;
        }
        self.closed_at_once += u32::from(dial.closed_at_once);
        self.replied += u32::from(dial.replied);
        self.no_reply += u32::from(dial.no_reply);
        self.unsettled += u32::from(dial.is_unsettled);
        self.syn_ack_repeated += u32::from(dial.syn_ack_repeated);
    }

    pub fn add(&mut self, other: &Counts) {
        self.dials += other.dials;
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(sum, count)| *sum += count);
        self.closed_at_once += other.closed_at_once;
        self.replied += other.replied;
        self.no_reply += other.no_reply;
        self.unsettled += other.unsettled;
        self.syn_ack_repeated += other.syn_ack_repeated;
    }
}

/// Consecutive dials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// When the first and the last of their SYNs was sent.
    pub from: Moment,
    pub to: Moment,
    /// The fewest and the most connections that can have been open at one of them, and at the first.
    pub level: Range<u32>,
    pub level_at_first: Range<u32>,
    pub counts: Counts,
    /// If it is the same for all of them.
    alike: Option<DialKey>,
}

impl Cell {
    fn of(at: Moment, dial: Dial, level: Range<u32>) -> Cell {
        let mut counts = Counts::ZERO;
        counts.add_one(dial);
        let (level_at_first, alike) = (level.clone(), Some(dial.key()));
        Cell { from: at, to: at, level, level_at_first, counts, alike }
    }

    pub fn count(&self, outcome: Outcome) -> u32 {
        self.counts.of(outcome)
    }

    /// Adds the next dial.
    fn add_one(&mut self, at: Moment, dial: Dial, level: &Range<u32>) {
        self.to = at;
        self.level = self.level.start.min(level.start)..self.level.end.max(level.end);
        self.counts.add_one(dial);
    }

    /// Adds the next cell.
    fn add(&mut self, next: &Cell) {
        self.to = next.to;
        self.level = self.level.start.min(next.level.start)..self.level.end.max(next.level.end);
        self.counts.add(&next.counts);
        self.alike = self.alike.filter(|key| next.alike == Some(*key));
    }
}

/// At most [`CELLS_MAX`] cells, exact as long as outcomes change less often than that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    pub cells: Vec<Cell>,
    /// Cells of up to this number of dials may be merged.
    coarse: u32,
}

impl Timeline {
    /// A finished one of these cells; nothing is added to it.
    pub fn of(cells: Vec<Cell>) -> Timeline {
        Timeline { cells, coarse: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, dial: Dial, level: Range<u32>) {
        let (coarse, key) = (self.coarse, dial.key());
        let is_its = |last: &&mut Cell| {
            let is_coarse = last.alike.is_none() && last.counts.dials < coarse;
            last.alike == Some(key) || is_coarse
        };
        match self.cells.last_mut().filter(is_its) {
            Some(last) => last.add_one(at, dial, &level),
            None => self.cells.push(Cell::of(at, dial, level)),
        }
        if self.cells.len() > CELLS_MAX {
            self.coarsen();
            while self.cells.len() > CELLS_MAX / 4 * 3 {
                self.coarse = (2 * self.coarse).max(2);
                self.coarsen();
            }
        }
    }

    /// Merges neighbours that together have at most `coarse` dials.
    fn coarsen(&mut self) {
        let mut last = 0;
        for next in 1..self.cells.len() {
            let (head, tail) = self.cells.split_at_mut(next);
            let (cell, next_cell) = (&mut head[last], &tail[0]);
            if cell.counts.dials + next_cell.counts.dials <= self.coarse {
                cell.add(next_cell);
            } else {
                last += 1;
                if last < next {
                    self.cells[last] = self.cells[next].clone();
                }
            }
        }
        self.cells.truncate(last + 1);
    }

    /// Of all dials.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::ZERO;
        self.cells.iter().for_each(|cell| sum.add(&cell.counts));
        sum
    }

    pub fn dials(&self) -> u32 {
        self.counts().dials
    }

    pub fn count(&self, outcome: Outcome) -> u32 {
        self.counts().of(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EndReason;

    fn dial(outcome: Outcome) -> Dial {
        Dial {
            outcome,
            closed_at_once: false,
            replied: false,
            no_reply: false,
            is_unsettled: false,
            syn_ack_repeated: false,
        }
    }

    #[test]
    fn a_clean_edge_stays_exact_in_a_long_run() {
        let mut timeline = Timeline::default();
        for index in 0..100_000u32 {
            let failed = index >= 64_123;
            let outcome =
                if failed { Outcome::Failed(EndReason::TimedOut) } else { Outcome::Through };
            let level = index.min(64_123);
            timeline.push(Moment(index.into()), dial(outcome), level..level);
        }
        let [first, last] = &timeline.cells[..] else { panic!("{timeline:?}") };
        assert_eq!(
            (first.counts.dials, last.counts.dials, last.level.clone()),
            (64_123, 35_877, 64_123..64_123)
        );
    }

    #[test]
    fn it_is_bounded_and_counts_everything() {
        let mut timeline = Timeline::default();
        for index in 0..50_000u32 {
            let outcome = if index % 7 == 0 { Outcome::Slow } else { Outcome::Through };
            timeline.push(Moment(index.into()), dial(outcome), index..index);
        }
        assert!(timeline.cells.len() <= CELLS_MAX, "{}", timeline.cells.len());
        assert_eq!(timeline.dials(), 50_000);
        assert_eq!(timeline.count(Outcome::Slow), 50_000u32.div_ceil(7));
        let largest = timeline.cells.iter().map(|cell| cell.counts.dials).max();
        assert!(largest <= Some(2_500), "one in twenty of them, or less: {largest:?}");
        let ends = timeline.cells.windows(2).map(|pair| (pair[0].to, pair[1].from));
        assert!(ends.into_iter().all(|(to, from)| to < from));
    }
}
