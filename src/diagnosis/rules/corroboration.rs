//! Which fact of a run speaks for a cause, or against it: a table of (cause, whether the fact brings it
//! up by itself, the rule).

use super::view::{Effect, View, told};
use crate::diagnosis::causes::Cause::{self, *};
use crate::diagnosis::model::{ClosePattern, Fact, Scope, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::diagnosis::symptoms::Observed;
use crate::engine::EndReason;
use crate::engine::Round;
use crate::engine::failure_times::SLOW_DIAL_MIN;
use crate::limits::is_loopback;
use crate::units::Span;

type Rule = fn(&View<'_>) -> Option<(Effect, Option<Fact>)>;

/// In any order; each is looked at once.
pub static CORROBORATION: &[(Cause, bool, Rule)] = &[
    // This host, wherever it can do the same.
    (LocalFirewall, true, syns_not_sent),
    (LocalFirewall, true, refused_sooner),
    (LocalFirewall, false, refused_as_soon),
    (LocalFirewall, true, local_icmp),
    (NeighbourTableFull, true, neighbour_table_full),
    (NeighbourUnresolved, true, neighbour_unresolved),
    (NeighbourUnresolved, true, syns_still_queued),
    (LocalConntrack, true, conntrack_drops),
    (IngressDrops, true, ingress_drops),
    // The accept queue.
    (AcceptQueueFull, false, syn_ack_repeated),
    (AcceptQueueFull, false, not_all_replied),
    (AcceptQueueFull, false, all_replied_speaks_against),
    (AcceptQueueFull, false, listen_overflows),
    (AcceptQueueOverflow, true, reset_after_handshake),
    (AcceptQueueOverflow, false, half_open_beside),
    (AcceptQueueOverflow, false, slow_through),
    (AcceptQueueOverflow, false, listen_overflows),
    (DropAboveLimit, false, all_replied),
    (ServerFdLimit, true, not_all_replied_above),
    // Who decides.
    (BackendDown, false, four_tuple),
    (ListenerStuck, false, four_tuple),
    (BackendDown, true, many_lost),
    (PacketLoss, false, repeats_through),
    (PacketLoss, false, four_tuple_against),
    (RateLimit, false, repeats_through),
    (RateLimit, false, four_tuple_against),
    (NatPortsExhausted, true, each_target),
    (ClientLimit, true, each_source),
    (ConnectionLimit, false, each_source_against),
    (ConnectionLimit, false, said),
    (Outage, true, outage_or_else),
    (DropAboveLimit, true, count_or_else),
    // Some sources only: what listens there does so for all of them.
    (NoListener, false, some_sources_rule_out),
    (ListensElsewhere, false, some_sources_rule_out),
    (HostDown, false, some_sources_rule_out),
    (RejectsClient, true, some_sources),
    (FirewallReject, false, some_sources),
    (FirewallDrop, true, some_sources_silent),
    // ICMP.
    (FirewallReject, true, prohibited),
    (RejectAboveLimit, false, icmp_above),
    (NoRouteBeyond, false, net_unreachable),
    // Loss, and a queue, beside replies that do not come.
    (PacketLoss, true, loss_beside),
    (AcceptQueueOverflow, true, queue_beside),
    // Closes.
    (ProcessRestarted, true, all_were_closed),
    (RejectAboveLimit, false, all_were_closed_against),
    (IdleTimeout, false, after_last_dial),
    (EvictsOldest, false, after_last_dial_against),
    (ProcessRestarted, false, refused_after),
    // Checks.
    (PathDown, false, path_is_up),
    (HostDown, false, path_is_up),
    (StateExpired, false, some_confirmed),
    (PathDown, false, some_confirmed_against),
    (HostDown, false, some_confirmed_against),
    (AcceptQueueOverflow, false, half_open_later_against),
    (IdleTimeout, false, half_open_later_against),
    (SynProxy, false, half_open_later_against),
    (StateExpired, false, half_open_later),
    (StateExpired, false, half_open_first_against),
];

fn is_dial(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. } | Symptom::DialsSlow { .. })
}

fn is_failed(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. })
}

type Told = Option<(Effect, Option<Fact>)>;

