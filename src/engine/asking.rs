//! How the engine asks: the application for an answer, the server for a sign of life, the kernel for
//! what it knows.

use std::collections::VecDeque;

use super::failure_times::SLOW_DIAL_MIN;
use super::inquiry::{Step, Suspicion};
use super::standing::Standing;
use super::{Action, Engine, Event, EventKind, Key, Note, State, TcpInfo, TcpInfoPurpose};
use crate::plan::{FINAL_DRAIN_COST, INQUIRY_COST, Limits};
use crate::units::{Moment, Span, Tick};

/// How often the kernel is asked for its own handshake time, at most.
const RTT_EVERY: Span = Span::from_ms(10);

/// A server repeats its SYN-ACK after a second. By a way there and back of half of that and more it
/// may do so because the answer to it is on its way. Source: RFC 6298, 2.1.
const NEAR_RTT_MAX: Span = Span::from_ms(500);

/// The handshake's own acknowledgement can be as old as the connection, but for a clock of the
/// kernel's that ticks in milliseconds; the keepalive's is half a second younger and more.
const PROOF_AFTER_MIN: Span = Span::from_ms(500);

/// What the kernel was asked in the turn before. What comes back without having been asked for, or
/// twice, or later, is nonsense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looks {
    /// Those of the turn before, as long as they are open, and then those of this one.
    asked: VecDeque<(Key, TcpInfoPurpose)>,
    /// How many are of the turn before.
    open: usize,
    /// When the next handshake time may be asked for.
    rtt_due: Moment,
}

impl Looks {
    /// Room for as many as one turn can ask for: one for each event and each expiry.
    pub fn new(limits: &Limits) -> Looks {
        let looks_max = limits.turn_events_max() + limits.expiries_max as usize;
        Looks { asked: VecDeque::with_capacity(2 * looks_max), open: 0, rtt_due: Moment(0) }
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

    fn ask(&mut self, key: Key, why: TcpInfoPurpose, actions: &mut Vec<Action>) {
        self.asked.push_back((key, why));
        actions.push(Action::ReadTcpInfo(key, why));
    }
}

impl Engine {
    pub(super) fn opened(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let after = self.post(key, State::Established, at, None);
        self.exhausted.relieve(key.slot);
        self.tally.established_times.record(after);
        self.note(key, Note::Established { after }, actions);
        let is_slow = after >= SLOW_DIAL_MIN;
        if is_slow {
            self.slow(key, actions);
        } else if self.looks.rtt_due <= at {
            self.looks.rtt_due = at + RTT_EVERY;
            self.looks.ask(key, TcpInfoPurpose::Rtt, actions);
        }
        if let Some(span) = self.inquiries.open(key.slot, is_slow) {
            self.wheel.arm(key.slot, Tick::at_or_after(at + span));
        }
        if self.sends {
            actions.push(Action::Send(key));
        }
    }

    /// A dial took a second or more: at least one SYN, or the answer to it, was lost.
    pub(super) fn slow(&mut self, key: Key, actions: &mut Vec<Action>) {
        let has_failed = !self.is(key, State::Established);
        self.tally.slow.add(has_failed);
        self.looks.ask(key, TcpInfoPurpose::Slow, actions);
    }

    /// Whether the next bytes of `key` may be an answer that is waited for. They may also be those of
    /// one of which the driver knows already that it has opened.
    pub fn awaits_answer(&self, key: Key) -> bool {
        self.table.get(key).is_some_and(|connection| match connection.state {
            State::NotInitiated | State::Dialing => self.inquiries.are_answers_awaited(),
            State::Established => self.inquiries.awaited(key.slot).is_some(),
            State::Closed | State::Error => false,
        })
    }

    pub(super) fn received(&mut self, key: Key, bytes: u32, at: Moment, actions: &mut Vec<Action>) {
        self.tally.received_bytes += u64::from(bytes);
        if bytes == 0 {
            return;
        }
        let (before, due) = (self.inquiries.standing(key.slot), self.reply_due(key));
        if self.inquiries.hear(key.slot)
            && let Some(connection) = self.table.get(key)
        {
            self.tally.first_byte_times.record(at.since(connection.since));
        }
        self.count_overdue(key, due, at);
        self.settle(key, before, actions);
    }

    pub(super) fn answered(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let (before, due) = (self.inquiries.standing(key.slot), self.reply_due(key));
        if !self.inquiries.answer(key.slot) {
            self.tally.events_ignored += 1;
        }
        self.count_overdue(key, due, at);
        self.settle(key, before, actions);
    }

