//! Names → addresses, before anything is dialed.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::sys;
use super::sys::names::{EAI_ADDRFAMILY, EAI_CODES, gai_text};
use crate::args::{Family, HostPort};
use crate::error::{Error, Result, why};
use crate::escape::Printable;
use crate::route::{OtherAddresses, TARGETS_MAX, Target};

/// The most addresses of a name that the resolver returns: musl's, in the static binary.
/// Source: `MAXADDRS` in musl's src/network/lookup.h.
const RESOLVER_MAX: Option<usize> = if cfg!(target_env = "musl") { Some(48) } else { None };

/// The targets of a run, and what was left out.
#[derive(Debug)]
pub struct Resolved {
    pub targets: Vec<Target>,
    /// With `all_addresses`: names with a full list from the resolver.
    pub truncated: Vec<Truncated>,
    /// Without it: the addresses that are not dialed.
    pub others: Vec<OtherAddresses>,
}

/// A name that may have more addresses than the `max` that the resolver returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    pub name: String,
    pub max: usize,
}

/// Resolves the typed targets: the first address of each, or with `all_addresses` all of them in
/// the resolver's order. Each name is looked up once for all of its ports. Addresses that none of
/// `sources` can dial, by their family, are left out.
///
/// # Errors
/// [`Error::Resolve`] for the first name without an address of `family`; [`Error::Usage`] for more
/// than [`TARGETS_MAX`] targets.
pub fn targets(
    typed: &[HostPort],
    family: Family,
    all_addresses: bool,
    sources: &[SocketAddr],
) -> Result<Resolved> {
    let mut targets = Vec::with_capacity(typed.len());
    let (mut truncated, mut others) = (Vec::new(), Vec::new());
    let mut known: Option<(&str, Vec<SocketAddr>)> = None;
    for HostPort { host, port } in typed {
        // The ports of a host follow each other, so one cached name is enough.
        let addresses = match known.take() {
            Some((name, addresses)) if name == host => addresses,
            _ => {
                let (addresses, max) = look_up(host, family)?;
                let max = max.filter(|_| all_addresses);
                truncated.extend(max.map(|max| Truncated { name: host.clone(), max }));
                let addresses = of_source_family(addresses, sources);
                if !all_addresses && addresses.len() > 1 {
                    others.push(OtherAddresses::new(host, &addresses[1..]));
                }
                addresses
            }
        };
        let wanted = if all_addresses { addresses.len() } else { 1 };
        add(&mut targets, host, *port, &addresses[..wanted])?;
        known = Some((host, addresses));
    }
    Ok(Resolved { targets, truncated, others })
}

/// Adds the addresses of a host. Their number is checked first, so that a typing mistake cannot
/// exhaust memory.
fn add(targets: &mut Vec<Target>, host: &str, port: u16, addresses: &[SocketAddr]) -> Result<()> {
    if targets.len() + addresses.len() > TARGETS_MAX {
        return Err(Error::Usage(format!(
            "the {} addresses of {} make more than {TARGETS_MAX} targets: give fewer ports, or no \
             --all-addresses",
            addresses.len(),
            Printable(host)
        )));
    }
    targets.extend(addresses.iter().map(|address| {
        let mut address = *address;
        address.set_port(port);
        Target { host: host.to_owned(), address }
    }));
    Ok(())
}

/// The addresses with a source of their family; all of them if there are none, or no sources.
fn of_source_family(addresses: Vec<SocketAddr>, sources: &[SocketAddr]) -> Vec<SocketAddr> {
    let fits = |address: &&SocketAddr| {
        sources.is_empty() || sources.iter().any(|source| source.is_ipv4() == address.is_ipv4())
    };
    let fit: Vec<SocketAddr> = addresses.iter().filter(fits).copied().collect();
    if fit.is_empty() { addresses } else { fit }
}

