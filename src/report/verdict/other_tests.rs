//! Verdicts on runs that are made up: closes, connections that nobody serves, and this host.

use super::*;
use crate::report::evidence::write_evidence;

#[test]
fn nobody_who_is_unanswered_is_taken_for_served() {
    let all = "100 concurrent connections, all that were asked for.";
    let silent = Made::with(100, expecting()).unanswered(100, 0, 0);
    let reached = format!("{all} None of those established answered within 5s.");
    assert_verdict(&silent, &reached, "server: its process accepts nobody", &["ss -lnt"]);

    let limit = Made::with(100, expecting()).unanswered(40, 60, 60);
    let reached = format!(
        "{all} From 60 connections on the application answered nobody: 60 answered, 40 did not."
    );
    assert_verdict(&limit, &reached, "server: from that number on the application", &["ss -lnt"]);

    let slow = Made::with(100, expecting()).unanswered(40, 2, 60);
    let reached = format!("{all} 40 established did not answer within 5s, 60 did.");
    assert_verdict(&slow, &reached, "server: the application is too slow", &["--reply-timeout"]);

    let one = Made::with(1, expecting()).unanswered(1, 0, 0);
    let reached = "1 concurrent connection, as asked for. The one connection established was not \
                   answered within 5s.";
    assert_verdict(&one, reached, "server: its process accepts nobody", &[]);
}

#[test]
fn another_answer_a_late_one_and_none_are_told_apart() {
    let made = |misheard, late| {
        Made::with(100, expecting()).unanswered(100, 0, 0).change(|made| {
            made.summary.received_bytes = 900;
            (made.summary.findings.misheard, made.summary.findings.late) = (misheard, late);
        })
    };
    let all = "100 concurrent connections, all that were asked for. None of those established \
               answered within 5s";
    for (misheard, late, words, side, next) in [
        (
            100,
            0,
            " (100 said something else, or not all of it)",
            "server: the application says something else",
            "--debug",
        ),
        (
            2,
            98,
            " (2 said something else, or not all of it, 98 spoke later)",
            "server or network: answers come, but too late",
            "--reply-timeout",
        ),
        (
            3,
            4,
            " (3 said something else, or not all of it, 4 spoke later)",
            "server: its process accepts nobody",
            "ss -lnt",
        ),
    ] {
        assert_verdict(&made(misheard, late), &format!("{all}{words}."), side, &[next]);
    }
}

#[test]
fn who_does_not_even_acknowledge_may_be_behind_a_dead_way() {
    let made = |unacknowledged| {
        Made::with(100, expecting()).unanswered(100, 0, 0).change(|made| {
            made.summary.findings.suspects = 100;
            made.summary.findings.suspects_unacknowledged = unacknowledged;
        })
    };
    let reached = "100 concurrent connections, all that were asked for. None of those established \
                   answered within 5s.";
    let next = ["ping 10.0.0.7", "tcp port 80", "ss -lnt"];
    assert_verdict(&made(90), reached, "network or server: nothing of what was sent", &next);
    assert_verdict(&made(10), reached, "server: its process accepts nobody", &[]);
}

#[test]
fn half_open_connections_are_the_servers_or_forgotten_on_the_way() {
    let all = Made::with(19_000, probing(Probe::All))
        .met(EndReason::HalfOpen, 4_060, 300, 14_640, S(1))
        .change(|made| made.summary.findings.probed = 19_000);
    let reached = "19000 concurrent connections, all that were asked for. 4060 of these 19000 are \
                   not known there: a keepalive drew a reset.";
    let next = ["TcpExtSyncookiesSent", "somaxconn", "--rate", "each table of connections"];
    assert_verdict(&all, reached, "server, or what stands before it", &next);

    let sample = Made::with(19_000, probing(Probe::Sample))
        .met(EndReason::HalfOpen, 200, 300, 18_500, S(1))
        .change(|made| made.summary.findings.probed = 1_000);
    let reached = "19000 concurrent connections, all that were asked for. 200 of a sample of 1000 \
                   are not known there: a keepalive drew a reset.";
    assert_verdict(&sample, reached, "server, or what stands before it", &[]);

    let one = Made::with(1, probing(Probe::All))
        .met(EndReason::HalfOpen, 1, 0, 0, S(1))
        .change(|made| made.summary.findings.probed = 1);
    let reached = "1 concurrent connection, as asked for. The one connection is not known there: a \
                   keepalive drew a reset.";
    assert_verdict(&one, reached, "server, or what stands before it", &[]);
}

