//! Evidence of this host in the report: ICMP errors from socket error queues, kernel counters,
//! connections killed here, a full neighbour table.

use std::fs;

use crate::common::output::matches;
use crate::common::{Namespace, decided, errors};
use crate::common::{Outcome, Running, Served, skip};

/// A run in this namespace.
fn run(namespace: &Namespace, words: &str) -> Outcome {
    Running::start(namespace.tcpgoon(&format!("-y {words}"))).outcome()
}

/// A kernel counter of the report; 0 where it has none.
fn counter(run: &Outcome, name: &str) -> u64 {
    let lines = run.stdout.lines();
    let counters = lines.filter_map(|line| line.strip_prefix("Kernel counters of this host, "));
    let counters: Vec<_> = counters.filter_map(|line| line.split_once(": ")).collect();
    assert!(counters.len() <= 1, "{run:#?}");
    let mut each = counters.iter().flat_map(|(_, counters)| counters.split(", "));
    each.find_map(|counter| counter.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// The lines of ICMP errors, without their beginning.
fn icmp(run: &Outcome) -> Vec<&str> {
    run.stdout.lines().filter_map(|line| line.strip_prefix("ICMP errors: ")).collect()
}

fn joined() -> Option<(Namespace, Namespace)> {
    let (client, server) = (Namespace::make()?, Namespace::make()?);
    client.join(&server);
    Some((client, server))
}

#[test]
fn an_unresolved_neighbour_is_an_icmp_error_of_this_host() {
    let Some((client, _server)) = joined() else { return };
    // Neighbour resolution fails after three seconds.
    let long = run(&client, "-c 3 -s 0 -t 20 10.9.0.3:80");
    assert_eq!(errors(&long), "3 host unreachable (network)");
    let own = "3/1 (host unreachable) from 10.9.0.1 (this host), dials that received it: 3";
    assert_eq!(icmp(&long), [own]);
    assert!(counter(&long, "IcmpOutDestUnreachs") >= 3, "{long:#?}");

    // Before that, SYNs are still queued on this host when they are due again.
    let short = run(&client, "-c 3 -s 0 -t 1.5 10.9.0.4:80");
    assert_eq!(errors(&short), "3 timed out (server or network)");
    assert_eq!(icmp(&short), [""; 0]);
    assert!(counter(&short, "TcpExtTCPSpuriousRtxHostQueues") >= 3, "{short:#?}");
}

#[test]
fn a_rejecting_firewall_is_reported_with_its_icmp_code_and_address() {
    let Some((client, server)) = joined() else { return };
    server.firewall(
        "input",
        "tcp dport 84 reject with icmpx admin-prohibited
         tcp dport 85 reject with icmpx port-unreachable
         tcp dport 86 reject with tcp reset",
    );
    // The errno is that of an unreachable host, a closed port and a closed port.
    for (port, lines) in [
        (84, &["3/13 (administratively prohibited) from 10.9.0.2, dials that received it: 3"][..]),
        (85, &["3/3 (port unreachable) from 10.9.0.2, dials that received it: 3"]),
        (86, &[]),
        (87, &[]),
    ] {
        let run = run(&client, &format!("-c 3 -t 0.9 10.9.0.2:{port}"));
        run.assert_code(2);
        assert_eq!(icmp(&run), lines, "{port}: {run:#?}");
        assert_eq!(counter(&run, "IcmpOutDestUnreachs"), 0, "{run:#?}");
    }
}

#[test]
fn a_firewall_of_this_host_differs_from_one_on_the_path() {
    let Some((client, server)) = joined() else { return };
    client.firewall(
        "output",
        "tcp dport 91 drop
         tcp dport 92 reject with icmpx admin-prohibited",
    );
    server.firewall("input", "tcp dport 93 drop");
    // The SYN is repeated after a second. Only drops on this host are counted.
    let here = run(&client, "-c 3 -s 0 -t 1.9 10.9.0.2:91");
    let there = run(&client, "-c 3 -s 0 -t 1.9 10.9.0.2:93");
    for run in [&here, &there] {
        assert_eq!(errors(run), "3 timed out (server or network)");
        assert_eq!(icmp(run), [""; 0]);
    }
    assert!(counter(&here, "TcpExtTCPRetransFail") >= 3, "{here:#?}");
    assert_eq!(counter(&there, "TcpExtTCPRetransFail"), 0, "{there:#?}");

    let rejected = run(&client, "-c 3 -t 0.9 10.9.0.2:92");
    let own = "3/13 (administratively prohibited) from 10.9.0.1 (this host), dials that received \
               it: 3";
    assert_eq!(icmp(&rejected), [own]);
}

#[test]
fn dials_without_rejections_have_no_evidence_of_this_host() {
    let Some((client, server)) = joined() else { return };
    server.firewall("input", "tcp dport 87 drop");
    let _serve = Served::start_with(&[], |_| server.tcpgoon("serve --bind 10.9.0.2 -p 80"));
    let run = run(&client, "-c 4 -s 0 -t 0.9 10.9.0.2:80 10.9.0.2:87");
    assert_eq!(run.last(), decided(4, 2, 0));
    assert_eq!(icmp(&run), [""; 0]);
    assert!(!run.stdout.contains("Kernel counters"), "{run:#?}");
}

/// At the end no descriptor is free to open a file with.
#[test]
fn counters_are_read_without_a_free_descriptor() {
    let Some((client, _server)) = joined() else { return };
    client.firewall("output", "tcp dport 91 drop");
    let mut command = client.command("sh", "-c");
    command.args(["ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tcpgoon")]);
    command.args(["-y", "--report=full", "-c", "70", "-s", "0", "-t", "1.9", "10.9.0.2:91"]);
    let run = Running::start(command).outcome();
    run.assert_code(2);
    assert!(errors(&run).contains(" no file descriptors (this host)"), "{run:#?}");
    assert!(counter(&run, "TcpExtTCPRetransFail") >= 10, "{run:#?}");
}

#[test]
fn connections_killed_on_this_host_are_not_closed_by_the_server() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80"));
    let words = "-y -c 5 -s 0 -i 0.1 --hold 20 127.0.0.1:80";
    let holding = Running::start(namespace.tcpgoon(words));
    holding.wait_for_stats("all are established", |stats| stats.established == 5);
    // `ss -K` lists what it kills.
    let killed = namespace.run("ss -HKtn state established dport = :80");
    if killed.trim().is_empty() {
        return skip("this kernel has no CONFIG_INET_DIAG_DESTROY");
    }
    holding.wait_for_stats("all are closed", |stats| stats.closed == 5);
    holding.signal(nix::sys::signal::Signal::SIGTERM);
    let run = holding.outcome();
    assert_eq!(run.last(), decided(5, 0, 5));
    run.find("Closed: 5, by reason: 5 closed on this host (ss -K) (this host)");
    run.find("  1. killed-here  this host  *");
}

