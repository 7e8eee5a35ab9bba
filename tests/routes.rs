//! Routes: sources, several targets, and exhausted ports. Most of it needs root for namespaces.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use common::output::{matches, span};
use common::verdict::verdict;
use common::{Namespace, command, decided, errors, has_ipv6};
use common::{Outcome, Running, Served, listen, run, skip, tcpgoon_after, wait_until};

fn run_in(namespace: &Namespace, words: &str) -> Outcome {
    Running::start(namespace.tcpgoon(&format!("-y -i 0 {words}"))).outcome()
}

/// A server on port 80 of all addresses.
fn serve(namespace: &Namespace, words: &str) -> Served {
    Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve -p 80 --bind 0.0.0.0 {words}")))
}

/// One with this range of local ports.
fn with_ports(range: &str) -> Option<Namespace> {
    let namespace = Namespace::make()?;
    namespace.set("net/ipv4/ip_local_port_range", range);
    Some(namespace)
}

/// A row of a table of the report: name, dialed, established, errors, closed, p99.
#[track_caller]
fn row(run: &Outcome, name: &str) -> [u64; 3] {
    let rows: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<&str>>())
        .filter(|words| words.first() == Some(&name) && words.len() == 6)
        .collect();
    assert_eq!(rows.len(), 1, "rows of {name} in {run:#?}");
    let number = |index: usize| rows[0][index].parse().unwrap();
    [number(1), number(2), number(3)]
}

/// The number of `connect()` calls in a run, by strace.
fn connects(namespace: &Namespace, words: &str) -> Option<(Outcome, u64)> {
    if command("strace -V").output().is_err() {
        skip("system calls are counted by strace");
        return None;
    }
    let scratch = common::Scratch::new();
    let file = scratch.path("calls");
    let traced = format!(
        "-f -c -e trace=connect -o {} {} -y --report=full -i 0 {words}",
        file.display(),
        env!("CARGO_BIN_EXE_tcpgoon")
    );
    let run = Running::start(namespace.command("strace", &traced)).outcome();
    let table = std::fs::read_to_string(file).unwrap();
    let line = table.lines().find(|line| line.trim_end().ends_with(" connect"));
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("{table}")).split_whitespace().collect();
    Some((run, words[3].parse().unwrap()))
}

// Exhausted ports.

#[test]
fn every_port_of_the_range_is_used_and_later_dials_are_skipped() {
    let Some(namespace) = with_ports("20000 20199") else { return };
    let _serve = serve(&namespace, "");
    let Some((run, connects)) = connects(&namespace, "-c 230 -s 0 127.0.0.1:80") else { return };

    run.assert_code(2);
    assert_eq!(run.last(), decided(230, 200, 0));
    assert_eq!(errors(&run), "30 no ephemeral ports (this host)");
    // One dial fails; those after it are skipped.
    assert_eq!(connects, 201);
    run.find("Dials skipped: 29 (no free ephemeral port for their source and target)");
    run.find("Dial starts: 201, from first to last @");
    run.find("Timing stats for 1 failed connections min/avg/max/dev = @/@/@/@");
    // Skipped dials have no time.
    let row = run.find("  no ephemeral ports *  30  this host *  200  @/@/@");
    let times = [&row[2], &row[3], &row[4]].map(|time| span(time));
    assert!(times[0] > Duration::ZERO && times == [times[0]; 3], "{run:#?}");
}

