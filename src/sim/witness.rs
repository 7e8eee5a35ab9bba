//! What the shadow has seen go wrong, one by one, and how that is compared with the evidence that
//! the engine gives.

use super::reckoning::{Seat, near};
use super::shadow::{Shadow, Verdict, check};
use crate::engine::evidence::{Evidence, Onset, Place, Scene};
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
    /// Whether it was tried at all, and took its time.
    pub is_timed: bool,
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
        let timed = mine.iter().filter(|seen| seen.is_timed);
        let mut times: Vec<Span> = timed.map(|seen| seen.at.since(seen.since)).collect();
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        let most = times.len().saturating_sub(1);
        let (min, middle, max) = (at(0), at(most / 2), at(most));
        check!(theirs.min == min && theirs.max == max, "{what}: {theirs:?}, not {min} to {max}");
        check!(near(theirs.p50, middle), "{what}: p50 {}, not {middle}", theirs.p50);
        let slots: Vec<u32> = mine.iter().map(|seen| seen.slot).collect();
        let earliest = mine.iter().map(|seen| (seen.since, seen.slot)).min();
        self.compare_scene(what, earliest.unwrap_or_default(), &slots, theirs.scene)
    }

    /// How things stood when that became of a slot which something happened to, as it did to all
    /// these; everywhere, and where they all are.
    fn compare_scene(
        &self,
        what: &str,
        earliest: (Moment, u32),
        slots: &[u32],
        theirs: Scene,
    ) -> Verdict {
        self.compare_onset(what, earliest, |_| true, theirs.everywhere)?;
        let routes = &self.plan.routes;
        let target = |slot: u32| routes.target_index(slot);
        let source = |slot: u32| routes.source_index(slot).unwrap_or_default();
        let is_one = |of: &dyn Fn(u32) -> u32| slots.iter().all(|slot| of(*slot) == of(slots[0]));
        let place = if routes.targets().len() > 1 && is_one(&target) {
            Some(Place::Target(target(slots[0])))
        } else if routes.sources().len() > 1 && is_one(&source) {
            Some(Place::Source(source(slots[0])))
        } else {
            None
        };
        let said = theirs.only.map(|(place, _)| place);
        check!(said == place, "{what} is at {said:?}, and should be at {place:?}");
        let Some((place, onset)) = theirs.only else { return Ok(()) };
        let is_there = |slot: u32| match place {
            Place::Target(index) => target(slot) == index,
            Place::Source(index) => source(slot) == index,
        };
        self.compare_onset(what, earliest, is_there, onset)
    }

    fn compare_onset(
        &self,
        what: &str,
        (since, first): (Moment, u32),
        is_there: impl Fn(u32) -> bool,
        theirs: Onset,
    ) -> Verdict {
        let mut mine = Onset { under_way: theirs.under_way, ..Onset::default() };
        for (slot, seat) in (0..).zip(&self.seats).filter(|(slot, _)| is_there(*slot)) {
            let is_decided = !matches!(seat.state, State::NotInitiated | State::Dialing);
            mine.dials += u32::from(is_decided);
            mine.dials_after += u32::from(is_decided && slot > first);
            mine.established_ever += u32::from(seat.opened_at.is_some());
            mine.answered += u32::from(seat.answered);
            let was_established = match seat.state {
                State::Established => seat.since <= since,
                // For how long nobody remembers.
                State::Closed => seat.since > since,
                _ => false,
            };
            mine.established += u32::from(was_established && slot < first);
        }
        check!(theirs == mine, "{what}: {theirs:?}, and should be {mine:?}");
        Ok(())
    }

    fn compare_slow(&self, summary: &Summary) -> Verdict {
        let slow = || (0..).zip(&self.seats).filter(|(_, seat)| seat.is_slow);
        let count = slow().count() as u64;
        let theirs = summary.slow;
        let mine = (count, self.retransmitted, self.repeats);
        let same = mine == (theirs.dials, theirs.retransmitted, theirs.repeats);
        check!(same, "{theirs:?}, and should be {mine:?}");
        let failed = slow().filter(|(_, seat)| seat.opened_at.is_none()).count() as u64;
        check!(failed == theirs.failed, "{theirs:?}, of which {failed} failed");
        let through = || slow().filter(|(_, seat)| seat.opened_at.is_some());
        let earliest = through().map(|(slot, seat)| (seat.dialed_at, slot)).min();
        match (earliest, summary.slow_scene) {
            (Some(earliest), Some(scene)) => {
                let slots: Vec<u32> = through().map(|(slot, _)| slot).collect();
                self.compare_scene("slow", earliest, &slots, scene)
            }
            (None, None) => Ok(()),
            (_, scene) => Err(format!("{scene:?} of {earliest:?}")),
        }
    }

    /// Counted from the seats.
    fn findings(&self) -> Findings {
        let count = |fits: fn(&Seat) -> bool| self.seats.iter().filter(|s| fits(s)).count() as u64;
        Findings {
            answered: count(|seat| seat.answered),
            unanswered: count(|seat| seat.unanswered),
            misheard: count(|seat| seat.misheard),
            late: count(|seat| seat.late),
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
