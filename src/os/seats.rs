//! The connections of a server by descriptor, and what is done for each: greeted, read, echoed,
//! flooded, ended when its time has come.
//!
//! Whatever grows with their number grows in [`Seats::make_room`], and does not double: that would
//! ask for up to twice what is needed, and while it copies for three times.

use std::collections::{TryReserveError, VecDeque};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::Interest;

use super::sys;
use crate::findings::ServeCounts;
use crate::plan::ServeArgs;
use crate::units::Moment;

/// How much is read from or sent to one connection before the next one gets its chance.
const PIECE_BYTES: usize = 64 * 1024;

/// By how many seats the table grows.
const PIECE_SEATS: usize = 1024;

/// In [`Occupant::next`].
const NOT_READY: u32 = 0;
const LAST: u32 = u32::MAX;

/// Names one connection. The generation tells it from others that had the same descriptor before or
/// after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat {
    descriptor: u32,
    generation: u32,
}

/// By how many the queue of ends grows, or may exceed what is open: an eighth.
fn room(count: usize) -> usize {
    PIECE_SEATS.max(count / 8)
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
    /// On the ready list: the descriptor behind it plus one, or [`LAST`]; else [`NOT_READY`].
    next: u32,
}

const _: () = assert!(size_of::<Occupant>() == 12);

/// Seats by descriptor, in pieces that stay where they are: growing copies nothing.
#[derive(Debug, Default)]
struct Table {
    pieces: Vec<Box<[Occupant]>>,
    /// Whoever has something to be read or sent, each once: the first one's descriptor plus one, or
    /// [`NOT_READY`].
    ready_first: u32,
    /// The last one's; says nothing where there is none.
    ready_last: u32,
}

impl Table {
    fn get(&self, descriptor: u32) -> Option<&Occupant> {
        let descriptor = descriptor as usize;
        self.pieces.get(descriptor / PIECE_SEATS)?.get(descriptor % PIECE_SEATS)
    }

    fn get_mut(&mut self, descriptor: u32) -> Option<&mut Occupant> {
        let descriptor = descriptor as usize;
        self.pieces.get_mut(descriptor / PIECE_SEATS)?.get_mut(descriptor % PIECE_SEATS)
    }

    /// Makes room up to this descriptor.
    fn reach(&mut self, descriptor: u32) -> Result<(), TryReserveError> {
        while self.pieces.len() <= descriptor as usize / PIECE_SEATS {
            let mut piece = Vec::new();
            piece.try_reserve_exact(PIECE_SEATS)?;
            piece.resize_with(PIECE_SEATS, Occupant::default);
            self.pieces.try_reserve(1)?;
            self.pieces.push(piece.into_boxed_slice());
        }
        Ok(())
    }

    /// Puts a descriptor at the end of the ready list, unless it is on it already.
    fn push_ready(&mut self, descriptor: u32) {
        match self.get_mut(descriptor) {
            Some(occupant) if occupant.next == NOT_READY => occupant.next = LAST,
            _ => return,
        }
        let last = if self.ready_first == NOT_READY { None } else { Some(self.ready_last - 1) };
        match last.and_then(|last| self.get_mut(last)) {
            Some(last) => last.next = descriptor + 1,
            None => self.ready_first = descriptor + 1,
        }
        self.ready_last = descriptor + 1;
    }

    fn pop_ready(&mut self) -> Option<u32> {
        let descriptor = self.ready_first.checked_sub(1)?;
        let next = std::mem::replace(&mut self.get_mut(descriptor)?.next, NOT_READY);
        self.ready_first = if next == LAST { NOT_READY } else { next };
        Some(descriptor)
    }

    /// The socket of a seat that is still taken by whom it was given to.
    fn socket(&self, seat: Seat) -> Option<BorrowedFd<'_>> {
        let occupant = self.get(seat.descriptor)?;
        let socket = occupant.socket.as_ref().filter(|_| occupant.generation == seat.generation);
        socket.map(AsFd::as_fd)
    }
}

