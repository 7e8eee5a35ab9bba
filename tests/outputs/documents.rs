//! Real runs of each kind, as JSON.

use std::time::Duration;

use serde_json::Value;

use super::schema::{assert_units, assert_valid};
use crate::common::{
    ClosedPort, Outcome, Running, Served, has_ipv6, listen, run, tcpgoon, tcpgoon_after,
};
use nix::sys::signal::Signal;

/// What a run wrote to standard output, which has to be one document.
#[track_caller]
pub fn document(run: &Outcome) -> Value {
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["schema"], "tcpgoon/1");
    assert_eq!(document["exit_code"], Value::from(run.code().unwrap()), "{run:#?}");
    assert_units(&document);
    assert_balance(&document);
    assert_valid(&run.stdout, "document");
    document
}

/// What has to add up in any document.
#[track_caller]
pub fn assert_balance(document: &Value) {
    let totals = &document["totals"];
    let sum = |levels: &Value| -> u64 {
        levels.as_object().unwrap().values().map(|level| level.as_u64().unwrap()).sum()
    };
    let connections = totals["connections_count"].as_u64().unwrap();
    let timeline = document["timeline"].as_array().unwrap();
    assert!(timeline.len() <= 512);
    assert_eq!(timeline[0]["at_ns"], 0);
    for point in timeline {
        assert_eq!(sum(&point["levels"]), connections, "{point}");
    }
    let last = timeline.last().unwrap();
    assert_eq!(last["at_ns"], document["took_ns"]);
    assert_eq!(last["levels"], totals["levels"]);
    assert_eq!(last["established_ever_count"], totals["established_ever_count"]);
    assert_eq!(last["errors_count"], totals["errors_count"]);
    let values = |buckets: &Value| -> u64 {
        let buckets = buckets.as_array().unwrap().iter();
        buckets.map(|bucket| bucket["values_count"].as_u64().unwrap()).sum()
    };
    let dials: u64 = timeline.iter().map(|point| values(&point["dial_times"])).sum();
    assert_eq!(totals["established_ever_count"], dials);
    for (kind, times) in document["times"].as_object().unwrap() {
        if !times.is_null() {
            assert_eq!(times["values_count"], values(&times["buckets"]), "{kind}");
        }
    }
    let ended = document["end_reasons"].as_array().unwrap().iter();
    let ended: u64 = ended.map(|reason| reason["connections_count"].as_u64().unwrap()).sum();
    let levels = &totals["levels"];
    let gone = levels["closed_count"].as_u64().unwrap() + levels["error_count"].as_u64().unwrap();
    assert_eq!(ended, gone);
}

fn json(args: &[&str]) -> Value {
    document(&run(&[&["-y", "-s", "0", "--json", "-"], args].concat()))
}

#[test]
fn a_clean_run() {
    let server = Served::start(&["-i", "0"]);
    let document = json(&["-c", "50", &server.target()]);
    assert_eq!(document["diagnosis"]["verdict"], "ok");
    assert_eq!(document["diagnosis"]["reached"]["reach"], "handshake");
    assert_eq!(document["diagnosis"]["problems"], Value::Array(vec![]));
    assert_eq!(document["totals"]["levels"]["established_count"], 50);
    assert_eq!(document["plan"]["targets"][0]["address"], server.target());
    assert_eq!(document["plan"]["pace"], Value::Null);
    let text = document["diagnosis"]["text"].as_str().unwrap();
    assert!(text.starts_with("--- verdict ---\nOK: "), "{text}");
    let [start, end] = ["start_unix_us", "end_unix_us"].map(|key| document[key].as_u64().unwrap());
    let took_us = document["took_ns"].as_u64().unwrap() / 1_000;
    assert!((end - start).abs_diff(took_us) < 60_000_000, "{start} to {end}, {took_us}");
}

#[test]
fn a_refused_run_names_the_system_error_and_fills_in_the_commands() {
    let closed = ClosedPort::new();
    let document = json(&["-c", "10", &closed.target()]);
    let reason = &document["end_reasons"][0];
    assert_eq!(reason["reason"], "refused");
    assert_eq!(reason["side"], "server-or-network");
    assert_eq!(reason["errno"], "ECONNREFUSED");
    assert_eq!(reason["connections_count"], 10);
    let problem = &document["diagnosis"]["problems"][0];
    assert_eq!(problem["symptom"], "dials-failed");
    assert_eq!(problem["pattern"]["pattern"], "all");
    let candidate = &problem["candidates"][0];
    let text = document["diagnosis"]["text"].as_str().unwrap();
    assert!(text.contains(candidate["cause"].as_str().unwrap()), "{text}");
    let first = &candidate["checks"][0]["command"];
    let first = first.as_str().unwrap();
    assert!(!first.contains('{') && text.contains(first), "{first}: {text}");
}

#[test]
fn a_limit_of_the_server_and_one_of_this_host() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "4"]);
    let document = json(&["-c", "12", "-t", "1500ms", &server.target()]);
    assert_eq!(document["diagnosis"]["verdict"], "limit");
    assert_eq!(document["diagnosis"]["problems"][0]["symptom"], "dials-failed");
    assert!(document["slow_dials"]["repeats_count"].as_u64() > Some(0), "{document:#}");

    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "80", "-s", "0", "--json", "-", &server.target()];
    let run = Running::start(tcpgoon_after("ulimit -n 50", &args)).outcome();
    let document = self::document(&run);
    assert_eq!(document["findings"][0]["knob"], "hard-descriptors");
    let fix = &document["diagnosis"]["problems"][0]["candidates"][0]["fix"];
    assert_eq!(*fix, document["findings"][0]["text"], "the same fix before and after");
    assert_eq!(document["end_reasons"][0]["errno"], "EMFILE");
}

