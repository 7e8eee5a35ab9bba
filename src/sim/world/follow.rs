//! The reports of a run over a world, as it goes on.

use crate::engine::{Engine, Key, Note};
use crate::units::Moment;

/// Follows a run.
pub trait Follow {
    /// Statistics are due, at this moment of the simulated clock.
    fn sample(&mut self, at: Moment, engine: &Engine);

    /// An event of one connection; only with `Plan::debug`.
    fn note(&mut self, key: Key, note: Note);
}

/// Looks away.
pub struct Unfollowed;

impl Follow for Unfollowed {
    fn sample(&mut self, _: Moment, _: &Engine) {}

    fn note(&mut self, _: Key, _: Note) {}
}
