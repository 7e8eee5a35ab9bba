//! How what went wrong is spread over the connections, told seat by seat.

use super::summary::Seat;
use super::{Shadow, Verdict, check};
use tcpgoon::engine::breakdown::ROWS_MAX;
use tcpgoon::engine::scene::{Onset, Place, Scene, Who};
use tcpgoon::engine::{Side, State};
use tcpgoon::units::{Moment, Span};

/// Whom something met.
pub struct Hits {
    /// Each slot, and when it was dialed or established.
    pub hits: Vec<(Moment, u32)>,
    /// The earliest one of which the moment is known: a close is met beside others of another kind.
    pub earliest: (Moment, u32),
    /// When it was seen first and last.
    pub seen: (Moment, Moment),
}

impl Hits {
    fn met(&self, slot: u32) -> bool {
        self.hits.iter().any(|(_, hit)| *hit == slot)
    }
}

impl Shadow {
    /// # Errors
    /// The first difference.
    pub(super) fn compare_scene(
        &self,
        what: &str,
        who: Who,
        hits: &Hits,
        theirs: &Scene,
    ) -> Verdict {
        self.compare_onset(what, who, hits, |_| true, theirs.everywhere)?;
        let routes = &self.plan.routes;
        let target = |slot: u32| Place::Target(routes.target_index(slot));
        let source = |slot: u32| routes.source_index(slot).map(Place::Source);
        let first = hits.hits[0].1;
        let targets = routes.targets().len();
        let place = if targets > 1 && hits.hits.iter().all(|(_, s)| target(*s) == target(first)) {
            Some(target(first))
        } else if routes.sources().len() > 1
            && hits.hits.iter().all(|(_, s)| source(*s) == source(first))
        {
            source(first)
        } else {
            None
        };
        let said = theirs.only.map(|(place, _)| place);
        check!(said == place, "{what} is at {said:?}, and should be at {place:?}");
        let is_there = |place: Place, slot: u32| match place {
            Place::Target(_) => target(slot) == place,
            Place::Source(_) => source(slot) == Some(place),
        };
        let is_met = |place: &Place| hits.hits.iter().any(|(_, slot)| target(*slot) == *place);
        let is_each = (2..=ROWS_MAX).contains(&targets) && !matches!(place, Some(Place::Target(_)));
        let each = if is_each { targets } else { 0 };
        let each: Vec<Place> = (0..).take(each).map(Place::Target).filter(is_met).collect();
        let said: Vec<Place> = theirs.each.iter().map(|(place, _)| *place).collect();
        check!(said == each, "{what} is at {said:?}, and should be at {each:?}");
        for (place, onset) in theirs.only.iter().chain(&theirs.each) {
            self.compare_onset(what, who, hits, |slot| is_there(*place, slot), *onset)?;
        }
        Ok(())
    }

