//! The symptoms of a run, each with its pattern and scope.
//!
//! Failed dials are one symptom at first: ICMP is rate-limited, so a firewall that rejects shows as a
//! few ICMP errors among many timeouts. End reasons with clear patterns of their own are separated.

use super::Case;
use super::closes::close_pattern;
use super::facts::Facts;
use super::model::{Scope, Symptom};
use super::pattern::{Fit, HITS_MIN, Part, Pattern, bits_of, fit, levels_of};
use super::scope::{self, Found, SymptomFilter, find};
use crate::engine::analysis::breakdown::{HitKind, Row};
use crate::engine::analysis::{Cell, Counts, Outcome};
use crate::engine::{EndReason, Round, Side, State};
use crate::order::sort_short_by_key;
use crate::units::Moment;

/// A symptom with its pattern, scope and beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub symptom: Symptom,
    pub fit: Fit,
    pub scope: Scope,
    /// The first hit.
    pub began: Moment,
}

impl Observed {
    fn new(symptom: Symptom, found: Found) -> Observed {
        let Found { fit, scope, began } = found;
        Observed { symptom, fit, scope, began }
    }
}

/// All symptoms of a run, in no order.
pub fn symptoms(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let mut all = local_failures(case, facts);
    all.extend(dials_failed(case, facts));
    all.extend(dials_slow(case, facts, &all));
    all.extend(closed_on_accept(case, facts));
    all.extend(closed(case));
    all.extend(lost(case));
    all.extend(checks(case));
    all.extend(no_reply(case, facts));
    all
}

