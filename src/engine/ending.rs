//! When a run is over: the hold, settling, and readiness that a gap has delayed.

use super::gaps::{GAP_MIN, Unread};
use super::{Engine, State};
use crate::plan::Hold;
use crate::units::{Moment, Span};

/// A run has settled after this long without a close: the window that [`super::sustained`] requires of
/// every connection.
pub const QUIET: Span = super::sustained::WINDOW;

impl Engine {
    /// Decides whether the run is over.
    pub(super) fn conclude(&mut self) {
        let [not_initiated, dialing, ..] = self.ledger.levels();
        let is_all_dialed = not_initiated == 0 && self.churn.is_none();
        let is_decided = dialing == 0 && (is_all_dialed || self.is_dialing_over());
        if is_decided && self.decided_at.is_none() {
            self.decided_at = Some(self.now);
        }
        let is_hold_over = self.end_due().is_some_and(|end| end <= self.now);
        self.hit_max_errors |= self.has_max_errors() || self.stalled.has_max();
        let is_pending = || self.readiness_may_be_pending() || self.checks.is_waiting();
        self.over |= self.stopped || self.hit_max_errors || (is_hold_over && !is_pending());
    }

    /// Whether errors and closes have reached `--max-errors`.
    pub(super) fn has_max_errors(&self) -> bool {
        let ended = self.ledger.entered(State::Error) + self.ledger.entered(State::Closed);
        self.errors_max.is_some_and(|most| ended >= most)
    }

    /// When the hold is over and the run has settled. `None`: a dial is pending or not begun, or
    /// the hold ends by a signal.
    pub(super) fn end_due(&self) -> Option<Moment> {
        let decided_at = self.decided_at?;
        match self.hold() {
            Hold::For(span) => Some((decided_at + span).max(self.settled_at(decided_at))),
            Hold::Forever => None,
        }
    }

    /// The hold, as far as `--duration` lets it go on.
    pub(super) fn hold(&self) -> Hold {
        let (Some(end), Some(decided_at)) = (self.time_up_at, self.decided_at) else {
            return self.hold;
        };
        let left = end.since(decided_at);
        match self.hold {
            Hold::For(span) => Hold::For(span.min(left)),
            Hold::Forever => Hold::For(left),
        }
    }

    /// Dialing has begun: with the first dial, or with the churn beside held connections.
    pub(super) fn dialing_begins(&mut self) {
        let since = self.dialing_since();
        self.time_up_at = self.duration.zip(since).map(|(duration, since)| since + duration);
    }

    pub(super) fn is_time_up(&self) -> bool {
        self.time_up_at.is_some_and(|end| end <= self.now)
    }

    /// Whether `--duration` is over, and each dial that was handed out has been reported.
    fn is_dialing_over(&self) -> bool {
        self.is_time_up() && self.pacer.taken() == self.ledger.entered(State::Dialing)
    }

    /// The earliest moment with [`QUIET`] behind it and no close; at the latest the plan's settle time
    /// after the last dial was decided.
    fn settled_at(&self, decided_at: Moment) -> Moment {
        if self.ledger.level(State::Established) == 0 || self.churn.is_some() {
            return decided_at;
        }
        let quiet_since = self.closed_at.map_or(decided_at, |at| at.max(decided_at));
        (decided_at + self.settle).min(quiet_since + QUIET)
    }

    /// After a pause of this process, postpones the remaining dials by as much; other deadlines stay.
    /// Checks have to allow for shorter gaps, too.
    pub(super) fn notice_pause(&mut self, now: Moment) {
        let late = self.wake.due(self.now).map_or(Span::ZERO, |due| now.since(due));
        if late > GAP_MIN {
            self.checks.gap(now);
        }
        if late > super::PAUSE_MIN {
            self.pacer.postpone(late);
        }
    }

    pub(super) fn begin_gap(&mut self, since: Moment, at: Moment, is_stop: bool) {
        let since = since.max(self.start);
        self.gaps.push(since, at, is_stop);
        self.checks.gap(at);
        self.sustained.begin_gap(since);
        self.gap_unread = Some(Unread::Batches(0));
    }

    /// The batch of a poll has been handled. The readiness of a gap has been read with the first batch
    /// that was not full, or once every connection was in one; its data with the drains that were
    /// waiting then, and a FIN or RST may follow data.
    pub(super) fn end_batch(&mut self, is_full: bool) {
        self.full_batches = if is_full { self.full_batches.saturating_add(1) } else { 0 };
        let is_polled = |batches: u32| !is_full || batches >= self.batches();
        self.gap_unread = match self.gap_unread {
            None => return,
            Some(Unread::Batches(batches)) if !is_polled(batches) => {
                Some(Unread::Batches(batches + 1))
            }
            Some(Unread::Batches(_)) => self.ready.last().map(Unread::DrainsTo),
            Some(Unread::DrainsTo(slot)) => Some(Unread::DrainsTo(slot)),
            // The results of the last drain were among the events of this turn.
            Some(Unread::Drained) => None,
        };
        if self.gap_unread.is_none() {
            self.sustained.end_gap(self.now);
        }
    }

    /// Whether the kernel may have readiness that is not in this turn, after a full batch. After as
    /// many full batches in a row as there are batches of connections, each has been reported, and
    /// servers that never stop sending must not hold up deadlines.
    pub(super) fn readiness_may_be_pending(&self) -> bool {
        // Most batches are not full, and cost no division.
        self.full_batches > 0 && self.full_batches <= self.batches()
    }

