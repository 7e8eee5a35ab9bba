//! Where something happened, and how it is spread over the connections of a run: gone through at the
//! end, when the table knows it all.

use super::breakdown::ROWS_MAX;
use super::connection::{Connection, Side, State, Table};
use super::evidence::{Earliest, SLOW_DIAL_MIN};
use super::inquiry::Inquiries;
use crate::route::Routes;
use crate::units::{Moment, Span, low_32};

/// What the connections of a run are looked up in.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    pub table: &'a Table,
    pub routes: &'a Routes,
    pub inquiries: &'a Inquiries,
    pub now: Moment,
}

/// Whom something could have met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// All dials.
    Dialed,
    /// Those that this host did not refuse itself.
    Sent,
    /// Those that were established.
    Established,
}

/// What is looked for.
pub struct Search<'a> {
    pub who: Who,
    /// Whether it met a slot.
    pub is_hit: &'a dyn Fn(u32) -> bool,
    /// The one that it met first.
    pub earliest: Earliest,
    /// How long it usually took, from its dial or its establishment on.
    pub took: Span,
    /// When it was seen first and last.
    pub seen: (Moment, Moment),
}

/// One target of several, or one source, by where it stands in [`Routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Target(u32),
    Source(u32),
}

impl Place {
    /// Those of the first `count` slots that are here, in the order in which they are dialed; none
    /// is everywhere.
    fn slots(
        place: Option<Place>,
        routes: &Routes,
        count: u32,
    ) -> impl Iterator<Item = u32> + Clone + '_ {
        let (first, step, source) = match place {
            None => (0, 1, None),
            Some(Place::Target(index)) => (index, routes.targets().len(), None),
            Some(Place::Source(index)) => (0, 1, Some(index)),
        };
        let is_from = move |slot: &u32| source.is_none() || routes.source_index(*slot) == source;
        (first..count).step_by(step).filter(is_from)
    }
}

/// Where something happened, and how it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// Among all connections.
    pub everywhere: Onset,
    /// Where there are several targets, or sources, and it met no other: among those there.
    pub only: Option<(Place, Onset)>,
    /// Where there are a few targets and it met several: among those of each that it met.
    pub each: Vec<(Place, Onset)>,
}

impl Scene {
    /// At its one place, or everywhere.
    pub fn here(&self) -> Onset {
        self.only.map_or(self.everywhere, |(_, onset)| onset)
    }

    /// O(connections).
    pub fn of(books: &Books<'_>, search: &Search<'_>) -> Scene {
        let routes = books.routes;
        let at = |place| (place, Onset::of(books, search, Some(place)));
        let everywhere = Onset::of(books, search, None);
        let mut scene = Scene { everywhere, ..Scene::default() };
        let slot = search.earliest.slot;
        let target = routes.target_index(slot);
        let is_at_target = |slot| routes.target_index(slot) == target;
        if routes.targets().len() > 1 && search.is_only(books, &is_at_target) {
            scene.only = Some(at(Place::Target(target)));
            return scene;
        }
        let source = routes.source_index(slot).filter(|_| routes.sources().len() > 1);
        let is_from_source = |slot| routes.source_index(slot) == source;
        if source.is_some() && search.is_only(books, &is_from_source) {
            scene.only = source.map(|source| at(Place::Source(source)));
        }
        if (2..=ROWS_MAX).contains(&routes.targets().len()) {
            let targets = (0..).take(routes.targets().len()).map(|index| at(Place::Target(index)));
            scene.each = targets.filter(|(_, onset)| onset.hits() > 0).collect();
        }
        scene
    }
}

impl Search<'_> {
    /// Whether it met nobody elsewhere.
    fn is_only(&self, books: &Books<'_>, is_there: &dyn Fn(u32) -> bool) -> bool {
        (0..books.table.count()).all(|slot| !(self.is_hit)(slot) || is_there(slot))
    }

    /// Whether it could have met a slot.
    fn is_member(&self, books: &Books<'_>, slot: u32) -> bool {
        let connection = books.table.of(slot);
        let is_over = match connection.state {
            State::NotInitiated => false,
            State::Dialing => (self.is_hit)(slot),
            State::Established | State::Closed | State::Error => true,
        };
        let is_here = connection.reason.is_some_and(|reason| reason.side() == Side::ThisHost);
        match self.who {
            Who::Dialed => is_over,
            Who::Sent => is_over && !is_here,
            Who::Established => connection.dial_time.is_some(),
        }
    }

    /// About when a slot was dialed or established.
    fn began(&self, books: &Books<'_>, slot: u32) -> Moment {
        let connection = books.table.of(slot);
        match connection.state {
            _ if slot == self.earliest.slot => self.earliest.at,
            State::Established | State::Dialing => connection.since,
            _ => Moment(connection.since.0.saturating_sub(self.took.0)),
        }
    }
}

/// How many connections there were at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// When one was established that was closed later is not known: it counts.
    pub established: u32,
    /// Under way, and established in less than a second: to the server they count.
    pub under_way: u32,
}

impl Level {
    pub fn total(self) -> u32 {
        self.established + self.under_way
    }
}

impl Books<'_> {
    /// Of those dialed before one, how many were there at its moment; O(slots).
    pub fn level(&self, one: Earliest, slots: impl Iterator<Item = u32>) -> Level {
        let mut level = Level::default();
        for slot in slots.take_while(|slot| *slot < one.slot) {
            let connection = self.table.of(slot);
            // Of one that is closed it is not known any more when it was opened.
            let opened = connection.state != State::Established || connection.since <= one.at;
            let closed = connection.state == State::Closed && connection.since <= one.at;
            let was_established = connection.dial_time.is_some();
            level.established += u32::from(was_established && opened && !closed);
            level.under_way += u32::from(is_fast(connection) && !opened);
        }
        level
    }
}

