//! Dials a connection, and confirms that it is established.
//!
//! By default the kernel tries ports of one parity first, and once half of the range is used each
//! dial searches through thousands of used ports. Setting the whole range on each socket avoids
//! that (IP_LOCAL_PORT_RANGE, since Linux 6.3). A source is bound without a port, so that one port
//! of it can be used for every target.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mio::event::Event as Readiness;
use mio::{Interest, Token};

use super::errno::{Stage, failure};
use super::host::PortRange;
use super::poller::Poller;
use super::sys::{self, End};
use crate::engine::{EndReason, Failure, Key};
use crate::plan::{Close, Plan};
use crate::route::Routes;
use crate::units::Moment;

#[derive(Debug)]
pub struct Dialer {
    routes: Routes,
    /// The host's local ports; `None` once the kernel has refused the option (before Linux 6.3).
    range: Option<PortRange>,
    /// By target: whether a dial can get the target's address and port as its own.
    may_self_connect: Box<[bool]>,
    /// By target: whether a dial ever sent a SYN.
    was_dialed: Box<[bool]>,
    /// How each connection is closed, also if the process is killed.
    close: Close,
}

/// The state of a dialing socket at its readiness.
pub enum Connected {
    Opened,
    Failed(Failure),
    /// Established, and reset before this readiness.
    Reset(Failure),
    NotYet,
}

/// A dial that failed before a SYN was sent, having begun at `at`.
pub struct DialFailed {
    pub at: Moment,
    pub failure: Failure,
}

impl Dialer {
    /// `ports` are the host's local ports; `None`: unknown.
    pub fn new(plan: &Plan, ports: Option<PortRange>) -> Dialer {
        let routes = &plan.routes;
        let may = |target: &SocketAddr| {
            let in_range = ports.is_none_or(|ports| ports.contains(target.port()));
            in_range && is_dialed_from_itself(routes, target)
        };
        let may_self_connect = routes.targets().iter().map(|target| may(&target.address));
        Dialer {
            may_self_connect: may_self_connect.collect(),
            was_dialed: vec![false; routes.targets().len()].into(),
            range: ports,
            routes: routes.clone(),
            close: plan.close,
        }
    }

    /// Creates, binds, connects and registers a socket. Returns when it began, just before
    /// `connect()`.
    ///
    /// # Errors
    /// [`DialFailed`] with the first call that failed.
    pub fn dial(&mut self, key: Key, poller: &Poller) -> Result<(Moment, OwnedFd), DialFailed> {
        let failed =
            |at, error: &io::Error| DialFailed { at, failure: failure(Stage::Here, error) };
        let index = self.routes.target_index(key.slot) as usize;
        let target = &self.routes.targets()[index].address;
        let socket = sys::tcp_socket(target).map_err(|e| failed(poller.clock.now(), &e))?;
        if let Some(source) = self.routes.source(key.slot)
            && let Err(error) = sys::bind_source(socket.as_fd(), source)
        {
            let failure = failure(Stage::Bind, &error);
            return Err(DialFailed { at: poller.clock.now(), failure });
        }
        if let Some(PortRange { low, high }) = self.range
            && let Err(error) = sys::set_local_port_range(socket.as_fd(), low, high)
            && error.raw_os_error() == Some(libc::ENOPROTOOPT)
        {
            self.range = None;
        }
        if self.close == Close::Rst {
            // If it fails the close is a FIN.
            let _ = sys::set_reset_on_close(socket.as_fd());
        }
        let at = poller.clock.now();
        let connected = sys::connect(socket.as_fd(), target).and_then(|()| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poller.watch(socket.as_fd(), Token(key.pack() as usize), interest)
        });
        if connected.is_ok() {
            self.was_dialed[index] = true;
        }
        connected.map(|()| (at, socket)).map_err(|error| {
            let mut failed = failed(at, &error);
            // EADDRNOTAVAIL also means that the kernel has no source address for the target, but
            // then no dial to it was ever sent.
            let has_no_source = failed.failure.reason == EndReason::NoPorts
                && self.routes.sources().is_empty()
                && !self.was_dialed[index]
                && sys::source_for(target, None).is_err();
            if has_no_source {
                failed.failure.reason = EndReason::OtherHere;
            }
            failed
        })
    }

    /// Whether the dialing socket of a slot has connected: it has if it is writable and has no
    /// error, else its own SO_ERROR decides. Source: tcp_poll() in net/ipv4/tcp.c, which looks at
    /// the socket as the events are fetched.
    pub fn connected(&self, slot: u32, socket: BorrowedFd<'_>, readiness: &Readiness) -> Connected {
        let is_bad = readiness.is_error() || readiness.is_write_closed();
        if (is_bad || !readiness.is_writable())
            && let Some(errno) = sys::take_error(socket)
        {
            let error = io::Error::from_raw_os_error(errno);
            return match failure(Stage::Dialing, &error) {
                // An RST to a SYN is ECONNREFUSED: this one came after the handshake.
                // Source: tcp_reset() in net/ipv4/tcp_input.c.
                Failure { reason: EndReason::Reset, errno } => {
                    Connected::Reset(Failure { reason: EndReason::PeerReset, errno })
                }
                failure => Connected::Failed(failure),
            };
        }
        if !readiness.is_writable() {
            return Connected::NotYet;
        }
        let target = self.routes.target_index(slot) as usize;
        if self.may_self_connect[target] && is_self_connected(socket) {
            // The port has no listener: from any other host this dial would be refused.
            let refused = Failure { reason: EndReason::Refused, errno: libc::ECONNREFUSED };
            return Connected::Failed(refused);
        }
        Connected::Opened
    }
}

/// Whether a target is dialed from its own address: then `connect()` can choose its port as the
/// local one. True for this host's addresses, except most of 127.0.0.0/8, which the kernel dials
/// from 127.0.0.1.
fn is_dialed_from_itself(routes: &Routes, target: &SocketAddr) -> bool {
    let sources = routes.sources();
    if sources.is_empty() {
        // If it cannot be determined, assume so.
        return sys::source_for(target, None).map_or(true, |source| source.ip() == target.ip());
    }
    sources.iter().any(|source| source.ip() == target.ip())
}

/// Whether a socket is connected to itself, by a simultaneous open (RFC 9293, 3.5).
fn is_self_connected(socket: BorrowedFd<'_>) -> bool {
    match (sys::address(socket, End::Local), sys::address(socket, End::Peer)) {
        (Ok(local), Ok(peer)) => local == peer,
        _ => false,
    }
}
