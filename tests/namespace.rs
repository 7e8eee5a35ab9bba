//! Whole runs in network namespaces: the three examples of the original's README, what stops a dial on
//! the path, and limits of this host. They need root.

mod common;

use std::io::Read;
use std::time::Duration;

use nix::sys::signal::Signal;

use common::output::{matches, span, stats};
use common::{Namespace, decided, errors, has_ipv6, original};
use common::{Outcome, Running, Served, skip};

const MS: Duration = Duration::from_millis(1);

/// A run in this namespace.
fn run(namespace: &Namespace, words: &str) -> Outcome {
    Running::start(namespace.tcpgoon(&format!("-y {words}"))).outcome()
}

/// A server in this namespace, on port 80.
fn serve(namespace: &Namespace) -> Served {
    Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80"))
}

/// A run in which all dials fail in the same way.
#[track_caller]
fn assert_all_fail(namespace: &Namespace, words: &str, reason: &str) {
    let run = run(namespace, &format!("-c 3 {words}"));
    run.assert_code(2);
    assert_eq!(run.last(), decided(3, 0, 0));
    assert_eq!(errors(&run), format!("3 {reason}"), "{words}");
}

// The examples of the original's README.

#[test]
fn first_example_all_are_established() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace);
    let run = run(&namespace, "--host 127.0.0.1 --port 80 --connections 10 --sleep 999");

    run.assert_code(0);
    let original = original(&run, "127.0.0.1:80");
    assert_eq!(original.last, decided(10, 10, 0));
    // Ten dials 999 ms apart, and a line a second meanwhile.
    assert!(original.stats.len() >= 9, "{run:#?}");
    assert_eq!(run.stderr, "");
}

#[test]
fn second_example_a_firewall_drops_half_way() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace);
    let words = "--host 127.0.0.1 --port 80 --connections 10 --sleep 999 -y";
    let dialing = Running::start(namespace.tcpgoon(words));
    dialing.wait_for_stats("two are established", |stats| stats.established >= 2);
    namespace.firewall("input", "tcp dport 80 drop");
    let run = dialing.outcome();

    run.assert_code(2);
    let original = original(&run, "127.0.0.1:80");
    let established = original.last.established;
    assert!((2..10).contains(&established), "{run:#?}");
    assert_eq!(original.last, decided(10, established, 0));
    let [min, _, max, _] = original.failed.unwrap();
    assert!(min >= 5000 * MS && max < 10_000 * MS, "{run:#?}");
    assert_eq!(errors(&run), format!("{} timed out (server or network)", 10 - established));
    // Some still dial while others have failed.
    assert!(original.stats.iter().any(|line| line.dialing > 0 && line.error > 0), "{run:#?}");
}

#[test]
fn second_example_the_server_is_killed_half_way() {
    let Some(namespace) = Namespace::make() else { return };
    let server = serve(&namespace);
    let words = "--host 127.0.0.1 --port 80 --connections 10 --sleep 200 -i 0.2 -y";
    let dialing = Running::start(namespace.tcpgoon(words));
    dialing.wait_for_stats("three are established", |stats| stats.established >= 3);
    server.running.signal(Signal::SIGKILL);
    let run = dialing.outcome();

    run.assert_code(2);
    let original = original(&run, "127.0.0.1:80");
    // Those that were established are closed; their times stay.
    let closed = original.last.closed;
    assert!((3..10).contains(&closed), "{run:#?}");
    assert_eq!(original.last, decided(10, 0, closed));
    assert_eq!(errors(&run), format!("{} refused (server or network)", 10 - closed));
}

#[test]
fn third_example_a_black_hole() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.firewall("input", "tcp dport 81 drop");
    let run = run(&namespace, "--host 127.0.0.1 --port 81 --connections 10 --sleep 999 -t 1");

    run.assert_code(2);
    let original = original(&run, "127.0.0.1:81");
    assert_eq!(original.last, decided(10, 0, 0));
    let [min, _, max, _] = original.failed.unwrap();
    assert!(min >= 1000 * MS && max < 6000 * MS, "{run:#?}");
    assert_eq!(errors(&run), "10 timed out (server or network)");
}

