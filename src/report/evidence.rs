//! Details of each end reason, and what "established" means in this run.

use std::fmt::{self, Write};

use crate::engine::analysis::{Cell, Outcome};
use crate::engine::failure_times::Failures;
use crate::engine::histogram::Histogram;
use crate::engine::{CheckStats, EndReason, Round, RoundStats, Side, Summary};
use crate::order::sort_short_by_key;
use crate::plan::{Plan, Probe};
use crate::units::{Moment, Span};

/// The row of connections without a reply.
pub const NO_REPLY: &str = "established, no reply from the application";

/// This host is slow if it reads a SYN-ACK this much later than it arrived, and twice the handshake
/// time.
const SLOW_CLIENT_MIN: Span = Span::from_ms(1);

/// Below this number of samples it is not reported.
const SLOW_CLIENT_SAMPLES_MIN: u64 = 10;

/// Handshake times by the kernel, and a warning if this host read them much later. Empty without
/// samples.
pub fn write_handshake_times(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let kernel = &summary.handshake_times;
    if kernel.count() == 0 {
        return Ok(());
    }
    let [p50, p99] = [500, 990].map(|permille| kernel.quantile(permille));
    let (sampled, shown) = (kernel.count(), [p50, p99].map(Span::rounded_to_3_digits));
    writeln!(
        out,
        "Handshake times by the kernel p50/p99 = {}/{} ({sampled} sampled)",
        shown[0], shown[1]
    )?;
    match slow_by(summary) {
        Some(over) => writeln!(
            out,
            "This host was slow: half of the sampled handshakes were read {over} or more after the \
             SYN-ACK"
        ),
        None => Ok(()),
    }
}

/// How late this host read half of the sampled handshakes, if that is much.
pub fn slow_by(summary: &Summary) -> Option<Span> {
    // Measured on the same connections: quantiles of two samples cannot be subtracted.
    let over = summary.notice_p50()?;
    let is_slow = summary.notice_times.count() >= SLOW_CLIENT_SAMPLES_MIN
        && over > summary.handshake_times.quantile(500)
        && over >= SLOW_CLIENT_MIN;
    is_slow.then(|| over.rounded_to_3_digits())
}

/// End reasons, retransmissions, checks, replies and lifetimes, each only if there were any.
pub fn write_evidence(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    write_reasons(out, summary)?;
    write_retransmissions(out, summary)?;
    write_meaning(out, summary, plan)?;
    write_replies(out, summary, plan)?;
    write_quantiles(out, "Lifetimes of closed connections", &summary.lifetimes)
}

/// A row of the table of end reasons.
pub struct Row<'a> {
    /// `None`: no reply.
    pub reason: Option<EndReason>,
    pub side: Side,
    pub failures: &'a Failures,
    /// Connections open at the first one's SYN.
    pub open: Option<u32>,
}

/// The most frequent first.
pub fn rows(summary: &Summary) -> Vec<Row<'_>> {
    let ended_by = EndReason::ALL.into_iter().filter_map(|reason| {
        let failures = summary.failures[reason as usize].as_ref()?;
        let open = open_at_first(summary, reason);
        Some(Row { reason: Some(reason), side: reason.side(), failures, open })
    });
    // A reply can be lost on the path as well.
    let no_reply = summary.no_reply.iter();
    let no_reply =
        no_reply.map(|failures| Row { reason: None, side: Side::Beyond, failures, open: None });
    let mut rows: Vec<Row<'_>> = ended_by.chain(no_reply).collect();
    sort_short_by_key(&mut rows, |row| std::cmp::Reverse(row.failures.count));
    rows
}

