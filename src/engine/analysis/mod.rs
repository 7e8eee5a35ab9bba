//! The finished run, read once from the table: what became of each dial, in the order of their
//! SYNs and by how many connections were open at each; when and at which age connections were
//! closed. Everything is counted, bounded in size whatever the run's, and judged in `diagnosis/`.

pub mod breakdown;
pub mod closes;
pub mod dial;
pub mod levels;
pub mod timeline;

pub use closes::{Closes, Pulse};
pub use dial::{Dial, OnAccept, Outcome, RunView};
pub use levels::Levels;
pub use timeline::{Cell, Counts, Timeline};

use super::connection::EndReason;
use crate::units::{Moment, Span};
use breakdown::ROWS_MAX;
use dial::{age_of_close, is_closed_later, is_closed_young};
use levels::{LevelWalk, PlaceOf};

/// The dials of one place, in the order of their SYNs and by how many were open there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spread {
    pub timeline: Timeline,
    pub levels: Levels,
}

impl Spread {
    /// Those of `places` places; O(connections + closes × log closes).
    fn of(
        view: &RunView<'_>,
        on_accept: &OnAccept,
        places: usize,
        place_of: PlaceOf<'_>,
    ) -> Vec<Spread> {
        let walk = LevelWalk::new(view, on_accept, places, place_of);
        let mut spreads = vec![Spread::default(); places];
        let mut highest = vec![0; places];
        let mut reached = walk.open_in_the_end();
        walk.go(|place, slot, dial, level| {
            highest[place] = level.end.max(highest[place]);
            reached[place] = level.start.max(reached[place]);
            spreads[place].timeline.push(view.table.of(slot).dialed_at, dial, level);
        });
        for ((spread, highest), reached) in spreads.iter_mut().zip(highest).zip(reached) {
            spread.levels.make_room(highest);
            spread.levels.reached = reached;
        }
        walk.go(|place, _, dial, level| spreads[place].levels.add(dial, level));
        spreads
    }
}

/// The finished run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Of all dials.
    pub everywhere: Spread,
    /// Of each target and of each source, where there are a few of them.
    pub targets: Vec<Spread>,
    pub sources: Vec<Spread>,
    /// Those closed by the peer later than on accept.
    pub closes: Closes,
    /// Closed by the peer on accept, by FIN and by RST.
    pub closed_at_once: [u32; 2],
    /// Their greatest age.
    pub at_once_age_max: Span,
    /// When the first and the last of them was closed.
    pub closed_at_once_seen: Option<(Moment, Moment)>,
}

impl Analysis {
    /// O(connections + closes × log closes); it allocates 8 bytes for each closed connection and for
    /// each slow one.
    pub fn of(view: &RunView<'_>, on_accept: &OnAccept) -> Analysis {
        let routes = view.routes;
        let everywhere = Spread::of(view, on_accept, 1, &|_| Some(0)).pop().unwrap_or_default();
        let a_few = |count: usize| if (2..=ROWS_MAX).contains(&count) { count } else { 0 };
        let targets = match a_few(routes.targets().len()) {
            0 => Vec::new(),
            few => {
                let target = |slot| usize::try_from(routes.target_index(slot)).ok();
                Spread::of(view, on_accept, few, &target)
            }
        };
        let sources = match a_few(routes.sources().len()) {
            0 => Vec::new(),
            few => {
                let source =
                    |slot| routes.source_index(slot).and_then(|index| usize::try_from(index).ok());
                Spread::of(view, on_accept, few, &source)
            }
        };
        let mut analysis = Analysis { everywhere, targets, sources, ..Analysis::default() };
        for slot in (0..view.table.count()).filter(|slot| on_accept.has(view, *slot)) {
            let connection = view.table.of(slot);
            let is_reset = connection.reason == Some(EndReason::PeerReset);
            analysis.closed_at_once[usize::from(is_reset)] += 1;
            let age = age_of_close(connection).unwrap_or_default();
            analysis.at_once_age_max = analysis.at_once_age_max.max(age);
            let at = connection.since;
            let (first, last) = analysis.closed_at_once_seen.unwrap_or((at, at));
            analysis.closed_at_once_seen = Some((first.min(at), last.max(at)));
        }
        analysis.closes = Closes::of(view, &|slot| {
            is_closed_later(view, slot)
                || (is_closed_young(view, slot) && !on_accept.has(view, slot))
        });
        analysis
    }

    pub fn closed_at_once_count(&self) -> u32 {
        self.closed_at_once[0] + self.closed_at_once[1]
    }
}
