//! A run's output, read as a script for the original reads it.

use std::time::Duration;

use super::output::{self, Stats, matches, span};
use super::program::Outcome;

/// The lines that the original prints.
#[derive(Debug)]
pub struct Original {
    /// The lines during the run.
    pub stats: Vec<Stats>,
    /// The line below the header.
    pub last: Stats,
    /// min, avg, max, dev.
    pub established: Option<[Duration; 4]>,
    pub failed: Option<[Duration; 4]>,
}

/// Reads a run's output strictly: lines that begin with all NotInitiated and balance, the header, a last
/// line, and timings with matching counts.
#[track_caller]
pub fn original(run: &Outcome, target: &str) -> Original {
    let header = format!("--- {target} tcp test statistics ---\n");
    let (before, after) = run.stdout.split_once(&header).unwrap_or_else(|| panic!("{run:#?}"));
    let stats = output::stats(before);
    assert_eq!(stats.len(), before.lines().count(), "something between the lines: {before}");
    assert_eq!(stats[0].not_initiated, stats[0].total, "{run:#?}");
    for pair in stats.windows(2) {
        assert!(pair[1].not_initiated <= pair[0].not_initiated, "{pair:?}");
        assert!(pair[1].error >= pair[0].error && pair[1].closed >= pair[0].closed, "{pair:?}");
    }
    let last = output::stats(after)[0];
    assert_eq!(last.total, stats[0].total, "{run:#?}");
    let mut lines = after.lines().skip(1).peekable();
    let mut timing = |which: &str, count: u64| {
        let shape = format!("Timing stats for # {which} connections min/avg/max/dev = @/@/@/@");
        let words = lines.next_if(|_| count > 0)?;
        let words = matches(words, &shape).unwrap_or_else(|| panic!("not '{shape}': {words}"));
        assert_eq!(words[0], count.to_string(), "{run:#?}");
        let [min, avg, max, dev] = [1, 2, 3, 4].map(|index| span(&words[index]));
        assert!(min <= avg && avg <= max && dev <= max - min, "{words:?}");
        assert_eq!(max.subsec_nanos() % 1000, 0, "it is truncated to microseconds: {words:?}");
        Some([min, avg, max, dev])
    };
    // Closed ones were established.
    let established = timing("established", last.established + last.closed);
    // Skipped dials have no time.
    let skipped = after.lines().find_map(|line| matches(line, "Dials skipped: # (*"));
    let skipped: u64 = skipped.map_or(0, |words| words[0].parse().unwrap());
    let failed = timing("failed", last.error - skipped);
    // What follows is ours.
    assert!(lines.next().is_some_and(|line| line.starts_with("--- tcpgoon ")), "{run:#?}");
    Original { stats, last, established, failed }
}

/// The last line of a run in which everything is decided.
pub fn decided(total: u64, established: u64, closed: u64) -> Stats {
    let error = total - established - closed;
    Stats { total, dialing: 0, established, closed, error, not_initiated: 0 }
}

/// The error reasons of the report.
#[track_caller]
pub fn errors(run: &Outcome) -> String {
    let [count, reasons] = &run.find("Errors: #, by reason: *")[..] else {
        unreachable!("two wildcards")
    };
    assert_eq!(*count, run.last().error.to_string());
    reasons.clone()
}
