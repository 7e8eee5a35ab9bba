//! Rules about this host: segments that it could not send, dropped, or read late.

use super::view::{Effect, RuleResult, View, icmp_fact, is_dial, is_failed, with_fact};
use crate::diagnosis::model::{Fact, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::engine::EndReason;
use crate::limits::is_loopback;
use crate::units::Span;

pub fn syns_not_sent(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    if !is_failed(view) || !view.is_silent() || facts.syn_not_sent == 0 {
        return None;
    }
    let fact =
        Fact::SynNotSent { count: facts.syn_not_sent, retransmits: facts.failed_retransmits };
    let is_table_full = facts.neighbour_table_full > 0;
    match facts.were_syns_not_sent() {
        true if !is_table_full => with_fact(Effect::Proves, fact),
        true => with_fact(Effect::By(3), fact),
        false => with_fact(Effect::By(1), fact),
    }
}

pub fn neighbour_table_full(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let count = facts.neighbour_table_full;
    // Counted for all network namespaces: it must cover the dials that failed here.
    let is_it = is_failed(view)
        && view.is_silent()
        && is_on_a_link(view)
        && count >= view.observed.fit.part.hits;
    is_it.then_some(())?;
    let fact = Fact::NeighbourTableFull { count };
    match (facts.were_syns_not_sent(), facts.failed_retransmits) {
        (true, _) => with_fact(Effect::Proves, fact),
        (false, 0) => with_fact(Effect::By(4), fact),
        (false, _) => None,
    }
}

/// Whether packets to a target leave this host.
fn is_on_a_link(view: &View<'_>) -> bool {
    let targets = view.case.plan.routes.targets();
    targets.iter().any(|target| !is_loopback(target.address.ip()))
}

pub fn refused_sooner(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    let is_it = view.failed_by(EndReason::Refused) >= HITS_MIN && facts.was_refused_sooner();
    is_it.then_some(())?;
    with_fact(Effect::By(3), Fact::RefusedSooner { refused, handshake })
}

pub fn refused_as_soon(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    // At this RTT a refusal by this host itself would be much faster.
    let is_far = facts.handshake_min >= Span::from_ms(1);
    let is_refused = view.failed_by(EndReason::Refused) >= HITS_MIN;
    let is_it = is_refused && is_far && refused.0 * 10 >= handshake.0 * 8;
    is_it.then_some(())?;
    with_fact(Effect::RulesOut, Fact::RefusedAsSoon { refused, handshake })
}

pub fn local_icmp(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    if !is_failed(view) || facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.first()?;
    with_fact(Effect::By(6), icmp_fact(count, true))
}

pub fn neighbour_unresolved(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    if !is_failed(view) || !facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.iter().find(|count| count.error.is_host_unreachable())?;
    // A reject rule on this host would not take three seconds.
    with_fact(Effect::Proves, icmp_fact(count, true))
}

/// Over IPv6 the sender of an error is unknown; but this host sent as many ICMP errors. For an
/// unresolved neighbour it sends them after some seconds.
fn unreachable_here(view: &View<'_>) -> Option<Fact> {
    let facts = view.facts;
    let hits = view.failed_by(EndReason::HostUnreachable) + view.failed_by(EndReason::Prohibited);
    let is_it = is_failed(view)
        && facts.icmp.is_empty()
        && facts.icmp_local.is_empty()
        && hits > 0
        && facts.icmp_out >= hits;
    is_it.then_some(Fact::IcmpSentHere { count: facts.icmp_out })
}

pub fn neighbour_unreachable_here(view: &View<'_>) -> RuleResult {
    let fact = unreachable_here(view).filter(|_| view.facts.is_remote_neighbour_unresolved())?;
    with_fact(Effect::By(8), fact)
}

pub fn rejected_here(view: &View<'_>) -> RuleResult {
    let fact = unreachable_here(view).filter(|_| !view.facts.is_remote_neighbour_unresolved())?;
    with_fact(Effect::By(6), fact)
}

/// The next hop has not replied to ARP or NDP, though the dials were given up before the kernel does.
pub fn targets_unresolved(view: &View<'_>) -> RuleResult {
    let (targets, of) = (view.facts.targets_unresolved, view.facts.targets_looked_up);
    let is_it = is_failed(view) && view.is_silent() && view.facts.established_ever == 0;
    (is_it && targets > 0 && targets == of).then_some(())?;
    with_fact(Effect::By(8), Fact::TargetsUnresolved { targets, of })
}

/// SYNs still queued on this host when due for retransmission, as for an unresolved neighbour.
pub fn syns_still_queued(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let is_it = is_failed(view)
        && !facts.is_neighbour_unresolved()
        && facts.unsent > 0
        && facts.unsent * 10 >= facts.failed_retransmits.max(view.observed.fit.part.hits) * 9;
    is_it.then_some(())?;
    with_fact(
        Effect::By(7),
        Fact::SynStillQueued { count: facts.unsent, retransmits: facts.failed_retransmits },
    )
}

/// Half of a dial's time or more passed after its SYN-ACK had arrived.
pub fn noticed_late(view: &View<'_>) -> RuleResult {
    let summary = view.case.summary;
    let dial = summary.established_times.quantile(500);
    let is_it = matches!(view.observed.symptom, Symptom::DialsSlow { retransmits: 0 })
        && summary.notice_p50().is_some_and(|notice| notice.0 * 2 >= dial.0);
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

pub fn noticed_late_against(view: &View<'_>) -> RuleResult {
    noticed_late(view)?;
    Some((Effect::By(-2), None))
}

pub fn conntrack_drops(view: &View<'_>) -> RuleResult {
    let count = view.facts.conntrack_drops;
    let enough = count >= view.observed.fit.part.hits;
    (is_dial(view) && view.is_silent() && count > 0 && enough).then_some(())?;
    with_fact(Effect::By(6), Fact::ConntrackDrops { count })
}

pub fn ingress_drops(view: &View<'_>) -> RuleResult {
    let count = view.facts.ingress_drops;
    let applies = match view.observed.symptom {
        Symptom::DialsFailed { .. } => view.is_silent(),
        Symptom::DialsSlow { .. } | Symptom::HalfOpen | Symptom::NoReply { .. } => true,
        _ => false,
    };
    // Drops end with the burst: they make no hard limit.
    let is_hard = matches!(view.observed.fit.pattern, Pattern::AboveCount { .. } | Pattern::All)
        && !matches!(view.observed.symptom, Symptom::DialsSlow { .. });
    let enough = count >= view.observed.fit.part.hits;
    (applies && !is_hard && count > 0 && enough).then_some(())?;
    // The counter covers all traffic in all network namespaces.
    with_fact(Effect::By(3), Fact::IngressDrops { count })
}
