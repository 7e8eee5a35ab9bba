//! Keepalive checks: half-open connections, failed paths, repeated SYNs. Counted by the client, the
//! server, strace and the firewall.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use crate::common::output::{counts, matches, span};
use crate::common::{Namespace, Scratch, command, decided, has_ipv6};
use crate::common::{Outcome, Running, Served, has_descriptors_for, run, skip};

/// How late anything may be: the machines are shared, and stall.
const LATE: Duration = Duration::from_secs(5);

const MS: Duration = Duration::from_millis(1);

/// An acknowledged keepalive is seen this long after the dial; for one that is not acknowledged, the
/// last TCP_INFO read comes this long after it.
const FIRST_READ: Duration = Duration::from_millis(1_500);
const LAST_READ: Duration = Duration::from_millis(4_500);

const HALF_OPEN: &str = "half-open: the keepalive was answered with RST (server or network)";

/// The numbers of checked connections: all, by keepalive, confirmed, half-open, unknown.
#[track_caller]
fn means(run: &Outcome) -> [u64; 5] {
    let shape = "Established means: # checked (# by keepalive), # confirmed by the server, # half-open, \
                 # unknown";
    let numbers: Vec<u64> = run.find(shape).iter().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[track_caller]
fn assert_means(run: &Outcome, numbers: [u64; 5]) {
    assert_eq!(means(run), numbers, "{run:#?}");
}

/// From the start to the report, as the run reports it.
#[track_caller]
fn took(run: &Outcome) -> Duration {
    span(&run.find("End: * (after @)")[1])
}

/// Dial times, from the lines of `--debug`.
fn dial_times(run: &Outcome) -> Vec<Duration> {
    let shapes = ["connection # to *: established after @", "connection # to *: error after @: *"];
    let of = |line: &str| shapes.iter().find_map(|shape| matches(line, shape));
    run.stderr.lines().filter_map(of).map(|words| span(&words[2])).collect()
}

/// Runs the program under strace, which logs one system call with full arguments.
fn traced(
    call: &str,
    words: &str,
    program: impl Fn(&str, &str) -> std::process::Command,
) -> Option<(Outcome, String)> {
    if command("strace -V").output().is_err() {
        skip("system calls are counted by strace");
        return None;
    }
    let scratch = Scratch::new();
    let file = scratch.path("calls");
    let traced = format!(
        "-f --seccomp-bpf -xx -s {INFO_BYTES} -e trace={call} -o {} {} -y --report=full {words}",
        file.display(),
        env!("CARGO_BIN_EXE_tcpgoon")
    );
    let run = Running::start(program("strace", &traced)).outcome();
    let calls = fs::read_to_string(file).unwrap();
    Some((run, calls))
}

fn plain(program: &str, words: &str) -> std::process::Command {
    command(&format!("{program} {words}"))
}

// Counted at both ends.

#[test]
fn established_at_the_end_is_what_the_server_counts() {
    if !has_descriptors_for(19_000) {
        return;
    }
    for _ in 0..5 {
        let server = Served::start(&["-i", "50ms", "--backlog", "128"]);
        let words = ["-y", "-c", "19000", "-s", "0", "-t", "30", "-i", "0.1", "--close", "rst"];
        let run = run(&[&words[..], &["--probe", &server.target()]].concat());
        let (last, said) = (run.last(), server.end().stdout);
        assert_eq!(last, decided(19_000, last.established, 19_000 - last.established));
        run.assert_code(if last.closed > 0 { 2 } else { 0 });
        if last.closed > 0 {
            run.find(&format!("Closed: {0}, by reason: {0} {HALF_OPEN}", last.closed));
        }
        // Counted before the client closed any.
        let mut held = said.lines().rev().filter_map(counts).filter(|[.., closed]| *closed == 0);
        let [_, open, most, _] = held.next().unwrap();
        assert_eq!((open, most), (last.established, last.established), "{run:#?}");
    }
}

#[test]
fn a_long_hold_checks_an_even_sample_by_default_and_none_with_probe_none() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    for (flags, probed, gap) in [
        ("--hold 2s", 1000, 3),
        ("--hold 2s --probe none", 0, 0),
        ("--hold 1.9s", 0, 0),
        ("--hold 1.9s --probe sample", 1000, 3),
        ("--probe", 3000, 1),
    ] {
        let words = format!("-c 3000 -s 0 -i 0 --close rst {flags} {target}");
        let Some((run, calls)) = traced("setsockopt", &words, plain) else { return };
        run.assert_code(0);
        assert_eq!(run.last(), decided(3000, 3000, 0));
        let on = calls.lines().filter(|line| line.contains("SO_KEEPALIVE, [1]"));
        let sockets: BTreeSet<u32> = on
            .map(|line| line.split_once("setsockopt(").unwrap().1.split_once(',').unwrap().0)
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(sockets.len(), probed, "{flags}");
        // Some descriptor numbers are used otherwise.
        let all: Vec<_> = sockets.into_iter().collect();
        let uneven = all.windows(2).filter(|pair| pair[1] - pair[0] != gap).count();
        assert!(uneven < 10, "{flags}: {all:?}");
    }
}

