//! The grammar of targets: hosts, ports, and ranges of both.
//!
//! ```text
//! word     = group | ports              a word of digits, commas and dashes only is ports
//! group    = hosts [ ":" ports ]        IPv6 with a port needs brackets
//! hosts    = name | address | address "-" address
//!          | "[" address "]" | "[" address "-" address "]" | "[" address "]" "-" "[" address "]"
//! ports    = span { "," span }          span = port | port "-" port | name of a service
//! ```
//!
//! `A-B` is an address range only if both sides are IP literals: names can have dashes. A host name
//! of digits only needs `--host`. Targets are counted before they are expanded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use super::mistake::Mistake;
use super::services;
use crate::args::HostPort;
use crate::escape::quoted;
use crate::route::TARGETS_MAX;

const PORTS_ACCEPTED: &str =
    "ports are 1 to 65535, alone or in a list with ranges as in 8000-8009,9000";

/// Of a port that is the first of the targets.
pub const NO_HOST: &str =
    "this is a port, and no host comes before it: give HOST PORT or HOST:PORT";

/// The longest host name. Source: RFC 1035, section 2.3.4 (255 octets on the wire, which is 253 as
/// text).
const NAME_BYTES_MAX: usize = 253;

/// The longest name of a network interface. Source: `IFNAMSIZ` of linux/if.h, less the NUL.
const ZONE_BYTES_MAX: usize = 15;

/// Ports in the order in which they were typed, as inclusive ranges; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

/// The hosts of one word, and the ports in it or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    typed: String,
    hosts: Hosts,
    /// Shared: many hosts can have the same long list.
    ports: Option<Rc<Ports>>,
}

/// The hosts of one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    One(String),
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ports {
    /// # Errors
    /// One line about what is accepted; the caller adds the word.
    pub fn parse(text: &str) -> Result<Ports, String> {
        let mut spans = Vec::new();
        for span in text.split(',') {
            if let Some(port) = services::port(span) {
                spans.push((port, port));
                continue;
            }
            let (low, high) = span.split_once('-').unwrap_or((span, span));
            let (low, high) = (parse_port(low)?, parse_port(high)?);
            if low > high {
                return Err(format!("{low}-{high} runs backwards, the lower port comes first"));
            }
            spans.push((low, high));
        }
        Ok(Ports(spans))
    }

    pub fn one(port: u16) -> Ports {
        Ports(vec![(port, port)])
    }

    /// Whether a word is ports and no host.
    fn is_ports(word: &str) -> bool {
        let fits = |b: u8| b.is_ascii_digit() || b == b',' || b == b'-';
        !word.is_empty() && !word.starts_with('-') && word.bytes().all(fits)
    }

    fn count(&self) -> u128 {
        self.0.iter().map(|(low, high)| u128::from(high - low) + 1).sum()
    }

    fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(low, high)| *low..=*high)
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    // parse() also accepts `+80`.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PORTS_ACCEPTED.into());
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("port {} does not exist, {PORTS_ACCEPTED}", quoted(text)))
}

impl Group {
    /// # Errors
    /// One line about what is accepted; the caller adds the word.
    pub fn parse(text: &str) -> Result<Group, String> {
        if text.contains("://") {
            return Err("a host is accepted, not a URL, as in example.com:80".into());
        }
        let (hosts, ports) = if text.starts_with('[') {
            parse_bracketed(text)?
        } else {
            // More than one colon: an IPv6 address, in which no port can follow.
            let parts = if text.matches(':').count() == 1 { text.split_once(':') } else { None };
            let (hosts, ports) = parts.map_or((text, None), |(host, port)| (host, Some(port)));
            (parse_hosts(hosts)?, ports)
        };
        let ports = ports.map(Ports::parse).transpose()?.map(Rc::new);
        Ok(Group { typed: text.into(), hosts, ports })
    }

    /// All pairs of host and port, hosts outer.
    fn expand(&self, ports: &Ports, targets: &mut Vec<HostPort>) {
        self.hosts.each(&mut |host| {
            targets.extend(ports.iter().map(|port| HostPort { host: host.clone(), port }));
        });
    }

