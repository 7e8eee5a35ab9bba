//! The kernels of the servers: the handshake as Linux does it, accept queues, and the reply to each
//! segment. Source: `tcp_conn_request`, `tcp_check_req`, `reqsk_timer_handler`.

use super::setup::{Balance, End};
use super::site::{Peer, PeerState, Site};
use super::wire::{Body, Chore, Happening, Id, Out, Segment, Timer, To, Tuple};
use crate::sim::random::Random;
use crate::units::{Moment, Span};

/// `tcp_synack_retries`.
const SYN_ACKS_MAX: u8 = 5;

/// `tcp_keepalive_probes`, and a short `tcp_keepalive_intvl`.
const KEEPALIVES_MAX: u8 = 9;
const KEEPALIVE_INTERVAL: Span = Span::from_s(1);

#[derive(Debug)]
pub struct Servers {
    pub sites: Vec<Site>,
    pub peers: Vec<Peer>,
    balance: Balance,
    salt: u64,
    random: Random,
}

impl Servers {
    pub fn new(sites: Vec<Site>, balance: Balance, mut random: Random) -> Servers {
        let salt = random.word();
        Servers { sites, peers: Vec::new(), balance, salt, random }
    }

    /// Schedules what is due from the start.
    pub fn begin(&self, out: &mut Out) {
        self.sites.iter().for_each(|site| site.begin(out));
    }

    pub fn on_chore(&mut self, now: Moment, index: u32, chore: Chore, out: &mut Out) {
        self.sites[index as usize].on_chore(now, chore, &mut self.peers, out);
    }

    fn site_of(&mut self, tuple: Tuple) -> u32 {
        let count = self.sites.len();
        (match self.balance {
            Balance::ByTarget => tuple.target as usize % count,
            Balance::ByTuple => tuple.pick(count, self.salt),
            Balance::PerSyn => self.random.between(0, count as u64 - 1) as usize,
        }) as u32
    }

    /// A segment has arrived at the servers.
    pub fn arrive(&mut self, now: Moment, segment: &Segment, tuple: Tuple, out: &mut Out) {
        let id = segment.id;
        while self.peers.len() <= id as usize {
            self.peers.push(Peer::new(self.peers.len() as Id, tuple));
        }
        if self.peers[id as usize].state == PeerState::None && segment.body == Body::Syn {
            let site = self.site_of(tuple);
            self.peers[id as usize] = Peer { site, ..Peer::new(id, tuple) };
        }
        let peer = &mut self.peers[id as usize];
        let site = &mut self.sites[peer.site as usize];
        if site.setup.is_down {
            return;
        }
        peer.last_received = now;
        if matches!(segment.body, Body::Data { .. }) {
            peer.last_data = now;
        }
        peer.keepalives = 0;
        match peer.state {
            PeerState::None => arrive_without_state(now, site, peer, segment, out),
            PeerState::SynReceived | PeerState::Cookie => {
                if on_final_ack(site, peer, segment, out) {
                    site.queue.push_back(id);
                    site.arm_keepalive(now, id, out);
                    if segment.body != Body::Ack {
                        arrive_open(now, site, peer, segment, out);
                    }
                    site.on_queued(now, &mut self.peers, out);
                }
            }
            _ => {
                arrive_open(now, site, peer, segment, out);
                // One that ended may let the application accept another.
                site.accept_all(now, &mut self.peers, out);
            }
        }
    }

    pub fn timer(&mut self, now: Moment, id: Id, timer: Timer, generation: u32, out: &mut Out) {
        let peer = &mut self.peers[id as usize];
        let site = &mut self.sites[peer.site as usize];
        let is_current = generation == peer.generation;
        match timer {
            Timer::Handshake if is_current && peer.state == PeerState::SynReceived => {
                repeat_syn_ack(now, site, peer, out);
            }
            Timer::Retransmit if generation == peer.stream.generation => {
                peer.stream.retransmit(id, To::Client, site.rtt, now, out);
            }
            Timer::Keepalive if peer.is_open() => keepalive(now, site, peer, out),
            Timer::Reply if is_current => site.on_reply_due(now, peer, out),
            Timer::Idle if is_current && site.on_idle(now, peer, out) => {
                site.accept_all(now, &mut self.peers, out);
            }
            _ => {}
        }
    }
}

fn arrive_without_state(
    now: Moment,
    site: &mut Site,
    peer: &mut Peer,
    segment: &Segment,
    out: &mut Out,
) {
    match segment.body {
        Body::Rst => return,
        Body::Syn if site.is_listening => {}
        _ => return peer.reply(Body::Rst, out),
    }
    peer.echo = segment.echo;
    if site.is_queue_full() {
        site.truth.listen_overflows += 1;
        return;
    }
    // Source: `inet_csk_reqsk_queue_is_full`.
    if site.requests >= site.setup.backlog.max(1) {
        if site.setup.has_syn_cookies {
            site.truth.cookies_sent += 1;
            peer.state = PeerState::Cookie;
            peer.reply(Body::SynAck, out);
        }
        return;
    }
    peer.state = PeerState::SynReceived;
    site.requests += 1;
    peer.reply(Body::SynAck, out);
    arm_handshake(now, peer, out);
}