    fn batches(&self) -> u32 {
        self.connections.div_ceil(self.budgets.events_max)
    }

    /// A slot has been taken from the ready list.
    pub(super) fn note_drain(&mut self, slot: u32) {
        if self.gap_unread == Some(Unread::DrainsTo(slot)) {
            self.gap_unread = Some(Unread::Drained);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, EndReason, Event, EventKind, Failure, Key, Wake};
    use super::*;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};

    fn ms(ms: u64) -> Moment {
        Moment(0) + Span::from_ms(ms)
    }

    fn plan(connections: u32, hold: Span, settle: Span) -> Plan {
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        Plan { hold: Hold::For(hold), settle, ..Plan::plain(connections, routes) }
    }

    /// All connections of `plan` are established at once.
    fn established(plan: &Plan) -> Engine {
        let mut engine = Engine::new(plan, Moment(0)).unwrap();
        for slot in 0..plan.connections {
            let key = Key { slot, attempt: 0 };
            engine.turn(Moment(0), &[], &mut Vec::new());
            for kind in [EventKind::Dialed(key), EventKind::Opened(key)] {
                engine.turn(Moment(0), &[Event { at: Moment(0), kind }], &mut Vec::new());
            }
        }
        engine
    }

    fn close(engine: &mut Engine, slot: u32, at: Moment) {
        let failure = Failure { reason: EndReason::PeerClosed, errno: 0 };
        let kind = EventKind::PeerClosed(Key { slot, attempt: 0 }, failure);
        engine.turn(at, &[Event { at, kind }], &mut Vec::new());
    }

    #[test]
    fn a_run_settles_until_no_close_came_for_100_ms() {
        let mut engine = established(&plan(5, Span::ZERO, Span::from_s(1)));
        assert_eq!(engine.next_wake(), Wake::At(ms(100)));
        for (slot, at) in [(0, 40), (1, 139), (2, 200)] {
            close(&mut engine, slot, ms(at));
            assert_eq!(engine.next_wake(), Wake::At(ms(at + 100)));
        }
        assert!(!engine.is_over());
        engine.turn(ms(300), &[], &mut Vec::new());
        assert!(engine.is_over());
        let summary = engine.summary();
        assert_eq!((summary.established_peak, summary.sustained), (5, 4));
    }

    #[test]
    fn it_settles_within_its_limit_and_within_the_hold() {
        for (hold, settle, end) in
            [(0, 1_000, 1_000), (0, 0, 0), (0, 70, 70), (3_000, 1_000, 3_000)]
        {
            let mut engine = established(&plan(50, Span::from_ms(hold), Span::from_ms(settle)));
            for slot in 0..49 {
                let at = ms(50 * u64::from(slot) + 50);
                if engine.next_wake().due(at).is_some_and(|due| due <= at) {
                    break;
                }
                close(&mut engine, slot, at);
            }
            let ends_at_once = end == 0 && engine.is_over();
            assert!(ends_at_once || engine.next_wake() == Wake::At(ms(end)), "{hold} {settle}");
        }
    }

    /// The readiness of some ends is only that of data.
    #[test]
    fn a_close_read_after_a_gap_may_have_come_before_it() {
        let mut engine = established(&plan(3, Span::from_s(10), Span::ZERO));
        let at = ms(1_010);
        let readable = EventKind::Readable(Key { slot: 0, attempt: 0 });
        let events = [EventKind::Gap { since: ms(10), is_stop: true }, readable];
        let mut actions = Vec::new();
        engine.turn(at, &events.map(|kind| Event { at, kind }), &mut actions);
        assert_eq!(actions, [Action::Drain(Key { slot: 0, attempt: 0 })]);
        close(&mut engine, 0, at);
        engine.turn(ms(1_500), &[], &mut Vec::new());
        assert_eq!(engine.summary().sustained, 2);
    }

    #[test]
    fn a_run_without_open_connections_does_not_settle() {
        let mut engine = established(&plan(2, Span::ZERO, Span::from_s(1)));
        close(&mut engine, 0, ms(10));
        close(&mut engine, 1, ms(20));
        assert!(engine.is_over());
    }

    #[test]
    fn closes_found_after_a_gap_count_as_at_its_beginning() {
        let mut engine = established(&plan(4, Span::from_s(9), Span::ZERO));
        let failure = Failure { reason: EndReason::PeerReset, errno: 0 };
        let gap = EventKind::Gap { since: ms(50), is_stop: true };
        let closed = |slot| EventKind::PeerClosed(Key { slot, attempt: 0 }, failure);
        let at = ms(700);
        let full = [gap, closed(0), EventKind::PollBatchFull].map(|kind| Event { at, kind });
        engine.turn(at, &full, &mut Vec::new());
        engine.turn(ms(720), &[Event { at, kind: closed(1) }], &mut Vec::new());
        engine.turn(ms(900), &[Event { at: ms(900), kind: closed(2) }], &mut Vec::new());
        engine.turn(ms(1_500), &[], &mut Vec::new());
        let summary = engine.summary();
        assert_eq!((summary.sustained, summary.established_peak), (2, 4));
        assert_eq!(summary.gaps.interval(at), (ms(50), at));
        assert!(summary.gaps.list()[0].is_stop);
        let nonsense = EventKind::Gap { since: ms(1_600), is_stop: false };
        engine.turn(ms(1_550), &[Event { at: ms(1_550), kind: nonsense }], &mut Vec::new());
        assert_eq!((engine.summary().gaps.count(), engine.summary().events_ignored), (1, 1));
    }
}