/// 12,000 connections: the last tenth of the dials takes at most twice as long as the first.
#[test]
fn dials_stay_as_fast_to_the_last_port() {
    let Some(namespace) = with_ports("20000 31999") else { return };
    let _serve = serve(&namespace, "");
    let scratch = common::Scratch::new();
    let file = scratch.write("debug", "");
    let mut command = namespace.tcpgoon("-y -i 0 -c 12000 -s 0 --debug --close rst 127.0.0.1:80");
    // A file takes every line; a pipe with a slow reader loses some.
    command.stdout(Stdio::piped()).stderr(File::create(&file).unwrap());
    let run = Running::start_as_it_is(command).outcome();

    run.assert_code(0);
    assert_eq!(run.last(), decided(12_000, 12_000, 0));
    let shape = "connection # to 127.0.0.1:80: established after @";
    let text = std::fs::read_to_string(&file).unwrap();
    let times = text.lines().filter_map(|line| matches(line, shape));
    let mut times: Vec<(u32, Duration)> =
        times.map(|words| (words[0].parse().unwrap(), span(&words[1]))).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 12_000);
    // A search for a port would slow down every dial, a busy machine only some.
    let quick = |tenth: &[(u32, Duration)]| {
        let mut spans: Vec<Duration> = tenth.iter().map(|(_, span)| *span).collect();
        spans.sort_unstable();
        spans[spans.len() / 10]
    };
    let (first, last) = (quick(&times[..1_200]), quick(&times[10_800..]));
    assert!(last <= 3 * first, "the first tenth takes {first:?}, the last {last:?}");
}

#[test]
fn an_exhausted_route_goes_on_after_a_close() {
    let Some(namespace) = with_ports("20000 20099") else { return };
    let _serve = serve(&namespace, "--reset-after 2.5");
    // Ports are exhausted from the 100th dial, at 2 s, to the first RST, half a second later; after
    // that each RST frees a port.
    let run = run_in(&namespace, "-c 160 -s 20 127.0.0.1:80");

    run.assert_code(2);
    let [skipped] = &run.find("Dials skipped: # (*")[..1] else { unreachable!() };
    let skipped: u64 = skipped.parse().unwrap();
    let last = run.last();
    assert!(skipped >= 10, "{run:#?}");
    assert!(last.established + last.closed >= 115, "{run:#?}");
}

#[test]
fn a_route_without_ports_does_not_stop_the_others() {
    let Some(namespace) = with_ports("20000 20009") else { return };
    let _serve = serve(&namespace, "");
    let held = namespace.tcpgoon("-y -s 0 -c 5 --hold forever -i 20ms 127.0.0.1:80");
    let held = Running::start(held);
    held.wait_for_stats("five ports are taken", |stats| stats.established == 5);
    let run = run_in(&namespace, "-c 20 -s 0 127.0.0.1:80 127.0.0.2:80");

    run.assert_code(2);
    assert_eq!(run.last(), decided(20, 15, 0));
    assert_eq!(row(&run, "127.0.0.1:80"), [10, 5, 5]);
    assert_eq!(row(&run, "127.0.0.2:80"), [10, 10, 0]);
    run.find("Dials skipped: 4 (*");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(15, 20).share(5, 5).open(5);
    verdict.first(&["port-range"]).certain().sides(&["this host"]);
    assert!(verdict.main().symptom.contains("127.0.0.1:80"), "{verdict}");
    // The worst one is first.
    let place = |name: &str| run.stdout.rfind(name).unwrap();
    assert!(place("127.0.0.1:80  ") < place("127.0.0.2:80  "), "{run:#?}");
    held.signal(Signal::SIGINT);
    held.outcome().assert_code(0);
}

#[test]
fn a_missing_local_address_is_not_exhausted_ports() {
    if !has_ipv6() {
        return skip("this kernel has no IPv6");
    }
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv6/conf/all/disable_ipv6", "1");
    let run = run_in(&namespace, "-c 3 -s 0 [::1]:80");
    run.assert_code(2);
    assert_eq!(errors(&run), "3 other: Cannot assign requested address (os error 99) (this host)");
}

#[test]
fn a_port_freed_late_is_used() {
    let Some(namespace) = with_ports("20000 20049") else { return };
    let _serve = serve(&namespace, "");
    // The kernel keeps ports in TIME_WAIT for a second.
    run_in(&namespace, "-c 50 -s 0 127.0.0.1:80").assert_code(0);
    let run = run_in(&namespace, "-c 100 -s 30 127.0.0.1:80");
    run.assert_code(2);
    assert!(run.last().established >= 20, "{run:#?}");
}

/// A second signal kills the process, and its sockets with it.
#[test]
fn close_rst_leaves_no_time_wait_even_when_killed() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace, "-i 0");
    let held = namespace.tcpgoon("-y -s 0 -c 500 --hold forever -i 20ms --close rst 127.0.0.1:80");
    let held = Running::start(held);
    held.wait_for_stats("all are established", |stats| stats.established == 500);
    held.signal(Signal::SIGKILL);
    assert_eq!(held.outcome().signal(), Some(Signal::SIGKILL));
    let lingering = namespace.run("ss -Htan state time-wait");
    assert_eq!(lingering, "");
}

