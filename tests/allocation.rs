//! `Engine::turn` allocates nothing, whatever happens in it, and what a run allocates before is what
//! is promised of a connection: a counting allocator looks on.
//!
//! The allocator is written here because it takes twenty lines: a thread's own count, so that the
//! test harness beside it does not disturb.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tcpgoon::engine::{Action, CheckStats, Engine, Event, EventKind, Round, State};
use tcpgoon::os::driver::Tables;
use tcpgoon::os::sockets::{BYTES_PER_CONNECTION_MAX, bytes_per_connection};
use tcpgoon::plan::{FINAL_DRAIN_FACTOR, Hold, Limits, Pace, Plan, Probe, Talk};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::network::Network;
use tcpgoon::sim::random::Random;
use tcpgoon::sim::script::{Behaviour, Script};
use tcpgoon::units::{Moment, Span};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Allocated and not freed, now and at most. What another thread allocated may be freed here.
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
    static LIVE_BYTES_MAX: Cell<i64> = const { Cell::new(0) };
}

fn count_bytes(more: usize, less: usize) {
    let live = LIVE_BYTES.get() + more as i64 - less as i64;
    LIVE_BYTES.set(live);
    LIVE_BYTES_MAX.set(LIVE_BYTES_MAX.get().max(live));
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came. The count is a thread-local
// without a destructor and without lazy initialization, so touching it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count_bytes(layout.size(), 0);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(0, layout.size());
        // SAFETY: `pointer` came from `System` with this `layout`, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // While it is moved both are there.
        count_bytes(size, 0);
        count_bytes(0, layout.size());
        // SAFETY: as for `dealloc`, and the caller's promise about `size` is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many allocations of this thread `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// How many bytes `work` has allocated at most at once, and how many of them what it makes keeps.
fn bytes<T>(work: impl FnOnce() -> T) -> (u64, u64) {
    let before = LIVE_BYTES.get();
    LIVE_BYTES_MAX.set(before);
    let made = work();
    let (most, kept) = (LIVE_BYTES_MAX.get() - before, LIVE_BYTES.get() - before);
    drop(made);
    assert_eq!(LIVE_BYTES.get(), before, "all of it is freed");
    (most.unsigned_abs(), kept.unsigned_abs())
}

fn busy_plan(connections: u32) -> Plan {
    let target = |port| {
        let address = ([127, 0, 0, 1], port).into();
        Target { host: "127.0.0.1".into(), address }
    };
    Plan {
        pace: Pace::sleep(Span::from_us(50)),
        dial_timeout: Some(Span::from_ms(5)),
        interval: Some(Span::from_ms(1)),
        hold: Hold::For(Span::from_s(8)),
        debug: true,
        limits: Limits { events_max: 2, expiries_max: 4, ..Limits::DEFAULT },
        ..Plan::plain(connections, Routes::new((1..=400).map(target).collect(), &[]).unwrap())
    }
}

/// One that asks as well.
fn asking_plan(connections: u32) -> Plan {
    let talk = Talk {
        send: b"PING".as_slice().into(),
        expect: b"+PONG".as_slice().into(),
        reply_timeout: Span::from_ms(10),
    };
    Plan { talk: Some(talk), probe: Probe::All, ..busy_plan(connections) }
}

/// What a run came to: how many actions of each kind, and how many allocations in its turns.
#[derive(Debug, Default)]
struct Tally {
    allocations: u64,
    full_batches: u64,
    closes: u64,
    samples: u64,
    drains: u64,
    dials: u64,
    notes: u64,
    sends: u64,
    probes: u64,
    looks: u64,
}

fn run(plan: &Plan) -> (Engine, Tally) {
    let (mut random, mut network) = (Random::new(1), Network::new(plan, true));
    let mut engine = Engine::new(plan, Moment(0)).unwrap();
    let mut tally = Tally::default();
    let (mut now, mut polls) = (Moment(0), 0u64);
    let mut events: Vec<Event> = Vec::with_capacity(plan.limits.turn_events_max());
    let mut actions: Vec<Action> = Vec::with_capacity(plan.limits.turn_actions_max());
    while !engine.is_over() {
        if events.is_empty() {
            let due = [engine.next_wake().due(now), network.next(now)].into_iter().flatten().min();
            now = due.map_or(now, |due| due.max(now));
        }
        network.advance(now);
        polls += 1;
        if polls.is_multiple_of(50) {
            // More than are kept apart, some of them late.
            let since = Moment(now.0.saturating_sub(polls * 500));
            events.push(Event { at: now, kind: EventKind::Gap { since, is_stop: false } });
        }
        let told = network.poll(&plan.limits, &engine, now, &mut events);
        if told == plan.limits.events_max {
            tally.full_batches += 1;
            events.push(Event { at: now, kind: EventKind::PollBatchFull });
        }
        tally.allocations += allocations(|| engine.turn(now, &events, &mut actions));
        events.clear();
        now = now + Span::from_us(20);
        for action in actions.drain(..) {
            let said = match action {
                Action::Close(key) => {
                    tally.closes += 1;
                    network.close(key).unwrap();
                    vec![]
                }
                Action::Drain(key) => {
                    tally.drains += 1;
                    network.drain(key, plan.limits.drain_bytes_max).unwrap()
                }
                Action::DrainFully(key) => {
                    tally.drains += 1;
                    network.drain(key, FINAL_DRAIN_FACTOR * plan.limits.drain_bytes_max).unwrap()
                }
                Action::Dial(key) => {
                    tally.dials += 1;
                    let behaviour = random.pick(&Behaviour::ALL);
                    let script = Script::new(behaviour, plan, &mut random);
                    events.push(Event { at: now, kind: EventKind::Dialed(key) });
                    network.dial(key, script, now).unwrap().into_iter().collect()
                }
                Action::Sample => {
                    tally.samples += 1;
                    vec![]
                }
                Action::Send(key) => {
                    tally.sends += 1;
                    network.send(key, now).unwrap();
                    vec![EventKind::Sent(key)]
                }
                Action::StartKeepalive(key) => {
                    tally.probes += 1;
                    let info = network.start_keepalive(key, now).unwrap();
                    vec![EventKind::KeepaliveStarted(key, info)]
                }
                Action::ReadTcpInfo(key, why) => {
                    tally.looks += 1;
                    let look = network.tcp_info(key, now).unwrap();
                    look.map(|look| EventKind::TcpInfo(key, why, look)).into_iter().collect()
                }
                Action::StopKeepalive(key) => {
                    network.stop_keepalive(key).unwrap();
                    vec![]
                }
                Action::Note(..) => {
                    tally.notes += 1;
                    vec![]
                }
            };
            events.extend(said.into_iter().map(|kind| Event { at: now, kind }));
        }
    }
    (engine, tally)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
    assert_eq!(bytes(|| Box::new([0u8; 100])), (100, 100));
    let grown = || {
        let mut bytes = Vec::with_capacity(10);
        bytes.resize(10, 1u8);
        bytes.reserve_exact(20);
        bytes
    };
    assert_eq!(bytes(grown), (40, 30));
}

/// Whole bytes of each connection, the last one begun, that the tables of a million take beside
/// what those of one take; `plan` says of how many.
fn bytes_each(plan: impl Fn(u32) -> Plan) -> u64 {
    let tables = |connections| {
        let plan = plan(connections);
        bytes(|| Tables::new(&plan).unwrap())
    };
    let (_, own) = tables(1);
    let each = [10_000, 1_000_000, 8_000_000].map(|connections| {
        let (most, kept) = tables(connections);
        assert_eq!(most, kept, "made once, and nothing beside it");
        println!("{connections} connections: {kept} bytes, {own} of them for none");
        (kept - own).div_ceil(connections.into())
    });
    assert_eq!(each, [each[0]; 3]);
    assert_eq!(each[0], bytes_per_connection(&plan(1)), "what it is said to be");
    each[0]
}

#[test]
fn a_connection_is_promised_49_bytes_and_takes_what_it_says() {
    const { assert!(BYTES_PER_CONNECTION_MAX == 49) };
    let held = |connections| Plan { probe: Probe::Sample, ..busy_plan(connections) };
    let probed = |connections| Plan { probe: Probe::All, ..busy_plan(connections) };
    let sent = |connections| {
        let plan = asking_plan(connections);
        let talk = plan.talk.map(|talk| Talk { expect: [].into(), ..talk });
        Plan { talk, ..plan }
    };
    assert_eq!(bytes_each(busy_plan), 45);
    // To check takes a byte for how far that is, and three for how much of the answer is here.
    assert_eq!([bytes_each(held), bytes_each(probed), bytes_each(sent)], [46; 3]);
    assert_eq!(bytes_each(asking_plan), BYTES_PER_CONNECTION_MAX);
}

#[test]
fn a_busy_run_allocates_nothing_in_its_turns() {
    let connections = 5_000;
    let (engine, tally) = run(&asking_plan(connections));
    assert_eq!(tally.allocations, 0, "{tally:?}");
    // Only a run in which everything happened proves something.
    let summary = engine.summary();
    assert_eq!(tally.dials + summary.skipped, u64::from(connections));
    assert!(summary.skipped > 10, "{}", summary.skipped);
    assert!(tally.sends > 1_000 && tally.probes > 1_000 && tally.looks > 1_000, "{tally:?}");
    let CheckStats { replied, no_reply, unacknowledged, .. } = summary.checks;
    let first = summary.checks.round(Round::First);
    let counts = [replied, no_reply, unacknowledged, first.confirmed, first.unneeded];
    assert!(counts.iter().all(|count| *count > 50), "{:?}", summary.checks);
    let last = summary.checks.round(Round::Last);
    assert!(last.sent > 500 && last.confirmed > 100, "{last:?}");
    assert!(tally.closes > 1_000 && tally.drains > 1_000 && tally.samples > 100, "{tally:?}");
    assert!(tally.notes > 9_000 && tally.full_batches > 0, "{tally:?}");
    assert!(summary.flow.iter().all(|count| *count > 0), "{:?}", summary.flow);
    assert!(summary.last.level(State::Established) > 0);
}

#[test]
fn asking_for_the_next_deadline_and_a_sample_allocates_nothing() {
    let (engine, _) = run(&asking_plan(100));
    let asked = allocations(|| {
        std::hint::black_box((engine.next_wake(), engine.sample(), engine.is_over()));
    });
    assert_eq!(asked, 0);
}
