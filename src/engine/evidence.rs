//! What is known of each thing that went wrong: when it was seen first and last, how full the server
//! was then, how long it took, and what became of the dials after it.

use super::connection::{Cause, Connection, State, Table};
use super::histogram::Codes;
use super::inquiry::Inquiries;
use crate::route::Routes;
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
        self.add_untimed(at, established, slot, since);
        let after = at.since(since);
        self.min = Some(self.min.map_or(after, |min| min.min(after)));
        self.max = self.max.max(after);
        self.times.record_span(after);
    }

    /// One more that took no time, as it was not even tried: it is no measure of those that were.
    pub fn add_untimed(&mut self, at: Moment, established: u32, slot: u32, since: Moment) {
        match &mut self.seen {
            Some((_, last)) => *last = (*last).max(at),
            None => {
                self.seen = Some((at, at));
                self.established_at_first = established;
            }
        }
        Earliest::merge(&mut self.earliest, since, slot);
    }

    /// Everything there is to tell of `count` slots, those of `is_hit`; `None` where nothing was
    /// seen. O(connections).
    pub fn tell(
        &self,
        count: u64,
        books: &Books<'_>,
        is_hit: impl Fn(u32) -> bool,
    ) -> Option<Evidence> {
        let (first, last) = self.seen?;
        let p50 = self.times.quantile(500).clamp(self.min.unwrap_or_default(), self.max);
        let scene = self.earliest.map(|earliest| Scene::of(earliest, books, is_hit));
        Some(Evidence {
            count,
            first,
            last,
            established_at_first: self.established_at_first,
            scene: scene.unwrap_or_default(),
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
    pub scene: Scene,
    /// From the dial to the error, or from the establishment to the close; of dials that were
    /// forgone nothing, and zero where there were no others.
    pub min: Span,
    pub p50: Span,
    pub max: Span,
}

/// What the connections of a run are looked up in.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    pub table: &'a Table,
    pub routes: &'a Routes,
    pub inquiries: &'a Inquiries,
}

/// One target of several, or one source, by where it stands in [`Routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Target(u32),
    Source(u32),
}

/// Where something happened, and how it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scene {
    /// Among all dials.
    pub everywhere: Onset,
    /// Where there are several targets, or sources, and it met no other: among the dials there.
    pub only: Option<(Place, Onset)>,
}

impl Scene {
    /// O(connections).
    fn of(earliest: Earliest, books: &Books<'_>, is_hit: impl Fn(u32) -> bool) -> Scene {
        let Books { table, routes, .. } = books;
        let (slot, count) = (earliest.slot, table.count());
        let everywhere = Onset::of(earliest, books, 0..count);
        let is_only = |place: &dyn Fn(u32) -> Option<u32>| {
            (0..count).all(|other| !is_hit(other) || place(other) == place(slot))
        };
        let target = routes.target_index(slot);
        if routes.targets().len() > 1 && is_only(&|slot| Some(routes.target_index(slot))) {
            let onset = Onset::of(earliest, books, routes.slots_to(target, count));
            return Scene { everywhere, only: Some((Place::Target(target), onset)) };
        }
        let source = routes.source_index(slot).filter(|_| routes.sources().len() > 1);
        let source = source.filter(|_| is_only(&|slot| routes.source_index(slot)));
        let only = source.map(|source| {
            let onset = Onset::of(earliest, books, routes.slots_from(source, count));
            (Place::Source(source), onset)
        });
        Scene { everywhere, only }
    }
}

/// How things stood when the first dial began, or the first connection was established, that
/// something happened to, and what became of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// How many connections dialed before it were established then. When one was established that
    /// was closed later is not known: it counts.
    pub established: u32,
    /// How many dials before it were under way then and were established in less than a second: to
    /// the server they count.
    pub under_way: u32,
    /// Decided dials after that one.
    pub dials_after: u32,
    /// All decided dials, before it and after it.
    pub dials: u32,
    /// Those that were established, and how many of these have answered.
    pub established_ever: u32,
    pub answered: u32,
}