#[test]
fn resets_that_cross_the_keepalive_are_no_half_open_connections() {
    let made = |unasked: u32, age: Span| {
        Made::with(1_000, probing(Probe::All))
            .met(EndReason::PeerReset, unasked, 0, 1_000 - unasked, age)
            .met(EndReason::HalfOpen, 300, 2, 998 - 300, MS(1_004))
            .change(|made| {
                made.summary.findings.probed = 1_000;
                let reset = made.summary.evidence[EndReason::PeerReset as usize].as_mut().unwrap();
                reset.last = reset.last + S(2);
            })
    };
    let reached = "1000 concurrent connections, all that were asked for. The other side closed 700 \
                   of 1000 at the same age, 1s. 300 more were reset just when they were asked by \
                   keepalive.";
    let side = "server or network (by resets, which a firewall or load balancer can send as well): \
                a timeout for idle connections";
    assert_verdict(&made(700, S(1)), reached, side, &[]);
    let text = made(200, S(1)).text();
    assert!(text.contains("Others of that age were reset unasked"), "{text}");
    // At another age they have nothing to do with each other.
    let text = made(700, MS(100)).text();
    assert!(text.contains("\nAlso: 300 of these 1000 are not known there"), "{text}");
}

#[test]
fn closes_are_told_apart_by_age_and_moment() {
    // Of a hundred that were dialed within a second.
    let closed = |first: Span, last: Span, youngest: Span, oldest: Span| {
        Made::of(100).met(EndReason::PeerClosed, 100, 0, 0, oldest).change(|made| {
            let evidence = made.summary.evidence[EndReason::PeerClosed as usize].as_mut().unwrap();
            (evidence.first, evidence.last) = (Moment(first.0), Moment(last.0));
            (evidence.min, evidence.max) = (youngest, oldest);
            evidence.p50 = Span(u64::midpoint(youngest.0, oldest.0));
            made.summary.lifetimes = Default::default();
            let step = (oldest.0 - youngest.0) / 99;
            (0..100).for_each(|n| made.summary.lifetimes.record(Span(youngest.0 + n * step)));
        })
    };
    for (first, last, youngest, oldest, words, side) in [
        (
            S(30),
            S(31),
            S(30),
            MS(30_010),
            "closed all 100 at the same age, 30s",
            "a timeout for idle connections, or the longest lifetime, of 30s",
        ),
        (
            MS(30_000),
            MS(30_002),
            S(29),
            S(30),
            "closed all 100 at the same moment, 30s into the run",
            "its process ended or was restarted",
        ),
        (
            MS(30_000),
            MS(30_300),
            S(30),
            MS(30_300),
            "closed all 100, all 30.2s old, at the same moment",
            "a timeout of 30.",
        ),
        (
            S(1),
            S(30),
            S(1),
            S(30),
            "closed all 100, at ages of 1s to 30s (half of them within 15.5s)",
            "",
        ),
        (
            MS(900),
            S(2),
            MS(900),
            MS(903),
            "closed all 100 at the same age, 902ms",
            "a timeout for idle connections, or the longest lifetime, of 902ms",
        ),
        (
            MS(1),
            S(1),
            MS(1),
            MS(3),
            "accepted and closed all 100 at once (within 3ms)",
            "it wants no such connection",
        ),
    ] {
        let reached =
            format!("100 concurrent connections, all that were asked for. The other side {words}.");
        let side = match side {
            "" => "server, or a proxy before it.".to_owned(),
            side => format!("server, or a proxy before it: {side}"),
        };
        assert_verdict(&closed(first, last, youngest, oldest), &reached, &side, &[]);
    }
}

#[test]
fn few_closes_are_told_as_they_are() {
    for (count, took, words) in [
        (1, S(30), "closed 1 of 100, after 30s"),
        (2, S(30), "closed 2 of 100, at an age of 30s"),
        (2, MS(1), "closed 2 of 100, at an age of 1ms"),
    ] {
        let made = Made::of(100).met(EndReason::PeerClosed, count, 40, 60 - count, took);
        let reached =
            format!("100 concurrent connections, all that were asked for. The other side {words}.");
        assert_verdict(&made, &reached, "server, or a proxy before it: too few", &[]);
    }
}

#[test]
fn a_limit_that_lets_some_in_is_one_all_the_same() {
    let made = Made::of(500).met(EndReason::PeerClosed, 200, 100, 200, MS(1));
    let reached = "500 concurrent connections, all that were asked for. From 100 connections on, \
                   the other side accepted and at once closed 200 of 400 (within 1ms).";
    let side = "server, or a proxy before it: a limit on connections";
    assert_verdict(&made, reached, side, &["redis-cli config get maxclients"]);
    assert!(made.text().contains("one of several servers behind this address"), "{}", made.text());
}

