//! What went wrong in a run, each thing with its pattern and its scope.
//!
//! Failed dials are taken together first: a kernel limits its ICMP, so a firewall that rejects shows
//! as a few answers among many timeouts. They are told apart where each reason has a place of its
//! own.

use super::Case;
use super::closes::close_pattern;
use super::facts::Facts;
use super::model::{Scope, Symptom};
use super::pattern::{Bit, Fit, HITS_MIN, Part, Pattern, bits_of, fit, is_anywhere, levels_of};
use crate::engine::analysis::breakdown::{Breakdown, Matter, Row};
use crate::engine::analysis::{Cell, Outcome};
use crate::engine::{EndReason, Round, Side, State};
use crate::units::Moment;

/// A symptom with what it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub symptom: Symptom,
    pub fit: Fit,
    pub scope: Scope,
    /// When what it is about began.
    pub began: Moment,
}

/// All of a run, in no order.
pub fn symptoms(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let mut all = local_failures(case);
    all.extend(dials_failed(case, facts));
    all.extend(dials_slow(case, &all));
    all.extend(closed_on_accept(case, facts));
    all.extend(closed(case));
    all.extend(lost(case));
    all.extend(checks(case, facts));
    all.extend(no_reply(case, facts));
    all
}

fn whole(pattern: Pattern, hits: u32, all: u32) -> Fit {
    Fit { pattern, part: Part { all: all.max(hits), hits }, outside: 0, or_else: None }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

// Dials that this host refused.

fn local_failures(case: &Case<'_>) -> Vec<Observed> {
    let summary = case.summary;
    let is_local =
        |reason: &EndReason| reason.side() == Side::ThisHost && reason.ends_in() == State::Error;
    let dials = narrow(summary.established_ever + summary.errors);
    let of = |reason: EndReason| {
        let failures = summary.failures[reason as usize]?;
        let errno = summary.first_errno[reason as usize];
        let hits = narrow(failures.count);
        let pattern = if hits == dials { Pattern::All } else { Pattern::Irregular };
        let scope = scope_of_reason(case, reason, hits);
        Some(Observed {
            symptom: Symptom::LocalFailure { reason, errno },
            fit: whole(pattern, hits, dials),
            scope,
            began: failures.first,
        })
    };
    EndReason::ALL.into_iter().filter(is_local).filter_map(of).collect()
}

// Dials that failed beyond it.

/// Some end reasons of dials that are one symptom.
struct Group {
    reasons: Vec<EndReason>,
    /// Whether dials under way, and those that came through by a repeat, belong to it.
    is_silent: bool,
}

impl Group {
    fn hits(&self, cell: &Cell) -> u32 {
        let failed: u32 =
            self.reasons.iter().map(|reason| cell.count(Outcome::Failed(*reason))).sum();
        failed + if self.is_silent { quiet(&cell.outcomes) } else { 0 }
    }

    fn hits_by_level(&self, outcomes: &[u32; Outcome::COUNT]) -> u32 {
        let failed: u32 =
            self.reasons.iter().map(|reason| outcomes[Outcome::Failed(*reason).index()]).sum();
        failed + if self.is_silent { quiet(outcomes) } else { 0 }
    }
}

/// Dials of which the first SYN got no reply, without those that failed.
fn quiet(outcomes: &[u32; Outcome::COUNT]) -> u32 {
    outcomes[Outcome::Slow.index()] + outcomes[Outcome::Pending.index()]
}

/// Dials that failed for another reason than the group's did not come through.
fn population(outcomes: &[u32; Outcome::COUNT], group: &Group) -> u32 {
    let through = outcomes[Outcome::Through.index()];
    let slow = outcomes[Outcome::Slow.index()];
    through + if group.is_silent { 0 } else { slow } + group.hits_by_level(outcomes)
}

fn bits_and_levels(case: &Case<'_>, group: &Group) -> (Vec<Bit>, Vec<Bit>) {
    let analysis = &case.summary.analysis;
    let bits = bits_of(
        &analysis.timeline,
        |cell| population(&cell.outcomes, group),
        |cell| group.hits(cell),
    );
    let levels = levels_of(
        &analysis.levels,
        |cell| population(&cell.outcomes, group),
        |cell| group.hits_by_level(&cell.outcomes),
    );
    (bits, levels)
}

fn dials_failed(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let timeline = &case.summary.analysis.timeline;
    let mut reasons: Vec<EndReason> = EndReason::ALL
        .into_iter()
        .filter(|reason| reason.side() != Side::ThisHost && reason.ends_in() == State::Error)
        .filter(|reason| timeline.count(Outcome::Failed(*reason)) > 0)
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(timeline.count(Outcome::Failed(*reason))));
    let pending = timeline.count(Outcome::Pending);
    if reasons.is_empty() && pending == 0 {
        return Vec::new();
    }
    groups(case, facts, reasons)
        .into_iter()
        .filter_map(|group| observe_failed(case, facts, &group))
        .collect()
}

