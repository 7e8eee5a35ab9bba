//! Text at 80 columns.

use std::fmt::{self, Write};

/// The columns of the narrowest common terminal.
pub const COLUMNS: usize = 80;

/// Breaks lines between words, never within backticks.
pub fn write_wrapped(out: &mut dyn Write, text: &str, indent: usize) -> fmt::Result {
    let mut column = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = split_word(rest);
        let length = word.chars().count();
        if column == 0 {
            write!(out, "{:indent$}{word}", "")?;
            column = indent + length;
        } else if column + 1 + length <= COLUMNS {
            write!(out, " {word}")?;
            column += 1 + length;
        } else {
            write!(out, "\n{:indent$}{word}", "")?;
            column = indent + length;
        }
        rest = behind;
    }
    writeln!(out)
}

/// The first word, and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    let end = text.find(|c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    });
    match end {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_not_in_a_command() {
        let wrapped = |text: &str| {
            let mut out = String::new();
            write_wrapped(&mut out, text, 2).unwrap();
            out
        };
        assert_eq!(wrapped("one two"), "  one two\n");
        let (before, command) = ("x".repeat(70), "`ss -lntp 'sport = :80'`");
        let expected = format!("  {before}\n  ({command}) y\n");
        assert_eq!(wrapped(&format!("{before} ({command}) y")), expected);
        let to_the_edge = format!("{} y", "x".repeat(76));
        assert_eq!(wrapped(&to_the_edge), format!("  {to_the_edge}\n"));
    }
}
