//! Reads TCP_INFO and sets keepalives; what the numbers mean is told in `engine/tcp_info.rs`.

use std::io;
use std::os::fd::BorrowedFd;

use super::sys;
use crate::engine::TcpInfo;
use crate::units::Span;

/// The beginning of what the kernel knows of a TCP connection, as far as it goes into here, and
/// where in it what is. Older kernels know less, and say how much that is. Source: `struct tcp_info`
/// in include/uapi/linux/tcp.h.
const INFO_BYTES: usize = 160;
const PROBES: usize = 3;
const UNACKED: usize = 24;
const LAST_ACK_RECV_MS: usize = 56;
const RTT_US: usize = 68;
const TOTAL_RETRANS: usize = 100;
const SEGS_IN: usize = 140;
const DATA_SEGS_IN: usize = 152;

struct Info {
    bytes: [u8; INFO_BYTES],
    known: usize,
}

impl Info {
    /// What is known of a connection, also of one that has ended.
    fn of(socket: BorrowedFd<'_>) -> Option<Info> {
        let mut bytes = [0; INFO_BYTES];
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        let known = sys::get_option(socket, level, name, &mut bytes).ok()?;
        Some(Info { bytes, known })
    }

    /// The number at a place, if the kernel goes that far.
    fn get(&self, place: usize) -> Option<u32> {
        let known = self.bytes.get(..self.known)?;
        Some(u32::from_ne_bytes(*known.get(place..)?.first_chunk()?))
    }
}

/// Everything that the engine may want to know; nothing of it is known where the kernel does not
/// say.
pub fn read(socket: BorrowedFd<'_>) -> TcpInfo {
    let Some(info) = Info::of(socket) else { return TcpInfo::default() };
    let rtt = info.get(RTT_US).filter(|us| *us > 0);
    TcpInfo {
        total_retrans: info.get(TOTAL_RETRANS).unwrap_or(0),
        rtt: rtt.map(|us| Span::from_us(us.into())),
        last_ack_recv: info.get(LAST_ACK_RECV_MS).map(|ms| Span::from_ms(ms.into())),
        segs_in: info.get(SEGS_IN),
        data_segs_in: info.get(DATA_SEGS_IN),
        unacked: info.get(UNACKED).unwrap_or(0),
        probes: info
            .bytes
            .get(..info.known)
            .and_then(|bytes| bytes.get(PROBES))
            .map(|n| (*n).into()),
    }
}

/// The most that the kernel takes: so many unacknowledged keepalives must not end what they check.
/// Source: `MAX_TCP_KEEPCNT` in include/net/tcp.h.
const KEEPALIVES_MAX: i32 = 127;

/// Turns keepalive on: idle for a second, then one a second. The idle time is set last, so that a
/// connection that was silent for that long sends its first one at once.
/// Source: `tcp_sock_set_keepidle_locked` in net/ipv4/tcp.c.
///
/// # Errors
/// The system's.
pub fn set_keepalive(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &1)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &KEEPALIVES_MAX)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &1)
}

/// Turns it off again.
///
/// # Errors
/// The system's.
pub fn clear_keepalive(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &0)
}
