//! Facts about dials: what decides which of them fail.

use super::view::{Effect, Told, View, icmp_fact, is_dial, is_failed, told};
use crate::diagnosis::model::{Fact, Scope, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::engine::EndReason;
use crate::engine::failure_times::SLOW_DIAL_MIN;

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

pub fn four_tuple(view: &View<'_>) -> Told {
    let (repeats, through_percent) = decides(view)?;
    told(Effect::By(2), Fact::FourTupleDecides { repeats, through_percent })
}

/// A path that loses this much is rare; a balancer that sends each SYN anywhere loses as much.
pub fn many_lost(view: &View<'_>) -> Told {
    let crate::diagnosis::pattern::Part { all, hits } = view.observed.fit.part;
    let is_open = matches!(view.observed.fit.pattern, Pattern::Scattered | Pattern::Irregular);
    (is_dial(view) && view.is_silent() && is_open && hits * 100 >= all * 15).then_some(())?;
    Some((Effect::By(1), None))
}

pub fn four_tuple_against(view: &View<'_>) -> Told {
    decides(view)?;
    Some((Effect::RulesOut, None))
}

pub fn repeats_through(view: &View<'_>) -> Told {
    let (through, failed) = (view.facts.slow_through, view.facts.failed_repeats);
    (is_failed(view) && view.is_silent() && through >= u64::from(HITS_MIN)).then_some(())?;
    told(Effect::By(1), Fact::Retransmissions { failed, through })
}

pub fn each_target(view: &View<'_>) -> Told {
    let Scope::EachTarget { .. } = view.observed.scope else { return None };
    let same = view.facts.each_target?;
    (is_failed(view) && view.is_silent()).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: false };
    told(Effect::By(2), fact)
}

pub fn each_source(view: &View<'_>) -> Told {
    let Scope::EachSource { .. } = view.observed.scope else { return None };
    let same = view.facts.each_source?;
    matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. }).then_some(())?;
    let fact = Fact::SameCount { open: same.open, places: same.places, is_source: true };
    told(Effect::By(5), fact)
}

pub fn each_source_against(view: &View<'_>) -> Told {
    each_source(view)?;
    // Sources that take turns reach a limit on all of them with as many each, but for those that
    // begin with some in use.
    let same = view.facts.each_source?;
    Some((Effect::By(if same.places < same.of { -3 } else { 0 }), None))
}

pub fn some_sources(view: &View<'_>) -> Told {
    let is_refused = view.failed_by(EndReason::Refused) > 0;
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && is_refused;
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

pub fn some_sources_silent(view: &View<'_>) -> Told {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. }) && view.is_silent();
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::By(4), None))
}

pub fn some_sources_rule_out(view: &View<'_>) -> Told {
    let is_it = matches!(view.observed.scope, Scope::Sources { .. });
    (is_it && is_failed(view)).then_some(())?;
    Some((Effect::RulesOut, None))
}

pub fn outage_or_else(view: &View<'_>) -> Told {
    let is_it = is_dial(view) && view.observed.fit.pattern.is_over();
    is_it.then_some(())?;
    Some((Effect::By(1), None))
}

pub fn count_or_else(view: &View<'_>) -> Told {
    let is_it = is_dial(view) && view.is_silent() && view.observed.fit.or_else.is_some();
    is_it.then_some(())?;
    Some((Effect::By(3), None))
}

pub fn prohibited(view: &View<'_>) -> Told {
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

pub fn icmp_above(view: &View<'_>) -> Told {
    let count = view.facts.icmp.first()?;
    (is_failed(view) && view.observed.fit.pattern.is_a_count()).then_some(())?;
    told(Effect::By(2), icmp_fact(count, false))
}

pub fn net_unreachable(view: &View<'_>) -> Told {
    let count = view.facts.icmp.iter().find(|count| {
        matches!(
            (count.error.is_v6, count.error.kind, count.error.code),
            (false, 3, 0) | (true, 1, 0)
        )
    })?;
    is_failed(view).then_some(())?;
    told(Effect::By(3), icmp_fact(count, false))
}

/// Something of the server came after dials had begun to fail: the path works.
pub fn path_is_up(view: &View<'_>) -> Told {
    let (facts, began) = (view.facts, view.observed.began);
    let is_confirmed = facts.confirmed_at.is_some_and(|at| at > began + SLOW_DIAL_MIN);
    let is_it = is_failed(view)
        && (is_confirmed || facts.syn_ack_repeated + facts.other_traffic + facts.half_open > 0);
    is_it.then_some(())?;
    Some((Effect::RulesOut, None))
}
