//! Runs on a simulated network (`--rehearse`): the same bytes each time, so whole outputs can be
//! compared.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use super::documents::document;
use super::schema::assert_valid;
use crate::common::{Outcome, Running, Scratch, wait_until};
use tcpgoon::rehearsal::SCENARIOS;

const STATED: &str = "REHEARSAL: nothing was dialed; simulated: ";

/// Set, the files that outputs are compared with are written.
const WRITE: &str = "TCPGOON_WRITE_EXPECTED";

fn rehearse(line: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpgoon"));
    command.arg0("tcpgoon").arg("--rehearse").args(line.split_whitespace());
    Running::start(command).outcome()
}

/// Compares with the file of this name.
#[track_caller]
fn assert_expected(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outputs/rehearsed").join(name);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}; {WRITE}=1 writes it anew");
}

const SHOWN: [(&str, &str); 3] = [
    ("ok", "ok -c 40 --hold 3 --rates --fail-if dial_p99>20ms example.com:443"),
    ("backlog", "backlog:30:7 -c 60 -s 2 --fail-if established<50% 10.0.0.7:80"),
    (
        "limit",
        "limit:12 -c 40 --hold 1 --fail-if errors>0 --fail-if closed>0 a.example:80 b.example",
    ),
];

#[test]
fn each_format_is_as_expected() {
    let short = "ok -c 3 --hold 2 -i 500ms --fail-if errors>0 example.com:80";
    for (name, line) in SHOWN {
        let line = line.replace("b.example", "b.example:80");
        assert_expected(&format!("{name}.txt"), &rehearse(&line).stdout);
        for format in ["markdown", "junit", "prometheus"] {
            let run = rehearse(&format!("{line} --{format} -"));
            assert_expected(&format!("{name}.{format}"), &run.stdout);
        }
    }
    assert_expected("full.txt", &rehearse(&format!("{short} --report full")).stdout);
    assert_expected("short.json", &rehearse(&format!("{short} --json -")).stdout);
    assert_expected("short.events", &rehearse(&format!("{short} --events -")).stdout);
}

#[test]
fn the_same_command_line_and_seed_print_the_same_bytes() {
    let line =
        "loss:8:3 -c 200 -s 1 -t 2 --rates --debug --probe=all --hold 3 --send a --expect b h:80";
    let (first, again) = (rehearse(line), rehearse(line));
    assert_eq!((&first.stdout, &first.stderr), (&again.stdout, &again.stderr));
    assert!(first.stderr.contains("established after"), "{first:#?}");
    assert_ne!(first.stdout, rehearse(&line.replace(":3 ", ":4 ")).stdout);
}

#[test]
fn every_format_states_it() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    let formats = ["markdown", "junit", "prometheus"];
    let files = formats.map(|format| format!("--{format} {}", path(format))).join(" ");
    for report in ["short", "full", "none"] {
        let run =
            rehearse(&format!("refuse:9 -c 5 --fail-if errors>0 {files} --report {report} h:1"));
        run.assert_code(3);
        let stated = format!("{STATED}refuse, seed 9");
        assert_eq!(run.stderr, format!("tcpgoon: {stated}\n"));
        let begin = run.stdout.find("--- h(192.0.2.1):1 tcp test statistics").unwrap();
        assert!(run.stdout[..begin].ends_with(&format!("\n{stated}\n")), "{run:#?}");
        for format in formats {
            let text = fs::read_to_string(path(format)).unwrap();
            assert!(text.contains(&stated), "{format}: {text}");
        }
    }
    let run = rehearse("backlog:1:9 -c 5 -q --json - h:1");
    let rehearsed = document(&run)["rehearsed"].clone();
    assert_eq!(rehearsed, serde_json::json!({"scenario": "backlog:1", "seed": 9}));
    let run = rehearse("backlog:1:9 -c 5 --events - h:1");
    let events: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["rehearsed"], rehearsed);
    assert_eq!(events.last().unwrap()["rehearsed"], rehearsed);
    assert_valid(run.stdout.lines().next().unwrap(), "start_event");
}

/// A command line for each scenario, and the first cause of its report; none: nothing is wrong.
const CAUSES: [(&str, &str); 18] = [
    ("ok -c 50", ""),
    ("rtt:1.5 -c 60 -t 6", "long-rtt"),
    ("loss:10 -c 200 -s 2 -t 8", "packet-loss"),
    ("refuse -c 30", "no-listener"),
    ("refuse-after:40 -c 100 -s 2", "reject-above-limit"),
    ("reject -c 60 -s 2", "firewall-reject"),
    ("blackhole -c 30", "firewall-drop"),
    ("drop-after:40 -c 100 -s 2 --send GET --expect 200", "drop-above-limit"),
    ("rate-limit:60 -c 250 -s 2", "rate-limit"),
    ("outage:4 -c 60 --hold 10 --probe=all", "path-down"),
    ("expire:4 -c 60 --hold 15 --probe=all", "state-expired"),
    ("backlog:30 -c 60 -s 2", "accept-queue-full"),
    ("limit:30 -c 100 --hold 1", "connection-limit"),
    ("evict:30 -c 100 --hold 1", "evicts-oldest"),
    ("idle-close:2 -c 100 --hold 4", "idle-timeout"),
    ("restart:1.5 -c 100 --hold 3", "process-restarted"),
    ("silent -c 60 --send GET --expect 200", "app-silent"),
    ("busy:100ms -c 150 -s 2 --send GET --expect 200", "app-overloaded"),
];

