//! What is due: dials that time out, checks of connections, and the rounds of a hold.

use super::check_state::CheckState;
use super::check_table::{CheckActions, Deadline, Input};
use super::{Action, EndReason, Engine, Failure, Key, Note, State, TcpInfoPurpose};
use crate::plan::{CHECK_COST, FINAL_DRAIN_COST};
use crate::units::{Moment, Span, Tick};

impl Engine {
    /// How a connection stands with its checks; for tests.
    pub fn check_state(&self, key: Key) -> CheckState {
        self.checks.state(key.slot)
    }

    /// Fires the deadlines that have come, as far as the turn's budget goes.
    pub(super) fn expire(&mut self, actions: &mut Vec<Action>) {
        let mut budget = self.budgets.expiries_max;
        let tick = Tick::begun_by(self.now);
        while let Some(slot) = self.wheel.pop_expired(tick, &mut budget) {
            let key = self.table.key(slot);
            if self.is(key, State::Established) {
                budget = budget.saturating_sub(self.check_due(key, actions) - 1);
                continue;
            }
            let dialed_at = self.table.get(key).map_or(self.now, |connection| connection.since);
            let due = dialed_at + self.dial_timeout.unwrap_or(Span::ZERO);
            if self.now < due {
                // The wheel reaches 12 days; a clock that stood still for days in between can make
                // a deadline further.
                self.wheel.arm(slot, Tick::at_or_after(due));
                continue;
            }
            let lateness = self.now.since(due);
            self.tally.timeout_lateness_max = self.tally.timeout_lateness_max.max(lateness);
            let failure = Failure { reason: EndReason::TimedOut, errno: 0 };
            self.fail(key, failure, self.now, actions);
        }
        self.ask_again(actions);
    }

    /// The deadline of an established connection has come. Returns what that costs of
    /// [`Budgets::expiries_max`].
    fn check_due(&mut self, key: Key, actions: &mut Vec<Action>) -> u32 {
        let since = self.table.get(key).map_or(self.now, |connection| connection.since);
        let reply_due = self.reply_due(key);
        if let Some(due) = reply_due.filter(|due| self.now < *due) {
            // As with a dial's: after days without a turn the wheel may not have reached so far.
            self.wheel.arm(key.slot, Tick::at_or_after(due));
            return CHECK_COST;
        }
        // What came in time can wait for its drain, or for the next one.
        let is_unread = reply_due.is_some() && self.ready.contains(key.slot);
        let state = self.checks.state(key.slot);
        if is_unread && matches!(state, CheckState::ReplyPending | CheckState::PartialReply) {
            self.checks.take(key.slot, Input::Unread, self.now);
            self.final_drains.push(key.slot);
            self.wheel.arm(key.slot, Tick::at_or_after(self.now + Tick::LENGTH));
            return FINAL_DRAIN_COST;
        }
        let checks = self.checks.take(key.slot, Input::Due, self.now);
        if checks.reply_timed_out {
            self.tally.unanswered.add(self.now, self.now.since(since));
        }
        self.act(key, self.now, &checks, actions);
        CHECK_COST
    }

    /// Begins a round of keepalives if one is due, and goes on with the one under way, with as much
    /// in a turn as there is for deadlines.
    fn ask_again(&mut self, actions: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        let mut budget = self.budgets.expiries_max;
        self.checks.begin_round(self.now, self.decided_at, self.hold);
        while budget > 0
            && let Some(slot) = self.checks.next_to_ask()
        {
            let key = self.table.key(slot);
            let is_open = self.is(key, State::Established);
            budget = budget.saturating_sub(if is_open { CHECK_COST } else { 1 });
            if is_open {
                let checks = self.checks.take(slot, Input::Ask, self.now);
                self.act(key, self.now, &checks, actions);
            }
        }
    }

    /// Carries out what the table of the checks says of one connection at `at`.
    pub(super) fn act(
        &mut self,
        key: Key,
        at: Moment,
        checks: &CheckActions,
        actions: &mut Vec<Action>,
    ) {
        let slot = key.slot;
        if checks.reply_timed_out {
            self.note(key, Note::ReplyTimedOut, actions);
        }
        if checks.read_suspect {
            self.reads.ask(key, TcpInfoPurpose::Suspect, actions);
        }
        if checks.start_keepalive {
            actions.push(Action::StartKeepalive(key));
        }
        if checks.read {
            self.reads.ask(key, TcpInfoPurpose::Keepalive, actions);
        }
        if checks.stop_keepalive {
            actions.push(Action::StopKeepalive(key));
        }
        match checks.deadline {
            Deadline::Keep => {}
            Deadline::Cancel => self.wheel.cancel(slot),
            Deadline::After(span) => self.wheel.arm(slot, Tick::at_or_after(at + span)),
            // Just fired: the wheel stands where the deadline was. What the next one is counted back
            // from is then when the keepalive was sent, or later.
            Deadline::AfterDue(span) => {
                let mut due = self.wheel.current().moment() + span;
                if due <= self.now {
                    self.checks.late(self.now);
                    due = self.now + span;
                }
                self.wheel.arm(slot, Tick::at_or_after(due));
            }
        }
    }
}
