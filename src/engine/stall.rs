//! Dials that stall: no reply for long enough that their timeouts need not be waited for.

use super::State;
use super::connection::Table;
use crate::units::{Moment, Span};

/// A dial of this age has repeated its SYN twice, and a reply to the second repeat was due by now:
/// SYNs are repeated after 1 s and 3 s, or after 1 s and 2 s. It counts from the SYN, so that it is
/// the same however late this host looks.
/// Source: RFC 6298, 5.5; `tcp_syn_linear_timeouts` of ip-sysctl (Linux 6.5 and later).
pub const STALLED_AFTER: Span = Span::from_ms(3_500);

/// The most dials that one turn looks at: as they are dialed one after the other, it is behind only
/// after a gap.
const LOOKS_MAX: u32 = 4_096;

/// How many dials have stalled since a dial was last established. Dials are looked at once each, in
/// the order of their SYNs; a run without `--max-errors` looks at none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// The count at which the run ends.
    most: Option<u64>,
    /// The slots dialed so far are those below.
    dialed: u32,
    /// The first slot that was dialed after the last success.
    first: u32,
    /// The first slot that has not been looked at.
    next: u32,
    count: u32,
    /// When the dial of `next` will have stalled.
    due: Option<Moment>,
}

impl Stalled {
    pub fn new(most: Option<u64>) -> Stalled {
        Stalled { most, dialed: 0, first: 0, next: 0, count: 0, due: None }
    }

    /// The next slot was dialed, or skipped.
    pub fn dialed(&mut self) {
        // Dials are counted by slot, and of a run that churns none is.
        self.dialed = self.dialed.wrapping_add(1);
    }

    /// A dial was established: none that was dialed before counts any more.
    pub fn opened(&mut self) {
        (self.first, self.next, self.count) = (self.dialed, self.dialed, 0);
    }

    /// The dial of `slot` failed.
    pub fn failed(&mut self, slot: u32) {
        // Where it had been looked at it was pending, so it was counted.
        if (self.first..self.next).contains(&slot) {
            self.count -= 1;
        }
    }

    /// Counts the dials that have stalled by `now`.
    pub fn advance(&mut self, table: &Table, now: Moment) {
        if self.most.is_none() {
            return;
        }
        self.due = None;
        for _ in 0..LOOKS_MAX {
            if self.next >= self.dialed {
                return;
            }
            let connection = table.of(self.next);
            match connection.state {
                // A driver that reported a later slot first.
                State::NotInitiated => return,
                State::Dialing => {
                    let due = connection.since + STALLED_AFTER;
                    if due > now {
                        self.due = Some(due);
                        return;
                    }
                    self.count += 1;
                }
                _ => {}
            }
            self.next += 1;
        }
        self.due = Some(now);
    }

    /// Whether their count has reached `--max-errors`.
    pub fn has_max(&self) -> bool {
        self.most.is_some_and(|most| u64::from(self.count) >= most)
    }

    /// When there may be one more.
    pub fn next_due(&self) -> Option<Moment> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(7_000_000_000);

    fn at(ms: u64) -> Moment {
        START + Span::from_ms(ms)
    }

    /// Dials every 100 ms, all of them pending.
    fn pending(count: u32, most: Option<u64>) -> (Table, Stalled) {
        let (mut table, mut stalled) = (Table::new(count).unwrap(), Stalled::new(most));
        for slot in 0..count {
            table.step(slot, State::Dialing, at(100 * u64::from(slot)), None);
            stalled.dialed();
        }
        (table, stalled)
    }

    #[test]
    fn dials_stall_in_the_order_of_their_syns() {
        let (table, mut stalled) = pending(5, Some(3));
        stalled.advance(&table, at(3_499));
        assert_eq!((stalled.count, stalled.next_due()), (0, Some(at(3_500))));
        stalled.advance(&table, at(3_500));
        assert_eq!((stalled.count, stalled.next_due()), (1, Some(at(3_600))));
        assert!(!stalled.has_max());
        stalled.advance(&table, at(3_700));
        assert!(stalled.has_max());
        stalled.advance(&table, at(9_999));
        assert_eq!((stalled.count, stalled.next_due()), (5, None));
    }

    #[test]
    fn a_success_forgives_all_that_were_dialed_before_it() {
        let ((table, _), mut stalled) = (pending(9, None), Stalled::new(Some(3)));
        (0..6).for_each(|_| stalled.dialed());
        stalled.advance(&table, at(3_600));
        assert_eq!(stalled.count, 2);
        stalled.opened();
        (6..9).for_each(|_| stalled.dialed());
        stalled.advance(&table, at(4_099));
        assert_eq!((stalled.count, stalled.next_due()), (0, Some(at(4_100))));
        // One of those before fails: it does not count, and is not taken off.
        stalled.failed(0);
        stalled.advance(&table, at(4_300));
        assert!(stalled.has_max());
    }

    #[test]
    fn what_has_failed_is_an_error_and_no_stall() {
        use super::super::EndReason::{Refused, TimedOut};
        let (mut table, mut stalled) = pending(4, Some(3));
        table.step(1, State::Error, at(150), Some(Refused));
        stalled.advance(&table, at(3_800));
        assert_eq!(stalled.count, 3);
        table.step(0, State::Error, at(5_000), Some(TimedOut));
        stalled.failed(0);
        assert_eq!(stalled.count, 2);
    }

    #[test]
    fn a_run_without_a_limit_wakes_for_none() {
        let (table, mut stalled) = pending(4, None);
        stalled.advance(&table, at(3_600));
        assert_eq!((stalled.next_due(), stalled.has_max()), (None, false));
    }

    #[test]
    fn after_a_gap_a_turn_looks_at_so_much_and_the_next_one_at_the_rest() {
        let (table, mut stalled) = pending(5_000, Some(5_000));
        let now = at(1_000_000);
        stalled.advance(&table, now);
        assert_eq!((stalled.count, stalled.next_due()), (LOOKS_MAX, Some(now)));
        stalled.advance(&table, now);
        assert!(stalled.has_max());
    }
}
