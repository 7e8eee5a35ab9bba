//! `Engine::turn` allocates nothing, and the tables of a run have the promised size: by a counting
//! allocator. It counts by thread, so that the test harness does not disturb.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tcpgoon::engine::{Action, EndReason, Engine, Event, EventKind, Failure, Summary, Wake};
use tcpgoon::os::driver::Tables;
use tcpgoon::os::sockets::{BYTES_PER_CONNECTION_MAX, bytes_per_connection};
use tcpgoon::plan::{Budgets, Hold, Pace, Plan, Probe, ReplyCheck};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::{Observer, Record, Sim, TIMED_SEEDS};
use tcpgoon::units::{Moment, Span};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Allocated and not freed, now and at most; may be negative, as memory moves between threads.
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
    static LIVE_BYTES_MAX: Cell<i64> = const { Cell::new(0) };
}

fn count_bytes(more: usize, less: usize) {
    let live = LIVE_BYTES.get() + more as i64 - less as i64;
    LIVE_BYTES.set(live);
    LIVE_BYTES_MAX.set(LIVE_BYTES_MAX.get().max(live));
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged. The count is a thread-local
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
        // While it moves both exist.
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

/// The peak of bytes that `work` allocates, and what its result keeps.
fn bytes<T>(work: impl FnOnce() -> T) -> (u64, u64) {
    let before = LIVE_BYTES.get();
    LIVE_BYTES_MAX.set(before);
    let made = std::hint::black_box(work());
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
        budgets: Budgets { events_max: 2, expiries_max: 4, ..Budgets::DEFAULT },
        ..Plan::plain(connections, Routes::new((1..=400).map(target).collect(), &[]).unwrap())
    }
}

/// The same with replies and keepalives.
fn checking_plan(connections: u32) -> Plan {
    let reply_check = ReplyCheck {
        send: b"PING".as_slice().into(),
        expect: b"+PONG".as_slice().into(),
        reply_timeout: Span::from_ms(10),
    };
    Plan { reply_check: Some(reply_check), probe: Probe::All, ..busy_plan(connections) }
}

/// Counts the actions of a run and the allocations in its turns.
#[derive(Debug, Default)]
struct Counts {
    before: u64,
    allocations: u64,
    full_batches: u64,
    gaps: u64,
    closes: u64,
    samples: u64,
    drains: u64,
    dials: u64,
    notes: u64,
    sends: u64,
    keepalives: u64,
    tcp_info_reads: u64,
}

impl Observer for Counts {
    fn before(&mut self) {
        self.before = ALLOCATIONS.get();
    }

    fn after(&mut self) {
        self.allocations += ALLOCATIONS.get() - self.before;
    }

    fn turn(&mut self, _: &Engine, record: &Record) -> Result<(), String> {
        for event in &record.events {
            match event.kind {
                EventKind::PollBatchFull => self.full_batches += 1,
                EventKind::Gap { .. } => self.gaps += 1,
                _ => {}
            }
        }
        for action in &record.actions {
            *match action {
                Action::Close(_) => &mut self.closes,
                Action::Drain(_) | Action::DrainFully(_) => &mut self.drains,
                Action::Dial(_) => &mut self.dials,
                Action::Sample => &mut self.samples,
                Action::Send(_) => &mut self.sends,
                Action::StartKeepalive(_) => &mut self.keepalives,
                Action::ReadTcpInfo(..) => &mut self.tcp_info_reads,
                Action::StopKeepalive(_) => continue,
                Action::Note(..) => &mut self.notes,
            } += 1;
        }
        Ok(())
    }

