//! Which checks are useful after a run: not those that it made itself, and none that cannot show
//! anything for its symptom.

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
    let is_rst = matches!(symptom, Symptom::DialsFailed { reasons, pending: 0, slow: 0, .. }
        if reasons.iter().all(|(reason, _)| *reason == EndReason::Refused));
    match check.command {
        // What is closed on accept is closed before anything sent arrives.
        SEND => {
            reply_check.is_none_or(|check| check.send.is_empty())
                && !matches!(symptom, Symptom::ClosedOnAccept { .. })
        }
        EXPECT => reply_check.is_none(),
        PROBE => case.plan.probe != Probe::All,
        // An address has no other family, and no other addresses.
        FAMILIES | ALL_ADDRESSES => host.parse::<IpAddr>().is_err(),
        // A refused dial has no retransmission, and without ICMP received there is none to see.
        UNSENT => !is_rst,
        ICMP => !is_rst || !case.icmp.counts().is_empty(),
        _ => true,
    }
}
