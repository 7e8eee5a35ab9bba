//! The clients of `serve` by descriptor: sends the banner, reads, echoes, floods, and ends each
//! after its time.
//!
//! All memory that grows with their number grows in [`Clients::reserve`], by pieces: doubling would
//! allocate up to twice what is needed, and three times while it copies.

use std::collections::{TryReserveError, VecDeque};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::Interest;

use super::sys;
use crate::args::ServeArgs;
use crate::measured::ServeCounts;
use crate::units::Moment;

/// The most bytes read from or sent to one client before the next one.
const PIECE_BYTES: usize = 64 * 1024;

/// The table grows by this number of clients.
const PIECE_CLIENTS: usize = 1024;

/// In [`Client::next`].
const NOT_READY: u32 = 0;
const LAST: u32 = u32::MAX;

/// Identifies one connection. The generation differs from that of others with the same descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId {
    descriptor: u32,
    generation: u32,
}

/// The number of entries by which the queue of ends grows, or may exceed the open clients: an
/// eighth.
fn slack(count: usize) -> usize {
    PIECE_CLIENTS.max(count / 8)
}

/// The result of [`Clients::serve_next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// No client was ready.
    Idle,
    Progress,
    /// This client's connection is over: close it.
    Ended(ClientId),
}

#[derive(Debug, Default)]
struct Client {
    socket: Option<OwnedFd>,
    generation: u32,
    /// On the ready list: the next descriptor plus one, or [`LAST`]; otherwise [`NOT_READY`].
    next: u32,
}

const _: () = assert!(size_of::<Client>() == 12);

/// Clients by descriptor, in pieces that never move: growing copies nothing.
#[derive(Debug, Default)]
struct Table {
    pieces: Vec<Box<[Client]>>,
    /// The queue of clients to read from or send to, each once: the first descriptor plus one, or
    /// [`NOT_READY`].
    ready_first: u32,
    /// The last descriptor plus one; meaningless if the queue is empty.
    ready_last: u32,
}

impl Table {
    fn get(&self, descriptor: u32) -> Option<&Client> {
        let descriptor = descriptor as usize;
        self.pieces.get(descriptor / PIECE_CLIENTS)?.get(descriptor % PIECE_CLIENTS)
    }

    fn get_mut(&mut self, descriptor: u32) -> Option<&mut Client> {
        let descriptor = descriptor as usize;
        self.pieces.get_mut(descriptor / PIECE_CLIENTS)?.get_mut(descriptor % PIECE_CLIENTS)
    }

    /// Grows the table up to this descriptor.
    fn grow_to(&mut self, descriptor: u32) -> Result<(), TryReserveError> {
        while self.pieces.len() <= descriptor as usize / PIECE_CLIENTS {
            let mut piece = Vec::new();
            piece.try_reserve_exact(PIECE_CLIENTS)?;
            piece.resize_with(PIECE_CLIENTS, Client::default);
            self.pieces.try_reserve(1)?;
            self.pieces.push(piece.into_boxed_slice());
        }
        Ok(())
    }

