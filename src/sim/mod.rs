//! The other edge: a seeded fake network and a virtual clock that drive the same, unmodified
//! engine.
//!
//! Its real sibling is `os/driver.rs`, and this one keeps the same contract, which is told in
//! [`crate::engine`]. One seed decides everything: the plan, what each server does, how late the
//! loop wakes up, when it is stopped, which nonsense is slipped in among the events. After every
//! turn the engine audits itself, and a [`shadow`] that was told the same says what it thinks of
//! the answer. The same seed is always the same run.

mod asking;
mod bogus;
mod deadlines;
mod hearing;
pub mod network;
pub mod random;
mod reckoning;
mod routing;
pub mod scenario;
mod scenery;
pub mod script;
pub mod shadow;
mod trace;
mod witness;

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::{Action, Engine, Event, EventKind, Key, State, Summary};
use crate::plan::FINAL_DRAIN_FACTOR;
use crate::units::{Moment, NS_PER_S, Span, Tick};
use network::Network;
use random::Random;
use scenario::Scenario;
use script::{Behaviour, Script};
use shadow::{Shadow, check};
use trace::Trace;

/// No run of ours takes as many; one that does goes round in circles.
const TURNS_MAX: u64 = 200_000;

/// One turn, as the shadow is told of it.
#[derive(Debug, Clone)]
pub struct Record {
    pub now: Moment,
    pub events: Vec<Event>,
    pub actions: Vec<Action>,
    pub next_due: Option<Moment>,
    pub levels: [u32; State::COUNT],
    /// The slots that have a deadline, and which.
    pub deadlines: Vec<(u32, Tick)>,
    pub over: bool,
}

