//! What is counted of a connection that is asked, and when.

use super::*;
use crate::route::{Routes, Target};

const NOTHING: Findings = Findings {
    answered: 0,
    overdue: 0,
    unanswered: 0,
    misheard: 0,
    late: 0,
    closed_unanswered: 0,
    probed: 0,
    asked: 0,
    open: 0,
    proven: 0,
    silent: 0,
    suspects: 0,
    suspects_half_open: 0,
    suspects_unacknowledged: 0,
};

/// 2,000 connections.
fn plan(probe: Probe, talk: Option<Talk>) -> Plan {
    let address = "127.0.0.1:1".parse().unwrap();
    let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
    Plan { probe, talk, ..Plan::plain(2_000, routes) }
}

fn expecting() -> Option<Talk> {
    let expect = b"hello".as_slice().into();
    Some(Talk { send: [].into(), expect, reply_timeout: Span::from_s(5) })
}

/// One of which the first slot is open, and has come to its deadline so many times.
fn asking(probe: Probe, talk: Option<Talk>, deadlines: u32) -> Inquiries {
    let mut inquiries = Inquiries::new(&plan(probe, talk)).unwrap();
    assert!(inquiries.open(0, false).is_some());
    for _ in 0..deadlines {
        inquiries.expire(0);
        inquiries.audit();
    }
    inquiries
}

/// What is found once that connection is closed.
fn closed(mut inquiries: Inquiries, reason: EndReason) -> Findings {
    inquiries.close(0, reason);
    inquiries.audit();
    assert!(!inquiries.is_pending(0) && !inquiries.is_waiting());
    assert_eq!((inquiries.awaited_count(), inquiries.unsettled_count()), (0, 0));
    inquiries.findings
}

#[test]
fn who_ends_before_the_keepalive_was_not_asked() {
    let due = || asking(Probe::All, None, 0);
    assert_eq!(due().findings, NOTHING);
    let proven = Findings { probed: 1, proven: 1, ..NOTHING };
    assert_eq!(closed(due(), EndReason::PeerClosed), proven, "only who has it can end it so");
    assert_eq!(closed(due(), EndReason::PeerReset), NOTHING);
    assert_eq!(closed(due(), EndReason::Lost), NOTHING);
    let mut heard = due();
    heard.hear(0);
    assert_eq!(heard.findings, proven);
    assert_eq!(closed(heard, EndReason::PeerReset), proven);
}

#[test]
fn a_keepalive_that_is_out_is_open_until_something_tells() {
    let asked = Findings { probed: 1, asked: 1, ..NOTHING };
    let proven = Findings { proven: 1, ..asked };
    for looks in 0..=3 {
        let out = || asking(Probe::All, None, 1 + looks);
        assert_eq!(out().findings, Findings { open: 1, ..asked });
        assert_eq!(out().unsettled_count(), 1);
        assert_eq!(closed(out(), EndReason::PeerClosed), proven);
        // A reset may come from anybody, and who it was that had lost it nobody knows.
        assert_eq!(closed(out(), EndReason::PeerReset), asked);
        assert_eq!(closed(out(), EndReason::HalfOpen), asked);
        let mut acknowledged = out();
        assert!(acknowledged.prove(0));
        assert_eq!(acknowledged.findings, proven);
        assert_eq!(closed(acknowledged, EndReason::PeerReset), proven);
    }
    let silent = || asking(Probe::All, None, 5);
    assert_eq!(silent().findings, Findings { silent: 1, ..asked });
    assert_eq!(silent().unsettled_count(), 0);
    assert_eq!(closed(silent(), EndReason::PeerClosed), proven);
    assert_eq!(closed(silent(), EndReason::PeerReset), asked);
}

#[test]
fn that_it_never_was_is_the_last_word() {
    let mut proven = asking(Probe::All, None, 2);
    assert!(proven.prove(0));
    assert_eq!(closed(proven, EndReason::HalfOpen), Findings { probed: 1, asked: 1, ..NOTHING });
    let due = asking(Probe::All, None, 0);
    assert_eq!(closed(due, EndReason::HalfOpen), Findings { probed: 1, ..NOTHING });
}

#[test]
fn who_talks_need_not_be_asked() {
    let waiting = || asking(Probe::All, expecting(), 0);
    let hung_up = Findings { closed_unanswered: 1, ..NOTHING };
    let proven = Findings { probed: 1, proven: 1, ..NOTHING };
    assert_eq!((waiting().awaited_count(), waiting().unsettled_count()), (1, 0));
    assert_eq!(closed(waiting(), EndReason::PeerReset), hung_up);
    let goodbye = closed(waiting(), EndReason::PeerClosed);
    assert_eq!(goodbye, Findings { closed_unanswered: 1, ..proven });
    let mut heard = waiting();
    assert!(heard.hear(0));
    assert_eq!(closed(heard.clone(), EndReason::PeerReset), goodbye);
    assert!(heard.answer(0));
    assert_eq!(heard.findings, Findings { answered: 1, ..proven });
    let missed = asking(Probe::All, expecting(), 1);
    assert_eq!(
        missed.findings,
        Findings { unanswered: 1, probed: 1, asked: 1, open: 1, ..NOTHING }
    );
}

#[test]
fn a_sample_is_not_waited_for_and_the_others_are_not_in_it() {
    let out = asking(Probe::Sample, None, 1);
    assert_eq!((out.findings.open, out.unsettled_count(), out.is_waiting()), (1, 0, false));
    let mut sample = Inquiries::new(&plan(Probe::Sample, None)).unwrap();
    assert_eq!(sample.open(1, false), None);
    sample.close(1, EndReason::PeerClosed);
    assert_eq!(sample.findings, NOTHING);
    // A suspect is looked at all the same.
    assert!(sample.open(3, true).is_some());
    assert!(sample.is_pending(3) && !sample.is_pending(2));
    sample.close(3, EndReason::PeerClosed);
    assert_eq!(sample.findings, NOTHING);
}

#[test]
fn where_nobody_asks_nothing_is_kept() {
    let mut nobody = Inquiries::new(&plan(Probe::None, None)).unwrap();
    assert_eq!(nobody.slots, Standings::new(0).unwrap());
    assert_eq!(nobody.open(0, true), None);
    assert!(!nobody.hear(0) && !nobody.answer(0) && !nobody.prove(0));
    assert_eq!(nobody.expire(0), Step::default());
    nobody.close(0, EndReason::PeerClosed);
    assert_eq!(nobody.findings, NOTHING);
}

#[test]
fn there_are_no_more_suspects_than_anybody_looks_at() {
    let mut inquiries = Inquiries::new(&plan(Probe::All, None)).unwrap();
    for slot in 0..SUSPECTS_MAX {
        assert_eq!(inquiries.open(slot, true), Some(SUSPECTED_AFTER));
    }
    assert_eq!(inquiries.open(SUSPECTS_MAX, true), Some(PROBED_AFTER));
    assert_eq!(inquiries.open(SUSPECTS_MAX + 1, false), Some(PROBED_AFTER));
}
