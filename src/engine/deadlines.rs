//! What deadlines do: dials time out, checks go on, and holds begin new rounds of keepalives.

use super::check_table::{CheckActions, Deadline, Input};
use super::{Action, EndReason, Engine, Failure, Key, Note, State, TcpInfoPurpose};
use crate::plan::{CHECK_COST, FINAL_DRAIN_COST};
use crate::units::{Moment, Span, Tick};

impl Engine {
    /// Fires what is due, within the turn's budget.
    pub(super) fn expire(&mut self, actions: &mut Vec<Action>) {
        let mut budget = self.budgets.expiries_max;
        let tick = Tick::begun_by(self.now);
        while let Some(slot) = self.wheel.pop_expired(tick, &mut budget) {
            let key = self.table.key(slot);
            if self.is(key, State::Established) {
                budget = budget.saturating_sub(self.established_due(key, actions) - 1);
                continue;
            }
            let dialed_at = self.table.get(key).map_or(self.now, |connection| connection.since);
            let due = dialed_at + self.dial_timeout.unwrap_or(Span::ZERO);
            if self.now < due {
                // The wheel reaches 12 days from its own time, which stands still between turns.
                self.wheel.arm(slot, Tick::at_or_after(due));
                continue;
            }
            let lateness = self.now.since(due);
            self.stats.timeout_lateness_max = self.stats.timeout_lateness_max.max(lateness);
            let failure = Failure { reason: EndReason::TimedOut, errno: 0 };
            self.fail(key, failure, self.now, actions);
        }
        self.run_round(actions);
        self.stalled.advance(&self.table, self.now);
    }

    /// The deadline of an established connection. Returns its cost in [`Budgets::expiries_max`].
    ///
    /// [`Budgets::expiries_max`]: crate::plan::Budgets::expiries_max
    fn established_due(&mut self, key: Key, actions: &mut Vec<Action>) -> u32 {
        let since = self.table.get(key).map_or(self.now, |connection| connection.since);
        if self.churns(key.slot) {
            self.lifetime_due(key, since, actions);
            return CHECK_COST;
        }
        let reply_timeout = self.checks.reply_timeout(key.slot);
        if let Some(due) = reply_timeout.map(|span| since + span).filter(|due| self.now < *due) {
            // Beyond the reach of the wheel, as above.
            self.wheel.arm(key.slot, Tick::at_or_after(due));
            return CHECK_COST;
        }
        // The reply may have come in time and wait to be drained.
        let is_unread = self.ready.contains(key.slot);
        if is_unread && self.checks.state(key.slot).is_reply_timed() {
            self.checks.take(key.slot, Input::Unread, self.now);
            self.final_drains.push(key.slot);
            self.wheel.arm(key.slot, Tick::at_or_after(self.now + Tick::LENGTH));
            return FINAL_DRAIN_COST;
        }
        let checks = self.checks.take(key.slot, Input::Due, self.now);
        if checks.reply_timed_out {
            let sent_at = self.held_sent_at(key.slot).unwrap_or(since);
            self.stats.no_reply.add(self.now, self.now.since(sent_at));
        }
        self.carry_out(key, self.now, &checks, actions);
        CHECK_COST
    }

    /// Begins a round of keepalives if one is due, or goes on with one, within a budget of its own.
    fn run_round(&mut self, actions: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        let mut budget = self.budgets.expiries_max;
        self.checks.begin_round(self.now, self.decided_at, self.hold());
        while budget > 0
            && let Some(slot) = self.checks.next_of_round()
        {
            let key = self.table.key(slot);
            let is_open = self.is(key, State::Established);
            budget = budget.saturating_sub(if is_open { CHECK_COST } else { 1 });
            if is_open {
                let checks = self.checks.take(slot, Input::Recheck, self.now);
                self.carry_out(key, self.now, &checks, actions);
            }
        }
    }

    /// Carries out what the transition table calls for.
    pub(super) fn carry_out(
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
            self.read_tcp_info(key, TcpInfoPurpose::Suspect, actions);
        }
        if checks.start_keepalive || checks.send {
            self.held_sent(key, self.now);
        }
        if checks.start_keepalive {
            actions.push(Action::StartKeepalive(key));
        }
        if checks.read {
            self.read_tcp_info(key, TcpInfoPurpose::Keepalive, actions);
        }
        if checks.stop_keepalive {
            actions.push(Action::StopKeepalive(key));
        }
        match checks.deadline {
            Deadline::Keep => {}
            Deadline::Cancel => self.wheel.cancel(slot),
            Deadline::After(span) => self.wheel.arm(slot, Tick::at_or_after(at + span)),
            // It has just fired, so the wheel stands where it was due. Counted from there, the send
            // time of the keepalive follows from any of its deadlines.
            Deadline::AfterDue(span) => {
                let mut due = self.wheel.current().moment() + span;
                if due <= self.now {
                    self.checks.late(self.now);
                    due = self.now + span;
                }
                self.wheel.arm(slot, Tick::at_or_after(due));
            }
        }
        if checks.send {
            actions.push(Action::Send(key));
        }
        if checks.again || checks.is_answered.is_some() {
            self.held_checked(key, checks);
        }
    }
}
