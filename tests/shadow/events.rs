//! What the shadow makes of events: which of them mean anything, and which closes and notes they
//! call for.

use tcpgoon::engine::{Action, EndReason, Event, EventKind, Failure, Key, Note, State};
use tcpgoon::units::{Moment, Span};

use super::records::{Seat, Sighting, Wait, name};
use super::state::Shadow;

impl Shadow {
    /// The closes and notes that the events call for, in their order.
    pub(super) fn take_all(&mut self, events: &[Event]) -> Vec<Action> {
        let mut answers = Vec::new();
        for event in events {
            self.take(event, &mut answers);
        }
        let full = events.iter().any(|event| event.kind == EventKind::PollBatchFull);
        self.full_turns = if full { self.full_turns + 1 } else { 0 };
        answers
    }

    fn take(&mut self, event: &Event, answers: &mut Vec<Action>) {
        let at = event.at;
        let (key, state) = match event.kind {
            EventKind::PollBatchFull => return self.mark("a full batch"),
            EventKind::Stop => {
                self.mark("a signal");
                self.stopped = true;
                return;
            }
            EventKind::Gap { since, is_stop } => return self.gap(since, at, is_stop),
            EventKind::Dialed(key) | EventKind::Opened(key) | EventKind::Readable(key) => {
                (key, self.state(key))
            }
            EventKind::Failed(key, _) | EventKind::PeerClosed(key, _) => (key, self.state(key)),
            EventKind::Received { key, .. } => (key, self.state(key)),
            EventKind::ReplyMatched(key) | EventKind::TcpInfo(key, ..) | EventKind::Sent(key) => {
                (key, self.state(key))
            }
            EventKind::Reset(key, ..) | EventKind::KeepaliveStarted(key, _) => {
                (key, self.state(key))
            }
        };
        let slot = key.slot;
        match (event.kind, state) {
            (EventKind::Dialed(_), Some(State::NotInitiated)) if slot < self.asked => {
                let late = at.since(self.scheduled(slot));
                if self.plan.pace.is_paced() {
                    self.lateness.0.push(late);
                }
                self.dialed.push(at);
                self.enter(slot, State::Dialing, at, None);
                self.seat(slot).dialed_at = at;
                self.say(key, Note::Dialing, answers);
            }
            (EventKind::Opened(_), Some(State::Dialing)) => {
                if self.due(slot).is_some_and(|due| due <= self.now) {
                    self.mark("opened when its timeout was due");
                }
                let after = self.enter(slot, State::Established, at, None);
                self.established.0.push(after);
                self.say(key, Note::Established { after }, answers);
                self.greet(key, at, after, answers);
            }
            (EventKind::Failed(_, failure), Some(State::Dialing)) if !ends_open(failure.reason) => {
                self.fail(key, failure, at, answers);
            }
            (EventKind::PeerClosed(_, failure), Some(State::Established))
                if ends_open(failure.reason) =>
            {
                self.close(key, failure, at, answers);
            }
            (EventKind::Reset(_, failure, info), Some(State::Established))
                if ends_open(failure.reason) =>
            {
                let is_half_open = self.is_half_open(slot, &info);
                let reason = if is_half_open { EndReason::HalfOpen } else { failure.reason };
                self.close(key, Failure { reason, ..failure }, at, answers);
            }
            (EventKind::KeepaliveStarted(_, info), Some(State::Established))
                if self.seats[slot as usize].wait == Wait::Sending =>
            {
                self.started(slot, info, at);
            }
            (EventKind::Sent(_), Some(State::Established)) if self.may_be_in_time(slot) => {
                self.request_sent(slot, at);
            }
            (EventKind::Readable(_), Some(State::Established)) => self.queue(slot),
            (EventKind::Received { bytes, more, .. }, Some(State::Established)) => {
                self.bytes += u64::from(bytes);
                if bytes > 0 {
                    self.hear(key, at, answers);
                }
                if more {
                    self.mark("a drain cut short");
                    self.queue(slot);
                }
            }
            (EventKind::ReplyMatched(_), Some(State::Established)) if self.may_answer(slot) => {
                self.answer(slot, at);
            }
            (EventKind::TcpInfo(_, why, look), _) if self.looks.contains(&(key, why)) => {
                self.looks.retain(|asked| *asked != (key, why));
                self.look(key, why, &look, at, answers);
            }
            _ => self.ignored += 1,
        }
    }

