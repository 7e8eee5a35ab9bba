//! Routes that have no free port. The kernel finds that out by a search of the whole port range, which
//! takes milliseconds, so after one failure dials on that route are skipped until a connection of it
//! closes.
//!
//! A port may become free later than our close (its last acknowledgement is in flight), or unnoticed
//! (TIME_WAIT ends, another process closes). So one dial a second is tried all the same.

use std::collections::TryReserveError;

use super::connection::filled;
use crate::route::Routes;
use crate::units::{Moment, Span};

/// Between two dials that are tried on exhausted routes.
pub const TRIED_EVERY: Span = Span::from_s(1);

/// The same where slots dial again: their ports become free all the time.
pub const TRIED_AGAIN_EVERY: Span = Span::from_ms(100);

/// A set of routes, a bit each; O(1), and next to nothing while it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedRoutes {
    routes: Routes,
    tried_every: Span,
    bits: Box<[u64]>,
    count: u32,
    /// When the next dial on any of them is tried.
    trial_due: Moment,
}

impl ExhaustedRoutes {
    /// The empty set.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(routes: &Routes, tried_every: Span) -> Result<ExhaustedRoutes, TryReserveError> {
        let bits = filled(0, routes.numbers().div_ceil(64))?;
        let (routes, trial_due) = (routes.clone(), Moment(0));
        Ok(ExhaustedRoutes { routes, tried_every, bits, count: 0, trial_due })
    }

    /// Whether the route of `slot` has no free port, as far as is known.
    pub fn contains(&self, slot: u32) -> bool {
        self.count > 0 && self.has(slot)
    }

    #[cold]
    fn has(&self, slot: u32) -> bool {
        let (word, mask) = self.place(slot);
        self.bits[word] & mask != 0
    }

    /// Whether a dial of `slot` is to be skipped at `now`.
    pub fn must_skip(&self, slot: u32, now: Moment) -> bool {
        self.contains(slot) && now < self.trial_due
    }

    /// When the next dial on an exhausted route is tried.
    pub fn trial_due(&self) -> Moment {
        self.trial_due
    }

    /// `slot` is dialed.
    pub fn dial(&mut self, slot: u32, now: Moment) {
        if self.contains(slot) {
            self.trial_due = now + self.tried_every;
        }
    }

    /// A dial of `slot` found no port.
    pub fn insert(&mut self, slot: u32, now: Moment) {
        self.trial_due = now + self.tried_every;
        let (word, mask) = self.place(slot);
        self.count += u32::from(self.bits[word] & mask == 0);
        self.bits[word] |= mask;
    }

    /// The connection of `slot` has opened or ended otherwise: its route has free ports.
    pub fn clear(&mut self, slot: u32) {
        if self.contains(slot) {
            self.remove(slot);
        }
    }

    #[cold]
    fn remove(&mut self, slot: u32) {
        let (word, mask) = self.place(slot);
        self.bits[word] &= !mask;
        self.count -= 1;
    }

    fn place(&self, slot: u32) -> (usize, u64) {
        let number = self.routes.number(slot);
        ((number / 64) as usize, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Target;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn it_is_a_set_of_routes(steps in prop::collection::vec((0u32..300, 0u8..3), 0..100)) {
            let target = |port| {
                let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
                Target { host: "127.0.0.1".into(), address }
            };
            let routes = Routes::new((1..100).map(target).collect(), &[]).unwrap();
            let mut exhausted = ExhaustedRoutes::new(&routes, TRIED_EVERY).unwrap();
            let mut oracle = HashSet::new();
            for (slot, step) in steps {
                let route = slot % 99;
                match step {
                    0 => { exhausted.insert(slot, Moment(0)); oracle.insert(route); }
                    1 => { exhausted.clear(slot); oracle.remove(&route); }
                    _ => prop_assert_eq!(exhausted.contains(slot), oracle.contains(&route)),
                }
                prop_assert_eq!(exhausted.count as usize, oracle.len());
            }
        }
    }

    #[test]
    fn one_dial_a_second_is_tried() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        let mut exhausted = ExhaustedRoutes::new(&routes, TRIED_EVERY).unwrap();
        let at = |ms| Moment(0) + Span::from_ms(ms);
        assert!(!exhausted.must_skip(0, at(0)));
        exhausted.insert(0, at(500));
        assert!(exhausted.must_skip(1, at(1_499)));
        assert!(!exhausted.must_skip(2, at(1_500)));
        exhausted.dial(2, at(1_500));
        assert!(exhausted.must_skip(3, at(1_501)));
        exhausted.clear(2);
        assert!(!exhausted.must_skip(4, at(1_502)));
    }
}
