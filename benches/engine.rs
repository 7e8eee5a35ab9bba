//! The cost of the core: the wheel beside a binary heap, a turn of the engine, the histogram, the
//! statistics line. Whether a connection costs the same in runs of millions is in `growth.rs`.

mod scenario;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use scenario::Buffers;
use tcpgoon::engine::Engine;
use tcpgoon::engine::histogram::Histogram;
use tcpgoon::engine::wheel::Wheel;
use tcpgoon::report::text;
use tcpgoon::sim::random::Random;
use tcpgoon::units::{Moment, Span, Tick};

/// How many deadlines are armed during a measurement.
const ARMED: [u32; 3] = [1_000, 100_000, 1_000_000];

/// Operations in a sample, at other slots each time, so that they are not in the cache.
const OPERATIONS: u32 = 1_000;

/// Five seconds: the deadlines of a busy run lie within that.
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

/// All deadlines fire within five seconds; a deadline, with its moves down the levels.
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

/// The same with a binary heap, which cannot cancel: cancelled deadlines stay until they are due.
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

/// Dials within a timeout of five seconds, one every 13 µs.
const TIMEOUT_DIALS: u32 = 384_615;
const DIALS_PER_TICK: u32 = 19;

/// One connection in this number never opens; all others do, ten dials after their own.
const SILENT_ONE_IN: u32 = 16;

/// The deadlines of a run: each dial arms one, nearly each open cancels one, and the rest fire; a
/// dial.
trait Deadlines {
    fn arm(&mut self, slot: u32, due: u64);
    fn cancel(&mut self, slot: u32);
    /// How many fire.
    fn fire(&mut self, tick: u64) -> u32;
}

impl Deadlines for Wheel {
    fn arm(&mut self, slot: u32, due: u64) {
        Wheel::arm(self, slot, Tick(due));
    }

    fn cancel(&mut self, slot: u32) {
        Wheel::cancel(self, slot);
    }

    fn fire(&mut self, tick: u64) -> u32 {
        let mut fired = 0;
        while let Some(slot) = self.pop_expired(Tick(tick), &mut u32::MAX.clone()) {
            black_box(slot);
            fired += 1;
        }
        fired
    }
}

/// A heap cannot cancel: it marks the slot, and keeps the deadline until it is due. This is its best
/// case: each push is later than all before, and stays at the bottom.
struct Heap {
    due: BinaryHeap<Reverse<(u64, u32)>>,
    is_armed: Box<[bool]>,
}

impl Deadlines for Heap {
    fn arm(&mut self, slot: u32, due: u64) {
        self.is_armed[slot as usize] = true;
        self.due.push(Reverse((due, slot)));
    }

    fn cancel(&mut self, slot: u32) {
        self.is_armed[slot as usize] = false;
    }

    fn fire(&mut self, tick: u64) -> u32 {
        let mut fired = 0;
        while self.due.peek().is_some_and(|Reverse((due, _))| *due <= tick) {
            let popped = self.due.pop().map(|Reverse((_, slot))| slot);
            fired += u32::from(popped.is_some_and(|slot| self.is_armed[slot as usize]));
        }
        fired
    }
}

fn deadlines_of_a_run<D: Deadlines>(mut deadlines: D, dials: u32) -> D {
    let mut fired = 0;
    for turn in 0..dials + TIMEOUT_DIALS + DIALS_PER_TICK {
        let tick = u64::from(turn / DIALS_PER_TICK);
        if turn < dials {
            deadlines.arm(turn, tick + STRETCH_TICKS);
        }
        if let Some(slot) = turn.checked_sub(10)
            && slot < dials
            && slot % SILENT_ONE_IN != 0
        {
            deadlines.cancel(slot);
        }
        fired += deadlines.fire(tick);
    }
    assert_eq!(fired, dials.div_ceil(SILENT_ONE_IN));
    deadlines
}

#[divan::bench(args = [1_000_000, 4_000_000], sample_count = 8, sample_size = 1)]
fn run_wheel(bencher: Bencher, dials: u32) {
    bencher
        .counter(ItemsCount::new(dials))
        .with_inputs(|| Wheel::new(dials).expect("memory"))
        .bench_local_values(|wheel| deadlines_of_a_run(wheel, dials));
}

#[divan::bench(args = [1_000_000, 4_000_000], sample_count = 8, sample_size = 1)]
fn run_heap(bencher: Bencher, dials: u32) {
    bencher
        .counter(ItemsCount::new(dials))
        .with_inputs(|| {
            // With enough capacity that neither of the two allocates during the run.
            let due = BinaryHeap::with_capacity(2 * TIMEOUT_DIALS as usize);
            Heap { due, is_armed: vec![false; dials as usize].into() }
        })
        .bench_local_values(|heap| deadlines_of_a_run(heap, dials));
}

/// Whole runs: dials, opens, and for some connections data, closes and timeouts; a connection. The
/// tables are allocated before.
#[divan::bench(
    args = [10_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000],
    sample_count = 8,
    sample_size = 1,
)]
fn turns_of_a_run(bencher: Bencher, connections: u32) {
    let plan = scenario::plan(connections);
    let mut buffers = Buffers::new();
    bencher
        .counter(ItemsCount::new(connections))
        .with_inputs(|| Engine::new(&plan, Moment(0)).expect("memory"))
        .bench_local_values(|engine| scenario::run(engine, &mut buffers));
}

fn held(connections: u32) -> Engine {
    let engine = Engine::new(&scenario::plan(connections), Moment(0)).expect("memory");
    scenario::run(engine, &mut Buffers::new())
}

/// A turn without events, while connections are held.
#[divan::bench(args = [10_000, 1_000_000], sample_count = 50)]
fn turn_idle(bencher: Bencher, connections: u32) {
    let mut engine = held(connections);
    let mut now = engine.summary().end;
    let mut actions = Vec::with_capacity(16);
    bencher.bench_local(|| {
        now = now + Span(1);
        engine.turn(now, &[], &mut actions);
        actions.clear();
        black_box(engine.next_wake())
    });
}

/// The statistics line, taken and written; independent of the number of connections.
#[divan::bench(args = [10_000, 1_000_000], sample_count = 50)]
fn text_line(bencher: Bencher, connections: u32) {
    let engine = held(connections);
    let mut line = String::with_capacity(200);
    bencher.bench_local(|| {
        line.clear();
        text::write_sample(&mut line, &black_box(&engine).sample()).expect("a string takes it");
        black_box(line.len())
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
