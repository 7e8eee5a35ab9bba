//! The path: delay, loss, and the rules of the devices on it, which all connections share.

use std::collections::VecDeque;

use super::setup::{CountPer, CountRule, Path, Refusal, Window};
use super::wire::{Body, Id, Segment, To, Tuple};
use crate::sim::random::Random;
use crate::units::{Moment, NS_PER_S, Span};

/// What became of a packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passage {
    /// When it arrives; twice where it was duplicated.
    pub arrivals: [Option<Moment>; 2],
    /// What a device on the path sends instead to the sender, and when that arrives.
    pub answer: Option<(Moment, Body)>,
}

/// A token bucket in integers: the generic cell rate algorithm.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    every: Span,
    burst: u32,
    /// When it would be full again.
    full_at: Moment,
}

impl Bucket {
    pub fn new(per_s: u32, burst: u32) -> Bucket {
        Bucket { every: Span(NS_PER_S / u64::from(per_s.max(1))), burst, full_at: Moment(0) }
    }

    pub fn take(&mut self, now: Moment) -> bool {
        let full_at = self.full_at.max(now) + self.every;
        let fits = full_at.since(now).0 <= self.every.0 * u64::from(self.burst.max(1));
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

/// The state that devices have for one connection.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    is_tracked: bool,
    last_seen: Option<Moment>,
    is_expired: bool,
    fins: [bool; 2],
}

pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// Packets that did not pass, by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    pub lost: u64,
    pub too_big: u64,
    pub outage: u64,
    pub filter: u64,
    pub count: u64,
    pub rate: u64,
    pub expired: u64,
}

#[derive(Debug)]
pub struct Devices {
    setup: Path,
    start: Moment,
    entries: Vec<Entry>,
    /// By what the rule counts.
    tracked: Vec<u32>,
    /// In the order in which they expire.
    lingering: VecDeque<(Moment, usize)>,
    rate: Bucket,
    icmp: Bucket,
    pub refused: Refused,
}

impl Devices {
    pub fn new(setup: Path, start: Moment) -> Devices {
        let rate = setup.rate.map_or(Bucket::new(1, 1), |rule| Bucket::new(rule.per_s, rule.burst));
        Devices {
            setup,
            start,
            entries: Vec::new(),
            tracked: Vec::new(),
            lingering: VecDeque::new(),
            rate,
            icmp: Bucket::new(1, 6),
            refused: Refused::default(),
        }
    }

    /// How long a packet takes one way.
    pub fn delay(&self) -> Span {
        self.setup.delay
    }

    /// A packet is sent at `now`.
    pub fn pass(
        &mut self,
        now: Moment,
        segment: &Segment,
        tuple: Tuple,
        random: &mut Random,
    ) -> Passage {
        let at = now.since(self.start);
        if self.setup.outage.is_some_and(|outage| outage.contains(at)) {
            self.refused.outage += 1;
            return Passage::default();
        }
        let is_ack = matches!(segment.body, Body::Ack);
        let loss = self.setup.loss_permille + u32::from(is_ack) * self.setup.ack_loss_permille;
        if loss > 0 && random.chance(loss) {
            self.refused.lost += 1;
            return Passage::default();
        }
        let is_too_big = |bytes| self.setup.mtu.is_some_and(|mtu| bytes > mtu);
        if matches!(segment.body, Body::Data { bytes, .. } if is_too_big(bytes)) {
            self.refused.too_big += 1;
            return Passage::default();
        }
        let seen_at = now + Span(self.distance().0 / 2);
        if let Some(refusal) = self.judge(seen_at, segment, tuple) {
            return self.refuse(now, refusal);
        }
        let mut passage = Passage::default();
        passage.arrivals[0] = Some(self.arrival(now, tuple, random));
        if self.setup.duplicate_permille > 0 && random.chance(self.setup.duplicate_permille) {
            passage.arrivals[1] = Some(self.arrival(now, tuple, random));
        }
        passage
    }

    /// How long a packet takes to the devices and back.
    fn distance(&self) -> Span {
        Span(self.setup.delay.0 * (1 + u64::from(self.setup.is_near_server)))
    }

