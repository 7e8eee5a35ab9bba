//! Any sequence of operations on the timing wheel, beside a sorted set.

#![no_main]

#[path = "../../tests/common/wheel_model.rs"]
mod wheel_model;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use wheel_model::{Pair, SLOTS, Step};

/// Ticks stay below this: a million years.
const TIME_BITS_MAX: u32 = 56;

#[derive(Debug)]
struct Input {
    start: u64,
    steps: Vec<Step>,
}

/// A number of any magnitude: first its number of bits, then the bits.
fn number(u: &mut Unstructured<'_>, bits_max: u32) -> Result<u64> {
    let bits = u.int_in_range(0..=bits_max)?;
    Ok(u64::arbitrary(u)? & ((1 << bits) - 1))
}

fn step(u: &mut Unstructured<'_>) -> Result<Step> {
    let slot = u.int_in_range(0..=SLOTS - 1)?;
    Ok(match u.int_in_range(0..=6)? {
        0 | 1 => Step::Arm(slot, number(u, 34)? as i64),
        2 => Step::Arm(slot, -(number(u, 10)? as i64)),
        3 => Step::Cancel(slot),
        4 => Step::Advance {
            ticks: number(u, 38)?,
            budget: u.int_in_range(0..=20)?,
            turns: u.int_in_range(1..=3)?,
        },
        5 => Step::Sleep,
        _ => Step::CatchUp { budget: u.int_in_range(1..=20)? },
    })
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        let start = number(u, TIME_BITS_MAX)?;
        let mut steps = Vec::new();
        while !u.is_empty() && steps.len() < 300 {
            steps.push(step(u)?);
        }
        Ok(Input { start, steps })
    }
}

fuzz_target!(|input: Input| {
    let mut pair = Pair::new(input.start);
    input.steps.iter().for_each(|step| pair.apply(step));
    pair.run_down();
});
