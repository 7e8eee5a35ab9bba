//! Limits and faults of the network.

use std::time::Duration;

use super::{GONE, QUEUE, goon, serve};
use crate::common::faulty_servers::Fault;
use crate::common::path::Knobs;
use crate::common::topology;
use crate::common::verdict::verdict;

const MS: Duration = Duration::from_millis(1);

/// firewalld's default rule. The kernel limits its ICMP, so most dials time out and some are answered.
pub fn an_icmp_reject_is_rate_limited() {
    let Some([client, host]) = topology::two() else { return };
    host.firewall("input", "tcp dport 80 reject with icmpx admin-prohibited");
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 100"));
    verdict.word("FAILED", 2).reached_is(0, 100).share(100, 100).first(&["firewall-reject"]);
    verdict.never(&[&QUEUE[..], &["packet-loss", "rate-limit"]].concat());
}

/// A router that counts: ICMP for some of those above 20, silence for the others.
pub fn an_icmp_reject_above_twenty() {
    let Some([client, router, host]) = topology::three() else { return };
    let _server = serve(&host, "10.2.0.2:80", Fault::Keep);
    let rule = "tcp dport 80 ct state new ct count over 20 reject with icmpx host-unreachable";
    router.firewall("forward", rule);
    let verdict = verdict(&goon(&client, "10.2.0.2:80 -c 60 -s 1"));
    verdict.word("LIMIT", 2).reached_is(20, 60).open(20).share(40, 40);
    verdict.first(&["reject-above-limit", "firewall-reject"]);
    verdict.never(&[&QUEUE[..], &["packet-loss"]].concat());
}

/// As kube-proxy balances, one endpoint gone: its dials and all their repeats are lost, all others
/// succeed.
pub fn one_of_three_backends_is_down() {
    let Some([client, router, host]) = topology::three() else { return };
    let _servers = ["10.2.0.3:80", "10.2.0.4:80"].map(|at| serve(&host, at, Fault::Keep));
    host.firewall("input", "ip daddr 10.2.0.5 drop");
    router.translate(
        "prerouting",
        "ip daddr 10.96.0.1 tcp dport 80 dnat to numgen random mod 3 map { 0: 10.2.0.3, 1: 10.2.0.4, \
         2: 10.2.0.5 }",
    );
    let verdict = verdict(&goon(&client, "10.96.0.1:80 -c 120 -t 6"));
    verdict.word("LIMIT", 2).first(&["backend-down", "listener-stuck"]).never(&["packet-loss"]);
}

/// A balancer that goes around: every second connection is closed on accept.
pub fn one_of_two_backends_closes_in_turn() {
    let Some([client, router, host]) = topology::three() else { return };
    let _good = serve(&host, "10.2.0.3:80", Fault::Keep);
    let _bad = serve(&host, "10.2.0.4:80", Fault::Max { count: 0, error_line: "" });
    router.translate(
        "prerouting",
        "ip daddr 10.96.0.1 tcp dport 80 dnat to numgen inc mod 2 map { 0: 10.2.0.3, 1: 10.2.0.4 }",
    );
    let verdict = verdict(&goon(&client, "10.96.0.1:80 -c 60 -s 3"));
    verdict.word("LIMIT", 2).share(30, 60).first(&["backend-unreachable"]);
}

/// connection tracking that expires after 5 s and drops what it has no entry for: no FIN, no RST,
/// nothing passes any more. A path that failed looks the same.
pub fn a_router_expires_idle_connections_silently() {
    let Some([client, router, host]) = topology::three() else { return };
    let _server = serve(&host, "10.2.0.2:80", Fault::Keep);
    let rules = "ct state invalid drop\ntcp flags & (syn|ack) != syn ct state new drop";
    router.firewall("forward", rules);
    router.translate("postrouting", "oifname rs masquerade");
    router.set("net/netfilter/nf_conntrack_tcp_timeout_established", "5");
    router.set("net/netfilter/nf_conntrack_tcp_loose", "0");
    let verdict = verdict(&goon(&client, "10.2.0.2:80 -c 100 -s 2 --hold 15 --probe"));
    verdict.word("LIMIT", 2).first(&["state-expired", "path-down"]).names(&["state-expired"]);
}

pub fn a_nat_has_twenty_ports_for_each_destination() {
    let Some([client, router, host]) = topology::three() else { return };
    let _servers = ["10.2.0.2:80", "10.2.0.3:80"].map(|at| serve(&host, at, Fault::Keep));
    router.translate("postrouting", "oifname rs ip protocol tcp snat to 10.2.0.1:40000-40019");
    let verdict = verdict(&goon(&client, "10.2.0.2:80 10.2.0.3:80 -c 70 -s 1"));
    verdict.word("LIMIT", 2).reached_is(40, 70).open(20).names(&["nat-ports-exhausted"]);
}

