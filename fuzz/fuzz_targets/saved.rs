//! Bytes → JSON → a run → its diagnosis → every renderer. Nothing panics; what is not read is one line.
//! The bytes are the text itself, or changes of the document of a simulated run, most of which get past
//! the reader.

#![no_main]

#[path = "../../tests/common/damaged.rs"]
mod damaged;

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use damaged::{Edit, check};
use libfuzzer_sys::fuzz_target;
use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::diagnose;
use tcpgoon::engine::{Engine, Summary};
use tcpgoon::icmp::IcmpTally;
use tcpgoon::limits::Host;
use tcpgoon::report::{Report, json};
use tcpgoon::sim::{Observer, Record, Sim, TIMED_SEEDS};
use tcpgoon::units::Span;

/// Seeds with small documents of many kinds.
const SEEDS: u64 = 40;
const EDITS_MAX: usize = 6;

struct Silent;

impl Observer for Silent {
    fn turn(&mut self, _: &Engine, _: &Record) -> std::result::Result<(), String> {
        Ok(())
    }

    fn end(&mut self, _: &Engine, _: &Summary) -> std::result::Result<(), String> {
        Ok(())
    }
}

static DOCUMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    // The latter with a duration, and most of them churn.
    let all = (0..SEEDS).chain(TIMED_SEEDS..TIMED_SEEDS + SEEDS).map(document);
    all.filter(|document| document.len() < 50_000).collect()
});

fn document(seed: u64) -> String {
    let mut sim = Sim::new(seed, false);
    let summary = sim.run(&mut Silent).expect("a run").summary;
    let report = Report {
        target: "",
        plan: sim.plan(),
        command_line: "tcpgoon",
        host: None,
        start_unix_ns: 0,
        end_unix_ns: 0,
        summary: &summary,
        turn_longest: Span::ZERO,
        counters: &Counters::default(),
        icmp: &IcmpTally::default(),
        limits: &Host::default(),
        findings: &[],
        last_lines: &[],
        ended_by: None,
        lines_dropped: 0,
        judged: &[],
        exit_code: 0,
    };
    json::document(&report, &diagnose(&report.case()))
}

fn edited(data: &[u8]) -> Result<String> {
    let u = &mut Unstructured::new(data);
    let mut document = u.choose(&DOCUMENTS)?.clone();
    for _ in 0..u.int_in_range(1..=EDITS_MAX)? {
        let edit =
            Edit { place: u32::arbitrary(u)?, kind: u8::arbitrary(u)?, value: u64::arbitrary(u)? };
        document = edit.apply(&document);
    }
    Ok(document)
}

fuzz_target!(|data: &[u8]| match data {
    [0, rest @ ..] => drop(check(rest)),
    data => drop(edited(data).map(|document| check(document.as_bytes()))),
});
