//! What can be read of a run between two turns; nothing here changes it.

use super::analysis::breakdown::Breakdown;
use super::analysis::{Analysis, Dials, RunView};
use super::check_state::CheckState;
use super::series::Point;
use super::{Connection, EndReason, Engine, Key, Progress, Sample, State, Summary, Wake};
use crate::units::{Span, Tick};

impl Engine {
    /// When [`Engine::turn`] has something to do although nothing happens; O(1).
    pub fn next_wake(&self) -> Wake {
        self.wake
    }

    /// Whether the run has ended: every dial is decided and the hold is over, or a signal came, or
    /// the maximum of errors was reached.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The accounts as they are; O(1).
    pub fn sample(&self) -> Sample {
        Sample {
            after: self.now.since(self.start),
            connections: self.connections,
            levels: self.ledger.levels(),
        }
    }

    /// The run as it stands; O(end reasons).
    pub fn progress(&self) -> Progress<'_> {
        Progress {
            sample: self.sample(),
            dialed: self.ledger.entered(State::Dialing),
            established: self.ledger.entered(State::Established),
            closed: self.ledger.entered(State::Closed),
            errors: self.ledger.entered(State::Error),
            closed_by_us: self.churn.as_ref().map(|churn| churn.closed()),
            flow: EndReason::ALL.map(|reason| self.ledger.flow(reason)),
            held: self.decided_at.map(|at| self.now.since(at)),
            dial_times: &self.stats.established_times,
            answers: &[],
        }
    }

    /// The accounts and flows as they are, for the series; O(1).
    pub(super) fn point(&self) -> Point {
        Point {
            levels: self.ledger.levels(),
            dials: self.ledger.entered(State::Dialing),
            established: self.ledger.entered(State::Established),
            closed: self.ledger.entered(State::Closed),
            errors: self.ledger.entered(State::Error),
            ..Point::START
        }
    }

    /// The connection that `key` names, if that attempt is the current one; O(1).
    pub fn connection(&self, key: Key) -> Option<&Connection> {
        self.table.get(key)
    }

    /// Whether the next bytes of `key` may be a reply in time; O(1). Such bytes are read as soon as
    /// they are ready, all others when it is their turn. A connection that still counts as dialing
    /// may have opened in the same batch.
    pub fn expects_reply(&self, key: Key) -> bool {
        self.table.get(key).is_some_and(|connection| match connection.state {
            State::NotInitiated | State::Dialing => {
                self.checks.are_replies_expected() && !self.churns(key.slot)
            }
            State::Established => self.checks.reply_timeout(key.slot).is_some(),
            State::Closed | State::Error => false,
        })
    }

    /// The key of the current attempt of a slot; for tests.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn key(&self, slot: u32) -> Key {
        self.table.key(slot)
    }

    /// By when something has to come of `key`, if by any time; for tests.
    pub fn deadline(&self, key: Key) -> Option<Tick> {
        self.table.get(key).and_then(|_| self.wheel.due(key.slot))
    }

    /// How far the checks of a connection are; for tests.
    pub fn check_state(&self, key: Key) -> CheckState {
        self.checks.state(key.slot)
    }

    /// The run so far, or when it is over; O(connections), and allocates.
    pub fn summary(&self) -> Summary {
        let mut stats = self.stats.clone();
        if let Some(churn) = self.churn.as_ref().filter(|churn| churn.lifetime == Span::ZERO) {
            stats.lifetimes.record_zeros(churn.closed());
        }
        let view = RunView {
            table: &self.table,
            routes: &self.routes,
            checks: &self.checks,
            gaps: &self.gaps,
            now: self.now,
            rtt: stats.established_times.min(),
        };
        // A table of the last attempts is no record of a run that churns.
        let is_recorded = self.churn.is_none();
        let dials = is_recorded.then(|| Dials::read(&view));
        let table = |count: usize, of: &dyn Fn(&Dials) -> Breakdown| match &dials {
            Some(dials) => of(dials),
            None => Breakdown::of(count, std::iter::empty()),
        };
        let failures = |reason: EndReason| {
            stats.failure_times[reason as usize].summarize(self.ledger.flow(reason))
        };
        let no_reply = self.checks.stats().no_reply;
        Summary {
            failures: EndReason::ALL.map(failures),
            analysis: dials.as_ref().map_or_else(Default::default, |d| Analysis::of(&view, d)),
            targets: table(self.routes.targets().len(), &|d| Breakdown::by_target(&view, d)),
            sources: table(self.routes.sources().len(), &|d| Breakdown::by_source(&view, d)),
            slow: stats.slow,
            handshake_times: stats.handshake_times,
            notice_times: stats.notice_times,
            lifetimes: stats.lifetimes,
            first_byte_times: stats.first_byte_times,
            no_reply: stats.no_reply.summarize(no_reply),
            checks: self.checks.stats(),
            replies_pending: self.checks.replies_pending(),
            probes_pending: self.checks.probes_pending(),
            hit_max_errors: self.hit_max_errors,
            last: self.sample(),
            start: self.start,
            end: self.now,
            established_ever: self.ledger.entered(State::Established),
            established_peak: self.ledger.established_peak(),
            sustained: self.sustained.at_end(self.now),
            is_cut_short: self.sustained.is_cut_short(self.now),
            errors: self.ledger.entered(State::Error),
            flow: EndReason::ALL.map(|reason| self.ledger.flow(reason)),
            first_errno: stats.first_errno,
            established_times: stats.established_times,
            failed_times: stats.failed_times,
            skipped: stats.skipped,
            dial_lateness: stats.dial_lateness,
            first_dial: stats.first_dial,
            last_dial: stats.last_dial,
            timeout_lateness_max: stats.timeout_lateness_max,
            received_bytes: stats.received_bytes,
            gaps: self.gaps.clone(),
            events_ignored: stats.events_ignored,
            series: self.series.finished(self.now.since(self.start), &self.point()),
            answers: Default::default(),
            churn: self.churn_stats(),
            is_time_up: self.is_time_up(),
            stopped: self.stopped,
            loop_failed: false,
        }
    }

    /// Recounts everything; O(connections), for tests.
    ///
    /// # Panics
    /// If any two parts disagree.
    pub fn audit(&self) {
        let closed_by_us = self.churn.as_ref().map_or(0, |churn| churn.closed());
        self.ledger.audit(closed_by_us);
        self.wheel.audit();
        self.checks.audit();
        self.sustained.audit();
        assert_eq!(self.sustained.open_count(), self.ledger.level(State::Established));
        let mut levels = [0; State::COUNT];
        for (slot, connection) in (0..).zip(self.table.iter()) {
            levels[connection.state as usize] += 1;
            let is_due = match connection.state {
                State::Dialing => self.dial_timeout.is_some(),
                State::Established => self.churns(slot) || self.checks.state(slot).is_pending(),
                _ => false,
            };
            let has_deadline = self.wheel.due(slot).is_some();
            assert_eq!(is_due, has_deadline, "slot {slot}: {connection:?}");
            let has_ended = matches!(connection.state, State::Closed | State::Error);
            assert_eq!(has_ended, connection.reason.is_some(), "slot {slot}: {connection:?}");
            let is_fresh = connection.state == State::NotInitiated;
            let is_dialed = match &self.churn {
                None => u64::from(slot) < self.pacer.taken(),
                Some(churn) => churn.holds(slot) || has_ended == churn.is_free(slot),
            };
            assert!(is_fresh || is_dialed, "slot {slot} has no dial action");
        }
        assert_eq!(levels, self.ledger.levels(), "the table and the ledger differ");
        assert_eq!(self.stats.established_times.count(), self.ledger.entered(State::Established));
        let failed = self.stats.failed_times.count() + self.stats.skipped;
        assert_eq!(failed, self.ledger.entered(State::Error));
    }
}
