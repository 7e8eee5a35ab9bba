//! One server of a world: its end of each connection, its queues, and what happened there.

use std::collections::VecDeque;

use super::path::Bucket;
use super::setup::{End, LimitOn, Server};
use super::wire::{Body, Id, Out, Segment, Stream, To, Tuple};
use crate::units::{Moment, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// No state: everything but a SYN is answered with a RST.
    None,
    /// A request: the SYN-ACK is sent, the final ACK has not been accepted.
    SynReceived,
    /// The SYN-ACK carries a SYN cookie, and there is no request.
    Cookie,
    /// In the accept queue.
    Queued,
    Accepted,
    /// Closed by the application; the FIN of the other end has not come.
    Closing,
    /// Both FINs have arrived.
    TimeWait,
}

/// The server's end of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub id: Id,
    pub tuple: Tuple,
    /// By place in the list of sites.
    pub site: u32,
    pub state: PeerState,
    pub stream: Stream,
    /// When the SYN was sent that the SYN-ACK answers.
    pub echo: Moment,
    /// How often its SYN-ACK was due again.
    pub timeouts: u8,
    /// Whether a final ACK came and was dropped.
    pub is_acked: bool,
    pub has_request: bool,
    pub is_replied: bool,
    pub has_fin: bool,
    pub last_received: Moment,
    /// When data came last.
    pub last_data: Moment,
    pub accepted_at: Option<Moment>,
    /// Whether it was closed at once, as one above a limit.
    pub is_rejected: bool,
    pub keepalives: u8,
    /// Of the handshake's and the application's timers: a new one outdates the older ones.
    pub generation: u32,
}

impl Peer {
    pub fn new(id: Id, tuple: Tuple) -> Peer {
        Peer {
            id,
            tuple,
            site: 0,
            state: PeerState::None,
            stream: Stream::default(),
            echo: Moment(0),
            timeouts: 0,
            is_acked: false,
            has_request: false,
            is_replied: false,
            has_fin: false,
            last_received: Moment(0),
            last_data: Moment(0),
            accepted_at: None,
            is_rejected: false,
            keepalives: 0,
            generation: 0,
        }
    }

    /// Whether the kernel has it established, accepted or not.
    pub fn is_open(&self) -> bool {
        matches!(self.state, PeerState::Queued | PeerState::Accepted)
    }

    /// Sends a segment that is not repeated.
    pub fn reply(&self, body: Body, out: &mut Out) {
        let segment = Segment::new(self.id, To::Client, body);
        out.send(Segment { ack: self.stream.received, echo: self.echo, ..segment });
    }

    /// Sends data or a FIN.
    pub fn send(&mut self, body: Body, rtt: Span, now: Moment, out: &mut Out) {
        self.stream.push(Segment::new(self.id, To::Client, body), rtt, now, out);
    }

    /// The state is gone, and no FIN was sent.
    pub fn drop_state(&mut self) {
        self.state = PeerState::None;
        self.generation += 1;
        self.stream.generation += 1;
    }
}

/// What happened at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteTruth {
    /// The most connections that its kernel had at once, accepted or not.
    pub open_peak: u32,
    /// The most that its application had at once, without those that it closed at once.
    pub accepted_peak: u32,
    pub accepted: u64,
    /// Accepted and closed at once.
    pub rejected: u64,
    /// SYNs and final ACKs dropped as the accept queue was full.
    pub listen_overflows: u64,
    pub cookies_sent: u64,
    pub replies: u64,
}

#[derive(Debug)]
pub struct Site {
    pub setup: Server,
    pub index: u32,
    pub start: Moment,
    pub rtt: Span,
    /// Whether the plan sends a request; replies are to that.
    pub is_sent_to: bool,
    pub is_listening: bool,
    /// The SYN queue, at most the backlog.
    pub requests: u32,
    pub queue: VecDeque<Id>,
    pub is_accept_due: bool,
    /// Accepted, in that order; some have ended since.
    pub accepted: VecDeque<Id>,
    pub open: u32,
    pub kernel_open: u32,
    pub of_client: Vec<u32>,
    pub rate: Bucket,
    /// When each worker is free.
    pub workers: Vec<Moment>,
    pub served: u32,
    pub truth: SiteTruth,
}

impl Site {
    pub fn new(setup: Server, index: u32, start: Moment, rtt: Span, is_sent_to: bool) -> Site {
        let rate = match setup.limit.map(|limit| limit.on) {
            Some(LimitOn::Rate { per_s, burst }) => Bucket::new(per_s, burst),
            _ => Bucket::new(1, 1),
        };
        let workers = setup.reply.map_or(0, |reply| reply.workers);
        Site {
            is_listening: setup.is_listening,
            setup,
            index,
            start,
            rtt,
            is_sent_to,
            requests: 0,
            queue: VecDeque::new(),
            is_accept_due: false,
            accepted: VecDeque::new(),
            open: 0,
            kernel_open: 0,
            of_client: Vec::new(),
            rate,
            workers: vec![start; workers as usize],
            served: 0,
            truth: SiteTruth::default(),
        }
    }

    /// Whether the accept queue is full. Source: `sk_acceptq_is_full`.
    pub fn is_queue_full(&self) -> bool {
        self.queue.len() > self.setup.backlog as usize
    }

    /// The kernel has one more, or one fewer.
    pub fn count_kernel(&mut self, is_one_more: bool) {
        self.kernel_open = if is_one_more { self.kernel_open + 1 } else { self.kernel_open - 1 };
        self.truth.open_peak = self.truth.open_peak.max(self.kernel_open);
    }

    /// The application has one more of a client, or one fewer.
    pub fn count_open(&mut self, client: u32, is_one_more: bool) {
        let client = client as usize;
        if self.of_client.len() <= client {
            self.of_client.resize(client + 1, 0);
        }
        let of_client = &mut self.of_client[client];
        if is_one_more {
            (self.open, *of_client) = (self.open + 1, *of_client + 1);
        } else {
            (self.open, *of_client) = (self.open - 1, *of_client - 1);
        }
        self.truth.accepted_peak = self.truth.accepted_peak.max(self.open);
    }

    /// Ends a connection from this side.
    pub fn close(&mut self, now: Moment, peer: &mut Peer, end: End, out: &mut Out) {
        self.release(peer);
        // close() with unread data sends RST.
        let is_unread = peer.has_request && self.setup.reply.is_none();
        if end == End::Rst || is_unread {
            peer.reply(Body::Rst, out);
            peer.drop_state();
        } else {
            peer.state = if peer.has_fin { PeerState::TimeWait } else { PeerState::Closing };
            peer.generation += 1;
            peer.send(Body::Fin, self.rtt, now, out);
        }
    }

    /// Removes a connection that ends from all counts.
    pub fn release(&mut self, peer: &Peer) {
        match peer.state {
            PeerState::SynReceived => self.requests -= 1,
            PeerState::Queued => self.count_kernel(false),
            PeerState::Accepted => {
                self.count_kernel(false);
                if !peer.is_rejected {
                    self.count_open(peer.tuple.source, false);
                }
            }
            _ => {}
        }
    }
}
