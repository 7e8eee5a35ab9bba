//! `tcpgoon explain`: one cause in full, or the list of all, at 80 columns.

use std::fmt::{self, Write};

use super::wrap::write_wrapped;
use crate::diagnosis::causes::{Cause, CauseRecord, Check, Place};

/// Up to this length a command has its reading on the same line.
const COMMAND_COLUMNS_MAX: usize = 38;

/// One cause, or the list.
pub fn text(cause: Option<Cause>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match cause {
        Some(cause) => write_record(&mut text, cause.record()),
        None => write_list(&mut text),
    };
    text
}

/// All causes by side, a line each.
pub fn write_list(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "Causes that a verdict can name; 'tcpgoon explain ID' prints one in full:")?;
    let ids = Cause::ALL.iter().map(|cause| cause.id().len()).max().unwrap_or(0);
    let mut side = None;
    for record in Cause::ALL.into_iter().map(Cause::record) {
        if side.replace(record.side) != Some(record.side) {
            writeln!(out)?;
        }
        // Only "server or network", of one cause, is wider.
        writeln!(out, "{:ids$}  {:9}  {}", record.id, record.side.word(), record.title)?;
    }
    Ok(())
}

/// How the cause looks, how to check it, and how to fix it.
pub fn write_record(out: &mut dyn Write, record: &CauseRecord) -> fmt::Result {
    let CauseRecord { id, side, title, explanation, checks, fix, .. } = record;
    writeln!(out, "{id} ({}): {title}", side.word())?;
    writeln!(out, "\nHow it looks:")?;
    write_wrapped(out, explanation, 2)?;
    writeln!(out, "\nHow to check, and the result if it is this cause:")?;
    let commands: Vec<String> = checks.iter().map(|check| generic(check.command)).collect();
    let lengths = commands.iter().map(String::len).filter(|length| *length <= COMMAND_COLUMNS_MAX);
    let width = lengths.max().unwrap_or(COMMAND_COLUMNS_MAX);
    for place in Place::ALL {
        let at_place = || checks.iter().zip(&commands).filter(|(check, _)| check.on == place);
        if at_place().next().is_some() {
            writeln!(out, "  {}:", place.word())?;
        }
        for (check, command) in at_place() {
            write_check(out, check, command, width)?;
        }
    }
    writeln!(out, "\nHow to fix:")?;
    write_wrapped(out, fix, 2)
}

fn write_check(out: &mut dyn Write, check: &Check, command: &str, width: usize) -> fmt::Result {
    let indent = 4 + width + 2;
    if command.len() <= width {
        let mut reading = String::new();
        write_wrapped(&mut reading, check.reading, indent)?;
        write!(out, "    {command:width$}  {}", reading.trim_start())
    } else {
        writeln!(out, "    {command}")?;
        write_wrapped(out, check.reading, indent)
    }
}

/// With words in capitals instead of the target of a run.
fn generic(command: &str) -> String {
    command.replace("{host}", "HOST").replace("{port}", "PORT").replace("{source}", "SOURCE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::wrap::COLUMNS;

    #[test]
    fn the_list_has_a_line_for_each_cause_in_80_columns() {
        let list = text(None);
        for cause in Cause::ALL {
            let CauseRecord { id, side, title, .. } = cause.record();
            let is_its = |line: &&str| {
                line.starts_with(&format!("{id} "))
                    && line.contains(&format!("  {}  ", side.word()))
                    && line.ends_with(&format!("  {title}"))
            };
            assert_eq!(list.lines().filter(is_its).count(), 1, "{id}:\n{list}");
        }
        let groups: Vec<&str> = list.split("\n\n").collect();
        assert_eq!(groups.len(), 5, "a header and four sides:\n{list}");
        assert!(list.lines().all(|line| line.chars().count() <= COLUMNS), "{list}");
        assert!(list.lines().all(|line| line.trim_end() == line), "{list}");
    }

    #[test]
    fn each_cause_is_printed_in_full_in_80_columns() {
        for cause in Cause::ALL {
            let text = text(Some(cause));
            let record = cause.record();
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in [record.id, record.title, record.explanation, record.fix] {
                assert!(flat.contains(part), "{part}:\n{text}");
            }
            for check in record.checks {
                assert!(text.contains(&format!("  {}:\n", check.on.word())), "{text}");
                let command = generic(check.command);
                assert!(text.lines().any(|line| line.contains(&command)), "{command}:\n{text}");
                assert!(flat.contains(&format!("{command} {}", check.reading)), "{text}");
            }
            assert!(!text.contains("{host}") && !text.contains("{port}"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
        }
    }

    #[test]
    fn check_places_are_printed_once_and_in_order() {
        let text = text(Some(Cause::ClientLimit));
        let places: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(":")).collect();
        assert_eq!(places, ["on the server", "on each hop", "from here"], "{text}");
    }
}
