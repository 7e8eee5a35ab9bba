//! Any plan, any moments (backwards too), any events: `turn` does not panic, the ledger balances after
//! each, and budgets hold. While the clock is plausible, the reference model checks each turn. The end is
//! diagnosed and reported without a contradiction.

#![no_main]

#[path = "../../tests/common/report_invariants.rs"]
mod report_invariants;
#[path = "../../tests/shadow/mod.rs"]
mod shadow;

use std::collections::HashSet;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tcpgoon::engine::{
    Action, EndReason, Engine, Event, EventKind, Failure, Key, State, TcpInfo, TcpInfoPurpose, Wake,
};
use tcpgoon::plan::{Budgets, Close, Hold, Pace, Plan, Probe, ReplyCheck};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::{Observer, Record};
use tcpgoon::units::{Moment, SPAN_MAX, Span};

use report_invariants::{Beside, contradictions, html_faults, reported, short_faults};
use shadow::Shadow;

const CONNECTIONS_MAX: u32 = 6;
const TURNS_MAX: usize = 200;

#[derive(Debug)]
struct Input {
    plan: Plan,
    start: Moment,
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    now: Now,
    /// Whether the dials of the turn before were started.
    dials: bool,
    /// The TCP_INFO that the turn before reads, if any.
    tcp_info: Option<TcpInfo>,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy)]
enum Now {
    After(Span),
    At(Moment),
    WhenDue,
}

/// A number of any magnitude: first its number of bits, then the bits.
fn number(u: &mut Unstructured<'_>, bits_max: u32) -> Result<u64> {
    let bits = u.int_in_range(0..=bits_max)?;
    let mask = 1u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1);
    Ok(u64::arbitrary(u)? & mask)
}

fn span(u: &mut Unstructured<'_>) -> Result<Span> {
    Ok(Span(number(u, 50)?.clamp(1, SPAN_MAX.0)))
}

fn plan(u: &mut Unstructured<'_>) -> Result<Plan> {
    let target = |port| Target { host: "127.0.0.1".into(), address: ([127, 0, 0, 1], port).into() };
    let targets = (1..=u.int_in_range(1..=2)?).map(target).collect();
    let sources: Vec<_> =
        (1..=u.int_in_range(0..=2)?).map(|last| ([127, 0, 0, last], 0).into()).collect();
    // Where slots dial again nothing is checked.
    let lifetime = match u.int_in_range(0..=5)? {
        0 => Some(Span::ZERO),
        1 => Some(span(u)?),
        _ => None,
    };
    let checks = lifetime.is_none();
    let connections = u.int_in_range(1..=CONNECTIONS_MAX)?;
    let hold_beside = if checks { 0 } else { u.int_in_range(0..=connections - 1)? };
    Ok(Plan {
        connections,
        hold_beside,
        routes: Routes::new(targets, &sources).expect("a few"),
        other_addresses: Vec::new(),
        pace: match u.int_in_range(0..=2)? {
            0 => Pace::UNPACED,
            1 => Pace::sleep(span(u)?),
            _ => Pace::rate(number(u, 40)?.max(1)),
        },
        dial_timeout: u.arbitrary::<bool>()?.then(|| span(u)).transpose()?,
        interval: u.arbitrary::<bool>()?.then(|| span(u)).transpose()?,
        lifetime,
        duration: u.ratio(1, 3)?.then(|| span(u)).transpose()?,
        hold: match u.int_in_range(0..=2)? {
            _ if !checks => Hold::For(Span::ZERO),
            0 => Hold::For(Span::ZERO),
            1 => Hold::For(span(u)?),
            _ => Hold::Forever,
        },
        settle: if u.arbitrary()? { Span::ZERO } else { span(u)? },
        close: *u.choose(&[Close::Fin, Close::Rst])?,
        probe: match *u.choose(&[Probe::None, Probe::Sample, Probe::All])? {
            probe if checks => probe,
            _ => Probe::None,
        },
        reply_check: (checks && u.arbitrary()?).then(|| reply_check(u)).transpose()?,
        preset: None,
        rehearsal: None,
        errors_max: u.ratio(1, 4)?.then(|| number(u, 3)).transpose()?,
        debug: u.arbitrary()?,
        budgets: Budgets {
            events_max: u.int_in_range(1..=4)?,
            dials_max: u.int_in_range(1..=4)?,
            skips_max: u.int_in_range(1..=4)?,
            expiries_max: u.int_in_range(1..=4)?,
            drains_max: u.int_in_range(1..=4)?,
            drain_bytes_max: u.int_in_range(1..=100)?,
        },
    })
}

fn reply_check(u: &mut Unstructured<'_>) -> Result<ReplyCheck> {
    let (send, expect) = *u.choose(&[("", ""), ("PING", ""), ("", "+PONG"), ("PING", "+PONG")])?;
    let reply_timeout = span(u)?;
    Ok(ReplyCheck { send: send.as_bytes().into(), expect: expect.as_bytes().into(), reply_timeout })
}