#[test]
fn a_run_waits_for_acknowledgements_and_no_longer() {
    let server = Served::start(&["-i", "0"]);
    for hold in ["0", "1"] {
        let words = ["-y", "-c", "500", "-s", "0", "-i", "0", "--probe", "--hold", hold];
        // The acknowledgement is there at the first read. On a machine that stalls a read may be late,
        // and then there is one more.
        let is_in_time = |_| {
            let run = run(&[&words[..], &[&server.target()]].concat());
            run.assert_code(0);
            assert_eq!(run.last(), decided(500, 500, 0));
            assert_means(&run, [500, 500, 500, 0, 0]);
            (FIRST_READ..LAST_READ).contains(&took(&run))
        };
        assert!((0..4).any(is_in_time), "never in time with --hold {hold}");
    }
}

#[test]
fn a_reset_that_answers_no_keepalive_is_by_the_peer() {
    let mut loopbacks = vec!["127.0.0.1"];
    if UdpSocket::bind("[::1]:0").is_ok() {
        loopbacks.push("::1");
    }
    for bind in loopbacks {
        for after in ["0.5", "1.2", "1.4", "1.6"] {
            let server = Served::start(&["-i", "0", "--bind", bind, "--reset-after", after]);
            let words = ["-y", "-c", "500", "-s", "0", "-i", "0", "--probe", "--hold", "1.9"];
            let run = run(&[&words[..], &[&server.target()]].concat());
            run.assert_code(0);
            run.find("Closed: 500, by reason: 500 reset by the peer (server or network)");
            // Before the keepalives; while they are out, of all that were sent in time; or after
            // their ACKs.
            let [_, sent, ..] = means(&run);
            match after {
                "0.5" => assert_means(&run, [0, 0, 0, 0, 0]),
                "1.2" => assert_means(&run, [sent, sent, 0, 0, sent]),
                _ => {}
            }
        }
    }
}

#[test]
fn a_fin_confirms_that_the_server_had_the_connection() {
    for after in ["0.5", "1.2"] {
        let server = Served::start(&["-i", "0", "--close-after", after]);
        let words = ["-y", "-c", "500", "-s", "0", "-i", "0", "--probe", "--hold", "1.9"];
        let run = run(&[&words[..], &[&server.target()]].concat());
        run.assert_code(0);
        run.find("Closed: 500, by reason: 500 closed by the peer (server)");
        // With a keepalive or, where the FIN came before it, without.
        let [_, sent, ..] = means(&run);
        assert_means(&run, [500, sent, 500, 0, 0]);
        assert!(sent == 0 || after == "1.2", "{run:#?}");
    }
}

// Connections that the server never had: the firewall drops the final ACK.

/// Client packets after the SYN, RST excluded.
const AFTER_SYN: &str = "tcp flags & (syn | rst) == 0 ct original packets";

