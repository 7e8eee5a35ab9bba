//! How hits are spread over the dials of a run: by the order of their SYNs, and by how many
//! connections were open at each. A pattern is claimed only if it is not chance.

use std::ops::{Add, Range};

use super::chance::{
    CHANCE_MAX, float, is_periodic, is_random_order, p_value_of_block, p_value_of_lead_in,
};
pub use super::chance::{Part, may_be_anywhere};
use crate::engine::analysis::{Cell, Counts, Levels, Timeline};
use crate::units::{Moment, low_32};

/// Stricter: an outage is searched for at every position.
pub const WINDOW_CHANCE_MAX: f64 = 0.01;

/// Fewer hits do not make `PartlyAboveCount`.
const PARTLY_HITS_MIN: u64 = 5;

/// Stricter: at 5% one run in twenty with random loss would show a lead-in.
const LEAD_IN_CHANCE_MAX: f64 = 0.001;

/// A limit that is not known exactly may be exceeded by this and a fifth of it.
const PASSED_MIN: u32 = 2;

/// Fewer hits are reported without a pattern.
pub const HITS_MIN: u64 = 3;

/// How hits are spread over the dials of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    All,
    /// Nearly all, with a few misses among them.
    NearlyAll,
    /// Nearly all with this many connections open or more, hardly any with fewer.
    AboveCount {
        open: Range<u32>,
    },
    /// Some with this many connections open or more; none before.
    PartlyAboveCount {
        open: Range<u32>,
    },
    /// Nearly all from a moment to the end of the run, at any number of open connections.
    FromMoment {
        at: Moment,
    },
    /// Nearly all up to a moment, hardly any later.
    InitialOutage {
        to: Moment,
    },
    /// Nearly all in between, hardly any before or later.
    Outage {
        from: Moment,
        to: Moment,
    },
    /// Some, in random order.
    Scattered,
    /// Some, neither in random order nor in one of the patterns above.
    Irregular,
    /// Too few.
    TooFew,
}

impl Pattern {
    /// Whether the number of open connections decides.
    pub fn is_a_count(&self) -> bool {
        matches!(self, Pattern::AboveCount { .. } | Pattern::PartlyAboveCount { .. })
    }

    /// Whether it shows what decides.
    pub fn is_clear(&self) -> bool {
        !matches!(self, Pattern::Scattered | Pattern::Irregular | Pattern::TooFew)
    }

    /// Whether later dials succeeded.
    pub fn is_over(&self) -> bool {
        matches!(self, Pattern::InitialOutage { .. } | Pattern::Outage { .. })
    }
}

/// A pattern, the dials that it covers, and what else would fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    pub pattern: Pattern,
    pub part: Part,
    /// Hits outside of `part`.
    pub outside: u64,
    /// A count that would explain an outage as well.
    pub or_else: Option<Pattern>,
    /// Whether hits are spaced more evenly than by chance.
    pub is_periodic: bool,
}

impl Fit {
    /// Nothing was hit.
    pub const NONE: Fit = Fit {
        pattern: Pattern::TooFew,
        part: Part { all: 0, hits: 0 },
        outside: 0,
        or_else: None,
        is_periodic: false,
    };
}

/// Consecutive dials, or dials at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bit {
    pub all: u32,
    pub hits: u32,
    pub from: Moment,
    pub to: Moment,
    pub level: Range<u32>,
    /// The level at the first of them.
    pub level_at_first: Range<u32>,
}

impl Bit {
    fn part(&self) -> Part {
        Part { all: self.all.into(), hits: self.hits.into() }
    }
}

/// The cells of a timeline as `all` and `hits` count them.
pub fn bits_of(
    timeline: &Timeline,
    all: &dyn Fn(&Counts) -> u32,
    hits: &dyn Fn(&Counts) -> u32,
) -> Vec<Bit> {
    let bit = |cell: &Cell| Bit {
        all: all(&cell.counts),
        hits: hits(&cell.counts).min(all(&cell.counts)),
        from: cell.from,
        to: cell.to,
        level: cell.level.clone(),
        level_at_first: cell.level_at_first.clone(),
    };
    timeline.cells.iter().map(bit).filter(|bit| bit.all > 0).collect()
}

/// The same by number of open connections.
pub fn levels_of(
    levels: &Levels,
    all: &dyn Fn(&Counts) -> u32,
    hits: &dyn Fn(&Counts) -> u32,
) -> Vec<Bit> {
    let bit = |(index, cell): (usize, &Counts)| Bit {
        all: all(cell),
        hits: hits(cell).min(all(cell)),
        from: Moment(0),
        to: Moment(0),
        level: levels.range(index),
        level_at_first: levels.range(index),
    };
    levels.cells.iter().enumerate().map(bit).filter(|bit| bit.all > 0).collect()
}

