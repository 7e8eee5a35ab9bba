//! Verdicts on runs that are made up: what only some of several targets, or sources, do.

use super::*;
use crate::engine::breakdown::{Breakdown, Row};
use crate::engine::scene::Place;
use crate::route::Routes;

/// Three targets, 10.0.0.1:81 to 10.0.0.3:83, dialed 100 times each, and as many sources.
fn three(questions: Questions) -> Made {
    Made::with(300, questions).change(|made| {
        let host = |n: u8| format!("10.0.0.{n}");
        let target =
            |n: u8| Target { host: host(n), address: ([10, 0, 0, n], 80 + u16::from(n)).into() };
        let sources = [7, 8, 9].map(|n: u8| ([10, 1, 1, n], 0).into());
        made.plan.routes = Routes::new([1, 2, 3].map(target).into(), &sources).unwrap();
        let rows =
            || (0..3).map(|index| Row { index, dialed: 100, established: 100, ..Row::default() });
        made.summary.targets = Breakdown::of(3, rows());
        made.summary.sources = Breakdown::of(3, rows());
    })
}

/// Puts what `reason` met at so many targets, worst first.
fn share(made: Made, reason: EndReason, hits: [u32; 3]) -> Made {
    made.change(|made| {
        let mut rows = made.summary.targets.worst.clone();
        rows.sort_by_key(|row| row.index);
        for (row, hits) in rows.iter_mut().zip(hits) {
            row.reasons[reason as usize] = hits;
            if reason.ends_in() == State::Error {
                (row.errors, row.established) = (row.errors + hits, row.established - hits);
            } else {
                row.closed += hits;
            }
        }
        made.summary.targets = Breakdown::of(3, rows.into_iter());
    })
}

fn spread_at(before: u32, hits: u32) -> Onset {
    spread(before, hits, 100 - before - hits)
}

/// Puts what `reason` met at one place, where so many were established before and others fine.
fn at(made: Made, reason: EndReason, place: Place, before: u32, answered: u32) -> Made {
    made.change(|made| {
        let evidence = made.summary.evidence[reason as usize].as_mut().unwrap();
        let hits = u32::try_from(evidence.count).unwrap();
        let lost = if reason.ends_in() == State::Error { hits } else { 0 };
        let onset = spread_at(before, hits);
        let onset = Onset { established_ever: 100 - lost, answered, ..onset };
        evidence.scene.only = Some((place, onset));
    })
}

#[test]
fn what_one_target_does_is_told_of_it_and_looked_for_there() {
    let second = Place::Target(1);
    let met = |reason, count, before| {
        let made = three(Questions::default()).met(reason, count, 3 * before, 200, MS(1));
        at(made, reason, second, before, 0)
    };
    let dead = met(EndReason::TimedOut, 100, 0);
    let reached = "200 concurrent connections of 300 asked for. All 100 dials to 10.0.0.2:82 timed \
                   out.";
    let next = ["traceroute -T -p 82 10.0.0.2", "sport = :82"];
    assert_verdict(&dead, reached, "server or network, which look alike", &next);

    let limit = met(EndReason::Refused, 60, 40);
    let reached = "240 concurrent connections of 300 asked for. From 40 connections to 10.0.0.2:82 \
                   on, all 60 dials to it were refused.";
    let side = "server or network, which look alike from here: the listener was closed";
    assert_verdict(&limit, reached, side, &["sport = :82"]);

    let loss = met(EndReason::TimedOut, 30, 3);
    let reached = "270 concurrent connections of 300 asked for. 30 of 100 dials to 10.0.0.2:82 \
                   timed out, scattered among the others, and none elsewhere.";
    assert_verdict(
        &loss,
        reached,
        "network or server: packets are lost",
        &["ping -c 100 10.0.0.2"],
    );

    let hung_up = met(EndReason::PeerClosed, 60, 40);
    let reached = "300 concurrent connections, all that were asked for. From 40 connections to \
                   10.0.0.2:82 on, the other side accepted and at once closed all 60 (within 1ms).";
    assert_verdict(&hung_up, reached, "server, or a proxy before it: a limit", &[]);

    let half_open = at(
        three(probing(Probe::All)).met(EndReason::HalfOpen, 60, 60, 150, S(1)),
        EndReason::HalfOpen,
        second,
        20,
        0,
    );
    let half_open = half_open.change(|made| made.summary.findings.probed = 300);
    let reached = "300 concurrent connections, all that were asked for. 60 of these 300 are, all to \
                   10.0.0.2:82, not known there: a keepalive drew a reset.";
    assert_verdict(&half_open, reached, "server, or what stands before it", &["sport = :82"]);
}

