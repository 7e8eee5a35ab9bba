//! Every short sequence of events on two slots, plausible or not. The engine is `Clone`, so walking the
//! tree of all sequences costs one turn a node. The reference model checks each.

use tcpgoon::engine::beside::CALM;
use tcpgoon::engine::{
    Action, EndReason, Engine, Event, EventKind, Failure, Key, Note, State, TcpInfo, TcpInfoPurpose,
};
use tcpgoon::plan::{Budgets, Hold, Pace, Plan, Probe, ReplyCheck};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::{Observer, Record};
use tcpgoon::units::{Moment, Span, Tick};

use crate::shadow::Shadow;

const START: Moment = Moment(1_000_000);
const TIMEOUT: Span = Span::from_ms(1);
const SLEEP: Span = Span::from_us(300);
const STALLED_AFTER: Span = Span::from_ms(3_500);

/// One turn: an event, or only time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Event(EventKind),
    Wait(Span),
}

/// Whether `plan` checks its connections.
fn has_checks(plan: &Plan) -> bool {
    plan.probe != Probe::None || plan.reply_check.is_some()
}

/// All events of two slots and the spans that matter; with those of checks, if there are any.
fn alphabet(plan: &Plan) -> Vec<Step> {
    let has_checks = has_checks(plan);
    let mut steps: Vec<Step> = Vec::new();
    let attempts = if plan.lifetime.is_some() { 2 } else { 1 };
    let keys = (0..attempts).flat_map(|attempt| [0, 1].map(|slot| Key { slot, attempt }));
    for key in keys {
        let failure = |reason| Failure { reason, errno: 0 };
        for kind in [
            EventKind::Dialed(key),
            EventKind::Opened(key),
            EventKind::Failed(key, failure(EndReason::Refused)),
            EventKind::Failed(key, failure(EndReason::NoPorts)),
            EventKind::PeerClosed(key, failure(EndReason::PeerClosed)),
            EventKind::Readable(key),
            EventKind::Received { key, bytes: 10, more: true },
            EventKind::Received { key, bytes: 10, more: false },
        ] {
            steps.push(Step::Event(kind));
        }
        let info = TcpInfo { last_ack_recv: Some(Span::from_us(1)), ..TcpInfo::default() };
        let half_open = failure(EndReason::HalfOpen);
        for kind in [
            EventKind::ReplyMatched(key),
            EventKind::PeerClosed(key, half_open),
            EventKind::TcpInfo(key, TcpInfoPurpose::Keepalive, info),
        ] {
            steps.extend(has_checks.then_some(Step::Event(kind)));
        }
    }
    steps.extend(has_checks.then_some(Step::Wait(Span::from_s(1))));
    steps.extend((plan.hold_beside > 0).then_some(Step::Wait(CALM)));
    let can_stall = plan.errors_max.is_some() && plan.dial_timeout.is_none();
    steps.extend(can_stall.then_some(Step::Wait(STALLED_AFTER)));
    steps.extend([EventKind::PollBatchFull, EventKind::Stop].map(Step::Event));
    let past_timeout = TIMEOUT + Tick::LENGTH;
    steps.extend([Span::ZERO, Tick::LENGTH, past_timeout].map(Step::Wait));
    steps
}

fn plans() -> Vec<Plan> {
    let address = "127.0.0.1:1".parse().unwrap();
    let target = Target { host: "127.0.0.1".into(), address };
    let plain = Plan {
        dial_timeout: Some(TIMEOUT),
        debug: true,
        budgets: Budgets { events_max: 1, expiries_max: 1, drains_max: 1, ..Budgets::DEFAULT },
        ..Plan::plain(2, Routes::to_one(target))
    };
    let paced =
        Plan { pace: Pace::sleep(SLEEP), interval: Some(Span::from_us(700)), ..plain.clone() };
    let timed = Plan { duration: Some(Span::from_us(400)), ..paced.clone() };
    let held = Plan { hold: Hold::For(TIMEOUT), dial_timeout: None, ..plain.clone() };
    let forever = Plan { hold: Hold::Forever, errors_max: Some(2), ..plain.clone() };
    let churning = Plan { lifetime: Some(TIMEOUT), ..plain.clone() };
    let fleeting = Plan { lifetime: Some(Span::ZERO), duration: Some(SLEEP), ..plain.clone() };
    let stalling = Plan { errors_max: Some(1), ..held.clone() };
    let talk = ReplyCheck {
        send: b"PING".as_slice().into(),
        expect: b"+PONG".as_slice().into(),
        reply_timeout: TIMEOUT,
    };
    let probed = Plan { probe: Probe::All, dial_timeout: None, ..plain.clone() };
    let talking = Plan { reply_check: Some(talk), ..probed.clone() };
    vec![plain, paced, timed, held, forever, stalling, probed, talking, churning, fleeting]
}

/// A run so far, with independent counts.
#[derive(Clone)]
struct Walk {
    engine: Engine,
    shadow: Shadow,
    now: Moment,
    closes: [u32; 2],
    /// With the attempt.
    ends: [Option<(u32, State)>; 2],
    notes: [(u32, Option<State>); 2],
    over: bool,
}

