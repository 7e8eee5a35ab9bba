//! The run by target and by source. Nothing is kept for it while the run goes on: the table knows
//! it all, and is gone through once at the end.

use super::dial::{Dial, OnAccept, Outcome, RunView};
use crate::engine::connection::{EndReason, State};
use crate::engine::histogram::Codes;
use crate::units::Span;

/// The most rows that are kept.
pub const ROWS_MAX: usize = 20;

/// Where trouble began among the dials of one row: a dial that failed beyond this host, or was closed
/// on accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// Those that came through before the first such dial, and after it.
    pub before: u32,
    pub after: u32,
    pub hits: u32,
}

impl Onset {
    fn add(&mut self, is_hit: bool) {
        let count = match (is_hit, self.hits) {
            (true, _) => &mut self.hits,
            (false, 0) => &mut self.before,
            (false, _) => &mut self.after,
        };
        *count += 1;
    }

    /// Whether it came through up to some number, and hardly any more after that.
    pub fn is_clean(&self) -> bool {
        self.before > 0 && self.hits >= 3 && self.after * 20 <= self.hits + self.after
    }
}

/// What became of the dials to one target, or from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Where it stands among [`targets`](crate::route::Routes::targets) or
    /// [`sources`](crate::route::Routes::sources).
    pub index: u32,
    /// How many dials it was its turn for, those that were skipped included.
    pub dialed: u32,
    /// Those since closed included.
    pub established: u32,
    pub errors: u32,
    /// Those that were closed, in whatever way.
    pub closed: u32,
    /// How many each reason ended, by [`EndReason`].
    pub reasons: [u32; EndReason::COUNT],
    /// Those that did not answer in time, and those that did.
    pub unanswered: u32,
    pub answered: u32,
    /// Closed by the peer on accept.
    pub closed_at_once: u32,
    /// Under way for a second and more, or established only after that.
    pub quiet: u32,
    pub onset: Onset,
    /// Of its dial times, to within 0.8%; zero where nothing was established.
    pub p99: Span,
}

impl Row {
    /// How many of its connections something happened to.
    pub fn count(&self, matter: Matter) -> u32 {
        let of = |reason: EndReason| self.reasons[reason as usize];
        match matter {
            Matter::EndReason(reason) => of(reason),
            Matter::Closed => of(EndReason::PeerClosed) + of(EndReason::PeerReset),
            Matter::Unanswered => self.unanswered,
        }
    }

    /// Worse ones first: by errors, by what became of the others, then by the time.
    fn badness(&self) -> (u32, u32, Span, u32) {
        (self.errors, self.closed + self.unanswered, self.p99, u32::MAX - self.index)
    }
}

/// Something that can become of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    EndReason(EndReason),
    /// Closed by the peer, in either way.
    Closed,
    Unanswered,
}

impl Matter {
    const COUNT: usize = EndReason::COUNT + 2;

    fn all() -> impl Iterator<Item = Matter> {
        EndReason::ALL
            .into_iter()
            .map(Matter::EndReason)
            .chain([Matter::Closed, Matter::Unanswered])
    }

    fn index(self) -> usize {
        match self {
            Matter::EndReason(reason) => reason as usize,
            Matter::Closed => EndReason::COUNT,
            Matter::Unanswered => EndReason::COUNT + 1,
        }
    }
}

/// All the rows in which something happened, those that are not kept included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Met {
    pub rows: usize,
    pub hits: u64,
    pub dialed: u64,
    pub established: u64,
    /// The row with the most hits, the first of them, and how many these are.
    pub worst: Option<(u32, u32)>,
}

impl Met {
    fn add(&mut self, row: &Row, hits: u32) {
        self.rows += 1;
        self.hits += u64::from(hits);
        self.dialed += u64::from(row.dialed);
        self.established += u64::from(row.established);
        if self.worst.is_none_or(|(_, most)| hits > most) {
            self.worst = Some((row.index, hits));
        }
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
    met: Vec<Met>,
}

impl Breakdown {
    /// O(connections).
    pub fn by_target(view: &RunView<'_>, on_accept: &OnAccept) -> Breakdown {
        let slots = |index| view.routes.slots_to(index, view.table.count());
        Breakdown::by(view, on_accept, view.routes.targets().len(), slots)
    }

    /// O(connections + routes).
    pub fn by_source(view: &RunView<'_>, on_accept: &OnAccept) -> Breakdown {
        let slots = |index| view.routes.slots_from(index, view.table.count());
        Breakdown::by(view, on_accept, view.routes.sources().len(), slots)
    }

    fn by<I: Iterator<Item = u32>>(
        view: &RunView<'_>,
        on_accept: &OnAccept,
        count: usize,
        slots: impl Fn(u32) -> I,
    ) -> Breakdown {
        if count < 2 {
            return Breakdown { count, ..Breakdown::default() };
        }
        let mut codes = Codes::new();
        let rows =
            (0..).take(count).map(|index| row(index, (view, on_accept), slots(index), &mut codes));
        Breakdown::of(count, rows)
    }

    /// Of so many rows, in the order of their index.
    pub fn of(count: usize, rows: impl Iterator<Item = Row>) -> Breakdown {
        let mut all = Breakdown { count, ..Breakdown::default() };
        rows.for_each(|row| all.add(&row));
        all
    }

    /// O([`ROWS_MAX`]).
    fn add(&mut self, row: &Row) {
        self.met.resize(Matter::COUNT, Met::default());
        for matter in Matter::all().filter(|matter| row.count(*matter) > 0) {
            self.met[matter.index()].add(row, row.count(matter));
        }
        let place = self.worst.partition_point(|other| other.badness() > row.badness());
        if place < ROWS_MAX {
            self.worst.truncate(ROWS_MAX - 1);
            self.worst.insert(place, *row);
        }
    }

    /// The rows in which something happened.
    pub fn met(&self, matter: Matter) -> Met {
        self.met.get(matter.index()).copied().unwrap_or_default()
    }
}

fn row(
    index: u32,
    (view, on_accept): (&RunView<'_>, &OnAccept),
    slots: impl Iterator<Item = u32>,
    codes: &mut Codes,
) -> Row {
    let mut row = Row { index, ..Row::default() };
    for slot in slots {
        let connection = view.table.of(slot);
        row.dialed += u32::from(connection.state != State::NotInitiated);
        row.errors += u32::from(connection.state == State::Error);
        row.closed += u32::from(connection.state == State::Closed);
        row.unanswered += u32::from(view.checks.has_missed(slot));
        row.answered += u32::from(view.checks.has_replied(slot));
        if let Some(dial) = Dial::of(view, on_accept, slot).filter(|dial| !dial.outcome.is_local())
        {
            let is_in = matches!(dial.outcome, Outcome::Through | Outcome::Slow);
            row.closed_at_once += u32::from(dial.closed_at_once);
            row.quiet += u32::from(matches!(dial.outcome, Outcome::Slow | Outcome::Pending));
            row.onset.add(!is_in || dial.closed_at_once);
        }
        if let Some(reason) = connection.reason {
            row.reasons[reason as usize] += 1;
        }
        if let Some(code) = connection.dial_time {
            row.established += 1;
            codes.record(code);
        }
    }
    row.p99 = codes.take_quantile(990);
    row
}