fn write_reasons(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let rows = rows(summary);
    if rows.is_empty() {
        return Ok(());
    }
    let name = |row: &Row<'_>| {
        row.reason.map_or_else(|| NO_REPLY.to_owned(), |reason| reason_text(summary, reason))
    };
    let count = rows.len();
    writeln!(
        out,
        "End reasons: {count}, dated by SYN or close; open: connections at the first SYN"
    )?;
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "  {:width$}  {:>9}  {:17}  {:>9}  {:>9}  {:>9}  min/p50/max",
        "", "count", "side", "first", "last", "open"
    )?;
    for row in rows {
        let name = name(&row);
        let Row { reason, side, failures, open } = row;
        // Skipped dials have no times.
        let is_timed = reason != Some(EndReason::NoPorts) || failures.count > summary.skipped;
        let [first, last] = [failures.first, failures.last]
            .map(|at| at.since(summary.start).rounded_to_3_digits().to_string());
        let [min, p50, max] =
            [failures.min, failures.p50, failures.max].map(Span::rounded_to_3_digits);
        let times = if is_timed { format!("{min}/{p50}/{max}") } else { "-".into() };
        let (count, side) = (failures.count, side.word());
        let open = open.map_or_else(|| "-".into(), |open| open.to_string());
        writeln!(
            out,
            "  {name:width$}  {count:9}  {side:17}  {first:>9}  {last:>9}  {open:>9}  \
             {times}"
        )?;
    }
    Ok(())
}

fn open_at_first(summary: &Summary, reason: EndReason) -> Option<u32> {
    let cells = &summary.analysis.everywhere.timeline.cells;
    let first = cells.iter().find(|cell| cell.count(Outcome::Failed(reason)) > 0)?;
    Some(first.level_at_first.end)
}

/// Dials without a reply to their first SYN, however they ended.
fn open_at_first_slow(summary: &Summary) -> Option<u32> {
    let silent = [Outcome::Slow, Outcome::Pending, Outcome::Failed(EndReason::TimedOut)];
    let cells = &summary.analysis.everywhere.timeline.cells;
    let is_slow = |cell: &&Cell| silent.iter().any(|outcome| cell.count(*outcome) > 0);
    cells.iter().find(is_slow).map(|cell| cell.level_at_first.end)
}

fn write_retransmissions(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let slow = &summary.slow;
    if slow.dials == 0 {
        return Ok(());
    }
    let plural = if slow.repeats == 1 { "" } else { "s" };
    write!(
        out,
        "Dials of 1s or more: {}, of which {} retransmitted their SYN ({} retransmission{plural})",
        slow.dials, slow.retransmitted, slow.repeats
    )?;
    match open_at_first_slow(summary) {
        Some(open) => writeln!(out, "; the first began with {open} open"),
        None => writeln!(out),
    }
}

/// What the statistics call established.
fn write_meaning(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    if summary.established_ever == 0 || summary.churn.is_some() {
        return Ok(());
    }
    let checks = &summary.checks;
    if plan.probe == Probe::None {
        writeln!(
            out,
            "Established means: the handshake completed on this host; the server was not probed \
             (--probe)"
        )?;
    } else {
        write_first_checks(out, summary, plan)?;
        let since = |at: Moment| at.since(summary.start).rounded_to_3_digits();
        for (round, name) in [(Round::Watch, "during the hold"), (Round::Last, "at the end")] {
            write_later_checks(out, checks.round(round), name, &since)?;
        }
    }
    write_suspects(out, checks, plan)
}

fn write_first_checks(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let (checks, half_open) = (&summary.checks, summary.ended_by(EndReason::HalfOpen));
    let first = checks.round(Round::First);
    let (checked, sent, open) = (checks.checked(), first.sent, first.pending);
    let confirmed = first.confirmed + first.unneeded;
    let decided = confirmed + first.half_open + open + first.not_sent;
    let unknown = checked.saturating_sub(decided);
    let which = if plan.probe == Probe::Sample { "a sample of " } else { "" };
    // Unchecked ones may be half-open as well.
    let least = if plan.probe == Probe::Sample && half_open > 0 { "at least " } else { "" };
    write!(
        out,
        "Established means: {which}{checked} checked ({sent} by keepalive), {confirmed} confirmed by \
         the server, {least}{} half-open, {unknown} unknown",
        first.half_open
    )?;
    if first.repeats_syn_ack > 0 {
        write!(out, " ({} with a retransmitted SYN-ACK)", first.repeats_syn_ack)?;
    }
    if open > 0 {
        write!(out, ", {open} pending when the run ended")?;
    }
    if first.not_sent > 0 {
        write!(out, ", {} not checked (this host could not set a keepalive)", first.not_sent)?;
    }
    let others = summary.established_ever.saturating_sub(checked);
    if plan.probe == Probe::Sample && others > 0 {
        write!(out, "; {others} others not checked")?;
    }
    writeln!(out)
}

