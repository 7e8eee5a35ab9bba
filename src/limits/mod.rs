//! The local limits below a run: judges a [`Plan`] by a [`Host`]'s numbers.
//!
//! `os/host.rs` reads, this judges, `report/preflight.rs` prints. A finding stops no run: the limit
//! may be raised, or prove not to apply, before it is reached.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::order::sort_short_by_key;
use crate::plan::Plan;
use time_wait::Ports;

mod model;
mod neighbours;
#[cfg(test)]
mod tests;
mod time_wait;

pub use model::{
    CgroupMemory, Descriptors, Finding, Gauge, Host, Knob, Neighbours, PORTS_WIDEST, PortRange,
    PortsKnob, TimeWaitKnob,
};

/// Descriptors planned beside the connections: those open at the start, those that a run opens for
/// itself, and a reserve.
pub const DESCRIPTORS_OWN: u64 = 16;

/// Those that a run opens after the limits are judged: poll set, timer, signals.
const DESCRIPTORS_LATER: u64 = 3;

/// The kernel's descriptor table grows in steps of this size, and never beyond `fs.nr_open`.
/// Source: `alloc_fdtable` in `fs/file.c`.
const DESCRIPTORS_STEP: u64 = 64;

/// Entries of the poll set beside the connections, with a reserve.
const WATCHES_OWN: u64 = 4;

/// Memory of a run beside its tables: four times what was measured.
pub const OWN_BYTES: u64 = 1 << 20;

/// Kernel memory of one end of an idle connection: socket, file, inode, dentry and epoll watch.
/// Measured as the growth of slabs on Linux 6.18: 8.1 KB for both ends.
pub const KERNEL_BYTES_EACH_END: u64 = 4096;

/// What a cgroup is charged for an accepted end: 1.5 KB, measured on Linux 6.18; a dialing end is
/// charged 3.9 KB. The accepted socket itself is allocated in softirq context and not charged.
const CGROUP_BYTES_ACCEPTED: u64 = 1536;

/// The descriptors that a process with `open` descriptors needs for `connections`.
pub fn descriptors_needed(connections: u32, open: u64) -> u64 {
    let own = DESCRIPTORS_OWN.max(open.saturating_add(DESCRIPTORS_LATER));
    own.saturating_add(connections.into())
}

