//! A run that churns. A slot is dialed many times, so neither the order of slots nor the number of
//! open connections separates dials that failed from others: only totals, times and ages do.

use super::Case;
use super::chance::{float, p_value_of_block};
use super::closes::SAME_MOMENT;
use super::model::{Candidate, ClosePattern, Likelihood, Scope, Symptom, Word};
use super::pattern::{Fit, HITS_MIN, Part, Pattern, WINDOW_CHANCE_MAX};
use super::rules;
use super::symptoms::Observed;
use crate::diagnosis::causes::Cause;
use crate::engine::analysis::dials::at_once_max;
use crate::engine::churn::{ChurnStats, LATE_MIN};
use crate::engine::failure_times::{Failures, SLOW_DIAL_MIN};
use crate::engine::series::{DIAL_BUCKETS, Point, upper_edge};
use crate::engine::{EndReason, Side, State, Summary};
use crate::error::exit;
use crate::order::sort_short_by_key;
use crate::plan::Pace;
use crate::units::{Moment, Span};

/// Ages that differ by less than a twentieth, or by this, are the same.
const AGES_APART_MIN: Span = Span::from_ms(20);

/// The fewest intervals that show a steady rate.
const STEADY_MIN: u64 = 3;

/// The fewest that show one by chance in less than 1 of 50 runs, and from what variance on.
const EVEN_MIN: u64 = 4;
const VARIANCE_MIN: f64 = 16.0;

/// Up to this part of the dials can be lost at random, in these parts of the run.
const SPREAD_ONE_OF: u64 = 5;
const SPREAD_BINS: usize = 8;

/// A rate is reached if no more than this part of the due dials is missing.
const MISSED_ONE_OF: u64 = 20;

/// All symptoms, in no order.
pub fn symptoms(case: &Case<'_>) -> Vec<Observed> {
    let summary = case.summary;
    let mut all = Vec::new();
    let (dials, opened) = (summary.established_ever + summary.errors, summary.established_ever);
    let errors = || EndReason::ALL.into_iter().filter(|reason| reason.ends_in() == State::Error);
    for reason in errors().filter(|reason| reason.side() == Side::ThisHost) {
        let errno = summary.first_errno[reason as usize];
        all.extend(observed(summary, &[reason], dials, Symptom::LocalFailure { reason, errno }));
    }
    let mut beyond: Vec<EndReason> = errors()
        .filter(|reason| reason.side() != Side::ThisHost && summary.ended_by(*reason) > 0)
        .collect();
    sort_short_by_key(&mut beyond, |reason| std::cmp::Reverse(summary.ended_by(*reason)));
    let counted = |reason: &EndReason| (*reason, summary.ended_by(*reason));
    let reasons = beyond.iter().map(counted).collect();
    let retransmits = summary.slow.failed_repeats;
    let failed = Symptom::DialsFailed { reasons, pending: 0, slow: 0, retransmits };
    all.extend(observed(summary, &beyond, dials, failed));
    if summary.slow.through() > 0 {
        let retransmits = summary.slow.repeats - summary.slow.failed_repeats;
        let part = Part { all: opened, hits: summary.slow.through() };
        let began = summary.first_dial.unwrap_or_default();
        let is_slow = |bucket: &usize| upper_edge(*bucket) > SLOW_DIAL_MIN;
        let slow = |point: &Point| {
            let slow = (0..DIAL_BUCKETS).filter(is_slow);
            slow.map(|bucket| u64::from(point.dial_times[bucket])).sum()
        };
        let pattern = match pattern(part) {
            Pattern::Irregular if is_spread(summary, part, slow) => Pattern::Scattered,
            pattern => pattern,
        };
        all.push(whole(Symptom::DialsSlow { retransmits }, pattern, part, began));
    }
    all.extend(closed(case));
    let errno = summary.first_errno[EndReason::Lost as usize];
    all.extend(observed(summary, &[EndReason::Lost], opened, Symptom::Lost { errno }));
    all.extend(observed(summary, &[EndReason::HalfOpen], opened, Symptom::HalfOpen));
    all.extend(observed(summary, &[EndReason::Aborted], opened, Symptom::KilledHere));
    all
}

