//! The ready list: slots whose edge-triggered readiness was not used up, each at most once, first
//! come first served, but for the urgent ones before all others.

use std::collections::TryReserveError;

use super::connection::filled;

const ABSENT: u32 = 0;
const LAST: u32 = u32::MAX;

/// A queue with its links by slot: 4 bytes a slot, and no operation costs more than O(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// By slot: [`ABSENT`], the follower's slot plus one, or [`LAST`].
    next: Box<[u32]>,
    /// The first slot plus one, or [`ABSENT`].
    first: u32,
    /// The last slot plus one; says nothing where the list is empty.
    last: u32,
    /// How many of the first ones are urgent, and the last of them plus one; says nothing where
    /// there are none.
    urgent: u32,
    urgent_last: u32,
}

impl Ready {
    /// # Errors
    /// When the memory is not to be had.
    pub fn new(slots: u32) -> Result<Ready, TryReserveError> {
        let next = filled(ABSENT, slots)?;
        Ok(Ready { next, first: ABSENT, last: ABSENT, urgent: 0, urgent_last: ABSENT })
    }

    pub fn is_empty(&self) -> bool {
        self.first == ABSENT
    }

    /// Puts a slot at the end, unless it is on the list already.
    pub fn push(&mut self, slot: u32) {
        if self.next[slot as usize] != ABSENT {
            return;
        }
        self.next[slot as usize] = LAST;
        if self.is_empty() {
            self.first = slot + 1;
        } else {
            self.next[(self.last - 1) as usize] = slot + 1;
        }
        self.last = slot + 1;
    }

    /// Puts a slot behind the urgent ones and before all others, unless it is on the list already.
    pub fn push_urgent(&mut self, slot: u32) {
        if self.next[slot as usize] != ABSENT {
            return;
        }
        let behind = match self.urgent {
            0 => std::mem::replace(&mut self.first, slot + 1),
            _ => std::mem::replace(&mut self.next[(self.urgent_last - 1) as usize], slot + 1),
        };
        let is_last = matches!(behind, ABSENT | LAST);
        self.next[slot as usize] = if is_last { LAST } else { behind };
        if is_last {
            self.last = slot + 1;
        }
        self.urgent += 1;
        self.urgent_last = slot + 1;
    }

    /// Whether a slot is on the list.
    pub fn contains(&self, slot: u32) -> bool {
        self.next[slot as usize] != ABSENT
    }

    /// How many urgent ones there are: the first so many.
    pub fn urgent(&self) -> u32 {
        self.urgent
    }

    /// Takes the first slot.
    pub fn pop(&mut self) -> Option<u32> {
        let slot = self.first.checked_sub(1)?;
        self.urgent = self.urgent.saturating_sub(1);
        let next = std::mem::replace(&mut self.next[slot as usize], ABSENT);
        self.first = if next == LAST { ABSENT } else { next };
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_is_a_queue_with_a_fast_lane_that_holds_each_slot_once(
            steps in prop::collection::vec(0u32..18, 0..200),
        ) {
            let mut ready = Ready::new(8).unwrap();
            let (mut urgent, mut oracle) = (VecDeque::new(), VecDeque::new());
            for step in steps {
                let is_known = oracle.contains(&step) || urgent.contains(&step);
                let is_known_urgent = step >= 8
                    && (oracle.contains(&(step - 8)) || urgent.contains(&(step - 8)));
                match step {
                    0..8 => {
                        ready.push(step);
                        if !is_known {
                            oracle.push_back(step);
                        }
                    }
                    8..16 => {
                        ready.push_urgent(step - 8);
                        if !is_known_urgent {
                            urgent.push_back(step - 8);
                        }
                    }
                    _ => {
                        let first = urgent.pop_front().or_else(|| oracle.pop_front());
                        prop_assert_eq!(ready.pop(), first);
                    }
                }
                prop_assert_eq!(ready.is_empty(), oracle.is_empty() && urgent.is_empty());
                prop_assert_eq!(ready.urgent() as usize, urgent.len());
                for slot in 0..8 {
                    let is_known = oracle.contains(&slot) || urgent.contains(&slot);
                    prop_assert_eq!(ready.contains(slot), is_known);
                }
            }
        }
    }
}
