//! What the table of causes consists of: ids, records, checks. Commands that several causes are checked
//! by are constants here, so that a renderer can print one line for all of them.

use crate::engine::Side;

/// A cause. Its id is in its record; the order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    // The server: its kernel and its listeners.
    NoListener,
    ListensElsewhere,
    SynProxy,
    ListenerClosed,
    ListenerStuck,
    AcceptQueueFull,
    AcceptQueueOverflow,
    AcceptDeferred,
    // The server: its application, and what is behind it.
    ConnectionLimit,
    ClientLimit,
    AcceptRateLimit,
    RejectsClient,
    ServerFdLimit,
    ThreadLimit,
    IdleTimeout,
    EvictsOldest,
    ProcessRestarted,
    AppSilent,
    AppOverloaded,
    WrongReply,
    BackendDown,
    BackendUnreachable,
    // The network.
    FirewallDrop,
    Outage,
    DropAboveLimit,
    RejectAboveLimit,
    RateLimit,
    FirewallReject,
    PacketLoss,
    PathDown,
    HostDown,
    NeighbourUnresolved,
    NoRouteBeyond,
    StateExpired,
    NatPortsExhausted,
    PathMtu,
    LongRtt,
    // This host.
    FdLimit,
    PortRange,
    TimeWait,
    SourceGone,
    SocketMemory,
    EpollWatches,
    NoRoute,
    LocalFirewall,
    NotPermitted,
    KilledHere,
    LocalConntrack,
    NeighbourTableFull,
    IngressDrops,
    SlowHost,
    // None of them.
    Undetermined,
}

/// What is to be said of one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseRecord {
    pub cause: Cause,
    pub id: &'static str,
    pub side: Side,
    /// In lower case and without a full stop; after the side, which it may refer to as "it".
    pub title: &'static str,
    /// How it looks from here, and why.
    pub explanation: &'static str,
    /// The most telling first.
    pub checks: &'static [Check],
    /// Of a local limit only the knob's name: its numbers are those of `limits::Knob`.
    pub fix: &'static str,
}

/// Where a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Server,
    /// Each router, firewall, NAT and load balancer of the path; the server's own firewall is one.
    Hop,
    Here,
    /// By a run of tcpgoon.
    FromHere,
}

impl Place {
    pub const ALL: [Place; 4] = [Place::Server, Place::Hop, Place::Here, Place::FromHere];

    pub fn word(self) -> &'static str {
        match self {
            Place::Server => "on the server",
            Place::Hop => "on each hop",
            Place::Here => "on this host",
            Place::FromHere => "from here",
        }
    }
}

/// A command, and how to read it for this cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    pub on: Place,
    /// `{host}`, `{port}` and `{source}` are for the renderer to fill in; words in capitals (PID,
    /// SERVICE) for the operator.
    pub command: &'static str,
    /// What it shows if it is this cause.
    pub reading: &'static str,
}

pub const fn on_server(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Server, command, reading }
}

pub const fn on_hop(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Hop, command, reading }
}

pub const fn here(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Here, command, reading }
}

pub const fn from_here(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::FromHere, command, reading }
}

/// What a command may hold for the renderer to fill in. `{source}` only where the run had sources.
pub const PLACEHOLDERS: [&str; 3] = ["{host}", "{port}", "{source}"];

pub const LISTENERS: &str = "ss -lnt 'sport = :{port}'";
pub const OVERFLOWS: &str = "nstat -az TcpExtListenOverflows";
pub const SERVER_SOCKETS: &str = "ss -nt 'sport = :{port}'";
pub const SERVER_COUNT: &str = "ss -Hnt state established 'sport = :{port}' | wc -l";
pub const OPEN_FILES: &str = "ls /proc/PID/fd | wc -l; grep 'open files' /proc/PID/limits";
pub const STARTED: &str = "ps -o lstart= -p PID";
pub const LOG: &str = "journalctl -u SERVICE --since=-10min";
pub const KILLED: &str = "dmesg -T | grep -iE 'out of memory|segfault'";
pub const LOAD: &str = "top -bn1 | head -20";
pub const SEGMENTS: &str = "tcpdump -ni any 'tcp port {port}'";
/// Prints the TTL of what the server, or a device in its place, sends.
pub const TTL: &str = "tcpdump -nvi any 'tcp src port {port}'";
pub const ICMP: &str = "tcpdump -ni any 'icmp or icmp6'";
pub const RULES: &str = "nft list ruleset; iptables-save";
pub const CONNTRACK: &str = "sysctl -ar 'conntrack_(count|max)'";
pub const KERNEL_LOG: &str = "journalctl -k --since=-1h";
pub const INTERFACES: &str = "ip -s -s link show";
pub const ROUTE: &str = "ip route get {host}";
pub const NEIGHBOUR: &str = "ip neigh show {host}";
pub const PING: &str = "ping -c 100 -i 0.2 {host}";
pub const TRACEROUTE: &str = "traceroute -T -p {port} {host}";
/// SYN repeats that this host could not send.
pub const UNSENT: &str = "nstat -az TcpExtTCPRetransFail";
pub const AGAIN: &str = "the same command again";
pub const MORE: &str = "the same command with a larger -c";
pub const SLOWER: &str = "the same command with a lower --rate";
pub const OTHER_SOURCE: &str = "the same command with --source A.B.C.D";
pub const OTHER_HOST: &str = "the same command from another host";
pub const MORE_TARGETS: &str = "the same command with a second target";
pub const FAMILIES: &str = "the same command with -4, then with -6";
pub const ALL_ADDRESSES: &str = "the same command with --all-addresses";
pub const SEND: &str = "the same command with --send TEXT";
pub const EXPECT: &str = "the same command with --expect TEXT";
pub const PATIENCE: &str = "the same command with --reply-timeout 30";
pub const DIAL_TIMEOUT: &str = "the same command with --dial-timeout 10";
pub const HOLD: &str = "the same command with --hold 10m";
pub const PROBE: &str = "the same command with --probe";
pub const DEBUG: &str = "the same command with -c 1 --debug";
pub const DRY_RUN: &str = "the same command with --dry-run";