    /// Appends a descriptor to the ready list, unless it is on it.
    fn push_ready(&mut self, descriptor: u32) {
        match self.get_mut(descriptor) {
            Some(client) if client.next == NOT_READY => client.next = LAST,
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

    /// The socket of a connection that is still open.
    fn socket(&self, id: ClientId) -> Option<BorrowedFd<'_>> {
        let client = self.get(id.descriptor)?;
        let socket = client.socket.as_ref().filter(|_| client.generation == id.generation);
        socket.map(AsFd::as_fd)
    }
}

/// 12 bytes a connection, and 16 to 20 more for each with a time to end.
#[derive(Debug)]
pub struct Clients {
    pub counts: ServeCounts,
    banner: Vec<u8>,
    echo: bool,
    flood: bool,
    table: Table,
    /// One more than the highest descriptor of any client so far.
    known: u32,
    /// The number of free entries below that: the kernel assigns the lowest free descriptor, so
    /// these are used before the table has to grow.
    vacant: u32,
    /// When connections are to end, with `--close-after` or `--reset-after`. All have the same
    /// lifetime, so a queue keeps them in order. Some may have ended by themselves.
    ends: VecDeque<(Moment, ClientId)>,
    buffer: Vec<u8>,
}

impl Clients {
    pub fn new(args: &ServeArgs) -> Clients {
        Clients {
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

    /// The readiness to poll for.
    pub fn interest(&self) -> Interest {
        if self.echo || self.flood {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        }
    }

    /// Whether a client is ready for [`Clients::serve_next`].
    pub fn has_work(&self) -> bool {
        self.table.ready_first != NOT_READY
    }

    /// The socket of a connection that is still open.
    pub fn get(&self, id: ClientId) -> Option<BorrowedFd<'_>> {
        self.table.socket(id)
    }

    /// Allocates memory for one more client, so that the next [`Clients::insert`] needs none.
    ///
    /// # Errors
    /// If allocation fails; then nothing has changed.
    pub fn reserve(&mut self) -> Result<(), TryReserveError> {
        if self.vacant == 0 {
            self.table.grow_to(self.known)?;
        }
        // Clients that have ended by themselves are dropped once there are many of them.
        let (open, queued) = (self.counts.open as usize, self.ends.len());
        if queued >= open + slack(open) {
            let Clients { table, ends, .. } = self;
            ends.retain(|(_, id)| table.socket(*id).is_some());
        }
        if self.ends.len() == self.ends.capacity() {
            self.ends.try_reserve_exact(slack(self.ends.len()))?;
        }
        Ok(())
    }

    /// Adds a client and sends it the banner. [`Clients::reserve`] comes before.
    ///
    /// # Errors
    /// If the table has to grow for this descriptor and allocation fails.
    pub fn insert(&mut self, socket: OwnedFd) -> Result<ClientId, TryReserveError> {
        let descriptor = socket.as_raw_fd().unsigned_abs();
        // Inherited descriptors can make the first one higher than expected.
        self.table.grow_to(descriptor)?;
        if !self.banner.is_empty() {
            // It fits into the send buffer of a new socket. If the peer has closed already, the
            // readiness of the socket reports that.
            let _ = sys::send(socket.as_fd(), &self.banner);
        }
        if descriptor < self.known {
            self.vacant = self.vacant.saturating_sub(1);
        }
        self.known = self.known.max(descriptor + 1);
        let Some(client) = self.table.get_mut(descriptor) else {
            unreachable!("the table was just grown");
        };
        client.generation = client.generation.wrapping_add(1);
        client.socket = Some(socket);
        self.counts.accepted += 1;
        self.counts.open += 1;
        self.counts.open_peak = self.counts.open_peak.max(self.counts.open);
        Ok(ClientId { descriptor, generation: client.generation })
    }

    /// Ends a connection at `due`, which must not be earlier than any before.
    pub fn end_at(&mut self, due: Moment, id: ClientId) {
        self.ends.push_back((due, id));
    }

    /// When the next connection is to end.
    pub fn next_end(&self) -> Option<Moment> {
        self.ends.front().map(|(due, _)| *due)
    }

    /// The next connection that is due to end by `now`. It may have ended by itself.
    pub fn pop_end(&mut self, now: Moment) -> Option<ClientId> {
        self.next_end().filter(|due| *due <= now)?;
        self.ends.pop_front().map(|(_, id)| id)
    }

    /// Counts a connection that was accepted and closed at once, as a resource is exhausted.
    pub fn count_lost(&mut self) {
        self.counts.accepted += 1;
        self.counts.closed += 1;
    }

    /// Closes a connection; returns whether it was open.
    pub fn remove(&mut self, id: ClientId) -> bool {
        let client = self.table.get_mut(id.descriptor);
        let Some(client) = client.filter(|client| client.generation == id.generation) else {
            return false;
        };
        if client.socket.take().is_none() {
            return false;
        }
        self.vacant += 1;
        self.counts.open -= 1;
        self.counts.closed += 1;
        true
    }

    /// A connection is readable or writable, or has ended (`ended`). Returns it if it is to be
    /// closed.
    pub fn on_ready(&mut self, token: usize, ended: bool) -> Option<ClientId> {
        let descriptor = u32::try_from(token).ok()?;
        let client = self.table.get(descriptor)?;
        client.socket.as_ref()?;
        // An echo is sent before the close.
        if ended && !self.echo {
            return Some(ClientId { descriptor, generation: client.generation });
        }
        self.table.push_ready(descriptor);
        None
    }

    /// Reads from or sends to the client that has been ready for longest.
    pub fn serve_next(&mut self) -> Served {
        let Some(descriptor) = self.table.pop_ready() else { return Served::Idle };
        let Some(client) = self.table.get(descriptor) else { return Served::Progress };
        let Some(socket) = client.socket.as_ref().map(AsFd::as_fd) else {
            return Served::Progress;
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
            Work::Over => Served::Ended(ClientId { descriptor, generation: client.generation }),
            Work::Done => Served::Progress,
            Work::More => {
                self.table.push_ready(descriptor);
                Served::Progress
            }
        }
    }
}

/// The result of reading from or sending to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The connection has ended.
    Over,
    /// The socket would block: the poll reports when there is more.
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

/// Sends received bytes back, as much as the socket takes, and only then removes them from the
/// receive buffer. The rest stays in the kernel, so clients that never read take no memory here.
fn echo(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Work {
    let received = match sys::peek(socket, buffer) {
        Ok(0) => return Work::Over,
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Work::Done,
        Err(_) => return Work::Over,
    };
    let sent = match sys::send(socket, &buffer[..received]) {
        Ok(length) => length,
        // The poll reports when the socket can be written again.
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
        fn the_ready_list_is_a_queue_with_each_client_once(
            steps in prop::collection::vec(0..=DESCRIPTORS.len(), 0..200)
        ) {
            let mut table = Table::default();
            table.grow_to(2048).unwrap();
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
    fn descriptors_above_the_table_are_never_ready() {
        let mut table = Table::default();
        table.grow_to(PIECE_CLIENTS as u32 - 1).unwrap();
        assert_eq!(table.pieces.len(), 1);
        table.push_ready(PIECE_CLIENTS as u32);
        assert_eq!(table.pop_ready(), None);
        table.grow_to(PIECE_CLIENTS as u32).unwrap();
        table.push_ready(PIECE_CLIENTS as u32);
        assert_eq!(table.pop_ready(), Some(PIECE_CLIENTS as u32));
    }
}
