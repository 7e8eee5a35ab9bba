//! Connections held beside the churn: those of the first slots, dialed before all others. Each is
//! checked every second; we close none before the end, and dial none again.
//!
//! The others are dialed [`CALM`] after the last of these dials was decided, so that each check has
//! results of before the churn to compare with.

use std::collections::TryReserveError;

use super::connection::filled;
use super::histogram::Histogram;
use super::{EndReason, State};
use crate::plan::Plan;
use crate::units::{Moment, Span};

/// From one check of a connection to the next.
pub const CHECK_EVERY: Span = Span::from_s(1);

/// From the last decided dial of them to the churn.
pub const CALM: Span = Span::from_s(3);

/// The kernel sends a keepalive a second after the last acknowledgement, and its clock is coarse.
const KERNEL_SLACK: Span = Span::from_ms(11);

/// What became of them before the churn, or during it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Phase {
    /// How many ended: by FIN, by RST, half-open, and otherwise.
    pub ended: [u32; 4],
    pub first_end: Option<Moment>,
    pub last_end: Option<Moment>,
    /// Checks.
    pub answered: u64,
    pub unanswered: u64,
    pub first_unanswered: Option<Moment>,
    pub last_unanswered: Option<Moment>,
    /// From a check to its answer.
    pub rtt: Histogram,
}

impl Phase {
    /// How many connections ended.
    pub fn ends(&self) -> u32 {
        self.ended.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What a run that holds connections beside its churn adds to its summary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BesideStats {
    /// How many were to be held.
    pub held: u32,
    pub established: u32,
    /// Dials that failed.
    pub errors: u32,
    /// When the churn began.
    pub began: Option<Moment>,
    pub before: Phase,
    pub during: Phase,
}

impl BesideStats {
    /// How many are still open.
    pub fn open(&self) -> u32 {
        self.established.saturating_sub(self.before.ends()).saturating_sub(self.during.ends())
    }
}

/// The state of these connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// By slot: when its latest check was sent.
    sent_at: Box<[Moment]>,
    /// Since when each dial is decided.
    decided_at: Option<Moment>,
    /// When the first dial of the churn was due.
    pub(super) due_from: Option<Moment>,
    pub(super) stats: BesideStats,
}

impl Beside {
    /// `None` for a plan without such connections.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(plan: &Plan, start: Moment) -> Result<Option<Box<Beside>>, TryReserveError> {
        let held = plan.hold_beside;
        if held == 0 {
            return Ok(None);
        }
        let stats = BesideStats { held, ..BesideStats::default() };
        let sent_at = filled(start, held)?;
        Ok(Some(Box::new(Beside { sent_at, decided_at: None, due_from: None, stats })))
    }

    pub fn holds(&self, slot: u32) -> bool {
        slot < self.stats.held
    }

    /// When the churn begins; `None`: a dial is not decided, or it has begun.
    pub fn begins_at(&self) -> Option<Moment> {
        let calm = if self.stats.open() > 0 { CALM } else { Span::ZERO };
        self.decided_at.filter(|_| self.stats.began.is_none()).map(|at| at + calm)
    }

    fn phase(&mut self) -> &mut Phase {
        match self.stats.began {
            None => &mut self.stats.before,
            Some(_) => &mut self.stats.during,
        }
    }

    /// A dial has succeeded.
    pub(super) fn opened(&mut self, now: Moment) {
        self.stats.established += 1;
        self.decide(now);
    }

    /// A dial has failed, or a connection ended at `at`.
    pub(super) fn ended(&mut self, reason: EndReason, at: Moment, now: Moment) {
        if reason.ends_in() == State::Error {
            self.stats.errors += 1;
            return self.decide(now);
        }
        let phase = self.phase();
        phase.ended[match reason {
            EndReason::PeerClosed => 0,
            EndReason::PeerReset => 1,
            EndReason::HalfOpen => 2,
            _ => 3,
        }] += 1;
        phase.first_end = Some(phase.first_end.map_or(at, |first| first.min(at)));
        phase.last_end = phase.last_end.max(Some(at));
    }

    fn decide(&mut self, now: Moment) {
        let BesideStats { held, established, errors, .. } = self.stats;
        if established + errors == held {
            self.decided_at = Some(now);
        }
    }

    /// When the latest check of a slot was sent.
    pub fn sent_at(&self, slot: u32) -> Option<Moment> {
        self.sent_at.get(slot as usize).copied()
    }

    /// The check of a slot was sent.
    pub(super) fn sent(&mut self, slot: u32, at: Moment) {
        if let Some(sent_at) = self.sent_at.get_mut(slot as usize) {
            *sent_at = at;
        }
    }

    /// A check has a result; of an answer, with its moment if that is known.
    pub(super) fn checked(
        &mut self,
        slot: u32,
        is_answered: bool,
        at: Option<Moment>,
        now: Moment,
    ) {
        let sent_at = self.sent_at[slot as usize];
        let phase = self.phase();
        if is_answered {
            phase.answered += 1;
            if let Some(at) = at {
                phase.rtt.record(at.since(sent_at));
            }
        } else {
            phase.unanswered += 1;
            phase.first_unanswered.get_or_insert(now);
            phase.last_unanswered = Some(now);
        }
    }

    /// When a slot is checked again after one that was answered at `at`.
    pub(super) fn next_check(&self, slot: u32, at: Option<Moment>, asks: bool) -> Moment {
        let sent_at = self.sent_at[slot as usize];
        match at {
            Some(at) if !asks => at.max(sent_at) + CHECK_EVERY + KERNEL_SLACK,
            _ => sent_at + CHECK_EVERY,
        }
    }
}