#[test]
fn each_scenario_leads_to_its_first_cause() {
    for (scenario, (line, cause)) in SCENARIOS.iter().zip(CAUSES) {
        assert_eq!(line.split([' ', ':']).next(), Some(scenario.name));
        let document = document(&rehearse(&format!("{line} --json - 10.0.0.7:80")));
        let first = &document["diagnosis"]["problems"][0]["candidates"][0]["cause"];
        assert_eq!(first.as_str().unwrap_or_default(), cause, "{line}: {document:#}");
    }
}

#[test]
fn nothing_is_dialed_or_looked_up() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    rehearse(&format!("ok -c 5 127.0.0.1:{port}")).assert_code(0);
    assert!(server.accept().is_err());
    // Neither the names nor the sources exist.
    let run = rehearse("ok -c 6 --source 203.0.113.9,203.0.113.10 a.invalid:80-81 b.invalid:80");
    run.assert_code(0);
    let run = rehearse("ok -c 4 --json - -6 a.invalid:80-81 b.invalid:80 [fe80::1%nowhere]:80");
    assert_eq!(
        document(&run)["plan"]["targets"],
        serde_json::json!([
            "a.invalid(2001:db8::1):80",
            "a.invalid(2001:db8::1):81",
            "b.invalid(2001:db8::2):80",
            "[fe80::1]:80"
        ])
    );
}

#[test]
fn a_mistake_is_one_line() {
    for (line, words) in [
        ("nope h:1", "'nope': no such scenario (see --rehearse list)"),
        ("backlog h:1", "'backlog': backlog:N is accepted: 1 to 64m, also as 1.5k"),
        ("ok:x h:1", "'ok:x': behind ok only a seed is accepted, 0 to 4294967295"),
        ("ok --dry-run h:1", "--dry-run and --rehearse both dial nothing: give one of them"),
        ("ok --source here h:1", "--source 'here': addresses of this host are accepted"),
        ("ok -6 10.0.0.1:1", "cannot resolve 10.0.0.1: it has no IPv6 address (-6)"),
    ] {
        let run = rehearse(line);
        run.assert_code(1);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{run:#?}");
        let lines = run.stderr.lines().filter(|line| !line.starts_with("try: "));
        assert_eq!(lines.count(), 1, "{run:#?}");
    }
    let list = rehearse("list");
    list.assert_code(0);
    assert!(SCENARIOS.iter().all(|known| list.stdout.contains(known.name)), "{list:#?}");
}

#[test]
fn an_endless_hold_and_dials_without_a_timeout_end() {
    let run = rehearse("ok -c 3 --hold forever -i 10 --json - h:80");
    let document = document(run.assert_code(0));
    assert_eq!(document["plan"]["hold_ns"], 60_000_000_000_u64);
    // The kernel gives a dial up after 131 s.
    let run = rehearse("blackhole -c 3 -t 0 -i 0 --hold 1 h:80");
    run.assert_code(2);
    assert_eq!(run.last().error, 3);
}

#[test]
fn a_slow_reader_loses_no_line() {
    let scratch = Scratch::new();
    let path = scratch.path("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut reader =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpgoon"));
    command.args(["--rehearse", "ok", "-c", "2", "-s", "0", "-i", "1ms", "--hold", "3"]);
    command.args(["--events", path.to_str().unwrap(), "h:80"]);
    let run = Running::start(command);
    let mut bytes = Vec::new();
    wait_until("the end arrives", || {
        let _ = reader.read_to_end(&mut bytes);
        bytes.windows(13).any(|part| part == b"\"event\":\"end\"").then_some(())
    });
    wait_until("all of it", || {
        let _ = reader.read_to_end(&mut bytes);
        bytes.ends_with(b"\n").then_some(())
    });
    let run = run.outcome();
    run.assert_code(0);
    // More than any pipe has room for: 64 KiB.
    assert!(run.stdout.len() > 200_000, "{}", run.stdout.len());
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), run.stats().len() + 1);
    let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(end["totals"]["lines_dropped_count"], 0);
}

#[test]
fn a_hundred_thousand_connections_take_seconds() {
    let run = rehearse("backlog:60000 -c 100k -s 0 -i 0 --json - h:80");
    let totals = &document(&run)["diagnosis"]["reached"];
    // Some handshakes are under way when the queue fills up.
    let peak = totals["peak_count"].as_u64().unwrap();
    assert!((60_001..61_000).contains(&peak), "{totals:#}");
    assert!(run.took < Duration::from_secs(60), "{:?}", run.took);
}

#[test]
fn more_than_fits_into_memory_is_one_line() {
    let mut command = Command::new("sh");
    let script = "ulimit -v 2000000; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tcpgoon")]);
    let run = Running::start({
        command.args(["--rehearse", "ok", "-c", "64m", "h:80"]);
        command
    });
    let run = run.outcome();
    run.assert_code(1);
    assert!(run.stderr.contains("does not fit in memory"), "{run:#?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
}
