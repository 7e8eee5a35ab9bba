//! The worlds of `--rehearse`, the addresses that a name stands for there, and the run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::world::setup::{
    Accept, CountPer, CountRule, End, Expiry, Idle, Limit, LimitOn, Path, RateRule, Refusal, Reply,
    Restart, Server, Window, World,
};
use super::world::{self, Follow, Rehearsed};
use crate::args::Args;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::escape::Printable;
use crate::plan::Plan;
use crate::rehearsal::{Kind, Rehearsal};
use crate::route::{TARGETS_MAX, Target};
use crate::units::{Span, low_32};

/// The hosts of 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24, for documentation. Source: RFC
/// 5737.
const NETWORKS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
const HOSTS_EACH: usize = 254;

/// Targets and sources of a rehearsal, without a look-up: a name stands for an address that is
/// reserved for documentation, and any address can be a source.
///
/// # Errors
/// As the real look-up: [`Error::Resolve`] for an address of another family, [`Error::Usage`] for
/// too many targets or a source that is no address.
pub fn addresses(args: &Args) -> Result<(Vec<Target>, Vec<SocketAddr>)> {
    if args.targets.len() > TARGETS_MAX {
        return Err(Error::Usage(format!(
            "{} targets: 1 to {TARGETS_MAX} are accepted",
            args.targets.len()
        )));
    }
    let mut sources = Vec::with_capacity(args.sources.len());
    for text in &args.sources {
        let ip = literal(text).ok_or_else(|| {
            Error::Usage(format!("--source {}: an IP address is accepted", Printable(text)))
        })?;
        sources.push(SocketAddr::new(ip.to_canonical(), 0));
    }
    let of_sources = |is_v4| sources.is_empty() || sources.iter().any(|s| s.is_ipv4() == is_v4);
    let wants_v6 = !args.family.accepts(Ipv4Addr::UNSPECIFIED.into()) || !of_sources(true);
    let mut names: Vec<&str> = Vec::new();
    let mut targets = Vec::with_capacity(args.targets.len());
    for typed in &args.targets {
        let ip = literal(&typed.host).unwrap_or_else(|| {
            // The ports of a host follow each other.
            if names.last() != Some(&&*typed.host) {
                names.push(&typed.host);
            }
            documentation_address(names.len(), wants_v6)
        });
        if !args.family.accepts(ip) {
            let family = if ip.is_ipv4() { "IPv6 address (-6)" } else { "IPv4 address (-4)" };
            let why = format!("it has no {family}");
            return Err(Error::Resolve { name: typed.host.clone(), why });
        }
        let address = SocketAddr::new(ip, typed.port);
        targets.push(Target { host: typed.host.clone(), address });
    }
    Ok((targets, sources))
}

/// An address as it was typed, without its zone: that is a matter of this host.
fn literal(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

/// The address of name `number`, counted from 1.
fn documentation_address(number: usize, is_v6: bool) -> IpAddr {
    if is_v6 {
        // Source: RFC 3849.
        let [.., high, low] = number.to_be_bytes();
        let last = u16::from_be_bytes([high, low]);
        return Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into();
    }
    let [a, b, c] = NETWORKS[(number - 1) / HOSTS_EACH % NETWORKS.len()];
    let last = ((number - 1) % HOSTS_EACH + 1) as u8;
    Ipv4Addr::new(a, b, c, last).into()
}

/// The memory for a connection of a rehearsal.
pub fn bytes_per_connection(plan: &Plan) -> u64 {
    world::BYTES_PER_CONNECTION + crate::engine::bits_per_connection(plan).div_ceil(8)
}

/// Runs `plan` against the world of its rehearsal.
///
/// # Errors
/// [`Error::Memory`] if the tables of the engine do not fit.
pub fn run(plan: &Plan, rehearsal: &Rehearsal, follower: &mut dyn Follow) -> Result<Rehearsed> {
    let engine = Engine::new(plan, world::START)?;
    let world = world_of(rehearsal, plan.routes.targets().len(), plan.reply_check.is_some());
    Ok(world::rehearse(plan, engine, &world, rehearsal.seed.into(), follower))
}

/// What is simulated. `has_replies`: whether the plan expects replies.
fn world_of(rehearsal: &Rehearsal, targets: usize, has_replies: bool) -> World {
    let (count, time) = (low_32(rehearsal.value), Span(rehearsal.value));
    let mut server = Server { reply: has_replies.then_some(Reply::AT_ONCE), ..Server::default() };
    let mut path = Path {
        delay: Span::from_ms(1),
        jitter: Span::from_us(100),
        is_in_order: true,
        ..Path::default()
    };
    let counted =
        |refusal| Some(CountRule { max: count, per: CountPer::All, refusal, linger: Span::ZERO });
    match rehearsal.kind {
        Kind::Ok => {}
        Kind::Rtt => (path.delay, path.jitter) = (Span(time.0 / 2), Span::ZERO),
        Kind::Loss => path.loss_permille = count,
        Kind::Refuse => server.is_listening = false,
        Kind::RefuseAfter => (path.count, path.is_near_server) = (counted(Refusal::Rst), true),
        Kind::Reject => path.filter = Some(Refusal::Icmp(13)),
        Kind::Blackhole => path.filter = Some(Refusal::Drop),
        Kind::DropAfter => path.count = counted(Refusal::Drop),
        Kind::RateLimit => {
            path.rate = Some(RateRule { per_s: count, burst: 5, refusal: Refusal::Drop });
        }
        Kind::Outage => path.outage = Some(Window::from(time)),
        Kind::Expire => path.expiry = Some(Expiry { idle: time, resets: true }),
        Kind::Backlog => (server.accept, server.backlog) = (Accept::Never, count),
        Kind::Limit => {
            let on = LimitOn::Open(count);
            server.limit = Some(Limit { on, end: End::Fin, has_last_words: true });
        }
        Kind::Evict => server.evicts_above = Some(count),
        Kind::IdleClose => server.idle = Some(Idle { after: time, end: End::Fin }),
        Kind::Restart => {
            let back_after = Some(Span::from_ms(100));
            server.restart = Some(Restart { at: time, end: Some(End::Rst), back_after });
        }
        Kind::Silent => server.reply = None,
        Kind::Busy => server.reply = Some(Reply { after: time, workers: 1, ..Reply::AT_ONCE }),
    }
    // Each target has its own.
    World { servers: vec![server; targets], path, ..World::default() }
}
