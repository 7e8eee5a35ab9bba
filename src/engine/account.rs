//! What is counted along the way, what a run amounts to, for the report, and whether its parts
//! agree, for tests.

use super::breakdown::Breakdown;
use super::evidence::{Hanging, Sightings, Slow, sightings};
use super::histogram::Histogram;
use super::scene::{Books, Who};
use super::{EndReason, Engine, Side, State, Summary};
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
    pub sightings: Box<[Sightings]>,
    pub unanswered: Sightings,
    pub slow: Slow,
    pub handshake_times: Histogram,
    pub first_byte_times: Histogram,
    pub lifetimes: Histogram,
    pub first_errno: [i32; EndReason::COUNT],
    pub received_bytes: u64,
    pub pauses: u32,
    pub paused: Span,
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
            sightings: sightings(),
            unanswered: Sightings::default(),
            slow: Slow::default(),
            handshake_times: Histogram::new(),
            first_byte_times: Histogram::new(),
            lifetimes: Histogram::new(),
            first_errno: [0; EndReason::COUNT],
            received_bytes: 0,
            pauses: 0,
            paused: Span::ZERO,
            events_ignored: 0,
        }
    }
}

impl Engine {
    /// Everything there is to tell so far.
    pub fn summary(&self) -> Summary {
        let tally = self.tally.clone();
        let books = Books {
            table: &self.table,
            routes: &self.routes,
            inquiries: &self.inquiries,
            now: self.now,
        };
        let evidence = |reason: EndReason| {
            // Who closes what has something unread in it resets it: for both it is a close.
            let is_hit = |slot| {
                self.table
                    .of(slot)
                    .reason
                    .is_some_and(|met| met == reason || met.is_close_as(reason))
            };
            let who = match (reason.ends_in(), reason.side()) {
                (State::Error, Side::ThisHost) => Who::Dialed,
                (State::Error, _) => Who::Sent,
                _ => Who::Established,
            };
            tally.sightings[reason as usize].tell(self.ledger.flow(reason), &books, who, &is_hit)
        };
        let has_missed = |slot| self.inquiries.has_missed(slot);
        let missed = self.inquiries.findings.unanswered;
        let unanswered = tally.unanswered.tell(missed, &books, Who::Established, &has_missed);
        Summary {
            evidence: EndReason::ALL.map(evidence),
            slow: tally.slow,
            slow_began_at: tally.slow.established_before(&books),
            slow_scene: tally.slow.scene(&books),
            handshake_times: tally.handshake_times,
            lifetimes: tally.lifetimes,
            first_byte_times: tally.first_byte_times,
            unanswered,
            hanging: Hanging::of(&books),
            findings: self.inquiries.findings,
            awaited: self.inquiries.awaited_count(),
            unsettled: self.inquiries.unsettled_count(),
            gave_up: self.gave_up,
            last: self.sample(),
            start: self.start,
            end: self.now,
            established_ever: self.ledger.entered(State::Established),
            established_peak: self.ledger.established_peak(),
            errors: self.ledger.entered(State::Error),
            flow: EndReason::ALL.map(|reason| self.ledger.flow(reason)),
            first_errno: tally.first_errno,
            established_times: tally.established_times,
            failed_times: tally.failed_times,
            skipped: tally.skipped,
            targets: Breakdown::by_target(&books),
            sources: Breakdown::by_source(&books),
            dial_lateness: tally.dial_lateness,
            first_dial: tally.first_dial,
            last_dial: tally.last_dial,
            timeout_lateness_max: tally.timeout_lateness_max,
            received_bytes: tally.received_bytes,
            pauses: tally.pauses,
            paused: tally.paused,
            events_ignored: tally.events_ignored,
            stopped: self.stopped,
        }
    }

    /// Recounts everything; O(connections), for tests.
    ///
    /// # Panics
    /// If any two parts disagree.
    pub fn audit(&self) {
        self.ledger.audit();
        self.wheel.audit();
        self.inquiries.audit();
        let mut levels = [0; State::COUNT];
        for (slot, connection) in (0..).zip(self.table.iter()) {
            levels[connection.state as usize] += 1;
            let awaited = match connection.state {
                State::Dialing => self.dial_timeout.is_some(),
                State::Established => self.inquiries.is_pending(slot),
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
