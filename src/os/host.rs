//! Reads this machine's limits and names into plain values. What cannot be read is `None`: unknown,
//! not wrong.

use std::fs;

use super::sockets::BYTES_PER_CONNECTION;
use super::sys;
use crate::error::{Error, Result};

/// Descriptors that a run needs beside its connections: the standard three, two of the three again
/// where they are reopened, poll set, timer, signals, and room for what the C library opens.
pub const DESCRIPTORS_OWN: u64 = 16;

/// The local ports that `connect()` chooses from, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    pub low: u16,
    pub high: u16,
}

impl PortRange {
    pub fn contains(&self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    pub fn count(&self) -> u32 {
        u32::from(self.high) - u32::from(self.low) + 1
    }
}

/// `net.ipv4.ip_local_port_range` of this network namespace; it holds for IPv6 as well.
pub fn local_port_range() -> Option<PortRange> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_whitespace().map(|word| word.parse().ok());
    match (ports.next().flatten(), ports.next().flatten()) {
        (Some(low), Some(high)) if low <= high => Some(PortRange { low, high }),
        _ => None,
    }
}

/// How many ports of a range `net.ipv4.ip_local_reserved_ports` keeps from `connect()`; 0 if unknown.
pub fn reserved_ports(range: PortRange) -> u32 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    text.trim().split(',').filter_map(|item| reserved_in(item, range)).sum()
}

/// Of one item, `80` or `8000-8009`.
fn reserved_in(item: &str, range: PortRange) -> Option<u32> {
    let (low, high) = item.split_once('-').unwrap_or((item, item));
    let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
    let (low, high) = (low.max(range.low), high.min(range.high));
    (low <= high).then(|| u32::from(high) - u32::from(low) + 1)
}

/// `net.core.somaxconn`: the longest accept queue that a listener gets.
pub fn accept_queue_max() -> Option<u32> {
    fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// This host's name, for matching a report with a server's log.
pub fn name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A line of `/proc/meminfo` in bytes.
pub fn memory_bytes(field: &str) -> Option<u64> {
    size_in(&fs::read_to_string("/proc/meminfo").ok()?, field)
}

/// Resident memory of a process in bytes; of this one for `None`.
pub fn resident_bytes(process: Option<u32>) -> Option<u64> {
    let whose = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    size_in(&fs::read_to_string(format!("/proc/{whose}/status")).ok()?, "VmRSS")
}

fn size_in(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Raises the soft limit on descriptors to the hard one if `connections` and what the run itself
/// opens do not fit below it. They may not fit below the hard one either, or the limit may not be
/// raised: the dials that find none left are errors of this host.
pub fn make_room_for(connections: u32) {
    let needed = u64::from(connections) + DESCRIPTORS_OWN;
    let fits = sys::descriptor_limit().is_ok_and(|(soft, _)| needed <= soft);
    if !fits {
        let _ = sys::raise_descriptor_limit();
    }
}

/// Refuses a table that is larger than the memory there is. Asking the allocator is not enough: it
/// promises more than there is, and the promise is broken by ending the process.
///
/// # Errors
/// [`Error::Memory`].
pub fn check_memory_for(connections: u32) -> Result<()> {
    let bytes = u64::from(connections) * BYTES_PER_CONNECTION;
    match memory_bytes("MemAvailable") {
        Some(available) if available < bytes => Err(Error::Memory { connections, bytes }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_name_and_come_in_bytes() {
        let text = "MemTotal:       16 kB\nSlab:            2 kB\nVmRSS:\t  3 kB\nBad: 3\n";
        assert_eq!(size_in(text, "MemTotal"), Some(16 * 1024));
        assert_eq!(size_in(text, "Slab"), Some(2 * 1024));
        assert_eq!(size_in(text, "VmRSS"), Some(3 * 1024));
        assert_eq!(size_in(text, "Mem"), None);
        assert_eq!(size_in(text, "Bad"), None);
    }

    #[test]
    fn reserved_ports_count_where_they_are_in_the_range() {
        let range = PortRange { low: 100, high: 199 };
        for (item, count) in [("99", None), ("100", Some(1)), ("90-109", Some(10)), ("", None)] {
            assert_eq!(reserved_in(item, range), count, "{item}");
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        let range = local_port_range().unwrap();
        assert!(range.contains(range.low) && range.contains(range.high));
        assert!(resident_bytes(None).unwrap() > 0);
        assert!(accept_queue_max().unwrap() > 0);
    }
}
