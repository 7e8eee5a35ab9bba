//! `tcpgoon report` with files that are damaged, hostile, or not what they seem, and with outputs that
//! cannot be written: the right report, or one line.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::kinds::simulated;
use super::saved::{assert_refused, from_stdin};
use crate::common::{Outcome, Running, Scratch, run, tcpgoon, tcpgoon_after};
use tcpgoon::reread::Reread;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| simulated(3));

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// With the number of connections of the plan spelled otherwise.
fn with_connections(spelled: &str) -> String {
    let field = "\"connections_count\":";
    let (before, behind) = DOCUMENT.split_once(field).unwrap();
    let (_, behind) = behind.split_once(',').unwrap();
    format!("{before}{field}{spelled},{behind}")
}

/// With one more field.
fn with_field(name: &str, value: &str) -> String {
    let (before, _) = DOCUMENT.rsplit_once('}').unwrap();
    format!("{before},\"{name}\":{value}}}\n")
}

/// With a field that is not known.
fn with_unknown(value: &str) -> String {
    with_field("newer", value)
}

#[test]
fn counts_have_one_spelling_and_what_is_not_known_any_of_json() {
    let expected = from_stdin(DOCUMENT.as_bytes());
    expected.assert_code(0);
    for number in ["2e1", "1E+1", "1.0", "0.5", "-0", "-1", "1e999", "99999999999999999999"] {
        let refused = from_stdin(with_connections(number).as_bytes());
        let why = format!("plan.connections_count: '{number}': a whole number from 0 to 64000000");
        assert_refused(&refused, &why);
        let read = from_stdin(with_unknown(number).as_bytes());
        assert_eq!((&read.stdout, &*read.stderr), (&expected.stdout, ""), "{number}");
    }
    for (number, why) in [
        ("020", "'2': a comma or } is accepted here"),
        ("-01", "'1': a comma or } is accepted here"),
        ("0x14", "'x': a comma or } is accepted here"),
        ("+1", "'+': a value of JSON"),
        (".5", "'.': a value of JSON"),
        ("1.", ": a digit is accepted here"),
        ("1e", ": a digit is accepted here"),
        ("-", ": a digit is accepted here"),
        ("Infinity", "'I': a value of JSON"),
    ] {
        assert_refused(&from_stdin(with_connections(number).as_bytes()), why);
        assert_refused(&from_stdin(with_unknown(number).as_bytes()), why);
    }
}

#[test]
fn bytes_that_are_no_document_are_named_with_their_place() {
    let document = DOCUMENT.as_bytes();
    let utf16: Vec<u8> = DOCUMENT.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (bytes, why) in [
        ([b"\xef\xbb\xbf", document].concat(), "1:1: '\\u{feff}': a value of JSON"),
        ([&document[..20], b"\xff", &document[20..]].concat(), "1:21: no UTF-8"),
        ([b"\xfe\xff", &utf16[..]].concat(), "1:1: no UTF-8"),
        ([document, b"garbage"].concat(), "2:1: 'g': a value of JSON"),
        ([document, b"\0"].concat(), "2:1: '\\0': a value of JSON"),
        ([document, b"}"].concat(), "2:1: '}': a value of JSON"),
        (b" \r\n\t".to_vec(), "1:1: empty; a document of --json"),
        (b"[".repeat(1 << 20), "1:65: more than 64 objects and lists in each other"),
        (b"{\"a\":".repeat(1 << 20), "more than 64 objects and lists in each other"),
        (b"[".repeat((32 << 20) + 1), "1:1: longer than 32 MiB"),
        (with_field("\\u0073chema", "1").into(), "'schema': the field is there twice"),
    ] {
        assert_refused(&from_stdin(&bytes), why);
    }
    let expected = from_stdin(document);
    for lines in [DOCUMENT.replace('\n', "\r\n"), format!("\r\n\t {}\r\n \n", *DOCUMENT)] {
        let read = from_stdin(lines.as_bytes());
        assert_eq!((&read.stdout, &*read.stderr), (&expected.stdout, ""));
    }
    let of_several = from_stdin([simulated(4).as_bytes(), document].concat().as_slice());
    assert_eq!(of_several.stdout, expected.stdout, "the last");
}

#[test]
fn a_document_that_ends_at_any_byte_is_one_line() {
    let whole = DOCUMENT.trim_end();
    assert!(Reread::of(whole.as_bytes()).is_ok());
    for end in 0..whole.len() {
        let why = Reread::of(&whole.as_bytes()[..end]).err().unwrap_or_default();
        let is_line = !why.is_empty() && why.len() < 200 && !why.contains('\n');
        assert!(is_line, "{end}: {why}");
    }
}