impl Onset {
    /// Goes through some slots of the table, which are dialed in their order; O(slots).
    fn of(earliest: Earliest, books: &Books<'_>, slots: impl Iterator<Item = u32>) -> Onset {
        let mut onset = Onset::default();
        for slot in slots {
            let connection = books.table.of(slot);
            let was_established = connection.dial_time.is_some();
            let is_decided = !matches!(connection.state, State::NotInitiated | State::Dialing);
            onset.dials += u32::from(is_decided);
            onset.established_ever += u32::from(was_established);
            onset.answered += u32::from(books.inquiries.has_answered(slot));
            if slot < earliest.slot {
                // Of one that is closed it is not known any more when it was opened.
                let opened =
                    connection.state != State::Established || connection.since <= earliest.at;
                let closed = connection.state == State::Closed && connection.since <= earliest.at;
                onset.established += u32::from(was_established && opened && !closed);
                onset.under_way += u32::from(is_fast(connection) && !opened);
            } else if slot > earliest.slot {
                onset.dials_after += u32::from(is_decided);
            }
        }
        onset
    }
}

/// Whether it was established in less than a second, to within 0.8%.
fn is_fast(connection: &Connection) -> bool {
    connection.dial_time.is_some_and(|time| time.middle() < SLOW_DIAL_MIN)
}

/// Dials of a second and more, and what the kernel says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slow {
    /// How many there were, failed ones included.
    pub dials: u64,
    pub failed: u64,
    /// Of these: the kernel had repeated a SYN.
    pub retransmitted: u64,
    /// How many repeats these were.
    pub repeats: u64,
    earliest: Option<Earliest>,
    /// Of those that were established after all.
    earliest_through: Option<Earliest>,
}

impl Slow {
    /// One more, which began at `at`.
    pub fn add(&mut self, at: Moment, slot: u32, has_failed: bool) {
        self.dials += 1;
        self.failed += u64::from(has_failed);
        Earliest::merge(&mut self.earliest, at, slot);
        if !has_failed {
            Earliest::merge(&mut self.earliest_through, at, slot);
        }
    }

    /// How many were established when the first of all of them began; O(connections).
    pub fn established_before(&self, books: &Books<'_>) -> u32 {
        let all = 0..books.table.count();
        self.earliest.map_or(0, |earliest| Onset::of(earliest, books, all).established)
    }

    /// Of those that were established after all; `None` where there were none. O(connections).
    pub fn scene(&self, books: &Books<'_>) -> Option<Scene> {
        let is_through = |slot| {
            let connection = books.table.of(slot);
            connection.dial_time.is_some() && !is_fast(connection)
        };
        Some(Scene::of(self.earliest_through?, books, is_through))
    }
}

/// One place for each cause.
pub fn sightings() -> Box<[Sightings]> {
    Cause::ALL.map(|_| Sightings::default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Target;

    #[test]
    fn what_was_forgone_counts_and_has_no_time() {
        let table = Table::new(4).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        let inquiries = Inquiries::of_nobody();
        let books = Books { table: &table, routes: &routes, inquiries: &inquiries };
        let at = |ms| Moment(0) + Span::from_ms(ms);
        let mut sightings = Sightings::default();
        sightings.add(at(14), 7, 0, at(10));
        for ms in [15, 16, 17] {
            sightings.add_untimed(at(ms), 7, 1, at(ms));
        }
        let told = sightings.tell(4, &books, |slot| slot < 2).unwrap();
        assert_eq!((told.count, told.first, told.last), (4, at(14), at(17)));
        assert_eq!([told.min, told.p50, told.max], [Span::from_ms(4); 3]);

        let mut forgone = Sightings::default();
        forgone.add_untimed(at(3), 9, 2, at(3));
        let told = forgone.tell(1, &books, |slot| slot == 2).unwrap();
        assert_eq!((told.first, told.established_at_first), (at(3), 9));
        assert_eq!([told.min, told.p50, told.max], [Span::ZERO; 3]);
    }
}