fn syns_not_sent(view: &View<'_>) -> Told {
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

fn neighbour_table_full(view: &View<'_>) -> Told {
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

/// The shortest timeout of a stateful device that is worth a thought.
const STATE_LASTS_MIN: Span = Span::from_s(3);

/// Whether packets to the targets leave this host at all.
fn is_on_a_link(view: &View<'_>) -> bool {
    let targets = view.case.plan.routes.targets();
    targets.iter().any(|target| !is_loopback(target.address.ip()))
}

fn refused_sooner(view: &View<'_>) -> Told {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    let is_it = view.failed_by(EndReason::Refused) >= HITS_MIN && facts.was_refused_sooner();
    is_it.then_some(())?;
    told(Effect::By(3), Fact::RefusedSooner { refused, handshake })
}

fn refused_as_soon(view: &View<'_>) -> Told {
    let facts = view.facts;
    let (refused, handshake) = (facts.refused_p50, facts.handshake_min);
    // On a path this long a reply of this host's own comes sooner by far.
    let is_far = facts.handshake_min >= Span::from_ms(1);
    let is_refused = view.failed_by(EndReason::Refused) >= HITS_MIN;
    let is_it = is_refused && is_far && refused.0 * 10 >= handshake.0 * 8;
    is_it.then_some(())?;
    told(Effect::RulesOut, Fact::RefusedAsSoon { refused, handshake })
}

fn local_icmp(view: &View<'_>) -> Told {
    let facts = view.facts;
    if !is_failed(view) || facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.first()?;
    told(Effect::By(6), icmp_fact(count, true))
}

fn icmp_fact(count: &crate::icmp::IcmpCount, is_local: bool) -> Fact {
    let crate::icmp::IcmpError { is_v6, kind, code, offender } = count.error;
    Fact::Icmp { kind, code, is_v6, offender, is_local, count: count.dials }
}

fn neighbour_unresolved(view: &View<'_>) -> Told {
    let facts = view.facts;
    if !is_failed(view) || !facts.is_neighbour_unresolved() {
        return None;
    }
    let count = facts.icmp_local.iter().find(|count| count.error.is_host_unreachable())?;
    // A rule of this host's own that rejects would not have waited for three seconds.
    told(Effect::Proves, icmp_fact(count, true))
}

/// SYNs that still waited on this host when they were due again, as they do for a neighbour's address.
fn syns_still_queued(view: &View<'_>) -> Told {
    let facts = view.facts;
    let is_it = is_failed(view)
        && !facts.is_neighbour_unresolved()
        && facts.failed_repeats > 0
        && facts.unsent * 10 >= facts.failed_repeats * 9;
    is_it.then_some(())?;
    told(Effect::By(7), Fact::SynStillQueued { count: facts.unsent, repeats: facts.failed_repeats })
}

fn conntrack_drops(view: &View<'_>) -> Told {
    let count = view.facts.conntrack_drops;
    let enough = count >= u64::from(view.observed.fit.part.hits);
    (is_dial(view) && view.is_silent() && count > 0 && enough).then_some(())?;
    told(Effect::By(6), Fact::ConntrackDrops { count })
}

fn ingress_drops(view: &View<'_>) -> Told {
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

fn is_about_queue(view: &View<'_>) -> bool {
    is_dial(view) || matches!(view.observed.symptom, Symptom::NoReply { .. })
}

fn syn_ack_repeated(view: &View<'_>) -> Told {
    let connections = view.facts.syn_ack_repeated;
    (is_about_queue(view) && connections >= u64::from(HITS_MIN)).then_some(())?;
    told(Effect::By(3), Fact::SynAckRepeated { connections })
}

/// Those established last got no reply, where others did: they wait in the queue.
fn not_all_replied(view: &View<'_>) -> Told {
    let facts = view.facts;
    let is_it = is_failed(view)
        && view.observed.fit.pattern.is_a_count()
        && facts.replied > 0
        && facts.no_reply >= u64::from(HITS_MIN);
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

fn not_all_replied_above(view: &View<'_>) -> Told {
    not_all_replied(view)?;
    Some((Effect::By(2), None))
}

/// Whether all were replied to, and so quickly that a queue would have had room for the repeats of the
/// others.
fn has_replied_to_all(view: &View<'_>) -> bool {
    let facts = view.facts;
    let emptied_after = SLOW_DIAL_MIN + view.case.summary.first_byte_times.max();
    facts.asks_reply
        && facts.replied > 0
        && facts.replied == facts.established_ever
        && view.case.plan.dial_timeout.is_none_or(|timeout| timeout > emptied_after)
}

fn all_replied(view: &View<'_>) -> Told {
    (is_failed(view) && view.is_silent() && has_replied_to_all(view)).then_some(())?;
    told(Effect::By(3), Fact::AllReplied { replied: view.facts.replied })
}

fn all_replied_speaks_against(view: &View<'_>) -> Told {
    let is_it = is_failed(view) && view.is_silent() && has_replied_to_all(view);
    is_it.then_some(())?;
    told(Effect::By(-2), Fact::AllReplied { replied: view.facts.replied })
}

fn listen_overflows(view: &View<'_>) -> Told {
    let count = view.facts.listen_overflows;
    let enough = count >= u64::from(view.observed.fit.part.hits);
    (is_dial(view) && view.is_silent() && count > 0 && enough).then_some(())?;
    told(Effect::By(6), Fact::ListenOverflows { count })
}

/// RST about one RTT after the final ACK, on a connection over which nothing was sent, beside SYNs that
/// got no reply: a full queue with tcp_abort_on_overflow. An application that closes sends FIN.
fn reset_after_handshake(view: &View<'_>) -> Told {
    let Symptom::ClosedOnAccept { resets, .. } = view.observed.symptom else { return None };
    let hits = view.observed.fit.part.hits;
    let sends = view.case.plan.talk.as_ref().is_some_and(|talk| !talk.send.is_empty());
    let is_it = resets * 10 >= hits * 9 && !sends && view.case.summary.received_bytes == 0;
    is_it.then_some(())?;
    let quiet = view.facts.slow_through > 0 || view.facts.timed_out > 0;
    let effect = Effect::By(if quiet { 7 } else { 3 });
    told(effect, Fact::ResetAfterHandshake { connections: resets })
}

fn half_open_beside(view: &View<'_>) -> Told {
    let connections = view.facts.half_open;
    (is_dial(view) && view.is_silent() && connections > 0).then_some(())?;
    told(Effect::By(3), Fact::HalfOpen { connections })
}

fn slow_through(view: &View<'_>) -> Told {
    let through = view.facts.slow_through;
    (view.observed.symptom == Symptom::HalfOpen && through > 0).then_some(())?;
    told(Effect::By(2), Fact::Retransmissions { failed: view.facts.failed_repeats, through })
}

fn decides(view: &View<'_>) -> Option<(u64, u32)> {
    let part = view.observed.fit.part;
    let is_open = !matches!(
        view.observed.fit.pattern,
        Pattern::All | Pattern::AboveCount { .. } | Pattern::FromMoment { .. }
    ) && !view.observed.fit.pattern.is_over();
    (is_failed(view) && view.is_silent() && is_open).then_some(())?;
    let percent = view.facts.four_tuple_decides(part.hits, part.all)?;
    Some((view.facts.failed_repeats, percent))
}

fn four_tuple(view: &View<'_>) -> Told {
    let (repeats, through_percent) = decides(view)?;
    told(Effect::By(2), Fact::FourTupleDecides { repeats, through_percent })
}

/// A path that loses this much is rare; a balancer that sends each SYN anywhere loses as much.
fn many_lost(view: &View<'_>) -> Told {
    let crate::diagnosis::pattern::Part { all, hits } = view.observed.fit.part;
    let is_open = matches!(view.observed.fit.pattern, Pattern::Scattered | Pattern::Irregular);
    (is_dial(view) && view.is_silent() && is_open && hits * 100 >= all * 15).then_some(())?;
    Some((Effect::By(1), None))
}

fn four_tuple_against(view: &View<'_>) -> Told {
    decides(view)?;
    Some((Effect::RulesOut, None))
}

fn repeats_through(view: &View<'_>) -> Told {
    let (through, failed) = (view.facts.slow_through, view.facts.failed_repeats);
    (is_failed(view) && view.is_silent() && through >= u64::from(HITS_MIN)).then_some(())?;
    told(Effect::By(1), Fact::Retransmissions { failed, through })
}

fn each_target(view: &View<'_>) -> Told {
    let Scope::EachTarget { .. } = view.observed.scope else { return None };
    let same = view.facts.each_target?;
    (is_failed(view) && view.is_silent()).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: false };
    told(Effect::By(2), fact)
}

fn each_source(view: &View<'_>) -> Told {
    let Scope::EachSource { .. } = view.observed.scope else { return None };
    let same = view.facts.each_source?;
    matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. }).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: true };
    told(Effect::By(5), fact)
}

