//! Invariants of every report, checked after simulated and fuzzed runs.

#[path = "saved.rs"]
mod saved;

use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::causes::Cause;
use tcpgoon::diagnosis::diagnose;
use tcpgoon::diagnosis::model::{Diagnosis, Problem, Reach, Symptom, Word};
use tcpgoon::display::ReportForm;
use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::error::exit;
use tcpgoon::icmp::IcmpTally;
use tcpgoon::last_lines::LastLine;
use tcpgoon::plan::Plan;
use tcpgoon::report::{Report, html, short};
use tcpgoon::units::Span;

#[path = "html.rs"]
mod page;

const COLUMNS: usize = 80;

/// Evidence beside the summary of a run.
#[derive(Default)]
pub struct Beside {
    pub counters: Counters,
    pub icmp: IcmpTally,
    pub said: Vec<LastLine>,
}

/// The input of the renderers for a run.
fn report_of<'a>(
    plan: &'a Plan,
    summary: &'a Summary,
    beside: &'a Beside,
    limits: &'a tcpgoon::limits::Host,
) -> Report<'a> {
    Report {
        target: "10.0.0.1:80",
        plan,
        command_line: "tcpgoon",
        host: None,
        start_unix_ns: 0,
        end_unix_ns: 0,
        summary,
        turn_longest: Span::ZERO,
        counters: &beside.counters,
        icmp: &beside.icmp,
        limits,
        findings: &[],
        last_lines: &beside.said,
        ended_by: None,
        lines_dropped: 0,
        judged: &[],
        exit_code: 0,
    }
}

/// The diagnosis and the report of a run.
pub fn reported(plan: &Plan, summary: &Summary, beside: &Beside) -> (Diagnosis, String) {
    let limits = tcpgoon::limits::Host::default();
    let report = report_of(plan, summary, beside, &limits);
    let diagnosis = diagnose(&report.case());
    let text = short::report(&report, &diagnosis, ReportForm::Full, COLUMNS);
    saved::assert_same(&report, &diagnosis);
    (diagnosis, text)
}

/// What is malformed in the HTML report of a run, or contradicts its text.
pub fn html_faults(
    plan: &Plan,
    summary: &Summary,
    beside: &Beside,
    (diagnosis, text): (&Diagnosis, &str),
) -> Vec<String> {
    let limits = tcpgoon::limits::Host::default();
    let report = report_of(plan, summary, beside, &limits);
    page::faults(&html::document(&report, diagnosis), text)
}

/// The short report of a run, for a terminal of `columns`.
pub fn short_report(
    plan: &Plan,
    summary: &Summary,
    beside: &Beside,
    diagnosis: &Diagnosis,
    columns: usize,
) -> String {
    let limits = tcpgoon::limits::Host::default();
    let report = report_of(plan, summary, beside, &limits);
    short::report(&report, diagnosis, ReportForm::Short, columns)
}

/// The most lines of a short report without a problem, with one, and for each further one.
const LINES_MAX: [usize; 3] = [12, 25, 6];

/// On a narrower terminal a headline, a note and the candidates alone can take more.
const BOUNDED_COLUMNS_MIN: usize = 80;

/// What is wrong with the short reports of a run, at several widths.
pub fn short_faults(
    plan: &Plan,
    summary: &Summary,
    beside: &Beside,
    diagnosis: &Diagnosis,
) -> Vec<String> {
    let mut found = Vec::new();
    let lines_max = match (diagnosis.problems.len(), LINES_MAX) {
        (0, [clean, ..]) => clean,
        (problems, [_, one, further]) => one + further * (problems - 1),
    };
    // The lines of both groups beside a churn come on top.
    let lines_max = lines_max + if plan.hold_beside > 0 { 12 } else { 0 };
    for columns in [40, 80, 200] {
        let text = short_report(plan, summary, beside, diagnosis, columns);
        let faults = found.len();
        let lines = text.lines().count();
        let is_bounded = columns >= BOUNDED_COLUMNS_MIN;
        let is_long = lines > lines_max && is_bounded;
        check(!is_long, &mut found, || format!("{lines} lines, and not {lines_max}"));
        let (_, verdict) = text.split_once("--- verdict ---\n").unwrap_or_default();
        let word = diagnosis.word.text();
        check(verdict.starts_with(&format!("{word}: ")), &mut found, || format!("no {word}"));
        let mut is_in_checks = false;
        for line in verdict.lines() {
            is_in_checks = line.starts_with("Check") || (is_in_checks && line.starts_with("  "));
            // What is never broken: a command, and a word.
            let is_one = line.split_whitespace().count() == 1 || line.starts_with("Next: tcpgoon");
            let is_command = is_in_checks && !line.starts_with("   ");
            let fits = line.chars().count() <= columns || is_command || is_one;
            check(fits, &mut found, || format!("too long: {line}"));
            check(line.trim_end() == line, &mut found, || format!("blanks at the end: {line}"));
        }
        let numbered = |line: &str| {
            let (number, rest) = line.strip_prefix("  ")?.split_once(". ")?;
            number.parse::<usize>().ok()?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        let named: Vec<String> = verdict.lines().filter_map(numbered).collect();
        let candidates = diagnosis.problems.iter().flat_map(|problem| &problem.candidates);
        let ids: Vec<&str> = candidates.map(|candidate| candidate.cause.id()).collect();
        check(named == ids, &mut found, || format!("{named:?}, and not {ids:?}"));
        if found.len() > faults {
            found.push(format!("at {columns} columns:\n{text}"));
        }
    }
    found
}

/// Every problem, those that another one explains included.
pub fn all_problems(diagnosis: &Diagnosis) -> Vec<&Problem> {
    fn add<'a>(problem: &'a Problem, all: &mut Vec<&'a Problem>) {
        all.push(problem);
        problem.explains.iter().for_each(|explained| add(explained, all));
    }
    let mut problems = Vec::new();
    diagnosis.problems.iter().for_each(|problem| add(problem, &mut problems));
    problems
}

