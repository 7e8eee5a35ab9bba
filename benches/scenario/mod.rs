//! A run to measure: every event follows from the numbers of the slot and the turn, without state or
//! search, so that its time is the engine's.

use tcpgoon::engine::{Action, EndReason, Engine, Event, EventKind, Failure, Key, State};
use tcpgoon::plan::{Budgets, Hold, Plan};
use tcpgoon::report::text;
use tcpgoon::route::{Routes, Target};
use tcpgoon::units::{Moment, Span};

/// A turn dials one connection, and this is what a dial takes on loopback.
const TURN: Span = Span::from_us(13);

/// How many turns after its dial a connection opens, has data, and is closed by its peer. A silent one
/// times out after some 380,000.
const OPENED_AFTER: u32 = 10;
const READABLE_AFTER: u32 = 500;
const CLOSED_AFTER: u32 = 1_000;

/// Of this number of connections, one is silent, one is closed and one has data.
const SHARE: u32 = 16;
const SILENT: u32 = 3;
const CLOSED: u32 = 7;
const TALKING: u32 = 11;

pub fn plan(connections: u32) -> Plan {
    let address = "127.0.0.1:1".parse().expect("an address");
    let target = Target { host: "127.0.0.1".into(), address };
    Plan {
        dial_timeout: Some(Span::from_s(5)),
        interval: Some(Span::from_s(1)),
        hold: Hold::Forever,
        ..Plan::plain(connections, Routes::to_one(target))
    }
}

/// What a run needs beside the engine, with capacity for a turn.
pub struct Buffers {
    events: Vec<Event>,
    actions: Vec<Action>,
    line: String,
}

impl Buffers {
    pub fn new() -> Buffers {
        let budgets = Budgets::DEFAULT;
        Buffers {
            events: Vec::with_capacity(budgets.turn_events_max()),
            actions: Vec::with_capacity(budgets.turn_actions_max()),
            line: String::with_capacity(200),
        }
    }
}

/// From the first dial to the last timeout, statistics lines included. What is established then is
/// held.
pub fn run(mut engine: Engine, buffers: &mut Buffers) -> Engine {
    let connections = engine.sample().connections;
    let Buffers { events, actions, line } = buffers;
    let mut now = Moment(0);
    for turn in 0.. {
        engine.turn(now, events, actions);
        events.clear();
        now = now + TURN;
        for action in actions.drain(..) {
            match action {
                Action::Dial(key) => events.push(Event { at: now, kind: EventKind::Dialed(key) }),
                Action::Drain(key) => {
                    let kind = EventKind::Received { key, bytes: 100, more: false };
                    events.push(Event { at: now, kind });
                }
                Action::Sample => {
                    line.clear();
                    text::write_sample(line, &engine.sample()).expect("a string takes it");
                }
                _ => {}
            }
        }
        happenings(turn, connections, |kind| events.push(Event { at: now, kind }));
        if turn > connections + CLOSED_AFTER {
            // Only timeouts are left.
            if engine.sample().level(State::Dialing) == 0 {
                break;
            }
            now = engine.next_wake().due(now).unwrap_or(now).max(now);
        }
    }
    assert_outcome(&engine);
    engine
}

/// What happens in a turn. Slot `i` is dialed in turn `i`.
fn happenings(turn: u32, connections: u32, mut report: impl FnMut(EventKind)) {
    let dialed = |turns_ago| {
        let slot = turn.checked_sub(turns_ago).filter(|slot| *slot < connections)?;
        Some((Key { slot, attempt: 0 }, slot % SHARE))
    };
    if let Some((key, share)) = dialed(OPENED_AFTER)
        && share != SILENT
    {
        report(EventKind::Opened(key));
    }
    if let Some((key, TALKING)) = dialed(READABLE_AFTER) {
        report(EventKind::Readable(key));
    }
    if let Some((key, CLOSED)) = dialed(CLOSED_AFTER) {
        report(EventKind::PeerClosed(key, Failure { reason: EndReason::PeerClosed, errno: 0 }));
    }
}

/// If the engine drops an event, its time means nothing.
fn assert_outcome(engine: &Engine) {
    let (sample, summary) = (engine.sample(), engine.summary());
    let one_of = |share| (sample.connections + SHARE - 1 - share) / SHARE;
    assert_eq!(sample.level(State::Error), one_of(SILENT));
    assert_eq!(sample.level(State::Closed), one_of(CLOSED));
    let established = sample.connections - one_of(SILENT) - one_of(CLOSED);
    assert_eq!(sample.level(State::Established), established);
    assert_eq!(summary.received_bytes, u64::from(one_of(TALKING)) * 100);
    assert_eq!(summary.events_ignored, 0);
}