#[test]
fn first_line_comes_before_the_first_dial() {
    let Some(namespace) = Namespace::make() else { return };
    // Both streams into one pipe, to keep their order.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = namespace.tcpgoon("-y -c 3 -s 0 --debug 127.0.0.1:80");
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let dialing = Running::start_as_it_is(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    dialing.outcome();

    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(stats(&format!("{}\n", lines[0]))[0].not_initiated, 3, "{text}");
    assert_eq!(lines[1], "connection 0 to 127.0.0.1:80: dialing");
}

#[test]
fn a_thousand_dials_ten_ms_apart_keep_their_schedule() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace);
    let run = run(&namespace, "-c 1000 -s 10 127.0.0.1:80");

    run.assert_code(0);
    let took = span(&run.find("Dial starts: 1000, from first to last @")[0]);
    // Only lateness, as reported, moves the last dial.
    let late = span(&run.find("Dial start lateness p50/p99/max = @/@/@")[2]).mul_f64(1.01);
    assert!(took.abs_diff(9990 * MS) <= late, "{run:#?}");
}

// What stops a dial on the path.

/// Two hosts, the second one with a firewall that rejects in every way.
fn rejecting() -> Option<(Namespace, Namespace)> {
    let (client, server) = (Namespace::make()?, Namespace::make()?);
    client.join(&server);
    server.firewall(
        "input",
        "tcp dport 82 reject with icmpx host-unreachable
         tcp dport 83 reject with icmpx no-route
         tcp dport 84 reject with icmpx admin-prohibited
         tcp dport 85 reject with icmpx port-unreachable
         tcp dport 86 reject with tcp reset
         tcp dport 87 drop",
    );
    Some((client, server))
}

#[test]
fn every_rejection_has_its_reason_and_side() {
    let Some((client, _server)) = rejecting() else { return };
    for (port, reason) in [
        (82, "host unreachable (network)"),
        (83, "network unreachable (network)"),
        // The kernel maps this one to EHOSTUNREACH.
        (84, "host unreachable (network)"),
        (85, "refused (server or network)"),
        (86, "refused (server or network)"),
        (87, "timed out (server or network)"),
        (88, "refused (server or network)"),
    ] {
        assert_all_fail(&client, &format!("-t 0.9 10.9.0.2:{port}"), reason);
    }
}

#[test]
fn every_rejection_has_its_reason_and_side_over_ipv6() {
    if !has_ipv6() {
        return skip("this kernel has no IPv6");
    }
    let Some((client, _server)) = rejecting() else { return };
    // The kernel ignores an ICMP error that arrives before connect() returns, not the one for the
    // repeated SYN.
    for (port, reason) in [
        (82, "host unreachable (network)"),
        (83, "network unreachable (network)"),
        (84, "prohibited on the way (network)"),
        (85, "refused (server or network)"),
        (86, "refused (server or network)"),
        (87, "timed out (server or network)"),
        (88, "refused (server or network)"),
    ] {
        assert_all_fail(&client, &format!("-s 0 -t 3 [fd00:9::2]:{port}"), reason);
    }
}

#[test]
fn a_neighbour_without_arp_reply_is_an_unreachable_host() {
    let Some(client) = Namespace::make() else { return };
    let Some(other) = Namespace::make() else { return };
    client.join(&other);
    // Neighbour resolution fails after three seconds.
    assert_all_fail(&client, "-s 0 -t 20 10.9.0.3:80", "host unreachable (network)");
}

#[test]
fn a_connection_limit_of_a_firewall_is_reached_exactly() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace);
    namespace.firewall("input", "tcp dport 80 ct state new ct count over 7 drop");
    let run = run(&namespace, "-c 20 -s 1 -t 1 127.0.0.1:80");

    run.assert_code(2);
    assert_eq!(original(&run, "127.0.0.1:80").last, decided(20, 7, 0));
    assert_eq!(errors(&run), "13 timed out (server or network)");
}

#[test]
fn packet_loss_only_delays_dials() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace);
    namespace.lose_syns(80);
    let run = run(&namespace, "-c 100 -s 0 -t 25 127.0.0.1:80");

    // The SYN is repeated after a second, and the dial time shows it.
    run.assert_code(0);
    let original = original(&run, "127.0.0.1:80");
    assert_eq!(original.last, decided(100, 100, 0));
    let [min, _, max, _] = original.established.unwrap();
    assert!(min < 500 * MS && max >= 1000 * MS, "{run:#?}");
}

