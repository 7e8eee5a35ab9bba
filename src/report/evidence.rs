//! What is known of each thing that went wrong, and what "established" means in this run.

use std::fmt::{self, Write};

use crate::engine::analysis::{Cell, Outcome};
use crate::engine::failure_times::Failures;
use crate::engine::histogram::Histogram;
use crate::engine::{CheckStats, EndReason, Round, RoundStats, Side, Summary};
use crate::order::sort_short_by_key;
use crate::plan::{Plan, Probe};
use crate::units::{Moment, Span};

/// As the table of reasons names those that did not answer.
const UNANSWERED: &str = "established, but the application did not answer";

/// The client is called slow if its times are over the kernel's by this, and are twice as long.
const SLOW_CLIENT_MIN: Span = Span::from_ms(1);

/// And if so many have been measured on either side.
const SLOW_CLIENT_SAMPLES_MIN: u64 = 10;

/// The kernel's own measure, and a word of caution where ours is far over it; left out where nothing
/// was sampled.
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
    // Of the same connections: quantiles of two samples say nothing of each other.
    let notice = &summary.notice_times;
    let over = notice.quantile(500);
    if notice.count() >= SLOW_CLIENT_SAMPLES_MIN && over > p50 && over >= SLOW_CLIENT_MIN {
        let over = over.rounded_to_3_digits();
        writeln!(
            out,
            "This host was slow to notice: by {over} and more after the SYN-ACK, for half of the \
             connections sampled"
        )?;
    }
    Ok(())
}

/// Everything else; little where little happened.
pub fn write_evidence(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    write_reasons(out, summary)?;
    write_retransmissions(out, summary)?;
    write_meaning(out, summary, plan)?;
    write_answers(out, summary, plan)?;
    write_quantiles(out, "Lifetimes of closed connections", &summary.lifetimes)
}

/// A row of the table of reasons.
struct Row<'a> {
    name: String,
    side: Side,
    failures: &'a Failures,
    /// Whether any of them was timed: what was skipped was not.
    is_timed: bool,
    /// How many connections were open at the SYN of the first.
    open: Option<u32>,
}