    /// By when an answer of `key` has to come, if one is awaited.
    fn reply_due(&self, key: Key) -> Option<Moment> {
        let since = self.table.get(key)?.since;
        self.inquiries.awaited(key.slot).map(|timeout| since + timeout)
    }

    /// Counts an answer that was due at `due` and heard at `at`, if it was.
    fn count_overdue(&mut self, key: Key, due: Option<Moment>, at: Moment) {
        let is_overdue = self.inquiries.has_answered(key.slot) && due.is_some_and(|due| due < at);
        self.inquiries.findings.overdue += u64::from(is_overdue);
    }

    pub(super) fn looked(
        &mut self,
        key: Key,
        why: TcpInfoPurpose,
        look: &TcpInfo,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        match why {
            TcpInfoPurpose::Rtt => {
                // A repeated SYN leaves the measure open.
                if let Some(rtt) = look.rtt.filter(|_| look.total_retrans == 0) {
                    self.tally.handshake_times.record(rtt);
                }
            }
            TcpInfoPurpose::Slow => {
                let has_failed = !self.is(key, State::Established);
                self.tally.slow.add_repeats(look.total_retrans, has_failed);
            }
            TcpInfoPurpose::Suspect => {
                self.inquiries.suspect(suspicion(look, self.sends));
            }
            TcpInfoPurpose::Keepalive if self.is(key, State::Established) => {
                let before = self.inquiries.standing(key.slot);
                let since = self.table.get(key).map_or(at, |connection| connection.since);
                let age = at.since(since);
                let is_acknowledged =
                    look.last_ack_recv.is_some_and(|silent| silent + PROOF_AFTER_MIN < age);
                // A server that waits for the handshake's last packet acknowledges keepalives, too,
                // and repeats its SYN-ACK. One that has the connection sends nothing but the
                // acknowledgement.
                // A send that was taken is proof enough.
                let is_undone = !self.sends && is_repeated(look, 2);
                if is_acknowledged && !is_undone {
                    self.inquiries.prove(key.slot);
                }
                self.settle(key, before, actions);
            }
            TcpInfoPurpose::Keepalive => {}
        }
    }

    /// Answers of the kernel that come after the last turn: what that has asked about the last
    /// dials to fail would be lost otherwise.
    pub fn hear_last(&mut self, events: &[Event]) {
        for event in events {
            if let EventKind::TcpInfo(key, why, look) = event.kind
                && self.table.get(key).is_some()
            {
                // What is left to do will be done by the end of the run.
                self.looked(key, why, &look, event.at, &mut Vec::new());
            }
        }
    }

    /// The deadline of an established connection has come. Returns what that costs of
    /// [`Limits::expiries_max`].
    pub(super) fn inquire(&mut self, key: Key, actions: &mut Vec<Action>) -> u32 {
        let since = self.table.get(key).map_or(self.now, |connection| connection.since);
        let reply_due = self.reply_due(key);
        if let Some(due) = reply_due.filter(|due| self.now < *due) {
            // As with a dial's: after days without a turn the wheel may not have reached so far.
            self.wheel.arm(key.slot, Tick::at_or_after(due));
            return INQUIRY_COST;
        }
        // What came in time can wait for its drain, or for the next one.
        let is_unread = reply_due.is_some() && self.ready.contains(key.slot);
        if is_unread && self.inquiries.defer_reply_deadline(key.slot) {
            self.final_drains.push(key.slot);
            self.wheel.arm(key.slot, Tick::at_or_after(self.now + Tick::LENGTH));
            return FINAL_DRAIN_COST;
        }
        let Step { unanswered, suspect, probe, look, hush, again } =
            self.inquiries.expire(key.slot);
        if unanswered {
            self.tally.unanswered.add(self.now, self.now.since(since));
            self.note(key, Note::ReplyTimedOut, actions);
        }
        if suspect {
            self.looks.ask(key, TcpInfoPurpose::Suspect, actions);
        }
        if probe {
            actions.push(Action::StartKeepalive(key));
        }
        if look {
            self.looks.ask(key, TcpInfoPurpose::Keepalive, actions);
        }
        if hush {
            actions.push(Action::StopKeepalive(key));
        }
        if let Some(span) = again {
            self.wheel.arm(key.slot, Tick::at_or_after(self.now + span));
        }
        INQUIRY_COST
    }

