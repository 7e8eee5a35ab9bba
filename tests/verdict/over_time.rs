//! Limits and faults that begin or end during a run, and packet loss beside a limit.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::sys::signal::Signal;
use nix::sys::socket::{
    self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, bind, setsockopt,
    shutdown, socket, sockopt::ReusePort,
};

use crate::common::output::{Stats, stats};
use crate::common::packaged_servers::{free_port, local, nginx};
use crate::common::verdict::{Verdict, run, run_in, serve_in, verdict};
use crate::common::{Namespace, Scratch};
use crate::common::{Running, Served, likely_port, listen, tcpgoon, wait_until};

/// A run with frequent statistics lines.
fn dial(words: &str, target: &str) -> Running {
    let words: Vec<&str> = words.split_whitespace().chain([target]).collect();
    Running::start(tcpgoon(&[&["-y", "-i", "20ms"], words.as_slice()].concat()))
}

// Servers.

#[test]
fn eviction_of_the_oldest_is_no_idle_timeout() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = nginx(&scratch, port, 40) else { return };
    // Stalls blur the ages.
    let mut tries =
        (0..3).map(|_| verdict(&run(&local(port).to_string(), "-c 150 -s 20 --hold 1")));
    let is_named = |verdict: &Verdict| verdict.ids().contains(&"evicts-oldest");
    let verdict = tries.find(is_named).expect("the ages show it");
    verdict.word("LIMIT", 2).first(&["evicts-oldest", "connection-limit"]).sides(&["server"]);
    let [reached, _] = verdict.reached();
    assert!(reached <= 41, "{verdict}");
    verdict.nothing_else();
}

#[test]
fn an_idle_timeout_of_simultaneous_dials_is_no_certain_end_of_the_process() {
    let of_one_more = |_| {
        let server = Served::start(&["-i", "0", "--close-after", "0.3"]);
        verdict(&run(&server.target(), "-c 100 -s 0 --hold 1"))
    };
    let verdicts: Vec<Verdict> = (0..5).map(of_one_more).collect();
    for verdict in &verdicts {
        verdict.word("LIMIT", 0).reached_is(100, 100).share(100, 100).sides(&["server"]);
        verdict.names(&["idle-timeout"]).nothing_else();
        assert!(!verdict.main().is_certain, "{verdict}");
    }
}

#[test]
fn a_late_listener_is_no_limit() {
    let address = local(likely_port());
    let dialing = dial("-c 150 -s 10", &address.to_string());
    dialing.wait_for_stats("twenty are refused", |stats| stats.error >= 20);
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let verdict = verdict(&dialing.outcome());
    let ([reached, dials], [refused, all]) = (verdict.reached(), verdict.main().share());
    assert!(
        reached + refused == 150 && refused >= 20 && dials == 150 && all == refused,
        "{verdict}"
    );
    verdict.word("LIMIT", 2).names(&["no-listener"]).never(&["reject-above-limit"]).nothing_else();
}

#[test]
fn a_restarted_server_is_not_down() {
    let server = Served::start(&["-i", "0"]);
    let port = server.address.port().to_string();
    let dialing = dial("-c 250 -s 10", &server.target());
    dialing.wait_for_stats("sixty are established", |stats| stats.established >= 60);
    server.running.signal(Signal::SIGKILL);
    dialing.wait_for_stats("twenty are refused", |stats| stats.error >= 20);
    let _again = Served::start(&["-i", "0", "-p", &port]);
    let verdict = verdict(&dialing.outcome());
    verdict.word("LIMIT", 2).first(&["process-restarted"]).sides(&["server"]).nothing_else();
    let [closed, of] = verdict.main().share();
    assert!(closed >= 60 && of >= closed, "{verdict}");
}

/// One of several listeners at a port (SO_REUSEPORT), until it is shut down.
struct Sharing {
    listener: OwnedFd,
    thread: JoinHandle<()>,
}

impl Sharing {
    fn start(address: SocketAddrV4) -> Option<Sharing> {
        let (family, flags) = (AddressFamily::Inet, SockFlag::SOCK_CLOEXEC);
        let listener = socket(family, SockType::Stream, flags, None).unwrap();
        setsockopt(&listener, ReusePort, &true).unwrap();
        bind(listener.as_raw_fd(), &SockaddrIn::from(address)).ok()?;
        socket::listen(&listener, Backlog::MAXCONN).unwrap();
        let accepting = TcpListener::from(listener.try_clone().unwrap());
        let thread = thread::spawn(move || {
            // At the end all are closed at once.
            let _: Vec<TcpStream> = accepting.incoming().map_while(Result::ok).collect();
        });
        Some(Sharing { listener, thread })
    }

