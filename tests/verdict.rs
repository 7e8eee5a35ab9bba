//! What stopped it: the last lines of a run, against the real thing. Servers are tcpgoon's own,
//! other people's, and ones made here; firewalls are in networks that the tests make themselves.

mod common;
mod support;

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;

use common::{
    ClosedPort, Outcome, Running, Served, likely_port, listener, skip, tcpgoon, tcpgoon_after,
    wait_until,
};
use support::verdicts::{run, run_in, serve_in, verdict};
use support::{Namespace, Scratch, command};

// Nothing, and no answer at all.

#[test]
fn a_run_that_nothing_limits_says_so_and_no_more() {
    let server = Served::start(&["-i", "0"]);
    let verdict = verdict(&run(&server.target(), "-c 50 -s 1"));
    let reached = "50 concurrent connections, all that were asked for. Nothing limited this run, \
                   as far as handshakes tell; if there is a limit, it is not below 50.";
    assert_eq!(verdict.reached, reached);
    assert_eq!((verdict.side.as_str(), verdict.next.as_str()), ("", ""));
    verdict.nothing_else();
}

#[test]
fn a_port_without_a_listener_refuses_from_the_start() {
    let closed = ClosedPort::new();
    let verdict = verdict(&run(&closed.target(), "-c 20 -s 1"));
    verdict.reached("no connection of 20 asked for. All 20 dials were refused.");
    verdict.side("server or network, which look alike").next(&["ss -lnt", "nft list ruleset"]);
    verdict.nothing_else();
}

#[test]
fn a_black_hole_is_server_or_network() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.firewall("input", "tcp dport 81 drop");
    let verdict = verdict(&run_in(&namespace, "-c 20 -s 1 -t 1.5 127.0.0.1:81"));
    verdict.reached("no connection of 20 asked for. All 20 dials timed out.");
    verdict.side("server or network, which look alike").next(&["tcpdump", "port 81", "ss -lnt"]);
    verdict.nothing_else();
}

// The server, and what looks like it.

#[test]
fn a_listener_that_is_closed_refuses_from_some_number_on() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let accepting = thread::spawn(move || {
        let taken = listener.incoming().take(30).collect::<Result<Vec<TcpStream>, _>>().unwrap();
        drop(listener);
        taken
    });
    let verdict = verdict(&run(&target, "-c 60 -s 5"));
    let _taken = accepting.join().unwrap();
    let [peak, from, refused] = verdict.reached(
        "# concurrent connections of 60 asked for. From # connections on, all # dials \
                  were refused.",
    )[..] else {
        unreachable!("three wildcards")
    };
    assert!(peak >= 30 && peak.abs_diff(from) <= 1 && refused >= 25, "{verdict:#?}");
    verdict.side("server or network, which look alike").next(&["ss -lnt", "The same run again"]);
}

#[test]
fn a_server_that_ends_closes_all_at_one_moment_and_then_refuses() {
    let server = Served::start(&["-i", "0"]);
    let words = ["-y", "-c", "60", "-s", "20", "-i", "20ms", &server.target()];
    let dialing = Running::start(tcpgoon(&words));
    dialing.wait_for_stats("thirty are established", |stats| stats.established >= 30);
    server.running.signal(Signal::SIGKILL);
    let verdict = verdict(&dialing.outcome());
    verdict.reached(
        "# concurrent connections of 60 asked for. The other side closed all # at the same moment, \
         * into the run. \
         All # dials after it were refused.",
    );
    verdict.side("server, or a proxy before it: its process ended").next(&["dmesg"]).nothing_else();
}

#[test]
fn redis_with_room_for_100_accepts_and_closes() {
    let path = Path::new("/usr/bin/redis-server");
    if !path.exists() {
        return skip("redis-server is not installed");
    }
    let (scratch, port) = (Scratch::new(), likely_port().to_string());
    let mut redis = Command::new(path);
    redis.args(["--bind", "127.0.0.1", "--port", &port, "--maxclients", "100"]);
    redis.args(["--save", "", "--appendonly", "no", "--dir"]).arg(scratch.path(""));
    let _server = Running::start(redis);
    let target = format!("127.0.0.1:{port}");
    wait_until("redis listens", || TcpStream::connect(&target).ok());
    wait_until("nobody is connected", || {
        let words = format!("ss -Htn state established sport = :{port}");
        support::succeed(command(&words), "").is_empty().then_some(())
    });

    let verdict = verdict(&run(&target, "-c 300 -s 1 --hold 1"));
    let numbers = verdict.reached(
        "# concurrent connections of 300 asked for. From # connections on, the other side accepted \
         and at once closed all # (*",
    );
    assert_eq!(numbers[1..3], [100, 200], "{verdict:#?}");
    verdict
        .side("server, or a proxy before it: a limit on connections")
        .next(&["maxclients", "--debug"]);
    verdict.nothing_else();
}