/// Some connections in a row, in the order of their dials, and how many of them something met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    pub all: u32,
    pub hits: u32,
}

impl Part {
    pub fn misses(self) -> u32 {
        self.all - self.hits
    }
}

impl std::ops::Add for Part {
    type Output = Part;

    fn add(self, other: Part) -> Part {
        Part { all: self.all + other.all, hits: self.hits + other.hits }
    }
}

/// How something is spread over connections, in the order of their dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// Before the stretch in which it met more than elsewhere, in it, and after it.
    pub before: Part,
    pub within: Part,
    pub after: Part,
    /// Those before the first one that it met.
    pub calm: u32,
    /// Those of the last part that were established in less than a second.
    pub after_fast: u32,
    /// When the first one began that it met, and when the stretch did.
    pub at_first: Level,
    pub at_stretch: Level,
    /// Of all connections here: those ever established, and those that have answered.
    pub established_ever: u32,
    pub answered: u32,
    /// Those still established that were it before it was first seen, and since it was last seen.
    pub kept: u32,
    pub newcomers: u32,
    /// The age of the oldest one that is still established.
    pub oldest: Span,
}

impl Onset {
    /// Goes through those of the table that are at a place, or all; O(slots).
    fn of(books: &Books<'_>, search: &Search<'_>, place: Option<Place>) -> Onset {
        let slots = Place::slots(place, books.routes, books.table.count());
        let members = slots.clone().filter(|slot| search.is_member(books, *slot));
        let mut onset = Onset::of_hits(members.clone().map(|slot| (search.is_hit)(slot)));
        let level = |index: u32| {
            // The first that it met from there on.
            let mut rest = members.clone().skip(index as usize);
            let slot = rest.find(|slot| (search.is_hit)(*slot));
            let one = slot.map(|slot| Earliest { at: search.began(books, slot), slot });
            one.map(|one| books.level(one, slots.clone())).unwrap_or_default()
        };
        let last = members.clone().skip((onset.before.all + onset.within.all) as usize);
        let fast = last.filter(|slot| is_fast(books.table.of(*slot))).count();
        onset.after_fast = u32::try_from(fast).unwrap_or(u32::MAX);
        (onset.at_first, onset.at_stretch) = (level(onset.calm), level(onset.before.all));
        onset.look_around(books, search.seen, slots);
        onset
    }

    /// How hits are spread over those that could have been; O(n).
    pub fn of_hits(hits: impl Iterator<Item = bool> + Clone) -> Onset {
        let (start, end) = stretch(hits.clone());
        let mut onset = Onset::default();
        let mut is_calm = true;
        for (index, hit) in (0..).zip(hits) {
            let part = match index {
                _ if index < start => &mut onset.before,
                _ if index < end => &mut onset.within,
                _ => &mut onset.after,
            };
            part.all += 1;
            part.hits += u32::from(hit);
            is_calm &= !hit;
            onset.calm += u32::from(is_calm);
        }
        onset
    }

    fn look_around(
        &mut self,
        books: &Books<'_>,
        (first, last): (Moment, Moment),
        slots: impl Iterator<Item = u32>,
    ) {
        for slot in slots {
            let connection = books.table.of(slot);
            self.established_ever += u32::from(connection.dial_time.is_some());
            self.answered += u32::from(books.inquiries.has_answered(slot));
            if connection.state == State::Established {
                self.kept += u32::from(connection.since < first);
                self.newcomers += u32::from(connection.since > last);
                self.oldest = self.oldest.max(books.now.since(connection.since));
            }
        }
    }

    /// How many it met.
    pub fn hits(&self) -> u32 {
        self.before.hits + self.within.hits + self.after.hits
    }

    /// How many it could have met.
    pub fn all(&self) -> u32 {
        self.before.all + self.within.all + self.after.all
    }
}

/// Where the hits are densest: the first index of the stretch, and the one behind its last. Of all
/// stretches it has the most hits above the average of the whole. Source: J. Bentley, "Algorithm
/// design techniques", CACM 27 (1984).
fn stretch(hits: impl Iterator<Item = bool> + Clone) -> (u32, u32) {
    let (all, met) =
        hits.clone().fold((0i64, 0i64), |(all, met), hit| (all + 1, met + i64::from(hit)));
    if all == met {
        return (0, low_32(all.unsigned_abs()));
    }
    let (mut start, mut sum) = (0, 0i64);
    let (mut best, mut best_sum) = ((0, 0), 0i64);
    for (index, hit) in (0..).zip(hits) {
        sum += if hit { all - met } else { -met };
        if sum <= 0 {
            (start, sum) = (index + 1, 0);
        } else if sum > best_sum {
            (best, best_sum) = ((start, index + 1), sum);
        }
    }
    best
}

/// Whether it was established in less than a second, to within 0.8%.
pub fn is_fast(connection: &Connection) -> bool {
    connection.dial_time.is_some_and(|time| time.middle() < SLOW_DIAL_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_where_hits_are_densest() {
        for (hits, expected) in [
            ("", (0, 0)),
            ("xxxx", (0, 4)),
            ("....xxxx", (4, 8)),
            ("xxx.....", (0, 3)),
            ("...xxx....", (3, 6)),
            // A loss or two beside it.
            (".x....xxxxxxxx", (6, 14)),
            ("..........xxxxx.xxxxxx", (10, 22)),
            ("xxxxxxx......x......", (0, 7)),
            ("x", (0, 1)),
            ("..x", (2, 3)),
        ] {
            let found = stretch(hits.bytes().map(|byte| byte == b'x'));
            assert_eq!(found, expected, "{hits}");
        }
    }
}
