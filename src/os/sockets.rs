//! The descriptors of a run by slot: 4 bytes, and 1 bit for whether the socket has connected. All
//! other state of a connection is the engine's.

use std::collections::TryReserveError;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::engine;
use crate::plan::Plan;

const _: () = assert!(size_of::<Option<OwnedFd>>() == 4);

/// User-space bits of a connection in this table.
const BITS_PER_CONNECTION: u64 = 32 + 1;

/// The most user-space bytes of a connection, with all checks on.
pub const BYTES_PER_CONNECTION_MAX: u64 = 49;

const _: () = assert!(
    BITS_PER_CONNECTION + engine::BITS_PER_CONNECTION_MAX <= 8 * BYTES_PER_CONNECTION_MAX,
    "a connection takes more than BYTES_PER_CONNECTION_MAX"
);

/// User-space bytes of each connection of `plan`, here and in the engine, rounded up.
pub fn bytes_per_connection(plan: &Plan) -> u64 {
    (BITS_PER_CONNECTION + engine::bits_per_connection(plan)).div_ceil(8)
}

#[derive(Debug)]
pub struct Sockets {
    by_slot: Box<[Option<OwnedFd>]>,
    /// A bit a slot: whether its socket has connected.
    opened: Box<[u64]>,
}

impl Sockets {
    /// An empty table for `count` sockets.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(count: u32) -> Result<Sockets, TryReserveError> {
        let (slots, groups) = (count as usize, count.div_ceil(64) as usize);
        let (mut by_slot, mut opened) = (Vec::new(), Vec::new());
        by_slot.try_reserve_exact(slots)?;
        opened.try_reserve_exact(groups)?;
        by_slot.resize_with(slots, || None);
        opened.resize(groups, 0);
        Ok(Sockets { by_slot: by_slot.into(), opened: opened.into() })
    }

    /// The socket of a slot, if it has one.
    pub fn get(&self, slot: u32) -> Option<BorrowedFd<'_>> {
        self.by_slot.get(slot as usize)?.as_ref().map(AsFd::as_fd)
    }

    pub fn is_opened(&self, slot: u32) -> bool {
        self.opened[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    /// Takes a socket that is dialing.
    pub fn insert(&mut self, slot: u32, socket: OwnedFd) {
        self.opened[slot as usize / 64] &= !(1 << (slot % 64));
        self.by_slot[slot as usize] = Some(socket);
    }

    /// Marks the slot's socket as connected.
    pub fn set_opened(&mut self, slot: u32) {
        self.opened[slot as usize / 64] |= 1 << (slot % 64);
    }

    /// The number of slots.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.by_slot.len()).unwrap_or(u32::MAX)
    }

    /// The number of slots with a socket; O(slots).
    pub fn count(&self) -> u32 {
        self.by_slot.iter().map(|socket| u32::from(socket.is_some())).sum()
    }

    /// Closes the slot's socket, if it has one.
    pub fn close(&mut self, slot: u32) {
        self.by_slot[slot as usize] = None;
    }
}
