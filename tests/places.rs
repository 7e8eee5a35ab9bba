//! What stopped it, where there are several targets, or sources, and only one of them was met.

mod common;
mod support;

use common::{ClosedPort, Served};
use support::verdicts::{run, run_in, serve_in, verdict};
use support::{Namespace, command};

#[test]
fn one_of_two_targets_that_refuses_is_named() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let words = format!("-c 20 -s 1 {}", server.target());
    let verdict = verdict(&run(&closed.target(), &words));
    let dials = format!("All 10 dials to {} were refused.", closed.target());
    verdict.reached(&format!("10 concurrent connections of 20 asked for. {dials}"));
    verdict.next(&[&format!("sport = :{}", closed.address.port())]).nothing_else();
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
    verdict.reached(
        "70 concurrent connections of 100 asked for. From 20 connections to 127.0.0.1:81 on, all \
         30 dials to it timed out.",
    );
    verdict.side("server or network, which look alike from here: a full accept queue");
    verdict.next(&["sport = :81"]).nothing_else();
    run.find("  127.0.0.1:81  *50  *20  *30  *0  *");
}

#[test]
fn who_hangs_up_is_named_among_those_who_do_not() {
    let Some(namespace) = Namespace::make() else { return };
    let _servers = two_in(&namespace, "--close-after 1ms");
    let verdict = verdict(&run_in(&namespace, "-c 60 -s 5 --hold 1 127.0.0.1:80 127.0.0.1:81"));
    verdict.reached(
        "# concurrent connections*asked for. The other side accepted and closed all 30 to \
         127.0.0.1:81 at once (*",
    );
    verdict.side("server, or a proxy before it: it wants no such connection").nothing_else();
}

#[test]
fn who_does_not_answer_is_looked_for_at_its_own_port() {
    let Some(namespace) = Namespace::make() else { return };
    let _mute = two_in(&namespace, "--banner hello");
    let words = "-c 40 -s 1 --expect hello --reply-timeout 0.5 127.0.0.1:80 127.0.0.1:81";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.reached(
        "40 concurrent connections, all that were asked for. None of those established to \
         127.0.0.1:80 answered within 500ms.",
    );
    verdict.side("server: its process accepts nobody").next(&["sport = :80"]).nothing_else();
}

#[test]
fn a_source_that_is_not_let_in_is_named() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = serve_in(&namespace, "");
    namespace.firewall("input", "ip saddr 127.0.0.3 tcp dport 80 reject with tcp reset");
    let words = "-c 60 -s 1 --source 127.0.0.2,127.0.0.3 127.0.0.1:80";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.reached(
        "30 concurrent connections of 60 asked for. All 30 dials from 127.0.0.3 were refused.",
    );
    verdict.side("server or network: what sets those from 127.0.0.3 apart");
    verdict.next(&["tcpgoon 127.0.0.1:80 --source 127.0.0.3"]).nothing_else();
}

#[test]
fn an_answer_that_comes_late_is_told_from_another_one() {
    let Some(namespace) = Namespace::make() else { return };
    if command("socat -V").output().is_err() {
        return common::skip("a slow application is made by socat");
    }
    let mut slow = namespace.command("socat", "TCP-LISTEN:80,fork,reuseaddr");
    slow.arg("SYSTEM:sleep 1; echo hello; sleep 9");
    let _slow = common::Running::start(slow);
    common::wait_until("socat listens", || {
        let listening = namespace.run("ss -Hltn sport = :80");
        (!listening.is_empty()).then_some(())
    });
    let words = "-c 8 -s 1 --expect hello --reply-timeout 0.5 --hold 3 127.0.0.1:80";
    let late = verdict(&run_in(&namespace, words));
    late.reached(
        "8 concurrent connections, all that were asked for. None of those established answered \
         within 500ms (8 spoke later).",
    );
    late.side("server or network: answers come, but too late").next(&["--reply-timeout"]);
    let words = "-c 8 -s 1 --expect good-bye --reply-timeout 3 127.0.0.1:80";
    let other = verdict(&run_in(&namespace, words));
    other.side("server: the application says something else").next(&["--debug"]).nothing_else();
}

#[test]
fn limits_of_their_own_at_two_targets_are_told_one_by_one() {
    let Some(namespace) = Namespace::make() else { return };
    let open = |words: &str| {
        Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve -i 0 {words}")))
    };
    let _servers = [open("-p 80 --never-accept --backlog 16"), open("-p 81")];
    namespace.firewall("input", "tcp dport 81 ct state new ct count over 10 drop");
    let words = "-c 120 -s 5 -t 1.5 127.0.0.1:80 127.0.0.1:81";
    let verdict = verdict(&run_in(&namespace, words));
    verdict.reached(
        "27 concurrent connections of 120 asked for. From 10 connections to 127.0.0.1:81 on, all \
         50 dials to it timed out.",
    );
    verdict.side("server or network, which look alike from here: a full accept queue");
    verdict.next(&["sport = :81"]);
    let also = "From 17 connections to 127.0.0.1:80 on, all 43 dials to it timed out.";
    assert_eq!(verdict.also, also, "{verdict:#?}");
}

#[test]
fn most_of_many_targets_that_refuse_are_not_scattered() {
    let Some(namespace) = Namespace::make() else { return };
    let _servers = [105, 113, 121].map(|port| {
        Served::start_with(&[], |_| namespace.tcpgoon(&format!("serve -i 0 -p {port}")))
    });
    let verdict = verdict(&run_in(&namespace, "-c 280 -s 1 127.0.0.1:100-127"));
    verdict.reached(
        "30 concurrent connections of 280 asked for. All 250 dials to 25 of 28 targets \
         (127.0.0.1:100, ...) were refused.",
    );
    verdict.nothing_else();
}