/// The pattern of hits. `bits`: dials in the order of their SYNs; `levels`: the same dials by open
/// connections; `reached`: the most that were open. O(bits + levels).
pub fn fit(bits: &[Bit], levels: &[Bit], reached: u32) -> Fit {
    let spread = Spread::of(bits);
    let whole = spread.whole();
    let found =
        |pattern, part: Part| Fit { pattern, part, outside: whole.hits - part.hits, ..Fit::NONE };
    if whole.hits == whole.all {
        return found(Pattern::All, whole);
    }
    if whole.hits < HITS_MIN {
        return found(Pattern::TooFew, whole);
    }
    // A limit that later dials exceed is none.
    let is_exceeded = |pattern: &Pattern| match pattern {
        Pattern::AboveCount { open } => reached > open.end + open.end / 5 + PASSED_MIN,
        _ => false,
    };
    let (by_order, by_level) = (spread.stretch(bits), threshold(levels));
    let exceeded = [&by_order, &by_level]
        .into_iter()
        .flatten()
        .find(|(found, part)| is_exceeded(found) && part.hits == whole.hits);
    if let Some((Pattern::AboveCount { open }, part)) = exceeded {
        return found(Pattern::PartlyAboveCount { open: open.clone() }, *part);
    }
    let by_order = by_order.filter(|(pattern, _)| !is_exceeded(pattern));
    let by_level = by_level.filter(|(pattern, _)| !is_exceeded(pattern));
    match (by_order, by_level) {
        (Some((pattern, part)), Some((level, _))) if pattern.is_over() => {
            let fit = found(pattern.clone(), part);
            // Dials failed only at the highest levels: a count fits as well, and better than an
            // outage at an arbitrary position.
            return Fit { or_else: Some(level), ..fit };
        }
        (Some((pattern, part)), _) => return found(pattern, part),
        (None, Some((pattern, part))) => return found(pattern, part),
        (None, None) => {}
    }
    if is_dense(whole) {
        return found(Pattern::NearlyAll, whole);
    }
    let rest = Part { all: whole.all - spread.lead_in, hits: whole.hits };
    if rest.misses() == 0 {
        // A block at the end, which may be chance.
        return found(Pattern::TooFew, whole);
    }
    let chance = p_value_of_lead_in(spread.lead_in, rest);
    if chance <= LEAD_IN_CHANCE_MAX && spread.is_level_rising && rest.hits >= PARTLY_HITS_MIN {
        let open = spread.at_first.clone();
        return found(Pattern::PartlyAboveCount { open }, rest);
    }
    let parts: Vec<Part> = bits.iter().map(Bit::part).collect();
    match is_random_order(&parts) {
        true => Fit { is_periodic: is_periodic(&parts), ..found(Pattern::Scattered, whole) },
        false => found(Pattern::Irregular, whole),
    }
}

/// Hits before, in and after the densest stretch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Spread {
    before: Part,
    within: Part,
    after: Part,
    /// The bits of the stretch.
    stretch: Range<usize>,
    /// Dials before the first hit, and the level at that.
    lead_in: u64,
    at_first: Range<u32>,
    /// Whether the level at the first hit is the highest so far.
    is_level_rising: bool,
}

impl Spread {
    fn of(bits: &[Bit]) -> Spread {
        let stretch = densest(bits);
        let mut spread = Spread { stretch: stretch.clone(), ..Spread::default() };
        let first = bits.iter().position(|bit| bit.hits > 0).unwrap_or(bits.len());
        spread.lead_in = bits[..first].iter().map(|bit| u64::from(bit.all)).sum();
        spread.at_first = bits.get(first).map_or(0..0, |bit| bit.level_at_first.clone());
        let highest = bits[..first].iter().map(|bit| bit.level.end).max().unwrap_or(0);
        spread.is_level_rising = spread.at_first.end >= highest;
        for (index, bit) in bits.iter().enumerate() {
            if index < stretch.start {
                spread.before += bit.part();
            } else if index < stretch.end {
                spread.within += bit.part();
            } else {
                spread.after += bit.part();
            }
        }
        spread
    }

    fn whole(&self) -> Part {
        self.before + self.within + self.after
    }

    /// Whether the stretch lasts to the end, but for a few misses.
    fn is_to_the_end(&self) -> bool {
        self.after.all * 20 <= self.within.all
    }

