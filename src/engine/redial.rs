//! What a run that churns does: closes connections after their lifetime, dials free slots, counts by
//! interval.

use super::beside::Beside;
use super::check_table::CheckActions;
use super::churn::{ChurnStats, Late};
use super::{Action, Engine, Key, Note, State};
use crate::units::{Moment, Span, Tick};

impl Engine {
    /// A connection was established: its lifetime begins.
    pub(super) fn live(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let is_paced = self.pacer.is_paced();
        let Some(churn) = &mut self.churn else { return };
        churn.opened(key.slot, at, self.now, is_paced);
        if churn.holds(key.slot) {
            return;
        }
        match churn.lifetime {
            Span::ZERO => self.retire(key, at, actions),
            lifetime => self.wheel.arm(key.slot, Tick::at_or_after(at + lifetime)),
        }
    }

    /// The deadline of an established connection: its lifetime is over.
    pub(super) fn lifetime_due(&mut self, key: Key, since: Moment, actions: &mut Vec<Action>) {
        let lifetime = self.churn.as_ref().map_or(Span::ZERO, |churn| churn.lifetime);
        if self.now < since + lifetime {
            // Beyond the reach of the wheel.
            return self.wheel.arm(key.slot, Tick::at_or_after(since + lifetime));
        }
        self.retire(key, self.now, actions);
    }

    /// Closes a connection at the end of its lifetime.
    fn retire(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let after = self.post(key, State::NotInitiated, at, None);
        // Those of `--lifetime 0` are added to the summary all at once.
        if after > Span::ZERO {
            self.stats.lifetimes.record(after);
        }
        self.note(key, Note::Retired { after }, actions);
        actions.push(Action::Close(key));
        let Some(churn) = &mut self.churn else { return };
        churn.stats.closed_by_us += 1;
        churn.ended(key.slot, None, at, self.now);
        if churn.frees_port {
            self.exhausted_routes.clear(key.slot);
        }
    }

    /// Dials free slots, as far as the pace and the budget allow.
    pub(super) fn dial_again(&mut self, actions: &mut Vec<Action>) {
        self.begin_churn();
        for _ in 0..self.budgets.dials_max {
            if self.pacer.next_due().is_none_or(|due| due > self.now) {
                return;
            }
            let Some(slot) = self.next_free() else { return };
            let due = if self.pacer.is_paced() { self.pacer.next_scheduled() } else { self.now };
            let taken = self.pacer.take(self.now);
            assert!(taken.is_some(), "the next dial is due");
            let Some(churn) = &mut self.churn else { return };
            churn.dial(slot, due, self.now);
            self.exhausted_routes.dial(slot, self.now);
            let key = self.table.key(slot);
            // Our own close has done this already.
            if !self.is(key, State::NotInitiated) {
                self.post(key, State::NotInitiated, self.now, None);
            }
            actions.push(Action::Dial(self.table.key(slot)));
        }
    }

    /// Begins the churn beside held connections when it is due. Until then the pace stood still.
    fn begin_churn(&mut self) {
        let Some(churn) = &mut self.churn else { return };
        let due = churn.alone().and_then(Beside::begins_at);
        if due.is_some_and(|due| due <= self.now) {
            churn.begin(self.now, self.ledger.entered(State::Established));
            self.pacer.postpone(self.now.since(self.pacer.next_scheduled()));
            if let Some(beside) = &mut churn.beside {
                beside.due_from = Some(self.pacer.next_scheduled().max(self.now));
            }
            self.dialing_begins();
        }
    }

    /// Whether `slot` is dialed again, and not held beside those that are.
    pub(super) fn churns(&self, slot: u32) -> bool {
        self.churn.as_ref().is_some_and(|churn| !churn.holds(slot))
    }

    /// From when the run has dialed: beside held connections, since the churn began.
    pub(super) fn dialing_since(&self) -> Option<Moment> {
        match self.churn.as_ref().and_then(|churn| churn.beside.as_ref()) {
            Some(beside) => beside.stats.began,
            None => self.stats.first_dial,
        }
    }

    /// The check of a held connection has a result: counts it, and when it is due again.
    pub(super) fn held_checked(&mut self, key: Key, checks: &CheckActions) {
        let asks = self.checks.are_replies_expected();
        let Some(churn) = &mut self.churn else { return };
        let Some(beside) = &mut churn.beside else { return };
        let at = checks.answered_at;
        if let Some(is_answered) = checks.is_answered {
            beside.checked(key.slot, is_answered, at, self.now);
        }
        if checks.again {
            let due = beside.next_check(key.slot, at, asks).max(self.now);
            self.wheel.arm(key.slot, Tick::at_or_after(due));
        }
    }

    /// The check of a held connection was sent.
    pub(super) fn held_sent(&mut self, key: Key, at: Moment) {
        if let Some(beside) = self.churn.as_mut().and_then(|churn| churn.beside.as_mut()) {
            beside.sent(key.slot, at);
        }
    }