/// What `reasons` ended, of `all`.
fn observed(
    summary: &Summary,
    reasons: &[EndReason],
    all: u64,
    symptom: Symptom,
) -> Option<Observed> {
    let of = |reason: &EndReason| summary.failures[*reason as usize];
    let began = reasons.iter().filter_map(of).map(|failures| failures.first).min()?;
    let hits: u64 = reasons.iter().map(|reason| summary.ended_by(*reason)).sum();
    let mut part = Part { all, hits };
    let mut pattern = pattern(part);
    if pattern == Pattern::Irregular && symptom_is_of_dials(&symptom) {
        let last = reasons.iter().filter_map(of).map(|failures| failures.last).max()?;
        let meanwhile = Part { all: hits + established_in(summary, began, last), hits };
        if nothing_opened_after(summary, began) {
            (pattern, part) = (Pattern::FromMoment { at: began }, Part { all: hits, hits });
        } else if is_outage(part, meanwhile) && !fails_throughout(summary, began) {
            (pattern, part) = (Pattern::Outage { from: began, to: last }, meanwhile);
        } else if is_spread(summary, part, errors_before(summary)) {
            pattern = Pattern::Scattered;
        }
    }
    Some(whole(symptom, pattern, part, began))
}

/// Whether nearly every dial failed between the first failure and the last, and not by chance.
fn is_outage(whole: Part, meanwhile: Part) -> bool {
    let outside = whole.misses().saturating_sub(meanwhile.misses());
    let chance = p_value_of_block(outside, meanwhile.hits) * float(outside + 1);
    meanwhile.misses() * 10 <= meanwhile.all && chance <= WINDOW_CHANCE_MAX
}

/// How many were established in a part of the run.
fn established_in(summary: &Summary, from: Moment, to: Moment) -> u64 {
    let points = summary.series.points();
    let by = |at: Moment| {
        let index = points.partition_point(|point| point.at <= at.since(summary.start));
        index.checked_sub(1).map_or(0, |index| points[index].established)
    };
    by(to).saturating_sub(by(from))
}

/// Errors since the point before.
fn errors_before(summary: &Summary) -> impl Fn(&Point) -> u64 + '_ {
    let points = summary.series.points();
    |point| {
        let index = points.partition_point(|other| other.at < point.at);
        point.errors.saturating_sub(index.checked_sub(1).map_or(0, |index| points[index].errors))
    }
}

/// Whether a small part of the dials was hit all over the run, as by packet loss: what admits a number
/// at a time hits most of those above it.
fn is_spread(summary: &Summary, part: Part, hits: impl Fn(&Point) -> u64) -> bool {
    let mut bins = [0; SPREAD_BINS];
    let length = summary.end.since(summary.start).0.max(1);
    for point in summary.series.points() {
        let bin = u128::from(point.at.0) * SPREAD_BINS as u128 / (u128::from(length) + 1);
        bins[usize::try_from(bin).unwrap_or(0).min(SPREAD_BINS - 1)] += hits(point);
    }
    let occupied = bins.iter().filter(|count| **count > 0).count() as u64;
    let most = bins.iter().max().copied().unwrap_or(0);
    let is_small = part.hits * SPREAD_ONE_OF <= part.all;
    is_small && most * 2 <= part.hits && occupied * 2 >= part.hits.min(SPREAD_BINS as u64)
}

fn symptom_is_of_dials(symptom: &Symptom) -> bool {
    matches!(symptom, Symptom::DialsFailed { .. })
}

