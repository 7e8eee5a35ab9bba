//! The numbers of this host, and findings.

/// All unprivileged ports.
pub const PORTS_WIDEST: PortRange = PortRange { low: 1024, high: 65_535 };

/// The local ports that `connect()` chooses from, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

    /// The ports in both ranges.
    pub fn within(&self, other: PortRange) -> Option<PortRange> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(PortRange { low, high })
    }
}

/// A limit and its current use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    pub most: u64,
    pub used: u64,
}

impl Gauge {
    pub fn free(&self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// RLIMIT_NOFILE, after it was raised as far as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptors {
    pub soft: u64,
    pub hard: u64,
    /// Open descriptors.
    pub open: u64,
    /// Whether this process may raise the hard limit, so that only `fs.nr_open` limits it.
    pub may_raise: bool,
}

/// A memory limit of a cgroup of this process, in bytes; reclaimable page cache does not count as
/// used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupMemory {
    /// The file of the limit.
    pub file: String,
    pub bytes: Gauge,
}

/// The limits of this host. `None`, or an empty list: unknown or unlimited, and no limit here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    pub descriptors: Option<Descriptors>,
    /// `fs.nr_open`: the maximum of a hard limit.
    pub nr_open: Option<u64>,
    /// `fs.file-max`; `None` also if this process is exempt.
    pub files: Option<Gauge>,
    /// `fs.epoll.max_user_watches`; the number in use cannot be read.
    pub watches_max: Option<u64>,
    /// `net.ipv4.ip_local_port_range` and `net.ipv4.ip_local_reserved_ports`.
    pub ports: Option<PortRange>,
    pub ports_reserved: Vec<PortRange>,
    /// Ports of targets on this host with a listener, each once; of the first targets only, if
    /// there are many.
    pub ports_listened: Vec<u16>,
    /// Connections in TIME_WAIT, whatever their addresses.
    pub time_wait: Option<u64>,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on the loopback.
    pub time_wait_reuse: Option<u64>,
    /// `net.ipv4.tcp_timestamps`: without them no port in TIME_WAIT is reused.
    pub timestamps: Option<u64>,
    /// `net.netfilter.nf_conntrack_max`; `None` without connection tracking.
    pub conntrack: Option<Gauge>,
    /// `MemAvailable`, in bytes.
    pub memory_available_bytes: Option<u64>,
    pub cgroups: Vec<CgroupMemory>,
    /// `RLIMIT_AS`, in bytes.
    pub address_space: Option<Gauge>,
    /// User-space memory of this program for a connection.
    pub table_bytes_each: u64,
    /// By target of the plan: whether it is on this host. Targets without an entry are not.
    pub targets_here: Vec<bool>,
    /// The neighbour tables, with the entries that the plan needs.
    pub neighbours: Vec<Neighbours>,
}

/// The neighbour table of a family, and the entries that a plan needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours {
    pub is_v6: bool,
    /// Of all network namespaces. The kernel frees entries that were not used for some seconds, so
    /// more can be free than this.
    pub entries: Gauge,
    /// Different neighbours on the routes of the plan.
    pub hops: u64,
    /// Targets reached through one of these.
    pub targets: u64,
}

/// A local limit below the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The connections that it allows.
    pub connections: u64,
    pub knob: Knob,
}

/// The limit, its current value, and the value that the plan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knob {
    /// The soft limit on open files, if the hard one is high enough.
    SoftDescriptors {
        soft: u64,
        needed: u64,
    },
    HardDescriptors {
        hard: u64,
        needed: u64,
        /// The value that `fs.nr_open` needs first, if it is lower.
        nr_open_needed: Option<u64>,
    },
    NrOpen {
        most: u64,
        needed: u64,
    },
    FileMax {
        files: Gauge,
        needed: u64,
    },
    Watches {
        most: u64,
        needed: u64,
    },
    Ports(PortsKnob),
    TimeWait(TimeWaitKnob),
    Conntrack {
        entries: Gauge,
        needed: u64,
    },
    /// `net.ipv4.neigh.default.gc_thresh3`, or that of IPv6.
    Neighbours {
        is_v6: bool,
        entries: Gauge,
        needed: u64,
    },
    Memory {
        available_bytes: u64,
        needed_bytes: u64,
    },
    Cgroup {
        memory: CgroupMemory,
        needed_bytes: u64,
    },
    AddressSpace {
        bytes: Gauge,
        needed_bytes: u64,
    },
}

/// The ports of a run that closes connections by FIN: each stays in TIME_WAIT for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeWaitKnob {
    pub range: PortRange,
    /// Ports of the range for each pair of source and target, and pairs.
    pub usable: u64,
    pub pairs: u64,
    /// For how long a port is not used again.
    pub wait_s: u64,
    /// Connections a second that the ports sustain, and that the plan wants; `None`: without a limit.
    pub per_s: u64,
    pub wanted_per_s: Option<u64>,
    /// Whether `net.ipv4.tcp_tw_reuse` frees ports sooner.
    pub reuse_helps: bool,
}

/// The ports of the pairs of source and target, and what would provide more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortsKnob {
    pub range: PortRange,
    /// Ports of the range for each pair.
    pub usable: u64,
    /// Pairs of source and target, and the number needed with this range; `None`: no number is
    /// enough.
    pub pairs: u64,
    pub pairs_needed: Option<u64>,
    /// The connections that get a port if none is in TIME_WAIT.
    pub most: u64,
    /// The most ports in TIME_WAIT, if they are all of these pairs, which cannot be read.
    pub time_wait: u64,
    /// Whether the ports are enough without TIME_WAIT.
    pub time_wait_decides: bool,
    /// Whether `net.ipv4.tcp_tw_reuse` frees ports in TIME_WAIT.
    pub reuse_helps: bool,
    /// Whether [`PORTS_WIDEST`] is enough.
    pub widest_is_enough: bool,
}