// Several sources.

#[test]
fn each_source_has_the_ports_again_for_each_target() {
    let Some(namespace) = with_ports("20000 20009") else { return };
    let _serve = serve(&namespace, "");
    let words = "-s 0 --source 127.0.0.8-127.0.0.9 127.0.0.1-127.0.0.3:80";
    let all = run_in(&namespace, &format!("-c 60 {words}"));
    all.assert_code(0);
    assert_eq!(all.last(), decided(60, 60, 0));
    for target in ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"] {
        assert_eq!(row(&all, target), [20, 20, 0]);
    }
    for source in ["127.0.0.8", "127.0.0.9"] {
        assert_eq!(row(&all, source), [30, 30, 0]);
    }
}

#[test]
fn dials_take_the_sources_in_turn() {
    let (sender, peers) = std::sync::mpsc::channel();
    let address = listen(move |stream| {
        sender.send(stream.peer_addr().unwrap().ip().to_string()).unwrap();
        std::mem::forget(stream);
    });
    let words = ["--source", "127.0.9.1,127.0.9.7-127.0.9.8", "-c", "9", "-s", "1", "-y"];
    run(&[&words[..], &[&address.to_string()]].concat()).assert_code(0);
    let seen: Vec<String> = peers.iter().take(9).collect();
    let mut counts = BTreeMap::new();
    seen.iter().for_each(|peer| *counts.entry(peer.as_str()).or_insert(0) += 1);
    assert_eq!(counts, BTreeMap::from(["127.0.9.1", "127.0.9.7", "127.0.9.8"].map(|a| (a, 3))));
}

#[test]
fn sources_are_of_either_family() {
    if !has_ipv6() {
        return skip("this kernel has no IPv6");
    }
    let Some(namespace) = with_ports("20000 20009") else { return };
    namespace.run("ip address add fd00:9::1/64 dev lo nodad");
    let _serve = serve(&namespace, "");
    let _serve6 = Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80 --bind ::1"));
    let words = "-s 0 --source 127.0.0.9,fd00:9::1,::1 [::1]:80 127.0.0.1:80";
    let run = run_in(&namespace, &format!("-c 20 {words}"));

    run.assert_code(0);
    for (source, count) in [("127.0.0.9", 10), ("fd00:9::1", 5), ("::1", 5)] {
        assert_eq!(row(&run, source), [count, count, 0]);
    }
}

#[test]
fn a_source_that_is_not_local_is_an_error_without_a_dial() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for (source, error) in [
        ("192.0.2.1", "--source 192.0.2.1: this host has no such address (*"),
        ("0.0.0.0", "--source 0.0.0.0: this host has no such address (*"),
        ("::", "--source ::: this host has no such address (*"),
        ("224.0.0.1", "--source 224.0.0.1: this host has no such address (*"),
        ("255.255.255.255", "--source 255.255.255.255: this host has no such address (*"),
        (
            "127.255.255.254-127.255.255.255",
            "--source 127.255.255.255: this host has no such address (*",
        ),
        ("127.0.0.1,192.0.2.9", "--source 192.0.2.9: this host has no such address (*"),
        ("::1", "--source: * needs an IPv4 source address, and there is none"),
        ("127.0.0.1/33", "--source '127.0.0.1/33': addresses of this host are accepted, *"),
        ("fe80::1", "--source fe80::1: a link-local address needs its interface: fe80::1%eth0"),
    ] {
        let run = run(&["-y", "--source", source, &target]);
        run.assert_code(1);
        let line = run.stderr.lines().next().unwrap();
        let shape = format!("tcpgoon: {error}");
        assert!(matches(line, &shape).is_some(), "{source}: {run:#?}");
        assert_eq!(run.stdout, "", "{source}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was dialed");
}

