//! Foreign text made fit for an error message, and the distance between two words.

use std::ffi::OsStr;
use std::fmt::Write;

use crate::escape::write_printable;

/// The most characters of a foreign word that an error line repeats.
const QUOTED_CHARS_MAX: usize = 100;

/// The longest flag that is compared with another: no name of ours comes near it.
const COMPARED_CHARS_MAX: usize = 32;

/// The text in single quotes, on one line, without anything that a terminal could obey, and cut
/// short when it is long.
pub fn quoted(text: &str) -> String {
    quoted_os(OsStr::new(text))
}

/// As [`quoted`]; bytes that are not UTF-8 come out as `\xNN`.
pub fn quoted_os(text: &OsStr) -> String {
    let mut out = String::from("'");
    let mut room = QUOTED_CHARS_MAX;
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars().take(room) {
            room -= 1;
            // Writing to a string cannot fail.
            let _ = write_printable(&mut out, c);
        }
        for byte in chunk.invalid().iter().take(room) {
            room -= 1;
            let _ = write!(out, "\\x{byte:02x}");
        }
        if room == 0 {
            out.push('…');
            break;
        }
    }
    out.push('\'');
    out
}

/// How many characters must be added, dropped, replaced or swapped with their neighbour to make one
/// word of the other; `None` if one of them is too long to be worth the look.
///
/// Source: the optimal string alignment distance,
/// <https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance>
pub fn distance(one: &str, other: &str) -> Option<usize> {
    let one: Vec<char> = one.chars().take(COMPARED_CHARS_MAX + 1).collect();
    let other: Vec<char> = other.chars().take(COMPARED_CHARS_MAX + 1).collect();
    if one.len().max(other.len()) > COMPARED_CHARS_MAX {
        return None;
    }
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    Some(rows[one.len()][other.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn foreign_text_stays_on_its_line_and_gives_no_orders() {
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("ümlaut"), "'ümlaut'");
        assert_eq!(quoted("it's \"c:\\d\""), "'it's \"c:\\d\"'");
        assert_eq!(quoted("a\nb\x1b[31m\0"), "'a\\nb\\u{1b}[31m\\0'");
        assert_eq!(quoted("x\u{202e}y\u{9b}"), "'x\\u{202e}y\\u{9b}'");
        assert_eq!(quoted_os(OsStr::from_bytes(b"a\xff\xfeb")), "'a\\xff\\xfeb'");
        let cut = quoted(&"é".repeat(5000));
        assert_eq!(cut.chars().count(), QUOTED_CHARS_MAX + 3);
        assert!(cut.ends_with("é…'"));
        assert!(quoted_os(OsStr::from_bytes(&[0xff; 5000])).len() < 500);
    }

    #[test]
    fn the_distance_counts_typing_mistakes() {
        for (one, other, count) in [
            ("", "", 0),
            ("port", "port", 0),
            ("conections", "connections", 1),
            ("prot", "port", 1),
            ("hots", "host", 1),
            ("sleeps", "sleep", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), Some(count), "{one} {other}");
            assert_eq!(distance(other, one), Some(count), "{other} {one}");
        }
        assert_eq!(distance(&"x".repeat(33), "x"), None);
    }
}
