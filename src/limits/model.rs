//! What is known of this host, in plain numbers, and what a finding is.

/// The widest range of ports that need no privilege.
pub const PORTS_WIDEST: PortRange = PortRange { low: 1024, high: 65_535 };

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

    /// What two ranges have in common.
    pub fn within(&self, other: PortRange) -> Option<PortRange> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(PortRange { low, high })
    }
}

/// A limit, and how much of it is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    pub most: u64,
    pub used: u64,
}

impl Gauge {
    pub fn room(&self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// The limit on a process's open files, after it was raised as far as it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    pub soft: u64,
    pub hard: u64,
    /// How many are open now.
    pub open: u64,
    /// Whether this process may raise the hard limit itself, so that only `fs.nr_open` is in its
    /// way.
    pub may_raise: bool,
}

/// A memory limit of a cgroup that this process is in, in bytes; what is used is without what can
/// be had back for the asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMemory {
    /// Where the limit is set.
    pub file: String,
    pub bytes: Gauge,
}

/// What is known of this host, in plain numbers. `None`, or nothing in a list, is unknown or
/// unlimited, and is in nobody's way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    pub descriptors: Option<Descriptors>,
    /// `fs.nr_open`: how far a hard limit can be raised.
    pub nr_open: Option<u64>,
    /// `fs.file-max`; `None` also where it does not hold for this process.
    pub files: Option<Gauge>,
    /// `fs.epoll.max_user_watches`; how many of them this user has already nobody says.
    pub watches_max: Option<u64>,
    /// `net.ipv4.ip_local_port_range`, and what of it or beside it is reserved.
    pub ports: Option<PortRange>,
    pub ports_reserved: Vec<PortRange>,
    /// Ports of this host's among the targets' that somebody listens on, each once; not all of them
    /// where there are very many.
    pub ports_listened: Vec<u16>,
    /// Connections in TIME_WAIT, to and from anywhere.
    pub time_wait: Option<u64>,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on the loopback.
    pub time_wait_reuse: Option<u64>,
    /// `net.ipv4.tcp_timestamps`: without them nothing is reused.
    pub timestamps: Option<u64>,
    /// `net.netfilter.nf_conntrack_max`; `None` where connections are not tracked.
    pub conntrack: Option<Gauge>,
    /// `MemAvailable`, in bytes.
    pub memory_available_bytes: Option<u64>,
    pub cgroups: Vec<CgroupMemory>,
    /// `RLIMIT_AS`, in bytes.
    pub address_space: Option<Gauge>,
    /// What this program itself takes for a connection.
    pub table_bytes_each: u64,
    /// Of each target of the plan, in their order, whether it is this host; those beyond are not.
    pub targets_here: Vec<bool>,
    /// The neighbour tables, and what the plan takes of them.
    pub neighbours: Vec<Neighbours>,
}

/// The table of a family, and what a plan takes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    pub is_v6: bool,
    /// Of all network namespaces. The kernel frees those that were not used for some seconds, so that
    /// there can be more room than this says.
    pub entries: Gauge,
    /// Different neighbours that the plan sends to.
    pub hops: u64,
    /// Targets that are dialed by way of one of these.
    pub targets: u64,
}

/// A limit that allows fewer connections than were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How many it allows.
    pub connections: u64,
    pub knob: Knob,
}

/// What limits, its value now, and the value (`needed`) at which it would be in the way no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knob {
    /// The soft limit on open files, where the hard one would do.
    SoftDescriptors {
        soft: u64,
        needed: u64,
    },
    HardDescriptors {
        hard: u64,
        needed: u64,
        /// What `fs.nr_open` has to be before the hard limit can be that high, if it is not.
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

/// The ports between a source and a target, and what would give more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortsKnob {
    pub range: PortRange,
    /// Of the range, for each pair.
    pub usable: u64,
    /// Pairs of a source and a target, and how many it takes with this range; `None`: no number
    /// would do.
    pub pairs: u64,
    pub pairs_needed: Option<u64>,
    /// How many connections they are enough for if nothing is in TIME_WAIT.
    pub most: u64,
    /// What TIME_WAIT can hold of all pairs' ports, if it is all theirs: nobody says whose it is.
    pub time_wait: u64,
    /// Whether it would do without the TIME_WAIT, and with [`PORTS_WIDEST`].
    pub time_wait_decides: bool,
    /// Whether `net.ipv4.tcp_tw_reuse` can free it.
    pub reuse_helps: bool,
    pub widest_is_enough: bool,
}
