//! The route of a slot, from a source to a target: computed, not stored.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::escape::Printable;

/// The most targets of one run; 2 MiB of addresses.
pub const TARGETS_MAX: usize = 65_536;

/// The most sources of one run.
pub const SOURCES_MAX: usize = 65_536;

/// The most routes of one run; 2 MiB for a bit a route, set if its ports are exhausted.
pub const ROUTES_MAX: usize = 1 << 24;

/// One address to dial, and the host as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Without the port.
    pub host: String,
    pub address: SocketAddr,
}

impl Target {
    /// Whether an address was typed, with or without a scope, not a name.
    fn is_literal(&self) -> bool {
        let unscoped = self.host.split('%').next().unwrap_or_default();
        unscoped.parse::<IpAddr>().is_ok()
    }

    /// The host without a port, escaped: an address as it was typed, or `name(address)`.
    pub fn host_label(&self) -> String {
        if self.is_literal() {
            return Printable(&self.host).to_string();
        }
        format!("{}({})", Printable(&self.host), self.address.ip())
    }
}

/// The addresses of a name that are not dialed: all but the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherAddresses {
    pub host: String,
    /// At most [`OtherAddresses::NAMED_MAX`], in the resolver's order.
    pub named: Vec<IpAddr>,
    /// The number of further ones.
    pub more: usize,
}

impl OtherAddresses {
    pub const NAMED_MAX: usize = 8;

    pub fn new(host: &str, all: &[SocketAddr]) -> OtherAddresses {
        let named: Vec<IpAddr> =
            all.iter().take(OtherAddresses::NAMED_MAX).map(SocketAddr::ip).collect();
        OtherAddresses { host: host.to_owned(), more: all.len() - named.len(), named }
    }
}

/// `127.0.0.1:80`, `[::1]:80`, or after a name `localhost(127.0.0.1):80`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_literal() {
            // A scope that was typed as a name becomes a number.
            return write!(f, "{}", self.address);
        }
        write!(f, "{}:{}", self.host_label(), self.address.port())
    }
}

/// Why targets and sources cannot form routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    TargetCount {
        count: usize,
    },
    SourceCount {
        count: usize,
    },
    RouteCount {
        count: usize,
    },
    /// No source has this target's family.
    NoSource {
        target: String,
        is_ipv4: bool,
    },
}

/// The targets and sources of a run, and how slots are spread over both. Cheap to clone.
///
/// Slot `i` dials target `i mod T`, and in each round of the targets each is dialed from its next
/// source. Targets begin with different sources, so that the first dials are spread over both. With
/// `S` sources for all targets, `T × S` consecutive slots have every route once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    targets: Arc<[Target]>,
    /// IPv4 first, each family in the order in which it was typed. Empty: the kernel chooses.
    sources: Arc<[SocketAddr]>,
    sources_v4: u32,
    /// By target: the number of targets of its family before it. Empty without sources.
    ranks: Arc<[u32]>,
}

impl Routes {
    /// Duplicate sources count once; their ports are 0.
    ///
    /// # Errors
    /// [`RouteError`]: too few or too many of either, or a target that no source can dial.
    pub fn new(targets: Vec<Target>, sources: &[SocketAddr]) -> Result<Routes, RouteError> {
        if !(1..=TARGETS_MAX).contains(&targets.len()) {
            return Err(RouteError::TargetCount { count: targets.len() });
        }
        let mut sources = sources.to_vec();
        let mut seen = std::collections::HashSet::with_capacity(sources.len());
        sources.retain(|source| seen.insert(*source));
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = sources.into_iter().partition(SocketAddr::is_ipv4);
        let sources = [ipv4, ipv6].concat();
        if sources.len() > SOURCES_MAX {
            return Err(RouteError::SourceCount { count: sources.len() });
        }
        let count = targets.len() * sources.len().max(1);
        if count > ROUTES_MAX {
            return Err(RouteError::RouteCount { count });
        }
        let sources_v4 = sources.iter().filter(|source| source.is_ipv4()).count();
        let mut ranks = Vec::new();
        if !sources.is_empty() {
            let mut before = [0; 2];
            for target in &targets {
                let is_ipv4 = target.address.is_ipv4();
                let fit = if is_ipv4 { sources_v4 } else { sources.len() - sources_v4 };
                if fit == 0 {
                    return Err(RouteError::NoSource { target: target.to_string(), is_ipv4 });
                }
                let rank = &mut before[usize::from(is_ipv4)];
                ranks.push(*rank);
                *rank += 1;
            }
        }
        Ok(Routes {
            targets: targets.into(),
            sources: sources.into(),
            sources_v4: u32::try_from(sources_v4).unwrap_or(u32::MAX),
            ranks: ranks.into(),
        })
    }

