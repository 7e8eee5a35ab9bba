//! The checks of a run: the state of each connection in the transition table of `check_table.rs`, and
//! the ledger over these.

use std::collections::TryReserveError;

use super::check_state::{CheckState, CheckStates, Outcome, Reply};
use super::check_stats::{CheckLedger, CheckStats, Posting, Round};
use super::check_table::{CheckActions, Input, POLLED_FOR, Rules, step};
use super::connection::EndReason;
use super::rounds::Rounds;
use super::tcp_info::HalfOpenSuspect;
use crate::plan::{Hold, Plan, Probe, ReplyCheck};
use crate::units::{Moment, Span};

/// The most connections taken for suspects.
pub const SUSPECTS_MAX: u32 = 1_000;

/// A byte a slot, if anything is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    slots: CheckStates,
    /// How many slots are checked: all, those that are held beside a churn, or none.
    count: u32,
    /// Whether each is checked again and again.
    repeats: bool,
    reply_timeout: Option<Span>,
    /// Whether any byte is a reply.
    any_byte: bool,
    /// Whether the run waits for all keepalives, and not only for those at its end.
    waits_for_first: bool,
    ledger: CheckLedger,
    rounds: Rounds,
    /// When the last gap ended.
    gap_ended: Option<Moment>,
    /// When a read was last so late that the send time of its keepalive is lost.
    late_at: Option<Moment>,
}

impl Checks {
    /// # Errors
    /// If allocation fails.
    pub fn new(plan: &Plan) -> Result<Checks, TryReserveError> {
        let slots = match (checks(plan), plan.hold_beside) {
            (false, _) => 0,
            (true, 0) => plan.connections,
            (true, held) => held,
        };
        let repeats = plan.hold_beside > 0;
        Ok(Checks {
            slots: CheckStates::new(slots)?,
            count: slots,
            repeats,
            reply_timeout: plan
                .reply_check
                .as_ref()
                .map(|reply_check: &ReplyCheck| reply_check.reply_timeout),
            any_byte: plan
                .reply_check
                .as_ref()
                .is_some_and(|reply_check| reply_check.expect.is_empty()),
            waits_for_first: plan.probe == Probe::All && !repeats,
            ledger: CheckLedger::new(slots),
            rounds: Rounds::new(plan),
            gap_ended: None,
            late_at: None,
        })
    }

    /// The results so far.
    pub fn stats(&self) -> CheckStats {
        self.ledger.stats()
    }

    /// Whether the run has to wait for a check.
    pub fn is_waiting(&self) -> bool {
        let waits_for_first = self.waits_for_first && self.keepalives_pending() > 0;
        let is_last = self.rounds.is_last_begun();
        let waits_for_last =
            is_last && (self.rounds.is_in_progress() || self.ledger.in_flight() > 0);
        self.replies_pending() > 0 || waits_for_first || waits_for_last
    }

    /// How many replies the run waits for: that may still come in time, unless each is checked again.
    pub fn replies_pending(&self) -> u32 {
        if self.repeats { 0 } else { self.ledger.replies_pending() }
    }

    /// How many connections have no result yet, in a run that checks all by a keepalive; without those
    /// with a reply pending.
    pub fn probes_pending(&self) -> u32 {
        let waits = self.waits_for_first && !self.rounds.has_later();
        if waits { self.keepalives_pending() } else { 0 }
    }

    fn keepalives_pending(&self) -> u32 {
        let scheduled = self.ledger.level(CheckState::KeepaliveScheduled)
            + self.ledger.level(CheckState::SuspectScheduled);
        scheduled + self.ledger.in_flight()
    }

    /// Whether applications are to reply.
    pub fn are_replies_expected(&self) -> bool {
        self.reply_timeout.is_some()
    }

    pub fn state(&self, slot: u32) -> CheckState {
        self.slots.get(slot)
    }

    /// The reply timeout of a slot, if a reply is pending.
    pub fn reply_timeout(&self, slot: u32) -> Option<Span> {
        self.reply_timeout.filter(|_| self.state(slot).is_reply_pending())
    }

    /// Whether the server repeats its SYN-ACK to a slot, as far as the latest check tells.
    pub fn repeats_syn_ack(&self, slot: u32) -> bool {
        self.state(slot).outcome() == Outcome::RepeatsSynAck
    }

    /// What came of the reply of a slot, open or not.
    pub fn reply(&self, slot: u32) -> Reply {
        self.state(slot).reply()
    }

    /// What happened to a slot at `at`; returns what is to be done.
    pub fn take(&mut self, slot: u32, input: Input, at: Moment) -> CheckActions {
        self.post(slot, input, at, None, false)
    }

    /// The connection has ended.
    pub fn close(&mut self, slot: u32, reason: EndReason, at: Moment) {
        self.post(slot, Input::Closed, at, Some(reason), false);
    }

