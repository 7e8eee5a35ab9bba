//! On which side a trouble is, as far as that can be seen from here, and what to look at next: the
//! knob, or the command that tells two sides apart. Those of connections that were established are in
//! `served.rs`, those of this host in `this_host.rs`.

use std::net::SocketAddr;

use super::served;
use super::shape::Shape;
use super::this_host;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::Cause;
use crate::engine::evidence::{Place, SLOW_DIAL_MIN};
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

pub const DESCRIPTORS: &str =
    "`ls /proc/PID/fd | wc -l` against `grep 'open files' /proc/PID/limits`";

/// Both as sentences.
pub fn remedy_of(side: impl Into<String>, next: impl Into<String>) -> Remedy {
    Remedy { side: side.into(), next: next.into() }
}

/// What the worst trouble, with other signs of it, comes from.
pub fn remedy(case: &Case<'_>, worst: &Trouble, signs: &[Trouble]) -> Remedy {
    let words = Words::of(case, worst);
    if let Some(remedy) = this_host::dropped(case, worst) {
        return remedy;
    }
    match worst.kind {
        Kind::Here(cause) => this_host::refused(case, cause, &words.host),
        Kind::Beyond(cause) if is_apart(worst) => apart(cause, worst, &words),
        Kind::Beyond(Cause::TimedOut) => silence(case, worst, signs, &words),
        Kind::Beyond(Cause::Refused | Cause::Reset) => refusal(worst, &words),
        Kind::Beyond(Cause::OtherBeyond) => remedy_of(
            "server or network.",
            format!("`tcpdump -ni any 'tcp port {}'` here shows what comes back.", words.port),
        ),
        Kind::Beyond(cause) => unreachable(cause, worst, &words),
        Kind::Closed(ending) => served::closed(case, worst, ending, signs, &words),
        Kind::Lost => remedy_of(
            "server or network: nothing that was sent there was acknowledged any more, or somebody \
             on the way said that there is none.",
            format!("whether the server still answers, and by which way: `ping {}`.", words.host),
        ),
        Kind::HalfOpen => served::half_open(case, worst, &words),
        Kind::Unanswered => served::unanswered(case, worst, signs, &words),
        Kind::Slow => slow(case, worst, &words),
    }
}

/// Names for commands.
pub struct Words {
    target: SocketAddr,
    pub port: u16,
    pub host: String,
    /// The source that it is at, if it is one of several.
    source: Option<String>,
    /// The command that lists the queue of the listener.
    pub listeners: String,
    /// How a full accept queue shows on the server.
    pub queue: String,
}

impl Words {
    fn of(case: &Case<'_>, worst: &Trouble) -> Words {
        let (routes, rows) = (&case.plan.routes, &case.summary.targets.worst);
        // Where there are several targets, it is the first of those that it met most.
        let index = match worst.only {
            Some(Place::Target(index)) => index,
            _ => rows.iter().rev().max_by_key(|row| worst.count_in(row)).map_or(0, |row| row.index),
        };
        let source = match worst.only {
            Some(Place::Source(index)) => Some(routes.sources()[index as usize].ip().to_string()),
            _ => None,
        };
        let address = routes.targets()[index as usize].address;
        let (port, host) = (address.port(), address.ip().to_string());
        let listeners = format!("`ss -lnt 'sport = :{port}'`");
        let queue = format!(
            "{listeners} (Recv-Q above Send-Q) and `nstat -az TcpExtListenOverflows \
             TcpExtListenDrops` (rising) show the queue"
        );
        Words { target: address, port, host, source, listeners, queue }
    }
}

/// Whether it is not the target that decides, or not one alone.
fn is_apart(worst: &Trouble) -> bool {
    worst.site.as_ref().is_some_and(|site| site.is_source) || worst.shape == Shape::InPlaces
}

fn apart(cause: Cause, worst: &Trouble, words: &Words) -> Remedy {
    let target = words.target;
    let alone = match &words.source {
        Some(source) => format!("tcpgoon {target} --source {source}"),
        None => format!("tcpgoon {target}"),
    };
    let name = worst.site.as_ref().map_or("", |site| site.name.as_str());
    remedy_of(
        format!("{}: what sets those {name} apart from all others.", cause.side().word()),
        format!("the same run with one of them alone (as `{alone}`) shows more of it."),
    )
}