    fn close(&mut self, key: Key, failure: Failure, at: Moment, answers: &mut Vec<Action>) {
        let after = self.enter(key.slot, State::Closed, at, Some(failure.reason));
        self.lifetimes.0.push(after);
        self.closed_at = self.closed_at.max(Some(at.min(self.now)));
        self.hang_up(key.slot, failure.reason, at);
        self.say(key, Note::Closed { failure, after }, answers);
        answers.push(Action::Close(key));
    }

    fn enter(&mut self, slot: u32, to: State, at: Moment, reason: Option<EndReason>) -> Span {
        let seat = &mut self.seats[slot as usize];
        let edge = match (seat.state, to) {
            (State::NotInitiated, State::Dialing) => "not initiated to dialing",
            (State::Dialing, State::Established) => "dialing to established",
            (State::Dialing, State::Error) => "dialing to error",
            (State::Established, State::Closed) => "established to closed",
            _ => unreachable!("no event leads from {:?} to {to:?}", seat.state),
        };
        let (since, after) = (seat.since, at.since(seat.since));
        let took = if to == State::Established { Some(after) } else { seat.took };
        if let Some(reason) = reason {
            self.sightings.push((reason, Sighting { at, since, is_timed: true }));
        }
        let seat = self.seat(slot);
        *seat = Seat { state: to, since: at, reason, took, ..*seat };
        if to == State::Established && self.routing.open(slot) {
            self.mark("a port after all");
        }
        if to == State::Established || to == State::Closed {
            self.change_open(to, at, since);
        }
        if to == State::Established {
            self.peak = self.peak.max(self.level(State::Established));
        }
        self.mark(edge);
        if let Some(reason) = reason {
            self.mark(name(reason));
            if self.routing.end(slot, reason, self.now) {
                self.mark("a route relieved");
            }
        }
        after
    }

    /// Nothing is dialed: the kernel has said that there is no port.
    pub(super) fn skip_dial(&mut self, key: Key, answers: &mut Vec<Action>) {
        self.mark("a dial skipped");
        let reason = Some(EndReason::NoPorts);
        let at = self.now;
        let seen = Sighting { at, since: at, is_timed: false };
        self.sightings.push((EndReason::NoPorts, seen));
        let seat = &mut self.seats[key.slot as usize];
        let since = self.now;
        *seat = Seat { state: State::Error, since, dialed_at: since, reason, ..*seat };
        self.routing.skipped += 1;
        self.say(key, Note::Skipped, answers);
    }

    pub(super) fn fail(
        &mut self,
        key: Key,
        failure: Failure,
        at: Moment,
        answers: &mut Vec<Action>,
    ) {
        let after = self.enter(key.slot, State::Error, at, Some(failure.reason));
        self.failed.0.push(after);
        if after >= Span::from_s(1) {
            self.slow(key, answers);
        }
        self.say(key, Note::Errored { failure, after }, answers);
        answers.push(Action::Close(key));
    }

    pub(super) fn say(&mut self, key: Key, note: Note, answers: &mut Vec<Action>) {
        if self.plan.debug {
            self.mark("a note");
            answers.push(Action::Note(key, note));
        }
    }

    /// Whether what is expected can have come: in time, and with bytes.
    fn may_answer(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        seat.wait == Wait::Reply && seat.heard
    }

    fn queue(&mut self, slot: u32) {
        if !self.ready.contains(&slot) {
            self.ready.push_back(slot);
            let turns = self.ready.len().div_ceil(self.plan.budgets.drains_max as usize);
            self.seats[slot as usize].drained_by = self.turn + turns as u64 - 1;
        }
    }
}

/// Whether a reason is one that ends what was established.
fn ends_open(reason: EndReason) -> bool {
    matches!(
        reason,
        EndReason::PeerClosed
            | EndReason::PeerReset
            | EndReason::HalfOpen
            | EndReason::Lost
            | EndReason::Aborted
    )
}
