//! How hits are spread over the dials of a run: by the order of their SYNs, and by how many
//! connections were open at each. A pattern is claimed where chance would hardly make it.

use std::ops::{Add, Range};

use super::chance::{
    CHANCE_MAX, is_periodic, is_random_order, p_value_of_block, p_value_of_lead_in,
};
pub use super::chance::{Part, is_anywhere};
use crate::engine::analysis::{Cell, Counts, Levels, Timeline};
use crate::units::{Moment, low_32};

/// A window can be anywhere, and is looked for everywhere: this asks for more.
const WINDOW_CHANCE_MAX: f64 = 0.01;

/// Fewer hits are no pattern that only a part of the dials is in.
const PARTLY_HITS_MIN: u32 = 5;

/// Losses leave some calm at the beginning of one run in twenty: this asks for more.
const LEAD_IN_CHANCE_MAX: f64 = 0.001;

/// This many more, and a fifth of it, can be open above a count that is not known exactly.
const PASSED_MIN: u32 = 2;

/// Fewer hits are reported as they are, and nothing is made of them.
pub const HITS_MIN: u32 = 3;

/// How hits are spread over the dials of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    All,
    /// Nearly all, and the few misses are strewn among them.
    NearlyAll,
    /// Nearly all with this many connections open and more, hardly any with fewer.
    AboveCount {
        open: Range<u32>,
    },
    /// Some from this many open connections on, none before.
    PartlyAboveCount {
        open: Range<u32>,
    },
    /// Nearly all from a moment to the end of the run, however many were open.
    FromMoment {
        at: Moment,
    },
    /// Nearly all up to a moment, hardly any later.
    InitialOutage {
        to: Moment,
    },
    /// Nearly all in between, hardly any before and later.
    Outage {
        from: Moment,
        to: Moment,
    },
    /// Some, in an order that chance would make.
    Scattered,
    /// Some, in an order that chance would hardly make, and that is none of the above.
    Irregular,
    /// Too few to tell.
    TooFew,
}

impl Pattern {
    /// Whether the number of open connections decides, as far as is known.
    pub fn is_a_count(&self) -> bool {
        matches!(self, Pattern::AboveCount { .. } | Pattern::PartlyAboveCount { .. })
    }

    /// Whether it says what decides.
    pub fn is_clear(&self) -> bool {
        !matches!(self, Pattern::Scattered | Pattern::Irregular | Pattern::TooFew)
    }

    /// Whether it is over: dials came through after it.
    pub fn is_over(&self) -> bool {
        matches!(self, Pattern::InitialOutage { .. } | Pattern::Outage { .. })
    }
}

/// A pattern, the part of the dials that it is about, and what else the same numbers would fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    pub pattern: Pattern,
    pub part: Part,
    /// Hits outside of the part.
    pub outside: u32,
    /// An outage that a count would explain as well.
    pub or_else: Option<Pattern>,
    /// Whether they come in turn with others, more evenly than chance would make them.
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

/// Some dials in a row, or at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bit {
    pub all: u32,
    pub hits: u32,
    pub from: Moment,
    pub to: Moment,
    pub level: Range<u32>,
    /// At the first of them.
    pub level_at_first: Range<u32>,
}

impl Bit {
    fn part(&self) -> Part {
        Part { all: self.all, hits: self.hits }
    }
}

/// The dials of a timeline as `all` and `hits` count them.
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

/// The same by level.
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

