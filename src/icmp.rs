//! The ICMP errors that dials received: type, sender, count.
//!
//! An entry in a socket's error queue proves a reject by ICMP, which the errno of the dial does
//! not: the kernel maps "administratively prohibited" to EHOSTUNREACH, and a dial that timed out
//! can have received ICMP errors. Senders limit the rate of ICMP errors, so there can be fewer
//! errors than rejected dials. IPv6 sockets queue none: there only the errno is known, EACCES for
//! "prohibited".

use std::net::IpAddr;

use crate::units::Moment;

/// The most different errors that are counted separately.
pub const DISTINCT_MAX: usize = 32;

/// An ICMP error as RFC 792 and RFC 4443 number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// ICMPv6, with other numbers.
    pub is_v6: bool,
    pub kind: u8,
    pub code: u8,
    /// The address that sent it.
    pub offender: IpAddr,
}

impl IcmpError {
    /// Administratively prohibited: 3/9, 3/10, 3/13 (RFC 1122, RFC 1812), ICMPv6 1/1, 1/5, 1/6.
    pub fn is_prohibited(&self) -> bool {
        match (self.is_v6, self.kind) {
            (false, 3) => matches!(self.code, 9 | 10 | 13),
            (true, 1) => matches!(self.code, 1 | 5 | 6),
            _ => false,
        }
    }

    /// Host unreachable: a router, or this host, could not resolve the neighbour.
    pub fn is_host_unreachable(&self) -> bool {
        matches!((self.is_v6, self.kind, self.code), (false, 3, 1) | (true, 1, 3))
    }

    /// Port unreachable: the default of a firewall's `reject`.
    pub fn is_port_unreachable(&self) -> bool {
        matches!((self.is_v6, self.kind, self.code), (false, 3, 3) | (true, 1, 4))
    }
}

/// An ICMP error and its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpCount {
    pub error: IcmpError,
    /// Whether the offender is an address of this host; `None` if unknown.
    pub is_local: Option<bool>,
    /// Dials that received it.
    pub dials: u64,
    /// When the first and the last of these dials were closed: the error arrived before that.
    pub first: Moment,
    pub last: Moment,
}

/// The ICMP errors of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IcmpTally {
    counts: Vec<IcmpCount>,
    others: u64,
}

impl IcmpTally {
    /// Allocates all memory that it will need.
    pub fn new() -> IcmpTally {
        IcmpTally { counts: Vec::with_capacity(DISTINCT_MAX), others: 0 }
    }

    /// Those of a finished run.
    pub fn of(counts: Vec<IcmpCount>, others: u64) -> IcmpTally {
        IcmpTally { counts, others }
    }

    /// Counts an error of a dial that is closed at `at`.
    pub fn add(&mut self, at: Moment, error: IcmpError) {
        if let Some(known) = self.counts.iter_mut().find(|known| known.error == error) {
            known.dials += 1;
            known.first = known.first.min(at);
            known.last = known.last.max(at);
        } else if self.counts.len() < DISTINCT_MAX {
            let (first, last) = (at, at);
            self.counts.push(IcmpCount { error, is_local: None, dials: 1, first, last });
        } else {
            self.others += 1;
        }
    }

    /// In the order in which they were first seen.
    pub fn counts(&self) -> &[IcmpCount] {
        &self.counts
    }

    /// Dials with an error beyond the first [`DISTINCT_MAX`] different ones.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Sets [`IcmpCount::is_local`]; at most [`DISTINCT_MAX`] calls of `is_own`.
    pub fn find_local(&mut self, mut is_own: impl FnMut(IpAddr) -> Option<bool>) {
        for count in &mut self.counts {
            count.is_local = is_own(count.error.offender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn error(code: u8, last: u8) -> IcmpError {
        let offender = Ipv4Addr::new(10, 0, 0, last).into();
        IcmpError { is_v6: false, kind: 3, code, offender }
    }

    #[test]
    fn equal_errors_are_counted_together_with_first_and_last_time() {
        let mut tally = IcmpTally::new();
        for (at, code, last) in [(7, 1, 1), (5, 13, 1), (9, 1, 1), (6, 1, 2), (3, 1, 1)] {
            tally.add(Moment(at), error(code, last));
        }
        let of = |error, dials, first, last| {
            let (first, last) = (Moment(first), Moment(last));
            IcmpCount { error, is_local: None, dials, first, last }
        };
        let expected =
            [of(error(1, 1), 3, 3, 9), of(error(13, 1), 1, 5, 5), of(error(1, 2), 1, 6, 6)];
        assert_eq!(tally.counts(), expected);

        tally.find_local(|ip| (ip != error(1, 2).offender).then_some(true));
        let local: Vec<_> = tally.counts().iter().map(|count| count.is_local).collect();
        assert_eq!(local, [Some(true), Some(true), None]);
    }

    #[test]
    fn errors_above_the_limit_are_only_counted() {
        let mut tally = IcmpTally::new();
        let capacity = tally.counts.capacity();
        for round in 0..3 {
            for last in 0..100 {
                tally.add(Moment(round), error(1, last));
            }
        }
        assert_eq!(tally.counts().len(), DISTINCT_MAX);
        assert!(tally.counts().iter().all(|count| count.dials == 3));
        assert_eq!(tally.others(), 3 * (100 - DISTINCT_MAX as u64));
        assert_eq!(tally.counts.capacity(), capacity, "it allocates at the start only");
    }

    #[test]
    fn both_families_have_their_own_numbers() {
        let v6 = |code| IcmpError { is_v6: true, kind: 1, code, ..error(0, 1) };
        assert!(error(13, 1).is_prohibited() && v6(1).is_prohibited());
        assert!(!error(1, 1).is_prohibited() && !v6(3).is_prohibited());
        assert!(error(1, 1).is_host_unreachable() && v6(3).is_host_unreachable());
        assert!(!v6(1).is_host_unreachable() && !error(3, 1).is_host_unreachable());
        assert!(error(3, 1).is_port_unreachable() && v6(4).is_port_unreachable());
        assert!(!v6(3).is_port_unreachable());
    }
}
