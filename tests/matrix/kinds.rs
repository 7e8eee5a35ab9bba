//! Kinds of wrong verdicts that real inputs have shown, each as some simulated runs: what is printed,
//! and how sure it is.

use tcpgoon::diagnosis::causes::Cause;
use tcpgoon::diagnosis::model::{Candidate, Likelihood, Problem, Symptom, Word};
use tcpgoon::plan::{Hold, Plan};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::random::Random;
use tcpgoon::sim::world::Stalls;
use tcpgoon::sim::world::setup::*;
use tcpgoon::units::Span;

use super::judge::{Reported, report_of};
use super::plans::*;
use crate::report_invariants::all_problems;

const SEEDS: u64 = 8;

fn each_seed(make: impl Fn(&mut Random) -> (Plan, World), check: impl Fn(&Reported)) {
    for seed in 0..SEEDS {
        let (plan, world) = make(&mut Random::new(seed));
        let run = report_of(&plan, &world, seed, Stalls::None);
        println!("seed {seed}\n{}", run.text);
        check(&run);
    }
}

/// The same, with the limit of the server.
fn each_limit(make: impl Fn(&mut Random) -> (Plan, World), check: impl Fn(&Reported, u32)) {
    for seed in 0..SEEDS {
        let (plan, world) = make(&mut Random::new(seed));
        let Some(Limit { on: LimitOn::Open(limit), .. }) = world.servers[0].limit else { continue };
        let run = report_of(&plan, &world, seed, Stalls::None);
        println!("seed {seed}, limit {limit}\n{}", run.text);
        check(&run, limit);
    }
}

fn main_of(run: &Reported) -> &Problem {
    run.diagnosis.problems.first().expect("a problem")
}

fn candidate(problem: &Problem, cause: Cause) -> Option<&Candidate> {
    problem.candidates.iter().find(|candidate| candidate.cause == cause)
}

/// The target typed as a name.
fn by_name(plan: Plan) -> Plan {
    let address = "10.0.0.1:80".parse().unwrap();
    let target = Target { host: "server.example".into(), address };
    Plan { routes: Routes::new(vec![target], &[]).unwrap(), ..plan }
}

#[test]
fn an_address_has_no_other_family_to_try() {
    let refusing =
        |plan| (plan, to(Server { is_listening: false, ..Server::default() }, Path::default()));
    let names_another = |run: &Reported| {
        run.text.contains("-4, then with -6") || run.text.contains("--all-addresses")
    };
    each_seed(|_| refusing(paced(30)), |run| assert!(!names_another(run)));
    each_seed(|_| refusing(by_name(paced(30))), |run| assert!(names_another(run)));
}

#[test]
fn what_was_refused_is_not_checked_for_repeats_and_icmp() {
    each_seed(
        |r| (paced(30), to(Server { is_listening: false, ..Server::default() }, path(r))),
        |run| {
            assert_eq!(run.diagnosis.word, Word::Failed);
            assert!(!run.text.contains("icmp or icmp6"));
            assert!(!run.text.contains("TcpExtTCPRetransFail"));
        },
    );
}

#[test]
fn a_run_that_sends_is_not_advised_to_send() {
    let idle = || Some(Idle { after: s(2), end: End::Fin });
    let world = |r: &mut Random| to(Server { idle: idle(), ..Server::default() }, path(r));
    each_seed(
        |r| (hold(s(4), paced(60)), world(r)),
        |run| assert!(run.text.contains("the same command with --send TEXT")),
    );
    each_seed(
        |r| (hold(s(4), ask(paced(60))), world(r)),
        |run| assert!(!run.text.contains("the same command with --send TEXT")),
    );
}

#[test]
fn a_run_without_a_settle_reports_that_it_did_not_watch() {
    let unwatched = |plan: Plan| Plan { settle: Span::ZERO, hold: Hold::For(Span::ZERO), ..plan };
    let is_reported = |run: &Reported| {
        run.text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("after the last dial; see --settle")
    };
    each_seed(
        |r| (unwatched(paced(40)), to(Server::default(), path(r))),
        |run| assert!(run.diagnosis.word == Word::Ok && is_reported(run)),
    );
    each_seed(
        |r| (paced(40), to(Server::default(), path(r))),
        |run| assert!(run.diagnosis.word == Word::Ok && !is_reported(run)),
    );
}

/// Sources that take turns reach a limit on all of them at about as many each.
#[test]
fn a_limit_on_all_sources_is_not_most_likely_one_per_client() {
    each_seed(
        |r| {
            let server = limited(LimitOn::Open(r.small(50, 90)), End::Fin, false);
            (towards(1, 3, hold(s(1), paced(150))), to(server, near(r)))
        },
        |run| {
            let problem = main_of(run);
            let client = candidate(problem, Cause::ClientLimit);
            assert!(client.is_none_or(|client| client.likelihood == Likelihood::Possible));
            assert!(candidate(problem, Cause::ConnectionLimit).is_some());
        },
    );
}