fn write_reasons(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let ended_by = EndReason::ALL.into_iter().filter_map(|reason| {
        let failures = summary.failures[reason as usize].as_ref()?;
        let name = reason_words(summary, reason);
        let is_timed = reason != EndReason::NoPorts || failures.count > summary.skipped;
        Some(Row {
            name,
            side: reason.side(),
            failures,
            is_timed,
            open: open_at_first(summary, reason),
        })
    });
    let mut rows: Vec<Row<'_>> = ended_by.collect();
    if let Some(failures) = &summary.no_reply {
        // An answer can be lost on its way as well.
        rows.push(Row {
            name: UNANSWERED.into(),
            side: Side::Beyond,
            failures,
            is_timed: true,
            open: None,
        });
    }
    if rows.is_empty() {
        return Ok(());
    }
    sort_short_by_key(&mut rows, |row| std::cmp::Reverse(row.failures.count));
    let count = rows.len();
    writeln!(
        out,
        "End reasons: {count}, dated by SYN or by close, and how many were open at the first"
    )?;
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "  {:width$}  {:>9}  {:17}  {:>9}  {:>9}  {:>9}  min/p50/max",
        "", "count", "side", "first", "last", "open"
    )?;
    for Row { name, side, failures, is_timed, open } in rows {
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

/// Those that got no reply to their first SYN, whatever became of them.
fn open_at_first_slow(summary: &Summary) -> u32 {
    let silent = [Outcome::Slow, Outcome::Pending, Outcome::Failed(EndReason::TimedOut)];
    let cells = &summary.analysis.everywhere.timeline.cells;
    let is_slow = |cell: &&Cell| silent.iter().any(|outcome| cell.count(*outcome) > 0);
    cells.iter().find(is_slow).map_or(0, |cell| cell.level_at_first.end)
}

fn write_retransmissions(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let slow = &summary.slow;
    if slow.dials == 0 {
        return Ok(());
    }
    let plural = if slow.repeats == 1 { "" } else { "s" };
    writeln!(
        out,
        "Dials of 1s and more: {}, of which {} repeated their SYN ({} repeat{plural} in all); the \
         first one began with {} open",
        slow.dials,
        slow.retransmitted,
        slow.repeats,
        open_at_first_slow(summary)
    )
}

/// What the statistics call established.
fn write_meaning(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    if summary.established_ever == 0 {
        return Ok(());
    }
    let checks = &summary.checks;
    if plan.probe == Probe::None {
        writeln!(
            out,
            "Established means: the handshake was seen from here; the server was not asked \
             (--probe asks it)"
        )?;
    } else {
        write_first_checks(out, summary, plan)?;
        let since = |at: Moment| at.since(summary.start).rounded_to_3_digits();
        for (round, name) in [(Round::Watch, "of those that watch"), (Round::Last, "at the end")] {
            write_later_checks(out, checks.round(round), name, &since)?;
        }
    }
    write_suspects(out, checks, plan)
}

fn write_first_checks(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let (checks, half_open) = (&summary.checks, summary.ended_by(EndReason::HalfOpen));
    let first = checks.round(Round::First);
    let (checked, asked, open) = (checks.checked(), first.sent, first.pending);
    let confirmed = first.confirmed + first.unneeded;
    let told = confirmed + first.half_open + open + first.not_sent;
    let untold = checked.saturating_sub(told);
    let which = if plan.probe == Probe::Sample { "a sample of " } else { "" };
    // Others may be half open as well.
    let least = if plan.probe == Probe::Sample && half_open > 0 { "at least " } else { "" };
    write!(
        out,
        "Established means: {which}{checked} looked into ({asked} asked by keepalive), {confirmed} \
         are the server's, {least}{} half open, {untold} could not be told",
        first.half_open
    )?;
    if first.repeats_syn_ack > 0 {
        write!(out, " ({} repeat their SYN-ACK)", first.repeats_syn_ack)?;
    }
    if open > 0 {
        write!(out, ", {open} not known yet when the run ended")?;
    }
    if first.not_sent > 0 {
        write!(out, ", {} not asked, as this host could not set a keepalive", first.not_sent)?;
    }
    let others = summary.established_ever.saturating_sub(checked);
    if plan.probe == Probe::Sample && others > 0 {
        write!(out, "; {others} others were not asked")?;
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
        "Last check {name}, from {} to {}: {} of {} keepalives acknowledged",
        since(first),
        since(last),
        round.confirmed,
        round.sent
    )?;
    for (count, what) in [
        (round.unacknowledged, "not"),
        (round.other_traffic, "not, but other segments came"),
        (round.repeats_syn_ack, "not, and the SYN-ACK was repeated"),
        (round.half_open, "answered with RST"),
        (round.closed, "closed before it could be told"),
        (round.unknown, "unknown, as this host was not looking"),
        (round.pending, "not known yet when the run ended"),
        (round.not_sent, "more not sent, as this host could not set a keepalive"),
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
        "Suspects: {} looked at for a slow dial or a missing answer, {} whose SYN-ACK was repeated",
        checks.suspects, checks.suspects_half_open
    )?;
    if plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty()) {
        write!(out, ", {} sent what nobody acknowledged", checks.suspects_unacknowledged)?;
    }
    writeln!(out)
}

fn write_answers(out: &mut dyn Write, summary: &Summary, plan: &Plan) -> fmt::Result {
    let Some(talk) = &plan.reply_check else { return Ok(()) };
    let checks = &summary.checks;
    write!(out, "Answered: {} within {}", checks.replied, talk.reply_timeout)?;
    if checks.replied_late_read > 0 {
        let why = if summary.gaps.count() > 0 { ", as the loop was paused" } else { "" };
        write!(out, " ({} of them read late{why})", checks.replied_late_read)?;
    }
    writeln!(
        out,
        ", unanswered: {}, closed before an answer: {}",
        checks.no_reply, checks.closed_before_reply
    )?;
    write_quantiles(out, "Times to the first byte", &summary.first_byte_times)
}

/// Left out where there is nothing to time. All five rounded alike, or the greatest could come out
/// below a quantile.
fn write_quantiles(out: &mut dyn Write, title: &str, times: &Histogram) -> fmt::Result {
    if times.count() == 0 {
        return Ok(());
    }
    let [p50, p90, p99] = [500, 900, 990].map(|permille| times.quantile(permille));
    let [min, p50, p90, p99, max] =
        [times.min(), p50, p90, p99, times.max()].map(Span::rounded_to_3_digits);
    writeln!(out, "{title} min/p50/p90/p99/max = {min}/{p50}/{p90}/{p99}/{max}")
}

/// How the report names a reason. Three are all kinds of things: the system's word for the first of
/// them says more.
pub fn reason_words(summary: &Summary, reason: EndReason) -> String {
    let errno = summary.first_errno[reason as usize];
    if matches!(reason, EndReason::OtherHere | EndReason::OtherBeyond | EndReason::Lost)
        && errno != 0
    {
        return format!("{}: {}", reason.word(), std::io::Error::from_raw_os_error(errno));
    }
    reason.word().to_owned()
}
