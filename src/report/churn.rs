//! What a run that churns reports beside others: rates, and dials that did not start on time.

use std::fmt::{self, Write};

use super::rates::PerSecond;
use crate::diagnosis::churn::{dials, established, is_rate_missed};
use crate::diagnosis::model::{Diagnosis, Word};
use crate::diagnosis::{Case, closed_by_peer};
use crate::engine::Summary;
use crate::engine::beside::Phase;
use crate::engine::churn::{ChurnStats, LATE_MIN, Late};
use crate::engine::histogram::Histogram;
use crate::plan::Plan;
use crate::units::Span;

/// Rates, times and late dials.
pub fn write_churn(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let Some(churn) = &summary.churn else { return Ok(()) };
    let by_peer = closed_by_peer(summary).saturating_sub(held_closes(churn));
    let (by_us, took) = (churn.closed_by_us, churn.dialing.rounded_to_3_digits());
    writeln!(
        out,
        "Rate: {} established over {took}; {by_us} closed by us, {by_peer} closed by the peer",
        rate(summary, churn)
    )?;
    let (times, due) = (&summary.established_times, &churn.due_times);
    if due.count() > 0 && times.count() > 0 {
        writeln!(out, "Dial times from when they were due p50/p99/max = {}", quantiles(due))?;
    }
    write_late(out, summary, churn, plan)?;
    super::beside::write_beside(out, summary, churn, plan)
}

/// Of connections held beside the churn: closes by the peer.
fn held_closes(churn: &ChurnStats) -> u64 {
    let of = |phase: &Phase| u64::from(phase.ended[0]) + u64::from(phase.ended[1]);
    churn.beside.as_ref().map_or(0, |beside| of(&beside.before) + of(&beside.during))
}

/// `812/s (800 to 830/s in 10 intervals of 1s)`. One connection has no rate.
pub fn rate(summary: &Summary, churn: &ChurnStats) -> String {
    if established(summary) == 1 {
        return "1 connection".to_owned();
    }
    let mut text = format!("{}/s", mean(summary, churn));
    if let Some(ends) = ends(churn) {
        let (count, interval) = (churn.intervals, churn.interval);
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(text, " ({ends}/s in {count} interval{plural} of {interval})");
    }
    text
}

/// Established connections, from the first dial to the end of dialing.
pub fn mean(summary: &Summary, churn: &ChurnStats) -> PerSecond {
    PerSecond { count: established(summary), took: churn.dialing }
}

/// `800 to 830`: in the interval with the fewest and in that with the most.
fn ends(churn: &ChurnStats) -> Option<String> {
    let [min, max] = [churn.established_min, churn.established_max]
        .map(|count| PerSecond { count, took: churn.interval }.to_string());
    match churn.intervals {
        0 => None,
        _ if min == max => Some(min),
        _ => Some(format!("{min} to {max}")),
    }
}

/// Rounded alike, or the maximum could print below a quantile.
fn quantiles(times: &Histogram) -> String {
    let [p50, p99, max] =
        [times.quantile(500), times.quantile(990), times.max()].map(Span::rounded_to_3_digits);
    format!("{p50}/{p99}/{max}")
}

fn write_late(
    out: &mut dyn Write,
    summary: &Summary,
    churn: &ChurnStats,
    plan: &Plan,
) -> fmt::Result {
    if !plan.pace.is_paced() {
        return Ok(());
    }
    let (due, started, took) = (churn.dials_due, dials(summary), churn.dialing);
    let [due_rate, started_rate] = [due, started].map(|count| PerSecond { count, took });
    if due == 0 {
        return Ok(());
    }
    let is_missed = is_rate_missed(plan.pace, summary, churn);
    let reached = if is_missed { "not reached" } else { "reached" };
    writeln!(
        out,
        "Dials: {started} of {due} due ({started_rate} of {due_rate}/s): the pace was {reached}"
    )?;
    let late: u64 = churn.late.iter().sum();
    if late == 0 {
        return Ok(());
    }
    let of = |late: Late| churn.late[late as usize];
    write!(
        out,
        "Late dials, by more than {LATE_MIN}: {late} ({} without a free slot, {} without a free port, {} \
         by this host)",
        of(Late::NoSlot),
        of(Late::NoPort),
        of(Late::Here)
    )?;
    writeln!(out)
}

