//! The vocabulary between the engine and its driver: what can have happened, and what is to be
//! done.

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
    /// There are bytes to read, or were.
    Readable(Key),
    /// Bytes were read and dropped; `more` unless the socket reported that none are left.
    Received { key: Key, bytes: u32, more: bool },
    /// The expected reply is complete, with the bytes just reported.
    ReplyMatched(Key),
    /// `struct tcp_info` was read. Comes in the turn after the [`Action::ReadTcpInfo`], or never.
    TcpInfo(Key, TcpInfoPurpose, TcpInfo),
    /// No poll returned between `since` and this event's own moment: what is found from now on, until
    /// a batch is not full, can have happened at any time between the two. See [`super::gaps`].
    Gap { since: Moment, is_stop: bool },
    /// A keepalive was sent, after what TCP_INFO told just before it; `None`: this host refused it.
    /// Comes in the turn after the [`Action::StartKeepalive`], or never.
    KeepaliveStarted(Key, Option<TcpInfo>),
    /// The text of the plan was sent: from now on a reply is awaited. Comes in the turn after the
    /// [`Action::Send`], or never.
    Sent(Key),
    /// The poll's batch was full: more readiness may be pending in the kernel.
    PollBatchFull,
    /// An operator's signal: no new dials, and an end.
    Stop,
}

/// What ended something, with the system's own error number (0 where it has none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub reason: EndReason,
    pub errno: i32,
}

/// Something to do. Within a turn they come in this order: what events and then deadlines call for,
/// one connection after the other (of one a note, reads of TCP_INFO, and then what is sent; but a
/// read for a failure, a note, a close); a sample; drains, the final ones first; notes of dials
/// skipped; dials. A dial comes last, so that nothing stands between its `connect()` and the poll
/// that reports its success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close the descriptor.
    Close(Key),
    /// Print a statistics line.
    Sample,
    /// Read and drop what the server sent, up to `drain_bytes_max`; answer with
    /// [`EventKind::Received`] or what else it is.
    Drain(Key),
    /// Read all that has come, up to [`FINAL_DRAIN_FACTOR`](crate::plan::FINAL_DRAIN_FACTOR)
    /// drains, and answer the same.
    DrainFully(Key),
    /// Open a socket, report [`EventKind::Dialed`], connect; answer [`EventKind::Failed`] if that
    /// fails at once.
    Dial(Key),
    /// Send the text of the plan; answer with [`EventKind::Sent`].
    Send(Key),
    /// Read TCP_INFO, and turn keepalive on, so that a probe goes out at once if nothing came for a
    /// second; answer with [`EventKind::KeepaliveStarted`].
    StartKeepalive(Key),
    /// Turn it off: its result is known, and probes would go on for as long as the connection is
    /// held.
    StopKeepalive(Key),
    /// Read `struct tcp_info`; answer with [`EventKind::TcpInfo`], stamped before the read. It may
    /// stand just before a close.
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
    /// How long the kernel's own handshake took.
    Rtt,
    /// The dial took a second or more.
    Slow,
    /// The server may not have the connection.
    Suspect,
    /// Whether the keepalive was acknowledged.
    Keepalive,
}

/// What the kernel has recorded of a connection, in the words of `ss -i`. `None`: not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TcpInfo {
    /// Segments that were retransmitted.
    pub total_retrans: u32,
    /// The smoothed RTT; just after the handshake, that of the handshake.
    pub rtt: Option<Span>,
    /// How long before the event the last acknowledgement came, in whole milliseconds.
    pub last_ack_recv: Option<Span>,
    /// Segments that came, and of these with data in them.
    pub segs_in: Option<u32>,
    pub data_segs_in: Option<u32>,
    /// Segments that were sent and not acknowledged.
    pub unacked: u32,
    /// Keepalives that were sent since the last acknowledgement.
    pub probes: Option<u32>,
}

/// What `--debug` reports of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    Dialing,
    /// Not dialed, as its route has no free port.
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
    /// No reply in time, and still open.
    ReplyTimedOut,
}
