//! All `unsafe` of the program: one system call a block, and no raw pointer leaves this folder.
//!
//! * here: sockets and limits;
//! * [`errors`]: the error queue of a socket;
//! * `time`: the clock and the timer;
//! * [`files`]: what replaces a file;
//! * [`names`]: what the resolver calls its errors;
//! * [`signals`]: signals, and the end of a child;
//! * [`streams`]: the standard streams.
//!
//! # Errors
//! An `io::Result` is that of the system call that a function is named after, with its errno.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

mod check;
pub mod errors;
pub mod files;
pub mod names;
pub mod signals;
pub mod streams;
mod time;

use check::{check, check_length, own};
pub use errors::read_icmp_error;
pub use signals::{Signals, die_with_parent, exit_on_abort, ignore_sigxfsz};
pub use time::{Timer, monotonic_ns};

use libc::{c_int, c_void, socklen_t};

use crate::units::{NS_PER_S, NS_PER_US, Span};

/// Since Linux 6.3: the local ports that `connect()` may choose from, `high << 16 | low`.
/// Source: `include/uapi/linux/in.h`.
const IP_LOCAL_PORT_RANGE: c_int = 51;

/// A socket address as in `struct sockaddr`.
union SockAddr {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn to_sockaddr(address: &SocketAddr) -> (SockAddr, socklen_t) {
    match address {
        SocketAddr::V4(v4) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            (SockAddr { v4 }, size_of::<libc::sockaddr_in>() as socklen_t)
        }
        SocketAddr::V6(v6) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            (SockAddr { v6 }, size_of::<libc::sockaddr_in6>() as socklen_t)
        }
    }
}

fn from_sockaddr(address: &SockAddr) -> Option<SocketAddr> {
    // SAFETY: both members begin with the family, and the whole union is initialized.
    let family = c_int::from(unsafe { address.v4.sin_family });
    match family {
        libc::AF_INET => {
            // SAFETY: the family selects the member.
            let v4 = unsafe { address.v4 };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family selects the member.
            let v6 = unsafe { address.v6 };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// A non-blocking TCP socket of the family of `address`, closed on exec.
pub fn tcp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    own(unsafe { libc::socket(family, kind, 0) })
}

/// A netlink socket; an unconnected one sends to the kernel. Source: rtnetlink(7).
pub fn route_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    own(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })
}

/// Binds a socket to a source address and leaves the port to `connect()`, so that one port can be
/// used for every target.
pub fn bind_source(socket: BorrowedFd<'_>, source: &SocketAddr) -> io::Result<()> {
    // Before Linux 4.2 the port is chosen at once, which is as good until ports are exhausted.
    let _ = set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1);
    let (sockaddr, length) = to_sockaddr(source);
    // SAFETY: the address lives until the call returns, and `length` is that of the member in use.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const sockaddr).cast(), length) }).map(drop)
}

/// Starts a connection; `EINPROGRESS` is success.
pub fn connect(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    let (sockaddr, length) = to_sockaddr(address);
    // SAFETY: the address lives until the call returns, and `length` is that of the member in use.
    let returned =
        unsafe { libc::connect(socket.as_raw_fd(), (&raw const sockaddr).cast(), length) };
    match check(returned) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// Whether this address of this host has a listener: only then binding with SO_REUSEADDR fails.
pub fn has_listener(address: &SocketAddr) -> bool {
    let Ok(socket) = tcp_socket(address) else { return false };
    let shared = set_option::<c_int>(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1);
    let (sockaddr, length) = to_sockaddr(address);
    // SAFETY: the address lives until the call returns, and `length` is that of the member in use.
    let bound =
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const sockaddr).cast(), length) });
    shared.is_ok() && bound.is_err_and(|error| error.raw_os_error() == Some(libc::EADDRINUSE))
}

/// The source address that the kernel chooses for `target` by its routes, or given `source`; its
/// port is meaningless. `connect()` of a datagram socket sends nothing.
pub fn source_for(target: &SocketAddr, source: Option<&SocketAddr>) -> io::Result<SocketAddr> {
    let family = if target.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers.
    let socket = own(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    if let Some(source) = source {
        bind_source(socket.as_fd(), source)?;
    }
    connect(socket.as_fd(), target)?;
    address(socket.as_fd(), End::Local)
}

/// A bound, listening, non-blocking socket. The kernel clamps `backlog` to `net.core.somaxconn`.
pub fn listen(address: &SocketAddr, backlog: c_int) -> io::Result<OwnedFd> {
    let socket = tcp_socket(address)?;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1)?;
    let (sockaddr, length) = to_sockaddr(address);
    // SAFETY: the address lives until the call returns, and `length` is that of the member in use.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const sockaddr).cast(), length) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// Takes one connection off the accept queue, non-blocking. The address of the client is not read.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let none = std::ptr::null_mut();
    // SAFETY: null for both: the address is not returned.
    own(unsafe { libc::accept4(listener.as_raw_fd(), none, none.cast(), flags) })
}

