//! The program on a pseudo-terminal, and with an output that blocks.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::common::output::{self, span};
use crate::common::streams::{SmallPipe, Terminal, lines_of};
use crate::common::{Captured, Running, Served, skip, tcpgoon, wait_until};
use nix::sys::signal::Signal;

/// Starts it with the terminal as its standard streams.
fn on(terminal: &Terminal, mut command: Command) -> Running {
    command.stdin(terminal.device()).stdout(terminal.device()).stderr(terminal.device());
    // Neither colours nor a line that is redrawn.
    command.env("TERM", "dumb").env_remove("CLICOLOR_FORCE");
    Running::start_as_it_is(command)
}

/// The same in a session with this controlling terminal, where keys send signals.
fn in_session(terminal: &Terminal, words: &[&str]) -> Running {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(words);
    on(terminal, command)
}

const TCPGOON: &str = env!("CARGO_BIN_EXE_tcpgoon");

/// Hides /proc in a mount namespace, and runs what follows.
const WITHOUT_PROC: [&str; 5] =
    ["unshare", "-rm", "sh", "-ec", "mount -t tmpfs none /proc; exec \"$0\" \"$@\""];

/// Whether this works here; skips aloud if not.
fn can(words: &[&str]) -> bool {
    let tried = Command::new(words[0]).args(&words[1..]).output();
    let is_done = tried.is_ok_and(|output| output.status.success());
    if !is_done {
        skip(&format!("cannot do this here: {}", words.join(" ")));
    }
    is_done
}

#[test]
fn the_question_is_shown_and_the_answer_obeyed() {
    let server = Served::start(&["-i", "0"]);
    for (typed, code) in [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)] {
        let terminal = Terminal::new();
        let mut run = on(&terminal, tcpgoon(&["-c", "3", "-s", "0", &server.target()]));
        let (mut keyboard, screen) = terminal.show();
        screen.wait_for_words("Do you want to continue? (y/N): ");
        keyboard.write_all(typed.as_bytes()).unwrap();
        assert_eq!(run.ended().code(), Some(code), "{}", screen.text());
        let text = lines_of(&screen.all());
        let is_reported = text.contains("Established: 3, Closed: 0, Error: 0, NotInitiated: 0\n");
        assert_eq!(is_reported, code == 0, "{text}");
    }
}

#[test]
fn ctrl_c_at_the_question_kills_and_during_the_run_ends_it() {
    if !can(&["setsid", "true"]) {
        return;
    }
    let server = Served::start(&["-i", "0"]);
    let terminal = Terminal::new();
    let run = in_session(&terminal, &[TCPGOON, "-c", "3", &server.target()]);
    let (mut keyboard, screen) = terminal.show();
    screen.wait_for_words("(y/N): ");
    keyboard.write_all(b"\x03").unwrap();
    assert_eq!(run.outcome().signal(), Some(Signal::SIGINT));

    let terminal = Terminal::new();
    let args =
        [TCPGOON, "-y", "--report=full", "-c", "100k", "-s", "5", "-i", "10ms", &server.target()];
    let run = in_session(&terminal, &args);
    let (mut keyboard, screen) = terminal.show();
    wait_until("some are established", || {
        output::stats(&lines_of(&screen.text())).iter().any(|s| s.established >= 3).then_some(())
    });
    keyboard.write_all(b"\x03").unwrap();
    run.outcome().assert_code(1);
    let text = lines_of(&screen.all());
    assert!(text.contains(", ended by a signal)\n"), "{text}");
}

#[test]
fn a_hangup_ends_the_run() {
    if !can(&["setsid", "true"]) {
        return;
    }
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    let args = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "forever", &server.target()];
    let run = in_session(&terminal, &[&[TCPGOON], args.as_slice()].concat());
    server.wait_for_counts("all are established", |[_, open, ..]| open == 5);
    // The last reference to the master: the kernel sends SIGHUP.
    drop(terminal);
    // Its report could not be written.
    run.outcome().assert_code(1);
    server.wait_for_counts("all are closed", |[_, open, _, closed]| (open, closed) == (0, 5));
}

/// The arguments of a run of 100 dials in 1 s, with more lines than any stalled output takes.
fn busy(target: &str) -> [&str; 9] {
    ["-y", "--report=full", "-c", "100", "-s", "10", "-i", "100us", target]
}

/// Waits until a server has accepted all of a [`busy`] run.
fn wait_until_dialed(server: &Served) {
    server.wait_for_counts("all were dialed", |[accepted, ..]| accepted == 100);
}

/// Whole lines of a [`busy`] run and a whole report, with the number of dropped lines.
fn assert_whole(text: &str) {
    let (lines, report) = text.split_once("--- 127.0.0.1:").unwrap_or_else(|| panic!("{text}"));
    let whole = output::stats(lines).len();
    assert_eq!(whole, lines.lines().count(), "a torn line in {text}");
    assert!(whole > 5, "{text}");
    let find = |shape: &str| {
        let found = report.lines().find_map(|line| output::matches(line, shape));
        found.unwrap_or_else(|| panic!("no line '{shape}' in {text}"))
    };
    let end = "Total: 100, Dialing: 0, Established: 100, Closed: 0, Error: 0, NotInitiated: 0";
    assert!(report.contains(end), "{text}");
    assert_ne!(find("Output lines dropped: #"), ["0"]);
    assert!(report.contains("\nOutput lines dropped"), "{text}");
    assert!(text.ends_with("whether they last\n"), "{text}");
    // The dials went on while the output was blocked.
    let took = span(&find("Dial starts: 100, from first to last @")[0]);
    assert!(took < Duration::from_secs(6), "{text}");
}

