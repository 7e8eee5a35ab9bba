//! On which side a trouble is, as far as that can be seen from here, and what to look at next: the
//! knob, or the command that tells two sides apart. Those of dials that nobody answered are in `silence.rs`,
//! those of connections that were established in `served.rs`, those of this host in `this_host.rs`.

use std::net::SocketAddr;

use super::served;
use super::shape::{HITS_MIN, Shape};
use super::silence;
use super::this_host;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::EndReason;
use crate::engine::evidence::SLOW_DIAL_MIN;
use crate::engine::inquiry::Findings;
use crate::engine::scene::Place;
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
        Kind::Here(reason) => this_host::refused(case, reason, &words.host),
        Kind::Beyond(reason) if is_apart(worst) => apart(reason, worst, &words),
        Kind::Beyond(EndReason::TimedOut) | Kind::Hanging => {
            silence::silence(case, worst, signs, &words)
        }
        Kind::Beyond(EndReason::Refused | EndReason::Reset) => refusal(worst, &words),
        Kind::Beyond(EndReason::OtherBeyond) => remedy_of(
            "server or network.",
            format!("`tcpdump -ni any 'tcp port {}'` here shows what comes back.", words.port),
        ),
        Kind::Beyond(reason) => unreachable(reason, worst, &words),
        Kind::Closed(ending) => served::closed(case, worst, ending, signs, &words),
        Kind::Aborted => remedy_of(
            "this host: a program here had the kernel close them (SOCK_DESTROY, as `ss -K` does); it \
             says nothing about the server."
                .to_owned(),
            "find what does that here: `ss -K` in a script or a cron job, or a network manager.",
        ),
        Kind::Lost => remedy_of(
            "server or network: nothing that was sent there was acknowledged any more, or somebody \
             on the way said that there is none.",
            format!("whether the server still answers, and by which way: `ping {}`.", words.host),
        ),
        Kind::HalfOpen => served::half_open(case, worst, &words),
        Kind::Unanswered => served::unanswered(case, worst, signs, &words),
        Kind::Silent if is_dead(&case.summary.findings) => served::dead(&words),
        Kind::Silent => served::forgotten(&words),
        Kind::Slow => silence::slow(case, worst, &words),
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
        let routes = &case.plan.routes;
        // Where there are several targets, it is the first of those that it met most.
        let index = match worst.only {
            Some(Place::Target(index)) => index,
            _ => worst.kind.matter().map_or(0, |matter| {
                case.summary.targets.met(matter).worst.map_or(0, |(index, _)| index)
            }),
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

fn apart(reason: EndReason, worst: &Trouble, words: &Words) -> Remedy {
    let target = words.target;
    let alone = match &words.source {
        Some(source) => format!("tcpgoon {target} --source {source}"),
        None => format!("tcpgoon {target}"),
    };
    let name = worst.site.as_ref().map_or("", |site| site.name.as_str());
    remedy_of(
        format!("{}: what sets those {name} apart from all others.", reason.side().word()),
        format!("the same run with one of them alone (as `{alone}`) shows more of it."),
    )
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
        Shape::Until => remedy_of(
            "server or network: nobody listened there yet, or a firewall or load balancer rejected \
             until then.",
            "since when the service runs (on the server, `ps -o lstart= -p PID`), and its log.",
        ),
        Shape::Window => remedy_of(
            "server or network: nobody listened for a while (a restart, a failover), or a firewall \
             or load balancer rejected for as long.",
            "on the server, `ps -o lstart= -p PID` (since when it runs), and the logs of that time.",
        ),
        Shape::NearlyAll | Shape::MoreFrom(_) | Shape::Scattered => remedy_of(
            "server or network: a listener that comes and goes, one of several servers behind this \
             address that is down, or a rule that rejects by rate.",
            format!("{look} Dialed more slowly (--rate), a rule by rate lets all through."),
        ),
        Shape::TooFew | Shape::InPlaces => Remedy { next: look, ..too_little() },
    }
}

fn unreachable(reason: EndReason, worst: &Trouble, words: &Words) -> Remedy {
    let Words { host, .. } = words;
    let took = worst.evidence.as_ref().map_or(Span::ZERO, |evidence| evidence.min);
    let is_silent = worst.onset.established_ever == 0 && took >= NEIGHBOUR_GIVES_UP_AFTER;
    if reason == EndReason::HostUnreachable && is_silent {
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
        Shape::Until => "what it was is over: a way, or a host, that was not up yet",
        Shape::Window => "what it was is over: a way, or a host, that was away for a while",
        _ => "a rule with a rate, or a way that comes and goes",
    };
    remedy_of(
        format!("network: a router or a firewall answers so, on the way or on the server ({why})."),
        "`tcpdump -ni any 'icmp or icmp6'` here shows who; there, its routes and `nft list ruleset \
         | grep reject`.",
    )
}

pub fn too_little() -> Remedy {
    remedy_of(
        "server or network: too little to say more.",
        "more dials (-c), or the same run again.",
    )
}

/// Whether most of those that were looked at on suspicion had their SYN-ACK repeated. A lost packet
/// makes a suspect or two as well, and a way of a second and more makes all of them.
pub fn is_suspected(case: &Case<'_>) -> bool {
    let findings = &case.summary.findings;
    let is_near = case.summary.established_times.min() < SLOW_DIAL_MIN;
    is_near
        && findings.suspects_half_open >= HITS_MIN
        && 2 * findings.suspects_half_open > findings.suspects
}

/// Whether most of those asked by keepalive did not even acknowledge it.
pub fn is_dead(findings: &Findings) -> bool {
    findings.silent >= HITS_MIN && 2 * findings.silent > findings.asked
}
