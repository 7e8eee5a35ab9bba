//! `tcpgoon report`: real runs are rendered again as they were, and what cannot be read is one line.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::kinds::simulated;
use crate::common::{
    ClosedPort, Outcome, Running, Scratch, Served, listen, run, tcpgoon, tcpgoon_after,
};
use nix::sys::signal::Signal;
use tcpgoon::json::reader::TEXT_BYTES_MAX;

/// What a run printed as its report, and again from its document and from its events.
#[track_caller]
fn assert_again(scratch: &Scratch, run: &Outcome, is_appended: bool) {
    let [json, events] = ["json", "events"].map(|name| scratch.path(name));
    let [json, events] = [&json, &events].map(|path| path.to_str().unwrap());
    let (lines, report) = run.stdout.split_once("\n--- ").unwrap_or_else(|| panic!("{run:#?}"));
    // That of a rehearsal begins with a line about it.
    let rehearsal = lines.lines().last().filter(|line| line.starts_with("REHEARSAL: "));
    let report =
        format!("{}--- {report}", rehearsal.map_or(String::new(), |line| format!("{line}\n")));
    // Short by default, and full in tests unless they ask for another form.
    let is_short = !report.contains(" run report ---\n");
    let form: &[&str] = if is_short { &[] } else { &["--report", "full"] };
    for file in [json, events] {
        let again = crate::common::run(&[&["report", file], form].concat());
        again.assert_code(0);
        assert_eq!(again.stdout, report, "{file}");
        assert_eq!(again.stderr, "");
    }
    let document = std::fs::read_to_string(json).unwrap();
    assert_eq!(crate::common::run(&["report", "--json", "-", json]).stdout, document);
    // The last line of the events is the document, with their fields before it.
    let of_events = crate::common::run(&["report", "--json", "-", events]).stdout;
    assert_eq!(of_events, document);
    if !is_appended {
        std::fs::remove_file(events).unwrap();
    }
}

/// Runs with both files.
#[track_caller]
fn again(args: &[&str]) {
    let scratch = Scratch::new();
    let outcome = run(&words(&with(args, &files(&scratch))));
    assert_again(&scratch, &outcome, false);
}

fn files(scratch: &Scratch) -> Vec<String> {
    let [json, events] =
        ["json", "events"].map(|name| scratch.path(name).to_str().unwrap().to_owned());
    let words = ["-i", "0", "--json", &json, "--events", &events];
    words.map(str::to_owned).to_vec()
}

/// Words with those of the files.
fn with(args: &[&str], files: &[String]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).chain(files.iter().cloned()).collect()
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[test]
fn runs_of_each_kind_are_rendered_again_as_they_were() {
    let server = Served::start(&["-i", "0"]);
    let (target, closed) = (server.target(), ClosedPort::new());
    again(&["-y", "-c", "30", "-s", "0", &target]);
    again(&["-y", "-c", "30", "-s", "0", "--report", "short", &target]);
    again(&[
        "-y",
        "-c",
        "10",
        "-s",
        "1",
        &closed.target(),
        "--fail-if",
        "errors>0",
        "--fail-if",
        "dial_p99>1h",
    ]);
    again(&[
        "-y",
        "-c",
        "9",
        "-s",
        "0",
        &target,
        &closed.target(),
        "--source",
        "127.0.0.1,127.0.0.2",
    ]);
    again(&["-y", "-c", "20", "-s", "0", "--probe", "--hold", "1500ms", &target]);
    again(&["-y", "-c", "10", "--max-errors", "3", &closed.target()]);
    again(&["-y", "-c", "6", "-s", "0", "--hold", "200ms", &listen(drop).to_string()]);
    again(&["-4", "-y", "-c", "3", &format!("localhost:{}", server.address.port())]);
}

#[test]
fn runs_with_replies_limits_and_many_targets_are_rendered_again_as_they_were() {
    let banner = "too many \"\\x1b\\r\\n";
    let server = Served::start(&["-i", "0", "--banner", banner, "--close-after", "50ms"]);
    again(&[
        "-y",
        "-c",
        "5",
        "--hold",
        "300ms",
        "--expect",
        "many \\\\",
        "--send",
        "\\x00\"é",
        &server.target(),
    ]);
    let queue = Served::start(&["-i", "0", "--never-accept", "--backlog", "4"]);
    again(&["-y", "-c", "12", "-s", "0", "-t", "1500ms", "--report=short", &queue.target()]);
    let server = Served::start(&["-i", "0"]);
    // More targets than a table has rows, some of which refuse.
    let port = server.address.port();
    let range = format!("127.0.0.1-127.0.0.30:{port}");
    again(&["-y", "-c", "90", "-s", "0", &range]);
    let scratch = Scratch::new();
    let args = ["-y", "-c", "80", "-s", "0", &server.target()];
    let args = with(&args, &files(&scratch));
    let limited = Running::start(tcpgoon_after("ulimit -n 50", &words(&args))).outcome();
    assert_again(&scratch, &limited, false);
}

