//! The error queue of a socket. The kernel queues ICMP errors for an IPv4 dial also without
//! `IP_RECVERR` (since Linux 5.8; before that, and for IPv6, the queue is empty). The option is
//! never set here: it would make a transient ICMP error fail a read of an established connection.
//! Source: `tcp_v4_err` in net/ipv4/tcp_ipv4.c, `tcp_v6_err` in net/ipv6/tcp_ipv6.c; ip(7).

use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check::check_length;
use crate::icmp::IcmpError;

/// Enough for a header, `struct sock_extended_err` and an IPv6 address, and other messages.
const CONTROL_BYTES: usize = 256;

/// `struct cmsghdr`: length, level, type; then the data, and the next one 8-byte aligned.
const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 8;

/// Offsets in `struct sock_extended_err`, and of the offender's address behind it. Source:
/// include/uapi/linux/errqueue.h.
const ORIGIN: usize = 4;
const KIND: usize = 5;
const CODE: usize = 6;
const OFFENDER: usize = 16;
const OFFENDER_V4: usize = OFFENDER + 4;
const OFFENDER_V6: usize = OFFENDER + 8;

const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Takes the oldest error off the error queue of a socket; `None` if there is none, or it is no
/// ICMP error.
pub fn read_icmp_error(socket: BorrowedFd<'_>) -> Option<IcmpError> {
    let mut control = [0_u8; CONTROL_BYTES];
    // SAFETY: all-zero bytes are a valid message without any buffers.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: `message` lives until the call returns, and `control` has `msg_controllen` bytes.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    check_length(received).ok()?;
    // Bytes that the kernel did not fill in are zero, which is no message.
    in_control(&control)
}

/// Finds the ICMP error among the control messages.
fn in_control(mut control: &[u8]) -> Option<IcmpError> {
    loop {
        let length = usize::try_from(u64::from_ne_bytes(*control.first_chunk()?)).ok()?;
        let level = i32::from_ne_bytes(*control.get(8..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*control.get(12..)?.first_chunk()?);
        let data = control.get(HEADER_BYTES..length)?;
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                return in_extended(data);
            }
            _ => control = control.get(length.checked_next_multiple_of(ALIGNMENT)?..)?,
        }
    }
}

/// Reads a `struct sock_extended_err` and the address behind it.
fn in_extended(data: &[u8]) -> Option<IcmpError> {
    let is_v6 = match *data.get(ORIGIN)? {
        ORIGIN_ICMP => false,
        ORIGIN_ICMP6 => true,
        _ => return None,
    };
    let family = u16::from_ne_bytes(*data.get(OFFENDER..)?.first_chunk()?);
    let offender = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::from(*data.get(OFFENDER_V4..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => {
            // For an IPv6 socket to a mapped address: the IPv4 offender as a mapped address.
            IpAddr::from(Ipv6Addr::from(*data.get(OFFENDER_V6..)?.first_chunk::<16>()?))
                .to_canonical()
        }
        _ => return None,
    };
    Some(IcmpError { is_v6, kind: *data.get(KIND)?, code: *data.get(CODE)?, offender })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + data.len()) as u64;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    /// A `struct sock_extended_err` and an address.
    fn extended(origin: u8, kind: u8, code: u8, address: &[u8]) -> Vec<u8> {
        let mut bytes = 113_u32.to_ne_bytes().to_vec();
        bytes.extend([origin, kind, code, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(address);
        bytes
    }

    fn address_v4(last: u8) -> Vec<u8> {
        let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        bytes.extend([0, 0, 10, 9, 0, last, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_icmp_error_and_its_offender_are_found_behind_other_messages() {
        let error = IcmpError { is_v6: false, kind: 3, code: 13, offender: [10, 9, 0, 2].into() };
        let wanted = message(0, libc::IP_RECVERR, &extended(2, 3, 13, &address_v4(2)));
        assert_eq!(in_control(&wanted), Some(error));
        let other = message(0, libc::IP_TTL, &[64, 0, 0, 0]);
        assert_eq!(in_control(&[other.clone(), wanted.clone()].concat()), Some(error));
        assert_eq!(in_control(&other), None);
        for end in 0..wanted.len() - 8 {
            assert_eq!(in_control(&wanted[..end]), None, "{end}");
        }
        let local = message(0, libc::IP_RECVERR, &extended(1, 3, 13, &address_v4(2)));
        assert_eq!(in_control(&local), None, "no ICMP error");

        let mut v6 = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        v6.extend([0; 6]);
        v6.extend("fd00:9::2".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend([0; 4]);
        let error =
            IcmpError { is_v6: true, kind: 1, code: 1, offender: "fd00:9::2".parse().unwrap() };
        let wanted = message(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &extended(3, 1, 1, &v6));
        assert_eq!(in_control(&wanted), Some(error));
    }

    proptest! {
        #[test]
        fn no_control_bytes_cause_a_panic(
            length in prop_oneof![any::<u64>(), 0..64_u64],
            mut bytes in prop::collection::vec(any::<u8>(), 0..256),
        ) {
            if let Some(first) = bytes.first_chunk_mut() {
                *first = length.to_ne_bytes();
            }
            let _ = in_control(&bytes);
        }
    }
}
