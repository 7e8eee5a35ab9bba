//! Documents of every kind of diagnosis, made by hand and by the simulation: no run on the loopback
//! meets them all.

use serde_json::Value;

use super::documents::assert_balance;
use super::schema::{assert_units, assert_valid};
use crate::common::html::read;
use tcpgoon::ask::PRESETS;
use tcpgoon::ask::answer::Meaning;
use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::causes::Cause;
use tcpgoon::diagnosis::model::{
    Candidate, ClosePattern, Diagnosis, EndedEarly, Evidence, Fact, Likelihood, Problem, Reach,
    Reached, Scope, Symptom, Word,
};
use tcpgoon::diagnosis::pattern::{Part, Pattern};
use tcpgoon::diagnosis::{Case, diagnose};
use tcpgoon::engine::{EndReason, Engine, Summary};
use tcpgoon::icmp::{IcmpError, IcmpTally};
use tcpgoon::last_lines::LastLine;
use tcpgoon::limits::{
    CgroupMemory, Descriptors, Finding, Gauge, Host, Knob, Neighbours, PORTS_WIDEST, TimeWaitKnob,
};
use tcpgoon::plan::{Hold, Pace, Plan, ReplyCheck};
use tcpgoon::report::{Report, html, json};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::{Observer, Record, Sim};
use tcpgoon::thresholds::{Judged, METRICS, Threshold};
use tcpgoon::units::{Moment, Span};

const MS: Span = Span::from_ms(1);
const AT: Moment = Moment(7_000_000);

/// As JSON and as a web page.
fn documents(plan: &Plan, summary: &Summary, diagnosis: Option<&Diagnosis>) -> [String; 2] {
    let judged: Vec<Judged> = METRICS.iter().flat_map(|record| judged(record.name)).collect();
    let mut icmp = IcmpTally::new();
    icmp.add(AT, IcmpError { is_v6: false, kind: 3, code: 13, offender: [10, 0, 0, 1].into() });
    let report = Report {
        target: "10.0.0.1:80",
        plan,
        command_line: "tcpgoon \"10.0.0.1\\",
        host: None,
        start_unix_ns: 1_700_000_000_123_456_789,
        end_unix_ns: 1_700_000_001_123_456_789,
        summary,
        turn_longest: MS,
        counters: &Counters { out_rsts: Some(u64::MAX), ..Counters::default() },
        icmp: &icmp,
        limits: &limits(),
        findings: &findings(),
        last_lines: &[LastLine { line: b"bye\xff\"\r".to_vec(), connections: 3 }],
        ended_by: None,
        lines_dropped: 0,
        judged: &judged,
        exit_code: 3,
    };
    let own = diagnose(&report.case());
    let diagnosis = diagnosis.unwrap_or(&own);
    let page = html::document(&report, diagnosis);
    assert_eq!(read(&page).faults, [""; 0]);
    [json::document(&report, diagnosis), page]
}

fn document(plan: &Plan, summary: &Summary, diagnosis: Option<&Diagnosis>) -> String {
    let [json, _] = documents(plan, summary, diagnosis);
    json
}

/// A metric with a value and without one.
fn judged(metric: &str) -> Vec<Judged> {
    let texts = ["5", "5ms"].map(|value| format!("{metric}>={value}"));
    let parsed = texts.iter().filter_map(|text| Threshold::parse(text).ok());
    parsed.flat_map(|one| [Some(7), None].map(|actual| one.judge(actual, 10))).collect()
}

fn limits() -> Host {
    let gauge = Gauge { most: u64::MAX, used: 1 };
    Host {
        descriptors: Some(Descriptors { soft: 1, hard: 2, open: 3, may_raise: true }),
        files: Some(gauge),
        ports: Some(PORTS_WIDEST),
        ports_reserved: vec![PORTS_WIDEST],
        cgroups: vec![CgroupMemory { file: "/x".into(), bytes: gauge }],
        address_space: Some(gauge),
        neighbours: vec![Neighbours { is_v6: true, entries: gauge, hops: 1, targets: 1 }],
        ..Host::default()
    }
}

fn findings() -> Vec<Finding> {
    let (usable, pairs, wait_s, per_s) = (28_232, 2, 60, 941);
    let (range, wanted_per_s) = (PORTS_WIDEST, Some(2_000));
    let time_wait =
        TimeWaitKnob { range, usable, pairs, wait_s, per_s, wanted_per_s, reuse_helps: true };
    let knobs = [Knob::NrOpen { most: 7, needed: 9 }, Knob::TimeWait(time_wait)];
    knobs.map(|knob| Finding { connections: 7, knob }).to_vec()
}

