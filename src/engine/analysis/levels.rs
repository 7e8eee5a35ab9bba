//! How many connections were open at each dial, and what became of the dials at each level: a limit
//! on a count shows there, also beside connections that end.
//!
//! A server, or a device on the path, sees SYNs in the order in which they were sent (FIFO): open at
//! a dial are those dialed before it that came through, those that came through by a repeat since
//! that came, without those closed. What was on its way is an interval: a close takes half an RTT to
//! be noticed here, and a SYN half an RTT to arrive there.

use std::ops::Range;

use super::{Dial, OnAccept, Outcome, RunView};
use crate::engine::connection::State;
use crate::units::{Moment, Span, low_32};

/// The most cells by level.
pub const CELLS_MAX: usize = 512;

/// When connections came through late, and when they were closed, each in order.
pub(super) struct LevelWalk {
    slow: Vec<Moment>,
    closed: Vec<Moment>,
    rtt: Span,
}

impl LevelWalk {
    pub fn new(view: &RunView<'_>) -> LevelWalk {
        let (mut slow, mut closed) = (Vec::new(), Vec::new());
        for connection in view.table.iter() {
            if Outcome::of(connection, view.now) == Some(Outcome::Slow) {
                slow.extend(connection.established_at());
            }
            if connection.state == State::Closed {
                // Undated closes can have been as early as this.
                closed.push(view.gaps.earliest(connection.since));
            }
        }
        slow.sort_unstable();
        closed.sort_unstable();
        LevelWalk { slow, closed, rtt: view.rtt }
    }

    /// Hands out each decided dial that this host did not refuse, in the order of their SYNs, with
    /// the fewest and the most connections that were open when it came to the server.
    pub fn go(
        &self,
        view: &RunView<'_>,
        on_accept: &OnAccept,
        mut each: impl FnMut(u32, Dial, Range<u32>),
    ) {
        let (mut through, mut slow) = (0u32, 0usize);
        let (mut closed_surely, mut closed_maybe) = (0usize, 0usize);
        for slot in 0..view.table.count() {
            let Some(dial) = Dial::of(view, on_accept, slot) else { continue };
            let at = view.table.of(slot).dialed_at;
            let before = |all: &[Moment], from: usize, until: Moment| {
                from + all[from..].iter().take_while(|moment| **moment <= until).count()
            };
            slow = before(&self.slow, slow, at);
            closed_surely = before(&self.closed, closed_surely, at);
            closed_maybe = before(&self.closed, closed_maybe, at + self.rtt);
            let opened = through + low_32(slow as u64);
            let least = opened.saturating_sub(low_32(closed_maybe as u64));
            let most = opened.saturating_sub(low_32(closed_surely as u64));
            if !dial.outcome.is_local() {
                each(slot, dial, least..most);
            }
            through += u32::from(dial.outcome == Outcome::Through);
        }
    }
}

/// The dials at some levels in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelCell {
    pub dials: u32,
    /// By [`Outcome::index`].
    pub outcomes: [u32; Outcome::COUNT],
    pub closed_at_once: u32,
}

/// Dials by level, `width` levels to a cell, from 0 on. Where the level is an interval, a dial that
/// came through counts at the least of it and one that did not at the most: what no threshold can
/// part so, none can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    pub width: u32,
    pub cells: Vec<LevelCell>,
}

impl Levels {
    /// For levels up to `highest`.
    pub(super) fn make_room(&mut self, highest: u32) {
        self.width = (highest / low_32(CELLS_MAX as u64)) + 1;
        let empty = LevelCell { dials: 0, outcomes: [0; Outcome::COUNT], closed_at_once: 0 };
        self.cells = vec![empty; (highest / self.width) as usize + 1];
    }

    pub(super) fn add(&mut self, dial: Dial, level: Range<u32>) {
        let is_in = dial.outcome == Outcome::Through && !dial.closed_at_once;
        let level = if is_in { level.start } else { level.end };
        let Some(cell) = self.cells.get_mut((level / self.width.max(1)) as usize) else { return };
        cell.dials += 1;
        cell.outcomes[dial.outcome.index()] += 1;
        cell.closed_at_once += u32::from(dial.closed_at_once);
    }

    /// The levels of a cell.
    pub fn range(&self, index: usize) -> Range<u32> {
        let first = low_32(index as u64) * self.width;
        first..first + self.width - 1
    }
}