fn each_source_against(view: &View<'_>) -> Told {
    each_source(view)?;
    // Sources that take turns reach a limit on all of them with as many each, but for those that
    // begin with some in use.
    let same = view.facts.each_source?;
    Some((Effect::By(if same.places < same.of { -3 } else { 0 }), None))
}

fn some_sources(view: &View<'_>) -> Told {
    let is_refused = view.failed_by(EndReason::Refused) > 0;
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && is_refused;
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

fn some_sources_silent(view: &View<'_>) -> Told {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && view.is_silent();
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::By(4), None))
}

fn some_sources_rule_out(view: &View<'_>) -> Told {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. });
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::RulesOut, None))
}

/// SYNs are lost in random order, more of them than replies: replies are lost as well.
fn loss_beside(view: &View<'_>) -> Told {
    let Symptom::NoReply { .. } = view.observed.symptom else { return None };
    let hits = view.observed.fit.part.hits;
    let is_loss = |other: &Observed| {
        is_about_dials(other)
            && other.fit.pattern == Pattern::Scattered
            && other.fit.part.hits >= hits
    };
    view.others.iter().any(is_loss).then_some(())?;
    Some((Effect::By(4), None))
}

/// SYNs have to be repeated above a count: the queue overflows, and what is in it gets no reply.
fn queue_beside(view: &View<'_>) -> Told {
    let Symptom::NoReply { .. } = view.observed.symptom else { return None };
    let is_queue = |other: &Observed| {
        let pattern = &other.fit.pattern;
        let is_queue = pattern.is_a_count() || *pattern == Pattern::Irregular;
        is_about_dials(other) && is_queue && other.fit.part.hits >= HITS_MIN
    };
    view.others.iter().any(is_queue).then_some(())?;
    let through = view.facts.slow_through;
    told(Effect::By(6), Fact::Retransmissions { failed: view.facts.failed_repeats, through })
}

