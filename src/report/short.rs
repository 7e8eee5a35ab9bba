//! The short report: the original's lines, the verdict, then times and failures as tables. What does
//! not fit into its lines is left out, the least useful first.

use std::fmt::{self, Write};

use super::Report;
use super::beside::write_beside;
use super::evidence::{Row, rows, slow_by};
use super::layout::Layout;
use super::progress::reason_text;
use super::tables::{push_row, write_columns};
use super::text::{to_10_ms, write_original, write_report};
use super::thresholds::write_thresholds;
use super::verdict::{write_next, write_verdict_in};
use super::wrap::{unbroken, write_wrapped_at};
use crate::diagnosis::model::Diagnosis;
use crate::display::ReportForm;
use crate::engine::Summary;
use crate::engine::histogram::Histogram;
use crate::units::Span;

/// Lines of a report without a problem, with one, and for each further one; those of `--fail-if` come
/// on top.
const LINES_CLEAN: usize = 12;
const LINES_PROBLEM: usize = 25;
const LINES_FURTHER: usize = 6;

/// How much is shown.
#[derive(Clone, Copy)]
struct Level {
    checks_max: usize,
    checks_each_max: usize,
    has_evidence: bool,
    has_titles: bool,
    /// All times, or those of connects only.
    has_all_times: bool,
    has_next: bool,
    has_tables: bool,
}

const fn level(checks_max: usize, checks_each_max: usize) -> Level {
    Level {
        checks_max,
        checks_each_max,
        has_evidence: true,
        has_titles: true,
        has_all_times: true,
        has_next: true,
        has_tables: true,
    }
}

const BARE: Level = Level { has_evidence: false, ..level(0, 1) };

const PLAIN: Level = Level { has_all_times: false, ..BARE };

/// From most to least. Candidates are never left out.
const LEVELS: [Level; 13] = [
    level(6, 2),
    level(5, 1),
    level(4, 1),
    level(3, 1),
    Level { checks_max: 4, ..BARE },
    Level { checks_max: 4, ..PLAIN },
    Level { checks_max: 3, ..PLAIN },
    Level { checks_max: 2, ..PLAIN },
    Level { checks_max: 1, ..PLAIN },
    PLAIN,
    Level { has_titles: false, ..PLAIN },
    Level { has_titles: false, has_next: false, ..PLAIN },
    Level { has_titles: false, has_next: false, has_tables: false, ..PLAIN },
];

/// The text at the end of a run.
pub fn report(
    report: &Report<'_>,
    diagnosis: &Diagnosis,
    form: ReportForm,
    columns: usize,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match form {
        ReportForm::Full => write_report(&mut text, report, diagnosis),
        ReportForm::Short => write_short(&mut text, report, diagnosis, columns),
        ReportForm::None => write_original(&mut text, report)
            .and_then(|()| write_thresholds(&mut text, report.judged)),
    };
    if let Some(rehearsal) = &report.plan.rehearsal {
        text.insert_str(0, &format!("{rehearsal}\n"));
    }
    text
}

/// The most lines of a report.
fn lines_max(diagnosis: &Diagnosis) -> usize {
    match diagnosis.problems.len() {
        0 => LINES_CLEAN,
        problems => LINES_PROBLEM + LINES_FURTHER * (problems - 1),
    }
}

fn write_short(
    out: &mut String,
    report: &Report<'_>,
    diagnosis: &Diagnosis,
    columns: usize,
) -> fmt::Result {
    for level in &LEVELS {
        out.clear();
        write_level(out, report, diagnosis, level, columns)?;
        if out.lines().count() <= lines_max(diagnosis) {
            break;
        }
    }
    if let Some(churn) = &report.summary.churn {
        let mut held = String::new();
        write_beside(&mut held, report.summary, churn, report.plan)?;
        held.lines().try_for_each(|line| write_wrapped_at(out, line, 0, columns))?;
    }
    write_thresholds(out, report.judged)
}

fn write_level(
    out: &mut dyn Write,
    report: &Report<'_>,
    diagnosis: &Diagnosis,
    level: &Level,
    columns: usize,
) -> fmt::Result {
    let (case, summary) = (report.case(), report.summary);
    let Level { checks_max, checks_each_max, has_evidence, has_titles, .. } = *level;
    let layout =
        Layout { columns, checks_max, checks_each_max, has_evidence, has_titles, is_short: true };
    write_original(out, report)?;
    write_verdict_in(out, &case, diagnosis, &layout)?;
    let answers = summary.answers.text();
    if !answers.is_empty() {
        write_wrapped_at(out, &answers, 0, columns)?;
    }
    write_notes(out, report, columns)?;
    if level.has_tables {
        write_times(out, summary, level.has_all_times, columns)?;
        write_failures(out, summary, columns)?;
    }
    if !level.has_next {
        return Ok(());
    }
    let first = diagnosis.problems.first().and_then(|problem| problem.candidates.first());
    let Some(first) = first else { return write_next(out, &case, diagnosis, columns) };
    let explain = unbroken(&format!("tcpgoon explain {}", first.cause.id()));
    let text = format!("Next: {explain}; {} has all checks", unbroken("--report full"));
    write_wrapped_at(out, &text, 0, columns)
}

