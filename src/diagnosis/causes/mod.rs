//! `CAUSES`: every cause that a diagnosis can name, one record each. The verdict, `tcpgoon explain`
//! and the tests have no other source of what a cause is called, means, and is checked by.
//!
//! Records stand by side: `server` (its kernel, then its application in `application`), `network`,
//! `this_host`. Commands that several causes are checked by are constants here, so that a renderer
//! can print one line for all of them.

mod application;
mod network;
mod server;
#[cfg(test)]
mod tests;
mod this_host;

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

impl Cause {
    pub const COUNT: usize = Cause::Undetermined as usize + 1;

    /// In the order of the table.
    pub const ALL: [Cause; Cause::COUNT] = all();

    pub fn record(self) -> &'static CauseRecord {
        let mut index = self as usize;
        for records in CAUSES {
            match records.get(index) {
                Some(record) => return record,
                None => index -= records.len(),
            }
        }
        unreachable!("the table has a record for each cause: all() compares them")
    }

    /// The cause of that id.
    pub fn find(id: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.id() == id)
    }

    /// Stable and kebab-case: scripts and JSON name causes by it.
    pub fn id(self) -> &'static str {
        self.record().id
    }

    pub fn side(self) -> Side {
        self.record().side
    }
}

/// Compiles only if the table has each cause once, at its own index.
const fn all() -> [Cause; Cause::COUNT] {
    let mut all = [Cause::Undetermined; Cause::COUNT];
    let (mut index, mut part) = (0, 0);
    while part < CAUSES.len() {
        let mut at = 0;
        while at < CAUSES[part].len() {
            let cause = CAUSES[part][at].cause;
            assert!(cause as usize == index, "the table is not in the order of the causes");
            all[index] = cause;
            (index, at) = (index + 1, at + 1);
        }
        part += 1;
    }
    assert!(index == Cause::COUNT, "a cause has no record");
    all
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

const fn on_server(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Server, command, reading }
}

const fn on_hop(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Hop, command, reading }
}

const fn here(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::Here, command, reading }
}

const fn from_here(command: &'static str, reading: &'static str) -> Check {
    Check { on: Place::FromHere, command, reading }
}

/// What a command may hold for the renderer to fill in. `{source}` only where the run had sources.
pub const PLACEHOLDERS: [&str; 3] = ["{host}", "{port}", "{source}"];

const LISTENERS: &str = "ss -lnt 'sport = :{port}'";
const OVERFLOWS: &str = "nstat -az TcpExtListenOverflows";
const SERVER_SOCKETS: &str = "ss -nt 'sport = :{port}'";
const SERVER_COUNT: &str = "ss -Hnt state established 'sport = :{port}' | wc -l";
const OPEN_FILES: &str = "ls /proc/PID/fd | wc -l; grep 'open files' /proc/PID/limits";
const STARTED: &str = "ps -o lstart= -p PID";
const LOG: &str = "journalctl -u SERVICE --since=-10min";
const KILLED: &str = "dmesg -T | grep -iE 'out of memory|segfault'";
const LOAD: &str = "top -bn1 | head -20";
const SEGMENTS: &str = "tcpdump -ni any 'tcp port {port}'";
/// Prints the TTL of what the server, or a device in its place, sends.
const TTL: &str = "tcpdump -nvi any 'tcp src port {port}'";
const ICMP: &str = "tcpdump -ni any 'icmp or icmp6'";
const RULES: &str = "nft list ruleset; iptables-save";
const CONNTRACK: &str = "sysctl -ar 'conntrack_(count|max)'";
const KERNEL_LOG: &str = "journalctl -k --since=-1h";
const INTERFACES: &str = "ip -s -s link show";
const ROUTE: &str = "ip route get {host}";
const NEIGHBOUR: &str = "ip neigh show {host}";
const PING: &str = "ping -c 100 -i 0.2 {host}";
const TRACEROUTE: &str = "traceroute -T -p {port} {host}";
/// SYN repeats that this host could not send.
const UNSENT: &str = "nstat -az TcpExtTCPRetransFail";
const AGAIN: &str = "the same command again";
const MORE: &str = "the same command with a larger -c";
const SLOWER: &str = "the same command with a lower --rate";
const OTHER_SOURCE: &str = "the same command with --source A.B.C.D";
const OTHER_HOST: &str = "the same command from another host";
const MORE_TARGETS: &str = "the same command with a second target";
const FAMILIES: &str = "the same command with -4, then with -6";
const ALL_ADDRESSES: &str = "the same command with --all-addresses";
const SEND: &str = "the same command with --send TEXT";
const EXPECT: &str = "the same command with --expect TEXT";
const PATIENCE: &str = "the same command with --reply-timeout 30";
const DIAL_TIMEOUT: &str = "the same command with --dial-timeout 10";
const HOLD: &str = "the same command with --hold 10m";
const PROBE: &str = "the same command with --probe";
const DEBUG: &str = "the same command with -c 1 --debug";
const DRY_RUN: &str = "the same command with --dry-run";

/// The table, by side: `Cause::record` finds one, `Cause::ALL` lists them.
pub static CAUSES: [&[CauseRecord]; 5] = [
    &server::RECORDS,
    &application::RECORDS,
    &network::RECORDS,
    &this_host::RECORDS,
    &[UNDETERMINED],
];

const UNDETERMINED: CauseRecord = CauseRecord {
    cause: Cause::Undetermined,
    id: "undetermined",
    side: Side::Beyond,
    title: "the evidence fits no single cause",
    explanation: "Connections failed, but too few of them, or in too mixed a way, for a limit, a \
        timeout, packet loss and an outage to be told apart. More dials, or a second view of the \
        same ones, decide it.",
    checks: &[
        from_here(MORE, "more failures show their pattern"),
        from_here(OTHER_HOST, "no failure there: the path or this host"),
        on_server(SEGMENTS, "no SYN arrives: before the server"),
        on_server(LOG, "what it logged at the time"),
    ],
    fix: "None yet. Run again with more connections (-c), a longer --dial-timeout and a --hold, \
        and capture on both ends (tcpdump) while it runs.",
};