/// The effect of a step.
#[derive(PartialEq)]
enum Effect {
    Nothing,
    Something,
    End,
}

impl Walk {
    fn new(plan: &Plan) -> Walk {
        let mut walk = Walk {
            engine: Engine::new(plan, START).unwrap(),
            shadow: Shadow::new(plan, START),
            now: START,
            closes: [0; 2],
            ends: [None; 2],
            notes: [(0, None); 2],
            over: false,
        };
        walk.step(Step::Wait(Span::ZERO), &[]);
        walk
    }

    fn step(&mut self, step: Step, path: &[Step]) -> Effect {
        let (events, waited) = match step {
            Step::Event(kind) => (vec![Event { at: self.now, kind }], Span::ZERO),
            Step::Wait(span) => (vec![], span),
        };
        self.now = self.now + waited;
        let ignored = self.shadow.ignored;
        let mut actions = Vec::new();
        self.engine.turn(self.now, &events, &mut actions);
        let record = Record::new(&self.engine, self.now, events, &actions);
        if !self.over {
            let verdict = self.shadow.turn(&self.engine, &record);
            verdict.unwrap_or_else(|words| panic!("{path:?} then {step:?}: {words}"));
        }
        self.check(&record, path, step);
        let idle = matches!(step, Step::Event(_)) && self.shadow.ignored > ignored;
        match (self.over, idle) {
            (true, _) => Effect::End,
            (_, true) => Effect::Nothing,
            _ => Effect::Something,
        }
    }

    /// Invariants that do not depend on the model.
    fn check(&mut self, record: &Record, path: &[Step], step: Step) {
        for action in &record.actions {
            match *action {
                Action::Close(key) => self.closes[key.slot as usize] += 1,
                Action::Dial(_) | Action::Drain(_) | Action::DrainFully(_) => {
                    assert!(!record.over, "{path:?} then {step:?}: {action:?} after the end");
                }
                Action::Note(key, note) => {
                    let (before, now) = match note {
                        Note::Dialing => (None, State::Dialing),
                        Note::Skipped => {
                            // There is no descriptor to close.
                            self.closes[key.slot as usize] += 1;
                            (None, State::Error)
                        }
                        Note::Established { .. } => (Some(State::Dialing), State::Established),
                        Note::Errored { .. } => (Some(State::Dialing), State::Error),
                        Note::Closed { .. } | Note::Retired { .. } => {
                            (Some(State::Established), State::Closed)
                        }
                        Note::ReplyTimedOut => (Some(State::Established), State::Established),
                    };
                    let (attempt, noted) = self.notes[key.slot as usize];
                    let noted = noted.filter(|_| attempt == key.attempt);
                    let is_in_order = noted == before && attempt <= key.attempt;
                    assert!(is_in_order, "{path:?} then {step:?}: {note:?} is out of order");
                    self.notes[key.slot as usize] = (key.attempt, Some(now));
                }
                Action::Sample
                | Action::Send(_)
                | Action::StartKeepalive(_)
                | Action::StopKeepalive(_)
                | Action::ReadTcpInfo(..) => {}
            }
        }
        for slot in 0..2 {
            let at = slot as usize;
            let connection = self.engine.connection(self.engine.key(slot)).unwrap();
            let (attempt, state) = (connection.attempt, connection.state);
            let ended = matches!(state, State::Closed | State::Error);
            let end = self.ends[at];
            assert!(
                end.is_none_or(|(of, end)| of < attempt || end == state),
                "{path:?} then {step:?}: {end:?} was final"
            );
            let closes = attempt + u32::from(ended);
            assert_eq!(self.closes[at], closes, "{path:?} then {step:?}: slot {slot}");
            self.ends[at] = ended.then_some((attempt, state));
        }
        assert!(record.over || !self.over, "{path:?} then {step:?}: over, and then not over");
        assert!(!record.over || record.next_due.is_none(), "{path:?} then {step:?}: over, but due");
        self.over = record.over;
    }
}

/// Walks all sequences of up to `depth` steps. Returns the number of turns. With `prune` it stops after a
/// step without effect, and one step after the end of the run.
fn walk(from: &Walk, steps: &[Step], path: &mut Vec<Step>, depth: usize, prune: bool) -> u64 {
    let mut turns = 0;
    for step in steps {
        let mut next = from.clone();
        let effect = next.step(*step, path);
        turns += 1;
        let further = match effect {
            Effect::End if prune && from.over => 0,
            Effect::End if prune => 1,
            Effect::Nothing if prune => 0,
            _ => depth - 1,
        };
        if further > 0 {
            path.push(*step);
            turns += walk(&next, steps, path, further, prune);
            path.pop();
        }
    }
    turns
}