#[test]
fn a_server_without_descriptors_answers_no_more_and_its_queue_fills() {
    let server = Served::start_with(&["-i", "0", "--backlog", "8", "--banner", "hello"], |args| {
        tcpgoon_after("ulimit -n 64", args)
    });
    let run = run(&server.target(), "-c 100 -s 1 -t 2.5 --expect hello");
    let verdict = verdict(&run);
    let [peak, from, out, from_unanswered, answered, unanswered] = verdict.reached(
        "# concurrent connections of 100 asked for. From # connections on, all # dials timed out. \
         From # connections on the application answered nobody: # answered, # did not.",
    )[..] else {
        unreachable!("six wildcards")
    };
    assert_eq!((peak, unanswered), (from, 9), "{verdict:#?}");
    assert_eq!((answered, from_unanswered), (peak - 9, peak - 9), "{verdict:#?}");
    assert_eq!(out, 100 - peak, "{verdict:#?}");
    assert!((40..64).contains(&answered), "{verdict:#?}");
    verdict.side("server: its accept queue is full").next(&["/proc/PID/fd", "ss -lnt"]);
    verdict.nothing_else();
}

#[test]
fn a_full_accept_queue_looks_like_a_firewall_that_counts_and_both_are_named() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let run = run(&server.target(), "-c 40 -s 1 -t 2.5");
    let verdict = verdict(&run);
    verdict.reached(
        "17 concurrent connections of 40 asked for. From 17 connections on, all 23 dials \
                  timed out.",
    );
    verdict.side("server or network, which look alike from here: a full accept queue");
    verdict.next(&["ss -lnt", "TcpExtListenOverflows", "conntrack", "--expect"]).nothing_else();
    run.find(
        "Dials of 1s and more: 23, of which 23 repeated their SYN (* the first one began at \
              17 established",
    );
}

#[test]
fn a_full_accept_queue_answers_nobody() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let verdict = verdict(&run(&server.target(), "-c 40 -s 1 -t 2.5 --send x"));
    verdict.reached(
        "17 concurrent connections of 40 asked for. From 17 connections on, all 23 dials timed \
         out. \
         None of those established answered within *",
    );
    // A server that has nothing to say, behind a firewall that counts, looks the same.
    verdict.side("server or network").next(&["That nobody was answered fits the queue"]);
}

#[test]
fn a_server_that_accepts_slowly_overflows_its_queue() {
    let words = ["-i", "0", "--accept-delay", "0.1", "--backlog", "4", "--banner", "hello"];
    let server = Served::start(&words);
    let plain = run(&server.target(), "-c 60 -s 1 -t 10");
    let plain = verdict(&plain);
    plain.side("server or network, which look alike from here: an accept queue that overflows");
    drop(server);

    let server = Served::start(&words);
    let talk = run(&server.target(), "-c 60 -s 1 -t 4 --expect hello --reply-timeout 3");
    let talk = verdict(&talk);
    talk.side("server: its").next(&["TcpExtListenOverflows", "ss -lnt"]);
}

#[test]
fn connections_that_the_server_never_had_are_half_open() {
    let server = Served::start(&["-i", "0", "--accept-delay", "0.1", "--backlog", "4"]);
    let run = run(&server.target(), "-c 60 -s 1 -t 20 --probe");
    let verdict = verdict(&run);
    verdict.reached(
        "# concurrent connections*asked for. # of these 60 are not known there: a keepalive drew a reset. From \
         # connections on, * took a second or more, and repeated their SYNs*",
    );
    verdict.side("server, or what stands before it").next(&["TcpExtSyncookiesSent", "ss -lnt"]);
    verdict.nothing_else();
}

