//! Deadlines: each connection has at most one, which is never early, and late only as far as the budgets
//! defer it.

use tcpgoon::engine::{Action, EndReason, Failure, Key, Note, State};
use tcpgoon::plan::{CHECK_COST, FINAL_DRAIN_COST, Probe};
use tcpgoon::sim::Record;
use tcpgoon::units::{Moment, Tick};

use super::records::{Verdict, Wait};
use super::state::Shadow;

/// The deadlines that expired in a turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expired {
    /// Dial timeouts.
    pub timeouts: u32,
    /// Deadlines of checks.
    pub checks: u32,
    /// Reply timeouts deferred for a final drain.
    pub deferred: u32,
}

impl Expired {
    /// Their cost in the budget of a turn.
    fn cost(&self) -> u32 {
        self.timeouts + CHECK_COST * self.checks + FINAL_DRAIN_COST * self.deferred
    }

    /// The same, if each had to move down all levels of the wheel first.
    pub fn cost_from_above(&self) -> u32 {
        self.cost() + 5 * (self.timeouts + self.checks + self.deferred)
    }
}

impl Shadow {
    /// The exact dial timeout, or the deadline of an established connection.
    pub(super) fn due(&self, slot: u32) -> Option<Moment> {
        let conn = &self.conns[slot as usize];
        match conn.state {
            State::Dialing => Some(conn.since + self.plan.dial_timeout?),
            State::Established if self.is_churning(slot) => Some(conn.since + self.plan.lifetime?),
            State::Established => (conn.wait != Wait::Nothing).then_some(conn.wait_until),
            _ => None,
        }
    }

    /// The first tick at which the wheel may fire for it.
    pub(super) fn tick_due(&self, slot: u32) -> Option<Moment> {
        Some(Tick::at_or_after(self.due(slot)?).moment())
    }

    /// Whether the engine has the right deadline for a slot: if it has passed, any that has passed.
    fn agrees(&self, slot: u32, theirs: Option<Tick>) -> bool {
        let mine = self.tick_due(slot);
        let theirs = theirs.map(Tick::moment);
        let has_passed = |due: Option<Moment>| due.is_some_and(|due| due <= self.now);
        mine == theirs || (has_passed(mine) && has_passed(theirs))
    }