    fn compare_onset(
        &self,
        what: &str,
        who: Who,
        hits: &Hits,
        is_there: impl Fn(u32) -> bool,
        theirs: Onset,
    ) -> Verdict {
        let there: Vec<(u32, &Seat)> =
            (0..).zip(&self.seats).filter(|(slot, _)| is_there(*slot)).collect();
        let is_member = |slot: u32, seat: &Seat| match who {
            Who::Established => seat.opened_at.is_some(),
            _ if seat.state == State::Dialing => hits.met(slot),
            _ if seat.state == State::NotInitiated => false,
            Who::Dialed => true,
            Who::Sent => seat.reason.is_none_or(|reason| reason.side() != Side::ThisHost),
        };
        let members: Vec<(u32, bool)> = there
            .iter()
            .filter(|(slot, seat)| is_member(*slot, seat))
            .map(|(slot, _)| (*slot, hits.met(*slot)))
            .collect();
        compare_parts(what, &members, &theirs)?;

        let count = |fits: &dyn Fn(&Seat) -> bool| there.iter().filter(|(_, s)| fits(s)).count();
        let open = |seat: &Seat| seat.state == State::Established;
        let (first, last) = hits.seen;
        let mine = [
            count(&|seat| seat.opened_at.is_some()),
            count(&|seat| seat.answered),
            count(&|seat| open(seat) && seat.since < first),
            count(&|seat| open(seat) && seat.since > last),
        ];
        let said = [theirs.established_ever, theirs.answered, theirs.kept, theirs.newcomers];
        check!(said.map(|n| n as usize) == mine, "{what}: {theirs:?}, and should be {mine:?}");
        // At the very second it may go either way.
        let is_fast = |slot: u32, within: Span| {
            self.seats[slot as usize].took.is_some_and(|took| took < within)
        };
        let last = &members[members.len() - theirs.after.all as usize..];
        let fast = |within| last.iter().filter(|(slot, _)| is_fast(*slot, within)).count();
        let range = fast(Span::from_ms(992))..=fast(Span::from_ms(1_008));
        let after_fast = theirs.after_fast as usize;
        check!(range.contains(&after_fast), "{what}: {theirs:?}, not {range:?}");
        let ages = there.iter().filter(|(_, s)| open(s)).map(|(_, s)| self.now.since(s.since));
        let oldest = ages.max().unwrap_or_default();
        check!(theirs.oldest == oldest, "{what}: {theirs:?}, but the oldest is {oldest}");

        // Of any other than the first one it is not known exactly when it began.
        let earliest = hits.hits.iter().filter(|(_, slot)| is_there(*slot)).min();
        let first = members.iter().find(|(_, hit)| *hit).map(|(slot, _)| *slot);
        match earliest {
            Some((at, slot)) if Some(*slot) == first && hits.earliest == (*at, *slot) => {
                self.compare_level(what, *at, *slot, &there, theirs)
            }
            _ => Ok(()),
        }
    }

    fn compare_level(
        &self,
        what: &str,
        at: Moment,
        slot: u32,
        there: &[(u32, &Seat)],
        theirs: Onset,
    ) -> Verdict {
        let before = || there.iter().filter(|(other, _)| *other < slot).map(|(_, seat)| seat);
        let is_established = |seat: &&&Seat| match seat.state {
            State::Established => seat.since <= at,
            // For how long nobody remembers.
            State::Closed => seat.since > at,
            _ => false,
        };
        let established = before().filter(is_established).count();
        let said = theirs.at_first;
        check!(said.established as usize == established, "{what}: {said:?}, not {established}");
        // At the very second it may go either way.
        let under_way = |within: Span| {
            let opens = |seat: &&&Seat| seat.state == State::Established && seat.since > at;
            let took = |seat: &&&Seat| seat.took.is_some_and(|took| took < within);
            before().filter(opens).filter(took).count()
        };
        let range = under_way(Span::from_ms(992))..=under_way(Span::from_ms(1_008));
        check!(range.contains(&(said.under_way as usize)), "{what}: {said:?}, not {range:?}");
        let is_at_once = theirs.before.all == theirs.calm;
        check!(!is_at_once || theirs.at_stretch == said, "{what}: {theirs:?}");
        Ok(())
    }
}

/// The three parts are all there is, and no stretch has more hits above the average.
fn compare_parts(what: &str, members: &[(u32, bool)], theirs: &Onset) -> Verdict {
    let parts = [theirs.before, theirs.within, theirs.after];
    let mut rest = members;
    for part in parts {
        let (these, others) = rest.split_at((part.all as usize).min(rest.len()));
        let met = these.iter().filter(|(_, hit)| *hit).count();
        check!(met == part.hits as usize, "{what}: {theirs:?} in {members:?}");
        rest = others;
    }
    check!(rest.is_empty(), "{what}: {theirs:?} of {}", members.len());
    let calm = members.iter().position(|(_, hit)| *hit).unwrap_or(0);
    check!(calm == theirs.calm as usize, "{what}: {theirs:?}, but {calm} before the first");
    let (all, met) = (members.len() as i64, members.iter().filter(|(_, hit)| *hit).count() as i64);
    let (mut sum, mut least, mut most) = (0, 0, 0);
    for (_, hit) in members {
        sum += if *hit { all - met } else { -met };
        least = sum.min(least);
        most = most.max(sum - least);
    }
    let within = theirs.within;
    let above = i64::from(within.hits) * all - i64::from(within.all) * met;
    check!(above == most, "{what}: {theirs:?} is {above} above, and the densest {most}");
    Ok(())
}