/// The addresses of the typed sources, with port 0. Each is checked to be an address of this host.
///
/// # Errors
/// [`Error::Usage`] for the first one that is not.
pub fn sources(typed: &[String]) -> Result<Vec<SocketAddr>> {
    let mut sources = Vec::with_capacity(typed.len());
    for text in typed {
        let failed = |why: String| Error::Usage(format!("--source {}: {why}", Printable(text)));
        let mut source = match look_up(text, Family::Any) {
            Ok((addresses, _)) => addresses[0],
            Err(Error::Resolve { why, .. }) => return Err(failed(why)),
            Err(other) => return Err(other),
        };
        if let Some(mapped) = mapped_v4(source.ip()) {
            source = SocketAddr::new(mapped, 0);
        }
        let bound = try_source(&source);
        if let Err(error) = bound {
            return Err(failed(match error.raw_os_error() {
                Some(libc::EADDRNOTAVAIL) | None => {
                    "this host has no such address (see 'ip address')".into()
                }
                _ => format!("cannot dial from it: {error}"),
            }));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// The IPv4 address of an IPv4-mapped IPv6 address.
fn mapped_v4(ip: IpAddr) -> Option<IpAddr> {
    Some(ip.to_canonical()).filter(|canonical| *canonical != ip)
}

/// Binds a socket to a source, as dials do. bind() also accepts broadcast, multicast and
/// unspecified addresses, for which the kernel then chooses another source. So the socket is
/// connected to the same address (port 9, discard; UDP, nothing is sent), and must keep its source.
fn try_source(source: &SocketAddr) -> io::Result<()> {
    let (ip, itself) = (source.ip(), SocketAddr::new(source.ip(), 9));
    let is_kept = !ip.is_unspecified()
        && !ip.is_multicast()
        && match sys::source_for(&itself, Some(source)) {
            Ok(kept) => kept.ip() == ip,
            // A broadcast address needs SO_BROADCAST.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => false,
            Err(error) => return Err(error),
        };
    if is_kept { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
}

/// The addresses of a name without duplicates, at least one; and the resolver's maximum, if it
/// returned that number.
fn look_up(host: &str, family: Family) -> Result<(Vec<SocketAddr>, Option<usize>)> {
    let failed = |why: String| Error::Resolve { name: host.to_owned(), why };
    if host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_unicast_link_local()) {
        return Err(failed("a link-local address needs its interface: fe80::1%eth0".into()));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    // An address needs no resolver.
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, 0)],
        Err(_) => match (host, 0).to_socket_addrs() {
            Ok(found) => found.collect(),
            Err(error) => return Err(failed(reason(&error))),
        },
    };
    let max = reached_max(found.len(), RESOLVER_MAX);
    let mut seen = HashSet::with_capacity(found.len());
    addresses.extend(found.into_iter().filter(|a| family.accepts(a.ip()) && seen.insert(*a)));
    match (addresses.is_empty(), family) {
        (false, _) => Ok((addresses, max)),
        (true, Family::V4) => Err(failed("it has no IPv4 address (-4)".into())),
        (true, Family::V6) => Err(failed("it has no IPv6 address (-6)".into())),
        (true, Family::Any) => Err(failed("it has no address".into())),
    }
}

/// `resolver_max`, if the resolver returned that number.
fn reached_max(count: usize, resolver_max: Option<usize>) -> Option<usize> {
    resolver_max.filter(|max| count >= *max)
}

/// Why a name has no address. The standard library returns the resolver's text without its code, so
/// the code is found by the text.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(text) = text.strip_prefix("failed to lookup address information: ") else {
        return why(error);
    };
    let code = EAI_CODES.into_iter().find(|code| gai_text(*code) == text);
    code.and_then(in_words).unwrap_or(text).to_owned()
}

