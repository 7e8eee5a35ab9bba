//! The scope of a symptom, and its pattern in that scope: everywhere, at some targets or sources only,
//! or at each with a limit of its own.

use super::Case;
use super::facts::{Facts, SameCount};
use super::model::Scope;
use super::pattern::{Fit, HITS_MIN, Part, Pattern, bits_of, fit, levels_of, may_be_anywhere};
use crate::engine::analysis::breakdown::{Breakdown, HitKind, Row};
use crate::engine::analysis::{Counts, Spread};
use crate::order::sort_short_by_key;
use crate::units::Moment;

/// Which dials a symptom can hit, and which it hit.
pub struct SymptomFilter<'a> {
    pub all: &'a dyn Fn(&Counts) -> u32,
    pub hits: &'a dyn Fn(&Counts) -> u32,
    /// Hits in the row of a target or source.
    pub row_hits: &'a dyn Fn(&Row) -> u32,
    /// The kind of hits to look up if not all rows are kept.
    pub hit_kind: HitKind,
    /// Whether a limit, of all or of each target or source, can cause it.
    pub is_limit_possible: bool,
    /// Whether the route alone decides: then one hit is enough.
    pub depends_on_route_only: bool,
}

/// A scope, the pattern in it, and when the symptom began.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub fit: Fit,
    pub scope: Scope,
    pub began: Moment,
}

/// One result; or, if targets or sources have limits of different numbers, one for each of them.
pub fn find(case: &Case<'_>, facts: &Facts, filter: &SymptomFilter<'_>) -> Vec<Found> {
    let analysis = &case.summary.analysis;
    let whole = found(&analysis.everywhere, filter, Scope::Everywhere);
    let hits = whole.fit.part.hits + whole.fit.outside;
    let kinds = [
        (&case.summary.targets, &analysis.targets, false),
        (&case.summary.sources, &analysis.sources, true),
    ];
    for (breakdown, spreads, is_source) in kinds {
        if let Some(affected) = affected_of(breakdown, filter, hits, whole.fit.part.all) {
            return vec![at_some(whole, affected, spreads, filter, is_source)];
        }
        let same = if is_source { facts.each_source } else { facts.each_target };
        if filter.is_limit_possible && same.is_none() {
            let each = at_each(spreads, filter, is_source);
            if each.len() > 1 {
                return each;
            }
        }
    }
    vec![Found { scope: each_of(facts, filter), ..whole }]
}

/// The scope alone, of hits that only rows tell: `share.hits` of the `share.all` connections.
pub fn by_rows(case: &Case<'_>, filter: &SymptomFilter<'_>, share: Part) -> Scope {
    let of = |(breakdown, is_source): (&Breakdown, bool)| {
        let affected = affected_of(breakdown, filter, share.hits, share.all.max(share.hits))?;
        Some(scope_of(&affected, is_source))
    };
    let kinds = [(&case.summary.targets, false), (&case.summary.sources, true)];
    kinds.into_iter().find_map(of).unwrap_or(Scope::Everywhere)
}

fn found(spread: &Spread, filter: &SymptomFilter<'_>, scope: Scope) -> Found {
    let bits = bits_of(&spread.timeline, filter.all, filter.hits);
    let levels = levels_of(&spread.levels, filter.all, filter.hits);
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(Moment(0), |bit| bit.from);
    Found { fit: fit(&bits, &levels, spread.levels.reached), scope, began }
}

fn each_of(facts: &Facts, filter: &SymptomFilter<'_>) -> Scope {
    if !filter.is_limit_possible {
        return Scope::Everywhere;
    }
    let range = |same: SameCount| (same.least..same.open, same.places);
    match (facts.each_source.map(range), facts.each_target.map(range)) {
        (Some((open, count)), _) => Scope::EachSource { open, count },
        (_, Some((open, count))) => Scope::EachTarget { open, count },
        _ => Scope::Everywhere,
    }
}

/// Some of several targets or sources.
struct Affected {
    /// The most affected first; may be shorter than `count`.
    indexes: Vec<u32>,
    count: u32,
    part: Part,
}

fn scope_of(affected: &Affected, is_source: bool) -> Scope {
    let (indexes, count) = (affected.indexes.clone(), affected.count);
    if is_source { Scope::Sources { indexes, count } } else { Scope::Targets { indexes, count } }
}

fn at_some(
    whole: Found,
    affected: Affected,
    spreads: &[Spread],
    filter: &SymptomFilter<'_>,
    is_source: bool,
) -> Found {
    let scope = scope_of(&affected, is_source);
    let only = affected.indexes.first().filter(|_| affected.count == 1);
    let spread = only.and_then(|only| spreads.get(usize::try_from(*only).ok()?));
    if let Some(spread) = spread {
        return found(spread, filter, scope);
    }
    let part = affected.part;
    let pattern = match part.hits == part.all {
        true => Pattern::All,
        false => whole.fit.pattern,
    };
    Found { fit: Fit { pattern, part, ..Fit::NONE }, scope, ..whole }
}