#[test]
fn who_does_not_answer_at_one_target_is_measured_by_those_who_do_there() {
    let third = |answered: u32, before: u32| {
        let missed = 100 - answered;
        three(expecting()).unanswered(missed, 200 + before, 200 + answered).change(|made| {
            let unanswered = made.summary.unanswered.as_mut().unwrap();
            let onset = spread_at(before, missed);
            let onset = Onset { established_ever: 100, answered, ..onset };
            unanswered.scene.only = Some((Place::Target(2), onset));
        })
    };
    let reached = "300 concurrent connections, all that were asked for. None of those established \
                   to 10.0.0.3:83 answered within 5s.";
    assert_verdict(&third(0, 0), reached, "server: its process accepts nobody", &["sport = :83"]);
    let reached = "300 concurrent connections, all that were asked for. From 60 connections to \
                   10.0.0.3:83 on the application answered nobody: 60 answered, 40 did not.";
    assert_verdict(&third(60, 60), reached, "server: from that number on", &["sport = :83"]);
}

#[test]
fn what_some_targets_or_one_source_do_is_told_of_them() {
    let made = three(Questions::default()).met(EndReason::TimedOut, 100, 3, 197, S(5));
    let reached = "200 concurrent connections of 300 asked for. 100 of 200 dials to 2 of 3 targets \
                   (10.0.0.1:81, ...) timed out, and none elsewhere.";
    let side = "server or network: what sets those to 2 of 3 targets (10.0.0.1:81, ...) apart";
    let some = share(made, EndReason::TimedOut, [60, 40, 0]);
    assert_verdict(&some, reached, side, &["`tcpgoon 10.0.0.1:81`"]);

    let made = three(Questions::default()).met(EndReason::TimedOut, 60, 120, 120, S(5));
    let made = share(made, EndReason::TimedOut, [20, 22, 18]);
    let from_one = at(made, EndReason::TimedOut, Place::Source(1), 40, 0);
    let reached = "240 concurrent connections of 300 asked for. From 40 connections from 10.1.1.8 \
                   on, all 60 dials from it timed out.";
    let side = "server or network: what sets those from 10.1.1.8 apart";
    // The target that it met most.
    let next = ["`tcpgoon 10.0.0.2:82 --source 10.1.1.8`"];
    assert_verdict(&from_one, reached, side, &next);
}

#[test]
fn two_at_the_same_target_may_be_chance_and_are_told_as_such() {
    let made = three(Questions::default()).met(EndReason::Refused, 2, 90, 208, MS(1));
    let made = at(made, EndReason::Refused, Place::Target(1), 30, 0);
    let reached = "298 concurrent connections of 300 asked for. 2 of 300 dials were refused (to \
                   10.0.0.2:82): too few to tell a limit from chance.";
    assert_verdict(&made, reached, "server or network: too little", &["sport = :82"]);
}

#[test]
fn what_happens_elsewhere_is_no_sign_of_it() {
    let (first, second) = (Place::Target(0), Place::Target(1));
    let wall = |unserved: Place| {
        let made = three(probing(Probe::All))
            .met(EndReason::TimedOut, 60, 120, 120, S(5))
            .met(EndReason::HalfOpen, 30, 100, 140, S(1))
            .change(|made| made.summary.findings.probed = 240);
        let made = at(made, EndReason::TimedOut, first, 40, 0);
        at(made, EndReason::HalfOpen, unserved, 20, 0)
    };
    let queue = "server: its accept queue is full";
    assert!(wall(first).text().contains(queue), "{}", wall(first).text());
    let text = wall(second).text();
    assert!(
        !text.contains(queue) && text.contains("\nAlso: 30 of these 240 are, all to"),
        "{text}"
    );
}