    fn needs_brackets(&self) -> bool {
        !self.typed.starts_with('[') && self.typed.contains(':')
    }
}

impl Hosts {
    /// Saturates for all of IPv6.
    pub(super) fn count(&self) -> u128 {
        match self {
            Hosts::One(_) => 1,
            Hosts::V4(low, high) => u128::from(u32::from(*high) - u32::from(*low)) + 1,
            Hosts::V6(low, high) => (u128::from(*high) - u128::from(*low)).saturating_add(1),
        }
    }

    /// Calls `push` with each host as it would be typed alone.
    pub(super) fn each(&self, push: &mut dyn FnMut(String)) {
        match self {
            Hosts::One(host) => push(host.clone()),
            Hosts::V4(low, high) => (u32::from(*low)..=u32::from(*high))
                .for_each(|address| push(Ipv4Addr::from(address).to_string())),
            Hosts::V6(low, high) => (u128::from(*low)..=u128::from(*high))
                .for_each(|address| push(Ipv6Addr::from(address).to_string())),
        }
    }
}

/// `[::1]`, `[::1-::9]` or `[::1]-[::9]`, and the text after the colon behind it.
fn parse_bracketed(text: &str) -> Result<(Hosts, Option<&str>), String> {
    let (inside, behind) = split_brackets(text)?;
    let (hosts, behind) = match behind.strip_prefix('-') {
        Some(second) if second.starts_with('[') => {
            let (high, behind) = split_brackets(second)?;
            (parse_range(inside, high)?, behind)
        }
        Some(_) => return Err("both ends of a range need brackets, as in [::1]-[::9]".into()),
        None => (parse_inside(inside)?, behind),
    };
    match behind.strip_prefix(':') {
        Some(ports) => Ok((hosts, Some(ports))),
        None if behind.is_empty() => Ok((hosts, None)),
        None => Err("only a port may follow the bracket, as in [::1]:80".into()),
    }
}

/// Splits `[inside]behind`.
fn split_brackets(text: &str) -> Result<(&str, &str), String> {
    let opened = text.strip_prefix('[').unwrap_or(text);
    opened.split_once(']').ok_or_else(|| "the bracket is not closed, as in [::1]:80".into())
}

fn parse_inside(inside: &str) -> Result<Hosts, String> {
    if is_literal(inside) {
        return Ok(Hosts::One(inside.into()));
    }
    match inside.split_once('-') {
        Some((low, high)) => parse_range(low, high),
        None => Err("brackets are for an IPv6 address, as in [::1]:80".into()),
    }
}

/// A host or range without brackets and port.
fn parse_hosts(text: &str) -> Result<Hosts, String> {
    if is_literal(text) {
        return Ok(Hosts::One(text.into()));
    }
    if let Some((low, high)) = text.split_once('-')
        && low.parse::<IpAddr>().is_ok()
        && high.parse::<IpAddr>().is_ok()
    {
        return parse_range(low, high);
    }
    if is_short_range(text) {
        return Err("both ends of a range are full addresses, as in 10.0.0.1-10.0.0.9".into());
    }
    if text.contains(':') {
        return Err("not an IPv6 address; HOST:PORT, [ADDR]:PORT and ADDR are accepted".into());
    }
    check_name(text)?;
    Ok(Hosts::One(text.into()))
}

pub(super) fn parse_range(low: &str, high: &str) -> Result<Hosts, String> {
    match (low.parse(), high.parse()) {
        (Ok(IpAddr::V4(low)), Ok(IpAddr::V4(high))) if low <= high => Ok(Hosts::V4(low, high)),
        (Ok(IpAddr::V6(low)), Ok(IpAddr::V6(high))) if low <= high => Ok(Hosts::V6(low, high)),
        (Ok(low), Ok(high)) if low.is_ipv4() == high.is_ipv4() => {
            Err("the range runs backwards, the lower address comes first".into())
        }
        (Ok(_), Ok(_)) => Err("both ends of a range are of one family, IPv4 or IPv6".into()),
        _ => Err("both ends of a range are IP addresses, without a zone".into()),
    }
}

