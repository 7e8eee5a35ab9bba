//! What of this host stands in the way of a run: judges a [`Plan`] against a [`Host`]'s numbers.
//!
//! `os/host.rs` reads, this judges, `report/preflight.rs` finds the words. A finding refuses
//! nothing: a limit may be lifted, or prove to be none, before it is met.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::plan::Plan;

mod model;
mod neighbours;
#[cfg(test)]
mod tests;

pub use model::{
    CgroupMemory, Descriptors, Finding, Gauge, Host, Knob, Neighbours, PORTS_WIDEST, PortRange,
    PortsKnob,
};

/// Descriptors that are planned for beside the connections: what is open when a program starts, what
/// a run opens for itself, and some to spare.
pub const DESCRIPTORS_OWN: u64 = 16;

/// Of these, what a run opens after it was judged: poll set, timer, signals.
const DESCRIPTORS_TO_COME: u64 = 3;

/// A table of descriptors grows by so many, and not where its last ones would be above `fs.nr_open`.
/// Source: `alloc_fdtable` in `fs/file.c`.
const DESCRIPTORS_STEP: u64 = 64;

/// What a run has in its poll set beside the connections, and some to spare.
const WATCHES_OWN: u64 = 4;

/// Memory that a run takes for itself beside its table, and some to spare: a quarter of it is what
/// was measured.
pub const OWN_BYTES: u64 = 1 << 20;

/// Kernel memory of one end of a connection with no data under way: socket, file, inode, dentry and
/// watch. Measured as the growth of slabs on Linux 6.18: 8.1 KB for both ends.
pub const KERNEL_BYTES_EACH_END: u64 = 4096;

/// What a cgroup is charged for an end that it accepted: measured on Linux 6.18, 1.5 KB, where the
/// dialing end takes 3.9. The accepted socket itself is made while the kernel handles a packet, and
/// then it is nobody's.
const CGROUP_BYTES_ACCEPTED: u64 = 1536;

/// How many descriptors a process needs for so many connections when `open` are open already.
pub fn descriptors_needed(connections: u32, open: u64) -> u64 {
    let own = DESCRIPTORS_OWN.max(open.saturating_add(DESCRIPTORS_TO_COME));
    own.saturating_add(connections.into())
}

/// Whether packets to this address never leave the host, whatever the host's addresses are. To
/// connect to the unspecified address is to connect to the loopback.
pub fn is_loopback(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// The limits that allow fewer connections than the plan has, the one that allows the fewest first.
pub fn judge(plan: &Plan, host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    judge_descriptors(plan, host, &mut found);
    judge_counts(plan, host, &mut found);
    judge_ports(plan, host, &mut found);
    judge_memory(plan, host, &mut found);
    neighbours::judge(plan, host, &mut found);
    found.retain(|finding| finding.connections < u64::from(plan.connections));
    found.sort_by_key(|finding| finding.connections);
    found
}

/// Where the process may raise its hard limit it has done so, and what is left is `fs.nr_open`.
/// What a server on this host needs is its own business.
fn judge_descriptors(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let open = host.descriptors.map_or(0, |limit| limit.open);
    let needed = descriptors_needed(plan.connections, open);
    let room = |limit: u64| limit.saturating_sub(open.saturating_add(DESCRIPTORS_TO_COME));
    if let Some(Descriptors { soft, hard, may_raise, .. }) = host.descriptors {
        let connections = room(soft);
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
        let connections = room(most - most % DESCRIPTORS_STEP);
        let needed = in_steps(needed);
        found.push(Finding { connections, knob: Knob::NrOpen { most, needed } });
    }
}

/// Up to whole steps of a table of descriptors.
fn in_steps(descriptors: u64) -> u64 {
    descriptors.checked_next_multiple_of(DESCRIPTORS_STEP).unwrap_or(u64::MAX)
}

/// What is counted for the whole host, or a user of it.
fn judge_counts(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let (ends, asked) = (Ends::of(plan, host), u64::from(plan.connections));
    if let Some(files) = host.files {
        // Each end is a file.
        let more = ends.total(asked, 1, 1) + DESCRIPTORS_TO_COME;
        let needed = files.used.saturating_add(more);
        let room = files.room().saturating_sub(DESCRIPTORS_TO_COME);
        let connections = ends.room(room, 1, 1);
        found.push(Finding { connections, knob: Knob::FileMax { files, needed } });
    }
    if let Some(most) = host.watches_max {
        // A server on this host is taken to be the same user's, with an epoll of its own.
        let connections = ends.room(most.saturating_sub(WATCHES_OWN), 1, 1);
        let needed = ends.total(asked, 1, 1) + WATCHES_OWN;
        found.push(Finding { connections, knob: Knob::Watches { most, needed } });
    }
    if let Some(entries) = host.conntrack {
        // One entry a connection, also where both of its ends are here.
        let (connections, needed) = (entries.room(), entries.used.saturating_add(asked));
        found.push(Finding { connections, knob: Knob::Conntrack { entries, needed } });
    }
}

fn judge_ports(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let Some(range) = host.ports else { return };
    let (asked, pairs) = (u64::from(plan.connections), pairs(plan));
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
        time_wait_decides: shares.fit(usable) >= asked,
        reuse_helps: host.timestamps != Some(0),
        widest_is_enough: widest >= asked,
    };
    found.push(Finding { connections: allowed(usable), knob: Knob::Ports(knob) });
}

