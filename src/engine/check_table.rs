//! What established connections are checked for, and what came of it: one transition table,
//! [`step`], over [`CheckState`], and a ledger over its states.
//!
//! ```text
//!             opened
//!   --expect │      │ in the sample          slow dial
//!      ReplyPending │                   ┌────────────────┐
//!   byte │      │   KeepaliveScheduled  SuspectScheduled: read TCP_INFO, then as beside it
//!  PartialReply │ due      │ due 1 s       │ due 1.2 s
//!   match│  │due └──────────┴───────┬───────┘
//!  Replied Wrong  (no byte at all)  │           a later round checks settled ones again
//!                           KeepaliveStarting ◄──────────────────────────── Settled
//!                 reported sent │        └ refused, or never reported ─► NotSent
//!                             Sent1 ── 0.5 s, read ─► Sent2 ── 1 s, read ─► Sent3
//!                                                                 2 s, read │
//!      Unacknowledged ◄─ no segment, and this host was polling ─────────── Sent4
//!      OtherTraffic, RepeatsSynAck ◄─ segments, but no acknowledgement ──────┤
//!      Unknown ◄──── still unclear ───── Sent5 ◄── 2 s more, read ── it was not polling
//!
//!   In Sent2 to Sent5 an acknowledgement confirms; one with more segments than that takes leads to
//!   Doubt: keepalive off, 3.25 s; then one segment more that does not acknowledge is RepeatsSynAck,
//!   or Unknown after a stall; none (or many) is Confirmed.
//! ```
//!
//! A check that is repeated is scheduled again from `Settled`, unless a reply was missing: then as
//! `KeepaliveScheduled`, also where a request is what is sent.
//!
//! Every read carries the evidence of [`tcp_info::evidence`], which does not age. "No segment" counts
//! only if this host was polling for `POLLED_FOR` before the read: after a stall the kernel may just
//! have resumed as well. Segments without an acknowledgement count only if it was polling all the time
//! since the keepalive was sent: after a stall that moment is unknown. Data does not confirm a keepalive
//! that is out, as it may have come before it; the next read of TCP_INFO does.

use super::check_state::{CheckState, Outcome, Reply, Step};
use super::tcp_info::Evidence;
use crate::units::{Moment, Span};

/// From the handshake to the first keepalive: the idle time after which the kernel sends one.
pub const KEEPALIVE_AFTER: Span = Span::from_s(1);

/// From a slow dial to the read on suspicion: a server that did not process the final ACK has repeated
/// its SYN-ACK by then, as it does after 1 s. Source: RFC 6298, 2.1.
pub const SUSPECTED_AFTER: Span = Span::from_ms(1_200);

/// From the keepalive to the first read, and from each to the next.
const READS: [Span; 3] = [Span::from_ms(500), Span::from_s(1), Span::from_s(2)];

/// For the result of a read, which comes in the next turn.
const ANSWER_TAKES: Span = Span::from_ms(250);

/// After a stall, until the read that decides.
const ONCE_MORE: Span = Span::from_s(2);

/// The SYN-ACK repeated at 3 s falls into this time, those at 1 s and 7 s do not.
const DOUBT: Span = Span::from_ms(3_250);

/// For how long this host has to have polled before a read that shows no segment: the kernel has sent
/// a keepalive and had a second for the acknowledgement.
pub const POLLED_FOR: Span = Span::from_s(2);

/// What happened to the checks of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It was established, after a slow dial or not.
    Opened {
        is_slow: bool,
    },
    /// Bytes came.
    Data,
    /// The expected reply came.
    Reply,
    /// Its reply is due, but what has come was not read completely.
    Unread,
    /// Its deadline has come.
    Due,
    /// It is in a later round.
    Recheck,
    /// The keepalive was sent, after this count of segments (modulo); or refused by this host.
    Started {
        segs: u8,
    },
    Refused,
    /// TCP_INFO was read for the keepalive: its evidence, whether this host was polling, and the
    /// segments received so far (modulo).
    Read {
        evidence: Evidence,
        was_polling: bool,
        segs: u8,
    },
    /// The same in a doubt.
    ReadInDoubt {
        evidence: Evidence,
    },
    /// The same, after an unacknowledged one: it was acknowledged since.
    ReadLate,
    /// It is over, and is repeated.
    Again,
    /// The connection has ended.
    Closed,
}

