//! What a world is made of: servers, the path to them, and the host that dials. Times are counted
//! from the start of the run. The defaults have no limit and no fault.

use crate::units::Span;

/// Everything that all connections of a run share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    /// At least one.
    pub servers: Vec<Server>,
    pub balance: Balance,
    pub path: Path,
    pub host: Host,
}

impl World {
    /// One server at the end of `path`.
    pub fn new(server: Server, path: Path) -> World {
        World { servers: vec![server], path, ..World::default() }
    }
}

/// Which server a SYN comes to, where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Each target has its own.
    #[default]
    ByTarget,
    /// By a hash of the 4-tuple, as SO_REUSEPORT and ECMP do.
    ByTuple,
    /// Each SYN that belongs to no connection yet is sent to any of them.
    PerSyn,
}

/// A listener and the application behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The host is down: nothing replies.
    pub is_down: bool,
    pub is_listening: bool,
    /// As `listen()` was given it: the accept queue holds one more.
    pub backlog: u32,
    pub has_syn_cookies: bool,
    pub aborts_on_overflow: bool,
    /// TCP_DEFER_ACCEPT, as the number of SYN-ACK timeouts that the kernel waits for data.
    pub defer_accept: u8,
    pub accept: Accept,
    /// When the application stops calling `accept()`.
    pub accepts_until: Option<Span>,
    /// The most connections that are accepted; more wait in the queue, as with no free descriptor.
    pub open_max: Option<u32>,
    pub limit: Option<Limit>,
    /// Above it the oldest connection is closed.
    pub evicts_above: Option<u32>,
    pub idle: Option<Idle>,
    pub sweep: Option<Sweep>,
    pub restart: Option<Restart>,
    /// `None`: the application reads and never replies.
    pub reply: Option<Reply>,
    /// The idle time of its own keepalives.
    pub keepalive: Option<Span>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            is_down: false,
            is_listening: true,
            backlog: 4096,
            has_syn_cookies: true,
            aborts_on_overflow: false,
            defer_accept: 0,
            accept: Accept::AtOnce,
            accepts_until: None,
            open_max: None,
            limit: None,
            evicts_above: None,
            idle: None,
            sweep: None,
            restart: None,
            reply: None,
            keepalive: None,
        }
    }
}

/// When the application calls `accept()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    AtOnce,
    /// `count` connections every `period`.
    Every {
        period: Span,
        count: u32,
    },
    Never,
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

/// Above it a connection is accepted and closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub on: LimitOn,
    pub end: End,
    /// Whether the application sends a line before it closes.
    pub has_last_words: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOn {
    Open(u32),
    OpenOfClient(u32),
    /// Connections a second, and the burst.
    Rate {
        per_s: u32,
        burst: u32,
    },
}

/// Each connection is closed when nothing was received for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    pub after: Span,
    pub end: End,
}

/// Every `every` all connections of this age and more are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    pub every: Span,
    pub age: Span,
}

/// The process closes its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    pub at: Span,
    /// How its connections end with it; `None`: they go on.
    pub end: Option<End>,
    /// How long until it listens again.
    pub back_after: Option<Span>,
}

/// What the application sends: to a request where one is sent, else as a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub after: Span,
    pub bytes: u32,
    pub is_expected: bool,
    /// Whether it closes the connection behind it.
    pub closes: bool,
    /// How many requests are handled at once; 0: all.
    pub workers: u32,
    /// How many connections ever get a reply, as with a thread each; 0: all.
    pub served_max: u32,
}

impl Reply {
    pub const AT_ONCE: Reply = Reply {
        after: Span::ZERO,
        bytes: 32,
        is_expected: true,
        closes: false,
        workers: 0,
        served_max: 0,
    };
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Span,
    pub to: Span,
}

impl Window {
    /// From then on.
    pub fn from(from: Span) -> Window {
        Window { from, to: Span(u64::MAX) }
    }

    pub fn contains(self, at: Span) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// What lies between this host and the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// In each direction.
    pub delay: Span,
    /// The most that is added to the delay, in each direction.
    pub jitter: Span,
    /// Whether it is the same for all packets of a connection, so that they stay in order.
    pub is_in_order: bool,
    /// In each direction.
    pub loss_permille: u32,
    /// Of segments that carry nothing but an acknowledgement.
    pub ack_loss_permille: u32,
    pub duplicate_permille: u32,
    /// Packets wait until it is over.
    pub stall: Option<Window>,
    /// Packets are lost.
    pub outage: Option<Window>,
    /// Applied to every SYN.
    pub filter: Option<Refusal>,
    /// Applied to SYNs from one source, or to one target, by index in the routes.
    pub filter_source: Option<(u32, Refusal)>,
    pub filter_target: Option<(u32, Refusal)>,
    /// Larger data segments are dropped without ICMP.
    pub mtu: Option<u32>,
    /// Devices are beside the servers, instead of half-way.
    pub is_near_server: bool,
    pub count: Option<CountRule>,
    pub rate: Option<RateRule>,
    pub expiry: Option<Expiry>,
}

impl Default for Path {
    fn default() -> Path {
        Path {
            delay: Span::from_us(100),
            jitter: Span::ZERO,
            is_in_order: false,
            loss_permille: 0,
            ack_loss_permille: 0,
            duplicate_permille: 0,
            stall: None,
            outage: None,
            filter: None,
            filter_source: None,
            filter_target: None,
            mtu: None,
            is_near_server: false,
            count: None,
            rate: None,
            expiry: None,
        }
    }
}

/// What a device does to a SYN that it does not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Drop,
    Rst,
    /// Destination unreachable with this code, as often as a kernel sends one to a host: one a
    /// second, six at once. Source: `icmp_ratelimit`, `XRLIM_BURST_FACTOR`.
    Icmp(u8),
}

/// SYNs of new connections above a number of tracked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRule {
    pub max: u32,
    pub per: CountPer,
    pub refusal: Refusal,
    /// How long an entry outlives its connection.
    pub linger: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountPer {
    All,
    Client,
    /// As the ports of a NAT.
    Target,
}

/// A token bucket for SYNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    pub per_s: u32,
    pub burst: u32,
    pub refusal: Refusal,
}

/// State that expires when nothing passed for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    pub idle: Span,
    /// Whether segments after that are answered with a RST, or dropped.
    pub resets: bool,
}

/// Faults and limits of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Its firewall drops outgoing SYNs above this number of connections.
    pub output_drop_above: Option<u32>,
    /// Its firewall rejects them.
    pub output_reject_above: Option<u32>,
    /// Packets dropped on receipt, before TCP.
    pub ingress_loss_permille: u32,
    /// The neighbour does not answer ARP.
    pub is_neighbour_unresolved: bool,
    pub descriptors_max: Option<u32>,
    /// Local ports towards each target; those in TIME_WAIT are not used again.
    pub ports_max: Option<u32>,
    /// The size of its conntrack table.
    pub conntrack_max: Option<u32>,
    /// The size of its neighbour table.
    pub neighbours_max: Option<u32>,
    /// An administrator kills all connections with `ss -K`.
    pub kills_at: Option<Span>,
}
