//! The impure edge: mio, libc, the clock, files. It knows the engine and no face: whoever runs it
//! hands it a [`Watch`].

pub mod calibrate;
pub mod cgroup;
pub mod clock;
pub mod closing;
pub mod counters;
pub mod dialer;
pub mod driver;
pub mod errno;
pub mod host;
pub mod neighbours;
pub mod netlink;
pub mod poller;
mod readiness;
pub mod rejects;
pub mod resolve;
pub mod seats;
pub mod serve;
pub mod sockets;
pub mod stdio;
pub mod sys;
pub mod tcp_info;

use crate::engine::{Key, Note, Sample};

use driver::Run;
use sys::Signals;

/// Who watches a run. Nothing in here may block for long: the loop waits for it.
pub trait Watch {
    /// A statistics line is due.
    fn sample(&mut self, sample: &Sample);

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
