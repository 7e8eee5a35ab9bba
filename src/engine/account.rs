//! What is counted along the way, what a run amounts to, for the report, and whether its parts
//! agree, for tests.

use super::analysis::breakdown::Breakdown;
use super::analysis::{Analysis, OnAccept, RunView};
use super::failure_times::{FailureTimes, Slow, failure_times};
use super::histogram::Histogram;
use super::series::Point;
use super::{EndReason, Engine, State, Summary};
use crate::units::{Moment, Span};

/// What is only counted, for the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub established_times: Histogram,
    pub failed_times: Histogram,
    pub dial_lateness: Histogram,
    pub first_dial: Option<Moment>,
    pub last_dial: Option<Moment>,
    pub timeout_lateness_max: Span,
    pub skipped: u64,
    /// By reason.
    pub failure_times: Box<[FailureTimes]>,
    pub unanswered: FailureTimes,
    pub slow: Slow,
    pub handshake_times: Histogram,
    pub notice_times: Histogram,
    pub first_byte_times: Histogram,
    pub lifetimes: Histogram,
    pub first_errno: [i32; EndReason::COUNT],
    pub received_bytes: u64,
    pub events_ignored: u64,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            established_times: Histogram::new(),
            failed_times: Histogram::new(),
            dial_lateness: Histogram::new(),
            first_dial: None,
            last_dial: None,
            timeout_lateness_max: Span::ZERO,
            skipped: 0,
            failure_times: failure_times(),
            unanswered: FailureTimes::default(),
            slow: Slow::default(),
            handshake_times: Histogram::new(),
            notice_times: Histogram::new(),
            first_byte_times: Histogram::new(),
            lifetimes: Histogram::new(),
            first_errno: [0; EndReason::COUNT],
            received_bytes: 0,
            events_ignored: 0,
        }
    }
}

impl Engine {
    /// The run as it is now, for [`Series`](super::series::Series).
    fn point(&self) -> Point {
        Point {
            levels: self.ledger.levels(),
            dials: self.ledger.entered(State::Dialing),
            established: self.ledger.entered(State::Established),
            closed: self.ledger.entered(State::Closed),
            errors: self.ledger.entered(State::Error),
            ..Point::START
        }
    }

    /// At the beginning of a turn, when nothing has changed since the one before.
    pub(super) fn advance_series(&mut self, now: Moment) {
        let after = now.since(self.start);
        if self.series.is_due(after) {
            let (last_turn, point) = (self.now.since(self.start), self.point());
            self.series.advance(last_turn, after, &point);
        }
    }

    /// Everything there is to tell so far.
    pub fn summary(&self) -> Summary {
        let tally = self.tally.clone();
        let view = RunView {
            table: &self.table,
            routes: &self.routes,
            checks: &self.checks,
            gaps: &self.gaps,
            now: self.now,
            rtt: tally.established_times.min(),
        };
        let on_accept = OnAccept::of(&view);
        let failures = |reason: EndReason| {
            tally.failure_times[reason as usize].summarize(self.ledger.flow(reason))
        };
        let missed = self.checks.stats().no_reply;
        Summary {
            failures: EndReason::ALL.map(failures),
            analysis: Analysis::of(&view, &on_accept),
            targets: Breakdown::by_target(&view, &on_accept),
            sources: Breakdown::by_source(&view, &on_accept),
            slow: tally.slow,
            handshake_times: tally.handshake_times,
            notice_times: tally.notice_times,
            lifetimes: tally.lifetimes,
            first_byte_times: tally.first_byte_times,
            unanswered: tally.unanswered.summarize(missed),
            checks: self.checks.stats(),
            replies_pending: self.checks.replies_pending(),
            probes_pending: self.checks.probes_pending(),
            gave_up: self.gave_up,
            last: self.sample(),
            start: self.start,
            end: self.now,
            established_ever: self.ledger.entered(State::Established),
            established_peak: self.ledger.established_peak(),
            sustained: self.sustained.at_end(self.now),
            is_cut_short: self.sustained.is_cut_short(self.now),
            errors: self.ledger.entered(State::Error),
            flow: EndReason::ALL.map(|reason| self.ledger.flow(reason)),
            first_errno: tally.first_errno,
            established_times: tally.established_times,
            failed_times: tally.failed_times,
            skipped: tally.skipped,
            dial_lateness: tally.dial_lateness,
            first_dial: tally.first_dial,
            last_dial: tally.last_dial,
            timeout_lateness_max: tally.timeout_lateness_max,
            received_bytes: tally.received_bytes,
            gaps: self.gaps.clone(),
            events_ignored: tally.events_ignored,
            series: self.series.finished(self.now.since(self.start), &self.point()),
            stopped: self.stopped,
            loop_failed: false,
        }
    }

    /// Recounts everything; O(connections), for tests.
    ///
    /// # Panics
    /// If any two parts disagree.
    pub fn audit(&self) {
        self.ledger.audit();
        self.wheel.audit();
        self.checks.audit();
        self.sustained.audit();
        assert_eq!(self.sustained.open_count(), self.ledger.level(State::Established));
        let mut levels = [0; State::COUNT];
        for (slot, connection) in (0..).zip(self.table.iter()) {
            levels[connection.state as usize] += 1;
            let awaited = match connection.state {
                State::Dialing => self.dial_timeout.is_some(),
                State::Established => self.checks.state(slot).is_pending(),
                _ => false,
            };
            let (awaits, key) = (self.wheel.due(slot).is_some(), self.table.key(slot));
            assert_eq!(awaited, awaits, "{key:?}: a deadline too many, or too few");
            let ended = matches!(connection.state, State::Closed | State::Error);
            assert_eq!(ended, connection.reason.is_some(), "slot {slot}: an end without a reason");
            let fresh = connection.state == State::NotInitiated;
            assert!(fresh || slot < self.pacer.asked(), "slot {slot} was never asked to dial");
        }
        assert_eq!(levels, self.ledger.levels(), "the table and the ledger differ");
        assert_eq!(self.tally.established_times.count(), self.ledger.entered(State::Established));
        let failed = self.tally.failed_times.count() + self.tally.skipped;
        assert_eq!(failed, self.ledger.entered(State::Error));
    }
}