/// Whether packets to this address never leave any host. connect() to the unspecified address is to
/// the loopback.
pub fn is_loopback(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// The limits that allow fewer connections than planned, the lowest first. O(targets).
pub fn judge(plan: &Plan, host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    judge_descriptors(plan, host, &mut found);
    judge_counts(plan, host, &mut found);
    judge_ports(plan, host, &mut found);
    judge_memory(plan, host, &mut found);
    neighbours::judge(plan, host, &mut found);
    found.retain(|finding| finding.connections < u64::from(plan.connections));
    sort_short_by_key(&mut found, |finding| finding.connections);
    // Of dials over time, not of connections at once.
    let sustained = sustained_by_ports(plan, host);
    found.extend(sustained.and_then(|knob| time_wait::judge(plan, knob)));
    found
}

/// A process that may raise its hard limit has done so; then only `fs.nr_open` limits it. A server
/// on this host has a limit of its own.
fn judge_descriptors(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let open = host.descriptors.map_or(0, |limit| limit.open);
    let needed = descriptors_needed(plan.connections, open);
    let free = |limit: u64| limit.saturating_sub(open.saturating_add(DESCRIPTORS_LATER));
    if let Some(Descriptors { soft, hard, may_raise, .. }) = host.descriptors {
        let connections = free(soft);
        if needed <= hard {
            found.push(Finding { connections, knob: Knob::SoftDescriptors { soft, needed } });
        } else if !may_raise {
            let most = in_steps(needed);
            let nr_open_needed = host.nr_open.is_some_and(|nr| nr < most).then_some(most);
            let knob = Knob::HardDescriptors { hard, needed, nr_open_needed };
            found.push(Finding { connections, knob });
        }
    }
    if let Some(most) = host.nr_open {
        let connections = free(most - most % DESCRIPTORS_STEP);
        let needed = in_steps(needed);
        found.push(Finding { connections, knob: Knob::NrOpen { most, needed } });
    }
}

/// Rounded up to whole steps of the descriptor table.
fn in_steps(descriptors: u64) -> u64 {
    descriptors.checked_next_multiple_of(DESCRIPTORS_STEP).unwrap_or(u64::MAX)
}

/// Limits of the whole host, or of a user.
fn judge_counts(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let (ends, planned) = (Ends::of(plan, host), u64::from(plan.connections));
    if let Some(files) = host.files {
        // A file for each end on this host.
        let more = ends.total(planned, 1, 1) + DESCRIPTORS_LATER;
        let needed = files.used.saturating_add(more);
        let free = files.free().saturating_sub(DESCRIPTORS_LATER);
        let connections = ends.fit(free, 1, 1);
        found.push(Finding { connections, knob: Knob::FileMax { files, needed } });
    }
    if let Some(most) = host.watches_max {
        // A server on this host is assumed to be of the same user, and to use epoll.
        let connections = ends.fit(most.saturating_sub(WATCHES_OWN), 1, 1);
        let needed = ends.total(planned, 1, 1) + WATCHES_OWN;
        found.push(Finding { connections, knob: Knob::Watches { most, needed } });
    }
    if let Some(entries) = host.conntrack {
        // One entry a connection, also if both ends are on this host.
        let (connections, needed) = (entries.free(), entries.used.saturating_add(planned));
        found.push(Finding { connections, knob: Knob::Conntrack { entries, needed } });
    }
}

fn judge_ports(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let Some(range) = host.ports else { return };
    let (planned, pairs) = (u64::from(plan.connections), pairs(plan));
    let usable = ports_usable(host, range);
    let time_wait = if is_time_wait_reused(plan, host) { 0 } else { host.time_wait.unwrap_or(0) };
    let shares = Shares::of(plan);
    let allowed = |usable: u64| shares.fit(usable).min((pairs * usable).saturating_sub(time_wait));
    let widest = allowed(ports_usable(host, PORTS_WIDEST));
    let knob = PortsKnob {
        range,
        usable,
        pairs,
        pairs_needed: (usable > 0).then(|| shares.pairs_needed(usable, time_wait)),
        most: shares.fit(usable),
        time_wait,
        time_wait_decides: shares.fit(usable) >= planned,
        reuse_helps: host.timestamps != Some(0),
        widest_is_enough: widest >= planned,
    };
    found.push(Finding { connections: allowed(usable), knob: Knob::Ports(knob) });
}

fn judge_memory(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let (ends, planned) = (Ends::of(plan, host), u64::from(plan.connections));
    let own = KERNEL_BYTES_EACH_END + host.table_bytes_each;
    if let Some(available_bytes) = host.memory_available_bytes {
        let connections = ends.fit(available_bytes, own, KERNEL_BYTES_EACH_END);
        let needed_bytes = memory_needed(plan, host);
        found.push(Finding { connections, knob: Knob::Memory { available_bytes, needed_bytes } });
    }
    for memory in &host.cgroups {
        // A server on this host is assumed to be in the same cgroup.
        let connections = ends.fit(memory.bytes.free(), own, CGROUP_BYTES_ACCEPTED);
        let more = ends.total(planned, own, CGROUP_BYTES_ACCEPTED);
        let needed_bytes = memory.bytes.used.saturating_add(more);
        let memory = memory.clone();
        found.push(Finding { connections, knob: Knob::Cgroup { memory, needed_bytes } });
    }
    if let Some(bytes) = host.address_space {
        let free = bytes.free().saturating_sub(OWN_BYTES);
        let connections = free / host.table_bytes_each.max(1);
        let more = planned * host.table_bytes_each + OWN_BYTES;
        let needed_bytes = bytes.used.saturating_add(more);
        found.push(Finding { connections, knob: Knob::AddressSpace { bytes, needed_bytes } });
    }
}

/// Memory of the run on this host in bytes, kernel and user space.
pub fn memory_needed(plan: &Plan, host: &Host) -> u64 {
    let own = KERNEL_BYTES_EACH_END + host.table_bytes_each;
    Ends::of(plan, host).total(plan.connections.into(), own, KERNEL_BYTES_EACH_END)
}

/// The ports of `range` that one pair of source and target can use.
pub fn ports_usable(host: &Host, range: PortRange) -> u64 {
    let reserved = host.ports_reserved.iter().filter_map(|reserved| reserved.within(range));
    // connect() never chooses a port with a listener, whatever the destination.
    let is_unusable = |port: &&u16| {
        range.contains(**port) && !host.ports_reserved.iter().any(|r| r.contains(**port))
    };
    let listened = host.ports_listened.iter().filter(is_unusable).count() as u64;
    let reserved: u64 = reserved.map(|reserved| u64::from(reserved.count())).sum();
    u64::from(range.count()).saturating_sub(reserved + listened)
}

/// The number of pairs of source and target; the same target twice is one pair.
pub fn pairs(plan: &Plan) -> u64 {
    Shares::of(plan).0.iter().map(|share| share.sources).sum()
}

/// The connections of each dialed address: they are spread evenly over the targets, whatever the
/// number of sources that can dial them.
struct Shares(Vec<Share>);

struct Share {
    connections: u64,
    sources: u64,
}

impl Shares {
    fn of(plan: &Plan) -> Shares {
        let routes = &plan.routes;
        let targets = routes.targets().len() as u64;
        let (each, rest) =
            (u64::from(plan.connections) / targets, u64::from(plan.connections) % targets);
        let mut shares: HashMap<SocketAddr, Share> = HashMap::new();
        for (index, target) in (0..).zip(routes.targets()) {
            let sources = routes.sources_towards(&target.address).len().max(1) as u64;
            let share = shares.entry(target.address).or_insert(Share { connections: 0, sources });
            share.connections += each + u64::from(index < rest);
        }
        Shares(shares.into_values().collect())
    }

    /// The connections that get a port if each pair has `usable` ports.
    fn fit(&self, usable: u64) -> u64 {
        self.0.iter().map(|share| share.connections.min(share.sources * usable)).sum()
    }

    fn pairs_needed(&self, usable: u64, time_wait: u64) -> u64 {
        let each = self.0.iter().map(|share| share.connections.div_ceil(usable).max(share.sources));
        each.sum::<u64>().saturating_add(time_wait.div_ceil(usable))
    }
}

/// What the ports sustain if each connection is closed by FIN and dialed again; `None` if none is.
pub fn sustained_by_ports(plan: &Plan, host: &Host) -> Option<TimeWaitKnob> {
    let range = host.ports?;
    let (usable, pairs) = (ports_usable(host, range), pairs(plan));
    let is_reused = is_time_wait_reused(plan, host);
    let can_be_reused = host.timestamps != Some(0);
    time_wait::sustained(plan, &Ports { range, usable, pairs, is_reused, can_be_reused })
}

/// Whether `connect()` reuses ports in TIME_WAIT. Source: `tcp_twsk_unique` in
/// `net/ipv4/tcp_ipv4.c`.
fn is_time_wait_reused(plan: &Plan, host: &Host) -> bool {
    match host.time_wait_reuse {
        _ if host.timestamps == Some(0) => false,
        Some(0) => false,
        Some(2) => plan.routes.targets().iter().all(|target| is_loopback(target.address.ip())),
        _ => true,
    }
}

/// The targets on this host: connections to them cost it both ends.
#[derive(Debug, Clone, Copy)]
struct Ends {
    targets: u64,
    here: u64,
}

impl Ends {
    fn of(plan: &Plan, host: &Host) -> Ends {
        let targets = plan.routes.targets().len();
        let here = host.targets_here.iter().take(targets).filter(|is_here| **is_here).count();
        Ends { targets: targets as u64, here: here as u64 }
    }

    /// The cost of `connections` spread over the targets: `own` for our end, and `other` for a
    /// peer's end on this host.
    fn total(self, connections: u64, own: u64, other: u64) -> u64 {
        let each =
            u128::from(own) * u128::from(self.targets) + u128::from(other) * u128::from(self.here);
        let total = (u128::from(connections) * each).div_ceil(u128::from(self.targets));
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// The connections that fit into `free`.
    fn fit(self, free: u64, own: u64, other: u64) -> u64 {
        let each =
            u128::from(own) * u128::from(self.targets) + u128::from(other) * u128::from(self.here);
        let connections = u128::from(free) * u128::from(self.targets) / each.max(1);
        u64::try_from(connections).unwrap_or(u64::MAX)
    }
}
