//! When a hold checks its connections again, and which of them.
//!
//! A keepalive refreshes the state of every NAT and firewall on the path. So a tenth of the sample
//! is checked once a minute, to watch the path; the rest stays idle from its first check to the end,
//! and shows whether idle state expires. The last round begins a second before the end of
//! the hold, and the run waits for it. A round does not begin while any check is pending: if
//! first ones still are when the hold ends, they are the last ones, too.

use super::check_stats::Round;
use crate::plan::{Hold, Plan, SAMPLE_HOLD_MIN};
use crate::units::{Moment, Span};

/// From one round of watching to the next.
pub const WATCH_EVERY: Span = Span::from_s(60);

/// From the last round to the end of the hold.
pub const LAST_BEFORE: Span = Span::from_s(1);

/// One slot of this number in the sample watches the path.
pub const WATCH_ONE_OF: u32 = 10;

/// The longest that a round of watching takes: none begins later than this before the last round.
const ROUND_TAKES: Span = Span::from_s(5);

/// The rounds of a run; O(1) a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    connections: u32,
    /// One slot of this number is in the sample; 0: none.
    stride: u32,
    /// Each slot is checked again by itself: there are no rounds, and all counts are of one.
    repeats: bool,
    /// The round after the first one that has begun, if any has.
    later: Option<Round>,
    /// The number of the minute at which the latest round of watching began; 0 before any.
    beat: u32,
    /// The next slot of the round in progress.
    cursor: Option<u32>,
    /// No more rounds: the last one has begun, or first checks were still pending.
    is_last_begun: bool,
}

impl Rounds {
    pub fn new(plan: &Plan) -> Rounds {
        let (connections, stride) = (plan.connections, plan.probe.stride(plan.connections));
        let repeats = plan.hold_beside > 0;
        let (later, cursor) = (None, None);
        Rounds { connections, stride, repeats, later, beat: 0, cursor, is_last_begun: false }
    }

    /// Whether a slot is in the sample.
    pub fn is_sampled(&self, slot: u32) -> bool {
        self.stride > 0 && slot.is_multiple_of(self.stride)
    }

    fn is_watch(&self, slot: u32) -> bool {
        slot.is_multiple_of(self.stride.saturating_mul(WATCH_ONE_OF).max(1))
    }

    /// The round that a slot's check belongs to. In the last one those that watched watch again.
    pub fn round_of(&self, slot: u32) -> Round {
        match self.later {
            None if self.repeats => Round::Watch,
            None => Round::First,
            Some(Round::Last) if self.beat > 0 && self.is_watch(slot) => Round::Watch,
            Some(round) => round,
        }
    }

    /// Whether any round after the first one has begun.
    pub fn has_later(&self) -> bool {
        self.later.is_some()
    }

    pub fn is_last_begun(&self) -> bool {
        self.is_last_begun
    }

    /// Whether the round in progress has slots left.
    pub fn is_in_progress(&self) -> bool {
        self.cursor.is_some()
    }

    /// Begins a round if one is due. Returns [`Round::Watch`] also for the last one if connections
    /// were watched before: it checks these, too.
    pub fn begin(
        &mut self,
        now: Moment,
        decided: Option<Moment>,
        hold: Hold,
        is_busy: bool,
    ) -> Option<Round> {
        let decided = decided.filter(|_| self.may_begin())?;
        let last = last_due(decided, hold);
        if is_busy {
            let is_held = last.is_some_and(|last| last + LAST_BEFORE <= now);
            self.is_last_begun = is_held;
            return None;
        }
        if last.is_some_and(|last| last <= now) {
            (self.later, self.cursor, self.is_last_begun) = (Some(Round::Last), Some(0), true);
            self.beat += u32::from(self.beat > 0);
            return Some(if self.beat > 0 { Round::Watch } else { Round::Last });
        }
        if self.watch_due(decided, hold)? > now {
            return None;
        }
        (self.later, self.cursor) = (Some(Round::Watch), Some(0));
        // Rounds that were missed are not made up for.
        let beats = now.since(decided).0 / WATCH_EVERY.0;
        self.beat = u32::try_from(beats).unwrap_or(u32::MAX);
        Some(Round::Watch)
    }

    fn may_begin(&self) -> bool {
        self.stride > 0 && !self.repeats && !self.is_last_begun && self.cursor.is_none()
    }

    /// When the next round of watching is due, if there is one.
    fn watch_due(&self, decided: Moment, hold: Hold) -> Option<Moment> {
        let beats = u64::from(self.beat) + 1;
        let due = decided + Span(WATCH_EVERY.0.saturating_mul(beats));
        match hold {
            Hold::Forever => Some(due),
            Hold::For(_) => {
                last_due(decided, hold).filter(|last| due + ROUND_TAKES <= *last).map(|_| due)
            }
        }
    }

    /// The next slot to check; `None` at the end of the round.
    pub fn next(&mut self) -> Option<u32> {
        let slot = self.cursor?;
        let each = if self.is_last_begun { 1 } else { WATCH_ONE_OF };
        let next = slot.saturating_add(self.stride.saturating_mul(each));
        self.cursor = Some(next).filter(|next| *next < self.connections);
        Some(slot)
    }