/// Walks each plan from its state after `lead`, a thread each.
fn walk_all(plans: Vec<Plan>, lead: &[Step], depth: usize, prune: bool) -> u64 {
    // An engine has hundreds of kilobytes: returning them to the system after each step would take most
    // of the time.
    // SAFETY: it only sets a number.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30) };
    std::thread::scope(|scope| {
        let walk_one = |plan: Plan| {
            let (mut from, mut path) = (Walk::new(&plan), Vec::new());
            for step in lead {
                from.step(*step, &path);
                path.push(*step);
            }
            let steps = alphabet(&plan);
            // The longer the alphabet, the shorter the sequences.
            let is_long = has_checks(&plan) || plan.lifetime.is_some();
            let depth = if is_long && prune { depth - 1 } else { depth };
            walk(&from, &steps, &mut path, depth, prune)
        };
        let walks = plans.into_iter().map(|plan| scope.spawn(move || walk_one(plan)));
        let walks: Vec<_> = walks.collect();
        walks.into_iter().map(|walk| walk.join().unwrap()).sum()
    })
}

#[test]
fn every_sequence_of_three_steps() {
    let sequences = |steps: u64| steps + steps * steps + steps * steps * steps;
    assert_eq!(
        walk_all(plans(), &[], 3, false),
        5 * sequences(21) + sequences(22) + 2 * sequences(28) + 2 * sequences(37)
    );
}

/// An ignored event is an empty turn, which is a step of its own.
#[test]
fn every_sequence_of_five_effective_steps() {
    assert!(walk_all(plans(), &[], 5, true) > 100_000);
}

#[test]
fn every_sequence_of_four_effective_steps_during_a_run() {
    let key = |slot| Key { slot, attempt: 0 };
    let dialed = [0, 1].map(|slot| Step::Event(EventKind::Dialed(key(slot))));
    let opened = [0, 1].map(|slot| Step::Event(EventKind::Opened(key(slot))));
    let flooded = Step::Event(EventKind::Received { key: key(0), bytes: 10, more: true });
    for lead in [
        &[dialed[0], dialed[1]][..],
        &[dialed[0], opened[0], flooded],
        &[dialed[0], dialed[1], opened[0]],
        &[dialed[0], dialed[1], opened[0], opened[1]],
    ] {
        walk_all(plans(), lead, 4, true);
    }
}

#[test]
fn every_sequence_of_four_effective_steps_with_pending_keepalives() {
    let key = |slot| Key { slot, attempt: 0 };
    let [dialed, opened] =
        [EventKind::Dialed, EventKind::Opened].map(|of| [0, 1].map(|s| Step::Event(of(key(s)))));
    let second = Step::Wait(Span::from_s(1));
    for lead in [
        &[dialed[0], opened[0], second, second][..],
        &[dialed[0], dialed[1], second, opened[0], opened[1]],
        &[dialed[0], dialed[1], opened[0], opened[1], second, second, second],
    ] {
        let checking = plans().into_iter().filter(has_checks);
        walk_all(checking.collect(), lead, 4, true);
    }
}

/// The second slot churns beside the first one, which is checked by keepalives or requests.
#[test]
fn every_sequence_of_three_effective_steps_beside_a_held_connection() {
    let event = |kind| Step::Event(kind);
    let key = |slot| Key { slot, attempt: 0 };
    let [held, churning] =
        [0, 1].map(|slot| [EventKind::Dialed(key(slot)), EventKind::Opened(key(slot))].map(event));
    let plans: Vec<Plan> = plans()
        .into_iter()
        .filter(has_checks)
        .map(|plan| Plan {
            lifetime: Some(TIMEOUT),
            hold_beside: 1,
            dial_timeout: Some(TIMEOUT),
            probe: if plan.reply_check.is_some() { Probe::None } else { Probe::All },
            duration: plan.reply_check.as_ref().map(|_| Span::from_s(2)),
            ..plan
        })
        .collect();
    let began = [held[0], held[1], Step::Wait(CALM), churning[0], churning[1]];
    let failed = event(EventKind::Failed(key(0), Failure { reason: EndReason::Refused, errno: 0 }));
    let lone = [held[0], failed, Step::Wait(Span::ZERO), churning[0]];
    for lead in (0..=began.len()).map(|length| &began[..length]).chain([&lone[..]]) {
        walk_all(plans.clone(), lead, 4, true);
    }
}

/// Dials without a reply end a run with `--max-errors` 3.5 s after their SYNs, and not if one has
/// opened since.
#[test]
fn dials_that_stall_end_the_run_as_in_the_model() {
    let [mut stalls, mut opens] = [2, 1].map(|errors_max| {
        let plans = plans();
        let plan = Plan { errors_max: Some(errors_max), ..plans[5].clone() };
        let mut walk = Walk::new(&plan);
        for slot in 0..2 {
            walk.step(Step::Event(EventKind::Dialed(Key { slot, attempt: 0 })), &[]);
        }
        walk
    });
    opens.step(Step::Event(EventKind::Opened(Key { slot: 0, attempt: 0 })), &[]);
    for walk in [&mut stalls, &mut opens] {
        walk.step(Step::Wait(Span(STALLED_AFTER.0 - 1)), &[]);
        assert!(!walk.engine.is_over());
        walk.step(Step::Wait(Span(1)), &[]);
    }
    assert!(stalls.engine.is_over() && stalls.engine.summary().hit_max_errors);
    assert!(stalls.shadow.marks.contains_key("dials stalled"));
    assert!(!opens.engine.is_over());
}
