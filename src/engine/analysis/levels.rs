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
    fn of(&self, slot: u32, mut each: impl FnMut(usize)) {
        each(0);
        if self.targets > 0 {
            each(1 + self.routes.target_index(slot) as usize);
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

    /// How many are open in the end at each place.
    pub fn open_in_the_end(&self) -> Vec<u32> {
        let mut open = vec![0; self.places.count()];
        for (slot, connection) in (0..).zip(self.view.table.iter()) {
            if connection.state == State::Established {
                self.places.of(slot, |place| open[place] += 1);
            }
        }
        open
    }

    /// Calls `each` with a place, the moment of the SYN, the dial, and the fewest and the most
    /// connections that were open there when it came to the server.
    pub fn go(&self, mut each: impl FnMut(usize, Moment, Dial, Range<u32>)) {
        let mut open = vec![Open::default(); self.places.count()];
        let young = at_once_max(self.view.rtt);
        let (mut slow, mut surely, mut maybe) =
            (self.dials.slow.iter(), self.closed.iter(), self.closed.iter());
        for (slot, dial) in self.dials.decided() {
            let connection = self.view.table.of(slot);
            let at = connection.dialed_at;
            let is_open = connection.state == State::Established;
            let dial = Dial {
                is_unsettled: is_open && self.view.now.since(connection.since) < young,
                syn_ack_repeated: is_open && self.view.checks.repeats_syn_ack(slot),
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
            self.places.of(slot, |place| {
                each(place, at, dial, open[place].level());
                open[place].opened += u32::from(dial.is_through());
            });
        }
    }
}

/// Dials by level, `width` levels to a cell, from 0 on. Where the level is an interval, a dial that
/// came through counts at the least of it and one that did not at the most: dials that no
/// threshold separates then, none can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    pub width: u32,
    pub cells: Vec<Counts>,
    /// The most that were open at a dial for sure, or in the end.
    pub reached: u32,
}

impl Levels {
    /// For levels up to `highest`.
    pub(super) fn make_room(&mut self, highest: u32) {
        self.width = (highest / low_32(CELLS_MAX as u64)) + 1;
        self.cells = vec![Counts::ZERO; (highest / self.width) as usize + 1];
    }

    pub(super) fn add(&mut self, dial: Dial, level: Range<u32>) {
        let level = if dial.is_through() { level.start } else { level.end };
        if let Some(cell) = self.cells.get_mut((level / self.width.max(1)) as usize) {
            cell.add_one(dial);
        }
    }

    /// The levels of a cell.
    pub fn range(&self, index: usize) -> Range<u32> {
        let first = low_32(index as u64) * self.width;
        first..first + self.width - 1
    }
}
