//! The shadow's view of routes: who dials what from where, counted out one by one, which routes have
//! no port left, and what became of each target and source.

use std::collections::BTreeSet;

use tcpgoon::engine::breakdown::{Breakdown, ROWS_MAX, Row};
use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::plan::Plan;
use tcpgoon::units::{Moment, NS_PER_S, Span};

use super::records::{Seat, Verdict};

#[derive(Debug, Clone)]
pub struct Routing {
    targets: usize,
    sources: usize,
    /// By slot: its target's and its source's place in the lists.
    routes: Vec<(usize, usize)>,
    exhausted: BTreeSet<(usize, usize)>,
    /// When it was found out last, or tried again, that a route has no port.
    asked_at: Moment,
    pub skipped: u64,
}

impl Routing {
    /// All of one family, as the scenarios have them.
    pub fn new(plan: &Plan) -> Routing {
        let (targets, sources) = (plan.routes.targets().len(), plan.routes.sources().len());
        // Each target begins with a source of its own and moves on by one at each of its dials.
        let mut next: Vec<usize> = (0..targets).collect();
        let mut routes = Vec::new();
        for target in (0..targets).cycle().take(plan.connections as usize) {
            routes.push((target, next[target] % sources.max(1)));
            next[target] += 1;
        }
        Routing {
            targets,
            sources,
            routes,
            exhausted: BTreeSet::new(),
            asked_at: Moment(0),
            skipped: 0,
        }
    }

    /// Whether a dial of this slot is skipped. Once a second one is tried all the same.
    pub fn is_forgone(&self, slot: u32, now: Moment) -> bool {
        let is_exhausted = self.exhausted.contains(&self.routes[slot as usize]);
        is_exhausted && now < self.asked_at + Span(NS_PER_S)
    }

    /// A dial of this slot is tried.
    pub fn dial(&mut self, slot: u32, now: Moment) {
        if self.exhausted.contains(&self.routes[slot as usize]) {
            self.asked_at = now;
        }
    }

    /// A slot's route has given it a port; says whether that was not to be expected.
    pub fn open(&mut self, slot: u32) -> bool {
        self.exhausted.remove(&self.routes[slot as usize])
    }

    /// Takes note of what ended a slot; says whether that made room on an exhausted route.
    pub fn end(&mut self, slot: u32, reason: EndReason, now: Moment) -> bool {
        let route = self.routes[slot as usize];
        if reason == EndReason::NoPorts {
            self.asked_at = now;
            self.exhausted.insert(route);
            return false;
        }
        self.exhausted.remove(&route)
    }

    /// Compares the tables of the summary with the seats.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, seats: &[Seat], summary: &Summary) -> Verdict {
        self.compare_one("target", seats, &summary.targets, self.targets, |route| route.0)?;
        self.compare_one("source", seats, &summary.sources, self.sources, |route| route.1)
    }

    fn compare_one(
        &self,
        kind: &str,
        seats: &[Seat],
        theirs: &Breakdown,
        count: usize,
        of: impl Fn(&(usize, usize)) -> usize,
    ) -> Verdict {
        check!(theirs.count == count, "{} {kind}s, not {count}", theirs.count);
        let rows = if count < 2 { 0 } else { count.min(ROWS_MAX) };
        check!(theirs.worst.len() == rows, "{} rows, not {rows}", theirs.worst.len());
        let tally = |index: usize| {
            let mine = self.routes.iter().zip(seats).filter(|(route, _)| of(route) == index);
            Group::of(mine.map(|(_, seat)| seat))
        };
        for row in &theirs.worst {
            let mine = tally(row.index as usize);
            let same = mine.fits(row);
            check!(same, "{kind} {}: {row:?}, and should be {mine:?}", row.index);
        }
        let badness = |row: &Row| (row.errors, row.closed + row.unanswered, row.p99);
        let order = |row: &Row| (std::cmp::Reverse(badness(row)), row.index);
        let is_sorted = theirs.worst.is_sorted_by_key(order);
        check!(is_sorted, "the worst {kind} is not the first: {:?}", theirs.worst);
        let listed: Vec<usize> = theirs.worst.iter().map(|row| row.index as usize).collect();
        let least = theirs.worst.last().map_or(0, |row| row.errors);
        for left_out in (0..count).filter(|index| rows > 0 && !listed.contains(index)) {
            let errors = tally(left_out).errors;
            check!(errors <= least, "{kind} {left_out} has {errors} errors and is not listed");
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Group {
    dialed: u32,
    errors: u32,
    closed: u32,
    answered: u32,
    unanswered: u32,
    reasons: [u32; EndReason::COUNT],
    took: Vec<Span>,
}

impl Group {
    fn of<'a>(seats: impl Iterator<Item = &'a Seat>) -> Group {
        let mut group = Group::default();
        for seat in seats {
            group.dialed += u32::from(seat.state != State::NotInitiated);
            group.errors += u32::from(seat.state == State::Error);
            group.closed += u32::from(seat.state == State::Closed);
            group.answered += u32::from(seat.answered);
            group.unanswered += u32::from(seat.unanswered);
            seat.reason.iter().for_each(|reason| group.reasons[*reason as usize] += 1);
            group.took.extend(seat.took);
        }
        group.took.sort();
        group
    }

    fn fits(&self, row: &Row) -> bool {
        let count = self.took.len();
        let rank = (count * 99).div_ceil(100).max(1);
        let exact = self.took.get(rank - 1).copied().unwrap_or_default();
        // A bucket is 1/64 wide at most, and its middle is told.
        let near = row.p99.0.abs_diff(exact.0) <= exact.0 / 64;
        let ends = (self.dialed, count, self.errors, self.closed, self.reasons);
        let words = (self.answered, self.unanswered);
        near && words == (row.answered, row.unanswered)
            && ends == (row.dialed, row.established as usize, row.errors, row.closed, row.reasons)
    }
}