#[test]
fn what_was_dialed_after_an_end_is_counted_from_the_end_on() {
    let first = Place::Target(0);
    let ended = three(Questions::default())
        .met(EndReason::PeerClosed, 40, 0, 260, S(3))
        .met(EndReason::Refused, 60, 120, 120, MS(1))
        .change(|made| {
            let closed = made.summary.evidence[EndReason::PeerClosed as usize].as_mut().unwrap();
            (closed.first, closed.last) = (Moment(S(3).0), Moment(MS(3_001).0));
            (closed.min, closed.p50, closed.max) = (S(1), S(2), S(3));
            made.summary.lifetimes = Default::default();
            (0..40).for_each(|n| made.summary.lifetimes.record(MS(1_000 + 50 * n)));
            let refused = made.summary.evidence[EndReason::Refused as usize].as_mut().unwrap();
            (refused.first, refused.last) = (Moment(S(4).0), Moment(S(5).0));
        });
    let ended = at(ended, EndReason::PeerClosed, first, 0, 0);
    let ended = at(ended, EndReason::Refused, first, 40, 0);
    let reached = "240 concurrent connections of 300 asked for. The other side closed 40 of 100 to \
                   10.0.0.1:81 at the same moment, 3s into the run. All 60 dials to 10.0.0.1:81 \
                   after it were refused.";
    let side = "server, or a proxy before it: its process ended";
    assert_verdict(&ended, reached, side, &["sport = :81"]);
}

/// The same targets, dialed so many times each; all dials came through.
fn dialed(made: Made, times: [u32; 3]) -> Made {
    made.change(|made| {
        let row = |(index, dialed)| Row { index, dialed, established: dialed, ..Row::default() };
        made.summary.targets = Breakdown::of(3, (0..).zip(times).map(row));
        made.summary.last.connections = times.iter().sum();
        made.summary.last.levels = [0, 0, times.iter().sum(), 0, 0];
        made.summary.established_peak = times.iter().sum();
        made.summary.established_ever = times.iter().sum::<u32>().into();
    })
}

/// So many dials to the second target were refused, of so many there and elsewhere.
fn refused_there(hits: u32, there: u32, elsewhere: u32) -> Made {
    let made = dialed(three(Questions::default()), [elsewhere / 2, there, elsewhere / 2]);
    let made = made.met(EndReason::Refused, hits, 1, there + elsewhere - hits - 1, MS(1));
    made.change(|made| {
        let refused = made.summary.evidence[EndReason::Refused as usize].as_mut().unwrap();
        let onset = spread(0, hits, there - hits);
        let onset = Onset { established_ever: there - hits, ..onset };
        refused.scene.only = Some((Place::Target(1), onset));
    })
}

#[test]
fn a_target_at_which_nothing_comes_through_is_named_from_three_dials_on() {
    let side = "server or network, which look alike from here: nobody listens on port 82";
    let reached = "6 concurrent connections of 9 asked for. All 3 dials to 10.0.0.2:82 were \
                   refused.";
    assert_verdict(&refused_there(3, 3, 6), reached, side, &["sport = :82"]);

    let reached = "4 concurrent connections of 6 asked for. 2 of 6 dials were refused (to \
                   10.0.0.2:82): too few to tell a limit from chance.";
    assert_verdict(&refused_there(2, 2, 4), reached, "server or network: too little", &[]);
    // Where others came through, three can be chance.
    let reached = "297 concurrent connections of 300 asked for. 3 of 300 dials were refused, \
                   scattered among the others.";
    let side = "server or network: a listener that comes and goes";
    assert_verdict(&refused_there(3, 100, 200), reached, side, &["sport = :82"]);
}

