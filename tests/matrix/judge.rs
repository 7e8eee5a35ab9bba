//! What a diagnosis is held against, and how it fares.

use std::fmt::Write;
use std::net::Ipv4Addr;

use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::causes::Cause;
use tcpgoon::diagnosis::model::{Candidate, Diagnosis, Likelihood, Problem};
use tcpgoon::engine::Side;
use tcpgoon::icmp::{IcmpError, IcmpTally};
use tcpgoon::last_lines::LastLine;
use tcpgoon::plan::Plan;
use tcpgoon::sim::world::setup::{Server, World};
use tcpgoon::sim::world::{Outcome, Stalls, run};
use tcpgoon::units::Span;

use super::table::Scenario;
use crate::report_invariants::{
    Beside, all_problems, contradictions, html_faults, reported, short_faults,
};

/// This host, and a device on the path.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
const BEYOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

/// How a run was judged.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Whether a true cause is among the candidates; where nothing is wrong, whether nothing is
    /// claimed. After a stall also whether it is said that this host may be the cause, or that the
    /// cause is not determined.
    pub is_named: bool,
    /// Whether one that fits is the first candidate of the first problem.
    pub is_first: bool,
    /// What is claimed that is not so.
    pub wrong: Vec<String>,
    /// What contradicts the report itself.
    pub contradictions: Vec<String>,
    /// The report.
    pub text: String,
}

/// Runs a scenario and judges the diagnosis.
///
/// # Panics
/// Where the engine, the diagnosis or a renderer does.
pub fn judge(scenario: &Scenario, seed: u64, stalls: Stalls) -> Judged {
    let (plan, world) = scenario.of(seed);
    let Reported { outcome, diagnosis, text, contradictions } =
        report_of(&plan, &world, seed, stalls);
    let mut judged = Judged { text, contradictions, ..Judged::default() };
    claims(scenario, &diagnosis, stalls, &mut judged);
    overstatements(&outcome, &diagnosis, &mut judged.contradictions);
    judged
}

/// A run with its diagnosis and its report.
pub struct Reported {
    pub outcome: Outcome,
    pub diagnosis: Diagnosis,
    pub text: String,
    pub contradictions: Vec<String>,
}

pub fn report_of(plan: &Plan, world: &World, seed: u64, stalls: Stalls) -> Reported {
    let outcome = run(plan, world, seed, stalls);
    let beside = beside(world, &outcome);
    let (diagnosis, text) = reported(plan, &outcome.summary, &beside);
    let mut contradictions = contradictions(plan, &outcome.summary, &diagnosis, &text);
    contradictions.extend(short_faults(plan, &outcome.summary, &beside, &diagnosis));
    contradictions.extend(html_faults(plan, &outcome.summary, &beside, (&diagnosis, &text)));
    Reported { outcome, diagnosis, text, contradictions }
}

/// The evidence beside the summary of a run.
pub fn beside(world: &World, outcome: &Outcome) -> Beside {
    let is_limit = |server: &Server| server.limit.is_some_and(|limit| limit.has_last_words);
    let line = match world.servers.iter().any(is_limit) {
        true => b"-ERR max number of clients reached".to_vec(),
        false => b"HTTP/1.1 200 OK".to_vec(),
    };
    let said: Vec<LastLine> = match outcome.said {
        0 => Vec::new(),
        connections => vec![LastLine { line, connections }],
    };
    Beside { counters: counters(outcome), icmp: icmp(outcome), said }
}

fn is_of(ids: &[&str], candidate: &Candidate) -> bool {
    ids.contains(&candidate.cause.record().id)
}

