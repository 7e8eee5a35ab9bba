//! Whether a connection costs the same at any number of them: whole runs of the engine at four sizes,
//! one after the other in each round, so that drift of the machine moves all of them.
//!
//!     cargo bench --bench growth [-- --test]
//!
//! Exits with 1 if the sizes differ by more than 20%. With `--test` they are tiny, and any difference
//! passes.

mod scenario;

use std::process::ExitCode;

use scenario::Buffers;
use tcpgoon::engine::Engine;
use tcpgoon::os::sys::cpu_time;
use tcpgoon::units::Moment;

const SIZES: [u32; 4] = [1_000_000, 2_000_000, 4_000_000, 8_000_000];
const SIZES_TEST: [u32; 4] = [1_000, 2_000, 4_000, 8_000];

/// Odd, so that a median is a measurement.
const ROUNDS: usize = 9;
const ROUNDS_TEST: usize = 3;

const RATIO_MAX: f64 = 1.20;

fn main() -> ExitCode {
    let test = std::env::args().any(|word| word == "--test");
    let (sizes, rounds) = if test { (SIZES_TEST, ROUNDS_TEST) } else { (SIZES, ROUNDS) };
    let mut buffers = Buffers::new();
    let mut times = [const { Vec::new() }; SIZES.len()];
    for round in 0..=rounds {
        for step in 0..sizes.len() {
            let index = (round + step) % sizes.len();
            let each_ns = time(sizes[index], &mut buffers);
            // The first round warms up.
            if round > 0 {
                times[index].push(each_ns);
            }
        }
    }
    println!("connections   ns of processor time each, median of {rounds} (min-max)");
    let mut medians = Vec::new();
    for (size, times) in sizes.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let (median, min, max) = (times[rounds / 2], times[0], times[rounds - 1]);
        println!("{size:11}   {median:.1} ({min:.1}-{max:.1})");
        medians.push(median);
    }
    let slowest = medians.iter().copied().fold(f64::MIN, f64::max);
    let ratio = slowest / medians.iter().copied().fold(f64::MAX, f64::min);
    println!("slowest to fastest size: {ratio:.3} (flat is at most {RATIO_MAX:.2})");
    if test || ratio <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Nanoseconds a connection, without allocating and dropping the tables.
fn time(connections: u32, buffers: &mut Buffers) -> f64 {
    let engine = Engine::new(&scenario::plan(connections), Moment(0)).expect("memory");
    // Not wall time: the machine is shared.
    let began = cpu_time().expect("a clock");
    let engine = scenario::run(engine, buffers);
    let took = cpu_time().expect("a clock").0 - began.0;
    drop(engine);
    took as f64 / f64::from(connections)
}
