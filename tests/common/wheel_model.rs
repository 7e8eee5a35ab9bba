//! The wheel beside the plainest thing that does the same: a sorted set of (due, slot). For
//! `tests/wheel.rs` and for the fuzzer.

use std::collections::BTreeSet;

use tcpgoon::engine::wheel::{REACH_TICKS, Wheel};
use tcpgoon::units::Tick;

pub const SLOTS: u32 = 24;

/// The most that one deadline costs: five moves down, and to be fired.
const COST_MAX: u32 = 6;

#[derive(Debug, Clone)]
pub enum Step {
    /// Give the slot a deadline so many ticks after now, or before it.
    Arm(u32, i64),
    Cancel(u32),
    /// Let time pass, and fire with this budget in each of so many turns.
    Advance {
        ticks: u64,
        budget: u32,
        turns: u32,
    },
    /// Let time pass until the wheel says that it is due.
    Sleep,
    /// Fire all that is due, however many turns it takes.
    CatchUp {
        budget: u32,
    },
}

/// The wheel and its oracle, side by side.
pub struct Pair {
    wheel: Wheel,
    oracle: BTreeSet<(u64, u32)>,
    now: u64,
    /// The last moment at which nothing that was due was left: the wheel's own time is this or
    /// later.
    caught_up: u64,
}

impl Pair {
    pub fn new(start: u64) -> Pair {
        let wheel = Wheel::new(SLOTS).unwrap();
        let mut pair = Pair { wheel, oracle: BTreeSet::new(), now: start, caught_up: 0 };
        assert!(pair.fire(1));
        pair
    }

    fn earliest(&self) -> Option<u64> {
        self.oracle.first().map(|(due, _)| *due)
    }

    fn arm(&mut self, slot: u32, after: i64) {
        let asked = self.now.saturating_add_signed(after);
        self.cancel(slot);
        self.wheel.arm(slot, Tick(asked));
        let due = self.wheel.due(slot).unwrap().0;
        if asked.saturating_sub(self.caught_up) > REACH_TICKS {
            // Out of reach it is brought forward, but to no less than the reach.
            let least = self.caught_up + REACH_TICKS;
            assert!((least..=asked.max(self.now)).contains(&due), "{due} instead of {asked}");
        } else if asked < self.now {
            assert!((asked..=self.now).contains(&due), "{due} instead of {asked}");
        } else {
            assert_eq!(due, asked);
        }
        self.oracle.insert((due, slot));
    }

    fn cancel(&mut self, slot: u32) {
        self.wheel.cancel(slot);
        assert_eq!(self.wheel.due(slot), None);
        self.oracle.retain(|(_, armed)| *armed != slot);
    }

    /// One turn's worth of expiries; true if nothing is left that is due.
    fn fire(&mut self, budget: u32) -> bool {
        let (mut left, mut fired) = (budget, 0);
        while let Some(slot) = self.wheel.pop_expired(Tick(self.now), &mut left) {
            let due = self.oracle.iter().find(|(_, armed)| *armed == slot).map(|(due, _)| *due);
            let due = due.unwrap_or_else(|| panic!("slot {slot} fired, but is not armed"));
            assert!(due <= self.now, "slot {slot} is due at {due} and fired at {}", self.now);
            self.oracle.remove(&(due, slot));
            fired += 1;
        }
        assert!(fired <= budget - left, "{fired} fired for {} of budget", budget - left);
        let waiting = self.earliest().is_some_and(|due| due <= self.now);
        assert!(!waiting || left == 0, "something is due, and there was budget left for it");
        let moves = self.wheel.next_due().is_some_and(|due| due.0 <= self.now);
        assert!(!moves || left == 0, "there was budget left for what the wheel is due for");
        if !moves && left > 0 {
            self.caught_up = self.now;
        }
        !moves
    }

    fn catch_up(&mut self, budget: u32) {
        let turns_max = (self.wheel.armed() * COST_MAX).div_ceil(budget) + 1;
        let turns = (1..=turns_max).find(|_| self.fire(budget));
        assert!(turns.is_some(), "not done after {turns_max} turns with a budget of {budget}");
    }

    pub fn apply(&mut self, step: &Step) {
        match *step {
            Step::Arm(slot, after) => self.arm(slot, after),
            Step::Cancel(slot) => self.cancel(slot),
            Step::Advance { ticks, budget, turns } => {
                self.now += ticks;
                for _ in 0..turns {
                    self.fire(budget);
                }
            }
            Step::Sleep => {
                self.catch_up(64);
                if let Some(due) = self.wheel.next_due() {
                    self.now = due.0;
                    self.catch_up(64);
                }
            }
            Step::CatchUp { budget } => self.catch_up(budget),
        }
        self.check();
    }

    fn check(&self) {
        self.wheel.audit();
        assert_eq!(self.wheel.armed() as usize, self.oracle.len());
        for (due, slot) in &self.oracle {
            assert_eq!(self.wheel.due(*slot), Some(Tick(*due)), "slot {slot}");
        }
        let next = self.wheel.next_due().map(|due| due.0);
        assert_eq!(next.is_some(), !self.oracle.is_empty());
        if let (Some(next), Some(earliest)) = (next, self.earliest()) {
            assert!(next <= earliest.max(self.now), "due at {next}, later than {earliest}");
        }
    }

    /// Lets everything fire.
    pub fn run_down(&mut self) {
        self.apply(&Step::CatchUp { budget: 3 });
        while let Some(next) = self.wheel.next_due() {
            assert!(next.0 > self.now, "what was due has fired, and the next time is no later");
            self.apply(&Step::Sleep);
        }
        assert!(self.oracle.is_empty());
    }
}
