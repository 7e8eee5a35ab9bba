//! Events: which of them count, and which closes and notes follow.

use tcpgoon::engine::{Action, EndReason, Event, EventKind, Failure, Key, Note, State};
use tcpgoon::units::{Moment, Span};

use super::records::{Conn, FailureTime, Wait, name};
use super::state::Shadow;

impl Shadow {
    /// The closes and notes that follow from the events, in order.
    pub(super) fn apply_all(&mut self, events: &[Event]) -> Vec<Action> {
        let mut expected = Vec::new();
        for event in events {
            self.apply(event, &mut expected);
        }
        let full = events.iter().any(|event| event.kind == EventKind::PollBatchFull);
        self.full_turns = if full { self.full_turns + 1 } else { 0 };
        expected
    }

    fn apply(&mut self, event: &Event, expected: &mut Vec<Action>) {
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
            (EventKind::Dialed(_), Some(State::NotInitiated)) if self.is_handed_out(slot) => {
                let late = at.since(self.due_of(slot));
                if self.plan.pace.is_paced() {
                    self.lateness.0.push(late);
                }
                self.dialed.push(at);
                self.unreported -= 1;
                self.transition(slot, State::Dialing, at, None);
                self.conn(slot).dialed_at = at;
                self.note(key, Note::Dialing, expected);
            }
            (EventKind::Opened(_), Some(State::Dialing)) => {
                if self.due(slot).is_some_and(|due| due <= self.now) {
                    self.mark("opened when its timeout was due");
                }
                let after = self.transition(slot, State::Established, at, None);
                self.established.0.push(after);
                self.note(key, Note::Established { after }, expected);
                self.on_opened(key, at, after, expected);
                self.live(key, at, expected);
            }
            (EventKind::Failed(_, failure), Some(State::Dialing)) if !ends_open(failure.reason) => {
                self.fail(key, failure, at, expected);
            }
            (EventKind::PeerClosed(_, failure), Some(State::Established))
                if ends_open(failure.reason) =>
            {
                self.close(key, failure, at, expected);
            }
            (EventKind::Reset(_, failure, info), Some(State::Established))
                if ends_open(failure.reason) =>
            {
                let is_half_open = self.is_half_open(slot, &info);
                let reason = if is_half_open { EndReason::HalfOpen } else { failure.reason };
                self.close(key, Failure { reason, ..failure }, at, expected);
            }
            (EventKind::KeepaliveStarted(_, info), Some(State::Established))
                if self.conns[slot as usize].wait == Wait::KeepaliveStarting =>
            {
                self.on_keepalive_started(slot, info, at);
            }
            (EventKind::Sent(_), Some(State::Established)) if self.may_be_in_time(slot) => {
                self.request_sent(slot, at);
            }
            (EventKind::Readable(_), Some(State::Established)) => self.mark_ready(slot),
            (EventKind::Received { bytes, more, .. }, Some(State::Established)) => {
                self.bytes += u64::from(bytes);
                if bytes > 0 {
                    self.on_data(key, at, expected);
                }
                if more {
                    self.mark("a drain cut short");
                    self.mark_ready(slot);
                }
            }
            (EventKind::ReplyMatched(_), Some(State::Established)) if self.may_answer(slot) => {
                self.on_reply(slot, at);
            }
            (EventKind::TcpInfo(_, purpose, info), _) if self.reads.contains(&(key, purpose)) => {
                self.reads.retain(|read| *read != (key, purpose));
                self.on_tcp_info(key, purpose, &info, at, expected);
            }
            _ => self.ignored += 1,
        }
    }

    fn close(&mut self, key: Key, failure: Failure, at: Moment, expected: &mut Vec<Action>) {
        let after = self.transition(key.slot, State::Closed, at, Some(failure.reason));
        self.lifetimes.0.push(after);
        self.closed_at = self.closed_at.max(Some(at.min(self.now)));
        self.on_close(key.slot, failure.reason, at);
        self.note(key, Note::Closed { failure, after }, expected);
        expected.push(Action::Close(key));
        self.ended(key.slot, Some(failure.reason), at);
    }

    fn transition(&mut self, slot: u32, to: State, at: Moment, reason: Option<EndReason>) -> Span {
        let conn = &mut self.conns[slot as usize];
        let edge = match (conn.state, to) {
            (State::NotInitiated, State::Dialing) => "not initiated to dialing",
            (State::Dialing, State::Established) => "dialing to established",
            (State::Dialing, State::Error) => "dialing to error",
            (State::Established, State::Closed) => "established to closed",
            _ => unreachable!("no event leads from {:?} to {to:?}", conn.state),
        };
        let (since, after) = (conn.since, at.since(conn.since));
        let took = if to == State::Established { Some(after) } else { conn.took };
        if let Some(reason) = reason {
            self.failures.push((reason, FailureTime { at, since, is_timed: true }));
        }
        let conn = self.conn(slot);
        *conn = Conn { state: to, since: at, reason, took, ..*conn };
        if to == State::Established && self.routing.open(slot) {
            self.mark("a port on an exhausted route");
        }
        if to == State::Established || to == State::Closed {
            self.change_open(to, at, since);
        }
        if to == State::Established {
            self.peak = self.peak.max(self.level(State::Established));
            self.dialed_at_open = self.plan.connections - self.level(State::NotInitiated);
        }
        self.mark(edge);
        if let Some(reason) = reason {
            self.mark(name(reason));
            if self.routing.end(slot, reason, self.now) {
                self.mark("an exhausted route cleared");
            }
        }
        after
    }

    /// The dial is skipped: its route has no free port.
    pub(super) fn skip_dial(&mut self, key: Key, expected: &mut Vec<Action>) {
        self.mark("a dial skipped");
        let reason = Some(EndReason::NoPorts);
        let at = self.now;
        let failure = FailureTime { at, since: at, is_timed: false };
        self.failures.push((EndReason::NoPorts, failure));
        let conn = &mut self.conns[key.slot as usize];
        let since = self.now;
        *conn = Conn { state: State::Error, since, dialed_at: since, reason, ..*conn };
        self.routing.skipped += 1;
        self.note(key, Note::Skipped, expected);
    }

    pub(super) fn fail(
        &mut self,
        key: Key,
        failure: Failure,
        at: Moment,
        expected: &mut Vec<Action>,
    ) {
        let after = self.transition(key.slot, State::Error, at, Some(failure.reason));
        self.failed.0.push(after);
        if after >= Span::from_s(1) {
            self.slow(key, expected);
        }
        self.note(key, Note::Errored { failure, after }, expected);
        expected.push(Action::Close(key));
        self.ended(key.slot, Some(failure.reason), at);
    }

    pub(super) fn note(&mut self, key: Key, note: Note, expected: &mut Vec<Action>) {
        if self.plan.debug {
            self.mark("a note");
            expected.push(Action::Note(key, note));
        }
    }

    /// Whether a reply is possible: in time, and with data.
    fn may_answer(&self, slot: u32) -> bool {
        let conn = &self.conns[slot as usize];
        conn.wait == Wait::Reply && conn.has_data
    }

    fn mark_ready(&mut self, slot: u32) {
        if !self.ready.contains(&slot) {
            self.ready.push_back(slot);
            let turns = self.ready.len().div_ceil(self.plan.budgets.drains_max as usize);
            self.conns[slot as usize].drained_by = self.turn + turns as u64 - 1;
        }
    }
}

/// Whether a reason ends an established connection.
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
