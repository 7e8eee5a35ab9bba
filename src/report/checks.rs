//! The checks of a problem: commands, and how to read them.

use std::fmt::{self, Write};

use super::layout::Layout;
use super::wrap::{NO_BREAK, write_wrapped_at};
use crate::diagnosis::Case;
use crate::diagnosis::causes::{Check, Place};
use crate::diagnosis::model::{Problem, Scope};
use crate::diagnosis::useful_checks::is_useful;
use crate::order::sort_short_by_key;
use crate::route::Target;

/// The first two candidates can be distinguished from here, too.
const FROM_HERE_FIRST: usize = 2;

/// The width of the longest place.
const PLACE: usize = 13;

/// Up to this length a command has its reading on the same line.
const COMMAND_COLUMNS_MAX: usize = 44;

/// A command, once for all candidates that it checks.
pub struct Line {
    pub on: Place,
    pub command: String,
    /// What to look for, and the numbers of the candidates that it confirms.
    pub readings: Vec<(&'static str, Vec<usize>)>,
}

pub fn write_checks(
    out: &mut dyn Write,
    case: &Case<'_>,
    problem: &Problem,
    layout: &Layout,
) -> fmt::Result {
    let mut lines = lines(case, problem, layout);
    let is_one = problem.candidates.len() == 1;
    if layout.has_places() {
        sort_short_by_key(&mut lines, |line| line.on);
        for line in &mut lines {
            line.command = format!("{:PLACE$}  {}", line.on.word(), line.command);
        }
        return write_list(out, "Check", &lines, is_one, layout);
    }
    Place::ALL.into_iter().try_for_each(|place| {
        let (at_place, others) = lines.drain(..).partition(|line: &Line| line.on == place);
        lines = others;
        let heading = format!("Check {}", place.word());
        write_list(out, &heading, &at_place, is_one, layout)
    })
}

/// Empty if there are none.
fn write_list(
    out: &mut dyn Write,
    heading: &str,
    lines: &[Line],
    is_one: bool,
    layout: &Layout,
) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{heading}:")?;
    let Layout { columns, is_short, .. } = *layout;
    let place = if layout.has_places() { PLACE + 2 } else { 0 };
    let length = |line: &Line| line.command.chars().count();
    let lengths = lines.iter().map(length);
    let width = lengths.filter(|length| *length <= place + COMMAND_COLUMNS_MAX).max().unwrap_or(0);
    for line in lines {
        let Line { command, readings, .. } = line;
        let readings: Vec<String> =
            readings.iter().map(|reading| reading_text(reading, is_one)).collect();
        let reading = readings.join("; ");
        let room = columns.saturating_sub(4 + reading.chars().count());
        let is_aligned = length(line) <= width && width <= room;
        if is_aligned || (is_short && length(line) <= room) {
            let width = if is_aligned { width } else { 0 };
            writeln!(out, "  {command:width$}  {}", reading.replace(NO_BREAK, " "))?;
        } else {
            writeln!(out, "  {command}")?;
            write_wrapped_at(out, &reading, place.max(2) + 4, columns)?;
        }
    }
    Ok(())
}

/// One of them, with the numbers of the candidates if there are several.
pub fn reading_text((reading, numbers): &(&str, Vec<usize>), is_one: bool) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match is_one {
        true => (*reading).to_owned(),
        false => format!("{reading}:{NO_BREAK}{}", numbers.join(",\u{a0}")),
    }
}

/// The checks of a problem that are printed.
pub fn lines(case: &Case<'_>, problem: &Problem, layout: &Layout) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, candidate) in (1..).zip(&problem.candidates) {
        let checks = candidate.cause.record().checks.iter();
        let filled = checks.filter_map(|check| Some((check, filled(case, problem, check)?)));
        let all: Vec<(&Check, String)> = filled.collect();
        let (first, rest) = all.split_at(all.len().min(layout.checks_each_max));
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
            } else if lines.len() < layout.checks_max {
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