    /// The pattern of the stretch: nearly all hit inside, hardly any outside, and not by chance.
    fn stretch(&self, bits: &[Bit]) -> Option<(Pattern, Part)> {
        let Spread { before, within, after, .. } = *self;
        let outside = before + after;
        let is_clear = outside.hits * 10 <= outside.all && within.hits * 2 >= self.whole().hits;
        if !is_dense(within) || !is_clear || within.hits < HITS_MIN {
            return None;
        }
        let stretch = &bits[self.stretch.clone()];
        let (first, last) = (stretch.first()?, stretch.last()?);
        let (pattern, part, missed, positions, chance_max) =
            match (before.all, self.is_to_the_end()) {
                (0, true) => return Some((Pattern::NearlyAll, within + after)),
                (_, true) => {
                    (self.since(first, stretch), within + after, before.misses(), 1, CHANCE_MAX)
                }
                (0, false) => {
                    (Pattern::InitialOutage { to: last.to }, within, after.misses(), 1, CHANCE_MAX)
                }
                (_, false) => {
                    let misses = before.misses() + after.misses();
                    (
                        Pattern::Outage { from: first.from, to: last.to },
                        within,
                        misses,
                        misses + 1,
                        WINDOW_CHANCE_MAX,
                    )
                }
            };
        let chance = p_value_of_block(missed, part.hits) * float(positions);
        (chance <= chance_max).then_some((pattern, part))
    }

    /// `AboveCount`, unless later dials failed with far fewer open, or none was open.
    fn since(&self, first: &Bit, stretch: &[Bit]) -> Pattern {
        let open = first.level_at_first.clone();
        let least = stretch.iter().map(|bit| bit.level.end).min().unwrap_or(0);
        let is_known = open.start * 2 >= open.end;
        if open.end == 0 || !is_known || u64::from(least) * 10 < u64::from(open.start) * 9 {
            return Pattern::FromMoment { at: first.from };
        }
        Pattern::AboveCount { open }
    }
}

/// The densest stretch: the one with the most hits above the average of all. O(bits). Source: J.
/// Bentley, "Algorithm design techniques", CACM 27 (1984).
fn densest(bits: &[Bit]) -> Range<usize> {
    let all: i128 = bits.iter().map(|bit| i128::from(bit.all)).sum();
    let hits: i128 = bits.iter().map(|bit| i128::from(bit.hits)).sum();
    if all == hits {
        return 0..bits.len();
    }
    let (mut start, mut sum) = (0, 0i128);
    let (mut best, mut best_sum) = (0..0, 0i128);
    for (index, bit) in bits.iter().enumerate() {
        sum += i128::from(bit.hits) * all - hits * i128::from(bit.all);
        if sum <= 0 {
            (start, sum) = (index + 1, 0);
        } else if sum > best_sum {
            (best, best_sum) = (start..index + 1, sum);
        }
    }
    best
}

/// The number of open connections that separates misses (below) from hits (at it and above), with at
/// most one in ten on either wrong side, and not by chance.
fn threshold(levels: &[Bit]) -> Option<(Pattern, Part)> {
    let whole = sum(levels);
    let mut below = Part::default();
    let mut best: Option<(u64, usize, Part)> = None;
    for (index, bit) in levels.iter().enumerate() {
        let above = Part { all: whole.all - below.all, hits: whole.hits - below.hits };
        let wrong = below.hits + above.misses();
        if best.is_none_or(|(least, ..)| wrong < least) {
            best = Some((wrong, index, below));
        }
        below += bit.part();
    }
    let (_, index, below) = best?;
    let above = Part { all: whole.all - below.all, hits: whole.hits - below.hits };
    let is_separated = below.misses() >= HITS_MIN
        && above.hits >= HITS_MIN
        && below.hits * 10 <= whole.hits
        && above.misses() * 10 <= above.all
        && below.hits * 5 <= below.all;
    let chance = p_value_of_block(below.misses(), above.hits);
    if !is_separated || chance > CHANCE_MAX / f64::from(low_32(levels.len() as u64)) {
        return ceiling(levels, whole);
    }
    let highest_below = levels[..index].last().map_or(0, |bit| bit.level.end + 1);
    let first = levels[index].level.clone();
    let open = highest_below.min(first.start)..first.end;
    Some((Pattern::AboveCount { open }, above))
}

/// A count known to within 10%, where connections end all the time: many hits within 10% of the highest
/// level, hardly any below it.
fn ceiling(levels: &[Bit], whole: Part) -> Option<(Pattern, Part)> {
    let highest = levels.last()?.level.end;
    let low = highest - highest / 10;
    let from = levels.partition_point(|bit| bit.level.end < low);
    let (below, top) = (sum(&levels[..from]), sum(&levels[from..]));
    let share = float(top.all) / float(whole.all.max(1));
    let chance = share.powi(i32::try_from(top.hits).unwrap_or(i32::MAX));
    let is_it = top.hits * 10 >= whole.hits * 9
        && top.hits * 4 >= top.all
        && below.hits * 20 <= below.all
        && below.misses() >= HITS_MIN
        && chance <= LEAD_IN_CHANCE_MAX;
    is_it.then_some((Pattern::AboveCount { open: low..highest }, top))
}

fn sum(bits: &[Bit]) -> Part {
    bits.iter().map(Bit::part).fold(Part::default(), Part::add)
}

/// At least 19 of 20 hit.
fn is_dense(part: Part) -> bool {
    part.hits * 20 >= part.all * 19
}

#[cfg(test)]
mod tests;
