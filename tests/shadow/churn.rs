//! Churn: our closes after a lifetime, and the dials of free slots.

use tcpgoon::engine::{Action, EndReason, Key, Note, State, Summary};
use tcpgoon::plan::Close;
use tcpgoon::units::{Moment, NS_PER_S, Span, low_32};

use super::records::{Conn, Verdict};
use super::state::Shadow;

/// Why a dial is late: no free slot, no free port, this host.
const SLOT: usize = 0;
const PORT: usize = 1;
const HOST: usize = 2;

impl Shadow {
    /// The number of the next dial by the schedule.
    pub(super) fn next_dial(&self) -> u64 {
        if self.plan.lifetime.is_some() { self.handed_out } else { self.next_slot.into() }
    }

    /// How many dials there can have been, and connections that were never dialed.
    pub(super) fn attempts(&self) -> u32 {
        self.plan.connections + low_32(self.handed_out)
    }

    pub(super) fn is_handed_out(&self, slot: u32) -> bool {
        match self.plan.lifetime {
            Some(_) => !self.free.contains(&slot),
            None => slot < self.next_slot,
        }
    }

    /// When the dial of a slot was due.
    pub(super) fn due_of(&self, slot: u32) -> Moment {
        match self.plan.lifetime {
            Some(_) => self.conns[slot as usize].due,
            None => self.scheduled(slot.into()),
        }
    }

    /// A connection was established. Without a lifetime worth the name it is closed at once.
    pub(super) fn live(&mut self, key: Key, at: Moment, expected: &mut Vec<Action>) {
        let Some(lifetime) = self.plan.lifetime else { return };
        self.blocked_until = None;
        if self.is_held(key.slot) {
            return self.held_decided();
        }
        self.opened_turns.push(self.now);
        if self.plan.pace.is_paced() {
            self.due_times.0.push(at.since(self.due_of(key.slot)));
        }
        if lifetime == Span::ZERO {
            self.mark("a lifetime of nothing");
            self.retire(key, at, expected);
        }
    }

    /// Our own close.
    pub(super) fn retire(&mut self, key: Key, at: Moment, expected: &mut Vec<Action>) {
        let slot = key.slot;
        let since = self.conns[slot as usize].since;
        let after = at.since(since);
        self.lifetimes.0.push(after);
        self.retired += 1;
        self.change_open(State::NotInitiated, at, since);
        self.next_attempt(slot, at);
        self.note(key, Note::Retired { after }, expected);
        expected.push(Action::Close(key));
        self.ended(slot, None, at);
        if self.plan.close == Close::Rst && self.routing.open(slot) {
            self.mark("a port freed by our own close");
        }
    }

    /// A slot waits for its dial.
    pub(super) fn ended(&mut self, slot: u32, reason: Option<EndReason>, at: Moment) {
        if let Some(reason) = reason.filter(|_| self.is_held(slot)) {
            self.held_ended(reason, at);
        } else if self.plan.lifetime.is_some() {
            if self.free.is_empty() {
                self.free_since = self.now;
            }
            self.free.push_back(slot);
            self.blocked_until = None;
        }
    }

    fn next_attempt(&mut self, slot: u32, at: Moment) {
        let Conn { attempt, drained_by, .. } = self.conns[slot as usize];
        let attempt = attempt + 1;
        self.conns[slot as usize] = Conn { attempt, since: at, drained_by, ..Conn::NEW };
    }

    pub(super) fn dial_again_due(&self, due: Moment) -> Option<Moment> {
        let next = *self.free.front()?;
        if self.is_alone() && !self.is_held(next) {
            return self.churn_due();
        }
        Some(due.max(self.blocked_until.unwrap_or(due)))
    }

