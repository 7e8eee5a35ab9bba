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

use super::connection::EndReason;
use super::standing::{Standing, Standings};
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

/// What has come of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    pub answered: u64,
    /// Of these: read when the time was up. What came in time could not be read in time.
    pub overdue: u64,
    /// Established, and no answer in time.
    pub unanswered: u64,
    /// Of these: said something in time, but not what was expected.
    pub misheard: u64,
    /// Of these: said something, but only when the time was up.
    pub late: u64,
    /// Closed before they answered.
    pub closed_unanswered: u64,
    /// Looked into: asked by keepalive, or settled before it came to that. What is left of them
    /// without those below and those closed as half open ended before anything could be told.
    pub probed: u64,
    /// Of these: a keepalive was sent.
    pub asked: u64,
    /// Of these: asked, and so far not as long that silence means anything.
    pub open: u64,
    /// Of these: the server has them.
    pub proven: u64,
    /// Of these: asked, and not a word came back so far, not even an end.
    pub silent: u64,
    /// Looked at on suspicion.
    pub suspects: u64,
    /// Of these: the server had repeated its SYN-ACK, and said nothing else.
    pub suspects_half_open: u64,
    /// Of the others: nothing of what was sent was acknowledged, by a server that does not have the
    /// connection or by a network that loses everything.
    pub suspects_unacknowledged: u64,
}

/// What a look on suspicion has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    Unfounded,
    HalfOpen,
    Unacknowledged,
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

