use super::*;
use crate::engine::{Event, EventKind, Wake};
use crate::plan::{Plan, ReplyCheck};
use crate::route::{Routes, Target};
use crate::units::Tick;

/// `connections` that are to reply.
fn talking(connections: u32, expect: &str, reply_timeout: Span) -> Plan {
    let address = "127.0.0.1:1".parse().unwrap();
    let talk = ReplyCheck { send: [].into(), expect: expect.as_bytes().into(), reply_timeout };
    let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
    Plan { reply_check: Some(talk), ..Plan::plain(connections, routes) }
}

/// All connections of `plan` are established at its start.
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

fn drained_fully(actions: &[Action]) -> Vec<u32> {
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
    engine.turn(Moment(0), &[Event { at: Moment(0), kind: EventKind::Dialed(key) }], &mut actions);
    // The wheel still stands at zero, and reaches 12 days.
    engine.turn(day(5), &[Event { at: day(5), kind: EventKind::Opened(key) }], &mut actions);
    for days in [12, 13, 14] {
        engine.turn(day(days), &[], &mut actions);
        engine.audit();
        assert_eq!(engine.summary().checks.no_reply, 0, "on day {days}");
    }
    while engine.next_wake().due(day(15)).is_some_and(|due| due <= day(15)) {
        engine.turn(day(15), &[], &mut actions);
    }
    assert_eq!(engine.summary().checks.no_reply, 1);
    assert!(engine.is_over());
}

#[test]
fn a_reply_is_expected_from_the_dial_until_it_came_or_timed_out() {
    let second = Span::from_s(1);
    let mut engine = Engine::new(&talking(2, "", second), Moment(0)).unwrap();
    let keys = [0, 1].map(|slot| Key { slot, attempt: 0 });
    let mut take = |now, kind| {
        engine.turn(now, &[Event { at: now, kind }], &mut Vec::new());
        keys.map(|key| engine.expects_reply(key))
    };
    assert_eq!(take(Moment(0), EventKind::PollBatchFull), [true, true]);
    for key in keys {
        assert_eq!(take(Moment(0), EventKind::Dialed(key)), [true, true]);
        assert_eq!(take(Moment(0), EventKind::Opened(key)), [true, true]);
    }
    let received = EventKind::Received { key: keys[0], bytes: 1, more: true };
    assert_eq!(take(Moment(0), received), [false, true]);
    assert_eq!(take(Moment(0) + second, EventKind::PollBatchFull), [false, true]);
    assert_eq!(take(Moment(0) + second, EventKind::Readable(keys[0])), [false, false]);
    let plain = Plan { reply_check: None, ..talking(1, "", second) };
    assert!(!Engine::new(&plain, Moment(0)).unwrap().expects_reply(keys[0]));
}

/// The first piece of three replies was read, and the rest waits to be drained at the timeout: one has
/// the expected text in it, one does not, and one never ends.
#[test]
fn data_that_came_in_time_is_read_before_the_reply_times_out() {
    let second = Span::from_s(1);
    let mut engine = established(&talking(3, "+PONG", second));
    let keys = [0, 1, 2].map(|slot| Key { slot, attempt: 0 });
    let mut actions = Vec::new();
    let now = Moment(0) + second;
    let received = |key, more| EventKind::Received { key, bytes: 9, more };
    let begun = keys.map(|key| Event { at: now, kind: received(key, true) });
    engine.turn(now, &begun, &mut actions);
    engine.audit();
    let mut read = drained_fully(&actions);
    read.sort_unstable();
    assert_eq!(read, [0, 1, 2]);
    actions.clear();
    assert_eq!(engine.summary().checks.no_reply, 0);

    let kinds =
        [received(keys[0], false), EventKind::ReplyMatched(keys[0]), received(keys[1], false)];
    let later = now + Tick::LENGTH;
    let events = kinds.map(|kind| Event { at: later, kind });
    let endless = Event { at: later, kind: received(keys[2], true) };
    engine.turn(later, &[&events[..], &[endless]].concat(), &mut actions);
    engine.audit();
    let checks = engine.summary().checks;
    assert_eq!((checks.replied, checks.no_reply, checks.wrong_reply), (1, 2, 2));
    assert_eq!(checks.replied_late_read, 1);
    assert!(engine.is_over() && drained_fully(&actions).is_empty());
}

