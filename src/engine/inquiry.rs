//! What established connections are asked, and what became of it.
//!
//! Two questions, one after the other, and at any time at most one deadline a connection:
//!
//! 1. Does the application answer? ([`Talk`]: within its timeout.)
//! 2. Does the server have the connection at all? A handshake can look complete from here while it
//!    has none. A keepalive is sent a second later, and whatever comes back settles it: a reset
//!    closes the connection, an acknowledgement proves it, and silence says nothing. Where the
//!    handshake was suspicious the kernel is asked first whether the server has repeated its
//!    SYN-ACK, as the keepalive would blur that.

use std::collections::TryReserveError;

use super::connection::filled;
use crate::plan::{Plan, Probe, Talk};
use crate::units::Span;

/// From the handshake to the keepalive: the kernel sends one to who has been silent for so long.
pub const PROBED_AFTER: Span = Span::from_s(1);

/// From a suspicious handshake to the question what the server has repeated: by now it has repeated
/// a SYN-ACK whose answer it did not take, as it does after 1 s. Source: RFC 6298, 2.1.
pub const SUSPECTED_AFTER: Span = Span::from_ms(1_200);

/// The most connections that are taken for suspects, to be looked at.
pub const SUSPECTS_MAX: u32 = 1_000;

/// From the keepalive to the first look at its answer, and from each look to the next.
const LOOKS: [Span; 3] = [Span::from_ms(500), Span::from_s(1), Span::from_s(2)];

