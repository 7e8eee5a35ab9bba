//! Verdicts on runs that are made up: when it began and ended, and who outlived it.

use super::*;
use crate::engine::evidence::Hanging;
use crate::units::Moment;

/// What `reason` met is spread as `onset` says.
fn spread_as(made: Made, reason: EndReason, change: impl FnOnce(&mut Evidence)) -> Made {
    made.change(|made| change(made.summary.evidence[reason as usize].as_mut().unwrap()))
}

/// So many that were fine, so many that were met, and so many that were fine again.
fn block(before: u32, hits: u32, after: u32) -> Onset {
    let all = [(before, false), (hits, true), (after, false)];
    let hits = all.into_iter().flat_map(|(count, hit)| (0..count).map(move |_| hit));
    Onset { after_fast: after, ..Onset::of_hits(hits) }
}

#[test]
fn what_is_over_is_no_limit() {
    for (reason, onset, words, side) in [
        (
            EndReason::Refused,
            block(0, 27, 123),
            "The first 27 dials were refused, and none later.",
            "server or network: nobody listened there yet",
        ),
        (
            EndReason::Refused,
            block(60, 27, 63),
            "Between 1s and 1.03s into the run, all 27 dials were refused, and none before and \
             later.",
            "server or network: nobody listened for a while",
        ),
        (
            EndReason::TimedOut,
            block(60, 27, 63),
            "Between 1s and 1.03s into the run, all 27 dials timed out, and none before and later.",
            "server or network: an outage, and what it was is over",
        ),
        (
            EndReason::TimedOut,
            block(0, 27, 123),
            "The first 27 dials timed out, and none later.",
            "server or network: what it was is over",
        ),
        (
            EndReason::HostUnreachable,
            block(0, 27, 123),
            "The first 27 dials were answered with \"host unreachable\", and none later.",
            "network: a router or a firewall answers so, on the way or on the server (what it was is",
        ),
    ] {
        let made = Made::of(150).met(reason, 27, 0, 123, S(1));
        let made = spread_as(made, reason, |evidence| evidence.scene.everywhere = onset);
        let reached = format!("123 concurrent connections of 150 asked for. {words}");
        assert_verdict(&made, &reached, side, &[]);
    }
}

#[test]
fn who_comes_through_by_a_repeat_is_no_end_of_it() {
    let onset = Onset { after_fast: 3, ..block(18, 120, 62) };
    let level = Level { established: 18, under_way: 0 };
    let onset = Onset { at_first: level, at_stretch: level, ..onset };
    let made = Made::of(200).met(EndReason::TimedOut, 120, 18, 62, S(4)).slow(59, 18, 0);
    let made = spread_as(made, EndReason::TimedOut, |evidence| evidence.scene.everywhere = onset);
    let reached = "80 concurrent connections of 200 asked for. From 18 connections on, 120 of 182 \
                   dials timed out, and none before. From 18 connections on, all 59 dials that came \
                   through took a second or more, and repeated their SYNs.";
    let side = "server or network, which look alike from here: an accept queue that overflows now";
    assert_verdict(&made, reached, side, &[]);
}

#[test]
fn a_limit_beside_some_loss_is_one() {
    let mut onset = block(96, 50, 0);
    onset.before = crate::engine::scene::Part { all: 100, hits: 4 };
    onset.at_stretch = Level { established: 96, under_way: 0 };
    let made = Made::of(150).met(EndReason::TimedOut, 54, 20, 76, S(4));
    let made = spread_as(made, EndReason::TimedOut, |evidence| evidence.scene.everywhere = onset);
    let reached = "96 concurrent connections of 150 asked for. From 96 connections on, all 50 dials \
                   timed out, and 4 of 100 before.";
    assert_verdict(&made, reached, "server or network, which look alike from here: a full", &[]);
}

/// A hundred that were closed at the age of a second, as they were dialed, over a second or two.
fn aged(kept: u32, newcomers: u32, oldest: Span, last_dial: Span) -> Made {
    let made = Made::of(200).met(EndReason::PeerClosed, 100, 0, 100, S(1)).change(|made| {
        made.summary.last_dial = Some(Moment(last_dial.0));
    });
    spread_as(made, EndReason::PeerClosed, |closed| {
        (closed.first, closed.last) = (Moment(S(1).0), Moment(S(2).0));
        let onset = Onset { kept, newcomers, oldest, ..block(0, 100, 100) };
        closed.scene.everywhere = onset;
    })
}

#[test]
fn who_outlives_a_timeout_disproves_it() {
    let closed = "200 concurrent connections, all that were asked for. The other side closed 100 of \
                  200 at";
    let same = format!("{closed} the same age, 1s.");
    let timeout = "server, or a proxy before it: a timeout for idle connections, or the longest \
                   lifetime, of 1s";
    // It went on when the dials were over.
    assert_verdict(&aged(0, 0, MS(900), S(1)), &same, &format!("{timeout}."), &["about 1s"]);
    // It did not.
    let next = ["--hold 2s", "worker_connections"];
    assert_verdict(&aged(0, 0, MS(900), S(2)), &same, &format!("{timeout}; or a limit"), &next);
    let outlived = format!("{closed} about the same age, 1s, while others lived longer.");
    let limit = "server, or a proxy before it: no timeout, as others lived longer than 1s";
    assert_verdict(&aged(0, 0, S(3), S(2)), &outlived, limit, &["--rate"]);
}

