//! The original's lines, then what we add.

use std::fmt::{self, Write};

use super::Report;
use super::escape::Escaped;
use crate::NAME_AND_VERSION;
use crate::engine::histogram::{ERROR_PERCENT_MAX, Histogram};
use crate::engine::{Cause, Failure, Key, Note, Sample, Side, State, Summary};
use crate::units::{Span, rfc3339};

/// The original's statistics line.
pub fn write_sample(out: &mut dyn Write, sample: &Sample) -> fmt::Result {
    writeln!(
        out,
        "Total: {}, Dialing: {}, Established: {}, Closed: {}, Error: {}, NotInitiated: {}",
        sample.connections,
        sample.level(State::Dialing),
        sample.level(State::Established),
        sample.level(State::Closed),
        sample.level(State::Error),
        sample.level(State::NotInitiated),
    )
}

/// The end of a run: what the original prints, then a part of our own.
pub fn write_report(out: &mut dyn Write, report: &Report<'_>) -> fmt::Result {
    let summary = report.summary;
    writeln!(out, "--- {} tcp test statistics ---", report.target)?;
    write_sample(out, &summary.last)?;
    write_timing(out, "established", &summary.established_times)?;
    write_timing(out, "failed", &summary.failed_times)?;

    writeln!(out, "--- {NAME_AND_VERSION} run report ---")?;
    writeln!(out, "Command line: {}", report.command_line)?;
    writeln!(out, "Host: {}", report.host.unwrap_or("unknown"))?;
    writeln!(out, "Start: {}", rfc3339(report.start_unix_ns))?;
    let took = summary.end.since(summary.start).truncated_to_us();
    let how = if summary.stopped { ", ended by a signal" } else { "" };
    writeln!(out, "End: {} (after {took}{how})", rfc3339(report.end_unix_ns))?;
    write_accounts(out, summary)?;
    write_dials(out, summary)?;
    write_instrument(out, report)
}

/// The original's timing line, left out where there is nothing to time.
fn write_timing(out: &mut dyn Write, which: &str, times: &Histogram) -> fmt::Result {
    if times.count() == 0 {
        return Ok(());
    }
    let [min, avg, max, dev] =
        [times.min(), times.avg(), times.max(), times.dev()].map(Span::truncated_to_us);
    let count = times.count();
    writeln!(
        out,
        "Timing stats for {count} {which} connections min/avg/max/dev = {min}/{avg}/{max}/{dev}"
    )
}

fn write_accounts(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let closed: u64 = caused(summary, State::Closed).map(|(_, count)| count).sum();
    writeln!(
        out,
        "Established: {} in all, {} at most at once, {} at the end, {closed} closed by the peer",
        summary.established_ever,
        summary.established_peak,
        summary.last.level(State::Established),
    )?;
    write_causes(out, "Closed", summary, State::Closed)?;
    write_causes(out, "Errors", summary, State::Error)
}

/// `Errors: 8: 6 refused (server), 2 timed out (server or network)`; the most frequent first.
pub fn write_causes(
    out: &mut dyn Write,
    title: &str,
    summary: &Summary,
    state: State,
) -> fmt::Result {
    let mut causes: Vec<(Cause, u64)> = caused(summary, state).filter(|(_, n)| *n > 0).collect();
    causes.sort_by_key(|(cause, count)| (u64::MAX - count, *cause as usize));
    let total: u64 = causes.iter().map(|(_, count)| count).sum();
    write!(out, "{title}: {total}")?;
    for (index, (cause, count)) in causes.iter().enumerate() {
        let separator = if index == 0 { ":" } else { "," };
        write!(out, "{separator} {count} {} ({})", cause.word(), cause.side().word())?;
    }
    writeln!(out)?;
    if causes.iter().any(|(cause, _)| cause.side() == Side::ThisHost) {
        writeln!(out, "Errors of this host say nothing about the target.")?;
    }
    Ok(())
}

