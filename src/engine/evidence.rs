//! What is known of each thing that went wrong: when it was seen first and last, how full the server
//! was then, how long it took, and what became of the dials after it.

use super::connection::{Cause, State, Table};
use super::histogram::Codes;
use crate::units::{Moment, Span};

/// A dial that took as long had its SYN or the SYN-ACK lost: the kernel repeats its SYN after this.
/// Source: RFC 6298, 2.1; `TCP_TIMEOUT_INIT` of net/tcp.h.
pub const SLOW_DIAL_MIN: Span = Span::from_s(1);

/// The dial that began first, or the connection that was established first, of those that something
/// happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earliest {
    pub at: Moment,
    pub slot: u32,
}

impl Earliest {
    /// The earlier one of the two.
    pub fn merge(known: &mut Option<Earliest>, at: Moment, slot: u32) {
        if known.is_none_or(|known| (at, slot) < (known.at, known.slot)) {
            *known = Some(Earliest { at, slot });
        }
    }
}

/// What has been seen of one cause, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sightings {
    seen: Option<(Moment, Moment)>,
    /// How many were established at the first one.
    established_at_first: u32,
    earliest: Option<Earliest>,
    min: Option<Span>,
    max: Span,
    times: Codes,
}

impl Sightings {
    /// One more: at `at`, with so many established, `after` its dial or its establishment, which
    /// was at `since`.
    pub fn add(&mut self, at: Moment, established: u32, slot: u32, since: Moment) {
        match &mut self.seen {
            Some((_, last)) => *last = (*last).max(at),
            None => {
                self.seen = Some((at, at));
                self.established_at_first = established;
            }
        }
        Earliest::merge(&mut self.earliest, since, slot);
        let after = at.since(since);
        self.min = Some(self.min.map_or(after, |min| min.min(after)));
        self.max = self.max.max(after);
        self.times.record_span(after);
    }

    /// Everything there is to tell; `None` where nothing was seen. O(connections).
    pub fn tell(&self, count: u64, table: &Table) -> Option<Evidence> {
        let (first, last) = self.seen?;
        let p50 = self.times.quantile(500).clamp(self.min.unwrap_or_default(), self.max);
        Some(Evidence {
            count,
            first,
            last,
            established_at_first: self.established_at_first,
            onset: self.earliest.map(|earliest| Onset::of(earliest, table)).unwrap_or_default(),
            min: self.min.unwrap_or_default(),
            p50,
            max: self.max,
        })
    }
}

/// What is known of one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    pub count: u64,
    pub first: Moment,
    pub last: Moment,
    /// How many connections were established when it was first seen.
    pub established_at_first: u32,
    pub onset: Onset,
    /// From the dial to the error, or from the establishment to the close.
    pub min: Span,
    pub p50: Span,
    pub max: Span,
}

/// How things stood when the first dial began, or the first connection was established, that
/// something happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// How many connections dialed before it were established then. When one was established that
    /// was closed later is not known: it counts.
    pub established: u32,
    /// How many dials before it were under way then and were established in less than a second: to
    /// the server they count.
    pub under_way: u32,
    /// Dials after that one, and how many of them were established in less than a second, to within
    /// 0.8%, and are established still.
    pub dials_after: u32,
    pub fine_after: u32,
}

impl Onset {
    /// Goes through the table, in which slots are dialed in their order; O(connections).
    pub fn of(earliest: Earliest, table: &Table) -> Onset {
        let mut onset = Onset::default();
        for (slot, connection) in (0..).zip(table.iter()) {
            let was_established = connection.dial_time.is_some();
            let is_fast = connection.dial_time.is_some_and(|time| time.middle() < SLOW_DIAL_MIN);
            if slot < earliest.slot {
                // Of one that is closed it is not known any more when it was opened.
                let opened =
                    connection.state != State::Established || connection.since <= earliest.at;
                let closed = connection.state == State::Closed && connection.since <= earliest.at;
                onset.established += u32::from(was_established && opened && !closed);
                onset.under_way += u32::from(is_fast && !opened);
            } else if slot > earliest.slot && connection.state != State::NotInitiated {
                onset.dials_after += 1;
                onset.fine_after += u32::from(is_fast && connection.state == State::Established);
            }
        }
        onset
    }
}

/// Dials of a second and more, and what the kernel says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slow {
    /// How many there were, failed ones included.
    pub dials: u64,
    /// Of these: the kernel had repeated a SYN.
    pub retransmitted: u64,
    /// How many repeats these were.
    pub repeats: u64,
    pub earliest: Option<Earliest>,
}

/// One place for each cause.
pub fn sightings() -> Box<[Sightings]> {
    Cause::ALL.map(|_| Sightings::default()).into()
}
