//! The entries of this host's neighbour tables (ARP, NDP) that a plan needs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::netlink::{Hop, Netlink};
use crate::limits::{Neighbours, is_loopback};
use crate::plan::Plan;

/// The tables that can be read, with the entries that `plan` needs. The routes are looked up, some
/// microseconds each, only if there are more addresses than free entries.
pub fn read(plan: &Plan) -> Vec<Neighbours> {
    let Ok(mut netlink) = Netlink::open() else { return Vec::new() };
    let tables = netlink.neighbour_tables();
    // Each connection has the next target.
    let targets = plan.routes.targets().iter().take(plan.connections as usize);
    let mut counts: HashMap<(IpAddr, u32), u64> = HashMap::new();
    for address in targets.map(|target| &target.address).filter(|a| !is_loopback(a.ip())) {
        *counts.entry((address.ip().to_canonical(), scope(address))).or_default() += 1;
    }
    let is_close = tables.iter().any(|table| table.entries.free() < counts.len() as u64);
    let hops = if is_close { hops(&mut netlink, counts) } else { HashMap::new() };
    let neighbours = tables.into_iter().map(|table| {
        let of_table = hops.iter().filter(|((_, ip), _)| ip.is_ipv6() == table.is_v6);
        let (is_v6, entries) = (table.is_v6, table.entries);
        let (hops, targets) = of_table.fold((0, 0), |(hops, all), (_, n)| (hops + 1, all + n));
        Neighbours { is_v6, entries, hops, targets }
    });
    neighbours.collect()
}

/// The interface of a link-local address, or 0.
pub fn scope(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

/// The number of targets behind each neighbour, by its table entry: interface, address.
fn hops(netlink: &mut Netlink, counts: HashMap<(IpAddr, u32), u64>) -> HashMap<(u32, IpAddr), u64> {
    let (mut hops, mut shared): (HashMap<_, u64>, _) = (HashMap::new(), HashMap::new());
    for ((ip, scope), count) in counts {
        let Some(Hop::Neighbour { interface, ip }) = netlink.hop(ip, scope) else { continue };
        let is_shared = ip.is_ipv4()
            && *shared.entry(interface).or_insert_with(|| netlink.is_point_to_point(interface));
        let ip = if is_shared { Ipv4Addr::UNSPECIFIED.into() } else { ip };
        *hops.entry((interface, ip)).or_default() += count;
    }
    hops
}
