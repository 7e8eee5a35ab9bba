//! What the engine does as connections open, reply and come to the deadlines of their checks, and as
//! TCP_INFO is read.

use std::collections::VecDeque;

use super::check_state::{CheckState, Outcome, Step};
use super::check_table::{Input, asked_before};
use super::failure_times::SLOW_DIAL_MIN;
use super::tcp_info::{self, Evidence, Question, evidence, evidence_in_doubt, reduced};
use super::{Action, Engine, Event, EventKind, Key, Note, State, TcpInfo, TcpInfoPurpose};
use crate::plan::Budgets;
use crate::units::{Moment, Span, Tick};

/// How often the kernel is asked for its own handshake time, at most.
const RTT_EVERY: Span = Span::from_ms(10);

/// What the kernel was asked in the turn before. What comes back without having been asked for, or
/// twice, or later, is nonsense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingTcpInfo {
    /// Those of the turn before, as long as they are open, and then those of this one.
    asked: VecDeque<(Key, TcpInfoPurpose)>,
    /// How many are of the turn before.
    open: usize,
    /// When the next handshake time may be asked for.
    rtt_due: Moment,
}

impl PendingTcpInfo {
    /// Room for as many as one turn can ask for: one for each event and each expiry.
    pub fn new(budgets: &Budgets) -> PendingTcpInfo {
        let looks_max = budgets.turn_events_max() + budgets.expiries_max as usize;
        PendingTcpInfo {
            asked: VecDeque::with_capacity(2 * looks_max),
            open: 0,
            rtt_due: Moment(0),
        }
    }

    /// Forgets what the turn before the last one has asked for.
    pub fn begin_turn(&mut self) {
        self.asked.drain(..self.open);
        self.open = self.asked.len();
    }

    /// Whether this was asked for and not answered yet. Answers come in the order of the questions,
    /// so that each costs O(1).
    pub fn answer(&mut self, key: Key, why: TcpInfoPurpose) -> bool {
        let place = self.asked.iter().take(self.open).position(|asked| *asked == (key, why));
        if let Some(place) = place {
            self.asked.remove(place);
            self.open -= 1;
        }
        place.is_some()
    }

    pub fn ask(&mut self, key: Key, why: TcpInfoPurpose, actions: &mut Vec<Action>) {
        self.asked.push_back((key, why));
        actions.push(Action::ReadTcpInfo(key, why));
    }
}

impl Engine {
    pub(super) fn opened(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let after = self.post(key, State::Established, at, None);
        self.exhausted.relieve(key.slot);
        self.tally.established_times.record(after);
        self.series.established(after);
        self.note(key, Note::Established { after }, actions);
        let is_slow = after >= SLOW_DIAL_MIN;
        if is_slow {
            self.slow(key, actions);
        } else if self.reads.rtt_due <= at {
            self.reads.rtt_due = at + RTT_EVERY;
            self.reads.ask(key, TcpInfoPurpose::Rtt, actions);
        }
        let checks = self.checks.take(key.slot, Input::Opened { is_slow }, at);
        // The request is sent only now, whenever the connection was established.
        let from = if self.sends { self.now } else { at };
        self.act(key, from, &checks, actions);
        if self.sends {
            actions.push(Action::Send(key));
        }
    }

    /// A dial took a second or more: at least one SYN, or the answer to it, was lost.
    pub(super) fn slow(&mut self, key: Key, actions: &mut Vec<Action>) {
        let has_failed = !self.is(key, State::Established);
        self.tally.slow.add(has_failed);
        self.reads.ask(key, TcpInfoPurpose::Slow, actions);
    }

    /// Whether the next bytes of `key` may be an answer that is waited for. They may also be those of
    /// one of which the driver knows already that it has opened.
    pub fn awaits_answer(&self, key: Key) -> bool {
        self.table.get(key).is_some_and(|connection| match connection.state {
            State::NotInitiated | State::Dialing => self.checks.are_replies_expected(),
            State::Established => self.checks.reply_timeout(key.slot).is_some(),
            State::Closed | State::Error => false,
        })
    }

