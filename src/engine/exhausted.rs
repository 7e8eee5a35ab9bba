//! Routes that have no port left. To find that out costs the kernel a walk through all of them,
//! milliseconds of it, so it is asked once, and then not again before something has closed there.

use std::collections::TryReserveError;

use super::connection::filled;
use crate::route::Routes;

/// A bit a route; O(1) each, and next to nothing as long as no route is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    routes: Routes,
    bits: Box<[u64]>,
    count: u32,
}

impl Exhausted {
    /// None of `routes` is.
    ///
    /// # Errors
    /// When the memory is not to be had.
    pub fn new(routes: &Routes) -> Result<Exhausted, TryReserveError> {
        let bits = filled(0, routes.numbers().div_ceil(64))?;
        Ok(Exhausted { routes: routes.clone(), bits, count: 0 })
    }

    /// Whether the route of `slot` is.
    pub fn contains(&self, slot: u32) -> bool {
        self.count > 0 && {
            let (word, mask) = self.place(slot);
            self.bits[word] & mask != 0
        }
    }

    /// A dial of `slot` found no port.
    pub fn insert(&mut self, slot: u32) {
        let (word, mask) = self.place(slot);
        self.count += u32::from(self.bits[word] & mask == 0);
        self.bits[word] |= mask;
    }

    /// The connection of `slot` has closed: its port may be free.
    pub fn relieve(&mut self, slot: u32) {
        if self.contains(slot) {
            let (word, mask) = self.place(slot);
            self.bits[word] &= !mask;
            self.count -= 1;
        }
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
            let mut exhausted = Exhausted::new(&routes).unwrap();
            let mut oracle = HashSet::new();
            for (slot, step) in steps {
                let route = slot % 99;
                match step {
                    0 => { exhausted.insert(slot); oracle.insert(route); }
                    1 => { exhausted.relieve(slot); oracle.remove(&route); }
                    _ => prop_assert_eq!(exhausted.contains(slot), oracle.contains(&route)),
                }
                prop_assert_eq!(exhausted.count as usize, oracle.len());
            }
        }
    }
}
