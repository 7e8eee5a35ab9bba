//! The application of a server: when it accepts, what it closes, how it replies.

use super::setup::{Accept, End, Limit, LimitOn};
use super::site::{Peer, PeerState, Site};
use super::wire::{Body, Chore, Happening, Id, Out, Timer, To};
use crate::units::{Moment, Span, next_beat};

/// What an application sends before it closes a connection above its limit.
const LAST_WORDS_BYTES: u32 = 32;

impl Site {
    /// Schedules what is due from the start.
    pub fn begin(&self, out: &mut Out) {
        if let Some(sweep) = self.setup.sweep {
            out.at(self.start + sweep.every, self.chore(Chore::Sweep));
        }
        if let Some(restart) = self.setup.restart {
            out.at(self.start + restart.at, self.chore(Chore::Stop));
        }
    }

    fn chore(&self, chore: Chore) -> Happening {
        Happening::Server { index: self.index, chore }
    }

    pub fn on_chore(&mut self, now: Moment, chore: Chore, peers: &mut [Peer], out: &mut Out) {
        match chore {
            Chore::Accept => {
                self.is_accept_due = false;
                let Accept::Every { count, .. } = self.setup.accept else { return };
                for _ in 0..count {
                    self.accept_one(now, peers, out);
                }
                self.arm_accept(now, out);
            }
            Chore::Sweep => {
                let Some(sweep) = self.setup.sweep else { return };
                for place in 0..self.accepted.len() {
                    let peer = &mut peers[self.accepted[place] as usize];
                    let is_old = peer.accepted_at.is_some_and(|at| now.since(at) >= sweep.age);
                    if is_old && self.is_mine(peer) {
                        self.close(now, peer, End::Fin, out);
                    }
                }
                self.accept_all(now, peers, out);
                out.at(now + sweep.every, self.chore(Chore::Sweep));
            }
            Chore::Stop => self.stop(now, peers, out),
            Chore::Return => self.is_listening = true,
        }
    }

    fn is_mine(&self, peer: &Peer) -> bool {
        peer.state == PeerState::Accepted && peer.site == self.index
    }

    /// The process ends, or only closes its listener.
    fn stop(&mut self, now: Moment, peers: &mut [Peer], out: &mut Out) {
        let Some(restart) = self.setup.restart else { return };
        self.is_listening = false;
        let index = self.index;
        for peer in peers.iter_mut().filter(|peer| peer.site == index) {
            match (peer.state, restart.end) {
                (PeerState::Accepted, Some(end)) => self.close(now, peer, end, out),
                // The accept queue goes with the listener.
                (PeerState::Queued, _) => self.close(now, peer, End::Rst, out),
                (PeerState::SynReceived | PeerState::Cookie, _) => {
                    self.release(peer);
                    peer.drop_state();
                }
                _ => {}
            }
        }
        self.queue.clear();
        if let Some(after) = restart.back_after {
            out.at(now + after, self.chore(Chore::Return));
        }
    }

    /// A connection has entered the accept queue.
    pub fn on_queued(&mut self, now: Moment, peers: &mut [Peer], out: &mut Out) {
        self.accept_all(now, peers, out);
        self.arm_accept(now, out);
    }

    fn arm_accept(&mut self, now: Moment, out: &mut Out) {
        if let Accept::Every { period, .. } = self.setup.accept
            && !self.is_accept_due
            && !self.queue.is_empty()
        {
            self.is_accept_due = true;
            out.at(next_beat(self.start, period, now), self.chore(Chore::Accept));
        }
    }

    /// Accepts everything, if the application accepts at once.
    pub fn accept_all(&mut self, now: Moment, peers: &mut [Peer], out: &mut Out) {
        while self.setup.accept == Accept::AtOnce && self.accept_one(now, peers, out) {}
    }

