//! What the shadow has seen go wrong, one by one, and how that is compared with the evidence that
//! the engine gives.

use super::distribution::Hits;
use super::summary::{Seat, near};
use super::{Shadow, Verdict, check};
use tcpgoon::engine::evidence::Evidence;
use tcpgoon::engine::inquiry::Findings;
use tcpgoon::engine::scene::{Scene, Who};
use tcpgoon::engine::{EndReason, Side, State, Summary};
use tcpgoon::units::{Moment, Span};

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
        for reason in EndReason::ALL {
            let mine: Vec<Sighting> = self.sightings_of(reason);
            let who = match reason.ends_in() {
                State::Error if reason.side() == Side::ThisHost => Who::Dialed,
                State::Error => Who::Sent,
                _ => Who::Established,
            };
            self.compare(reason.word(), who, &mine, summary.evidence[reason as usize].as_ref())?;
        }
        let missed = summary.unanswered.as_ref();
        self.compare("unanswered", Who::Established, &self.misses, missed)?;
        self.compare_slow(summary)?;
        self.compare_hanging(summary)?;
        let findings = self.findings();
        check!(summary.findings == findings, "{:?}, and not {findings:?}", summary.findings);
        Ok(())
    }

    fn sightings_of(&self, reason: EndReason) -> Vec<Sighting> {
        self.sightings.iter().filter(|(of, _)| *of == reason).map(|(_, seen)| *seen).collect()
    }

    fn compare(
        &self,
        what: &str,
        who: Who,
        mine: &[Sighting],
        theirs: Option<&Evidence>,
    ) -> Verdict {
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
        let spot = |seen: &Sighting| (seen.since, seen.slot);
        let earliest = mine.iter().map(spot).min().unwrap_or_default();
        // Ends and resets are closes alike.
        let is_close =
            |reason: EndReason| [EndReason::PeerClosed, EndReason::PeerReset].contains(&reason);
        let is_one =
            self.sightings.iter().any(|(reason, _)| is_close(*reason) && reason.word() == what);
        let hits = match is_one {
            true => {
                self.sightings.iter().filter(|(c, _)| is_close(*c)).map(|(_, s)| spot(s)).collect()
            }
            false => mine.iter().map(spot).collect(),
        };
        let hits = Hits { hits, earliest, seen: (first.at, last.at) };
        self.compare_scene(what, who, &hits, &theirs.scene)
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
        // Within 0.8% of the very second the table, which goes by it, may see it either way.
        let border = Span::from_ms(992)..Span::from_s(1);
        if self.seats.iter().any(|seat| seat.took.is_some_and(|took| border.contains(&took))) {
            return Ok(());
        }
        let through = || slow().filter(|(_, seat)| seat.opened_at.is_some());
        let hits: Vec<(Moment, u32)> =
            through().map(|(slot, seat)| (seat.dialed_at, slot)).collect();
        let earliest = hits.iter().min().map(|(at, _)| *at);
        self.compare_some("slow", Who::Established, hits, earliest, summary.slow_scene.as_ref())
    }

    /// Dials that were under way for a second and more at the end.
    fn compare_hanging(&self, summary: &Summary) -> Verdict {
        let hangs = |seat: &Seat| {
            seat.state == State::Dialing && self.now.since(seat.since) >= Span::from_s(1)
        };
        let seats = (0..).zip(&self.seats).filter(|(_, seat)| hangs(seat));
        let hits: Vec<(Moment, u32)> = seats.map(|(slot, seat)| (seat.since, slot)).collect();
        let count = summary.hanging.as_ref().map_or(0, |hanging| hanging.count);
        check!(count == hits.len() as u64, "{count} dials hang, and should be {}", hits.len());
        let scene = summary.hanging.as_ref().map(|hanging| &hanging.scene);
        self.compare_some("hanging", Who::Sent, hits, Some(self.now), scene)
    }

    fn compare_some(
        &self,
        what: &str,
        who: Who,
        hits: Vec<(Moment, u32)>,
        seen: Option<Moment>,
        theirs: Option<&Scene>,
    ) -> Verdict {
        let (Some(scene), Some(seen)) = (theirs, seen) else {
            check!(theirs.is_none() && hits.is_empty(), "{what}: {theirs:?} of {hits:?}");
            return Ok(());
        };
        let earliest = hits.iter().min().copied().unwrap_or_default();
        self.compare_scene(what, who, &Hits { hits, earliest, seen: (seen, seen) }, scene)
    }

    /// Counted from the seats.
    fn findings(&self) -> Findings {
        let count = |fits: fn(&Seat) -> bool| self.seats.iter().filter(|s| fits(s)).count() as u64;
        Findings {
            answered: count(|seat| seat.answered),
            overdue: count(|seat| seat.is_overdue),
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
    seat.reason == Some(EndReason::HalfOpen)
}
