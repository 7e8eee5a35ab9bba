//! The original's lines, then what we add.

use std::fmt::{self, Write};

use super::Report;
use super::escape::{Escaped, Printable};
use super::evidence::{reason_text, write_evidence, write_handshake_times};
use super::host_evidence::write_host_evidence;
use super::tables::write_tables;
use super::thresholds::write_thresholds;
use super::verdict::write_verdict;
use crate::NAME_AND_VERSION;
use crate::diagnosis::model::Diagnosis;
use crate::engine::histogram::{ERROR_PERCENT_MAX, Histogram};
use crate::engine::sustained::WINDOW;
use crate::engine::{EndReason, Failure, Key, Note, Sample, Side, State, Summary};
use crate::order::sort_short_by_key;
use crate::units::{Span, rfc3339};

/// The most pauses ([`Summary::gaps`]) that are printed one by one.
const GAPS_PRINTED: usize = 4;

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

/// The full report at the end of a run: the original's lines, then a part of our own.
pub fn write_report(
    out: &mut dyn Write,
    report: &Report<'_>,
    diagnosis: &Diagnosis,
) -> fmt::Result {
    let summary = report.summary;
    write_original(out, report)?;
    writeln!(out, "--- {NAME_AND_VERSION} run report ---")?;
    writeln!(out, "Command line: {}", report.command_line)?;
    writeln!(out, "Host: {}", Printable(report.host.unwrap_or("unknown")))?;
    writeln!(out, "Start: {}", rfc3339(report.start_unix_ns))?;
    let took = summary.end.since(summary.start).truncated_to_us();
    let how = match report.ended_by.or(summary.stopped.then_some("a signal")) {
        Some(what) => format!(", ended by {what}"),
        None => String::new(),
    };
    writeln!(out, "End: {} (after {took}{how})", rfc3339(report.end_unix_ns))?;
    write_accounts(out, summary)?;
    super::churn::write_churn(out, summary, report.plan)?;
    write_dials(out, summary)?;
    write_instrument(out, report)?;
    write_tables(out, summary, &report.plan.routes)?;
    write_evidence(out, summary, report.plan)?;
    write_host_evidence(out, report.counters, report.icmp)?;
    write_verdict(out, &report.case(), diagnosis)?;
    write_thresholds(out, report.judged)
}

/// The original's lines at the end of a run.
pub fn write_original(out: &mut dyn Write, report: &Report<'_>) -> fmt::Result {
    let summary = report.summary;
    writeln!(out, "--- {} tcp test statistics ---", report.target)?;
    write_sample(out, &summary.last)?;
    write_timing(out, "established", &summary.established_times)?;
    write_timing(out, "failed", &summary.failed_times)
}

/// The original's timing line; empty if there are no times.
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
    let closed = summary.ended_by(EndReason::PeerClosed) + summary.ended_by(EndReason::PeerReset);
    writeln!(
        out,
        "Established: {} in all, {} at most at once, {} at the end, {closed} closed by the peer",
        summary.established_ever,
        summary.established_peak,
        summary.last.level(State::Established),
    )?;
    match (summary.sustained, summary.end.since(summary.start)) {
        _ if summary.churn.is_some() => {}
        (sustained, took) if took < WINDOW => {
            writeln!(out, "Sustained: {sustained} open at the end of a run shorter than {WINDOW}")?;
        }
        (sustained, _) if summary.is_cut_short => {
            writeln!(out, "Sustained: {sustained} open at the end, not all of them for {WINDOW}")?;
        }
        (sustained, _) => writeln!(out, "Sustained: {sustained} open together for {WINDOW}")?,
    }
    write_reasons(out, "Closed", summary, State::Closed)?;
    write_reasons(out, "Errors", summary, State::Error)?;
    match summary.skipped {
        0 => Ok(()),
        skipped => writeln!(
            out,
            "Dials skipped: {skipped} (no free ephemeral port for their source and target)"
        ),
    }
}

