//! Which target a slot dials: arithmetic, not storage.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The most targets that one run takes; 2 MiB of addresses.
pub const TARGETS_MAX: usize = 65_536;

/// One address to dial, and what the operator called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host as it was typed, without its port.
    pub host: String,
    pub address: SocketAddr,
}

impl Target {
    /// Whether an address was typed, with or without a scope, and not a name.
    fn is_literal(&self) -> bool {
        let unscoped = self.host.split('%').next().unwrap_or_default();
        unscoped.parse::<IpAddr>().is_ok()
    }

    /// The host without a port: an address as it was typed, or `name(address)`.
    pub fn host_words(&self) -> String {
        if self.is_literal() {
            return self.host.clone();
        }
        format!("{}({})", self.host, self.address.ip())
    }
}

/// `127.0.0.1:80`, `[::1]:80`, or after a name `localhost(127.0.0.1):80`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_literal() {
            // As the system writes it; a scope that was typed as a name becomes a number.
            return write!(f, "{}", self.address);
        }
        write!(f, "{}:{}", self.host_words(), self.address.port())
    }
}

/// All targets of a run, at least one and at most [`TARGETS_MAX`]. Slot `i` dials target `i mod n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    targets: Box<[Target]>,
}

impl Routes {
    /// `None` if there are no targets or too many.
    pub fn new(targets: Vec<Target>) -> Option<Routes> {
        let fits = (1..=TARGETS_MAX).contains(&targets.len());
        fits.then(|| Routes { targets: targets.into_boxed_slice() })
    }

    /// The target of a slot; O(1).
    pub fn target(&self, slot: u32) -> &Target {
        &self.targets[slot as usize % self.targets.len()]
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

/// The one target, or how many there are: what the report's header names.
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

    fn target(host: &str, address: &str) -> Target {
        Target { host: host.into(), address: address.parse().unwrap() }
    }

    #[test]
    fn a_name_is_shown_with_its_address_and_an_address_alone() {
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
    fn slots_go_round_the_targets() {
        let routes =
            Routes::new(vec![target("a", "127.0.0.1:1"), target("b", "127.0.0.2:1")]).unwrap();
        assert_eq!(routes.target(0).host, "a");
        assert_eq!(routes.target(1).host, "b");
        assert_eq!(routes.target(4_000_000_000).host, "a");
        assert_eq!(routes.to_string(), "2 targets");
        assert_eq!(Routes::new(vec![]), None);
    }
}
