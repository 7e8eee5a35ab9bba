//! What the checks of a connection count.

use super::*;
use crate::engine::check_state::{Outcome, Step};
use crate::engine::check_stats::RoundStats;
use crate::engine::check_table::{Deadline, KEEPALIVE_AFTER, SUSPECTED_AFTER};
use crate::engine::tcp_info::Evidence;
use crate::route::{Routes, Target};

const NOW: Moment = Moment(5);

/// 2,000 connections.
fn plan(probe: Probe, reply_check: Option<ReplyCheck>) -> Plan {
    let address = "127.0.0.1:1".parse().unwrap();
    let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
    Plan { probe, reply_check, ..Plan::plain(2_000, routes) }
}

fn expecting() -> Option<ReplyCheck> {
    let expect = b"hello".as_slice().into();
    Some(ReplyCheck { send: [].into(), expect, reply_timeout: Span::from_s(5) })
}

/// Checks after `inputs` to the first slot.
fn after(probe: Probe, reply_check: Option<ReplyCheck>, inputs: &[Input]) -> Checks {
    let mut checks = Checks::new(&plan(probe, reply_check)).unwrap();
    checks.take(0, Input::Opened { is_slow: false }, NOW);
    for input in inputs {
        checks.take(0, *input, NOW);
        checks.audit();
    }
    checks
}

/// The results once that connection is closed.
fn closed(mut checks: Checks, reason: EndReason) -> CheckStats {
    checks.close(0, reason, NOW);
    checks.audit();
    assert!(!checks.state(0).is_pending() && !checks.is_waiting());
    assert_eq!((checks.replies_pending(), checks.probes_pending()), (0, 0));
    checks.stats()
}

/// Counts of the first round, without its moments.
fn first(stats: &CheckStats) -> RoundStats {
    let first = *stats.round(Round::First);
    RoundStats { first_at: None, last_at: None, last_confirmed_at: None, ..first }
}

const SENT: [Input; 2] = [Input::Due, Input::Started { segs: 1 }];
const LATER: Input = Input::Due;

fn read(evidence: Evidence) -> Input {
    Input::Read { evidence, was_polling: true, segs: 1 }
}

#[test]
fn a_connection_that_ends_before_its_keepalive_has_none_sent() {
    let due = || after(Probe::All, None, &[]);
    assert_eq!(due().stats(), CheckStats::default());
    let unneeded = RoundStats { unneeded: 1, ..RoundStats::default() };
    assert_eq!(first(&closed(due(), EndReason::PeerClosed)), unneeded, "a FIN is the server's");
    assert_eq!(closed(due(), EndReason::PeerReset), CheckStats::default());
    assert_eq!(closed(due(), EndReason::Lost), CheckStats::default());
    assert_eq!(first(&after(Probe::All, None, &[Input::Data]).stats()), unneeded);
}

#[test]
fn a_keepalive_that_is_out_is_pending_until_it_is_judged() {
    let sent = RoundStats { sent: 1, ..RoundStats::default() };
    for reads in 0..=3 {
        let out = || after(Probe::All, None, &[&SENT[..], &vec![LATER; reads]].concat());
        assert_eq!(first(&out().stats()), RoundStats { pending: 1, ..sent });
        assert_eq!((out().probes_pending(), out().is_waiting()), (1, true));
        for (reason, found) in [
            (EndReason::PeerClosed, RoundStats { confirmed: 1, ..sent }),
            (EndReason::PeerReset, RoundStats { closed: 1, ..sent }),
            (EndReason::HalfOpen, RoundStats { half_open: 1, ..sent }),
            (EndReason::Lost, RoundStats { unacknowledged: 1, ..sent }),
        ] {
            let stats = closed(out(), reason);
            assert_eq!(first(&stats), found);
            assert_eq!(stats.unacknowledged, u64::from(reason == EndReason::Lost));
        }
    }
    let acknowledged = [&SENT[..], &[LATER, read(Evidence::Acknowledged)]].concat();
    let acknowledged = after(Probe::All, None, &acknowledged);
    assert_eq!(first(&acknowledged.stats()), RoundStats { confirmed: 1, ..sent });
    assert_eq!(acknowledged.stats().round(Round::First).last_confirmed_at, Some(NOW));
    assert!(!acknowledged.is_waiting());
}

