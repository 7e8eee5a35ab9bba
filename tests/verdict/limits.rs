//! Limits of servers and firewalls, and runs that end early.

use std::net::TcpStream;
use std::thread;

use nix::sys::signal::Signal;

use crate::common::packaged_servers::{free_port, local, redis};
use crate::common::verdict::{run, run_in, serve_in, verdict};
use crate::common::{ClosedPort, Running, Served, listener, tcpgoon, tcpgoon_after, wait_until};
use crate::common::{Namespace, Scratch};

/// The causes that are a full accept queue.
const QUEUE: [&str; 2] = ["accept-queue-full", "accept-queue-overflow"];

// No limit, and no reply at all.

#[test]
fn a_run_without_a_limit_is_ok() {
    let server = Served::start(&["-i", "0"]);
    let plain = verdict(&run(&server.target(), "-c 50 -s 1"));
    plain.word("OK", 0).reached_is(50, 50).nothing();
    // A handshake proves nothing about the application.
    assert!(plain.next.contains("--expect"), "{plain}");

    let server = Served::start(&["-i", "0", "--banner", "hello"]);
    let replied = verdict(&run(&server.target(), "-c 50 -s 1 --expect hello"));
    replied.word("OK", 0).reached_is(50, 50).nothing();
    assert!(!replied.next.contains("--expect"), "{replied}");
}

#[test]
fn a_port_without_a_listener_refuses_every_dial() {
    let closed = ClosedPort::new();
    let verdict = verdict(&run(&closed.target(), "-c 20 -s 1"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20).first(&["no-listener"]);
    verdict.names(&["listens-elsewhere", "firewall-reject"]);
    verdict.checks(&["ss -lnt"]).nothing_else();
}

#[test]
fn a_firewall_that_drops_every_syn() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.firewall("input", "tcp dport 81 drop");
    let verdict = verdict(&run_in(&namespace, "-c 20 -s 1 -t 1.5 127.0.0.1:81"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20);
    verdict.first(&["firewall-drop"]).checks(&["nft list ruleset"]).nothing_else();
}

// Servers.

#[test]
fn a_closed_listener_refuses_above_a_level() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let accepting = thread::spawn(move || {
        let taken = listener.incoming().take(30).collect::<Result<Vec<TcpStream>, _>>().unwrap();
        drop(listener);
        taken
    });
    let verdict = verdict(&run(&target, "-c 60 -s 5"));
    let _taken = accepting.join().unwrap();
    let [reached, _] = verdict.reached();
    let [low, high] = verdict.main().open();
    assert!(reached >= 30 && low <= reached && reached <= high + 1, "{verdict}");
    let [refused, _] = verdict.main().share();
    assert!(refused >= 25, "{verdict}");
    verdict.word("LIMIT", 2).names(&["listener-closed", "reject-above-limit"]);
    verdict.checks(&["ss -lnt", "the same command again"]);
}

#[test]
fn a_server_that_ends_closes_all_at_one_moment_and_then_refuses() {
    let server = Served::start(&["-i", "0"]);
    let words = ["-y", "-c", "60", "-s", "20", "-i", "20ms", &server.target()];
    let dialing = Running::start(tcpgoon(&words));
    dialing.wait_for_stats("thirty are established", |stats| stats.established >= 30);
    server.running.signal(Signal::SIGKILL);
    let verdict = verdict(&dialing.outcome());
    verdict.word("LIMIT", 2).first(&["process-restarted", "listener-closed"]).sides(&["server"]);
    // The closes explain the refusals.
    verdict.checks(&["dmesg"]).nothing_else();
}

#[test]
fn redis_limited_to_100_accepts_and_closes() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    for flags in ["-c 300 -s 1 --hold 1", "-c 300 -s 0"] {
        let verdict = verdict(&run(&local(port).to_string(), flags));
        verdict.word("LIMIT", 2).reached_is(100, 300).share(200, 200);
        verdict.first(&["connection-limit"]).nothing_else();
        let said = verdict.said.as_ref().expect("redis sends an error");
        assert_eq!((said.0, &*said.1), (200, "-ERR max number of clients reached"), "{verdict}");
    }
}

