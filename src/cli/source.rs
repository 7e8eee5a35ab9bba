//! The grammar of source addresses, with ranges and networks.
//!
//! ```text
//! sources  = source { "," source }
//! source   = address | address "-" address | address "/" length
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::target::{Hosts, is_literal, parse_range};
use crate::escape::quoted;
use crate::route::SOURCES_MAX;

const ACCEPTED: &str =
    "addresses of this host are accepted, as in 10.0.0.7,10.0.0.10-10.0.0.29,10.0.1.0/24";

/// The addresses in the order in which they were typed. Of a network, the host addresses: if it has
/// more than two, without the first one (the network address; in IPv6 the subnet-router anycast
/// address), and in IPv4 without the last one (broadcast).
///
/// # Errors
/// What is accepted; the caller adds the flag and the value.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut total = 0u128;
    for word in text.split(',') {
        let hosts = parse_one(word)
            .map_err(|why| if word == text { why } else { format!("{}: {why}", quoted(word)) })?;
        total = total.saturating_add(hosts.count());
        all.push(hosts);
    }
    // Before expanding, so that a mistyped range cannot exhaust memory.
    if total > SOURCES_MAX as u128 {
        return Err(format!("{total} sources, at most {SOURCES_MAX} are accepted"));
    }
    let mut sources = Vec::with_capacity(usize::try_from(total).unwrap_or(SOURCES_MAX));
    for hosts in all {
        hosts.each(&mut |host| sources.push(host));
    }
    Ok(sources)
}

fn parse_one(word: &str) -> Result<Hosts, String> {
    if is_literal(word) {
        return Ok(Hosts::One(word.into()));
    }
    if let Some((address, length)) = word.split_once('/') {
        return parse_network(address, length).ok_or_else(|| ACCEPTED.into());
    }
    match word.split_once('-') {
        Some((low, high)) => parse_range(low, high),
        None => Err(ACCEPTED.into()),
    }
}

/// `10.0.0.0/24`, or any other address in that network. Source: RFC 4632, section 3.1.
fn parse_network(address: &str, length: &str) -> Option<Hosts> {
    let is_number = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|_| is_number)?;
    match address.parse().ok()? {
        IpAddr::V4(ip) => {
            let below = u32::MAX.checked_shr(length).unwrap_or(0);
            let (low, high) = (u32::from(ip) & !below, u32::from(ip) | below);
            let ends = u32::from(below > 1);
            let hosts = Hosts::V4(Ipv4Addr::from(low + ends), Ipv4Addr::from(high - ends));
            (length <= 32).then_some(hosts)
        }
        IpAddr::V6(ip) => {
            let below = u128::MAX.checked_shr(length).unwrap_or(0);
            let (low, high) = (u128::from(ip) & !below, u128::from(ip) | below);
            let hosts =
                Hosts::V6(Ipv6Addr::from(low + u128::from(below > 1)), Ipv6Addr::from(high));
            (length <= 128).then_some(hosts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ranges_and_networks_are_expanded() {
        for (typed, expanded) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::1", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("10.0.0.9,10.0.0.7", "10.0.0.9 10.0.0.7"),
            ("10.0.0.254-10.0.1.1", "10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1"),
            ("::fffe-::1:0", "::fffe ::ffff ::1:0"),
            ("10.0.0.5/30", "10.0.0.5 10.0.0.6"),
            ("10.0.0.5/31", "10.0.0.4 10.0.0.5"),
            ("10.0.0.5/32", "10.0.0.5"),
            ("fd00::/126", "fd00::1 fd00::2 fd00::3"),
            ("fd00::7/127", "fd00::6 fd00::7"),
            ("fd00::7/128,127.0.0.1", "fd00::7 127.0.0.1"),
        ] {
            assert_eq!(
                parse(typed).map(|sources| sources.join(" ")),
                Ok(expanded.into()),
                "{typed}"
            );
        }
        assert_eq!(parse("10.1.2.3/16").unwrap().len(), 65_534);
    }

    #[test]
    fn each_mistake_is_one_line() {
        for (typed, expected) in [
            ("", "addresses of this host are accepted"),
            ("localhost", "addresses of this host are accepted"),
            ("10.0.0.7:80", "addresses of this host are accepted"),
            ("[::1]", "addresses of this host are accepted"),
            ("10.0.0.0/33", "addresses of this host are accepted"),
            ("10.0.0.0/+8", "addresses of this host are accepted"),
            ("10.0.0.0/", "addresses of this host are accepted"),
            ("fd00::/129", "addresses of this host are accepted"),
            ("10.0.0.7,", "'': addresses of this host are accepted"),
            ("10.0.0.7,eth0", "'eth0': addresses of this host are accepted"),
            ("10.0.0.9-10.0.0.7", "the range runs backwards"),
            ("10.0.0.1-9", "both ends of a range are IP addresses"),
            ("10.0.0.0-::1", "both ends of a range are of one family"),
            ("10.0.0.0/8", "16777214 sources, at most 65536 are accepted"),
            ("0.0.0.0/0", "4294967294 sources, at most 65536 are accepted"),
            ("::/0", "340282366920938463463374607431768211455 sources"),
        ] {
            let why = parse(typed).unwrap_err();
            assert!(why.contains(expected), "{typed}: {why}");
        }
    }
}