/// A healthy server behind 1% loss: TCP repairs it, and every connection stands at both ends.
pub fn one_percent_of_loss_closes_no_connection() {
    let knobs = Knobs { rtt: 10 * MS, loss: 0.01, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 500 -s 1 --hold 6"));
    verdict.word("OK", 0).reached_is(500, 500).never(&[&QUEUE[..], &GONE].concat());
}

/// 80 of 100 dials are dropped between 0.2 s and 1 s; at 5.1 s the server closes the 20 that it has and
/// goes on listening.
pub fn a_firewall_counts_and_the_server_closes_all_later() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::DropAll(5100 * MS));
    host.firewall("input", "tcp dport 80 ct state new ct count over 20 drop");
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 100 -s 10 -t 5 --hold 3"));
    verdict.word("LIMIT", 2).reached_is(20, 100).open(20).share(80, 80);
    verdict.first(&["drop-above-limit", "accept-queue-full"]);
}

/// Three seconds in, nothing passes any more. Nothing is closed.
pub fn the_path_fails_in_the_hold() {
    let knobs = Knobs { rtt: 2 * MS, dead: Some(3000 * MS), ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 50 -s 1 --hold 8 --probe"));
    verdict.word("LIMIT", 2).reached_is(50, 50).first(&GONE);
}

/// At most 20 at once, and each lives 0.3 s: dials fail whenever 20 are open, and succeed again below.
pub fn a_limit_on_the_count_beside_connections_that_end() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Age(300 * MS));
    host.firewall("input", "tcp dport 80 ct state new ct count over 20 drop");
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 400 -s 5 -t 0.4"));
    verdict.word("LIMIT", 2).names(&["drop-above-limit"]);
    let levels =
        verdict.problems.iter().filter(|problem| problem.ids().contains(&"drop-above-limit"));
    let is_known = |[low, high]: [u64; 2]| (19..=21).contains(&low) || (19..=21).contains(&high);
    assert!(levels.into_iter().any(|problem| is_known(problem.open())), "{verdict}");
}

/// Over IPv6 the error does not tell where it came from; that this host has sent it does.
pub fn an_ipv6_address_that_no_host_on_the_link_has() {
    let Some([client, _host]) = topology::two() else { return };
    client.run("ip addr add fd00:77::1/64 dev c nodad");
    let verdict = verdict(&goon(&client, "[fd00:77::99]:80 -s 20 -c 20"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20).first(&["neighbour-unresolved"]);
}

/// Nothing passes any more while dials go on: not even a server that has stopped accepting would leave
/// all keepalives unacknowledged.
pub fn the_path_fails_as_dials_go_on() {
    let knobs = Knobs { rtt: 2 * MS, dead: Some(1000 * MS), ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 200 -t 2 --hold 3 --probe"));
    verdict.word("LIMIT", 2).first(&["path-down"]);
    // On a loaded machine the dials can be a second problem.
    verdict.never(&[&QUEUE[..], &["drop-above-limit", "rate-limit"]].concat());
}

/// Bare ACKs are lost: a server that repeats its SYN-ACK to a few has them all in the end, or nearly.
pub fn final_acks_are_lost() {
    let knobs = Knobs { rtt: 20 * MS, ack_loss: 0.1, seed: 5, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 300 -s 5 --hold 4 --probe"));
    verdict.reached_is(300, 300).never(&[&QUEUE[..], &["state-expired"]].concat());
    // Which ones are lost depends on the order of the segments.
    for problem in &verdict.problems {
        assert_eq!(problem.ids()[0], "packet-loss", "{verdict}");
    }
}

/// Nothing but SYN-ACKs and their repeats arrives: all are established on this host only, and the report
/// does not say more.
pub fn all_final_acks_are_lost() {
    let knobs = Knobs { rtt: 20 * MS, ack_loss: 1.0, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 30 -s 3 --hold 4 --probe"));
    verdict.reached_is(30, 30).share(30, 30).never(&GONE);
    assert!(verdict.reached.contains("confirmed none of them"), "{verdict}");
}

/// Repeated SYNs come through for as long as the run takes: no number of open connections is a limit.
pub fn a_rate_lets_some_through_at_any_level() {
    let Some([client, router, host]) = topology::three() else { return };
    let _server = serve(&host, "10.2.0.2:80", Fault::Keep);
    let rule = "tcp dport 80 ct state new limit rate over 20/second burst 5 packets drop";
    router.firewall("forward", rule);
    let verdict = verdict(&goon(&client, "10.2.0.2:80 -c 200 -s 5 -t 2"));
    verdict.word("LIMIT", 2).first(&["rate-limit"]).never(&["accept-queue-full", "path-down"]);
}

/// Each dial is given up before the kernel gives the address up: its entry shows it.
pub fn a_short_dial_to_an_address_that_no_host_on_the_link_has() {
    let Some([client, _host]) = topology::two() else { return };
    let verdict = verdict(&goon(&client, "10.77.0.99:80 -s 20 -c 20 -t 1"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20).first(&["neighbour-unresolved"]);
    let evidence = verdict.main().candidates[0].evidence.join(" ");
    assert!(evidence.contains("ARP"), "{verdict}");
}

pub fn an_address_that_no_host_on_the_link_has() {
    let Some([client, _host]) = topology::two() else { return };
    let verdict = verdict(&goon(&client, "10.77.0.99:80 -s 60 -c 50"));
    verdict.word("FAILED", 2).reached_is(0, 50).share(50, 50).first(&["neighbour-unresolved"]);
    verdict.checks(&["10.77.0.99"]);
}