/// `Errors: 8, by reason: 6 timed out (server or network), 2 no file descriptors (this host)`; the
/// most frequent first.
pub fn write_reasons(
    out: &mut dyn Write,
    title: &str,
    summary: &Summary,
    state: State,
) -> fmt::Result {
    let mut reasons: Vec<(EndReason, u64)> =
        ended_by(summary, state).filter(|(_, n)| *n > 0).collect();
    sort_short_by_key(&mut reasons, |(reason, count)| (u64::MAX - count, *reason as usize));
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    write!(out, "{title}: {total}")?;
    for (index, (reason, count)) in reasons.iter().enumerate() {
        let separator = if index == 0 { ", by reason:" } else { "," };
        let words = reason_text(summary, *reason);
        write!(out, "{separator} {count} {words} ({})", reason.side().word())?;
    }
    writeln!(out)?;
    if reasons.iter().any(|(reason, _)| reason.side() == Side::ThisHost) {
        writeln!(out, "Errors of this host say nothing about the target.")?;
    }
    Ok(())
}

fn ended_by(summary: &Summary, state: State) -> impl Iterator<Item = (EndReason, u64)> + '_ {
    let ends = move |reason: &EndReason| reason.ends_in() == state;
    EndReason::ALL.into_iter().filter(ends).map(|reason| (reason, summary.ended_by(reason)))
}

/// Empty if nothing was established.
pub fn write_dial_times(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let times = &summary.established_times;
    if times.count() == 0 {
        return Ok(());
    }
    let [p50, p90, p99, p999] =
        [500, 900, 990, 999].map(|permille| times.quantile(permille).rounded_to_3_digits());
    writeln!(out, "Dial times p50/p90/p99/p99.9 = {p50}/{p90}/{p99}/{p999}")
}

/// The error bar of every time that is printed.
pub fn write_turn_longest(out: &mut dyn Write, turn_longest: Span) -> fmt::Result {
    let turn = turn_longest.truncated_to_us();
    writeln!(
        out,
        "Longest loop iteration = {turn} (times can be too long by this; quantiles are within {ERROR_PERCENT_MAX})"
    )
}

fn write_dials(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    write_dial_times(out, summary)?;
    write_handshake_times(out, summary)?;
    if let (Some(first), Some(last)) = (summary.first_dial, summary.last_dial) {
        let dials = summary.established_ever
            + (summary.errors - summary.skipped)
            + u64::from(summary.last.level(State::Dialing));
        let took = last.since(first).truncated_to_us();
        writeln!(out, "Dial starts: {dials}, from first to last {took}")?;
    }
    let lateness = &summary.dial_lateness;
    if lateness.count() == 0 {
        return writeln!(out, "Dial start lateness: none, the dials were not paced");
    }
    // All three are rounded alike, or the maximum could print below a quantile.
    let [p50, p99, max] = [lateness.quantile(500), lateness.quantile(990), lateness.max()]
        .map(Span::rounded_to_3_digits);
    writeln!(out, "Dial start lateness p50/p99/max = {p50}/{p99}/{max}")
}

/// How exact the measurement was.
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
    write_gaps(out, summary)?;
    if report.lines_dropped > 0 {
        writeln!(out, "Output lines dropped: {}", report.lines_dropped)?;
    }
    Ok(())
}

/// `Paused: 1.5s in all, 1 time (1.1s to 2.6s, stopped)`: the longest ones, counted from the start.
fn write_gaps(out: &mut dyn Write, summary: &Summary) -> fmt::Result {
    let gaps = &summary.gaps;
    if gaps.count() == 0 {
        return Ok(());
    }
    let (total, plural) = (to_10_ms(gaps.total()), if gaps.count() == 1 { "" } else { "s" });
    write!(out, "Not looking: {total} in all, {} time{plural} (", gaps.count())?;
    let mut longest: Vec<_> = gaps.list().iter().collect();
    sort_short_by_key(&mut longest, |gap| (std::cmp::Reverse(gap.length()), gap.from));
    let rest = longest.len().saturating_sub(GAPS_PRINTED);
    longest.truncate(GAPS_PRINTED);
    sort_short_by_key(&mut longest, |gap| gap.from);
    for (index, gap) in longest.iter().enumerate() {
        let [from, to] = [gap.from, gap.to].map(|at| to_10_ms(at.since(summary.start)));
        let separator = if index == 0 { "" } else { "; " };
        let joined = if gap.is_joined { ", intermittently" } else { "" };
        let stopped = if gap.is_stop { ", stopped" } else { "" };
        write!(out, "{separator}{from} to {to}{joined}{stopped}")?;
    }
    let shorter = if rest == 0 { String::new() } else { format!("; and {rest} shorter") };
    writeln!(out, "{shorter})")
}