fn judge_memory(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let (ends, asked) = (Ends::of(plan, host), u64::from(plan.connections));
    let own = KERNEL_BYTES_EACH_END + host.table_bytes_each;
    if let Some(available_bytes) = host.memory_available_bytes {
        let connections = ends.room(available_bytes, own, KERNEL_BYTES_EACH_END);
        let needed_bytes = memory_needed(plan, host);
        found.push(Finding { connections, knob: Knob::Memory { available_bytes, needed_bytes } });
    }
    for memory in &host.cgroups {
        // Whose cgroup a server on this host is in is unknown: it is taken to share this one.
        let connections = ends.room(memory.bytes.room(), own, CGROUP_BYTES_ACCEPTED);
        let more = ends.total(asked, own, CGROUP_BYTES_ACCEPTED);
        let needed_bytes = memory.bytes.used.saturating_add(more);
        let memory = memory.clone();
        found.push(Finding { connections, knob: Knob::Cgroup { memory, needed_bytes } });
    }
    if let Some(bytes) = host.address_space {
        let room = bytes.room().saturating_sub(OWN_BYTES);
        let connections = room / host.table_bytes_each.max(1);
        let more = asked * host.table_bytes_each + OWN_BYTES;
        let needed_bytes = bytes.used.saturating_add(more);
        found.push(Finding { connections, knob: Knob::AddressSpace { bytes, needed_bytes } });
    }
}

/// Memory that the run takes on this host, the kernel's and our own, in bytes.
pub fn memory_needed(plan: &Plan, host: &Host) -> u64 {
    let own = KERNEL_BYTES_EACH_END + host.table_bytes_each;
    Ends::of(plan, host).total(plan.connections.into(), own, KERNEL_BYTES_EACH_END)
}

/// How many ports of `range` one pair of a source and a target can use.
pub fn ports_usable(host: &Host, range: PortRange) -> u64 {
    let reserved = host.ports_reserved.iter().filter_map(|reserved| reserved.within(range));
    // A port that somebody listens on is given to no `connect()`, wherever that leads.
    let is_lost = |port: &&u16| {
        range.contains(**port) && !host.ports_reserved.iter().any(|r| r.contains(**port))
    };
    let listened = host.ports_listened.iter().filter(is_lost).count() as u64;
    let reserved: u64 = reserved.map(|reserved| u64::from(reserved.count())).sum();
    u64::from(range.count()).saturating_sub(reserved + listened)
}

/// How many pairs of a source and a target there are; the same target twice is one pair.
pub fn pairs(plan: &Plan) -> u64 {
    Shares::of(plan).0.iter().map(|share| share.sources).sum()
}

/// What each address that is dialed gets of the connections: they are spread evenly over the
/// targets, whatever the number of sources that can dial them.
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

    /// How many of the connections find a port if each pair has so many.
    fn fit(&self, usable: u64) -> u64 {
        self.0.iter().map(|share| share.connections.min(share.sources * usable)).sum()
    }

    fn pairs_needed(&self, usable: u64, time_wait: u64) -> u64 {
        let each = self.0.iter().map(|share| share.connections.div_ceil(usable).max(share.sources));
        each.sum::<u64>().saturating_add(time_wait.div_ceil(usable))
    }
}

/// Whether a port in TIME_WAIT can be had all the same.
/// Source: `tcp_twsk_unique` in `net/ipv4/tcp_ipv4.c`.
fn is_time_wait_reused(plan: &Plan, host: &Host) -> bool {
    match host.time_wait_reuse {
        _ if host.timestamps == Some(0) => false,
        Some(0) => false,
        Some(2) => plan.routes.targets().iter().all(|target| is_loopback(target.address.ip())),
        _ => true,
    }
}

/// How many of a plan's targets are this host: there a connection costs it twice.
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

    /// What `connections` take that are spread over the targets, if each end of ours takes `own`
    /// and each other one that is here `other`.
    fn total(self, connections: u64, own: u64, other: u64) -> u64 {
        let each =
            u128::from(own) * u128::from(self.targets) + u128::from(other) * u128::from(self.here);
        let total = (u128::from(connections) * each).div_ceil(u128::from(self.targets));
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// How many connections `room` is enough for.
    fn room(self, room: u64, own: u64, other: u64) -> u64 {
        let each =
            u128::from(own) * u128::from(self.targets) + u128::from(other) * u128::from(self.here);
        let connections = u128::from(room) * u128::from(self.targets) / each.max(1);
        u64::try_from(connections).unwrap_or(u64::MAX)
    }
}
