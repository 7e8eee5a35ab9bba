//! What a run that churns reports beside others: rates, and dials that did not start on time.

use std::fmt::{self, Write};

use super::rates::PerSecond;
use crate::diagnosis::Case;
use crate::diagnosis::churn::{dials, is_rate_missed};
use crate::engine::churn::{ChurnStats, LATE_MIN, Late};
use crate::engine::histogram::Histogram;
use crate::engine::{EndReason, Summary};
use crate::plan::Plan;
use crate::units::{NS_PER_S, Span};

/// Rates, times and late dials.
pub fn write_churn(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let Some(churn) = &summary.churn else { return Ok(()) };
    let by_peer = summary.ended_by(EndReason::PeerClosed) + summary.ended_by(EndReason::PeerReset);
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
    write_late(out, summary, churn, plan)
}

/// `812/s established (800 to 830/s in 10 intervals of 1s)`.
fn rate(summary: &Summary, churn: &ChurnStats) -> String {
    let took = churn.dialing;
    let mean = PerSecond { count: summary.established_ever, took };
    let mut text = format!("{mean}/s established");
    if churn.intervals > 0 {
        let [min, max] = [churn.established_min, churn.established_max]
            .map(|count| PerSecond { count, took: churn.interval });
        let (count, interval) = (churn.intervals, churn.interval);
        let _ = match count {
            1 => write!(text, " ({min}/s in one interval of {interval})"),
            _ => write!(text, " ({min} to {max}/s in {count} intervals of {interval})"),
        };
    }
    text
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
pub fn reached(case: &Case<'_>, churn: &ChurnStats) -> String {
    let (summary, plan) = (case.summary, case.plan);
    let slots = match plan.connections {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let mut text = format!(
        "{} connections established in {} by {slots}, {}.",
        summary.established_ever,
        churn.dialing.rounded_to_3_digits(),
        rate(summary, churn)
    );
    if is_rate_missed(summary, churn) {
        let _ = write!(text, " {}", missed(summary, churn));
    }
    text
}

/// Why the pace was not reached.
fn missed(summary: &Summary, churn: &ChurnStats) -> String {
    let (started, due) = (dials(summary), churn.dials_due);
    let of = |late: Late| churn.late[late as usize];
    let most = of(Late::NoSlot).max(of(Late::NoPort)).max(of(Late::Here));
    let why = if most == 0 || of(Late::NoSlot) == most {
        let (dial, life) = (summary.established_times.avg(), summary.lifetimes.avg());
        // Each slot is busy for a handshake and a lifetime.
        let busy = u128::from((dial + life).0) * u128::from(due);
        let needed = busy.div_ceil(u128::from(churn.dialing.0.max(1)));
        let what = if dial > life { "slow handshakes" } else { "no free slot" };
        let dial = dial.rounded_to_3_digits();
        format!(
            "{what}: at {dial} a handshake and {} a connection some {needed} slots are needed (-c)",
            life.rounded_to_3_digits()
        )
    } else if of(Late::NoPort) == most {
        "no free ephemeral port".to_owned()
    } else {
        "this host was too slow".to_owned()
    };
    let pace = PerSecond { count: due, took: churn.dialing.max(Span(NS_PER_S / 1000)) };
    format!("The pace of {pace}/s was not reached ({started} of {due} dials): {why}.")
}
