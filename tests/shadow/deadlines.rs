//! When the shadow thinks that things are due, and which of them it sees done: each seat has at most
//! one deadline, which is never early, and late only as far as the limits put it off.

use tcpgoon::engine::{Action, EndReason, Failure, Key, Note, State};
use tcpgoon::plan::{CHECK_COST, FINAL_DRAIN_COST, Probe};
use tcpgoon::sim::Record;
use tcpgoon::units::{Moment, Tick};

use super::records::{Verdict, Wait};
use super::state::Shadow;

/// How many deadlines a turn has seen to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Dials that ran out of time.
    pub timeouts: u32,
    /// Established connections that were asked something.
    pub questions: u32,
    /// Those whose answer is put off for a last drain.
    pub put_off: u32,
}

impl Seen {
    /// What they cost of the most that a turn may do.
    fn cost(&self) -> u32 {
        self.timeouts + CHECK_COST * self.questions + FINAL_DRAIN_COST * self.put_off
    }

    /// The same, if each of them had to be moved down the wheel's levels first.
    pub fn cost_from_above(&self) -> u32 {
        self.cost() + 5 * (self.timeouts + self.questions + self.put_off)
    }
}

impl Shadow {
    /// The exact end of a dial's patience, or of what an established seat waits for.
    pub(super) fn due(&self, slot: u32) -> Option<Moment> {
        let seat = &self.seats[slot as usize];
        match seat.state {
            State::Dialing => Some(seat.since + self.plan.dial_timeout?),
            State::Established => (seat.wait != Wait::Nothing).then_some(seat.wait_until),
            _ => None,
        }
    }

    /// The first moment at which the wheel may fire for it.
    pub(super) fn tick_due(&self, slot: u32) -> Option<Moment> {
        Some(Tick::at_or_after(self.due(slot)?).moment())
    }

    /// Whether the engine has the deadline for a slot that it should have: for one that has passed
    /// already any other that has will do.
    fn agrees(&self, slot: u32, theirs: Option<Tick>) -> bool {
        let mine = self.tick_due(slot);
        let theirs = theirs.map(Tick::moment);
        let has_passed = |due: Option<Moment>| due.is_some_and(|due| due <= self.now);
        mine == theirs || (has_passed(mine) && has_passed(theirs))
    }

    /// The deadlines that were seen to, and the actions behind those that they called for.
    pub(super) fn expiries<'a>(
        &mut self,
        record: &Record,
        mut rest: &'a [Action],
    ) -> Result<(Seen, &'a [Action]), String> {
        let mut seen = Seen::default();
        while let Some(
            Action::Close(key)
            | Action::Note(key, _)
            | Action::ReadTcpInfo(key, _)
            | Action::StartKeepalive(key)
            | Action::StopKeepalive(key),
        ) = rest.first()
            && !matches!(rest.first(), Some(Action::Note(_, Note::Skipped)))
        {
            // What a later round sends is nothing that was due.
            let is_started = matches!(rest.first(), Some(Action::StartKeepalive(_)));
            if is_started && self.state(*key).and_then(|_| self.due(key.slot)).is_none() {
                break;
            }
            let expected = self.expire(*key, &mut seen)?;
            check!(!expected.is_empty(), "{rest:?}: nothing is to be done about {key:?}");
            check!(rest.starts_with(&expected), "{expected:?} is due, and not {rest:?}");
            rest = &rest[expected.len()..];
        }
        // Some lead to nothing that could be seen, but that nobody waits for them any more.
        for slot in 0..self.plan.connections {
            let is_due = self.due(slot).is_some_and(|due| due <= self.now);
            if is_due && !self.unheard() && !self.agrees(slot, deadline(record, slot)) {
                let expected = self.expire(Key { slot, attempt: 0 }, &mut seen)?;
                check!(expected.is_empty(), "slot {slot} is due, and {expected:?} is forgotten");
            }
        }
        // The last one may take more than is left.
        let beyond = match seen {
            Seen { put_off: 1.., .. } => FINAL_DRAIN_COST - 1,
            Seen { questions: 1.., .. } => CHECK_COST - 1,
            _ => 0,
        };
        check!(seen.cost() <= self.plan.budgets.expiries_max + beyond, "{seen:?} are too many");
        let most = self.plan.budgets.expiries_max.div_ceil(FINAL_DRAIN_COST);
        check!(seen.put_off <= most, "{seen:?} are too many to be drained at once");
        Ok((seen, rest))
    }

    /// What one deadline calls for, which must have come.
    fn expire(&mut self, key: Key, seen: &mut Seen) -> Result<Vec<Action>, String> {
        let state = self.state(key);
        let due = state.and_then(|_| self.due(key.slot));
        check!(due.is_some(), "something is done about {key:?}, which waits for nothing");
        let due = due.unwrap_or_default();
        check!(due <= self.now, "{key:?} was due early");
        check!(!self.unheard(), "{key:?} was due although there may be news of it");
        let mut expected = Vec::new();
        if state == Some(State::Established) {
            let is_put_off = self.question(key, &mut expected);
            seen.put_off += u32::from(is_put_off);
            seen.questions += u32::from(!is_put_off);
        } else {
            seen.timeouts += 1;
            self.mark("a timeout of ours");
            self.timeout_lateness_max = self.timeout_lateness_max.max(self.now.since(due));
            let timed_out = Failure { reason: EndReason::TimedOut, errno: 0 };
            self.fail(key, timed_out, self.now, &mut expected);
        }
        Ok(expected)
    }

    /// Whether the engine has deadlines where the shadow has, and nowhere else.
    pub(super) fn awaits(&self, record: &Record) -> Verdict {
        for slot in 0..self.plan.connections {
            let (mine, theirs) = (self.due(slot), deadline(record, slot));
            check!(self.agrees(slot, theirs), "slot {slot} is due at {theirs:?}, not {mine:?}");
        }
        Ok(())
    }

    /// A deadline may wait for as many turns as the limit makes of all the wheel's work, and no
    /// more.
    pub(super) fn overdue(&mut self) -> Verdict {
        if self.over || self.unheard() {
            return Ok(());
        }
        let turns_max = self.expiry_turns_max();
        for slot in 0..self.plan.connections {
            if self.tick_due(slot).is_none_or(|due| due > self.now) {
                continue;
            }
            let is_open = self.seats[slot as usize].state == State::Established;
            self.mark(if is_open { "a question put off" } else { "a timeout put off" });
            let seat = &mut self.seats[slot as usize];
            seat.overdue_turns += 1;
            let turns = seat.overdue_turns;
            check!(turns <= turns_max, "slot {slot} is overdue for {turns} turns");
        }
        Ok(())
    }

    /// What can come before a deadline, of each seat: one deadline, five levels down and seen to, and
    /// a later one that moves down; where an answer is put off that as well.
    fn expiry_turns_max(&self) -> u64 {
        let cost = match (&self.plan.reply_check, self.plan.probe) {
            (Some(_), _) => 5 + FINAL_DRAIN_COST + 5 + CHECK_COST + 5,
            (None, Probe::None) => 6,
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