/// What makes the result less certain.
fn write_notes(out: &mut dyn Write, report: &Report<'_>, columns: usize) -> fmt::Result {
    let Summary { gaps, is_cut_short, sustained, .. } = report.summary;
    let mut notes: Vec<String> = Vec::new();
    if gaps.count() > 0 {
        let (total, plural) = (to_10_ms(gaps.total()), if gaps.count() == 1 { "" } else { "s" });
        notes
            .push(format!("this host was not looking for {total} ({} time{plural})", gaps.count()));
    }
    if let Some(over) = slow_by(report.summary) {
        notes.push(format!(
            "this host was slow: it read half of the sampled SYN-ACKs {over} late or more"
        ));
    }
    if *is_cut_short && *sustained > 0 && report.summary.churn.is_none() {
        notes.push("some of these connections were open for less than 100ms".into());
    }
    let not_sent: u64 = report.summary.checks.rounds.iter().map(|round| round.not_sent).sum();
    if not_sent > 0 {
        notes.push(format!("keepalives that this host could not set: {not_sent}"));
    }
    if let Some(what) = report.ended_by {
        notes.push(format!("ended by {what}"));
    }
    if report.lines_dropped > 0 {
        notes.push(format!("output lines dropped: {}", report.lines_dropped));
    }
    if notes.is_empty() {
        return Ok(());
    }
    write_wrapped_at(out, &format!("Note: {}.", notes.join("; ")), 0, columns)
}

fn write_times(out: &mut dyn Write, summary: &Summary, all: bool, columns: usize) -> fmt::Result {
    let mut table = Vec::new();
    push_row(&mut table, &[&"", &"p50", &"p90", &"p99", &"p99.9", &"max"]);
    let none = Histogram::new();
    let from_due = summary.churn.as_ref().map_or(&none, |churn| &churn.due_times);
    for (name, times, is_shown) in [
        ("connect", &summary.established_times, true),
        ("from due", from_due, true),
        ("first byte", &summary.first_byte_times, all),
        ("lifetime", &summary.lifetimes, all),
    ] {
        if times.count() > 0 && is_shown {
            let [p50, p90, p99, p999] =
                [500, 900, 990, 999].map(|permille| times.quantile(permille));
            // All are rounded alike, or the maximum could print below a quantile.
            let spans = [p50, p90, p99, p999, times.max()].map(Span::rounded_to_3_digits);
            let [p50, p90, p99, p999, max] = &spans;
            push_row(&mut table, &[&name, p50, p90, p99, p999, max]);
        }
    }
    write_columns(out, &table, 6, usize::MAX, columns)
}

fn write_failures(out: &mut dyn Write, summary: &Summary, columns: usize) -> fmt::Result {
    let mut table = Vec::new();
    push_row(&mut table, &[&"", &"count", &"open", &"first", &"last", &"side"]);
    for Row { reason, side, failures, open } in rows(summary) {
        let [first, last] =
            [failures.first, failures.last].map(|at| at.since(summary.start).rounded_to_3_digits());
        let open = open.map_or_else(|| "-".into(), |open| open.to_string());
        let name = reason.map_or("no reply", reason_text);
        push_row(&mut table, &[&name, &failures.count, &open, &first, &last, &side.word()]);
    }
    write_columns(out, &table, 6, 5, columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::engine::{Engine, Round};
    use crate::icmp::IcmpTally;
    use crate::limits::Host;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};
    use crate::units::Moment;

    #[test]
    fn what_makes_a_result_less_certain_is_one_sentence() {
        let address = "127.0.0.1:80".parse().unwrap();
        let plan = Plan::plain(3, Routes::to_one(Target { host: "localhost".into(), address }));
        let mut summary = Engine::new(&plan, Moment(0)).unwrap().summary();
        let notes = |summary: &Summary, ended_by, lines_dropped| {
            let report = Report {
                target: "localhost",
                plan: &plan,
                command_line: "tcpgoon",
                host: None,
                start_unix_ns: 0,
                end_unix_ns: 0,
                summary,
                turn_longest: Span::ZERO,
                counters: &Counters::default(),
                icmp: &IcmpTally::default(),
                limits: &Host::default(),
                findings: &[],
                last_lines: &[],
                ended_by,
                lines_dropped,
                judged: &[],
                exit_code: 0,
            };
            let mut text = String::new();
            write_notes(&mut text, &report, 200).unwrap();
            text
        };
        assert_eq!(notes(&summary, None, 0), "");
        summary.gaps.push(Moment(0), Moment(0) + Span::from_ms(1_204), true);
        let paused = "Note: this host was not looking for 1.2s (1 time).\n";
        assert_eq!(notes(&summary, None, 0), paused);
        (summary.is_cut_short, summary.sustained) = (true, 2);
        summary.checks.rounds[Round::First as usize].not_sent = 5;
        for _ in 0..10 {
            summary.notice_times.record(Span::from_ms(3));
            summary.established_times.record(Span::from_us(20));
        }
        // Most dials took 20 µs: the sample caught the others.
        assert!(!notes(&summary, None, 0).contains("slow"));
        for _ in 0..30 {
            summary.established_times.record(Span::from_ms(3));
        }
        let all = "Note: this host was not looking for 1.2s (1 time); this host was slow: it read \
            half of the sampled SYN-ACKs 3ms late or more; some of these connections were open for less \
            than 100ms; keepalives that this host could not set: 5; ended by a limit; output lines \
            dropped: 7.";
        assert_eq!(notes(&summary, Some("a limit"), 7).replace('\n', " ").trim_end(), all);
    }
}
