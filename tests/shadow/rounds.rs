//! When the model asks connections again, and what it counts of each round.

use tcpgoon::engine::{Action, EndReason, Key, Round, RoundStats, State};
use tcpgoon::plan::{CHECK_COST, Hold, Probe};
use tcpgoon::units::{Moment, Span};

use super::records::{Check, Found, Seat, Wait};
use super::state::Shadow;

impl Shadow {
    /// One of so many is in the sample.
    fn stride(&self) -> u32 {
        let mut slots = 1..=self.plan.connections;
        slots.find(|slot| self.is_probed(*slot)).unwrap_or(u32::MAX)
    }

    fn is_watch(&self, slot: u32) -> bool {
        self.is_probed(slot) && (slot / self.stride()).is_multiple_of(10)
    }

    pub fn round_of(&self, slot: u32) -> Round {
        match self.rounds.later {
            None => Round::First,
            Some(Round::Watch) => Round::Watch,
            Some(_) if self.rounds.watch_rounds > 0 && self.is_watch(slot) => Round::Watch,
            Some(_) => Round::Last,
        }
    }

    pub fn is_asking(&self) -> bool {
        !self.rounds.queue.is_empty()
    }

    pub fn has_later_rounds(&self) -> bool {
        self.rounds.later.is_some()
    }

    /// Whether the last round is still to be waited for.
    pub fn waits_for_last(&self) -> bool {
        let is_out = self.seats.iter().any(|seat| seat.wait.is_asked());
        self.rounds.is_last && (self.is_asking() || is_out)
    }

    fn last_due(&self) -> Option<Moment> {
        match self.plan.hold {
            Hold::For(hold) if hold >= Span::from_s(2) => {
                Some(self.decided_at? + (hold - Span::from_s(1)))
            }
            _ => None,
        }
    }

    fn watch_due(&self) -> Option<Moment> {
        let due = self.decided_at? + Span::from_s(60 * (self.rounds.minute + 1));
        match (self.plan.hold, self.last_due()) {
            (Hold::Forever, _) => Some(due),
            (_, Some(last)) if due + Span::from_s(5) <= last => Some(due),
            _ => None,
        }
    }

    /// Whether any check is pending.
    fn is_checking(&self) -> bool {
        self.seats.iter().any(|seat| seat.wait != Wait::Nothing)
    }

    pub fn round_due(&self) -> Option<Moment> {
        if self.plan.probe == Probe::None || self.rounds.is_last || self.is_checking() {
            return None;
        }
        self.last_due().into_iter().chain(self.watch_due()).min()
    }

    fn begin_round(&mut self) {
        let is_over = self.last_due().is_some_and(|due| due + Span::from_s(1) <= self.now);
        if self.plan.probe == Probe::None || self.rounds.is_last || self.is_asking() {
            return;
        }
        if self.is_checking() {
            self.rounds.is_last = is_over;
            if is_over {
                self.mark("first checks at the end of the hold");
            }
            return;
        }
        let all = 0..self.plan.connections;
        if self.last_due().is_some_and(|due| due <= self.now) {
            self.rounds.is_last = true;
            self.rounds.later = Some(Round::Last);
            self.rounds.watch_rounds += u32::from(self.rounds.watch_rounds > 0);
            self.rounds.queue = all.filter(|slot| self.is_probed(*slot)).collect();
            self.rounds.begun += 1;
            self.mark("a last round");
        } else if self.watch_due().is_some_and(|due| due <= self.now) {
            self.rounds.later = Some(Round::Watch);
            self.rounds.watch_rounds += 1;
            self.rounds.minute =
                self.now.since(self.decided_at.unwrap_or_default()).0 / 60_000_000_000;
            self.rounds.queue = all.filter(|slot| self.is_watch(*slot)).collect();
            self.rounds.begun += 1;
            self.mark("a round of watching");
        }
    }