    /// Bytes came. Returns whether they were the first of a pending reply.
    pub fn on_data(&mut self, slot: u32, at: Moment, is_late: bool) -> (bool, CheckActions) {
        let is_first = self.state(slot).is_silent_so_far();
        let mut actions = self.take(slot, Input::Data, at);
        if is_first && self.any_byte {
            actions = self.post(slot, Input::Reply, at, None, is_late);
        }
        (is_first, actions)
    }

    /// The expected reply came. `None`: none was pending, or no byte came.
    pub fn on_reply(&mut self, slot: u32, at: Moment, is_late: bool) -> Option<CheckActions> {
        let is_partial = self.state(slot).is_partial();
        is_partial.then(|| self.post(slot, Input::Reply, at, None, is_late))
    }

    fn post(
        &mut self,
        slot: u32,
        input: Input,
        at: Moment,
        end: Option<EndReason>,
        is_late_read: bool,
    ) -> CheckActions {
        if slot >= self.count {
            return CheckActions::default();
        }
        let from = self.state(slot);
        let is_sampled = self.rounds.is_sampled(slot);
        let rules = Rules {
            reply_timeout: self.reply_timeout,
            is_sampled,
            has_suspects_left: !self.repeats && self.ledger.suspects_taken() < SUSPECTS_MAX,
            repeats: self.repeats,
        };
        let (to, mut actions) = step(from, input, &rules);
        let round = self.rounds.round_of(slot);
        let posting = Posting {
            from,
            to,
            round,
            is_sampled: is_sampled && !self.repeats,
            end,
            is_late_read,
            reads_suspect: actions.read_suspect,
            at,
        };
        if from != to {
            self.slots.set(slot, to);
            self.ledger.post(&posting);
        }
        if self.repeats && from.is_pending() && end.is_none() {
            actions.is_answered = is_answered(to);
            let (next, again) = step(to, Input::Again, &rules);
            if next != to {
                self.slots.set(slot, next);
                self.ledger.post(&Posting { from: to, to: next, reads_suspect: false, ..posting });
            }
            actions.again = again.again;
        }
        actions
    }

    /// The result of a read on suspicion.
    pub fn suspect(&mut self, found: HalfOpenSuspect) {
        self.ledger.suspect(found);
    }

    /// A gap ended at `at`.
    pub fn gap(&mut self, at: Moment) {
        self.gap_ended = Some(self.gap_ended.map_or(at, |before| before.max(at)));
    }

    /// A read was late by more than the time to the next one.
    pub fn late(&mut self, at: Moment) {
        self.late_at = Some(at);
    }

    /// Whether this host was polling all the time since `sent_at`, and read in time.
    pub fn was_polling_since(&self, sent_at: Moment) -> bool {
        [self.gap_ended, self.late_at].into_iter().flatten().all(|at| at <= sent_at)
    }

    /// Whether this host was polling for long enough before `at`, or all the time since `sent_at`.
    pub fn was_polling(&self, sent_at: Moment, at: Moment) -> bool {
        self.gap_ended.is_none_or(|ended| ended <= sent_at || at.since(ended) >= POLLED_FOR)
    }

    /// Whether the keepalive that is out is the first on its connection.
    pub fn is_first(&self, slot: u32) -> bool {
        self.rounds.round_of(slot) == Round::First
    }

    /// Begins a later round if one is due; the last dial was decided at `decided`.
    pub fn begin_round(&mut self, now: Moment, decided: Option<Moment>, hold: Hold) {
        if decided.is_none() {
            return;
        }
        let is_busy = self.keepalives_pending() + self.ledger.replies_pending() > 0;
        if self.rounds.begin(now, decided, hold, is_busy) == Some(Round::Watch) {
            self.ledger.begin_watch();
        }
    }

    /// The next slot of the round in progress; it may have ended.
    pub fn next_of_round(&mut self) -> Option<u32> {
        self.rounds.next()
    }

    /// When a later round has something to do.
    pub fn next_due(&self, now: Moment, decided: Option<Moment>, hold: Hold) -> Option<Moment> {
        let is_busy = self.keepalives_pending() + self.ledger.replies_pending() > 0;
        self.rounds.next_due(now, decided, hold, is_busy)
    }

    /// Recounts; O(slots), for tests.
    ///
    /// # Panics
    /// If the ledger is wrong.
    pub fn audit(&self) {
        self.ledger.audit(self.slots.iter());
    }
}

/// What a check found that is over in `state`, if it is, and if that is known.
fn is_answered(state: CheckState) -> Option<bool> {
    let CheckState::Settled(reply, outcome) = state else { return None };
    match (reply, outcome) {
        (Reply::Replied, _) | (Reply::NotExpected, Outcome::Confirmed) => Some(true),
        (Reply::NotExpected, Outcome::None | Outcome::Unknown | Outcome::NotSent) => None,
        _ => Some(false),
    }
}

/// Whether `plan` checks anything.
pub(super) fn checks(plan: &Plan) -> bool {
    plan.reply_check.is_some() || plan.probe != Probe::None
}

#[cfg(test)]
mod tests;
