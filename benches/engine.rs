//! What the core costs: the wheel beside a binary heap, a turn of the engine, the histogram.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tcpgoon::engine::histogram::Histogram;
use tcpgoon::engine::wheel::Wheel;
use tcpgoon::engine::{Action, Engine, Event, State, What};
use tcpgoon::plan::{Close, Hold, Limits, Pace, Plan};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::random::Random;
use tcpgoon::units::{Moment, Span, Tick};

/// How many deadlines are armed while one operation is looked at.
const ARMED: [u32; 3] = [1_000, 100_000, 1_000_000];

/// So many operations in a sample, at other slots each time: a cache that knew them would flatter.
const OPERATIONS: u32 = 1_000;

/// Five seconds of ticks: the deadlines of a busy run lie in such a stretch.
const STRETCH_TICKS: u64 = 20_000;

fn main() {
    divan::main();
}

fn armed_wheel(slots: u32) -> Wheel {
    let mut random = Random::new(1);
    let mut wheel = Wheel::new(slots).expect("memory");
    for slot in 0..slots {
        wheel.arm(slot, Tick(random.between(1, STRETCH_TICKS)));
    }
    wheel
}

fn some_slots(slots: u32, random: &mut Random) -> Vec<u32> {
    (0..OPERATIONS).map(|_| random.small(0, slots - 1)).collect()
}

/// Arming again what is armed: a cancel and a link.
#[divan::bench(args = ARMED, sample_count = 50, sample_size = 1)]
fn wheel_arm(bencher: Bencher, slots: u32) {
    let mut wheel = armed_wheel(slots);
    let (mut choice, mut random) = (Random::new(2), Random::new(3));
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .with_inputs(|| some_slots(slots, &mut choice))
        .bench_local_values(|chosen| {
            for slot in &chosen {
                wheel.arm(*slot, Tick(random.between(1, STRETCH_TICKS)));
            }
            chosen
        });
}

#[divan::bench(args = ARMED, sample_count = 50, sample_size = 1)]
fn wheel_cancel(bencher: Bencher, slots: u32) {
    let wheel = RefCell::new(armed_wheel(slots));
    let (mut choice, mut random) = (Random::new(2), Random::new(3));
    let mut chosen = Vec::new();
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .with_inputs(|| {
            for slot in &chosen {
                wheel.borrow_mut().arm(*slot, Tick(random.between(1, STRETCH_TICKS)));
            }
            chosen = some_slots(slots, &mut choice);
            chosen.clone()
        })
        .bench_local_values(|chosen| {
            let mut wheel = wheel.borrow_mut();
            for slot in &chosen {
                wheel.cancel(*slot);
            }
            chosen
        });
}

/// Five seconds go by, all deadlines fire; by the deadline, moves down the levels included.
#[divan::bench(args = ARMED, sample_count = 8, sample_size = 1)]
fn wheel_advance(bencher: Bencher, slots: u32) {
    let wheel = armed_wheel(slots);
    bencher.counter(ItemsCount::new(slots)).with_inputs(|| wheel.clone()).bench_local_values(
        |mut wheel| {
            for tick in 0..=STRETCH_TICKS {
                while let Some(slot) = wheel.pop_expired(Tick(tick), &mut u32::MAX.clone()) {
                    black_box(slot);
                }
            }
            wheel
        },
    );
}

/// The same by the obvious means, which cannot cancel: it carries the dead until they are due.
#[divan::bench(args = ARMED, sample_count = 8, sample_size = 1)]
fn heap_advance(bencher: Bencher, slots: u32) {
    let mut random = Random::new(1);
    let heap: BinaryHeap<Reverse<(u64, u32)>> =
        (0..slots).map(|slot| Reverse((random.between(1, STRETCH_TICKS), slot))).collect();
    bencher.counter(ItemsCount::new(slots)).with_inputs(|| heap.clone()).bench_local_values(
        |mut heap| {
            for tick in 0..=STRETCH_TICKS {
                while heap.peek().is_some_and(|Reverse((due, _))| *due <= tick) {
                    black_box(heap.pop());
                }
            }
            heap
        },
    );
}