/// The end reasons as groups: one if together they make a clear pattern that each of them keeps to,
/// else one for each that makes a clear pattern alone, and one for the rest.
fn groups(case: &Case<'_>, facts: &Facts, reasons: Vec<EndReason>) -> Vec<Group> {
    let is_silent = facts.timed_out > 0;
    let all = Group { reasons: reasons.clone(), is_silent };
    if reasons.len() < 2 {
        return vec![all];
    }
    let (bits, levels) = bits_and_levels(case, &all);
    let joint = fit(&bits, &levels);
    let alone = |reason: EndReason| Group {
        reasons: vec![reason],
        is_silent: is_silent && reason == EndReason::TimedOut,
    };
    let is_clear_alone = |reason: EndReason| {
        let (bits, levels) = bits_and_levels(case, &alone(reason));
        fit(&bits, &levels).pattern.is_clear()
    };
    let (mut joined, mut apart) = (Vec::new(), Vec::new());
    for reason in reasons {
        let is_joined = match joint.pattern.is_clear() {
            true => is_within(case, &joint, reason),
            false => !is_clear_alone(reason),
        };
        if is_joined { joined.push(reason) } else { apart.push(alone(reason)) }
    }
    let is_silent = is_silent && !apart.iter().any(|group: &Group| group.is_silent);
    let mut groups = vec![Group { reasons: joined, is_silent }];
    groups.retain(|group| !group.reasons.is_empty());
    groups.extend(apart);
    groups
}

