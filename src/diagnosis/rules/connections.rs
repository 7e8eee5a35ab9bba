//! Rules about established connections: how they ended, and what checks found.

use super::view::{Effect, RuleResult, View, is_failed, with_fact};
use crate::diagnosis::closes::SAME_MOMENT;
use crate::diagnosis::model::{ClosePattern, Fact, Symptom};
use crate::diagnosis::symptoms::Observed;
use crate::engine::{EndReason, Round};
use crate::units::Span;

/// No stateful device has a shorter timeout.
const STATE_LASTS_MIN: Span = Span::from_s(3);

/// A proxy that cannot reach its backend gives up after its connect timeout, with all retries. HAProxy:
/// `timeout connect` of 5 s and `retries 3`.
const GIVES_UP_WITHIN: Span = Span::from_s(20);

/// Whether all established connections were closed just before dials began to fail.
fn were_all_closed(view: &View<'_>) -> bool {
    let summary = view.case.summary;
    let analysis = &summary.analysis;
    let closed = u64::from(analysis.closes.count + analysis.closed_at_once_count());
    let is_all = closed > 0 && closed == summary.established_ever;
    let first = analysis.closed_at_once_seen.map(|(first, _)| first);
    let later = (analysis.closes.count > 0).then_some(analysis.closes.first);
    let Some(first) = first.into_iter().chain(later).min() else { return false };
    let failed = view.others.iter().find(|other| {
        matches!(&other.symptom, Symptom::DialsFailed { reasons, .. }
            if reasons.iter().any(|(reason, _)| *reason == EndReason::Refused))
    });
    let slack = Span::from_ms(100) + view.facts.handshake_min + summary.gaps.total();
    is_all
        && failed.is_some_and(|failed| failed.began + slack >= first)
        && failed.is_some_and(|failed| first + slack >= failed.began)
}

pub fn all_were_closed(view: &View<'_>) -> RuleResult {
    let applies = matches!(
        view.observed.symptom,
        Symptom::ClosedOnAccept { .. } | Symptom::DialsFailed { .. }
    );
    (applies && were_all_closed(view)).then_some(())?;
    Some((Effect::By(5), None))
}

pub fn all_were_closed_against(view: &View<'_>) -> RuleResult {
    (is_failed(view) && were_all_closed(view)).then_some(())?;
    Some((Effect::RulesOut, None))
}

pub fn has_last_line(view: &View<'_>) -> RuleResult {
    let is_close = matches!(
        view.observed.symptom,
        Symptom::ClosedOnAccept { .. }
            | Symptom::Closed { how: ClosePattern::NewestOnly { .. }, .. }
    );
    (is_close && view.facts.has_last_line).then_some(())?;
    with_fact(Effect::By(1), Fact::LastLine)
}

/// Below a rate, later connections would have stayed open as well.
pub fn none_later_stayed(view: &View<'_>) -> RuleResult {
    let is_on_accept = matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. });
    (is_on_accept && view.case.summary.analysis.closed_at_once_newest).then_some(())?;
    Some((Effect::By(1), None))
}

/// Closes continued after the last dial, so no new connection displaced them.
pub fn after_last_dial(view: &View<'_>) -> RuleResult {
    let Symptom::Closed { how, last, .. } = &view.observed.symptom else { return None };
    let is_aged = matches!(
        how,
        ClosePattern::AtAge { .. } | ClosePattern::Sweep { .. } | ClosePattern::AgeOrMoment { .. }
    );
    let dialed = view.facts.last_dial + SAME_MOMENT;
    (is_aged && *last > dialed).then_some(())?;
    with_fact(Effect::By(2), Fact::AfterLastDial { closes: view.observed.fit.part.hits })
}

/// Closed before the server sent anything, at an age at which a proxy gives its backend up.
pub fn closed_before_data(view: &View<'_>) -> RuleResult {
    let Symptom::Closed { how, .. } = &view.observed.symptom else { return None };
    let (age, by) = match how {
        ClosePattern::AtAge { age } => (*age, 5),
        ClosePattern::AgeOrMoment { age, .. } => (*age, 3),
        _ => return None,
    };
    (age <= GIVES_UP_WITHIN && view.case.summary.received_bytes == 0).then_some(())?;
    Some((Effect::By(by), None))
}

/// Closes continued, or began, after the last dial: no new connection displaced them.
pub fn after_last_dial_against(view: &View<'_>) -> RuleResult {
    let Symptom::Closed { first, .. } = view.observed.symptom else { return None };
    // A close caused by the last dial arrives an RTT later.
    let done = view.facts.last_dial + SAME_MOMENT + view.facts.handshake_min;
    let is_it = after_last_dial(view).is_some() || first > done;
    is_it.then_some((Effect::RulesOut, None))
}