fn whole(symptom: Symptom, pattern: Pattern, part: Part, began: Moment) -> Observed {
    let part = Part { all: part.all.max(part.hits), hits: part.hits };
    Observed { symptom, fit: Fit { pattern, part, ..Fit::NONE }, scope: Scope::Everywhere, began }
}

fn pattern(part: Part) -> Pattern {
    match part {
        Part { all, hits } if hits >= all => Pattern::All,
        Part { hits, .. } if hits < HITS_MIN => Pattern::TooFew,
        _ => Pattern::Irregular,
    }
}

/// Whether no connection was established after the interval of the series in which the dials began to
/// fail.
fn nothing_opened_after(summary: &Summary, began: Moment) -> bool {
    let since = began.since(summary.start);
    let mut points = summary.series.points().iter().skip_while(|point| point.at < since);
    let then = points.next().map(|point| point.established);
    let is_long = points.next().is_some();
    is_long && then == Some(summary.established_ever)
}

/// Closed by the peer before their lifetime was over.
fn closed(case: &Case<'_>) -> Option<Observed> {
    let summary = case.summary;
    let reasons = [EndReason::PeerClosed, EndReason::PeerReset];
    let all: Vec<Failures> =
        reasons.iter().filter_map(|reason| summary.failures[*reason as usize]).collect();
    let first = all.iter().map(|one| one.first).min()?;
    let last = all.iter().map(|one| one.last).max()?;
    let young = all.iter().map(|one| one.min).min()?;
    let old = all.iter().map(|one| one.max).max()?;
    let p50 = all.iter().max_by_key(|one| one.count).map(|one| one.p50)?;
    let closed: u64 = all.iter().map(|one| one.count).sum();
    let resets = summary.ended_by(EndReason::PeerReset);
    let on_accept = at_once_max(summary.established_times.min());
    // With a short lifetime every close is one of a young connection.
    let lives_on = case.plan.lifetime.is_none_or(|lifetime| lifetime > on_accept);
    // Read after a gap, so that ages and moments are unknown.
    let is_undated = summary.gaps.earliest(last) <= first && summary.gaps.earliest(last) < last;
    let are_alike = old - young <= AGES_APART_MIN.max(Span(old.0 / 20));
    let symptom = if old <= on_accept && lives_on {
        Symptom::ClosedOnAccept { resets, within: old }
    } else {
        let how = match are_alike && lives_on {
            _ if is_undated => ClosePattern::Undated,
            _ if let Some(how) = at_one_moment(summary, closed, first, last) => how,
            true => ClosePattern::AtAge { age: p50.rounded_to_3_digits() },
            false => ClosePattern::Mixed,
        };
        Symptom::Closed { how, resets, first, last, ages: [young, p50, old] }
    };
    observed(summary, &reasons, summary.established_ever, symptom)
}

/// Whether all that were open were closed at once: `closed` of them.
fn at_one_moment(
    summary: &Summary,
    closed: u64,
    first: Moment,
    last: Moment,
) -> Option<ClosePattern> {
    let points = summary.series.points();
    let before = points.partition_point(|point| point.at < first.since(summary.start));
    let open = points.get(before.checked_sub(1)?)?.levels[State::Established as usize];
    let is_it = closed >= HITS_MIN
        && last.since(first) <= SAME_MOMENT
        && closed * 10 >= u64::from(open) * 9;
    let newcomers = established_in(summary, last + SAME_MOMENT, summary.end) > 0;
    is_it.then_some(ClosePattern::Simultaneous { at: first, of: open, newcomers })
}

