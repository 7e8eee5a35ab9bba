//! Names → addresses, before anything is dialed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::error::{Error, Result};
use crate::plan::{Family, HostPort};
use crate::route::Target;

/// The targets that were typed, with the first address of each (all of them, in the resolver's
/// order, with `all_addresses`). Each name is looked up once, however many ports of it are dialed.
///
/// # Errors
/// [`Error::Resolve`] for the first name that has no address, or none of the wanted family.
pub fn resolve(typed: &[HostPort], family: Family, all_addresses: bool) -> Result<Vec<Target>> {
    let mut targets = Vec::with_capacity(typed.len());
    let mut known: Option<(&str, Vec<SocketAddr>)> = None;
    for HostPort { host, port } in typed {
        // The ports of a host stand side by side, so the one before is all that need be remembered.
        let addresses = match known.take() {
            Some((name, addresses)) if name == host => addresses,
            _ => look_up(host, family)?,
        };
        let wanted = if all_addresses { addresses.len() } else { 1 };
        targets.extend(addresses.iter().take(wanted).map(|address| {
            let mut address = *address;
            address.set_port(*port);
            Target { host: host.clone(), address }
        }));
        known = Some((host, addresses));
    }
    Ok(targets)
}

/// The addresses of one name, at least one, each once.
fn look_up(host: &str, family: Family) -> Result<Vec<SocketAddr>> {
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
    for address in found {
        if family.accepts(address.ip()) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match (addresses.is_empty(), family) {
        (false, _) => Ok(addresses),
        (true, Family::V4) => Err(failed("it has no IPv4 address (-4 asks for one)".into())),
        (true, Family::V6) => Err(failed("it has no IPv6 address (-6 asks for one)".into())),
        (true, Family::Any) => Err(failed("it has no address".into())),
    }
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

    #[test]
    fn an_address_is_taken_as_it_is() {
        let targets =
            resolve(&[typed("127.0.0.1", 80), typed("::1", 81)], Family::Any, false).unwrap();
        let addresses: Vec<String> = targets.iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:80", "[::1]:81"]);
    }

    #[test]
    fn a_family_that_is_not_there_is_an_error() {
        let error = resolve(&[typed("127.0.0.1", 80)], Family::V6, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resolve 127.0.0.1: it has no IPv6 address (-6 asks for one)"
        );
        assert!(resolve(&[typed("::1", 80)], Family::V4, false).is_err());
        assert!(resolve(&[typed("fe80::1", 80)], Family::Any, false).is_err());
    }

    #[test]
    fn a_name_is_looked_up_and_keeps_its_ports() {
        let both = [typed("localhost", 80), typed("localhost", 81)];
        let targets = resolve(&both, Family::V4, false).unwrap();
        let addresses: Vec<String> = targets.iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:80", "127.0.0.1:81"]);
    }

    #[test]
    fn a_scope_is_understood() {
        let targets = resolve(&[typed("fe80::1%lo", 80)], Family::Any, false).unwrap();
        assert_eq!(targets[0].address.to_string(), "[fe80::1%1]:80");
    }
}