fn is_about_dials(observed: &Observed) -> bool {
    match &observed.symptom {
        Symptom::DialsSlow { .. } => true,
        Symptom::DialsFailed { reasons, .. } => {
            reasons.iter().any(|(reason, _)| *reason == EndReason::TimedOut)
        }
        _ => false,
    }
}

/// All that were ever established were closed just before dials began to fail.
fn were_all_closed(view: &View<'_>) -> bool {
    let summary = view.case.summary;
    let analysis = &summary.analysis;
    let closed = u64::from(analysis.closes.count + analysis.closed_at_once_count());
    let is_all = closed >= u64::from(HITS_MIN) && closed == summary.established_ever;
    let first = analysis.closed_at_once_seen.map(|(first, _)| first);
    let later = (analysis.closes.count > 0).then_some(analysis.closes.first);
    let Some(first) = first.into_iter().chain(later).min() else { return false };
    let failed = view.others.iter().find(|other| {
        matches!(&other.symptom, Symptom::DialsFailed { reasons, .. }
            if reasons.iter().any(|(reason, _)| *reason == EndReason::Refused))
    });
    let slack = Span::from_ms(100) + view.facts.handshake_min;
    is_all
        && failed.is_some_and(|failed| failed.began + slack >= first)
        && failed.is_some_and(|failed| first + slack >= failed.began)
}

fn all_were_closed(view: &View<'_>) -> Told {
    let is_its = matches!(
        view.observed.symptom,
        Symptom::ClosedOnAccept { .. } | Symptom::DialsFailed { .. }
    );
    (is_its && were_all_closed(view)).then_some(())?;
    Some((Effect::By(5), None))
}

fn all_were_closed_against(view: &View<'_>) -> Told {
    (is_failed(view) && were_all_closed(view)).then_some(())?;
    Some((Effect::RulesOut, None))
}

fn said(view: &View<'_>) -> Told {
    let is_close = matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. });
    (is_close && view.facts.has_said).then_some(())?;
    told(Effect::By(1), Fact::Said)
}

fn outage_or_else(view: &View<'_>) -> Told {
    let is_it = is_dial(view) && view.observed.fit.pattern.is_over();
    is_it.then_some(())?;
    Some((Effect::By(1), None))
}

fn count_or_else(view: &View<'_>) -> Told {
    let is_it = is_dial(view) && view.is_silent() && view.observed.fit.or_else.is_some();
    is_it.then_some(())?;
    Some((Effect::By(3), None))
}