/// Whether nearly all of one reason's dials are in the stretch of a pattern.
fn is_within(case: &Case<'_>, fit: &Fit, reason: EndReason) -> bool {
    let cells = &case.summary.analysis.timeline.cells;
    let is_in = |cell: &&Cell| match &fit.pattern {
        Pattern::AboveCount { open } => cell.level.end >= open.start,
        Pattern::PartlyAboveCount { open } => cell.level.end >= open.start,
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

fn observe_failed(case: &Case<'_>, facts: &Facts, group: &Group) -> Option<Observed> {
    let timeline = &case.summary.analysis.timeline;
    let (bits, levels) = bits_and_levels(case, group);
    let mut fit = fit(&bits, &levels);
    let (pending, slow) = match group.is_silent {
        true => (timeline.count(Outcome::Pending), timeline.count(Outcome::Slow)),
        false => (0, 0),
    };
    let reasons: Vec<(EndReason, u32)> = group
        .reasons
        .iter()
        .map(|reason| (*reason, timeline.count(Outcome::Failed(*reason))))
        .collect();
    let failed: u32 = reasons.iter().map(|(_, count)| count).sum::<u32>() + pending;
    if failed == 0 {
        return None;
    }
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(Moment(0), |bit| bit.from);
    let scope = scope_of_dials(case, facts, group, failed, &mut fit);
    let repeats = if group.is_silent { facts.failed_repeats } else { 0 };
    let symptom = Symptom::DialsFailed { reasons, pending, slow, repeats };
    Some(Observed { symptom, fit, scope, began })
}

/// Came through, but only by a repeat, where that is not told with those that failed.
fn dials_slow(case: &Case<'_>, others: &[Observed]) -> Option<Observed> {
    let summary = case.summary;
    let is_told = others
        .iter()
        .any(|observed| matches!(observed.symptom, Symptom::DialsFailed { slow: 1.., .. }));
    let slow = summary.analysis.timeline.count(Outcome::Slow);
    if is_told || slow == 0 {
        return None;
    }
    let group = Group { reasons: Vec::new(), is_silent: true };
    let (bits, levels) = bits_and_levels(case, &group);
    let fit = fit(&bits, &levels);
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(Moment(0), |bit| bit.from);
    let symptom = Symptom::DialsSlow { repeats: summary.slow.repeats };
    Some(Observed { symptom, fit, scope: Scope::Everywhere, began })
}

// Connections that did not last.

fn closed_on_accept(case: &Case<'_>, facts: &Facts) -> Option<Observed> {
    let analysis = &case.summary.analysis;
    let [fin, rst] = analysis.closed_at_once;
    if fin + rst == 0 {
        return None;
    }
    let through = |outcomes: &[u32; Outcome::COUNT]| {
        outcomes[Outcome::Through.index()] + outcomes[Outcome::Slow.index()]
    };
    let bits =
        bits_of(&analysis.timeline, |cell| through(&cell.outcomes), |cell| cell.closed_at_once);
    let levels =
        levels_of(&analysis.levels, |cell| through(&cell.outcomes), |cell| cell.closed_at_once);
    let mut fit = fit(&bits, &levels);
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(Moment(0), |bit| bit.from);
    let hits = |row: &Row| row.closed_at_once;
    let scope = scope(case, Some(facts), Some(&hits), Matter::Closed, fin + rst, &mut fit);
    let within = analysis.at_once_age_max;
    Some(Observed { symptom: Symptom::ClosedOnAccept { resets: rst, within }, fit, scope, began })
}

fn closed(case: &Case<'_>) -> Option<Observed> {
    let summary = case.summary;
    let closes = &summary.analysis.closes;
    if closes.count == 0 {
        return None;
    }
    let how = close_pattern(closes, summary.last_dial.unwrap_or_default());
    let of = narrow(summary.established_ever) - summary.analysis.closed_at_once_count();
    let pattern = if closes.count >= of { Pattern::All } else { Pattern::Irregular };
    let mut fit = whole(pattern, closes.count, of);
    let hits = |row: &Row| {
        row.reasons[EndReason::PeerClosed as usize] + row.reasons[EndReason::PeerReset as usize]
            - row.closed_at_once.min(row.closed)
    };
    let scope = scope(case, None, Some(&hits), Matter::Closed, closes.count, &mut fit);
    let ages = [closes.age_min, closes.age_p50, closes.age_max];
    let (resets, first, last) = (closes.resets, closes.first, closes.last);
    let symptom = Symptom::Closed { how, resets, first, last, ages };
    Some(Observed { symptom, fit, scope, began: first })
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

// What checks and replies say.

fn checks(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
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
    let judged = narrow(checks.asked());
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
    // No SYN-ACK met an established connection: what came was something else.
    if checks.repeats_syn_ack > 0 && case.counters.syn_challenge != Some(0) {
        all.push(found(Symptom::SynAckRepeated, checks.repeats_syn_ack, checked_at));
    }
    let _ = facts;
    all
}

fn no_reply(case: &Case<'_>, facts: &Facts) -> Option<Observed> {
    let summary = case.summary;
    let failures = summary.unanswered?;
    let analysis = &summary.analysis;
    let all = |cell: &Cell| cell.replied + cell.no_reply;
    let bits = bits_of(&analysis.timeline, all, |cell| cell.no_reply);
    let mut fit = fit(&bits, &[]);
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(failures.first, |bit| bit.from);
    let hits = |row: &Row| row.unanswered;
    let count = narrow(failures.count);
    let scope = scope(case, None, Some(&hits), Matter::Unanswered, count, &mut fit);
    let symptom = Symptom::NoReply {
        replied: facts.replied,
        wrong: facts.wrong_replies,
        late: facts.late_replies,
    };
    Some(Observed { symptom, fit, scope, began })
}

// Where.

fn scope_of_reason(case: &Case<'_>, reason: EndReason, hits: u32) -> Scope {
    let count = |row: &Row| row.reasons[reason as usize];
    let mut fit = whole(Pattern::Irregular, hits, hits);
    scope(case, None, Some(&count), Matter::EndReason(reason), hits, &mut fit)
}

fn scope_of_dials(
    case: &Case<'_>,
    facts: &Facts,
    group: &Group,
    hits: u32,
    fit: &mut Fit,
) -> Scope {
    let count = |row: &Row| {
        let of = |reason: &EndReason| row.reasons[*reason as usize];
        group.reasons.iter().map(of).sum()
    };
    let matter = group.reasons.first().map_or(Matter::Closed, |reason| Matter::EndReason(*reason));
    scope(case, Some(facts), Some(&count), matter, hits, fit)
}

/// Where the hits of a symptom are: at some targets or sources only, at each by a count of its own, or
/// everywhere. Where it is at some only, the share becomes that of these.
fn scope(
    case: &Case<'_>,
    facts: Option<&Facts>,
    count: Option<&dyn Fn(&Row) -> u32>,
    matter: Matter,
    hits: u32,
    fit: &mut Fit,
) -> Scope {
    for is_source in [false, true] {
        let summary = case.summary;
        let breakdown = if is_source { &summary.sources } else { &summary.targets };
        if let Some((places, part)) = some_of(breakdown, count, matter, hits, fit.part.all) {
            fit.part = part;
            if part.hits == part.all {
                fit.pattern = Pattern::All;
            }
            return if is_source { Scope::Sources(places) } else { Scope::Targets(places) };
        }
    }
    let Some(facts) = facts else { return Scope::Everywhere };
    if let Some(same) = facts.each_source {
        return Scope::EachSource { open: same.open..same.open, count: same.places };
    }
    if let Some(same) = facts.each_target {
        return Scope::EachTarget { open: same.open..same.open, count: same.places };
    }
    Scope::Everywhere
}

/// Those of several places where all hits are, if that is no chance, and what part of the dials there
/// was hit.
fn some_of(
    breakdown: &Breakdown,
    count: Option<&dyn Fn(&Row) -> u32>,
    matter: Matter,
    hits: u32,
    population: u32,
) -> Option<(Vec<u32>, Part)> {
    let is_whole = breakdown.count <= breakdown.worst.len();
    let (places, rows_hit, all) = match count {
        Some(count) if is_whole => {
            let mut met: Vec<(u32, u32, u32)> = breakdown
                .worst
                .iter()
                .map(|row| (count(row), row.index, row.dialed))
                .filter(|(count, ..)| *count > 0)
                .collect();
            met.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
            let all: u32 = met.iter().map(|(.., dialed)| dialed).sum();
            let indexes: Vec<u32> = met.iter().map(|(_, index, _)| *index).collect();
            let rows = indexes.len();
            (indexes, rows, all)
        }
        _ => {
            let met = breakdown.met(matter);
            let (index, _) = met.worst?;
            if met.hits != u64::from(hits) {
                return None;
            }
            (vec![index], met.rows, narrow(met.dialed))
        }
    };
    if rows_hit == 0 || rows_hit >= breakdown.count || hits < HITS_MIN {
        return None;
    }
    let share = (u64::from(all), u64::from(population.max(all)));
    let is_chance = is_anywhere(rows_hit, breakdown.count, share, hits.into());
    (!is_chance).then_some((places, Part { all: all.max(hits), hits }))
}
