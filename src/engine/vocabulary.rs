//! The vocabulary between the engine and whoever drives it: what can have happened, and what is to
//! be done.

use super::connection::{EndReason, Key};
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
    /// What was expected of it has come, with the bytes just told of.
    Answered(Key),
    /// The kernel was asked about it. Told in the turn after the question, or never.
    Looked(Key, Why, Look),
    /// The poll's batch was full: there may be readiness that nobody has heard of yet.
    Unheard,
    /// An operator's signal: no new dials, and an end.
    Stop,
}

/// What ended something, with the system's own number for it (0 where it has none) for whoever
/// wants its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub reason: EndReason,
    pub errno: i32,
}

/// Something to do. Within a turn they come in this order: what events and then deadlines call for,
/// one connection after the other (of one a note, looks, and then what is sent or probed; but a look
/// at a failure, a note, a close); a sample; drains, the last ones first; notes of dials forgone;
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
    /// Read all that has come, up to [`LAST_DRAIN`](crate::plan::LAST_DRAIN) drains, and say the same.
    DrainAll(Key),
    /// Open a socket, say [`What::Dialed`], connect; answer [`What::Failed`] if that fails at once.
    Dial(Key),
    /// Send what the plan has to say.
    Send(Key),
    /// Turn keepalive on, so that one goes out at once if nothing came for a second.
    Probe(Key),
    /// Turn it off: it has told what there was to tell, and would go on for as long as the
    /// connection is held.
    Hush(Key),
    /// Ask the kernel about it; answer with [`What::Looked`]. It may stand just before a close.
    Look(Key, Why),
    /// Tell the operator; only with `Plan::debug`.
    Note(Key, Note),
}

/// What the kernel is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// How long its own handshake took.
    Rtt,
    /// The dial took a second or more.
    Slow,
    /// The server may not have it.
    Suspect,
    /// Whether the keepalive was answered.
    Probed,
}

/// What the kernel knows of a connection. `None`: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Look {
    /// Segments that it has sent again.
    pub retransmits: u32,
    /// Its measure of the way there and back; after the handshake, of the handshake.
    pub rtt: Option<Span>,
    /// For how long nothing has been acknowledged.
    pub silent: Option<Span>,
    /// Segments that came, and of these with data in them.
    pub segments_in: Option<u32>,
    pub data_segments_in: Option<u32>,
    /// Segments that were sent and not acknowledged.
    pub unacknowledged: u32,
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
    /// It did not answer in time, and is still open.
    Unanswered,
}
