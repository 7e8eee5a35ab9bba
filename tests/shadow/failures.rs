//! What the shadow has seen go wrong, one by one, and how that is compared with the evidence that
//! the engine gives.

use tcpgoon::engine::failure_times::Failures;
use tcpgoon::engine::{CheckStats, EndReason, Round, State, Summary};
use tcpgoon::units::Span;

use super::records::{Seat, Sighting, Verdict, near};
use super::state::Shadow;

impl Shadow {
    /// Compares the evidence and what asking has found out.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn bear_witness(&self, summary: &Summary) -> Verdict {
        for reason in EndReason::ALL {
            let mine: Vec<Sighting> = self.sightings_of(reason);
            let theirs = summary.failures[reason as usize].as_ref();
            let is_dial = reason.ends_in() == State::Error;
            self.compare(reason.word(), is_dial, &mine, theirs)?;
        }
        self.compare("unanswered", false, &self.misses, summary.unanswered.as_ref())?;
        self.compare_slow(summary)?;
        let checks = self.check_stats();
        check!(summary.checks == checks, "{:?}, and not {checks:?}", summary.checks);
        self.compare_analysis(summary)
    }

    fn sightings_of(&self, reason: EndReason) -> Vec<Sighting> {
        self.sightings.iter().filter(|(of, _)| *of == reason).map(|(_, seen)| *seen).collect()
    }

    /// A dial is dated by its SYN, what became of a connection by its end.
    fn compare(
        &self,
        what: &str,
        is_dial: bool,
        mine: &[Sighting],
        theirs: Option<&Failures>,
    ) -> Verdict {
        check!(theirs.is_some() != mine.is_empty(), "{what}: {theirs:?} of {}", mine.len());
        let Some(theirs) = theirs else { return Ok(()) };
        let dated = || mine.iter().map(|seen| if is_dial { seen.since } else { seen.at });
        let (first, last) = (dated().min(), dated().max());
        check!(theirs.count == mine.len() as u64, "{what}: {theirs:?}, not {}", mine.len());
        let same = (Some(theirs.first), Some(theirs.last)) == (first, last);
        check!(same, "{what}: {theirs:?}, not {first:?}, {last:?}");
        let timed = mine.iter().filter(|seen| seen.is_timed);
        let mut times: Vec<Span> = timed.map(|seen| seen.at.since(seen.since)).collect();
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        let most = times.len().saturating_sub(1);
        let (min, middle, max) = (at(0), at(most / 2), at(most));
        check!(theirs.min == min && theirs.max == max, "{what}: {theirs:?}, not {min} to {max}");
        check!(near(theirs.p50, middle), "{what}: p50 {}, not {middle}", theirs.p50);
        Ok(())
    }

    fn compare_slow(&self, summary: &Summary) -> Verdict {
        let slow = || (0..).zip(&self.seats).filter(|(_, seat)| seat.is_slow);
        let count = slow().count() as u64;
        let theirs = &summary.slow;
        let mine = (count, self.retransmitted, self.repeats);
        let same = mine == (theirs.dials, theirs.retransmitted, theirs.repeats);
        check!(same, "{theirs:?}, and should be {mine:?}");
        let failed = slow().filter(|(_, seat)| seat.opened_at.is_none()).count() as u64;
        check!(failed == theirs.failed, "{theirs:?}, of which {failed} failed");
        Ok(())
    }

    /// Counted from the seats.
    fn check_stats(&self) -> CheckStats {
        let count = |fits: fn(&Seat) -> bool| self.seats.iter().filter(|s| fits(s)).count() as u64;
        CheckStats {
            replied: count(|seat| seat.answered),
            replied_late_read: count(|seat| seat.is_overdue),
            no_reply: count(|seat| seat.unanswered),
            wrong_reply: count(|seat| seat.misheard),
            late_reply: count(|seat| seat.late),
            closed_before_reply: count(|seat| seat.hung_up),
            rounds: Round::ALL.map(|round| self.round_stats(round)),
            watch_rounds: self.rounds.watch_rounds,
            unacknowledged: count(|seat| seat.is_silent) + self.lost,
            repeats_syn_ack: count(|seat| seat.is_repeating),
            suspects: self.suspects_looked_at,
            suspects_half_open: self.suspects_half_open,
            suspects_unacknowledged: self.suspects_unacknowledged,
        }
    }
}