#[test]
fn replies_and_what_the_server_sent_last() {
    let server = Served::start(&["-i", "0", "--banner", "220 hello\\r\\n"]);
    let document = json(&["-c", "5", "--expect", "220", &server.target()]);
    assert_eq!(document["checks"]["replied_count"], 5);
    assert_eq!(document["plan"]["reply_check"]["expect"], "220");
    assert_eq!(document["diagnosis"]["reached"]["reach"], "application");

    let banner = "too many \"\\x1b\\r\\n";
    let server = Served::start(&["-i", "0", "--banner", banner, "--close-after", "50ms"]);
    let document = json(&["-c", "5", "--hold", "300ms", &server.target()]);
    assert_eq!(document["last_lines"][0]["line"], "too many \\\"\\x1b");
    assert_eq!(document["totals"]["levels"]["closed_count"], 5);
    assert_eq!(document["times"]["lifetime"]["values_count"], 5);
}

#[test]
fn several_targets_and_sources_have_tables() {
    let servers = [Served::start(&["-i", "0"]), Served::start(&["-i", "0"])];
    let targets = [servers[0].target(), servers[1].target()];
    let sources = "127.0.0.1,127.0.0.2";
    let document = json(&["-c", "40", "--source", sources, &targets[0], &targets[1]]);
    assert_eq!(document["targets"].as_array().unwrap().len(), 2);
    assert_eq!(document["sources"][0]["established_count"], 20);
    assert_eq!(document["plan"]["sources"][1], "127.0.0.2");
}

#[test]
fn a_hold_with_checks_and_an_end_by_a_signal() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "20", "-s", "0", "-i", "20ms", "--probe", "--hold", "1500ms"];
    let document = document(&run(&[&args[..], &["--json", "-", &server.target()]].concat()));
    assert_eq!(document["checks"]["keepalives"]["first"]["sent_count"], 20);
    assert_eq!(document["diagnosis"]["reached"]["reach"], "kernel");

    let server = Served::start(&["-i", "20ms"]);
    let args = ["-y", "-c", "20", "-s", "10s", "--json", "-", "--events", "/dev/null"];
    let run = Running::start(tcpgoon(&[&args[..], &[&server.target()]].concat()));
    server.wait_for_counts("one is accepted", |counts| counts[0] == 1);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(1);
    let document = self::document(&run);
    assert_eq!(document["diagnosis"]["verdict"], "stopped");
    assert_eq!(document["ended_by"], "a signal");
    assert_eq!(document["diagnosis"]["ended_early"]["by"], "signal");
}

#[test]
fn too_many_errors_conditions_and_a_server_that_closes() {
    let closed = ClosedPort::new();
    let document = json(&["-c", "10", "--max-errors", "3", &closed.target()]);
    assert_eq!(document["diagnosis"]["ended_early"]["by"], "max-errors");
    let fails = ["--fail-if", "established<95%", "--fail-if", "dial_p99>1h"];
    let document = json(&[&["-c", "4"], &fails[..], &[&closed.target()]].concat());
    assert_eq!(document["exit_code"], 3);
    assert_eq!(document["thresholds"][0]["actual"], "0 of 4 (0%)");
    assert_eq!(document["thresholds"][0]["actual_count"], 0);
    assert_eq!(document["thresholds"][1]["actual"], "unknown");
    let address = listen(drop).to_string();
    let document = json(&["-c", "6", "--hold", "200ms", &address]);
    assert_eq!(document["end_reasons"][0]["ends_in"], "closed");
}

#[test]
fn addresses_of_either_family_and_names() {
    if has_ipv6() {
        let server = Served::start(&["-i", "0", "--bind", "::1"]);
        let document = json(&["-c", "3", &server.target()]);
        assert_eq!(document["plan"]["targets"][0]["address"], server.target());
    }
    let server = Served::start(&["-i", "0"]);
    let port = server.address.port();
    let document = json(&["-4", "-c", "3", &format!("localhost:{port}")]);
    let target = &document["plan"]["targets"][0];
    assert_eq!(target["host"], "localhost");
    assert_eq!(target["address"], format!("127.0.0.1:{port}"));
}

/// The text is not mixed with it, and the prompt is elsewhere.
#[test]
fn the_prompt_is_on_standard_error() {
    let server = Served::start(&["-i", "0"]);
    let mut command = tcpgoon(&["-c", "2", "-s", "0", "--json", "-", &server.target()]);
    command.stdin(std::process::Stdio::piped());
    let mut run = Running::start(command);
    run.stderr.wait_for_words("Do you want to continue?");
    std::io::Write::write_all(&mut run.stdin(), b"y\n").unwrap();
    let run = run.outcome();
    run.assert_code(0);
    assert!(run.stderr.contains("WARNING"), "{run:#?}");
    assert!(run.took > Duration::ZERO);
    document(&run);
}