#[test]
fn too_small_a_neighbour_table_is_a_finding() {
    let Some((client, _server)) = joined() else { return };
    let most = fs::read_to_string("/proc/sys/net/ipv4/neigh/default/gc_thresh3");
    let Some(most) = most.ok().and_then(|most| most.trim().parse::<u64>().ok()) else {
        return skip("the limit of the neighbour table is shown in the first namespace only");
    };
    if most > 30_000 {
        return skip("the neighbour table is as large as a run's targets");
    }
    client.run("ip address add 10.8.0.1/16 dev cable");
    client.run("ip route add 10.7.0.0/16 via 10.9.0.2");
    let count = most + 100;
    let last = |net: u64| format!("10.{net}.{}.{}", 1 + (count - 1) / 256, (count - 1) % 256);
    let dry = |net: u64, connections: u64| {
        let targets = format!("10.{net}.1.0-{}", last(net));
        run(&client, &format!("--dry-run -c {connections} -p 80 {targets}"))
    };
    let is_found = |run: &Outcome| run.stdout.contains("neighbour table");

    let on_the_link = dry(8, count);
    on_the_link.assert_code(1);
    let shape = format!(
        "- neighbour table (ARP): enough for # of {count} connections, \
         net.ipv4.neigh.default.gc_thresh3 is {most} (# in use); fix: sysctl -w \
         net.ipv4.neigh.default.gc_thresh3=# (in the initial network namespace)"
    );
    let found = on_the_link.stdout.lines().find_map(|line| matches(line, &shape));
    let numbers = found.unwrap_or_else(|| panic!("not '{shape}': {on_the_link:#?}"));
    let [allowed, used, needed] = [0, 1, 2].map(|index| numbers[index].parse::<u64>().unwrap());
    assert_eq!((allowed, needed), (most - used, used + count));

    // Half on the link; all behind a router, which is one neighbour.
    assert!(!is_found(&dry(8, most / 2)));
    assert!(!is_found(&dry(7, count)));
}
