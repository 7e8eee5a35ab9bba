//! The grammar of targets: hosts, ports, and ranges of both.
//!
//! ```text
//! word     = group | ports              a word of nothing but digits, commas and dashes is ports
//! group    = hosts [ ":" ports ]        bare IPv6 takes no port behind it: the brackets are there for that
//! hosts    = name | address | address "-" address
//!          | "[" address "]" | "[" address "-" address "]" | "[" address "]" "-" "[" address "]"
//! ports    = span { "," span }          span = port | port "-" port
//! ```
//!
//! `A-B` is an address range only when both sides are IP literals: names have dashes of their own.
//! A name of digits alone would be a port; `--host` takes it for what it is. Nothing is expanded
//! before it is known how much it comes to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use crate::args::HostPort;
use crate::escape::quoted;
use crate::route::TARGETS_MAX;

const PORTS_ACCEPTED: &str =
    "ports are 1 to 65535, alone or in a list with ranges as in 8000-8009,9000";

/// The longest host name. Source: RFC 1035, section 2.3.4 (255 octets on the wire, two of them not
/// of the text).
const NAME_BYTES_MAX: usize = 253;

/// The longest name of a network interface. Source: `IFNAMSIZ` of linux/if.h, less its end mark.
const ZONE_BYTES_MAX: usize = 15;

/// Ports in the order in which they were typed, as inclusive ranges; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

/// One host word and the ports that came with it or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    typed: String,
    hosts: Hosts,
    /// Shared, since one long list may be that of many hosts.
    ports: Option<Rc<Ports>>,
}

/// Hosts that were typed as one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    One(String),
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ports {
    /// # Errors
    /// One line that says what is accepted; the caller names the word.
    pub fn parse(text: &str) -> Result<Ports, String> {
        let mut spans = Vec::new();
        for span in text.split(',') {
            let (low, high) = span.split_once('-').unwrap_or((span, span));
            let (low, high) = (parse_port(low)?, parse_port(high)?);
            if low > high {
                return Err(format!("{low}-{high} runs backwards, the lower port comes first"));
            }
            spans.push((low, high));
        }
        Ok(Ports(spans))
    }

    /// Whether a word can only be meant as ports.
    fn are_meant_by(word: &str) -> bool {
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
    // The standard parser would take `+80` as well.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PORTS_ACCEPTED.into());
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("port {} does not exist, {PORTS_ACCEPTED}", quoted(text)))
}

impl Group {
    /// # Errors
    /// One line that says what is accepted; the caller names the word.
    pub fn parse(text: &str) -> Result<Group, String> {
        if text.contains("://") {
            return Err("a host is accepted, not a URL, as in example.com:80".into());
        }
        let (hosts, ports) = if text.starts_with('[') {
            parse_bracketed(text)?
        } else {
            // More than one colon is an IPv6 address, and a port cannot be told from its last
            // group.
            let parts = if text.matches(':').count() == 1 { text.split_once(':') } else { None };
            let (hosts, ports) = parts.map_or((text, None), |(host, port)| (host, Some(port)));
            (parse_hosts(hosts)?, ports)
        };
        let ports = ports.map(Ports::parse).transpose()?.map(Rc::new);
        Ok(Group { typed: text.into(), hosts, ports })
    }

    /// Each port at each host, hosts outer.
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
    /// All of IPv6 is one more than fits, and saturates: it is too many either way.
    pub(super) fn count(&self) -> u128 {
        match self {
            Hosts::One(_) => 1,
            Hosts::V4(low, high) => u128::from(u32::from(*high) - u32::from(*low)) + 1,
            Hosts::V6(low, high) => (u128::from(*high) - u128::from(*low)).saturating_add(1),
        }
    }

