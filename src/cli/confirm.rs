//! The warning before a run, and the confirmation prompt.

use std::collections::HashSet;
use std::io::{self, BufRead, ErrorKind, Write};

use crate::error::{Error, Result};
use crate::route::{Routes, Target};

/// The most bytes of a line that are stored. A longer one is no answer.
const LINE_BYTES_MAX: usize = 4096;

const STARS: &str = "*********************************************************************";

/// Unrecognized answers before the prompt gives up: they do not come from an operator.
const TRIES_MAX: u32 = 10;

/// The most hosts and ports that the banner lists; then their number follows.
const LISTED_MAX: usize = 8;

/// The text before the prompt.
#[derive(Debug, Clone, Copy)]
pub struct Banner<'a> {
    pub host: &'a str,
    pub port: &'a str,
    pub connections: u32,
    /// Whole lines after the original's warning; may be empty.
    pub findings: &'a str,
}

/// The hosts (a name with its address) and the ports for the banner, each once.
pub fn hosts_and_ports(routes: &Routes) -> (String, String) {
    let hosts = listed(routes.targets().iter().map(Target::host_label));
    let ports = listed(routes.targets().iter().map(|target| target.address.port().to_string()));
    (hosts, ports)
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let mut seen = HashSet::new();
    let mut list = String::new();
    for word in words {
        if seen.contains(&word) {
            continue;
        }
        if seen.len() < LISTED_MAX {
            list.push_str(if list.is_empty() { "" } else { ", " });
            list.push_str(&word);
        }
        seen.insert(word);
    }
    if seen.len() > LISTED_MAX {
        list.push_str(&format!(", … ({} in all)", seen.len()));
    }
    list
}

/// Prints the banner and prompts until there is an answer; the words are the original's. Text after
/// the prompt begins on a new line, whether or not a terminal has echoed the newline of the answer.
///
/// # Errors
/// [`Error::Declined`] on no or an empty line; [`Error::Unanswered`] if the input ends, fails, or
/// is not recognized `TRIES_MAX` times; [`Error::System`] if the prompt cannot be written.
pub fn confirm(banner: &Banner<'_>, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<()> {
    let failed = |error| Error::system("cannot prompt on standard output (-y skips it)", &error);
    warn(banner, output).map_err(failed)?;
    for _ in 0..TRIES_MAX {
        write!(output, "Do you want to continue? (y/N): ").map_err(failed)?;
        output.flush().map_err(failed)?;
        match read_answer(input) {
            Answer::Yes => return Ok(()),
            Answer::No => {
                // The answer counts even if this cannot be written.
                let _ = print(output, "*** Execution aborted as prompted by the user ***");
                return Err(Error::Declined);
            }
            Answer::Unrecognized => {
                print(output, "Sorry, response not recognized. Try again, please")
                    .map_err(failed)?;
            }
            Answer::Missing => break,
        }
    }
    let _ = print(output, "Response not processed");
    Err(Error::Unanswered)
}

fn warn(banner: &Banner<'_>, output: &mut dyn Write) -> io::Result<()> {
    let Banner { host, port, connections, findings } = banner;
    writeln!(output, "****************************** WARNING ******************************")?;
    writeln!(output, "* You are going to run a TCP stress check with these arguments:")?;
    writeln!(output, "*\t- Host: {host}")?;
    writeln!(output, "*\t- TCP Port: {port}")?;
    writeln!(output, "*\t- # of concurrent connections: {connections}")?;
    writeln!(output, "{STARS}")?;
    output.write_all(findings.as_bytes())
}

fn print(output: &mut dyn Write, line: &str) -> io::Result<()> {
    writeln!(output, "\n{line}")?;
    output.flush()
}

enum Answer {
    Yes,
    No,
    Unrecognized,
    /// The input ended or failed.
    Missing,
}