    fn arrival(&self, now: Moment, tuple: Tuple, random: &mut Random) -> Moment {
        let jitter = match self.setup.jitter {
            Span::ZERO => Span::ZERO,
            Span(most) if self.setup.is_in_order => Span(tuple.pick(most as usize, 0) as u64),
            most => random.span(Span::ZERO, most),
        };
        let leaves = match self.setup.stall {
            Some(Window { from, to }) if (from..to).contains(&now.since(self.start)) => {
                self.start + to
            }
            _ => now,
        };
        leaves + self.setup.delay + jitter
    }

    fn refuse(&mut self, now: Moment, refusal: Refusal) -> Passage {
        let body = match refusal {
            Refusal::Drop => None,
            Refusal::Rst => Some(Body::Rst),
            Refusal::Icmp(code) => {
                self.icmp.take(now).then_some(Body::Icmp { code, is_local: false })
            }
        };
        let answer = body.map(|body| (now + self.distance(), body));
        Passage { answer, ..Passage::default() }
    }

    /// What the rules do to a packet; `None`: it passes.
    fn judge(&mut self, now: Moment, segment: &Segment, tuple: Tuple) -> Option<Refusal> {
        let id = segment.id as usize;
        if self.entries.len() <= id {
            self.entries.resize(id + 1, Entry::default());
        }
        let is_new = segment.body == Body::Syn && segment.to == To::Server;
        if is_new && let Some(refusal) = self.judge_syn(now, segment.id, tuple) {
            return Some(refusal);
        }
        let entry = &mut self.entries[id];
        if let Some(expiry) = self.setup.expiry {
            if is_new {
                (entry.is_expired, entry.last_seen) = (false, None);
            }
            let idle = entry.last_seen.map_or(Span::ZERO, |seen| now.since(seen));
            entry.is_expired |= idle > expiry.idle;
            if entry.is_expired {
                self.refused.expired += 1;
                let is_answered = expiry.resets && segment.body != Body::Rst;
                return Some(if is_answered { Refusal::Rst } else { Refusal::Drop });
            }
        }
        entry.last_seen = Some(now);
        match segment.body {
            Body::Fin => entry.fins[segment.to as usize] = true,
            Body::Rst => entry.fins = [true; 2],
            _ => {}
        }
        if entry.fins == [true; 2] && entry.is_tracked {
            self.untrack(now, segment.id, tuple);
        }
        None
    }

    fn judge_syn(&mut self, now: Moment, id: Id, tuple: Tuple) -> Option<Refusal> {
        let Path { filter, filter_source, filter_target, .. } = self.setup;
        let here = |(index, refusal), at| (index == at).then_some(refusal);
        let by_source = filter_source.and_then(|filter| here(filter, tuple.source));
        let by_target = filter_target.and_then(|filter| here(filter, tuple.target));
        if let Some(refusal) = filter.or(by_source).or(by_target) {
            self.refused.filter += 1;
            return Some(refusal);
        }
        if let Some(rule) = self.setup.rate
            && !self.rate.take(now)
        {
            self.refused.rate += 1;
            return Some(rule.refusal);
        }
        let rule = self.setup.count?;
        if self.entries[id as usize].is_tracked {
            return None;
        }
        self.expire_lingering(now);
        let index = counted_as(rule, tuple);
        if self.tracked.len() <= index {
            self.tracked.resize(index + 1, 0);
        }
        if self.tracked[index] >= rule.max {
            self.refused.count += 1;
            return Some(rule.refusal);
        }
        self.tracked[index] += 1;
        self.entries[id as usize] = Entry { is_tracked: true, ..Entry::default() };
        None
    }

    fn untrack(&mut self, now: Moment, id: Id, tuple: Tuple) {
        let Some(rule) = self.setup.count else { return };
        self.entries[id as usize].is_tracked = false;
        self.lingering.push_back((now + rule.linger, counted_as(rule, tuple)));
        self.expire_lingering(now);
    }

    fn expire_lingering(&mut self, now: Moment) {
        while let Some((until, index)) = self.lingering.front().copied()
            && until <= now
        {
            self.tracked[index] -= 1;
            self.lingering.pop_front();
        }
    }
}

fn counted_as(rule: CountRule, tuple: Tuple) -> usize {
    match rule.per {
        CountPer::All => 0,
        CountPer::Client => tuple.source as usize,
        CountPer::Target => tuple.target as usize,
    }
}
