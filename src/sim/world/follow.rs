//! The reports of a run over a world, as it goes on.

use crate::engine::{Engine, Key, Note};
use crate::units::Moment;

/// Follows a run.
pub trait Follow {
    /// Statistics are due, at this moment of the simulated clock.
    fn sample(&mut self, at: Moment, engine: &Engine);

    /// Objects to a turn, as tests do.
    ///
    /// # Panics
    /// Where something is wrong.
    fn turned(&mut self, _turns: u64, _engine: &Engine) {}

    /// Nothing is pending any more, and no deadline: the run ends as by a signal.
    fn stuck(&mut self, _engine: &Engine) {}

    /// An event of one connection; only with `Plan::debug`.
    fn note(&mut self, key: Key, note: Note);
}