    /// The deadlines that expired, and the actions after theirs.
    pub(super) fn expiries<'a>(
        &mut self,
        record: &Record,
        mut rest: &'a [Action],
    ) -> Result<(Expired, &'a [Action]), String> {
        let mut expired = Expired::default();
        while let Some(
            Action::Close(key)
            | Action::Note(key, _)
            | Action::ReadTcpInfo(key, _)
            | Action::StartKeepalive(key)
            | Action::Send(key)
            | Action::StopKeepalive(key),
        ) = rest.first()
            && !matches!(rest.first(), Some(Action::Note(_, Note::Skipped)))
        {
            // Keepalives of a later round have no deadline.
            let is_started = matches!(rest.first(), Some(Action::StartKeepalive(_)));
            if is_started && self.state(*key).and_then(|_| self.due(key.slot)).is_none() {
                break;
            }
            let expected = self.expire(*key, &mut expired)?;
            check!(!expected.is_empty(), "{rest:?}: nothing is to be done about {key:?}");
            check!(rest.starts_with(&expected), "{expected:?} is due, and not {rest:?}");
            rest = &rest[expected.len()..];
        }
        // Some lead to no action, only to the end of a wait.
        for slot in 0..self.plan.connections {
            let is_due = self.due(slot).is_some_and(|due| due <= self.now);
            if is_due
                && !self.readiness_may_be_pending()
                && !self.agrees(slot, deadline(record, slot))
            {
                let expected = self.expire(self.key(slot), &mut expired)?;
                check!(expected.is_empty(), "slot {slot} is due, and {expected:?} is missing");
            }
        }
        // The last one may exceed the budget.
        let beyond = match expired {
            Expired { deferred: 1.., .. } => FINAL_DRAIN_COST - 1,
            Expired { checks: 1.., .. } => CHECK_COST - 1,
            _ => 0,
        };
        check!(
            expired.cost() <= self.plan.budgets.expiries_max + beyond,
            "{expired:?} are too many"
        );
        let most = self.plan.budgets.expiries_max.div_ceil(FINAL_DRAIN_COST);
        check!(expired.deferred <= most, "{expired:?} are too many to be drained at once");
        Ok((expired, rest))
    }

    /// The actions for one deadline, which must have passed.
    fn expire(&mut self, key: Key, expired: &mut Expired) -> Result<Vec<Action>, String> {
        let state = self.state(key);
        let due = state.and_then(|_| self.due(key.slot));
        check!(due.is_some(), "something is done about {key:?}, which waits for nothing");
        let due = due.unwrap_or_default();
        check!(due <= self.now, "{key:?} was due early");
        check!(
            !self.readiness_may_be_pending(),
            "{key:?} was due although its readiness may be pending"
        );
        let mut expected = Vec::new();
        if state == Some(State::Established) && self.is_churning(key.slot) {
            expired.checks += 1;
            self.mark("a lifetime over");
            self.retire(key, self.now, &mut expected);
        } else if state == Some(State::Established) {
            let is_deferred = self.on_due(key, &mut expected);
            expired.deferred += u32::from(is_deferred);
            expired.checks += u32::from(!is_deferred);
        } else {
            expired.timeouts += 1;
            self.mark("a dial timeout");
            self.timeout_lateness_max = self.timeout_lateness_max.max(self.now.since(due));
            let timed_out = Failure { reason: EndReason::TimedOut, errno: 0 };
            self.fail(key, timed_out, self.now, &mut expected);
        }
        Ok(expected)
    }

    /// Whether the engine has the same deadlines.
    pub(super) fn compare_deadlines(&self, record: &Record) -> Verdict {
        for slot in 0..self.plan.connections {
            let (mine, theirs) = (self.due(slot), deadline(record, slot));
            check!(self.agrees(slot, theirs), "slot {slot} is due at {theirs:?}, not {mine:?}");
        }
        Ok(())
    }

    /// No deadline is overdue for more turns than the budget allows for all of the wheel's work.
    pub(super) fn check_overdue(&mut self) -> Verdict {
        if self.over || self.readiness_may_be_pending() {
            return Ok(());
        }
        let turns_max = self.expiry_turns_max();
        for slot in 0..self.plan.connections {
            if self.tick_due(slot).is_none_or(|due| due > self.now) {
                continue;
            }
            let is_open = self.conns[slot as usize].state == State::Established;
            self.mark(if is_open { "a check deferred" } else { "a dial timeout deferred" });
            let conn = &mut self.conns[slot as usize];
            conn.overdue_turns += 1;
            let turns = conn.overdue_turns;
            check!(turns <= turns_max, "slot {slot} is overdue for {turns} turns");
        }
        Ok(())
    }

    /// What can precede a deadline, of each connection: one that moves down five levels and expires, and a
    /// later one that moves down; with replies also a deferred one.
    fn expiry_turns_max(&self) -> u64 {
        let cost = match (&self.plan.reply_check, self.plan.probe) {
            (Some(_), _) => 5 + FINAL_DRAIN_COST + 5 + CHECK_COST + 5,
            (None, Probe::None) if self.plan.lifetime.is_none() => 6,
            (None, _) => 5 + CHECK_COST + 5,
        };
        let all = u64::from(cost) * u64::from(self.plan.connections);
        all.div_ceil(u64::from(self.plan.budgets.expiries_max))
    }
}

fn deadline(record: &Record, slot: u32) -> Option<Tick> {
    let place = record.deadlines.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
    Some(record.deadlines[place].1)
}
