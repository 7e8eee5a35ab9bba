//! Neighbour tables, routes and addresses by netlink. It needs no privilege and works in every
//! network namespace; `/proc/net/stat/arp_cache` exists in the initial one only.
//!
//! Requests and replies are in host byte order: `struct nlmsghdr`, a fixed part, attributes. The
//! kernel handles a request before `send()` returns, so no read here blocks.
//! Source: include/uapi/linux/{netlink,rtnetlink,neighbour}.h; rtnetlink(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::sys;
use crate::limits::Gauge;

#[cfg(test)]
mod tests;

const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWNEIGHTBL: u16 = 64;
const RTM_GETNEIGHTBL: u16 = 66;

/// `AF_INET` and `AF_INET6`, as bytes.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;

/// `struct ndtmsg`, `struct rtmsg`, `struct ifinfomsg` and `struct ndmsg`.
const NDTMSG_BYTES: usize = 4;
const RTMSG_BYTES: usize = 12;
const RTMSG_TYPE: usize = 7;
const IFINFOMSG_BYTES: usize = 16;
const IFINFOMSG_FLAGS: usize = 8;

const NDMSG_BYTES: usize = 12;
const NDMSG_STATE: usize = 8;

const NDA_DST: u16 = 1;
const NUD_INCOMPLETE: u16 = 1;
const NUD_FAILED: u16 = 0x20;

const NDTA_THRESH3: u16 = 4;
const NDTA_CONFIG: u16 = 5;
const NDTA_STATS: u16 = 7;
/// Offsets of `ndtc_entries` in `struct ndt_config`, and `ndts_table_fulls` in `struct ndt_stats`.
const CONFIG_ENTRIES: usize = 4;
const STATS_TABLE_FULLS: usize = 80;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;

const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// The most that the kernel puts into one read of a dump. A longer single reply is cut; only its
/// beginning is used here. Source: `netlink_recvmsg`.
const REPLY_BYTES: usize = 32 * 1024;

/// The most reads for one dump.
const REPLIES_MAX: usize = 1024;

/// A neighbour table; the kernel has one for each family, shared by all network namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub is_v6: bool,
    /// `gc_thresh3`, and the current entries.
    pub entries: Gauge,
    /// `table_fulls`: entries refused at the limit since boot; `None`: unknown.
    pub fulls: Option<u64>,
}

/// The next hop to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hop {
    /// This host itself.
    Local,
    /// A gateway, or the address itself if it is on the link.
    Neighbour { interface: u32, ip: IpAddr },
}

/// A netlink socket and its buffer.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Netlink> {
        Ok(Netlink { socket: sys::route_socket()?, buffer: vec![0; REPLY_BYTES], sequence: 0 })
    }

    /// The ARP and the NDP table, if they can be read.
    pub fn neighbour_tables(&mut self) -> Vec<Table> {
        let mut tables = Vec::new();
        let Ok(sequence) = self.send(RTM_GETNEIGHTBL, NLM_F_DUMP, &[0; NDTMSG_BYTES]) else {
            return tables;
        };
        for _ in 0..REPLIES_MAX {
            let Ok(length) = self.receive() else { break };
            let mut is_done = false;
            for message in Messages(&self.buffer[..length]) {
                is_done |= message.kind == NLMSG_DONE;
                if message.kind == RTM_NEWNEIGHTBL && message.sequence == sequence {
                    tables.extend(table_in(message.body));
                }
            }
            if is_done {
                break;
            }
        }
        tables
    }

    /// The next hop to `ip`, by interface `scope` if that is not 0; `None`: unknown, or no route.
    pub fn hop(&mut self, ip: IpAddr, scope: u32) -> Option<Hop> {
        let sequence = self.send(RTM_GETROUTE, 0, &route_request(ip, scope)).ok()?;
        let reply = self.reply(sequence).filter(|reply| reply.kind == RTM_NEWROUTE)?;
        hop_in(reply.body, ip)
    }

    /// Whether an address is of this host.
    pub fn is_own(&mut self, ip: IpAddr) -> Option<bool> {
        let sequence = self.send(RTM_GETROUTE, 0, &route_request(ip, 0)).ok()?;
        let reply = self.reply(sequence)?;
        match reply.kind {
            RTM_NEWROUTE => Some(*reply.body.get(RTMSG_TYPE)? == RTN_LOCAL),
            // No route.
            NLMSG_ERROR => Some(false),
            _ => None,
        }
    }

    /// Whether a neighbour has an entry and has not replied to ARP or NDP: `INCOMPLETE` or `FAILED`.
    /// `None`: it has no entry, or Linux is older than 5.0.
    pub fn is_unresolved(&mut self, interface: u32, ip: IpAddr) -> Option<bool> {
        let mut request = [0; NDMSG_BYTES].to_vec();
        request[0] = if ip.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
        request[4..8].copy_from_slice(&interface.to_ne_bytes());
        request.extend(attribute(NDA_DST, &octets(ip)));
        let sequence = self.send(RTM_GETNEIGH, 0, &request).ok()?;
        let reply = self.reply(sequence).filter(|reply| reply.kind == RTM_NEWNEIGH)?;
        Some(u16_at(reply.body, NDMSG_STATE)? & (NUD_INCOMPLETE | NUD_FAILED) != 0)
    }

    /// Whether an interface is point-to-point: all its IPv4 neighbours share one entry. Source:
    /// `ipv4_neigh_lookup` in net/ipv4/route.c.
    pub fn is_point_to_point(&mut self, interface: u32) -> bool {
        let mut request = [0; IFINFOMSG_BYTES];
        request[4..8].copy_from_slice(&interface.to_ne_bytes());
        let flags = self.send(RTM_GETLINK, 0, &request).ok().and_then(|sequence| {
            let reply = self.reply(sequence).filter(|reply| reply.kind == RTM_NEWLINK)?;
            u32_at(reply.body, IFINFOMSG_FLAGS)
        });
        flags.is_some_and(|flags| flags & libc::IFF_POINTOPOINT.cast_unsigned() != 0)
    }

    /// Sends a request and returns the sequence number of its replies.
    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = message(kind, NLM_F_REQUEST | flags, self.sequence, body);
        sys::send(self.socket.as_fd(), &message)?;
        Ok(self.sequence)
    }

    /// Reads one datagram, cut at the size of the buffer.
    fn receive(&mut self) -> io::Result<usize> {
        sys::receive(self.socket.as_fd(), &mut self.buffer)
    }

    /// The reply to a request; those to earlier requests are skipped.
    fn reply(&mut self, sequence: u32) -> Option<Message<'_>> {
        let mut length = self.receive().ok()?;
        for _ in 0..REPLIES_MAX {
            if Messages(&self.buffer[..length]).any(|message| message.sequence == sequence) {
                break;
            }
            length = self.receive().ok()?;
        }
        Messages(&self.buffer[..length]).find(|message| message.sequence == sequence)
    }
}

