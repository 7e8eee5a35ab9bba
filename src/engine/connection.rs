//! A connection's life: its states and their legal edges, what can end it and on which side, and
//! the table of all.

use std::collections::TryReserveError;

use super::histogram::Code;
use crate::units::{Moment, low_32};

/// The original's five accounts. Every connection is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    NotInitiated,
    Dialing,
    Established,
    Closed,
    Error,
}

impl State {
    pub const COUNT: usize = 5;
    pub const ALL: [State; State::COUNT] =
        [State::NotInitiated, State::Dialing, State::Established, State::Closed, State::Error];

    /// Whether a connection may move from here to `to`. Only churn leads back, with the next attempt.
    pub fn may_become(self, to: State) -> bool {
        matches!(
            (self, to),
            (State::NotInitiated, State::Dialing)
                | (State::Dialing, State::Established | State::Error)
                | (State::Established, State::Closed)
                | (State::Established | State::Closed | State::Error, State::NotInitiated)
        )
    }
}

/// The side on which a resource ran out or a dial was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Server,
    Network,
    /// Server or network: not distinguishable from this host.
    Beyond,
    ThisHost,
}

impl Side {
    pub fn word(self) -> &'static str {
        match self {
            Side::Server => "server",
            Side::Network => "network",
            Side::Beyond => "server or network",
            Side::ThisHost => "this host",
        }
    }
}

/// How one dial or connection ended. `os/errno.rs` maps errno to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    // These end a dial: the connection is an Error.
    Refused,
    TimedOut,
    Reset,
    HostUnreachable,
    NetworkUnreachable,
    Prohibited,
    OtherBeyond,
    NoDescriptors,
    NoPorts,
    NoSource,
    NoBuffers,
    NoWatches,
    NoRouteToHost,
    NoRouteToNetwork,
    NotPermitted,
    OtherHere,
    // These end an established connection: it is Closed.
    PeerClosed,
    PeerReset,
    HalfOpen,
    Lost,
    Aborted,
}

impl EndReason {
    pub const COUNT: usize = 21;
    pub const ALL: [EndReason; EndReason::COUNT] = [
        EndReason::Refused,
        EndReason::TimedOut,
        EndReason::Reset,
        EndReason::HostUnreachable,
        EndReason::NetworkUnreachable,
        EndReason::Prohibited,
        EndReason::OtherBeyond,
        EndReason::NoDescriptors,
        EndReason::NoPorts,
        EndReason::NoSource,
        EndReason::NoBuffers,
        EndReason::NoWatches,
        EndReason::NoRouteToHost,
        EndReason::NoRouteToNetwork,
        EndReason::NotPermitted,
        EndReason::OtherHere,
        EndReason::PeerClosed,
        EndReason::PeerReset,
        EndReason::HalfOpen,
        EndReason::Lost,
        EndReason::Aborted,
    ];

    /// An error that `connect()` returns at once is this host's; the same error later was sent by a
    /// host on the path.
    pub fn side(self) -> Side {
        self.record().1
    }

