//! Verdicts on runs that are made up, number by number: those whose dials fail. Those with several
//! targets or sources are in `place_tests.rs`, the others in `other_tests.rs`.

#[path = "course_tests.rs"]
mod course;
#[path = "other_tests.rs"]
mod others;
#[path = "place_tests.rs"]
mod places;

use super::*;
use crate::engine::evidence::Evidence;
use crate::engine::scene::{Level, Onset, Scene};
use crate::engine::{Engine, Sample};
use crate::plan::{Args, Pace, Probe, Questions};
use crate::route::Target;
use crate::units::{Moment, Span};

/// A run of so many connections that were all established at once.
#[derive(Clone)]
struct Made {
    plan: Plan,
    summary: Summary,
    packets_dropped: Option<u64>,
}

const S: fn(u64) -> Span = Span::from_s;
const MS: fn(u64) -> Span = Span::from_ms;

impl Made {
    fn of(connections: u32) -> Made {
        Made::with(connections, Questions::default())
    }

    fn with(connections: u32, questions: Questions) -> Made {
        let args = Args {
            pace: Pace::sleep(MS(1)),
            dial_timeout: Some(S(5)),
            questions,
            ..Args::new(Vec::new(), connections)
        };
        let address = "10.0.0.7:80".parse().unwrap();
        let plan =
            Plan::new(&args, vec![Target { host: "10.0.0.7".into(), address }], &[]).unwrap();
        let mut summary = Engine::new(&plan, Moment(0)).unwrap().summary();
        let levels = [0, 0, connections, 0, 0];
        summary.last = Sample { after: S(10), connections, levels };
        summary.established_peak = connections;
        summary.established_ever = connections.into();
        Made { plan, summary, packets_dropped: Some(0) }
    }

    /// `count` dials, or connections, were ended by `reason`, each after `took`. The first of them
    /// began behind `before` others that were established, and `others` after it were fine.
    fn met(mut self, reason: EndReason, count: u32, before: u32, others: u32, took: Span) -> Made {
        let onset = spread(before, count, others);
        self.summary.evidence[reason as usize] = Some(Evidence {
            count: count.into(),
            first: Moment(0) + took,
            last: Moment(0) + took + MS(count.into()),
            established_at_first: before,
            scene: Scene { everywhere: onset, ..Scene::default() },
            min: took,
            p50: took,
            max: took,
        });
        self.summary.flow[reason as usize] = count.into();
        let state = reason.ends_in();
        self.summary.last.levels[state as usize] += count;
        self.summary.last.levels[State::Established as usize] -= count;
        if state == State::Error {
            self.summary.errors += u64::from(count);
            self.summary.established_ever -= u64::from(count);
            self.summary.established_peak -= count;
        } else {
            (0..count).for_each(|_| self.summary.lifetimes.record(took));
        }
        self
    }

    fn slow(mut self, count: u32, before: u32, others: u32) -> Made {
        let onset = spread(before, count, others);
        self.summary.slow.dials = count.into();
        self.summary.slow.retransmitted = count.into();
        self.summary.slow.repeats = count.into();
        self.summary.slow_scene = Some(Scene { everywhere: onset, ..Scene::default() });
        self
    }

    fn unanswered(mut self, count: u32, before: u32, answered: u32) -> Made {
        let others = u32::try_from(self.summary.established_ever).unwrap() - before - count;
        let onset = spread(before, count, others);
        let moment = Moment(S(5).0);
        self.summary.unanswered = Some(Evidence {
            count: count.into(),
            first: moment,
            last: moment,
            established_at_first: before,
            scene: Scene { everywhere: onset, ..Scene::default() },
            min: S(5),
            p50: S(5),
            max: S(5),
        });
        self.summary.findings.unanswered = count.into();
        self.summary.findings.answered = answered.into();
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Made)) -> Made {
        change(&mut self);
        self
    }

    /// What is the same in all that was seen.
    fn counted(mut self) -> Made {
        let summary = &mut self.summary;
        let established_ever = u32::try_from(summary.established_ever).unwrap();
        let answered = u32::try_from(summary.findings.answered).unwrap();
        let evidence = summary.evidence.iter_mut().chain([&mut summary.unanswered]).flatten();
        for scene in evidence.map(|evidence| &mut evidence.scene).chain(&mut summary.slow_scene) {
            let onset = scene.everywhere;
            scene.everywhere = Onset { established_ever, answered, ..onset };
        }
        self
    }

    fn text(&self) -> String {
        let Made { plan, summary, packets_dropped } = self.clone().counted();
        let case = Case { summary: &summary, plan: &plan, packets_dropped };
        let mut text = String::new();
        write_verdict(&mut text, &case).unwrap();
        text
    }
}