/// The ends of a gap are known no better than this.
pub fn to_10_ms(span: Span) -> Span {
    let unit = Span::from_ms(10).0;
    Span((span.0 + unit / 2) / unit * unit)
}

/// Progress after the report, while a large run closes its connections.
pub fn write_closing(out: &mut dyn Write, closed: u32, all: u32) -> fmt::Result {
    writeln!(out, "tcpgoon: closing: {closed} of {all} connections are closed")
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
        Note::ReplyTimedOut => writeln!(out, "established, no reply from the application"),
        Note::Skipped => writeln!(out, "not dialed: no free ephemeral port on this route"),
        Note::Established { after } => writeln!(out, "established after {after}"),
        Note::Errored { failure, after } => {
            writeln!(out, "error after {after}: {}", FailureText(failure))
        }
        Note::Retired { after } => writeln!(out, "closed by us after {after}"),
        Note::Closed { failure, after } => {
            writeln!(out, "closed after {after}: {}", FailureText(failure))
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

/// The end reason, and the system's message if there is one.
struct FailureText<'a>(&'a Failure);

impl fmt::Display for FailureText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { reason, errno } = *self.0;
        write!(f, "{} [{}]", reason.word(), reason.side().word())?;
        match errno {
            0 => Ok(()),
            errno => write!(f, ": {}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Action, Engine, Event, EventKind};
    use crate::icmp::IcmpTally;
    use crate::plan::{Pace, Plan};
    use crate::route::{Routes, Target};
    use crate::units::Moment;

    /// Three dials 10 ms apart: one established after 1.5 ms and closed later, one refused, one
    /// pending.
    fn run() -> (Plan, Summary) {
        let address = "127.0.0.1:80".parse().unwrap();
        let plan = Plan {
            pace: Pace::sleep(Span::from_ms(10)),
            dial_timeout: Some(Span::from_s(5)),
            debug: true,
            ..Plan::plain(3, Routes::to_one(Target { host: "localhost".into(), address }))
        };
        let mut engine = Engine::new(&plan, Moment(0)).unwrap();
        let mut actions: Vec<Action> = Vec::new();
        let mut feed = |at_us: u64, kind: EventKind| {
            let at = Moment(at_us * 1_000);
            engine.turn(at, &[Event { at, kind }], &mut actions);
        };
        let key = |slot| Key { slot, attempt: 0 };
        let failure = |reason| Failure { reason, errno: 0 };
        feed(0, EventKind::PollBatchFull);
        feed(2, EventKind::Dialed(key(0)));
        feed(1_502, EventKind::Opened(key(0)));
        feed(10_000, EventKind::PollBatchFull);
        feed(10_004, EventKind::Dialed(key(1)));
        feed(10_104, EventKind::Failed(key(1), failure(EndReason::Refused)));
        feed(20_000, EventKind::PollBatchFull);
        feed(20_006, EventKind::Dialed(key(2)));
        feed(25_000, EventKind::PeerClosed(key(0), failure(EndReason::PeerReset)));
        feed(25_001, EventKind::Stop);
        let summary = engine.summary();
        (plan, summary)
    }

    #[test]
    fn a_report_has_the_originals_lines_first() {
        let (plan, summary) = run();
        let report = Report {
            target: "localhost(127.0.0.1):80",
            plan: &plan,
            command_line: "tcpgoon localhost 80 -c 3",
            host: Some("jump-1"),
            start_unix_ns: 0,
            end_unix_ns: 25_001_000,
            summary: &summary,
            turn_longest: Span::from_us(120),
            counters: &crate::counters::Counters::default(),
            icmp: &IcmpTally::default(),
            limits: &crate::limits::Host::default(),
            findings: &[],
            last_lines: &[],
            ended_by: None,
            lines_dropped: 2,
            judged: &[],
            exit_code: 0,
        };
        let mut text = String::new();
        let diagnosis = crate::diagnosis::diagnose(&report.case());
        write_report(&mut text, &report, &diagnosis).unwrap();
        let expected = format!(
            "\
--- localhost(127.0.0.1):80 tcp test statistics ---
Total: 3, Dialing: 1, Established: 0, Closed: 1, Error: 1, NotInitiated: 0
Timing stats for 1 established connections min/avg/max/dev = 1.5ms/1.5ms/1.5ms/0s
Timing stats for 1 failed connections min/avg/max/dev = 100µs/100µs/100µs/0s
--- {NAME_AND_VERSION} run report ---
Command line: tcpgoon localhost 80 -c 3
Host: jump-1
Start: 1970-01-01T00:00:00.000Z
End: 1970-01-01T00:00:00.025Z (after 25.001ms, ended by a signal)
Established: 1 in all, 1 at most at once, 0 at the end, 1 closed by the peer
Sustained: 0 open at the end of a run shorter than 100ms
Closed: 1, by reason: 1 reset by the peer (server or network)
Errors: 1, by reason: 1 refused (server or network)
Dial times p50/p90/p99/p99.9 = 1.5ms/1.5ms/1.5ms/1.5ms
Dial starts: 3, from first to last 20.004ms
Dial start lateness p50/p99/max = 4.02µs/5.98µs/6µs
Longest loop iteration = 120µs (times can be too long by this; quantiles are within 0.8%)
Output lines dropped: 2
End reasons: 2, dated by SYN or close; open: connections at the first SYN
                         count  side                   first       last       open  min/p50/max
  refused                    1  server or network       10ms       10ms          0  100µs/100µs/100µs
  reset by the peer          1  server or network       25ms       25ms          -  23.5ms/23.5ms/23.5ms
Established means: the handshake completed on this host; the server was not probed (--probe)
Lifetimes of closed connections min/p50/p90/p99/max = 23.5ms/23.5ms/23.5ms/23.5ms/23.5ms
--- verdict ---
"
        );
        let (head, verdict) = text.split_at(expected.len().min(text.len()));
        assert_eq!(head, expected);
        assert!(verdict.starts_with("STOPPED: 0 of 3 connections stayed open (peak 1). A signal"));
        assert!(verdict.contains("\nCause, "), "{verdict}");
        assert!(verdict.contains("no-listener"), "{verdict}");
        assert_eq!(diagnosis.exit_code, crate::error::exit::NOT_COMPLETED);
    }

    #[test]
    fn the_longest_pauses_are_listed() {
        let line = |gaps: &[(u64, u64, bool)]| {
            let (_, mut summary) = run();
            summary.start = Moment(0);
            for (from, to, is_stop) in gaps {
                let [from, to] = [from, to].map(|ms| Moment(0) + Span::from_ms(*ms));
                summary.gaps.push(from, to, *is_stop);
            }
            let mut text = String::new();
            write_gaps(&mut text, &summary).unwrap();
            text
        };
        assert_eq!(line(&[]), "");
        let one = "Not looking: 1.5s in all, 1 time (1.1s to 2.6s, stopped)\n";
        assert_eq!(line(&[(1_104, 2_603, true)]), one);
        let many = [(0, 100, false), (200, 400, true), (500, 800, false), (900, 1_001, false)];
        let longest =
            "(200ms to 400ms, stopped; 500ms to 800ms; 900ms to 1s; 2s to 9s; and 1 shorter)";
        let line_of_many = format!("Not looking: 7.7s in all, 5 times {longest}\n");
        assert_eq!(line(&[&many[..], &[(2_000, 9_000, false)]].concat()), line_of_many);
        let joined = "Not looking: 200ms in all, 2 times (0s to 200ms, intermittently)\n";
        assert_eq!(line(&[(0, 110, false), (100, 200, false)]), joined);
    }

    #[test]
    fn debug_lines_name_the_connection_and_the_system_error() {
        let key = Key { slot: 7, attempt: 0 };
        let failure = Failure { reason: EndReason::Refused, errno: 111 };
        let after = Span::from_us(99);
        let mut text = String::new();
        for note in [
            Note::Dialing,
            Note::Established { after },
            Note::Errored { failure, after },
            Note::Closed { failure: Failure { reason: EndReason::PeerClosed, errno: 0 }, after },
        ] {
            write_note(&mut text, key, &"127.0.0.1:80", &note).unwrap();
        }
        write_received(&mut text, key, &"127.0.0.1:80", b"hi\x1b\r\n").unwrap();
        let expected = "\
connection 7 to 127.0.0.1:80: dialing
connection 7 to 127.0.0.1:80: established after 99µs
connection 7 to 127.0.0.1:80: error after 99µs: refused [server or network]: Connection refused (os error 111)
connection 7 to 127.0.0.1:80: closed after 99µs: closed by the peer [server]
connection 7 to 127.0.0.1:80: received 5 bytes: \"hi\\x1b\\r\\n\"
";
        assert_eq!(text, expected);
    }
}
