//! The vocabulary between the engine and whoever drives it: what can have happened, and what is to
//! be done.

use super::connection::{Cause, Key};
use crate::units::{Moment, Span};

/// Something that happened, and when. The driver stamps a [`What::Dialed`] just before its
/// `connect()`, and readiness just after the poll that told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub at: Moment,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A dial was started.
    Dialed(Key),
    /// The socket says that it is connected.
    Opened(Key),
    /// The dial came to nothing.
    Failed(Key, Failure),
    /// The peer ended an established connection.
    PeerClosed(Key, Failure),
    /// There are bytes to read, or were.
    Readable(Key),
    /// Bytes were read and dropped; `more` unless the socket said that there are none left.
    Received { key: Key, bytes: u32, more: bool },
    /// The poll's batch was full: there may be readiness that nobody has heard of yet.
    Unheard,
    /// An operator's signal: no new dials, and an end.
    Stop,
}

/// What ended something, with the system's own number for it (0 where it has none) for whoever
/// wants its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    pub errno: i32,
}

/// Something to do. Within a turn they come in this order: closes as they arise, a sample, drains,
/// dials. A dial comes last, so that nothing stands between its `connect()` and the poll that tells
/// of its success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close the descriptor.
    Close(Key),
    /// Print a statistics line.
    Sample,
    /// Read and drop what the server sent, up to `drain_bytes_max`; answer with [`What::Received`]
    /// or what else it is.
    Drain(Key),
    /// Open a socket, say [`What::Dialed`], connect; answer [`What::Failed`] if that fails at once.
    Dial(Key),
    /// Tell the operator; only with `Plan::debug`.
    Note(Key, Note),
}

/// What `--debug` tells of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    Dialing,
    /// Not dialed, as its route has no port left.
    Forgone,
    Established {
        after: Span,
    },
    Errored {
        failure: Failure,
        after: Span,
    },
    Closed {
        failure: Failure,
        after: Span,
    },
}