    /// When the latest check of a held connection was sent.
    pub(super) fn held_sent_at(&self, slot: u32) -> Option<Moment> {
        self.churn.as_ref()?.beside.as_ref()?.sent_at(slot)
    }

    /// When the next dial can start.
    pub(super) fn dial_due(&self) -> Option<Moment> {
        let due = self.pacer.next_due();
        self.churn.as_ref().map_or(due, |churn| churn.dial_due(due?))
    }

    /// The first free slot on a route that has free ports, as far as is known. Those before it go to
    /// the end: a search for a port takes long.
    fn next_free(&mut self) -> Option<u32> {
        let Some(churn) = &mut self.churn else { return None };
        churn.blocked_until = None;
        for _ in 0..self.budgets.skips_max {
            let slot = churn.free.first()?;
            if churn.alone().is_some_and(|beside| !beside.holds(slot)) {
                return None;
            }
            if !self.exhausted_routes.must_skip(slot, self.now) {
                return Some(slot);
            }
            // Those to be held come first, in their order.
            if churn.holds(slot) {
                break;
            }
            churn.free.pop();
            churn.free.push(slot);
        }
        churn.blocked_until = Some(self.exhausted_routes.trial_due());
        churn.behind = Some(Late::NoPort);
        None
    }

    /// At the beginning of a turn, when nothing has changed since the one before. No dial starts once
    /// the time is up, so no interval counts then.
    pub(super) fn advance_intervals(&mut self, now: Moment) {
        let until = self.time_up_at.map_or(now, |end| end.min(now));
        let established = self.ledger.entered(State::Established);
        let since = self.dialing_since();
        let Some(churn) = &mut self.churn else { return };
        if churn.interval_end.is_none() {
            churn.interval_end = since.map(|first| first + churn.stats.interval);
        }
        churn.advance(until, established);
    }

    /// What the summary of a run that churns has beside that of others.
    pub(super) fn churn_stats(&self) -> Option<ChurnStats> {
        let churn = self.churn.as_ref()?;
        let until = self.time_up_at.map_or(self.now, |end| end.min(self.now));
        let mut stats = churn.stats.clone();
        let since = self.dialing_since();
        stats.dialing = until.since(since.unwrap_or(until));
        stats.beside = churn.beside.as_ref().map(|beside| Box::new(beside.stats.clone()));
        let from = churn.beside.as_ref().and_then(|beside| beside.due_from);
        stats.dials_due = since.map_or(0, |_| self.pacer.due_by(until, from));
        if stats.intervals == 0 {
            stats.established_min = 0;
        }
        Some(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EndReason, Event, EventKind, Failure, Wake};
    use super::*;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};

    /// A slot is dialed 2^32 times in a day.
    #[test]
    fn attempts_wrap_and_no_event_of_the_one_before_touches_the_next() {
        let target = Target { host: "h".into(), address: ([127, 0, 0, 1], 1).into() };
        let plan = Plan { lifetime: Some(Span::ZERO), ..Plan::plain(1, Routes::to_one(target)) };
        let mut engine = Engine::new(&plan, Moment(0)).unwrap();
        engine.table.set_attempt(0, u32::MAX);
        let (last, first) = (Key { slot: 0, attempt: u32::MAX }, Key { slot: 0, attempt: 0 });
        let mut actions = Vec::new();
        engine.turn(Moment(0), &[], &mut actions);
        assert_eq!(actions.pop(), Some(Action::Dial(last)));
        let failure = Failure { reason: EndReason::PeerClosed, errno: 0 };
        let all = |key| {
            [
                EventKind::Dialed(key),
                EventKind::Opened(key),
                EventKind::Readable(key),
                EventKind::PeerClosed(key, failure),
            ]
        };
        let mut turn = |engine: &mut Engine, kinds: &[EventKind]| {
            let at = engine.now;
            let events: Vec<Event> = kinds.iter().map(|kind| Event { at, kind: *kind }).collect();
            actions.clear();
            engine.turn(at, &events, &mut actions);
            engine.audit();
            actions.clone()
        };
        let after = turn(&mut engine, &all(last)[..2]);
        assert!(after.ends_with(&[Action::Close(last), Action::Dial(first)]), "{after:?}");
        assert_eq!(turn(&mut engine, &all(last)), []);
        let summary = engine.summary();
        assert_eq!((summary.events_ignored, summary.established_ever), (4, 1));
        let next = Key { attempt: 1, ..first };
        let after = turn(&mut engine, &all(first)[..2]);
        assert!(after.ends_with(&[Action::Close(first), Action::Dial(next)]), "{after:?}");
        let summary = engine.summary();
        assert_eq!(summary.churn.map(|churn| churn.closed_by_us), Some(2));
        assert_eq!((summary.lifetimes.count(), summary.lifetimes.max()), (2, Span::ZERO));
        assert_eq!(engine.next_wake(), Wake::Never, "the dial is out");
    }
}