/// 12 bytes a connection, and 16 to 20 more for each that is to be ended.
#[derive(Debug)]
pub struct Seats {
    pub counts: ServeCounts,
    banner: Vec<u8>,
    echo: bool,
    flood: bool,
    table: Table,
    /// One more than the highest descriptor that ever was seated.
    known: u32,
    /// How many seats below are empty that were taken before: the kernel hands out the lowest
    /// descriptor that is free, so these are taken before the table has to grow.
    vacant: u32,
    /// When which connections are to end, with `--close-after` or `--reset-after`. All live equally
    /// long, so who came first is due first, and a queue is all it takes. Some of them may have
    /// ended by themselves.
    ends: VecDeque<(Moment, Seat)>,
    buffer: Vec<u8>,
}

impl Seats {
    pub fn new(args: &ServeArgs) -> Seats {
        Seats {
            counts: ServeCounts::default(),
            banner: args.banner.clone(),
            echo: args.echo,
            flood: args.flood,
            table: Table::default(),
            known: 0,
            vacant: 0,
            ends: VecDeque::new(),
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
        self.table.ready_first != NOT_READY
    }

    /// The socket of a connection that is still open.
    pub fn get(&self, seat: Seat) -> Option<BorrowedFd<'_>> {
        self.table.socket(seat)
    }

    /// Makes room for one more connection in all that is kept of them, so that the next one costs
    /// no memory.
    ///
    /// # Errors
    /// When there is none; nothing has changed then.
    pub fn make_room(&mut self) -> Result<(), TryReserveError> {
        if self.vacant == 0 {
            self.table.reach(self.known)?;
        }
        // Those that have ended by themselves are forgotten when there are many of them.
        let (open, queued) = (self.counts.open as usize, self.ends.len());
        if queued >= open + room(open) {
            let Seats { table, ends, .. } = self;
            ends.retain(|(_, seat)| table.socket(*seat).is_some());
        }
        if self.ends.len() == self.ends.capacity() {
            self.ends.try_reserve_exact(room(self.ends.len()))?;
        }
        Ok(())
    }

    /// Takes a connection, greets it, and returns its seat. [`Seats::make_room`] comes before.
    ///
    /// # Errors
    /// When there is no memory for one with this descriptor.
    pub fn insert(&mut self, socket: OwnedFd) -> Result<Seat, TryReserveError> {
        let descriptor = socket.as_raw_fd().unsigned_abs();
        // Where descriptors were inherited the first one can be further up than expected.
        self.table.reach(descriptor)?;
        if !self.banner.is_empty() {
            // A fresh socket has room for it. One whose peer is gone already will say so itself.
            let _ = sys::send(socket.as_fd(), &self.banner);
        }
        if descriptor < self.known {
            self.vacant = self.vacant.saturating_sub(1);
        }
        self.known = self.known.max(descriptor + 1);
        let Some(occupant) = self.table.get_mut(descriptor) else {
            unreachable!("the table reaches that far");
        };
        occupant.generation = occupant.generation.wrapping_add(1);
        occupant.socket = Some(socket);
        self.counts.accepted += 1;
        self.counts.open += 1;
        self.counts.open_peak = self.counts.open_peak.max(self.counts.open);
        Ok(Seat { descriptor, generation: occupant.generation })
    }

    /// Notes that a connection is to end at `due`, which is no earlier than that of any before.
    pub fn end_at(&mut self, due: Moment, seat: Seat) {
        self.ends.push_back((due, seat));
    }

    /// When the next one is to end.
    pub fn next_end(&self) -> Option<Moment> {
        self.ends.front().map(|(due, _)| *due)
    }

    /// The next one whose end is due by `now`, unless there is none. It may have ended by itself.
    pub fn pop_end(&mut self, now: Moment) -> Option<Seat> {
        self.next_end().filter(|due| *due <= now)?;
        self.ends.pop_front().map(|(_, seat)| seat)
    }