/// Some of what it closes has waited in the accept queue, for longer than a level has to last.
#[test]
fn behind_a_slow_accept_only_what_a_limit_keeps_has_stayed_open() {
    let dialed = |queue| {
        move |r: &mut Random| (patient(s(10), hold(s(3), paced(400))), to(slow(r, queue), near(r)))
    };
    for queue in [4096, 30] {
        each_seed(dialed(queue), |run| {
            let kept = run.outcome.truth.levels.last().unwrap().1;
            let reached = &run.diagnosis.reached;
            assert_eq!(reached.sustained, kept);
            assert!(run.diagnosis.word == Word::Limit && reached.peak > kept);
            assert!(candidate(main_of(run), Cause::ConnectionLimit).is_some());
            let aged = [Cause::IdleTimeout, Cause::EvictsOldest];
            assert!(aged.iter().all(|cause| candidate(main_of(run), *cause).is_none()));
        });
    }
}

/// What ends those that stayed open, later and in another way, does not hide the limit.
#[test]
fn a_limit_is_found_before_an_idle_timeout_and_an_end_of_the_process() {
    let idle = |server| Server { idle: Some(Idle { after: s(4), end: End::Fin }), ..server };
    let ends = |server| {
        let end = Restart { at: s(4), end: Some(End::Fin), back_after: None };
        Server { restart: Some(end), ..server }
    };
    type Ends = fn(Server) -> Server;
    let ends: [(Ends, Cause); 2] = [(idle, Cause::IdleTimeout), (ends, Cause::ProcessRestarted)];
    for (end, later) in ends {
        for queue in [4096, 30] {
            let make = |r: &mut Random| (hold(s(8), paced(400)), to(end(slow(r, queue)), near(r)));
            each_limit(make, |run, kept| {
                let reached = &run.diagnosis.reached;
                assert_eq!(reached.sustained, kept);
                assert!(candidate(main_of(run), Cause::ConnectionLimit).is_some());
                assert!(candidate(main_of(run), Cause::IdleTimeout).is_none());
                let problems = all_problems(&run.diagnosis);
                assert!(problems.iter().any(|problem| candidate(problem, later).is_some()));
            });
        }
    }
}

/// The process ends with connections in its accept queue: whether its limit keeps them is unknown.
#[test]
fn a_limit_is_found_before_an_end_of_the_process_with_a_queue() {
    let make = |r: &mut Random| {
        let accept = Accept::Every { period: ms(5), count: 1 };
        let restart = Some(Restart { at: ms(800), end: Some(End::Fin), back_after: None });
        (hold(s(3), paced(300)), to(Server { accept, restart, ..slow(r, 4096) }, near(r)))
    };
    each_limit(make, |run, _| {
        let first = main_of(run).candidates.first().map(|candidate| candidate.cause);
        let causes = [Cause::ConnectionLimit, Cause::ProcessRestarted];
        assert!(first.is_some_and(|first| causes.contains(&first)));
        let problems = all_problems(&run.diagnosis);
        assert!(problems.iter().any(|p| candidate(p, Cause::ConnectionLimit).is_some()));
    });
}

/// One that stays of 400 is enough, if it is the first one.
#[test]
fn a_limit_of_one_or_two_is_a_limit_behind_a_slow_accept_too() {
    let make = |r: &mut Random| {
        let on = LimitOn::Open(r.small(1, 2));
        let limit = Some(Limit { on, end: End::Fin, has_last_words: false });
        (hold(s(3), paced(400)), to(Server { limit, ..slow(r, 4096) }, near(r)))
    };
    each_limit(make, |run, kept| {
        assert_eq!(run.diagnosis.reached.sustained, kept);
        let first = main_of(run).candidates.first().map(|candidate| candidate.cause);
        assert_eq!(first, Some(Cause::ConnectionLimit));
    });
}

/// A slow accept that keeps none: all were closed like the first ones, which had not waited.
#[test]
fn where_none_is_kept_all_are_closed_on_accept_however_long_they_waited() {
    let make = |r: &mut Random| {
        let limit = Some(Limit { on: LimitOn::Open(0), end: End::Fin, has_last_words: false });
        (hold(s(4), paced(300)), to(Server { limit, ..slow(r, 4096) }, near(r)))
    };
    each_limit(make, |run, _| {
        let share = main_of(run).share;
        assert!(matches!(main_of(run).symptom, Symptom::ClosedOnAccept { .. }));
        assert_eq!((share.hits, share.all), (300, 300));
        assert_eq!((run.diagnosis.word, run.diagnosis.reached.sustained), (Word::Failed, 0));
    });
}