#[test]
fn a_server_without_descriptors_stops_replying_and_its_queue_fills() {
    let server = Served::start_with(&["-i", "0", "--backlog", "8", "--banner", "hello"], |args| {
        tcpgoon_after("ulimit -n 64", args)
    });
    let run = run(&server.target(), "-c 100 -s 1 -t 2.5 --expect hello");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).first(&["accept-queue-full", "server-fd-limit"]);
    let [open, _] = verdict.main().open();
    // On a loaded machine a retransmission can find room in the queue.
    let [failed, of] = verdict.main().share();
    assert!(failed == of && (98..=100).contains(&(failed + open)), "{verdict}");
    verdict.open(open).checks(&["ss -lnt"]);
    // Those in the queue of 8 + 1 get no reply, and the cause explains that.
    verdict.nothing_else();
    let replied = run.find("Replied: # within @, *")[0].parse::<u64>().unwrap();
    assert!((40..64).contains(&replied), "{verdict}");
    assert_eq!(replied + 9, open, "{verdict}");
}

#[test]
fn a_full_accept_queue_and_a_connection_limit_are_both_candidates() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let run = run(&server.target(), "-c 40 -s 1 -t 2.5");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(17, 40).open(17).share(23, 23);
    verdict.first(&["accept-queue-full"]).names(&["drop-above-limit"]).never(&["packet-loss"]);
    verdict.checks(&["ss -lnt", "TcpExtListenOverflows", "conntrack"]).nothing_else();
    let slow = run.find("Dials of 1s or more: #, of which # retransmitted their SYN *");
    assert_eq!(slow[..2], ["23", "23"], "{run:#?}");
}

#[test]
fn a_full_accept_queue_gets_no_replies() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let verdict = verdict(&run(&server.target(), "-c 40 -s 1 -t 2.5 --send x"));
    verdict.word("LIMIT", 2).reached_is(17, 40).open(17).share(23, 23);
    // The full queue explains the missing replies.
    verdict.first(&["accept-queue-full"]).nothing_else();
    assert!(!verdict.main().candidates[0].evidence.is_empty(), "{verdict}");
}

#[test]
fn a_server_that_accepts_slowly_overflows_its_queue() {
    let words = ["-i", "0", "--accept-delay", "0.1", "--backlog", "4", "--banner", "hello"];
    let server = Served::start(&words);
    let plain = verdict(&run(&server.target(), "-c 60 -s 1 -t 10"));
    plain.first(&QUEUE).names(&["accept-queue-overflow"]);
    drop(server);

    let server = Served::start(&words);
    let flags = "-c 60 -s 1 -t 4 --expect hello --reply-timeout 3";
    let talk = verdict(&run(&server.target(), flags));
    talk.first(&QUEUE).checks(&["TcpExtListenOverflows", "ss -lnt"]);
}

#[test]
fn connections_that_the_server_never_had_are_half_open() {
    let server = Served::start(&["-i", "0", "--accept-delay", "0.1", "--backlog", "4"]);
    let verdict = verdict(&run(&server.target(), "-c 60 -s 1 -t 20 --probe"));
    assert_eq!(verdict.word, "LIMIT", "{verdict}");
    verdict.names(&["accept-queue-overflow"]).never(&["path-down", "host-down"]);
    verdict.checks(&["ss -lnt"]);
}

#[test]
fn an_application_that_never_replies() {
    let server = Served::start(&["-i", "0"]);
    let verdict = verdict(&run(&server.target(), "-c 20 -s 1 --expect hello --reply-timeout 0.5"));
    verdict.word("LIMIT", 2).reached_is(20, 20).share(20, 20).first(&["app-silent"]);
    verdict.checks(&["ss -lnt"]).nothing_else();
}

#[test]
fn an_idle_timeout_closes_all_at_the_same_age() {
    let server = Served::start(&["-i", "0", "--close-after", "2"]);
    let run = run(&server.target(), "-c 60 -s 10 --hold 3");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 0).reached_is(60, 60).share(60, 60).first(&["idle-timeout"]);
    let ages = verdict.main().seconds();
    assert!(ages.iter().any(|age| (1.9..3.5).contains(age)), "{verdict}");
    verdict.nothing_else();
    run.find("Lifetimes of closed connections min/p50/p90/p99/max = @/@/@/@/@");
}

