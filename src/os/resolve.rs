//! Names → addresses, before anything is dialed.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::sys;
use crate::args::{Family, HostPort};
use crate::error::{Error, Result};
use crate::escape::Printable;

use crate::route::{OtherAddresses, TARGETS_MAX, Target};

/// How many addresses of a name the resolver returns at most; of musl, in the static binary.
/// Source: `MAXADDRS` in musl's src/network/lookup.h.
const RESOLVER_MAX: Option<usize> = if cfg!(target_env = "musl") { Some(48) } else { None };

/// The targets of a run.
#[derive(Debug)]
pub struct Resolved {
    pub targets: Vec<Target>,
    /// Names of which all addresses were wanted, and the resolver's list is full: there may be more.
    pub cut: Vec<Cut>,
    /// What the names have beside the address that is dialed.
    pub others: Vec<OtherAddresses>,
}

/// A name that may have more addresses than `most`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub name: String,
    pub most: usize,
}

/// The targets that were typed, with the first address of each (all of them, in the resolver's
/// order, with `all_addresses`). Each name is looked up once, however many ports of it are dialed.
/// Of a name with addresses of both families, those count that one of `sources` can dial.
///
/// # Errors
/// [`Error::Resolve`] for the first name that has no address, or none of the wanted family;
/// [`Error::Usage`] for more than [`TARGETS_MAX`] targets.
pub fn targets(
    typed: &[HostPort],
    family: Family,
    all_addresses: bool,
    sources: &[SocketAddr],
) -> Result<Resolved> {
    let mut targets = Vec::with_capacity(typed.len());
    let (mut cut, mut others) = (Vec::new(), Vec::new());
    let mut known: Option<(&str, Vec<SocketAddr>)> = None;
    for HostPort { host, port } in typed {
        // The ports of a host stand side by side, so the one before is all that need be remembered.
        let addresses = match known.take() {
            Some((name, addresses)) if name == host => addresses,
            _ => {
                let (addresses, cut_at) = look_up(host, family)?;
                let is_cut = cut_at.filter(|_| all_addresses);
                cut.extend(is_cut.map(|most| Cut { name: host.clone(), most }));
                let addresses = diallable(addresses, sources);
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
    Ok(Resolved { targets, cut, others })
}

/// Adds the addresses of a host; asks first whether they are too many, so that what was mistyped
/// costs a line and not the memory of the machine.
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

/// Those of `addresses` that are of the family of a source; all of them if there is none, or no
/// source.
fn diallable(addresses: Vec<SocketAddr>, sources: &[SocketAddr]) -> Vec<SocketAddr> {
    let fits = |address: &&SocketAddr| {
        sources.is_empty() || sources.iter().any(|source| source.is_ipv4() == address.is_ipv4())
    };
    let fit: Vec<SocketAddr> = addresses.iter().filter(fits).copied().collect();
    if fit.is_empty() { addresses } else { fit }
}

/// The sources that were typed; their ports are 0. Nothing is dialed from an address that this host
/// does not have, so each is tried.
///
/// # Errors
/// [`Error::Usage`] for the first that is not this host's.
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
                    "this host has no such address; 'ip address' lists those that it has".into()
                }
                _ => format!("cannot be dialed from: {error}"),
            }));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// The IPv4 address that an IPv6 one stands for.
fn mapped_v4(ip: IpAddr) -> Option<IpAddr> {
    Some(ip.to_canonical()).filter(|canonical| *canonical != ip)
}

/// Binds a socket to a source, as dials will. That alone proves little: to be bound to, an address
/// may as well be a broadcast or multicast one, or none at all, and the system then dials from
/// whatever it likes. So it has to dial itself from itself (port 9, discard; nothing is sent).
fn try_source(source: &SocketAddr) -> io::Result<()> {
    let (ip, itself) = (source.ip(), SocketAddr::new(source.ip(), 9));
    let is_kept = !ip.is_unspecified()
        && !ip.is_multicast()
        && match sys::source_for(&itself, Some(source)) {
            Ok(kept) => kept.ip() == ip,
            // Broadcast addresses are to be asked for.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => false,
            Err(error) => return Err(error),
        };
    if is_kept { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
}

/// The addresses of one name, at least one, each once; and how many the resolver returns at most, if
/// it returned as many.
fn look_up(host: &str, family: Family) -> Result<(Vec<SocketAddr>, Option<usize>)> {
    let failed = |why: String| Error::Resolve { name: host.to_owned(), why };
    if host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_unicast_link_local()) {
        return Err(failed("a link-local address needs its interface: fe80::1%eth0".into()));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    // An address is no name: nobody need be asked.
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, 0)],
        Err(_) => match (host, 0).to_socket_addrs() {
            Ok(found) => found.collect(),
            Err(error) => return Err(failed(reason(&error))),
        },
    };
    let cut_at = cut_at(found.len(), RESOLVER_MAX);
    let mut seen = HashSet::with_capacity(found.len());
    addresses.extend(found.into_iter().filter(|a| family.accepts(a.ip()) && seen.insert(*a)));
    match (addresses.is_empty(), family) {
        (false, _) => Ok((addresses, cut_at)),
        (true, Family::V4) => Err(failed("it has no IPv4 address (-4 asks for one)".into())),
        (true, Family::V6) => Err(failed("it has no IPv6 address (-6 asks for one)".into())),
        (true, Family::Any) => Err(failed("it has no address".into())),
    }
}

