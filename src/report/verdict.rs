//! The verdict: a diagnosis as text. Only wording and layout: `diagnosis/` decides.

use std::fmt::{self, Write};

use super::checks::write_checks;
use super::churn;
use super::escape::Escaped;
use super::facts::fact_text;
use super::layout::Layout;
use super::other_addresses::write_other_addresses;
use super::sentences::Sentences;
use super::wrap::{COLUMNS, NO_BREAK, grouped, unbroken, write_wrapped_at};
use crate::diagnosis::Case;
use crate::diagnosis::model::{Candidate, Diagnosis, Likelihood, Problem, Reach, Symptom, Word};
use crate::diagnosis::pattern::Pattern;
use crate::diagnosis::useful_checks::{NextTest, next_tests};
use crate::engine::Side;
use crate::last_lines::LastLine;
use crate::plan::Hold;
use crate::units::{NS_PER_S, Span};

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

/// All of it, and what to type next.
pub fn write_verdict(out: &mut dyn Write, case: &Case<'_>, diagnosis: &Diagnosis) -> fmt::Result {
    write_verdict_in(out, case, diagnosis, &Layout::FULL)?;
    write_next(out, case, diagnosis, COLUMNS)
}

pub fn write_verdict_in(
    out: &mut dyn Write,
    case: &Case<'_>,
    diagnosis: &Diagnosis,
    layout: &Layout,
) -> fmt::Result {
    writeln!(out, "--- verdict ---")?;
    let sentences = Sentences {
        plan: case.plan,
        start: case.summary.start,
        peak: case.summary.established_peak,
    };
    let mut headline = format!("{}: {}", diagnosis.word.text(), reached(diagnosis, case));
    let mut problems = diagnosis.problems.iter();
    let first = problems.next();
    if let Some(problem) = first {
        headline = format!("{headline} {}", with_explained(&sentences, problem));
    }
    write_wrapped_at(out, &grouped(&headline), 0, layout.columns)?;
    if let Some(problem) = first {
        write_problem(out, case, problem, layout)?;
    }
    let further = match layout.is_short {
        true => Layout { checks_max: 0, has_evidence: false, ..*layout },
        false => *layout,
    };
    for problem in problems {
        let also = format!("Also: {}", with_explained(&sentences, problem));
        write_wrapped_at(out, &grouped(&also), 0, layout.columns)?;
        write_problem(out, case, problem, &further)?;
    }
    match has_closes(diagnosis) {
        true => write_last_line(out, case.last_lines, layout.columns),
        false => Ok(()),
    }
}

/// Whether the peer closed connections, so that its last line may give the reason.
pub fn has_closes(diagnosis: &Diagnosis) -> bool {
    let is_close = |problem: &Problem| {
        matches!(problem.symptom, Symptom::ClosedOnAccept { .. } | Symptom::Closed { .. })
    };
    diagnosis.problems.iter().any(is_close)
}

/// Each problem, then those that it explains.
fn all_of(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().flat_map(|problem| std::iter::once(problem).chain(&problem.explains))
}

/// The problem, then those that it explains.
pub fn with_explained(sentences: &Sentences<'_>, problem: &Problem) -> String {
    let all = std::iter::once(problem).chain(&problem.explains);
    let all: Vec<String> = all.map(|problem| sentences.sentence(problem)).collect();
    all.join(" ")
}

