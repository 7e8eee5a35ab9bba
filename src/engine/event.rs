//! What passes between the engine and its driver: what has happened, and what is to be done.

use super::connection::{EndReason, Key};
use crate::units::{Moment, Span};

/// Something that happened, and when. The driver stamps an [`EventKind::Dialed`] just before its
/// `connect()`, and readiness just after the poll that reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub at: Moment,
    pub kind: EventKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A dial was started.
    Dialed(Key),
    /// The socket is connected.
    Opened(Key),
    /// The dial failed.
    Failed(Key, Failure),
    /// An established connection ended.
    PeerClosed(Key, Failure),
    /// The same, by RST; with TCP_INFO as it was left.
    Reset(Key, Failure, TcpInfo),
    /// There may be bytes to read.
    Readable(Key),
    /// Bytes were read and dropped; `more` unless the read returned `EWOULDBLOCK`.
    Received { key: Key, bytes: u32, more: bool },
    /// The expected reply is complete, with the bytes just reported.
    ReplyMatched(Key),
    /// The result of [`Action::ReadTcpInfo`], in the turn after it, or never.
    TcpInfo(Key, TcpInfoPurpose, TcpInfo),
    /// No poll returned between `since` and this event's moment: what polls return from now on, until
    /// a batch is not full, can have happened at any time between the two. See [`super::gaps`].
    Gap { since: Moment, is_stop: bool },
    /// The result of [`Action::StartKeepalive`], in the turn after it, or never: TCP_INFO just before
    /// the keepalive was sent; `None` if this host refused it.
    KeepaliveStarted(Key, Option<TcpInfo>),
    /// The result of [`Action::Send`], in the turn after it, or never: the text of the plan was sent,
    /// and a reply is pending from now on.
    Sent(Key),
    /// The poll's batch was full: more readiness may be pending in the kernel.
    PollBatchFull,
    /// A signal: the run ends.
    Stop,
}

/// What ended a dial or a connection, with its errno (0 if it has none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub reason: EndReason,
    pub errno: i32,
}

/// Something to do. Within a turn they come in this order: what events and then deadlines call for,
/// connection by connection (a note, reads of TCP_INFO, then what is sent; for a failure a read, a
/// note, a close); a sample; final drains, then others; notes of skipped dials; dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close the descriptor.
    Close(Key),
    /// Print a statistics line.
    Sample,
    /// Read and drop at most `drain_bytes_max`; results in [`EventKind::Received`] or the end of the
    /// connection.
    Drain(Key),
    /// The same, for at most [`FINAL_DRAIN_FACTOR`](crate::plan::FINAL_DRAIN_FACTOR) drains.
    DrainFully(Key),
    /// Open a socket and connect; results in [`EventKind::Dialed`], stamped just before `connect()`,
    /// and in [`EventKind::Failed`] if that fails at once.
    Dial(Key),
    /// Send the text of the plan; results in [`EventKind::Sent`].
    Send(Key),
    /// Read TCP_INFO, and turn keepalive on, so that a probe is sent at once if nothing came for a
    /// second; results in [`EventKind::KeepaliveStarted`].
    StartKeepalive(Key),
    /// Turn it off: probes would go on for as long as the connection is held.
    StopKeepalive(Key),
    /// Read `struct tcp_info`; results in [`EventKind::TcpInfo`], stamped before the read. May stand
    /// just before a close.
    ReadTcpInfo(Key, TcpInfoPurpose),
    /// Report to the operator; only with `Plan::debug`.
    Note(Key, Note),
}

/// When the engine has to be turned again although nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// At once: something did not fit into the budgets of the last turn, or readiness may be pending
    /// in the kernel.
    Now,
    /// At this moment, which is later than the last turn. There may be nothing due then but a move of
    /// deadlines down the levels of the wheel.
    At(Moment),
    /// The run is over, or goes on until a signal.
    Never,
}

impl Wake {
    /// As a deadline, for a caller that has turned the engine at `now`.
    pub fn due(self, now: Moment) -> Option<Moment> {
        match self {
            Wake::Now => Some(now),
            Wake::At(due) => Some(due),
            Wake::Never => None,
        }
    }
}

/// Why `struct tcp_info` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpInfoPurpose {
    /// The RTT that the kernel measured in the handshake.
    Rtt,
    /// The dial took a second or more.
    Slow,
    /// The connection may be half-open.
    Suspect,
    /// Whether the keepalive was acknowledged.
    Keepalive,
}

/// `struct tcp_info`, with the names of `ss -i`. `None`: the kernel is too old for the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TcpInfo {
    /// Segments retransmitted.
    pub total_retrans: u32,
    /// Smoothed; just after the handshake, that of the handshake.
    pub rtt: Option<Span>,
    /// The age of the last acknowledgement, in whole milliseconds.
    pub last_ack_recv: Option<Span>,
    /// Segments received, and of these with data.
    pub segs_in: Option<u32>,
    pub data_segs_in: Option<u32>,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Keepalives sent since the last acknowledgement.
    pub probes: Option<u32>,
}

/// What `--debug` reports of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    Dialing,
    /// Not dialed: its route has no free port.
    Skipped,
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
    /// Closed by us, at the end of its lifetime.
    Retired {
        after: Span,
    },
    /// Still open.
    ReplyTimedOut,
}
