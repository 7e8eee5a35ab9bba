//! Documents of simulated runs, damaged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::kinds::simulated;
use crate::common::damaged::{Edit, check};
use tcpgoon::sim::TIMED_SEEDS;

static DOCUMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    // The latter churn, or have a duration.
    let seeds = (0..24).chain(TIMED_SEEDS..TIMED_SEEDS + 12);
    seeds.map(simulated).collect()
});

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = (any::<u32>(), 0u8..15, any::<u64>());
    let edit = edit.prop_map(|(place, kind, value)| Edit { place, kind, value });
    prop::collection::vec(edit, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("DAMAGED_CASES").map_or(100, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn what_is_read_is_rendered_and_what_is_not_is_one_line(of in 0..DOCUMENTS.len(), edits in edits()) {
        let mut document = DOCUMENTS[of].clone();
        for edit in edits {
            document = edit.apply(&document);
        }
        check(document.as_bytes());
    }
}
