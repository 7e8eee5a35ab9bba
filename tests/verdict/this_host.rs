//! Limits of this host, which say nothing about the server.

use std::process::Stdio;

use crate::common::verdict::{run_in, serve_in, verdict};
use crate::common::{Namespace, command};
use crate::common::{Outcome, Running, Served, skip, tcpgoon_after};

#[test]
fn descriptors_of_this_host() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let words = ["-y", "--report=full", "-i", "0", "-s", "1", "-c", "100", &target];
    let verdict = verdict(&Running::start(tcpgoon_after("ulimit -n 64", &words)).outcome());
    verdict.word("LIMIT", 2).first(&["fd-limit"]).certain().sides(&["this host"]);
    let [reached, _] = verdict.reached();
    verdict.open(reached).share(100 - reached, 100 - reached);
    verdict.checks(&["ulimit -Hn"]).nothing_else();
}

#[test]
fn ports_of_this_host() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv4/ip_local_port_range", "40000 40019");
    let _server = serve_in(&namespace, "");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 0 127.0.0.1:80"));
    verdict.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    verdict.first(&["port-range"]).certain().sides(&["this host"]);
    verdict.checks(&["--source", "ip_local_port_range"]).nothing_else();
}

/// A run in which `connect()` fails from the 21st on.
fn failing(error: &str, target: &str) -> Option<Outcome> {
    if command("strace -V").output().is_err() {
        skip("system calls are made to fail by strace");
        return None;
    }
    let inject = format!("strace -f -qq -o /dev/null -e inject=connect:error={error}:when=21+");
    let mut strace = command(&inject);
    let words = ["-y", "--report=full", "-i", "0", "-s", "1", "-c", "60", target];
    strace.arg(env!("CARGO_BIN_EXE_tcpgoon")).args(words).stdin(Stdio::null());
    Some(Running::start(strace).outcome())
}

#[test]
fn memory_and_rules_of_this_host() {
    for (error, id, check) in
        [("ENOBUFS", "socket-memory", "tcp_mem"), ("EPERM", "not-permitted", "nft list ruleset")]
    {
        let server = Served::start(&["-i", "0"]);
        let Some(run) = failing(error, &server.target()) else { return };
        let verdict = verdict(&run);
        verdict.word("LIMIT", 2).first(&[id]).sides(&["this host"]).checks(&[check]);
        verdict.nothing_else();
        let [reached, dials] = verdict.reached();
        verdict.share(dials - reached, dials - reached).open(reached);
    }
}

#[test]
fn no_route_on_this_host() {
    let Some(bare) = Namespace::make_bare() else { return };
    let verdict = verdict(&run_in(&bare, "-c 5 -s 1 10.9.0.1:80"));
    verdict.word("FAILED", 2).reached_is(0, 5).share(5, 5);
    verdict.first(&["no-route"]).certain().sides(&["this host"]);
    verdict.checks(&["ip route get 10.9.0.1"]).nothing_else();
}
