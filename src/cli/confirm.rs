//! The warning before a run, and the question that has to be answered with yes.

use std::collections::HashSet;
use std::io::{self, BufRead, ErrorKind, Write};

use crate::error::{Error, Result};
use crate::route::{Routes, Target};

/// The most bytes of a line that are looked at. A longer one is no answer, and whoever sends it
/// fills no memory.
const LINE_BYTES_MAX: usize = 4096;

const STARS: &str = "*********************************************************************";

/// Answers other than y or n before the prompt gives up: they do not come from an operator.
const TRIES_MAX: u32 = 10;

/// The most hosts and ports that the banner lists; of more it says how many there are.
const LISTED_MAX: usize = 8;

/// What is said before the question.
#[derive(Debug, Clone, Copy)]
pub struct Banner<'a> {
    pub host: &'a str,
    pub port: &'a str,
    pub connections: u32,
    /// What the original knows nothing of, and what stands below its warning: whole lines, or
    /// nothing.
    pub findings: &'a str,
}

/// What the banner calls the targets: hosts (a name with the address that will be dialed) and
/// ports, each once.
pub fn hosts_and_ports(routes: &Routes) -> (String, String) {
    let hosts = listed(routes.targets().iter().map(Target::host_words));
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

/// Shows what is about to happen and asks until it is told to go on or not to; the words are the
/// original's.
///
/// What is said after the question begins on a line of its own, whether or not a terminal echoed
/// the answer's newline.
///
/// # Errors
/// [`Error::Declined`] on no or nothing, [`Error::Unanswered`] where the input ends or fails or is no
/// answer `TRIES_MAX` times, and
/// [`Error::System`] where nobody can be asked.
pub fn confirm(banner: &Banner<'_>, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<()> {
    let unasked = |error| Error::system("cannot ask on standard output (-y does without)", &error);
    warn(banner, output).map_err(unasked)?;
    for _ in 0..TRIES_MAX {
        write!(output, "Do you want to continue? (y/N): ").map_err(unasked)?;
        output.flush().map_err(unasked)?;
        match read_answer(input) {
            Answer::Yes => return Ok(()),
            Answer::No => {
                // The answer stands, whether or not anybody can be told.
                let _ = say(output, "*** Execution aborted as prompted by the user ***");
                return Err(Error::Declined);
            }
            Answer::Unrecognized => {
                say(output, "Sorry, response not recognized. Try again, please")
                    .map_err(unasked)?;
            }
            Answer::Missing => break,
        }
    }
    let _ = say(output, "Response not processed");
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

fn say(output: &mut dyn Write, line: &str) -> io::Result<()> {
    writeln!(output, "\n{line}")?;
    output.flush()
}

enum Answer {
    Yes,
    No,
    Unrecognized,
    /// The input ended, or failed, before anything was typed.
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

/// The next line without its end, `None` at the end of the input; at most one byte more than
/// [`LINE_BYTES_MAX`] of it, which is how its length is told. The rest of the line is dropped.
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
        let room = LINE_BYTES_MAX + 1 - line.len();
        line.extend_from_slice(&text[..text.len().min(room)]);
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
    const ASKED: Banner<'_> =
        Banner { host: "example.com", port: "80", connections: 100, findings: "" };
    const QUESTION: &str = "Do you want to continue? (y/N): ";
    const ABORTED: &str = "\n*** Execution aborted as prompted by the user ***\n";
    const SORRY: &str = "\nSorry, response not recognized. Try again, please\n";
    const UNPROCESSED: &str = "\nResponse not processed\n";

    #[test]
    fn the_banner_names_every_target_until_there_are_too_many() {
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

    /// What came of the typed bytes, and what was shown after the banner.
    fn ask(input: &mut dyn BufRead) -> (Result<()>, String) {
        let mut output = Vec::new();
        let outcome = confirm(&ASKED, input, &mut output);
        let shown = String::from_utf8(output).unwrap();
        (outcome, shown.strip_prefix(BANNER).unwrap().to_string())
    }

    fn ask_bytes(typed: &[u8]) -> (Result<()>, String) {
        ask(&mut Cursor::new(typed))
    }

    #[test]
    fn findings_stand_between_the_warning_and_the_question() {
        let mut output = Vec::new();
        let banner = Banner { findings: "- one\n- two\n", ..ASKED };
        assert_eq!(confirm(&banner, &mut Cursor::new(b"y\n"), &mut output), Ok(()));
        let shown = format!("{BANNER}- one\n- two\n{QUESTION}");
        assert_eq!(String::from_utf8(output).unwrap(), shown);
    }

    #[test]
    fn yes_goes_on_and_takes_no_more_than_its_line() {
        for typed in [&b"y\n"[..], b"Y\n", b"yes\n", b"YeS\r\n", b" \ty  \n", b"y", b"yes"] {
            assert_eq!(ask_bytes(typed), (Ok(()), QUESTION.into()), "{typed:?}");
        }
        let mut input = Cursor::new(b"y\nrest".to_vec());
        assert_eq!(ask(&mut input).0, Ok(()));
        assert_eq!(input.position(), 2);
    }

    #[test]
    fn no_and_nothing_decline() {
        for typed in [&b"n\n"[..], b"N\n", b"no\n", b"NO\r\n", b"\n", b"\r\n", b"  \n", b"n", b" "]
        {
            let shown = format!("{QUESTION}{ABORTED}");
            assert_eq!(ask_bytes(typed), (Err(Error::Declined), shown), "{typed:?}");
        }
    }

    #[test]
    fn anything_else_is_asked_again() {
        let long = [&b"y".repeat(4097)[..], b"\n"].concat();
        let spaces = [&b" ".repeat(5000)[..], b"y\n"].concat();
        for typed in [&b"maybe\n"[..], b"yy\n", b"\xff\xfe\n", b"y\0\n", b"y y\n", &long, &spaces] {
            let again = [typed, b"y\n"].concat();
            let shown = format!("{QUESTION}{SORRY}{QUESTION}");
            assert_eq!(ask_bytes(&again), (Ok(()), shown.clone()), "{typed:?}");
            let ended = (Err(Error::Unanswered), format!("{shown}{UNPROCESSED}"));
            assert_eq!(ask_bytes(typed), ended, "{typed:?}");
        }
    }

    #[test]
    fn whatever_goes_on_with_no_answer_is_given_up() {
        // As of `yes maybe`, which has no end.
        let mut input = BufReader::new(Endless);
        let (outcome, shown) = ask(&mut input);
        let asked = format!("{QUESTION}{SORRY}").repeat(TRIES_MAX as usize);
        assert_eq!((outcome, shown), (Err(Error::Unanswered), format!("{asked}{UNPROCESSED}")));
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        let shown = format!("{QUESTION}{UNPROCESSED}");
        assert_eq!(ask_bytes(b""), (Err(Error::Unanswered), shown.clone()));
        assert_eq!(ask(&mut BufReader::new(Failing)), (Err(Error::Unanswered), shown));
    }

    #[test]
    fn a_line_without_end_fills_no_memory() {
        let mut input = BufReader::new(std::io::repeat(b'y').take(1 << 22));
        let line = read_line(&mut input).unwrap().unwrap();
        assert_eq!(line.len(), LINE_BYTES_MAX + 1);
        assert!(line.capacity() <= 4 * LINE_BYTES_MAX);
        assert_eq!(read_line(&mut input).unwrap(), None);
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let mut input = BufReader::with_capacity(1, Stuttering(b"yes\n", false));
        assert_eq!(ask(&mut input), (Ok(()), QUESTION.into()));
    }

    #[test]
    fn a_closed_output_is_no_panic() {
        for room in 0..BANNER.len() + QUESTION.len() {
            let mut output = Narrow(room);
            let outcome = confirm(&ASKED, &mut Cursor::new(b"y\n"), &mut output);
            assert!(matches!(outcome, Err(Error::System { .. })), "{room}");
        }
        let mut output = Narrow(BANNER.len() + QUESTION.len());
        let outcome = confirm(&ASKED, &mut Cursor::new(b"n\n"), &mut output);
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

    /// Takes so many bytes and is closed then.
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
