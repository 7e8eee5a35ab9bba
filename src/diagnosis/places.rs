//! Where a symptom is, and its pattern there: everywhere, at some targets or sources only, or at each
//! by a count of its own.

use super::Case;
use super::facts::{Facts, SameCount};
use super::model::Scope;
use super::pattern::{Fit, HITS_MIN, Part, Pattern, bits_of, fit, is_anywhere, levels_of};
use crate::engine::analysis::breakdown::{Breakdown, HitKind, Row};
use crate::engine::analysis::{Counts, Spread};
use crate::order::sort_short_by_key;
use crate::units::Moment;

/// Which dials a symptom is about, and which of them it hit.
pub struct What<'a> {
    pub all: &'a dyn Fn(&Counts) -> u32,
    pub hits: &'a dyn Fn(&Counts) -> u32,
    /// The hits of a row of targets or sources.
    pub row_hits: &'a dyn Fn(&Row) -> u32,
    /// What stands for them where there are more rows than are kept.
    pub matter: HitKind,
    /// Whether a limit, which can be one of each place, does it.
    pub may_be_a_limit: bool,
    /// Whether it is the place alone that decides: then no number of hits is too few.
    pub is_of_places: bool,
}

/// Where it is, with its pattern there, and when it began.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub fit: Fit,
    pub scope: Scope,
    pub began: Moment,
}

/// Once everywhere or at some places; or, where each place has a limit of another number, once for
/// each of them.
pub fn find(case: &Case<'_>, facts: &Facts, what: &What<'_>) -> Vec<Found> {
    let analysis = &case.summary.analysis;
    let whole = found(&analysis.everywhere, what, Scope::Everywhere);
    let hits = whole.fit.part.hits + whole.fit.outside;
    let kinds = [
        (&case.summary.targets, &analysis.targets, false),
        (&case.summary.sources, &analysis.sources, true),
    ];
    for (breakdown, spreads, is_source) in kinds {
        if let Some(some) = some_of(breakdown, what, hits, whole.fit.part.all) {
            return vec![at_some(whole, some, spreads, what, is_source)];
        }
        let same = if is_source { facts.each_source } else { facts.each_target };
        if what.may_be_a_limit && same.is_none() {
            let each = at_each(spreads, what, is_source);
            if each.len() > 1 {
                return each;
            }
        }
    }
    vec![Found { scope: each_of(facts, what), ..whole }]
}

fn found(spread: &Spread, what: &What<'_>, scope: Scope) -> Found {
    let bits = bits_of(&spread.timeline, what.all, what.hits);
    let levels = levels_of(&spread.levels, what.all, what.hits);
    let began = bits.iter().find(|bit| bit.hits > 0).map_or(Moment(0), |bit| bit.from);
    Found { fit: fit(&bits, &levels, spread.levels.reached), scope, began }
}

fn each_of(facts: &Facts, what: &What<'_>) -> Scope {
    if !what.may_be_a_limit {
        return Scope::Everywhere;
    }
    let range = |same: SameCount| (same.least..same.open, same.places);
    match (facts.each_source.map(range), facts.each_target.map(range)) {
        (Some((open, count)), _) => Scope::EachSource { open, count },
        (_, Some((open, count))) => Scope::EachTarget { open, count },
        _ => Scope::Everywhere,
    }
}

/// Some of several places.
struct Some {
    /// The most affected first; not all of them where there are very many.
    places: Vec<u32>,
    count: u32,
    part: Part,
}

fn scope_of(some: &Some, is_source: bool) -> Scope {
    let (places, count) = (some.places.clone(), some.count);
    if is_source { Scope::Sources { places, count } } else { Scope::Targets { places, count } }
}

fn at_some(
    whole: Found,
    some: Some,
    spreads: &[Spread],
    what: &What<'_>,
    is_source: bool,
) -> Found {
    let scope = scope_of(&some, is_source);
    let only = some.places.first().filter(|_| some.count == 1);
    let spread = only.and_then(|only| spreads.get(usize::try_from(*only).ok()?));
    if let Some(spread) = spread {
        return found(spread, what, scope);
    }
    let part = some.part;
    let pattern = match part.hits == part.all {
        true => Pattern::All,
        false => whole.fit.pattern,
    };
    Found { fit: Fit { pattern, part, ..Fit::NONE }, scope, ..whole }
}

/// Each place with hits, if each of them has a clear pattern, and not all the same one.
fn at_each(spreads: &[Spread], what: &What<'_>, is_source: bool) -> Vec<Found> {
    let mut each = Vec::new();
    let mut opens = Vec::new();
    for (index, spread) in (0..).zip(spreads) {
        let hits: u32 = spread.timeline.cells.iter().map(|cell| (what.hits)(&cell.counts)).sum();
        if hits == 0 {
            continue;
        }
        let some = Some { places: vec![index], count: 1, part: Part::default() };
        let found = found(spread, what, scope_of(&some, is_source));
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

/// Those of several places where all hits are, if that is no chance, and what part of the dials there
/// was hit.
fn some_of(breakdown: &Breakdown, what: &What<'_>, hits: u32, population: u32) -> Option<Some> {
    let is_whole = breakdown.count <= breakdown.worst.len();
    let (some, is_dead) = if is_whole {
        let mut met: Vec<(u32, &Row)> = breakdown
            .worst
            .iter()
            .map(|row| ((what.row_hits)(row), row))
            .filter(|(count, _)| *count > 0)
            .collect();
        sort_short_by_key(&mut met, |(count, _)| std::cmp::Reverse(*count));
        let all: u32 = met.iter().map(|(_, row)| row.dialed).sum();
        let is_dead = met.iter().all(|(_, row)| row.established == 0);
        let count = u32::try_from(met.len()).ok()?;
        let places = met.iter().map(|(_, row)| row.index).collect();
        (Some { places, count, part: Part { all: all.max(hits), hits } }, is_dead)
    } else {
        let met = breakdown.hits(what.matter);
        let (worst, _) = met.worst?;
        if met.hits != u64::from(hits) {
            return None;
        }
        let all = u32::try_from(met.dialed).ok()?;
        let count = u32::try_from(met.rows).ok()?;
        let part = Part { all: all.max(hits), hits };
        (Some { places: vec![worst], count, part }, met.established == 0)
    };
    let rows = usize::try_from(some.count).ok()?;
    let is_few = hits < HITS_MIN && !what.is_of_places;
    if rows == 0 || rows >= breakdown.count || is_few {
        return None;
    }
    let share = (u64::from(some.part.all), u64::from(population.max(some.part.all)));
    let is_chance =
        !is_dead && !what.is_of_places && is_anywhere(rows, breakdown.count, share, hits.into());
    (!is_chance).then_some(some)
}
