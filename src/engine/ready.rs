//! The ready list: slots with edge-triggered readiness that was not used up, each at most once, first in,
//! first out.

use std::collections::TryReserveError;

use super::connection::filled;

const ABSENT: u32 = 0;
const LAST: u32 = u32::MAX;

/// A queue with its links by slot: 4 bytes a slot, and no operation costs more than O(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// By slot: [`ABSENT`], the next slot plus one, or [`LAST`].
    next: Box<[u32]>,
    /// The first slot plus one, or [`ABSENT`].
    first: u32,
    /// The last slot plus one; undefined if the list is empty.
    last: u32,
}

impl Ready {
    /// # Errors
    /// If allocation fails.
    pub fn new(slots: u32) -> Result<Ready, TryReserveError> {
        let next = filled(ABSENT, slots)?;
        Ok(Ready { next, first: ABSENT, last: ABSENT })
    }

    pub fn is_empty(&self) -> bool {
        self.first == ABSENT
    }

    /// Appends a slot, unless it is on the list already.
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

    /// Whether a slot is on the list.
    pub fn contains(&self, slot: u32) -> bool {
        self.next[slot as usize] != ABSENT
    }

    /// The last slot: once it is popped, so are all that are on the list now.
    pub fn last(&self) -> Option<u32> {
        (!self.is_empty()).then(|| self.last - 1)
    }

    /// The slot that is taken next.
    pub fn first(&self) -> Option<u32> {
        self.first.checked_sub(1)
    }

    /// Takes the first slot.
    pub fn pop(&mut self) -> Option<u32> {
        let slot = self.first.checked_sub(1)?;
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
        fn it_is_a_queue_that_holds_each_slot_once(
            steps in prop::collection::vec(0u32..10, 0..200),
        ) {
            let mut ready = Ready::new(8).unwrap();
            let mut oracle = VecDeque::new();
            for step in steps {
                if step >= 8 {
                    prop_assert_eq!(ready.pop(), oracle.pop_front());
                } else {
                    ready.push(step);
                    if !oracle.contains(&step) {
                        oracle.push_back(step);
                    }
                }
                prop_assert_eq!(ready.is_empty(), oracle.is_empty());
                prop_assert_eq!(ready.last(), oracle.back().copied());
                for slot in 0..8 {
                    prop_assert_eq!(ready.contains(slot), oracle.contains(&slot));
                }
            }
        }
    }
}