/// A run to its end.
#[derive(Debug)]
pub struct Outcome {
    /// Of everything that went in and out.
    pub hash: u64,
    pub turns: u64,
    pub summary: Summary,
    /// What the run came across, and how often.
    pub reached: BTreeMap<&'static str, u64>,
    /// How many connections met each behaviour.
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

/// Runs a seed to its end.
///
/// # Errors
/// What the engine should not have done.
///
/// # Panics
/// Where the engine's own assertions fail.
pub fn run(seed: u64) -> Result<Outcome, Violation> {
    Sim::new(seed, false).run(&mut |_| {})
}

/// A run in progress.
pub struct Sim {
    seed: u64,
    scenario: Scenario,
    random: Random,
    clock: Moment,
    engine: Engine,
    network: Network,
    shadow: Shadow,
    trace: Trace,
    turns: u64,
    /// What the actions of the last turn came to at once.
    feedback: Vec<Event>,
    met: [u64; Behaviour::ALL.len()],
    stop_at: Option<Moment>,
}

impl Sim {
    /// The run of a seed, before its first turn; `readable` if [`Sim::trace`] will be asked for.
    ///
    /// # Panics
    /// If a few hundred connections do not fit in memory.
    pub fn new(seed: u64, readable: bool) -> Sim {
        let mut random = Random::new(seed);
        let scenario = Scenario::new(&mut random);
        let (plan, start) = (&scenario.plan, scenario.start);
        let probes = random.chance(500);
        let engine = Engine::new(plan, start).unwrap_or_else(|error| panic!("{error}"));
        Sim {
            seed,
            shadow: Shadow::new(plan, start),
            network: Network::new(plan, probes),
            stop_at: scenario.mischief.stop_at,
            scenario,
            random,
            clock: start,
            engine,
            trace: Trace::new(readable),
            turns: 0,
            feedback: Vec::new(),
            met: Default::default(),
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> u32 {
        self.scenario.plan.connections
    }

    /// The turns so far, to be read by people.
    pub fn trace(&self) -> String {
        let Scenario { plan, behaviours, mischief, start } = &self.scenario;
        format!("{plan:#?}\n{behaviours:?}\n{mischief:#?}\nfrom {start:?}\n{}", self.trace.text())
    }

    /// Runs to the end. `tamper` may change what the shadow is told of a turn, to see whether it
    /// notices.
    ///
    /// # Errors
    /// What the engine should not have done.
    pub fn run(&mut self, tamper: &mut dyn FnMut(&mut Record)) -> Result<Outcome, Violation> {
        while !self.engine.is_over() {
            self.turns += 1;
            let turned = self.turn(tamper);
            turned.map_err(|what| Violation { seed: self.seed, turn: self.turns, what })?;
        }
        let summary = self.engine.summary();
        let settled = self.shadow.settle(&self.engine, &summary);
        settled.map_err(|what| Violation { seed: self.seed, turn: self.turns, what })?;
        Ok(Outcome {
            hash: self.trace.hash(),
            turns: self.turns,
            summary,
            reached: std::mem::take(&mut self.shadow.reached),
            met: self.met,
        })
    }

    fn turn(&mut self, tamper: &mut dyn FnMut(&mut Record)) -> Result<(), String> {
        check!(self.turns <= TURNS_MAX, "no end in sight");
        self.sleep()?;
        let events = self.poll();
        // Between the poll and the turn some time passes, too.
        self.clock = self.clock + self.work();
        let mut actions = Vec::new();
        self.engine.turn(self.clock, &events, &mut actions);
        self.engine.audit();
        let sample = self.engine.sample();
        let balances = sample.levels.iter().sum::<u32>() == sample.connections;
        check!(balances, "a sample that does not balance: {sample:?}");
        let mut record = Record {
            now: self.clock,
            events,
            actions: actions.clone(),
            next_due: self.engine.next_due(),
            levels: sample.levels,
            deadlines: deadlines(&self.engine),
            over: self.engine.is_over(),
        };
        self.trace.add(self.scenario.start, &record);
        tamper(&mut record);
        self.shadow.watch(&record)?;
        for slot in 0..sample.connections {
            let awaits = self.engine.awaits_answer(Key { slot, attempt: 0 });
            let same = awaits == self.shadow.awaits_answer(slot);
            check!(same, "slot {slot}: to await an answer is {awaits}, and should not be");
        }
        for action in actions {
            self.perform(action)?;
        }
        let held = sample.level(State::Dialing) + sample.level(State::Established);
        let dialed =
            self.feedback.iter().filter(|e| matches!(e.kind, EventKind::Dialed(_))).count();
        let open = self.network.open();
        check!(open == held as usize + dialed, "{open} open descriptors, not {held} + {dialed}");
        Ok(())
    }

    /// Waits as a poll does: until something happens, or until the engine is due, late sometimes
    /// but never early.
    fn sleep(&mut self) -> Result<(), String> {
        loop {
            self.network.advance(self.clock);
            let due = self.engine.next_due();
            let happens = self.network.next(self.clock);
            let waits = [due, happens, self.stop_at].into_iter().flatten().min();
            let Some(wake) = waits.filter(|wake| self.feedback.is_empty() && *wake > self.clock)
            else {
                check!(waits.is_some() || !self.feedback.is_empty(), "nothing will ever happen");
                break;
            };
            self.clock = wake;
            let Scenario { mischief, .. } = &self.scenario;
            if self.random.chance(mischief.late_permille) {
                self.clock = self.clock + self.random.span(Span::ZERO, mischief.late_max);
            }
        }
        if self.random.chance(self.scenario.mischief.pause_permille) {
            let pause = self.random.span(Span(NS_PER_S / 2), Span::from_s(20));
            self.clock = self.clock + pause;
            self.network.advance(self.clock);
        }
        Ok(())
    }

    /// What the last actions came to, then a batch of readiness, a signal, and some nonsense if
    /// there is room for it.
    fn poll(&mut self) -> Vec<Event> {
        let at = self.clock;
        let limits = self.scenario.plan.limits;
        let mut events = std::mem::take(&mut self.feedback);
        let honest = events.len();
        let told = self.network.poll(&limits, &self.engine, at, &mut events);
        let read = events[honest..].iter().filter(|e| matches!(e.kind, EventKind::Received { .. }));
        read.for_each(|_| self.shadow.reach("read as soon as heard of"));
        if told == limits.events_max {
            events.push(Event { at, kind: EventKind::PollBatchFull });
        }
        if self.stop_at.is_some_and(|stop_at| stop_at <= at) {
            self.stop_at = None;
            events.push(Event { at, kind: EventKind::Stop });
        }
        while self.random.chance(self.scenario.mischief.bogus_permille)
            && events.len() < limits.turn_events_max()
        {
            let Some(event) = bogus::bogus(&mut self.shadow, at, &mut self.random) else { break };
            let place = self.random.between(honest as u64, events.len() as u64);
            events.insert(place as usize, event);
        }
        events
    }

    /// Carries out what the engine asked for, as time goes by.
    fn perform(&mut self, action: Action) -> Result<(), String> {
        let said = match action {
            Action::Close(key) => return self.network.close(key),
            Action::Drain(key) => {
                self.network.drain(key, self.scenario.plan.limits.drain_bytes_max)?
            }
            Action::DrainFully(key) => {
                let limit = FINAL_DRAIN_FACTOR * self.scenario.plan.limits.drain_bytes_max;
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
            Action::Sample | Action::Note(..) | Action::StopKeepalive(_) => return Ok(()),
            Action::Send(key) => {
                self.network.send(key, self.clock)?;
                Vec::new()
            }
            Action::StartKeepalive(key) => {
                self.network.probe(key, self.clock)?;
                Vec::new()
            }
            Action::ReadTcpInfo(key, why) => {
                let look = self.network.look(key, self.clock)?;
                look.map(|look| EventKind::TcpInfo(key, why, look)).into_iter().collect()
            }
        };
        self.clock = self.clock + self.work();
        let at = self.clock;
        self.feedback.extend(said.into_iter().map(|kind| Event { at, kind }));
        Ok(())
    }

    /// How long the loop took for something.
    fn work(&mut self) -> Span {
        let most = self.scenario.mischief.turn_cost;
        self.random.span(Span(most.0 / 2), most)
    }
}

/// The slots that have a deadline, one by one, and which.
pub fn deadlines(engine: &Engine) -> Vec<(u32, Tick)> {
    let deadline = |slot| engine.deadline(Key { slot, attempt: 0 }).map(|due| (slot, due));
    (0..engine.sample().connections).filter_map(deadline).collect()
}