// Limits and rules of this host.

#[test]
fn no_route_is_an_error_of_this_host() {
    let Some(bare) = Namespace::make_bare() else { return };
    assert_all_fail(&bare, "127.0.0.1:80", "no route to the network (this host)");

    bare.run("ip link set lo up");
    for (kind, reason) in [
        ("unreachable", "no route to the host (this host)"),
        ("prohibit", "not permitted (this host)"),
        ("throw", "no route to the network (this host)"),
        ("blackhole", "no route to the network (this host)"),
    ] {
        bare.run(&format!("ip route add {kind} 10.9.0.0/24"));
        assert_all_fail(&bare, "10.9.0.1:80", reason);
        bare.run(&format!("ip route delete {kind} 10.9.0.0/24"));
    }
}

/// `connect()` does not report what happened to its SYN: an outgoing drop or rejection looks like one
/// on the path.
#[test]
fn an_output_firewall_looks_like_one_on_the_path() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.firewall(
        "output",
        "tcp dport 91 drop
         tcp dport 92 reject with icmpx host-unreachable
         tcp dport 93 reject with tcp reset",
    );
    for (port, reason) in [
        (91, "timed out (server or network)"),
        (92, "host unreachable (network)"),
        (93, "refused (server or network)"),
    ] {
        assert_all_fail(&namespace, &format!("-t 0.9 127.0.0.1:{port}"), reason);
    }
}

#[test]
fn exhausted_ports_are_errors_of_this_host() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv4/ip_local_port_range", "40000 40009");
    let _serve = serve(&namespace);
    let run = run(&namespace, "-c 30 -s 0 127.0.0.1:80");

    run.assert_code(2);
    assert_eq!(original(&run, "127.0.0.1:80").last, decided(30, 10, 0));
    assert_eq!(errors(&run), "20 no ephemeral ports (this host)");
    run.find("Errors of this host say nothing about the target.");
}

#[test]
fn calibrate_counts_the_ports_that_are_free() {
    let Some(namespace) = Namespace::make() else { return };
    // No port below the range is free, so its server takes one of the range; ten are reserved.
    namespace.set("net/ipv4/ip_local_port_range", "1024 1123");
    namespace.set("net/ipv4/ip_local_reserved_ports", "1050-1059");
    let run = Running::start(namespace.tcpgoon("calibrate")).outcome();

    run.assert_code(0);
    run.find("Connections reached: 89 of 89 (from one address to *)");
    run.find("Limited by: the 89 ephemeral ports for one source and target *");
    run.find("Errors: 0");
}

#[test]
fn a_self_connection_is_refused() {
    let Some(namespace) = Namespace::make() else { return };
    // The only local port is the target port.
    namespace.set("net/ipv4/ip_local_port_range", "40000 40000");
    let run = run(&namespace, "-c 1 127.0.0.1:40000");

    run.assert_code(2);
    assert_eq!(original(&run, "127.0.0.1:40000").last, decided(1, 0, 0));
    assert_eq!(errors(&run), "1 refused (server or network)");
    // It was a self-connection: an established one leaves TIME_WAIT, a refused one does not.
    let lingering = namespace.run("ss -Htan state time-wait");
    assert_eq!(lingering.matches("127.0.0.1:40000").count(), 2, "{lingering}");
}

#[test]
fn a_clamped_backlog_is_reported_and_is_the_length_of_the_queue() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/core/somaxconn", "7");
    let words = "serve -p 80 --never-accept --backlog 100";
    let server = Served::start_with(&[], |_| namespace.tcpgoon(words));
    let run = run(&namespace, "-c 20 -s 10 -t 1 127.0.0.1:80");

    // The queue holds one more than the backlog.
    run.assert_code(2);
    assert_eq!(original(&run, "127.0.0.1:80").last, decided(20, 8, 0));
    assert_eq!(errors(&run), "12 timed out (server or network)");

    let server = server.end();
    server.assert_code(0);
    let shape = "tcpgoon: --backlog 100: this host allows # (sysctl net.core.somaxconn)";
    assert_eq!(matches(server.stderr.trim_end(), shape), Some(vec!["7".into()]));
}