/// When the next deadline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deadline {
    #[default]
    Keep,
    Cancel,
    /// From the moment of the input.
    After(Span),
    /// From when the last one was due; if that has passed, from now.
    AfterDue(Span),
}

/// What is to be done about one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckActions {
    /// Report that no reply came in time.
    pub reply_timed_out: bool,
    /// Read TCP_INFO on suspicion, before anything else.
    pub read_suspect: bool,
    pub start_keepalive: bool,
    /// Read TCP_INFO for the keepalive.
    pub read: bool,
    pub stop_keepalive: bool,
    /// Send the request once more.
    pub send: bool,
    /// Of a check that is repeated: its result if it is over, from when the answer is if that is known,
    /// and whether the next one is to be scheduled.
    pub is_answered: Option<bool>,
    pub answered_at: Option<Moment>,
    pub again: bool,
    pub deadline: Deadline,
}

/// What the table depends on beside state and input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// If a reply is expected.
    pub reply_timeout: Option<Span>,
    /// Whether the connection is in the sample.
    pub is_sampled: bool,
    /// Whether one more can be taken for a suspect.
    pub has_suspects_left: bool,
    /// Whether it is checked again and again.
    pub repeats: bool,
}

const NO_ACTION: CheckActions = CheckActions {
    reply_timed_out: false,
    read_suspect: false,
    start_keepalive: false,
    read: false,
    stop_keepalive: false,
    send: false,
    is_answered: None,
    answered_at: None,
    again: false,
    deadline: Deadline::Keep,
};

/// The transition table.
pub fn step(state: CheckState, input: Input, rules: &Rules) -> (CheckState, CheckActions) {
    let cancel = CheckActions { deadline: Deadline::Cancel, ..NO_ACTION };
    let confirmed = if rules.is_sampled { Outcome::Confirmed } else { Outcome::None };
    match (input, state) {
        (Input::Opened { is_slow }, _) => opened(is_slow, rules),
        (Input::Due, _) => due(state, rules),
        (Input::Closed, _) if state.is_pending() && !state.is_in_flight() => {
            (CheckState::UNCHECKED, NO_ACTION)
        }
        (Input::Closed, _) => (CheckState::Settled(state.reply(), Outcome::None), NO_ACTION),

        (Input::Data, CheckState::ReplyPending) => (CheckState::PartialReply, NO_ACTION),
        (Input::Data, CheckState::ReplyDue) => (CheckState::PartialReplyDue, NO_ACTION),
        (Input::Data, CheckState::KeepaliveScheduled) if rules.repeats => (state, NO_ACTION),
        (Input::Data, _) if state.is_scheduled() => {
            (CheckState::Settled(Reply::NotExpected, confirmed), cancel)
        }
        (Input::Data, _) => {
            let is_late = state.reply() == Reply::NoReply;
            let after = if is_late { state.with_reply(Reply::Wrong) } else { state };
            let read = state.outcome() == Outcome::Unacknowledged;
            (after, CheckActions { read, ..NO_ACTION })
        }
        (Input::Reply, _) if state.is_partial() => {
            (CheckState::Settled(Reply::Replied, confirmed), cancel)
        }
        (Input::Unread, CheckState::ReplyPending) => (CheckState::ReplyDue, NO_ACTION),
        (Input::Unread, CheckState::PartialReply) => (CheckState::PartialReplyDue, NO_ACTION),

        // After a reply that is missing, the next one could be that.
        (Input::Again, CheckState::Settled(Reply::NoReply | Reply::Wrong, _)) => (state, NO_ACTION),
        (Input::Again, CheckState::Settled(..)) => {
            (CheckState::KeepaliveScheduled, CheckActions { again: true, ..NO_ACTION })
        }
        (Input::Recheck, CheckState::Settled(reply, _)) => start(reply, NO_ACTION),
        (Input::Started { segs }, CheckState::KeepaliveStarting(reply)) => {
            let deadline = Deadline::After(READS[0]);
            let after = CheckState::KeepaliveSent { reply, step: Step::Sent1, segs };
            (after, CheckActions { deadline, ..NO_ACTION })
        }
        (Input::Refused, CheckState::KeepaliveStarting(reply)) => {
            (CheckState::Settled(reply, Outcome::NotSent), cancel)
        }
        (
            Input::Read { evidence, was_polling, segs },
            CheckState::KeepaliveSent { reply, step, segs: before },
        ) => {
            let renewed = |segs| CheckState::KeepaliveSent { reply, step, segs };
            read(renewed, reply, (evidence, was_polling), (before, segs))
        }
        (
            Input::ReadInDoubt { evidence },
            CheckState::KeepaliveSent { reply, step: Step::DoubtRead, .. },
        ) => {
            let outcome = match evidence {
                Evidence::RepeatsSynAck => Outcome::RepeatsSynAck,
                Evidence::Unclear => Outcome::Unknown,
                _ => Outcome::Confirmed,
            };
            (CheckState::Settled(reply, outcome), cancel)
        }
        (Input::ReadLate, CheckState::Settled(reply, Outcome::Unacknowledged)) => {
            (CheckState::Settled(reply, Outcome::Confirmed), NO_ACTION)
        }
        _ => (state, NO_ACTION),
    }
}