/// So many that were fine, and then hits, and so many others evenly among these.
fn spread(before: u32, hits: u32, others: u32) -> Onset {
    let rest = hits + others;
    let met = move |index: u32| (u64::from(index) * u64::from(hits)).div_ceil(rest.into());
    let fine = (0..before).map(|_| false);
    let onset = Onset::of_hits(fine.chain((0..rest).map(move |index| met(index + 1) > met(index))));
    let level = |established| Level { established, under_way: 0 };
    let after_fast = onset.after.misses();
    Onset { at_first: level(before), at_stretch: level(onset.before.all), after_fast, ..onset }
}

fn expecting() -> Questions {
    Questions { expect: b"hello".to_vec(), ..Questions::default() }
}

fn probing(probe: Probe) -> Questions {
    Questions { probe: Some(probe), ..Questions::default() }
}

/// Compares the first line in full, and the beginnings of the others.
#[track_caller]
fn assert_verdict(made: &Made, reached: &str, side: &str, next: &[&str]) {
    let text = made.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("--- verdict ---"));
    assert_eq!(lines.next(), Some(format!("Reached: {reached}").as_str()), "{text}");
    if side.is_empty() {
        return assert_eq!(lines.next(), None, "{text}");
    }
    let found = lines.next().and_then(|line| line.strip_prefix("Side: ")).unwrap_or_default();
    assert!(found.starts_with(side), "{text}");
    let found = lines.next().and_then(|line| line.strip_prefix("Next: ")).unwrap_or_default();
    assert!(next.iter().all(|words| found.contains(words)), "{next:?}: {text}");
    assert!(found.ends_with('.'), "{text}");
}

#[test]
fn nothing_went_wrong() {
    let well = "1000 concurrent connections, all that were asked for. Nothing limited this run, \
                as far as handshakes tell; if there is a limit, it is not below 1000.";
    assert_verdict(&Made::of(1000), well, "", &[]);
    // Drops beside a run in which nothing is missing are nobody's business.
    let drops = Made::of(1000).change(|made| made.packets_dropped = Some(500));
    assert_verdict(&drops, well, "", &[]);

    let early = Made::of(1000).change(|made| {
        made.summary.stopped = true;
        made.summary.last.levels = [600, 3, 397, 0, 0];
        made.summary.established_peak = 397;
    });
    let reached = "397 concurrent connections of 1000 asked for. Nothing had limited them so far. \
                   A \
                   signal ended the run with 600 not dialed and 3 under way.";
    assert_verdict(&early, reached, "", &[]);

    let undecided = Made::of(1000).change(|made| {
        made.summary.stopped = true;
        (made.summary.awaited, made.summary.unsettled) = (40, 12);
    });
    let reached = "1000 concurrent connections, all that were asked for. Nothing had limited them \
                   so far. A signal ended the run with 40 not answered yet and 12 not looked into \
                   yet.";
    assert_verdict(&undecided, reached, "", &[]);

    let none = Made::of(10).change(|made| {
        made.summary.stopped = true;
        made.summary.last.levels = [10, 0, 0, 0, 0];
        made.summary.established_peak = 0;
    });
    let reached = "no connection of 10 asked for. A signal ended the run with 10 not dialed.";
    assert_verdict(&none, reached, "", &[]);
}

#[test]
fn dials_that_all_fail_are_told_apart_by_how() {
    for (reason, took, words, side) in [
        (EndReason::Refused, MS(1), "were refused", "server or network, which look alike"),
        (EndReason::TimedOut, S(5), "timed out", "server or network, which look alike"),
        (
            EndReason::HostUnreachable,
            MS(1),
            "were answered with \"host unreachable\"",
            "network: a router or a firewall",
        ),
        (
            EndReason::HostUnreachable,
            S(3),
            "were answered with \"host unreachable\"",
            "network: nobody on the last link answers",
        ),
        (EndReason::Prohibited, MS(1), "were prohibited on the way", "network: a router"),
        (
            EndReason::NoRouteToNetwork,
            MS(0),
            "found no route to the network on this host",
            "this host; nothing is known of the server.",
        ),
    ] {
        let reached = format!("no connection of 20 asked for. All 20 dials {words}.");
        assert_verdict(&Made::of(20).met(reason, 20, 0, 0, took), &reached, side, &[]);
    }
    let one = Made::of(1).met(EndReason::Refused, 1, 0, 0, MS(1));
    let reached = "no connection of 1 asked for. The one dial was refused.";
    assert_verdict(&one, reached, "server or network, which look alike", &["ss -lnt"]);
}