fn caused(summary: &Summary, state: State) -> impl Iterator<Item = (Cause, u64)> + '_ {
    let ends = move |cause: &Cause| cause.ends_in() == state;
    Cause::ALL.into_iter().filter(ends).map(|cause| (cause, summary.caused(cause)))
}

/// Left out where nothing was established.
pub fn write_dial_times(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let times = &summary.established_times;
    if times.count() == 0 {
        return Ok(());
    }
    let [p50, p90, p99, p999] =
        [500, 900, 990, 999].map(|permille| times.quantile(permille).rounded_to_3_digits());
    writeln!(out, "Dial times p50/p90/p99/p99.9 = {p50}/{p90}/{p99}/{p999}")
}

/// The instrument's error bar.
pub fn write_turn_longest(out: &mut dyn Write, turn_longest: Span) -> fmt::Result {
    let turn = turn_longest.truncated_to_us();
    writeln!(
        out,
        "Longest turn of the loop = {turn} (a time can be over by this; quantiles are within {ERROR_PERCENT_MAX})"
    )
}

fn write_dials(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    write_dial_times(out, summary)?;
    if let (Some(first), Some(last)) = (summary.first_dial, summary.last_dial) {
        let dials = summary.established_ever
            + summary.errors
            + u64::from(summary.last.level(State::Dialing));
        let took = last.since(first).truncated_to_us();
        writeln!(out, "Dial starts: {dials}, from first to last {took}")?;
    }
    let lateness = &summary.dial_lateness;
    if lateness.count() == 0 {
        return writeln!(out, "Dial start lateness: there was no schedule to be late for");
    }
    let [p50, p99] = [500, 990].map(|permille| lateness.quantile(permille).rounded_to_3_digits());
    let max = lateness.max().truncated_to_us();
    writeln!(out, "Dial start lateness p50/p99/max = {p50}/{p99}/{max}")
}

/// What the instrument has to say of itself.
fn write_instrument(out: &mut dyn Write, report: &Report<'_>) -> fmt::Result {
    let summary = report.summary;
    write_turn_longest(out, report.turn_longest)?;
    if summary.timeout_lateness_max > Span::ZERO {
        let lateness = summary.timeout_lateness_max.truncated_to_us();
        writeln!(out, "Latest dial timeout = {lateness} after it was due")?;
    }
    if summary.received_bytes > 0 {
        writeln!(out, "Received and dropped: {} bytes", summary.received_bytes)?;
    }
    if summary.pauses > 0 {
        let paused = Span(summary.paused.0 / 100_000_000 * 100_000_000);
        writeln!(out, "Paused: {paused} in {} (the dial schedule moved by it)", summary.pauses)?;
    }
    if report.lines_dropped > 0 {
        writeln!(out, "Lines that found no room in the output: {}", report.lines_dropped)?;
    }
    Ok(())
}

/// A line of `--debug`.
pub fn write_note(
    out: &mut dyn Write,
    key: Key,
    target: &dyn fmt::Display,
    note: &Note,
) -> fmt::Result {
    write!(out, "connection {} to {target}: ", key.slot)?;
    match note {
        Note::Dialing => writeln!(out, "dialing"),
        Note::Established { after } => writeln!(out, "established after {after}"),
        Note::Errored { failure, after } => {
            writeln!(out, "error after {after}: {}", Words(failure))
        }
        Note::Closed { failure, after } => {
            writeln!(out, "closed after {after}: {}", Words(failure))
        }
    }
}

/// A line of `--debug` for bytes that came in.
pub fn write_received(
    out: &mut dyn Write,
    key: Key,
    target: &dyn fmt::Display,
    bytes: &[u8],
) -> fmt::Result {
    let count = bytes.len();
    writeln!(
        out,
        "connection {} to {target}: received {count} bytes: \"{}\"",
        key.slot,
        Escaped(bytes)
    )
}

/// The cause in our words, and the system's message where there is one.
struct Words<'a>(&'a Failure);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { cause, errno } = *self.0;
        write!(f, "{} [{}]", cause.word(), cause.side().word())?;
        match errno {
            0 => Ok(()),
            errno => write!(f, ": {}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}
