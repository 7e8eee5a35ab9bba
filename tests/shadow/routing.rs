//! Routes: the source and target of each slot, exhausted routes, and the results by target and by
//! source.

use std::collections::BTreeSet;

use tcpgoon::engine::breakdown::{Breakdown, ROWS_MAX, Row};
use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::plan::Plan;
use tcpgoon::units::{Moment, NS_PER_S, Span};

use super::records::{Conn, Verdict};

#[derive(Debug, Clone)]
pub struct Routing {
    targets: usize,
    sources: usize,
    /// By slot: the indexes of its target and its source.
    routes: Vec<(usize, usize)>,
    exhausted: BTreeSet<(usize, usize)>,
    /// When a dial last found a route without ports, or was tried on one.
    tried_at: Moment,
    /// From one try to the next.
    pub patience: Span,
    pub skipped: u64,
}

impl Routing {
    /// All addresses are of one family.
    pub fn new(plan: &Plan) -> Routing {
        let (targets, sources) = (plan.routes.targets().len(), plan.routes.sources().len());
        // Each target begins with another source and moves on by one at each of its dials.
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
            tried_at: Moment(0),
            patience: match plan.lifetime {
                Some(_) => Span::from_ms(100),
                None => Span(NS_PER_S),
            },
            skipped: 0,
        }
    }

    /// Whether the dial of this slot is skipped. Once in a while one is tried.
    pub fn must_skip(&self, slot: u32, now: Moment) -> bool {
        let is_exhausted = self.exhausted.contains(&self.routes[slot as usize]);
        is_exhausted && now < self.tried_at + self.patience
    }

    /// When one on an exhausted route was last tried.
    pub fn tried_at(&self) -> Moment {
        self.tried_at
    }

    /// A dial of this slot is tried.
    pub fn dial(&mut self, slot: u32, now: Moment) {
        if self.exhausted.contains(&self.routes[slot as usize]) {
            self.tried_at = now;
        }
    }

    /// A dial got a port. Returns whether its route was exhausted.
    pub fn open(&mut self, slot: u32) -> bool {
        self.exhausted.remove(&self.routes[slot as usize])
    }

    /// A slot has ended. Returns whether that frees a port of an exhausted route.
    pub fn end(&mut self, slot: u32, reason: EndReason, now: Moment) -> bool {
        let route = self.routes[slot as usize];
        if reason == EndReason::NoPorts {
            self.tried_at = now;
            self.exhausted.insert(route);
            return false;
        }
        self.exhausted.remove(&route)
    }

    /// Compares the tables of the summary.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, conns: &[Conn], summary: &Summary) -> Verdict {
        if summary.churn.is_some() {
            let rows = summary.targets.worst.len() + summary.sources.worst.len();
            check!(rows == 0, "{rows} rows of a run that churns");
            return Ok(());
        }
        self.compare_one("target", conns, &summary.targets, self.targets, |route| route.0)?;
        self.compare_one("source", conns, &summary.sources, self.sources, |route| route.1)
    }

    fn compare_one(
        &self,
        kind: &str,
        conns: &[Conn],
        theirs: &Breakdown,
        count: usize,
        of: impl Fn(&(usize, usize)) -> usize,
    ) -> Verdict {
        check!(theirs.count == count, "{} {kind}s, not {count}", theirs.count);
        let rows = if count < 2 { 0 } else { count.min(ROWS_MAX) };
        check!(theirs.worst.len() == rows, "{} rows, not {rows}", theirs.worst.len());
        let tally = |index: usize| {
            let mine = self.routes.iter().zip(conns).filter(|(route, _)| of(route) == index);
            Group::of(mine.map(|(_, conn)| conn))
        };
        for row in &theirs.worst {
            let mine = tally(row.index as usize);
            let same = mine.fits(row);
            check!(same, "{kind} {}: {row:?}, and should be {mine:?}", row.index);
        }
        let severity = |row: &Row| (row.errors, row.closed + row.no_reply, row.p99);
        let order = |row: &Row| (std::cmp::Reverse(severity(row)), row.index);
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
    replied: u32,
    no_reply: u32,
    reasons: [u32; EndReason::COUNT],
    took: Vec<Span>,
}

impl Group {
    fn of<'a>(conns: impl Iterator<Item = &'a Conn>) -> Group {
        let mut group = Group::default();
        for conn in conns {
            group.dialed += u32::from(conn.state != State::NotInitiated);
            group.errors += u32::from(conn.state == State::Error);
            group.closed += u32::from(conn.state == State::Closed);
            group.replied += u32::from(conn.replied);
            group.no_reply += u32::from(conn.no_reply);
            conn.reason.iter().for_each(|reason| group.reasons[*reason as usize] += 1);
            group.took.extend(conn.took);
        }
        group.took.sort();
        group
    }

    fn fits(&self, row: &Row) -> bool {
        let count = self.took.len();
        let rank = (count * 99).div_ceil(100).max(1);
        let exact = self.took.get(rank - 1).copied().unwrap_or_default();
        // A bucket is at most 1/64 wide, and its middle is reported.
        let near = row.p99.0.abs_diff(exact.0) <= exact.0 / 64;
        let ends = (self.dialed, count, self.errors, self.closed, self.reasons);
        let replies = (self.replied, self.no_reply);
        near && replies == (row.replied, row.no_reply)
            && ends == (row.dialed, row.established as usize, row.errors, row.closed, row.reasons)
    }
}
