//! What went wrong in a run, each thing with its pattern and its scope.
//!
//! Failed dials are taken together first: a kernel limits its ICMP, so a firewall that rejects shows
//! as a few answers among many timeouts. They are told apart where each reason has a place of its
//! own.

use super::Case;
use super::closes::close_pattern;
use super::facts::Facts;
use super::model::{Scope, Symptom};
use super::pattern::{Fit, HITS_MIN, Part, Pattern, bits_of, fit, levels_of};
use super::places::{Found, What, find};
use crate::engine::analysis::breakdown::{HitKind, Row};
use crate::engine::analysis::{Cell, Counts, Outcome};
use crate::engine::{EndReason, Round, Side, State};
use crate::order::sort_short_by_key;
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

impl Observed {
    fn new(symptom: Symptom, found: Found) -> Observed {
        let Found { fit, scope, began } = found;
        Observed { symptom, fit, scope, began }
    }
}

/// All of a run, in no order.
pub fn symptoms(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let mut all = local_failures(case, facts);
    all.extend(dials_failed(case, facts));
    all.extend(dials_slow(case, facts, &all));
    all.extend(closed_on_accept(case, facts));
    all.extend(closed(case, facts));
    all.extend(lost(case, facts));
    all.extend(checks(case, facts));
    all.extend(no_reply(case, facts));
    all
}

