//! The state of the model.

use std::collections::{BTreeMap, VecDeque};

use tcpgoon::engine::{EndReason, Key, State, TcpInfoPurpose};
use tcpgoon::plan::Plan;
use tcpgoon::units::{Moment, Span};

use super::records::{Rounds, Seat, Sighting, Times};
use super::routing::Routing;

#[derive(Debug, Clone)]
pub struct Shadow {
    pub plan: Plan,
    pub start: Moment,
    pub seats: Vec<Seat>,
    pub now: Moment,
    pub turn: u64,
    pub next_due: Option<Moment>,
    pub asked: u32,
    pub shift: Span,
    pub not_before: Moment,
    pub ready: VecDeque<u32>,
    /// Those whose answer is due, to be drained in this turn.
    pub final_drains: Vec<u32>,
    /// What the kernel was asked in the turn before, and has not told yet.
    pub looks: Vec<(Key, TcpInfoPurpose)>,
    pub full_turns: u32,
    /// Turns in which nothing was heard, said or put off.
    pub idle_turns: u32,
    /// Whether the engine had reason to ask for a turn at once.
    pub busy: bool,
    pub sample_due: Option<Moment>,
    pub decided_at: Option<Moment>,
    pub stopped: bool,
    pub gave_up: bool,
    pub over: bool,
    pub peak: u32,
    pub ignored: u64,
    pub bytes: u64,
    pub closed_at: Option<Moment>,
    pub gaps: Vec<(Moment, Moment, bool)>,
    /// Whether one of them began before something that was reported already.
    pub is_revised: bool,
    /// Every change of how many are open, and when it was stamped.
    pub changes: Vec<(Moment, i64, Moment)>,
    /// Until when this host was not looking, each time.
    pub stalls: Vec<Moment>,
    /// When a look was so late that the next one was due.
    pub late_at: Option<Moment>,
    pub rounds: Rounds,
    pub dialed: Vec<Moment>,
    pub established: Times,
    pub failed: Times,
    pub lateness: Times,
    pub routing: Routing,
    pub timeout_lateness_max: Span,
    pub last_rtt: Option<Moment>,
    pub handshakes: Times,
    pub first_bytes: Times,
    pub lifetimes: Times,
    /// Given up by the kernel while a keepalive was out.
    pub lost: u64,
    pub sightings: Vec<(EndReason, Sighting)>,
    pub misses: Vec<Sighting>,
    pub retransmitted: u64,
    pub repeats: u64,
    pub suspects_taken: u32,
    pub suspects_looked_at: u64,
    pub suspects_half_open: u64,
    pub suspects_unacknowledged: u64,
    /// What the run came across, and how often: so that a test can tell whether it tested
    /// anything.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Shadow {
    pub fn new(plan: &Plan, start: Moment) -> Shadow {
        Shadow {
            plan: plan.clone(),
            start,
            seats: vec![Seat::FRESH; plan.connections as usize],
            now: start,
            turn: 0,
            next_due: Some(start),
            asked: 0,
            shift: Span::ZERO,
            not_before: start,
            ready: VecDeque::new(),
            final_drains: Vec::new(),
            looks: Vec::new(),
            full_turns: 0,
            idle_turns: 0,
            busy: true,
            sample_due: Some(start),
            decided_at: None,
            stopped: false,
            gave_up: false,
            over: false,
            peak: 0,
            ignored: 0,
            bytes: 0,
            closed_at: None,
            gaps: Vec::new(),
            is_revised: false,
            changes: Vec::new(),
            stalls: Vec::new(),
            late_at: None,
            rounds: Rounds::default(),
            dialed: Vec::new(),
            established: Times::default(),
            failed: Times::default(),
            lateness: Times::default(),
            routing: Routing::new(plan),
            timeout_lateness_max: Span::ZERO,
            last_rtt: None,
            handshakes: Times::default(),
            first_bytes: Times::default(),
            lifetimes: Times::default(),
            lost: 0,
            sightings: Vec::new(),
            misses: Vec::new(),
            retransmitted: 0,
            repeats: 0,
            suspects_taken: 0,
            suspects_looked_at: 0,
            suspects_half_open: 0,
            suspects_unacknowledged: 0,
            marks: BTreeMap::new(),
        }
    }

    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    /// How many seats are in `state`, counted.
    pub fn level(&self, state: State) -> u32 {
        self.seats.iter().map(|seat| u32::from(seat.state == state)).sum()
    }

    pub fn levels(&self) -> [u32; State::COUNT] {
        State::ALL.map(|state| self.level(state))
    }

    /// A slot that nobody asked to dial yet.
    pub fn unasked(&self) -> Option<u32> {
        (self.asked < self.plan.connections).then_some(self.asked)
    }

    pub fn state(&self, key: Key) -> Option<State> {
        let seat = self.seats.get(key.slot as usize)?;
        (key.attempt == 0).then_some(seat.state)
    }

    pub fn scheduled(&self, index: u32) -> Moment {
        self.start + self.plan.pace.offset(index) + self.shift
    }

    pub fn unheard(&self) -> bool {
        let batches = self.plan.connections.div_ceil(self.plan.budgets.events_max);
        self.full_turns > 0 && self.full_turns <= batches
    }
}
