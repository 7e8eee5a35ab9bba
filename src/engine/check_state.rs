//! The state of a connection's checks, packed into a byte.
//!
//! It has a part for the reply (does the application reply?) and one for the keepalive (does the
//! server's kernel have the connection?), and at most one deadline. While a keepalive is out it has
//! the number of segments received before, modulo 7. That shows whether any came since: those without
//! an acknowledgement are repeated SYN-ACKs or keepalives of the server, at most one a second, and the
//! longest wait is 3.5 s.

use std::collections::TryReserveError;

use super::connection::filled;

/// The application's reply, once none is pending any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// None is expected, or the connection closed before the timeout.
    NotExpected,
    /// As expected, in time.
    Replied,
    /// Not a byte in time.
    NoReply,
    /// Bytes, but not those expected, or not in time.
    Wrong,
}

/// What the last keepalive check of a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No check.
    None,
    /// The server's kernel has it.
    Confirmed,
    /// The server repeats its SYN-ACK: for it the handshake is not complete.
    RepeatsSynAck,
    /// Segments came, but no acknowledgement.
    OtherTraffic,
    /// No segment came.
    Unacknowledged,
    /// This host was not polling.
    Unknown,
    /// This host could not send it.
    NotSent,
}

/// How far the check by a keepalive that is out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// TCP_INFO was not read since.
    Sent1,
    /// It was read once, twice, for the last time, and once more as this host had not been polling.
    Sent2,
    Sent3,
    Sent4,
    Sent5,
    /// Acknowledged, but with more segments than that takes. Keepalive is off, so that further
    /// segments answer none.
    Doubt,
    /// The same, and TCP_INFO was read.
    DoubtRead,
}

/// How far the checks of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// Nothing is pending; [`CheckState::UNCHECKED`] is one of these.
    Settled(Reply, Outcome),
    /// The reply is pending, and no byte came yet.
    ReplyPending,
    /// The reply is pending, and bytes came, but not yet those expected.
    PartialReply,
    /// The reply timeout is over, and what has come is read for a last time; no byte before.
    ReplyDue,
    /// The same, with bytes before.
    PartialReplyDue,
    /// The first keepalive is to be sent.
    KeepaliveScheduled,
    /// TCP_INFO is to be read, and then, in the sample, the first keepalive sent.
    SuspectScheduled,
    /// The driver is to send a keepalive, and has not reported that it has.
    KeepaliveStarting(Reply),
    /// A keepalive is out; `segs` segments came before it, modulo [`SEGS_MODULUS`].
    KeepaliveSent { reply: Reply, step: Step, segs: u8 },
}

/// Segments are counted modulo this.
pub const SEGS_MODULUS: u8 = 7;

const REPLIES: [Reply; 4] = [Reply::NotExpected, Reply::Replied, Reply::NoReply, Reply::Wrong];
const OUTCOMES: [Outcome; 7] = [
    Outcome::None,
    Outcome::Confirmed,
    Outcome::RepeatsSynAck,
    Outcome::OtherTraffic,
    Outcome::Unacknowledged,
    Outcome::Unknown,
    Outcome::NotSent,
];
const STEPS: [Step; 7] =
    [Step::Sent1, Step::Sent2, Step::Sent3, Step::Sent4, Step::Sent5, Step::Doubt, Step::DoubtRead];
const PLAIN: [CheckState; 6] = [
    CheckState::ReplyPending,
    CheckState::PartialReply,
    CheckState::ReplyDue,
    CheckState::PartialReplyDue,
    CheckState::KeepaliveScheduled,
    CheckState::SuspectScheduled,
];

const PLAIN_FROM: u8 = 28;
const STARTING_FROM: u8 = PLAIN_FROM + 6;
const SENT_FROM: u8 = STARTING_FROM + 4;
const CODES: u8 = SENT_FROM + 4 * 7 * SEGS_MODULUS;

impl CheckState {
    /// Whether a reply may still come in time.
    pub fn is_reply_timed(self) -> bool {
        matches!(self, CheckState::ReplyPending | CheckState::PartialReply)
    }

    pub const UNCHECKED: CheckState = CheckState::Settled(Reply::NotExpected, Outcome::None);

    /// How many there are, apart from the segments.
    pub const KINDS: usize = 66;

    /// Its number among [`CheckState::KINDS`].
    pub const fn kind(self) -> usize {
        match self.code() {
            code if code < SENT_FROM => code as usize,
            code => (SENT_FROM + (code - SENT_FROM) / SEGS_MODULUS) as usize,
        }
    }

    /// The state of each kind, without segments.
    pub fn of_kind(kind: usize) -> CheckState {
        let kind = u8::try_from(kind).unwrap_or(CODES);
        match kind.checked_sub(SENT_FROM) {
            Some(above) => CheckState::from_code(SENT_FROM + above * SEGS_MODULUS),
            None => CheckState::from_code(kind),
        }
    }

    /// Some of them in each turn: no search.
    const fn code(self) -> u8 {
        match self {
            CheckState::Settled(reply, outcome) => 7 * reply as u8 + outcome as u8,
            CheckState::ReplyPending => PLAIN_FROM,
            CheckState::PartialReply => PLAIN_FROM + 1,
            CheckState::ReplyDue => PLAIN_FROM + 2,
            CheckState::PartialReplyDue => PLAIN_FROM + 3,
            CheckState::KeepaliveScheduled => PLAIN_FROM + 4,
            CheckState::SuspectScheduled => PLAIN_FROM + 5,
            CheckState::KeepaliveStarting(reply) => STARTING_FROM + reply as u8,
            CheckState::KeepaliveSent { reply, step, segs } => {
                let place = 7 * reply as u8 + step as u8;
                SENT_FROM + place * SEGS_MODULUS + segs % SEGS_MODULUS
            }
        }
    }

