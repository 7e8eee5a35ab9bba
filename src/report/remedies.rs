//! On which side a trouble is, as far as that can be seen from here, and what to look at next: the
//! knob, or the command that tells two sides apart.

use std::net::SocketAddr;

use super::shape::{Ending, Shape};
use super::this_host;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::Cause;
use crate::engine::evidence::SLOW_DIAL_MIN;
use crate::units::Span;

/// Whose limit it is, and what tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    pub side: String,
    pub next: String,
}

/// The kernel asks for a neighbour's address three times, a second apart, before it gives up.
/// Source: `mcast_solicit` and `retrans_time_ms` in arp(7).
const NEIGHBOUR_GIVES_UP_AFTER: Span = Span::from_ms(2_500);

const DESCRIPTORS: &str = "`ls /proc/PID/fd | wc -l` against `grep 'open files' /proc/PID/limits`";

/// Both as sentences.
pub fn remedy_of(side: impl Into<String>, next: impl Into<String>) -> Remedy {
    Remedy { side: side.into(), next: next.into() }
}

/// What the worst trouble, with other signs of it, comes from.
pub fn remedy(case: &Case<'_>, worst: &Trouble, signs: &[Trouble]) -> Remedy {
    let words = Words::of(case);
    if let Some(remedy) = this_host::dropped(case, worst) {
        return remedy;
    }
    match worst.kind {
        Kind::Here(cause) => this_host::refused(case, cause, &words.host),
        Kind::Beyond(cause) if worst.shape == Shape::InPlace => remedy_of(
            format!("{}: what these have apart from all others.", cause.side().word()),
            format!(
                "the same run with them alone (as `tcpgoon {}`) tells from how many connections \
                 on.",
                words.target
            ),
        ),
        Kind::Beyond(Cause::TimedOut) => silence(case, worst, signs, &words),
        Kind::Beyond(Cause::Refused | Cause::Reset) => refusal(worst, &words),
        Kind::Beyond(Cause::OtherBeyond) => remedy_of(
            "server or network.",
            format!("`tcpdump -ni any 'tcp port {}'` here shows what comes back.", words.port),
        ),
        Kind::Beyond(cause) => unreachable(cause, worst, &words),
        Kind::Closed(ending) => closed(case, worst, ending, signs, &words),
        Kind::Lost => remedy_of(
            "server or network: nothing that was sent there was acknowledged any more, or somebody \
             on the way said that there is none.",
            format!("whether the server still answers, and by which way: `ping {}`.", words.host),
        ),
        Kind::HalfOpen => half_open(&words),
        Kind::Unanswered => unanswered(case, worst, signs, &words),
        Kind::Slow => slow(case, worst, &words),
    }
}

/// Names for commands.
struct Words {
    target: SocketAddr,
    port: u16,
    host: String,
    /// The command that lists the queue of the listener.
    listeners: String,
    /// How a full accept queue shows on the server.
    queue: String,
}

impl Words {
    fn of(case: &Case<'_>) -> Words {
        // Where there are several targets, the worst one stands first.
        let index = case.summary.targets.worst.first().map_or(0, |row| row.index as usize);
        let address = case.plan.routes.targets()[index].address;
        let (port, host) = (address.port(), address.ip().to_string());
        let listeners = format!("`ss -lnt 'sport = :{port}'`");
        let queue = format!(
            "{listeners} (Recv-Q above Send-Q) and `nstat -az TcpExtListenOverflows \
             TcpExtListenDrops` (rising) show the queue"
        );
        Words { target: address, port, host, listeners, queue }
    }
}