#[test]
fn rehearsals_and_answers_are_rendered_again_as_they_were() {
    for scenario in ["ok:7", "backlog:4", "loss:2.5:3"] {
        again(&["--rehearse", scenario, "-c", "20", "--hold", "2", "example.com:80"]);
    }
    again(&["--rehearse", "silent", "--ask", "http", "-c", "5", "--hold", "2", "example.com"]);
    let busy = "HTTP/1.1 503 Service Unavailable\\r\\n\\r\\n";
    let server = Served::start(&["-i", "0", "--banner", busy]);
    again(&["-y", "-c", "5", "-s", "0", "--ask", "http", &server.target()]);
    let server = Served::start(&["-i", "0", "--banner", "Exceeded MaxStartups\\r\\n"]);
    again(&["-y", "-c", "5", "-s", "0", "--ask", "ssh", &server.target()]);
}

#[test]
fn runs_that_churn_are_rendered_again_as_they_were() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let timed = ["-y", "--lifetime", "20ms", "--duration", "600ms"];
    let target = server.target();
    again(&[&timed[..], &["-c", "5", "--rate", "100", &target]].concat());
    again(&[&timed[..], &["-c", "5", "-s", "0", "--report", "short", &target]].concat());
    again(&[&timed[..], &["-c", "4", "-s", "5ms", &target, &closed.target()]].concat());
    again(&["-y", "-c", "50", "-s", "50ms", "--duration", "300ms", &target]);
    let held = ["--hold-beside", "3", "-s", "1"];
    again(&[&timed[..], &held, &["-c", "6", &target]].concat());
    again(&[&timed[..], &held, &["-c", "6", "--send", "x", "--report", "short", &target]].concat());
    again(&[&timed[..], &held, &["-c", "6", &closed.target()]].concat());
}

#[test]
fn a_run_that_a_signal_ended_is_rendered_again_and_of_several_the_last() {
    let server = Served::start(&["-i", "20ms"]);
    let scratch = Scratch::new();
    let files = files(&scratch);
    let with_files = |args: &[&str]| tcpgoon(&words(&with(args, &files)));
    let first = Running::start(with_files(&["-y", "-c", "3", "-s", "0", &server.target()]));
    assert_again(&scratch, &first.outcome(), true);
    let run = Running::start(with_files(&["-y", "-c", "20", "-s", "10s", &server.target()]));
    server.wait_for_counts("the second run dials", |counts| counts[0] > 3);
    run.signal(Signal::SIGINT);
    assert_again(&scratch, &run.outcome(), false);
}

#[test]
fn each_format_is_rendered_again() {
    let scratch = Scratch::new();
    let server = Served::start(&["-i", "0"]);
    let name = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    let [json, markdown, junit, html] = ["json", "markdown", "junit", "html"].map(name);
    let outputs = ["--json", &json, "--markdown", &markdown, "--junit", &junit, "--html", &html];
    let args = ["-y", "-c", "5", "-s", "0", "--fail-if", "errors>0", &server.target()];
    run(&[&args[..], &outputs].concat()).assert_code(0);
    let [again, markdown_again, junit_again, html_again] = ["a", "b", "c", "d"].map(name);
    let outputs = [
        "--json",
        &again,
        "--markdown",
        &markdown_again,
        "--junit",
        &junit_again,
        "--html",
        &html_again,
    ];
    run(&[&["report", &json][..], &outputs].concat()).assert_code(0);
    let pairs =
        [(json, again), (markdown, markdown_again), (junit, junit_again), (html, html_again)];
    for (first, second) in pairs {
        let [first, second] = [first, second].map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(first, second);
    }
}

/// `tcpgoon report -` with this input.
pub fn from_stdin(input: &[u8]) -> Outcome {
    let mut command = tcpgoon(&["report", "-"]);
    command.stdin(Stdio::piped());
    let mut run = Running::start(command);
    // It may have read enough before the end.
    let _ = run.stdin().write_all(input);
    run.outcome()
}

#[track_caller]
pub fn assert_refused(outcome: &Outcome, why: &str) {
    outcome.assert_code(1);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.lines().count()), ("", 1), "{outcome:#?}");
    assert!(outcome.stderr.contains(why), "not {why}: {outcome:#?}");
}

