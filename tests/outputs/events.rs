//! `--events`: one object a line, as the run goes on, which never waits for its reader.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use super::documents::assert_balance;
use super::schema::{assert_units, assert_valid};
use crate::common::{Running, Scratch, Served, run, tcpgoon, wait_until};

fn events(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.iter().for_each(assert_units);
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn a_run_is_appended_as_it_goes_on() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let file = scratch.write("events", "{\"event\":\"interval\"}\n");
    let path = file.to_str().unwrap();
    let hold = ["-y", "-c", "5", "-s", "0", "-i", "20ms", "--hold", "forever", "--events", path];
    let run = Running::start(tcpgoon(&[&hold[..], &[&server.target()]].concat()));
    // While it runs: whole lines, each written at once.
    wait_until("three intervals", || {
        let text = fs::read_to_string(&file).unwrap();
        (text.ends_with('\n') && text.lines().count() >= 5).then_some(())
    });
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(0);
    let text = fs::read_to_string(&file).unwrap();
    let (before, text) = text.split_once('\n').unwrap();
    assert_eq!(before, "{\"event\":\"interval\"}", "it is appended to");
    let events = events(text);
    let names = names(&events);
    assert_eq!((names[0], names[1], names[names.len() - 1]), ("start", "interval", "end"));
    // The report's own is no interval.
    assert_eq!(names.len() - 2, run.stats().len() - 1);
    let end = events.last().unwrap();
    assert_balance(end);
    assert_eq!(end["totals"]["levels"]["established_count"], 5);
    assert_eq!(events[0]["start_unix_us"], end["start_unix_us"]);
    assert_valid(text, "");
}

#[test]
fn on_standard_output_they_take_the_place_of_the_text() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "5", "-s", "0", "--events", "-", &server.target()]);
    run.assert_code(0);
    assert_eq!(names(&events(&run.stdout)), ["start", "interval", "end"]);
}

/// As a named pipe: its reader, which has it open.
fn pipe(scratch: &Scratch) -> (String, File) {
    let path = scratch.path("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    (path.to_str().unwrap().to_owned(), reader)
}

#[test]
fn a_reader_that_is_slow_loses_lines_and_stops_nothing() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (path, mut reader) = pipe(&scratch);
    let args = ["-y", "-c", "2", "-s", "0", "-i", "1ms", "--hold", "forever", "--events", &path];
    let run = Running::start(tcpgoon(&[&args[..], &[&server.target()]].concat()));
    // More than any pipe has room for: 64 KiB.
    run.wait_for_stats("it goes on", |_| run.stdout.text().lines().count() > 1_000);
    run.signal(Signal::SIGINT);
    let mut bytes = Vec::new();
    wait_until("the end arrives", || {
        // Nothing to read yet is an error here, and what was read is kept.
        let _ = reader.read_to_end(&mut bytes);
        bytes.windows(13).any(|part| part == b"\"event\":\"end\"").then_some(())
    });
    wait_until("all of it", || {
        let _ = reader.read_to_end(&mut bytes);
        bytes.ends_with(b"\n").then_some(())
    });
    run.outcome().assert_code(0).find("Output lines dropped: #");
    let events = events(&String::from_utf8(bytes).unwrap());
    assert_eq!(events.last().unwrap()["event"], "end");
    assert!(events.last().unwrap()["totals"]["lines_dropped_count"].as_u64() > Some(0));
}

#[test]
fn a_reader_that_is_gone_is_no_failure_and_one_that_never_came_is() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (path, reader) = pipe(&scratch);
    let hold = ["-y", "-c", "2", "-s", "0", "-i", "5ms", "--hold", "forever"];
    let target = server.target();
    let args = [&hold[..], &["--events", &path, &target]].concat();
    let running = Running::start(tcpgoon(&args));
    running.wait_for_stats("it has begun", |stats| stats.established == 2);
    drop(reader);
    let lines = running.stdout.text().lines().count();
    running.wait_for_stats("it goes on", |_| running.stdout.text().lines().count() > lines + 2);
    running.signal(Signal::SIGINT);
    running.outcome().assert_code(0);

    for flag in ["--events", "--json"] {
        let run = run(&["-y", "-c", "2", flag, &path, &server.target()]);
        run.assert_code(1);
        let line = format!("{flag} {path}: no process reads this pipe: start its reader first");
        assert_eq!(run.stderr, format!("tcpgoon: {line}\n"));
        assert!(run.stdout.is_empty(), "nothing is dialed: {run:#?}");
    }
}

/// Where slots dial again, each format has the rate and our own closes.
#[test]
fn a_run_that_churns_is_counted_in_each_format() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let path = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    let [events_file, metrics, html, markdown] = ["events", "x.prom", "html", "md"].map(path);
    let churn = ["-y", "-q", "-c", "5", "-s", "1", "-i", "100ms", "--lifetime", "10ms"];
    let files = ["--events", &events_file, "--prometheus", &metrics, "--html", &html];
    let more = ["--markdown", &markdown, "--duration", "350ms", &server.target()];
    let run = run(&[&churn[..], &files, &more].concat());
    run.assert_code(0);
    assert!(!run.stdout.contains("Rates: "), "with -q: {run:#?}");
    let text = fs::read_to_string(&events_file).unwrap();
    assert_valid(&text, "");
    let events = events(&text);
    let (intervals, end) = (&events[1..events.len() - 1], events.last().unwrap());
    let mut before = 0;
    for interval in intervals {
        let count = |field: &str| interval["so_far"][field].as_u64().unwrap();
        let [opened, by_us] = ["established_ever_count", "closed_by_us_count"].map(count);
        assert!(before <= by_us && by_us <= opened && opened <= count("dials_count"), "{interval}");
        assert_eq!((count("closed_by_peer_count"), count("errors_count")), (0, 0));
        before = by_us;
    }
    assert!(before > 0, "{text}");
    let by_us = end["churn"]["closed_by_us_count"].as_u64().unwrap();
    assert!(by_us >= before, "{text}");
    let metrics = fs::read_to_string(&metrics).unwrap();
    let mut lines = metrics.lines().filter(|line| line.starts_with("tcpgoon_closed_by_us_total{"));
    assert!(
        lines.clone().count() == 1 && lines.next_back().unwrap().ends_with(&format!("}} {by_us}"))
    );
    let html = fs::read_to_string(&html).unwrap();
    assert!(html.contains(&format!("<dt>closed by us</dt><dd>{by_us}</dd>")), "{html}");
    assert!(html.contains("blank: between two dials") && !html.contains("stayed open"), "{html}");
    let markdown = fs::read_to_string(&markdown).unwrap();
    assert!(markdown.contains(&format!("| Closed by us | {by_us} |\n")), "{markdown}");
    assert!(markdown.contains("/s in ") && !markdown.contains("| Closed |"), "{markdown}");
}
