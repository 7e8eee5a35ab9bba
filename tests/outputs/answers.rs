//! Answers to `--ask` that report an error, in every format.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::html::read;
use crate::common::{Outcome, Running, Scratch, Served, run, skip, succeed, tcpgoon, wait_until};

const FORMATS: [&str; 4] = ["markdown", "junit", "prometheus", "html"];

/// Names of the counts; nothing has them where there are none.
const SHOWN: [&str; 5] =
    ["Of the replies", "<properties>", "replies: ", "answers_total", "<h2>Replies</h2>"];

fn server(banner: &str) -> Served {
    Served::start(&["-i", "0", "--banner", banner])
}

/// A run, its document and the run in each of [`FORMATS`]; which the document leads to again.
fn formats(args: &[&str]) -> (Outcome, String, [String; 4]) {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    let json = path("json");
    let written = |words: &[&str], name: &str| {
        let flags =
            FORMATS.map(|format| [format!("--{format}"), path(&format!("{name}.{format}"))]);
        let flags = flags.as_flattened().iter().map(String::as_str);
        run(&words.iter().copied().chain(flags).collect::<Vec<_>>())
    };
    let fixed = ["-y", "-s", "0", "--fail-if", "errors>0", "--json", &json];
    let outcome = written(&[&fixed[..], args].concat(), "first");
    written(&["report", &json], "again").assert_code(0);
    let texts = FORMATS.map(|format| {
        let [first, again] = ["first", "again"]
            .map(|name| fs::read_to_string(path(&format!("{name}.{format}"))).unwrap());
        assert_eq!(first, again, "{format}");
        first
    });
    (outcome, fs::read_to_string(&json).unwrap(), texts)
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|shown| shown == line), "no line {line}: {text}");
}

/// The rows of the table of replies.
#[track_caller]
fn rows(page: &str) -> Vec<(String, String)> {
    assert_eq!(read(page).faults, [""; 0]);
    let section = page.split("<section>").find(|part| part.starts_with("<h2>Replies</h2>"));
    let rows = section.unwrap_or_else(|| panic!("{page}")).split("<th scope=\"row\">").skip(1);
    let cell = |row: &str| {
        let (label, rest) = row.split_once("<small>").unwrap();
        let count = rest.split_once("<td>").unwrap().1.split_once('<').unwrap().0;
        (label.to_owned(), count.to_owned())
    };
    rows.map(cell).collect()
}

#[test]
fn errors_of_http_are_counted_by_status() {
    let servers = ["503 Service Unavailable", "200 OK", "502 Bad Gateway"]
        .map(|status| server(&format!("HTTP/1.1 {status}\\r\\n\\r\\n")));
    let targets = servers.each_ref().map(Served::target);
    let targets = targets.each_ref().map(String::as_str);
    // Dialed in turn: 3 of the first, 2 of each other.
    let args = [&["-c", "7", "--ask", "http"], &targets[..]].concat();
    let (outcome, json, [markdown, junit, metrics, page]) = formats(&args);
    outcome.assert_code(0);
    let document: Value = serde_json::from_str(&json).unwrap();
    let counts = document["checks"]["answers"].as_array().unwrap();
    let mut counts: Vec<(String, u64)> = counts
        .iter()
        .map(|one| {
            (one["label"].as_str().unwrap().into(), one["connections_count"].as_u64().unwrap())
        })
        .collect();
    // In the order of the first of each, which can be either.
    let list: Vec<String> =
        counts.iter().map(|(label, count)| format!("{count} busy ({label})")).collect();
    assert_has(&markdown, &format!("| Of the replies | {} |", list.join(", ")));
    let shown: Vec<(String, String)> =
        counts.iter().map(|(label, count)| (label.clone(), count.to_string())).collect();
    assert_eq!(rows(&page), shown);
    counts.sort();
    assert_eq!(counts, [("HTTP 502".to_owned(), 2), ("HTTP 503".to_owned(), 3)]);
    for (label, count) in counts {
        assert_has(&junit, &format!("    <property name=\"replies: {label}\" value=\"{count}\"/>"));
        let series = "tcpgoon_answers_total{target=\"3 targets\",kind=\"busy\"";
        assert_has(&metrics, &format!("{series},answer=\"{label}\"}} {count}"));
    }
    assert_eq!(metrics.matches("# TYPE tcpgoon_answers_total counter\n").count(), 1, "{metrics}");
    assert_properties(&junit, 2);
}

/// Before the cases, where the schema has them.
#[track_caller]
fn assert_properties(junit: &str, count: usize) {
    let script = "import sys, xml.etree.ElementTree as tree\n\
                  suite = tree.parse(sys.stdin).getroot()\n\
                  print([part.tag for part in suite], len(suite.findall('properties/property')))";
    let mut python = Command::new("python3");
    python.args(["-c", script]).stderr(Stdio::inherit());
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("Python is missing");
    }
    let expected = format!("['properties', 'testcase', 'system-out'] {count}\n");
    assert_eq!(succeed(python, junit), expected, "{junit}");
}

#[test]
fn alerts_are_counted_by_number() {
    let server = server("\\x15\\x03\\x01\\x00\\x02\\x02\\x28");
    let target = server.target();
    let (_, _, [markdown, junit, metrics, page]) = formats(&["-c", "3", "--ask", "tls", &target]);
    let label = "TLS alert 40 (handshake_failure)";
    assert_has(&markdown, &format!("| Of the replies | 3 {label} |"));
    assert_has(&junit, &format!("    <property name=\"replies: {label}\" value=\"3\"/>"));
    let series = format!("tcpgoon_answers_total{{target=\"{target}\",kind=\"tls-alert\"");
    assert_has(&metrics, &format!("{series},answer=\"{label}\"}} 3"));
    assert_eq!(rows(&page), [(label.to_owned(), "3".to_owned())]);
}

#[test]
fn nothing_is_shown_where_none_came_or_without_the_flag() {
    let (plain, busy) = (server("HTTP/1.1 200 OK\\r\\n"), server("HTTP/1.1 503 No\\r\\n"));
    for args in [
        &["-c", "3", "--ask", "http", &plain.target()][..],
        &["-c", "3", "--expect", "503", &busy.target()],
        &["-c", "3", &busy.target()],
        &["-c", "3", "--rehearse", "silent", "--ask", "http", "example.com"],
    ] {
        let (_, _, texts) = formats(args);
        for (format, text) in FORMATS.iter().zip(texts) {
            let found = SHOWN.iter().find(|shown| text.contains(**shown));
            assert_eq!(found, None, "{args:?}: {format}: {text}");
        }
    }
}

#[test]
fn metrics_have_them_while_the_run_goes_on() {
    let (busy, scratch) = (server("HTTP/1.1 503 No\\r\\n"), Scratch::new());
    let (file, target) = (scratch.path("run.prom"), busy.target());
    let args = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "forever", "--ask", "http"];
    let args = [&args[..], &["--prometheus", file.to_str().unwrap(), &target]].concat();
    let run = Running::start(tcpgoon(&args));
    let series = format!("tcpgoon_answers_total{{target=\"{target}\",kind=\"busy\"");
    let all = format!("{series},answer=\"HTTP 503\"}} 5\n");
    let text = wait_until("all are counted", || {
        fs::read_to_string(&file).ok().filter(|text| text.contains(&all))
    });
    assert!(text.contains(&format!("tcpgoon_running{{target=\"{target}\"}} 1\n")), "{text}");
    run.signal(Signal::SIGINT);
    run.outcome();
}