fn silence(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { port, host, listeners, queue, .. } = words;
    // Where it is a matter of chance, a full queue would have left the same signs as a lossy way.
    if worst.shape.is_a_limit() && is_the_queue(case, worst, signs) {
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
        Shape::NearlyAll => remedy_of(
            "server or network, which look alike from here: nearly nothing came back. A lossy way, \
             a limit (on connections, or on their rate) that lets few in, or an accept queue that \
             was full nearly always.",
            format!(
                "{patience}on the server, `tcpdump -ni any 'tcp port {port}'` shows whether the \
                 SYNs arrive; if they do, {queue}, and `nft list ruleset` the rules."
            ),
        ),
        Shape::From(_) if is_served(case, worst) => remedy_of(
            "network, or a firewall on the server: the application answered everybody who was let \
             through, so it does accept. A firewall, NAT, connection tracking or a load balancer \
             drops new connections from some number on, or beyond some rate.",
            "on the server, here and on each hop that tracks connections, `conntrack -C` against \
             `sysctl \
             net.netfilter.nf_conntrack_max`, `dmesg | grep conntrack`, and rules that count \
             (`nft list ruleset | grep -e 'ct count' -e limit`, `iptables-save | grep limit`). \
             Dialed more slowly (--rate), a limit on the rate lets more through.",
        ),
        Shape::From(_) => remedy_of(
            "server or network, which look alike from here: a full accept queue (the process \
             accepts no more: stuck, busy, or out of descriptors), or a firewall, NAT or load \
             balancer that drops new connections from some number on, or beyond some rate (this \
             host's own included).",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS}. If it is not \
                 that, there and here, `nft list ruleset`, `conntrack -C` and `dmesg | grep \
                 conntrack`; dialed more slowly (--rate), a limit on the rate lets more \
                 through.{}",
                talk_hint(case, worst)
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
        Shape::TooFew | Shape::InPlaces => too_little(),
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

fn too_little() -> Remedy {
    remedy_of(
        "server or network: too little to say more.",
        "more dials (-c), or the same run again.",
    )
}

/// Whether those that are not served are a queue, and not merely silent by nature.
fn is_the_queue(case: &Case<'_>, worst: &Trouble, signs: &[Trouble]) -> bool {
    let findings = &case.summary.findings;
    // The last ones before the wall were not served: they are the queue.
    let waits = |sign: &Trouble| match sign.kind {
        Kind::HalfOpen => sign.shape != Shape::TooFew,
        Kind::Unanswered => worst.onset.answered > 0 && matches!(sign.shape, Shape::From(_)),
        _ => false,
    };
    // A lost packet makes a suspect or two as well: only most of them are telling. Whose they are
    // is not known.
    let is_suspected = 2 * findings.suspects_half_open > findings.suspects.max(1);
    signs.iter().any(waits) || (is_suspected && worst.site.is_none())
}

/// Whether everybody was answered, and so quickly that a queue would have had room for the repeated
/// SYNs of the others.
fn is_served(case: &Case<'_>, worst: &Trouble) -> bool {
    let onset = &worst.onset;
    let emptied_after = SLOW_DIAL_MIN + case.summary.first_byte_times.max();
    onset.answered > 0
        && onset.answered == onset.established_ever
        && case.plan.dial_timeout.is_none_or(|timeout| timeout > emptied_after)
}

/// What an answer adds, or the want of one has added.
fn talk_hint(case: &Case<'_>, worst: &Trouble) -> &'static str {
    match (&case.plan.talk, worst.onset.answered) {
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
             went on, or a firewall or load balancer rejects new connections from some number on, \
             or beyond some rate.",
            format!(
                "{look} The same run again: a limit on connections begins at the same number, one \
                 on their rate later when dialed more slowly (--rate)."
            ),
        ),
        Shape::NearlyAll | Shape::MoreFrom(_) | Shape::Scattered => remedy_of(
            "server or network: a listener that comes and goes, one of several servers behind this \
             address that is down, or a rule that rejects by rate.",
            format!("{look} Dialed more slowly (--rate), a rule by rate lets all through."),
        ),
        Shape::TooFew | Shape::InPlaces => Remedy { next: look, ..too_little() },
    }
}

fn unreachable(cause: Cause, worst: &Trouble, words: &Words) -> Remedy {
    let Words { host, .. } = words;
    let took = worst.evidence.map_or(Span::ZERO, |evidence| evidence.min);
    let is_silent = worst.onset.established_ever == 0 && took >= NEIGHBOUR_GIVES_UP_AFTER;
    if cause == Cause::HostUnreachable && is_silent {
        return remedy_of(
            "network: nobody on the last link answers for that address. The host is down, or the \
             address is wrong.",
            format!(
                "`ip neigh show {host}` here: FAILED is a link of this host; else the router's."
            ),
        );
    }
    let why = match worst.shape {
        Shape::From(_) => "a rule that counts connections, or their rate, as it begins late",
        Shape::All => "it knows no way there, or has a rule that rejects",
        _ => "a rule with a rate, or a way that comes and goes",
    };
    remedy_of(
        format!("network: a router or a firewall answers so, on the way or on the server ({why})."),
        "`tcpdump -ni any 'icmp or icmp6'` here shows who; there, its routes and `nft list ruleset \
         | grep reject`.",
    )
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
    let far = match worst.shape {
        Shape::TooFew => return too_little(),
        Shape::Scattered | Shape::InPlaces => return loss("", host),
        // The kernel repeats its SYN after a second, come what may.
        Shape::All => ", or a way there and back of a second and more",
        _ => "",
    };
    remedy_of(
        format!(
            "server or network, which look alike from here: an accept queue that overflows (the \
             process accepts too slowly), or a limit on the rate of new connections{far}."
        ),
        format!(
            "on the server, {queue}; if it is not that, a rule with a rate (`nft list ruleset | \
             grep limit`), and `ping {host}` from here for the way. From here, --probe tells \
             whether the server has all of them."
        ),
    )
}
