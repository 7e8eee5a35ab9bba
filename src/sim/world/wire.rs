//! Segments, timers, and the agenda of everything that will happen.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::units::{Moment, Span};

/// One dial, by its place in the order of dials.
pub type Id = u32;

/// The 4-tuple of a dial, with source and target by index in the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub source: u32,
    pub target: u32,
    pub port: u16,
}

impl Tuple {
    /// One of `count`, the same for the same tuple.
    pub fn pick(self, count: usize, salt: u64) -> usize {
        let packed = u64::from(self.source) << 40 ^ u64::from(self.target) << 16;
        let mut hash = (packed ^ u64::from(self.port) ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (hash >> 33) as usize % count.max(1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Client,
    Server,
}

impl To {
    pub fn reverse(self) -> To {
        match self {
            To::Client => To::Server,
            To::Server => To::Client,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Syn,
    SynAck,
    Ack,
    Keepalive,
    Data {
        bytes: u32,
        /// Whether it completes the expected text.
        is_expected: bool,
    },
    Fin,
    Rst,
    /// Destination unreachable, sent by this host or not.
    Icmp {
        code: u8,
        is_local: bool,
    },
}

/// A packet. Data and FIN are numbered by the segment instead of the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub id: Id,
    pub to: To,
    pub body: Body,
    pub seq: u8,
    pub ack: u8,
    /// When the SYN was sent, also in its SYN-ACK, as TCP timestamps have it.
    pub echo: Moment,
}

impl Segment {
    pub fn new(id: Id, to: To, body: Body) -> Segment {
        Segment { id, to, body, seq: 0, ack: 0, echo: Moment(0) }
    }
}

/// The timers of a connection. An older generation is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The client's SYN, and the server's SYN-ACK.
    Handshake,
    Retransmit,
    Keepalive,
    /// The server's application.
    Reply,
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    Arrives(Segment),
    Timer {
        id: Id,
        at: To,
        timer: Timer,
        generation: u32,
    },
    /// Server `index` accepts, sweeps, stops or comes back.
    Server {
        index: u32,
        chore: Chore,
    },
    /// An administrator of this host kills its connections.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    Accept,
    Sweep,
    Stop,
    Return,
}

/// What a kernel does next: segments to send now, and what is due later.
#[derive(Debug, Default)]
pub struct Out {
    pub segments: Vec<Segment>,
    pub later: Vec<(Moment, Happening)>,
}

impl Out {
    #[inline(never)]
    pub fn send(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    #[inline(never)]
    pub fn at(&mut self, at: Moment, happening: Happening) {
        self.later.push((at, happening));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Moment,
    /// First scheduled, first applied.
    sequence: u64,
    happening: Happening,
}

pub const AGENDA_ENTRY_BYTES: usize = size_of::<Entry>();

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Everything that will happen, earliest first.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Agenda {
    #[inline(never)]
    pub fn add(&mut self, at: Moment, happening: Happening) {
        self.sequence += 1;
        self.entries.push(Reverse(Entry { at, sequence: self.sequence, happening }));
    }

    pub fn next_due(&self) -> Option<Moment> {
        self.entries.peek().map(|entry| entry.0.at)
    }

    /// The next entry, if it is due by `now`.
    pub fn pop(&mut self, now: Moment) -> Option<(Moment, Happening)> {
        self.next_due().filter(|at| *at <= now)?;
        self.entries.pop().map(|Reverse(Entry { at, happening, .. })| (at, happening))
    }
}

/// The most segments with data or a FIN in one direction.
const UNITS_MAX: usize = 4;

/// The minimum retransmission timeout. Source: `TCP_RTO_MIN`.
const RTO_MIN: Span = Span::from_ms(200);

/// Both directions of an established connection, at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    sent: [Body; UNITS_MAX],
    count: u8,
    acked: u8,
    pub received: u8,
    backoff: u8,
    pub generation: u32,
}

impl Default for Stream {
    fn default() -> Stream {
        let sent = [Body::Ack; UNITS_MAX];
        Stream { sent, count: 0, acked: 0, received: 0, backoff: 0, generation: 0 }
    }
}

impl Stream {
    pub fn unacked(&self) -> u8 {
        self.count - self.acked
    }

    /// Sends the next segment with data or a FIN, and arms the timer for it.
    pub fn push(&mut self, mut segment: Segment, rtt: Span, now: Moment, out: &mut Out) {
        let Some(place) = self.sent.get_mut(usize::from(self.count)) else { return };
        *place = segment.body;
        (segment.seq, segment.ack) = (self.count, self.received);
        self.count += 1;
        out.send(segment);
        if self.unacked() == 1 {
            self.arm(segment.id, segment.to, rtt, now, out);
        }
    }

    fn arm(&mut self, id: Id, to: To, rtt: Span, now: Moment, out: &mut Out) {
        self.generation += 1;
        let wait = Span((RTO_MIN.0 + 2 * rtt.0) << self.backoff);
        let (at, generation) = (to.reverse(), self.generation);
        let timer = Happening::Timer { id, at, timer: Timer::Retransmit, generation };
        out.at(now + wait, timer);
    }

    /// The timer has expired: retransmits what is not acknowledged. Returns how many segments.
    pub fn retransmit(&mut self, id: Id, to: To, rtt: Span, now: Moment, out: &mut Out) -> u32 {
        if self.unacked() == 0 || self.backoff > 7 {
            return 0;
        }
        self.backoff += 1;
        for seq in self.acked..self.count {
            let body = self.sent[usize::from(seq)];
            out.send(Segment { seq, ack: self.received, ..Segment::new(id, to, body) });
        }
        self.arm(id, to, rtt, now, out);
        self.unacked().into()
    }

    /// Takes an acknowledgement.
    pub fn on_ack(&mut self, ack: u8) {
        if (self.acked + 1..=self.count).contains(&ack) {
            self.acked = ack;
            self.backoff = 0;
            self.generation += u32::from(self.unacked() == 0);
        }
    }

    /// Takes a segment with data or a FIN. Returns whether it is the next one.
    pub fn accept(&mut self, seq: u8) -> bool {
        let is_next = seq == self.received;
        self.received += u8::from(is_next);
        is_next
    }
}
