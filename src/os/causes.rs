//! What a system error means: errno → [`Cause`]. The same number has another side depending on who
//! said it.

use std::io;

use crate::engine::{Cause, Failure};

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
    Failure { cause: cause(stage, errno), errno }
}

/// The cause behind an error number.
pub fn cause(stage: Stage, errno: i32) -> Cause {
    match stage {
        Stage::Here => here(errno),
        Stage::Bind => bind(errno),
        Stage::Dialing => dialing(errno),
        Stage::Established => established(errno),
    }
}

/// A source is bound without a port, so that it is not for want of one; where the kernel takes one
/// all the same (before Linux 4.2) it is EADDRINUSE that tells.
fn bind(errno: i32) -> Cause {
    match errno {
        // The same number as for want of a port, and quite another trouble: the address was there at
        // the start. ENODEV: a link-local one, and its interface is gone.
        libc::EADDRNOTAVAIL | libc::ENODEV => Cause::NoSource,
        _ => here(errno),
    }
}

fn here(errno: i32) -> Cause {
    match errno {
        libc::EMFILE | libc::ENFILE => Cause::NoDescriptors,
        // EADDRINUSE: every port of the range is bound by others.
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => Cause::NoPorts,
        libc::ENOBUFS | libc::ENOMEM => Cause::NoBuffers,
        libc::ENOSPC => Cause::NoWatches,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Cause::NoRouteToHost,
        libc::ENETUNREACH | libc::ENETDOWN => Cause::NoRouteToNetwork,
        libc::EPERM | libc::EACCES => Cause::NotPermitted,
        // The answer can be there before connect() returns.
        libc::ECONNREFUSED => Cause::Refused,
        libc::ECONNRESET => Cause::Reset,
        libc::ETIMEDOUT => Cause::TimedOut,
        _ => Cause::OtherHere,
    }
}

fn dialing(errno: i32) -> Cause {
    match errno {
        libc::ECONNREFUSED => Cause::Refused,
        libc::ETIMEDOUT => Cause::TimedOut,
        libc::ECONNRESET | libc::EPIPE => Cause::Reset,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Cause::HostUnreachable,
        libc::ENETUNREACH => Cause::NetworkUnreachable,
        libc::EACCES | libc::EPERM | libc::ENOPROTOOPT => Cause::Prohibited,
        libc::ENETDOWN => Cause::NoRouteToNetwork,
        libc::EADDRNOTAVAIL => Cause::NoPorts,
        libc::ENOBUFS | libc::ENOMEM => Cause::NoBuffers,
        _ => Cause::OtherBeyond,
    }
}

fn established(errno: i32) -> Cause {
    match errno {
        libc::ECONNRESET | libc::EPIPE => Cause::PeerReset,
        _ => Cause::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Side, State};

    #[test]
    fn what_connect_itself_refuses_is_this_hosts_doing_and_what_comes_later_is_not() {
        for errno in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EPERM, libc::EACCES] {
            assert_eq!(cause(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
            assert_eq!(cause(Stage::Dialing, errno).side(), Side::Network, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOSPC]
        {
            assert_eq!(cause(Stage::Here, errno).side(), Side::ThisHost, "{errno}");
        }
    }

    #[test]
    fn a_source_that_is_gone_is_no_want_of_ports() {
        for errno in [libc::EADDRNOTAVAIL, libc::ENODEV] {
            assert_eq!(cause(Stage::Bind, errno), Cause::NoSource, "{errno}");
            assert_ne!(cause(Stage::Here, errno), Cause::NoSource, "{errno}");
        }
        assert_eq!(cause(Stage::Bind, libc::EADDRINUSE), Cause::NoPorts);
        assert_eq!(cause(Stage::Bind, libc::EACCES), Cause::NotPermitted);
    }

    #[test]
    fn every_error_ends_a_connection_in_the_state_that_fits_its_stage() {
        for errno in 0..200 {
            assert_eq!(cause(Stage::Here, errno).ends_in(), State::Error);
            assert_eq!(cause(Stage::Bind, errno).ends_in(), State::Error);
            assert_eq!(cause(Stage::Dialing, errno).ends_in(), State::Error);
            assert_eq!(cause(Stage::Established, errno).ends_in(), State::Closed);
        }
    }
}