/// Dials that failed after all connections were closed.
pub fn refused_after(view: &View<'_>) -> RuleResult {
    let Symptom::Closed { how: ClosePattern::Simultaneous { at, .. }, .. } = &view.observed.symptom
    else {
        return None;
    };
    let after = view.others.iter().find(|other| {
        matches!(other.symptom, Symptom::DialsFailed { .. }) && other.began + SAME_MOMENT >= *at
    })?;
    with_fact(Effect::By(3), Fact::RefusedAfter { dials: after.fit.part.hits })
}

/// A timeout closes connections, not the listener.
pub fn refused_after_against(view: &View<'_>) -> RuleResult {
    refused_after(view)?;
    let is_refused = |other: &Observed| match &other.symptom {
        Symptom::DialsFailed { reasons, .. } => {
            reasons.first().is_some_and(|(reason, _)| *reason == EndReason::Refused)
        }
        _ => false,
    };
    view.others.iter().any(is_refused).then_some((Effect::RulesOut, None))
}

/// A reply was expected; other data came, then the close.
pub fn closed_after_other_data(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let is_close =
        matches!(view.observed.symptom, Symptom::ClosedOnAccept { .. } | Symptom::Closed { .. });
    (is_close && facts.checks_replies && facts.replied == 0 && facts.has_last_line).then_some(())?;
    Some((Effect::By(4), None))
}

/// The application keeps closing connections at an age, so it had accepted them.
pub fn closed_meanwhile(view: &View<'_>) -> RuleResult {
    (is_failed(view) && view.is_silent()).then_some(())?;
    let began = view.observed.began;
    let closes = view.others.iter().find_map(|other| match &other.symptom {
        Symptom::Closed { how: ClosePattern::AtAge { .. }, last, .. } if *last > began => {
            Some(other.fit.part.hits)
        }
        _ => None,
    })?;
    with_fact(Effect::By(-3), Fact::ClosedMeanwhile { closes })
}

fn is_unacked(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::KeepaliveUnacked { .. })
}

/// Others were confirmed at the same check: only some lost their state.
pub fn some_confirmed(view: &View<'_>) -> RuleResult {
    let confirmed = view.facts.confirmed_last;
    (is_unacked(view) && confirmed > 0).then_some(())?;
    let sent = view.case.summary.checks.round(Round::Last).sent;
    with_fact(Effect::By(4), Fact::WatchConfirmed { confirmed, sent })
}

pub fn some_confirmed_against(view: &View<'_>) -> RuleResult {
    some_confirmed(view)?;
    Some((Effect::RulesOut, None))
}

/// A few of many keepalives were lost, with their retransmissions.
pub fn few_unacked(view: &View<'_>) -> RuleResult {
    let (confirmed, sent) = (view.facts.confirmed, view.facts.keepalives_sent);
    let are_few = view.observed.fit.part.hits * 20 <= sent;
    (is_unacked(view) && are_few && confirmed > 0).then_some(())?;
    Some((Effect::By(6), None))
}

/// State does not expire within a second, the age of the first check.
pub fn unacked_first_against(view: &View<'_>) -> RuleResult {
    let checks = &view.case.summary.checks;
    let is_later = [Round::Watch, Round::Last].iter().any(|round| checks.round(*round).sent > 0);
    let is_on_time = view.case.summary.gaps.total() < STATE_LASTS_MIN;
    let is_first = is_unacked(view) && !is_later && is_on_time;
    is_first.then_some(())?;
    Some((Effect::RulesOut, None))
}

/// The server still had them at an earlier check.
fn is_half_open_later(view: &View<'_>) -> bool {
    view.observed.symptom == Symptom::HalfOpen
        && view.facts.half_open_later > 0
        && view.facts.half_open_later >= view.facts.half_open
        && view.facts.confirmed_first > 0
}

pub fn half_open_later(view: &View<'_>) -> RuleResult {
    is_half_open_later(view).then_some(())?;
    Some((Effect::By(3), None))
}

/// State does not expire within a few seconds.
pub fn half_open_first_against(view: &View<'_>) -> RuleResult {
    let failures = view.case.summary.failures[EndReason::HalfOpen as usize]?;
    let is_first = view.observed.symptom == Symptom::HalfOpen
        && view.facts.half_open_later == 0
        && failures.max < STATE_LASTS_MIN;
    is_first.then_some(())?;
    Some((Effect::RulesOut, None))
}

pub fn half_open_later_against(view: &View<'_>) -> RuleResult {
    is_half_open_later(view).then_some(())?;
    Some((Effect::RulesOut, None))
}
