//! Churn: each connection is closed by us after its lifetime, and its slot dials again. All that
//! only such runs need is here; others have none of it.
//!
//! A slot is *free* from the end of its connection to the next dial action, in the order of the
//! ends. Until then it stays in its state, so that the statistics line shows what happened to it;
//! our own close leaves it not initiated. Each dial is a new attempt: what is still reported of an
//! earlier one names another `Key`, and dies in the table.

use std::collections::TryReserveError;

use super::beside::{Beside, BesideStats};
use super::connection::{EndReason, filled};
use super::histogram::Histogram;
use super::ready::Ready;
use crate::plan::{Close, Plan};
use crate::units::{Moment, Span};

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
    /// Dials that the pace made due in that time, pauses of this host included; 0 without a pace.
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
    /// Only with connections held beside.
    pub beside: Option<Box<BesideStats>>,
}

/// The state of a run that churns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Churn {
    pub(super) lifetime: Span,
    /// Whether our own close frees the port at once.
    pub(super) frees_port: bool,
    pub(super) free: Ready,
    /// Since when there is one.
    free_since: Moment,
    /// By slot: when the dial of the current attempt was due.
    due: Box<[Moment]>,
    /// All free slots seem to be on routes without a free port, until then.
    pub(super) blocked_until: Option<Moment>,
    /// Why the dials are behind their schedule, if they are.
    pub(super) behind: Option<Late>,
    /// When the interval ends, once there was a dial; and how many were established before it.
    pub(super) interval_end: Option<Moment>,
    pub(super) established_before: u64,
    /// The connections held beside, if there are any.
    pub(super) beside: Option<Box<Beside>>,
    pub(super) stats: ChurnStats,
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
            beside: Beside::new(plan, start)?,
            stats: ChurnStats { interval, established_min: u64::MAX, ..ChurnStats::default() },
        })))
    }

    /// Whether `slot` waits for its dial.
    pub fn is_free(&self, slot: u32) -> bool {
        self.free.contains(slot)
    }

    /// Whether `slot` is held beside the churn.
    pub fn holds(&self, slot: u32) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.holds(slot))
    }

    /// The connections held beside, before the churn.
    pub(super) fn alone(&self) -> Option<&Beside> {
        self.beside.as_deref().filter(|beside| beside.stats.began.is_none())
    }

    /// When the dial of the current attempt of `slot` was due.
    pub fn due(&self, slot: u32) -> Moment {
        self.due[slot as usize]
    }

    /// When a dial that the pace makes due at `due` can start; `None`: no slot is free.
    pub fn dial_due(&self, due: Moment) -> Option<Moment> {
        let first = self.free.first()?;
        match self.alone() {
            Some(beside) if !beside.holds(first) => beside.begins_at(),
            _ => Some(self.blocked_until.map_or(due, |until| due.max(until))),
        }
    }

    /// The connection of `slot` has ended at `at`, or its dial; without a reason, by us.
    pub fn ended(&mut self, slot: u32, reason: Option<EndReason>, at: Moment, now: Moment) {
        if let Some(reason) = reason
            && self.holds(slot)
            && let Some(beside) = &mut self.beside
        {
            return beside.ended(reason, at, now);
        }
        if self.free.is_empty() {
            self.free_since = now;
        }
        self.free.push(slot);
        self.blocked_until = None;
    }

    /// A dial of `slot` succeeded at `at`.
    pub(super) fn opened(&mut self, slot: u32, at: Moment, now: Moment, is_paced: bool) {
        self.blocked_until = None;
        if let Some(beside) = self.beside.as_mut().filter(|beside| beside.holds(slot)) {
            beside.opened(now);
        } else if is_paced {
            self.stats.due_times.record(at.since(self.due(slot)));
        }
    }

    /// `slot`, the first free one, is dialed at `now`; the pace made that due at `due`.
    pub(super) fn dial(&mut self, slot: u32, due: Moment, now: Moment) {
        self.free.pop();
        self.due[slot as usize] = due;
        self.behind = match now.since(due) > LATE_MIN {
            true if self.free_since > due => Some(Late::NoSlot),
            true => self.behind.or(Some(Late::Here)),
            false => None,
        };
        if let Some(late) = self.behind.filter(|_| !self.holds(slot)) {
            self.stats.late[late as usize] += 1;
        }
    }

    /// Ends the intervals that are over at `now`, when `established` were established. Nothing has
    /// changed since the last turn.
    pub(super) fn advance(&mut self, now: Moment, established: u64) {
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

    /// Begins the churn beside the connections that are held, with `established` of them.
    pub(super) fn begin(&mut self, now: Moment, established: u64) {
        self.blocked_until = None;
        self.behind = None;
        self.free_since = now;
        self.interval_end = Some(now + self.stats.interval);
        self.established_before = established;
        if let Some(beside) = &mut self.beside {
            beside.stats.began = Some(now);
        }
    }

    /// How many connections we have closed.
    pub fn closed(&self) -> u64 {
        self.stats.closed_by_us
    }
}