/// `10.0.0.1-9` and `10.0.0.1-10.0.0.999`: mistyped ranges, not names.
fn is_short_range(text: &str) -> bool {
    text.split_once('-').is_some_and(|(low, high)| {
        low.parse::<Ipv4Addr>().is_ok() && high.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

/// An IP address; IPv6 with an optional zone, as in `fe80::1%eth0`.
pub(super) fn is_literal(text: &str) -> bool {
    match text.split_once('%') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && is_zone(zone),
    }
}

fn is_zone(zone: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/:%[]".contains(c);
    (1..=ZONE_BYTES_MAX).contains(&zone.len()) && !zone.contains(odd)
}

/// Rejects obvious mistakes; all else is left to the resolver.
fn check_name(name: &str) -> Result<(), String> {
    let why = if name.is_empty() {
        "the host is missing: HOST:PORT is accepted"
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "a host has no white space and no control characters"
    } else if name.starts_with('-') {
        "a host does not begin with a dash"
    } else if name.contains('/') {
        "a host has no slash; a range of addresses is written 10.0.0.1-10.0.0.9"
    } else if name.contains('@') {
        "a host has no user"
    } else if name.contains(',') {
        "a host has no comma; give several targets as separate words"
    } else if name.contains(['[', ']']) {
        "brackets are for IPv6 addresses only, as in [::1]:80"
    } else if name.len() > NAME_BYTES_MAX {
        "a host name has at most 253 bytes"
    } else {
        return Ok(());
    };
    Err(why.into())
}

/// The typed targets in order: `host` (from `--host`) first, then `words`. A word of ports applies
/// to the hosts before it without ports, and `fallback` (from `--port`) to those that are left.
///
/// # Errors
/// One line with the word and what is accepted.
pub fn assemble(
    host: Option<Group>,
    words: &[String],
    fallback: Option<Ports>,
) -> Result<Vec<HostPort>, Mistake> {
    let mut groups: Vec<Group> = host.into_iter().collect();
    // All groups before this one have ports.
    let mut portless_from = 0;
    for word in words {
        let named = |why: String| Mistake::Word {
            word: word.clone(),
            line: format!("{}: {why}", quoted(word)),
        };
        if !Ports::is_ports(word) {
            groups.push(Group::parse(word).map_err(named)?);
            continue;
        }
        let ports = Rc::new(Ports::parse(word).map_err(named)?);
        let mut waiting =
            groups[portless_from..].iter_mut().filter(|group| group.ports.is_none()).peekable();
        if waiting.peek().is_none() {
            let why = if groups.is_empty() {
                NO_HOST
            } else {
                "the hosts before this port already have one: give several ports as 80,90"
            };
            return Err(named(why.into()));
        }
        waiting.for_each(|group| group.ports = Some(Rc::clone(&ports)));
        portless_from = groups.len();
    }
    expand(&groups, fallback.map(Rc::new))
}

/// Counts before expanding, so that a mistyped range cannot exhaust memory.
fn expand(groups: &[Group], fallback: Option<Rc<Ports>>) -> Result<Vec<HostPort>, Mistake> {
    let mut total = 0u128;
    let mut complete = Vec::with_capacity(groups.len());
    for group in groups {
        let typed = quoted(&group.typed);
        let Some(ports) = group.ports.as_ref().or(fallback.as_ref()) else {
            let form = if group.needs_brackets() { "[HOST]:PORT" } else { "HOST:PORT" };
            let line = format!("{typed} has no port: give {form}, HOST PORT or --port");
            return Err(Mistake::NoPort { word: group.typed.clone(), line });
        };
        total = total.saturating_add(group.hosts.count().saturating_mul(ports.count()));
        if total > TARGETS_MAX as u128 {
            let most = TARGETS_MAX;
            let line = format!("{typed}: {total} targets in all, at most {most} are accepted");
            return Err(line.into());
        }
        complete.push((group, ports));
    }
    let mut targets = Vec::with_capacity(usize::try_from(total).unwrap_or(TARGETS_MAX));
    for (group, ports) in complete {
        group.expand(ports, &mut targets);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests;
