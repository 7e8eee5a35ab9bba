//! What stopped it, where it came in the middle of a run, went away again, or was of two kinds:
//! servers that come and go, firewalls that do, and packets that are lost beside a limit.

mod common;
mod support;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::sys::signal::Signal;
use nix::sys::socket::{
    self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, bind, setsockopt,
    shutdown, socket, sockopt::ReusePort,
};

use common::words::{Stats, stats};
use common::{Running, Served, likely_port, listen, tcpgoon, wait_until};
use support::servers::{free_port, local, nginx};
use support::verdicts::{Verdict, run, run_in, serve_in, verdict};
use support::{Namespace, Scratch};

/// A run that tells all the time how far it is.
fn dial(words: &str, target: &str) -> Running {
    let words: Vec<&str> = words.split_whitespace().chain([target]).collect();
    Running::start(tcpgoon(&[&["-y", "-i", "20ms"], words.as_slice()].concat()))
}

// Servers.

#[test]
fn a_limit_that_closes_the_oldest_is_no_timeout() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = nginx(&scratch, port, 40) else { return };
    // A machine that stalls blurs the ages.
    let mut tries =
        (0..3).map(|_| verdict(&run(&local(port).to_string(), "-c 150 -s 20 --hold 1")));
    let is_told = |verdict: &Verdict| verdict.side != "server, or a proxy before it.";
    let verdict = tries.find(is_told).expect("the ages are told");
    verdict.reached("# concurrent connections of 150 asked for. The other side closed *");
    let limits =
        ["no timeout, as others lived longer", "or a limit on connections that closes the oldest"];
    assert!(limits.iter().any(|limit| verdict.side.contains(limit)), "{verdict:#?}");
    verdict.side("server, or a proxy before it").next(&["limit"]).nothing_else();
}

#[test]
fn a_timeout_of_all_that_were_dialed_at_once_is_no_certain_end_of_the_process() {
    let of_one_more = |_| {
        let server = Served::start(&["-i", "0", "--close-after", "0.3"]);
        verdict(&run(&server.target(), "-c 100 -s 0 --hold 1"))
    };
    let verdicts: Vec<Verdict> = (0..5).map(of_one_more).collect();
    let timeout = "server, or a proxy before it: a timeout";
    // A machine that stalls blurs ages and moments.
    let blurred = "server, or a proxy before it.";
    for verdict in &verdicts {
        assert!(verdict.side.starts_with(timeout) || verdict.side == blurred, "{verdict:#?}");
        verdict.nothing_else();
    }
    assert!(verdicts.iter().any(|verdict| verdict.side.starts_with(timeout)), "{verdicts:#?}");
}

#[test]
fn a_listener_that_comes_late_is_no_limit() {
    let address = local(likely_port());
    let dialing = dial("-c 150 -s 10", &address.to_string());
    dialing.wait_for_stats("twenty are refused", |stats| stats.error >= 20);
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let verdict = verdict(&dialing.outcome());
    let [peak, refused] = verdict.reached(
        "# concurrent connections of 150 asked for. The first # dials were refused, and none later.",
    )[..] else {
        unreachable!("two wildcards")
    };
    assert!(peak + refused == 150 && refused >= 20, "{verdict:#?}");
    verdict.side("server or network: nobody listened there yet").next(&["lstart"]).nothing_else();
}

#[test]
fn a_server_that_is_started_again_is_not_gone() {
    let server = Served::start(&["-i", "0"]);
    let port = server.address.port().to_string();
    let dialing = dial("-c 250 -s 10", &server.target());
    dialing.wait_for_stats("sixty are established", |stats| stats.established >= 60);
    server.running.signal(Signal::SIGKILL);
    dialing.wait_for_stats("twenty are refused", |stats| stats.error >= 20);
    let _again = Served::start(&["-i", "0", "-p", &port]);
    let verdict = verdict(&dialing.outcome());
    verdict.reached(
        "# concurrent connections of 250 asked for. The other side closed # of # at the same \
         moment, * into the run. Between * and * into the run, all # dials were refused, and none \
         before and later.",
    );
    verdict.side("server, or a proxy before it: its process was restarted").nothing_else();
    assert!(!format!("{verdict:?}").contains("nobody was there afterwards"), "{verdict:#?}");
}