fn read_answer(input: &mut dyn BufRead) -> Answer {
    match read_line(input) {
        Err(_) | Ok(None) => Answer::Missing,
        Ok(Some(line)) if line.len() > LINE_BYTES_MAX => Answer::Unrecognized,
        Ok(Some(line)) => match line.trim_ascii().to_ascii_lowercase().as_slice() {
            b"y" | b"yes" => Answer::Yes,
            b"n" | b"no" | b"" => Answer::No,
            _ => Answer::Unrecognized,
        },
    }
}

/// The next line without its newline, `None` at the end of the input. Only [`LINE_BYTES_MAX`] bytes
/// and one more, which marks a longer line, are kept.
fn read_line(input: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut is_begun = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(is_begun.then_some(line));
        }
        is_begun = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let text = &chunk[..end.unwrap_or(chunk.len())];
        let left = LINE_BYTES_MAX + 1 - line.len();
        line.extend_from_slice(&text[..text.len().min(left)]);
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor, Read};

    const BANNER: &str = "\
****************************** WARNING ******************************
* You are going to run a TCP stress check with these arguments:
*\t- Host: example.com
*\t- TCP Port: 80
*\t- # of concurrent connections: 100
*********************************************************************
";
    const BASE: Banner<'_> =
        Banner { host: "example.com", port: "80", connections: 100, findings: "" };
    const QUESTION: &str = "Do you want to continue? (y/N): ";
    const ABORTED: &str = "\n*** Execution aborted as prompted by the user ***\n";
    const SORRY: &str = "\nSorry, response not recognized. Try again, please\n";
    const UNPROCESSED: &str = "\nResponse not processed\n";

    #[test]
    fn the_banner_lists_eight_targets_at_most() {
        let target = |host: &str, address: String| Target {
            host: host.into(),
            address: address.parse().unwrap(),
        };
        let one = Routes::to_one(target("localhost", "127.0.0.1:80".into()));
        assert_eq!(hosts_and_ports(&one), ("localhost(127.0.0.1)".into(), "80".into()));
        let v6 = Routes::to_one(target("::1", "[::1]:80".into()));
        assert_eq!(hosts_and_ports(&v6), ("::1".into(), "80".into()));
        let many = (1..=9).map(|n| target(&format!("127.0.0.{n}"), format!("127.0.0.{n}:8{n}")));
        let (hosts, ports) = hosts_and_ports(&Routes::new(many.collect(), &[]).unwrap());
        assert!(hosts.starts_with("127.0.0.1, 127.0.0.2, "), "{hosts}");
        assert!(hosts.ends_with("127.0.0.8, … (9 in all)"), "{hosts}");
        assert!(ports.ends_with("88, … (9 in all)"), "{ports}");
    }

    /// The result of the typed bytes, and the output after the banner.
    fn prompt(input: &mut dyn BufRead) -> (Result<()>, String) {
        let mut output = Vec::new();
        let outcome = confirm(&BASE, input, &mut output);
        let shown = String::from_utf8(output).unwrap();
        (outcome, shown.strip_prefix(BANNER).unwrap().to_string())
    }

    fn prompt_bytes(typed: &[u8]) -> (Result<()>, String) {
        prompt(&mut Cursor::new(typed))
    }

    #[test]
    fn findings_are_between_the_warning_and_the_prompt() {
        let mut output = Vec::new();
        let banner = Banner { findings: "- one\n- two\n", ..BASE };
        assert_eq!(confirm(&banner, &mut Cursor::new(b"y\n"), &mut output), Ok(()));
        let shown = format!("{BANNER}- one\n- two\n{QUESTION}");
        assert_eq!(String::from_utf8(output).unwrap(), shown);
    }

    #[test]
    fn yes_continues_and_reads_only_its_line() {
        for typed in [&b"y\n"[..], b"Y\n", b"yes\n", b"YeS\r\n", b" \ty  \n", b"y", b"yes"] {
            assert_eq!(prompt_bytes(typed), (Ok(()), QUESTION.into()), "{typed:?}");
        }
        let mut input = Cursor::new(b"y\nrest".to_vec());
        assert_eq!(prompt(&mut input).0, Ok(()));
        assert_eq!(input.position(), 2);
    }

    #[test]
    fn no_and_an_empty_line_decline() {
        for typed in [&b"n\n"[..], b"N\n", b"no\n", b"NO\r\n", b"\n", b"\r\n", b"  \n", b"n", b" "]
        {
            let shown = format!("{QUESTION}{ABORTED}");
            assert_eq!(prompt_bytes(typed), (Err(Error::Declined), shown), "{typed:?}");
        }
    }

    #[test]
    fn the_prompt_is_repeated_after_anything_else() {
        let long = [&b"y".repeat(4097)[..], b"\n"].concat();
        let spaces = [&b" ".repeat(5000)[..], b"y\n"].concat();
        for typed in [&b"maybe\n"[..], b"yy\n", b"\xff\xfe\n", b"y\0\n", b"y y\n", &long, &spaces] {
            let again = [typed, b"y\n"].concat();
            let shown = format!("{QUESTION}{SORRY}{QUESTION}");
            assert_eq!(prompt_bytes(&again), (Ok(()), shown.clone()), "{typed:?}");
            let ended = (Err(Error::Unanswered), format!("{shown}{UNPROCESSED}"));
            assert_eq!(prompt_bytes(typed), ended, "{typed:?}");
        }
    }

    #[test]
    fn the_prompt_gives_up_after_ten_unrecognized_answers() {
        // As from `yes maybe`.
        let mut input = BufReader::new(Endless);
        let (outcome, shown) = prompt(&mut input);
        let repeated = format!("{QUESTION}{SORRY}").repeat(TRIES_MAX as usize);
        assert_eq!((outcome, shown), (Err(Error::Unanswered), format!("{repeated}{UNPROCESSED}")));
    }

    #[test]
    fn the_end_of_the_input_is_unanswered() {
        let shown = format!("{QUESTION}{UNPROCESSED}");
        assert_eq!(prompt_bytes(b""), (Err(Error::Unanswered), shown.clone()));
        assert_eq!(prompt(&mut BufReader::new(Failing)), (Err(Error::Unanswered), shown));
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut input = BufReader::new(std::io::repeat(b'y').take(1 << 22));
        let line = read_line(&mut input).unwrap().unwrap();
        assert_eq!(line.len(), LINE_BYTES_MAX + 1);
        assert!(line.capacity() <= 4 * LINE_BYTES_MAX);
        assert_eq!(read_line(&mut input).unwrap(), None);
    }

    #[test]
    fn an_answer_can_arrive_in_pieces() {
        let mut input = BufReader::with_capacity(1, Stuttering(b"yes\n", false));
        assert_eq!(prompt(&mut input), (Ok(()), QUESTION.into()));
    }

    #[test]
    fn a_closed_output_causes_no_panic() {
        for room in 0..BANNER.len() + QUESTION.len() {
            let mut output = Narrow(room);
            let outcome = confirm(&BASE, &mut Cursor::new(b"y\n"), &mut output);
            assert!(matches!(outcome, Err(Error::System { .. })), "{room}");
        }
        let mut output = Narrow(BANNER.len() + QUESTION.len());
        let outcome = confirm(&BASE, &mut Cursor::new(b"n\n"), &mut output);
        assert_eq!(outcome, Err(Error::Declined));
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::Other.into())
        }
    }

    struct Endless;

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[..6].copy_from_slice(b"maybe\n");
            Ok(6)
        }
    }

    /// Interrupted before each piece.
    struct Stuttering(&'static [u8], bool);

    impl Read for Stuttering {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
        }
    }

    /// Accepts this number of bytes, then fails.
    struct Narrow(usize);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(ErrorKind::BrokenPipe.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