    /// The dials of free slots, in the order in which they became free.
    pub(super) fn dials_again<'a>(
        &mut self,
        mut rest: &'a [Action],
    ) -> Result<&'a [Action], String> {
        if self.over {
            return Ok(rest);
        }
        self.begin_churn();
        for _ in 0..self.plan.budgets.dials_max {
            let due = self.scheduled(self.handed_out);
            if self.free.is_empty() || due.max(self.not_before) > self.now {
                break;
            }
            let Some(slot) = self.first_with_a_port() else { break };
            self.routing.dial(slot, self.now);
            if self.conns[slot as usize].state != State::NotInitiated {
                self.mark("a slot dialed again after an error or a close");
                self.next_attempt(slot, self.now);
            } else if self.conns[slot as usize].attempt > 0 {
                self.mark("a slot dialed again after its lifetime");
            }
            self.conns[slot as usize].due = if self.plan.pace.is_paced() { due } else { self.now };
            self.count_late(slot, self.conns[slot as usize].due);
            let expected = [Action::Dial(self.key(slot))];
            check!(rest.starts_with(&expected), "{expected:?} was due, not {rest:?}");
            rest = &rest[1..];
            self.handed_out += 1;
            self.unreported += 1;
            self.not_before = self.now + Span(self.plan.pace.offset(1u32).0 / 2);
        }
        Ok(rest)
    }

    /// Takes it; those before it, without a port, go to the end.
    fn first_with_a_port(&mut self) -> Option<u32> {
        self.blocked_until = None;
        for _ in 0..self.plan.budgets.skips_max {
            if self.is_alone() && self.free.front().is_some_and(|slot| !self.is_held(*slot)) {
                return None;
            }
            let slot = self.free.pop_front()?;
            if !self.routing.must_skip(slot, self.now) {
                return Some(slot);
            }
            self.mark("a free slot without a port");
            if self.is_held(slot) {
                self.free.push_front(slot);
                break;
            }
            self.free.push_back(slot);
        }
        self.blocked_until = Some(self.routing.tried_at() + self.routing.patience);
        self.behind = Some(PORT);
        None
    }

    /// A dial starts that was due at `due`. It catches up with whatever made the first one late.
    fn count_late(&mut self, slot: u32, due: Moment) {
        if due + Span::from_ms(1) >= self.now {
            self.behind = None;
            return;
        }
        let why = if due < self.free_since { SLOT } else { self.behind.unwrap_or(HOST) };
        self.behind = Some(why);
        if self.is_held(slot) {
            return;
        }
        self.late[why] += 1;
        self.mark(["late for a slot", "late for a port", "late by this host"][why]);
    }

    /// Connections established in each whole interval since the first dial.
    fn intervals(&self, interval: Span, until: Moment) -> Vec<u64> {
        let Some(first) = self.counted_from() else { return Vec::new() };
        let count = until.since(first).0 / interval.0;
        let mut counts = vec![0; usize::try_from(count).unwrap()];
        for at in &self.opened_turns {
            let place = usize::try_from(at.since(first).0 / interval.0).unwrap();
            counts.get_mut(place).map(|count| *count += 1).unwrap_or_default();
        }
        counts
    }

    pub(super) fn compare_churn(&self, summary: &Summary) -> Verdict {
        let Some(theirs) = &summary.churn else {
            check!(self.plan.lifetime.is_none(), "no numbers of the churn");
            return Ok(());
        };
        let retired = self.retired;
        check!(theirs.closed_by_us == retired, "{} retired, not {retired}", theirs.closed_by_us);
        check!(theirs.late == self.late, "{:?} late, not {:?}", theirs.late, self.late);
        let until = self.time_up_at().map_or(self.now, |end| end.min(self.now));
        self.compare_beside(summary)?;
        let from = if self.holds_beside() { self.held.due_from } else { Some(self.start) };
        // It can end before the first dial.
        let is_counted = self.plan.pace.is_paced() && self.counted_from().is_some();
        let due = match from.filter(|_| is_counted) {
            // A pause moves the schedule, and is no excuse.
            Some(from) => {
                let due = |index: &u64| from + self.plan.pace.offset(*index) <= until;
                (0..).take_while(due).count() as u64
            }
            None => 0,
        };
        let is_due = theirs.dials_due.abs_diff(due) <= 1;
        check!(is_due, "{} dials were due, not {due}", theirs.dials_due);
        let interval = self.plan.interval.unwrap_or(Span(NS_PER_S));
        let counts = self.intervals(interval, until);
        let (min, max) = (counts.iter().min(), counts.iter().max());
        let mine = (counts.len() as u64, min.copied().unwrap_or(0), max.copied().unwrap_or(0));
        let theirs_are = (theirs.intervals, theirs.established_min, theirs.established_max);
        check!(theirs_are == mine, "{theirs_are:?} in the intervals, not {mine:?}");
        self.due_times.compare("from when it was due", &theirs.due_times)
    }

    /// Whatever ended by itself is an error; a signal is the end of a run without a duration.
    pub(super) fn exit_code_of_churn(&self) -> u8 {
        let is_cut = self.stopped && self.plan.duration.is_some() && !self.is_time_up();
        let is_clean = self.failures.is_empty() && !self.has_unanswered();
        match (self.gave_up, is_cut, is_clean) {
            (true, ..) => 2,
            (_, true, _) => 1,
            (_, _, true) => u8::from(self.established.0.is_empty()),
            _ => 2,
        }
    }
}
