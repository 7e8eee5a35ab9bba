//! The stamps of readiness: when what a poll returned late has happened, as far as the kernel
//! recorded it.
//!
//! The driver's half of the rule in `gaps.rs`: after a gap all readiness is stamped with the gap's
//! end, until a batch is not full; but a SYN-ACK and a FIN set `tcpi_last_ack_recv`, to the kernel's tick
//! (1 to 10 ms), and so have a date. A RST or an ICMP error has none.
//!
//! Outside of gaps one FIN in `SAMPLE_EVERY` is dated as well: if its readiness has waited in the
//! kernel although the loop was polling, that is a gap, too.

use super::event::TcpInfo;
use super::gaps::GAP_MIN;
use crate::units::{Moment, Span};

/// How often a FIN is dated outside of gaps, at most.
const SAMPLE_EVERY: Span = Span::from_ms(10);

/// A gap with readiness still to be read.
#[derive(Debug, Clone, Copy)]
struct AfterGap {
    since: Moment,
    to: Moment,
    /// Batches read since.
    batches: u32,
}

/// See the module's page; used by the driver and the simulation alike.
#[derive(Debug)]
pub struct Dating {
    after: Option<AfterGap>,
    sample_due: Moment,
    /// After this number of batches every connection has been in one.
    batches_max: u32,
}

impl Dating {
    pub fn new(batches_max: u32) -> Dating {
        Dating { after: None, sample_due: Moment(0), batches_max }
    }

    /// The poll that returned at `to` is the first one since `since`.
    pub fn begin_gap(&mut self, since: Moment, to: Moment) {
        self.after = Some(AfterGap { since, to, batches: 0 });
    }

    /// Whether readiness may have waited in a gap.
    pub fn is_after_gap(&self) -> bool {
        self.after.is_some()
    }

    /// A batch has been read.
    pub fn end_batch(&mut self, is_full: bool) {
        if let Some(after) = &mut self.after {
            after.batches += 1;
            if !is_full || after.batches > self.batches_max {
                self.after = None;
            }
        }
    }

    /// The stamp of readiness that a poll returned at `now`, of a connection that has been in its
    /// state since `began`.
    pub fn undated(&self, now: Moment, began: Moment) -> Moment {
        match self.after {
            // What began after the gap cannot have changed in it.
            Some(AfterGap { to, .. }) if began <= to => to,
            _ => now,
        }
    }

    /// The same of a dial that succeeded; `date` is that of its SYN-ACK, called only if needed.
    pub fn opened(
        &self,
        now: Moment,
        began: Moment,
        date: impl FnOnce() -> Option<Moment>,
    ) -> Moment {
        let at = self.undated(now, began);
        match self.after {
            Some(after) if at == after.to => date().map_or(at, |date| after.within(date, began)),
            _ => at,
        }
    }

    /// The same of a connection that its peer closed; `date` is that of the FIN, called only if
    /// needed. Also returns the beginning of a gap that the date reveals.
    pub fn closed(
        &mut self,
        now: Moment,
        began: Moment,
        date: impl FnOnce() -> Option<Moment>,
    ) -> (Moment, Option<Moment>) {
        let at = self.undated(now, began);
        match self.after {
            Some(after) if at == after.to => {
                (date().map_or(at, |date| after.within(date, began)), None)
            }
            None if self.sample_due <= now => {
                self.sample_due = now + SAMPLE_EVERY;
                let since = date().unwrap_or(now).max(began);
                if now.since(since) <= GAP_MIN {
                    return (now, None);
                }
                self.begin_gap(since, now);
                (since, Some(since))
            }
            _ => (at, None),
        }
    }
}

/// When the newest segment with an acknowledgement came, by TCP_INFO read at `now`.
pub fn date_of_last(info: &TcpInfo, now: Moment) -> Option<Moment> {
    let ago = info.last_ack_recv?;
    Some(Moment(now.0.saturating_sub(ago.0)))
}

