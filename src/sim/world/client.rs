//! The kernel of the host that dials: what it does with segments and timers, and which sockets
//! become ready.

use std::collections::VecDeque;

use super::setup::Host;
use super::socket::{Counters, Dialed, Fault, Socket, State};
use super::wire::{Body, Happening, Id, Out, Segment, Timer, To, Tuple};
use crate::sim::random::Random;
use crate::units::{Moment, Span};

/// Seconds after which the SYN is retransmitted. Source: `tcp_syn_linear_timeouts`, `tcp_syn_retries`.
const SYN_REPEATS_S: [u64; 10] = [1, 2, 3, 4, 5, 7, 11, 19, 35, 67];

/// When the kernel ends the dial.
const SYN_GIVES_UP: Span = Span::from_s(131);

/// The keepalive's idle time and interval, and the kernel's batches of such timers.
pub const KEEPALIVE: Span = Span::from_s(1);
const KEEPALIVE_BATCH: Span = Span::from_ms(40);
const KEEPALIVES_MAX: u8 = 127;

/// An unresolved neighbour is given up on after three requests.
const NEIGHBOUR_GIVES_UP: Span = Span::from_s(3);

#[derive(Debug)]
pub struct Client {
    host: Host,
    random: Random,
    pub sockets: Vec<Socket>,
    pub ready: VecDeque<Id>,
    pub descriptors: u32,
    open: u32,
    pub counters: Counters,
    /// How many connections were established, whenever that changed, where that is of use.
    pub levels: Option<Vec<(Moment, u32)>>,
}

impl Client {
    pub fn new(host: Host, random: Random) -> Client {
        Client {
            host,
            random,
            sockets: Vec::new(),
            ready: VecDeque::new(),
            descriptors: 0,
            open: 0,
            counters: Counters::default(),
            levels: Some(Vec::new()),
        }
    }

    pub fn tuple(&self, id: Id) -> Tuple {
        self.sockets[id as usize].tuple
    }

    pub fn dialed(&self) -> Vec<Dialed> {
        self.sockets.iter().map(Socket::dialed).collect()
    }

    /// `socket()` and `connect()`.
    ///
    /// # Errors
    /// What fails at once.
    pub fn dial(&mut self, now: Moment, tuple: Tuple, out: &mut Out) -> Result<Id, Fault> {
        if self.host.descriptors_max.is_some_and(|most| self.descriptors >= most) {
            return Err(Fault::NoDescriptors);
        }
        if let Some(most) = self.host.ports_max {
            let is_taken = |s: &&Socket| {
                let is_held = s.state != State::Closed || s.time_wait_until > Some(now);
                is_held && s.tuple.target == tuple.target
            };
            if self.sockets.iter().filter(is_taken).count() >= most as usize {
                return Err(Fault::NoPorts);
            }
        }
        let id = self.sockets.len() as Id;
        self.descriptors += 1;
        self.sockets.push(Socket::new(now, tuple));
        if self.host.is_neighbour_unresolved {
            let body = Body::Icmp { code: 1, is_local: true };
            let error = Segment::new(id, To::Client, body);
            out.at(now + NEIGHBOUR_GIVES_UP, Happening::Arrives(error));
        }
        self.send_syn(now, id, out);
        Ok(id)
    }

    /// Sends a SYN, unless this host's own rules stop it, and arms the timer for the next one.
    fn send_syn(&mut self, now: Moment, id: Id, out: &mut Out) {
        let is_above = |most: Option<u32>| most.is_some_and(|most| self.descriptors > most);
        let is_rejected = is_above(self.host.output_reject_above);
        let is_untracked = is_above(self.host.conntrack_max);
        let target = self.sockets[id as usize].tuple.target;
        let is_unknown = self.host.neighbours_max.is_some_and(|most| target >= most);
        self.counters.conntrack_drop += u64::from(is_untracked);
        self.counters.neighbour_table_full += u64::from(is_unknown);
        let is_dropped = is_above(self.host.output_drop_above) || is_untracked || is_unknown;
        let socket = &mut self.sockets[id as usize];
        let repeats = socket.syns;
        socket.syns += 1;
        socket.segs_out += 1;
        socket.total_retrans = repeats;
        if self.host.is_neighbour_unresolved {
            // It waits in the neighbour's queue.
        } else if is_dropped || is_rejected {
            self.counters.syn_retrans_failed += u64::from(repeats > 0);
            // For the first SYN connect() holds the socket lock, and the error is only noted.
            if is_rejected && repeats > 0 {
                let body = Body::Icmp { code: 3, is_local: true };
                out.at(now, Happening::Arrives(Segment::new(id, To::Client, body)));
            }
        } else {
            out.send(Segment { echo: now, ..Segment::new(id, To::Server, Body::Syn) });
        }
        let after = SYN_REPEATS_S.get(repeats as usize).map_or(SYN_GIVES_UP, |s| Span::from_s(*s));
        let timer = Timer::Handshake;
        let due = socket.dialed_at + after;
        out.at(due, Happening::Timer { id, at: To::Client, timer, generation: socket.syns });
    }