#[test]
fn unacknowledged_takes_the_last_read_and_a_host_that_was_polling() {
    let last = [&SENT[..], &[LATER, LATER, LATER]].concat();
    let judged = |more: &[Input]| after(Probe::All, None, &[&last[..], more].concat()).stats();
    let nothing = |was_polling| Input::Read { evidence: Evidence::Nothing, was_polling, segs: 1 };
    assert_eq!(judged(&[nothing(true)]).unacknowledged, 1);
    assert_eq!(judged(&[nothing(false)]).round(Round::First).pending, 1);
    let again = [nothing(false), LATER];
    assert_eq!(judged(&[&again[..], &[nothing(true)]].concat()).unacknowledged, 1);
    let stats = judged(&[&again[..], &[nothing(false)]].concat());
    assert_eq!((stats.unacknowledged, stats.round(Round::First).unknown), (0, 1));
    // The first reads decide nothing.
    let early = after(Probe::All, None, &[&SENT[..], &[LATER, nothing(true)]].concat());
    assert_eq!(early.stats().round(Round::First).pending, 1);
    // Acknowledged later.
    let stats = judged(&[nothing(true), Input::Data, Input::ReadLate]);
    assert_eq!((stats.unacknowledged, stats.round(Round::First).unacknowledged), (0, 1));
}

#[test]
fn more_segments_than_an_acknowledgement_takes_are_a_doubt() {
    let doubt = [&SENT[..], &[LATER, read(Evidence::AcknowledgedInDoubt)]].concat();
    let waiting = after(Probe::All, None, &doubt);
    assert!(!waiting.state(0).is_keepalive_on() && waiting.state(0).is_sent());
    for (evidence, found) in [
        (Evidence::Acknowledged, Outcome::Confirmed),
        (Evidence::RepeatsSynAck, Outcome::RepeatsSynAck),
        (Evidence::Unclear, Outcome::Unknown),
    ] {
        let end = [LATER, Input::ReadInDoubt { evidence }];
        let checks = after(Probe::All, None, &[&doubt[..], &end].concat());
        assert_eq!(checks.state(0), CheckState::Settled(Reply::NotExpected, found));
    }
}

#[test]
fn a_keepalive_that_this_host_refuses_or_never_reports_is_not_sent() {
    for not_sent in [Input::Refused, Input::Due] {
        let stats = after(Probe::All, None, &[Input::Due, not_sent]).stats();
        assert_eq!(first(&stats), RoundStats { not_sent: 1, ..RoundStats::default() });
        assert_eq!(stats.unacknowledged, 0);
    }
}

#[test]
fn a_connection_that_replies_needs_no_keepalive() {
    let waiting = || after(Probe::All, expecting(), &[]);
    assert_eq!((waiting().replies_pending(), waiting().probes_pending()), (1, 0));
    let stats = closed(waiting(), EndReason::PeerReset);
    assert_eq!(stats, CheckStats { closed_before_reply: 1, ..CheckStats::default() });
    let stats = closed(waiting(), EndReason::PeerClosed);
    assert_eq!((stats.closed_before_reply, first(&stats).unneeded), (1, 1));

    let mut partial = waiting();
    assert!(partial.on_data(0, NOW, false).0);
    assert!(!partial.on_data(0, NOW, false).0);
    assert!(partial.on_reply(0, NOW, true).is_some());
    assert!(partial.on_reply(0, NOW, true).is_none());
    let stats = closed(partial.clone(), EndReason::PeerReset);
    assert_eq!((stats.replied, stats.replied_late_read, first(&stats).unneeded), (1, 1, 1));
    assert_eq!(partial.reply(0), Reply::Replied);

    let missed = after(Probe::All, expecting(), &[Input::Due]);
    assert_eq!((missed.stats().no_reply, missed.probes_pending()), (1, 1));
    assert!(missed.state(0).is_starting() && missed.reply(0) == Reply::NoReply);
    let late = after(Probe::All, expecting(), &[Input::Due, Input::Data]).stats();
    assert_eq!((late.no_reply, late.late_reply, late.wrong_reply), (1, 1, 0));
    let wrong = after(Probe::All, expecting(), &[Input::Data, Input::Due]).stats();
    assert_eq!((wrong.no_reply, wrong.late_reply, wrong.wrong_reply), (1, 0, 1));
}