    pub(super) fn received(&mut self, key: Key, bytes: u32, at: Moment, actions: &mut Vec<Action>) {
        self.tally.received_bytes += u64::from(bytes);
        if bytes == 0 {
            return;
        }
        let is_late = self.is_reply_late(key, at);
        let (is_first, checks) = self.checks.on_data(key.slot, at, is_late);
        if is_first && let Some(connection) = self.table.get(key) {
            self.tally.first_byte_times.record(at.since(connection.since));
        }
        self.act(key, at, &checks, actions);
    }

    pub(super) fn replied(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let is_late = self.is_reply_late(key, at);
        match self.checks.on_reply(key.slot, at, is_late) {
            Some(checks) => self.act(key, at, &checks, actions),
            None => self.tally.events_ignored += 1,
        }
    }

    /// The driver has sent a keepalive, after the segments that `info` tells of, or could not.
    pub(super) fn keepalive_started(
        &mut self,
        key: Key,
        info: Option<TcpInfo>,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        let segs = info.map(|info| reduced(info.segs_in.unwrap_or(0)));
        let input = segs.map_or(Input::Refused, |segs| Input::Started { segs });
        let checks = self.checks.take(key.slot, input, at);
        self.act(key, at, &checks, actions);
    }

    /// Before when no reply of `key` is late, if one is awaited.
    pub(super) fn reply_due(&self, key: Key) -> Option<Moment> {
        let since = self.table.get(key)?.since;
        self.checks.reply_timeout(key.slot).map(|timeout| since + timeout)
    }

    /// Whether a request is to be sent, or was, and its reply may still come in time.
    pub(super) fn awaits_reply(&self, key: Key) -> bool {
        let state = self.checks.state(key.slot);
        self.sends && self.is(key, State::Established) && state.is_reply_timed()
    }

    /// The request was sent at `at`, which a host that was stopped or busy can be late with: the reply
    /// timeout runs from now on.
    pub(super) fn sent(&mut self, key: Key, at: Moment) {
        if let Some(timeout) = self.checks.reply_timeout(key.slot) {
            self.wheel.arm(key.slot, Tick::at_or_after(at + timeout));
        }
    }

    /// Whether what came at `at` came after its time, or is read only now that its time is up.
    fn is_reply_late(&self, key: Key, at: Moment) -> bool {
        match self.checks.state(key.slot) {
            CheckState::ReplyPending | CheckState::PartialReply => {
                self.wheel.due(key.slot).is_some_and(|due| due.moment() < at)
            }
            CheckState::ReplyDue | CheckState::PartialReplyDue => true,
            _ => false,
        }
    }

    pub(super) fn tcp_info_read(
        &mut self,
        key: Key,
        purpose: TcpInfoPurpose,
        info: &TcpInfo,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        match purpose {
            TcpInfoPurpose::Rtt => {
                // A repeated SYN leaves the measure open.
                if let Some(rtt) = info.rtt.filter(|_| info.total_retrans == 0) {
                    self.tally.handshake_times.record(rtt);
                    let dial_time = self.table.get(key).and_then(|connection| connection.dial_time);
                    let took = dial_time.map_or(rtt, |time| time.middle());
                    self.tally.notice_times.record(Span(took.0.saturating_sub(rtt.0)));
                }
            }
            TcpInfoPurpose::Slow => {
                let has_failed = !self.is(key, State::Established);
                self.tally.slow.add_repeats(info.total_retrans, has_failed);
            }
            TcpInfoPurpose::Suspect => {
                self.checks.suspect(tcp_info::suspicion(info, self.sends));
            }
            TcpInfoPurpose::Keepalive if self.is(key, State::Established) => {
                if let Some(input) = self.read_means(key, info, at) {
                    let checks = self.checks.take(key.slot, input, at);
                    self.act(key, at, &checks, actions);
                }
            }
            TcpInfoPurpose::Keepalive => {}
        }
    }

