//! How a connection is dialed, and how it is known that it stands.
//!
//! Left to itself, the kernel tries ports of one parity first, and past half of the range each dial
//! walks thousands of taken ones; naming the whole range for each socket spares it that (the option
//! is there since Linux 6.3). A source is bound without a port, so that one port of it serves all
//! targets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mio::event::Event as Readiness;
use mio::{Interest, Token};

use super::errno::{Stage, failure};
use super::host::PortRange;
use super::poller::Poller;
use super::sys::{self, Whose};
use crate::engine::{EndReason, Failure, Key};
use crate::plan::{Close, Plan};
use crate::route::Routes;
use crate::units::Moment;

#[derive(Debug)]
pub struct Dialer {
    routes: Routes,
    /// The host's local ports, as long as the kernel takes a range of them by the socket; older
    /// ones (before Linux 6.3) are asked once.
    range: Option<PortRange>,
    /// By target: whether a dial could be given the very address and port that it dials.
    may_meet_itself: Box<[bool]>,
    /// By target: whether a dial was ever under way.
    was_dialed: Box<[bool]>,
    /// How each connection is to end, also should the process be killed.
    close: Close,
}

/// What readiness of a dialing socket turned out to mean.
pub enum Confirmed {
    Opened,
    Failed(Failure),
    /// Opened, and reset before anybody looked.
    Reset(Failure),
    NotYet,
}

/// A dial that came to nothing at once, having begun at `at`.
pub struct Refused {
    pub at: Moment,
    pub failure: Failure,
}

impl Dialer {
    /// `ports` are the host's local ports, `None` where they are unknown.
    pub fn new(plan: &Plan, ports: Option<PortRange>) -> Dialer {
        let routes = &plan.routes;
        let may = |target: &SocketAddr| {
            let in_range = ports.is_none_or(|ports| ports.contains(target.port()));
            in_range && has_itself_for_source(routes, target)
        };
        let may_meet_itself = routes.targets().iter().map(|target| may(&target.address));
        Dialer {
            may_meet_itself: may_meet_itself.collect(),
            was_dialed: vec![false; routes.targets().len()].into(),
            range: ports,
            routes: routes.clone(),
            close: plan.close,
        }
    }

    /// Socket, source, port range, connect, register: the whole of a dial. Returns when it began,
    /// just before its `connect()`.
    ///
    /// # Errors
    /// What of it failed at once.
    pub fn dial(&mut self, key: Key, poller: &Poller) -> Result<(Moment, OwnedFd), Refused> {
        let refused = |at, error: &io::Error| Refused { at, failure: failure(Stage::Here, error) };
        let target = &self.routes.target(key.slot).address;
        let socket = sys::tcp_socket(target).map_err(|e| refused(poller.clock.now(), &e))?;
        if let Some(source) = self.routes.source(key.slot)
            && let Err(error) = sys::bind_source(socket.as_fd(), source)
        {
            let failure = failure(Stage::Bind, &error);
            return Err(Refused { at: poller.clock.now(), failure });
        }
        if let Some(PortRange { low, high }) = self.range
            && let Err(error) = sys::set_local_port_range(socket.as_fd(), low, high)
            && error.raw_os_error() == Some(libc::ENOPROTOOPT)
        {
            self.range = None;
        }
        if self.close == Close::Rst {
            // Should that fail the close is a FIN.
            let _ = sys::set_reset_on_close(socket.as_fd());
        }
        let at = poller.clock.now();
        let connected = sys::connect(socket.as_fd(), target).and_then(|()| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poller.watch(socket.as_fd(), Token(key.pack() as usize), interest)
        });
        if connected.is_ok() {
            self.was_dialed[self.routes.target_index(key.slot) as usize] = true;
        }
        connected.map(|()| (at, socket)).map_err(|error| {
            let mut refused = refused(at, &error);
            // Where the system finds no address to dial from, the number is the same as for want
            // of a port; but then it has not found one for any dial before.
            let is_lost = refused.failure.reason == EndReason::NoPorts
                && self.routes.sources().is_empty()
                && !self.was_dialed[self.routes.target_index(key.slot) as usize]
                && sys::source_towards(target, None).is_err();
            if is_lost {
                refused.failure.reason = EndReason::OtherHere;
            }
            refused
        })
    }

    /// Asks the dialing socket of a slot what its readiness meant.
    pub fn confirm(&self, slot: u32, socket: BorrowedFd<'_>, readiness: &Readiness) -> Confirmed {
        if let Some(errno) = sys::take_error(socket) {
            let error = io::Error::from_raw_os_error(errno);
            return match failure(Stage::Dialing, &error) {
                // A reset in answer to a SYN is ECONNREFUSED: this one came after the handshake.
                // Source: tcp_reset() in net/ipv4/tcp_input.c.
                Failure { reason: EndReason::Reset, errno } => {
                    Confirmed::Reset(Failure { reason: EndReason::PeerReset, errno })
                }
                failure => Confirmed::Failed(failure),
            };
        }
        if !readiness.is_writable() {
            return Confirmed::NotYet;
        }
        let target = self.routes.target_index(slot) as usize;
        if self.may_meet_itself[target] && is_met_by_itself(socket) {
            // Nobody listens there: on any other host this would have been refused.
            let refused = Failure { reason: EndReason::Refused, errno: libc::ECONNREFUSED };
            return Confirmed::Failed(refused);
        }
        Confirmed::Opened
    }
}

/// Whether a target is dialed from its own address: then its port can be the one that `connect()`
/// chooses. It is so for this host's addresses, but for most of 127.0.0.0/8, which the system dials
/// from 127.0.0.1.
fn has_itself_for_source(routes: &Routes, target: &SocketAddr) -> bool {
    let sources = routes.sources();
    if sources.is_empty() {
        // What cannot be found out may be so.
        return sys::source_towards(target, None).map_or(true, |source| source.ip() == target.ip());
    }
    sources.iter().any(|source| source.ip() == target.ip())
}

/// Whether both ends of a connection are this very socket (a simultaneous open with itself: RFC
/// 9293, 3.5).
fn is_met_by_itself(socket: BorrowedFd<'_>) -> bool {
    match (sys::address(socket, Whose::Local), sys::address(socket, Whose::Peer)) {
        (Ok(local), Ok(peer)) => local == peer,
        _ => false,
    }
}
