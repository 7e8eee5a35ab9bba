//! The verdict: a diagnosis as text. Only wording and layout: `diagnosis/` decides.

use std::fmt::{self, Write};

use super::churn;
use super::escape::Escaped;
use super::facts::fact_text;
use super::other_addresses::write_other_addresses;
use super::sentences::Sentences;
use super::wrap::{COLUMNS, write_wrapped};
use crate::diagnosis::Case;
use crate::diagnosis::causes::{Check, Place};
use crate::diagnosis::model::{
    Candidate, Diagnosis, Likelihood, Problem, Reach, Scope, Symptom, Word,
};
use crate::diagnosis::pattern::Pattern;
use crate::diagnosis::useful_checks::is_useful;
use crate::engine::Side;
use crate::last_lines::LastLine;
use crate::plan::{Hold, Plan};
use crate::route::Target;
use crate::units::Span;

/// Checks that are printed of one candidate, and of a problem. The first two candidates can be
/// distinguished from here, too.
const CHECKS_EACH_MAX: usize = 2;
const CHECKS_MAX: usize = 9;
const FROM_HERE_FIRST: usize = 2;

/// Up to this length a command has its reading on the same line.
const COMMAND_COLUMNS_MAX: usize = 44;

/// A line of the server is cut after this.
const LAST_LINE_BYTES_MAX: usize = 120;

impl Word {
    pub fn text(self) -> &'static str {
        match self {
            Word::Ok => "OK",
            Word::Limit => "LIMIT",
            Word::Failed => "FAILED",
            Word::Stopped => "STOPPED",
        }
    }
}

pub fn write_verdict(out: &mut dyn Write, case: &Case<'_>, diagnosis: &Diagnosis) -> fmt::Result {
    writeln!(out, "--- verdict ---")?;
    let sentences = Sentences {
        plan: case.plan,
        start: case.summary.start,
        peak: case.summary.established_peak,
    };
    let reached = match &case.summary.churn {
        Some(churn) => churn::reached(case, churn),
        None => reached(diagnosis, case.plan, case.summary.loop_failed),
    };
    let mut headline = format!("{}: {reached}", diagnosis.word.text());
    let mut problems = diagnosis.problems.iter();
    let first = problems.next();
    if let Some(problem) = first {
        headline = format!("{headline} {}", with_explained(&sentences, problem));
    }
    write_wrapped(out, &headline, 0)?;
    if let Some(problem) = first {
        write_problem(out, case, problem)?;
    }
    for problem in problems {
        write_wrapped(out, &format!("Also: {}", with_explained(&sentences, problem)), 0)?;
        write_problem(out, case, problem)?;
    }
    let is_close = |problem: &Problem| {
        matches!(problem.symptom, Symptom::ClosedOnAccept { .. } | Symptom::Closed { .. })
    };
    match diagnosis.problems.iter().any(is_close) {
        true => write_last_line(out, case.last_lines),
        false => Ok(()),
    }
}

/// Each problem, then those that it explains.
fn all_of(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().flat_map(|problem| std::iter::once(problem).chain(&problem.explains))
}

/// The problem, then those that it explains.
fn with_explained(sentences: &Sentences<'_>, problem: &Problem) -> String {
    let all = std::iter::once(problem).chain(&problem.explains);
    let all: Vec<String> = all.map(|problem| sentences.sentence(problem)).collect();
    all.join(" ")
}