/// One of several that accept on the same port, until its listener is shut down.
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
            // All are closed at the end, at one moment.
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
fn one_of_two_processes_at_a_port_that_ends_is_not_the_end() {
    let (address, one, _other) = wait_until("two listen on a free port", || {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, likely_port());
        Some((address, Sharing::start(address)?, Sharing::start(address)?))
    });
    let dialing = dial("-c 150 -s 10", &address.to_string());
    dialing.wait_for_stats("eighty are established", |stats| stats.established >= 80);
    one.end();
    let verdict = verdict(&dialing.outcome());
    verdict.reached(
        "# concurrent connections*asked for. The other side closed # of # at the same moment, * \
         into the run.",
    );
    verdict.side("server, or a proxy before it: somebody closed these together. One of several");
    assert!(!verdict.side.contains("its process ended"), "{verdict:#?}");
    verdict.next(&["lstart"]).nothing_else();
}

#[test]
fn dials_that_hang_when_a_signal_comes_are_told_of() {
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
    verdict.reached(
        "17 concurrent connections of 60 asked for. From 17 connections on, all 43 dials had been \
         under way for a second or more. A signal ended the run with 43 under way.",
    );
    verdict.side("server or network, which look alike from here: a full accept queue");
    verdict.next(&["ss -lnt"]).nothing_else();
}

// The way there.

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
    verdict.reached(
        "# concurrent connections of 400 asked for. Between @ and @ into the run, all # dials \
         timed out, and none before and later.",
    );
    verdict.side("server or network: an outage").next(&["logs"]).nothing_else();
}

#[test]
fn a_way_that_goes_dead_answers_no_keepalive() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    // A SYN and the end of its handshake each, and nothing after the last of them.
    namespace.firewall("input", "tcp dport 80 numgen inc mod 1000000 >= 60 drop");
    let run = run_in(&namespace, "-c 30 -s 0 --probe 127.0.0.1:80");
    run.assert_code(2);
    let verdict = verdict(&run);
    verdict.reached(
        "30 concurrent connections, all that were asked for. None of the 30 asked by keepalive \
         acknowledged it.",
    );
    verdict.side("network, or the server's host").next(&["ping 127.0.0.1"]).nothing_else();
}

#[test]
fn a_limit_beside_some_loss_is_told_as_a_limit() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    let loss = "tcp dport 80 tcp flags syn numgen random mod 100 < 4 drop";
    let limit = "tcp dport 80 ct state new ct count over 100 drop";
    namespace.firewall("input", &format!("{loss}\n{limit}"));
    let verdict = verdict(&run_in(&namespace, "-c 150 -s 5 -t 4 127.0.0.1:80"));
    let numbers = verdict.reached(
        "100 concurrent connections of 150 asked for. From # connections on, * dials timed out*",
    );
    assert!((90..=100).contains(&numbers[0]), "{verdict:#?}");
    assert!(!verdict.reached.contains("and none before"), "{verdict:#?}");
    let sides = ["server or network", "network"];
    assert!(sides.iter().any(|side| verdict.side.starts_with(side)), "{verdict:#?}");
    assert!(!verdict.next.contains("both go away"), "{verdict:#?}");
}

#[test]
fn who_answers_on_a_way_that_loses_is_not_slow() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "--banner hello");
    let loss = "numgen random mod 100 < 10 drop";
    namespace.firewall("input", &format!("tcp dport 80 {loss}\ntcp sport 80 {loss}"));
    let verdict = verdict(&run_in(&namespace, "-c 300 -s 2 -t 3 --expect hello 127.0.0.1:80"));
    assert!(!verdict.side.starts_with("server:"), "{verdict:#?}");
}

#[test]
fn ends_and_resets_in_turn_are_one_limit() {
    let address = listen({
        let (mut kept, mut is_read) = (Vec::new(), false);
        move |mut stream| {
            if kept.len() < 30 {
                return kept.push(stream);
            }
            is_read = !is_read;
            // Who closes with something unread sends a reset.
            let length = if is_read { stream.read(&mut [0]) } else { stream.peek(&mut [0]) };
            assert_eq!(length.unwrap(), 1);
        }
    });
    let verdict = verdict(&run(&address.to_string(), "-c 100 -s 2 --hold 1 --send x"));
    verdict.reached(
        "# concurrent connections*asked for. From # connections on, the other side accepted and at \
         once closed all 70 (*",
    );
}
