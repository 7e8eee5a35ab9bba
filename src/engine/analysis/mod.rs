//! The finished run: what became of each dial, in the order of their SYNs and by how many connections
//! were open at each; when and at which age connections were closed. All of it is counts, bounded in
//! size whatever the run's, and judged in `diagnosis/`.
//!
//! [`Dials::read`] goes through the table once and leaves a byte a connection, by which the rest goes.
//! A million connections with five end reasons and twenty targets take some 50 ms
//! (`benches/diagnosis.rs`).

pub mod breakdown;
pub mod closes;
pub mod dial;
pub mod dials;
pub mod levels;
pub mod timeline;

pub use closes::{Closes, Pulse};
pub use dial::{Dial, Outcome, RunView};
pub use dials::Dials;
pub use levels::Levels;
pub use timeline::{Cell, Counts, Timeline};

use crate::units::{Moment, Span};
use breakdown::ROWS_MAX;
use levels::{LevelWalk, Places};

/// The dials of one place, in the order of their SYNs and by how many were open there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spread {
    pub timeline: Timeline,
    pub levels: Levels,
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
    /// Whether nearly all of them were established after those that stayed open.
    pub closed_at_once_newest: bool,
}

impl Analysis {
    /// O(connections + closes × log closes); allocates 16 bytes for each closed connection.
    pub fn of(view: &RunView<'_>, dials: &Dials) -> Analysis {
        let routes = view.routes;
        let a_few = |count: usize| if (2..=ROWS_MAX).contains(&count) { count } else { 0 };
        let (targets, sources) = (a_few(routes.targets().len()), a_few(routes.sources().len()));
        let mut spreads = spreads(view, dials, Places { routes, targets, sources });
        let (sources, targets) = (spreads.split_off(1 + targets), spreads.split_off(1));
        Analysis {
            everywhere: spreads.pop().unwrap_or_default(),
            targets,
            sources,
            closes: Closes::of(view, dials),
            closed_at_once: dials.on_accept.counts,
            at_once_age_max: dials.on_accept.age_max,
            closed_at_once_seen: dials.on_accept.seen,
            closed_at_once_newest: dials.on_accept.is_newest_mostly,
        }
    }

    pub fn closed_at_once_count(&self) -> u32 {
        self.closed_at_once[0] + self.closed_at_once[1]
    }
}

/// By place.
fn spreads(view: &RunView<'_>, dials: &Dials, places: Places<'_>) -> Vec<Spread> {
    let walk = LevelWalk::new(view, dials, places);
    let mut spreads = vec![Spread::default(); places.count()];
    let afterwards = walk.go(|place, at, dial, level| {
        let Spread { timeline, levels } = &mut spreads[place];
        levels.add(dial, &level);
        levels.reached = level.start.max(levels.reached);
        timeline.push(at, dial, level);
    });
    for (spread, open) in spreads.iter_mut().zip(afterwards) {
        spread.levels.reached = spread.levels.reached.max(open);
    }
    spreads
}
