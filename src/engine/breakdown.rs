//! The run by target and by source. Nothing is kept for it while the run goes on: the table knows
//! it all, and is gone through once at the end.

use super::connection::{State, Table};
use super::histogram::Codes;
use crate::route::Routes;
use crate::units::Span;

/// The most rows that are kept.
pub const ROWS_MAX: usize = 20;

/// What became of the dials to one target, or from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where it stands among [`Routes::targets`] or [`Routes::sources`].
    pub index: u32,
    /// How many dials it was its turn for, those that were forgone included.
    pub dialed: u32,
    /// Those since closed included.
    pub established: u32,
    pub errors: u32,
    /// Of its dial times, to within 0.8%; zero where nothing was established.
    pub p99: Span,
}

impl Row {
    /// Worse ones first: by errors, then by the time.
    fn badness(&self) -> (u32, Span, u32) {
        (self.errors, self.p99, u32::MAX - self.index)
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
    pub fn by_target(table: &Table, routes: &Routes) -> Breakdown {
        let slots = |index| routes.slots_to(index, table.count());
        Breakdown::by(table, routes.targets().len(), slots)
    }

    /// O(connections + routes).
    pub fn by_source(table: &Table, routes: &Routes) -> Breakdown {
        let slots = |index| routes.slots_from(index, table.count());
        Breakdown::by(table, routes.sources().len(), slots)
    }

    fn by<I: Iterator<Item = u32>>(
        table: &Table,
        count: usize,
        slots: impl Fn(u32) -> I,
    ) -> Breakdown {
        let mut worst: Vec<Row> = Vec::new();
        if count < 2 {
            return Breakdown { count, worst };
        }
        let mut codes = Codes::new();
        for index in (0..).take(count) {
            let row = row(index, table, slots(index), &mut codes);
            let place = worst.partition_point(|other| other.badness() > row.badness());
            if place < ROWS_MAX {
                worst.truncate(ROWS_MAX - 1);
                worst.insert(place, row);
            }
        }
        Breakdown { count, worst }
    }
}

fn row(index: u32, table: &Table, slots: impl Iterator<Item = u32>, codes: &mut Codes) -> Row {
    let mut row = Row { index, dialed: 0, established: 0, errors: 0, p99: Span::ZERO };
    for slot in slots {
        let connection = table.of(slot);
        row.dialed += u32::from(connection.state != State::NotInitiated);
        row.errors += u32::from(connection.state == State::Error);
        if let Some(code) = connection.dial_time {
            row.established += 1;
            codes.record(code);
        }
    }
    row.p99 = codes.take_quantile(990);
    row
}
