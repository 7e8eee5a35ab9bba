//! The run by target and by source. Nothing is kept for it while the run goes on: it is read from the
//! table at the end.

use super::dial::{Fate, Outcome, RunView};
use super::dials::Dials;
use crate::engine::connection::{EndReason, State};
use crate::engine::histogram::Code;
use crate::units::Span;

/// The most rows that are kept.
pub const ROWS_MAX: usize = 20;

/// How the hits of one row are spread over its dials: those that failed beyond this host or were closed
/// on accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// Dials that came through before the first hit, and after it.
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

    /// Whether dials came through up to some number, and hardly any after that.
    pub fn is_clean(&self) -> bool {
        self.before > 0 && self.hits >= 3 && self.after * 20 <= self.hits + self.after
    }
}

/// What became of the dials to one target, or from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Its index in [`targets`](crate::route::Routes::targets) or
    /// [`sources`](crate::route::Routes::sources).
    pub index: u32,
    /// Skipped dials included.
    pub dialed: u32,
    /// Those since closed included.
    pub established: u32,
    pub errors: u32,
    /// For any reason.
    pub closed: u32,
    /// By [`EndReason`].
    pub reasons: [u32; EndReason::COUNT],
    /// Without the expected reply in time, and with it.
    pub no_reply: u32,
    pub replied: u32,
    /// Closed by the peer on accept.
    pub closed_at_once: u32,
    /// Pending for a second or more, or established only after that.
    pub slow_or_pending: u32,
    pub onset: Onset,
    /// Of its dial times, to within 0.8%; zero if none was established.
    pub p99: Span,
}

impl Row {
    /// How many of its connections had a hit.
    pub fn count(&self, kind: HitKind) -> u32 {
        let of = |reason: EndReason| self.reasons[reason as usize];
        match kind {
            HitKind::EndReason(reason) => of(reason),
            HitKind::Closed => of(EndReason::PeerClosed) + of(EndReason::PeerReset),
            HitKind::NoReply => self.no_reply,
        }
    }

    /// The order of rows: by errors, by other hits, by dial time.
    fn severity(&self) -> (u32, u32, Span, u32) {
        (self.errors, self.closed + self.no_reply, self.p99, u32::MAX - self.index)
    }
}

/// What a row counts as a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    EndReason(EndReason),
    /// Closed by the peer, in either way.
    Closed,
    NoReply,
}

impl HitKind {
    pub const COUNT: usize = EndReason::COUNT + 2;

    pub fn all() -> impl Iterator<Item = HitKind> {
        (0..HitKind::COUNT).map(|index| match EndReason::ALL.get(index) {
            Some(reason) => HitKind::EndReason(*reason),
            None if index == EndReason::COUNT => HitKind::Closed,
            None => HitKind::NoReply,
        })
    }

    fn index(self) -> usize {
        match self {
            HitKind::EndReason(reason) => reason as usize,
            HitKind::Closed => EndReason::COUNT,
            HitKind::NoReply => EndReason::COUNT + 1,
        }
    }
}

/// All rows with a hit of one kind, those that are not kept included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    pub rows: usize,
    pub hits: u64,
    pub dialed: u64,
    pub established: u64,
    /// The row with the most hits, the first of them, and how many these are.
    pub worst: Option<(u32, u32)>,
}

impl Hits {
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

/// All targets, or all sources. A single one has no row, which would repeat the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// How many there are.
    pub count: usize,
    /// The worst first, at most [`ROWS_MAX`].
    pub worst: Vec<Row>,
    hits: Vec<Hits>,
}

impl Breakdown {
    /// O(connections + targets). Allocates two bytes for each established connection.
    pub fn by_target(view: &RunView<'_>, dials: &Dials) -> Breakdown {
        let count = view.routes.targets().len();
        Breakdown::by(view, dials, count, view.routes.target_indexes().map(Some))
    }

    /// O(connections + sources). Allocates the same.
    pub fn by_source(view: &RunView<'_>, dials: &Dials) -> Breakdown {
        let count = view.routes.sources().len();
        let rows = (0..view.table.count()).map(|slot| view.routes.source_index(slot));
        Breakdown::by(view, dials, count, rows)
    }

    fn by(
        view: &RunView<'_>,
        dials: &Dials,
        count: usize,
        rows: impl Iterator<Item = Option<u32>> + Clone,
    ) -> Breakdown {
        if count < 2 {
            return Breakdown { count, ..Breakdown::default() };
        }
        let mut sums = vec![Sums::ZERO; count];
        for ((_, fate), row) in dials.fates().zip(rows.clone()) {
            if let Some(row) = row.filter(|_| fate.is_dialed()) {
                sums[row as usize].add(fate, dials);
            }
        }
        let p99s = p99s(view, &sums, rows);
        let rows =
            (0..).zip(sums.iter().zip(p99s)).map(|(index, (sums, p99))| sums.row(index, p99));
        Breakdown::of(count, rows)
    }

