//! Facts of this host: what it could not send, what it dropped, what it noticed late.

use super::view::{Effect, Told, View, icmp_fact, is_dial, is_failed, told};
use crate::diagnosis::model::{Fact, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::engine::EndReason;
use crate::limits::is_loopback;
use crate::units::Span;

pub fn syns_not_sent(view: &View<'_>) -> Told {
    let facts = view.facts;
    if !is_failed(view) || !view.is_silent() || facts.syn_not_sent == 0 {
        return None;
    }
    let fact = Fact::SynNotSent { count: facts.syn_not_sent, repeats: facts.failed_repeats };
    let is_table_full = facts.neighbour_table_full > 0;
    match facts.were_syns_not_sent() {
        true if !is_table_full => told(Effect::Proves, fact),
        true => told(Effect::By(3), fact),
        false => told(Effect::By(1), fact),
    }
}

pub fn neighbour_table_full(view: &View<'_>) -> Told {
    let facts = view.facts;
    let count = facts.neighbour_table_full;
    // It is counted for all network namespaces: it has to cover what failed here.
    let is_it = is_failed(view)
        && view.is_silent()
        && is_on_a_link(view)
        && count >= u64::from(view.observed.fit.part.hits);
    is_it.then_some(())?;
    let fact = Fact::NeighbourTableFull { count };
    match (facts.were_syns_not_sent(), facts.failed_repeats) {
        (true, _) => told(Effect::Proves, fact),
        (false, 0) => told(Effect::By(4), fact),
        (false, _) => None,
    }
}

/// Whether packets to the targets leave this host at all.
fn is_on_a_link(view: &View<'_>) -> bool {
    let targets = view.case.plan.routes.targets();
    targets.iter().any(|target| !is_loopback(target.address.ip()))
}

pub fn refused_sooner(view: &View<'_>) -> Told {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    let is_it = view.failed_by(EndReason::Refused) >= HITS_MIN && facts.was_refused_sooner();
    is_it.then_some(())?;
    told(Effect::By(3), Fact::RefusedSooner { refused, handshake })
}

pub fn refused_as_soon(view: &View<'_>) -> Told {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    // On a path this long a reply of this host's own comes sooner by far.
    let is_far = facts.handshake_min >= Span::from_ms(1);
    let is_refused = view.failed_by(EndReason::Refused) >= HITS_MIN;
    let is_it = is_refused && is_far && refused.0 * 10 >= handshake.0 * 8;
    is_it.then_some(())?;
    told(Effect::RulesOut, Fact::RefusedAsSoon { refused, handshake })
}

pub fn local_icmp(view: &View<'_>) -> Told {
    let facts = view.facts;
    if !is_failed(view) || facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.first()?;
    told(Effect::By(6), icmp_fact(count, true))
}

pub fn neighbour_unresolved(view: &View<'_>) -> Told {
    let facts = view.facts;
    if !is_failed(view) || !facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.iter().find(|count| count.error.is_host_unreachable())?;
    // A rule of this host's own that rejects would not have waited for three seconds.
    told(Effect::Proves, icmp_fact(count, true))
}

/// Of IPv6 no error tells where it came from; but this host has sent as many errors itself. It asks in
/// vain for some seconds before it does for a neighbour.
fn unreachable_here(view: &View<'_>) -> Option<Fact> {
    let facts = view.facts;
    let hits = view.failed_by(EndReason::HostUnreachable) + view.failed_by(EndReason::Prohibited);
    let is_it = is_failed(view)
        && facts.icmp.is_empty()
        && facts.icmp_local.is_empty()
        && hits > 0
        && facts.icmp_out >= u64::from(hits);
    is_it.then_some(Fact::IcmpSentHere { count: facts.icmp_out })
}

pub fn neighbour_unreachable_here(view: &View<'_>) -> Told {
    let fact = unreachable_here(view).filter(|_| view.facts.is_beyond_unresolved())?;
    told(Effect::By(8), fact)
}

pub fn rejected_here(view: &View<'_>) -> Told {
    let fact = unreachable_here(view).filter(|_| !view.facts.is_beyond_unresolved())?;
    told(Effect::By(6), fact)
}

/// The next hop has not replied to ARP or NDP, though the dials were given up before the kernel does.
pub fn targets_unresolved(view: &View<'_>) -> Told {
    let (targets, of) = (view.facts.targets_unresolved, view.facts.targets_looked_up);
    let is_it = is_failed(view) && view.is_silent() && view.facts.established_ever == 0;
    (is_it && targets > 0 && targets == of).then_some(())?;
    told(Effect::By(8), Fact::TargetsUnresolved { targets, of })
}

/// SYNs that still waited on this host when they were due again, as they do for a neighbour's address.
pub fn syns_still_queued(view: &View<'_>) -> Told {
    let facts = view.facts;
    let is_it = is_failed(view)
        && !facts.is_neighbour_unresolved()
        && facts.unsent > 0
        && facts.unsent * 10 >= facts.failed_repeats.max(view.observed.fit.part.hits.into()) * 9;
    is_it.then_some(())?;
    told(Effect::By(7), Fact::SynStillQueued { count: facts.unsent, repeats: facts.failed_repeats })
}

/// Half of a dial's time and more passed after its SYN-ACK.
pub fn noticed_late(view: &View<'_>) -> Told {
    let summary = view.case.summary;
    let (notice, dial) = (&summary.notice_times, &summary.established_times);
    let is_it = matches!(view.observed.symptom, Symptom::DialsSlow { repeats: 0 })
        && notice.count() > 0
        && notice.quantile(500).0 * 2 >= dial.quantile(500).0;
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

pub fn noticed_late_against(view: &View<'_>) -> Told {
    noticed_late(view)?;
    Some((Effect::By(-2), None))
}

pub fn conntrack_drops(view: &View<'_>) -> Told {
    let count = view.facts.conntrack_drops;
    let enough = count >= u64::from(view.observed.fit.part.hits);
    (is_dial(view) && view.is_silent() && count > 0 && enough).then_some(())?;
    told(Effect::By(6), Fact::ConntrackDrops { count })
}

pub fn ingress_drops(view: &View<'_>) -> Told {
    let count = view.facts.ingress_drops;
    let is_met = match view.observed.symptom {
        Symptom::DialsFailed { .. } => view.is_silent(),
        Symptom::DialsSlow { .. } | Symptom::HalfOpen | Symptom::NoReply { .. } => true,
        _ => false,
    };
    // Drops are over when the burst is: they make no hard limit.
    let is_hard = matches!(view.observed.fit.pattern, Pattern::AboveCount { .. } | Pattern::All)
        && !matches!(view.observed.symptom, Symptom::DialsSlow { .. });
    let enough = count >= u64::from(view.observed.fit.part.hits);
    (is_met && !is_hard && count > 0 && enough).then_some(())?;
    // Those of all traffic, in all network namespaces.
    told(Effect::By(3), Fact::IngressDrops { count })
}