fn opened(is_slow: bool, rules: &Rules) -> (CheckState, CheckActions) {
    let wait = |after| CheckActions { deadline: Deadline::After(after), ..NO_ACTION };
    match rules.reply_timeout {
        Some(timeout) => (CheckState::ReplyPending, wait(timeout)),
        None if is_slow && rules.has_suspects_left => {
            (CheckState::SuspectScheduled, wait(SUSPECTED_AFTER))
        }
        None if rules.is_sampled => (CheckState::KeepaliveScheduled, wait(KEEPALIVE_AFTER)),
        None => (CheckState::UNCHECKED, NO_ACTION),
    }
}

/// The driver is to send a keepalive. If it never reports that, the deadline ends the check.
fn start(reply: Reply, actions: CheckActions) -> (CheckState, CheckActions) {
    let deadline = Deadline::After(READS[0]);
    let actions = CheckActions { start_keepalive: true, deadline, ..actions };
    (CheckState::KeepaliveStarting(reply), actions)
}

fn due(state: CheckState, rules: &Rules) -> (CheckState, CheckActions) {
    let late = CheckActions { reply_timed_out: true, ..NO_ACTION };
    match state {
        // Not a byte: the connection may be half-open.
        _ if state.is_silent_so_far() => {
            let late = CheckActions { read_suspect: rules.has_suspects_left, ..late };
            match rules.is_sampled {
                true => start(Reply::NoReply, late),
                false => (CheckState::Settled(Reply::NoReply, Outcome::None), late),
            }
        }
        _ if state.is_partial() => {
            let confirmed = if rules.is_sampled { Outcome::Confirmed } else { Outcome::None };
            (CheckState::Settled(Reply::Wrong, confirmed), late)
        }
        CheckState::KeepaliveScheduled if let Some(timeout) = rules.reply_timeout => {
            let deadline = Deadline::After(timeout);
            (CheckState::ReplyPending, CheckActions { send: true, deadline, ..NO_ACTION })
        }
        CheckState::KeepaliveScheduled => start(Reply::NotExpected, NO_ACTION),
        CheckState::SuspectScheduled => {
            let suspect = CheckActions { read_suspect: true, ..NO_ACTION };
            match rules.is_sampled {
                true => start(Reply::NotExpected, suspect),
                false => (CheckState::UNCHECKED, suspect),
            }
        }
        CheckState::KeepaliveStarting(reply) => {
            let stop = CheckActions { stop_keepalive: true, ..NO_ACTION };
            (CheckState::Settled(reply, Outcome::NotSent), stop)
        }
        CheckState::KeepaliveSent { reply, step, segs } => {
            let (step, after) = match step {
                Step::Sent1 => (Step::Sent2, READS[1]),
                Step::Sent2 => (Step::Sent3, READS[2]),
                Step::Sent3 => (Step::Sent4, ANSWER_TAKES),
                Step::Sent4 => (Step::Sent5, ANSWER_TAKES),
                Step::Doubt => (Step::DoubtRead, ANSWER_TAKES),
                Step::Sent5 => {
                    let stop = CheckActions { stop_keepalive: true, ..NO_ACTION };
                    return (CheckState::Settled(reply, Outcome::Unknown), stop);
                }
                // It was acknowledged, and its socket was gone at the read.
                Step::DoubtRead => {
                    return (CheckState::Settled(reply, Outcome::Confirmed), NO_ACTION);
                }
            };
            let deadline = Deadline::AfterDue(after);
            let actions = CheckActions { read: true, deadline, ..NO_ACTION };
            (CheckState::KeepaliveSent { reply, step, segs }, actions)
        }
        CheckState::Settled(..) => (state, NO_ACTION),
        _ => unreachable!("{state:?} is pending without a byte or partial"),
    }
}

