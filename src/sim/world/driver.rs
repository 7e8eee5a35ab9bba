//! The poll loop over a world: the same calls in the same order as `os/driver.rs`, on a fake kernel
//! and clock. The other files of the world do not use the engine's types.

use std::collections::VecDeque;

use super::failures::{CLOSED, dial_failure, end_failure, tcp_info};
use super::follow::Follow;
use super::network::Network;
use super::setup::World;
use super::socket::Read;
use super::stalls::Stall;
use super::truth::{Icmp, Outcome, Truth};
use super::wire::{Id, Tuple};
use crate::engine::dating::{Dating, date_of_last, date_of_syn_ack};
use crate::engine::gaps::GAP_MIN;
use crate::engine::{
    Action, EndReason, Engine, Event, EventKind, Failure, Key, State, TcpInfoPurpose,
};
use crate::plan::{Close, FINAL_DRAIN_FACTOR, Plan};
use crate::sim::random::Random;
use crate::units::{Moment, Span};

/// What the loop itself takes for a turn, for a dial and for any other call.
const TURN_COST: Span = Span::from_us(4);
const DIAL_COST: Span = Span::from_us(13);
const CALL_COST: Span = Span::from_us(2);

/// By how much a timer wakes the loop late.
pub const WAKE_COST: Span = Span::from_us(60);

/// The most that one read returns where a reply is expected.
const BUFFER_BYTES: u32 = 4096;

/// When runs begin. Any origin of the clock will do.
pub const START: Moment = Moment(7_777_777);

pub struct Driver<'a> {
    plan: &'a Plan,
    pub engine: Engine,
    pub network: Network,
    follower: &'a mut dyn Follow,
    clock: Moment,
    random: Random,
    /// For the next turn.
    events: Vec<Event>,
    /// By slot, and back.
    ids: Vec<Option<Id>>,
    keys: Vec<Key>,
    is_opened: Vec<bool>,
    is_matched: Vec<bool>,
    has_sent: Vec<bool>,
    pub sent_before_close: u64,
    stalls: VecDeque<Stall>,
    stalled: Vec<(Moment, Moment)>,
    /// When the last poll returned.
    polled_at: Moment,
    dating: Dating,
    /// Where in `events` those of the poll begin.
    batch_at: usize,
    turns: u64,
}

