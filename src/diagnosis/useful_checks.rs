//! Leaves out checks that the run made itself, and those that show nothing about its symptom. Names
//! what a run without a limit did not test.

use std::net::IpAddr;

use super::Case;
use super::causes::Check;
use super::causes::record::{
    ALL_ADDRESSES, EXPECT, FAMILIES, HOLD, ICMP, PATIENCE, PROBE, SEND, UNSENT,
};
use super::model::{Diagnosis, Symptom, Word};
use crate::engine::EndReason;
use crate::plan::{Hold, Probe};
use crate::units::Span;

/// A flag, and what it tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTest {
    pub flag: &'static str,
    pub tests: &'static str,
}

/// In order of use. The last one can always be made larger.
const NEXT: [NextTest; 3] = [
    NextTest { flag: "--expect TEXT", tests: "tests the application" },
    NextTest { flag: "--hold 30", tests: "tests whether they last" },
    NextTest { flag: "a larger -c", tests: "looks for the limit" },
];

/// The same where slots dial again.
const NEXT_OF_CHURN: [NextTest; 2] = [
    NextTest { flag: "--sleep 0", tests: "dials at full speed" },
    NextTest { flag: "--hold-beside 50", tests: "tests what it does to open connections" },
];

/// More connections than [`NEXT_OF_CHURN`] holds.
const HELD_OF_MIN: u32 = 100;

/// Those that are named.
const NEXT_MAX: usize = 2;

/// What a run without a problem did not test; nothing for any other.
pub fn next_tests(case: &Case<'_>, diagnosis: &Diagnosis) -> Vec<NextTest> {
    let plan = case.plan;
    if diagnosis.word != Word::Ok || !diagnosis.problems.is_empty() {
        return Vec::new();
    }
    if plan.lifetime.is_some() {
        let is_held = plan.hold_beside > 0 || plan.connections < HELD_OF_MIN;
        return left(&NEXT_OF_CHURN, [!plan.pace.is_paced(), is_held]);
    }
    left(&NEXT, [plan.reply_check.is_some(), plan.hold != Hold::For(Span::ZERO), false])
}

fn left<const N: usize>(tests: &[NextTest; N], is_done: [bool; N]) -> Vec<NextTest> {
    let left = tests.iter().zip(is_done).filter(|(_, is_done)| !is_done);
    left.map(|(test, _)| *test).take(NEXT_MAX).collect()
}

/// `host`: the target as typed.
pub fn is_useful(case: &Case<'_>, symptom: &Symptom, check: &Check, host: &str) -> bool {
    let reply_check = case.plan.reply_check.as_ref();
    let are_all_refused = matches!(symptom, Symptom::DialsFailed { reasons, pending: 0, slow: 0, .. }
        if reasons.iter().all(|(reason, _)| *reason == EndReason::Refused));
    match check.command {
        SEND | EXPECT | PROBE | HOLD | PATIENCE if case.plan.lifetime.is_some() => false,
        // A server that closes on accept does so before a request arrives.
        SEND => {
            reply_check.is_none_or(|check| check.send.is_empty())
                && !matches!(symptom, Symptom::ClosedOnAccept { .. })
        }
        EXPECT => reply_check.is_none(),
        PROBE => case.plan.probe != Probe::All,
        // An address has no other family, and no other addresses.
        FAMILIES | ALL_ADDRESSES => host.parse::<IpAddr>().is_err(),
        // A refused SYN is not retransmitted; without an ICMP error received there is none to capture.
        UNSENT => !are_all_refused,
        ICMP => !are_all_refused || !case.icmp.counts().is_empty(),
        _ => true,
    }
}