fn whole(pattern: Pattern, hits: u32, all: u32) -> Fit {
    Fit { pattern, part: Part { all: all.max(hits), hits }, ..Fit::NONE }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn through(counts: &Counts) -> u32 {
    counts.of(Outcome::Through) + counts.of(Outcome::Slow)
}

// Dials that this host refused.

fn local_failures(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let is_local =
        |reason: &EndReason| reason.side() == Side::ThisHost && reason.ends_in() == State::Error;
    let of = |reason: EndReason| {
        case.summary.failures[reason as usize]?;
        let errno = case.summary.first_errno[reason as usize];
        let hits = |counts: &Counts| counts.of(Outcome::Failed(reason));
        let what = What {
            all: &|counts| through(counts) + hits(counts),
            hits: &hits,
            row_hits: &|row| row.reasons[reason as usize],
            matter: HitKind::EndReason(reason),
            may_be_a_limit: false,
            is_of_places: matches!(reason, EndReason::NoPorts | EndReason::NoSource),
        };
        let found = find(case, facts, &what).into_iter().next()?;
        Some(Observed::new(Symptom::LocalFailure { reason, errno }, found))
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
    fn hits(&self, counts: &Counts) -> u32 {
        let failed: u32 =
            self.reasons.iter().map(|reason| counts.of(Outcome::Failed(*reason))).sum();
        // Of these the first SYN got no reply, too.
        let quiet = counts.of(Outcome::Slow) + counts.of(Outcome::Pending);
        failed + if self.is_silent { quiet } else { 0 }
    }

    /// Dials that failed for another reason than the group's did not come through.
    fn all(&self, counts: &Counts) -> u32 {
        let slow = if self.is_silent { 0 } else { counts.of(Outcome::Slow) };
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

/// The end reasons as groups: one if together they make a clear pattern that each of them keeps to,
/// else one for each that makes a clear pattern alone, and one for the rest.
fn groups(case: &Case<'_>, facts: &Facts, reasons: Vec<EndReason>) -> Vec<Group> {
    let is_silent = facts.timed_out > 0;
    let all = Group { reasons: reasons.clone(), is_silent };
    if reasons.len() < 2 {
        return vec![all];
    }
    let joint = all.fit(case);
    let alone = |reason: EndReason| Group {
        reasons: vec![reason],
        is_silent: is_silent && reason == EndReason::TimedOut,
    };
    let (mut joined, mut apart) = (Vec::new(), Vec::new());
    for reason in reasons {
        let is_joined = match joint.pattern.is_clear() {
            true => is_within(case, &joint, reason),
            false => !alone(reason).fit(case).pattern.is_clear(),
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
    let what = What {
        all: &|counts| group.all(counts),
        hits: &|counts| group.hits(counts),
        row_hits: &|row| {
            let failed: u32 =
                group.reasons.iter().map(|reason| row.reasons[*reason as usize]).sum();
            failed + if group.is_silent { row.slow_or_pending } else { 0 }
        },
        matter: group.reasons.first().map_or(HitKind::Closed, |reason| HitKind::EndReason(*reason)),
        may_be_a_limit: true,
        is_of_places: false,
    };
    let observe = |found: Found| {
        let counts = counts_of(case, &found.scope);
        let (pending, slow) = match group.is_silent {
            true => (counts.of(Outcome::Pending), counts.of(Outcome::Slow)),
            false => (0, 0),
        };
        let of = |reason: &EndReason| (*reason, counts.of(Outcome::Failed(*reason)));
        let reasons: Vec<(EndReason, u32)> = group.reasons.iter().map(of).collect();
        let failed: u32 = reasons.iter().map(|(_, count)| count).sum::<u32>() + pending;
        let repeats = if group.is_silent { facts.failed_repeats } else { 0 };
        let symptom = Symptom::DialsFailed { reasons, pending, slow, repeats };
        (failed > 0).then(|| Observed::new(symptom, found))
    };
    find(case, facts, &what).into_iter().filter_map(observe).collect()
}

/// The dials of a scope; of all where its places are not kept apart.
fn counts_of(case: &Case<'_>, scope: &Scope) -> Counts {
    let analysis = &case.summary.analysis;
    let spreads = match scope {
        Scope::Targets { places, count: 1 } => Some((&analysis.targets, places)),
        Scope::Sources { places, count: 1 } => Some((&analysis.sources, places)),
        _ => None,
    };
    let of = |(spreads, places): (&'_ Vec<crate::engine::analysis::Spread>, &Vec<u32>)| {
        let spread = spreads.get(usize::try_from(*places.first()?).ok()?)?;
        Some(spread.timeline.counts())
    };
    spreads.and_then(of).unwrap_or_else(|| analysis.everywhere.timeline.counts())
}

/// Came through, but only by a repeat, where that is not told with those that failed.
fn dials_slow(case: &Case<'_>, facts: &Facts, others: &[Observed]) -> Option<Observed> {
    let summary = case.summary;
    let is_told = others
        .iter()
        .any(|observed| matches!(observed.symptom, Symptom::DialsFailed { slow: 1.., .. }));
    let slow = summary.analysis.everywhere.timeline.count(Outcome::Slow);
    if is_told || slow == 0 {
        return None;
    }
    let group = Group { reasons: Vec::new(), is_silent: true };
    let what = What {
        all: &|counts| group.all(counts),
        hits: &|counts| group.hits(counts),
        row_hits: &|row| row.slow_or_pending,
        matter: HitKind::Closed,
        may_be_a_limit: false,
        is_of_places: false,
    };
    let found = find(case, facts, &what).into_iter().next()?;
    Some(Observed::new(Symptom::DialsSlow { repeats: summary.slow.repeats }, found))
}

// Connections that did not last.

fn closed_on_accept(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let analysis = &case.summary.analysis;
    let [fin, rst] = analysis.closed_at_once;
    if fin + rst == 0 {
        return Vec::new();
    }
    let what = What {
        // Of those established last it is not known yet.
        all: &|counts| through(counts) - counts.unsettled,
        hits: &|counts| counts.closed_at_once,
        row_hits: &|row| row.closed_at_once,
        matter: HitKind::Closed,
        may_be_a_limit: true,
        is_of_places: false,
    };
    let symptom = |found: Found| {
        // Of some of the places it is not known how many of each there were.
        let resets = if rst == 0 { 0 } else { rst.min(found.fit.part.hits) };
        let within = analysis.at_once_age_max;
        Observed::new(Symptom::ClosedOnAccept { resets, within }, found)
    };
    find(case, facts, &what).into_iter().map(symptom).collect()
}

fn closed(case: &Case<'_>, facts: &Facts) -> Option<Observed> {
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
    let scope = scope_of_rows(case, facts, &hits, HitKind::Closed, closes.count);
    let pattern = if closes.count >= of { Pattern::All } else { Pattern::Irregular };
    let ages = [closes.age_min, closes.age_p50, closes.age_max];
    let (resets, first, last) = (closes.resets, closes.first, closes.last);
    let symptom = Symptom::Closed { how, resets, first, last, ages };
    Some(Observed { symptom, fit: whole(pattern, closes.count, of), scope, began: first })
}

/// Where the hits of rows are, whatever their pattern.
fn scope_of_rows(
    case: &Case<'_>,
    facts: &Facts,
    row_hits: &dyn Fn(&Row) -> u32,
    matter: HitKind,
    hits: u32,
) -> Scope {
    let established = narrow(case.summary.established_ever);
    // Told by rows alone: of the cells it is not known.
    let what = What {
        all: &|counts| if counts.dials > 0 { established.max(hits) } else { 0 },
        hits: &|counts| if counts.dials > 0 { hits } else { 0 },
        row_hits,
        matter,
        may_be_a_limit: false,
        is_of_places: false,
    };
    find(case, facts, &what).into_iter().next().map_or(Scope::Everywhere, |found| found.scope)
}

fn lost(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let summary = case.summary;
    let of = narrow(summary.established_ever);
    let one = |reason: EndReason, symptom: Symptom| {
        let failures = summary.failures[reason as usize]?;
        let hits = narrow(failures.count);
        let pattern = if hits >= of { Pattern::All } else { Pattern::Irregular };
        let scope = scope_of_reason(case, facts, reason, hits);
        Some(Observed { symptom, fit: whole(pattern, hits, of), scope, began: failures.first })
    };
    let errno = summary.first_errno[EndReason::Lost as usize];
    let lost = one(EndReason::Lost, Symptom::Lost { errno });
    lost.into_iter().chain(one(EndReason::Aborted, Symptom::KilledHere)).collect()
}

fn scope_of_reason(case: &Case<'_>, facts: &Facts, reason: EndReason, hits: u32) -> Scope {
    let count = |row: &Row| row.reasons[reason as usize];
    scope_of_rows(case, facts, &count, HitKind::EndReason(reason), hits)
}

// What checks and replies say.

fn checks(case: &Case<'_>, facts: &Facts) -> Vec<Observed> {
    let mut all = Vec::new();
    let summary = case.summary;
    if let Some(failures) = summary.failures[EndReason::HalfOpen as usize] {
        let hits = narrow(failures.count);
        let of = narrow(summary.checks.checked()).max(hits);
        let scope = scope_of_reason(case, facts, EndReason::HalfOpen, hits);
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
    // No SYN-ACK met an established connection: what came was something else.
    // A lost segment or two look the same.
    let repeated = syn_acks_repeated(case);
    if repeated >= u64::from(HITS_MIN) && case.counters.syn_challenge != Some(0) {
        let observed = found(Symptom::SynAckRepeated, repeated, checked_at);
        let is_all = observed.fit.pattern == Pattern::All;
        let pattern = if is_all { Pattern::All } else { syn_ack_pattern(case) };
        all.push(Observed { fit: Fit { pattern, ..observed.fit }, ..observed });
    }
    all
}

/// To how many connections the server goes on repeating its SYN-ACK: those of the latest check, or
/// of the first where the latest found segments and no acknowledgement.
fn syn_acks_repeated(case: &Case<'_>) -> u64 {
    let checks = &case.summary.checks;
    let other = [Round::Last, Round::Watch].map(|round| checks.round(round).other_traffic);
    let since_first = checks.round(Round::First).repeats_syn_ack.min(other.iter().sum());
    checks.repeats_syn_ack.max(since_first)
}

/// Whether a server that repeats its SYN-ACK to some may have lost their final ACKs on the path: to a
/// few here and there, or to no more than had their SYN repeated.
pub fn are_final_acks_lost(case: &Case<'_>, pattern: &Pattern, share: Part) -> bool {
    let is_strewn = matches!(pattern, Pattern::Scattered | Pattern::TooFew);
    let are_few = u64::from(share.hits) * 20 <= u64::from(share.all);
    is_strewn && (are_few || case.summary.slow.through() >= u64::from(share.hits))
}

/// How those are spread over the dials: a queue that is full does it above a count, or in bursts.
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
    let what = What {
        all: &|counts| counts.replied + counts.no_reply,
        hits: &|counts| counts.no_reply,
        row_hits: &|row| row.no_reply,
        matter: HitKind::NoReply,
        may_be_a_limit: true,
        is_of_places: false,
    };
    let observe = |found: Found| {
        let replied = counts_of(case, &found.scope).replied.into();
        let (wrong, late) = (facts.wrong_replies, facts.late_replies);
        Observed::new(Symptom::NoReply { replied, wrong, late }, found)
    };
    find(case, facts, &what).into_iter().map(observe).collect()
}