fn silence(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { port, host, listeners, queue, .. } = words;
    // Where it is a matter of chance, a full queue would have left the same signs as a lossy way.
    if worst.shape.is_a_limit() && is_the_queue(case, signs) {
        return remedy_of(
            "server: its accept queue is full, as its process accepts no more. It is stuck, too \
             busy, at a limit of its own, or out of descriptors.",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS} and the \
                 application's log."
            ),
        );
    }
    let patience = match case.plan.dial_timeout {
        Some(timeout) if timeout <= SLOW_DIAL_MIN => {
            "a --dial-timeout of 3s first, in which lost SYNs are repeated; "
        }
        _ => "",
    };
    match worst.shape {
        Shape::All => remedy_of(
            "server or network, which look alike from here: nothing came back. The packets are \
             dropped on their way or by a firewall (this host's own included), nobody has that \
             address, or the server's accept queue was full already.",
            format!(
                "{patience}on the server, `tcpdump -ni any 'tcp port {port}'`: if no SYN arrives \
                 it \
                 is the way there (`traceroute -T -p {port} {host}` from here); if they do, \
                 `nft list ruleset` and {listeners} (Recv-Q above Send-Q: the queue)."
            ),
        ),
        Shape::From(_) if is_served(case) => remedy_of(
            "network, or a firewall on the server: the application answered everybody who was let \
             through, so it does accept. A firewall, NAT, connection tracking or a load balancer \
             drops new connections from some number on.",
            "on the server, here and on each hop that tracks connections, `conntrack -C` against \
             `sysctl \
             net.netfilter.nf_conntrack_max`, `dmesg | grep conntrack`, and rules that count \
             (`nft list ruleset | grep 'ct count'`, `iptables-save | grep connlimit`).",
        ),
        Shape::From(_) => remedy_of(
            "server or network, which look alike from here: a full accept queue (the process \
             accepts no more: stuck, busy, or out of descriptors), or a firewall, NAT or load \
             balancer that drops new connections from some number on (this host's own \
             included).",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS}. If it is not \
                 that, there and here, `nft list ruleset`, `conntrack -C` and `dmesg | grep \
                 conntrack`.{}",
                talk_hint(case)
            ),
        ),
        Shape::MoreFrom(_) => remedy_of(
            "server or network, which look alike from here: an accept queue that overflows now and \
             then (the process accepts too slowly), or a limit on the rate of new connections.",
            format!(
                "on the server, {queue}; if it is not that, a rule with a rate (`nft list ruleset \
                 | \
                 grep limit`). Dialed more slowly (--rate), both go away."
            ),
        ),
        Shape::Scattered => loss(patience, host),
        Shape::TooFew | Shape::InPlace => remedy_of(
            "server or network: too little to say more.",
            "more dials (-c), or the same run again.",
        ),
    }
}

fn loss(patience: &str, host: &str) -> Remedy {
    remedy_of(
        "network or server: packets are lost on the way, or dropped by a limit on the rate of new \
         connections. How many connections there are is not what decides.",
        format!(
            "{patience}`ping -c 100 {host}` from here counts losses; a limit on the rate loses \
             nothing when dialed more slowly (--rate); on the server, `nstat -az TcpExtListenDrops` \
             rises if it is its queue."
        ),
    )
}

/// Whether those that are not served are a queue, and not merely silent by nature.
fn is_the_queue(case: &Case<'_>, signs: &[Trouble]) -> bool {
    let findings = &case.summary.findings;
    let has = |kind: Kind| signs.iter().any(|sign| sign.kind == kind);
    // A lost packet makes a suspect or two as well: only most of them are telling.
    has(Kind::HalfOpen)
        || 2 * findings.suspects_half_open > findings.suspects.max(1)
        || (has(Kind::Unanswered) && findings.answered > 0)
}

/// Whether everybody was answered, and so quickly that a queue would have had room for the repeated
/// SYNs of the others.
fn is_served(case: &Case<'_>) -> bool {
    let summary = case.summary;
    let answered = summary.findings.answered;
    let emptied_after = SLOW_DIAL_MIN + summary.first_byte_times.max();
    answered > 0
        && answered == summary.established_ever
        && case.plan.dial_timeout.is_none_or(|timeout| timeout > emptied_after)
}

