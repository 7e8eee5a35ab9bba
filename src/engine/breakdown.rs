//! The run by target and by source. Nothing is kept for it while the run goes on: the table knows
//! it all, and is gone through once at the end.

use super::connection::{Cause, State};
use super::evidence::Books;
use super::histogram::Codes;
use crate::units::Span;

/// The most rows that are kept.
pub const ROWS_MAX: usize = 20;

/// What became of the dials to one target, or from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Where it stands among [`Routes::targets`] or [`Routes::sources`].
    pub index: u32,
    /// How many dials it was its turn for, those that were forgone included.
    pub dialed: u32,
    /// Those since closed included.
    pub established: u32,
    pub errors: u32,
    /// Those that were closed, in whatever way.
    pub closed: u32,
    /// How many each cause ended, by [`Cause`].
    pub causes: [u32; Cause::COUNT],
    /// Those that did not answer in time, and those that did.
    pub unanswered: u32,
    pub answered: u32,
    /// Of its dial times, to within 0.8%; zero where nothing was established.
    pub p99: Span,
}

impl Row {
    /// Worse ones first: by errors, by what became of the others, then by the time.
    fn badness(&self) -> (u32, u32, Span, u32) {
        (self.errors, self.closed + self.unanswered, self.p99, u32::MAX - self.index)
    }
}

/// All targets, or all sources. There are no rows where there is but one: they would repeat the
/// whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// How many there are.
    pub count: usize,
    /// The worst first, at most [`ROWS_MAX`].
    pub worst: Vec<Row>,
}

impl Breakdown {
    /// O(connections).
    pub fn by_target(books: &Books<'_>) -> Breakdown {
        let slots = |index| books.routes.slots_to(index, books.table.count());
        Breakdown::by(books, books.routes.targets().len(), slots)
    }

    /// O(connections + routes).
    pub fn by_source(books: &Books<'_>) -> Breakdown {
        let slots = |index| books.routes.slots_from(index, books.table.count());
        Breakdown::by(books, books.routes.sources().len(), slots)
    }

    fn by<I: Iterator<Item = u32>>(
        books: &Books<'_>,
        count: usize,
        slots: impl Fn(u32) -> I,
    ) -> Breakdown {
        let mut worst: Vec<Row> = Vec::new();
        if count < 2 {
            return Breakdown { count, worst };
        }
        let mut codes = Codes::new();
        for index in (0..).take(count) {
            let row = row(index, books, slots(index), &mut codes);
            let place = worst.partition_point(|other| other.badness() > row.badness());
            if place < ROWS_MAX {
                worst.truncate(ROWS_MAX - 1);
                worst.insert(place, row);
            }
        }
        Breakdown { count, worst }
    }
}

fn row(index: u32, books: &Books<'_>, slots: impl Iterator<Item = u32>, codes: &mut Codes) -> Row {
    let mut row = Row { index, ..Row::default() };
    for slot in slots {
        let connection = books.table.of(slot);
        row.dialed += u32::from(connection.state != State::NotInitiated);
        row.errors += u32::from(connection.state == State::Error);
        row.closed += u32::from(connection.state == State::Closed);
        row.unanswered += u32::from(books.inquiries.has_missed(slot));
        row.answered += u32::from(books.inquiries.has_answered(slot));
        if let Some(cause) = connection.cause {
            row.causes[cause as usize] += 1;
        }
        if let Some(code) = connection.dial_time {
            row.established += 1;
            codes.record(code);
        }
    }
    row.p99 = codes.take_quantile(990);
    row
}
