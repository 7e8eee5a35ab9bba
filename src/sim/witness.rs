//! What the shadow has seen go wrong, one by one, and how that is compared with the evidence that
//! the engine gives.

use super::reckoning::{Seat, near};
use super::shadow::{Shadow, Verdict, check};
use crate::engine::evidence::{Evidence, Onset};
use crate::engine::inquiry::Findings;
use crate::engine::{Cause, State, Summary};
use crate::units::{Moment, Span};

/// One thing that went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    pub at: Moment,
    /// How many were established.
    pub level: u32,
    /// When its dial began, or its connection was established.
    pub since: Moment,
    pub slot: u32,
}

impl Shadow {
    /// Compares the evidence and what asking has found out.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn bear_witness(&self, summary: &Summary) -> Verdict {
        for cause in Cause::ALL {
            let mine: Vec<Sighting> = self.sightings_of(cause);
            self.compare(cause.word(), &mine, summary.evidence[cause as usize])?;
        }
        self.compare("unanswered", &self.misses, summary.unanswered)?;
        self.compare_slow(summary)?;
        let findings = self.findings();
        check!(summary.findings == findings, "{:?}, and not {findings:?}", summary.findings);
        Ok(())
    }

    fn sightings_of(&self, cause: Cause) -> Vec<Sighting> {
        self.sightings.iter().filter(|(of, _)| *of == cause).map(|(_, seen)| *seen).collect()
    }

    fn compare(&self, what: &str, mine: &[Sighting], theirs: Option<Evidence>) -> Verdict {
        check!(theirs.is_some() != mine.is_empty(), "{what}: {theirs:?} of {}", mine.len());
        let (Some(theirs), Some(first), Some(last)) = (theirs, mine.first(), mine.last()) else {
            return Ok(());
        };
        check!(theirs.count == mine.len() as u64, "{what}: {theirs:?}, not {}", mine.len());
        check!(theirs.first == first.at && theirs.last == last.at, "{what}: {first:?}, {last:?}");
        let level = theirs.established_at_first;
        check!(level == first.level, "{what}: {level} established, not {}", first.level);
        let mut times: Vec<Span> = mine.iter().map(|seen| seen.at.since(seen.since)).collect();
        times.sort();
        let (min, max) = (times[0], times[times.len() - 1]);
        let middle = times[(times.len() - 1) / 2];
        check!(theirs.min == min && theirs.max == max, "{what}: {theirs:?}, not {min} to {max}");
        check!(near(theirs.p50, middle), "{what}: p50 {}, not {middle}", theirs.p50);
        let earliest = mine.iter().map(|seen| (seen.since, seen.slot)).min();
        let (since, slot) = earliest.unwrap_or_default();
        self.compare_onset(what, since, slot, theirs.onset)
    }

    /// How things stood at `since`, when that became of `slot` which something happened to later.
    fn compare_onset(&self, what: &str, since: Moment, slot: u32, theirs: Onset) -> Verdict {
        let (before, after) = self.seats.split_at(slot as usize);
        let established = |seat: &&Seat| match seat.state {
            State::Established => seat.since <= since,
            // For how long nobody remembers.
            State::Closed => seat.since > since,
            _ => false,
        };
        let dialed = |seat: &&Seat| seat.state != State::NotInitiated;
        let established = before.iter().filter(established).count();
        let dialed = after.iter().skip(1).filter(dialed).count();
        let fine = |within: Span| {
            let open = after.iter().skip(1).filter(|seat| seat.state == State::Established);
            open.filter(|seat| seat.took.is_some_and(|took| took < within)).count()
        };
        // At the very second it may go either way.
        let fine = fine(Span::from_ms(992))..=fine(Span::from_ms(1_008));
        let counts = (theirs.established as usize, theirs.dials_after as usize);
        let same = counts == (established, dialed) && fine.contains(&(theirs.fine_after as usize));
        check!(same, "{what}: {theirs:?}, and should be {established}, {dialed}, {fine:?}");
        Ok(())
    }

    fn compare_slow(&self, summary: &Summary) -> Verdict {
        let slow = || (0..).zip(&self.seats).filter(|(_, seat)| seat.is_slow);
        let count = slow().count() as u64;
        let theirs = summary.slow;
        let mine = (count, self.retransmitted, self.repeats);
        let same = mine == (theirs.dials, theirs.retransmitted, theirs.repeats);
        check!(same, "{theirs:?}, and should be {mine:?}");
        let earliest = slow().map(|(slot, seat)| (seat.dialed_at, slot)).min();
        let said = theirs.earliest.map(|earliest| (earliest.at, earliest.slot));
        check!(said == earliest, "the first slow dial was {earliest:?}, not {said:?}");
        match (earliest, summary.slow_onset) {
            (Some((at, slot)), Some(onset)) => self.compare_onset("slow", at, slot, onset),
            (None, None) => Ok(()),
            (_, onset) => Err(format!("{onset:?} of {earliest:?}")),
        }
    }

    /// Counted from the seats.
    fn findings(&self) -> Findings {
        let count = |fits: fn(&Seat) -> bool| self.seats.iter().filter(|s| fits(s)).count() as u64;
        Findings {
            answered: count(|seat| seat.answered),
            unanswered: count(|seat| seat.unanswered),
            closed_unanswered: count(|seat| seat.hung_up),
            probed: count(|seat| seat.asked || seat.proven || is_half_open(seat)),
            asked: count(|seat| seat.asked),
            open: count(|seat| seat.wait.is_asked()),
            proven: count(|seat| seat.proven),
            silent: count(|seat| seat.is_silent),
            suspects: self.suspects_looked_at,
            suspects_half_open: self.suspects_half_open,
            suspects_unacknowledged: self.suspects_unacknowledged,
        }
    }
}

fn is_half_open(seat: &Seat) -> bool {
    seat.cause == Some(Cause::HalfOpen)
}