/// What was reached, for the verdict.
pub fn reached(diagnosis: &Diagnosis, case: &Case<'_>, churn: &ChurnStats) -> String {
    let Case { plan, summary, .. } = *case;
    let (pace, count, took) =
        (plan.pace, established(summary), churn.dialing.rounded_to_3_digits());
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("{count} connection{plural} in {took}");
    if count != 1 {
        let _ = write!(text, ", {}/s", mean(summary, churn));
    }
    if let Some(ends) = ends(churn) {
        let _ = write!(text, " ({ends}/s by interval)");
    }
    text.push('.');
    let is_begun = churn.beside.as_ref().is_none_or(|beside| beside.began.is_some());
    if !is_begun {
        text.push_str(" The churn was not begun.");
    }
    let by = match summary {
        Summary { hit_max_errors: true, .. } => "--max-errors",
        Summary { loop_failed: true, .. } => "An error of this host",
        // Without a duration only a signal ends it.
        Summary { stopped: true, .. } if plan.duration.is_some() => "A signal",
        _ => "",
    };
    if !by.is_empty() {
        let _ = write!(text, " {by} ended the run.");
    }
    if is_rate_missed(pace, summary, churn) {
        let (started, due) = (dials(summary), churn.dials_due);
        let why = why_missed(case, churn);
        let _ = write!(text, " Only {started} of {due} due dials were started: {why}.");
    } else if pace.is_paced() && summary.errors == 0 && is_begun && churn.dials_due > 1 {
        let rate = PerSecond { count: pace.dials, took: pace.span };
        let _ = write!(text, " The pace of {rate}/s was reached.");
    } else if !pace.is_paced() && churn.established_min > 0 && failed_most_of_the_time(case, churn)
    {
        text.push_str(" Failed dials kept the slots busy: a larger -c or --rate may reach more.");
    } else if diagnosis.word == Word::Ok && diagnosis.problems.is_empty() && count > 1 {
        let _ = write!(text, " No limit found up to {}/s (handshakes only).", mean(summary, churn));
    }
    text.push_str(&super::beside::headline(churn, diagnosis.pays.as_ref()));
    text
}

/// Why dials were late.
fn why_missed(case: &Case<'_>, churn: &ChurnStats) -> String {
    let paused = case.summary.gaps.total();
    let missed = churn.dials_due.saturating_sub(dials(case.summary));
    if paused > Span::ZERO && case.plan.pace.dials_within(paused) > missed / 2 {
        return format!("this host was not looking for {}", paused.rounded_to_3_digits());
    }
    let of = |late: Late| churn.late[late as usize];
    if of(Late::NoPort) > of(Late::NoSlot).max(of(Late::Here)) {
        return "no ephemeral port was free".to_owned();
    }
    let (needed, what) = slots_needed(case, churn);
    match needed <= u128::from(case.plan.connections) {
        // Late are only dials that did start.
        true if of(Late::Here) > of(Late::NoSlot) => "this host was too slow".to_owned(),
        true => what.to_owned(),
        false => format!("{what}, -c {needed} is needed"),
    }
}

/// Whether slots waited for dials that failed for most of the time.
fn failed_most_of_the_time(case: &Case<'_>, churn: &ChurnStats) -> bool {
    let all = u128::from(case.plan.connections) * u128::from(churn.dialing.0);
    case.summary.failed_times.sum_ns() * 2 > all
}

