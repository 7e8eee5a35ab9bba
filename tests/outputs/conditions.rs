//! `--fail-if`: the last lines of the text, and the exit code.

use crate::common::{ClosedPort, Outcome, Running, Served, run, tcpgoon};
use nix::sys::signal::Signal;

fn of(args: &[&str], target: &str) -> Outcome {
    run(&[&["-y", "-c", "4", "-s", "0"], args, &[target]].concat())
}

#[test]
fn conditions_alone_decide_and_stand_last() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let fails = of(&["--fail-if", "established < 95%", "--fail-if=errors>1h"], &server.target());
    fails.assert_code(1);
    assert!(fails.stderr.contains("--fail-if 'errors>1h': the value of errors is a count"));
    assert!(fails.stdout.is_empty(), "{fails:#?}");

    let both = ["--fail-if", "established<95%", "--fail-if", "dial_max>1h"];
    let held = of(&both, &server.target());
    held.assert_code(0);
    let lines: Vec<&str> = held.stdout.lines().rev().take(3).collect();
    assert!(lines[0].starts_with("ok      dial_max>1h      actual "), "{held:#?}");
    assert_eq!(lines[1..], ["ok      established<95%  actual 4 of 4 (100%)", "--- thresholds ---"]);

    let fails = of(&both, &closed.target());
    fails.assert_code(3);
    let lines: Vec<&str> = fails.stdout.lines().rev().take(2).collect();
    let expected =
        ["FAILED  dial_max>1h      actual unknown", "FAILED  established<95%  actual 0 of 4 (0%)"];
    assert_eq!(lines, expected);

    // Errors that no condition is about are no failure.
    of(&["--fail-if", "errors>4"], &closed.target()).assert_code(0);
    of(&[], &closed.target()).assert_code(2);
}

#[test]
fn a_run_that_was_not_completed_does_not_pass() {
    let server = Served::start(&["-i", "0"]);
    for (condition, code) in [("errors>0", 1), ("established<20", 3)] {
        let before = server.running.stdout.text().len();
        let args = ["-y", "-c", "20", "-s", "10s", "--fail-if", condition, &server.target()];
        let run = Running::start(tcpgoon(&args));
        run.wait_for_stats("it has begun", |stats| stats.established == 1 || before == 0);
        run.signal(Signal::SIGINT);
        run.outcome().assert_code(code);
    }
}
