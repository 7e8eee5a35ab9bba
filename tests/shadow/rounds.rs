//! Later rounds of keepalives: when they begin, and their counts.

use tcpgoon::engine::{Action, EndReason, Round, RoundStats, State};
use tcpgoon::plan::{CHECK_COST, Hold, Probe};
use tcpgoon::units::{Moment, Span};

use super::records::{Check, Conn, Judgement, Wait};
use super::state::Shadow;

impl Shadow {
    /// The sample is every nth slot.
    fn stride(&self) -> u32 {
        let mut slots = 1..=self.plan.connections;
        slots.find(|slot| self.is_probed(*slot)).unwrap_or(u32::MAX)
    }

    fn is_watch(&self, slot: u32) -> bool {
        self.is_probed(slot) && (slot / self.stride()).is_multiple_of(10)
    }

    pub fn round_of(&self, slot: u32) -> Round {
        match self.rounds.later {
            None if self.holds_beside() => Round::Watch,
            None => Round::First,
            Some(Round::Watch) => Round::Watch,
            Some(_) if self.rounds.watch_rounds > 0 && self.is_watch(slot) => Round::Watch,
            Some(_) => Round::Last,
        }
    }

    pub fn is_sending(&self) -> bool {
        !self.rounds.queue.is_empty()
    }

    pub fn has_later_rounds(&self) -> bool {
        self.rounds.later.is_some()
    }

    /// Whether the run waits for the last round.
    pub fn waits_for_last(&self) -> bool {
        let is_out = self.conns.iter().any(|conn| conn.wait.is_pending());
        self.rounds.is_last && (self.is_sending() || is_out)
    }

    fn last_due(&self) -> Option<Moment> {
        match self.hold() {
            Hold::For(hold) if hold >= Span::from_s(2) => {
                Some(self.decided_at? + (hold - Span::from_s(1)))
            }
            _ => None,
        }
    }

    fn watch_due(&self) -> Option<Moment> {
        let due = self.decided_at? + Span::from_s(60 * (self.rounds.minute + 1));
        match (self.hold(), self.last_due()) {
            (Hold::Forever, _) => Some(due),
            (_, Some(last)) if due + Span::from_s(5) <= last => Some(due),
            _ => None,
        }
    }

    /// Whether any check is pending.
    fn is_checking(&self) -> bool {
        self.conns.iter().any(|conn| conn.wait != Wait::Nothing)
    }

    pub fn round_due(&self) -> Option<Moment> {
        let has_rounds = self.plan.probe != Probe::None && !self.holds_beside();
        if !has_rounds || self.rounds.is_last || self.is_checking() {
            return None;
        }
        self.last_due().into_iter().chain(self.watch_due()).min()
    }

    fn begin_round(&mut self) {
        let is_over = self.last_due().is_some_and(|due| due + Span::from_s(1) <= self.now);
        let has_rounds = self.plan.probe != Probe::None && !self.holds_beside();
        if !has_rounds || self.rounds.is_last || self.is_sending() {
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
            self.mark("a watch round");
        }
    }

    /// The keepalives that a later round sends in this turn.
    pub fn later_checks<'a>(&mut self, mut rest: &'a [Action]) -> Result<&'a [Action], String> {
        if self.stopped || self.readiness_may_be_pending() {
            return Ok(rest);
        }
        self.begin_round();
        let mut budget = self.plan.budgets.expiries_max;
        while budget > 0
            && let Some(slot) = self.rounds.queue.pop_front()
        {
            let is_open = self.conns[slot as usize].state == State::Established;
            budget = budget.saturating_sub(if is_open { CHECK_COST } else { 1 });
            if is_open {
                let key = self.key(slot);
                let mut expected = Vec::new();
                self.start_keepalive(key, &mut expected);
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

    /// Setting it failed, or the driver reported nothing.
    pub fn not_sent(&mut self, slot: u32, at: Moment) {
        let (round, watch) = (self.round_of(slot), self.rounds.watch_rounds);
        let found = Some(Judgement::NotSent);
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

    /// The outcome of the last check of a slot.
    pub fn judge(&mut self, slot: u32, found: Judgement, at: Moment) {
        self.mark(match found {
            Judgement::Confirmed => "confirmed",
            Judgement::RepeatsSynAck => "a SYN-ACK repeated",
            Judgement::OtherTraffic => "other traffic",
            Judgement::Unacknowledged => "a keepalive unacknowledged",
            Judgement::Unknown => "an unknown outcome",
            Judgement::NotSent => "a keepalive not sent",
            Judgement::HalfOpen => "a keepalive reset",
            Judgement::Closed => "an end that decides nothing",
        });
        self.conns[slot as usize].repeats = found == Judgement::RepeatsSynAck;
        let last = self.rounds.checks.iter_mut().rev().find(|check| check.slot == slot);
        if let Some(last) = last {
            self.rounds.finds += 1;
            (last.found, last.found_at, last.order) = (Some(found), at, self.rounds.finds);
        }
    }

    /// The counts of a round; of watch rounds, the latest.
    pub fn round_stats(&self, round: Round) -> RoundStats {
        let watch = self.rounds.watch_rounds;
        let all = || {
            let checks = self.rounds.checks.iter().filter(move |check| check.round == round);
            checks.filter(move |check| round != Round::Watch || check.watch == watch)
        };
        let count = |found| all().filter(|check| check.found == found).count() as u64;
        let is_first = round == Round::First && !self.holds_beside();
        let unneeded = |conn: &&Conn| is_first && conn.is_unneeded;
        RoundStats {
            sent: all().filter(|check| check.sent_at.is_some()).count() as u64,
            not_sent: count(Some(Judgement::NotSent)),
            unneeded: self.conns.iter().filter(unneeded).count() as u64,
            confirmed: count(Some(Judgement::Confirmed)),
            repeats_syn_ack: count(Some(Judgement::RepeatsSynAck)),
            other_traffic: count(Some(Judgement::OtherTraffic)),
            unacknowledged: count(Some(Judgement::Unacknowledged)),
            unknown: count(Some(Judgement::Unknown)),
            half_open: count(Some(Judgement::HalfOpen)),
            closed: count(Some(Judgement::Closed)),
            pending: count(None),
            first_at: all().find_map(|check| check.sent_at),
            last_at: all().rev().find_map(|check| check.sent_at),
            last_confirmed_at: all()
                .filter(|check| check.found == Some(Judgement::Confirmed))
                .max_by_key(|check| check.order)
                .map(|check| check.found_at),
        }
    }

    /// The outcome of a pending keepalive when the connection ends.
    pub fn judgement_of_end(reason: EndReason) -> Judgement {
        match reason {
            EndReason::HalfOpen => Judgement::HalfOpen,
            EndReason::PeerClosed => Judgement::Confirmed,
            EndReason::Lost => Judgement::Unacknowledged,
            _ => Judgement::Closed,
        }
    }
}