fn tcp_info(u: &mut Unstructured<'_>) -> Result<TcpInfo> {
    let optional = |u: &mut Unstructured<'_>| -> Result<Option<Span>> {
        u.arbitrary::<bool>()?.then(|| Ok(Span(number(u, 64)?))).transpose()
    };
    Ok(TcpInfo {
        total_retrans: u.arbitrary()?,
        rtt: optional(u)?,
        last_ack_recv: optional(u)?,
        segs_in: u.arbitrary()?,
        data_segs_in: u.arbitrary()?,
        unacked: u.arbitrary()?,
        probes: u.arbitrary()?,
    })
}

/// Its attempt counts from the current one of the slot.
fn event(u: &mut Unstructured<'_>) -> Result<Event> {
    let attempt = match u.int_in_range(0..=19)? {
        0 => 1,
        1 | 2 => u32::MAX,
        _ => 0,
    };
    let slot = u.int_in_range(0..=CONNECTIONS_MAX)?;
    let key = Key { slot: if slot == CONNECTIONS_MAX { u32::MAX } else { slot }, attempt };
    let failure = Failure { reason: *u.choose(&EndReason::ALL)?, errno: 0 };
    let kind = match u.int_in_range(0..=11)? {
        0 => EventKind::Dialed(key),
        1 | 2 => EventKind::Opened(key),
        3 => EventKind::Failed(key, failure),
        4 => EventKind::PeerClosed(key, failure),
        5 if u.ratio(1, 3)? => EventKind::Reset(key, failure, tcp_info(u)?),
        5 => EventKind::Readable(key),
        6 => EventKind::Received { key, bytes: u.arbitrary()?, more: u.arbitrary()? },
        7 => EventKind::ReplyMatched(key),
        8 => {
            let purpose = *u.choose(&[
                TcpInfoPurpose::Rtt,
                TcpInfoPurpose::Slow,
                TcpInfoPurpose::Suspect,
                TcpInfoPurpose::Keepalive,
            ])?;
            EventKind::TcpInfo(key, purpose, tcp_info(u)?)
        }
        9 => EventKind::PollBatchFull,
        10 => EventKind::Gap { since: Moment(number(u, 64)?), is_stop: u.arbitrary()? },
        // A signal ends the run, so it is the rarest.
        _ if u.ratio(1, 20)? => EventKind::Stop,
        _ => EventKind::Readable(key),
    };
    Ok(Event { at: Moment(number(u, 64)?), kind })
}

/// The event of the attempt that is meant by it.
fn of_attempt(event: Event, engine: &Engine, connections: u32) -> Event {
    use EventKind as Kind;
    let of = |key: Key| match key.slot < connections {
        true => Key { attempt: engine.key(key.slot).attempt.wrapping_add(key.attempt), ..key },
        false => key,
    };
    let kind = match event.kind {
        Kind::Dialed(key) => Kind::Dialed(of(key)),
        Kind::Opened(key) => Kind::Opened(of(key)),
        Kind::Failed(key, failure) => Kind::Failed(of(key), failure),
        Kind::PeerClosed(key, failure) => Kind::PeerClosed(of(key), failure),
        Kind::Reset(key, failure, info) => Kind::Reset(of(key), failure, info),
        Kind::Readable(key) => Kind::Readable(of(key)),
        Kind::Received { key, bytes, more } => Kind::Received { key: of(key), bytes, more },
        Kind::ReplyMatched(key) => Kind::ReplyMatched(of(key)),
        Kind::TcpInfo(key, purpose, info) => Kind::TcpInfo(of(key), purpose, info),
        other => other,
    };
    Event { kind, ..event }
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        let (plan, start) = (plan(u)?, Moment(number(u, 64)?));
        let mut turns = Vec::new();
        while !u.is_empty() && turns.len() < TURNS_MAX {
            let now = match u.int_in_range(0..=4)? {
                0 | 1 => Now::After(Span(number(u, 54)?)),
                2 => Now::At(Moment(number(u, 64)?)),
                _ => Now::WhenDue,
            };
            let count = u.int_in_range(0..=4)?;
            let events = (0..count).map(|_| event(u)).collect::<Result<_>>()?;
            let (dials, tcp_info) =
                (u.ratio(9, 10)?, u.ratio(3, 4)?.then(|| tcp_info(u)).transpose()?);
            turns.push(Turn { now, dials, tcp_info, events });
        }
        Ok(Input { plan, start, turns })
    }
}

/// Whether the model can check a turn: the clock goes forward by hours at most (it counts intervals one
/// by one), and events are near it: deadlines must be within the reach of the wheel, 12.4 days, of which
/// a timeout can take 10.
fn is_tame(plan: &Plan, before: Moment, now: Moment, events: &[Event]) -> bool {
    let step = now.since(before);
    let intervals = plan.interval.map_or(0, |interval| step.0 / interval.0.max(1));
    let is_near = |event: &Event| event.at.0.abs_diff(now.0) < 1 << 47;
    before <= now
        && now.0 < 1 << 62
        && step.0 < 1 << 44
        && intervals < 1_000
        && events.iter().all(is_near)
}