/// TCP_INFO was read for a keepalive that is out, in a state that is `same` with other segments.
fn read(
    same: impl Fn(u8) -> CheckState,
    reply: Reply,
    (evidence, was_polling): (Evidence, bool),
    (before, now): (u8, u8),
) -> (CheckState, CheckActions) {
    let CheckState::KeepaliveSent { step, .. } = same(before) else {
        unreachable!("a keepalive is out")
    };
    let stop = CheckActions { stop_keepalive: true, ..NO_ACTION };
    let settled = CheckActions { deadline: Deadline::Cancel, ..stop };
    let settle = |outcome| (CheckState::Settled(reply, outcome), settled);
    let decides = matches!(step, Step::Sent4 | Step::Sent5);
    match evidence {
        _ if matches!(step, Step::Sent1 | Step::Doubt | Step::DoubtRead) => {
            (same(before), NO_ACTION)
        }
        Evidence::Acknowledged => settle(Outcome::Confirmed),
        Evidence::AcknowledgedInDoubt => {
            let doubt = CheckState::KeepaliveSent { reply, step: Step::Doubt, segs: now };
            (doubt, CheckActions { deadline: Deadline::After(DOUBT), ..stop })
        }
        _ if !decides => (same(before), NO_ACTION),
        Evidence::RepeatsSynAck => settle(Outcome::RepeatsSynAck),
        Evidence::OtherTraffic => settle(Outcome::OtherTraffic),
        Evidence::Nothing if was_polling => settle(Outcome::Unacknowledged),
        _ if step == Step::Sent5 => settle(Outcome::Unknown),
        // Once more, from now.
        Evidence::Nothing | Evidence::Unclear => {
            let deadline = Deadline::After(ONCE_MORE);
            (same(now), CheckActions { deadline, ..NO_ACTION })
        }
    }
}

/// How long before its present deadline a keepalive was sent, or a doubt began; see [`due`].
pub fn sent_before_deadline(step: Step) -> Span {
    match step {
        Step::Sent1 => READS[0],
        Step::Sent2 => READS[0] + READS[1],
        Step::Sent3 => READS[0] + READS[1] + READS[2],
        Step::Sent4 => READS[0] + READS[1] + READS[2] + ANSWER_TAKES,
        Step::Sent5 => ONCE_MORE + ANSWER_TAKES,
        Step::Doubt => DOUBT,
        Step::DoubtRead => DOUBT + ANSWER_TAKES,
    }
}