/// A look is answered at once.
const LAST_LOOK: Span = Span::from_ms(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Reply {
    NotAsked,
    Waiting,
    /// Something came, but not yet what was expected.
    Heard,
    Answered,
    Unanswered,
}

impl Reply {
    /// Whether an answer may still come in time.
    fn is_awaited(self) -> bool {
        matches!(self, Reply::Waiting | Reply::Heard)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Doubt {
    /// Nobody asks.
    None,
    /// The keepalive is due.
    Due,
    /// A look, and then the keepalive, is due.
    SuspectDue,
    /// A look is due, and no keepalive.
    LookDue,
    /// The keepalive is out, and so many looks have been taken.
    Asked(u8),
    /// The server has it.
    Proven,
    /// It did not answer.
    Silent,
}

impl Doubt {
    /// Whether the keepalive, or what comes of it, is still to come.
    fn is_open(self) -> bool {
        matches!(self, Doubt::Due | Doubt::SuspectDue | Doubt::Asked(_))
    }

    /// Whether the keepalive is still to come.
    fn is_unasked(self) -> bool {
        matches!(self, Doubt::Due | Doubt::SuspectDue)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inquiry {
    reply: Reply,
    doubt: Doubt,
}

/// What has come of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    pub answered: u64,
    /// Established, and no answer in time.
    pub unanswered: u64,
    /// Closed before they answered.
    pub closed_unanswered: u64,
    /// Asked by keepalive, or proven before it came to that.
    pub probed: u64,
    /// Of these: the server has them.
    pub proven: u64,
    /// Of these: not a word came back so far, not even an end.
    pub silent: u64,
    /// Looked at on suspicion, and found that the server had repeated its SYN-ACK or had not taken
    /// what was sent.
    pub suspects: u64,
    pub suspects_half_open: u64,
}

/// What is to be done about a connection whose deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// It has not answered in time.
    pub unanswered: bool,
    /// Whether to look at it on suspicion, before anything else.
    pub suspect: bool,
    /// Whether to send the keepalive.
    pub probe: bool,
    /// Whether to look what came of it.
    pub look: bool,
    /// Whether to send no more of them.
    pub hush: bool,
    /// The next deadline.
    pub again: Option<Span>,
}

/// 3 bytes a slot where anything is asked, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiries {
    slots: Box<[Inquiry]>,
    /// Until when an answer has to come; `None` where nobody talks.
    reply_timeout: Option<Span>,
    /// Whether any byte is an answer.
    any_byte: bool,
    /// Every so many slots one is probed; 0: none.
    stride: u32,
    /// Whether the run waits for the keepalives' answers.
    waits_for_probes: bool,
    replies_pending: u32,
    probes_pending: u32,
    suspects_left: u32,
    pub findings: Findings,
}

impl Inquiries {
    /// # Errors
    /// When the memory is not to be had.
    pub fn new(plan: &Plan) -> Result<Inquiries, TryReserveError> {
        let nobody = plan.talk.is_none() && plan.probe == Probe::None;
        let nothing = Inquiry { reply: Reply::NotAsked, doubt: Doubt::None };
        Ok(Inquiries {
            slots: filled(nothing, if nobody { 0 } else { plan.connections })?,
            reply_timeout: plan.talk.as_ref().map(|talk: &Talk| talk.reply_timeout),
            any_byte: plan.talk.as_ref().is_some_and(|talk| talk.expect.is_empty()),
            stride: plan.probe.stride(plan.connections),
            waits_for_probes: plan.probe == Probe::All,
            replies_pending: 0,
            probes_pending: 0,
            suspects_left: SUSPECTS_MAX,
            findings: Findings::default(),
        })
    }

    /// Whether the run has to go on for the sake of answers.
    pub fn is_waiting(&self) -> bool {
        self.replies_pending > 0 || (self.waits_for_probes && self.probes_pending > 0)
    }

    /// How many answers of applications may still come.
    pub fn awaited_count(&self) -> u32 {
        self.replies_pending
    }

    /// Whether a deadline is armed for a slot.
    pub fn is_pending(&self, slot: u32) -> bool {
        let Some(Inquiry { reply, doubt }) = self.slots.get(slot as usize) else { return false };
        reply.is_awaited() || doubt.is_open() || *doubt == Doubt::LookDue
    }

    /// For how long in all an answer of a slot is waited for, if one is.
    pub fn awaited(&self, slot: u32) -> Option<Span> {
        let inquiry = self.slots.get(slot as usize)?;
        self.reply_timeout.filter(|_| inquiry.reply.is_awaited())
    }

    /// Whether the first byte of an answer is waited for.
    pub fn awaits_first_byte(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|inquiry| inquiry.reply == Reply::Waiting)
    }

    /// A connection was established, suspiciously or not. Returns how long after that its deadline
    /// is.
    pub fn open(&mut self, slot: u32, is_suspicious: bool) -> Option<Span> {
        let is_probed = self.is_probed(slot);
        let inquiry = self.slots.get_mut(slot as usize)?;
        if let Some(timeout) = self.reply_timeout {
            inquiry.reply = Reply::Waiting;
            self.replies_pending += 1;
            return Some(timeout);
        }
        let is_suspicious = is_suspicious && self.suspects_left > 0;
        self.suspects_left -= u32::from(is_suspicious);
        let (doubt, after) = match (is_probed, is_suspicious) {
            (true, false) => (Doubt::Due, PROBED_AFTER),
            (true, true) => (Doubt::SuspectDue, SUSPECTED_AFTER),
            (false, true) => (Doubt::LookDue, SUSPECTED_AFTER),
            (false, false) => return None,
        };
        inquiry.doubt = doubt;
        self.probes_pending += u32::from(is_probed);
        Some(after)
    }

    /// Bytes came. Returns whether they were the first that were waited for; what became of the
    /// deadline [`Inquiries::is_pending`] tells.
    pub fn hear(&mut self, slot: u32) -> bool {
        let any_byte = self.any_byte;
        let Some(inquiry) = self.slots.get_mut(slot as usize) else { return false };
        let is_first = inquiry.reply == Reply::Waiting;
        if is_first {
            inquiry.reply = Reply::Heard;
            if any_byte {
                self.answer(slot);
            }
            return true;
        }
        match inquiry.doubt {
            doubt if doubt.is_open() => {
                self.prove(slot);
            }
            Doubt::LookDue => inquiry.doubt = Doubt::None,
            Doubt::Silent => {
                inquiry.doubt = Doubt::Proven;
                self.findings.silent -= 1;
                self.findings.proven += 1;
            }
            _ => {}
        }
        false
    }

    /// What was expected came. Returns whether it came in time, and after a first byte: without one
    /// it is nonsense.
    pub fn answer(&mut self, slot: u32) -> bool {
        let is_probed = self.is_probed(slot);
        let Some(inquiry) = self.slots.get_mut(slot as usize) else { return false };
        if inquiry.reply != Reply::Heard {
            return false;
        }
        inquiry.reply = Reply::Answered;
        self.replies_pending -= 1;
        self.findings.answered += 1;
        if is_probed {
            // Nothing proves it better.
            inquiry.doubt = Doubt::Proven;
            self.findings.probed += 1;
            self.findings.proven += 1;
        }
        true
    }

    /// The deadline of a slot has come.
    pub fn expire(&mut self, slot: u32) -> Step {
        let is_probed = self.is_probed(slot);
        let Some(inquiry) = self.slots.get_mut(slot as usize) else { return Step::default() };
        if inquiry.reply.is_awaited() {
            let was_heard = inquiry.reply == Reply::Heard;
            inquiry.reply = Reply::Unanswered;
            self.replies_pending -= 1;
            self.findings.unanswered += 1;
            return self.doubt_unanswered(slot, is_probed, was_heard);
        }
        let probe = Step { probe: true, again: Some(LOOKS[0]), ..Step::default() };
        self.findings.probed += u64::from(inquiry.doubt.is_unasked());
        let (doubt, step) = match inquiry.doubt {
            Doubt::Due => (Doubt::Asked(0), probe),
            Doubt::SuspectDue => (Doubt::Asked(0), Step { suspect: true, ..probe }),
            Doubt::LookDue => (Doubt::None, Step { suspect: true, ..Step::default() }),
            Doubt::Asked(looks) if usize::from(looks) < LOOKS.len() => {
                let again = LOOKS.get(usize::from(looks) + 1).copied().unwrap_or(LAST_LOOK);
                let step = Step { look: true, again: Some(again), ..Step::default() };
                (Doubt::Asked(looks + 1), step)
            }
            Doubt::Asked(_) => {
                self.probes_pending -= 1;
                self.findings.silent += 1;
                (Doubt::Silent, Step { hush: true, ..Step::default() })
            }
            settled => (settled, Step::default()),
        };
        inquiry.doubt = doubt;
        step
    }

    /// Who has not answered is suspicious, unless it has said anything at all.
    fn doubt_unanswered(&mut self, slot: u32, is_probed: bool, was_heard: bool) -> Step {
        let inquiry = &mut self.slots[slot as usize];
        let mut step = Step { unanswered: true, ..Step::default() };
        self.findings.probed += u64::from(is_probed);
        if was_heard {
            self.findings.proven += u64::from(is_probed);
            inquiry.doubt = if is_probed { Doubt::Proven } else { Doubt::None };
            return step;
        }
        step.suspect = self.suspects_left > 0;
        self.suspects_left -= u32::from(step.suspect);
        if is_probed {
            inquiry.doubt = Doubt::Asked(0);
            self.probes_pending += 1;
            step.probe = true;
            step.again = Some(LOOKS[0]);
        }
        step
    }

    /// A look has found that the server has sent something since the handshake. Returns whether
    /// that settles a doubt.
    pub fn prove(&mut self, slot: u32) -> bool {
        let Some(inquiry) = self.slots.get_mut(slot as usize) else { return false };
        if !inquiry.doubt.is_open() {
            return false;
        }
        self.findings.probed += u64::from(inquiry.doubt.is_unasked());
        inquiry.doubt = Doubt::Proven;
        self.probes_pending -= 1;
        self.findings.proven += 1;
        true
    }

    /// A look on suspicion has found what it has found.
    pub fn suspect(&mut self, is_half_open: bool) {
        self.findings.suspects += 1;
        self.findings.suspects_half_open += u64::from(is_half_open);
    }

    /// The connection is closed: whatever it was asked, there will be no answer.
    pub fn close(&mut self, slot: u32) {
        let Some(inquiry) = self.slots.get_mut(slot as usize) else { return };
        if inquiry.reply.is_awaited() {
            self.replies_pending -= 1;
            self.findings.closed_unanswered += 1;
        }
        self.probes_pending -= u32::from(inquiry.doubt.is_open());
        self.findings.silent -= u64::from(inquiry.doubt == Doubt::Silent);
        *inquiry = Inquiry { reply: Reply::NotAsked, doubt: Doubt::None };
    }

    fn is_probed(&self, slot: u32) -> bool {
        self.stride > 0 && slot.is_multiple_of(self.stride)
    }

    /// Recounts; O(slots), for tests.
    ///
    /// # Panics
    /// If the counts are wrong.
    pub fn audit(&self) {
        let waiting = |i: &&Inquiry| i.reply.is_awaited();
        let asked = |i: &&Inquiry| i.doubt.is_open();
        let silent = |i: &&Inquiry| i.doubt == Doubt::Silent;
        assert_eq!(self.replies_pending as usize, self.slots.iter().filter(waiting).count());
        assert_eq!(self.probes_pending as usize, self.slots.iter().filter(asked).count());
        assert_eq!(self.findings.silent as usize, self.slots.iter().filter(silent).count());
        let both = self.slots.iter().filter(waiting).any(|i| i.doubt != Doubt::None);
        assert!(!both, "one deadline, two questions");
    }
}
