//! Text from outside is never printed raw: each such string goes through each place that prints it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use crate::common::{Running, Served, listen, skip, tcpgoon};
use tcpgoon::cli;
use tcpgoon::cli::confirm::{self, Banner};
use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::diagnose;
use tcpgoon::engine::{EndReason, Engine, Event, EventKind, Failure, Key, Note};
use tcpgoon::error::Error;
use tcpgoon::icmp::IcmpTally;
use tcpgoon::last_lines::LastLine;
use tcpgoon::limits::{CgroupMemory, Finding, Gauge, Host, Knob};
use tcpgoon::plan::Plan;
use tcpgoon::report::{Report, escape, preflight, text};
use tcpgoon::route::{Routes, Target};
use tcpgoon::units::{Moment, Span};

/// Clears the screen, begins a line, reverses text, is invisible.
const EVIL: &str = "a\u{1b}[2J\nb\r\u{9b}c\u{202e}d\u{2066}e\u{200b}f\u{200d}g\u{feff}h\u{7f}\0i";

/// The same as a valid host name.
const EVIL_HOST: &str = "a\u{202e}d\u{2066}e\u{200b}f\u{200d}g\u{feff}i";

#[track_caller]
fn assert_escaped(what: &str, shown: &str) {
    let odd = |c: &char| {
        let is_plain = matches!(c, '\n' | '\t' | '\'' | '"' | '\\');
        !is_plain && !c.escape_debug().eq([*c])
    };
    let found: Vec<char> = shown.chars().filter(odd).collect();
    assert_eq!(found, [], "{what}: {shown}");
    // It begins no line of its own.
    assert!(!shown.lines().any(|line| line.starts_with('b')), "{what}: {shown}");
}

/// A run of three connections to two targets with such names: one refused, one closed.
fn plan() -> Plan {
    let target =
        |host: &str, address: &str| Target { host: host.into(), address: address.parse().unwrap() };
    let zone = format!("fe80::1%{EVIL}");
    let targets = vec![target(EVIL, "127.0.0.1:80"), target(&zone, "[fe80::1%7]:80")];
    Plan { debug: true, ..Plan::plain(4, Routes::new(targets, &[]).unwrap()) }
}

fn finding() -> Finding {
    let memory = CgroupMemory { file: format!("/{EVIL}"), bytes: Gauge { most: 1 << 20, used: 0 } };
    Finding { connections: 1, knob: Knob::Cgroup { memory, needed_bytes: 2 << 20 } }
}

fn report() -> String {
    let plan = plan();
    let mut engine = Engine::new(&plan, Moment(0)).unwrap();
    let mut feed = |slot: u32, kinds: &[fn(Key) -> EventKind]| {
        let at = Moment(0) + Span::from_ms(u64::from(slot));
        engine.turn(at, &[], &mut Vec::new());
        for kind in kinds {
            let kind = kind(Key { slot, attempt: 0 });
            engine.turn(at, &[Event { at, kind }], &mut Vec::new());
        }
    };
    let refused = |key| EventKind::Failed(key, Failure { reason: EndReason::Refused, errno: 0 });
    let closed =
        |key| EventKind::PeerClosed(key, Failure { reason: EndReason::PeerClosed, errno: 0 });
    feed(0, &[EventKind::Dialed, refused]);
    feed(1, &[EventKind::Dialed, EventKind::Opened, closed]);
    feed(2, &[EventKind::Dialed, refused]);
    feed(3, &[EventKind::Dialed, EventKind::Opened]);
    let report = Report {
        target: &plan.routes.target(0).to_string(),
        plan: &plan,
        command_line: &escape::command_line(["tcpgoon".into(), EVIL.into()]),
        host: Some(EVIL),
        start_unix_ns: 0,
        end_unix_ns: 0,
        summary: &engine.summary(),
        turn_longest: Span::ZERO,
        counters: &Counters::default(),
        icmp: &IcmpTally::default(),
        limits: &tcpgoon::limits::Host::default(),
        findings: &[finding()],
        last_lines: &[LastLine { line: EVIL.into(), connections: 1 }],
        ended_by: None,
        lines_dropped: 0,
        judged: &[],
        exit_code: 0,
    };
    let mut out = String::new();
    text::write_report(&mut out, &report, &diagnose(&report.case())).unwrap();
    out
}