#[test]
fn standard_input_is_read_in_any_order_of_fields_and_with_newer_ones() {
    let document = simulated(3);
    let expected = from_stdin(document.as_bytes());
    expected.assert_code(0);
    // Sorted by their names, with blanks, and with a field that is not known.
    let mut value: Value = serde_json::from_str(&document).unwrap();
    value["a_newer_field"] = Value::from(1.5);
    value["totals"]["another_count"] = Value::from(-1);
    let again = from_stdin(serde_json::to_string_pretty(&value).unwrap().as_bytes());
    assert_eq!((again.stdout, again.stderr), (expected.stdout, String::new()));
}

#[test]
fn what_cannot_be_read_is_one_line_with_its_place() {
    let scratch = Scratch::new();
    let directory = scratch.path(".");
    let directory = directory.to_str().unwrap();
    for (file, why) in [
        ("/nonexistent/run.json", "/nonexistent/run.json: No such file or directory"),
        (directory, "Is a directory"),
        ("/dev/null", "/dev/null:1:1: empty; a document of --json or the end of --events"),
    ] {
        assert_refused(&run(&["report", file]), why);
    }
    let document = simulated(3);
    let changed = |old: &str, new: &str| {
        assert!(document.contains(old), "{old}");
        document.replacen(old, new, 1)
    };
    let connections = document.split_once("\"connections_count\":").unwrap().1;
    let connections = connections.split_once(',').unwrap().0;
    for (text, why) in [
        ("Total: 3, Dialing: 0\n".to_owned(), "standard input:1:1: 'T': a value of JSON"),
        (document[..document.len() - 2].to_owned(), "the end: a comma or } is accepted here"),
        ("[1]".to_owned(), "standard input:1:1: a list: an object is accepted"),
        (changed("tcpgoon/1", "tcpgoon/2"), "schema: 'tcpgoon/2': tcpgoon/1 is accepted"),
        (changed("\"schema\":\"tcpgoon/1\",", ""), "schema: the field is missing"),
        (changed("\"fin\"", "\"fln\""), "plan.close: 'fln': fin, rst are accepted"),
        (changed("\"interval_ns\":", "\"interval_ns\":-"), "plan.interval_ns: "),
        (
            changed("\"targets\":[{\"host\":", "\"targets\":[{\"hast\":"),
            "plan.targets[0].host: the field is missing",
        ),
        (
            changed(&format!("\"connections_count\":{connections}"), "\"connections_count\":0"),
            "plan.connections_count: 1 to 64000000 are accepted",
        ),
        (changed("\"sustained_count\":", "\"sustained_count\":9"), "totals: sustained_count is 9"),
        (
            changed("{\"schema\"", "{\"event\":\"start\",\"schema\""),
            "1:1: no end of a run from here on",
        ),
        (format!("{document}{{"), ":2:2: the end: the name of a field"),
        (
            changed("\"rehearsed\":null", "\"rehearsed\":{\"scenario\":\"no\",\"seed\":1}"),
            "rehearsed: no such scenario",
        ),
        (
            changed(
                "\"answers\":[]",
                "\"answers\":[{\"label\":\"HTTP 200\",\"connections_count\":1}]",
            ),
            "checks.answers[0].label: 'HTTP 200': an answer of --ask is accepted",
        ),
        (
            changed(
                "\"answers\":[]",
                "\"answers\":[{\"label\":\"HTTP 503\",\"connections_count\":9007199254740991}]",
            ),
            "checks: more answers than connections",
        ),
        (changed("\"p50_ns\":", "\"x\":1,\"x\":"), "'x': the field is there twice"),
    ] {
        assert_refused(&from_stdin(text.as_bytes()), why);
    }
    let large = scratch.path("large");
    std::fs::File::create(&large).unwrap().set_len(200 << 20).unwrap();
    let large = run(&["report", large.to_str().unwrap()]);
    assert_refused(&large, &format!("longer than {} MiB", TEXT_BYTES_MAX >> 20));
}

#[test]
fn local_limits_are_kept() {
    let scratch = Scratch::new();
    let document = simulated(3);
    let saved = scratch.write("saved", &document);
    let again = run(&["report", "--json", "-", saved.to_str().unwrap()]);
    let [first, second] = [&document, &again.stdout]
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["findings"].clone());
    assert_eq!((first.as_array().unwrap().len(), &first), (2, &second));
}