/// The slots that all due dials would keep busy, beside those that are held, and what keeps most busy.
fn slots_needed(case: &Case<'_>, churn: &ChurnStats) -> (u128, &'static str) {
    let (opened, failed) = (&case.summary.established_times, &case.summary.failed_times);
    let lifetimes = &case.summary.lifetimes;
    let decided = u128::from((opened.count() + failed.count()).max(1));
    // Those that are held live longer.
    let lifetime = case.plan.lifetime.unwrap_or_default().min(match lifetimes.count() {
        // Each is open yet.
        0 => churn.dialing,
        _ => lifetimes.avg(),
    });
    let (opening, failing) = (opened.sum_ns(), failed.sum_ns());
    let living = u128::from(lifetime.0).saturating_mul(opened.count().into());
    let all = (opening + failing + living).saturating_mul(churn.dials_due.into()) / decided;
    let what = match opening + failing > living {
        true if failing > opening => "failed dials kept the slots busy",
        true if opened.avg() >= LATE_MIN => "slow handshakes kept the slots busy",
        _ => "no slot was free",
    };
    let held = u128::from(case.plan.hold_beside);
    (all.div_ceil(u128::from(churn.dialing.0.max(1))) + held, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::engine::beside::BesideStats;
    use crate::icmp::IcmpTally;
    use crate::plan::Pace;
    use crate::route::{Routes, Target};
    use crate::units::Moment;

    /// Of 20 slots in two seconds, at a thousand dials a second: dials that took as long each, then
    /// were open for as long.
    fn headline(count: u64, [took, lifetime]: [Span; 2], late: [u64; 3], pause: Span) -> String {
        let target = Target { host: "h".into(), address: "10.0.0.1:80".parse().unwrap() };
        let plan = Plan {
            pace: Pace::rate(1_000_000),
            lifetime: Some(lifetime),
            ..Plan::plain(20, Routes::to_one(target))
        };
        let mut summary = Summary { established_ever: count, ..Summary::default() };
        (0..count).for_each(|_| summary.established_times.record(took));
        (20..count).for_each(|_| summary.lifetimes.record(lifetime));
        summary.gaps.push(Moment(0), Moment(0) + pause, true);
        let dialing = Span::from_s(2);
        let churn = ChurnStats { dials_due: 2_000, dialing, late, ..ChurnStats::default() };
        text(&plan, &summary, &churn)
    }

    fn text(plan: &Plan, summary: &Summary, churn: &ChurnStats) -> String {
        let summary = &Summary { churn: Some(churn.clone()), ..summary.clone() };
        let (counters, icmp) = (&Counters::default(), &IcmpTally::default());
        let case = Case { plan, summary, counters, icmp, findings: &[], last_lines: &[] };
        reached(&crate::diagnosis::diagnose(&case), &case, churn)
    }

    #[test]
    fn a_headline_has_what_ended_the_run_and_what_kept_its_slots_busy() {
        let target = Target { host: "h".into(), address: "10.0.0.1:80".parse().unwrap() };
        let mut plan = Plan {
            pace: Pace::rate(10_000),
            lifetime: Some(Span::ZERO),
            duration: Some(Span::from_s(9)),
            ..Plan::plain(20, Routes::to_one(target))
        };
        let mut summary = Summary { stopped: true, ..Summary::default() };
        let mut churn =
            ChurnStats { beside: Some(Box::new(BesideStats::default())), ..ChurnStats::default() };
        let not_begun = "0 connections in 0s, 0/s. The churn was not begun.";
        assert_eq!(text(&plan, &summary, &churn), format!("{not_begun} A signal ended the run."));
        summary.hit_max_errors = true;
        assert_eq!(
            text(&plan, &summary, &churn),
            format!("{not_begun} --max-errors ended the run.")
        );
        // One dial is missing when a signal ends the run, and this host was never paused.
        churn = ChurnStats { dialing: Span::from_ms(1_090), dials_due: 11, ..churn };
        churn.beside = None;
        (summary.hit_max_errors, summary.established_ever) = (false, 10);
        let start = "10 connections in 1.09s, 9.2/s. A signal ended the run.";
        let missed = "Only 10 of 11 due dials were started: no slot was free.";
        assert_eq!(text(&plan, &summary, &churn), format!("{start} {missed}"));
        // Without a duration that is how it ends.
        (plan.duration, plan.pace) = (None, Pace::UNPACED);
        (churn.dialing, churn.dials_due, churn.established_min) = (Span::from_s(1), 0, 10);
        let ended = "10 connections in 1s, 10/s. No limit found up to 10/s (handshakes only).";
        assert_eq!(text(&plan, &summary, &churn), ended);
        (0..19).for_each(|_| summary.failed_times.record(Span::from_ms(700)));
        let hint = "Failed dials kept the slots busy: a larger -c or --rate may reach more.";
        assert_eq!(text(&plan, &summary, &churn), format!("10 connections in 1s, 10/s. {hint}"));
        // Nine held ones add to the slots that are needed.
        (plan.pace, plan.hold_beside, churn.dials_due) = (Pace::rate(50_000), 9, 58);
        let needed = "failed dials kept the slots busy, -c 50 is needed.";
        assert!(text(&plan, &summary, &churn).ends_with(needed));
    }

    #[test]
    fn a_headline_has_the_reason_for_a_missed_pace() {
        let (ms, none) = (Span::from_ms, Span::ZERO);
        let only = "400 connections in 2s, 200/s. Only 400 of 2000 due dials were started:";
        for (times, late, pause, why) in [
            ([none, ms(100)], [380, 0, 9], none, "no slot was free, -c 100 is needed."),
            (
                [ms(80), ms(20)],
                [380, 0, 9],
                none,
                "slow handshakes kept the slots busy, -c 100 is needed.",
            ),
            // Handshakes of a microsecond are not slow.
            ([Span(1_000), none], [380, 0, 9], none, "no slot was free."),
            // Each slot is free again at once.
            ([none, ms(1)], [380, 0, 9], none, "no slot was free."),
            ([none, ms(1)], [9, 300, 9], none, "no ephemeral port was free."),
            ([none, ms(1)], [9, 3, 300], none, "this host was too slow."),
            ([none, ms(1)], [9, 0, 0], ms(1_500), "this host was not looking for 1.5s."),
        ] {
            assert_eq!(headline(400, times, late, pause), format!("{only} {why}"));
        }
        // Only one that did start is late, and no other slot came free.
        let open = headline(20, [none, ms(9_000)], [0, 0, 1], none);
        assert!(open.ends_with("no slot was free, -c 2000 is needed."), "{open}");
        // All slots are still open.
        let open = headline(20, [none, ms(9_000)], [9, 0, 0], none);
        assert!(open.ends_with("no slot was free, -c 2000 is needed."), "{open}");
        let one = headline(1, [none, none], [0; 3], none);
        assert!(one.starts_with("1 connection in 2s. Only 1 of"), "{one}");
        let all = headline(2_000, [none, none], [0; 3], none);
        assert_eq!(all, "2000 connections in 2s, 1000/s. The pace of 1000/s was reached.");
    }

    #[test]
    fn the_rates_of_intervals_are_a_range_only_if_they_differ() {
        let mut churn = ChurnStats { interval: Span::from_s(2), ..ChurnStats::default() };
        assert_eq!(ends(&churn), None);
        (churn.intervals, churn.established_min, churn.established_max) = (3, 400, 400);
        assert_eq!(ends(&churn).as_deref(), Some("200"));
        churn.established_max = 500;
        assert_eq!(ends(&churn).as_deref(), Some("200 to 250"));
    }
}
