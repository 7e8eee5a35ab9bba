//! Limits and faults of servers.

use std::time::Duration;

use super::{QUEUE, at, goon, serve};
use crate::common::faulty_servers::Fault;
use crate::common::netns::connections;
use crate::common::output::span;
use crate::common::path::Knobs;
use crate::common::verdict::verdict;
use crate::common::{Namespace, topology};
use crate::common::{Outcome, wait_until};

const MS: Duration = Duration::from_millis(1);

/// Two listeners at one port, the kernel hashes; one never accepts, and its queue of 64 is full.
pub fn one_of_two_reuseport_listeners_is_stuck() {
    let Some(host) = Namespace::make() else { return };
    let fault = Fault::Stuck { stuck: 1, of: 2, backlog: 64 };
    let _server = serve(&host, "127.0.0.1:80", fault);
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 400 -s 2"));
    verdict.word("LIMIT", 2).first(&["listener-stuck", "backend-down"]);
    verdict.never(&["packet-loss", "rate-limit", "accept-queue-overflow"]);
}

/// Every 4 s the server closes all that are older than 2 s: many at one moment, and its process lives.
pub fn an_idle_timeout_is_enforced_by_a_sweep() {
    let Some(host) = Namespace::make() else { return };
    let fault = Fault::Sweep { age: 2000 * MS, every: 4000 * MS };
    let _server = serve(&host, "127.0.0.1:80", fault);
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 300 -s 10 --hold 8"));
    verdict.word("LIMIT", 0).reached_is(300, 300).first(&["idle-timeout"]);
}

/// A stuck process with a backlog of 4096: nothing is claimed beyond handshakes and the server's kernel.
pub fn nothing_is_ever_accepted_and_the_kernel_acknowledges() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Never { backlog: 4096 });
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 100 -s 1 --probe"));
    verdict.word("OK", 0).reached_is(100, 100).nothing();
    assert!(verdict.next.contains("--expect"), "{verdict}");
}

pub fn accepted_and_closed_above_a_rate() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Rate(20));
    let in_a_second = |run: &Outcome| {
        let took = &run.find("Dial starts: 80, from first to last @")[0];
        span(took) < 900 * MS
    };
    let run = wait_until("80 dials within a second", || {
        Some(goon(&host, "127.0.0.1:80 -c 80 -s 5 --hold 1")).filter(in_a_second)
    });
    let verdict = verdict(&run);
    verdict.word("LIMIT", 2).reached_is(20, 80).first(&["accept-rate-limit", "connection-limit"]);
    verdict.names(&["accept-rate-limit", "connection-limit"]);
}

/// The first of them has 15 of its 30 in use already (else a limit of 90 on all would look the same):
/// 15, 30 and 30.
pub fn a_limit_per_client_address_seen_from_three() {
    let Some(host) = Namespace::make() else { return };
    let server = serve(&host, "0.0.0.0:80", Fault::PerClient(30));
    let target = at("127.0.0.1:80");
    let _others = connections(host.name(), 15, Some(at("127.0.1.1:0")), target);
    wait_until("all are accepted", || (server.held() == 15).then_some(()));
    let words = "127.0.0.1:80 --source 127.0.1.1-127.0.1.3 -c 150 -s 2 --hold 1";
    let verdict = verdict(&goon(&host, words));
    verdict.word("LIMIT", 2).reached_is(75, 150).first(&["client-limit"]);
    assert!(
        verdict.main().checks.contains("--source") || verdict.main().symptom.contains("source")
    );
}

pub fn a_limit_per_client_address_seen_from_one() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::PerClient(30));
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 80 -s 2 --hold 1"));
    verdict.word("LIMIT", 2).reached_is(30, 80).names(&["client-limit", "connection-limit"]);
    verdict.checks(&["--source"]);
}

pub fn it_listens_on_another_address_of_that_host() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 20 -s 1"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20);
    verdict.names(&["no-listener", "listens-elsewhere", "firewall-reject"]);
}

/// With `tcp_abort_on_overflow`, ten accepts a second, a backlog of 64 and an RTT of 50 ms, some 80
/// final ACKs meet a full queue and are answered with RST, while the SYNs that meet it are dropped and
/// admitted when they are repeated.
pub fn a_full_queue_resets() {
    let knobs = Knobs { rtt: 50 * MS, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    host.set("net/ipv4/tcp_abort_on_overflow", "1");
    let fault = Fault::Slow { every: 100 * MS, backlog: 64 };
    let _server = serve(&host, "10.77.0.2:80", fault);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 160 -s 1 --probe"));
    verdict.word("LIMIT", 2).first(&QUEUE);
}

/// A server that keeps 50 and sends the others an error line, dialed at full speed without --hold.
pub fn at_full_speed_the_number_is_the_limit() {
    let Some(host) = Namespace::make() else { return };
    let fault = Fault::Max { count: 50, error_line: "-ERR max clients reached\r\n" };
    let _server = serve(&host, "127.0.0.1:80", fault);
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 200 -s 0"));
    verdict.word("LIMIT", 2).reached_is(50, 200).first(&["connection-limit"]);
    let said = verdict.said.as_ref().map(|(count, words)| (*count, &**words));
    assert_eq!(said, Some((150, "-ERR max clients reached")), "{verdict}");
}

/// It never accepts, and its queue of 64 already holds 40: of those above, the server repeats its
/// SYN-ACK and acknowledges keepalives.
pub fn a_full_queue_behind_50_ms_is_no_failed_path() {
    let knobs = Knobs { rtt: 50 * MS, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Never { backlog: 64 });
    let _others = connections(client.name(), 40, None, at("10.77.0.2:80"));
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 60 -s 0 --probe"));
    verdict.word("LIMIT", 2).first(&QUEUE).never(&super::GONE);
}

/// HTTP/1.0: one reply, then the server closes. All 60 got the reply that was expected.
pub fn replied_as_expected_and_closed() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Answer("HTTP/1.0 200 OK\r\n\r\nok"));
    let mut command = host.tcpgoon("-y 127.0.0.1:80 -c 60 -s 5 --expect 200 --send");
    command.arg(r"GET / HTTP/1.0\r\n\r\n");
    let run = crate::common::Running::start(command).outcome();
    verdict(&run).word("OK", 0).never(&["rejects-client", "connection-limit"]);
}

/// Another reply than the one that was expected, and then the close.
pub fn another_reply_and_closed() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Answer("HTTP/1.0 503 Busy\r\n\r\n"));
    let mut command = host.tcpgoon("-y 127.0.0.1:80 -c 60 -s 5 --expect 200 --send");
    command.arg(r"GET / HTTP/1.0\r\n\r\n");
    let verdict = verdict(&crate::common::Running::start(command).outcome());
    verdict.word("FAILED", 2).first(&["wrong-reply"]);
    let said = verdict.said.as_ref().map(|(count, words)| (*count, &**words));
    assert_eq!(said, Some((60, "HTTP/1.0 503 Busy")), "{verdict}");
}