/// Candidates as in other runs, but where only some dials failed no cause is more than possible.
pub fn candidates(view: &rules::View<'_>) -> Vec<Candidate> {
    let mut all = rules::candidates(view);
    let is_known = match (&view.observed.fit.pattern, &view.observed.symptom) {
        // In a pause of this host its own closes are late, too.
        (Pattern::Outage { .. }, _) => view.case.summary.gaps.count() == 0,
        (Pattern::All | Pattern::FromMoment { .. }, _)
        | (_, Symptom::LocalFailure { .. } | Symptom::KilledHere) => true,
        (_, Symptom::Closed { how, .. }) => {
            matches!(how, ClosePattern::AtAge { .. } | ClosePattern::Simultaneous { .. })
        }
        _ => false,
    };
    let is_proven = all.iter().any(|one| one.likelihood == Likelihood::Certain);
    if is_known || is_proven {
        return all;
    }
    all.iter_mut().for_each(|one| one.likelihood = Likelihood::Possible);
    let summary = view.case.summary;
    if symptom_is_of_dials(&view.observed.symptom) {
        if fails_throughout(summary, view.observed.began) {
            all.retain(|one| one.cause != Cause::Outage);
        }
        // The same number in each interval: what admits them counts by time. Evidence is worth more.
        let part = view.observed.fit.part;
        let is_limit = |churn| match part.hits * SPREAD_ONE_OF > part.all {
            true => is_steady(churn),
            false => is_even(churn, part),
        };
        let has_evidence = |one: &Candidate| one.evidence.iter().any(|evidence| evidence.is_for);
        if summary.churn.as_ref().is_some_and(is_limit) && !all.iter().any(has_evidence) {
            sort_short_by_key(&mut all, |one| one.cause != Cause::RateLimit);
        }
    }
    let is_slow = matches!(view.observed.symptom, Symptom::DialsSlow { .. });
    let is_brief = is_slow && view.observed.fit.pattern == Pattern::Irregular;
    for (cause, is_missing) in [(Cause::Outage, is_brief), (Cause::Undetermined, true)] {
        if is_missing && all.iter().all(|one| one.cause != cause) {
            let (likelihood, evidence) = (Likelihood::Possible, Vec::new());
            all.push(Candidate { cause, likelihood, evidence, knob: None });
        }
    }
    all
}

/// Whether dials failed from the first fifth of the run to its last one.
fn fails_throughout(summary: &Summary, began: Moment) -> bool {
    let fifth = Span(summary.end.since(summary.start).0 / 5);
    let ends = EndReason::ALL.iter().filter(|reason| reason.ends_in() == State::Error);
    let last = ends.filter_map(|reason| summary.failures[*reason as usize]).map(|one| one.last);
    began <= summary.start + fifth && last.max().is_some_and(|last| last + fifth >= summary.end)
}

/// Whether about the same number was established in each of several intervals; a limit lets some more
/// pass at first.
fn is_steady(churn: &ChurnStats) -> bool {
    let ChurnStats { intervals, established_min, established_max, .. } = *churn;
    intervals >= STEADY_MIN && established_min > 0 && established_min * 10 >= established_max * 8
}

/// Whether the numbers established in the intervals differ by less than half the standard deviation
/// that failures at random cause.
fn is_even(churn: &ChurnStats, part: Part) -> bool {
    let ChurnStats { intervals, established_min, established_max, .. } = *churn;
    if intervals < EVEN_MIN || established_min == 0 {
        return false;
    }
    let range = float(established_max - established_min);
    let variance = float(part.hits) * float(part.misses()) / float(part.all * intervals);
    variance >= VARIANCE_MIN && 4.0 * range * range <= variance
}

/// The first word, and its exit code.
pub fn word(case: &Case<'_>, churn: &ChurnStats) -> (Word, u8) {
    let summary = case.summary;
    let code = summary.exit_code(case.plan);
    let word = match code {
        exit::NOT_COMPLETED => Word::Stopped,
        _ if summary.established_ever == 0 => Word::Failed,
        exit::ALL_ESTABLISHED if !is_rate_missed(case.plan.pace, summary, churn) => Word::Ok,
        _ => Word::Limit,
    };
    (word, code)
}