/// A sentence on what was reached.
pub fn reached(diagnosis: &Diagnosis, case: &Case<'_>) -> String {
    let Case { plan, summary, .. } = *case;
    if let Some(churn) = &summary.churn {
        return churn::reached(diagnosis, case, churn);
    }
    let reached = &diagnosis.reached;
    let (planned, sustained, peak) = (reached.planned, reached.sustained, reached.peak);
    let mut text = match reached.replied {
        Some(replied) if replied == u64::from(planned) => {
            format!("{replied} of {planned} connections replied")
        }
        _ if peak > sustained => {
            format!("{sustained} of {planned} connections stayed open (peak {peak})")
        }
        _ => format!("{sustained} of {planned} connections open at once"),
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
                "the server has confirmed none of them yet".to_owned()
            }
            // A server may still close what it accepted last.
            Reach::Handshake if plan.settle == Span::ZERO && plan.hold == Hold::For(Span::ZERO) => {
                "handshakes only, not observed after the last dial; see --settle, --hold".to_owned()
            }
            Reach::Handshake => "handshakes only".to_owned(),
            Reach::Kernel { confirmed, checked } => {
                format!("the server's kernel confirmed {confirmed} of {checked} checked")
            }
            Reach::Application => {
                format!("the application replied{}", summary.answers.short_text())
            }
        };
        if let Some(dials_per_s) = reached.dials_per_s() {
            let took = seconds(reached.dialed_in);
            let _ = write!(text, ", dialed in {took} ({dials_per_s}/s)");
        }
        let _ = write!(text, ". No limit found up to {planned} ({reach})");
    }
    text.push('.');
    if let Some(early) = &diagnosis.ended_early {
        let by = match early.by_signal {
            true if summary.loop_failed => "An error of this host",
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

/// `0.30 s`: in seconds where that is short and exact enough.
fn seconds(span: Span) -> String {
    let centis = (span.0 + NS_PER_S / 200) / (NS_PER_S / 100);
    match centis {
        10..6_000 => format!("{}.{:02} s", centis / 100, centis % 100),
        _ => span.rounded_to_3_digits().to_string(),
    }
}

/// `Cause, server or network (most likely first)`; `None` without a candidate.
pub fn causes_heading(problem: &Problem) -> Option<String> {
    let candidates = &problem.candidates;
    let first = candidates.first()?;
    let certain = candidates.iter().filter(|one| one.likelihood == Likelihood::Certain).count();
    let sides = sides(problem, if certain > 0 { &candidates[..certain] } else { candidates });
    let certainty = match first.likelihood {
        Likelihood::Certain => " (certain)",
        _ if candidates.len() == 1 => "",
        _ if sides == Side::ThisHost.word() => " (one of these)",
        Likelihood::Likely => " (most likely first)",
        Likelihood::Possible => " (not distinguishable from this host)",
    };
    Some(format!("Cause, {sides}{certainty}"))
}

fn write_problem(
    out: &mut dyn Write,
    case: &Case<'_>,
    problem: &Problem,
    layout: &Layout,
) -> fmt::Result {
    let (Some(first), Some(heading)) = (problem.candidates.first(), causes_heading(problem)) else {
        return Ok(());
    };
    let columns = layout.columns;
    write_wrapped_at(out, &format!("{heading}:"), 0, columns)?;
    write_candidates(out, problem, layout)?;
    write_other_addresses(out, case.plan, problem, columns)?;
    write_fix(out, case, first, columns)?;
    write_checks(out, case, problem, layout)
}

/// A line each, or more where that is too narrow.
fn write_candidates(out: &mut dyn Write, problem: &Problem, layout: &Layout) -> fmt::Result {
    let candidates = &problem.candidates;
    let width = candidates.iter().map(|one| one.cause.id().len()).max().unwrap_or(0);
    let line = |(number, candidate): (usize, &Candidate)| {
        let record = candidate.cause.record();
        let (id, side, title) = (record.id, side_of(problem, candidate).word(), record.title);
        format!("  {number}. {id:width$}  {side:9}  {title}")
    };
    let lines: Vec<String> = (1..).zip(candidates).map(line).collect();
    let is_narrow = lines.iter().any(|line| line.chars().count() > layout.columns);
    for ((number, candidate), line) in (1..).zip(candidates).zip(lines) {
        let record = candidate.cause.record();
        if is_narrow || !layout.has_titles {
            writeln!(out, "  {number}. {}  {}", record.id, side_of(problem, candidate).word())?;
        } else {
            writeln!(out, "{line}")?;
        }
        if is_narrow && layout.has_titles {
            write_wrapped_at(out, record.title, 5, layout.columns)?;
        }
        let shown = if layout.has_evidence { &candidate.evidence[..] } else { &[] };
        for evidence in shown {
            let sign = if evidence.is_for { '+' } else { '-' };
            let mut text = String::new();
            let fact = grouped(&fact_text(&evidence.fact));
            write_wrapped_at(&mut text, &fact, 7, layout.columns)?;
            write!(out, "     {sign} {}", text.trim_start())?;
        }
    }
    Ok(())
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
fn write_fix(
    out: &mut dyn Write,
    case: &Case<'_>,
    candidate: &Candidate,
    columns: usize,
) -> fmt::Result {
    if candidate.cause.side() != Side::ThisHost {
        return Ok(());
    }
    let text = format!("Local limit: {}", unbroken_fix_text(case, candidate));
    write_wrapped_at(out, &text, 0, columns)
}

/// The fix of a candidate, with its numbers if the preflight found the limit.
pub fn fix_text(case: &Case<'_>, candidate: &Candidate) -> String {
    unbroken_fix_text(case, candidate).replace(NO_BREAK, " ")
}

fn unbroken_fix_text(case: &Case<'_>, candidate: &Candidate) -> String {
    let finding = candidate
        .knob
        .as_ref()
        .and_then(|knob| case.findings.iter().find(|finding| finding.knob == *knob));
    match finding {
        Some(finding) => format!("{:#}", super::preflight::Line { plan: case.plan, finding }),
        None => candidate.cause.record().fix.to_owned(),
    }
}

/// The most frequent line that the server sent before it closed.
pub fn write_last_line(out: &mut dyn Write, lines: &[LastLine], columns: usize) -> fmt::Result {
    let Some(LastLine { line, connections }) = lines.first() else { return Ok(()) };
    let shown = Escaped(&line[..line.len().min(LAST_LINE_BYTES_MAX)]);
    let more = if line.len() > LAST_LINE_BYTES_MAX { "..." } else { "" };
    let text = format!("The server said, to {connections}: \"{shown}{more}\"");
    write_wrapped_at(out, &text, 0, columns)
}

/// What to type after a run without a limit; nothing after any other.
pub fn write_next(
    out: &mut dyn Write,
    case: &Case<'_>,
    diagnosis: &Diagnosis,
    columns: usize,
) -> fmt::Result {
    let tests = next_tests(case, diagnosis);
    if tests.is_empty() {
        return Ok(());
    }
    let text = |test: &NextTest| format!("{} {}", unbroken(test.flag), test.tests);
    let texts: Vec<String> = tests.iter().map(text).collect();
    write_wrapped_at(out, &format!("Next: {}", texts.join("; ")), 0, columns)
}
