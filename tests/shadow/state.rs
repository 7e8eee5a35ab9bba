//! The state of the model.

use std::collections::{BTreeMap, VecDeque};

use tcpgoon::engine::{EndReason, Key, State, TcpInfoPurpose};
use tcpgoon::plan::Plan;
use tcpgoon::units::{Moment, Span};

use super::records::{Conn, FailureTime, Held, Rounds, Times};
use super::routing::Routing;

#[derive(Debug, Clone)]
pub struct Shadow {
    pub plan: Plan,
    pub start: Moment,
    pub conns: Vec<Conn>,
    pub now: Moment,
    pub turn: u64,
    pub next_due: Option<Moment>,
    pub next_slot: u32,
    /// How many were dialed when one was last established.
    pub dialed_at_open: u32,
    pub shift: Span,
    pub not_before: Moment,
    pub ready: VecDeque<u32>,
    /// Slots to drain in this turn, as their reply timeout is deferred.
    pub final_drains: Vec<u32>,
    /// TCP_INFO reads of the turn before that have no result yet.
    pub reads: Vec<(Key, TcpInfoPurpose)>,
    pub full_turns: u32,
    /// Turns without events, actions or deferred work.
    pub idle_turns: u32,
    /// Whether the engine needed a turn at once.
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
    /// Whether one of them began before an event that was reported already.
    pub is_revised: bool,
    /// Changes of the number open: when, by how much, and since when it was in its state.
    pub changes: Vec<(Moment, i64, Moment)>,
    /// The ends of stalls of this host.
    pub stalls: Vec<Moment>,
    /// When a read was so late that the next one was due.
    pub late_at: Option<Moment>,
    pub rounds: Rounds,
    pub dialed: Vec<Moment>,
    /// Dials that were handed out and not reported.
    pub unreported: u32,
    /// Under churn: the slots that wait for their dial, and until when none can have a port.
    pub free: VecDeque<u32>,
    pub blocked_until: Option<Moment>,
    pub handed_out: u64,
    /// Since when a slot is free, why the dials are late, and how many were: for a slot, a port, the
    /// host.
    pub free_since: Moment,
    pub behind: Option<usize>,
    pub late: [u64; 3],
    /// When each connection was reported as established.
    pub opened_turns: Vec<Moment>,
    pub retired: u64,
    pub held: Held,
    pub due_times: Times,
    pub slow_dials: u64,
    pub slow_failed: u64,
    pub established: Times,
    pub failed: Times,
    pub lateness: Times,
    pub routing: Routing,
    pub timeout_lateness_max: Span,
    pub last_rtt: Option<Moment>,
    pub handshakes: Times,
    pub first_bytes: Times,
    pub lifetimes: Times,
    /// Ended by the kernel while a keepalive was pending.
    pub lost: u64,
    pub failures: Vec<(EndReason, FailureTime)>,
    pub reply_timeouts: Vec<FailureTime>,
    pub retransmitted: u64,
    pub repeats: u64,
    pub suspects_taken: u32,
    pub suspects_read: u64,
    pub suspects_half_open: u64,
    pub suspects_unacknowledged: u64,
    /// What the run covered, and how often.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Shadow {
    pub fn new(plan: &Plan, start: Moment) -> Shadow {
        Shadow {
            plan: plan.clone(),
            start,
            conns: vec![Conn::NEW; plan.connections as usize],
            now: start,
            turn: 0,
            next_due: Some(start),
            next_slot: 0,
            dialed_at_open: 0,
            shift: Span::ZERO,
            not_before: start,
            ready: VecDeque::new(),
            final_drains: Vec::new(),
            reads: Vec::new(),
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
            unreported: 0,
            free: if plan.lifetime.is_some() { (0..plan.connections).collect() } else { [].into() },
            blocked_until: None,
            handed_out: 0,
            free_since: start,
            behind: None,
            late: [0; 3],
            opened_turns: Vec::new(),
            retired: 0,
            held: Held::default(),
            due_times: Times::default(),
            slow_dials: 0,
            slow_failed: 0,
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
            failures: Vec::new(),
            reply_timeouts: Vec::new(),
            retransmitted: 0,
            repeats: 0,
            suspects_taken: 0,
            suspects_read: 0,
            suspects_half_open: 0,
            suspects_unacknowledged: 0,
            marks: BTreeMap::new(),
        }
    }

    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    /// The number of connections in `state`.
    pub fn level(&self, state: State) -> u32 {
        self.conns.iter().map(|conn| u32::from(conn.state == state)).sum()
    }

    pub fn levels(&self) -> [u32; State::COUNT] {
        State::ALL.map(|state| self.level(state))
    }

    /// The next slot that is not dialed yet.
    pub fn unasked(&self) -> Option<u32> {
        (self.next_slot < self.plan.connections).then_some(self.next_slot)
    }

    pub fn state(&self, key: Key) -> Option<State> {
        let conn = self.conns.get(key.slot as usize)?;
        (key.attempt == conn.attempt).then_some(conn.state)
    }

    /// The key of the current attempt of a slot.
    pub fn key(&self, slot: u32) -> Key {
        Key { slot, attempt: self.conns[slot as usize].attempt }
    }

    pub fn scheduled(&self, index: u64) -> Moment {
        self.start + self.plan.pace.offset(index) + self.shift
    }

    pub fn readiness_may_be_pending(&self) -> bool {
        let batches = self.plan.connections.div_ceil(self.plan.budgets.events_max);
        self.full_turns > 0 && self.full_turns <= batches
    }
}
