//! Text that came from elsewhere, made fit for a terminal: bytes of servers, words that were typed,
//! names of hosts. Nothing of it is printed in any other way.

use std::fmt::{self, Write};

/// A text on one line: what cannot be seen, or turns the writing round, comes as `\n` or `\u{202e}`
/// (control and format characters, unassigned ones, lone combining ones). Quotes and backslashes
/// stay as they are: they are harmless, and easier to recognize.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write_printable(f, c))
    }
}

/// A character as in [`Printable`].
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

/// A word of a command line, in single quotes where a shell would otherwise take it for something
/// else, and [`Printable`].
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
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

/// Words as one command line.
pub fn command_line<I: IntoIterator<Item = String>>(words: I) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| Quoted(&word).to_string()).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_server_sends_reaches_a_terminal_raw() {
        let hostile: Vec<u8> = (0..=255).collect();
        let shown = Escaped(&hostile).to_string();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
        assert_eq!(Escaped(b"+OK\r\n\x1b[2J\0\"\\").to_string(), r#"+OK\r\n\x1b[2J\0\"\\"#);
    }

    #[test]
    fn no_character_is_obeyed_or_unseen() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let shown = Printable(c.encode_utf8(&mut [0; 4])).to_string();
            assert!(!shown.contains(|c: char| c.is_control()), "{shown}");
            let is_shown_as_it_is = shown.chars().eq([c]);
            let is_unseen = "\u{ad}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2060}\u{2066}\
                             \u{2069}\u{feff}\u{e0001}\u{e000}\u{301}"
                .contains(c);
            assert!(!(is_unseen && is_shown_as_it_is), "{shown}");
        }
        assert_eq!(Printable("ü 日本 'a' \\").to_string(), "ü 日本 'a' \\");
        assert_eq!(Printable("a\n\u{1b}\u{202e}").to_string(), r"a\n\u{1b}\u{202e}");
    }

    #[test]
    fn a_command_line_can_be_pasted_back() {
        let words = ["tcpgoon", "--host", "a b", "it's", "", "x\u{1b}[2J"].map(String::from);
        assert_eq!(command_line(words), r"tcpgoon --host 'a b' 'it'\''s' '' 'x\u{1b}[2J'");
        assert_eq!(Quoted("\u{202e}é\\\n").to_string(), r"'\u{202e}é\\n'");
    }
}