#[test]
fn any_byte_is_a_reply_if_no_text_is_expected() {
    let reply_check = Some(ReplyCheck { expect: [].into(), ..expecting().unwrap() });
    let mut checks = after(Probe::None, reply_check, &[]);
    assert_eq!(checks.on_reply(0, NOW, false), None, "without a byte");
    let (is_first, actions) = checks.on_data(0, NOW, false);
    assert!(is_first && actions.deadline == Deadline::Cancel);
    assert_eq!(checks.stats(), CheckStats { replied: 1, ..CheckStats::default() });
}

#[test]
fn the_run_does_not_wait_for_a_sample() {
    let out = after(Probe::Sample, None, &SENT);
    assert_eq!((out.stats().round(Round::First).pending, out.probes_pending()), (1, 0));
    assert!(!out.is_waiting());
    let mut sample = Checks::new(&plan(Probe::Sample, None)).unwrap();
    sample.take(1, Input::Opened { is_slow: false }, NOW);
    assert!(!sample.state(1).is_pending());
    sample.close(1, EndReason::PeerClosed, NOW);
    assert_eq!(sample.stats(), CheckStats::default());
    // A suspect is read all the same.
    sample.take(3, Input::Opened { is_slow: true }, NOW);
    assert!(sample.state(3).is_pending());
    let actions = sample.take(3, Input::Due, NOW);
    assert!(actions.read_suspect && !actions.start_keepalive);
    assert_eq!(sample.stats(), CheckStats::default());
}

#[test]
fn a_run_without_checks_keeps_nothing() {
    let mut checks = Checks::new(&plan(Probe::None, None)).unwrap();
    assert_eq!(checks.slots, CheckStates::new(0).unwrap());
    for input in [Input::Opened { is_slow: true }, Input::Data, Input::Reply, Input::Due] {
        assert_eq!(checks.take(0, input, NOW), CheckActions::default());
    }
    checks.close(0, EndReason::PeerClosed, NOW);
    assert_eq!(checks.stats(), CheckStats::default());
}

#[test]
fn there_are_no_more_suspects_than_the_limit() {
    let mut checks = Checks::new(&plan(Probe::All, None)).unwrap();
    let mut open = |slot| checks.take(slot, Input::Opened { is_slow: true }, NOW).deadline;
    for slot in 0..SUSPECTS_MAX {
        assert_eq!(open(slot), Deadline::After(SUSPECTED_AFTER));
    }
    assert_eq!(open(SUSPECTS_MAX), Deadline::After(KEEPALIVE_AFTER));
}

#[test]
fn a_stall_is_over_once_this_host_has_polled_for_two_seconds() {
    let mut checks = Checks::new(&plan(Probe::All, None)).unwrap();
    let at = |ms| Moment(0) + Span::from_ms(ms);
    assert!(checks.was_polling(at(0), at(3_500)));
    checks.gap(at(1_000));
    checks.gap(at(500));
    assert!(checks.was_polling(at(1_000), at(1_001)), "before the keepalive");
    assert!(!checks.was_polling(at(999), at(2_999)));
    assert!(checks.was_polling(at(999), at(3_000)));
}