/// An error of getaddrinfo(3), and what to do.
///
/// Source: its man page; resolv/res_query.c of glibc, by which SERVFAIL is `EAI_AGAIN` as no reply
/// is, and REFUSED is `EAI_FAIL`.
fn in_words(code: i32) -> Option<&'static str> {
    Some(match code {
        libc::EAI_AGAIN => {
            "temporary DNS failure: no answer from the name servers of /etc/resolv.conf; try again, \
             or give the IP address"
        }
        libc::EAI_FAIL => {
            "permanent DNS failure: the name server refused the query; give the IP address"
        }
        libc::EAI_NONAME => "no such name in DNS or /etc/hosts",
        libc::EAI_NODATA => "the name exists, but has no address",
        EAI_ADDRFAMILY => "the name has no address of this family",
        libc::EAI_FAMILY => "this host does not support the address family",
        libc::EAI_MEMORY => "the resolver could not allocate memory",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(host: &str, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    fn found(typed: &[HostPort], family: Family) -> Vec<Target> {
        targets(typed, family, false, &[]).unwrap().targets
    }

    #[test]
    fn each_error_of_the_resolver_is_in_our_words() {
        for code in EAI_CODES {
            let text = gai_text(code);
            let error = io::Error::other(format!("failed to lookup address information: {text}"));
            // musl has one text for the codes that it does not use.
            let is_ours = Some(reason(&error).as_str()) == in_words(code);
            assert!(is_ours || cfg!(target_env = "musl"), "{code}: {text}");
        }
        let again = in_words(libc::EAI_AGAIN).unwrap();
        assert!(again.starts_with("temporary DNS failure: "), "{again}");
        let unknown = io::Error::other("failed to lookup address information: Strange");
        assert_eq!(reason(&unknown), "Strange");
        assert!(reason(&io::Error::from_raw_os_error(libc::EMFILE)).contains("ulimit -n"));
    }

    #[test]
    fn too_many_targets_are_refused_before_memory_is_used() {
        let addresses: Vec<SocketAddr> = (0..300u16).map(|n| ([10, 0, 1, 1], n).into()).collect();
        let mut targets = Vec::new();
        let mut ports = 1..=u16::MAX;
        let refused = ports.find_map(|port| add(&mut targets, "many", port, &addresses).err());
        assert_eq!(
            refused.unwrap().to_string(),
            "the 300 addresses of many make more than 65536 targets: give fewer ports, or no \
             --all-addresses"
        );
        assert_eq!(targets.len(), 300 * 218);
        add(&mut targets, "one", 80, &addresses[..1]).unwrap();
    }

    #[test]
    fn a_full_list_of_the_resolver_is_reported() {
        assert_eq!(reached_max(47, Some(48)), None);
        assert_eq!(reached_max(48, Some(48)), Some(48));
        assert_eq!(reached_max(1_000, None), None);
    }

    #[test]
    fn an_address_resolves_to_itself() {
        let targets = found(&[typed("127.0.0.1", 80), typed("::1", 81)], Family::Any);
        let addresses: Vec<String> = targets.iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:80", "[::1]:81"]);
    }

    #[test]
    fn addresses_that_are_not_dialed_are_listed_once() {
        let both = [typed("localhost", 80), typed("localhost", 81)];
        let resolved = |all| targets(&both, Family::Any, all, &[]).unwrap();
        let all: Vec<IpAddr> = resolved(true).targets.iter().map(|t| t.address.ip()).collect();
        assert_eq!(resolved(true).others, []);
        // Once for all ports. This host may have only one address for it.
        let others = resolved(false).others;
        let named: Vec<IpAddr> = others.iter().flat_map(|other| other.named.clone()).collect();
        assert_eq!(named, all[1..all.len() / 2]);
        assert_eq!(targets(&[typed("127.0.0.1", 80)], Family::Any, false, &[]).unwrap().others, []);
    }

    #[test]
    fn a_name_without_an_address_of_the_family_is_an_error() {
        let error = targets(&[typed("127.0.0.1", 80)], Family::V6, false, &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve 127.0.0.1: it has no IPv6 address (-6)");
        assert!(targets(&[typed("::1", 80)], Family::V4, false, &[]).is_err());
        assert!(targets(&[typed("fe80::1", 80)], Family::Any, false, &[]).is_err());
    }

    #[test]
    fn a_name_resolves_and_keeps_its_ports() {
        let both = [typed("localhost", 80), typed("localhost", 81)];
        let targets = found(&both, Family::V4);
        let addresses: Vec<String> = targets.iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:80", "127.0.0.1:81"]);
    }

    #[test]
    fn a_source_is_an_address_of_this_host() {
        let typed = |words: &[&str]| words.iter().map(|word| (*word).into()).collect::<Vec<_>>();
        let both = sources(&typed(&["127.0.0.9", "127.0.0.1"])).unwrap();
        assert_eq!(
            both.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
            ["127.0.0.9:0", "127.0.0.1:0"]
        );
        // 192.0.2.0/24 is for documentation (RFC 5737).
        let error = sources(&typed(&["127.0.0.1", "192.0.2.1"])).unwrap_err().to_string();
        assert_eq!(error, "--source 192.0.2.1: this host has no such address (see 'ip address')");
        assert!(sources(&typed(&["fe80::1"])).unwrap_err().to_string().contains("its interface"));
    }

    #[test]
    fn a_name_resolves_to_the_family_of_the_sources() {
        let addresses = ["[::1]:0", "127.0.0.1:0"].map(|address| address.parse().unwrap()).to_vec();
        let from = |source: &str| of_source_family(addresses.clone(), &[source.parse().unwrap()]);
        assert_eq!(from("127.0.0.2:0"), [addresses[1]]);
        assert_eq!(from("[::2]:0"), [addresses[0]]);
        assert_eq!(of_source_family(addresses.clone(), &[]), addresses);
    }

    #[test]
    fn an_interface_name_becomes_a_scope_id() {
        let targets = found(&[typed("fe80::1%lo", 80)], Family::Any);
        assert_eq!(targets[0].address.to_string(), "[fe80::1%1]:80");
    }
}
