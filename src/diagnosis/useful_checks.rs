//! Leaves out checks that the run made itself, and those that show nothing about its symptom.

use std::net::IpAddr;

use super::Case;
use super::causes::Check;
use super::causes::record::{ALL_ADDRESSES, EXPECT, FAMILIES, ICMP, PROBE, SEND, UNSENT};
use super::model::Symptom;
use crate::engine::EndReason;
use crate::plan::Probe;

/// `host`: the target as typed.
pub fn is_useful(case: &Case<'_>, symptom: &Symptom, check: &Check, host: &str) -> bool {
    let reply_check = case.plan.reply_check.as_ref();
    let are_all_refused = matches!(symptom, Symptom::DialsFailed { reasons, pending: 0, slow: 0, .. }
        if reasons.iter().all(|(reason, _)| *reason == EndReason::Refused));
    match check.command {
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