/// Forty that were closed at one moment, three seconds into a run, at ages of one to three seconds.
fn ended_at_once(kept: u32, newcomers: u32) -> Made {
    let made = Made::of(100).met(EndReason::PeerClosed, 40, 0, 60, S(3));
    let made = made.change(|made| {
        made.summary.lifetimes = Default::default();
        (0..40).for_each(|n| made.summary.lifetimes.record(MS(1_000 + 50 * n)));
    });
    spread_as(made, EndReason::PeerClosed, |closed| {
        (closed.first, closed.last) = (Moment(S(3).0), Moment(MS(3_001).0));
        (closed.min, closed.p50, closed.max) = (S(1), S(2), S(3));
        closed.scene.everywhere = Onset { kept, newcomers, ..block(0, 40, 60) };
    })
}

#[test]
fn a_process_has_ended_only_where_nobody_outlived_it() {
    let refused = |made: Made, first: Span| {
        let made = made.met(EndReason::Refused, 60, 40, 0, MS(1));
        spread_as(made, EndReason::Refused, |refused| refused.first = Moment(first.0))
    };
    let closed = "The other side closed 40 of 100 at the same moment, 3s into the run";
    for (made, words, side) in [
        (
            refused(ended_at_once(0, 0), S(3)),
            format!("{closed}. All 60 dials after it were refused."),
            "its process ended, and nobody was there afterwards",
        ),
        (
            refused(ended_at_once(0, 7), S(3)),
            format!("{closed}. From 40 connections on, all 60 dials were refused."),
            "its process was restarted, or somebody closed them all",
        ),
    ] {
        let reached = format!("40 concurrent connections of 100 asked for. {words}");
        assert_verdict(&made, &reached, &format!("server, or a proxy before it: {side}"), &[]);
    }
    let some = ended_at_once(25, 0);
    let reached = format!("100 concurrent connections, all that were asked for. {closed}.");
    let side = "server, or a proxy before it: somebody closed these together. One of several";
    assert_verdict(&some, &reached, side, &["ps -o lstart="]);
    // What began before is no consequence, and with others left it is not the end of all.
    for made in [refused(ended_at_once(0, 0), S(1)), refused(ended_at_once(25, 0), S(3))] {
        let text = made.text();
        assert!(!text.contains("after it") && text.contains("\nAlso: "), "{text}");
    }
}

#[test]
fn keepalives_that_nobody_acknowledges_are_a_dead_way() {
    let silent = |made: Made, silent, asked| {
        made.change(|made| {
            made.summary.findings.silent = silent;
            made.summary.findings.asked = asked;
            made.summary.findings.probed = asked;
        })
    };
    let all = "100 concurrent connections, all that were asked for.";
    let dead = "network, or the server's host: even a connection that nobody has accepted";
    let made = silent(Made::with(100, probing(Probe::All)), 100, 100);
    let reached = format!("{all} None of the 100 asked by keepalive acknowledged it.");
    assert_verdict(&made, &reached, dead, &["ping 10.0.0.7"]);
    assert_eq!(made.summary.exit_code(), crate::error::exit::WITH_ERRORS);

    let made = silent(Made::with(100, expecting()).unanswered(100, 0, 0), 90, 100);
    let reached = format!(
        "{all} None of those established answered within 5s. 90 of the 100 asked by keepalive did \
         not acknowledge it."
    );
    assert_verdict(&made, &reached, dead, &["ping 10.0.0.7"]);

    // Who refuses is not dead.
    let refused = Made::with(100, probing(Probe::All)).met(EndReason::Refused, 5, 40, 55, MS(1));
    let text = silent(refused, 90, 95).text();
    assert!(text.contains("\nAlso: 5 of 100 dials were refused"), "{text}");

    let some = silent(Made::with(100, probing(Probe::All)), 9, 100);
    let reached = format!("{all} 9 of the 100 asked by keepalive did not acknowledge it.");
    assert_verdict(&some, &reached, "network, most likely: a firewall, NAT", &["ping -c 100"]);

    let walled = Made::with(1000, probing(Probe::All)).met(EndReason::TimedOut, 500, 500, 0, S(5));
    let made = silent(walled, 450, 500);
    let reached = "500 concurrent connections of 1000 asked for. From 500 connections on, all 500 \
                   dials timed out. 450 of the 500 asked by keepalive did not acknowledge it.";
    assert_verdict(&made, reached, dead, &["ping 10.0.0.7"]);
}