/// Each target or source with hits, if each has a clear pattern of its own, and these differ.
fn at_each(spreads: &[Spread], filter: &SymptomFilter<'_>, is_source: bool) -> Vec<Found> {
    let mut each = Vec::new();
    let mut opens = Vec::new();
    for (index, spread) in (0..).zip(spreads) {
        let cells = spread.timeline.cells.iter();
        let hits: u64 = cells.map(|cell| u64::from((filter.hits)(&cell.counts))).sum();
        if hits == 0 {
            continue;
        }
        let affected = Affected { indexes: vec![index], count: 1, part: Part::default() };
        let found = found(spread, filter, scope_of(&affected, is_source));
        match &found.fit.pattern {
            Pattern::AboveCount { open } if hits >= HITS_MIN => opens.push(open.clone()),
            Pattern::All if hits >= HITS_MIN => opens.push(0..0),
            _ => return Vec::new(),
        }
        each.push(found);
    }
    let is_same = |a: &std::ops::Range<u32>, b: &std::ops::Range<u32>| {
        a.start.abs_diff(b.start) <= 1 + a.start.max(b.start) / 20
    };
    let differ = opens.windows(2).any(|pair| !is_same(&pair[0], &pair[1]));
    if differ { each } else { Vec::new() }
}

/// The targets or sources that have all hits, if that is not chance, with their dials and hits.
fn affected_of(
    breakdown: &Breakdown,
    filter: &SymptomFilter<'_>,
    hits: u64,
    population: u64,
) -> Option<Affected> {
    let is_whole = breakdown.count <= breakdown.worst.len();
    let (affected, none_established) = if is_whole {
        let mut affected_rows: Vec<(u32, &Row)> = breakdown
            .worst
            .iter()
            .map(|row| ((filter.row_hits)(row), row))
            .filter(|(count, _)| *count > 0)
            .collect();
        sort_short_by_key(&mut affected_rows, |(count, _)| std::cmp::Reverse(*count));
        let all: u64 = affected_rows.iter().map(|(_, row)| u64::from(row.dialed)).sum();
        let none_established = affected_rows.iter().all(|(_, row)| row.established == 0);
        let count = u32::try_from(affected_rows.len()).ok()?;
        let indexes = affected_rows.iter().map(|(_, row)| row.index).collect();
        (Affected { indexes, count, part: Part { all: all.max(hits), hits } }, none_established)
    } else {
        let affected_rows = breakdown.hits(filter.hit_kind);
        let (worst, _) = affected_rows.worst?;
        if affected_rows.hits != hits {
            return None;
        }
        let count = u32::try_from(affected_rows.rows).ok()?;
        let part = Part { all: affected_rows.dialed.max(hits), hits };
        (Affected { indexes: vec![worst], count, part }, affected_rows.established == 0)
    };
    let rows = usize::try_from(affected.count).ok()?;
    let is_few = hits < HITS_MIN && !filter.depends_on_route_only;
    if rows == 0 || rows >= breakdown.count || is_few {
        return None;
    }
    let share = (affected.part.all, population.max(affected.part.all));
    let is_chance = !none_established
        && !filter.depends_on_route_only
        && may_be_anywhere(rows, breakdown.count, share, hits);
    (!is_chance).then_some(affected)
}

#[cfg(test)]
mod tests {
    use crate::counters::Counters;
    use crate::diagnosis::model::{Scope, Symptom};
    use crate::diagnosis::{Case, diagnose};
    use crate::engine::analysis::{Cell, Counts, Timeline};
    use crate::engine::breakdown::{Breakdown, HitKind, Hits};
    use crate::engine::{EndReason, Summary};
    use crate::icmp::IcmpTally;
    use crate::plan::Plan;
    use crate::route::{Routes, Target};

    /// A run of 20 million to 40 targets, in a timeline of 200 cells, of which one target closed all of
    /// its connections later.
    #[test]
    fn closes_are_counted_once_however_many_cells_a_timeline_has() {
        let target = |last| Target { host: "h".into(), address: ([10, 0, 0, last], 80).into() };
        let routes = Routes::new((1..=40).map(target).collect(), &[]).unwrap();
        let plan = Plan::plain(20_000_000, routes);
        let mut summary = Summary::default();
        (summary.established_ever, summary.last.connections) = (20_000_000, 20_000_000);
        summary.flow[EndReason::PeerClosed as usize] = 500_000;
        let mut counts = Counts { dials: 100_000, ..Counts::ZERO };
        counts.outcomes[0] = 100_000;
        let mut cell = Cell::default();
        cell.counts = counts;
        summary.analysis.everywhere.timeline = Timeline::of(vec![cell; 200]);
        summary.analysis.closes.count = 500_000;
        summary.targets = Breakdown::of(40, std::iter::empty());
        let (dialed, established) = (500_000, 500_000);
        let hits = Hits { rows: 1, hits: 500_000, dialed, established, worst: Some((7, 500_000)) };
        summary.targets.set_hits(HitKind::Closed, hits);
        let diagnosis = diagnose(&Case {
            plan: &plan,
            summary: &summary,
            counters: &Counters::default(),
            icmp: &IcmpTally::default(),
            findings: &[],
            last_lines: &[],
        });
        let closed = diagnosis
            .problems
            .iter()
            .find(|problem| matches!(problem.symptom, Symptom::Closed { .. }));
        let scope = Scope::Targets { indexes: vec![7], count: 1 };
        assert_eq!(closed.map(|problem| &problem.scope), Some(&scope));
    }
}