#[test]
fn events_of_a_run_that_is_not_over_are_not_those_of_the_run_before() {
    let scratch = Scratch::new();
    let file = scratch.path("events");
    let args =
        ["-i", "500ms", "-c", "3", "-s", "0", "--hold", "1", "--events", text(&file), "h:80"];
    run(&[&["--rehearse", "ok"], &args[..]].concat()).assert_code(0);
    let first = run(&["report", text(&file)]);
    first.assert_code(0);
    run(&[&["--rehearse", "refuse"], &args[..]].concat()).assert_code(2);
    let second = run(&["report", text(&file)]);
    second.assert_code(0);
    assert!(second.stdout.contains("simulated: refuse") && !first.stdout.contains("refuse"));
    let events = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = events.split_inclusive('\n').collect();
    let is_start = |line: &&str| line.contains("\"event\":\"start\"");
    let started = lines.iter().rposition(is_start).unwrap();
    assert!(started > 0 && lines.len() > started + 2, "{events}");
    for end in started + 1..lines.len() {
        let why = format!("standard input:{}:1: no end of a run from here on", started + 1);
        assert_refused(&from_stdin(lines[..end].concat().as_bytes()), &why);
    }
    assert_eq!(from_stdin(lines[..started].concat().as_bytes()).stdout, first.stdout);
    // The last line is enough.
    assert_eq!(from_stdin(lines[lines.len() - 1].as_bytes()).stdout, second.stdout);
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let reading = Running::start(tcpgoon(&["report", text(&pipe)]));
    let writer = thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut pipe = File::options().write(true).open(pipe).unwrap();
            DOCUMENT.as_bytes().chunks(5_000).for_each(|part| pipe.write_all(part).unwrap());
        }
    });
    let outcome = reading.outcome();
    writer.join().unwrap();
    outcome.assert_code(0);
    assert_eq!(outcome.stdout, from_stdin(DOCUMENT.as_bytes()).stdout);
}

#[test]
fn the_file_that_is_read_is_not_written() {
    let scratch = Scratch::new();
    let saved = scratch.write("saved", &DOCUMENT);
    let (link, hard) = (scratch.path("link"), scratch.path("hard"));
    symlink(&saved, &link).unwrap();
    fs::hard_link(&saved, &hard).unwrap();
    let refused = |outcome: &Outcome, flag: &str, path: &str| {
        let why = format!("{flag} {path}: the run is read from this file: give another");
        assert_refused(outcome, &why);
        assert_eq!(fs::read_to_string(&saved).unwrap(), *DOCUMENT);
    };
    for flag in ["--html", "--json", "--junit", "--markdown", "--prometheus"] {
        let args = ["report", text(&saved), flag, text(&link)];
        refused(&run(&args), flag, text(&link));
    }
    refused(&run(&["report", text(&link), "--html", text(&hard)]), "--html", text(&hard));
    let mut from_stdin = tcpgoon(&["report", "-", "--html", text(&saved)]);
    from_stdin.stdin(File::open(&saved).unwrap());
    refused(&Running::start(from_stdin).outcome(), "--html", text(&saved));
    // Another file, and one of the name that stands for standard output.
    let mut to_stdout = tcpgoon(&["report", "-", "--json", "-"]);
    to_stdout.current_dir(scratch.path("")).stdin(File::open(&saved).unwrap());
    Running::start(to_stdout).outcome().assert_code(0);
    assert!(!scratch.path("-").exists());
}

#[test]
fn what_cannot_be_written_is_one_line_after_all_else_is() {
    let scratch = Scratch::new();
    let saved = scratch.write("saved", &DOCUMENT);
    let (page, old) = (scratch.path("page.html"), scratch.write("old.md", "old"));
    let expected = from_stdin(DOCUMENT.as_bytes());
    let args = ["report", text(&saved), "--html", text(&page), "--json", "/dev/full"];
    let full = run(&args);
    full.assert_code(1);
    let said = "tcpgoon: cannot write --json /dev/full: No space left on device (os error 28)\n";
    assert_eq!((&full.stdout, &*full.stderr), (&expected.stdout, said));
    assert!(fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
    // More than a file may have: what was there stays.
    let before = fs::read(&page).unwrap();
    let args = ["report", text(&saved), "--html", text(&page)];
    let large = Running::start(tcpgoon_after("ulimit -f 1", &args)).outcome();
    large.assert_code(1);
    assert_eq!(
        (large.stdout.lines().count(), large.stderr.lines().count()),
        (expected.stdout.lines().count(), 1)
    );
    assert_eq!(fs::read(&page).unwrap(), before);
    // Two to standard output, and one in a directory that does not exist: nothing is written.
    let none = run(&["report", text(&saved), "--json", "-", "--html", "-"]);
    none.assert_code(1);
    assert!(none.stdout.is_empty() && none.stderr.contains("standard output takes one of them"));
    let args = ["--markdown", text(&old), "--html", "/nonexistent/page"];
    let none = run(&[&["report", text(&saved)], &args[..]].concat());
    assert_refused(&none, "--html /nonexistent/page: No such file or directory");
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
}
