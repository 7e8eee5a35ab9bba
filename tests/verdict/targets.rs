//! Limits and faults at one of several targets or sources.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::common::Namespace;
use crate::common::netns::inside;
use crate::common::verdict::{run, run_in, serve_in, verdict};
use crate::common::{ClosedPort, Served};

#[test]
fn one_of_two_targets_that_refuses_is_named() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let words = format!("-c 20 -s 1 {}", server.target());
    let verdict = verdict(&run(&closed.target(), &words));
    verdict.word("LIMIT", 2).reached_is(10, 20).share(10, 10).first(&["no-listener"]);
    assert!(verdict.main().symptom.contains(&closed.target()), "{verdict}");
    verdict.checks(&[&format!("sport = :{}", closed.address.port())]).nothing_else();
}

/// Servers on the ports 80 and 81 of a namespace.
fn two_in(namespace: &Namespace, second: &str) -> [Served; 2] {
    let words = format!("-p 81 {second}");
    let other = Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve {words}")));
    [serve_in(namespace, ""), other]
}

#[test]
fn a_limit_at_one_target_is_counted_there() {
    let Some(namespace) = Namespace::make() else { return };
    let _servers = two_in(&namespace, "");
    namespace.firewall("input", "tcp dport 81 ct state new ct count over 20 drop");
    let run = run_in(&namespace, "-c 100 -s 1 -t 1.5 127.0.0.1:80 127.0.0.1:81");
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(70, 100).share(30, 30).open(20);
    assert!(verdict.main().symptom.contains("127.0.0.1:81"), "{verdict}");
    verdict.names(&["drop-above-limit", "accept-queue-full"]).checks(&["sport = :81"]);
    verdict.nothing_else();
    run.find("  127.0.0.1:81  *50  *20  *30  *0  *");
}

#[test]
fn the_target_that_closes_on_accept_is_named() {
    let Some(namespace) = Namespace::make() else { return };
    let _servers = two_in(&namespace, "--close-after 1ms");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 5 --hold 1 127.0.0.1:80 127.0.0.1:81"));
    verdict.word("LIMIT", 2).reached_is(30, 60).share(30, 30);
    assert!(verdict.main().symptom.contains("127.0.0.1:81"), "{verdict}");
    verdict.first(&["rejects-client", "backend-unreachable"]).nothing_else();
}

#[test]
fn the_target_that_does_not_reply_is_checked_at_its_port() {
    let Some(namespace) = Namespace::make() else { return };
    let _mute = two_in(&namespace, "--banner hello");
    let words = "-c 40 -s 1 --expect hello --reply-timeout 0.5 127.0.0.1:80 127.0.0.1:81";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.word("LIMIT", 2).reached_is(40, 40).share(20, 20).first(&["app-silent"]);
    assert!(verdict.main().symptom.contains("127.0.0.1:80"), "{verdict}");
    verdict.checks(&["sport = :80"]).nothing_else();
}

#[test]
fn a_source_that_is_rejected_is_named() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.firewall("input", "ip saddr 127.0.0.3 tcp dport 80 reject with tcp reset");
    let words = "-c 60 -s 1 --source 127.0.0.2,127.0.0.3 127.0.0.1:80";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.word("LIMIT", 2).reached_is(30, 60).share(30, 30);
    assert!(verdict.main().symptom.contains("127.0.0.3"), "{verdict}");
    // The other source proves that there is a listener.
    verdict.first(&["firewall-reject"]).never(&["no-listener"]).nothing_else();
}

#[test]
fn a_late_reply_differs_from_a_wrong_one() {
    let Some(namespace) = Namespace::make() else { return };
    // A slow application: each connection gets its reply after a second.
    let listener = inside(namespace.name(), || TcpListener::bind("127.0.0.1:80").unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                // The client sends nothing.
                stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                let _ = stream.read(&mut [0]);
                stream.set_read_timeout(None).unwrap();
                // Until the client closes it.
                let _ = stream.write_all(b"hello\n").and_then(|()| stream.read(&mut [0]));
            });
        }
    });
    let words = "-c 8 -s 1 --expect hello --reply-timeout 0.5 --hold 3 127.0.0.1:80";
    let late = verdict(&run_in(&namespace, words));
    late.word("LIMIT", 2).reached_is(8, 8).share(8, 8).first(&["app-overloaded"]);
    late.checks(&["--reply-timeout"]).never(&["wrong-reply"]);
    let words = "-c 8 -s 1 --expect good-bye --reply-timeout 3 127.0.0.1:80";
    let other = verdict(&run_in(&namespace, words));
    other.word("LIMIT", 2).first(&["wrong-reply"]).checks(&["--debug"]).nothing_else();
}

#[test]
fn different_limits_at_two_targets_are_two_problems() {
    let Some(namespace) = Namespace::make() else { return };
    let open = |words: &str| {
        Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve -i 0 {words}")))
    };
    let _servers = [open("-p 80 --never-accept --backlog 16"), open("-p 81")];
    namespace.firewall("input", "tcp dport 81 ct state new ct count over 10 drop");
    let words = "-c 120 -s 5 -t 1.5 127.0.0.1:80 127.0.0.1:81";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.word("LIMIT", 2).reached_is(27, 120).open(10).share(50, 50);
    assert!(verdict.main().symptom.contains("127.0.0.1:81"), "{verdict}");
    verdict.names(&["drop-above-limit"]).checks(&["sport = :81"]);
    let [_, other] = &verdict.problems[..] else { panic!("not two: {verdict}") };
    assert!(other.symptom.contains("127.0.0.1:80"), "{verdict}");
    assert_eq!((other.open(), other.share()), ([17, 17], [43, 43]), "{verdict}");
    assert!(other.checks.contains("sport = :80"), "{verdict}");
}

#[test]
fn most_of_many_targets_that_refuse_are_not_scattered() {
    let Some(namespace) = Namespace::make() else { return };
    let _servers = [105, 113, 121].map(|port| {
        Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve -i 0 -p {port}")))
    });
    let verdict = verdict(&run_in(&namespace, "-c 280 -s 1 127.0.0.1:100-127"));
    verdict.word("LIMIT", 2).reached_is(30, 280).first(&["no-listener"]);
    for numbers in ["25 of 28", "250 of 250"] {
        assert!(verdict.main().symptom.contains(numbers), "{verdict}");
    }
    verdict.nothing_else();
}
