//! Escaping and quoting of text from outside: bytes of servers, typed words, host names. It is
//! printed in no other way.

use std::ffi::OsStr;
use std::fmt::{self, Write};

/// The most characters of a quoted text in an error message.
const QUOTED_CHARS_MAX: usize = 100;

/// A text on one line: control and format characters, unassigned and lone combining ones as `\n` or
/// `\u{202e}`. Quotes and backslashes stay as they are: they do no harm, and are easier to read.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write_printable(f, c))
    }
}

/// A character of a [`Printable`] text.
pub fn write_printable(out: &mut dyn Write, c: char) -> fmt::Result {
    match c {
        '\'' | '"' | '\\' => out.write_char(c),
        c => write!(out, "{}", c.escape_debug()),
    }
}

/// Received bytes: printable ASCII as it is, everything else as `\r`, `\n`, `\t`, `\0`, `\\`, `\"`
/// or `\xNN`.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'\r' => f.write_str("\\r"),
            b'\n' => f.write_str("\\n"),
            b'\t' => f.write_str("\\t"),
            b'\0' => f.write_str("\\0"),
            b'\\' => f.write_str("\\\\"),
            b'"' => f.write_str("\\\""),
            b' '..=b'~' => f.write_char(char::from(*byte)),
            other => write!(f, "\\x{other:02x}"),
        })
    }
}

/// A [`Printable`] text in single quotes for an error message, cut after 100 characters.
pub fn quoted(text: &str) -> String {
    quoted_os(OsStr::new(text))
}

/// As [`quoted`]; bytes that are not UTF-8 as `\xNN`.
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

/// A word of a command line, [`Printable`], and in single quotes where a shell needs them.
#[derive(Debug, Clone, Copy)]
pub struct ShellQuoted<'a>(pub &'a str);

impl fmt::Display for ShellQuoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+[]".contains(c);
        if !self.0.is_empty() && self.0.chars().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('\'')?;
        for c in self.0.chars() {
            match c {
                '\'' => f.write_str("'\\''")?,
                c => write_printable(f, c)?,
            }
        }
        f.write_char('\'')
    }
}

/// Words as one command line that can be pasted into a shell.
pub fn command_line<I: IntoIterator<Item = String>>(words: I) -> String {
    let quoted: Vec<String> =
        words.into_iter().map(|word| ShellQuoted(&word).to_string()).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn nothing_a_server_sends_reaches_a_terminal_raw() {
        let hostile: Vec<u8> = (0..=255).collect();
        let shown = Escaped(&hostile).to_string();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
        assert_eq!(Escaped(b"+OK\r\n\x1b[2J\0\"\\").to_string(), r#"+OK\r\n\x1b[2J\0\"\\"#);
    }

    #[test]
    fn no_control_or_invisible_character_is_printed() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let shown = Printable(c.encode_utf8(&mut [0; 4])).to_string();
            assert!(!shown.contains(|c: char| c.is_control()), "{shown}");
            let is_raw = shown.chars().eq([c]);
            let is_invisible = "\u{ad}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2060}\u{2066}\
                             \u{2069}\u{feff}\u{e0001}\u{e000}\u{301}"
                .contains(c);
            assert!(!(is_invisible && is_raw), "{shown}");
        }
        assert_eq!(Printable("ü 日本 'a' \\").to_string(), "ü 日本 'a' \\");
        assert_eq!(Printable("a\n\u{1b}\u{202e}").to_string(), r"a\n\u{1b}\u{202e}");
    }

    #[test]
    fn a_command_line_can_be_pasted_back() {
        let words = ["tcpgoon", "--host", "a b", "it's", "", "x\u{1b}[2J"].map(String::from);
        assert_eq!(command_line(words), r"tcpgoon --host 'a b' 'it'\''s' '' 'x\u{1b}[2J'");
        assert_eq!(ShellQuoted("\u{202e}é\\\n").to_string(), r"'\u{202e}é\\n'");
    }

    #[test]
    fn quoted_text_stays_on_one_line_and_is_cut() {
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
}
