//! Verdicts on runs that are made up: closes, connections that nobody serves, and this host.

use super::*;

#[test]
fn nobody_who_is_unanswered_is_taken_for_served() {
    let silent = Made::with(100, expecting()).unanswered(100, 0, 0);
    let reached = "100 concurrent connections, all that were asked for. None of those established \
                   answered within 5s.";
    assert_verdict(&silent, reached, "server: its process accepts nobody", &["ss -lnt"]);

    let other = Made::with(100, expecting())
        .unanswered(100, 0, 0)
        .change(|made| made.summary.received_bytes = 900);
    assert_verdict(&other, reached, "server: the application says something else", &["--debug"]);

    let limit = Made::with(100, expecting()).unanswered(40, 60, 60);
    let reached = "100 concurrent connections, all that were asked for. From 60 on the application \
                   answered nobody: 60 answered, 40 did not.";
    assert_verdict(&limit, reached, "server: from that number on the application", &["ss -lnt"]);

    let slow = Made::with(100, expecting()).unanswered(40, 2, 60);
    let reached = "100 concurrent connections, all that were asked for. 40 established did not \
                   answer, 60 did.";
    assert_verdict(&slow, reached, "server: the application is too slow", &["--reply-timeout"]);
}

#[test]
fn half_open_connections_are_the_servers_even_where_all_are_established() {
    let all = Made::with(19_000, probing(Probe::All))
        .met(Cause::HalfOpen, 4_060, 300, 14_640, S(1))
        .change(|made| made.summary.findings.probed = 19_000);
    let reached = "19000 concurrent connections, all that were asked for. The server does not have \
                   4060 of these 19000.";
    let next = ["TcpExtSyncookiesSent", "somaxconn", "--rate"];
    assert_verdict(&all, reached, "server, or a SYN proxy before it", &next);

    let sample = Made::with(19_000, probing(Probe::Sample))
        .met(Cause::HalfOpen, 200, 300, 18_500, S(1))
        .change(|made| made.summary.findings.probed = 1_000);
    let reached = "19000 concurrent connections, all that were asked for. The server does not have \
                   200 of a sample of 1000.";
    assert_verdict(&sample, reached, "server, or a SYN proxy before it", &[]);
}

#[test]
fn closes_are_told_apart_by_age_and_moment() {
    // Of a hundred that were dialed within a second.
    let closed = |first: Span, last: Span, youngest: Span, oldest: Span| {
        Made::of(100).met(Cause::PeerClosed, 100, 0, 0, oldest).change(|made| {
            let evidence = made.summary.evidence[Cause::PeerClosed as usize].as_mut().unwrap();
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
fn closes_from_some_number_on_are_a_limit_and_resets_can_be_anybodys() {
    for (cause, side) in [
        (Cause::PeerClosed, "server, or a proxy before it: a limit on connections"),
        (Cause::PeerReset, "server or network (by resets, which"),
    ] {
        let made = Made::of(500).met(cause, 400, 100, 0, MS(1));
        let reached = "500 concurrent connections, all that were asked for. From 100 connections \
                       on, the other side accepted and at once closed all 400 (within 1ms).";
        assert_verdict(&made, reached, side, &["redis-cli config get maxclients", "/proc/PID/fd"]);
    }
}

#[test]
fn this_host_is_named_with_its_knob() {
    for (cause, words, knob) in [
        (Cause::NoDescriptors, "found no file descriptor left on this host", "ulimit -Hn"),
        (Cause::NoPorts, "found no ephemeral port left on this host", "--source"),
        (Cause::NoBuffers, "found no memory for a socket on this host", "tcp_mem"),
        (Cause::NoWatches, "found no epoll watch left on this host", "max_user_watches"),
        (Cause::NotPermitted, "were not permitted by this host", "nft list ruleset"),
    ] {
        let made = Made::of(100).met(cause, 60, 40, 0, MS(0));
        let reached = format!(
            "40 concurrent connections of 100 asked for. From 40 connections on, all 60 dials \
             {words}."
        );
        let side = "this host; it says nothing about the server, which took 40.";
        assert_verdict(&made, &reached, side, &[knob]);
    }
    let system_wide = Made::of(100)
        .met(Cause::NoDescriptors, 60, 40, 0, MS(0))
        .change(|made| made.summary.first_errno[Cause::NoDescriptors as usize] = 23);
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
                   300 of 15000 dials took a second or more, as their SYNs had to be repeated, and \
                   none before.";
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
        .met(Cause::TimedOut, 200, 800, 0, S(5))
        .change(|made| made.packets_dropped = Some(5_000));
    assert!(wall.text().contains("\nSide: server or network, which look alike"), "{}", wall.text());
}