/// The most that a resolver returns, if it returned no less.
fn cut_at(count: usize, resolver_max: Option<usize>) -> Option<usize> {
    resolver_max.filter(|most| count >= *most)
}

/// The resolver's words, without the standard library's before them.
fn reason(error: &std::io::Error) -> String {
    let words = error.to_string();
    let short = words.strip_prefix("failed to lookup address information: ").unwrap_or(&words);
    short.to_owned()
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
    fn more_targets_than_there_may_be_are_not_made() {
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
    fn a_list_that_is_full_may_be_cut() {
        assert_eq!(cut_at(47, Some(48)), None);
        assert_eq!(cut_at(48, Some(48)), Some(48));
        assert_eq!(cut_at(1_000, None), None);
    }

    #[test]
    fn an_address_is_taken_as_it_is() {
        let targets = found(&[typed("127.0.0.1", 80), typed("::1", 81)], Family::Any);
        let addresses: Vec<String> = targets.iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:80", "[::1]:81"]);
    }

    #[test]
    fn addresses_that_are_not_dialed_are_remembered() {
        let both = [typed("localhost", 80), typed("localhost", 81)];
        let resolved = |all| targets(&both, Family::Any, all, &[]).unwrap();
        let all: Vec<IpAddr> = resolved(true).targets.iter().map(|t| t.address.ip()).collect();
        assert_eq!(resolved(true).others, []);
        // Once for all of its ports; a host may have but one of them.
        let others = resolved(false).others;
        let named: Vec<IpAddr> = others.iter().flat_map(|other| other.named.clone()).collect();
        assert_eq!(named, all[1..all.len() / 2]);
        assert_eq!(targets(&[typed("127.0.0.1", 80)], Family::Any, false, &[]).unwrap().others, []);
    }

    #[test]
    fn a_family_that_is_not_there_is_an_error() {
        let error = targets(&[typed("127.0.0.1", 80)], Family::V6, false, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resolve 127.0.0.1: it has no IPv6 address (-6 asks for one)"
        );
        assert!(targets(&[typed("::1", 80)], Family::V4, false, &[]).is_err());
        assert!(targets(&[typed("fe80::1", 80)], Family::Any, false, &[]).is_err());
    }

    #[test]
    fn a_name_is_looked_up_and_keeps_its_ports() {
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
        // 192.0.2.0/24 is for documentation: nobody has it.
        let error = sources(&typed(&["127.0.0.1", "192.0.2.1"])).unwrap_err().to_string();
        assert_eq!(
            error,
            "--source 192.0.2.1: this host has no such address; 'ip address' lists those that it has"
        );
        assert!(sources(&typed(&["fe80::1"])).unwrap_err().to_string().contains("its interface"));
    }

    #[test]
    fn a_name_takes_the_family_of_the_sources() {
        let addresses = ["[::1]:0", "127.0.0.1:0"].map(|address| address.parse().unwrap()).to_vec();
        let from = |source: &str| diallable(addresses.clone(), &[source.parse().unwrap()]);
        assert_eq!(from("127.0.0.2:0"), [addresses[1]]);
        assert_eq!(from("[::2]:0"), [addresses[0]]);
        assert_eq!(diallable(addresses.clone(), &[]), addresses);
    }

    #[test]
    fn a_scope_is_understood() {
        let targets = found(&[typed("fe80::1%lo", 80)], Family::Any);
        assert_eq!(targets[0].address.to_string(), "[fe80::1%1]:80");
    }
}