/// Every state with every input.
#[test]
fn every_state_takes_every_input_and_the_ledger_balances() {
    let evidences = [
        Evidence::Acknowledged,
        Evidence::AcknowledgedInDoubt,
        Evidence::RepeatsSynAck,
        Evidence::OtherTraffic,
        Evidence::Nothing,
        Evidence::Unclear,
    ];
    let mut inputs = vec![
        Input::Opened { is_slow: false },
        Input::Opened { is_slow: true },
        Input::Data,
        Input::Reply,
        Input::Unread,
        Input::Due,
        Input::Recheck,
        Input::Started { segs: 3 },
        Input::Refused,
        Input::ReadInDoubt { evidence: Evidence::Acknowledged },
        Input::ReadInDoubt { evidence: Evidence::RepeatsSynAck },
        Input::ReadInDoubt { evidence: Evidence::Unclear },
        Input::ReadLate,
        Input::Closed,
    ];
    for was_polling in [false, true] {
        let read = |evidence| Input::Read { evidence, was_polling, segs: 6 };
        inputs.extend(evidences.map(read));
    }
    for kind in 0..CheckState::KINDS {
        let from = CheckState::of_kind(kind);
        for (input, is_sampled, has_suspects_left) in
            inputs.iter().flat_map(|i| [(*i, false, true), (*i, true, true), (*i, true, false)])
        {
            // It opens once, unchecked.
            if matches!(input, Input::Opened { .. }) && from != CheckState::UNCHECKED {
                continue;
            }
            let reply_timeout = from.is_reply_pending().then_some(Span::from_s(1));
            let rules = Rules { reply_timeout, is_sampled, has_suspects_left, repeats: false };
            let (to, actions) = step(from, input, &rules);
            let context = format!("{from:?} {input:?} {rules:?} → {to:?} {actions:?}");
            // Exactly the pending states have a deadline.
            let is_due = input == Input::Due;
            match actions.deadline {
                Deadline::Keep if is_due => assert!(!to.is_pending(), "{context}"),
                Deadline::Keep if input == Input::Closed => assert!(!to.is_pending(), "{context}"),
                Deadline::Keep => assert_eq!(to.is_pending(), from.is_pending(), "{context}"),
                Deadline::Cancel => assert!(!to.is_pending(), "{context}"),
                Deadline::After(_) => assert!(to.is_pending(), "{context}"),
                Deadline::AfterDue(_) => assert!(to.is_pending() && is_due, "{context}"),
            }
            // Keepalive is on in the states in which it should be.
            let is_off = from.is_keepalive_on() && !to.is_keepalive_on();
            let is_moot = matches!(input, Input::Closed | Input::Refused | Input::Opened { .. });
            assert_eq!(actions.stop_keepalive, is_off && !is_moot, "{context}");
            assert_eq!(
                actions.start_keepalive,
                to.is_starting() && !from.is_starting(),
                "{context}"
            );
            // A connection that ends is settled, and the result of its reply stays.
            if input == Input::Closed {
                assert!(matches!(to, CheckState::Settled(_, Outcome::None)), "{context}");
            }
            if from.reply() != Reply::NotExpected && !matches!(input, Input::Opened { .. }) {
                let is_late = from.reply() == Reply::NoReply && to.reply() == Reply::Wrong;
                assert!(to.reply() == from.reply() || is_late, "{context}");
            }
            if to.outcome() == Outcome::Unacknowledged && from.outcome() != to.outcome() {
                let last = matches!(
                    from,
                    CheckState::KeepaliveSent { step: Step::Sent4 | Step::Sent5, .. }
                );
                assert!(
                    last && input
                        == Input::Read { evidence: Evidence::Nothing, was_polling: true, segs: 6 },
                    "{context}"
                );
            }
        }
    }
}
