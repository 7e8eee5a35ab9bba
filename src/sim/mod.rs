//! The other edge: a seeded fake network and a virtual clock that drive the same, unmodified
//! engine.
//!
//! It keeps the contract of [`crate::engine`], as `os/driver.rs` does. The seed decides everything:
//! the plan, the servers, how late the loop wakes up, when it is stopped, which bogus events are
//! inserted. After each turn the engine audits itself and an [`Observer`] may object. The same seed is
//! always the same run.

mod bogus;
mod descriptor;
mod gaps;
mod network;
pub mod random;
mod record;
pub mod rehearsal;
mod scenario;
mod script;
mod trace;
pub mod world;

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::check_state::Outcome as CheckOutcome;
use crate::engine::dating::Dating;
use crate::engine::gaps::GAP_MIN;
use crate::engine::{Action, Engine, Event, EventKind, State, Summary, TcpInfoPurpose};
use crate::plan::{FINAL_DRAIN_FACTOR, Plan};
use crate::units::{Moment, NS_PER_S, Span};
use network::Network;
use random::Random;
pub use record::Record;
use record::View;
use scenario::Scenario;
pub use scenario::TIMED_SEEDS;
pub use script::Behaviour;
use script::Script;
use trace::Trace;

/// No run takes this long unless it loops.
const TURNS_MAX: u64 = 200_000;

macro_rules! check {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

/// Sees each turn of a run and may object: the only view into one.
pub trait Observer {
    /// Just before a turn.
    fn before(&mut self) {}

    /// Just after it, with only the engine run in between.
    fn after(&mut self) {}

    /// A turn, before its actions are carried out.
    ///
    /// # Errors
    /// What is wrong with it.
    fn turn(&mut self, engine: &Engine, record: &Record) -> Result<(), String>;

    /// The end of the run.
    ///
    /// # Errors
    /// What is wrong with its summary.
    fn end(&mut self, engine: &Engine, summary: &Summary) -> Result<(), String>;
}

/// Objects to nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn turn(&mut self, _: &Engine, _: &Record) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, _: &Engine, _: &Summary) -> Result<(), String> {
        Ok(())
    }
}

/// A run to its end.
#[derive(Debug)]
pub struct Outcome {
    /// Of all events and actions.
    pub hash: u64,
    pub turns: u64,
    pub summary: Summary,
    /// What the run covered, and how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// Connections by behaviour.
    pub met: [u64; Behaviour::ALL.len()],
}

/// A run that went wrong.
#[derive(Debug)]
pub struct Violation {
    pub seed: u64,
    pub turn: u64,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, turn {}: {}", self.seed, self.turn, self.what)
    }
}

/// A run in progress.
pub struct Sim {
    seed: u64,
    scenario: Scenario,
    random: Random,
    clock: Moment,
    /// When the last poll returned.
    woke: Moment,
    dating: Dating,
    engine: Engine,
    network: Network,
    trace: Trace,
    turns: u64,
    /// Events that the last actions led to at once.
    feedback: Vec<Event>,
    actions: Vec<Action>,
    met: [u64; Behaviour::ALL.len()],
    stop_at: Option<Moment>,
    view: View,
    marks: BTreeMap<&'static str, u64>,
}

impl Sim {
    /// The run of a seed, before its first turn. [`Sim::trace`] has text only if `readable`.
    ///
    /// # Panics
    /// If a few hundred connections do not fit in memory.
    pub fn new(seed: u64, readable: bool) -> Sim {
        let mut random = Random::new(seed);
        let scenario = Scenario::new(seed, &mut random);
        let (plan, start) = (&scenario.plan, scenario.start);
        let connections = plan.connections as usize;
        let actions_max = plan.budgets.turn_actions_max();
        let probes = random.chance(500);
        let dating = Dating::new(plan.batches());
        let engine = Engine::new(plan, start).unwrap_or_else(|error| panic!("{error}"));
        Sim {
            seed,
            network: Network::new(plan, probes),
            stop_at: scenario.faults.stop_at,
            scenario,
            random,
            clock: start,
            woke: start,
            dating,
            engine,
            trace: Trace::new(readable),
            turns: 0,
            feedback: Vec::new(),
            actions: Vec::with_capacity(actions_max),
            met: Default::default(),
            view: View { has_bytes: vec![false; connections], ..View::default() },
            marks: BTreeMap::new(),
        }
    }

    /// The plan that the seed chose.
    pub fn plan(&self) -> &Plan {
        &self.scenario.plan
    }

