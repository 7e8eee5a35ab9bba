//! Runs by the clock: `--duration`.

mod common;

use std::time::Duration;

use common::{ClosedPort, Served, run};

/// How late anything may be: the machines are shared, and stall.
const LATE: Duration = Duration::from_secs(5);

#[test]
fn a_duration_ends_the_dials_and_slots_never_dialed_are_no_fault() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run =
        run(&["-y", "-c", "5000", "--rate", "100", "--duration", "300ms", "-i", "0", &target]);
    run.assert_code(0);
    let last = run.last();
    assert!(last.established > 0 && last.not_initiated > 4000, "{run:#?}");
    assert!(run.took < Duration::from_millis(300) + LATE, "{run:#?}");
    let (open, left) = (last.established, last.not_initiated);
    let verdict = run.stdout.split("--- verdict ---\n").nth(1).unwrap().replace('\n', " ");
    let reached = format!("OK: {open} of {open} connections; no limit found up to {open} ");
    assert!(verdict.starts_with(&reached), "{run:#?}");
    assert!(verdict.contains(&format!("--duration ended the run with {left} not dialed.")));
}

#[test]
fn a_duration_ends_a_longer_hold_and_a_shorter_hold_ends_before_it() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    for (hold, duration) in [("forever", "200ms"), ("1h", "200ms"), ("100ms", "1h")] {
        let flags = ["-y", "-c", "3", "-s", "0", "-i", "0", "--settle", "0"];
        let run = run(&[&flags[..], &["--hold", hold, "--duration", duration, &target]].concat());
        run.assert_code(0);
        assert_eq!(run.last().established, 3);
        assert!(run.took >= Duration::from_millis(100) && run.took < LATE, "{hold}: {run:#?}");
    }
}

#[test]
fn errors_within_a_duration_are_errors() {
    let closed = ClosedPort::new();
    let run = run(&["-y", "-c", "900", "--duration", "200ms", "-i", "0", &closed.target()]);
    run.assert_code(2);
    let last = run.last();
    assert!(last.error > 0 && last.not_initiated > 0, "{run:#?}");
}
