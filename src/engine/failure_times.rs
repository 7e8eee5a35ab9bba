//! When each end reason occurred first and last, and how long it took, kept as the run goes on. Its
//! distribution over the dials is read from the table at the end (`analysis/`).

use super::connection::EndReason;
use super::histogram::Codes;
use crate::units::{Moment, Span};

/// A dial that took this long had its SYN or the SYN-ACK lost: the kernel then retransmits its SYN.
/// Source: RFC 6298, 2.1; `TCP_TIMEOUT_INIT` of net/tcp.h.
pub const SLOW_DIAL_MIN: Span = Span::from_s(1);

/// When one end reason occurred.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailureTimes {
    seen: Option<(Moment, Moment)>,
    min: Option<Span>,
    max: Span,
    times: Codes,
}

impl FailureTimes {
    /// One more, dated `at`, which took `after`.
    pub fn add(&mut self, at: Moment, after: Span) {
        self.add_untimed(at);
        self.min = Some(self.min.map_or(after, |min| min.min(after)));
        self.max = self.max.max(after);
        self.times.record_span(after);
    }

    /// One more that was skipped, and so took no time.
    pub fn add_untimed(&mut self, at: Moment) {
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
    }

    /// Of `count` of them; `None` if there was none. O(buckets).
    pub fn summarize(&self, count: u64) -> Option<Failures> {
        let (first, last) = self.seen?;
        let min = self.min.unwrap_or_default();
        let p50 = self.times.quantile(500).clamp(min, self.max);
        Some(Failures { count, first, last, min, p50, max: self.max })
    }
}

/// One end reason in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    pub count: u64,
    /// Dials by their SYN, connections by their end.
    pub first: Moment,
    pub last: Moment,
    /// From the dial to the error, or from the establishment to the close; without skipped dials,
    /// and zero if there were no others.
    pub min: Span,
    pub p50: Span,
    pub max: Span,
}

/// Dials of a second and more, and their retransmissions by TCP_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slow {
    /// Failed ones included.
    pub dials: u64,
    pub failed: u64,
    /// Of these: with a SYN retransmitted.
    pub retransmitted: u64,
    /// How many retransmissions, and how many of these of dials that failed.
    pub repeats: u64,
    pub failed_repeats: u64,
}

impl Slow {
    pub fn add(&mut self, has_failed: bool) {
        self.dials += 1;
        self.failed += u64::from(has_failed);
    }

    /// The number of SYN retransmissions of one of them.
    pub fn add_repeats(&mut self, repeats: u32, has_failed: bool) {
        self.retransmitted += u64::from(repeats > 0);
        self.repeats += u64::from(repeats);
        self.failed_repeats += if has_failed { u64::from(repeats) } else { 0 };
    }

    /// How many were established.
    pub fn through(&self) -> u64 {
        self.dials - self.failed
    }
}

/// One for each end reason.
pub fn failure_times() -> Box<[FailureTimes]> {
    EndReason::ALL.map(|_| FailureTimes::default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_dial_counts_and_has_no_time() {
        let at = |ms| Moment(0) + Span::from_ms(ms);
        let mut times = FailureTimes::default();
        times.add(at(10), Span::from_ms(4));
        for ms in [15, 16, 17] {
            times.add_untimed(at(ms));
        }
        let found = times.summarize(4).unwrap();
        assert_eq!((found.count, found.first, found.last), (4, at(10), at(17)));
        assert_eq!([found.min, found.p50, found.max], [Span::from_ms(4); 3]);

        let mut skipped = FailureTimes::default();
        assert_eq!(skipped.summarize(0), None);
        skipped.add_untimed(at(3));
        let found = skipped.summarize(1).unwrap();
        assert_eq!((found.first, found.last), (at(3), at(3)));
        assert_eq!([found.min, found.p50, found.max], [Span::ZERO; 3]);
    }
}