/// A segment arrives before the handshake is complete. Returns whether it is now.
fn on_final_ack(site: &mut Site, peer: &mut Peer, segment: &Segment, out: &mut Out) -> bool {
    let is_request = peer.state == PeerState::SynReceived;
    match segment.body {
        Body::Syn => {
            peer.echo = segment.echo;
            peer.reply(Body::SynAck, out);
            return false;
        }
        // Out of the window: a request acknowledges it; the cookie does not match.
        Body::Keepalive if is_request => {
            peer.reply(Body::Ack, out);
            return false;
        }
        Body::Keepalive => {
            peer.drop_state();
            peer.reply(Body::Rst, out);
            return false;
        }
        Body::Rst => {
            site.release(peer);
            peer.drop_state();
            return false;
        }
        _ => {}
    }
    if is_request && peer.timeouts < site.setup.defer_accept && segment.body == Body::Ack {
        peer.is_acked = true;
        return false;
    }
    if site.is_queue_full() {
        site.truth.listen_overflows += 1;
        peer.is_acked = true;
        if site.setup.aborts_on_overflow {
            site.release(peer);
            peer.drop_state();
            peer.reply(Body::Rst, out);
        }
        return false;
    }
    site.release(peer);
    peer.state = PeerState::Queued;
    peer.generation += 1;
    site.count_kernel(true);
    true
}

fn arrive_open(now: Moment, site: &mut Site, peer: &mut Peer, segment: &Segment, out: &mut Out) {
    peer.stream.on_ack(segment.ack);
    match segment.body {
        Body::Keepalive | Body::Syn => peer.reply(Body::Ack, out),
        Body::Data { .. } => {
            if peer.state == PeerState::Closing {
                // Data for a socket that its application has closed.
                peer.drop_state();
                return peer.reply(Body::Rst, out);
            }
            let is_new = peer.stream.accept(segment.seq);
            peer.reply(Body::Ack, out);
            if is_new {
                peer.has_request = true;
                if peer.state == PeerState::Accepted {
                    site.serve(now, peer, out);
                }
            }
        }
        Body::Fin => {
            let is_new = peer.stream.accept(segment.seq);
            peer.reply(Body::Ack, out);
            if is_new {
                peer.has_fin = true;
                match peer.state {
                    PeerState::Accepted => site.close(now, peer, End::Fin, out),
                    PeerState::Closing => peer.state = PeerState::TimeWait,
                    _ => {}
                }
            }
        }
        Body::Rst => {
            site.release(peer);
            peer.drop_state();
        }
        _ => {}
    }
}

fn arm_handshake(now: Moment, peer: &mut Peer, out: &mut Out) {
    peer.generation += 1;
    let (id, timer, generation) = (peer.id, Timer::Handshake, peer.generation);
    let due = now + Span::from_s(1 << peer.timeouts);
    out.at(due, Happening::Timer { id, at: To::Server, timer, generation });
}

/// Source: `syn_ack_recalc`.
fn repeat_syn_ack(now: Moment, site: &mut Site, peer: &mut Peer, out: &mut Out) {
    let defer = site.setup.defer_accept;
    let is_last = peer.timeouts >= SYN_ACKS_MAX;
    let is_over = is_last && (defer == 0 || !peer.is_acked || peer.timeouts >= defer);
    if is_over {
        site.release(peer);
        return peer.drop_state();
    }
    let is_repeated = defer == 0 || !peer.is_acked || peer.timeouts + 1 >= defer;
    peer.timeouts += 1;
    if is_repeated {
        peer.reply(Body::SynAck, out);
    }
    arm_handshake(now, peer, out);
}

fn keepalive(now: Moment, site: &mut Site, peer: &mut Peer, out: &mut Out) {
    let Some(idle) = site.setup.keepalive else { return };
    let (id, timer) = (peer.id, Timer::Keepalive);
    let idle_until = peer.last_received + idle;
    let mut due = now + KEEPALIVE_INTERVAL;
    if now < idle_until {
        due = idle_until;
    } else if peer.keepalives >= KEEPALIVES_MAX {
        site.release(peer);
        peer.reply(Body::Rst, out);
        return peer.drop_state();
    } else {
        peer.keepalives += 1;
        peer.reply(Body::Keepalive, out);
    }
    out.at(due, Happening::Timer { id, at: To::Server, timer, generation: 0 });
}
