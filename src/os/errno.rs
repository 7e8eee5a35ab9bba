//! What a system error means: errno → [`EndReason`]. The same number has another side depending on who
//! said it.

use std::io;

use crate::engine::{EndReason, Failure};

/// Who reported an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A call of ours, refused before any packet was sent: `socket()`, `connect()`, `epoll_ctl()`.
    Here,
    /// The source could not be bound.
    Bind,
    /// The pending error of a socket that was dialing.
    Dialing,
    /// The pending error of a socket that was established, or of a read from it.
    Established,
}

/// The failure that `error` is at this stage. An error without a number counts as number 0.
pub fn failure(stage: Stage, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().unwrap_or(0);
    Failure { reason: reason(stage, errno), errno }
}

/// The reason behind an error number.
pub fn reason(stage: Stage, errno: i32) -> EndReason {
    match stage {
        Stage::Here => here(errno),
        Stage::Bind => bind(errno),
        Stage::Dialing => dialing(errno),
        Stage::Established => established(errno),
    }
}

/// A source is bound without a port, so that it is not for want of one; where the kernel takes one
/// all the same (before Linux 4.2) it is EADDRINUSE that tells.
fn bind(errno: i32) -> EndReason {
    match errno {
        // The same number as for want of a port, and quite another trouble: the address was there at
        // the start. ENODEV: a link-local one, and its interface is gone.
        libc::EADDRNOTAVAIL | libc::ENODEV => EndReason::NoSource,
        _ => here(errno),
    }
}

fn here(errno: i32) -> EndReason {
    match errno {
        libc::EMFILE | libc::ENFILE => EndReason::NoDescriptors,
        // EADDRINUSE: every port of the range is bound by others.
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => EndReason::NoPorts,
        libc::ENOBUFS | libc::ENOMEM => EndReason::NoBuffers,
        libc::ENOSPC => EndReason::NoWatches,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => EndReason::NoRouteToHost,
        // EINVAL: a blackhole route, or a link-local address without its interface.
        libc::ENETUNREACH | libc::ENETDOWN | libc::EINVAL => EndReason::NoRouteToNetwork,
        libc::EPERM | libc::EACCES => EndReason::NotPermitted,
        // The answer can be there before connect() returns.
        libc::ECONNREFUSED => EndReason::Refused,
        libc::ECONNRESET => EndReason::Reset,
        libc::ETIMEDOUT => EndReason::TimedOut,
        _ => EndReason::OtherHere,
    }
}

fn dialing(errno: i32) -> EndReason {
    match errno {
        libc::ECONNREFUSED => EndReason::Refused,
        libc::ETIMEDOUT => EndReason::TimedOut,
        libc::ECONNRESET | libc::EPIPE => EndReason::Reset,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => EndReason::HostUnreachable,
        libc::ENETUNREACH => EndReason::NetworkUnreachable,
        libc::EACCES | libc::EPERM | libc::ENOPROTOOPT => EndReason::Prohibited,
        libc::ENETDOWN => EndReason::NoRouteToNetwork,
        libc::EADDRNOTAVAIL => EndReason::NoPorts,
        libc::ENOBUFS | libc::ENOMEM => EndReason::NoBuffers,
        // `ss -K`, as below.
        libc::ECONNABORTED => EndReason::OtherHere,
        _ => EndReason::OtherBeyond,
    }
}

fn established(errno: i32) -> EndReason {
    match errno {
        libc::ECONNRESET | libc::EPIPE => EndReason::PeerReset,
        // No packet leads to this one: a program on this host had the kernel close it (SOCK_DESTROY).
        // Source: `tcp_abort` in net/ipv4/tcp.c and its callers.
        libc::ECONNABORTED => EndReason::Aborted,
        _ => EndReason::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Side, State};

    #[test]
    fn what_connect_itself_refuses_is_this_hosts_doing_and_what_comes_later_is_not() {
        for errno in
            [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EPERM, libc::EACCES, libc::EINVAL]
        {
            assert_eq!(reason(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
            assert_ne!(reason(Stage::Dialing, errno).side(), Side::ThisHost, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOSPC]
        {
            assert_eq!(reason(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_on_this_host_is_not_lost_beyond_it() {
        assert_eq!(reason(Stage::Established, libc::ECONNABORTED), EndReason::Aborted);
        assert_eq!(EndReason::Aborted.side(), Side::ThisHost);
        assert_eq!(reason(Stage::Dialing, libc::ECONNABORTED).side(), Side::ThisHost);
        assert_eq!(reason(Stage::Established, libc::ETIMEDOUT), EndReason::Lost);
    }

    #[test]
    fn a_source_that_is_gone_is_no_want_of_ports() {
        for errno in [libc::EADDRNOTAVAIL, libc::ENODEV] {
            assert_eq!(reason(Stage::Bind, errno), EndReason::NoSource, "{errno}");
            assert_ne!(reason(Stage::Here, errno), EndReason::NoSource, "{errno}");
        }
        assert_eq!(reason(Stage::Bind, libc::EADDRINUSE), EndReason::NoPorts);
        assert_eq!(reason(Stage::Bind, libc::EACCES), EndReason::NotPermitted);
    }

    #[test]
    fn every_error_ends_a_connection_in_the_state_that_fits_its_stage() {
        for errno in 0..200 {
            assert_eq!(reason(Stage::Here, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Bind, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Dialing, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Established, errno).ends_in(), State::Closed);
        }
    }
}
