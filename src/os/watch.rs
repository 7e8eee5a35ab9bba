//! What the driver reports of a run, while it goes on and at its end.

use super::sys::Signals;
use crate::engine::{Key, Note, Progress, Sample, Summary};
use crate::icmp::IcmpTally;
use crate::last_lines::LastLine;
use crate::units::Span;

/// A finished run: the engine's summary, and what only the driver can measure.
#[derive(Debug, Clone)]
pub struct Run {
    pub summary: Summary,
    /// The longest loop iteration, or late wake-up: reported times can be too long by this.
    pub turn_longest: Span,
    /// The last lines that servers sent on connections that they then closed.
    pub last_lines: Vec<LastLine>,
    /// ICMP errors that dials received: failed ones, and those pending at the end.
    pub icmp: IcmpTally,
    /// What on this host ended the run, other than an operator.
    pub ended_by: Option<String>,
}

/// Receives the reports of a run. The loop waits for each call, so none may block for long, but for
/// [`Watch::done`].
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

    /// An event of one connection; only with `Plan::debug`.
    fn debug(&mut self, key: Key, event: DebugEvent<'_>);

    /// The run is over; its sockets are still open. From here on the next signal, if it matters,
    /// has to be taken from `signals`.
    fn done(&mut self, run: &Run, signals: &Signals);

    /// Once a second while the sockets are closed.
    fn closing(&mut self, _closed: u32, _all: u32) {}
}

/// What `--debug` prints.
#[derive(Debug, Clone, Copy)]
pub enum DebugEvent<'a> {
    Note(Note),
    /// Bytes of one read: at most 4 KiB.
    Received(&'a [u8]),
}
