//! The system calls of the host that dials, and its poll.

use super::client::{Client, KEEPALIVE};
use super::socket::{Fault, Info, Read, State};
use super::wire::{Body, Id, Out, Segment, To};
use crate::units::{Moment, Span};

/// Source: `TCP_TIMEWAIT_LEN` in `net/tcp.h`; as with `tcp_tw_reuse` 0.
const TIME_WAIT: Span = Span::from_s(60);

impl Client {
    pub fn set_keepalive(&mut self, now: Moment, id: Id, out: &mut Out) {
        let socket = &mut self.sockets[id as usize];
        socket.keepalives = Some(0);
        socket.keepalive_generation += 1;
        let at = (socket.last_ack_at.unwrap_or(now) + KEEPALIVE).max(now);
        self.arm_keepalive(id, at, out);
    }

    pub fn clear_keepalive(&mut self, id: Id) {
        let socket = &mut self.sockets[id as usize];
        socket.keepalives = None;
        socket.keepalive_generation += 1;
    }

    pub fn send(&mut self, now: Moment, id: Id, bytes: u32, out: &mut Out) {
        let socket = &mut self.sockets[id as usize];
        if socket.state == State::Established {
            socket.segs_out += 1;
            socket.data_segs_out += 1;
            let data = Segment::new(id, To::Server, Body::Data { bytes, is_expected: false });
            socket.stream.push(data, socket.rtt.unwrap_or_default(), now, out);
        }
    }

    pub fn read(&mut self, id: Id, most: u32) -> Read {
        let socket = &mut self.sockets[id as usize];
        let count = socket.unread.min(most);
        if count > 0 {
            socket.unread -= count;
            let is_last = socket.unread == 0;
            let is_expected = is_last && std::mem::take(&mut socket.is_expected);
            return Read::Bytes { count, is_expected };
        }
        if socket.has_fin { Read::End } else { Read::WouldBlock }
    }

    /// Closes the descriptor: with a RST if `resets`, or if there is unread data.
    pub fn close(&mut self, now: Moment, id: Id, resets: bool, out: &mut Out) {
        let socket = &mut self.sockets[id as usize];
        let before = std::mem::replace(&mut socket.state, State::Closed);
        socket.keepalives = None;
        self.descriptors -= 1;
        if before != State::Established {
            return;
        }
        if resets || socket.unread > 0 {
            socket.fault = Some(Fault::Reset);
            out.send(Segment::new(id, To::Server, Body::Rst));
        } else {
            socket.time_wait_until = (!socket.has_fin).then(|| now + TIME_WAIT);
            let fin = Segment::new(id, To::Server, Body::Fin);
            socket.stream.push(fin, socket.rtt.unwrap_or_default(), now, out);
        }
        let is_open = socket.ended_at.is_none();
        if is_open {
            socket.ended_at = Some(now);
            self.count_open(now, false);
        }
    }

    pub fn info(&self, now: Moment, id: Id) -> Info {
        self.sockets[id as usize].info(now)
    }

    /// SO_ERROR, which takes it.
    pub fn fault(&self, id: Id) -> Option<Fault> {
        self.sockets[id as usize].fault
    }

    pub fn is_established(&self, id: Id) -> bool {
        self.sockets[id as usize].opened_at.is_some()
    }

    pub fn has_fin(&self, id: Id) -> bool {
        self.sockets[id as usize].has_fin
    }

    pub fn has_unread(&self, id: Id) -> bool {
        self.sockets[id as usize].unread > 0
    }

    /// The next socket of which a poll has something to report.
    pub fn next_ready(&mut self) -> Option<Id> {
        while let Some(id) = self.ready.pop_front() {
            let socket = &mut self.sockets[id as usize];
            socket.is_ready = false;
            if socket.state != State::Closed {
                return Some(id);
            }
        }
        None
    }

    /// Whether a poll would return at once.
    pub fn is_ready(&self) -> bool {
        self.ready.iter().any(|id| self.sockets[*id as usize].state != State::Closed)
    }
}