fn claims(scenario: &Scenario, diagnosis: &Diagnosis, stalls: Stalls, judged: &mut Judged) {
    let problems = all_problems(diagnosis);
    // After a stall the diagnosis may be uncertain: these causes mean that.
    let is_unsure = |candidate: &Candidate| {
        stalls == Stalls::Some && is_of(&["undetermined", "slow-host"], candidate)
    };
    let candidates = || problems.iter().flat_map(|problem| &problem.candidates);
    let fits = |candidate: &&Candidate| {
        is_of(scenario.truth, candidate) || is_of(scenario.alike, candidate)
    };
    let is_covered = |problem: &&Problem| {
        let fits_or_unsure = |c: &Candidate| fits(&c) || is_unsure(c);
        match stalls {
            Stalls::None => problem.candidates.iter().all(fits_or_unsure),
            Stalls::Some => problem.candidates.iter().any(fits_or_unsure),
        }
    };
    if scenario.truth.is_empty() {
        judged.is_named = problems.iter().all(is_covered);
        judged.is_first = judged.is_named;
    } else {
        // What a stall has skipped was perhaps not met at all.
        let is_missed = stalls == Stalls::Some && problems.is_empty();
        let is_named = |c: &Candidate| is_of(scenario.truth, c) || is_unsure(c);
        judged.is_named = is_missed || candidates().any(is_named);
        let first = diagnosis.problems.first().and_then(|problem| problem.candidates.first());
        judged.is_first = first.is_some_and(|first| fits(&first));
    }
    let mut sides: Vec<Side> = Vec::new();
    for id in scenario.truth.iter().chain(scenario.alike) {
        let cause = Cause::find(id).unwrap_or_else(|| panic!("{}: no cause {id}", scenario.name));
        sides.push(cause.record().side);
    }
    for problem in problems {
        for candidate in &problem.candidates {
            let record = candidate.cause.record();
            let is_certain = candidate.likelihood == Likelihood::Certain;
            let is_alone = problem.candidates.len() == 1 && record.id != "undetermined";
            if is_of(scenario.never, candidate) {
                judged.wrong.push(format!("{} is ruled out", record.id));
            }
            let is_wrong = !fits(&candidate) && !is_unsure(candidate);
            if is_wrong && (is_certain || (is_alone && !sides.contains(&record.side))) {
                let how = if is_certain { "certain" } else { "alone" };
                judged.wrong.push(format!("{} is {how}", record.id));
            }
        }
    }
}

/// What is more than really happened.
fn overstatements(outcome: &Outcome, diagnosis: &Diagnosis, out: &mut Vec<String>) {
    let (sustained, peak) = (diagnosis.reached.sustained, diagnosis.reached.peak);
    let ever = outcome.truth.established();
    if peak as usize > ever {
        out.push(format!("peak {peak}, and {ever} were ever established"));
    }
    // What lasts for 100 ms is seen in steps of a few ms; a run that is over sooner has no such time.
    let open = outcome.truth.levels.last().map_or(0, |(_, level)| *level);
    let most = outcome.truth.sustained(Span::from_ms(90)).max(open);
    let took = outcome.truth.end.since(outcome.truth.start);
    if sustained > most && took >= Span::from_ms(110) {
        out.push(format!("sustained {sustained}, and it was {most}"));
    }
}

fn counters(outcome: &Outcome) -> Counters {
    let counted = outcome.counters;
    Counters {
        syn_retrans_failed: Some(counted.syn_retrans_failed),
        syn_challenge: Some(counted.syn_challenge),
        ingress_drops: Some(counted.ingress_drops),
        conntrack_drop: Some(counted.conntrack_drop),
        conntrack_insert_failed: Some(0),
        neighbour_table_full: Some(counted.neighbour_table_full),
        listen_overflows: Some(0),
        ..Counters::default()
    }
}

fn icmp(outcome: &Outcome) -> IcmpTally {
    let mut tally = IcmpTally::new();
    for seen in &outcome.icmp {
        let offender = if seen.is_local { HERE } else { BEYOND }.into();
        let error = IcmpError { is_v6: false, kind: 3, code: seen.code, offender };
        for dial in 0..seen.dials {
            tally.add(if dial == 0 { seen.first } else { seen.last }, error);
        }
    }
    tally.find_local(|offender| Some(offender == HERE));
    tally
}

/// The candidates of each problem, for reading.
pub fn outline(judged: &Judged) -> String {
    let mut outline = String::new();
    let verdict = judged.text.split("--- verdict ---").nth(1).unwrap_or("no verdict");
    for line in verdict.lines().filter(|line| !line.is_empty()) {
        let _ = writeln!(outline, "      {line}");
    }
    outline
}