impl<'a> Driver<'a> {
    pub fn new(
        plan: &'a Plan,
        engine: Engine,
        world: &World,
        stalls: VecDeque<Stall>,
        random: &mut Random,
        follower: &'a mut dyn Follow,
    ) -> Driver<'a> {
        let sends =
            plan.reply_check.as_ref().is_some_and(|reply_check| !reply_check.send.is_empty());
        let slots = plan.connections as usize;
        Driver {
            plan,
            engine,
            network: Network::new(world, sends, START, random),
            follower,
            clock: START,
            random: Random::new(random.word()),
            events: Vec::new(),
            ids: vec![None; slots],
            keys: Vec::with_capacity(slots),
            is_opened: vec![false; slots],
            is_matched: vec![false; slots],
            has_sent: vec![false; slots],
            sent_before_close: 0,
            stalls,
            stalled: Vec::new(),
            polled_at: START,
            dating: Dating::new(plan.batches()),
            batch_at: 0,
            turns: 0,
        }
    }

    pub fn run_loop(&mut self) {
        let mut actions = Vec::new();
        let mut now = self.clock;
        loop {
            self.turns += 1;
            self.engine.turn(now, &self.events, &mut actions);
            self.events.clear();
            self.follower.turned(self.turns, &self.engine);
            self.work(TURN_COST);
            for action in actions.drain(..) {
                self.perform(action);
            }
            if self.engine.is_over() {
                let last = std::mem::take(&mut self.events);
                return self.engine.turn(now, &last, &mut actions);
            }
            now = self.wait();
            self.batch_at = self.events.len();
            let events_max = self.plan.budgets.events_max;
            let mut count = 0;
            while count < events_max
                && let Some(id) = self.network.client.next_ready()
            {
                count += 1;
                self.on_ready(now, id);
            }
            let is_full = count >= events_max;
            self.dating.end_batch(is_full);
            if is_full {
                self.push(now, EventKind::PollBatchFull);
            }
        }
    }

    pub fn finish(self) -> Outcome {
        let client = &self.network.client;
        let truth = Truth {
            start: START,
            end: self.clock,
            dials: client.dialed(),
            levels: client.levels.clone().unwrap_or_default(),
            sites: self.network.servers.sites.iter().map(|site| site.truth).collect(),
            refused: self.network.devices.refused,
            stalls: self.stalled,
        };
        Outcome {
            summary: self.engine.summary(),
            turns: self.turns,
            counters: client.counters,
            icmp: Icmp::tally(&truth.dials),
            said: self.sent_before_close,
            truth,
        }
    }

    // Inlined, it and some others take several KB more.
    #[inline(never)]
    fn push(&mut self, at: Moment, kind: EventKind) {
        match kind {
            EventKind::Received { key, bytes: 1.., .. } => {
                self.has_sent[key.slot as usize] = true;
            }
            EventKind::PeerClosed(key, _) | EventKind::Reset(key, ..) => {
                self.sent_before_close += u64::from(self.has_sent[key.slot as usize]);
            }
            _ => {}
        }
        self.events.push(Event { at, kind });
    }

    /// Time passes in the loop; a stall that is due extends it.
    fn work(&mut self, cost: Span) {
        self.clock = self.clock + cost;
        while let Some(stall) = self.stalls.front().filter(|stall| stall.at <= self.clock) {
            let (from, to) = (self.clock, self.clock + stall.length);
            self.stalls.pop_front();
            self.stalled.push((from, to));
            self.clock = to;
        }
        self.network.advance(self.clock);
    }

    /// Polls: at once if there is something to do, else until the engine is due or a socket is
    /// ready. Returns the time afterwards.
    fn wait(&mut self) -> Moment {
        self.work(CALL_COST);
        let due = self.engine.next_wake().due(self.polled_at);
        let began = self.clock;
        let mut was_stopped = false;
        let is_at_once = !self.events.is_empty() || due.is_some_and(|due| due <= self.polled_at);
        let is_long = began.since(self.polled_at) >= GAP_MIN;
        while !is_at_once && !is_long && !self.network.client.is_ready() {
            if due.is_some_and(|due| due <= self.clock) {
                break;
            }
            let next = [due.map(|due| due + WAKE_COST), self.network.next_due()];
            let Some(next) = next.into_iter().flatten().min() else {
                self.follower.stuck(&self.engine);
                self.push(self.clock, EventKind::Stop);
                break;
            };
            was_stopped |= self.sleep(next);
        }
        let now = self.clock;
        let late = due.filter(|due| !is_at_once && now.since((*due).max(began)) >= GAP_MIN);
        let since = match late {
            _ if is_long || was_stopped => Some(self.polled_at),
            late => late.map(|due| due.max(began)),
        };
        if let Some(since) = since {
            self.report_gap(since, now, was_stopped);
        }
        self.polled_at = now;
        now
    }

    /// Sleeps until `next`, or if a stall begins before that until its end. Returns whether one
    /// did.
    fn sleep(&mut self, next: Moment) -> bool {
        let stall = self.stalls.front().copied().filter(|stall| stall.at < next);
        if let Some(stall) = stall {
            self.stalls.pop_front();
            let from = self.clock.max(stall.at);
            self.stalled.push((from, from + stall.length));
            self.clock = from + stall.length;
        } else {
            self.clock = self.clock.max(next);
        }
        self.network.advance(self.clock);
        stall.is_some()
    }

    /// This host did not poll from `since` to `now`.
    fn report_gap(&mut self, since: Moment, now: Moment, is_stop: bool) {
        self.dating.begin_gap(since, now);
        self.push(now, EventKind::Gap { since, is_stop });
    }

    /// Since when a connection has been in its state, events not yet handed over included.
    fn began(&self, key: Key) -> Moment {
        let known = self.engine.connection(key).filter(|known| known.state != State::NotInitiated);
        let is_dial = |event: &&Event| event.kind == EventKind::Dialed(key);
        let dialed = || self.events.iter().find(is_dial).map(|event| event.at);
        known.map(|known| known.since).or_else(dialed).unwrap_or_default()
    }

    fn on_ready(&mut self, now: Moment, id: Id) {
        let key = self.keys[id as usize];
        let slot = key.slot as usize;
        let mut began = self.began(key);
        if !self.is_opened[slot] {
            let client = &self.network.client;
            if let Some(fault) = client.fault(id).filter(|_| !client.is_established(id)) {
                let at = self.dating.undated(now, began);
                return self.push(at, EventKind::Failed(key, dial_failure(fault)));
            }
            self.is_opened[slot] = true;
            let info = || tcp_info(&self.network.client.info(self.clock, id));
            began = self.dating.opened(now, began, || date_of_syn_ack(&info(), self.clock));
            self.push(began, EventKind::Opened(key));
        }
        let at = self.dating.undated(now, began);
        if let Some(fault) = self.network.client.fault(id) {
            return self.on_end(at, id, end_failure(fault));
        }
        if self.network.client.has_fin(id) {
            let (client, clock) = (&self.network.client, self.clock);
            let is_date = |_: &Moment| !client.has_keepalive(id);
            let date = || date_of_last(&tcp_info(&client.info(clock, id)), clock).filter(is_date);
            let (at, gap) = self.dating.closed(now, began, date);
            if let Some(since) = gap {
                let kind = EventKind::Gap { since, is_stop: false };
                self.events.insert(self.batch_at, Event { at: now, kind });
            }
            self.on_end(at, id, CLOSED);
        } else if self.network.client.has_unread(id) {
            if self.can_match(key.slot) && self.engine.expects_reply(key) {
                self.receive(at, id);
            } else {
                self.push(at, EventKind::Readable(key));
            }
        }
    }

    /// The end of a connection, and the data before it.
    fn on_end(&mut self, at: Moment, id: Id, end: Failure) {
        let key = self.keys[id as usize];
        let (mut received, mut is_matched) = (0, false);
        while let Read::Bytes { count, is_expected } = self.network.client.read(id, BUFFER_BYTES) {
            received += count;
            is_matched |= self.is_match(key.slot, is_expected);
        }
        if received > 0 {
            self.push(at, EventKind::Received { key, bytes: received, more: false });
        }
        if is_matched {
            self.push(at, EventKind::ReplyMatched(key));
        }
        let info = tcp_info(&self.network.client.info(self.clock, id));
        self.push(
            at,
            match end.reason {
                EndReason::PeerReset => EventKind::Reset(key, end, info),
                _ => EventKind::PeerClosed(key, end),
            },
        );
    }

    fn can_match(&self, slot: u32) -> bool {
        let reply = self.plan.reply_check.as_ref();
        reply.is_some_and(|reply| reply.expect.is_empty() || !self.is_matched[slot as usize])
    }

    /// Whether bytes that were read complete the expected text for the first time.
    fn is_match(&mut self, slot: u32, is_expected: bool) -> bool {
        let expects = self.plan.reply_check.as_ref().is_some_and(|reply| !reply.expect.is_empty());
        let is_first = expects && is_expected && !self.is_matched[slot as usize];
        self.is_matched[slot as usize] |= is_first;
        is_first
    }

    fn receive(&mut self, at: Moment, id: Id) {
        let key = self.keys[id as usize];
        match self.network.client.read(id, self.plan.budgets.drain_bytes_max) {
            Read::Bytes { count, is_expected } => {
                self.push(at, EventKind::Received { key, bytes: count, more: true });
                if self.is_match(key.slot, is_expected) {
                    self.push(at, EventKind::ReplyMatched(key));
                }
            }
            Read::WouldBlock => {
                self.push(at, EventKind::Received { key, bytes: 0, more: false });
            }
            Read::End => self.push(at, EventKind::PeerClosed(key, CLOSED)),
        }
    }

    fn perform(&mut self, action: Action) {
        let key = match action {
            Action::Sample => return self.follower.sample(self.clock, &self.engine),
            Action::Note(key, note) => return self.follower.note(key, note),
            Action::Dial(key) => return self.dial(key),
            Action::Close(key)
            | Action::Drain(key)
            | Action::DrainFully(key)
            | Action::Send(key)
            | Action::StartKeepalive(key)
            | Action::StopKeepalive(key)
            | Action::ReadTcpInfo(key, _) => key,
        };
        self.work(CALL_COST);
        let now = self.clock;
        let Some(id) = self.ids[key.slot as usize] else { return };
        match action {
            Action::Close(_) => {
                self.ids[key.slot as usize] = None;
                let resets = self.plan.close == Close::Rst;
                self.network.call(now, |client, out| client.close(now, id, resets, out));
            }
            Action::Drain(_) => self.receive(now, id),
            Action::DrainFully(_) => self.receive_all(now, id),
            Action::Send(_) => {
                let bytes =
                    self.plan.reply_check.as_ref().map_or(0, |reply| reply.send.len() as u32);
                self.network.call(now, |client, out| client.send(now, id, bytes, out));
                self.push(now, EventKind::Sent(key));
            }
            Action::StartKeepalive(_) => {
                let info = tcp_info(&self.network.client.info(now, id));
                self.network.call(now, |client, out| client.set_keepalive(now, id, out));
                self.push(now, EventKind::KeepaliveStarted(key, Some(info)));
            }
            Action::StopKeepalive(_) => self.network.client.clear_keepalive(id),
            Action::ReadTcpInfo(_, purpose) => self.read_tcp_info(now, key, id, purpose),
            Action::Sample | Action::Note(..) | Action::Dial(_) => {}
        }
    }

    fn read_tcp_info(&mut self, now: Moment, key: Key, id: Id, purpose: TcpInfoPurpose) {
        let info = tcp_info(&self.network.client.info(now, id));
        self.push(now, EventKind::TcpInfo(key, purpose, info));
    }

    /// Reads on while there is more and the reply may be in it.
    fn receive_all(&mut self, at: Moment, id: Id) {
        let key = self.keys[id as usize];
        let (mut received, mut more, mut is_matched, mut end) = (0, true, false, None);
        for _ in 0..FINAL_DRAIN_FACTOR {
            if !self.can_match(key.slot) {
                break;
            }
            match self.network.client.read(id, self.plan.budgets.drain_bytes_max) {
                Read::Bytes { count, is_expected } => {
                    received += count;
                    is_matched |= self.is_match(key.slot, is_expected);
                }
                Read::WouldBlock => more = false,
                Read::End => end = Some(CLOSED),
            }
            if !more || end.is_some() {
                break;
            }
        }
        self.push(at, EventKind::Received { key, bytes: received, more });
        if is_matched {
            self.push(at, EventKind::ReplyMatched(key));
        }
        if let Some(failure) = end {
            self.push(at, EventKind::PeerClosed(key, failure));
        }
    }

    fn dial(&mut self, key: Key) {
        self.work(DIAL_COST);
        let at = self.clock;
        let routes = &self.plan.routes;
        let tuple = Tuple {
            source: routes.source_index(key.slot).unwrap_or(0),
            target: routes.target_index(key.slot),
            port: self.random.between(32_768, 60_999) as u16,
        };
        let slot = key.slot as usize;
        (self.is_opened[slot], self.is_matched[slot], self.has_sent[slot]) = (false, false, false);
        self.push(at, EventKind::Dialed(key));
        match self.network.dial(at, tuple) {
            Ok(id) => {
                self.ids[slot] = Some(id);
                self.keys.push(key);
            }
            Err(fault) => self.push(at, EventKind::Failed(key, dial_failure(fault))),
        }
    }
}
