//! How many connections were open at each dial, and what became of the dials at each level: a limit
//! on a count shows there, also beside connections that end.
//!
//! A server, or a device on the path, sees SYNs in the order in which they were sent (FIFO): open at
//! a dial are those dialed before it that came through, those that came through by a repeat since
//! that came, without those closed. What was on its way is an interval: a close takes half an RTT to
//! be noticed here, and a SYN half an RTT to arrive there.

use std::ops::Range;

use super::dial::{Dial, OnAccept, Outcome, RunView};
use super::timeline::Counts;
use crate::engine::connection::State;
use crate::units::{Moment, Span, low_32};

/// The most cells by level.
pub const CELLS_MAX: usize = 512;

/// Where a slot counts: everywhere, at its target, at its source.
pub(super) type PlaceOf<'a> = &'a dyn Fn(u32) -> Option<usize>;

/// When connections of one place came through late, and when they were closed, each in order.
#[derive(Debug, Clone, Default)]
struct Ends {
    slow: Vec<Moment>,
    closed: Vec<Moment>,
}

/// How far the walk is at one place.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    through: u32,
    slow: usize,
    closed_surely: usize,
    closed_maybe: usize,
}

/// Goes through the dials of some places at once.
pub(super) struct LevelWalk<'a> {
    view: &'a RunView<'a>,
    on_accept: &'a OnAccept,
    place_of: PlaceOf<'a>,
    ends: Vec<Ends>,
}

impl<'a> LevelWalk<'a> {
    pub fn new(
        view: &'a RunView<'a>,
        on_accept: &'a OnAccept,
        places: usize,
        place_of: PlaceOf<'a>,
    ) -> LevelWalk<'a> {
        let mut ends = vec![Ends::default(); places];
        for (slot, connection) in (0..).zip(view.table.iter()) {
            let Some(ends) = place_of(slot).and_then(|place| ends.get_mut(place)) else { continue };
            if Outcome::of(connection, view.now) == Some(Outcome::Slow) {
                ends.slow.extend(connection.established_at());
            }
            // What is closed on accept takes no place.
            if connection.state == State::Closed && !on_accept.has(view, slot) {
                // Undated closes can have been as early as this.
                ends.closed.push(view.gaps.earliest(connection.since));
            }
        }
        for ends in &mut ends {
            ends.slow.sort_unstable();
            ends.closed.sort_unstable();
        }
        LevelWalk { view, on_accept, place_of, ends }
    }

    /// Hands out each decided dial with its place, in the order of their SYNs, and the fewest and the
    /// most connections that were open there when it came to the server.
    pub fn go(&self, mut each: impl FnMut(usize, u32, Dial, Range<u32>)) {
        let mut positions = vec![Position::default(); self.ends.len()];
        for slot in 0..self.view.table.count() {
            let Some(place) = (self.place_of)(slot) else { continue };
            let Some(dial) = Dial::of(self.view, self.on_accept, slot) else { continue };
            let (Some(ends), Some(position)) = (self.ends.get(place), positions.get_mut(place))
            else {
                continue;
            };
            let level = position.step(ends, self.view.table.of(slot).dialed_at, self.view.rtt);
            each(place, slot, dial, level);
            let is_in = dial.outcome == Outcome::Through && !dial.closed_at_once;
            position.through += u32::from(is_in);
        }
    }
}

impl LevelWalk<'_> {
    /// How many of each place are open in the end, but for those closed on accept.
    pub fn open_in_the_end(&self) -> Vec<u32> {
        let mut open = vec![0u32; self.ends.len()];
        for slot in 0..self.view.table.count() {
            let place = (self.place_of)(slot).and_then(|place| open.get_mut(place));
            let is_open = self.view.table.of(slot).state == State::Established;
            if let Some(count) = place.filter(|_| is_open) {
                *count += 1;
            }
        }
        open
    }
}

impl Position {
    /// Goes on to a dial at `at`.
    fn step(&mut self, ends: &Ends, at: Moment, rtt: Span) -> Range<u32> {
        let until = |all: &[Moment], from: usize, until: Moment| {
            from + all[from..].iter().take_while(|moment| **moment <= until).count()
        };
        self.slow = until(&ends.slow, self.slow, at);
        self.closed_surely = until(&ends.closed, self.closed_surely, at);
        self.closed_maybe = until(&ends.closed, self.closed_maybe, at + rtt);
        let opened = self.through + low_32(self.slow as u64);
        let least = opened.saturating_sub(low_32(self.closed_maybe as u64));
        least..opened.saturating_sub(low_32(self.closed_surely as u64))
    }
}

/// Dials by level, `width` levels to a cell, from 0 on. Where the level is an interval, a dial that
/// came through counts at the least of it and one that did not at the most: what no threshold can
/// part so, none can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    pub width: u32,
    pub cells: Vec<Counts>,
    /// The most that were open at a dial for sure, or once all dials were decided.
    pub reached: u32,
}

impl Levels {
    /// For levels up to `highest`.
    pub(super) fn make_room(&mut self, highest: u32) {
        self.width = (highest / low_32(CELLS_MAX as u64)) + 1;
        self.cells = vec![Counts::ZERO; (highest / self.width) as usize + 1];
    }

    pub(super) fn add(&mut self, dial: Dial, level: Range<u32>) {
        let is_in = dial.outcome == Outcome::Through && !dial.closed_at_once;
        let level = if is_in { level.start } else { level.end };
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
