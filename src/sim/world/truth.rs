//! The outcome of a run: the engine's summary, this host's counters, and what really happened.

use super::path::Refused;
use super::site::SiteTruth;
use super::socket::{Counters, Dialed};
use crate::engine::Summary;
use crate::units::{Moment, Span};

#[derive(Debug)]
pub struct Outcome {
    pub summary: Summary,
    pub turns: u64,
    pub counters: Counters,
    pub icmp: Vec<Icmp>,
    /// Connections on which the server sent data before it closed them.
    pub said: u64,
    pub truth: Truth,
}

/// Destination unreachable with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    pub code: u8,
    /// Whether this host sent it.
    pub is_local: bool,
    /// Dials that it ended.
    pub dials: u64,
    pub first: Moment,
    pub last: Moment,
}

impl Icmp {
    /// Those that dials received, each kind once.
    pub fn tally(dials: &[Dialed]) -> Vec<Icmp> {
        let mut kinds: Vec<Icmp> = Vec::new();
        for dial in dials {
            let Some((code, is_local)) = dial.icmp else { continue };
            let at = dial.ended_at.unwrap_or(dial.dialed_at);
            match kinds.iter_mut().find(|kind| (kind.code, kind.is_local) == (code, is_local)) {
                Some(kind) => {
                    kind.dials += 1;
                    (kind.first, kind.last) = (kind.first.min(at), kind.last.max(at));
                }
                None => kinds.push(Icmp { code, is_local, dials: 1, first: at, last: at }),
            }
        }
        kinds
    }
}

/// What really happened.
#[derive(Debug)]
pub struct Truth {
    pub start: Moment,
    pub end: Moment,
    /// In the order of dials.
    pub dials: Vec<Dialed>,
    /// Connections established here, at each change, when the segment arrived.
    pub levels: Vec<(Moment, u32)>,
    pub sites: Vec<SiteTruth>,
    pub refused: Refused,
    /// Stalls of the poll loop, from and to.
    pub stalls: Vec<(Moment, Moment)>,
}

impl Truth {
    /// The most connections that were established here at once.
    pub fn peak(&self) -> u32 {
        self.levels.iter().map(|(_, level)| *level).max().unwrap_or(0)
    }

    /// The most connections that were established here together for `span`.
    pub fn sustained(&self, span: Span) -> u32 {
        let lasted = |index: usize| {
            let (from, level) = self.levels[index];
            let mut rest = self.levels[index..].iter();
            let drop = rest.find(|(_, later)| *later < level).map_or(self.end, |(at, _)| *at);
            drop.since(from) >= span
        };
        let indexes = (0..self.levels.len()).filter(|index| lasted(*index));
        indexes.map(|index| self.levels[index].1).max().unwrap_or(0)
    }

    /// How many were ever established here.
    pub fn established(&self) -> usize {
        self.dials.iter().filter(|dial| dial.opened_at.is_some()).count()
    }
}