    fn end(&mut self, _: &Engine, _: &Summary) -> Result<(), String> {
        Ok(())
    }
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

/// Bytes a connection, rounded up, of the tables for a number of connections beside those for one.
fn bytes_each(plan: impl Fn(u32) -> Plan) -> u64 {
    let tables = |connections| {
        let plan = plan(connections);
        bytes(|| Tables::new(&plan).unwrap())
    };
    let (_, own) = tables(1);
    let each = [10_000, 1_000_000, 8_000_000].map(|connections| {
        let (most, kept) = tables(connections);
        assert_eq!(most, kept, "allocated once, without temporaries");
        println!("{connections} connections: {kept} bytes, {own} of them for none");
        (kept - own).div_ceil(connections.into())
    });
    assert_eq!(each, [each[0]; 3]);
    assert_eq!(each[0], bytes_per_connection(&plan(1)), "as computed");
    each[0]
}

#[test]
fn a_connection_takes_at_most_49_bytes_and_what_is_computed() {
    const { assert!(BYTES_PER_CONNECTION_MAX == 49) };
    let held = |connections| Plan { probe: Probe::Sample, ..busy_plan(connections) };
    let probed = |connections| Plan { probe: Probe::All, ..busy_plan(connections) };
    let sent = |connections| {
        let plan = checking_plan(connections);
        let reply_check =
            plan.reply_check.map(|reply_check| ReplyCheck { expect: [].into(), ..reply_check });
        Plan { reply_check, ..plan }
    };
    assert_eq!(bytes_each(busy_plan), 45);
    // A check takes a byte for its state, and an expected text three for how much of it has arrived.
    assert_eq!([bytes_each(held), bytes_each(probed), bytes_each(sent)], [46; 3]);
    assert_eq!(bytes_each(checking_plan), BYTES_PER_CONNECTION_MAX);
    // A slot that dials again is linked in their queue, and its dial is due at some time.
    let churning = |connections| Plan { lifetime: Some(Span::ZERO), ..busy_plan(connections) };
    assert_eq!(bytes_each(churning), 45 + 12);
}

/// Over seeds in which everything happens.
#[test]
fn a_turn_allocates_nothing() {
    let mut counts = Counts::default();
    let mut ended_by = [0; EndReason::COUNT];
    for seed in (0..100).chain(TIMED_SEEDS..TIMED_SEEDS + 40) {
        let mut sim = Sim::new(seed, false);
        let outcome = sim.run(&mut counts).unwrap_or_else(|violation| panic!("{violation}"));
        let flow = ended_by.iter_mut().zip(outcome.summary.flow);
        flow.for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(counts.allocations, 0, "{counts:?}");
    // Only runs in which everything happened prove something.
    let Counts { full_batches, gaps, closes, samples, drains, dials, .. } = counts;
    let Counts { notes, sends, keepalives, tcp_info_reads, .. } = counts;
    let actions = [closes, samples, drains, dials, notes, sends, keepalives, tcp_info_reads];
    assert!(actions.iter().all(|count| *count > 500), "{counts:?}");
    assert!(full_batches > 100 && gaps > 100, "{counts:?}");
    assert!(ended_by.iter().all(|count| *count > 0), "{ended_by:?}");
}

/// Attempts of a run that churns, in a build for measurements and in any other.
const ATTEMPTS: u64 = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };

/// A thousand slots that dial again and again: one of three connections is closed by the peer, one
/// of seven dials is refused, and the rest live for 50 ms. Nothing grows.
#[test]
fn ten_million_attempts_over_a_thousand_slots_allocate_nothing() {
    let plan = Plan {
        pace: Pace::UNPACED,
        dial_timeout: Some(Span::from_s(5)),
        lifetime: Some(Span::from_ms(50)),
        debug: false,
        budgets: Budgets::DEFAULT,
        ..busy_plan(1_000)
    };
    let mut engine = Engine::new(&plan, Moment(0)).unwrap();
    let mut actions = Vec::with_capacity(plan.budgets.turn_actions_max());
    let mut events: Vec<Event> = Vec::with_capacity(plan.budgets.turn_events_max());
    let (mut now, mut dials) = (Moment(0), 0);
    let mut tenths = Vec::with_capacity(11);
    let refused = Failure { reason: EndReason::Refused, errno: 0 };
    let closed = Failure { reason: EndReason::PeerClosed, errno: 0 };
    let allocated = allocations(|| {
        let mut began = std::time::Instant::now();
        while dials < ATTEMPTS {
            engine.turn(now, &events, &mut actions);
            events.clear();
            for action in actions.drain(..) {
                let Action::Dial(key) = action else { continue };
                dials += 1;
                let kinds = match dials {
                    _ if dials % 7 == 0 => [Some(EventKind::Failed(key, refused)), None],
                    _ if dials % 3 == 0 => {
                        [EventKind::Opened(key), EventKind::PeerClosed(key, closed)].map(Some)
                    }
                    _ => [Some(EventKind::Opened(key)), None],
                };
                let kinds = [Some(EventKind::Dialed(key))].into_iter().chain(kinds).flatten();
                events.extend(kinds.map(|kind| Event { at: now, kind }));
                if dials % (ATTEMPTS / 10) == 0 {
                    tenths.push(began.elapsed());
                    began = std::time::Instant::now();
                }
            }
            now = match engine.next_wake() {
                Wake::At(due) if events.is_empty() => due,
                _ => now + Span::from_us(20),
            };
        }
    });
    engine.audit();
    let summary = engine.summary();
    println!("{ATTEMPTS} attempts, by tenths: {tenths:?}");
    assert_eq!(allocated, 0);
    assert_eq!(dials, summary.established_ever + summary.errors + events.len().min(1) as u64);
    assert!(summary.churn.unwrap().closed_by_us > ATTEMPTS / 3);
}

#[test]
fn the_next_deadline_and_a_sample_allocate_nothing() {
    let mut engine = Engine::new(&checking_plan(100), Moment(0)).unwrap();
    engine.turn(Moment(0), &[], &mut Vec::new());
    let allocated = allocations(|| {
        std::hint::black_box((engine.next_wake(), engine.sample(), engine.is_over()));
    });
    assert_eq!(allocated, 0);
}