/// What an answer adds, or the want of one has added.
fn talk_hint(case: &Case<'_>) -> &'static str {
    match (&case.plan.talk, case.summary.findings.answered) {
        (None, _) => " From here, --send or --expect tells whether those established are served.",
        (Some(_), 0) => {
            " That nobody was answered fits the queue, and as well an application that has nothing \
             to say to this."
        }
        _ => "",
    }
}

fn refusal(worst: &Trouble, words: &Words) -> Remedy {
    let Words { port, listeners, .. } = words;
    let look = format!(
        "on the server, {listeners}: if nobody listens there, the service's log; if somebody does, \
         the rule that rejects (`nft list ruleset | grep reject`)."
    );
    match worst.shape {
        Shape::All => remedy_of(
            format!(
                "server or network, which look alike from here: nobody listens on port {port} of \
                 that address, or a firewall rejects it."
            ),
            look,
        ),
        Shape::From(_) => remedy_of(
            "server or network, which look alike from here: the listener was closed while the run \
             went on, or a firewall or load balancer rejects new connections from some number on.",
            format!("{look} The same run again: a limit begins at the same number."),
        ),
        Shape::MoreFrom(_) | Shape::Scattered => remedy_of(
            "server or network: a listener that comes and goes, one of several servers behind this \
             address that is down, or a rule that rejects by rate.",
            format!("{look} Dialed more slowly (--rate), a rule by rate lets all through."),
        ),
        Shape::TooFew | Shape::InPlace => {
            remedy_of("server or network: too little to say more.", look)
        }
    }
}

fn unreachable(cause: Cause, worst: &Trouble, words: &Words) -> Remedy {
    let Words { host, .. } = words;
    let took = worst.evidence.map_or(Span::ZERO, |evidence| evidence.min);
    if cause == Cause::HostUnreachable && took >= NEIGHBOUR_GIVES_UP_AFTER {
        return remedy_of(
            "network: nobody on the last link answers for that address. The host is down, or the \
             address is wrong.",
            format!(
                "`ip neigh show {host}` here: FAILED is a link of this host; else the router's."
            ),
        );
    }
    let why = match worst.shape {
        Shape::From(_) => "a rule that counts connections, as it begins at some number of them",
        Shape::All => "it knows no way there, or has a rule that rejects",
        _ => "a rule with a rate, or a way that comes and goes",
    };
    remedy_of(
        format!("network: a router or a firewall answers so, on the way or on the server ({why})."),
        "`tcpdump -ni any 'icmp or icmp6'` here shows who; there, its routes and `nft list ruleset \
         | grep reject`.",
    )
}

fn closed(
    case: &Case<'_>,
    worst: &Trouble,
    ending: Ending,
    signs: &[Trouble],
    words: &Words,
) -> Remedy {
    let is_reset = case.summary.caused(Cause::PeerReset) * 2 > worst.hits;
    let (who, log) = if is_reset {
        (
            "server or network (by resets, which a firewall or load balancer can send as well)",
            "the application's log, and `tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0'` there for \
             who sends them",
        )
    } else {
        ("server, or a proxy before it", "the application's log")
    };
    let said = match case.summary.received_bytes {
        0 => String::new(),
        bytes => format!("--debug shows what it said before ({bytes} bytes in all); "),
    };
    match (worst.shape, ending) {
        (Shape::From(_), _) => remedy_of(
            format!(
                "{who}: a limit on connections (maxclients, max_connections, worker_connections, \
                 MaxStartups, a pool of threads), or descriptors that ran out."
            ),
            format!(
                "{said}on the server, {log}, that limit (`redis-cli config get maxclients` and \
                 the like), and {DESCRIPTORS}."
            ),
        ),
        (_, Ending::AtOnce) => remedy_of(
            format!(
                "{who}: it wants no such connection (a list of who may connect, a proxy with \
                 nobody behind it), or was full from the first one on."
            ),
            format!("{said}on the server, {log}."),
        ),
        (_, Ending::SameAge(age)) => remedy_of(
            format!("{who}: a timeout for idle connections, or the longest lifetime, of {age}."),
            format!(
                "look for {age} in the configuration of the server and of what stands before it \
                 (timeout, \
                 keepalive_timeout, timeout client, idle_timeout)."
            ),
        ),
        (_, Ending::SameMoment) if signs.is_empty() => remedy_of(
            format!("{who}: its process ended or was restarted, or somebody closed them all."),
            format!("on the server, `ps -o lstart= -p PID` (since when it runs), and {log}."),
        ),
        (_, Ending::SameMoment) => remedy_of(
            format!("{who}: its process ended, and nobody was there afterwards."),
            format!(
                "on the server, {} (is it back?), {log} of that moment, and `dmesg | grep -i \
                 'out of memory'`.",
                words.listeners
            ),
        ),
        (_, Ending::Both(age)) => remedy_of(
            format!(
                "{who}: a timeout of {age}, or an end or a restart of the process, which look \
                 alike where all were dialed at once."
            ),
            "the same run more slowly (--rate): a timeout closes one after the other; on the \
             server, `ps -o lstart= -p PID` says since when it runs.",
        ),
        (_, Ending::Various) => {
            remedy_of(format!("{who}."), format!("{said}on the server, {log}."))
        }
    }
}

fn half_open(words: &Words) -> Remedy {
    remedy_of(
        "server, or a SYN proxy before it: it dropped the end of handshakes that this host saw \
         complete, as a server does whose accept queue overflows in a burst.",
        format!(
            "on the server, `nstat -az TcpExtListenOverflows TcpExtListenDrops \
             TcpExtSyncookiesSent` has risen if so; a longer queue (its listen() backlog and \
             `sysctl net.core.somaxconn`; {} shows it as Send-Q) or slower dials (--rate) mend it.",
            words.listeners
        ),
    )
}

fn unanswered(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { listeners, queue, .. } = words;
    if signs.iter().any(|sign| sign.kind == Kind::HalfOpen || sign.shape.is_a_limit()) {
        return remedy_of(
            "server: its process accepts too slowly or not at all, and its accept queue overflows.",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS} and the \
                 application's log."
            ),
        );
    }
    let look = format!(
        "on the server, {listeners}: a Recv-Q above 0 is connections that nobody accepts (then \
         {DESCRIPTORS})"
    );
    match (worst.shape, case.summary.findings.answered) {
        (_, 0) if case.summary.received_bytes > 0 => remedy_of(
            "server: the application says something else than was expected.",
            "--debug shows what it says.",
        ),
        (_, 0) => remedy_of(
            "server: its process accepts nobody, or the application has nothing to say to this.",
            format!("{look}; 0 is an application that waits for something else (--send)."),
        ),
        (Shape::From(_), _) => remedy_of(
            "server: from that number on the application serves nobody else. A limit of its own \
             (maxconn, workers, a pool of threads), or descriptors that ran out.",
            format!("{look}; 0 is a queue, and a limit, of the application's own."),
        ),
        _ => remedy_of(
            "server: the application is too slow for so many, within that time.",
            format!("{look}; its load (`top`). A longer --reply-timeout shows how slow it is."),
        ),
    }
}

fn slow(case: &Case<'_>, worst: &Trouble, words: &Words) -> Remedy {
    let Words { host, queue, .. } = words;
    if case.summary.slow.repeats == 0 {
        return remedy_of(
            "network, or this host: no SYN was repeated, so the way there and back takes so long, \
             or this host was too busy to notice.",
            format!("`ping {host}` from here, and the longest turn of the loop above."),
        );
    }
    if !worst.shape.is_a_limit() {
        return loss("", host);
    }
    remedy_of(
        "server or network, which look alike from here: an accept queue that overflows (the \
         process accepts too slowly), or a limit on the rate of new connections.",
        format!(
            "on the server, {queue}; if it is not that, a rule with a rate (`nft list ruleset | \
             grep limit`). From here, --probe tells whether the server has all of them."
        ),
    )
}