    /// What a read for the keepalive says of the check as it stands.
    fn read_means(&self, key: Key, info: &TcpInfo, at: Moment) -> Option<Input> {
        match self.checks.state(key.slot) {
            CheckState::KeepaliveSent { step, segs, .. } => {
                let due = self.wheel.due(key.slot)?.moment();
                let asked_at = Moment(due.0.saturating_sub(asked_before(step).0));
                let is_first = self.checks.is_first(key.slot);
                let question = Question { at: asked_at, sends: self.sends, is_first, segs };
                let was_always = self.checks.was_looking_since(asked_at);
                if step == Step::DoubtRead {
                    let evidence = evidence_in_doubt(info, at, &question, was_always);
                    return Some(Input::ReadInDoubt { evidence });
                }
                let evidence = match evidence(info, at, &question) {
                    Evidence::RepeatsSynAck | Evidence::OtherTraffic if !was_always => {
                        Evidence::Unclear
                    }
                    evidence => evidence,
                };
                Some(Input::Read {
                    evidence,
                    is_looking: self.checks.was_looking(asked_at, at),
                    segs: reduced(info.segs_in.unwrap_or(0)),
                })
            }
            CheckState::Settled(_, Outcome::Unacknowledged) => {
                tcp_info::is_acknowledged_late(info).then_some(Input::ReadLate)
            }
            _ => None,
        }
    }