    /// When it begins.
    pub fn start(&self) -> Moment {
        self.scenario.start
    }

    /// How many connections there are.
    pub fn connections(&self) -> u32 {
        self.scenario.plan.connections
    }

    /// The turns so far as text.
    pub fn trace(&self) -> String {
        let Scenario { plan, behaviours, faults, start } = &self.scenario;
        format!("{plan:#?}\n{behaviours:?}\n{faults:#?}\nfrom {start:?}\n{}", self.trace.text())
    }

    /// Runs to the end. `observer` sees each turn.
    ///
    /// # Errors
    /// What the engine should not have done.
    ///
    /// # Panics
    /// Where the engine's own assertions fail.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome, Violation> {
        while !self.engine.is_over() {
            self.turns += 1;
            let result = self.turn(observer);
            result.map_err(|what| Violation { seed: self.seed, turn: self.turns, what })?;
        }
        let summary = self.engine.summary();
        let result = observer.end(&self.engine, &summary);
        result.map_err(|what| Violation { seed: self.seed, turn: self.turns, what })?;
        Ok(Outcome {
            hash: self.trace.hash(),
            turns: self.turns,
            summary,
            marks: std::mem::take(&mut self.marks),
            met: self.met,
        })
    }

    fn turn(&mut self, observer: &mut dyn Observer) -> Result<(), String> {
        check!(self.turns <= TURNS_MAX, "the run does not end");
        let gap = self.sleep()?;
        let events = self.poll(gap);
        // Time passes between the poll and the turn.
        self.clock = self.clock + self.work();
        let mut actions = std::mem::take(&mut self.actions);
        observer.before();
        self.engine.turn(self.clock, &events, &mut actions);
        observer.after();
        let record = Record::new(&self.engine, self.clock, events, &actions);
        let sample = self.engine.sample();
        let balances = sample.levels.iter().sum::<u32>() == sample.connections;
        check!(balances, "a sample that does not balance: {sample:?}");
        self.trace.add(self.scenario.start, &record);
        self.view.add(&record);
        observer.turn(&self.engine, &record)?;
        self.compare(&record)?;
        for action in actions.drain(..) {
            self.perform(action)?;
        }
        self.actions = actions;
        let held = sample.level(State::Dialing) + sample.level(State::Established);
        let dialed =
            self.feedback.iter().filter(|e| matches!(e.kind, EventKind::Dialed(_))).count();
        let open = self.network.open();
        check!(open == held as usize + dialed, "{open} open descriptors, not {held} + {dialed}");
        Ok(())
    }

    /// Compares the outcome of a check with what its server does.
    fn compare(&mut self, record: &Record) -> Result<(), String> {
        for event in &record.events {
            if let EventKind::TcpInfo(key, TcpInfoPurpose::Keepalive, _) = event.kind {
                let outcome = self.engine.check_state(key).outcome();
                let is_wrong = self.network.contradicts(key, outcome, self.clock);
                check!(!is_wrong, "{key:?}: {outcome:?} is not what its server does");
                match outcome {
                    CheckOutcome::Confirmed => mark(&mut self.marks, "compared: confirmed"),
                    CheckOutcome::Unacknowledged => {
                        mark(&mut self.marks, "compared: unacknowledged")
                    }
                    CheckOutcome::RepeatsSynAck => {
                        mark(&mut self.marks, "compared: repeats its SYN-ACK")
                    }
                    CheckOutcome::Unknown => mark(&mut self.marks, "compared: unknown"),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Waits as a poll does: until something happens or the engine is due, sometimes late, never
    /// early. Returns the gap that is found at its end.
    fn sleep(&mut self) -> Result<Option<EventKind>, String> {
        let is_stalled = self.clock.since(self.woke) >= GAP_MIN;
        loop {
            self.network.advance(self.clock);
            if is_stalled {
                break;
            }
            let due = self.engine.next_wake().due(self.clock);
            let happens = self.network.next(self.clock);
            let waits = [due, happens, self.stop_at].into_iter().flatten().min();
            let Some(wake) = waits.filter(|wake| self.feedback.is_empty() && *wake > self.clock)
            else {
                check!(
                    waits.is_some() || !self.feedback.is_empty(),
                    "nothing is pending and nothing is due"
                );
                break;
            };
            self.clock = wake;
            let Scenario { faults, .. } = &self.scenario;
            if self.random.chance(faults.late_permille) {
                self.clock = self.clock + self.random.span(Span::ZERO, faults.late_max);
            }
        }
        let is_stop = self.random.chance(self.scenario.faults.pause_permille);
        if is_stop {
            let pause = self.random.span(Span(NS_PER_S / 2), Span::from_s(20));
            // Either this process or the whole host was stopped.
            if self.random.chance(500) {
                mark(&mut self.marks, "the host was suspended");
                self.network.suspend(pause);
            }
            self.clock = self.clock + pause;
            self.network.advance(self.clock);
        }
        let gap = EventKind::Gap { since: self.woke, is_stop };
        self.woke = self.clock;
        Ok((is_stalled || is_stop).then_some(gap))
    }

    /// The results of the last actions, a batch of readiness, a signal, and bogus events as far as
    /// they fit.
    fn poll(&mut self, gap: Option<EventKind>) -> Vec<Event> {
        let at = self.clock;
        let budgets = self.scenario.plan.budgets;
        let mut events = std::mem::take(&mut self.feedback);
        let honest = events.len();
        if let Some(EventKind::Gap { since, .. }) = gap {
            self.dating.begin_gap(since, at);
        }
        events.extend(gap.map(|kind| Event { at, kind }));
        let first = events.len();
        let reported = self.network.poll(&budgets, &self.engine, at, &mut events);
        self.stamp(at, first, &mut events);
        self.dating.end_batch(reported == budgets.events_max);
        let read = events[honest..].iter().filter(|e| matches!(e.kind, EventKind::Received { .. }));
        read.for_each(|_| mark(&mut self.marks, "read as soon as reported"));
        if reported == budgets.events_max {
            events.push(Event { at, kind: EventKind::PollBatchFull });
        }
        if self.stop_at.is_some_and(|stop_at| stop_at <= at) {
            self.stop_at = None;
            events.push(Event { at, kind: EventKind::Stop });
        }
        while self.random.chance(self.scenario.faults.bogus_permille)
            && events.len() < budgets.turn_events_max()
        {
            let bogus = bogus::bogus(&self.engine, &self.view, at, &mut self.random);
            let Some((name, event)) = bogus else { break };
            mark(&mut self.marks, name);
            let place = self.random.between(honest as u64, events.len() as u64);
            events.insert(place as usize, event);
        }
        events
    }

    /// Carries out an action. Each call takes time.
    fn perform(&mut self, action: Action) -> Result<(), String> {
        let results = match action {
            Action::Close(key) => return self.network.close(key),
            Action::Drain(key) => {
                self.network.drain(key, self.scenario.plan.budgets.drain_bytes_max)?
            }
            Action::DrainFully(key) => {
                let limit = FINAL_DRAIN_FACTOR * self.scenario.plan.budgets.drain_bytes_max;
                self.network.drain(key, limit)?
            }
            Action::Dial(key) => {
                self.clock = self.clock + self.work();
                let behaviour = self.random.pick(&self.scenario.behaviours);
                self.met[behaviour as usize] += 1;
                let script = Script::new(behaviour, &self.scenario.plan, &mut self.random);
                self.feedback.push(Event { at: self.clock, kind: EventKind::Dialed(key) });
                self.network.dial(key, script, self.clock)?.into_iter().collect()
            }
            Action::Sample | Action::Note(..) => return Ok(()),
            Action::StopKeepalive(key) => return self.network.stop_keepalive(key),
            Action::Send(key) => {
                self.network.send(key, self.clock)?;
                vec![EventKind::Sent(key)]
            }
            Action::StartKeepalive(key) => {
                let info = self.network.start_keepalive(key, self.clock)?;
                vec![EventKind::KeepaliveStarted(key, info)]
            }
            Action::ReadTcpInfo(key, purpose) => {
                // Stamped before the read, as in the driver.
                let (at, info) = (self.clock, self.network.tcp_info(key, self.clock)?);
                let read = info.map(|info| EventKind::TcpInfo(key, purpose, info));
                self.feedback.extend(read.into_iter().map(|kind| Event { at, kind }));
                Vec::new()
            }
        };
        self.clock = self.clock + self.work();
        let at = self.clock;
        self.feedback.extend(results.into_iter().map(|kind| Event { at, kind }));
        Ok(())
    }

    /// How long one step of the loop took.
    fn work(&mut self) -> Span {
        let most = self.scenario.faults.turn_cost;
        self.random.span(Span(most.0 / 2), most)
    }
}

fn mark(marks: &mut BTreeMap<&'static str, u64>, name: &'static str) {
    *marks.entry(name).or_default() += 1;
}