fn plan() -> Plan {
    let target = |last: u8| Target {
        host: format!("10.0.0.{last}"),
        address: ([10, 0, 0, last], 80).into(),
    };
    let sources = [([127, 0, 0, 1], 0).into(), ([127, 0, 0, 2], 0).into()];
    let check = ReplyCheck {
        send: b"\r\n".as_slice().into(),
        expect: b"\xff".as_slice().into(),
        reply_timeout: MS,
    };
    Plan {
        pace: Pace::rate(1_500),
        hold: Hold::Forever,
        reply_check: Some(check),
        preset: Some(&PRESETS[0]),
        errors_max: Some(1),
        ..Plan::plain(10, Routes::new(vec![target(1), target(2)], &sources).unwrap())
    }
}

fn symptoms() -> Vec<Symptom> {
    let (count, age, at) = (5, MS, AT);
    let closes = [
        ClosePattern::AtAge { age },
        ClosePattern::AtAgeWithSurvivors { age },
        ClosePattern::Simultaneous { at, of: 5, newcomers: true },
        ClosePattern::Sweep { older_than: MS, every: Some(MS) },
        ClosePattern::Sweep { older_than: MS, every: None },
        ClosePattern::Together { at, kept: 5 },
        ClosePattern::AgeOrMoment { age, at },
        ClosePattern::NewestOnly { kept: 5, is_exact: true },
        ClosePattern::OldestFirst,
        ClosePattern::Undated,
        ClosePattern::Mixed,
        ClosePattern::TooFew,
    ];
    let closed = |how| Symptom::Closed { how, resets: 1, first: AT, last: AT, ages: [MS; 3] };
    let mut all: Vec<Symptom> = closes.into_iter().map(closed).collect();
    let reasons = EndReason::ALL.map(|reason| (reason, 5)).to_vec();
    all.extend([
        Symptom::LocalFailure { reason: EndReason::NoPorts, errno: 99 },
        Symptom::DialsFailed { reasons, pending: 1, slow: 2, retransmits: count },
        Symptom::DialsSlow { retransmits: count },
        Symptom::ClosedOnAccept { resets: 1, within: MS },
        Symptom::Lost { errno: 0 },
        Symptom::KilledHere,
        Symptom::HalfOpen,
        Symptom::KeepaliveUnacked {
            confirmed_before: count,
            confirmed_at: Some(AT),
            checked_at: AT,
        },
        Symptom::KeepaliveUnacked { confirmed_before: 0, confirmed_at: None, checked_at: AT },
        Symptom::SynAckRepeated,
        Symptom::NoReply { replied: 1, wrong: 2, late: 3 },
    ]);
    all
}

fn patterns() -> [Pattern; 10] {
    [
        Pattern::All,
        Pattern::NearlyAll,
        Pattern::AboveCount { open: 3..5 },
        Pattern::PartlyAboveCount { open: 3..5 },
        Pattern::FromMoment { at: AT },
        Pattern::InitialOutage { to: AT },
        Pattern::Outage { from: AT, to: AT },
        Pattern::Scattered,
        Pattern::Irregular,
        Pattern::TooFew,
    ]
}

fn scopes() -> [Scope; 5] {
    [
        Scope::Everywhere,
        Scope::Targets { indexes: vec![1], count: 1 },
        Scope::Sources { indexes: vec![1, 0], count: 2 },
        Scope::EachTarget { open: 3..5, count: 2 },
        Scope::EachSource { open: 3..5, count: 2 },
    ]
}

fn facts() -> Vec<Fact> {
    let (count, retransmits, connections, dials) = (5, 6, 7, 8);
    let offender = "2001:db8::1".parse().unwrap();
    vec![
        Fact::Retransmissions { failed: 5, through: 6 },
        Fact::FourTupleDecides { retransmits, through_percent: 40 },
        Fact::AllReplied { replied: 5 },
        Fact::Busy { busy: 4, replied: 5 },
        Fact::SynAckRepeated { connections },
        Fact::HalfOpen { connections },
        Fact::NoneAcknowledged { connections: 5 },
        Fact::ShortTimeout { timeout: MS },
        Fact::ResetAsRefused { connections: 5 },
        Fact::IcmpSentHere { count },
        Fact::ClosedMeanwhile { closes: 5 },
        Fact::ResetAfterHandshake { connections: 5 },
        Fact::SynNotSent { count, retransmits },
        Fact::SynStillQueued { count, retransmits },
        Fact::NeighbourTableFull { count },
        Fact::ConntrackDrops { count },
        Fact::IngressDrops { count },
        Fact::ClosedIntoTimeWait { connections: count, ports: count },
        Fact::ListenOverflows { count },
        Fact::Icmp { kind: 1, code: 4, is_v6: true, offender, is_local: false, count },
        Fact::SameCount { open: 5, places: 2, is_source: true },
        Fact::RefusedSooner { refused: MS, handshake: MS },
        Fact::RefusedAsSoon { refused: MS, handshake: MS },
        Fact::WatchConfirmed { confirmed: 5, sent: 6 },
        Fact::AfterLastDial { closes: 5 },
        Fact::LastLine,
        Fact::RefusedAfter { dials },
    ]
}