/// When the SYN-ACK came, if nothing else did.
pub fn date_of_syn_ack(info: &TcpInfo, now: Moment) -> Option<Moment> {
    date_of_last(info, now).filter(|_| info.segs_in == Some(1))
}

impl AfterGap {
    /// A date as an exact stamp: neither before the gap, where the poll before it would have returned
    /// it, nor at its end, unless the state began only then.
    fn within(&self, date: Moment, began: Moment) -> Moment {
        let last = Moment(self.to.0 - 1);
        let date = date.max(self.since).min(last).max(began);
        date.min(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment(0) + Span::from_ms(ms)
    }

    #[test]
    fn after_a_gap_all_is_stamped_with_its_end_until_a_batch_is_not_full() {
        let mut dating = Dating::new(3);
        assert_eq!(dating.undated(ms(5), ms(1)), ms(5));
        dating.begin_gap(ms(10), ms(500));
        assert_eq!(dating.undated(ms(500), ms(1)), ms(500));
        dating.end_batch(true);
        assert_eq!(dating.undated(ms(502), ms(1)), ms(500));
        assert_eq!(dating.undated(ms(502), ms(501)), ms(502), "dialed after the gap");
        dating.end_batch(false);
        assert_eq!(dating.undated(ms(503), ms(1)), ms(503));
    }

    #[test]
    fn batches_that_are_always_full_end_it_once_every_connection_had_a_turn() {
        let mut dating = Dating::new(3);
        dating.begin_gap(ms(10), ms(500));
        for batch in 0..4 {
            assert_eq!(dating.undated(ms(501 + batch), ms(1)), ms(500));
            dating.end_batch(true);
        }
        assert_eq!(dating.undated(ms(505), ms(1)), ms(505));
    }

    #[test]
    fn a_date_stays_within_its_gap_and_is_never_its_end() {
        let gap = AfterGap { since: ms(100), to: ms(500), batches: 0 };
        let last = Moment(ms(500).0 - 1);
        for (date, began, stamp) in [
            (ms(300), ms(1), ms(300)),
            (ms(99), ms(1), ms(100)),
            (ms(501), ms(1), last),
            (ms(500), ms(1), last),
            (ms(300), ms(350), ms(350)),
            (ms(300), ms(500), ms(500)),
        ] {
            assert_eq!(gap.within(date, began), stamp);
        }
    }

    #[test]
    fn a_syn_ack_has_a_date_and_a_fin_that_came_long_ago_reveals_a_gap() {
        let info = TcpInfo {
            last_ack_recv: Some(Span::from_ms(150)),
            segs_in: Some(1),
            ..TcpInfo::default()
        };
        assert_eq!(date_of_syn_ack(&info, ms(700)), Some(ms(550)));
        assert_eq!(date_of_syn_ack(&TcpInfo { segs_in: Some(2), ..info }, ms(700)), None);
        assert_eq!(date_of_last(&TcpInfo::default(), ms(700)), None);

        let mut dating = Dating::new(3);
        assert_eq!(dating.closed(ms(700), ms(1), || Some(ms(600))), (ms(700), None));
        let not_due = || unreachable!("one in 10 ms is dated");
        assert_eq!(dating.closed(ms(709), ms(1), not_due), (ms(709), None));
        let (at, since) = dating.closed(ms(710), ms(1), || Some(ms(609)));
        assert_eq!((at, since), (ms(609), Some(ms(609))));
        assert_eq!(dating.opened(ms(710), ms(1), || None), ms(710));
        assert_eq!(dating.opened(ms(710), ms(1), || Some(ms(650))), ms(650));
        assert_eq!(dating.closed(ms(710), ms(1), || Some(ms(620))), (ms(620), None));
        dating.end_batch(false);
        let outside = || unreachable!("outside of a gap a dial that succeeds is not dated");
        assert_eq!(dating.opened(ms(711), ms(1), outside), ms(711));
    }
}