    /// One target; the kernel chooses the source.
    pub fn to_one(target: Target) -> Routes {
        let (sources, ranks) = (Arc::default(), Arc::default());
        Routes { targets: [target].into(), sources, sources_v4: 0, ranks }
    }

    /// The target of a slot; O(1).
    pub fn target(&self, slot: u32) -> &Target {
        &self.targets[self.target_index(slot) as usize]
    }

    /// The source of a slot, with port 0; `None`: the kernel chooses. O(1).
    #[inline]
    pub fn source(&self, slot: u32) -> Option<&SocketAddr> {
        if self.sources.is_empty() {
            return None;
        }
        self.sources.get(self.source_index(slot)? as usize)
    }

    /// The index of a slot's target in [`Routes::targets`].
    pub fn target_index(&self, slot: u32) -> u32 {
        slot % self.targets_count()
    }

    /// [`Routes::target_index`] of each slot in turn, without end and without a division.
    pub fn target_indexes(&self) -> impl Iterator<Item = u32> + Clone + use<> {
        (0..self.targets_count()).cycle()
    }

    /// The index of a slot's source in [`Routes::sources`].
    pub fn source_index(&self, slot: u32) -> Option<u32> {
        let rank = self.ranks.get(self.target_index(slot) as usize)?;
        let round = slot / self.targets_count();
        let (first, count) = self.sources_of(self.target(slot).address.is_ipv4());
        Some(first + (round + rank) % count)
    }

    /// The number of the slot's route, below [`Routes::numbers`].
    pub fn number(&self, slot: u32) -> u32 {
        let several = self.sources_count().max(1);
        self.target_index(slot) * several + self.source_index(slot).unwrap_or(0)
    }

    /// The upper bound of route numbers; with mixed families some are unused.
    pub fn numbers(&self) -> u32 {
        self.targets_count() * self.sources_count().max(1)
    }

    /// The number of routes.
    pub fn count(&self) -> u32 {
        let sources = |target: &Target| self.sources_of(target.address.is_ipv4()).1.max(1);
        self.targets.iter().map(sources).sum()
    }

    /// The sources that an address is dialed from; empty: the kernel chooses.
    pub fn sources_towards(&self, address: &SocketAddr) -> &[SocketAddr] {
        let (first, count) = self.sources_of(address.is_ipv4());
        &self.sources[first as usize..][..count as usize]
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Empty: the kernel chooses.
    pub fn sources(&self) -> &[SocketAddr] {
        &self.sources
    }

    /// The sources of a family: index of the first, and count.
    fn sources_of(&self, is_ipv4: bool) -> (u32, u32) {
        let v4 = self.sources_v4;
        if is_ipv4 { (0, v4) } else { (v4, self.sources_count() - v4) }
    }

    // Both fit into u32, by TARGETS_MAX and SOURCES_MAX.

    fn targets_count(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    fn sources_count(&self) -> u32 {
        u32::try_from(self.sources.len()).unwrap_or(u32::MAX)
    }
}

/// The only target, or the number of targets, for the report's header.
impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.targets {
            [only] => write!(f, "{only}"),
            several => write!(f, "{} targets", several.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn target(host: &str, address: &str) -> Target {
        Target { host: host.into(), address: address.parse().unwrap() }
    }

    fn targets(v4: u16, v6: u16) -> Vec<Target> {
        let of = |ip: &str, shown: &str, count| {
            let one = |port| target(ip, &format!("{shown}:{port}"));
            (1..=count).map(one).collect::<Vec<_>>()
        };
        [of("127.0.0.1", "127.0.0.1", v4), of("::1", "[::1]", v6)].concat()
    }

    fn sources(v4: u8, v6: u8) -> Vec<SocketAddr> {
        let v4 = (1..=v4).map(|last| SocketAddr::from(([127, 0, 0, last], 0)));
        let v6 = (1..=v6).map(|last| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last.into()], 0)));
        v6.chain(v4).collect()
    }

