//! Which connections pay at a limit: simulated servers that refuse newcomers, evict the oldest, or get
//! slower, beside held connections.

use tcpgoon::diagnosis::model::{Diagnosis, Payer, Pays};
use tcpgoon::engine::Summary;
use tcpgoon::engine::beside::BesideStats;
use tcpgoon::engine::series::Series;
use tcpgoon::error::exit;
use tcpgoon::plan::{Pace, Plan, Probe};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::world::setup::*;
use tcpgoon::sim::world::{Stalls, run};
use tcpgoon::units::Span;

use crate::report_invariants::{Beside, contradictions, reported};

const HELD: u32 = 20;

/// 20 of 60 connections are held, the others churn at 100 a second for 6 s.
fn plan() -> Plan {
    let target = Target { host: "10.0.0.1".into(), address: "10.0.0.1:80".parse().unwrap() };
    Plan {
        pace: Pace::sleep(Span::from_ms(10)),
        dial_timeout: Some(Span::from_s(2)),
        lifetime: Some(Span::from_ms(300)),
        hold_beside: HELD,
        probe: Probe::All,
        duration: Some(Span::from_s(6)),
        ..Plan::plain(60, Routes::to_one(target))
    }
}

/// The run, its diagnosis and its report, which do not contradict each other.
fn found(server: Server, path: Path, stalls: Stalls, seed: u64) -> (Summary, Diagnosis, String) {
    let world = World::new(server, path);
    let summary = run(&plan(), &world, seed, stalls).summary;
    let (diagnosis, text) = reported(&plan(), &summary, &Beside::default());
    let wrong = contradictions(&plan(), &summary, &diagnosis, &text);
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}\n{text}");
    (summary, diagnosis, text.replace('\n', " "))
}

fn held(summary: &Summary) -> &BesideStats {
    summary.churn.as_ref().unwrap().beside.as_deref().unwrap()
}

#[test]
fn without_a_limit_all_checks_are_answered_and_nothing_is_claimed() {
    for (seed, stalls) in [(0, Stalls::None), (1, Stalls::None), (2, Stalls::Some)] {
        let (summary, diagnosis, text) = found(Server::default(), Path::default(), stalls, seed);
        let held = held(&summary);
        assert_eq!((held.established, held.open(), held.during.unanswered), (HELD, HELD, 0));
        assert_eq!((diagnosis.pays, diagnosis.exit_code), (None, exit::ALL_ESTABLISHED), "{text}");
        if stalls == Stalls::None {
            // Two a second before the churn, and one a second during it.
            assert_eq!(held.before.answered, u64::from(HELD) * 2, "{text}");
            let during = u64::from(HELD) * 5..=u64::from(HELD) * 6;
            assert!(during.contains(&held.during.answered), "{text}");
        }
    }
}

#[test]
fn newcomers_that_are_refused_pay_and_held_connections_stay() {
    let limit = Limit { on: LimitOn::Open(40), end: End::Fin, has_last_words: false };
    let server = Server { limit: Some(limit), ..Server::default() };
    for seed in 0..4 {
        let (summary, diagnosis, text) = found(server.clone(), Path::default(), Stalls::None, seed);
        assert_eq!(held(&summary).open(), HELD);
        let pays = diagnosis.pays.unwrap();
        assert_eq!((pays.payer, pays.lost), (Payer::Newcomers, 0), "{text}");
        assert!(pays.failed > 10 && text.contains("Newcomers fail, held connections stay: "));
        assert_eq!(diagnosis.exit_code, exit::WITH_ERRORS);
    }
}

#[test]
fn held_connections_that_are_evicted_pay_while_newcomers_get_in() {
    let server = Server { evicts_above: Some(40), ..Server::default() };
    for seed in 0..4 {
        let (summary, diagnosis, text) = found(server.clone(), Path::default(), Stalls::None, seed);
        let held = held(&summary);
        let pays = diagnosis.pays.unwrap();
        assert_eq!(pays.payer, Payer::Held, "{text}");
        let [fin, others @ ..] = held.during.ended;
        assert_eq!((held.before.ends(), others, held.open()), (0, [0; 3], HELD - fin), "{text}");
        assert!(held.during.first_end > held.began && fin > 5, "{text}");
        assert!(text.contains("Held connections are closed while newcomers get in: "), "{text}");
        assert_eq!(diagnosis.exit_code, exit::WITH_ERRORS);
    }
}

/// The run of a slow path, with checks, and perhaps dials, before the churn as on a fast one.
#[test]
fn all_are_slower_only_if_checks_and_dials_are() {
    let on = |delay_ms| {
        let path = Path { delay: Span::from_ms(delay_ms), ..Path::default() };
        run(&plan(), &World::new(Server::default(), path), 0, Stalls::None).summary
    };
    let (fast, mut slow) = (on(2), on(60));
    let before = held(&fast).before.rtt.clone();
    slow.churn.as_mut().unwrap().beside.as_mut().unwrap().before.rtt = before;
    let (diagnosis, _) = reported(&plan(), &slow, &Beside::default());
    assert_eq!(diagnosis.pays, None);

    let began = |summary: &Summary| held(summary).began.unwrap().since(summary.start);
    let points = |summary: &Summary| summary.series.points().to_vec();
    let (first, last) = (began(&fast), began(&slow));
    let mut all = points(&fast);
    all.retain(|point| point.at <= first);
    all.extend(points(&slow).into_iter().filter(|point| point.at > last));
    slow.series = Series::of(all);
    let (diagnosis, text) = reported(&plan(), &slow, &Beside::default());
    let Some(Pays { payer: Payer::All { times }, failed: 0, lost: 0, .. }) = diagnosis.pays else {
        panic!("{text}")
    };
    assert!(times[1] > times[0] && times[3] > times[2], "{times:?}");
    let text = text.replace('\n', " ");
    assert!(text.contains("All are slower, none fails: p50 of the checks"), "{text}");
}
