//! The question before a run, answered through a pipe.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::Stdio;

use crate::common::{Outcome, Running, listener, tcpgoon};

const QUESTION: &str = "Do you want to continue? (y/N): ";
const ABORTED: &str = "*** Execution aborted as prompted by the user ***\n";
const AGAIN: &str = "Sorry, response not recognized. Try again, please\n";

/// Runs 3 connections with this input. Returns how many were dialed.
fn answered(typed: &[u8]) -> (Outcome, usize) {
    let listener = listener("127.0.0.1");
    let mut command = tcpgoon(&["-c", "3", "-s", "0", &listener.local_addr().unwrap().to_string()]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    // The question comes before any input.
    running.stdout.wait_for_words(QUESTION);
    // It may not read all of it.
    let _ = running.stdin().write_all(typed);
    let outcome = running.outcome();
    listener.set_nonblocking(true).unwrap();
    (outcome, listener.incoming().map_while(Result::ok).count())
}

#[test]
fn the_warning_names_connections_target_and_pace() {
    let args = ["-c", "1500", "--host", "127.0.0.1", "--port", "4242"];
    let run = crate::common::run(&args);
    run.assert_code(1);
    let warning = "\
****************************** WARNING ******************************
* You are going to run a TCP stress check with these arguments:
*\t- Host: 127.0.0.1
*\t- TCP Port: 4242
*\t- # of concurrent connections: 1500
*********************************************************************
This dials 1500 connections to 127.0.0.1:4242, one every 10ms: 15s in all, and
up to 5s more for a dial without a reply. Then they are closed.
Do you want to continue? (y/N): ";
    assert!(run.stdout.starts_with(warning), "{run:#?}");
}

#[test]
fn yes_goes_on() {
    for typed in ["y\n", "yes\n", "YES\n", "Y\r\n", "y"] {
        let (run, dialed) = answered(typed.as_bytes());
        run.assert_code(0);
        assert_eq!((run.last().established, dialed), (3, 3), "{typed:?}");
        let behind = run.stdout.split_once(QUESTION).unwrap().1;
        assert!(behind.starts_with("Total: 3, "), "{run:#?}");
    }
}

#[test]
fn no_and_an_empty_line_end_it_without_a_dial() {
    for typed in ["n\n", "no\n", "NO\n", "\n", "n\ny\n"] {
        let (run, dialed) = answered(typed.as_bytes());
        run.assert_code(1);
        assert!(run.stdout.ends_with(ABORTED), "{run:#?}");
        assert_eq!((dialed, run.stderr.as_str()), (0, ""), "{typed:?}");
    }
}

#[test]
fn other_input_repeats_the_question() {
    for (typed, code, questions) in [
        (&b"maybe\ny\n"[..], 0, 2),
        (b"\xff\xfe\nyy\ny\n", 0, 3),
        (b"y y\nn\n", 1, 2),
        (b"maybe\n", 1, 2),
    ] {
        let (run, dialed) = answered(typed);
        run.assert_code(code);
        assert_eq!(run.stdout.matches(QUESTION).count(), questions, "{run:#?}");
        assert_eq!(run.stdout.matches(AGAIN).count(), questions - 1, "{run:#?}");
        assert_eq!(dialed, if code == 0 { 3 } else { 0 });
    }
}

#[test]
fn an_endless_line_is_no() {
    let mut typed = vec![b'y'; 1 << 20];
    typed.extend(b"\nn\n");
    let (run, dialed) = answered(&typed);
    run.assert_code(1);
    assert!(run.stdout.ends_with(ABORTED), "{run:#?}");
    assert_eq!(dialed, 0);
}

#[test]
fn end_of_input_is_no() {
    let (run, dialed) = answered(b"");
    run.assert_code(1);
    assert!(run.stdout.ends_with("Response not processed\n"), "{run:#?}");
    let hint = "tcpgoon: the question was not answered: -y skips it\n";
    assert_eq!((dialed, run.stderr.as_str()), (0, hint));
    let closed = crate::common::tcpgoon_after("exec <&-", &["127.0.0.1:9"]);
    let run = Running::start(closed).outcome();
    run.assert_code(1);
    assert!(run.stdout.ends_with("Response not processed\n"), "{run:#?}");
}

#[test]
fn a_question_that_cannot_be_written_is_an_error_without_a_dial() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let full: Stdio = OpenOptions::new().write(true).open("/dev/full").unwrap().into();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    for stdout in [full, writer.into()] {
        let mut command = tcpgoon(&[&target]);
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut running = Running::start_as_it_is(command);
        let _ = running.stdin().write_all(b"y\n");
        let run = running.outcome();
        run.assert_code(1);
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with("tcpgoon: cannot prompt on standard output"), "{run:#?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was dialed");
}