    /// In reports.
    pub fn word(self) -> &'static str {
        self.record().0
    }

    /// Whether both are closes by the peer, by FIN or by RST.
    pub fn is_close_as(self, other: EndReason) -> bool {
        let is_close = |reason| matches!(reason, EndReason::PeerClosed | EndReason::PeerReset);
        is_close(self) && is_close(other)
    }

    /// The state in which it leaves a connection: [`State::Error`] or [`State::Closed`].
    pub fn ends_in(self) -> State {
        match self {
            EndReason::PeerClosed
            | EndReason::PeerReset
            | EndReason::HalfOpen
            | EndReason::Lost
            | EndReason::Aborted => State::Closed,
            EndReason::Refused
            | EndReason::TimedOut
            | EndReason::Reset
            | EndReason::HostUnreachable
            | EndReason::NetworkUnreachable
            | EndReason::Prohibited
            | EndReason::OtherBeyond
            | EndReason::NoDescriptors
            | EndReason::NoPorts
            | EndReason::NoSource
            | EndReason::NoBuffers
            | EndReason::NoWatches
            | EndReason::NoRouteToHost
            | EndReason::NoRouteToNetwork
            | EndReason::NotPermitted
            | EndReason::OtherHere => State::Error,
        }
    }

    fn record(self) -> (&'static str, Side) {
        match self {
            // A closed port and a firewall that rejects send the same RST.
            EndReason::Refused => ("refused", Side::Beyond),
            EndReason::TimedOut => ("timed out", Side::Beyond),
            EndReason::Reset => ("reset", Side::Beyond),
            EndReason::HostUnreachable => ("host unreachable", Side::Network),
            EndReason::NetworkUnreachable => ("network unreachable", Side::Network),
            EndReason::Prohibited => ("prohibited on the way", Side::Network),
            EndReason::OtherBeyond => ("other", Side::Beyond),
            EndReason::NoDescriptors => ("no file descriptors", Side::ThisHost),
            EndReason::NoPorts => ("no ephemeral ports", Side::ThisHost),
            EndReason::NoSource => ("source address is gone", Side::ThisHost),
            EndReason::NoBuffers => ("no memory for sockets", Side::ThisHost),
            EndReason::NoWatches => ("no epoll watches", Side::ThisHost),
            EndReason::NoRouteToHost => ("no route to the host", Side::ThisHost),
            EndReason::NoRouteToNetwork => ("no route to the network", Side::ThisHost),
            EndReason::NotPermitted => ("not permitted", Side::ThisHost),
            EndReason::OtherHere => ("other", Side::ThisHost),
            EndReason::PeerClosed => ("closed by the peer", Side::Server),
            EndReason::PeerReset => ("reset by the peer", Side::Beyond),
            EndReason::HalfOpen => ("half-open: the keepalive was answered with RST", Side::Beyond),
            EndReason::Lost => ("lost", Side::Beyond),
            // SOCK_DESTROY.
            EndReason::Aborted => ("closed on this host (ss -K)", Side::ThisHost),
        }
    }
}

/// Names one attempt of one slot; packs into the 64 bits that a poll hands back with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Keeps its route for the whole run.
    pub slot: u32,
    /// The generation: [`Table::get`] drops what is meant for an earlier one.
    pub attempt: u32,
}

impl Key {
    pub fn pack(self) -> u64 {
        u64::from(self.attempt) << 32 | u64::from(self.slot)
    }

    pub fn unpack(packed: u64) -> Key {
        Key { slot: low_32(packed), attempt: low_32(packed >> 32) }
    }
}

impl Connection {
    /// When it was established, if it ever was: exactly as long as it is, else to within 0.8% of its
    /// dial time.
    pub fn established_at(&self) -> Option<Moment> {
        match (self.state, self.dial_time) {
            (State::Established, _) => Some(self.since),
            (_, Some(time)) => Some((self.dialed_at + time.middle()).min(self.since)),
            (_, None) => None,
        }
    }
}

/// What is kept of one slot; anything else is read from its socket when needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The moment of its `connect()`, and so of its SYN.
    pub dialed_at: Moment,
    /// When it entered its state, by the stamp of the event.
    pub since: Moment,
    pub attempt: u32,
    pub state: State,
    pub reason: Option<EndReason>,
    /// How long its dial took, once it was established.
    pub dial_time: Option<Code>,
}

const _: () = assert!(size_of::<Connection>() == 24);

/// All connections of a run, by slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    connections: Box<[Connection]>,
}