    /// Answers of the kernel that come after the last turn: what that has asked about the last
    /// dials to fail would be lost otherwise.
    pub fn hear_last(&mut self, events: &[Event]) {
        for event in events {
            if let EventKind::TcpInfo(key, purpose, info) = event.kind
                && self.table.get(key).is_some()
            {
                // What is left to do will be done by the end of the run.
                self.tcp_info_read(key, purpose, &info, event.at, &mut Vec::new());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Event, EventKind};
    use crate::plan::{Plan, ReplyCheck};
    use crate::route::{Routes, Target};
    use crate::units::Tick;

    /// So many, of whom an answer is waited for.
    fn talking(connections: u32, expect: &str, reply_timeout: Span) -> Plan {
        let address = "127.0.0.1:1".parse().unwrap();
        let talk = ReplyCheck { send: [].into(), expect: expect.as_bytes().into(), reply_timeout };
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        Plan { reply_check: Some(talk), ..Plan::plain(connections, routes) }
    }

    /// With all connections of `plan` established at its start.
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

    fn drained_whole(actions: &[Action]) -> Vec<u32> {
        let whole = |action: &Action| match action {
            Action::DrainFully(key) => Some(key.slot),
            _ => None,
        };
        actions.iter().filter_map(whole).collect()
    }

    #[test]
    fn days_without_a_turn_make_no_reply_late_before_its_time() {
        let day = |days: u64| Moment(Span::from_s(days * 24 * 3600).0);
        let plan = talking(1, "", day(10).since(Moment(0)));
        let (key, mut actions) = (Key { slot: 0, attempt: 0 }, Vec::new());
        let mut engine = Engine::new(&plan, Moment(0)).unwrap();
        engine.turn(Moment(0), &[], &mut actions);
        engine.turn(
            Moment(0),
            &[Event { at: Moment(0), kind: EventKind::Dialed(key) }],
            &mut actions,
        );
        // The wheel still stands at zero, and reaches 12 days.
        engine.turn(day(5), &[Event { at: day(5), kind: EventKind::Opened(key) }], &mut actions);
        for days in [12, 13, 14] {
            engine.turn(day(days), &[], &mut actions);
            engine.audit();
            assert_eq!(engine.summary().checks.no_reply, 0, "on day {days}");
        }
        while engine.next_due().is_some_and(|due| due <= day(15)) {
            engine.turn(day(15), &[], &mut actions);
        }
        assert_eq!(engine.summary().checks.no_reply, 1);
        assert!(engine.is_over());
    }

    #[test]
    fn an_answer_is_awaited_from_the_dial_until_it_is_there_or_its_time_is_up() {
        let second = Span::from_s(1);
        let mut engine = Engine::new(&talking(2, "", second), Moment(0)).unwrap();
        let keys = [0, 1].map(|slot| Key { slot, attempt: 0 });
        let mut hear = |now, kind| {
            engine.turn(now, &[Event { at: now, kind }], &mut Vec::new());
            keys.map(|key| engine.awaits_answer(key))
        };
        assert_eq!(hear(Moment(0), EventKind::PollBatchFull), [true, true]);
        for key in keys {
            assert_eq!(hear(Moment(0), EventKind::Dialed(key)), [true, true]);
            assert_eq!(hear(Moment(0), EventKind::Opened(key)), [true, true]);
        }
        let said = EventKind::Received { key: keys[0], bytes: 1, more: true };
        assert_eq!(hear(Moment(0), said), [false, true]);
        assert_eq!(hear(Moment(0) + second, EventKind::PollBatchFull), [false, true]);
        assert_eq!(hear(Moment(0) + second, EventKind::Readable(keys[0])), [false, false]);
        let plain = Plan { reply_check: None, ..talking(1, "", second) };
        assert!(!Engine::new(&plain, Moment(0)).unwrap().awaits_answer(keys[0]));
    }

    /// Replies whose first piece was read, and whose rest waits for its turn as the answer is due:
    /// one has the answer in it, one does not, and one never ends.
    #[test]
    fn what_came_in_time_and_was_not_read_yet_is_read_before_it_is_missed() {
        let second = Span::from_s(1);
        let mut engine = established(&talking(3, "+PONG", second));
        let keys = [0, 1, 2].map(|slot| Key { slot, attempt: 0 });
        let mut actions = Vec::new();
        let now = Moment(0) + second;
        let said = |key, more| EventKind::Received { key, bytes: 9, more };
        let begun = keys.map(|key| Event { at: now, kind: said(key, true) });
        engine.turn(now, &begun, &mut actions);
        engine.audit();
        let mut read = drained_whole(&actions);
        read.sort_unstable();
        assert_eq!(read, [0, 1, 2]);
        actions.clear();
        assert_eq!(engine.summary().checks.no_reply, 0);

        let whats = [said(keys[0], false), EventKind::ReplyMatched(keys[0]), said(keys[1], false)];
        let later = now + Tick::LENGTH;
        let events = whats.map(|kind| Event { at: later, kind });
        let endless = Event { at: later, kind: said(keys[2], true) };
        engine.turn(later, &[&events[..], &[endless]].concat(), &mut actions);
        engine.audit();
        let checks = engine.summary().checks;
        assert_eq!((checks.replied, checks.no_reply, checks.wrong_reply), (1, 2, 2));
        assert_eq!(checks.replied_late_read, 1);
        assert!(engine.is_over() && drained_whole(&actions).is_empty());
    }

    #[test]
    fn few_are_read_whole_in_a_turn_and_all_of_them_in_the_end() {
        let (second, slots) = (Span::from_s(1), 0..50);
        let mut engine = established(&talking(50, "+PONG", second));
        let (now, mut read) = (Moment(0) + second, Vec::new());
        let key = |slot| Key { slot, attempt: 0 };
        let said = |slot| EventKind::Received { key: key(slot), bytes: 9, more: true };
        let mut events: Vec<Event> =
            slots.clone().map(|slot| Event { at: now, kind: said(slot) }).collect();
        for _ in slots.clone() {
            let mut actions = Vec::new();
            engine.turn(now, &events, &mut actions);
            engine.audit();
            let whole = drained_whole(&actions);
            assert!(whole.len() <= 4, "{whole:?}");
            read.extend(whole);
            events.clear();
        }
        read.sort_unstable();
        assert_eq!(read, slots.collect::<Vec<u32>>());
    }
}
