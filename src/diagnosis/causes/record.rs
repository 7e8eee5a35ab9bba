//! The types of the table of causes. Commands that several causes share are constants, so that a
//! renderer prints each once.

use crate::engine::Side;

/// A cause, in the order of the table.
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

/// A cause as it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseRecord {
    pub cause: Cause,
    pub id: &'static str,
    pub side: Side,
    /// In lower case, without a full stop. Printed after the side: "it" is the server or this host.
    pub title: &'static str,
    /// How it looks from here, and why.
    pub explanation: &'static str,
    /// The most conclusive first.
    pub checks: &'static [Check],
    /// For a local limit without numbers: `limits::Knob` has them.
    pub fix: &'static str,
}

/// Where a check is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Server,
    /// Each router, firewall, NAT and load balancer on the path, the server's own firewall included.
    Hop,
    Here,
    /// A run of tcpgoon on this host.
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

/// A command, and how to read its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    pub on: Place,
    /// The renderer fills in `{host}`, `{port}` and `{source}`; the operator fills in words in capitals
    /// (PID, SERVICE).
    pub command: &'static str,
    /// The output if it is this cause.
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

/// What the renderer fills in. `{source}` only if the run had sources.
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
/// Prints the TTL of packets from the server, or a device in its place.
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
/// SYN retransmissions that this host could not send.
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