#[test]
fn dials_that_hang_when_a_signal_comes_are_a_limit() {
    let made = Made::of(100).change(|made| {
        made.summary.stopped = true;
        made.summary.last.levels = [0, 83, 17, 0, 0];
        (made.summary.established_peak, made.summary.established_ever) = (17, 17);
        let level = Level { established: 17, under_way: 0 };
        let onset = Onset { at_first: level, at_stretch: level, ..block(17, 83, 0) };
        let scene = Scene { everywhere: onset, ..Scene::default() };
        made.summary.hanging = Some(Hanging { count: 83, scene });
    });
    let reached = "17 concurrent connections of 100 asked for. From 17 connections on, all 83 dials \
                   had been under way for a second or more. A signal ended the run with 83 under \
                   way.";
    assert_verdict(&made, reached, "server or network, which look alike from here: a full", &[]);
}

#[test]
fn one_suspect_and_a_long_way_are_no_queue() {
    let walled = |suspects, shortest| {
        let made = Made::with(1000, expecting()).met(EndReason::TimedOut, 200, 800, 0, S(5));
        made.change(|made| {
            made.summary.findings.suspects = suspects;
            made.summary.findings.suspects_half_open = suspects;
            made.summary.established_times.record(shortest);
        })
    };
    let queue = "\nSide: server: its accept queue is full";
    assert!(walled(3, MS(1)).text().contains(queue));
    assert!(!walled(2, MS(1)).text().contains(queue), "a lost packet makes one");
    assert!(!walled(30, MS(1_100)).text().contains(queue), "the answer was on its way");
}

#[test]
fn slow_dials_from_some_number_on_make_a_queue_of_who_is_not_answered() {
    let made = Made::with(60, expecting()).unanswered(40, 3, 20).slow(55, 5, 0);
    let reached = "60 concurrent connections, all that were asked for. 40 established did not \
                   answer within 5s, 20 did. From 5 connections on, all 55 dials took a second or \
                   more, and repeated their SYNs.";
    assert_verdict(&made, reached, "server: its process accepts too slowly or not at all", &[]);
    let lossy = Made::with(300, expecting()).unanswered(1, 140, 299).slow(27, 3, 270);
    let side = "\nSide: network or server: packets are lost";
    assert!(lossy.text().contains(side), "{}", lossy.text());
}

#[test]
fn what_is_dialed_just_before_an_end_can_be_a_consequence() {
    let refused = |first: Span| {
        let made = ended_at_once(0, 0).met(EndReason::Refused, 60, 40, 0, MS(1));
        spread_as(made, EndReason::Refused, |refused| refused.first = Moment(first.0)).text()
    };
    // The close of one is heard of a moment after the refusal of another.
    assert!(refused(MS(2_990)).contains("All 60 dials after it were refused"));
    let text = refused(MS(2_989));
    assert!(!text.contains("after it") && text.contains("\nAlso: "), "{text}");
}

#[test]
fn a_few_dials_that_timed_out_are_no_wall_before_a_queue() {
    let lost = |count| {
        let before = 100 - count;
        let made = Made::with(100, expecting()).met(EndReason::TimedOut, count, before, 0, S(5));
        made.unanswered(30, before - 30, before - 30).text()
    };
    let worst = "\nSide: server: from that number on the application serves nobody else";
    assert!(lost(2).contains(worst), "{}", lost(2));
    assert!(lost(2).contains("\nAlso: 2 of 100 dials timed out: too few"), "{}", lost(2));
    assert!(lost(3).contains(" asked for. From 97 connections on, all 3 dials"), "{}", lost(3));
}

#[test]
fn a_way_that_loses_ends_of_handshakes_makes_no_queue_and_no_slow_application() {
    let text = |unanswered: (u32, u32), slow: (u32, u32), half_open| {
        let ((unanswered, before), (slow, fast)) = (unanswered, slow);
        let made = Made::with(300, expecting()).unanswered(unanswered, before, 300 - unanswered);
        let made = made.slow(slow, fast, 300 - fast - slow).change(|made| {
            made.summary.findings.suspects = 8;
            made.summary.findings.suspects_half_open = half_open;
        });
        made.text()
    };
    for half_open in [5, 0] {
        let text = text((7, 20), (60, 5), half_open);
        assert!(text.contains("\nSide: network or server: packets are lost"), "{text}");
    }
    // More than such a way accounts for, a limit of the application's, and a way that is long.
    for (unanswered, slow) in [((90, 2), (60, 5)), ((90, 60), (100, 2)), ((7, 20), (300, 0))] {
        for (half_open, side) in [
            (5, "server: its process accepts too slowly"),
            (0, "server: the application is too slow"),
        ] {
            let text = text(unanswered, slow, half_open);
            assert!(text.contains(&format!("\nSide: {side}")), "{text}");
        }
    }
}

#[test]
fn a_queue_that_is_emptied_in_any_order_is_one() {
    let made = Made::with(60, expecting()).met(EndReason::TimedOut, 14, 46, 0, S(4));
    let made = made.unanswered(26, 3, 20).slow(41, 5, 0);
    let text = made.text();
    assert!(text.contains("\nSide: server: its accept queue is full"), "{text}");
}
