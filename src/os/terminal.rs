//! Whether standard output is a terminal, how wide it is, and the line that is redrawn on it.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::sys::streams;
use crate::display::Surroundings;

/// Where a terminal does not know its width.
const COLUMNS_DEFAULT: u16 = 80;

/// To the first column, and erases from there to the end of the screen. A terminal that was made
/// narrower may have broken the line into several, and keeps the cursor at the beginning of it.
/// Source: ECMA-48, 8.3.39 (ED).
const ERASE: &str = "\r\x1b[J";

/// What standard output is, and the wishes of its environment.
pub fn surroundings() -> Surroundings {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    Surroundings {
        is_terminal: io::stdout().is_terminal(),
        // One without a name is of no kind that is known.
        is_capable: set("TERM").is_some_and(|term| term != "dumb"),
        no_color: set("NO_COLOR").is_some(),
        force_color: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
    }
}

/// Whether a question can be put to standard error, as its answer comes from a terminal and
/// standard output goes elsewhere.
pub fn asks_on_stderr() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && !io::stdout().is_terminal()
}

/// The width of the terminal that standard output is. Read anew each time: it can be resized.
pub fn columns() -> u16 {
    let columns = streams::columns(io::stdout().as_fd()).ok();
    columns.filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

/// A line below the others that never scrolls. The cursor stays in its first column: there a
/// terminal leaves it when it breaks the line anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveRow {
    /// What is shown; `None` before the first and after the last.
    shown: Option<String>,
}

impl LiveRow {
    /// What shows `text` instead of what is shown; nothing if that is the same.
    pub fn redraw(&mut self, text: &str) -> Option<String> {
        if self.shown.as_deref() == Some(text) {
            return None;
        }
        self.shown = Some(text.to_owned());
        Some(format!("{ERASE}{text}\r"))
    }

    /// What was to be shown was not: the next [`LiveRow::redraw`] draws it. What was shown before
    /// may still stand there.
    pub fn forget(&mut self) {
        self.shown = Some(String::new());
    }

    /// Puts whole lines above it.
    pub fn below<'a>(&self, lines: &'a str) -> Cow<'a, str> {
        match &self.shown {
            None => lines.into(),
            Some(shown) => format!("{ERASE}{lines}{shown}\r").into(),
        }
    }

    /// What removes it before `lines`; it does not come back by itself.
    pub fn end<'a>(&mut self, lines: &'a str) -> Cow<'a, str> {
        match self.shown.take() {
            None => lines.into(),
            Some(_) => format!("{ERASE}{lines}").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_below_the_lines_until_its_end() {
        let mut row = LiveRow::default();
        assert_eq!(row.below("one\n"), "one\n");
        assert_eq!(row.redraw("12%").as_deref(), Some("\r\x1b[J12%\r"));
        assert_eq!(row.redraw("12%"), None, "nothing has changed");
        assert_eq!(row.below("two\n"), "\r\x1b[Jtwo\n12%\r");
        assert_eq!(row.redraw("13%").as_deref(), Some("\r\x1b[J13%\r"));
        assert_eq!(row.end("three\n"), "\r\x1b[Jthree\n");
        assert_eq!(row.end("four\n"), "four\n");
        assert_eq!(row.below("five\n"), "five\n");
    }
}
