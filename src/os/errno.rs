//! errno → [`EndReason`]. What a number means depends on the call that returned it.

use std::io;

use crate::engine::{EndReason, Failure};

/// Where an error was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// By `socket()`, `connect()` or `epoll_ctl()`, before any packet was sent.
    Here,
    /// By `bind()` to the source address.
    Bind,
    /// As the pending error of a dialing socket.
    Dialing,
    /// As the pending error of an established socket, or by a read from it.
    Established,
}

/// An error without a number has errno 0.
pub fn failure(stage: Stage, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().unwrap_or(0);
    Failure { reason: reason(stage, errno), errno }
}

pub fn reason(stage: Stage, errno: i32) -> EndReason {
    match stage {
        Stage::Here => here(errno),
        Stage::Bind => bind(errno),
        Stage::Dialing => dialing(errno),
        Stage::Established => established(errno),
    }
}

/// A source is bound without a port, so ports cannot be exhausted here. Before Linux 4.2 bind()
/// takes a port all the same, and fails with EADDRINUSE if there is no free one.
fn bind(errno: i32) -> EndReason {
    match errno {
        // Not a lack of ports: the address was there at the start and is gone. ENODEV: a link-local
        // address of an interface that is gone.
        libc::EADDRNOTAVAIL | libc::ENODEV => EndReason::NoSource,
        _ => here(errno),
    }
}

fn here(errno: i32) -> EndReason {
    match errno {
        libc::EMFILE | libc::ENFILE => EndReason::NoDescriptors,
        // EADDRINUSE: every port of the range is bound.
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => EndReason::NoPorts,
        libc::ENOBUFS | libc::ENOMEM => EndReason::NoBuffers,
        libc::ENOSPC => EndReason::NoWatches,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => EndReason::NoRouteToHost,
        // EINVAL: a blackhole route, or a link-local address without its interface.
        libc::ENETUNREACH | libc::ENETDOWN | libc::EINVAL => EndReason::NoRouteToNetwork,
        libc::EPERM | libc::EACCES => EndReason::NotPermitted,
        // The reply can arrive before connect() returns.
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
        // No packet causes this: a program on this host closed the socket (SOCK_DESTROY).
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
    fn errors_of_connect_itself_are_of_this_host_and_pending_errors_are_not() {
        for errno in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EPERM, libc::EACCES] {
            assert_eq!(reason(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
            assert_eq!(reason(Stage::Dialing, errno).side(), Side::Network, "{errno}");
        }
        assert_eq!(reason(Stage::Here, libc::EINVAL), EndReason::NoRouteToNetwork);
        for errno in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOSPC]
        {
            assert_eq!(reason(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
        }
    }

    #[test]
    fn a_connection_closed_by_a_program_on_this_host_is_not_lost_in_the_network() {
        assert_eq!(reason(Stage::Established, libc::ECONNABORTED), EndReason::Aborted);
        assert_eq!(EndReason::Aborted.side(), Side::ThisHost);
        assert_eq!(reason(Stage::Dialing, libc::ECONNABORTED).side(), Side::ThisHost);
        assert_eq!(reason(Stage::Established, libc::ETIMEDOUT), EndReason::Lost);
    }

    #[test]
    fn a_source_address_that_is_gone_is_not_port_exhaustion() {
        for errno in [libc::EADDRNOTAVAIL, libc::ENODEV] {
            assert_eq!(reason(Stage::Bind, errno), EndReason::NoSource, "{errno}");
            assert_ne!(reason(Stage::Here, errno), EndReason::NoSource, "{errno}");
        }
        assert_eq!(reason(Stage::Bind, libc::EADDRINUSE), EndReason::NoPorts);
        assert_eq!(reason(Stage::Bind, libc::EACCES), EndReason::NotPermitted);
    }

    #[test]
    fn every_error_ends_a_dial_in_error_and_a_connection_in_closed() {
        for errno in 0..200 {
            assert_eq!(reason(Stage::Here, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Bind, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Dialing, errno).ends_in(), State::Error);
            assert_eq!(reason(Stage::Established, errno).ends_in(), State::Closed);
        }
    }
}