#[test]
fn a_blocked_terminal_does_not_stop_the_dials() {
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    let target = server.target();
    let mut run = on(&terminal, tcpgoon(&busy(&target)));
    wait_until_dialed(&server);
    terminal.wait_until_full();
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    assert_whole(&lines_of(&screen.all()));
}

#[test]
fn a_blocked_terminal_that_cannot_be_reopened_does_not_stop_the_dials() {
    let without_proc = [&["setsid"], WITHOUT_PROC.as_slice(), &[TCPGOON]].concat();
    if !can(&[without_proc.as_slice(), &["version"]].concat()) {
        return;
    }
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    let target = server.target();
    let words = [&without_proc[1..], &busy(&target)].concat();
    let mut run = in_session(&terminal, &words);
    wait_until_dialed(&server);
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    assert_whole(&lines_of(&screen.all()));
}

#[test]
fn ctrl_s_does_not_stop_the_dials_and_ctrl_q_shows_the_rest() {
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    let target = server.target();
    let mut run = on(&terminal, tcpgoon(&busy(&target)));
    let (mut keyboard, screen) = terminal.show();
    wait_until("it prints", || (output::stats(&lines_of(&screen.text())).len() > 6).then_some(()));
    keyboard.write_all(b"\x13").unwrap();
    wait_until_dialed(&server);
    assert!(run.child.try_wait().unwrap().is_none(), "the report waits for its reader");
    keyboard.write_all(b"\x11").unwrap();
    assert_eq!(run.ended().code(), Some(0));
    assert_whole(&lines_of(&screen.all()));
}

#[test]
fn a_full_pipe_does_not_stop_the_dials() {
    let server = Served::start(&["-i", "20ms"]);
    let pipe = SmallPipe::new();
    let target = server.target();
    let mut command = tcpgoon(&busy(&target));
    command.stdout(pipe.writer());
    let mut run = Running::start_as_it_is(command);
    wait_until_dialed(&server);
    let text = pipe.read_to_end();
    assert_eq!(run.ended().code(), Some(0));
    assert_whole(&text);
}

#[test]
fn a_full_pipe_that_cannot_be_reopened_does_not_stop_the_dials() {
    let without_proc = [WITHOUT_PROC.as_slice(), &[TCPGOON]].concat();
    if !can(&[without_proc.as_slice(), &["version"]].concat()) {
        return;
    }
    let server = Served::start(&["-i", "20ms"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let target = server.target();
    let mut command = Command::new(without_proc[0]);
    command.args(&without_proc[1..]).args(busy(&target)).stdout(writer);
    let mut run = Running::start_as_it_is(command);
    wait_until_dialed(&server);
    let text = Captured::from_reader(reader).all();
    assert_eq!(run.ended().code(), Some(0));
    assert_whole(&text);
}

#[test]
fn debug_lines_and_report_do_not_interleave_on_one_terminal() {
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    let target = server.target();
    let args = ["-y", "-c", "1000", "-s", "1", "-i", "0", "--debug", &target];
    let mut run = on(&terminal, tcpgoon(&args));
    server.wait_for_counts("all were dialed", |[accepted, ..]| accepted == 1000);
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    let text = lines_of(&screen.all());
    let header = format!("\n--- {target} tcp test statistics ---\n");
    let (debugging, report) = text.split_once(&header).unwrap_or_else(|| panic!("{text}"));
    let shapes = ["connection # to *: dialing", "connection # to *: established after @"];
    let is_whole = |line: &str| shapes.iter().any(|shape| output::matches(line, shape).is_some());
    assert!(debugging.lines().skip(1).all(is_whole), "a torn line in {text}");
    assert!(report.contains("\nOutput lines dropped"), "{text}");
}

#[test]
fn debug_lines_into_a_full_pipe_do_not_stop_the_dials() {
    let server = Served::start(&["-i", "20ms"]);
    let pipe = SmallPipe::new();
    let target = server.target();
    let mut command = tcpgoon(&["-y", "-c", "500", "-s", "1", "--debug", &target]);
    command.stdout(std::process::Stdio::piped()).stderr(pipe.writer());
    let run = Running::start_as_it_is(command);
    // The report does not wait for the reader of the debug lines.
    let run = run.outcome();
    run.assert_code(0);
    assert_ne!(run.find("Output lines dropped: #"), ["0"]);
    let debugging = pipe.read_to_end();
    let shape = "connection # to *: *";
    let is_whole = |line: &str| output::matches(line, shape).is_some();
    assert!(debugging.ends_with('\n') && debugging.lines().all(is_whole), "{debugging}");
}
