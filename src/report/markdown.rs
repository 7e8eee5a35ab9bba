//! The result as Markdown, for the summary of a CI job (`$GITHUB_STEP_SUMMARY`): a table of results, a
//! table of conditions, and the verdict.

use std::fmt::{self, Write};

use super::Report;
use super::beside;
use super::churn::rate;
use super::verdict::write_verdict;
use crate::ask::answer::OF_THE_REPLIES;
use crate::diagnosis::closed_by_peer;
use crate::diagnosis::model::Diagnosis;
use crate::engine::State;
use crate::units::rfc3339;

/// Begins and ends with an empty line, as it is appended to a file.
pub fn write(out: &mut dyn Write, report: &Report<'_>, diagnosis: &Diagnosis) -> fmt::Result {
    let summary = report.summary;
    let level = |state| summary.last.level(state);
    writeln!(out, "\n### tcpgoon: {} ({})\n", diagnosis.word.text(), code(report.target))?;
    if let Some(rehearsal) = &report.plan.rehearsal {
        writeln!(out, "**{rehearsal}**\n")?;
    }
    writeln!(out, "| | |\n|---|---|")?;
    row(out, "Command", &code(report.command_line))?;
    row(out, "Start", &rfc3339(report.start_unix_ns))?;
    row(out, "Connections", &summary.last.connections.to_string())?;
    if let Some(churn) = &summary.churn {
        row(out, "Established", &summary.established_ever.to_string())?;
        row(out, "Established a second", &rate(summary, churn))?;
        row(out, "Closed by us", &churn.closed_by_us.to_string())?;
        row(out, "Closed by the peer", &closed_by_peer(summary).to_string())?;
    } else {
        row(out, "Established at the end", &level(State::Established).to_string())?;
        row(out, "Established at once", &summary.established_peak.to_string())?;
    }
    row(out, "Errors", &summary.errors.to_string())?;
    if summary.churn.is_none() {
        row(out, "Closed", &level(State::Closed).to_string())?;
    }
    let answers = summary.answers.list();
    if !answers.is_empty() {
        row(out, OF_THE_REPLIES, &answers)?;
    }
    let times = &summary.established_times;
    if times.count() > 0 {
        let of = |permille| times.quantile(permille).rounded_to_3_digits();
        let (p50, p99, max) = (of(500), of(990), times.max().rounded_to_3_digits());
        row(out, "Dial time p50, p99, max", &format!("{p50}, {p99}, {max}"))?;
    }
    row(out, "Exit code", &report.exit_code.to_string())?;
    if !report.judged.is_empty() {
        writeln!(out, "\n| `--fail-if` | actual | |\n|---|---|---|")?;
        for one in report.judged {
            let word = if one.failed { "**FAILED**" } else { "ok" };
            writeln!(out, "| {} | {} | {word} |", code(&one.threshold.text), one.actual)?;
        }
    }
    let rows = beside::rows(summary, report.plan);
    if !rows.is_empty() {
        writeln!(out, "\n| | {} |\n|---|---|---|", beside::COLUMNS.join(" | "))?;
        rows.iter().try_for_each(|(name, cells)| row(out, name, &cells.join(" | ")))?;
    }
    let mut verdict = String::new();
    write_verdict(&mut verdict, &report.case(), diagnosis)?;
    // It cannot contain a fence: a line from the server is printed in quotes.
    writeln!(out, "\n```text\n{}```\n", verdict)
}

fn row(out: &mut dyn Write, title: &str, value: &str) -> fmt::Result {
    writeln!(out, "| {title} | {value} |")
}

/// A text as inline code in a table cell, with nothing in it interpreted.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('`', "'").replace(['\r', '\n'], " ");
    format!("`{text}`")
}
