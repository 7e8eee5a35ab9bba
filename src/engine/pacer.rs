//! When the next dial is due.

use crate::plan::Pace;
use crate::units::{Moment, Span, low_32};

/// The schedule: dial `i` is due at start + i × sleep, moved by pauses, and caught up at no more
/// than twice the pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacer {
    pace: Pace,
    dials: u64,
    taken: u64,
    start: Moment,
    /// By how much pauses have moved the schedule so far.
    shift: Span,
    /// No dial before this: half a step after the last one.
    not_before: Moment,
}

impl Pacer {
    /// A schedule of `dials` dials, the first of them due at `start`.
    pub fn new(pace: Pace, dials: u64, start: Moment) -> Pacer {
        Pacer { pace, dials, taken: 0, start, shift: Span::ZERO, not_before: start }
    }

    /// The number of dials taken so far, which is also the index of the next one.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether there is a schedule at all.
    pub fn is_paced(&self) -> bool {
        self.pace.is_paced()
    }

    /// When dial `index` is due by the schedule as it stands.
    pub fn scheduled(&self, index: u64) -> Moment {
        self.start + self.pace.offset(index) + self.shift
    }

    /// When the next dial is due by the schedule as it stands.
    pub fn next_scheduled(&self) -> Moment {
        self.scheduled(self.taken)
    }

    /// How many dials the pace makes due by `at`, those of pauses included.
    pub fn due_by(&self, at: Moment) -> u64 {
        self.pace.dials_within(at.since(self.start))
    }

    /// When the next dial may start; `None` once all are taken.
    pub fn next_due(&self) -> Option<Moment> {
        let next = self.next_scheduled().max(self.not_before);
        (self.taken < self.dials).then_some(next)
    }

    /// Takes the next dial, if it is due by `now`, and returns its index (its lower 32 bits).
    pub fn take(&mut self, now: Moment) -> Option<u32> {
        if self.next_due()? > now {
            return None;
        }
        let index = low_32(self.taken);
        self.taken += 1;
        self.not_before = now + Span(self.pace.offset(1u32).0 / 2);
        Some(index)
    }

    /// Moves the rest of the schedule by a time in which nothing could be dialed.
    pub fn postpone(&mut self, pause: Span) {
        self.shift = self.shift + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(1_000_000);

    fn every_10_ms() -> Pacer {
        Pacer::new(Pace::sleep(Span::from_ms(10)), 5, START)
    }

    #[test]
    fn dials_are_due_by_the_schedule_however_late_the_one_before_was() {
        let mut pacer = every_10_ms();
        assert_eq!(pacer.take(START), Some(0));
        assert_eq!(pacer.take(START + Span::from_ms(9)), None);
        assert_eq!(pacer.take(START + Span::from_ms(14)), Some(1));
        assert_eq!(pacer.next_due(), Some(START + Span::from_ms(20)));
    }

    #[test]
    fn late_dials_catch_up_at_twice_the_pace() {
        let mut pacer = every_10_ms();
        let late = START + Span::from_ms(40);
        assert_eq!(pacer.take(late), Some(0));
        assert_eq!(pacer.take(late), None);
        for index in 1..5 {
            assert_eq!(pacer.take(pacer.next_due().unwrap()), Some(index));
        }
        assert_eq!(pacer.not_before, late + Span::from_ms(4 * 5 + 5));
        assert_eq!(pacer.next_due(), None);
    }

    #[test]
    fn a_pause_moves_the_rest_of_the_schedule() {
        let mut pacer = every_10_ms();
        pacer.take(START);
        pacer.postpone(Span::from_s(3));
        assert_eq!(pacer.next_due(), Some(START + Span::from_ms(3_010)));
    }

    #[test]
    fn without_a_pace_every_dial_is_due_at_once() {
        let mut pacer = Pacer::new(Pace::UNPACED, 3, START);
        assert_eq!([pacer.take(START), pacer.take(START), pacer.take(START)], [0, 1, 2].map(Some));
        assert_eq!(pacer.take(START), None);
    }
}
