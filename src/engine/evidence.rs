//! What is known of each thing that went wrong: when it was seen first and last, how full the server
//! was then, how long it took, and what became of the dials after it.

use super::connection::{EndReason, State};
use super::histogram::Codes;
use super::scene::{Books, Scene, Search, Who, is_fast};
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

/// What has been seen of one reason, as it came.
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

    /// Everything there is to tell of `count` connections, those of `is_hit` among `who`; `None`
    /// where nothing was seen. O(connections).
    pub fn tell(
        &self,
        count: u64,
        books: &Books<'_>,
        who: Who,
        is_hit: &dyn Fn(u32) -> bool,
    ) -> Option<Evidence> {
        let (seen, earliest) = (self.seen?, self.earliest?);
        let (first, last) = seen;
        let p50 = self.times.quantile(500).clamp(self.min.unwrap_or_default(), self.max);
        let scene = Scene::of(books, &Search { who, is_hit, earliest, took: p50, seen });
        Some(Evidence {
            count,
            first,
            last,
            established_at_first: self.established_at_first,
            scene,
            min: self.min.unwrap_or_default(),
            p50,
            max: self.max,
        })
    }
}

/// What is known of one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub count: u64,
    pub first: Moment,
    pub last: Moment,
    /// How many connections were established when it was first seen.
    pub established_at_first: u32,
    pub scene: Scene,
    /// From the dial to the error, or from the establishment to the close; of dials that were
    /// skipped nothing, and zero where there were no others.
    pub min: Span,
    pub p50: Span,
    pub max: Span,
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
        self.earliest
            .map_or(0, |earliest| books.level(earliest, 0..books.table.count()).established)
    }

    /// Of those that were established after all; `None` where there were none. O(connections).
    pub fn scene(&self, books: &Books<'_>) -> Option<Scene> {
        let is_hit = |slot| {
            let connection = books.table.of(slot);
            connection.dial_time.is_some() && !is_fast(connection)
        };
        let earliest = self.earliest_through?;
        let seen = (earliest.at, earliest.at);
        let search =
            Search { who: Who::Established, is_hit: &is_hit, earliest, took: Span::ZERO, seen };
        Some(Scene::of(books, &search))
    }
}

/// Dials that were still under way when a run was ended, and had been for a second and more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hanging {
    pub count: u64,
    pub scene: Scene,
}

impl Hanging {
    /// `None` where there were none. O(connections).
    pub fn of(books: &Books<'_>) -> Option<Hanging> {
        let is_hit = |slot| {
            let connection = books.table.of(slot);
            connection.state == State::Dialing && books.now.since(connection.since) >= SLOW_DIAL_MIN
        };
        let (mut count, mut earliest) = (0, None);
        for slot in (0..books.table.count()).filter(|slot| is_hit(*slot)) {
            count += 1;
            Earliest::merge(&mut earliest, books.table.of(slot).since, slot);
        }
        let seen = (books.now, books.now);
        let search =
            Search { who: Who::Sent, is_hit: &is_hit, earliest: earliest?, took: Span::ZERO, seen };
        Some(Hanging { count, scene: Scene::of(books, &search) })
    }
}

/// One place for each reason.
pub fn sightings() -> Box<[Sightings]> {
    EndReason::ALL.map(|_| Sightings::default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::Table;
    use crate::engine::inquiry::Inquiries;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};

    #[test]
    fn what_was_forgone_counts_and_has_no_time() {
        let at = |ms| Moment(0) + Span::from_ms(ms);
        let table = Table::new(4).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        let inquiries = Inquiries::new(&Plan::plain(4, routes.clone())).unwrap();
        let books = Books { table: &table, routes: &routes, inquiries: &inquiries, now: at(20) };
        let mut sightings = Sightings::default();
        sightings.add(at(14), 7, 0, at(10));
        for ms in [15, 16, 17] {
            sightings.add_untimed(at(ms), 7, 1, at(ms));
        }
        let told = sightings.tell(4, &books, Who::Dialed, &|slot| slot < 2).unwrap();
        assert_eq!((told.count, told.first, told.last), (4, at(14), at(17)));
        assert_eq!([told.min, told.p50, told.max], [Span::from_ms(4); 3]);

        let mut skipped = Sightings::default();
        skipped.add_untimed(at(3), 9, 2, at(3));
        let told = skipped.tell(1, &books, Who::Dialed, &|slot| slot == 2).unwrap();
        assert_eq!((told.first, told.established_at_first), (at(3), 9));
        assert_eq!([told.min, told.p50, told.max], [Span::ZERO; 3]);
    }
}