fn whole(pattern: Pattern, hits: u32, all: u32) -> Fit {
    let [hits, all] = [hits, all].map(u64::from);
    Fit { pattern, part: Part { all: all.max(hits), hits }, ..Fit::NONE }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn through(counts: &Counts) -> u32 {
    counts.of(Outcome::Through) + counts.of(Outcome::Slow)
}

// Dials that failed on this host.

fn local_failures(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let is_local =
        |reason: &EndReason| reason.side() == Side::ThisHost && reason.ends_in() == State::Error;
    let of = |reason: EndReason| {
        case.summary.failures[reason as usize]?;
        let errno = case.summary.first_errno[reason as usize];
        let hits = |counts: &Counts| counts.of(Outcome::Failed(reason));
        let filter = SymptomFilter {
            all: &|counts| through(counts) + hits(counts),
            hits: &hits,
            row_hits: &|row| row.reasons[reason as usize],
            hit_kind: HitKind::EndReason(reason),
            is_limit_possible: false,
            depends_on_route_only: matches!(reason, EndReason::NoPorts | EndReason::NoSource),
        };
        let found = find(case, facts, &filter).into_iter().next()?;
        Some(Observed::new(Symptom::LocalFailure { reason, errno }, found))
    };
    EndReason::ALL.into_iter().filter(is_local).filter_map(of).collect()
}

// Dials that failed beyond this host.

/// End reasons of dials that are one symptom.
struct Group {
    reasons: Vec<EndReason>,
    /// Whether pending dials, and those that succeeded after a retransmission, belong to it.
    has_timeouts: bool,
}

impl Group {
    fn hits(&self, counts: &Counts) -> u32 {
        let failed: u32 =
            self.reasons.iter().map(|reason| counts.of(Outcome::Failed(*reason))).sum();
        // The first SYN of these got no reply either.
        let no_first_reply = counts.of(Outcome::Slow) + counts.of(Outcome::Pending);
        failed + if self.has_timeouts { no_first_reply } else { 0 }
    }

    /// Without dials that failed for other reasons.
    fn all(&self, counts: &Counts) -> u32 {
        let slow = if self.has_timeouts { 0 } else { counts.of(Outcome::Slow) };
        counts.of(Outcome::Through) + slow + self.hits(counts)
    }

    fn fit(&self, case: &Case<'_>) -> Fit {
        let spread = &case.summary.analysis.everywhere;
        let (all, hits) = (|counts: &Counts| self.all(counts), |counts: &Counts| self.hits(counts));
        let bits = bits_of(&spread.timeline, &all, &hits);
        fit(&bits, &levels_of(&spread.levels, &all, &hits), spread.levels.reached)
    }
}

fn dials_failed(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let timeline = &case.summary.analysis.everywhere.timeline;
    let mut reasons: Vec<EndReason> = EndReason::ALL
        .into_iter()
        .filter(|reason| reason.side() != Side::ThisHost && reason.ends_in() == State::Error)
        .filter(|reason| timeline.count(Outcome::Failed(*reason)) > 0)
        .collect();
    sort_short_by_key(&mut reasons, |reason| {
        std::cmp::Reverse(timeline.count(Outcome::Failed(*reason)))
    });
    let pending = timeline.count(Outcome::Pending);
    if reasons.is_empty() && pending == 0 {
        return Vec::new();
    }
    groups(case, facts, reasons)
        .iter()
        .flat_map(|group| observe_failed(case, facts, group))
        .collect()
}

/// One group if all end reasons share a clear pattern; else one for each reason with a clear pattern
/// of its own, and one for the rest.
fn groups(case: &Case<'_>, facts: &Facts, reasons: Vec<EndReason>) -> Vec<Group> {
    let has_timeouts = facts.timed_out > 0;
    let all = Group { reasons: reasons.clone(), has_timeouts };
    if reasons.len() < 2 {
        return vec![all];
    }
    let joint = all.fit(case);
    let alone = |reason: EndReason| Group {
        reasons: vec![reason],
        has_timeouts: has_timeouts && reason == EndReason::TimedOut,
    };
    let (mut joined, mut apart) = (Vec::new(), Vec::new());
    for reason in reasons {
        let is_joined = match joint.pattern.is_clear() {
            true => is_within(case, &joint, reason),
            false => !alone(reason).fit(case).pattern.is_clear(),
        };
        if is_joined { joined.push(reason) } else { apart.push(alone(reason)) }
    }
    let has_timeouts = has_timeouts && !apart.iter().any(|group: &Group| group.has_timeouts);
    let mut groups = vec![Group { reasons: joined, has_timeouts }];
    groups.retain(|group| !group.reasons.is_empty());
    groups.extend(apart);
    groups
}

/// Whether 80% of the dials with this end reason are within the pattern.
fn is_within(case: &Case<'_>, fit: &Fit, reason: EndReason) -> bool {
    let cells = &case.summary.analysis.everywhere.timeline.cells;
    let is_in = |cell: &&Cell| match &fit.pattern {
        Pattern::AboveCount { open } | Pattern::PartlyAboveCount { open } => {
            cell.level.end >= open.start
        }
        Pattern::FromMoment { at } => cell.to >= *at,
        Pattern::InitialOutage { to } => cell.from <= *to,
        Pattern::Outage { from, to } => cell.to >= *from && cell.from <= *to,
        _ => true,
    };
    let count = |cell: &Cell| cell.count(Outcome::Failed(reason));
    let inside: u32 = cells.iter().filter(is_in).map(count).sum();
    let all: u32 = cells.iter().map(count).sum();
    inside * 5 >= all * 4
}

fn observe_failed(case: &Case<'_>, facts: &Facts, group: &Group) -> Vec<Observed> {
    let filter = SymptomFilter {
        all: &|counts| group.all(counts),
        hits: &|counts| group.hits(counts),
        row_hits: &|row| {
            let failed: u32 =
                group.reasons.iter().map(|reason| row.reasons[*reason as usize]).sum();
            failed + if group.has_timeouts { row.slow_or_pending } else { 0 }
        },
        hit_kind: group
            .reasons
            .first()
            .map_or(HitKind::Closed, |reason| HitKind::EndReason(*reason)),
        is_limit_possible: true,
        depends_on_route_only: false,
    };
    let observe = |found: Found| {
        let counts = counts_of(case, &found.scope);
        let (pending, slow) = match group.has_timeouts {
            true => (counts.of(Outcome::Pending), counts.of(Outcome::Slow)),
            false => (0, 0),
        };
        let of = |reason: &EndReason| (*reason, counts.of(Outcome::Failed(*reason)).into());
        let reasons: Vec<(EndReason, u64)> = group.reasons.iter().map(of).collect();
        let failed = reasons.iter().map(|(_, count)| count).sum::<u64>() + u64::from(pending);
        let retransmits = if group.has_timeouts { facts.failed_retransmits } else { 0 };
        let slow = slow.into();
        let symptom = Symptom::DialsFailed { reasons, pending, slow, retransmits };
        (failed > 0).then(|| Observed::new(symptom, found))
    };
    find(case, facts, &filter).into_iter().filter_map(observe).collect()
}

/// The dials of a scope; all dials if it is not a single target or source.
fn counts_of(case: &Case<'_>, scope: &Scope) -> Counts {
    let analysis = &case.summary.analysis;
    let spreads = match scope {
        Scope::Targets { indexes, count: 1 } => Some((&analysis.targets, indexes)),
        Scope::Sources { indexes, count: 1 } => Some((&analysis.sources, indexes)),
        _ => None,
    };
    let of = |(spreads, indexes): (&'_ Vec<crate::engine::analysis::Spread>, &Vec<u32>)| {
        let spread = spreads.get(usize::try_from(*indexes.first()?).ok()?)?;
        Some(spread.timeline.counts())
    };
    spreads.and_then(of).unwrap_or_else(|| analysis.everywhere.timeline.counts())
}

/// Dials that succeeded after a retransmission, unless `DialsFailed` counts them.
fn dials_slow(case: &Case<'_>, facts: &Facts, others: &[Observed]) -> Option<Observed> {
    let summary = case.summary;
    let is_counted = others
        .iter()
        .any(|observed| matches!(observed.symptom, Symptom::DialsFailed { slow: 1.., .. }));
    let slow = summary.analysis.everywhere.timeline.count(Outcome::Slow);
    if is_counted || slow == 0 {
        return None;
    }
    let group = Group { reasons: Vec::new(), has_timeouts: true };
    let filter = SymptomFilter {
        all: &|counts| group.all(counts),
        hits: &|counts| group.hits(counts),
        row_hits: &|row| row.slow_or_pending,
        hit_kind: HitKind::Closed,
        is_limit_possible: false,
        depends_on_route_only: false,
    };
    let found = find(case, facts, &filter).into_iter().next()?;
    Some(Observed::new(Symptom::DialsSlow { retransmits: summary.slow.repeats }, found))
}

// Connections that did not last.

fn closed_on_accept(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let analysis = &case.summary.analysis;
    let [fin, rst] = analysis.closed_at_once;
    if fin + rst == 0 {
        return Vec::new();
    }
    let filter = SymptomFilter {
        // Those established last may still be closed.
        all: &|counts| through(counts) - counts.unsettled,
        hits: &|counts| counts.closed_at_once,
        row_hits: &|row| row.closed_at_once,
        hit_kind: HitKind::Closed,
        is_limit_possible: true,
        depends_on_route_only: false,
    };
    let symptom = |found: Found| {
        // FIN and RST are counted for the whole run only.
        let resets = if rst == 0 { 0 } else { u64::from(rst).min(found.fit.part.hits) };
        let within = analysis.at_once_age_max;
        Observed::new(Symptom::ClosedOnAccept { resets, within }, found)
    };
    find(case, facts, &filter).into_iter().map(symptom).collect()
}

fn closed(case: &Case<'_>) -> Option<Observed> {
    let summary = case.summary;
    let closes = &summary.analysis.closes;
    if closes.count == 0 {
        return None;
    }
    let how = close_pattern(closes, summary.last_dial.unwrap_or_default());
    let of = narrow(summary.established_ever) - summary.analysis.closed_at_once_count();
    let hits = |row: &Row| {
        let closed = row.reasons[EndReason::PeerClosed as usize]
            + row.reasons[EndReason::PeerReset as usize];
        closed - row.closed_at_once.min(closed)
    };
    let scope = scope_of_rows(case, &hits, HitKind::Closed, closes.count);
    let pattern = if closes.count >= of { Pattern::All } else { Pattern::Irregular };
    let ages = [closes.age_min, closes.age_p50, closes.age_max];
    let (resets, first, last) = (closes.resets.into(), closes.first, closes.last);
    let symptom = Symptom::Closed { how, resets, first, last, ages };
    Some(Observed { symptom, fit: whole(pattern, closes.count, of), scope, began: first })
}

/// The scope of hits that are counted by row only, without a pattern.
fn scope_of_rows(
    case: &Case<'_>,
    row_hits: &dyn Fn(&Row) -> u32,
    hit_kind: HitKind,
    hits: u32,
) -> Scope {
    let filter = SymptomFilter {
        // They are counted by row only.
        all: &|_| 0,
        hits: &|_| 0,
        row_hits,
        hit_kind,
        is_limit_possible: false,
        depends_on_route_only: false,
    };
    scope::by_rows(case, &filter, Part { all: case.summary.established_ever, hits: hits.into() })
}

fn lost(case: &Case<'_>) -> Vec<Observed> {
    let summary = case.summary;
    let of = narrow(summary.established_ever);
    let one = |reason: EndReason, symptom: Symptom| {
        let failures = summary.failures[reason as usize]?;
        let hits = narrow(failures.count);
        let pattern = if hits >= of { Pattern::All } else { Pattern::Irregular };
        let scope = scope_of_reason(case, reason, hits);
        Some(Observed { symptom, fit: whole(pattern, hits, of), scope, began: failures.first })
    };
    let errno = summary.first_errno[EndReason::Lost as usize];
    let lost = one(EndReason::Lost, Symptom::Lost { errno });
    lost.into_iter().chain(one(EndReason::Aborted, Symptom::KilledHere)).collect()
}

fn scope_of_reason(case: &Case<'_>, reason: EndReason, hits: u32) -> Scope {
    let count = |row: &Row| row.reasons[reason as usize];
    scope_of_rows(case, &count, HitKind::EndReason(reason), hits)
}

// Checks and replies.

fn checks(case: &Case<'_>) -> Vec<Observed> {
    let mut all = Vec::new();
    let summary = case.summary;
    if let Some(failures) = summary.failures[EndReason::HalfOpen as usize] {
        let hits = narrow(failures.count);
        let of = narrow(summary.checks.checked()).max(hits);
        let scope = scope_of_reason(case, EndReason::HalfOpen, hits);
        let pattern = if hits == of { Pattern::All } else { Pattern::Irregular };
        let fit = whole(pattern, hits, of);
        all.push(Observed { symptom: Symptom::HalfOpen, fit, scope, began: failures.first });
    }
    let checks = &summary.checks;
    let judged = narrow(checks.keepalives_sent());
    let found = |symptom, hits: u64, began| {
        let hits = narrow(hits);
        let pattern = if hits >= judged { Pattern::All } else { Pattern::Irregular };
        Observed {
            symptom,
            fit: whole(pattern, hits, judged.max(hits)),
            scope: Scope::Everywhere,
            began,
        }
    };
    let first = checks.round(Round::First);
    let later = [Round::Last, Round::Watch].map(|round| checks.round(round));
    let latest = later.into_iter().find(|round| round.sent > 0);
    let checked_at = latest.unwrap_or(first).first_at.unwrap_or_default();
    if checks.unacknowledged > 0 {
        let before = latest.map(|_| first);
        let symptom = Symptom::KeepaliveUnacked {
            confirmed_before: before.map_or(0, |first| first.confirmed),
            confirmed_at: before.and_then(|first| first.last_confirmed_at),
            checked_at,
        };
        all.push(found(symptom, checks.unacknowledged, checked_at));
    }
    // Without a challenge ACK what arrived was no SYN-ACK. Fewer may be lost segments.
    let repeated = syn_acks_repeated(case);
    if repeated >= HITS_MIN && case.counters.syn_challenge != Some(0) {
        let observed = found(Symptom::SynAckRepeated, repeated, checked_at);
        let is_all = observed.fit.pattern == Pattern::All;
        let pattern = if is_all { Pattern::All } else { syn_ack_pattern(case) };
        all.push(Observed { fit: Fit { pattern, ..observed.fit }, ..observed });
    }
    all
}

/// Connections on which the server keeps retransmitting its SYN-ACK: at the latest check, or at the
/// first if the latest received segments but no acknowledgement.
fn syn_acks_repeated(case: &Case<'_>) -> u64 {
    let checks = &case.summary.checks;
    let other = [Round::Last, Round::Watch].map(|round| checks.round(round).other_traffic);
    let since_first = checks.round(Round::First).repeats_syn_ack.min(other.iter().sum());
    checks.repeats_syn_ack.max(since_first)
}

/// Whether lost final ACKs may explain retransmitted SYN-ACKs: they are scattered, and few or no more
/// than the dials with a retransmitted SYN.
pub fn are_final_acks_lost(case: &Case<'_>, pattern: &Pattern, share: Part) -> bool {
    let is_scattered = matches!(pattern, Pattern::Scattered | Pattern::TooFew);
    let are_few = share.hits * 20 <= share.all;
    is_scattered && (are_few || case.summary.slow.through() >= share.hits)
}

/// Their pattern: a full accept queue shows above a count, or in bursts.
fn syn_ack_pattern(case: &Case<'_>) -> Pattern {
    let spread = &case.summary.analysis.everywhere;
    let hits = |counts: &Counts| counts.syn_ack_repeated;
    let bits = bits_of(&spread.timeline, &through, &hits);
    fit(&bits, &levels_of(&spread.levels, &through, &hits), spread.levels.reached).pattern
}

fn no_reply(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    if case.summary.no_reply.is_none() {
        return Vec::new();
    }
    let filter = SymptomFilter {
        all: &|counts| counts.replied + counts.no_reply,
        hits: &|counts| counts.no_reply,
        row_hits: &|row| row.no_reply,
        hit_kind: HitKind::NoReply,
        is_limit_possible: true,
        depends_on_route_only: false,
    };
    let observe = |found: Found| {
        let replied = counts_of(case, &found.scope).replied.into();
        let (wrong, late) = (facts.wrong_replies, facts.late_replies);
        Observed::new(Symptom::NoReply { replied, wrong, late }, found)
    };
    find(case, facts, &filter).into_iter().map(observe).collect()
}