/// A server on port 80 with the rule `lost`, and a healthy one on port 81; the rule `lost_by_both` is
/// for both. With SYN cookies a server has no state before the final ACK arrives.
fn two_servers(bind: &str, lost: &str, lost_by_both: &str) -> Option<(Namespace, [Served; 2])> {
    let namespace = Namespace::make()?;
    namespace
        .firewall("input", &format!("tcp dport {{ 80, 81 }} {lost_by_both}\ntcp dport 80 {lost}"));
    namespace.set("net/netfilter/nf_conntrack_acct", "1");
    namespace.set("net/ipv4/tcp_syncookies", "2");
    let serve = |port: u16| {
        let words = format!("serve -i 50ms -p {port} --bind {bind}");
        Served::start_with(&[], |_| namespace.tcpgoon(&words))
    };
    let servers = [serve(80), serve(81)];
    Some((namespace, servers))
}

/// The server on port 80 never has its 20 of 40 connections, and answers keepalives with RST.
#[track_caller]
fn assert_20_are_half_open(bind: &str, lost: &str, lost_by_both: &str) -> Option<Outcome> {
    let (namespace, [_lossy, healthy]) = two_servers(bind, lost, lost_by_both)?;
    let host = if bind.contains(':') { format!("[{bind}]") } else { bind.to_owned() };
    let words = format!("-y -c 40 -s 0 -i 0 -t 60 --probe --debug {host}:80 {host}:81");
    let run = Running::start(namespace.tcpgoon(&words)).outcome();
    run.assert_code(2);
    assert_eq!(run.last(), decided(40, 20, 20), "{run:#?}");
    run.find(&format!("Closed: 20, by reason: 20 {HALF_OPEN}"));
    assert_means(&run, [40, 40, 20, 20, 0]);
    // Not before the keepalive.
    let shape = "connection # to *:80: closed after @: half-open*";
    let ends = run.stderr.lines().filter_map(|line| matches(line, shape));
    let ends: Vec<Duration> = ends.map(|words| span(&words[2])).collect();
    assert!(ends.len() == 20 && ends.iter().all(|after| *after >= 1000 * MS), "{run:#?}");
    healthy.wait_for_counts("it has its own", |[accepted, ..]| accepted == 20);
    Some(run)
}

#[test]
fn a_keepalive_answered_with_rst_is_half_open() {
    assert_20_are_half_open("127.0.0.1", &format!("{AFTER_SYN} 2 drop"), "tcp dport 0 drop");
}

#[test]
fn a_keepalive_answered_with_rst_is_half_open_over_ipv6() {
    if !has_ipv6() {
        return skip("this kernel has no IPv6");
    }
    assert_20_are_half_open("::1", &format!("{AFTER_SYN} 2 drop"), "tcp dport 0 drop");
}

#[test]
fn a_lost_keepalive_is_repeated() {
    let (lost, by_both) = (format!("{AFTER_SYN} 2 drop"), format!("{AFTER_SYN} 3 drop"));
    let Some(run) = assert_20_are_half_open("127.0.0.1", &lost, &by_both) else { return };
    // The second one is sent a second later, and answered.
    let second = FIRST_READ + 1000 * MS;
    assert!((second..LAST_READ).contains(&took(&run)), "{run:#?}");
}

#[test]
fn a_half_open_connection_is_recognised_after_repeated_syns() {
    let by_both = "tcp flags syn numgen random mod 100 < 25 drop";
    let lost = format!("{AFTER_SYN} 2 drop");
    let Some(run) = assert_20_are_half_open("127.0.0.1", &lost, by_both) else { return };
    let slow = dial_times(&run).into_iter().filter(|time| *time >= 1000 * MS).count();
    assert!((1..40).contains(&slow), "{run:#?}");
}

#[test]
fn an_unacknowledged_keepalive_is_neither_confirmed_nor_half_open() {
    let silent = format!("{AFTER_SYN} > 2 drop");
    let Some((namespace, _servers)) = two_servers("127.0.0.1", &silent, "tcp dport 0 drop") else {
        return;
    };
    let words = "-y -c 40 -s 0 -i 0 --probe --close rst 127.0.0.1:80 127.0.0.1:81";
    let run = Running::start(namespace.tcpgoon(words)).outcome();
    run.assert_code(2);
    assert_eq!(run.last(), decided(40, 40, 0), "{run:#?}");
    assert!(!run.stdout.contains(HALF_OPEN), "{run:#?}");
    assert_means(&run, [40, 40, 20, 0, 20]);
    assert!((LAST_READ..LAST_READ + LATE).contains(&took(&run)), "{run:#?}");
}