    /// The keepalives that a later round sends in this turn.
    pub fn ask_again<'a>(&mut self, mut rest: &'a [Action]) -> Result<&'a [Action], String> {
        if self.stopped || self.unheard() {
            return Ok(rest);
        }
        self.begin_round();
        let mut budget = self.plan.budgets.expiries_max;
        while budget > 0
            && let Some(slot) = self.rounds.queue.pop_front()
        {
            let is_open = self.seats[slot as usize].state == State::Established;
            budget = budget.saturating_sub(if is_open { CHECK_COST } else { 1 });
            if is_open {
                let key = Key { slot, attempt: 0 };
                let mut expected = Vec::new();
                self.probe(key, &mut expected);
                check!(rest.starts_with(&expected), "{expected:?} is the round's, not {rest:?}");
                rest = &rest[expected.len()..];
            }
        }
        Ok(rest)
    }

    /// The driver has sent the keepalive.
    pub fn sent(&mut self, slot: u32, at: Moment) {
        let (round, watch) = (self.round_of(slot), self.rounds.watch_rounds);
        let sent_at = Some(at);
        self.rounds.checks.push(Check {
            slot,
            round,
            watch,
            sent_at,
            found: None,
            found_at: at,
            order: 0,
        });
    }

    /// This host has refused it, or nothing was heard of it.
    pub fn not_sent(&mut self, slot: u32, at: Moment) {
        let (round, watch) = (self.round_of(slot), self.rounds.watch_rounds);
        let found = Some(Found::NotSent);
        self.rounds.checks.push(Check {
            slot,
            round,
            watch,
            sent_at: None,
            found,
            found_at: at,
            order: 0,
        });
    }

    /// What the last check of a slot has found.
    pub fn find(&mut self, slot: u32, found: Found, at: Moment) {
        self.mark(match found {
            Found::Confirmed => "confirmed",
            Found::RepeatsSynAck => "a SYN-ACK repeated",
            Found::OtherTraffic => "other traffic",
            Found::Unacknowledged => "a keepalive unanswered",
            Found::Unknown => "a keepalive that nobody looked after",
            Found::NotSent => "a keepalive not sent",
            Found::HalfOpen => "a keepalive reset",
            Found::Closed => "an end that tells nothing",
        });
        self.seats[slot as usize].is_repeating = found == Found::RepeatsSynAck;
        let last = self.rounds.checks.iter_mut().rev().find(|check| check.slot == slot);
        if let Some(last) = last {
            self.rounds.finds += 1;
            (last.found, last.found_at, last.order) = (Some(found), at, self.rounds.finds);
        }
    }

    /// What is counted of a round: of watching the latest.
    pub fn round_stats(&self, round: Round) -> RoundStats {
        let watch = self.rounds.watch_rounds;
        let all = || {
            let checks = self.rounds.checks.iter().filter(move |check| check.round == round);
            checks.filter(move |check| round != Round::Watch || check.watch == watch)
        };
        let count = |found| all().filter(|check| check.found == found).count() as u64;
        let unneeded = |seat: &&Seat| round == Round::First && seat.is_unneeded;
        RoundStats {
            sent: all().filter(|check| check.sent_at.is_some()).count() as u64,
            not_sent: count(Some(Found::NotSent)),
            unneeded: self.seats.iter().filter(unneeded).count() as u64,
            confirmed: count(Some(Found::Confirmed)),
            repeats_syn_ack: count(Some(Found::RepeatsSynAck)),
            other_traffic: count(Some(Found::OtherTraffic)),
            unacknowledged: count(Some(Found::Unacknowledged)),
            unknown: count(Some(Found::Unknown)),
            half_open: count(Some(Found::HalfOpen)),
            closed: count(Some(Found::Closed)),
            pending: count(None),
            first_at: all().find_map(|check| check.sent_at),
            last_at: all().rev().find_map(|check| check.sent_at),
            last_confirmed_at: all()
                .filter(|check| check.found == Some(Found::Confirmed))
                .max_by_key(|check| check.order)
                .map(|check| check.found_at),
        }
    }

    /// What the end of a connection says of a keepalive that is out.
    pub fn found_by_end(reason: EndReason) -> Found {
        match reason {
            EndReason::HalfOpen => Found::HalfOpen,
            EndReason::PeerClosed => Found::Confirmed,
            EndReason::Lost => Found::Unacknowledged,
            _ => Found::Closed,
        }
    }
}