    /// When there is something to do: a round to begin, or slots to check.
    pub fn next_due(
        &self,
        now: Moment,
        decided: Option<Moment>,
        hold: Hold,
        is_busy: bool,
    ) -> Option<Moment> {
        if self.cursor.is_some() {
            return Some(now);
        }
        let decided = decided.filter(|_| self.may_begin() && !is_busy)?;
        let dues = [last_due(decided, hold), self.watch_due(decided, hold)];
        dues.into_iter().flatten().min()
    }
}

/// When the last round is due; a hold that is too short for a sample has none.
fn last_due(decided: Moment, hold: Hold) -> Option<Moment> {
    match hold {
        Hold::For(span) if span >= SAMPLE_HOLD_MIN => Some(decided + Span(span.0 - LAST_BEFORE.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Probe;
    use crate::route::{Routes, Target};

    const DECIDED: Moment = Moment(7);

    fn rounds(connections: u32, probe: Probe) -> Rounds {
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        Rounds::new(&Plan { probe, ..Plan::plain(connections, routes) })
    }

    fn checked(rounds: &mut Rounds) -> Vec<u32> {
        std::iter::from_fn(|| rounds.next()).collect()
    }

    /// What begins `at` after the last dial was decided.
    fn begin(rounds: &mut Rounds, at: Span, hold: Hold) -> Option<Round> {
        rounds.begin(DECIDED + at, Some(DECIDED), hold, false)
    }

    #[test]
    fn a_short_hold_checks_all_once_more_a_second_before_its_end() {
        let hold = Hold::For(Span::from_s(15));
        let mut rounds = rounds(30, Probe::All);
        let due = DECIDED + Span::from_s(14);
        assert_eq!(rounds.next_due(DECIDED, Some(DECIDED), hold, false), Some(due));
        assert_eq!(begin(&mut rounds, Span::from_ms(13_999), hold), None);
        assert_eq!(begin(&mut rounds, Span::from_s(14), hold), Some(Round::Last));
        assert_eq!(checked(&mut rounds), (0..30).collect::<Vec<u32>>());
        assert_eq!([0, 1].map(|slot| rounds.round_of(slot)), [Round::Last; 2]);
        assert_eq!(begin(&mut rounds, Span::from_s(15), hold), None);
        assert_eq!(rounds.next_due(due, Some(DECIDED), hold, false), None);
    }

    #[test]
    fn a_tenth_watches_once_a_minute_and_the_rest_stays_idle_to_the_end() {
        let hold = Hold::For(Span::from_s(150));
        let mut rounds = rounds(35, Probe::All);
        for beat in [60, 120] {
            assert_eq!(begin(&mut rounds, Span::from_s(beat - 1), hold), None);
            assert_eq!(begin(&mut rounds, Span::from_s(beat), hold), Some(Round::Watch));
            assert_eq!(checked(&mut rounds), [0, 10, 20, 30]);
            assert_eq!(rounds.round_of(10), Round::Watch);
        }
        assert_eq!(begin(&mut rounds, Span::from_s(149), hold), Some(Round::Watch));
        assert_eq!(checked(&mut rounds).len(), 35);
        assert_eq!(
            [0, 9, 10].map(|slot| rounds.round_of(slot)),
            [Round::Watch, Round::Last, Round::Watch]
        );
    }

    #[test]
    fn one_of_a_small_sample_watches_and_an_endless_hold_does_nothing_else() {
        let mut rounds = rounds(3, Probe::Sample);
        assert_eq!(begin(&mut rounds, Span::from_s(3_600), Hold::Forever), Some(Round::Watch));
        assert_eq!(checked(&mut rounds), [0]);
        assert_eq!(begin(&mut rounds, Span::from_s(3_659), Hold::Forever), None);
        assert_eq!(begin(&mut rounds, Span::from_s(3_660), Hold::Forever), Some(Round::Watch));
    }

    #[test]
    fn first_checks_that_are_pending_at_the_end_are_the_last_ones() {
        let hold = Hold::For(Span::from_s(3));
        let mut rounds = rounds(3, Probe::All);
        let at = DECIDED + Span::from_s(3);
        assert_eq!(rounds.begin(at, Some(DECIDED), hold, true), None);
        assert!(rounds.is_last_begun());
        assert_eq!(begin(&mut rounds, Span::from_s(4), hold), None);
        assert_eq!(rounds.round_of(0), Round::First);
    }

    #[test]
    fn without_a_sample_or_in_a_short_hold_there_are_no_rounds() {
        let long = Hold::For(Span::from_s(1_000));
        assert_eq!(begin(&mut rounds(3, Probe::None), Span::from_s(999), long), None);
        let short = Hold::For(Span::from_ms(1_999));
        assert_eq!(begin(&mut rounds(3, Probe::All), Span::from_s(999), short), None);
    }
}
