//! The data of the model: connections, failures, keepalive checks, times.

use std::collections::VecDeque;

use tcpgoon::engine::{EndReason, Round, State};
use tcpgoon::units::{Moment, Span};

/// `Err` is what the model objects to.
pub type Verdict = Result<(), String>;

/// One connection.
#[derive(Debug, Clone, Copy)]
pub struct Conn {
    pub attempt: u32,
    /// When its dial was due.
    pub due: Moment,
    pub state: State,
    pub since: Moment,
    pub reason: Option<EndReason>,
    /// The time of its dial, once established.
    pub took: Option<Span>,
    pub dialed_at: Moment,
    pub opened_at: Option<Moment>,
    /// Where its reply timeout starts.
    pub sent_to_at: Moment,
    /// Whether its dial took a second or more.
    pub is_slow: bool,
    /// What it waits for once it is established, and until when.
    pub wait: Wait,
    pub wait_until: Moment,
    /// Whether any data was received.
    pub has_data: bool,
    pub replied: bool,
    /// Whether its reply was read after the deadline.
    pub is_overdue: bool,
    pub no_reply: bool,
    /// Without a reply: whether data came in time, or only afterwards.
    pub wrong_reply: bool,
    pub late_reply: bool,
    /// Whether it was closed while its reply was pending.
    pub closed_before_reply: bool,
    /// Whether no keepalive was needed, as data came before it.
    pub is_unneeded: bool,
    /// Whether its last keepalive was not acknowledged.
    pub is_unacknowledged: bool,
    /// Whether its last keepalive found a server that repeats its SYN-ACK.
    pub repeats: bool,
    /// A keepalive is acknowledged by an ACK newer than this, or beyond this `segs_in` (modulo).
    pub newer_than: Moment,
    pub segs: u32,
    /// For how many turns its deadline has been overdue.
    pub overdue_turns: u64,
    /// Whether its reply timeout was deferred for a final drain.
    pub is_deferred: bool,
    /// The latest turn in which it is drained.
    pub drained_by: u64,
}

impl Conn {
    pub const NEW: Conn = Conn {
        attempt: 0,
        due: Moment(0),
        state: State::NotInitiated,
        since: Moment(0),
        reason: None,
        took: None,
        dialed_at: Moment(0),
        opened_at: None,
        sent_to_at: Moment(0),
        is_slow: false,
        wait: Wait::Nothing,
        wait_until: Moment(0),
        has_data: false,
        replied: false,
        is_overdue: false,
        no_reply: false,
        wrong_reply: false,
        late_reply: false,
        closed_before_reply: false,
        is_unneeded: false,
        is_unacknowledged: false,
        repeats: false,
        newer_than: Moment(0),
        segs: 0,
        overdue_turns: 0,
        is_deferred: false,
        drained_by: 0,
    };
}

/// What the one deadline of an established connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Nothing,
    /// The reply.
    Reply,
    /// A keepalive is sent.
    KeepaliveDue,
    /// TCP_INFO of a half-open suspect is read; then, perhaps, a keepalive is sent.
    SuspectDue {
        is_probed: bool,
    },
    /// The driver reports that the keepalive is sent.
    KeepaliveStarting,
    /// TCP_INFO is read, for the first, second or third time.
    Read(u32),
    /// The result of the third read.
    FinalRead,
    /// The result of one more.
    ExtraRead,
    /// A repeated SYN-ACK may look like the ACK of a keepalive: waits for another one.
    Doubt,
    /// The result of the read at the end of that.
    DoubtRead,
}

impl Wait {
    /// Whether a keepalive is sent, or is about to be.
    pub fn is_pending(self) -> bool {
        self == Wait::KeepaliveStarting || self.is_sent()
    }

    /// Whether it is sent and not judged.
    pub fn is_sent(self) -> bool {
        matches!(self, Wait::Read(_) | Wait::FinalRead | Wait::ExtraRead) || self.is_doubt()
    }

    pub fn is_doubt(self) -> bool {
        matches!(self, Wait::Doubt | Wait::DoubtRead)
    }

    /// Whether a run with `--probe` waits for it.
    pub fn is_open(self) -> bool {
        matches!(self, Wait::KeepaliveDue | Wait::SuspectDue { .. }) || self.is_pending()
    }
}

/// One failure.
#[derive(Debug, Clone, Copy)]
pub struct FailureTime {
    pub at: Moment,
    /// When its dial began, or its connection was established.
    pub since: Moment,
    /// Whether it was tried, and so has a duration.
    pub is_timed: bool,
}

/// The outcome of a keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Confirmed,
    RepeatsSynAck,
    OtherTraffic,
    Unacknowledged,
    Unknown,
    NotSent,
    HalfOpen,
    Closed,
}

/// One keepalive check of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    pub slot: u32,
    pub round: Round,
    /// How many watch rounds had begun.
    pub watch: u32,
    pub sent_at: Option<Moment>,
    pub found: Option<Judgement>,
    pub found_at: Moment,
    /// Its place in the order of judgements.
    pub order: usize,
}

/// The rounds after the first one.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    pub begun: u32,
    pub watch_rounds: u32,
    pub later: Option<Round>,
    /// The minute of the hold in which the last watch round began.
    pub minute: u64,
    pub is_last: bool,
    pub queue: VecDeque<u32>,
    pub checks: Vec<Check>,
    pub finds: usize,
}

/// A list of times.
#[derive(Debug, Clone, Default)]
pub struct Times(pub Vec<Span>);

/// Connections held beside the churn. The pairs are: before it, and during it.
#[derive(Debug, Clone, Default)]
pub struct Held {
    pub began: Option<Moment>,
    pub decided_at: Option<Moment>,
    /// When the first of the other dials was due.
    pub due_from: Option<Moment>,
    pub ends: [Vec<(EndReason, Moment)>; 2],
    pub answered: [u64; 2],
    pub unanswered: [Vec<Moment>; 2],
    pub rtts: [Times; 2],
    /// Connections as their earlier checks left them.
    pub checked: Vec<Conn>,
}

/// Whether a quantile is within 0.8% of the exact one.
pub fn near(quantile: Span, exact: Span) -> bool {
    quantile.0.abs_diff(exact.0) <= exact.0 / 128 + 1
}

/// The mark for an end reason.
pub fn name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::HalfOpen => "half open",
        EndReason::OtherHere => "other, here",
        EndReason::OtherBeyond => "other, beyond",
        _ => reason.word(),
    }
}