fn prohibited(view: &View<'_>) -> Told {
    let count = view
        .facts
        .icmp
        .iter()
        .find(|count| count.error.is_prohibited() || count.error.is_port_unreachable())?;
    is_failed(view).then_some(())?;
    // Where it begins above a count it is a rule that counts.
    let by = if view.observed.fit.pattern.is_a_count() { 1 } else { 4 };
    told(Effect::By(by), icmp_fact(count, false))
}

fn icmp_above(view: &View<'_>) -> Told {
    let count = view.facts.icmp.first()?;
    (is_failed(view) && view.observed.fit.pattern.is_a_count()).then_some(())?;
    told(Effect::By(2), icmp_fact(count, false))
}

fn net_unreachable(view: &View<'_>) -> Told {
    let count = view.facts.icmp.iter().find(|count| {
        matches!(
            (count.error.is_v6, count.error.kind, count.error.code),
            (false, 3, 0) | (true, 1, 0)
        )
    })?;
    is_failed(view).then_some(())?;
    told(Effect::By(3), icmp_fact(count, false))
}

/// Closes that went on after the last dial: nothing new had to make room.
fn after_last_dial(view: &View<'_>) -> Told {
    let Symptom::Closed { how, last, .. } = &view.observed.symptom else { return None };
    let is_aged = matches!(
        how,
        ClosePattern::AtAge { .. } | ClosePattern::Sweep { .. } | ClosePattern::AgeOrMoment { .. }
    );
    let dialed = view.facts.last_dial + crate::diagnosis::closes::SAME_MOMENT;
    (is_aged && *last > dialed).then_some(())?;
    told(Effect::By(2), Fact::AfterLastDial { closes: view.observed.fit.part.hits })
}

fn after_last_dial_against(view: &View<'_>) -> Told {
    after_last_dial(view)?;
    Some((Effect::RulesOut, None))
}

/// Dials after a close of all that were refused, or came through.
fn refused_after(view: &View<'_>) -> Told {
    let Symptom::Closed { how: ClosePattern::Simultaneous { at, .. }, .. } = &view.observed.symptom
    else {
        return None;
    };
    let after = view.others.iter().find(|other| {
        matches!(other.symptom, Symptom::DialsFailed { .. })
            && other.began + crate::diagnosis::closes::SAME_MOMENT >= *at
    })?;
    told(Effect::By(3), Fact::RefusedAfter { dials: after.fit.part.hits })
}

/// Something of the server came after dials had begun to fail: the path works.
fn path_is_up(view: &View<'_>) -> Told {
    let (facts, began) = (view.facts, view.observed.began);
    let is_confirmed = facts.confirmed_at.is_some_and(|at| at > began + SLOW_DIAL_MIN);
    let is_it = is_failed(view)
        && (is_confirmed || facts.syn_ack_repeated + facts.other_traffic + facts.half_open > 0);
    is_it.then_some(())?;
    Some((Effect::RulesOut, None))
}

fn is_unacked(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::KeepaliveUnacked { .. })
}

/// At the same check others were confirmed: what is lost is the state of some.
fn some_confirmed(view: &View<'_>) -> Told {
    let confirmed = view.facts.confirmed_last;
    (is_unacked(view) && confirmed > 0).then_some(())?;
    let sent = view.case.summary.checks.round(Round::Last).sent;
    told(Effect::By(4), Fact::WatchConfirmed { confirmed, sent })
}

fn some_confirmed_against(view: &View<'_>) -> Told {
    some_confirmed(view)?;
    Some((Effect::RulesOut, None))
}

/// Checked once before, and then the server had them.
fn is_half_open_later(view: &View<'_>) -> bool {
    view.observed.symptom == Symptom::HalfOpen
        && view.facts.half_open_later > 0
        && view.facts.half_open_later >= view.facts.half_open
        && view.facts.confirmed_first > 0
}

fn half_open_later(view: &View<'_>) -> Told {
    is_half_open_later(view).then_some(())?;
    Some((Effect::By(3), None))
}

/// State that expires does not do so within a few seconds.
fn half_open_first_against(view: &View<'_>) -> Told {
    let failures = view.case.summary.failures[EndReason::HalfOpen as usize]?;
    let is_first = view.observed.symptom == Symptom::HalfOpen
        && view.facts.half_open_later == 0
        && failures.max < STATE_LASTS_MIN;
    is_first.then_some(())?;
    Some((Effect::RulesOut, None))
}

fn half_open_later_against(view: &View<'_>) -> Told {
    is_half_open_later(view).then_some(())?;
    Some((Effect::RulesOut, None))
}