#[test]
fn closes_from_some_number_on_are_a_limit_and_resets_can_be_anybodys() {
    for (reason, side) in [
        (EndReason::PeerClosed, "server, or a proxy before it: a limit on connections"),
        (EndReason::PeerReset, "server or network (by resets, which"),
    ] {
        let made = Made::of(500).met(reason, 400, 100, 0, MS(1));
        let reached = "500 concurrent connections, all that were asked for. From 100 connections \
                       on, the other side accepted and at once closed all 400 (within 1ms).";
        assert_verdict(&made, reached, side, &["redis-cli config get maxclients", "/proc/PID/fd"]);
    }
}

#[test]
fn this_host_is_named_with_its_knob() {
    for (reason, words, knob) in [
        (EndReason::NoDescriptors, "found no file descriptor left on this host", "ulimit -Hn"),
        (EndReason::NoPorts, "found no ephemeral port left on this host", "--source"),
        (
            EndReason::NoSource,
            "found their source address gone from this host",
            "`ip address` here",
        ),
        (EndReason::NoBuffers, "found no memory for a socket on this host", "tcp_mem"),
        (EndReason::NoWatches, "found no epoll watch left on this host", "max_user_watches"),
        (EndReason::NotPermitted, "were not permitted by this host", "nft list ruleset"),
    ] {
        let made = Made::of(100).met(reason, 60, 40, 0, MS(0));
        let reached = format!(
            "40 concurrent connections of 100 asked for. From 40 connections on, all 60 dials \
             {words}."
        );
        let side = "this host; it says nothing about the server, which took 40.";
        assert_verdict(&made, &reached, side, &[knob]);
    }
    let system_wide = Made::of(100)
        .met(EndReason::NoDescriptors, 60, 40, 0, MS(0))
        .change(|made| made.summary.first_errno[EndReason::NoDescriptors as usize] = 23);
    assert!(system_wide.text().contains("`sysctl fs.file-max`"), "{}", system_wide.text());
}

#[test]
fn packets_that_this_host_dropped_are_ruled_out_before_anybody_is_blamed() {
    let slow = |dropped| {
        let made = Made::of(19_000).slow(300, 4_000, 14_700);
        made.change(|made| made.packets_dropped = dropped)
    };
    let reached = "19000 concurrent connections, all that were asked for. From 4000 connections \
                   on, \
                   300 of 15000 dials took a second or more, and repeated their SYNs, and none \
                   before.";
    let here = "this host, perhaps: it dropped 312 packets";
    assert_verdict(&slow(Some(312)), reached, here, &["netdev_max_backlog", "--rate"]);
    // Too few to explain it, or not known.
    for dropped in [Some(299), Some(0), None] {
        assert_verdict(
            &slow(dropped),
            reached,
            "server or network, which look alike",
            &["ss -lnt"],
        );
    }
    // A burst has an end; this has none.
    let wall = Made::of(1000)
        .met(EndReason::TimedOut, 200, 800, 0, S(5))
        .change(|made| made.packets_dropped = Some(5_000));
    assert!(wall.text().contains("\nSide: server or network, which look alike"), "{}", wall.text());
}

#[test]
fn most_of_them_have_to_be_resets_to_blame_a_firewall() {
    let made = |resets: u32| {
        Made::of(200)
            .met(EndReason::PeerClosed, 100 - resets, 0, 100, S(2))
            .met(EndReason::PeerReset, resets, 0, 100, S(2))
            .text()
    };
    let (server, anybody) = ("\nSide: server, or a proxy before it", "\nSide: server or network");
    for (resets, side) in [(1, server), (50, server), (51, anybody), (99, anybody)] {
        let text = made(resets);
        assert!(text.contains(side), "{resets}: {text}");
        assert_eq!(text.contains("by resets"), side == anybody, "{resets}: {text}");
    }
}

#[test]
fn what_was_only_forgone_has_no_time() {
    let reasons = |skipped| {
        let made = Made::of(100).met(EndReason::NoPorts, 60, 40, 0, MS(3));
        let made = made.change(|made| made.summary.skipped = skipped);
        let mut text = String::new();
        write_evidence(&mut text, &made.summary, &made.plan).unwrap();
        text
    };
    let times = |text: &str| {
        // Below the title and the names of the columns.
        let row = text.lines().nth(2).unwrap();
        row.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(times(&reasons(60)), "-");
    assert_eq!(times(&reasons(59)), "3ms/3ms/3ms");
    assert_eq!(times(&reasons(0)), "3ms/3ms/3ms");
}