/// A push and a pop with as many in the heap: the wheel's arm and fire, or arm and cancel.
#[divan::bench(args = ARMED, sample_count = 50)]
fn heap_push_and_pop(bencher: Bencher, slots: u32) {
    let mut random = Random::new(1);
    let mut heap: BinaryHeap<Reverse<(u64, u32)>> =
        (0..slots).map(|slot| Reverse((random.between(1, STRETCH_TICKS), slot))).collect();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for slot in 0..OPERATIONS {
            let popped = heap.pop().map_or(0, |Reverse((due, _))| due);
            heap.push(Reverse((popped + random.between(1, STRETCH_TICKS), slot)));
        }
    });
}

fn plan(connections: u32) -> Plan {
    let address = "127.0.0.1:1".parse().expect("an address");
    let target = Target { host: "127.0.0.1".into(), address };
    Plan {
        connections,
        routes: Routes::to_one(target),
        pace: Pace::UNPACED,
        dial_timeout: Some(Span::from_s(5)),
        interval: Some(Span::from_s(1)),
        hold: Hold::Forever,
        close: Close::Fin,
        debug: false,
        limits: Limits::DEFAULT,
    }
}

/// Dials and opens every connection, one turn a dial, each answered ten turns later.
fn dial_all(mut engine: Engine, events: &mut Vec<Event>, actions: &mut Vec<Action>) -> Engine {
    let connections = engine.sample().connections;
    let mut now = Moment(0);
    let mut opening = std::collections::VecDeque::with_capacity(16);
    for _ in 0..connections + 11 {
        engine.turn(now, events, actions);
        events.clear();
        now = now + Span::from_us(13);
        for action in actions.drain(..) {
            if let Action::Dial(key) = action {
                events.push(Event { at: now, what: What::Dialed(key) });
                opening.push_back(key);
            }
        }
        if opening.len() > 9 || events.is_empty() {
            let opened = opening.pop_front().map(What::Opened);
            events.extend(opened.map(|what| Event { at: now, what }));
        }
    }
    assert_eq!(engine.sample().level(State::Established), connections);
    engine
}

/// By the connection: its share of the turns, from the dial to the open.
#[divan::bench(args = [10_000, 1_000_000], sample_count = 8, sample_size = 1)]
fn turn_dial_and_open(bencher: Bencher, connections: u32) {
    let plan = plan(connections);
    let mut events = Vec::with_capacity(plan.limits.turn_events_max());
    let mut actions = Vec::with_capacity(plan.limits.turn_actions_max());
    bencher
        .counter(ItemsCount::new(connections))
        .with_inputs(|| Engine::new(&plan, Moment(0)).expect("memory"))
        .bench_local_values(|engine| dial_all(engine, &mut events, &mut actions));
}

/// A turn in which nothing happens, with all connections established.
#[divan::bench(args = [10_000, 1_000_000], sample_count = 50)]
fn turn_idle(bencher: Bencher, connections: u32) {
    let plan = plan(connections);
    let mut actions = Vec::with_capacity(plan.limits.turn_actions_max());
    let engine = Engine::new(&plan, Moment(0)).expect("memory");
    let mut engine = dial_all(engine, &mut Vec::with_capacity(16), &mut actions);
    let mut now = Moment(u64::from(connections) * 13_000 * 2);
    bencher.bench_local(|| {
        now = now + Span(1);
        engine.turn(now, &[], &mut actions);
        actions.clear();
        black_box(engine.next_due())
    });
}

#[divan::bench(sample_count = 50)]
fn histogram_record(bencher: Bencher) {
    let mut random = Random::new(4);
    let spans: Vec<Span> =
        (0..OPERATIONS).map(|_| random.span(Span::from_us(10), Span::from_ms(50))).collect();
    let mut histogram = Histogram::new();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for span in &spans {
            histogram.record(*span);
        }
    });
}

#[divan::bench(args = [500, 999], sample_count = 50)]
fn histogram_quantile(bencher: Bencher, permille: u32) {
    let mut random = Random::new(5);
    let mut histogram = Histogram::new();
    for _ in 0..100_000 {
        histogram.record(random.span(Span::from_us(10), Span::from_ms(50)));
    }
    bencher.bench_local(|| black_box(histogram.quantile(black_box(permille))));
}