#[test]
fn reports_debug_lines_dry_run_and_banner_are_escaped() {
    let report = report();
    for part in ["Host: a", "Command line: ", "Targets: 2", "--- verdict ---"] {
        assert!(report.contains(part), "no {part} in {report}");
    }
    assert_escaped("report", &report);

    let plan = plan();
    let mut debug = String::new();
    for slot in 0..2 {
        let (key, target) = (Key { slot, attempt: 0 }, plan.routes.target(slot));
        text::write_note(&mut debug, key, target, &Note::Dialing).unwrap();
        text::write_received(&mut debug, key, target, EVIL.as_bytes()).unwrap();
        text::write_received(&mut debug, key, target, &(0..=255).collect::<Vec<u8>>()).unwrap();
    }
    assert_escaped("--debug", &debug);

    let mut dry = String::new();
    preflight::write_dry_run(&mut dry, &plan, &Host::default(), &[finding()]).unwrap();
    assert_escaped("--dry-run", &dry);

    let (host, port) = confirm::hosts_and_ports(&plan.routes);
    let banner = Banner { host: &host, port: &port, connections: 4, findings: "" };
    let mut shown = Vec::new();
    let answered = confirm::confirm(&banner, &mut EVIL.as_bytes(), &mut shown);
    assert_eq!(answered, Err(Error::Unanswered));
    assert_escaped("banner", std::str::from_utf8(&shown).unwrap());
}

#[test]
fn arguments_are_escaped_in_errors() {
    let name = Error::Resolve { name: EVIL.into(), why: "no".into() };
    assert_escaped("error", &name.to_string());
    let v6_only = Target { host: EVIL.into(), address: "[::1]:80".parse().unwrap() };
    let unroutable = Routes::new(vec![v6_only], &["127.0.0.1:0".parse().unwrap()]).unwrap_err();
    assert!(!format!("{unroutable:?}").contains('\u{202e}'), "{unroutable:?}");

    let evil = |before: &str, after: &str| OsString::from(format!("{before}{EVIL}{after}"));
    let invalid = OsString::from_vec(b"a\xff\x1b[2J".to_vec());
    for words in [
        vec![evil("", "")],
        vec![evil("", ":80")],
        vec![evil("--", "")],
        vec![evil("--", "=1")],
        vec![evil("-", "")],
        vec!["-y".into(), evil("--help=", "")],
        vec!["--yes".into(), evil("--port=", "")],
        vec!["-c".into(), evil("", "")],
        vec!["-c".into(), invalid.clone()],
        vec!["--source".into(), evil("", "")],
        vec!["-\u{202e}".into()],
        vec![invalid],
        vec!["explain".into(), evil("", "")],
        vec!["version".into(), evil("", "")],
        vec!["serve".into(), evil("", "")],
        vec!["serve".into(), evil("--banner=\\q", "")],
        vec!["calibrate".into(), evil("--", "")],
    ] {
        if let Err(error) = cli::parse(words.clone()) {
            assert_escaped(&format!("{words:?}"), &error.to_string());
        }
    }
}

#[test]
fn the_program_escapes_a_host() {
    let words = ["-y", "-c", "1", "-p", "9", "--host"];
    for (host, flags) in [
        (EVIL_HOST.to_owned(), &[][..]),
        (format!("fe80::1%{EVIL_HOST}"), &[]),
        ("127.0.0.1".into(), &["--source", "fe80::1%\u{202e}\u{200b}"]),
    ] {
        let run = crate::common::run(&[&words[..], &[&host], flags].concat());
        run.assert_code(1);
        assert!(run.stderr.contains("\\u{202e}"), "{run:#?}");
        assert_escaped(&host, &format!("{}{}", run.stdout, run.stderr));
    }
}

#[test]
fn the_name_of_this_host_is_escaped() {
    let server = Served::start(&["-i", "0"]);
    let script = "printf 'a\\033[2Jb\\377' > /proc/sys/kernel/hostname; exec \"$@\"";
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-ru", "sh", "-ec", script, "sh"]).args(words).stdin(Stdio::null());
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return skip("this host is given another name in a namespace");
    }
    let tcpgoon = env!("CARGO_BIN_EXE_tcpgoon");
    let target = server.target();
    let run =
        Running::start(unshare(&[tcpgoon, "-y", "--report=full", "-c", "1", &target])).outcome();
    run.assert_code(0);
    assert_eq!(run.find("Host: *"), ["a\\u{1b}[2Jb\u{fffd}"]);
    assert_escaped("host", &run.stdout);
}

#[test]
fn received_data_is_escaped() {
    use std::io::Write;
    let address = listen(|mut stream| {
        let _ = stream.write_all(EVIL.as_bytes());
    });
    let target = address.to_string();
    let args = ["-y", "-c", "9", "-s", "0", "--debug", "--hold", "0.3", &target];
    let run = Running::start(tcpgoon(&args)).outcome();
    assert!(run.stderr.contains("received"), "{run:#?}");
    assert_escaped("stdout", &run.stdout);
    assert_escaped("stderr", &run.stderr);
}
