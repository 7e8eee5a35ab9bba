//! What a turn starts by itself: samples, drains, dials, and when the next turn is due.

use super::{Action, EndReason, Engine, Key, Note, State, Wake};
use crate::units::{Moment, Tick, low_32, next_beat};

impl Engine {
    /// At the beginning of a turn, when nothing has changed since the one before.
    pub(super) fn advance_series(&mut self, now: Moment) {
        let after = now.since(self.start);
        if self.series.is_due(after) {
            let (last_turn, point) = (self.now.since(self.start), self.point());
            self.series.advance(last_turn, after, &point);
        }
        let interval_end = self.churn.as_ref().map(|churn| churn.interval_end);
        if interval_end.is_some_and(|end| end.is_none_or(|end| end <= now)) {
            self.advance_intervals(now);
        }
    }

    pub(super) fn sample_if_due(&mut self, actions: &mut Vec<Action>) {
        if self.sample_due.is_some_and(|due| due <= self.now) {
            actions.push(Action::Sample);
            self.sample_due = self.interval.map(|every| next_beat(self.start, every, self.now));
        }
    }

    pub(super) fn drain(&mut self, actions: &mut Vec<Action>) {
        let final_drains = self.final_drains.iter();
        actions.extend(final_drains.map(|slot| Action::DrainFully(self.table.key(*slot))));
        for _ in 0..self.budgets.drains_max {
            let Some(slot) = self.ready.pop() else { return };
            self.note_drain(slot);
            let key = self.table.key(slot);
            // It may have closed while it waited.
            if self.is(key, State::Established) {
                actions.push(Action::Drain(key));
            }
        }
    }

    pub(super) fn dial(&mut self, actions: &mut Vec<Action>) {
        // Skipped dials come first: nothing stands between a dial and the poll, and they may reach
        // the maximum of errors.
        if self.is_time_up() {
            return;
        }
        if self.churn.is_some() {
            return self.dial_again(actions);
        }
        let mut skipped = 0;
        while skipped < self.budgets.skips_max
            && self.exhausted_routes.must_skip(self.next_slot(), self.now)
            && let Some(slot) = self.pacer.take(self.now)
        {
            skipped += 1;
            self.skip_dial(self.table.key(slot), actions);
            if self.has_max_errors() {
                break;
            }
        }
        if skipped > 0 {
            self.conclude();
        }
        let mut dials = 0;
        while !self.over
            && dials < self.budgets.dials_max
            && !self.exhausted_routes.must_skip(self.next_slot(), self.now)
            && let Some(slot) = self.pacer.take(self.now)
        {
            dials += 1;
            self.exhausted_routes.dial(slot, self.now);
            actions.push(Action::Dial(self.table.key(slot)));
        }
    }

    /// The slot of the next dial, without churn.
    fn next_slot(&self) -> u32 {
        low_32(self.pacer.taken())
    }

    /// A dial that fails without a system call: its route has no free port. It took no time, so none
    /// is recorded.
    fn skip_dial(&mut self, key: Key, actions: &mut Vec<Action>) {
        self.post(key, State::Dialing, self.now, None);
        self.stats.failure_times[EndReason::NoPorts as usize].add_untimed(self.now);
        self.post(key, State::Error, self.now, Some(EndReason::NoPorts));
        self.stats.skipped += 1;
        self.note(key, Note::Skipped, actions);
    }

    pub(super) fn wake_after_turn(&self) -> Wake {
        if self.over {
            return Wake::Never;
        }
        if self.readiness_may_be_pending() || !self.ready.is_empty() {
            return Wake::Now;
        }
        let time_up = self.time_up_at;
        let is_time_up = time_up.is_some_and(|end| end <= self.now);
        let dial = if self.stopped || is_time_up { None } else { self.dial_due() };
        // At full speed the next dial is due, whatever else is.
        if dial.is_some_and(|due| due <= self.now) {
            return Wake::Now;
        }
        let wheel = self.wheel.next_due().map(Tick::moment);
        let time_up = time_up.filter(|_| !is_time_up && self.decided_at.is_none());
        // While checks are pending, their results end the run.
        let end = self.end_due().filter(|_| !self.checks.is_waiting());
        let round = self.checks.next_due(self.now, self.decided_at, self.hold());
        let round = round.filter(|_| !self.stopped);
        let due = [wheel, dial, self.sample_due, end, round, time_up, self.stalled.next_due()]
            .into_iter()
            .flatten()
            .min();
        match due {
            Some(due) if due > self.now => Wake::At(due),
            Some(_) => Wake::Now,
            None => Wake::Never,
        }
    }
}