fn write_later_checks(
    out: &mut dyn Write,
    round: &RoundStats,
    name: &str,
    since: &dyn Fn(Moment) -> Span,
) -> fmt::Result {
    let (Some(first), Some(last)) = (round.first_at, round.last_at) else { return Ok(()) };
    write!(
        out,
        "Last check {name}, {} to {}: {} of {} keepalives acknowledged",
        since(first),
        since(last),
        round.confirmed,
        round.sent
    )?;
    for (count, what) in [
        (round.unacknowledged, "unacknowledged"),
        (round.other_traffic, "unacknowledged with other segments received"),
        (round.repeats_syn_ack, "unacknowledged with a retransmitted SYN-ACK"),
        (round.half_open, "answered with RST"),
        (round.closed, "closed before the result"),
        (round.unknown, "unknown (tcpgoon was paused)"),
        (round.pending, "pending when the run ended"),
        (round.not_sent, "more not sent (this host could not set a keepalive)"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}

fn write_suspects(out: &mut dyn Write, checks: &CheckStats, plan: &Plan) -> fmt::Result {
    if checks.suspects == 0 {
        return Ok(());
    }
    write!(
        out,
        "Suspects: {} checked after a slow dial or a missing reply, {} with a retransmitted SYN-ACK",
        checks.suspects, checks.suspects_half_open
    )?;
    if plan.reply_check.as_ref().is_some_and(|check| !check.send.is_empty()) {
        write!(out, ", {} with unacknowledged data", checks.suspects_unacknowledged)?;
    }
    writeln!(out)
}

fn write_replies(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    // Of a churn only held connections are checked, each many times.
    let of_all = plan.reply_check.as_ref().filter(|_| plan.lifetime.is_none());
    let Some(check) = of_all else { return Ok(()) };
    let checks = &summary.checks;
    write!(out, "Replied: {} within {}", checks.replied, check.reply_timeout)?;
    if checks.replied_late_read > 0 {
        let why = if summary.gaps.count() > 0 { ", tcpgoon was paused" } else { "" };
        write!(out, " ({} of them read late{why})", checks.replied_late_read)?;
    }
    writeln!(
        out,
        ", no reply: {}, closed before a reply: {}",
        checks.no_reply, checks.closed_before_reply
    )?;
    if !summary.answers.counts().is_empty() {
        writeln!(out, "{}", summary.answers.text())?;
    }
    write_quantiles(out, "Times to the first byte", &summary.first_byte_times)
}

/// Empty if there are no times. All five are rounded alike, or the maximum could print below a
/// quantile.
fn write_quantiles(out: &mut dyn Write, title: &str, times: &Histogram) -> fmt::Result {
    if times.count() == 0 {
        return Ok(());
    }
    let [p50, p90, p99] = [500, 900, 990].map(|permille| times.quantile(permille));
    let [min, p50, p90, p99, max] =
        [times.min(), p50, p90, p99, times.max()].map(Span::rounded_to_3_digits);
    writeln!(out, "{title} min/p50/p90/p99/max = {min}/{p50}/{p90}/{p99}/{max}")
}

/// An end reason as it is printed. Three of them cover several errors: these add the system's message
/// for the first.
pub fn reason_text(summary: &Summary, reason: EndReason) -> String {
    let errno = summary.first_errno[reason as usize];
    if matches!(reason, EndReason::OtherHere | EndReason::OtherBeyond | EndReason::Lost)
        && errno != 0
    {
        return format!("{}: {}", reason.word(), std::io::Error::from_raw_os_error(errno));
    }
    reason.word().to_owned()
}