/// What in a report contradicts the run, the plan or the report itself.
pub fn contradictions(
    plan: &Plan,
    summary: &Summary,
    diagnosis: &Diagnosis,
    text: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    numbers(plan, summary, diagnosis, &mut found);
    candidates(diagnosis, &mut found);
    word(summary, diagnosis, &mut found);
    layout(diagnosis, text, &mut found);
    shares(text, &mut found);
    found
}

fn check(holds: bool, found: &mut Vec<String>, what: impl FnOnce() -> String) {
    if !holds {
        found.push(what());
    }
}

fn numbers(plan: &Plan, summary: &Summary, diagnosis: &Diagnosis, found: &mut Vec<String>) {
    let reached = &diagnosis.reached;
    let (connections, sustained, peak) = (reached.planned, reached.sustained, reached.peak);
    let dialed = plan.connections - summary.last.level(State::NotInitiated);
    let planned = if summary.is_time_up { dialed } else { plan.connections };
    check(connections == planned, found, || format!("{connections} connections"));
    check(sustained <= peak, found, || format!("sustained {sustained} > peak {peak}"));
    let ever = reached.established_ever;
    check(u64::from(peak) <= ever, found, || format!("peak {peak} of {ever} established"));
    let open = summary.last.level(State::Established);
    check(open <= peak, found, || format!("{open} at the end > peak {peak}"));
    let replied = reached.replied.unwrap_or(0);
    check(replied <= ever, found, || format!("{replied} replied of {ever} established"));
    for problem in all_problems(diagnosis) {
        let share = problem.share;
        // Under churn of the dials, not of the slots.
        let dials = summary.established_ever + summary.errors;
        let most = if summary.churn.is_some() { dials } else { connections.into() };
        let is_part = 0 < share.hits && share.hits <= share.all && share.all <= most;
        check(is_part, found, || format!("{:?}: {} of {}", problem.symptom, share.hits, share.all));
    }
}

fn candidates(diagnosis: &Diagnosis, found: &mut Vec<String>) {
    for problem in all_problems(diagnosis) {
        let symptom = &problem.symptom;
        let mut ids: Vec<&str> = problem.candidates.iter().map(|c| c.cause.id()).collect();
        let is_sorted =
            problem.candidates.is_sorted_by(|one, two| one.likelihood >= two.likelihood);
        check(!ids.is_empty(), found, || format!("{symptom:?}: no candidate"));
        check(is_sorted, found, || format!("{symptom:?}: not in order: {ids:?}"));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        check(ids.len() == count, found, || format!("{symptom:?}: named twice: {ids:?}"));
    }
}

/// The first word and the exit code, from the numbers of the run.
fn word(summary: &Summary, diagnosis: &Diagnosis, found: &mut Vec<String>) {
    let reached = &diagnosis.reached;
    if let Reach::Kernel { confirmed, checked } = reached.reach {
        check(confirmed <= checked, found, || format!("{confirmed} confirmed of {checked}"));
    }
    if summary.churn.is_some() {
        let (word, code) = (diagnosis.word, diagnosis.exit_code);
        let is_right = match code {
            exit::NOT_COMPLETED => word == Word::Stopped,
            _ if summary.established_ever == 0 => word == Word::Failed,
            exit::ALL_ESTABLISHED => summary.flow.iter().sum::<u64>() == 0,
            _ => word == Word::Limit,
        };
        return check(is_right, found, || format!("{word:?}, with {code}"));
    }
    let some_or_none = match u64::from(reached.sustained) + reached.replied.unwrap_or(0) {
        0 => Word::Failed,
        _ => Word::Limit,
    };
    let undecided = summary.not_dialed() + summary.last.level(State::Dialing);
    let is_undone = undecided + summary.replies_pending > 0;
    let is_all = match reached.replied {
        Some(replied) => replied == u64::from(reached.planned),
        None => reached.sustained == reached.planned,
    };
    let ended = |reasons: &[EndReason]| reasons.iter().any(|of| summary.ended_by(*of) > 0);
    let problems = diagnosis.problems.iter();
    let all: Vec<&Problem> =
        problems.flat_map(|problem| std::iter::once(problem).chain(&problem.explains)).collect();
    let is_any = |symptom: fn(&Symptom) -> bool| all.iter().any(|p| symptom(&p.symptom));
    // Established on this host only, but for final ACKs that were lost.
    let is_one_sided = all.iter().any(|problem| {
        let first = problem.candidates.first().map(|candidate| candidate.cause);
        problem.symptom == Symptom::SynAckRepeated
            && problem.share.misses() > 0
            && first != Some(Cause::PacketLoss)
    });
    let unanswered = ended(&[EndReason::HalfOpen, EndReason::Lost])
        || summary.checks.unacknowledged > 0
        || is_one_sided;
    let is_closed =
        is_any(|symptom| matches!(symptom, Symptom::Closed { .. } | Symptom::KilledHere));
    let expected = if summary.hit_max_errors {
        (some_or_none, exit::WITH_ERRORS)
    } else if summary.stopped && is_undone {
        (Word::Stopped, exit::NOT_COMPLETED)
    } else if !is_all {
        (some_or_none, exit::WITH_ERRORS)
    } else if unanswered {
        (Word::Limit, exit::WITH_ERRORS)
    } else if is_closed {
        (Word::Limit, exit::ALL_ESTABLISHED)
    } else {
        (Word::Ok, exit::ALL_ESTABLISHED)
    };
    let actual = (diagnosis.word, diagnosis.exit_code);
    check(actual == expected, found, || format!("{actual:?}, and not {expected:?}"));
}

