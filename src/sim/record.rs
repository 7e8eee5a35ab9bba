//! One turn as observers see it, and what bogus events are made from.

use std::collections::BTreeSet;

use crate::engine::{Action, Engine, Event, EventKind, Key, State, TcpInfoPurpose};
use crate::units::{Moment, Tick};

/// One turn as an observer sees it.
#[derive(Debug, Clone)]
pub struct Record {
    pub now: Moment,
    pub events: Vec<Event>,
    pub actions: Vec<Action>,
    pub next_due: Option<Moment>,
    pub levels: [u32; State::COUNT],
    /// Each slot that has a deadline, with it.
    pub deadlines: Vec<(u32, Tick)>,
    pub over: bool,
}

impl Record {
    /// What `engine` has made of `events` at `now`.
    ///
    /// # Panics
    /// If the engine finds itself out of balance.
    pub fn new(engine: &Engine, now: Moment, events: Vec<Event>, actions: &[Action]) -> Record {
        engine.audit();
        let sample = engine.sample();
        let deadline = |slot| engine.deadline(engine.key(slot)).map(|due| (slot, due));
        Record {
            now,
            events,
            actions: actions.to_vec(),
            next_due: engine.next_wake().due(now),
            levels: sample.levels,
            deadlines: (0..sample.connections).filter_map(deadline).collect(),
            over: engine.is_over(),
        }
    }
}

/// What the simulation has seen of the run: bogus events must differ from all that is expected.
#[derive(Debug, Default)]
pub struct View {
    /// The slots that the engine has dialed are those below.
    pub dialed: u32,
    /// By slot: whether any byte was reported.
    pub has_bytes: Vec<bool>,
    /// TCP_INFO reads of the last turn.
    pub reads: Vec<(Key, TcpInfoPurpose)>,
    pub was_dialed_again: bool,
    /// Dials of the last turn.
    pub dials: Vec<Key>,
    /// Where keepalive was turned on.
    pub starts: BTreeSet<Key>,
}

impl View {
    /// Whether any slot was dialed again.
    pub fn has_attempts(&self) -> bool {
        self.was_dialed_again
    }

    pub fn add(&mut self, record: &Record) {
        for event in &record.events {
            if let EventKind::Received { key: Key { slot, attempt: 0 }, bytes: 1.., .. } =
                event.kind
                && let Some(has_bytes) = self.has_bytes.get_mut(slot as usize)
            {
                *has_bytes = true;
            }
        }
        self.reads.clear();
        self.dials.clear();
        for action in &record.actions {
            match *action {
                Action::Dial(key) => {
                    self.dialed = self.dialed.max(key.slot + 1);
                    self.dials.push(key);
                    self.was_dialed_again |= key.attempt > 0;
                }
                Action::ReadTcpInfo(key, purpose) => self.reads.push((key, purpose)),
                Action::StartKeepalive(key) => _ = self.starts.insert(key),
                _ => {}
            }
        }
    }
}