fn reached(diagnosis: &Diagnosis, plan: &Plan, loop_failed: bool) -> String {
    let reached = &diagnosis.reached;
    let (planned, sustained, peak) = (reached.planned, reached.sustained, reached.peak);
    let mut text = match (reached.replied, diagnosis.word) {
        (Some(replied), _) if replied == u64::from(planned) => {
            format!("{replied} of {planned} connections, all replied")
        }
        _ if peak > sustained => {
            format!("{sustained} of {planned} connections stayed open (peak {peak})")
        }
        _ => format!("{sustained} of {planned} connections"),
    };
    if let Some(replied) = reached.replied.filter(|replied| *replied < u64::from(planned)) {
        let _ = write!(text, ", {replied} replied");
    }
    if diagnosis.word == Word::Ok {
        let is_one_sided = |problem: &Problem| {
            problem.symptom == Symptom::SynAckRepeated && problem.pattern == Pattern::All
        };
        let reach = match reached.reach {
            Reach::Handshake | Reach::Kernel { confirmed: 0, .. }
                if all_of(&diagnosis.problems).any(is_one_sided) =>
            {
                "the server has confirmed none of them yet; --expect tests the application"
                    .to_owned()
            }
            // A server may still close what it accepted last.
            Reach::Handshake if plan.settle == Span::ZERO && plan.hold == Hold::For(Span::ZERO) => {
                "handshakes only, not observed after the last dial; see --settle, --hold".to_owned()
            }
            Reach::Handshake => "handshakes only; --expect tests the application".to_owned(),
            Reach::Kernel { confirmed, checked } => format!(
                "{confirmed} of {checked} checked are confirmed by the server's kernel; --expect \
                 tests the application"
            ),
            Reach::Application => "the application replied".to_owned(),
        };
        let _ = write!(text, "; no limit found up to {planned} ({reach})");
    }
    text.push('.');
    if let Some(early) = &diagnosis.ended_early {
        let by = match early.by_signal {
            true if loop_failed => "An error of this host",
            true => "A signal",
            false if early.by_duration => "--duration",
            false => "--max-errors",
        };
        let parts = [
            (early.not_dialed, "not dialed"),
            (early.dialing, "dialing"),
            (early.replies_pending, "waiting for a reply"),
            (early.checks_pending, "not checked yet"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let _ = write!(text, " {by} ended the run with {}.", parts.join(", "));
    }
    text
}

fn write_problem(out: &mut dyn Write, case: &Case<'_>, problem: &Problem) -> fmt::Result {
    let candidates = &problem.candidates;
    let Some(first) = candidates.first() else { return Ok(()) };
    let certain = candidates.iter().filter(|one| one.likelihood == Likelihood::Certain).count();
    let sides = sides(problem, if certain > 0 { &candidates[..certain] } else { candidates });
    let certainty = match first.likelihood {
        Likelihood::Certain => " (certain)",
        _ if candidates.len() == 1 => "",
        _ if sides == Side::ThisHost.word() => " (one of these)",
        Likelihood::Likely => " (most likely first)",
        Likelihood::Possible => " (not distinguishable from this host)",
    };
    writeln!(out, "Cause, {sides}{certainty}:")?;
    let width = candidates.iter().map(|one| one.cause.id().len()).max().unwrap_or(0);
    for (number, candidate) in (1..).zip(candidates) {
        let record = candidate.cause.record();
        let (id, side, title) = (record.id, side_of(problem, candidate).word(), record.title);
        writeln!(out, "  {number}. {id:width$}  {side:9}  {title}")?;
        for evidence in &candidate.evidence {
            let sign = if evidence.is_for { '+' } else { '-' };
            let mut line = String::new();
            write_wrapped(&mut line, &fact_text(&evidence.fact), 7)?;
            write!(out, "     {sign} {}", line.trim_start())?;
        }
    }
    write_other_addresses(out, case.plan, problem)?;
    write_fix(out, case, first)?;
    write_checks(out, case, problem)
}

/// The side of a candidate: an error of this host is its own, whatever the cause.
pub fn side_of(problem: &Problem, candidate: &Candidate) -> Side {
    match problem.symptom {
        Symptom::LocalFailure { .. } | Symptom::KilledHere => Side::ThisHost,
        _ => candidate.cause.side(),
    }
}

/// `server or network`, each side once, in the order of the candidates.
fn sides(problem: &Problem, candidates: &[Candidate]) -> String {
    let mut sides: Vec<&str> = Vec::new();
    for side in candidates.iter().map(|candidate| side_of(problem, candidate)) {
        // It adds nothing to the sides of the others.
        let word = if side == Side::Beyond { continue } else { side.word() };
        if !sides.contains(&word) {
            sides.push(word);
        }
    }
    if sides.is_empty() { Side::Beyond.word().to_owned() } else { sides.join(" or ") }
}

/// Only for causes on this host: the same line as before the run, with its numbers.
fn write_fix(out: &mut dyn Write, case: &Case<'_>, candidate: &Candidate) -> fmt::Result {
    if candidate.cause.side() != Side::ThisHost {
        return Ok(());
    }
    write_wrapped(out, &format!("Local limit: {}", fix_text(case, candidate)), 0)
}

/// The fix of a candidate, with its numbers if the preflight found the limit.
pub fn fix_text(case: &Case<'_>, candidate: &Candidate) -> String {
    let finding = candidate
        .knob
        .as_ref()
        .and_then(|knob| case.findings.iter().find(|finding| finding.knob == *knob));
    match finding {
        Some(finding) => super::preflight::Line { plan: case.plan, finding }.to_string(),
        None => candidate.cause.record().fix.to_owned(),
    }
}

/// A command, once for all candidates that it checks.
struct Line {
    on: Place,
    command: String,
    /// What to look for, and the numbers of the candidates that it confirms.
    readings: Vec<(&'static str, Vec<usize>)>,
}

fn write_checks(out: &mut dyn Write, case: &Case<'_>, problem: &Problem) -> fmt::Result {
    let lines = lines(case, problem);
    let is_one = problem.candidates.len() == 1;
    for place in Place::ALL {
        let at_place: Vec<&Line> = lines.iter().filter(|line| line.on == place).collect();
        if at_place.is_empty() {
            continue;
        }
        writeln!(out, "Check {}:", place.word())?;
        let lengths = at_place.iter().map(|line| line.command.chars().count());
        let width = lengths.filter(|length| *length <= COMMAND_COLUMNS_MAX).max().unwrap_or(0);
        for line in at_place {
            let readings: Vec<String> =
                line.readings.iter().map(|reading| reading_text(reading, is_one)).collect();
            write_check(out, &line.command, &readings.join("; "), width)?;
        }
    }
    Ok(())
}

fn reading_text((reading, numbers): &(&str, Vec<usize>), is_one: bool) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    if is_one { (*reading).to_owned() } else { format!("{reading}: {}", numbers.join(", ")) }
}

fn write_check(out: &mut dyn Write, command: &str, reading: &str, width: usize) -> fmt::Result {
    let fits =
        command.chars().count() <= width && 2 + width + 2 + reading.chars().count() <= COLUMNS;
    if fits {
        return writeln!(out, "  {command:width$}  {reading}");
    }
    writeln!(out, "  {command}")?;
    write_wrapped(out, reading, 6)
}

fn lines(case: &Case<'_>, problem: &Problem) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, candidate) in (1..).zip(&problem.candidates) {
        let checks = candidate.cause.record().checks.iter();
        let filled = checks.filter_map(|check| Some((check, filled(case, problem, check)?)));
        let all: Vec<(&Check, String)> = filled.collect();
        let (first, rest) = all.split_at(all.len().min(CHECKS_EACH_MAX));
        let is_from_here = |(check, _): &&(&Check, String)| check.on == Place::FromHere;
        let needs_one = number <= FROM_HERE_FIRST && !first.iter().any(|one| is_from_here(&one));
        let from_here = rest.iter().find(is_from_here).filter(|_| needs_one);
        for (check, command) in first.iter().chain(from_here) {
            let is_same = |line: &&mut Line| line.on == check.on && line.command == *command;
            if let Some(line) = lines.iter_mut().find(is_same) {
                match line.readings.iter_mut().find(|(reading, _)| *reading == check.reading) {
                    Some((_, numbers)) => numbers.push(number),
                    None => line.readings.push((check.reading, vec![number])),
                }
            } else if lines.len() < CHECKS_MAX {
                let readings = vec![(check.reading, vec![number])];
                lines.push(Line { on: check.on, command: command.clone(), readings });
            }
        }
    }
    lines
}

/// The command with the target of the problem filled in; `None` if it does not fit this run.
pub fn filled(case: &Case<'_>, problem: &Problem, check: &Check) -> Option<String> {
    let routes = &case.plan.routes;
    let target = match &problem.scope {
        Scope::Targets { indexes, .. } => indexes.first().copied().unwrap_or(0),
        _ => 0,
    };
    let Target { host, address } = routes.targets().get(target as usize)?;
    if !is_useful(case, &problem.symptom, check, host) {
        return None;
    }
    let source = match &problem.scope {
        Scope::Sources { indexes, .. } => indexes.first().copied().unwrap_or(0),
        _ => 0,
    };
    let source = routes.sources().get(source as usize).map(|source| source.ip().to_string());
    let command = check.command;
    if command.contains("{source}") && source.is_none() {
        return None;
    }
    Some(
        command
            .replace("{host}", &address.ip().to_string())
            .replace("{port}", &address.port().to_string())
            .replace("{source}", &source.unwrap_or_default()),
    )
}

/// The most frequent line that the server sent before it closed.
fn write_last_line(out: &mut dyn Write, lines: &[LastLine]) -> fmt::Result {
    let Some(LastLine { line, connections }) = lines.first() else { return Ok(()) };
    let shown = Escaped(&line[..line.len().min(LAST_LINE_BYTES_MAX)]);
    let more = if line.len() > LAST_LINE_BYTES_MAX { "..." } else { "" };
    write_wrapped(out, &format!("The server said, to {connections}: \"{shown}{more}\""), 0)
}