    /// Ends all connections, as `ss -K` does.
    pub fn kill_all(&mut self, now: Moment, out: &mut Out) {
        for id in 0..self.sockets.len() as Id {
            if self.sockets[id as usize].state == State::Established {
                out.send(Segment::new(id, To::Server, Body::Rst));
                self.die(now, id, Fault::Aborted);
            }
        }
    }

    /// A packet has arrived at this host.
    pub fn arrive(&mut self, now: Moment, segment: &Segment, out: &mut Out) {
        let loss = self.host.ingress_loss_permille;
        if loss > 0 && self.random.chance(loss) {
            self.counters.ingress_drops += 1;
            return;
        }
        match self.sockets[segment.id as usize].state {
            State::SynSent => self.arrive_dialing(now, segment, out),
            State::Established => self.arrive_open(now, segment, out),
            State::Dead | State::Closed => self.arrive_closed(segment, out),
        }
    }

    fn arrive_dialing(&mut self, now: Moment, segment: &Segment, out: &mut Out) {
        let id = segment.id;
        let socket = &mut self.sockets[id as usize];
        match segment.body {
            Body::SynAck => {
                socket.state = State::Established;
                (socket.opened_at, socket.last_ack_at) = (Some(now), Some(now));
                socket.rtt = Some(now.since(segment.echo));
                socket.segs_in += 1;
                socket.segs_out += 1;
                out.send(Segment::new(id, To::Server, Body::Ack));
                self.count_open(now, true);
                self.wake(id);
            }
            Body::Rst => self.die(now, id, Fault::Refused),
            Body::Icmp { code, is_local } => {
                socket.icmp = Some((code, is_local));
                // Any of them ends a dial. Source: tcp_v4_err(), icmp_err_convert[].
                self.die(
                    now,
                    id,
                    match code {
                        0 | 6 | 9 | 11 => Fault::NetworkUnreachable,
                        3 => Fault::Refused,
                        _ => Fault::HostUnreachable,
                    },
                );
            }
            _ => {}
        }
    }

    fn arrive_open(&mut self, now: Moment, segment: &Segment, out: &mut Out) {
        let id = segment.id;
        let socket = &mut self.sockets[id as usize];
        let mut acknowledge = |socket: &mut Socket| {
            socket.segs_out += 1;
            let ack = socket.stream.received;
            out.send(Segment { ack, ..Segment::new(id, To::Server, Body::Ack) });
        };
        match segment.body {
            Body::Icmp { code, is_local } => {
                socket.icmp = Some((code, is_local));
                return;
            }
            Body::Syn => return,
            _ => socket.segs_in += 1,
        }
        if matches!(segment.body, Body::Ack | Body::Data { .. } | Body::Fin) {
            socket.last_ack_at = Some(now);
            socket.keepalives = socket.keepalives.map(|_| 0);
            socket.probes = 0;
            socket.stream.on_ack(segment.ack);
        }
        match segment.body {
            Body::SynAck => {
                self.counters.syn_challenge += 1;
                acknowledge(socket);
            }
            Body::Keepalive => acknowledge(socket),
            Body::Data { bytes, is_expected } => {
                socket.data_segs_in += 1;
                let is_new = socket.stream.accept(segment.seq);
                acknowledge(socket);
                if is_new {
                    socket.unread += bytes;
                    socket.is_expected |= is_expected;
                    self.wake(id);
                }
            }
            Body::Fin => {
                let is_new = socket.stream.accept(segment.seq);
                acknowledge(socket);
                if is_new {
                    socket.has_fin = true;
                    self.end(now, id);
                    self.wake(id);
                }
            }
            Body::Rst => self.die(now, id, Fault::Reset),
            _ => {}
        }
    }