fuzz_target!(|input: Input| {
    let Input { plan, start, turns } = input;
    let budgets = plan.budgets;
    let mut engine = Engine::new(&plan, start).expect("memory");
    let mut actions: Vec<Action> = Vec::with_capacity(budgets.turn_actions_max());
    let mut closed = HashSet::new();
    let close = |closed: &mut HashSet<Key>, key: Key| {
        assert!(closed.insert(key), "{key:?} is closed again");
    };
    let mut now = start;
    let mut model = Some(Shadow::new(&plan, start));
    for turn in turns {
        let before = now;
        now = match turn.now {
            Now::After(span) => now + span,
            Now::At(moment) => moment,
            Now::WhenDue => engine.next_wake().due(now).unwrap_or(now),
        };
        let mut events: Vec<Event> = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Dial(key) if turn.dials => {
                    events.push(Event { at: now, kind: EventKind::Dialed(key) });
                }
                Action::StartKeepalive(key) => {
                    let kind = EventKind::KeepaliveStarted(key, turn.tcp_info);
                    events.push(Event { at: now, kind });
                }
                Action::Send(key) if turn.dials => {
                    events.push(Event { at: now, kind: EventKind::Sent(key) });
                }
                Action::Close(key) => close(&mut closed, key),
                Action::ReadTcpInfo(key, purpose) => {
                    let read = turn.tcp_info.map(|info| EventKind::TcpInfo(key, purpose, info));
                    events.extend(read.map(|kind| Event { at: now, kind }));
                }
                _ => {}
            }
        }
        let meant = |event| of_attempt(event, &engine, plan.connections);
        events.extend(turn.events.into_iter().map(meant));
        events.truncate(budgets.turn_events_max());
        let was_over = engine.is_over();
        engine.turn(now, &events, &mut actions);
        engine.audit();
        model = model.filter(|_| !was_over && is_tame(&plan, before, now, &events));
        if let Some(shadow) = &mut model {
            let record = Record::new(&engine, now, events, &actions);
            shadow.turn(&engine, &record).unwrap_or_else(|words| panic!("{words}"));
        }
        let sample = engine.sample();
        assert_eq!(sample.levels.iter().sum::<u32>(), plan.connections);
        assert!(actions.len() <= budgets.turn_actions_max(), "{} actions", actions.len());
        assert!(engine.is_over() || !was_over, "over, and then not over");
        assert!(!engine.is_over() || engine.next_wake() == Wake::Never, "over, but due");
        let goes_on = actions
            .iter()
            .any(|a| matches!(a, Action::Dial(_) | Action::Drain(_) | Action::DrainFully(_)));
        assert!(!engine.is_over() || !goes_on, "{actions:?} after the end");
    }
    let summary = engine.summary();
    assert!(summary.exit_code(&plan) <= 2);
    for times in [
        &summary.established_times,
        &summary.failed_times,
        &summary.dial_lateness,
        &summary.handshake_times,
        &summary.first_byte_times,
        &summary.lifetimes,
    ] {
        assert!(times.min() <= times.avg() && times.avg() <= times.max());
        assert!(times.quantile(500) <= times.max() && times.dev() <= times.max());
    }
    for failures in summary.failures.iter().chain([&summary.no_reply]).flatten() {
        assert!(failures.first <= failures.last && failures.count > 0, "{failures:?}");
        assert!(failures.min <= failures.p50 && failures.p50 <= failures.max, "{failures:?}");
    }
    assert!(summary.sustained <= summary.established_peak);
    for pair in summary.gaps.list().windows(2) {
        assert!(pair[0].from < pair[0].to && pair[0].to <= pair[1].from, "{pair:?}");
    }
    let checks = summary.checks;
    let found = checks.suspects_half_open + checks.suspects_unacknowledged;
    assert!(found <= checks.suspects, "{checks:?}");
    assert!(checks.unacknowledged <= u64::from(plan.connections), "{checks:?}");
    for action in &actions {
        if let Action::Close(key) = action {
            close(&mut closed, *key);
        }
    }
    for slot in 0..plan.connections {
        let key = engine.key(slot);
        let state = engine.connection(key).expect("a slot").state;
        assert!(matches!(state, State::Closed | State::Error) || !closed.contains(&key), "{key:?}");
    }
    // A skipped dial has no descriptor to close.
    let by_us = summary.churn.as_ref().map_or(0, |churn| churn.closed_by_us);
    let ended = by_us + summary.flow.iter().sum::<u64>();
    assert_eq!(closed.len() as u64, ended - summary.skipped);
    let (diagnosis, text) = reported(&plan, &summary, &Beside::default());
    let mut found = contradictions(&plan, &summary, &diagnosis, &text);
    found.extend(short_faults(&plan, &summary, &Beside::default(), &diagnosis));
    found.extend(html_faults(&plan, &summary, &Beside::default(), (&diagnosis, &text)));
    assert!(found.is_empty(), "{found:#?}\n{text}");
});
