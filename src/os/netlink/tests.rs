use std::collections::HashSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn table(family: i32, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![family as u8, 0, 0, 0];
    body.extend(attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
    body
}

fn config(entries: u32) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[CONFIG_ENTRIES..CONFIG_ENTRIES + 4].copy_from_slice(&entries.to_ne_bytes());
    bytes
}

fn stats(fulls: u64) -> Vec<u8> {
    let mut bytes = vec![0xff; STATS_TABLE_FULLS];
    bytes.extend(fulls.to_ne_bytes());
    bytes
}

#[test]
fn a_table_is_parsed_with_limit_entries_and_refusals() {
    let limit = (NDTA_THRESH3, 1024_u32.to_ne_bytes().to_vec());
    let all = [limit.clone(), (NDTA_CONFIG, config(7)), (NDTA_STATS, stats(u64::MAX))];
    let entries = Gauge { most: 1024, used: 7 };
    let expected = Table { is_v6: false, entries, fulls: Some(u64::MAX) };
    assert_eq!(table_in(&table(libc::AF_INET, &all)), Some(expected));
    let expected = Table { is_v6: true, entries, fulls: None };
    assert_eq!(table_in(&table(libc::AF_INET6, &all[..2])), Some(expected));
    // The parameters of an interface, another family, an older and shorter structure.
    assert_eq!(table_in(&table(libc::AF_INET, &[(6, vec![0; 40])])), None);
    assert_eq!(table_in(&table(12, &all)), None);
    let short = [limit, (NDTA_CONFIG, config(7)), (NDTA_STATS, vec![0; 80])];
    assert_eq!(table_in(&table(libc::AF_INET, &short)).unwrap().fulls, None);
}

#[test]
fn the_next_hop_is_a_gateway_or_the_address_itself() {
    let route = |kind: u8, attributes: &[(u16, Vec<u8>)]| {
        let mut body = vec![0; RTMSG_BYTES];
        body[RTMSG_TYPE] = kind;
        body.extend(attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
        hop_in(&body, Ipv4Addr::new(10, 0, 0, 9).into())
    };
    let out = (RTA_OIF, 3_u32.to_ne_bytes().to_vec());
    let to = |ip: &str| Some(Hop::Neighbour { interface: 3, ip: ip.parse().unwrap() });
    assert_eq!(route(RTN_LOCAL, std::slice::from_ref(&out)), Some(Hop::Local));
    assert_eq!(route(RTN_UNICAST, std::slice::from_ref(&out)), to("10.0.0.9"));
    let gateway = (RTA_GATEWAY, vec![10, 0, 0, 1]);
    assert_eq!(route(RTN_UNICAST, &[out.clone(), gateway]), to("10.0.0.1"));
    let mut via = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
    via.extend("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    assert_eq!(route(RTN_UNICAST, &[(RTA_VIA, via), out.clone()]), to("fe80::1"));
    assert_eq!(route(7, &[out]), None, "an unreachable route");
    assert_eq!(route(RTN_UNICAST, &[]), None);
}

#[test]
fn this_kernel_replies() {
    let mut netlink = Netlink::open().unwrap();
    let tables = netlink.neighbour_tables();
    let families: HashSet<bool> = tables.iter().map(|table| table.is_v6).collect();
    assert!(families.contains(&false) && families.len() == tables.len(), "{tables:?}");
    assert!(tables.iter().all(|table| table.entries.most > 0 && table.fulls.is_some()));
    assert_eq!(netlink.hop(Ipv4Addr::LOCALHOST.into(), 0), Some(Hop::Local));
    // The loopback is interface 1 in each namespace.
    assert!(!netlink.is_point_to_point(1) && !netlink.is_point_to_point(u32::MAX));
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(
        lengths in prop::collection::vec(0..80_u32, 1..4),
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        // Valid lengths, so that some of it is parsed as messages and attributes.
        for (index, length) in lengths.iter().enumerate() {
            if let Some(place) = bytes.get_mut(index * 16..index * 16 + 4) {
                place.copy_from_slice(&length.to_ne_bytes());
            }
        }
        for found in Messages(&bytes) {
            let _ = table_in(found.body);
            let _ = hop_in(found.body, Ipv4Addr::LOCALHOST.into());
        }
        let _ = table_in(&bytes);
        prop_assert!(Messages(&bytes).count() <= bytes.len());
        prop_assert!(Attributes(&bytes).count() <= bytes.len());
    }
}
