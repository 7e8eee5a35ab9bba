//! Rules about dials: what decides which of them fail.

use std::net::IpAddr;

use super::view::{Effect, RuleResult, View, icmp_fact, is_dial, is_failed, with_fact};
use crate::diagnosis::model::{Fact, Scope, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::diagnosis::rank::is_reset_as_refused;
use crate::engine::EndReason;
use crate::engine::failure_times::SLOW_DIAL_MIN;
use crate::route::Target;
use crate::units::Span;

/// An RTT can be this high, and an on-link address without an ARP reply fails after this.
const SHORT_TIMEOUT: Span = Span::from_s(3);

/// Above this RTT a SYN is retransmitted before its SYN-ACK arrives.
const NEAR_REPEAT: Span = Span::from_ms(900);

fn decides(view: &View<'_>) -> Option<(u64, u32)> {
    let part = view.observed.fit.part;
    let is_open = !matches!(
        view.observed.fit.pattern,
        Pattern::All | Pattern::AboveCount { .. } | Pattern::FromMoment { .. }
    ) && !view.observed.fit.pattern.is_over();
    (is_failed(view) && view.is_silent() && is_open).then_some(())?;
    let percent = view.facts.four_tuple_decides(part.hits, part.all)?;
    Some((view.facts.failed_retransmits, percent))
}

pub fn four_tuple(view: &View<'_>) -> RuleResult {
    let (retransmits, through_percent) = decides(view)?;
    with_fact(Effect::By(2), Fact::FourTupleDecides { retransmits, through_percent })
}

/// 15% packet loss is rare; a balancer with a failed backend loses as much.
pub fn many_lost(view: &View<'_>) -> RuleResult {
    let crate::diagnosis::pattern::Part { all, hits } = view.observed.fit.part;
    let is_open = matches!(view.observed.fit.pattern, Pattern::Scattered | Pattern::Irregular);
    (is_dial(view) && view.is_silent() && is_open && hits * 100 >= all * 15).then_some(())?;
    Some((Effect::By(1), None))
}

pub fn four_tuple_against(view: &View<'_>) -> RuleResult {
    decides(view)?;
    Some((Effect::RulesOut, None))
}

/// A round-robin balancer with a failed backend makes every n-th dial fail.
pub fn periodic(view: &View<'_>) -> RuleResult {
    let applies =
        is_failed(view) || matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. });
    (applies && view.observed.fit.is_periodic).then_some(())?;
    Some((Effect::By(2), None))
}

pub fn repeats_through(view: &View<'_>) -> RuleResult {
    let (through, failed) = (view.facts.slow_through, view.facts.failed_retransmits);
    (is_failed(view) && view.is_silent() && through >= HITS_MIN).then_some(())?;
    with_fact(Effect::By(1), Fact::Retransmissions { failed, through })
}

pub fn each_target(view: &View<'_>) -> RuleResult {
    let Scope::EachTarget { .. } = view.observed.scope else { return None };
    let same = view.facts.each_target?;
    (is_failed(view) && view.is_silent()).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: false };
    with_fact(Effect::By(2), fact)
}

pub fn each_source(view: &View<'_>) -> RuleResult {
    let Scope::EachSource { .. } = view.observed.scope else { return None };
    let same = view.facts.each_source?;
    matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. }).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: true };
    // Sources dialed in turn also share a global limit evenly, give or take one, unless some began
    // with connections in use.
    match (same.places < same.of, same.least == same.open) {
        (true, _) => with_fact(Effect::By(5), fact),
        (false, true) => with_fact(Effect::By(2), fact),
        (false, false) => None,
    }
}

pub fn each_source_against(view: &View<'_>) -> RuleResult {
    each_source(view)?;
    let same = view.facts.each_source?;
    Some((Effect::By(if same.places < same.of { -3 } else { 0 }), None))
}

pub fn some_sources(view: &View<'_>) -> RuleResult {
    let is_refused = view.failed_by(EndReason::Refused) > 0;
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && is_refused;
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

pub fn some_sources_silent(view: &View<'_>) -> RuleResult {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && view.is_silent();
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::By(4), None))
}

pub fn some_sources_rule_out(view: &View<'_>) -> RuleResult {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. });
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::RulesOut, None))
}

/// With a short dial timeout every late reply counts as none.
pub fn short_timeout(view: &View<'_>) -> RuleResult {
    let timeout = view.facts.dial_timeout.filter(|timeout| *timeout < SHORT_TIMEOUT)?;
    let summary = view.case.summary;
    // The kernel's handshake times if there are any: a busy host reads SYN-ACKs late.
    let established = match summary.handshake_times.count() {
        0 => &summary.established_times,
        _ => &summary.handshake_times,
    };
    let is_near = timeout < SLOW_DIAL_MIN
        && established.count() > 0
        && established.quantile(900).0 * 2 >= timeout.0;
    let by = match (is_near, view.facts.established_ever, timeout < SLOW_DIAL_MIN) {
        (true, ..) => 5,
        (false, 0, true) => 2,
        (false, 0, false) => 1,
        _ => return None,
    };
    (is_failed(view) && view.is_silent()).then_some(())?;
    with_fact(Effect::By(by), Fact::ShortTimeout { timeout })
}