#[test]
fn some_targets_at_which_nothing_comes_through_are_named_from_three_dials_on() {
    let refused = |times: [u32; 3], hits: [u32; 3]| {
        let made = dialed(three(Questions::default()), times);
        let (all, count) = (times.iter().sum::<u32>(), hits.iter().sum());
        share(made.met(EndReason::Refused, count, 0, all - count, MS(1)), EndReason::Refused, hits)
    };
    let reached = "1 concurrent connection of 4 asked for. All 3 dials to 2 of 3 targets \
                   (10.0.0.1:81, ...) were refused.";
    assert_verdict(&refused([2, 1, 1], [2, 1, 0]), reached, "server or network", &[]);
    for (made, words) in [
        (refused([1, 1, 1], [1, 1, 0]), "2 of 3 dials were refused: too few"),
        (refused([2, 2, 2], [2, 1, 0]), "3 of 6 dials were refused, scattered"),
    ] {
        assert!(made.text().contains(&format!(" asked for. {words}")), "{}", made.text());
    }
}

/// So many were closed by the peer, and so many reset, each at one target.
fn hung_up(closed: (u32, u32), reset: (u32, u32)) -> Made {
    let made = three(Questions::default())
        .met(EndReason::PeerClosed, closed.0, 0, 300 - closed.0, S(2))
        .met(EndReason::PeerReset, reset.0, 0, 300 - reset.0, S(2));
    let both = [(EndReason::PeerClosed, closed), (EndReason::PeerReset, reset)];
    both.into_iter().fold(made, |made, (reason, (count, target))| {
        let mut hits = [0; 3];
        hits[target as usize] = count;
        at(share(made, reason, hits), reason, Place::Target(target), 0, 0)
    })
}

#[test]
fn closes_at_one_target_and_resets_at_another_are_not_all_at_one() {
    for (closed, reset) in [(40, 30), (35, 35), (30, 40)] {
        let text = hung_up((closed, 0), (reset, 1)).text();
        assert!(text.contains(" to 2 of 3 targets ("), "{closed}: {text}");
        let text = hung_up((closed, 1), (reset, 1)).text();
        assert!(text.contains(" of 100 to 10.0.0.2:82 "), "{closed}: {text}");
    }
}

#[test]
fn a_wall_at_one_target_is_no_queue_by_suspects_of_anywhere() {
    let made = three(expecting()).met(EndReason::TimedOut, 60, 120, 120, S(5)).change(|made| {
        made.summary.findings.suspects = 30;
        made.summary.findings.suspects_half_open = 30;
    });
    let reached = "240 concurrent connections of 300 asked for. From 40 connections to 10.0.0.1:81 \
                   on, all 60 dials to it timed out.";
    let there = at(made, EndReason::TimedOut, Place::Target(0), 40, 0);
    assert_verdict(&there, reached, "server or network, which look alike from here: a full", &[]);
}

#[test]
fn what_is_where_nobody_knows_is_no_sign_of_what_is_at_some_targets() {
    let made = three(probing(Probe::All))
        .met(EndReason::TimedOut, 100, 3, 197, S(5))
        .met(EndReason::HalfOpen, 30, 100, 70, S(1))
        .change(|made| made.summary.findings.probed = 200);
    let text = share(made, EndReason::TimedOut, [60, 40, 0]).text();
    assert!(text.contains(", and none elsewhere.\nSide: "), "{text}");
    assert!(text.contains("\nAlso: 30 of these 200 are not known there"), "{text}");
}

#[test]
fn who_does_not_answer_is_one_of_those_established_there() {
    // Half of the dials to two targets have failed. Ten of a hundred there, and none of a hundred
    // at the third one: that is no chance.
    let made = three(expecting()).change(|made| {
        let row = |(index, established, unanswered)| Row {
            index,
            dialed: 100,
            established,
            unanswered,
            ..Row::default()
        };
        let rows = [(0, 50, 6), (1, 50, 4), (2, 100, 0)].map(row);
        made.summary.targets = Breakdown::of(3, rows.into_iter());
        made.summary.established_ever = 200;
        made.summary.last.levels = [0, 0, 200, 0, 100];
        made.summary.established_peak = 200;
    });
    let reached = "200 concurrent connections of 300 asked for. 10 established to 2 of 3 targets \
                   (10.0.0.1:81, ...) did not answer within 5s, 190 did.";
    let made = made.unanswered(10, 2, 190);
    assert_verdict(&made, reached, "server: the application is too slow", &["sport = :81"]);
}
