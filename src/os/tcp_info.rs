//! Reads TCP_INFO and sets keepalives. What the numbers mean: `engine/tcp_info.rs`.

use std::io;
use std::os::fd::BorrowedFd;

use super::sys;
use crate::engine::TcpInfo;
use crate::units::Span;

/// The beginning of `struct tcp_info`, up to the last field used here, and the offsets of these.
/// Older kernels fill in less, and return the length. Source: include/uapi/linux/tcp.h.
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
    length: usize,
}

impl Info {
    /// Works for a connection that has ended, too.
    fn of(socket: BorrowedFd<'_>) -> Option<Info> {
        let mut bytes = [0; INFO_BYTES];
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        let length = sys::get_option(socket, level, name, &mut bytes).ok()?;
        Some(Info { bytes, length })
    }

    /// The part that the kernel has filled in.
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// `None`: this kernel does not have the field.
    fn get(&self, offset: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.filled().get(offset..)?.first_chunk()?))
    }
}

/// The fields that the engine uses; `None` where the kernel does not have them.
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
        probes: info.filled().get(PROBES).map(|n| (*n).into()),
    }
}

/// The most that the kernel takes: unacknowledged keepalives must not end the connection that they
/// check. Source: `MAX_TCP_KEEPCNT` in include/net/tcp.h.
const KEEPALIVES_MAX: i32 = 127;

/// Turns keepalive on: the first probe after a second without traffic, then one a second. The idle
/// time is set last, so that a connection that was idle for that long sends its first probe at
/// once. Source: `tcp_sock_set_keepidle_locked` in net/ipv4/tcp.c.
///
/// # Errors
/// The system's.
pub fn set_keepalive(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &1)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &KEEPALIVES_MAX)?;
    sys::set_option::<i32>(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &1)
}

/// Whether keepalive is on. The peer's kernel acknowledges probes behind its FIN, too: the newest
/// segment is not the FIN then.
pub fn has_keepalive(socket: BorrowedFd<'_>) -> bool {
    let mut value = [0; size_of::<i32>()];
    sys::get_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &mut value).is_ok()
        && i32::from_ne_bytes(value) != 0
}

/// Turns keepalive off.
///
/// # Errors
/// The system's.
pub fn clear_keepalive(socket: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option::<i32>(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &0)
}