    fn end(self) {
        shutdown(self.listener.as_raw_fd(), Shutdown::Both).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn the_end_of_one_of_two_processes_at_a_port_is_not_certain() {
    let (address, one, _other) = wait_until("two listen on a free port", || {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, likely_port());
        Some((address, Sharing::start(address)?, Sharing::start(address)?))
    });
    let dialing = dial("-c 150 -s 10", &address.to_string());
    dialing.wait_for_stats("eighty are established", |stats| stats.established >= 80);
    one.end();
    let verdict = verdict(&dialing.outcome());
    let [closed, of] = verdict.main().share();
    assert!((10..of).contains(&closed), "{verdict}");
    // Some connections stay open.
    verdict.names(&["process-restarted"]).sides(&["server"]);
    assert!(!verdict.main().is_certain, "{verdict}");
    verdict.checks(&["lstart"]).nothing_else();
}

#[test]
fn pending_dials_at_a_signal_are_reported() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "16"]);
    let dialing = dial("-c 60 -s 5 -t 20", &server.target());
    let hang = |stats: &&Stats| stats.not_initiated == 0 && stats.dialing > 0;
    wait_until("they hang for two seconds", || {
        let stats = stats(&dialing.stdout.text());
        let last = *stats.iter().rfind(hang)?;
        (stats.iter().filter(|stats| **stats == last).count() > 100).then_some(())
    });
    dialing.signal(Signal::SIGINT);
    let run = dialing.outcome();
    run.assert_code(1);
    let verdict = verdict(&run);
    verdict.word("STOPPED", 1).reached_is(17, 60).open(17).share(43, 43);
    assert!(verdict.ended.contains("43"), "{verdict}");
    verdict.first(&["accept-queue-full"]).names(&["drop-above-limit"]).checks(&["ss -lnt"]);
    verdict.nothing_else();
}

// The path.

#[test]
fn an_outage_is_no_limit() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    let words = "-y -i 20ms -c 400 -s 10 -t 0.5 127.0.0.1:80";
    let dialing = Running::start(namespace.tcpgoon(words));
    dialing.wait_for_stats("sixty are established", |stats| stats.established >= 60);
    namespace.firewall("input", "tcp dport 80 tcp flags syn drop");
    dialing.wait_for_stats("twenty have timed out", |stats| stats.error >= 20);
    namespace.run("nft delete table inet test");
    let verdict = verdict(&dialing.outcome());
    verdict.word("LIMIT", 2).first(&["outage"]).never(&["drop-above-limit", "packet-loss"]);
    verdict.nothing_else();
}

#[test]
fn a_path_that_failed_acknowledges_no_keepalive() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    // SYN and final ACK pass, nothing after them.
    namespace.firewall("input", "tcp dport 80 numgen inc mod 1000000 >= 60 drop");
    let run = run_in(&namespace, "-c 30 -s 0 --probe 127.0.0.1:80");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(30, 30).share(30, 30);
    verdict.first(&["path-down", "host-down"]).checks(&["127.0.0.1"]).nothing_else();
}

#[test]
fn a_limit_beside_packet_loss_is_a_limit() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    let loss = "tcp dport 80 tcp flags syn numgen random mod 100 < 4 drop";
    let limit = "tcp dport 80 ct state new ct count over 100 drop";
    namespace.firewall("input", &format!("{loss}\n{limit}"));
    let verdict = verdict(&run_in(&namespace, "-c 150 -s 5 -t 4 127.0.0.1:80"));
    verdict.word("LIMIT", 2).reached_is(100, 150).names(&["drop-above-limit"]);
    let [low, high] = verdict.main().open();
    assert!((85..=100).contains(&low) && (95..=100).contains(&high), "{verdict}");
}

#[test]
fn a_server_behind_packet_loss_is_not_overloaded() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    let loss = "numgen random mod 100 < 10 drop";
    namespace.firewall("input", &format!("tcp dport 80 {loss}\ntcp sport 80 {loss}"));
    let verdict = verdict(&run_in(&namespace, "-c 300 -s 2 -t 3 --expect hello 127.0.0.1:80"));
    verdict.names(&["packet-loss"]);
    let first = &verdict.main().candidates[0];
    assert_eq!(first.side, "network", "{verdict}");
}

#[test]
fn fin_and_rst_in_turn_are_one_limit() {
    let address = listen({
        let (mut kept, mut is_read) = (Vec::new(), false);
        move |mut stream| {
            if kept.len() < 30 {
                return kept.push(stream);
            }
            is_read = !is_read;
            // close() with unread data sends RST.
            let length = if is_read { stream.read(&mut [0]) } else { stream.peek(&mut [0]) };
            assert_eq!(length.unwrap(), 1);
        }
    });
    let verdict = verdict(&run(&address.to_string(), "-c 100 -s 2 --hold 1 --send x"));
    verdict.word("LIMIT", 2).reached_is(30, 100).open(30).share(70, 70);
    verdict.first(&["connection-limit"]);
}