    fn from_code(code: u8) -> CheckState {
        let at = usize::from;
        match code {
            0..PLAIN_FROM => CheckState::Settled(REPLIES[at(code / 7)], OUTCOMES[at(code % 7)]),
            PLAIN_FROM..STARTING_FROM => PLAIN[at(code - PLAIN_FROM)],
            STARTING_FROM..SENT_FROM => {
                CheckState::KeepaliveStarting(REPLIES[at(code - STARTING_FROM)])
            }
            SENT_FROM..CODES => {
                let place = (code - SENT_FROM) / SEGS_MODULUS;
                let segs = (code - SENT_FROM) % SEGS_MODULUS;
                let (reply, step) = (REPLIES[at(place / 7)], STEPS[at(place % 7)]);
                CheckState::KeepaliveSent { reply, step, segs }
            }
            _ => unreachable!("{code} is no state"),
        }
    }

    /// What came of the reply.
    pub fn reply(self) -> Reply {
        match self {
            CheckState::Settled(reply, _)
            | CheckState::KeepaliveStarting(reply)
            | CheckState::KeepaliveSent { reply, .. } => reply,
            _ => Reply::NotExpected,
        }
    }

    /// The same state with another reply, if it has one.
    pub fn with_reply(self, reply: Reply) -> CheckState {
        match self {
            CheckState::Settled(_, outcome) => CheckState::Settled(reply, outcome),
            CheckState::KeepaliveStarting(_) => CheckState::KeepaliveStarting(reply),
            CheckState::KeepaliveSent { step, segs, .. } => {
                CheckState::KeepaliveSent { reply, step, segs }
            }
            other => other,
        }
    }

    /// What its last keepalive check found.
    pub fn outcome(self) -> Outcome {
        match self {
            CheckState::Settled(_, outcome) => outcome,
            _ => Outcome::None,
        }
    }

    /// Whether the reply may still count as in time.
    pub fn is_reply_pending(self) -> bool {
        self.is_silent_so_far() || self.is_partial()
    }

    /// Whether it may, and no byte came yet.
    pub fn is_silent_so_far(self) -> bool {
        matches!(self, CheckState::ReplyPending | CheckState::ReplyDue)
    }

    /// Whether it may, and bytes came.
    pub fn is_partial(self) -> bool {
        matches!(self, CheckState::PartialReply | CheckState::PartialReplyDue)
    }

    /// Whether the first keepalive, if there is to be one, is still to be sent.
    pub fn is_scheduled(self) -> bool {
        matches!(self, CheckState::KeepaliveScheduled | CheckState::SuspectScheduled)
    }

    /// Whether a keepalive is out.
    pub fn is_sent(self) -> bool {
        matches!(self, CheckState::KeepaliveSent { .. })
    }

    /// Whether one is, or is to be sent.
    pub fn is_in_flight(self) -> bool {
        self.is_sent() || self.is_starting()
    }

    /// Whether the driver is to send a keepalive, and has not reported.
    pub fn is_starting(self) -> bool {
        matches!(self, CheckState::KeepaliveStarting(_))
    }

    /// Whether keepalive is on.
    pub fn is_keepalive_on(self) -> bool {
        match self {
            CheckState::KeepaliveSent { step, .. } => {
                !matches!(step, Step::Doubt | Step::DoubtRead)
            }
            other => other.is_in_flight(),
        }
    }

    /// Whether it has a deadline.
    pub fn is_pending(self) -> bool {
        !matches!(self, CheckState::Settled(..))
    }
}

/// User-space bits a slot, if anything is checked.
pub const BITS_PER_CONNECTION: u64 = 8;

/// The state of each slot, a byte each; O(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStates {
    codes: Box<[u8]>,
}

impl CheckStates {
    /// `count` slots, all unchecked.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(count: u32) -> Result<CheckStates, TryReserveError> {
        Ok(CheckStates { codes: filled(0, count)? })
    }

    /// The state of a slot; beyond the last one, unchecked.
    pub fn get(&self, slot: u32) -> CheckState {
        CheckState::from_code(self.codes.get(slot as usize).copied().unwrap_or(0))
    }

    /// # Panics
    /// If there is no such slot.
    pub fn set(&mut self, slot: u32, state: CheckState) {
        self.codes[slot as usize] = state.code();
    }

    /// Of each slot; O(slots), for tests.
    pub fn iter(&self) -> impl Iterator<Item = CheckState> {
        self.codes.iter().map(|code| CheckState::from_code(*code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_survives_its_byte_and_its_kind() {
        assert_eq!(CheckState::from_code(0), CheckState::UNCHECKED);
        let mut kinds = std::collections::BTreeSet::new();
        for code in 0..CODES {
            let state = CheckState::from_code(code);
            assert_eq!(state.code(), code, "{state:?}");
            kinds.insert(state.kind());
            let bare = CheckState::of_kind(state.kind());
            assert_eq!(bare.kind(), state.kind(), "{state:?}");
            assert_eq!(bare.is_pending(), state.is_pending());
        }
        assert_eq!(kinds, (0..CheckState::KINDS).collect());
    }

    #[test]
    fn a_slot_beyond_the_last_is_unchecked() {
        let mut states = CheckStates::new(2).unwrap();
        states.set(1, CheckState::KeepaliveScheduled);
        assert_eq!(states.get(1), CheckState::KeepaliveScheduled);
        assert_eq!([states.get(0), states.get(2)], [CheckState::UNCHECKED; 2]);
    }
}
