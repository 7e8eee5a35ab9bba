//! Which checks of a cause fit a run: not those that it has made already, and none that cannot show
//! anything for its symptom.

use std::net::IpAddr;

use super::Case;
use super::causes::Check;
use super::causes::record::{ALL_ADDRESSES, EXPECT, FAMILIES, ICMP, PROBE, SEND, UNSENT};
use super::model::Symptom;
use crate::engine::EndReason;
use crate::plan::Probe;

/// Whether a check can tell something that this run has not told; `host` is the target as it was
/// typed.
pub fn is_fitting(case: &Case<'_>, symptom: &Symptom, check: &Check, host: &str) -> bool {
    let talk = case.plan.reply_check.as_ref();
    let is_rst = matches!(symptom, Symptom::DialsFailed { reasons, pending: 0, slow: 0, .. }
        if reasons.iter().all(|(reason, _)| *reason == EndReason::Refused));
    match check.command {
        // What is closed on accept is closed before anything sent arrives.
        SEND => {
            talk.is_none_or(|talk| talk.send.is_empty())
                && !matches!(symptom, Symptom::ClosedOnAccept { .. })
        }
        EXPECT => talk.is_none(),
        PROBE => case.plan.probe != Probe::All,
        // An address has no other family, and no other addresses.
        FAMILIES | ALL_ADDRESSES => host.parse::<IpAddr>().is_err(),
        // What was refused drew no repeat, and where nothing came by ICMP no ICMP.
        UNSENT => !is_rst,
        ICMP => !is_rst || !case.icmp.counts().is_empty(),
        _ => true,
    }
}
