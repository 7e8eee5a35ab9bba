//! What the model remembers: of a connection, of a failure, of a keepalive, of times. Data only.

use std::collections::VecDeque;

use tcpgoon::engine::{EndReason, Round, State};
use tcpgoon::units::{Moment, Span};

/// What the shadow objects to, in words.
pub type Verdict = Result<(), String>;

/// One seat, as the shadow sees it.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    pub state: State,
    pub since: Moment,
    pub reason: Option<EndReason>,
    /// How long its dial took, once it was established.
    pub took: Option<Span>,
    pub dialed_at: Moment,
    pub opened_at: Option<Moment>,
    /// From when on its reply timeout runs.
    pub sent_to_at: Moment,
    /// Whether its dial took a second or more.
    pub is_slow: bool,
    /// What it waits for once it is established, and until when.
    pub wait: Wait,
    pub wait_until: Moment,
    /// Whether any byte came.
    pub heard: bool,
    pub answered: bool,
    /// Of one that has answered: whether that was read when its time was up.
    pub is_overdue: bool,
    pub unanswered: bool,
    /// Of one that is unanswered: whether it said something in time, or only afterwards.
    pub misheard: bool,
    pub late: bool,
    /// Whether it was closed while an answer was waited for.
    pub hung_up: bool,
    /// Whether no keepalive was needed, as something came before it.
    pub is_unneeded: bool,
    /// Whether its last keepalive found nothing at all.
    pub is_silent: bool,
    /// Or that its server repeats its SYN-ACK.
    pub is_repeating: bool,
    /// What the one that is out asks for: what is newer than this, and how many segments (modulo)
    /// there were before.
    pub question: Moment,
    pub segs: u32,
    /// For how many turns it has waited for what was due.
    pub overdue_turns: u64,
    /// Whether a last drain was waited for when its answer was due.
    pub is_put_off: bool,
    /// The turn in which it must have been drained at the latest.
    pub drained_by: u64,
}

impl Seat {
    pub const FRESH: Seat = Seat {
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
        heard: false,
        answered: false,
        is_overdue: false,
        unanswered: false,
        misheard: false,
        late: false,
        hung_up: false,
        is_unneeded: false,
        is_silent: false,
        is_repeating: false,
        question: Moment(0),
        segs: 0,
        overdue_turns: 0,
        is_put_off: false,
        drained_by: 0,
    };
}

/// What the one deadline of an established seat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Nothing,
    /// The application's answer, or the news that it did not come in time.
    Reply,
    /// To send a keepalive.
    Keepalive,
    /// To look at a suspect; and then, perhaps, to send a keepalive.
    Suspicion {
        is_probed: bool,
    },
    /// The news that the keepalive was sent.
    Sending,
    /// To look for what the keepalive has brought, for the first time, the second or the third;
    /// after so many looks for the last word of them, or for one more look.
    Look(u32),
    LastWord,
    /// The answer to the look after that.
    VeryLastWord,
    /// Whether anything comes by itself, and the answer to the look at its end.
    Doubt,
    DoubtWord,
}

impl Wait {
    /// Whether a keepalive is out, or about to be.
    pub fn is_asked(self) -> bool {
        self == Wait::Sending || self.is_sent()
    }

    /// Whether it is out, and not judged.
    pub fn is_sent(self) -> bool {
        matches!(self, Wait::Look(_) | Wait::LastWord | Wait::VeryLastWord) || self.is_doubt()
    }

    pub fn is_doubt(self) -> bool {
        matches!(self, Wait::Doubt | Wait::DoubtWord)
    }

    /// Whether the run that checks all waits for it.
    pub fn is_open(self) -> bool {
        matches!(self, Wait::Keepalive | Wait::Suspicion { .. }) || self.is_asked()
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    pub at: Moment,
    /// When its dial began, or its connection was established.
    pub since: Moment,
    /// Whether it was tried at all, and took its time.
    pub is_timed: bool,
}

/// What a keepalive came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
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
    /// How many rounds of watching had begun.
    pub watch: u32,
    pub sent_at: Option<Moment>,
    pub found: Option<Found>,
    pub found_at: Moment,
    /// The so-many-th of all that were found.
    pub order: usize,
}

/// The rounds after the first one.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    pub begun: u32,
    pub watch_rounds: u32,
    pub later: Option<Round>,
    /// The minute of the hold in which the last round of watching began.
    pub minute: u64,
    pub is_last: bool,
    pub queue: VecDeque<u32>,
    pub checks: Vec<Check>,
    pub finds: usize,
}

/// Times of one kind, one by one.
#[derive(Debug, Clone, Default)]
pub struct Times(pub Vec<Span>);

/// Whether a quantile is within 0.8% of what it is.
pub fn near(quantile: Span, exact: Span) -> bool {
    quantile.0.abs_diff(exact.0) <= exact.0 / 128 + 1
}

/// What the account of a reason is called among the things that a run reaches.
pub fn name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::HalfOpen => "half open",
        EndReason::OtherHere => "other, here",
        EndReason::OtherBeyond => "other, beyond",
        _ => reason.word(),
    }
}
