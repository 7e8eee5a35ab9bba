//! Reads the counters of this host's kernel ([`Counters`]). The files are opened before a run and
//! kept open: at its end there may be no free descriptor.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;

use super::neighbours::scope;
use super::netlink::{Hop, Netlink};
use super::sys;
use crate::counters::{Counters, Texts};

/// The size of one read: all of `/proc/net/netstat`.
const PIECE_BYTES: usize = 16 * 1024;

/// Longer files are not read; the longest ones have a line for each CPU.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Below this descriptor limit all descriptors are left for connections.
const DESCRIPTORS_MIN: u64 = 32;

/// The open files, six at most.
#[derive(Debug, Default)]
pub struct CounterFiles {
    netstat: Option<File>,
    snmp: Option<File>,
    snmp6: Option<File>,
    softnet: Option<File>,
    conntrack: Option<File>,
    netlink: Option<Netlink>,
}

impl CounterFiles {
    /// Opens the files of this network namespace; the counters of those that do not open are
    /// `None`.
    pub fn open() -> CounterFiles {
        if sys::descriptor_limit().is_ok_and(|(soft, _)| soft < DESCRIPTORS_MIN) {
            return CounterFiles::default();
        }
        let open = |path| File::open(path).ok();
        CounterFiles {
            netstat: open("/proc/net/netstat"),
            snmp: open("/proc/net/snmp"),
            snmp6: open("/proc/net/snmp6"),
            softnet: open("/proc/net/softnet_stat"),
            conntrack: open("/proc/net/stat/nf_conntrack"),
            netlink: Netlink::open().ok(),
        }
    }

    /// The counters as they are now: a dozen system calls.
    pub fn read(&mut self) -> Counters {
        let text = |file: &Option<File>| text_of(file.as_ref()?);
        let netstat = text(&self.netstat);
        let (snmp, snmp6) = (text(&self.snmp), text(&self.snmp6));
        let (softnet, conntrack) = (text(&self.softnet), text(&self.conntrack));
        let mut counters = Counters::parse(&Texts {
            netstat: netstat.as_deref(),
            snmp: snmp.as_deref(),
            snmp6: snmp6.as_deref(),
            softnet: softnet.as_deref(),
            conntrack: conntrack.as_deref(),
        });
        let tables = self.netlink.as_mut().map(Netlink::neighbour_tables).unwrap_or_default();
        let fulls: Vec<u64> = tables.iter().filter_map(|table| table.fulls).collect();
        counters.neighbour_table_full =
            (!fulls.is_empty()).then(|| fulls.into_iter().fold(0, u64::saturating_add));
        counters
    }

    /// How many of some targets are behind a next hop that has not replied to ARP or NDP. O(targets),
    /// two system calls each.
    pub fn unresolved<'a>(&mut self, targets: impl Iterator<Item = &'a SocketAddr>) -> Option<u64> {
        let netlink = self.netlink.as_mut()?;
        let mut is_unresolved =
            |target: &&SocketAddr| match netlink.hop(target.ip().to_canonical(), scope(target)) {
                Some(Hop::Neighbour { interface, ip }) => netlink.is_unresolved(interface, ip),
                _ => None,
            };
        let count = targets.filter(|target| is_unresolved(target) == Some(true)).count();
        u64::try_from(count).ok()
    }

    /// Whether an address is of this host, by its current routes.
    pub fn is_own(&mut self, ip: IpAddr) -> Option<bool> {
        self.netlink.as_mut()?.is_own(ip)
    }
}

/// The whole of a `/proc` file, from its beginning: then the kernel generates it anew.
fn text_of(file: &File) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let length = bytes.len();
        bytes.resize(length + PIECE_BYTES, 0);
        let read = file.read_at(&mut bytes[length..], length as u64).ok()?;
        bytes.truncate(length + read);
        if read == 0 {
            return String::from_utf8(bytes).ok();
        }
        if bytes.len() >= FILE_BYTES_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn the_counters_of_this_kernel_are_read_and_rise() {
        let mut files = CounterFiles::open();
        let before = files.read();
        assert!(
            before.attempt_fails.is_some() && before.syn_retrans_failed.is_some(),
            "{before:?}"
        );
        assert!(before.neighbour_table_full.is_some() && before.ingress_drops.is_some());
        // Port 1 of this address has no listener.
        let refused = TcpStream::connect((Ipv4Addr::new(127, 83, 1, 1), 1));
        assert!(refused.is_err());
        let since = files.read().since(&before);
        assert!(since.attempt_fails.is_some_and(|fails| fails >= 1), "{since:?}");
        assert!(since.out_rsts.is_some_and(|resets| resets >= 1), "{since:?}");
        assert_eq!(CounterFiles::default().read(), Counters::default());
    }

    #[test]
    fn own_addresses_are_recognized() {
        let mut files = CounterFiles::open();
        assert_eq!(files.is_own(Ipv4Addr::LOCALHOST.into()), Some(true));
        assert_eq!(files.is_own(Ipv4Addr::new(192, 0, 2, 1).into()), Some(false));
        assert_eq!(CounterFiles::default().is_own(Ipv4Addr::LOCALHOST.into()), None);
    }
}
