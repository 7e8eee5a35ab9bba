//! Churn: each connection is closed by us after its lifetime, and its slot dials again. All that
//! only such runs need is here; others have none of it.
//!
//! A slot is *free* from the end of its connection to the next dial action, in the order of the
//! ends. Until then it stays in its state, so that the statistics line shows what happened to it;
//! our own close leaves it not initiated. Each dial is a new attempt: what is still reported of an
//! earlier one names another [`Key`], and dies in the table.

use std::collections::TryReserveError;

use super::connection::filled;
use super::histogram::Histogram;
use super::ready::Ready;
use super::{Action, Engine, Key, Note, State};
use crate::plan::{Close, Plan};
use crate::units::{Moment, Span, Tick};

/// User-space bits a slot: its link in the queue, and when its dial was due.
pub const BITS_PER_CONNECTION: u64 = 32 + 64;

/// A dial that starts this late did not start on time.
pub const LATE_MIN: Span = Span::from_ms(1);

/// The interval of a run without interval lines.
const INTERVAL_DEFAULT: Span = Span::from_s(1);

/// Why a dial started late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// All slots were busy when it was due.
    NoSlot,
    /// No free slot had a free port.
    NoPort,
    /// This host was late, or was catching up with the schedule.
    Here,
}

/// What a run that churns adds to its summary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChurnStats {
    /// Connections closed by us at the end of their lifetime.
    pub closed_by_us: u64,
    /// For how long it was dialing: from the first dial to the end of the duration or of the run.
    pub dialing: Span,
    /// Dials that the pace made due in that time; 0 without a pace.
    pub dials_due: u64,
    /// Dials that started late by more than [`LATE_MIN`], by [`Late`]; only with a pace.
    pub late: [u64; 3],
    /// From when a dial was due to its success; only with a pace.
    pub due_times: Histogram,
    /// Whole intervals, and the fewest and most connections established in one.
    pub interval: Span,
    pub intervals: u64,
    pub established_min: u64,
    pub established_max: u64,
}

/// The state of a run that churns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Churn {
    lifetime: Span,
    /// Whether our own close frees the port at once.
    frees_port: bool,
    free: Ready,
    /// Since when there is one.
    free_since: Moment,
    /// By slot: when the dial of the current attempt was due.
    due: Box<[Moment]>,
    /// All free slots seem to be on routes without a free port, until then.
    blocked_until: Option<Moment>,
    /// Why the dials are behind their schedule, if they are.
    behind: Option<Late>,
    /// When the interval ends, once there was a dial; and how many were established before it.
    interval_end: Option<Moment>,
    established_before: u64,
    stats: ChurnStats,
}

impl Churn {
    /// `None` for a plan without a lifetime.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(plan: &Plan, start: Moment) -> Result<Option<Box<Churn>>, TryReserveError> {
        let Some(lifetime) = plan.lifetime else { return Ok(None) };
        let mut free = Ready::new(plan.connections)?;
        (0..plan.connections).for_each(|slot| free.push(slot));
        let interval = plan.interval.unwrap_or(INTERVAL_DEFAULT);
        Ok(Some(Box::new(Churn {
            lifetime,
            frees_port: plan.close == Close::Rst,
            free,
            free_since: start,
            due: filled(start, plan.connections)?,
            blocked_until: None,
            behind: None,
            interval_end: None,
            established_before: 0,
            stats: ChurnStats { interval, established_min: u64::MAX, ..ChurnStats::default() },
        })))
    }

    /// Whether `slot` waits for its dial.
    pub fn is_free(&self, slot: u32) -> bool {
        self.free.contains(slot)
    }

    /// When the dial of the current attempt of `slot` was due.
    pub fn due(&self, slot: u32) -> Moment {
        self.due[slot as usize]
    }

    /// When a dial that the pace makes due at `due` can start; `None`: no slot is free.
    pub fn dial_due(&self, due: Moment) -> Option<Moment> {
        let is_any = !self.free.is_empty();
        is_any.then(|| self.blocked_until.map_or(due, |until| due.max(until)))
    }

    /// The connection of `slot` has ended, or its dial.
    pub fn ended(&mut self, slot: u32, now: Moment) {
        if self.free.is_empty() {
            self.free_since = now;
        }
        self.free.push(slot);
        self.blocked_until = None;
    }

    /// A dial of `slot` succeeded at `at`.
    fn opened(&mut self, slot: u32, at: Moment, is_paced: bool) {
        self.blocked_until = None;
        if is_paced {
            self.stats.due_times.record(at.since(self.due(slot)));
        }
    }

    /// `slot`, the first free one, is dialed at `now`; the pace made that due at `due`.
    fn dial(&mut self, slot: u32, due: Moment, now: Moment) {
        self.free.pop();
        self.due[slot as usize] = due;
        self.behind = match now.since(due) > LATE_MIN {
            true if self.free_since > due => Some(Late::NoSlot),
            true => self.behind.or(Some(Late::Here)),
            false => None,
        };
        if let Some(late) = self.behind {
            self.stats.late[late as usize] += 1;
        }
    }

    /// Ends the intervals that are over at `now`, when `established` were established. Nothing has
    /// changed since the last turn.
    fn advance(&mut self, now: Moment, established: u64) {
        let Some(end) = self.interval_end.filter(|end| *end <= now) else { return };
        let ChurnStats { interval, intervals, established_min, established_max, .. } =
            &mut self.stats;
        let count = established - self.established_before;
        // In the rest of a long sleep nothing happened.
        let further = now.since(end).0 / interval.0;
        *intervals += 1 + further;
        *established_min = if further > 0 { 0 } else { count.min(*established_min) };
        *established_max = count.max(*established_max);
        self.established_before = established;
        self.interval_end = Some(end + Span((1 + further) * interval.0));
    }

    /// How many connections we have closed.
    pub fn closed(&self) -> u64 {
        self.stats.closed_by_us
    }
}

impl Engine {
    /// A connection was established: its lifetime begins.
    pub(super) fn live(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let is_paced = self.pacer.is_paced();
        let Some(churn) = &mut self.churn else { return };
        churn.opened(key.slot, at, is_paced);
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
        self.stats.lifetimes.record(after);
        self.note(key, Note::Retired { after }, actions);
        actions.push(Action::Close(key));
        let Some(churn) = &mut self.churn else { return };
        churn.stats.closed_by_us += 1;
        churn.ended(key.slot, self.now);
        if churn.frees_port {
            self.exhausted_routes.clear(key.slot);
        }
    }

    /// Dials free slots, as far as the pace and the budget allow.
    pub(super) fn dial_again(&mut self, actions: &mut Vec<Action>) {
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
            if !self.exhausted_routes.must_skip(slot, self.now) {
                return Some(slot);
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
        let until = self.time_up_at().map_or(now, |end| end.min(now));
        let established = self.ledger.entered(State::Established);
        let first_dial = self.stats.first_dial;
        let Some(churn) = &mut self.churn else { return };
        if churn.interval_end.is_none() {
            churn.interval_end = first_dial.map(|first| first + churn.stats.interval);
        }
        churn.advance(until, established);
    }

    /// What the summary of a run that churns has beside that of others.
    pub(super) fn churn_stats(&self) -> Option<ChurnStats> {
        let churn = self.churn.as_ref()?;
        let until = self.time_up_at().map_or(self.now, |end| end.min(self.now));
        let mut stats = churn.stats.clone();
        stats.dialing = until.since(self.stats.first_dial.unwrap_or(until));
        stats.dials_due = self.pacer.due_by(until);
        if stats.intervals == 0 {
            stats.established_min = 0;
        }
        Some(stats)
    }
}