#[test]
fn a_removed_source_is_reported_and_used_again_when_it_is_back() {
    let Some(namespace) = Namespace::make() else { return };
    let _serve = serve(&namespace, "-i 0");
    for last in [1, 2] {
        namespace.run(&format!("ip address add 10.7.0.{last}/32 dev lo"));
    }
    let words = "-y -i 20ms -s 10 -c 400 --source 10.7.0.1,10.7.0.2 127.0.0.1:80";
    let run = Running::start(namespace.tcpgoon(words));
    run.wait_for_stats("both are dialed from", |stats| stats.established >= 20);
    namespace.run("ip address del 10.7.0.2/32 dev lo");
    run.wait_for_stats("one is gone", |stats| stats.error >= 30);
    namespace.run("ip address add 10.7.0.2/32 dev lo");
    let run = run.outcome();

    run.assert_code(2);
    let error = run.last().error;
    assert_eq!(run.last(), decided(400, 400 - error, 0));
    assert_eq!(errors(&run), format!("{error} source address is gone (this host)"));
    assert_eq!(row(&run, "10.7.0.1"), [200, 200, 0]);
    assert_eq!(row(&run, "10.7.0.2"), [200, 200 - error, error]);
    // Every second dial used it.
    let gone = run.stats().into_iter().find(|stats| stats.error >= 30).unwrap();
    let before = (400 - gone.not_initiated) / 2 - gone.error;
    assert!(200 - error > before + 5, "it is not dialed from again: {run:#?}");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(400 - error, 400).share(error, error);
    verdict.first(&["source-gone"]).certain().sides(&["this host"]).checks(&["ip addr"]);
    assert!(verdict.main().symptom.contains("10.7.0.2"), "{verdict}");
}

// Closing at the end of a run.

#[test]
fn close_rst_leaves_nothing_and_close_fin_time_wait() {
    // A late ACK to a server that is gone is answered with RST, which ends a few TIME_WAITs early.
    for (how, left) in [("fin", 25..51), ("rst", 0..1)] {
        let Some(namespace) = Namespace::make() else { return };
        let serve = serve(&namespace, "-i 20ms");
        run_in(&namespace, &format!("-c 50 -s 0 --close {how} 127.0.0.1:80")).assert_code(0);
        serve.wait_for_counts("all are closed", |[_, _, _, closed]| closed == 50);
        // The server's side may finish first.
        let count = |of| namespace.run(&format!("ss -Htan {of}")).lines().count();
        let settled = || {
            let is_through = count("exclude listening exclude time-wait") == 0;
            is_through && left.contains(&count("state time-wait"))
        };
        wait_until(&format!("--close {how} leaves {left:?}"), || settled().then_some(()));
    }
}

/// A run in which each close takes 10 ms.
fn slow_to_close(target: &str) -> Option<Running> {
    if command("strace -V").output().is_err() {
        skip("system calls are slowed down by strace");
        return None;
    }
    // Descriptors of connections only.
    let words = ["-y", "-i", "0", "-s", "0", "-c", "300", target];
    let slow = "set -- strace -f -qq -o /dev/null -e inject=close:delay_enter=10ms:when=20+ \"$@\"";
    Some(Running::start(tcpgoon_after(slow, &words)))
}

#[test]
fn a_long_close_shows_progress_after_the_report() {
    let server = Served::start(&["-i", "0"]);
    let Some(run) = slow_to_close(&server.target()) else { return };
    let run = run.outcome();
    run.assert_code(0);
    assert_eq!(run.last(), decided(300, 300, 0));
    let shape = "tcpgoon: closing: # of 300 connections are closed";
    let left = run.stderr.lines().filter_map(|line| matches(line, shape));
    let left: Vec<u64> = left.map(|words| words[0].parse().unwrap()).collect();
    assert!(!left.is_empty() && left.is_sorted(), "{run:#?}");
}

#[test]
fn a_signal_shortens_the_close_and_changes_nothing_else() {
    let server = Served::start(&["-i", "0"]);
    let Some(run) = slow_to_close(&server.target()) else { return };
    run.stderr.wait_for_words("connections are closed");
    let client = common::children(run.id())[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(client.cast_signed()), Signal::SIGINT)
        .unwrap();
    run.outcome().assert_code(0);
}