/// Half a byte a slot where anything is asked, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiries {
    slots: Standings,
    /// Whether anybody asks for anything.
    asks: bool,
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
        let asks = asks(plan);
        Ok(Inquiries {
            slots: Standings::new(if asks { plan.connections } else { 0 })?,
            asks,
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

    /// How many connections, of which the run was to tell whether the server has them, are neither
    /// settled nor silent; those of which an answer is awaited first are not among them.
    pub fn unsettled_count(&self) -> u32 {
        if self.waits_for_probes { self.probes_pending } else { 0 }
    }

    /// Whether applications are to answer.
    pub fn are_answers_awaited(&self) -> bool {
        self.reply_timeout.is_some()
    }

    /// Whether a deadline is armed for a slot.
    pub fn is_pending(&self, slot: u32) -> bool {
        self.slots.get(slot).is_pending()
    }

    /// How a slot stands.
    pub fn standing(&self, slot: u32) -> Standing {
        self.slots.get(slot)
    }

    /// For how long in all an answer of a slot is waited for, if one is.
    pub fn awaited(&self, slot: u32) -> Option<Span> {
        self.reply_timeout.filter(|_| self.slots.get(slot).is_awaited())
    }

    /// Whether the application has answered in time, whatever became of the connection.
    pub fn has_answered(&self, slot: u32) -> bool {
        self.slots.get(slot) == Standing::Answered
    }

    /// Whether it let its time pass, whatever became of the connection.
    pub fn has_missed(&self, slot: u32) -> bool {
        // Where somebody talks, only who has not answered is looked into.
        let standing = self.slots.get(slot);
        let is_past = matches!(standing, Standing::Mute | Standing::Missed);
        is_past || (self.reply_timeout.is_some() && standing.is_probed())
    }

    /// A connection was established, suspiciously or not. Returns how long after that its deadline
    /// is.
    pub fn open(&mut self, slot: u32, is_suspicious: bool) -> Option<Span> {
        if !self.asks {
            return None;
        }
        if let Some(timeout) = self.reply_timeout {
            self.slots.set(slot, Standing::Reply);
            self.replies_pending += 1;
            return Some(timeout);
        }
        let is_probed = self.is_probed(slot);
        let is_suspicious = is_suspicious && self.suspects_left > 0;
        self.suspects_left -= u32::from(is_suspicious);
        let (standing, after) = match (is_probed, is_suspicious) {
            (true, false) => (Standing::Due, PROBED_AFTER),
            (_, true) => (Standing::SuspectDue, SUSPECTED_AFTER),
            (false, false) => return None,
        };
        self.slots.set(slot, standing);
        self.probes_pending += u32::from(is_probed);
        Some(after)
    }

    /// Bytes came. Returns whether they were the first that were waited for; what became of the
    /// deadline [`Inquiries::is_pending`] tells.
    pub fn hear(&mut self, slot: u32) -> bool {
        match self.slots.get(slot) {
            before if before.is_unheard() => {
                let is_due = before == Standing::ReplyDue;
                self.slots.set(slot, if is_due { Standing::HeardDue } else { Standing::Heard });
                if self.any_byte {
                    self.answer(slot);
                }
                return true;
            }
            Standing::SuspectDue if !self.is_probed(slot) => {
                self.slots.set(slot, Standing::Unasked);
            }
            before => {
                let is_late = self.has_missed(slot) && before != Standing::Missed;
                if before == Standing::Silent {
                    self.slots.set(slot, Standing::Proven);
                    self.findings.silent -= 1;
                    self.findings.proven += 1;
                } else {
                    self.prove(slot);
                }
                if is_late {
                    self.slots.set(slot, Standing::Missed);
                    self.findings.late += 1;
                }
            }
        }
        false
    }

    /// What was expected came. Returns whether it came in time, and after a first byte: without one
    /// it is nonsense.
    pub fn answer(&mut self, slot: u32) -> bool {
        if !self.slots.get(slot).is_heard() {
            return false;
        }
        self.replies_pending -= 1;
        self.findings.answered += 1;
        // Nothing proves it better.
        self.settle_heard(slot, Standing::Answered);
        true
    }

    /// Nothing more is awaited of a slot that has said something.
    fn settle_heard(&mut self, slot: u32, outcome: Standing) {
        let is_probed = self.is_probed(slot);
        self.slots.set(slot, outcome);
        self.findings.probed += u64::from(is_probed);
        self.findings.proven += u64::from(is_probed);
    }

    /// An answer is due while what has come was not read whole. Returns whether its deadline is put
    /// off, once, so that it can be.
    pub fn defer_reply_deadline(&mut self, slot: u32) -> bool {
        let after = match self.slots.get(slot) {
            Standing::Reply => Standing::ReplyDue,
            Standing::Heard => Standing::HeardDue,
            _ => return false,
        };
        self.slots.set(slot, after);
        true
    }

    /// The deadline of a slot has come.
    pub fn expire(&mut self, slot: u32) -> Step {
        let before = self.slots.get(slot);
        let probe = Step { probe: true, again: Some(LOOKS[0]), ..Step::default() };
        let look = |again| Step { look: true, again: Some(again), ..Step::default() };
        let (standing, step) = match before {
            _ if before.is_awaited() => return self.miss(slot, before),
            Standing::Due => (Standing::Asked, probe),
            Standing::SuspectDue if self.is_probed(slot) => {
                (Standing::Asked, Step { suspect: true, ..probe })
            }
            Standing::SuspectDue => (Standing::Unasked, Step { suspect: true, ..Step::default() }),
            Standing::Asked => (Standing::AskedLooked, look(LOOKS[1])),
            Standing::AskedLooked => (Standing::AskedLookedTwice, look(LOOKS[2])),
            Standing::AskedLookedTwice => (Standing::AskedLookedThrice, look(LAST_LOOK)),
            Standing::AskedLookedThrice => {
                self.probes_pending -= 1;
                self.findings.open -= 1;
                self.findings.silent += 1;
                (Standing::Silent, Step { hush: true, ..Step::default() })
            }
            _ => return Step::default(),
        };
        self.count_asked(step.probe);
        self.slots.set(slot, standing);
        step
    }

    /// No answer in time: that is suspicious of who has not said anything at all.
    fn miss(&mut self, slot: u32, before: Standing) -> Step {
        let mut step = Step { unanswered: true, ..Step::default() };
        self.replies_pending -= 1;
        self.findings.unanswered += 1;
        if before.is_heard() {
            self.findings.misheard += 1;
            self.settle_heard(slot, Standing::Missed);
            return step;
        }
        step.suspect = self.suspects_left > 0;
        self.suspects_left -= u32::from(step.suspect);
        step.probe = self.is_probed(slot);
        step.again = step.probe.then_some(LOOKS[0]);
        self.slots.set(slot, if step.probe { Standing::Asked } else { Standing::Mute });
        self.probes_pending += u32::from(step.probe);
        self.count_asked(step.probe);
        step
    }

    fn count_asked(&mut self, is_asked: bool) {
        self.findings.probed += u64::from(is_asked);
        self.findings.asked += u64::from(is_asked);
        self.findings.open += u64::from(is_asked);
    }

    /// The server has sent something since the handshake. Returns whether that settles a doubt.
    pub fn prove(&mut self, slot: u32) -> bool {
        let before = self.slots.get(slot);
        if !before.is_open() {
            return false;
        }
        self.findings.probed += u64::from(before.is_due());
        self.findings.open -= u64::from(before.is_asked());
        self.slots.set(slot, Standing::Proven);
        self.probes_pending -= 1;
        self.findings.proven += 1;
        true
    }

    /// A look on suspicion has found what it has found.
    pub fn suspect(&mut self, found: Suspicion) {
        self.findings.suspects += 1;
        self.findings.suspects_half_open += u64::from(found == Suspicion::HalfOpen);
        self.findings.suspects_unacknowledged += u64::from(found == Suspicion::Unacknowledged);
    }

    /// The connection is closed by `reason`: whatever it was asked, there will be no answer. But an
    /// orderly end is one, as only who has a connection can end it so, and so is what came before;
    /// that it never was is the last word on it. Of any other end nobody knows who sent it.
    pub fn close(&mut self, slot: u32, reason: EndReason) {
        let before = self.slots.get(slot);
        if before.is_awaited() {
            self.replies_pending -= 1;
            self.findings.closed_unanswered += 1;
        }
        self.probes_pending -= u32::from(before.is_open() && self.is_probed(slot));
        self.findings.open -= u64::from(before.is_asked());
        self.findings.silent -= u64::from(before == Standing::Silent);
        let was_proven = self.is_proven(slot, before);
        self.findings.proven -= u64::from(was_proven);
        let is_half_open = reason == EndReason::HalfOpen;
        let said = was_proven || before.is_heard();
        let is_proven =
            self.is_probed(slot) && !is_half_open && (said || reason == EndReason::PeerClosed);
        self.findings.proven += u64::from(is_proven);
        let is_known = was_proven || before.is_probed();
        self.findings.probed += u64::from(!is_known && (is_proven || is_half_open));
        let after = match before {
            Standing::Answered => before,
            _ if self.has_missed(slot) => Standing::Missed,
            _ => Standing::Unasked,
        };
        if before != after {
            self.slots.set(slot, after);
        }
    }

    /// Whether it was looked into, and the server has it.
    fn is_proven(&self, slot: u32, standing: Standing) -> bool {
        let has_spoken = matches!(standing, Standing::Answered | Standing::Missed);
        standing == Standing::Proven || (has_spoken && self.is_probed(slot))
    }

    fn is_probed(&self, slot: u32) -> bool {
        self.stride > 0 && slot.is_multiple_of(self.stride)
    }

    /// Recounts; O(slots), for tests.
    ///
    /// # Panics
    /// If the counts are wrong.
    pub fn audit(&self) {
        let count = |fits: fn(Standing) -> bool| self.slots.iter().filter(|s| fits(*s)).count();
        assert_eq!(self.replies_pending as usize, count(Standing::is_awaited));
        let slots = (0..).zip(self.slots.iter());
        let open_probes = slots.filter(|(slot, s)| s.is_open() && self.is_probed(*slot)).count();
        assert_eq!(self.probes_pending as usize, open_probes);
        let Findings { probed, asked, open, proven, silent, .. } = self.findings;
        assert_eq!(open as usize, count(Standing::is_asked));
        assert_eq!(silent as usize, count(|s| s == Standing::Silent));
        assert!(open + silent <= asked && asked.max(open + silent + proven) <= probed);
    }
}

/// Whether `plan` asks anybody for anything.
pub(super) fn asks(plan: &Plan) -> bool {
    plan.talk.is_some() || plan.probe != Probe::None
}

#[cfg(test)]
mod tests;