/// The connections of the other target are no part of it.
#[test]
fn a_limit_behind_a_slow_accept_is_found_at_one_of_two_targets() {
    let make = |r: &mut Random| {
        let servers = vec![slow(r, 4096), Server::default()];
        let world = World { servers, path: near(r), ..World::default() };
        (towards(2, 0, hold(s(4), paced(300))), world)
    };
    each_limit(make, |run, kept| {
        assert_eq!(run.diagnosis.reached.sustained, 150 + kept);
        assert!(candidate(main_of(run), Cause::ConnectionLimit).is_some());
    });
}

/// Some SYNs are dropped: those connections are established after the last dial, and stay until an
/// idle timeout.
#[test]
fn what_is_established_after_the_last_dial_has_stayed_open_too() {
    let make = |r: &mut Random| {
        let idle = Some(Idle { after: s(9), end: End::Fin });
        let plan = patient(s(8), hold(s(18), fast(paced(100))));
        (plan, to(Server { idle, has_syn_cookies: false, ..slow(r, 15) }, near(r)))
    };
    each_limit(make, |run, kept| assert!(run.diagnosis.reached.sustained >= kept));
}

/// A proxy gives its backend up after its connect timeout, which looks like an idle timeout.
#[test]
fn closes_at_one_age_before_any_data_name_a_backend_beside_an_idle_timeout() {
    let idle = |after| Server { idle: Some(Idle { after, end: End::Fin }), ..Server::default() };
    each_seed(
        |r| (hold(s(6), paced(60)), to(idle(s(3)), path(r))),
        |run| {
            let problem = main_of(run);
            assert!(matches!(problem.symptom, Symptom::Closed { .. }));
            for cause in [Cause::IdleTimeout, Cause::BackendUnreachable] {
                let found = candidate(problem, cause).expect("both are candidates");
                assert_eq!(found.likelihood, Likelihood::Possible);
            }
            assert!(run.text.contains("closed at the same age"));
        },
    );
    // Longer than a proxy tries.
    each_seed(
        |r| (hold(s(40), paced(30)), to(idle(s(30)), path(r))),
        |run| {
            let first = &main_of(run).candidates[0];
            assert_eq!((first.cause, first.likelihood), (Cause::IdleTimeout, Likelihood::Likely));
        },
    );
}

#[test]
fn where_all_are_closed_on_accept_none_was_reached() {
    each_seed(
        |r| {
            let end = r.pick(&[End::Fin, End::Rst]);
            (hold(s(1), paced(60)), to(limited(LimitOn::Open(0), end, false), near(r)))
        },
        |run| {
            assert_eq!((run.diagnosis.word, run.diagnosis.exit_code), (Word::Failed, 2));
            assert_eq!(run.diagnosis.reached.sustained, 0);
        },
    );
    // Closed later, once all were open together.
    each_seed(
        |r| {
            let idle = Some(Idle { after: s(2), end: End::Fin });
            (hold(s(4), paced(60)), to(Server { idle, ..Server::default() }, path(r)))
        },
        |run| assert_eq!((run.diagnosis.word, run.diagnosis.exit_code), (Word::Limit, 0)),
    );
}

/// None of the connections is acknowledged since: not even a server that has stopped accepting would
/// leave its keepalives without an answer.
#[test]
fn a_path_that_fails_as_dials_go_on_is_no_limit() {
    each_seed(
        |r| {
            let outage = Some(Window { from: ms(r.between(60, 180)), to: s(3_600) });
            let dials = probe(hold(s(4), paced(150)));
            (dials, to(Server::default(), Path { outage, ..near(r) }))
        },
        |run| {
            let problem = main_of(run);
            assert_eq!(problem.candidates[0].cause, Cause::PathDown);
            let others = [Cause::AcceptQueueFull, Cause::DropAboveLimit, Cause::RateLimit];
            assert!(others.into_iter().all(|cause| candidate(problem, cause).is_none()));
        },
    );
}

#[test]
fn a_few_keepalives_without_an_acknowledgement_are_packet_loss() {
    let path = |r: &mut Random| Path { ack_loss_permille: 150, delay: ms(10), ..path(r) };
    let checked = std::cell::Cell::new(0);
    each_seed(
        |r| (probe(hold(s(1), paced(400))), to(Server::default(), path(r))),
        |run| {
            for problem in all_problems(&run.diagnosis) {
                let is_few = problem.share.hits * 20 <= problem.share.all;
                if matches!(problem.symptom, Symptom::KeepaliveUnacked { .. }) && is_few {
                    checked.set(checked.get() + 1);
                    assert_eq!(problem.candidates[0].cause, Cause::PacketLoss, "{}", run.text);
                    assert!(candidate(problem, Cause::StateExpired).is_none(), "{}", run.text);
                }
            }
        },
    );
    assert!(checked.get() > 0, "no keepalive was lost");
}