fn layout(diagnosis: &Diagnosis, text: &str, found: &mut Vec<String>) {
    check(text.ends_with('\n') && !text.ends_with("\n\n"), found, || "no end of line".into());
    let parts: Vec<&str> = text.split("--- verdict ---\n").collect();
    check(parts.len() == 2, found, || format!("{} verdicts", parts.len() - 1));
    let verdict = parts.last().unwrap_or(&"");
    let word = diagnosis.word.text();
    check(verdict.starts_with(&format!("{word}: ")), found, || format!("no {word}"));
    let mut is_in_checks = false;
    for line in verdict.lines() {
        is_in_checks = line.starts_with("Check ") || (is_in_checks && line.starts_with(' '));
        // Commands are not wrapped, so that they can be copied.
        let is_command = is_in_checks && line.starts_with("  ") && !line.starts_with("   ");
        check(line.chars().count() <= COLUMNS || is_command, found, || format!("too long: {line}"));
        check(line.trim_end() == line, found, || format!("blanks at the end: {line}"));
    }
    let peak = diagnosis.reached.peak;
    for level in levels_in(verdict) {
        check(level <= peak, found, || format!("{level} open, and the peak is {peak}"));
    }
}

/// "Every dial failed (23 of 23" is said of all, "nearly every" of nine in ten at least.
fn shares(text: &str, found: &mut Vec<String>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    for (index, word) in words.iter().enumerate() {
        let rest = &words[index..];
        if !word.eq_ignore_ascii_case("every")
            || !matches!(rest.get(1), Some(&"dial" | &"connection"))
        {
            continue;
        }
        let end = rest.iter().position(|word| word.ends_with('.')).unwrap_or(rest.len() - 1);
        let share = rest[..=end].windows(3).find_map(|three| {
            let hits: u64 = three[0].strip_prefix('(')?.parse().ok()?;
            let all = three[2].trim_end_matches(|c: char| !c.is_ascii_digit());
            (three[1] == "of").then_some((hits, all.parse::<u64>().ok()?))
        });
        let Some((hits, all)) = share else { continue };
        let is_nearly = index > 0 && words[index - 1].eq_ignore_ascii_case("nearly");
        let holds = if is_nearly { hits < all && hits * 10 >= all * 9 } else { hits == all };
        check(holds, found, || format!("{hits} of {all} is not {}", rest[..=end].join(" ")));
    }
}

/// The levels in a verdict: `Above 17 open`, `Above 19 to 21 open`, `(peak 30)`.
fn levels_in(verdict: &str) -> Vec<u32> {
    let words: Vec<&str> = verdict.split_whitespace().collect();
    let number = |word: &str| word.trim_end_matches([',', '.', ')']).replace(',', "").parse().ok();
    let mut levels = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let before: Vec<&str> = words[..index].iter().rev().take(3).copied().collect();
        match (*word, before.as_slice()) {
            ("open" | "open,", [to, "to", from]) => levels.extend([number(to), number(from)]),
            ("open" | "open,", [level, "Above", ..]) => levels.push(number(level)),
            (level, ["(peak", ..]) => levels.push(number(level)),
            _ => {}
        }
    }
    levels.into_iter().flatten().collect()
}

#[test]
fn levels_are_found_in_sentences() {
    let verdict = "LIMIT: 17 of 40 connections stayed open (peak 30). Above 1,700 open, every dial \
        timed\nout (23 of 23). Above 19 to 21 open, 3 of 9 dials failed; none before.";
    assert_eq!(levels_in(verdict), [30, 1700, 21, 19]);
}