#[test]
fn an_application_that_is_silent_is_told_from_one_that_is_slow() {
    let server = Served::start(&["-i", "0"]);
    let verdict = verdict(&run(&server.target(), "-c 20 -s 1 --expect hello --reply-timeout 0.5"));
    verdict.reached(
        "20 concurrent connections, all that were asked for. None of those established answered \
         within *",
    );
    verdict.side("server: its process accepts nobody, or the application has nothing to say");
    verdict.next(&["ss -lnt", "--send"]).nothing_else();
}

#[test]
fn an_idle_timeout_closes_all_at_the_same_age() {
    let server = Served::start(&["-i", "0", "--close-after", "2"]);
    let run = run(&server.target(), "-c 60 -s 10 --hold 3");
    let verdict = verdict(&run);
    verdict.reached(
        "60 concurrent connections, all that were asked for. The other side closed all \
                     60 at the same age, *",
    );
    verdict
        .side("server, or a proxy before it: a timeout for idle connections")
        .next(&["timeout"])
        .nothing_else();
    run.find("Lifetimes of closed connections min/p50/p90/p99/max = @/@/@/@/@");
}

#[test]
fn a_server_that_wants_nobody_closes_all_at_once() {
    let server = Served::start(&["-i", "0", "--close-after", "1ms"]);
    let verdict = verdict(&run(&server.target(), "-c 60 -s 5 --hold 1"));
    verdict.reached(
        "# concurrent connection* asked for. The other side accepted and closed all 60 \
                     at once (*",
    );
    verdict.side("server, or a proxy before it: it wants no such connection").nothing_else();
}

// The network.

#[test]
fn a_firewall_that_counts_and_drops_is_told_from_a_queue_by_who_is_answered() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    let rule = "tcp dport 80 ct state new ct count over 20 drop";
    namespace.firewall("input", rule);
    let plain = verdict(&run_in(&namespace, "-c 60 -s 1 -t 2.5 127.0.0.1:80"));
    let reached = "20 concurrent connections of 60 asked for. From 20 connections on, all 40 dials \
                   timed out.";
    assert_eq!(plain.reached, reached);
    plain.side("server or network, which look alike").nothing_else();

    // Connections of a run before count for some time.
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    namespace.firewall("input", rule);
    let words = "-c 60 -s 1 -t 2.5 --expect hello 127.0.0.1:80";
    let answered = verdict(&run_in(&namespace, words));
    assert_eq!(answered.reached, reached);
    answered.side(
        "network, or a firewall on the server, most likely: the application answered everybody",
    );
    answered.next(&["conntrack -C", "nft list ruleset"]).nothing_else();
}

#[test]
fn a_firewall_that_counts_and_resets_is_server_or_network() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.firewall("input", "tcp dport 80 ct state new ct count over 20 reject with tcp reset");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 1 127.0.0.1:80"));
    verdict.reached(
        "20 concurrent connections of 60 asked for. From 20 connections on, all 40 dials were \
         refused.",
    );
    verdict
        .side("server or network, which look alike")
        .next(&["grep reject", "The same run again"]);
    verdict.nothing_else();
}

#[test]
fn a_firewall_that_counts_and_answers_by_icmp_is_the_network() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.set("net/ipv4/icmp_ratelimit", "0");
    let rule = "tcp dport 80 ct state new ct count over 20 reject with icmpx host-unreachable";
    namespace.firewall("input", rule);
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 1 -t 5 127.0.0.1:80"));
    verdict.reached(
        "20 concurrent connections of 60 asked for. From 20 connections on, all 40 dials were \
         answered with \"host unreachable\".",
    );
    verdict.side("network: a router or a firewall").next(&["tcpdump", "icmp"]).nothing_else();
}

#[test]
fn packets_that_are_lost_are_no_matter_of_numbers() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.firewall("input", "tcp dport 80 tcp flags syn numgen random mod 100 < 30 drop");
    let patient = verdict(&run_in(&namespace, "-c 200 -s 1 -t 25 127.0.0.1:80"));
    patient.reached(
        "200 concurrent connections, all that were asked for. # of 200 dials took a second or \
         more, and repeated their SYNs, scattered among the others.",
    );
    patient.side("network or server: packets are lost").next(&["ping"]).nothing_else();

    let hasty = verdict(&run_in(&namespace, "-c 200 -s 1 -t 0.9 127.0.0.1:80"));
    hasty.reached(
        "# concurrent connections of 200 asked for. # of 200 dials timed out, scattered among the others.",
    );
    hasty.side("network or server: packets are lost").next(&["--dial-timeout"]).nothing_else();
}