#[test]
fn packet_loss_makes_no_connection_half_open() {
    let lost = format!("{AFTER_SYN} > 2 drop");
    let Some((namespace, _servers)) = two_servers("127.0.0.1", &lost, "tcp dport 0 drop") else {
        return;
    };
    let words = "-y -c 40 -s 0 -i 0 --send PING --reply-timeout 2 --close rst 127.0.0.1:80 \
                 127.0.0.1:81";
    let run = Running::start(namespace.tcpgoon(words)).outcome();
    run.assert_code(2);
    let shape = "Suspects: # checked after a slow dial or a missing reply, # with a retransmitted \
                 SYN-ACK, # with unacknowledged data";
    assert_eq!(run.find(shape), ["40", "0", "20"], "{run:#?}");
}

// Repeated SYNs, and getsockopt() calls.

/// TCP_INFO reads with retransmissions, and without.
fn tcp_info_reads(calls: &str) -> (usize, usize) {
    let shape = "*getsockopt(*, SOL_TCP, TCP_INFO, \"*\", *";
    let reads = calls.lines().filter_map(|line| matches(line, shape)).map(|words| {
        let bytes: Vec<_> = words[2].split("\\x").skip(1).map(str::to_owned).collect();
        bytes[TOTAL_RETRANS..TOTAL_RETRANS + 4].iter().any(|byte| byte != "00")
    });
    let (repeated, fine): (Vec<bool>, Vec<bool>) = reads.partition(|is_repeated| *is_repeated);
    (repeated.len(), fine.len())
}

/// How much of `struct tcp_info` the program reads, and the offset of `tcpi_total_retrans`. Source:
/// include/uapi/linux/tcp.h.
const INFO_BYTES: usize = 160;
const TOTAL_RETRANS: usize = 100;

/// At most 100 handshake times a second are read.
fn samples_max(run: &Outcome) -> usize {
    took(run).as_millis() as usize / 10 + 1
}

#[test]
fn a_clean_run_reads_tcp_info_at_most_a_hundred_times_a_second() {
    let server = Served::start(&["-i", "0"]);
    let words = format!("-c 1000 -s 1 -i 0 {}", server.target());
    let Some((run, calls)) = traced("getsockopt", &words, plain) else { return };
    run.assert_code(0);
    let (repeated, fine) = tcp_info_reads(&calls);
    assert_eq!(repeated, 0, "{run:#?}");
    assert!((10..=samples_max(&run)).contains(&fine), "{fine}: {run:#?}");
    // Nothing else: what is writable without an error is established.
    assert_eq!(calls.lines().filter(|line| line.contains("getsockopt(")).count(), fine);
}

#[test]
fn tcp_info_is_read_of_every_slow_dial_established_or_not() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.lose_syns(80);
    let _server = Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80"));
    let words = "-c 200 -s 0 -i 0 -t 1.5 --debug 127.0.0.1:80";
    let inside = |program: &str, words: &str| namespace.command(program, words);
    let Some((run, calls)) = traced("getsockopt", words, inside) else { return };
    let last = run.last();
    assert_eq!(last, decided(200, last.established, 0), "{run:#?}");
    run.assert_code(if last.error > 0 { 2 } else { 0 });
    let times = dial_times(&run);
    assert_eq!(times.len(), 200, "{run:#?}");
    let slow = times.iter().filter(|time| **time >= 1000 * MS).count();
    let (repeated, fine) = tcp_info_reads(&calls);
    assert!((20..180).contains(&slow), "{run:#?}");
    assert_eq!(repeated, slow, "{run:#?}");
    let reported = &run.find("Dials of 1s or more: #, of which # retransmitted their SYN *")[0];
    assert_eq!(*reported, slow.to_string(), "{run:#?}");
    assert!(fine <= samples_max(&run), "{fine}: {run:#?}");
}
