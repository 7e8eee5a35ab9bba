//! Which reads of TCP_INFO have no result yet. A result that was not requested in the turn before,
//! or comes twice, is ignored.

use std::collections::VecDeque;

use super::connection::Key;
use super::event::{Action, TcpInfoPurpose};
use super::histogram::Code;
use crate::plan::Budgets;
use crate::units::{Moment, Span};

/// The kernel's own RTT is read once in this time, at most.
const RTT_EVERY: Span = Span::from_ms(10);

/// Reads of two turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTcpInfo {
    /// Those of the turn before without a result, then those of this turn.
    reads: VecDeque<(Key, TcpInfoPurpose, Option<Code>)>,
    /// How many are of the turn before.
    open: usize,
    rtt_due: Moment,
}

impl PendingTcpInfo {
    /// Room for the most reads of a turn: one for each event and each expiry.
    pub fn new(budgets: &Budgets) -> PendingTcpInfo {
        let reads_max = budgets.turn_events_max() + budgets.expiries_max as usize;
        let reads = VecDeque::with_capacity(2 * reads_max);
        PendingTcpInfo { reads, open: 0, rtt_due: Moment(0) }
    }

    /// Results of the turn before the last one are not accepted any more.
    pub fn begin_turn(&mut self) {
        if self.open > 0 {
            self.reads.drain(..self.open);
        }
        self.open = self.reads.len();
    }

    /// Takes a read that now has its result, if there was one, with the dial time of its connection:
    /// by now the slot may be dialing again. Results come in the order of the reads, so that each
    /// costs O(1).
    pub fn take(&mut self, key: Key, purpose: TcpInfoPurpose) -> Option<Option<Code>> {
        let is_it = |read: &(Key, TcpInfoPurpose, _)| (read.0, read.1) == (key, purpose);
        let index = self.reads.iter().take(self.open).position(is_it)?;
        self.open -= 1;
        self.reads.remove(index).map(|(_, _, dial_time)| dial_time)
    }

    /// Requests a read of a connection with this dial time; `None`: its dial failed.
    pub fn read(
        &mut self,
        key: Key,
        dial_time: Option<Code>,
        purpose: TcpInfoPurpose,
        actions: &mut Vec<Action>,
    ) {
        self.reads.push_back((key, purpose, dial_time));
        actions.push(Action::ReadTcpInfo(key, purpose));
    }

    /// Whether the RTT is to be read of a connection that opened at `at`; then the next is not due
    /// for a while.
    pub fn is_rtt_due(&mut self, at: Moment) -> bool {
        let is_due = self.rtt_due <= at;
        if is_due {
            self.rtt_due = at + RTT_EVERY;
        }
        is_due
    }
}