#[test]
fn a_few_replies_are_drained_fully_in_a_turn_and_all_in_the_end() {
    let (second, slots) = (Span::from_s(1), 0..50);
    let mut engine = established(&talking(50, "+PONG", second));
    let (now, mut read) = (Moment(0) + second, Vec::new());
    let key = |slot| Key { slot, attempt: 0 };
    let received = |slot| EventKind::Received { key: key(slot), bytes: 9, more: true };
    let mut events: Vec<Event> =
        slots.clone().map(|slot| Event { at: now, kind: received(slot) }).collect();
    for _ in slots.clone() {
        let mut actions = Vec::new();
        engine.turn(now, &events, &mut actions);
        engine.audit();
        let drained = drained_fully(&actions);
        assert!(drained.len() <= 4, "{drained:?}");
        read.extend(drained);
        events.clear();
    }
    read.sort_unstable();
    assert_eq!(read, slots.collect::<Vec<u32>>());
}

#[test]
fn the_last_turn_takes_what_came_of_the_last_actions_and_fires_no_deadline() {
    let second = Span::from_s(1);
    let plan = Plan { dial_timeout: Some(second), ..talking(2, "", second) };
    let keys = [0, 1].map(|slot| Key { slot, attempt: 0 });
    let (mut engine, mut actions) = (Engine::new(&plan, Moment(0)).unwrap(), Vec::new());
    let mut turn = |now: Moment, kinds: &[EventKind]| {
        let events: Vec<Event> = kinds.iter().map(|kind| Event { at: now, kind: *kind }).collect();
        actions.clear();
        engine.turn(now, &events, &mut actions);
        engine.audit();
        (engine.next_wake(), engine.summary(), actions.clone())
    };
    assert_eq!(turn(Moment(0), &[]).0, Wake::Now, "the next dial is due");
    turn(Moment(0), &[EventKind::Dialed(keys[0])]);
    let (wake, ..) = turn(Moment(0) + Tick::LENGTH, &[EventKind::Dialed(keys[1])]);
    assert!(matches!(wake, Wake::At(due) if due <= Moment(0) + second), "{wake:?}");

    let now = Moment(0) + second;
    let (wake, summary, actions) = turn(now, &[EventKind::Stop]);
    assert_eq!((wake, summary.slow.dials, summary.slow.retransmitted), (Wake::Never, 1, 0));
    let read = Action::ReadTcpInfo(keys[0], TcpInfoPurpose::Slow);
    assert!(actions.contains(&read), "{actions:?}");

    let info = TcpInfo { total_retrans: 1, ..TcpInfo::default() };
    let result = EventKind::TcpInfo(keys[0], TcpInfoPurpose::Slow, info);
    let (wake, summary, _) = turn(now + second, &[result]);
    assert_eq!((wake, summary.slow.retransmitted), (Wake::Never, 1));
    assert_eq!(summary.ended_by(EndReason::TimedOut), 1, "the other dial is due, and left alone");
}

#[test]
fn a_dial_has_a_deadline_unless_its_own_success_is_the_next_event() {
    let address = "127.0.0.1:1".parse().unwrap();
    let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
    let plan = Plan { dial_timeout: Some(Span::from_s(5)), ..Plan::plain(3, routes) };
    let mut engine = Engine::new(&plan, Moment(0)).unwrap();
    let key = |slot| Key { slot, attempt: 0 };
    let mut turn = |events: &[EventKind]| {
        let at = Moment(0);
        let events: Vec<_> = events.iter().map(|kind| Event { at, kind: *kind }).collect();
        engine.turn(at, &events, &mut Vec::new());
        engine.audit();
        [0, 1, 2].map(|slot| engine.deadline(key(slot)).is_some())
    };
    turn(&[]);
    assert_eq!(turn(&[EventKind::Dialed(key(0))]), [true, false, false]);
    let another_opens = [EventKind::Dialed(key(1)), EventKind::Opened(key(0))];
    assert_eq!(turn(&another_opens), [false, true, false]);
    let opens = [EventKind::Dialed(key(2)), EventKind::Opened(key(2))];
    assert_eq!(turn(&opens), [false, true, false]);
    assert_eq!(engine.summary().established_ever, 2);
}
