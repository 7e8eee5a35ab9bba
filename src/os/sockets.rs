//! The descriptors of a run by slot: 4 bytes and 1 bit each. What a socket has been through is the
//! engine's business; the driver itself must only know whether to ask it "have you connected?" or
//! "what have you got?".

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::engine;
use crate::error::{Error, Result};

const _: () = assert!(size_of::<Option<OwnedFd>>() == 4);

/// User-space bytes that a run takes for each connection: 4 and a bit here, the rest in the engine.
pub const BYTES_PER_CONNECTION: u64 = 5 + engine::BYTES_PER_CONNECTION;

const _: () = assert!(BYTES_PER_CONNECTION <= 40, "what is promised of a connection");

#[derive(Debug)]
pub struct Sockets {
    by_slot: Box<[Option<OwnedFd>]>,
    /// A bit a slot: whether its socket has been seen to connect.
    opened: Box<[u64]>,
}

impl Sockets {
    /// Room for `count` sockets.
    ///
    /// # Errors
    /// [`Error::Memory`] when that is not to be had.
    pub fn new(count: u32) -> Result<Sockets> {
        let failed = |_| Error::Memory {
            connections: count,
            bytes: u64::from(count) * BYTES_PER_CONNECTION,
        };
        let (slots, words) = (count as usize, count.div_ceil(64) as usize);
        let (mut by_slot, mut opened) = (Vec::new(), Vec::new());
        by_slot.try_reserve_exact(slots).map_err(failed)?;
        opened.try_reserve_exact(words).map_err(failed)?;
        by_slot.resize_with(slots, || None);
        opened.resize(words, 0);
        Ok(Sockets { by_slot: by_slot.into(), opened: opened.into() })
    }

    /// The socket of a slot, if it has one.
    pub fn get(&self, slot: u32) -> Option<BorrowedFd<'_>> {
        self.by_slot.get(slot as usize)?.as_ref().map(AsFd::as_fd)
    }

    pub fn is_opened(&self, slot: u32) -> bool {
        self.opened[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    /// Seats a socket that is dialing.
    pub fn insert(&mut self, slot: u32, socket: OwnedFd) {
        self.opened[slot as usize / 64] &= !(1 << (slot % 64));
        self.by_slot[slot as usize] = Some(socket);
    }

    /// Notes that it has connected.
    pub fn set_opened(&mut self, slot: u32) {
        self.opened[slot as usize / 64] |= 1 << (slot % 64);
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.by_slot.len()).unwrap_or(u32::MAX)
    }

    /// How many have a socket; O(slots).
    pub fn count(&self) -> u32 {
        self.by_slot.iter().map(|socket| u32::from(socket.is_some())).sum()
    }

    /// Closes the slot's socket, if it has one.
    pub fn close(&mut self, slot: u32) {
        self.by_slot[slot as usize] = None;
    }
}