/// How many dials were started; those of held connections are not counted.
pub fn dials(summary: &Summary) -> u64 {
    let beside = summary.churn.as_ref().and_then(|churn| churn.beside.as_ref());
    let errors = summary.errors.saturating_sub(beside.map_or(0, |beside| beside.errors.into()));
    established(summary) + errors + u64::from(summary.last.level(State::Dialing))
}

/// How many of them succeeded.
pub fn established(summary: &Summary) -> u64 {
    let beside = summary.churn.as_ref().and_then(|churn| churn.beside.as_ref());
    summary.established_ever.saturating_sub(beside.map_or(0, |beside| beside.established.into()))
}

/// Whether fewer dials were started than the pace made due; one that was due just before the end is not
/// late yet.
pub fn is_rate_missed(pace: Pace, summary: &Summary, churn: &ChurnStats) -> bool {
    let ChurnStats { dialing, dials_due, .. } = *churn;
    let by = |span| pace.dials_within(span);
    let at_end = by(dialing).saturating_sub(by(Span(dialing.0.saturating_sub(LATE_MIN.0))));
    dials(summary) < dials_due.saturating_sub(at_end.max(dials_due / MISSED_ONE_OF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::diagnosis::diagnose;
    use crate::icmp::IcmpTally;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};

    #[test]
    fn numbers_that_differ_less_than_failures_at_random_are_even() {
        // Of 600 in each of four, 100 fail: the standard deviation is 9.
        let part = Part { all: 2_400, hits: 400 };
        for (intervals, [min, max], share, expected) in [
            (4, [498, 502], part, true),
            (4, [498, 503], part, false),
            (3, [498, 502], part, false),
            (4, [0, 0], part, false),
            (4, [598, 598], Part { all: 2_400, hits: 8 }, false),
        ] {
            let (established_min, established_max) = (min, max);
            let churn =
                ChurnStats { intervals, established_min, established_max, ..ChurnStats::default() };
            assert_eq!(
                is_even(&churn, share),
                expected,
                "{intervals} of {min} to {max}, {share:?}"
            );
        }
    }

    #[test]
    fn a_dial_that_was_due_at_the_end_is_not_missed() {
        // Ten a second, for a bit more than one.
        let summary = Summary { established_ever: 10, ..Summary::default() };
        let missed = |dialing, dials_due| {
            let churn = ChurnStats { dialing, dials_due, ..ChurnStats::default() };
            is_rate_missed(Pace::rate(10_000), &summary, &churn)
        };
        assert!(!missed(Span::from_us(1_000_500), 11));
        assert!(missed(Span::from_us(1_002_000), 11));
        assert!(missed(Span::from_us(1_100_500), 12));
        assert!(!missed(Span::ZERO, 0));
    }

    /// A day of 100,000 dials a second, half of which are refused.
    #[test]
    fn more_dials_than_32_bits_count_are_no_other_part_of_all() {
        let half = 5_000_000_000;
        let target = Target { host: "h".into(), address: "10.0.0.1:80".parse().unwrap() };
        let plan = Plan { lifetime: Some(Span::ZERO), ..Plan::plain(9, Routes::to_one(target)) };
        let mut summary = Summary { established_ever: half, errors: half, ..Summary::default() };
        summary.churn = Some(ChurnStats::default());
        summary.flow[EndReason::Refused as usize] = half;
        summary.failures[EndReason::Refused as usize] =
            Some(Failures { count: half, ..Failures::default() });
        let case = Case {
            plan: &plan,
            summary: &summary,
            findings: &[],
            counters: &Counters::default(),
            icmp: &IcmpTally::default(),
            last_lines: &[],
        };
        let problem = diagnose(&case).problems.remove(0);
        assert_eq!(problem.share, Part { all: 2 * half, hits: half });
        assert_eq!(problem.pattern, Pattern::Irregular);
        let Symptom::DialsFailed { reasons, .. } = problem.symptom else {
            panic!("{:?}", problem.symptom)
        };
        assert_eq!(reasons, [(EndReason::Refused, half)]);
    }
}