    /// No connection, or an orphan that waits for the ACK of its FIN.
    fn arrive_closed(&mut self, segment: &Segment, out: &mut Out) {
        let socket = &mut self.sockets[segment.id as usize];
        let is_orphan = socket.opened_at.is_some() && socket.fault.is_none();
        match segment.body {
            Body::Rst | Body::Icmp { .. } | Body::Syn => {}
            Body::Ack | Body::Fin if is_orphan => {
                socket.stream.on_ack(segment.ack);
                if segment.body == Body::Fin {
                    socket.stream.accept(segment.seq);
                    let ack = socket.stream.received;
                    out.send(Segment { ack, ..Segment::new(segment.id, To::Server, Body::Ack) });
                }
            }
            _ => out.send(Segment::new(segment.id, To::Server, Body::Rst)),
        }
    }

    fn die(&mut self, now: Moment, id: Id, fault: Fault) {
        self.end(now, id);
        let socket = &mut self.sockets[id as usize];
        socket.state = State::Dead;
        socket.fault = Some(fault);
        socket.keepalives = None;
        self.wake(id);
    }

    /// What ends a connection has arrived.
    fn end(&mut self, now: Moment, id: Id) {
        let socket = &mut self.sockets[id as usize];
        if socket.ended_at.is_none() {
            socket.ended_at = Some(now);
            if socket.opened_at.is_some() {
                self.count_open(now, false);
            }
        }
    }

    pub fn count_open(&mut self, now: Moment, is_one_more: bool) {
        self.open = if is_one_more { self.open + 1 } else { self.open - 1 };
        if let Some(levels) = &mut self.levels {
            levels.push((now, self.open));
        }
    }

    fn wake(&mut self, id: Id) {
        let socket = &mut self.sockets[id as usize];
        if socket.state != State::Closed && !std::mem::replace(&mut socket.is_ready, true) {
            self.ready.push_back(id);
        }
    }

    pub fn timer(&mut self, now: Moment, id: Id, timer: Timer, generation: u32, out: &mut Out) {
        let socket = &mut self.sockets[id as usize];
        match timer {
            Timer::Handshake if socket.state == State::SynSent && generation == socket.syns => {
                if now.since(socket.dialed_at) >= SYN_GIVES_UP {
                    self.die(now, id, Fault::TimedOut);
                } else {
                    self.send_syn(now, id, out);
                }
            }
            Timer::Retransmit
                if generation == socket.stream.generation && socket.fault.is_none() =>
            {
                let rtt = socket.rtt.unwrap_or_default();
                let count = socket.stream.retransmit(id, To::Server, rtt, now, out);
                socket.total_retrans += count;
                socket.segs_out += count;
            }
            Timer::Keepalive if generation == socket.keepalive_generation => {
                self.keepalive(now, id, out);
            }
            _ => {}
        }
    }

    fn keepalive(&mut self, now: Moment, id: Id, out: &mut Out) {
        let socket = &mut self.sockets[id as usize];
        let (State::Established, Some(sent)) = (socket.state, socket.keepalives) else { return };
        let idle_until = socket.last_ack_at.unwrap_or(now) + KEEPALIVE;
        let mut next = now + KEEPALIVE;
        if idle_until > now {
            next = idle_until;
        } else if socket.stream.unacked() == 0 {
            if sent >= KEEPALIVES_MAX {
                return self.die(now, id, Fault::TimedOut);
            }
            socket.keepalives = Some(sent + 1);
            socket.probes += 1;
            socket.segs_out += 1;
            let ack = socket.stream.received;
            out.send(Segment { ack, ..Segment::new(id, To::Server, Body::Keepalive) });
        }
        self.arm_keepalive(id, next, out);
    }

    pub fn has_keepalive(&self, id: Id) -> bool {
        self.sockets[id as usize].keepalives.is_some()
    }

    pub fn arm_keepalive(&mut self, id: Id, at: Moment, out: &mut Out) {
        let at = at + self.random.span(Span::ZERO, KEEPALIVE_BATCH);
        let generation = self.sockets[id as usize].keepalive_generation;
        let timer = Timer::Keepalive;
        out.at(at, Happening::Timer { id, at: To::Client, timer, generation });
    }
}