#[test]
fn a_server_that_closes_every_connection_on_accept() {
    let server = Served::start(&["-i", "0", "--close-after", "1ms"]);
    for flags in ["-c 60 -s 5 --hold 1", "-c 60 -s 0"] {
        // A server that stalls leaves some open for 100 ms.
        let verdict = wait_until("none stays open", || {
            let verdict = verdict(&run(&server.target(), flags));
            (verdict.reached()[0] == 0).then_some(verdict)
        });
        verdict.word("FAILED", 2).share(60, 60);
        verdict.first(&["rejects-client", "backend-unreachable"]);
        verdict.nothing_else();
    }
}

// The path.

#[test]
fn replies_distinguish_a_connection_limit_from_a_full_queue() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    let rule = "tcp dport 80 ct state new ct count over 20 drop";
    namespace.firewall("input", rule);
    let plain = verdict(&run_in(&namespace, "-c 60 -s 1 -t 2.5 127.0.0.1:80"));
    plain.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    plain.names(&["drop-above-limit", "accept-queue-full"]).nothing_else();

    // conntrack counts the connections of the run before for some time.
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    namespace.firewall("input", rule);
    let words = "-c 60 -s 1 -t 2.5 --expect hello 127.0.0.1:80";
    let replied = verdict(&run_in(&namespace, words));
    replied.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    replied.first(&["drop-above-limit"]).checks(&["conntrack", "nft list ruleset"]).nothing_else();
}

#[test]
fn a_firewall_that_resets_above_a_limit_is_server_or_network() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.firewall("input", "tcp dport 80 ct state new ct count over 20 reject with tcp reset");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 1 127.0.0.1:80"));
    verdict.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    verdict.names(&["reject-above-limit", "listener-closed"]).checks(&["nft list ruleset"]);
    verdict.nothing_else();
}

#[test]
fn a_firewall_that_sends_icmp_above_a_limit_is_the_network() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.set("net/ipv4/icmp_ratelimit", "0");
    let rule = "tcp dport 80 ct state new ct count over 20 reject with icmpx host-unreachable";
    namespace.firewall("input", rule);
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 1 -t 5 127.0.0.1:80"));
    verdict.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    // The ICMP source is an address of this host, where the server runs too.
    verdict.first(&["reject-above-limit", "firewall-reject", "local-firewall"]).never(&QUEUE);
    verdict.nothing_else();
}

#[test]
fn packet_loss_is_no_limit() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    // Of 200 and their repeats 60, 22, 5 and 0 are lost.
    namespace.lose_syns(80);
    let patient = verdict(&run_in(&namespace, "-c 200 -s 1 -t 25 127.0.0.1:80"));
    patient.word("OK", 0).reached_is(200, 200).first(&["packet-loss"]);
    patient.share(60, 200);
    patient.nothing_else();

    let hasty = verdict(&run_in(&namespace, "-c 200 -s 1 -t 0.9 127.0.0.1:80"));
    hasty
        .word("LIMIT", 2)
        .first(&["packet-loss"])
        .never(&["drop-above-limit", "accept-queue-full"]);
    assert_eq!(hasty.main().share()[1], 200, "{hasty}");
    hasty.nothing_else();
}

// Runs that end early.

#[test]
fn max_errors_reports_what_is_left() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let verdict = verdict(&run(&server.target(), "-c 1k -s 1 -t 0.5 --max-errors 20"));
    verdict.word("LIMIT", 2).reached_is(17, 1000).open(17).first(&["accept-queue-full"]);
    assert!(verdict.ended.starts_with("--max-errors"), "{verdict}");
}

#[test]
fn a_signal_is_no_limit() {
    let server = Served::start(&["-i", "0"]);
    let words = ["-y", "-c", "1000", "-s", "20", "-i", "20ms", &server.target()];
    let dialing = Running::start(tcpgoon(&words));
    dialing.wait_for_stats("five are established", |stats| stats.established >= 5);
    dialing.signal(Signal::SIGINT);
    let verdict = verdict(&dialing.outcome());
    verdict.word("STOPPED", 1).nothing();
    assert!((5..1000).contains(&verdict.reached()[0]), "{verdict}");
    assert!(verdict.ended.starts_with("A signal"), "{verdict}");
}