/// How hits are spread over dials in the order of their SYNs (`bits`), which are the same by how
/// many connections were open (`levels`), of which at least `reached` were open at some time.
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
    // A limit that dials go on to pass is none.
    let is_passed = |pattern: &Pattern| match pattern {
        Pattern::AboveCount { open } => reached > open.end + open.end / 5 + PASSED_MIN,
        _ => false,
    };
    let (by_order, by_level) = (spread.stretch(bits), threshold(levels));
    let passed = [&by_order, &by_level]
        .into_iter()
        .flatten()
        .find(|(found, part)| is_passed(found) && part.hits == whole.hits);
    if let Some((Pattern::AboveCount { open }, part)) = passed {
        return found(Pattern::PartlyAboveCount { open: open.clone() }, *part);
    }
    let by_order = by_order.filter(|(pattern, _)| !is_passed(pattern));
    let by_level = by_level.filter(|(pattern, _)| !is_passed(pattern));
    match (by_order, by_level) {
        (Some((pattern, part)), Some((level, _))) if pattern.is_over() => {
            let fit = found(pattern.clone(), part);
            // Dials that failed only where most were open: a count fits as well, and better where
            // the stretch is one of many.
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
        // A block at the end that chance may have made.
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

/// Hits before, in and after the stretch in which they are densest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Spread {
    before: Part,
    within: Part,
    after: Part,
    /// The bits of the stretch.
    stretch: Range<usize>,
    /// Dials before the first hit, and how many were open at that.
    lead_in: u32,
    at_first: Range<u32>,
    /// Whether more were open at the first hit than at any dial before it.
    is_level_rising: bool,
}

impl Spread {
    fn of(bits: &[Bit]) -> Spread {
        let stretch = densest(bits);
        let mut spread = Spread { stretch: stretch.clone(), ..Spread::default() };
        let first = bits.iter().position(|bit| bit.hits > 0).unwrap_or(bits.len());
        spread.lead_in = bits[..first].iter().map(|bit| bit.all).sum();
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

    /// Whether it goes on to the end: a few that came through there make no end of it.
    fn is_to_the_end(&self) -> bool {
        self.after.all * 20 <= self.within.all
    }

    /// Where nearly all in the stretch were hit, and hardly any outside, and that is no chance.
    fn stretch(&self, bits: &[Bit]) -> Option<(Pattern, Part)> {
        let Spread { before, within, after, .. } = *self;
        let outside = before + after;
        let is_clear = outside.hits * 10 <= outside.all && within.hits * 2 >= self.whole().hits;
        if !is_dense(within) || !is_clear || within.hits < HITS_MIN {
            return None;
        }
        let stretch = &bits[self.stretch.clone()];
        let (first, last) = (stretch.first()?, stretch.last()?);
        let (pattern, part, missed, places, chance_max) = match (before.all, self.is_to_the_end()) {
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
        let chance = p_value_of_block(missed, part.hits) * f64::from(places);
        (chance <= chance_max).then_some((pattern, part))
    }

    /// From some count on, unless dials went on to fail with far fewer open, or nothing was.
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

/// The bits in which hits are densest: of all stretches, the one with the most hits above the
/// average of the whole. Source: J. Bentley, "Algorithm design techniques", CACM 27 (1984).
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

/// The number of open connections that parts misses (below) from hits (at it and above): at most one
/// in ten on the wrong side of it each way, where chance would hardly part them so.
fn threshold(levels: &[Bit]) -> Option<(Pattern, Part)> {
    let whole = sum(levels);
    let mut below = Part::default();
    let mut best: Option<(u32, usize, Part)> = None;
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
    let is_parted = below.misses() >= HITS_MIN
        && above.hits >= HITS_MIN
        && below.hits * 10 <= whole.hits
        && above.misses() * 10 <= above.all
        && below.hits * 5 <= below.all;
    let chance = p_value_of_block(below.misses(), above.hits);
    if !is_parted || chance > CHANCE_MAX / f64::from(low_32(levels.len() as u64)) {
        return ceiling(levels, whole);
    }
    let highest_below = levels[..index].last().map_or(0, |bit| bit.level.end + 1);
    let first = levels[index].level.clone();
    let open = highest_below.min(first.start)..first.end;
    Some((Pattern::AboveCount { open }, above))
}

/// A count that is known to within a tenth of it, as others end all the time: there many are hit,
/// below it hardly any, and above it nothing ever was open.
fn ceiling(levels: &[Bit], whole: Part) -> Option<(Pattern, Part)> {
    let highest = levels.last()?.level.end;
    let low = highest - highest / 10;
    let from = levels.partition_point(|bit| bit.level.end < low);
    let (below, there) = (sum(&levels[..from]), sum(&levels[from..]));
    let share = f64::from(there.all) / f64::from(whole.all.max(1));
    let chance = share.powi(i32::try_from(there.hits).unwrap_or(i32::MAX));
    let is_it = there.hits * 10 >= whole.hits * 9
        && there.hits * 4 >= there.all
        && below.hits * 20 <= below.all
        && below.misses() >= HITS_MIN
        && chance <= LEAD_IN_CHANCE_MAX;
    is_it.then_some((Pattern::AboveCount { open: low..highest }, there))
}

fn sum(bits: &[Bit]) -> Part {
    bits.iter().map(Bit::part).fold(Part::default(), Part::add)
}

/// Whether nearly all were hit: at least 19 of 20.
fn is_dense(part: Part) -> bool {
    u64::from(part.hits) * 20 >= u64::from(part.all) * 19
}

#[cfg(test)]
mod tests;
