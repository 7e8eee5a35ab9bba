//! Waiting for a condition with a deadline, and skipping.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take: the machines are shared, and stall.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until `look` finds something.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Reports that a test cannot run here. With CI=true that is a failure.
pub fn skip(why: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run here: {why}");
    // Not eprintln!, which the test harness captures; in one write, as other tests write too.
    let _ = io::stderr().write_all(format!("SKIPPED {name}: {why}\n").as_bytes());
}