    #[test]
    fn a_name_is_printed_with_its_address() {
        for (host, address, shown) in [
            ("127.0.0.1", "127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:80", "[::1]:80"),
            ("fe80::1%2", "[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("localhost", "127.0.0.1:80", "localhost(127.0.0.1):80"),
            ("localhost", "[::1]:80", "localhost(::1):80"),
        ] {
            assert_eq!(target(host, address).to_string(), shown);
        }
    }

    #[test]
    fn slots_dial_the_targets_in_turn() {
        let routes = Routes::new(targets(2, 0), &[]).unwrap();
        assert_eq!(routes.target(0).address.port(), 1);
        assert_eq!(routes.target(1).address.port(), 2);
        assert_eq!(routes.target(4_000_000_000).address.port(), 1);
        assert_eq!((routes.source(7), routes.count()), (None, 2));
        assert_eq!(routes.to_string(), "2 targets");
    }

    #[test]
    fn one_target_is_dialed_from_all_sources_in_turn() {
        let routes = Routes::new(targets(1, 0), &sources(3, 0)).unwrap();
        let order: Vec<_> = (0..7).map(|slot| routes.source_index(slot)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 0].map(Some));
        assert_eq!(routes.source(1).unwrap().to_string(), "127.0.0.2:0");
    }

    #[test]
    fn each_route_error_is_returned() {
        let new = |targets, sources: &[SocketAddr]| Routes::new(targets, sources).unwrap_err();
        assert_eq!(new(vec![], &[]), RouteError::TargetCount { count: 0 });
        let no_source = RouteError::NoSource { target: "[::1]:1".into(), is_ipv4: false };
        assert_eq!(new(targets(2, 1), &sources(3, 0)), no_source);
        let many: Vec<_> =
            (0..257u16).map(|n| SocketAddr::from(([127, 0, (n >> 8) as u8, n as u8], 0))).collect();
        let count = 65_535 * 257;
        assert_eq!(new(targets(65_535, 0), &many), RouteError::RouteCount { count });
    }

    #[test]
    fn a_source_counts_once() {
        let twice = [sources(2, 0), sources(2, 0)].concat();
        assert_eq!(Routes::new(targets(1, 0), &twice).unwrap().sources().len(), 2);
    }

    proptest! {
        /// For every number of slots: targets, sources and routes have equal shares.
        #[test]
        fn dials_are_spread_evenly(t in 1u16..9, s in 1u8..9, slots in 1u32..300) {
            let routes = Routes::new(targets(t, 0), &sources(s, 0)).unwrap();
            prop_assert_eq!(routes.count(), u32::from(t) * u32::from(s));
            let (mut by_number, mut by_target, mut by_source) =
                (HashMap::new(), HashMap::new(), HashMap::new());
            for slot in 0..slots {
                *by_number.entry(routes.number(slot)).or_insert(0u32) += 1;
                *by_target.entry(routes.target_index(slot)).or_insert(0u32) += 1;
                *by_source.entry(routes.source_index(slot).unwrap()).or_insert(0u32) += 1;
            }
            let spread = |counts: &HashMap<u32, u32>, all: u32, apart: u32| {
                let least = (0..all).map(|i| counts.get(&i).copied().unwrap_or(0)).min().unwrap();
                counts.values().max().unwrap() - least <= apart
            };
            prop_assert!(spread(&by_number, routes.count(), 1));
            prop_assert!(spread(&by_target, t.into(), 1));
            prop_assert!(spread(&by_source, s.into(), u32::from(t.min(s.into()))));
        }

        /// Each target is dialed from the sources of its own family, equally often from each.
        #[test]
        fn families_are_not_mixed(t4 in 0u16..5, t6 in 1u16..5, s4 in 1u8..4, s6 in 1u8..4) {
            let routes = Routes::new(targets(t4, t6), &sources(s4, s6)).unwrap();
            prop_assert_eq!(
                routes.count(),
                u32::from(t4) * u32::from(s4) + u32::from(t6) * u32::from(s6)
            );
            let mut by_number = HashMap::new();
            let rounds = u32::from(s4) * u32::from(s6);
            for slot in 0..rounds * u32::from(t4 + t6) {
                let (target, source) = (routes.target(slot).address, routes.source(slot).unwrap());
                prop_assert_eq!(target.is_ipv4(), source.is_ipv4());
                prop_assert!(routes.number(slot) < routes.numbers());
                *by_number.entry(routes.number(slot)).or_insert(0u32) += 1;
            }
            prop_assert_eq!(by_number.len() as u32, routes.count());
            for (number, count) in by_number {
                let is_ipv4 = routes.targets()[(number / u32::from(s4 + s6)) as usize].address.is_ipv4();
                let sources = if is_ipv4 { s4 } else { s6 };
                prop_assert_eq!(count, rounds / u32::from(sources));
            }
        }
    }
}
