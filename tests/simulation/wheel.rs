//! The timing wheel compared with a sorted set of (due, slot).

use crate::wheel_model::{Pair, SLOTS, Step};
use proptest::prelude::*;
use tcpgoon::engine::wheel::REACH_TICKS;

/// Spans of every size, most of them near a power of the wheel's base.
fn ticks() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..200,
        2 => (0u32..33, 0u64..4).prop_map(|(bits, more)| ((1u64 << bits) + more).saturating_sub(2)),
        1 => (0u32..6, 0u64..4_096).prop_map(|(digit, more)| 64u64.pow(digit) * 3 + more),
        1 => (REACH_TICKS - 3)..=(REACH_TICKS + 3),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let signed = ticks().prop_map(|ticks| i64::try_from(ticks).unwrap());
    let arm = prop_oneof![9 => signed, 1 => -100i64..0];
    prop_oneof![
        6 => (0..SLOTS, arm).prop_map(|(slot, due)| Step::Arm(slot, due)),
        2 => (0..SLOTS).prop_map(Step::Cancel),
        3 => (prop_oneof![9 => ticks(), 1 => 1u64 << 32..1 << 37], 0u32..20, 1u32..3)
            .prop_map(|(ticks, budget, turns)| Step::Advance { ticks, budget, turns }),
        2 => Just(Step::Sleep),
        1 => (1u32..5).prop_map(|budget| Step::CatchUp { budget }),
    ]
}

proptest! {
    // A failure prints its smallest input; no file in the tree for it.
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_wheel_equals_a_sorted_set(
        start in prop_oneof![
            Just(0u64),
            0u64..5_000,
            (1u64 << 32) - 100..(1 << 32) + 2,
            (1u64 << 36) - 100..(1 << 36) + 2,
            (7u64 << 40) - 100..(7 << 40),
        ],
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut pair = Pair::new(start);
        for step in &steps {
            pair.apply(step);
        }
        pair.run_down();
    }
}