impl Table {
    /// `count` connections, none initiated.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(count: u32) -> Result<Table, TryReserveError> {
        let fresh = Connection {
            dialed_at: Moment(0),
            since: Moment(0),
            attempt: 0,
            state: State::NotInitiated,
            reason: None,
            dial_time: None,
        };
        Ok(Table { connections: filled(fresh, count)? })
    }

    /// The connection that `key` names, if that attempt is the current one. The only place that
    /// compares attempts.
    pub fn get(&self, key: Key) -> Option<&Connection> {
        self.connections.get(key.slot as usize).filter(|c| c.attempt == key.attempt)
    }

    /// The key of the current attempt of `slot`.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn key(&self, slot: u32) -> Key {
        Key { slot, attempt: self.connections[slot as usize].attempt }
    }

    /// Moves a connection along a legal edge and returns the state that it was in, and since when. One
    /// field at a time: to copy what has just been written in parts waits for the memory.
    ///
    /// # Panics
    /// If the edge is not legal, or the reason does not go with the state: a defect of the caller.
    pub fn step(
        &mut self,
        slot: u32,
        to: State,
        at: Moment,
        reason: Option<EndReason>,
    ) -> (State, Moment) {
        let connection = &mut self.connections[slot as usize];
        let (state, since) = (connection.state, connection.since);
        assert!(state.may_become(to), "{state:?} cannot become {to:?}");
        assert!(
            reason.is_none_or(|reason| reason.ends_in() == to),
            "{reason:?} does not end in {to:?}"
        );
        (connection.since, connection.state, connection.reason) = (at, to, reason);
        match to {
            State::Dialing => connection.dialed_at = at,
            State::Established => connection.dial_time = Some(Code::of(at.since(since))),
            State::NotInitiated => {
                connection.dial_time = None;
                connection.attempt = connection.attempt.wrapping_add(1);
            }
            State::Closed | State::Error => {}
        }
        (state, since)
    }

    /// As after this number of dials.
    #[cfg(test)]
    pub fn set_attempt(&mut self, slot: u32, attempt: u32) {
        self.connections[slot as usize].attempt = attempt;
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        low_32(self.connections.len() as u64)
    }

    /// The current attempt of `slot`.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn of(&self, slot: u32) -> &Connection {
        &self.connections[slot as usize]
    }

    /// By slot.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter()
    }
}

/// A boxed slice of `count` times `value`.
///
/// # Errors
/// If allocation fails.
pub(super) fn filled<T: Clone>(value: T, count: u32) -> Result<Box<[T]>, TryReserveError> {
    let mut all = Vec::new();
    all.try_reserve_exact(count as usize)?;
    all.resize(count as usize, value);
    Ok(all.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_packing() {
        for key in [
            Key { slot: 0, attempt: 0 },
            Key { slot: 63_999_999, attempt: 1 },
            Key { slot: 7, attempt: u32::MAX },
            Key { slot: u32::MAX, attempt: 0 },
        ] {
            assert_eq!(Key::unpack(key.pack()), key);
        }
    }

    #[test]
    fn a_key_of_another_attempt_names_no_connection() {
        let table = Table::new(2).unwrap();
        assert!(table.get(Key { slot: 1, attempt: 0 }).is_some());
        assert!(table.get(Key { slot: 1, attempt: 1 }).is_none());
        assert!(table.get(Key { slot: 2, attempt: 0 }).is_none());
    }

    #[test]
    fn every_state_and_end_reason_is_listed_once_at_its_index() {
        for (index, reason) in EndReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, state) in State::ALL.iter().enumerate() {
            assert_eq!(*state as usize, index);
        }
    }

    #[test]
    fn a_failure_of_this_host_is_never_the_servers() {
        for reason in [
            EndReason::NoDescriptors,
            EndReason::NoPorts,
            EndReason::NoSource,
            EndReason::NoBuffers,
            EndReason::NoWatches,
            EndReason::NoRouteToHost,
            EndReason::NoRouteToNetwork,
            EndReason::NotPermitted,
            EndReason::OtherHere,
        ] {
            assert_eq!(reason.side(), Side::ThisHost);
            assert_eq!(reason.ends_in(), State::Error);
        }
    }

    #[test]
    #[should_panic(expected = "cannot become")]
    fn an_illegal_edge_is_a_defect() {
        Table::new(1).unwrap().step(0, State::Established, Moment(0), None);
    }
}