/// A document with another value at a place is one line about that.
#[test]
fn what_does_not_add_up_is_one_line() {
    let is_rich = |document: &Value| {
        document["times"]["dial"].is_object()
            && document["targets"][0].is_object()
            && document["timeline"].as_array().is_some_and(|points| points.len() > 3)
    };
    let documents = (0..60).map(|seed| serde_json::from_str::<Value>(&simulated(seed)).unwrap());
    let document = documents.into_iter().find(is_rich).expect("one with all of it");
    for (pointer, value, why) in [
        ("/times/dial/values_count", 1u64 << 40, "times.dial: values_count is not the sum"),
        ("/times/dial/buckets/0/from_ns", 129, "times.dial: "),
        ("/times/dial/max_ns", 1 << 50, "times.dial: min_ns, mean_ns or max_ns"),
        ("/timeline/0/at_ns", 5, "timeline: moments in order, from 0, are accepted"),
        ("/timeline/1/levels/closed_count", 70_000, "timeline: levels that add up"),
        ("/targets/0/index_number", 77, "targets: a row for each of plan's, once"),
        ("/targets/0/dialed_count", 60_000_000, "targets: more than the connections"),
        ("/targets/0/dialed_count", 64_000_001, "targets[0].dialed_count: '64000001': a whole"),
        ("/totals/skipped_dials_count", 1 << 30, "totals: more skipped dials than errors"),
        ("/totals/levels/dialing_count", 1 << 20, "totals: levels that do not add up"),
        ("/slow_dials/failed_repeats_count", 1 << 40, "slow_dials.failed_repeats_count: more than"),
        ("/slow_dials/failed_count", 1 << 20, "slow_dials.failed_count: more than dials_count"),
        ("/analysis/everywhere/levels/width_count", 3, "analysis: numbers of open connections"),
        ("/analysis/everywhere/dials/0/through_count", 1 << 20, "analysis: dials that do not add"),
        ("/analysis/closed_on_accept/fin_count", 1 << 20, "analysis: more closes than connections"),
        ("/checks/replied_count", 1 << 50, "checks: replied_count is"),
    ] {
        let mut changed = document.clone();
        match changed.pointer_mut(pointer) {
            Some(place) => *place = Value::from(value),
            // What is 0 is left out.
            None => {
                let (object, field) = pointer.rsplit_once('/').unwrap();
                changed.pointer_mut(object).unwrap()[field] = Value::from(value);
            }
        }
        assert_refused(&from_stdin(changed.to_string().as_bytes()), why);
    }
}

#[test]
fn the_verb_has_its_help_and_answers_what_was_meant() {
    let help = run(&["report", "--help"]);
    help.assert_code(0);
    assert_eq!(run(&["help", "report"]).stdout, help.stdout);
    for part in [
        "--json FILE",
        "--report FORM",
        "--markdown FILE",
        "--junit FILE",
        "--color",
        "  0  rendered",
    ] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
    assert!(!help.stdout.contains("--events FILE") && !help.stdout.contains("--port"));
    for (typed, said, next) in [
        ("report", "a file of --json or --events is required", "try: tcpgoon report --help"),
        ("report a b", "'b': 'tcpgoon report' takes one file", "try: tcpgoon report --help"),
        ("show run.json", "'show': neither a verb nor", "try: tcpgoon report run.json"),
        ("render /tmp/x", "did you mean report?", "try: tcpgoon report /tmp/x"),
        ("reprt run.json", "did you mean report?", "try: tcpgoon report run.json"),
        ("report x --port 80", "--port belongs to 'tcpgoon'", "try: tcpgoon report"),
        ("report x --json a --junit a", "have the same file", "try: tcpgoon report --help"),
    ] {
        let answer = run(&typed.split_whitespace().collect::<Vec<&str>>());
        answer.assert_code(1);
        let lines: Vec<&str> = answer.stderr.lines().collect();
        assert!(lines[0].contains(said) && lines[1].starts_with(next), "{typed}: {lines:?}");
    }
    let scratch = Scratch::new();
    let saved = scratch.write("saved", &simulated(3).replace("\"thresholds\":[", "\"x\":["));
    let no_conditions = scratch.write("none", &without_conditions());
    assert_refused(&run(&["report", saved.to_str().unwrap()]), "thresholds: the field is missing");
    let junit = run(&["report", no_conditions.to_str().unwrap(), "--junit", "-"]);
    assert_refused(&junit, "--junit reports the conditions of --fail-if");
}

fn without_conditions() -> String {
    let mut value: Value = serde_json::from_str(&simulated(3)).unwrap();
    value["thresholds"] = Value::Array(Vec::new());
    value.to_string()
}
