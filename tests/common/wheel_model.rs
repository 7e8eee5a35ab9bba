//! The timing wheel beside a sorted set of (due, slot), for the simulation suite and the fuzzer.

use std::collections::BTreeSet;

use tcpgoon::engine::wheel::{REACH_TICKS, Wheel};
use tcpgoon::units::Tick;

pub const SLOTS: u32 = 24;

/// The most that one deadline costs: five moves down, and the expiry.
const COST_MAX: u32 = 6;

#[derive(Debug, Clone)]
pub enum Step {
    /// Give the slot a deadline, in ticks relative to now.
    Arm(u32, i64),
    Cancel(u32),
    /// Let time pass, then expire with this budget in each of some turns.
    Advance {
        ticks: u64,
        budget: u32,
        turns: u32,
    },
    /// Let time pass until the wheel is due.
    Sleep,
    /// Expire everything that is due, in any number of turns.
    CatchUp {
        budget: u32,
    },
}

/// The wheel and the sorted set.
pub struct Pair {
    wheel: Wheel,
    set: BTreeSet<(u64, u32)>,
    now: u64,
    /// When nothing due was left for the last time: the wheel's time is this or later.
    caught_up: u64,
}

impl Pair {
    pub fn new(start: u64) -> Pair {
        let wheel = Wheel::new(SLOTS).unwrap();
        let mut pair = Pair { wheel, set: BTreeSet::new(), now: start, caught_up: 0 };
        assert!(pair.fire(1));
        pair
    }

    fn earliest(&self) -> Option<u64> {
        self.set.first().map(|(due, _)| *due)
    }

    fn arm(&mut self, slot: u32, after: i64) {
        let wanted = self.now.saturating_add_signed(after);
        self.cancel(slot);
        self.wheel.arm(slot, Tick(wanted));
        let due = self.wheel.due(slot).unwrap().0;
        if wanted.saturating_sub(self.caught_up) > REACH_TICKS {
            // Beyond the reach it is brought forward, to the reach at least.
            let least = self.caught_up + REACH_TICKS;
            assert!((least..=wanted.max(self.now)).contains(&due), "{due} instead of {wanted}");
        } else if wanted < self.now {
            assert!((wanted..=self.now).contains(&due), "{due} instead of {wanted}");
        } else {
            assert_eq!(due, wanted);
        }
        self.set.insert((due, slot));
    }

    fn cancel(&mut self, slot: u32) {
        self.wheel.cancel(slot);
        assert_eq!(self.wheel.due(slot), None);
        self.set.retain(|(_, armed)| *armed != slot);
    }

    /// The expiries of one turn; true if nothing due is left.
    fn fire(&mut self, budget: u32) -> bool {
        let (mut left, mut fired) = (budget, 0);
        while let Some(slot) = self.wheel.pop_expired(Tick(self.now), &mut left) {
            let due = self.set.iter().find(|(_, armed)| *armed == slot).map(|(due, _)| *due);
            let due = due.unwrap_or_else(|| panic!("slot {slot} fired, but is not armed"));
            assert!(due <= self.now, "slot {slot} is due at {due} and fired at {}", self.now);
            self.set.remove(&(due, slot));
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
        assert_eq!(self.wheel.armed() as usize, self.set.len());
        for (due, slot) in &self.set {
            assert_eq!(self.wheel.due(*slot), Some(Tick(*due)), "slot {slot}");
        }
        let next = self.wheel.next_due().map(|due| due.0);
        assert_eq!(next.is_some(), !self.set.is_empty());
        if let (Some(next), Some(earliest)) = (next, self.earliest()) {
            assert!(next <= earliest.max(self.now), "due at {next}, later than {earliest}");
        }
    }

    /// Expires everything.
    pub fn run_down(&mut self) {
        self.apply(&Step::CatchUp { budget: 3 });
        while let Some(next) = self.wheel.next_due() {
            assert!(next.0 > self.now, "what was due has fired, and the next time is no later");
            self.apply(&Step::Sleep);
        }
        assert!(self.set.is_empty());
    }
}