    /// Hands over each as it would be typed alone.
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

/// `[::1]`, `[::1-::9]` or `[::1]-[::9]`, and what follows the colon behind it.
fn parse_bracketed(text: &str) -> Result<(Hosts, Option<&str>), String> {
    let (inside, behind) = split_brackets(text)?;
    let (hosts, behind) = match behind.strip_prefix('-') {
        Some(second) if second.starts_with('[') => {
            let (high, behind) = split_brackets(second)?;
            (parse_range(inside, high)?, behind)
        }
        Some(_) => return Err("both ends of a range stand in brackets, as in [::1]-[::9]".into()),
        None => (parse_inside(inside)?, behind),
    };
    match behind.strip_prefix(':') {
        Some(ports) => Ok((hosts, Some(ports))),
        None if behind.is_empty() => Ok((hosts, None)),
        None => Err("behind the bracket comes nothing or a port, as in [::1]:80".into()),
    }
}

/// What is between the brackets that `text` begins with, and what is behind them.
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

/// A host that stands without brackets and without its port.
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
        return Err("both ends of a range are whole, as in 10.0.0.1-10.0.0.9".into());
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

/// `10.0.0.1-9` and `10.0.0.1-10.0.0.999`: no range, and no name either that anybody has.
fn is_short_range(text: &str) -> bool {
    text.split_once('-').is_some_and(|(low, high)| {
        low.parse::<Ipv4Addr>().is_ok() && high.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

/// An IP address, if IPv6 perhaps with the zone that link-local addresses need: `fe80::1%eth0`.
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

/// Loosely: what a name may be is for the resolver to say, but what is surely a slip is named here.
fn check_name(name: &str) -> Result<(), String> {
    let why = if name.is_empty() {
        "the host is missing: HOST:PORT is accepted"
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "a host has no white space and no control characters"
    } else if name.starts_with('-') {
        "a host does not begin with a dash"
    } else if name.contains('/') {
        "a host has no slash; a range of addresses is written 10.0.0.1-10.0.0.9"
    } else if name.contains(',') {
        "a host has no comma; several targets are words of their own"
    } else if name.contains(['[', ']']) {
        "brackets stand around an IPv6 address only, as in [::1]:80"
    } else if name.len() > NAME_BYTES_MAX {
        "a host name has at most 253 bytes"
    } else {
        return Ok(());
    };
    Err(why.into())
}

/// The targets that were typed, in that order: `host` (which is `--host`) first, then the `words`;
/// a word of ports is for the hosts before it that have none; those that still have none take the
/// `fallback` (which is `--port`).
///
/// # Errors
/// One line that names the word and says what is accepted.
pub fn assemble(
    host: Option<Group>,
    words: &[String],
    fallback: Option<Ports>,
) -> Result<Vec<HostPort>, String> {
    let mut groups: Vec<Group> = host.into_iter().collect();
    // The first of the groups that may lack a port: all before it have been given one.
    let mut portless_from = 0;
    for word in words {
        let named = |why: String| format!("{}: {why}", quoted(word));
        if !Ports::are_meant_by(word) {
            groups.push(Group::parse(word).map_err(named)?);
            continue;
        }
        let ports = Rc::new(Ports::parse(word).map_err(named)?);
        let mut waiting =
            groups[portless_from..].iter_mut().filter(|group| group.ports.is_none()).peekable();
        if waiting.peek().is_none() {
            let why = if groups.is_empty() {
                "this is a port, and no host comes before it: give HOST PORT"
            } else {
                "the hosts before this port have theirs already: give several ports as 80,90"
            };
            return Err(named(why.into()));
        }
        waiting.for_each(|group| group.ports = Some(Rc::clone(&ports)));
        portless_from = groups.len();
    }
    expand(&groups, fallback.map(Rc::new))
}

/// Counts first, so that a mistyped range costs a line and not the memory of the machine.
fn expand(groups: &[Group], fallback: Option<Rc<Ports>>) -> Result<Vec<HostPort>, String> {
    let mut total = 0u128;
    let mut complete = Vec::with_capacity(groups.len());
    for group in groups {
        let typed = quoted(&group.typed);
        let Some(ports) = group.ports.as_ref().or(fallback.as_ref()) else {
            let form = if group.needs_brackets() { "[HOST]:PORT" } else { "HOST:PORT" };
            return Err(format!("{typed} has no port: give {form}, HOST PORT or --port"));
        };
        total = total.saturating_add(group.hosts.count().saturating_mul(ports.count()));
        if total > TARGETS_MAX as u128 {
            let most = TARGETS_MAX;
            return Err(format!("{typed} makes it {total} targets: at most {most} are accepted"));
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