#[test]
fn a_limit_is_told_from_loss_by_what_is_fine_afterwards() {
    let limit = "800 concurrent connections of 1000 asked for. From 800 connections on, all 200 \
                 dials timed out.";
    let made = Made::of(1000).met(EndReason::TimedOut, 200, 800, 0, S(5));
    let next = ["ss -lnt 'sport = :80'", "TcpExtListenOverflows", "/proc/PID/fd", "conntrack -C"];
    assert_verdict(&made, limit, "server or network, which look alike from here: a full", &next);

    let loss = "900 concurrent connections of 1000 asked for. 100 of 1000 dials timed out, \
                scattered among the others.";
    let made = Made::of(1000).met(EndReason::TimedOut, 100, 3, 897, S(5));
    assert_verdict(&made, loss, "network or server: packets are lost", &["ping -c 100 10.0.0.7"]);

    let more = "700 concurrent connections of 1000 asked for. From 500 connections on, 300 of 500 \
                dials timed out, and none before.";
    let made = Made::of(1000).met(EndReason::TimedOut, 300, 500, 200, S(5));
    assert_verdict(
        &made,
        more,
        "server or network, which look alike from here: an accept",
        &["--rate"],
    );

    let nearly = "3 concurrent connections of 100 asked for. 97 of 100 dials timed out, from the \
                  first one on.";
    let made = Made::of(100).met(EndReason::TimedOut, 97, 0, 3, S(5));
    let side = "server or network, which look alike from here: nearly nothing came back";
    assert_verdict(&made, nearly, side, &["tcpdump"]);
    // Somebody does listen there.
    let made = Made::of(100).met(EndReason::Refused, 97, 0, 3, MS(1));
    assert!(!made.text().contains("nobody listens on"), "{}", made.text());

    let few = "998 concurrent connections of 1000 asked for. 2 of 1000 dials timed out: too few to \
               tell a limit from chance.";
    let made = Made::of(1000).met(EndReason::TimedOut, 2, 998, 0, S(5));
    assert_verdict(&made, few, "server or network: too little", &["-c"]);
}

#[test]
fn what_was_under_way_counts_as_the_server_counts_it() {
    // Without a pace and with a long way, the wall is met while half of what fits is under way.
    let made = Made::of(1000).met(EndReason::TimedOut, 900, 0, 0, S(5)).change(|made| {
        let evidence = made.summary.evidence[EndReason::TimedOut as usize].as_mut().unwrap();
        let level = Level { established: 40, under_way: 60 };
        evidence.scene.everywhere =
            Onset { at_first: level, at_stretch: level, ..spread(100, 900, 0) };
    });
    let reached = "100 concurrent connections of 1000 asked for. From 100 connections on, all 900 \
                   dials timed out.";
    assert_verdict(&made, reached, "server or network", &[]);
}

#[test]
fn a_full_queue_is_told_from_a_firewall_by_who_is_answered() {
    let wall = |made: Made| made.met(EndReason::TimedOut, 200, 800, 0, S(5));
    let reached = "800 concurrent connections of 1000 asked for. From 800 connections on, all 200 \
                   dials timed out.";
    let served = wall(Made::with(1000, expecting())).change(|made| {
        made.summary.findings.answered = 800;
        made.summary.first_byte_times.record(MS(20));
    });
    assert_verdict(&served, reached, "network, or a firewall on the server", &["conntrack -C"]);

    // An application so slow that its queue can have been full for all of a dial's time.
    let late = wall(Made::with(1000, expecting())).change(|made| {
        made.summary.findings.answered = 800;
        made.summary.first_byte_times.record(S(5));
    });
    assert_verdict(&late, reached, "server or network, which look alike", &["/proc/PID/fd"]);

    let queue = wall(Made::with(1000, expecting())).unanswered(129, 671, 671);
    let reached_671 = format!(
        "{reached} From 671 connections on the application answered nobody: 671 answered, 129 did not."
    );
    assert_verdict(&queue, &reached_671, "server: its accept queue is full", &["/proc/PID/fd"]);

    let silent = wall(Made::with(1000, expecting())).unanswered(800, 0, 0);
    let reached_0 = format!("{reached} None of those established answered within 5s.");
    let next = ["That nobody was answered fits the queue"];
    assert_verdict(&silent, &reached_0, "server or network, which look alike", &next);

    let half_open = wall(Made::with(1000, probing(Probe::All)))
        .met(EndReason::HalfOpen, 50, 750, 0, S(1))
        .change(|made| made.summary.findings.probed = 800);
    let reached_half =
        format!("{reached} 50 of these 800 are not known there: a keepalive drew a reset.");
    assert_verdict(&half_open, &reached_half, "server: its accept queue is full", &["ss -lnt"]);
}

#[test]
fn what_else_there_was_stands_at_the_end() {
    let made = Made::of(1000)
        .met(EndReason::NoPorts, 300, 700, 0, MS(0))
        .met(EndReason::Refused, 50, 10, 940, MS(1))
        .slow(20, 5, 900);
    let text = made.text();
    let also = "Also: 50 of 1000 dials were refused, scattered among the others. 20 of \
                925 dials that came through took a second or more, and repeated their SYNs, \
                scattered among the others.";
    assert_eq!(text.lines().last(), Some(also), "{text}");
}
