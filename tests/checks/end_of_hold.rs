//! The check at the end of a hold: finds a path that failed and a server that lost its state, and
//! sends nothing else.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{Namespace, Scratch, command, decided};
use crate::common::{Outcome, Running, Served, run, skip};

/// Client packets after the first keepalive: handshake and keepalive are 3 packets.
const AFTER_FIRST: &str = "tcp flags & (syn | rst) == 0 ct original packets > 3";

const HOLD: &str = "-y -c 40 -s 0 -i 0 --probe --hold 4s --close rst 127.0.0.1:80";

/// A hold against a server behind a firewall that applies `verdict` after the first keepalive.
fn held_while(verdict: &str) -> Option<Outcome> {
    let namespace = Namespace::make()?;
    namespace.firewall("input", &format!("tcp dport 80 {AFTER_FIRST} {verdict}"));
    namespace.set("net/netfilter/nf_conntrack_acct", "1");
    let _server = Served::start_with(&[], |_| namespace.tcpgoon("serve -i 50ms -p 80"));
    Some(Running::start(namespace.tcpgoon(HOLD)).outcome())
}

/// Asserts that a report has a line with this beginning and this end.
#[track_caller]
fn assert_line(run: &Outcome, from: &str, to: &str) {
    let is_it = |line: &str| line.starts_with(from) && line.ends_with(to);
    assert!(run.stdout.lines().any(is_it), "{from} … {to}: {run:#?}");
}

const FIRST: &str = "Established means: 40 checked (40 by keepalive), 40 confirmed by the server";

#[test]
fn a_path_failure_during_the_hold_is_found_at_its_end() {
    let Some(run) = held_while("drop") else { return };
    run.assert_code(2);
    assert_eq!(run.last(), decided(40, 40, 0));
    assert_line(&run, FIRST, "");
    assert_line(
        &run,
        "Last check at the end, ",
        ": 0 of 40 keepalives acknowledged, 40 unacknowledged",
    );
}

#[test]
fn a_server_that_lost_its_state_answers_with_rst() {
    let Some(run) = held_while("reject with tcp reset") else { return };
    run.assert_code(2);
    assert_line(&run, FIRST, "");
    let expected = ": 0 of 40 keepalives acknowledged, 40 answered with RST";
    assert_line(&run, "Last check at the end, ", expected);
    assert_eq!(run.last().closed, 40, "{run:#?}");
}

#[test]
fn a_healthy_connection_gets_two_keepalives_in_a_hold_and_survives() {
    if command("strace -V").output().is_err() {
        return skip("system calls are counted by strace");
    }
    let server = Served::start(&["-i", "0"]);
    let scratch = Scratch::new();
    let file = scratch.path("calls");
    let traced = format!(
        "strace -f --seccomp-bpf -e trace=setsockopt -o {} {} -y --report=full -c 20 -s 0 -i 0 \
         --probe --hold 4s --close rst {}",
        file.display(),
        env!("CARGO_BIN_EXE_tcpgoon"),
        server.target()
    );
    let run = Running::start(command(&traced)).outcome();
    run.assert_code(0);
    assert_line(&run, "Last check at the end, ", ": 20 of 20 keepalives acknowledged");
    let calls = fs::read_to_string(file).unwrap();
    let count = |option: &str| {
        let mut sockets: BTreeMap<&str, u32> = BTreeMap::new();
        for line in calls.lines().filter(|line| line.contains(option)) {
            let socket = line.split_once("setsockopt(").unwrap().1.split_once(',').unwrap().0;
            *sockets.entry(socket).or_default() += 1;
        }
        sockets.into_values().collect::<Vec<u32>>()
    };
    assert_eq!(count("SO_KEEPALIVE, [1]"), [2; 20]);
    assert_eq!(count("SO_KEEPALIVE, [0]"), [2; 20]);
    // The kernel's maximum, so that missing ACKs do not end a connection.
    assert_eq!(count("TCP_KEEPCNT, [127]"), [2; 20]);
}

#[test]
fn without_a_hold_there_is_one_check() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "20", "-s", "0", "-i", "0", "--probe", &server.target()]);
    run.assert_code(0);
    assert!(!run.stdout.contains("Last check"), "{run:#?}");
    run.find("Established means: 20 checked (20 by keepalive), *");
}