/// One message: header and body.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // The port IDs of the kernel and of this socket; the kernel fills in the latter.
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

fn route_request(ip: IpAddr, scope: u32) -> Vec<u8> {
    let mut body = vec![0; RTMSG_BYTES];
    let address = octets(ip);
    (body[0], body[1]) = if ip.is_ipv4() { (FAMILY_V4, 32) } else { (FAMILY_V6, 128) };
    body.extend(attribute(RTA_DST, &address));
    if scope != 0 {
        body.extend(attribute(RTA_OIF, &scope.to_ne_bytes()));
    }
    body
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A message of a reply.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of one read; the last one may be cut.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.0, 0)? as usize;
        let kind = u16_at(self.0, 4)?;
        let sequence = u32_at(self.0, 8)?;
        let end = length.min(self.0.len());
        let body = self.0.get(HEADER_BYTES..end)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Message { kind, sequence, body })
    }
}

/// The attributes behind a fixed part: kind and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)?;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// A table; `None` for the parts of a dump about single interfaces.
fn table_in(body: &[u8]) -> Option<Table> {
    let is_v6 = match *body.first()? {
        FAMILY_V4 => false,
        FAMILY_V6 => true,
        _ => return None,
    };
    let (mut most, mut used, mut fulls) = (None, None, None);
    for (kind, value) in Attributes(body.get(NDTMSG_BYTES..)?) {
        match kind {
            NDTA_THRESH3 => most = u32_at(value, 0),
            NDTA_CONFIG => used = u32_at(value, CONFIG_ENTRIES),
            NDTA_STATS => {
                let fulls_bytes = value.get(STATS_TABLE_FULLS..).and_then(|v| v.first_chunk());
                fulls = fulls_bytes.map(|bytes| u64::from_ne_bytes(*bytes));
            }
            _ => {}
        }
    }
    let entries = Gauge { most: most?.into(), used: used?.into() };
    Some(Table { is_v6, entries, fulls })
}

/// The next hop of a route to `ip`.
fn hop_in(body: &[u8], ip: IpAddr) -> Option<Hop> {
    match *body.get(RTMSG_TYPE)? {
        RTN_LOCAL => return Some(Hop::Local),
        RTN_UNICAST => {}
        _ => return None,
    }
    let (mut interface, mut next) = (None, ip);
    for (kind, value) in Attributes(body.get(RTMSG_BYTES..)?) {
        match kind {
            RTA_OIF => interface = u32_at(value, 0),
            RTA_GATEWAY => next = address_in(value)?,
            // A gateway of the other family: a family field precedes the address.
            RTA_VIA => next = address_in(value.get(2..)?)?,
            _ => {}
        }
    }
    Some(Hop::Neighbour { interface: interface?, ip: next })
}

fn address_in(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(v4.into());
    }
    Some(<[u8; 16]>::try_from(value).ok()?.into())
}
