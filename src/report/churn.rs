//! What a run that churns reports beside others: rates, and dials that did not start on time.

use std::fmt::{self, Write};

use super::rates::PerSecond;
use crate::diagnosis::Case;
use crate::diagnosis::churn::{dials, established, is_rate_missed};
use crate::diagnosis::model::Pays;
use crate::engine::beside::Phase;
use crate::engine::churn::{ChurnStats, LATE_MIN, Late};
use crate::engine::histogram::Histogram;
use crate::engine::{EndReason, Summary};
use crate::plan::Plan;
use crate::units::Span;

/// Rates, times and late dials.
pub fn write_churn(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let Some(churn) = &summary.churn else { return Ok(()) };
    let by_peer = summary.ended_by(EndReason::PeerClosed) + summary.ended_by(EndReason::PeerReset);
    let by_peer = by_peer.saturating_sub(held_closes(churn));
    let (by_us, took) = (churn.closed_by_us, churn.dialing.rounded_to_3_digits());
    writeln!(
        out,
        "Rate: {} for {took}; {by_us} closed by us, {by_peer} closed by the peer",
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

/// `812/s established (800 to 830/s in 10 intervals of 1s)`.
fn rate(summary: &Summary, churn: &ChurnStats) -> String {
    let mean = PerSecond { count: established(summary), took: churn.dialing };
    let mut text = format!("{mean}/s established");
    if let Some(ends) = ends(churn) {
        let (count, interval) = (churn.intervals, churn.interval);
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(text, " ({ends}/s in {count} interval{plural} of {interval})");
    }
    text
}

/// `800 to 830`: in the interval with the fewest and in that with the most.
fn ends(churn: &ChurnStats) -> Option<String> {
    let [min, max] = [churn.established_min, churn.established_max]
        .map(|count| PerSecond { count, took: churn.interval });
    match churn.intervals {
        0 => None,
        1 => Some(min.to_string()),
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
    let is_missed = is_rate_missed(summary, churn);
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
pub fn reached(case: &Case<'_>, churn: &ChurnStats, pays: Option<&Pays>) -> String {
    let summary = case.summary;
    let (count, took) = (established(summary), churn.dialing);
    let plural = if count == 1 { "" } else { "s" };
    let rate = PerSecond { count, took };
    let mut text =
        format!("{count} connection{plural} in {}, {rate}/s", took.rounded_to_3_digits());
    if let Some(ends) = ends(churn) {
        let _ = write!(text, " ({ends}/s by interval)");
    }
    text.push('.');
    if is_rate_missed(summary, churn) {
        let (started, due) = (dials(summary), churn.dials_due);
        let _ = write!(text, " {started} of {due} due dials: {}.", why_missed(summary, churn));
    }
    text.push_str(&super::beside::headline(churn, pays));
    text
}

/// Why dials were late.
fn why_missed(summary: &Summary, churn: &ChurnStats) -> String {
    let of = |late: Late| churn.late[late as usize];
    if of(Late::NoPort) > of(Late::NoSlot).max(of(Late::Here)) {
        return "no free ephemeral port".to_owned();
    }
    if of(Late::Here) > of(Late::NoSlot) {
        return "this host was too slow".to_owned();
    }
    // Each slot is busy for a dial, and for a lifetime if that succeeds.
    let sum = |times: &Histogram| u128::from(times.avg().0) * u128::from(times.count());
    let dialing = sum(&summary.established_times) + sum(&summary.failed_times);
    let living = sum(&summary.lifetimes);
    let started = u128::from(dials(summary).max(1));
    let busy = (dialing + living).saturating_mul(churn.dials_due.into()) / started;
    let needed = busy.div_ceil(u128::from(churn.dialing.0.max(1)));
    let what = if dialing > living { "slow handshakes" } else { "no free slot" };
    match needed <= u128::from(summary.last.connections) {
        true => what.to_owned(),
        false => format!("{what}, {needed} slots are needed (-c)"),
    }
}