/// A problem for each symptom, pattern and scope, with all causes and all facts.
fn problems() -> Vec<Problem> {
    let likelihoods = [Likelihood::Certain, Likelihood::Likely, Likelihood::Possible];
    let evidence = |index: usize| {
        let fact = facts()[index % facts().len()].clone();
        vec![Evidence { is_for: index.is_multiple_of(2), fact }]
    };
    let candidates: Vec<Candidate> = Cause::ALL
        .into_iter()
        .enumerate()
        .map(|(index, cause)| Candidate {
            cause,
            likelihood: likelihoods[index % 3],
            evidence: evidence(index),
            knob: None,
        })
        .collect();
    let problem = |(index, symptom): (usize, Symptom)| Problem {
        symptom,
        share: Part { all: 10, hits: 5 },
        outside: index as u64 % 3,
        pattern: patterns()[index % patterns().len()].clone(),
        scope: scopes()[index % scopes().len()].clone(),
        candidates: candidates.iter().skip(index).step_by(9).cloned().collect(),
        explains: Vec::new(),
    };
    symptoms().into_iter().enumerate().map(problem).collect()
}

fn diagnosis(word: Word, reach: Reach, reached: Reached, mut problems: Vec<Problem>) -> Diagnosis {
    if let Some(last) = problems.pop() {
        problems[0].explains.push(last);
    }
    Diagnosis {
        word,
        exit_code: 2,
        reached: Reached { reach, ..reached },
        pays: None,
        ended_early: Some(EndedEarly {
            by_signal: false,
            by_duration: false,
            not_dialed: 1,
            dialing: 2,
            replies_pending: 3,
            checks_pending: 4,
        }),
        problems,
    }
}

/// A page with every symptom, pattern, scope, cause and fact.
pub fn every_kind_as_a_page() -> String {
    let plan = plan();
    let summary = Engine::new(&plan, Moment(0)).unwrap().summary();
    let reached = Reached {
        planned: 10,
        sustained: 5,
        peak: 5,
        established_ever: 5,
        replied: None,
        reach: Reach::Handshake,
        dialed_in: MS,
    };
    let diagnosis = diagnosis(Word::Limit, Reach::Handshake, reached, problems());
    let [_, page] = documents(&plan, &summary, Some(&diagnosis));
    page
}

#[test]
fn every_kind_of_problem_fact_and_cause_fits_the_schema() {
    let plan = plan();
    let mut summary = Engine::new(&plan, Moment(0)).unwrap().summary();
    summary.answers.add(Meaning::Http5xx, 3);
    summary.answers.add(Meaning::TlsAlert, 40);
    let case = Case {
        plan: &plan,
        summary: &summary,
        counters: &Counters::default(),
        icmp: &IcmpTally::new(),
        findings: &[],
        last_lines: &[],
    };
    let reached = diagnose(&case).reached;
    let kinds = [
        (Word::Ok, Reach::Handshake),
        (Word::Limit, Reach::Kernel { confirmed: 1, checked: 2 }),
        (Word::Failed, Reach::Application),
        (Word::Stopped, Reach::Handshake),
    ];
    let mut lines = String::new();
    for (word, reach) in kinds {
        let diagnosis = diagnosis(word, reach, reached, problems());
        let line = document(&plan, &summary, Some(&diagnosis));
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_units(&document);
        for cause in Cause::ALL {
            assert!(line.contains(&format!("\"cause\":\"{}\"", cause.id())), "{}", cause.id());
        }
        assert!(!line.contains("{host}") && !line.contains("{port}"), "a command is not filled in");
        lines.push_str(&line);
    }
    assert_valid(&lines, "document");
}

struct Silent;

impl Observer for Silent {
    fn turn(&mut self, _: &Engine, _: &Record) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, _: &Engine, _: &Summary) -> Result<(), String> {
        Ok(())
    }
}

/// The document of a simulated run.
pub fn simulated(seed: u64) -> String {
    let mut sim = Sim::new(seed, false);
    let outcome = sim.run(&mut Silent).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    document(sim.plan(), &outcome.summary, None)
}

#[test]
fn simulated_runs_fit_the_schema_and_add_up() {
    let mut lines = String::new();
    for seed in 0..30 {
        let line = simulated(seed);
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_units(&document);
        assert_balance(&document);
        lines.push_str(&line);
    }
    assert_valid(&lines, "document");
}