    /// Returns whether there was one to accept.
    fn accept_one(&mut self, now: Moment, peers: &mut [Peer], out: &mut Out) -> bool {
        let is_stuck = self.setup.accepts_until.is_some_and(|until| now.since(self.start) >= until);
        let is_full = self.setup.open_max.is_some_and(|most| self.open >= most);
        if is_stuck || is_full {
            return false;
        }
        let Some(id) = self.queue.pop_front() else { return false };
        let peer = &mut peers[id as usize];
        if peer.state != PeerState::Queued {
            // It was reset in the queue.
            return true;
        }
        peer.state = PeerState::Accepted;
        peer.accepted_at = Some(now);
        self.truth.accepted += 1;
        if let Some(limit) = self.setup.limit
            && self.is_above(limit, now, peer)
        {
            self.truth.rejected += 1;
            peer.is_rejected = true;
            if limit.has_last_words {
                let words = Body::Data { bytes: LAST_WORDS_BYTES, is_expected: false };
                peer.send(words, self.rtt, now, out);
            }
            self.close(now, peer, limit.end, out);
            return true;
        }
        self.count_open(peer.tuple.source, true);
        self.accepted.push_back(id);
        if let Some(idle) = self.setup.idle {
            let timer = Timer::Idle;
            let generation = peer.generation;
            out.at(now + idle.after, Happening::Timer { id, at: To::Server, timer, generation });
        }
        if peer.has_fin {
            self.close(now, peer, End::Fin, out);
            return true;
        }
        if peer.has_request || !self.is_sent_to {
            self.serve(now, peer, out);
        }
        if self.setup.evicts_above.is_some_and(|most| self.open > most) {
            self.evict(now, peers, out);
        }
        true
    }

    fn is_above(&mut self, limit: Limit, now: Moment, peer: &Peer) -> bool {
        match limit.on {
            LimitOn::Open(most) => self.open >= most,
            LimitOn::OpenOfClient(most) => {
                self.of_client.get(peer.tuple.source as usize).is_some_and(|open| *open >= most)
            }
            LimitOn::Rate { .. } => !self.rate.take(now),
        }
    }

    fn evict(&mut self, now: Moment, peers: &mut [Peer], out: &mut Out) {
        while let Some(id) = self.accepted.pop_front() {
            let peer = &mut peers[id as usize];
            if self.is_mine(peer) {
                return self.close(now, peer, End::Fin, out);
            }
        }
    }

    /// A request has arrived, or none is needed: schedules the reply.
    pub fn serve(&mut self, now: Moment, peer: &mut Peer, out: &mut Out) {
        let Some(reply) = self.setup.reply.filter(|_| !peer.is_replied) else { return };
        if reply.served_max > 0 && self.served >= reply.served_max {
            return;
        }
        self.served += 1;
        peer.is_replied = true;
        let mut due = now + reply.after;
        if let Some(free_at) = self.workers.iter_mut().min() {
            due = now.max(*free_at) + reply.after;
            *free_at = due;
        }
        if due == now {
            self.on_reply_due(now, peer, out);
        } else {
            let (id, timer, generation) = (peer.id, Timer::Reply, peer.generation);
            out.at(due, Happening::Timer { id, at: To::Server, timer, generation });
        }
    }

    /// The reply of a request is ready.
    pub fn on_reply_due(&mut self, now: Moment, peer: &mut Peer, out: &mut Out) {
        let Some(reply) = self.setup.reply.filter(|_| peer.state == PeerState::Accepted) else {
            return;
        };
        self.truth.replies += 1;
        let data = Body::Data { bytes: reply.bytes, is_expected: reply.is_expected };
        peer.send(data, self.rtt, now, out);
        if reply.closes {
            self.close(now, peer, End::Fin, out);
        }
    }

    /// An idle timeout may have come. Returns whether the connection was closed.
    pub fn on_idle(&mut self, now: Moment, peer: &mut Peer, out: &mut Out) -> bool {
        let Some(idle) = self.setup.idle.filter(|_| peer.state == PeerState::Accepted) else {
            return false;
        };
        // The application does not see keepalives.
        let since = peer.accepted_at.unwrap_or(now).max(peer.last_data);
        if now.since(since) >= idle.after {
            self.close(now, peer, idle.end, out);
            return true;
        }
        let (id, timer, generation) = (peer.id, Timer::Idle, peer.generation);
        let due = since + idle.after;
        out.at(due, Happening::Timer { id, at: To::Server, timer, generation });
        false
    }

    /// Arms the timer of the keepalives that this server sends.
    pub fn arm_keepalive(&self, now: Moment, id: Id, out: &mut Out) {
        if let Some(Span(idle)) = self.setup.keepalive {
            let timer = Timer::Keepalive;
            let due = now + Span(idle);
            out.at(due, Happening::Timer { id, at: To::Server, timer, generation: 0 });
        }
    }
}
