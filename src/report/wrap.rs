//! Text at a width, and counts in it.

use std::fmt::{self, Write};

use crate::units::Grouped;

/// The columns of the narrowest common terminal.
pub const COLUMNS: usize = 80;

/// A space at which no line is broken; printed as one.
pub const NO_BREAK: char = '\u{a0}';

/// As [`write_wrapped_at`], at 80 columns.
pub fn write_wrapped(out: &mut dyn Write, text: &str, indent: usize) -> fmt::Result {
    write_wrapped_at(out, text, indent, COLUMNS)
}

/// Breaks lines between words, never within backticks or at [`NO_BREAK`].
pub fn write_wrapped_at(
    out: &mut dyn Write,
    text: &str,
    indent: usize,
    columns: usize,
) -> fmt::Result {
    let mut column = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = split_word(rest);
        let length = word.chars().count();
        let word = word.replace(NO_BREAK, " ");
        if column == 0 {
            write!(out, "{:indent$}{word}", "")?;
            column = indent + length;
        } else if column + 1 + length <= columns {
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

/// The text with its spaces as [`NO_BREAK`].
pub fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// Counts from 10,000 up in a sentence, and rates, with thousands separators. Digits in an address or
/// another word stay as they are.
pub fn grouped(text: &str) -> String {
    let word = |word: &str| {
        let is_mark = |c| "().,;:".contains(c);
        let number = word.trim_matches(is_mark);
        let number = number.strip_suffix("/s").unwrap_or(number);
        let is_long = number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit());
        match number.parse() {
            Ok(count) if is_long => word.replacen(number, &Grouped(count).to_string(), 1),
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
        let expected = format!("  {before}\n  --hold 30 y\n");
        assert_eq!(wrapped(&format!("{before} {} y", unbroken("--hold 30"))), expected);
    }

    #[test]
    fn long_counts_are_grouped_and_addresses_are_not() {
        for (plain, expected) in [
            ("9999 of 10000 connections", "9999 of 10,000 connections"),
            ("(23000 of 1234567; 4)", "(23,000 of 1,234,567; 4)"),
            ("in 0.30 s (33400/s).", "in 0.30 s (33,400/s)."),
            ("to 10.0.0.1:54321 (65000 open)", "to 10.0.0.1:54321 (65,000 open)"),
            ("[::1]:54321, 100.12345s, 12345ms", "[::1]:54321, 100.12345s, 12345ms"),
        ] {
            assert_eq!(grouped(plain), expected);
        }
    }
}