    /// Takes the deadline away where nothing is waited for any more, and sends no more keepalives to
    /// who is in doubt no more, however it was settled.
    fn settle(&mut self, key: Key, before: Standing, actions: &mut Vec<Action>) {
        let after = self.inquiries.standing(key.slot);
        if before.is_pending() && !after.is_pending() {
            self.wheel.cancel(key.slot);
        }
        if before.is_asked() && !after.is_asked() {
            actions.push(Action::StopKeepalive(key));
        }
    }
}

/// What a look says of a suspect to which something was sent, or nothing.
fn suspicion(look: &TcpInfo, sends: bool) -> Suspicion {
    let is_repeated = is_repeated(look, 1);
    match (sends, look.unacked) {
        (true, 0) => Suspicion::Unfounded,
        _ if is_repeated => Suspicion::HalfOpen,
        (true, _) => Suspicion::Unacknowledged,
        (false, _) => Suspicion::Unfounded,
    }
}

/// Whether the server has said more than its part, and no data: then it repeats its SYN-ACK. Each
/// repeat of ours may have drawn an answer as well.
fn is_repeated(look: &TcpInfo, part: u32) -> bool {
    let said = look.segs_in.map(|count| count.saturating_sub(look.total_retrans));
    let is_near = look.rtt.is_none_or(|rtt| rtt < NEAR_RTT_MAX);
    is_near && said.is_some_and(|count| count > part) && look.data_segs_in == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Event, EventKind};
    use crate::plan::{Plan, Talk};
    use crate::route::{Routes, Target};

    #[test]
    fn a_suspect_is_half_open_if_its_server_repeats_itself_and_takes_nothing() {
        use Suspicion::{HalfOpen, Unacknowledged, Unfounded};
        let look = |total_retrans, segs_in, data_segs_in, unacked| TcpInfo {
            total_retrans,
            segs_in,
            data_segs_in,
            unacked,
            ..TcpInfo::default()
        };
        let far = |look| TcpInfo { rtt: Some(Span::from_ms(600)), ..look };
        for (look, silent, sent) in [
            (look(0, Some(1), Some(0), 0), Unfounded, Unfounded),
            (look(0, Some(2), Some(0), 0), HalfOpen, Unfounded),
            (look(0, Some(2), Some(0), 1), HalfOpen, HalfOpen),
            (look(0, Some(1), Some(0), 1), Unfounded, Unacknowledged),
            (look(1, Some(2), Some(0), 1), Unfounded, Unacknowledged),
            (look(1, Some(3), Some(0), 1), HalfOpen, HalfOpen),
            (look(0, Some(3), Some(1), 1), Unfounded, Unacknowledged),
            (look(0, None, None, 1), Unfounded, Unacknowledged),
            (look(0, None, Some(0), 0), Unfounded, Unfounded),
            (far(look(0, Some(2), Some(0), 0)), Unfounded, Unfounded),
            (far(look(0, Some(2), Some(0), 1)), Unfounded, Unacknowledged),
            (look(u32::MAX, Some(1), Some(0), 1), Unfounded, Unacknowledged),
            (look(u32::MAX - 1, Some(u32::MAX), Some(0), 1), Unfounded, Unacknowledged),
        ] {
            assert_eq!(
                [suspicion(&look, false), suspicion(&look, true)],
                [silent, sent],
                "{look:?}"
            );
        }
    }

    /// So many, of whom an answer is waited for.
    fn talking(connections: u32, expect: &str, reply_timeout: Span) -> Plan {
        let address = "127.0.0.1:1".parse().unwrap();
        let talk = Talk { send: [].into(), expect: expect.as_bytes().into(), reply_timeout };
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        Plan { talk: Some(talk), ..Plan::plain(connections, routes) }
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
            assert_eq!(engine.summary().findings.unanswered, 0, "on day {days}");
        }
        while engine.next_due().is_some_and(|due| due <= day(15)) {
            engine.turn(day(15), &[], &mut actions);
        }
        assert_eq!(engine.summary().findings.unanswered, 1);
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
        let plain = Plan { talk: None, ..talking(1, "", second) };
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
        assert_eq!(engine.summary().findings.unanswered, 0);

        let whats = [said(keys[0], false), EventKind::ReplyMatched(keys[0]), said(keys[1], false)];
        let later = now + Tick::LENGTH;
        let events = whats.map(|kind| Event { at: later, kind });
        let endless = Event { at: later, kind: said(keys[2], true) };
        engine.turn(later, &[&events[..], &[endless]].concat(), &mut actions);
        engine.audit();
        let findings = engine.summary().findings;
        assert_eq!((findings.answered, findings.unanswered, findings.misheard), (1, 2, 2));
        assert_eq!(findings.overdue, 1);
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