    /// Counts a connection that was accepted and could not be kept.
    pub fn count_lost(&mut self) {
        self.counts.accepted += 1;
        self.counts.closed += 1;
    }

    /// Closes a connection; returns whether it was open.
    pub fn remove(&mut self, seat: Seat) -> bool {
        let occupant = self.table.get_mut(seat.descriptor);
        let Some(occupant) = occupant.filter(|occupant| occupant.generation == seat.generation)
        else {
            return false;
        };
        if occupant.socket.take().is_none() {
            return false;
        }
        self.vacant += 1;
        self.counts.open -= 1;
        self.counts.closed += 1;
        true
    }

    /// A connection can be read or written, or its peer is done with it (`ended`). Returns the seat
    /// if it is to be closed.
    pub fn hear(&mut self, token: usize, ended: bool) -> Option<Seat> {
        let descriptor = u32::try_from(token).ok()?;
        let occupant = self.table.get(descriptor)?;
        occupant.socket.as_ref()?;
        // An echo still owes its peer what came before the end.
        if ended && !self.echo {
            return Some(Seat { descriptor, generation: occupant.generation });
        }
        self.table.push_ready(descriptor);
        None
    }

    /// Does a piece of work for whoever has waited longest.
    pub fn serve_next(&mut self) -> Served {
        let Some(descriptor) = self.table.pop_ready() else { return Served::Nobody };
        let Some(occupant) = self.table.get(descriptor) else { return Served::Somebody };
        let Some(socket) = occupant.socket.as_ref().map(AsFd::as_fd) else {
            return Served::Somebody;
        };
        let work = if self.echo {
            echo(socket, &mut self.buffer)
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
                self.table.push_ready(descriptor);
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

/// Sends back what was received, as much as the socket takes; only that much is then taken from the
/// kernel. The rest waits there, in the buffer that the client filled, and fills no memory of ours,
/// however many clients never read.
fn echo(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Work {
    let received = match sys::peek(socket, buffer) {
        Ok(0) => return Work::Over,
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Work::Done,
        Err(_) => return Work::Over,
    };
    let sent = match sys::send(socket, &buffer[..received]) {
        Ok(length) => length,
        // It has room again at an edge that the poll reports.
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Work::Done,
        Err(_) => return Work::Over,
    };
    match sys::discard(socket, sent) {
        Ok(taken) if taken < sent => Work::Over,
        Ok(_) if sent < received => Work::Done,
        Ok(_) => Work::More,
        Err(_) => Work::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The last of one piece and the first of the next, and others.
    const DESCRIPTORS: [u32; 6] = [0, 7, 1023, 1024, 2047, 2048];

    proptest! {
        #[test]
        fn the_ready_list_is_a_queue_that_holds_each_once(
            steps in prop::collection::vec(0..=DESCRIPTORS.len(), 0..200)
        ) {
            let mut table = Table::default();
            table.reach(2048).unwrap();
            let mut oracle = VecDeque::new();
            for step in steps {
                if let Some(descriptor) = DESCRIPTORS.get(step) {
                    table.push_ready(*descriptor);
                    if !oracle.contains(descriptor) {
                        oracle.push_back(*descriptor);
                    }
                } else {
                    prop_assert_eq!(table.pop_ready(), oracle.pop_front());
                }
                prop_assert_eq!(table.ready_first == NOT_READY, oracle.is_empty());
            }
        }
    }

    #[test]
    fn beyond_the_table_there_is_nobody() {
        let mut table = Table::default();
        table.reach(PIECE_SEATS as u32 - 1).unwrap();
        assert_eq!(table.pieces.len(), 1);
        table.push_ready(PIECE_SEATS as u32);
        assert_eq!(table.pop_ready(), None);
        table.reach(PIECE_SEATS as u32).unwrap();
        table.push_ready(PIECE_SEATS as u32);
        assert_eq!(table.pop_ready(), Some(PIECE_SEATS as u32));
    }
}