    /// Of `count` rows, in the order of their index.
    pub fn of(count: usize, rows: impl Iterator<Item = Row>) -> Breakdown {
        let mut all = Breakdown { count, ..Breakdown::default() };
        rows.for_each(|row| all.add(&row));
        all
    }

    /// O([`ROWS_MAX`]).
    fn add(&mut self, row: &Row) {
        self.hits.resize(HitKind::COUNT, Hits::default());
        for kind in HitKind::all().filter(|kind| row.count(*kind) > 0) {
            self.hits[kind.index()].add(row, row.count(kind));
        }
        let place = self.worst.partition_point(|other| other.severity() > row.severity());
        if place < ROWS_MAX {
            self.worst.truncate(ROWS_MAX - 1);
            self.worst.insert(place, *row);
        }
    }

    /// The hits of more rows than are kept, where those that are do not tell.
    pub fn set_hits(&mut self, kind: HitKind, hits: Hits) {
        self.hits.resize(HitKind::COUNT, Hits::default());
        self.hits[kind.index()] = hits;
    }

    /// The rows with a hit.
    pub fn hits(&self, kind: HitKind) -> Hits {
        self.hits.get(kind.index()).copied().unwrap_or_default()
    }
}

/// The slots of one row, by fate.
#[derive(Clone)]
struct Sums {
    fates: [u32; Fate::COUNT],
    onset: Onset,
}

impl Sums {
    const ZERO: Sums =
        Sums { fates: [0; Fate::COUNT], onset: Onset { before: 0, after: 0, hits: 0 } };

    fn add(&mut self, fate: Fate, dials: &Dials) {
        self.fates[fate.index()] += 1;
        if let Some(dial) = dials.dial(fate).filter(|dial| !dial.outcome.is_local()) {
            let is_in = matches!(dial.outcome, Outcome::Through | Outcome::Slow);
            self.onset.add(!is_in || dial.closed_at_once);
        }
    }

    fn row(&self, index: u32, p99: Span) -> Row {
        let mut row = Row { index, onset: self.onset, p99, ..Row::default() };
        for (fate, count) in self.fates.iter().enumerate().filter(|(_, count)| **count > 0) {
            let fate = Fate::at(fate);
            row.dialed += count;
            if fate.is_established() {
                row.established += count;
            }
            if let Some(reason) = fate.reason() {
                row.reasons[reason as usize] += count;
                match reason.ends_in() {
                    State::Error => row.errors += count,
                    _ => row.closed += count,
                }
            }
            let Some(dial) = fate.dial() else { continue };
            let sums = [
                (&mut row.replied, dial.replied),
                (&mut row.no_reply, dial.no_reply),
                (&mut row.closed_at_once, dial.closed_at_once),
                (
                    &mut row.slow_or_pending,
                    matches!(dial.outcome, Outcome::Slow | Outcome::Pending),
                ),
            ];
            sums.into_iter().filter(|(_, is)| *is).for_each(|(sum, _)| *sum += count);
        }
        row
    }

    fn established(&self) -> usize {
        let established =
            self.fates.iter().enumerate().filter(|(f, _)| Fate::at(*f).is_established());
        established.map(|(_, count)| *count as usize).sum()
    }
}

/// The 99th percentile of the dial times of each row: all times grouped by row, then a selection in
/// each.
fn p99s(view: &RunView<'_>, sums: &[Sums], rows: impl Iterator<Item = Option<u32>>) -> Vec<Span> {
    let mut ends = Vec::with_capacity(sums.len());
    let mut all = 0;
    for sums in sums {
        ends.push(all);
        all += sums.established();
    }
    let mut times = vec![Code::of(Span::ZERO); all];
    for (connection, row) in view.table.iter().zip(rows) {
        if let (Some(time), Some(row)) = (connection.dial_time, row) {
            let end = &mut ends[row as usize];
            times[*end] = time;
            *end += 1;
        }
    }
    let mut first = 0;
    let p99 = |end: &usize| {
        let times = &mut times[std::mem::replace(&mut first, *end)..*end];
        let rank = (times.len() * 990).div_ceil(1000).checked_sub(1);
        rank.map_or(Span::ZERO, |rank| times.select_nth_unstable(rank).1.middle())
    };
    ends.iter().map(p99).collect()
}
