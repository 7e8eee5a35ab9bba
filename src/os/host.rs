//! Reads the limits of this host into plain values. `None`: unknown, as it cannot be read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::{fs, iter};

use super::sockets::bytes_per_connection;
use super::{cgroup, neighbours, sys};
use crate::error::{Error, Result};
use crate::limits::{self, Descriptors, Gauge, Host, OWN_BYTES};
use crate::plan::Plan;

pub use crate::limits::{DESCRIPTORS_OWN, PortRange};

/// The most addresses that are checked: each takes microseconds, and a run can have thousands.
const ADDRESSES_CHECKED_MAX: usize = 64;

/// Capabilities by their bits. Source: `include/uapi/linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

/// All local limits that can be below `plan`. Some twenty small files: half a millisecond.
pub fn read(plan: &Plan) -> Host {
    let status = text("/proc/self/status").unwrap_or_default();
    let privileged = |capability| is_privileged(&status, capability);
    let nr_open = number("/proc/sys/fs/nr_open");
    let tracked = Gauge {
        most: number("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or(u64::MAX),
        used: number("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0),
    };
    let files = text("/proc/sys/fs/file-nr").and_then(|text| files_in(&text));
    let targets_here = targets_here(plan);
    Host {
        ports_listened: ports_listened(plan, &targets_here),
        timestamps: number("/proc/sys/net/ipv4/tcp_timestamps"),
        descriptors: descriptors(plan.connections, nr_open, privileged(CAP_SYS_RESOURCE)),
        nr_open,
        // CAP_SYS_ADMIN is exempt. Source: `alloc_empty_file` in `fs/file_table.c`.
        files: files.filter(|_| !privileged(CAP_SYS_ADMIN)),
        watches_max: number("/proc/sys/fs/epoll/max_user_watches"),
        ports: local_port_range(),
        ports_reserved: reserved_ports(),
        time_wait: text("/proc/net/sockstat").and_then(|text| time_wait_in(&text)),
        time_wait_reuse: number("/proc/sys/net/ipv4/tcp_tw_reuse"),
        conntrack: (tracked.most != u64::MAX).then_some(tracked),
        memory_available_bytes: memory_bytes("MemAvailable"),
        cgroups: cgroup::memory_limits(),
        address_space: address_space(&status),
        table_bytes_each: bytes_per_connection(plan),
        neighbours: neighbours::read(plan),
        targets_here,
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn number(path: &str) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// Whether the process of this `/proc/PID/status` has a capability in the initial user namespace.
fn is_privileged(status: &str, capability: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    let is_initial = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    bits >> capability & 1 == 1 && text("/proc/self/uid_map").is_some_and(is_initial)
}

/// The limit on descriptors, after [`raise_nofile_limit`]: a hard limit that is still too low could
/// not be raised.
fn descriptors(connections: u32, nr_open: Option<u64>, is_capable: bool) -> Option<Descriptors> {
    let (soft, hard) = sys::descriptor_limit().ok()?;
    let open = descriptors_open(soft);
    let needed = limits::descriptors_needed(connections, open);
    let may_raise = is_capable && hard >= nr_open.map_or(needed, |most| needed.min(most));
    Some(Descriptors { soft, hard, open, may_raise })
}

/// The open descriptors of this process below `limit`; three if unknown. Those above it, from
/// before the limit was lowered, do not count against it.
fn descriptors_open(limit: u64) -> u64 {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return 3 };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let below = names.filter(|descriptor: &u64| *descriptor < limit).count() as u64;
    // One of them is that of this directory.
    below.saturating_sub(1)
}

/// `fs.file-nr`: allocated, unused ones among these, maximum.
fn files_in(text: &str) -> Option<Gauge> {
    let numbers: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [allocated, unused, most] = numbers[..] else { return None };
    Some(Gauge { most, used: allocated.saturating_sub(unused) })
}

/// `tw` of the line `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 43` in `/proc/net/sockstat`, which
/// costs no walk over all sockets.
fn time_wait_in(sockstat: &str) -> Option<u64> {
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut fields = tcp.split_whitespace().skip_while(|field| *field != "tw");
    fields.nth(1)?.parse().ok()
}

/// `ulimit -v`, and its use by this `/proc/PID/status`.
fn address_space(status: &str) -> Option<Gauge> {
    let most = soft_limit_in(&text("/proc/self/limits")?, "Max address space")?;
    Some(Gauge { most, used: size_in(status, "VmSize")? })
}

/// The soft limit of a line such as `Max address space  unlimited  unlimited  bytes`.
fn soft_limit_in(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Checks that tables of `bytes` and the program's own memory fit below `ulimit -d`: a failed
/// allocation would end the process without the fix.
///
/// # Errors
/// [`Error::Setup`] if not; never if the limit or its use is unknown.
pub fn check_data_limit(bytes: u64) -> Result<()> {
    let most = text("/proc/self/limits").and_then(|text| soft_limit_in(&text, "Max data size"));
    let used = text("/proc/self/status").and_then(|text| size_in(&text, "VmData"));
    let (Some(most), Some(used)) = (most, used) else { return Ok(()) };
    let needed = used.saturating_add(bytes).saturating_add(2 * OWN_BYTES);
    if needed <= most {
        return Ok(());
    }
    let (most, needed) = (most >> 10, needed.div_ceil(1 << 10));
    Err(Error::Setup(format!(
        "not enough memory: ulimit -d is {most} KiB, and {needed} KiB are needed; fix: ulimit -d {needed}"
    )))
}

/// By target: whether it is an address of this host. Each address is checked once; those beyond
/// [`ADDRESSES_CHECKED_MAX`] count as other hosts.
fn targets_here(plan: &Plan) -> Vec<bool> {
    let mut known: HashMap<IpAddr, bool> = HashMap::new();
    let is_here = |address: SocketAddr| {
        let ip = address.ip();
        if limits::is_loopback(ip) {
            return true;
        }
        let is_known = known.get(&ip).copied();
        is_known.unwrap_or_else(|| {
            known.len() < ADDRESSES_CHECKED_MAX && *known.entry(ip).or_insert(is_own(address))
        })
    };
    plan.routes.targets().iter().map(|target| target.address).map(is_here).collect()
}

/// The ports of targets on this host that have a listener; of the first [`ADDRESSES_CHECKED_MAX`]
/// targets.
fn ports_listened(plan: &Plan, targets_here: &[bool]) -> Vec<u16> {
    let targets = plan.routes.targets().iter().zip(targets_here);
    let here = targets.filter(|(_, is_here)| **is_here).map(|(target, _)| &target.address);
    let is_listened = |address: &&SocketAddr| sys::has_listener(address);
    let listened = here.take(ADDRESSES_CHECKED_MAX).filter(is_listened);
    let mut ports: Vec<u16> = listened.map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether an address can be bound, which only this host's can, unless `ip_nonlocal_bind` is set.
fn is_own(mut address: SocketAddr) -> bool {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let binds_any = number(&format!("/proc/sys/net/{family}/ip_nonlocal_bind")) == Some(1);
    address.set_port(0);
    !binds_any && UdpSocket::bind(address).is_ok()
}

/// `net.ipv4.ip_local_port_range` of this network namespace; also used for IPv6.
pub fn local_port_range() -> Option<PortRange> {
    let text = text("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut fields = text.split_whitespace();
    port_range(fields.next()?, fields.next()?)
}

fn port_range(low: &str, high: &str) -> Option<PortRange> {
    let range = PortRange { low: low.parse().ok()?, high: high.parse().ok()? };
    (range.low <= range.high).then_some(range)
}

/// `net.ipv4.ip_local_reserved_ports`, which `connect()` does not choose; empty if unknown.
pub fn reserved_ports() -> Vec<PortRange> {
    let text = text("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    reserved_in(&text)
}

/// Ranges such as `80,8000-8009`.
fn reserved_in(text: &str) -> Vec<PortRange> {
    let ranges = text.trim().split(',').filter_map(|item| {
        let (low, high) = item.split_once('-').unwrap_or((item, item));
        port_range(low, high)
    });
    ranges.collect()
}

/// `net.core.somaxconn`: the maximum of a listener's backlog.
pub fn accept_queue_max() -> Option<u32> {
    fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// This host's name, to match a report with a server's log.
pub fn name() -> Option<String> {
    // Can be any bytes: report/ escapes it.
    let name = fs::read("/proc/sys/kernel/hostname").ok()?;
    let name = String::from_utf8_lossy(name.trim_ascii());
    (!name.is_empty()).then(|| name.into_owned())
}

/// A line of `/proc/meminfo` in bytes.
pub fn memory_bytes(field: &str) -> Option<u64> {
    size_in(&fs::read_to_string("/proc/meminfo").ok()?, field)
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(process: u32) -> Option<u64> {
    size_in(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmRSS")
}

fn size_in(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Raises RLIMIT_NOFILE: the soft limit to the hard one, and the hard one, if this process may, to
/// what `connections` need, at most `fs.nr_open`. A failure is no error: dials without a descriptor
/// are failures of this host.
pub fn raise_nofile_limit(connections: u32) {
    let Ok((_, hard)) = sys::descriptor_limit() else { return };
    let most = number("/proc/sys/fs/nr_open").unwrap_or(u64::MAX);
    let needed = limits::descriptors_needed(connections, descriptors_open(hard)).min(most);
    if needed > hard && sys::set_descriptor_limit(needed).is_ok() {
        return;
    }
    // If fs.nr_open was lowered since, the limit cannot be set above it.
    let _ = sys::set_descriptor_limit(hard.min(most));
}

/// Checks that the tables of a run fit into the available memory, of this host and of its cgroups.
/// A successful allocation is no proof: the kernel overcommits, and later kills the process.
///
/// # Errors
/// [`Error::Memory`] if they do not fit.
pub fn check_memory_for(connections: u32, host: &Host) -> Result<()> {
    let bytes = u64::from(connections) * host.table_bytes_each;
    let cgroups = host.cgroups.iter().map(|memory| memory.bytes.free());
    let address_space = host.address_space.iter().map(Gauge::free);
    let available = iter::empty().chain(host.memory_available_bytes).chain(cgroups);
    let free = available.chain(address_space).min();
    if free.is_some_and(|free| free < bytes + OWN_BYTES) {
        return Err(Error::Memory { connections, bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_name_and_returned_in_bytes() {
        let text = "MemTotal:       16 kB\nSlab:            2 kB\nVmRSS:\t  3 kB\nBad: 3\n";
        assert_eq!(size_in(text, "MemTotal"), Some(16 * 1024));
        assert_eq!(size_in(text, "Slab"), Some(2 * 1024));
        assert_eq!(size_in(text, "VmRSS"), Some(3 * 1024));
        assert_eq!(size_in(text, "Mem"), None);
        assert_eq!(size_in(text, "Bad"), None);
    }

    #[test]
    fn reserved_ports_are_ranges() {
        let range = |low, high| PortRange { low, high };
        for (text, ranges) in [
            ("\n", vec![]),
            ("80\n", vec![range(80, 80)]),
            ("80,8000-8009\n", vec![range(80, 80), range(8000, 8009)]),
            ("9-8,x,70000", vec![]),
        ] {
            assert_eq!(reserved_in(text), ranges, "{text}");
        }
    }

    #[test]
    fn files_in_use_are_those_allocated_and_not_unused() {
        assert_eq!(files_in("479\t0\t2466183\n"), Some(Gauge { most: 2_466_183, used: 479 }));
        assert_eq!(
            files_in("479\t9\t9223372036854775807\n"),
            Some(Gauge { most: i64::MAX.unsigned_abs(), used: 470 })
        );
        assert_eq!(files_in("479\t0\n"), None);
    }

    #[test]
    fn time_wait_is_read_by_its_name() {
        let text = "sockets: used 16\nTCP: inuse 1 orphan 2 tw 345 alloc 6 mem 7\nUDP: inuse 0\n";
        assert_eq!(time_wait_in(text), Some(345));
        assert_eq!(time_wait_in("TCP: inuse 1 tw\n"), None);
        assert_eq!(time_wait_in(""), None);
    }

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let line = "Max locked memory  8  8  bytes\nMax address space         ";
        for (limits, most) in [("unlimited  unlimited", None), ("1024  unlimited", Some(1024))] {
            let limits = format!("{line}{limits}  bytes\n");
            assert_eq!(soft_limit_in(&limits, "Max address space"), most);
        }
    }

    #[test]
    fn a_capability_is_one_bit() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t0000000001000000\n";
        assert!(!is_privileged(status, CAP_SYS_ADMIN) && !is_privileged("", CAP_SYS_RESOURCE));
        // In another user namespace the bit does not count.
        let map = text("/proc/self/uid_map").unwrap();
        let is_initial = map.split_whitespace().eq(["0", "0", "4294967295"]);
        assert_eq!(is_privileged(status, CAP_SYS_RESOURCE), is_initial);
    }

    #[test]
    fn tables_have_to_fit_below_every_memory_limit() {
        let gauge = |most| Gauge { most, used: 1 << 20 };
        let cgroup = |most| limits::CgroupMemory { file: "x".into(), bytes: gauge(most) };
        let (little, much) = (3 << 20, 1 << 40);
        for (available, cgroups, address_space, fits) in [
            (None, vec![], None, true),
            (Some(much), vec![cgroup(much)], Some(gauge(much)), true),
            (Some(little), vec![], None, false),
            (Some(much), vec![cgroup(much), cgroup(little)], None, false),
            (Some(much), vec![], Some(gauge(little)), false),
        ] {
            let host = Host {
                memory_available_bytes: available,
                cgroups,
                address_space,
                table_bytes_each: 37,
                ..Host::default()
            };
            assert_eq!(check_memory_for(100_000, &host).is_ok(), fits, "{host:?}");
            assert!(check_memory_for(1000, &host).is_ok());
        }
    }

    #[test]
    fn the_limits_of_this_host_are_read() {
        let range = local_port_range().unwrap();
        assert!(range.contains(range.low) && range.contains(range.high));
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
        assert!(accept_queue_max().unwrap() > 0);
    }
}
