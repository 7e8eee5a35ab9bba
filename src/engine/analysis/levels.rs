//! How many connections were open at each dial, and what became of the dials at each level: a limit
//! on a count shows there, also while connections end.
//!
//! A server, or a device on the path, receives SYNs in the order in which they were sent: open at a
//! dial are the earlier dials that came through, those that came through by a retransmission since,
//! without those closed. What was in flight is an interval: a close takes half an RTT to be noticed
//! here, and a SYN half an RTT to arrive there.

use std::ops::Range;

use super::dial::{Dial, RunView};
use super::dials::{Dials, at_once_max};
use super::timeline::Counts;
use crate::engine::connection::State;
use crate::route::Routes;
use crate::units::{Moment, low_32};

/// The most cells by level.
pub const CELLS_MAX: usize = 512;

/// Where dials are counted: everywhere, and at each target and each source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub routes: &'a Routes,
    /// How many of each are counted, 0 for none.
    pub targets: usize,
    pub sources: usize,
}

impl Places<'_> {
    /// Everywhere is the first; then targets, then sources.
    pub fn count(&self) -> usize {
        1 + self.targets + self.sources
    }

    /// Calls `each` with the places of a slot.
    fn of(&self, slot: u32, each: impl FnMut(usize)) {
        self.at(slot, self.routes.target_index(slot), each);
    }

    /// The same, where the index of its target is known.
    fn at(&self, slot: u32, target: u32, mut each: impl FnMut(usize)) {
        each(0);
        if self.targets > 0 {
            each(1 + target as usize);
        }
        if self.sources > 0 {
            let index = self.routes.source_index(slot);
            each(1 + self.targets + index.unwrap_or_default() as usize);
        }
    }
}

/// How many connections were opened and closed at one place up to a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    opened: u32,
    closed_surely: u32,
    closed_maybe: u32,
}

impl Open {
    fn level(&self) -> Range<u32> {
        let least = self.opened.saturating_sub(self.closed_maybe);
        least..self.opened.saturating_sub(self.closed_surely)
    }
}

/// Goes through the decided dials in the order of their SYNs.
pub(super) struct LevelWalk<'a> {
    view: &'a RunView<'a>,
    dials: &'a Dials,
    places: Places<'a>,
    /// What is closed on accept takes no place.
    closed: Vec<(Moment, u32)>,
}

impl<'a> LevelWalk<'a> {
    pub fn new(view: &'a RunView<'a>, dials: &'a Dials, places: Places<'a>) -> LevelWalk<'a> {
        let counted = dials.closed.iter().filter(|(_, s)| !dials.fate(*s).is_closed_on_accept());
        // Undated closes can have been as early as this.
        let mut closed: Vec<(Moment, u32)> =
            counted.map(|(at, slot)| (view.gaps.earliest(*at), *slot)).collect();
        if !view.gaps.list().is_empty() {
            closed.sort_unstable();
        }
        LevelWalk { view, dials, places, closed }
    }

    /// Calls `each` with a place, the moment of the SYN, the dial, and the fewest and the most
    /// connections that were open there when it came to the server. Returns the most that were open for sure
    /// at each place after the last dial.
    pub fn go(&self, mut each: impl FnMut(usize, Moment, Dial, Range<u32>)) -> Vec<u32> {
        let mut open = vec![Open::default(); self.places.count()];
        let mut open_in_the_end = vec![0; self.places.count()];
        let young = at_once_max(self.view.rtt);
        let any_repeats = self.view.checks.stats().repeats_syn_ack > 0;
        let (mut slow, mut surely, mut maybe) =
            (self.dials.slow.iter(), self.closed.iter(), self.closed.iter());
        for ((slot, fate), target) in self.dials.fates().zip(self.places.routes.target_indexes()) {
            let Some(dial) = self.dials.dial(fate) else { continue };
            let connection = self.view.table.of(slot);
            let at = connection.dialed_at;
            let is_open = connection.state == State::Established;
            let dial = Dial {
                is_unsettled: is_open && self.view.now.since(connection.since) < young,
                syn_ack_repeated: any_repeats && is_open && self.view.checks.repeats_syn_ack(slot),
                ..dial
            };
            let mut count = |events: &mut std::slice::Iter<'_, (Moment, u32)>,
                             until: Moment,
                             add: fn(&mut Open)| {
                while let Some((_, slot)) = events.as_slice().first().filter(|e| e.0 <= until) {
                    events.next();
                    self.places.of(*slot, |place| add(&mut open[place]));
                }
            };
            count(&mut slow, at, |open| open.opened += 1);
            count(&mut surely, at, |open| open.closed_surely += 1);
            count(&mut maybe, at + self.view.rtt, |open| open.closed_maybe += 1);
            self.places.at(slot, target, |place| {
                each(place, at, dial, open[place].level());
                open[place].opened += u32::from(dial.is_through());
                open_in_the_end[place] += u32::from(is_open);
            });
        }
        let most = |(open, in_the_end): (&Open, u32)| open.level().start.max(in_the_end);
        open.iter().zip(open_in_the_end).map(most).collect()
    }
}

/// Dials by level, `width` levels to a cell, from 0 on; a power of two, as small as the cells allow.
/// Where the level is an interval, a dial that came through counts at the least of it and one that
/// did not at the most: dials that no threshold separates then, none can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    pub width: u32,
    pub cells: Vec<Counts>,
    /// The most that were open at a dial for sure, or in the end.
    pub reached: u32,
}

impl Default for Levels {
    fn default() -> Levels {
        Levels { width: 1, cells: Vec::new(), reached: 0 }
    }
}

impl Levels {
    pub(super) fn add(&mut self, dial: Dial, level: &Range<u32>) {
        let index = self.cell_of(level.end);
        let index = if dial.is_through() { (level.start / self.width) as usize } else { index };
        self.cells[index].add_one(dial);
    }

    /// The cell of a level, which is there then.
    fn cell_of(&mut self, level: u32) -> usize {
        while (level / self.width) as usize >= CELLS_MAX {
            self.width *= 2;
            let pairs = self.cells.len().div_ceil(2);
            for index in 0..pairs {
                let mut sum = self.cells[2 * index];
                if let Some(other) = self.cells.get(2 * index + 1) {
                    sum.add(other);
                }
                self.cells[index] = sum;
            }
            self.cells.truncate(pairs);
        }
        let index = (level / self.width) as usize;
        if index >= self.cells.len() {
            self.cells.reserve_exact(CELLS_MAX - self.cells.len());
            self.cells.resize(index + 1, Counts::ZERO);
        }
        index
    }

    /// The levels of a cell.
    pub fn range(&self, index: usize) -> Range<u32> {
        let first = low_32(index as u64) * self.width;
        first..first + self.width - 1
    }
}