// This host.

#[test]
fn descriptors_of_this_host_say_nothing_about_the_server() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let words = ["-y", "-i", "0", "-s", "1", "-c", "100", &target];
    let verdict = verdict(&Running::start(tcpgoon_after("ulimit -n 64", &words)).outcome());
    let [peak, from, out] = verdict.reached(
        "# concurrent connections of 100 asked for. From # connections on, all # dials found no \
         file descriptor left on this host.",
    )[..] else {
        panic!("{verdict:#?}")
    };
    assert!(peak == from && out == 100 - peak, "{verdict:#?}");
    verdict.side("this host; it says nothing about the server").next(&["ulimit -Hn", "--dry-run"]);
    verdict.nothing_else();
}

#[test]
fn ports_of_this_host_say_nothing_about_the_server() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv4/ip_local_port_range", "40000 40019");
    let _server = serve_in(&namespace, "");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 0 127.0.0.1:80"));
    verdict.reached(
        "20 concurrent connections of 60 asked for. From 20 connections on, all 40 dials found no \
         ephemeral port left on this host.",
    );
    verdict.side("this host; it says nothing about the server, which took 20.");
    verdict.next(&["--source", "ip_local_port_range"]).nothing_else();
}

/// A run in which `connect()` fails from the 21st on.
fn failing(error: &str, target: &str) -> Option<Outcome> {
    if command("strace -V").output().is_err() {
        skip("system calls are made to fail by strace");
        return None;
    }
    let inject = format!("strace -f -qq -o /dev/null -e inject=connect:error={error}:when=21+");
    let mut strace = command(&inject);
    let words = ["-y", "-i", "0", "-s", "1", "-c", "60", target];
    strace.arg(env!("CARGO_BIN_EXE_tcpgoon")).args(words).stdin(Stdio::null());
    Some(Running::start(strace).outcome())
}

#[test]
fn memory_and_rules_of_this_host_say_nothing_about_the_server() {
    for (error, happened, next) in [
        ("ENOBUFS", "found no memory for a socket on this host", "tcp_mem"),
        ("EPERM", "were not permitted by this host", "nft list ruleset"),
    ] {
        let server = Served::start(&["-i", "0"]);
        let Some(run) = failing(error, &server.target()) else { return };
        let verdict = verdict(&run);
        verdict.reached(&format!(
            "# concurrent connections of 60 asked for. From # connections on, all # dials \
             {happened}."
        ));
        verdict.side("this host; it says nothing about the server").next(&[next]).nothing_else();
    }
}

#[test]
fn without_a_route_nothing_is_known_of_the_server() {
    let Some(bare) = Namespace::make_bare() else { return };
    let verdict = verdict(&run_in(&bare, "-c 5 -s 1 10.9.0.1:80"));
    verdict.reached(
        "no connection of 5 asked for. All 5 dials found no route to the network on this host.",
    );
    verdict.side("this host; nothing is known of the server.").next(&["ip route get 10.9.0.1"]);
}

// Runs that are cut short.

#[test]
fn a_run_that_gives_up_says_how_much_it_left() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let verdict = verdict(&run(&server.target(), "-c 1k -s 1 -t 0.5 --max-errors 20"));
    verdict.reached(
        "17 concurrent connections of 1000 asked for. From 17 connections on, * timed out. \
         --max-errors ended the run with # not dialed and # under way.",
    );
}

#[test]
fn a_signal_is_no_limit() {
    let server = Served::start(&["-i", "0"]);
    let words = ["-y", "-c", "1000", "-s", "20", "-i", "20ms", &server.target()];
    let dialing = Running::start(tcpgoon(&words));
    dialing.wait_for_stats("five are established", |stats| stats.established >= 5);
    dialing.signal(Signal::SIGINT);
    let verdict = verdict(&dialing.outcome());
    verdict.reached(
        "# concurrent connections of 1000 asked for. Nothing had limited them so far. A signal \
         ended the run with # not dialed*",
    );
    verdict.nothing_else();
}