/// Dials that timed out before ARP or NDP for an on-link address could fail.
pub fn may_be_unresolved(view: &View<'_>) -> RuleResult {
    let timeout = view.facts.dial_timeout.filter(|timeout| *timeout <= SHORT_TIMEOUT)?;
    let is_near = |target: &Target| match target.address.ip().to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    let is_it = is_failed(view)
        && view.is_silent()
        && view.facts.established_ever == 0
        && view.case.plan.routes.targets().iter().any(is_near);
    is_it.then_some(())?;
    with_fact(Effect::By(1), Fact::ShortTimeout { timeout })
}

/// With an RTT near a second each SYN is retransmitted before its SYN-ACK arrives.
pub fn handshakes_are_long(view: &View<'_>) -> RuleResult {
    let is_it = is_dial(view) && view.facts.handshake_min >= NEAR_REPEAT;
    is_it.then_some(())?;
    Some((Effect::By(3), None))
}

/// No keepalive was acknowledged since dials began to fail, which even a server that has stopped
/// accepting would do.
pub fn none_acknowledged(view: &View<'_>) -> RuleResult {
    let (facts, began) = (view.facts, view.observed.began);
    let is_open = !view.observed.fit.pattern.is_over();
    let unacked = view.others.iter().find(|other| {
        matches!(other.symptom, Symptom::KeepaliveUnacked { .. })
            && other.fit.pattern == Pattern::All
    })?;
    let is_since = facts.confirmed_at.is_none_or(|at| at <= began + SLOW_DIAL_MIN);
    let is_it = is_failed(view) && view.is_silent() && is_open && is_since;
    is_it.then_some(())?;
    with_fact(Effect::By(5), Fact::NoneAcknowledged { connections: unacked.fit.part.hits })
}

pub fn none_acknowledged_against(view: &View<'_>) -> RuleResult {
    none_acknowledged(view)?;
    Some((Effect::RulesOut, None))
}

/// Connections in the accept queue are reset when the listener is closed.
pub fn reset_as_refused(view: &View<'_>) -> RuleResult {
    (view.failed_by(EndReason::Refused) >= HITS_MIN).then_some(())?;
    let resets = view.others.iter().find_map(|other| match other.symptom {
        Symptom::ClosedOnAccept { resets, .. } if is_reset_as_refused(view.observed, other) => {
            Some(resets)
        }
        _ => None,
    })?;
    with_fact(Effect::By(3), Fact::ResetAsRefused { connections: resets })
}

pub fn outage_or_else(view: &View<'_>) -> RuleResult {
    let is_it = is_dial(view) && view.observed.fit.pattern.is_over();
    is_it.then_some(())?;
    Some((Effect::By(1), None))
}

pub fn count_or_else(view: &View<'_>) -> RuleResult {
    let is_it = is_dial(view) && view.is_silent() && view.observed.fit.or_else.is_some();
    is_it.then_some(())?;
    Some((Effect::By(3), None))
}

pub fn prohibited(view: &View<'_>) -> RuleResult {
    let count = view
        .facts
        .icmp
        .iter()
        .find(|count| count.error.is_prohibited() || count.error.is_port_unreachable())?;
    is_failed(view).then_some(())?;
    // Above a count it is more likely a rule that counts.
    let by = if view.observed.fit.pattern.is_a_count() { 1 } else { 4 };
    with_fact(Effect::By(by), icmp_fact(count, false))
}

pub fn icmp_above(view: &View<'_>) -> RuleResult {
    let count = view.facts.icmp.first()?;
    (is_failed(view) && view.observed.fit.pattern.is_a_count()).then_some(())?;
    with_fact(Effect::By(2), icmp_fact(count, false))
}

pub fn net_unreachable(view: &View<'_>) -> RuleResult {
    let count = view.facts.icmp.iter().find(|count| {
        matches!(
            (count.error.is_v6, count.error.kind, count.error.code),
            (false, 3, 0) | (true, 1, 0)
        )
    })?;
    is_failed(view).then_some(())?;
    with_fact(Effect::By(3), icmp_fact(count, false))
}

/// Segments of the server arrived after dials had begun to fail: the path works.
pub fn path_is_up(view: &View<'_>) -> RuleResult {
    let (facts, began) = (view.facts, view.observed.began);
    let is_confirmed = facts.confirmed_at.is_some_and(|at| at > began + SLOW_DIAL_MIN);
    let is_it = is_failed(view)
        && (is_confirmed || facts.syn_ack_repeated + facts.other_traffic + facts.half_open > 0);
    is_it.then_some(())?;
    Some((Effect::RulesOut, None))
}
