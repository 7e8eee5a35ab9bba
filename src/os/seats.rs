//! The connections of a server by descriptor, and what is done for each: greeted, read, echoed,
//! flooded.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::Interest;

use super::sys;
use crate::findings::ServeCounts;
use crate::plan::ServeArgs;

/// How much is read from or sent to one connection before the next one gets its chance.
const PIECE_BYTES: usize = 64 * 1024;

/// Names one connection. The generation tells it from others that had the same descriptor before or
/// after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat {
    descriptor: u32,
    generation: u32,
}

/// What [`Seats::serve_next`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Nobody was waiting.
    Nobody,
    Somebody,
    /// This one is over: close it.
    Ended(Seat),
}

#[derive(Debug, Default)]
struct Occupant {
    socket: Option<OwnedFd>,
    generation: u32,
    /// Whether it is on the ready list.
    is_waiting: bool,
}

const _: () = assert!(size_of::<Occupant>() == 12);

/// 12 bytes a seat.
#[derive(Debug)]
pub struct Seats {
    pub counts: ServeCounts,
    banner: Vec<u8>,
    echo: bool,
    flood: bool,
    by_descriptor: Vec<Occupant>,
    /// Whoever has something to be read or sent, each once.
    ready: VecDeque<u32>,
    /// What an echo could not send yet, by descriptor. Nothing more is read from those meanwhile.
    unsent: HashMap<u32, Vec<u8>>,
    buffer: Vec<u8>,
}

impl Seats {
    pub fn new(args: &ServeArgs) -> Seats {
        Seats {
            counts: ServeCounts::default(),
            banner: args.banner.clone(),
            echo: args.echo,
            flood: args.flood,
            by_descriptor: Vec::new(),
            ready: VecDeque::new(),
            unsent: HashMap::new(),
            buffer: vec![b'.'; PIECE_BYTES],
        }
    }

    /// What readiness matters.
    pub fn interest(&self) -> Interest {
        if self.echo || self.flood {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        }
    }

    /// Whether somebody is waiting for [`Seats::serve_next`].
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The socket of a connection that is still open.
    pub fn get(&self, seat: Seat) -> Option<BorrowedFd<'_>> {
        let occupant = self.by_descriptor.get(seat.descriptor as usize)?;
        let socket = occupant.socket.as_ref().filter(|_| occupant.generation == seat.generation);
        socket.map(AsFd::as_fd)
    }

    /// Takes a connection, greets it, and returns its seat.
    pub fn insert(&mut self, socket: OwnedFd) -> Seat {
        let descriptor = socket.as_raw_fd().unsigned_abs();
        if !self.banner.is_empty() {
            // A fresh socket has room for it. One whose peer is gone already will say so itself.
            let _ = sys::send(socket.as_fd(), &self.banner);
        }
        if self.by_descriptor.len() <= descriptor as usize {
            self.by_descriptor.resize_with(descriptor as usize + 1, Occupant::default);
        }
        let occupant = &mut self.by_descriptor[descriptor as usize];
        occupant.generation = occupant.generation.wrapping_add(1);
        occupant.socket = Some(socket);
        self.counts.accepted += 1;
        self.counts.open += 1;
        self.counts.open_peak = self.counts.open_peak.max(self.counts.open);
        Seat { descriptor, generation: occupant.generation }
    }

    /// Counts a connection that was accepted and could not be kept.
    pub fn count_lost(&mut self) {
        self.counts.accepted += 1;
        self.counts.closed += 1;
    }

    /// Closes a connection; returns whether it was open.
    pub fn remove(&mut self, seat: Seat) -> bool {
        if self.get(seat).is_none() {
            return false;
        }
        self.by_descriptor[seat.descriptor as usize].socket = None;
        self.unsent.remove(&seat.descriptor);
        self.counts.open -= 1;
        self.counts.closed += 1;
        true
    }

    /// A connection can be read or written, or its peer is done with it (`ended`). Returns the seat
    /// if it is to be closed.
    pub fn hear(&mut self, token: usize, ended: bool) -> Option<Seat> {
        let descriptor = u32::try_from(token).ok()?;
        let occupant = self.by_descriptor.get_mut(token)?;
        occupant.socket.as_ref()?;
        // An echo still owes its peer what came before the end.
        if ended && !self.echo {
            return Some(Seat { descriptor, generation: occupant.generation });
        }
        if !std::mem::replace(&mut occupant.is_waiting, true) {
            self.ready.push_back(descriptor);
        }
        None
    }

    /// Does a piece of work for whoever has waited longest.
    pub fn serve_next(&mut self) -> Served {
        let Some(descriptor) = self.ready.pop_front() else { return Served::Nobody };
        let occupant = &mut self.by_descriptor[descriptor as usize];
        occupant.is_waiting = false;
        let Some(socket) = occupant.socket.as_ref().map(AsFd::as_fd) else {
            return Served::Somebody;
        };
        let work = if self.echo {
            echo(socket, descriptor, &mut self.unsent, &mut self.buffer)
        } else {
            match drop_received(socket) {
                Work::Over => Work::Over,
                received if self.flood => received.and(flood(socket, &self.buffer)),
                received => received,
            }
        };
        match work {
            Work::Over => Served::Ended(Seat { descriptor, generation: occupant.generation }),
            Work::Done => Served::Somebody,
            Work::More => {
                occupant.is_waiting = true;
                self.ready.push_back(descriptor);
                Served::Somebody
            }
        }
    }
}

/// What became of a piece of work for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The connection has ended.
    Over,
    /// The socket would block: the poll will tell when there is more.
    Done,
    /// There may be more at once.
    More,
}

impl Work {
    fn and(self, other: Work) -> Work {
        match (self, other) {
            (Work::Over, _) | (_, Work::Over) => Work::Over,
            (Work::More, _) | (_, Work::More) => Work::More,
            _ => Work::Done,
        }
    }
}

fn drop_received(socket: BorrowedFd<'_>) -> Work {
    match sys::discard(socket, PIECE_BYTES) {
        Ok(0) => Work::Over,
        Ok(_) => Work::More,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Work::Done,
        Err(_) => Work::Over,
    }
}

fn flood(socket: BorrowedFd<'_>, bytes: &[u8]) -> Work {
    match sys::send(socket, bytes) {
        Ok(_) => Work::More,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Work::Done,
        Err(_) => Work::Over,
    }
}

/// Sends back what is owed, and only then reads more.
fn echo(
    socket: BorrowedFd<'_>,
    descriptor: u32,
    unsent: &mut HashMap<u32, Vec<u8>>,
    buffer: &mut [u8],
) -> Work {
    let mut owed = unsent.remove(&descriptor).unwrap_or_default();
    if owed.is_empty() {
        match sys::receive(socket, buffer) {
            Ok(0) => return Work::Over,
            Ok(length) => owed.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Work::Done,
            Err(_) => return Work::Over,
        }
    }
    match sys::send(socket, &owed) {
        Ok(length) if length == owed.len() => return Work::More,
        Ok(length) => drop(owed.drain(..length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return Work::Over,
    }
    // The rest goes out when the socket has room again, which is an edge that the poll reports.
    unsent.insert(descriptor, owed);
    Work::Done
}