/// Sets an option of a socket.
pub fn set_option<T>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let (value, length) = (std::ptr::from_ref(value).cast::<c_void>(), size_of::<T>() as socklen_t);
    // SAFETY: `value` points to `length` readable bytes.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, length) }).map(drop)
}

/// Sets the local ports that `connect()` chooses from, inclusive. `ENOPROTOOPT` before Linux 6.3.
pub fn set_local_port_range(socket: BorrowedFd<'_>, low: u16, high: u16) -> io::Result<()> {
    let range = u32::from(high) << 16 | u32::from(low);
    set_option(socket, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range)
}

/// Reads an option of a socket into `value`, and returns its length.
pub fn get_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = socklen_t::try_from(value.len()).unwrap_or(socklen_t::MAX);
    let (fd, value) = (socket.as_raw_fd(), value.as_mut_ptr().cast());
    // SAFETY: `value` points to `length` writable bytes.
    check(unsafe { libc::getsockopt(fd, level, name, value, &raw mut length) })?;
    Ok(length as usize)
}

/// Makes `close()` send RST instead of FIN.
pub fn set_reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Reads and clears the pending error of the socket (SO_ERROR).
pub fn take_error(socket: BorrowedFd<'_>) -> Option<i32> {
    let mut error = [0; 4];
    match get_option(socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error) {
        Ok(_) => Some(i32::from_ne_bytes(error)).filter(|errno| *errno != 0),
        Err(refused) => Some(refused.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Local,
    Peer,
}

/// The address of one end of a connection.
pub fn address(socket: BorrowedFd<'_>, end: End) -> io::Result<SocketAddr> {
    // SAFETY: all-zero bytes are a valid address of no family.
    let mut address: SockAddr = unsafe { zeroed() };
    let mut length = size_of::<SockAddr>() as socklen_t;
    let (fd, start) = (socket.as_raw_fd(), (&raw mut address).cast());
    let returned = match end {
        // SAFETY: `start` points to `length` writable bytes.
        End::Local => unsafe { libc::getsockname(fd, start, &raw mut length) },
        // SAFETY: `start` points to `length` writable bytes.
        End::Peer => unsafe { libc::getpeername(fd, start, &raw mut length) },
    };
    check(returned)?;
    from_sockaddr(&address).ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// Discards up to `limit` received bytes without copying them. Source: tcp(7), `MSG_TRUNC`.
pub fn discard(socket: BorrowedFd<'_>, limit: usize) -> io::Result<usize> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: with MSG_TRUNC TCP writes nothing to the buffer, so it may be null.
    check_length(unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), limit, flags) })
}

/// Receives into `buffer`.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `start` points to `length` writable bytes.
    check_length(unsafe { libc::recv(socket.as_raw_fd(), start, length, libc::MSG_DONTWAIT) })
}

/// Copies received bytes into `buffer` without removing them.
pub fn peek(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: `start` points to `length` writable bytes.
    check_length(unsafe { libc::recv(socket.as_raw_fd(), start, length, flags) })
}

/// Sends what fits into the send buffer; never blocks, never raises SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `start` points to `length` readable bytes.
    check_length(unsafe { libc::send(socket.as_raw_fd(), start, length, flags) })
}

/// Waits until one of `fds` has one of its events (`POLLIN`, `POLLOUT`) or an error, or for
/// `timeout`. Returns which have.
pub fn wait_for<const N: usize>(
    fds: [(BorrowedFd<'_>, i16); N],
    timeout: Option<Span>,
) -> io::Result<[bool; N]> {
    let mut polled =
        fds.map(|(fd, events)| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
    let timeout_ms = timeout.map_or(-1, |span| c_int::try_from(span.0 / 1_000_000).unwrap_or(-1));
    // SAFETY: `polled` has N entries.
    check(unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout_ms) })?;
    Ok(polled.map(|entry| entry.revents != 0))
}

/// Whether this is the controlling terminal, `/dev/tty`. Source: tcgetsid(3): `ENOTTY` for others.
pub fn is_controlling_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::tcgetsid(fd.as_raw_fd()) != -1 }
}

/// RLIMIT_NOFILE: soft, hard.
pub fn descriptor_limit() -> io::Result<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` is writable, and initialized if the call succeeds.
    let limit = unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()))?;
        limit.assume_init()
    };
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets RLIMIT_NOFILE, soft and hard. Source: setrlimit(2): `EPERM` if the process may not raise
/// the hard limit, or it is above `fs.nr_open`.
pub fn set_descriptor_limit(most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` lives until the call returns.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

/// CPU time of this process, user and system.
pub fn cpu_time() -> io::Result<Span> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` is writable, and initialized if the call succeeds.
    let usage = unsafe {
        check(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()))?;
        usage.assume_init()
    };
    let ns = |t: libc::timeval| {
        t.tv_sec.unsigned_abs() * NS_PER_S + t.tv_usec.unsigned_abs() * NS_PER_US
    };
    Ok(Span(ns(usage.ru_utime) + ns(usage.ru_stime)))
}
