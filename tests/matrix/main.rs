//! Does the diagnosis name the true cause? Scenarios × seeds, with and without stalls of the poll loop,
//! as one table: the true cause is always among the candidates, first in nine of ten runs, and the wrong
//! side is never certain or alone. A stall may make a diagnosis less certain, never wrong.
//!
//! `MATRIX_SEEDS=200` runs more, `MATRIX_ONLY='a limit'` only rows with such names, and
//! `MATRIX_SEED=17` one seed, with its reports.

mod churn;
mod judge;
mod kinds;
mod plans;
#[path = "../common/report_invariants.rs"]
mod report_invariants;
mod short;
mod table;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use churn::scenarios;
use judge::{Judged, judge, outline};
use table::Scenario;
use tcpgoon::sim::world::Stalls;

const SEEDS_DEFAULT: u64 = 32;

/// Of 100 runs of a row, in how many at least a true cause is the first candidate.
const FIRST_PERCENT: usize = 90;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// One row and whether the loop is held up, with what came of its seeds.
#[derive(Default)]
struct Cell {
    runs: usize,
    named: usize,
    first: usize,
    /// What went wrong, by seed.
    failures: BTreeMap<u64, Vec<String>>,
    unnamed: Vec<u64>,
    not_first: Vec<u64>,
}

fn attempt(scenario: &Scenario, seed: u64, stalls: Stalls) -> Judged {
    let judged = catch_unwind(AssertUnwindSafe(|| judge(scenario, seed, stalls)));
    judged.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Judged { contradictions: vec![words.to_owned()], ..Judged::default() }
    })
}

impl Cell {
    fn fill(scenario: &Scenario, seeds: impl Iterator<Item = u64>, stalls: Stalls) -> Cell {
        let is_read = from_environment("MATRIX_SEED").is_some();
        let mut cell = Cell::default();
        for seed in seeds {
            let judged = attempt(scenario, seed, stalls);
            cell.runs += 1;
            cell.named += usize::from(judged.is_named);
            cell.first += usize::from(judged.is_first);
            if !judged.is_named {
                cell.unnamed.push(seed);
            }
            if !judged.is_first {
                cell.not_first.push(seed);
            }
            if is_read {
                println!("{} {stalls:?}:\n{}", scenario.name, outline(&judged));
            }
            let failures = [judged.wrong, judged.contradictions].concat();
            if !failures.is_empty() {
                cell.failures.insert(seed, failures);
            }
        }
        cell
    }

    /// What the row does not hold.
    fn verdict(&self, stalls: Stalls) -> Vec<String> {
        let mut words: Vec<String> = self
            .failures
            .iter()
            .map(|(seed, failures)| format!("seed {seed}: {}", failures.join("; ")))
            .collect();
        if !self.unnamed.is_empty() {
            words.push(format!("not named with seeds {:?}", self.unnamed));
        }
        let is_still = stalls == Stalls::None;
        if is_still && self.first * 100 < self.runs * FIRST_PERCENT {
            words.push(format!("not first with seeds {:?}", self.not_first));
        }
        words
    }

    fn percent(&self, count: usize) -> usize {
        count * 100 / self.runs.max(1)
    }
}

/// Fills all cells, on all processors.
fn fill(rows: &[&Scenario]) -> Vec<[Cell; 2]> {
    let only = from_environment("MATRIX_SEED");
    let seeds = from_environment("MATRIX_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let (next, cells) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(row) = rows.get(index)
                {
                    let pair = [Stalls::None, Stalls::Some].map(|stalls| {
                        let range = only.map_or(0..seeds, |seed| seed..seed + 1);
                        Cell::fill(row, range, stalls)
                    });
                    cells.lock().unwrap().insert(index, pair);
                }
            });
        }
    });
    cells.into_inner().unwrap().into_values().collect()
}

#[test]
fn the_true_cause_is_named_and_no_wrong_one_is_certain() {
    let only = std::env::var("MATRIX_ONLY").unwrap_or_default();
    let rows: Vec<&Scenario> = scenarios().filter(|row| row.name.contains(&only)).collect();
    let cells = fill(&rows);
    let mut failures = Vec::new();
    println!("{:54} {:>5} {:>13} {:>22}", "", "", "", "loop held up");
    println!(
        "{:54} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "scenario", "runs", "named", "first", "wrong", "named", "first", "wrong"
    );
    for (row, pair) in rows.iter().zip(&cells) {
        print!("{:54} {:>5}", row.name, pair[0].runs);
        for (cell, stalls) in pair.iter().zip([Stalls::None, Stalls::Some]) {
            let (named, first) = (cell.percent(cell.named), cell.percent(cell.first));
            print!(" {named:>5}% {first:>5}% {:>6}", cell.failures.len());
            for words in cell.verdict(stalls) {
                failures.push(format!("{} ({stalls:?}): {words}", row.name));
            }
        }
        println!();
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_table_names_causes_that_exist_and_each_row_once() {
    let mut names: Vec<&str> = scenarios().map(|row| row.name).collect();
    for row in scenarios() {
        for id in row.truth.iter().chain(row.alike).chain(row.never) {
            let cause = tcpgoon::diagnosis::causes::Cause::find(id);
            assert!(cause.is_some(), "{}: there is no cause {id}", row.name);
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), scenarios().count());
}
