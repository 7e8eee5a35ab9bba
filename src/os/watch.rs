//! What whoever runs a run is told of it: as it goes on, and at its end.

use super::sys::Signals;
use crate::engine::{Key, Note, Progress, Sample, Summary};
use crate::icmp::IcmpTally;
use crate::said::Said;
use crate::units::Span;

/// A run that is over: what the engine knows, and what the loop itself has to answer for.
#[derive(Debug, Clone)]
pub struct Run {
    pub summary: Summary,
    /// The longest that the loop kept readiness waiting, or woke late: a time that it reports can be
    /// over by this.
    pub turn_longest: Span,
    /// What the server said to connections that it then closed.
    pub said: Vec<Said>,
    /// ICMP errors that failed dials received, and dials that were pending at the end.
    pub icmp: IcmpTally,
    /// What on this host ended it, where that was no operator.
    pub ended_by: Option<String>,
}

/// Who watches a run. Nothing in here may block for long: the loop waits for it.
pub trait Watch {
    /// A statistics line is due.
    fn sample(&mut self, sample: &Sample);

    /// Follows each [`Watch::sample`].
    fn interval(&mut self, _: &Progress<'_>) {}

    /// How often [`Watch::redraw`] is wanted; a run is not woken for it where it is not.
    fn redraw_every(&self) -> Option<Span> {
        None
    }

    /// The run as it stands, for what is redrawn in between.
    fn redraw(&mut self, _: &Progress<'_>) {}

    /// Something happened to one connection; only with `Plan::debug`.
    fn debug(&mut self, key: Key, news: News<'_>);

    /// The run is over; its sockets are still open. This one may take its time. The first signal
    /// from here on must be taken from `signals`, if it is awaited at all.
    fn done(&mut self, run: &Run, signals: &Signals);

    /// So many of all its sockets are closed by now; told once a second.
    fn closing(&mut self, _closed: u32, _all: u32) {}
}

/// What there is to tell of a connection.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    Note(Note),
    /// At most 4 KiB at a time, as they came.
    Received(&'a [u8]),
}
