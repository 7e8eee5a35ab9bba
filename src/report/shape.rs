//! What the numbers look like: whether trouble began at some number of connections, and whether
//! connections were closed at one age or at one moment.

use crate::engine::evidence::{Evidence, Onset};
use crate::engine::histogram::Histogram;
use crate::units::Span;

/// What has at most this chance to come by itself is no chance.
const CHANCE_MAX: f64 = 0.05;

/// Fewer than so many are told as they are, and nothing is made of them.
const HITS_MIN: u64 = 3;

/// Connections that are closed at a younger age than this were not wanted at all.
pub const AT_ONCE_MAX: Span = Span::from_s(1);

/// How trouble is spread over the dials of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It met all dials.
    All,
    /// From so many connections on it met nearly all dials.
    From(u32),
    /// From so many connections on it met some dials, and none before.
    MoreFrom(u32),
    /// It met some dials, and the number of connections was not what decided.
    Scattered,
    /// It met some dials to some targets, or from some sources, and none elsewhere.
    InPlace,
    /// There is too little of it to say.
    TooFew,
}

impl Shape {
    /// Of trouble that met `hits` of `dials`, the first one as `onset` says.
    pub fn of(onset: &Onset, hits: u64, dials: u64) -> Shape {
        let after = u64::from(onset.dials_after) + 1;
        let before = dials.saturating_sub(after);
        let hits = hits.min(after);
        if before == 0 && hits == after {
            return Shape::All;
        }
        if hits < HITS_MIN {
            return Shape::TooFew;
        }
        let connections = onset.established + onset.under_way;
        if hits * 20 < after * 19 {
            let is_calm = chance_of_a_calm(before, hits, after) <= CHANCE_MAX;
            return if is_calm { Shape::MoreFrom(connections) } else { Shape::Scattered };
        }
        match chance_of_a_block(before, hits) {
            _ if before == 0 => Shape::All,
            chance if chance <= CHANCE_MAX => Shape::From(connections),
            _ => Shape::TooFew,
        }
    }

    /// Whether it depends on how many connections there are.
    pub fn is_a_limit(self) -> bool {
        matches!(self, Shape::From(_) | Shape::MoreFrom(_))
    }
}

/// How likely it is that `hits`, strewn among themselves and `before` others, all come after those:
/// one over the binomial coefficient.
fn chance_of_a_block(before: u64, hits: u64) -> f64 {
    let mut chance = 1.0;
    let (fewer, more) = (before.min(hits), before.max(hits));
    for index in 1..=fewer {
        chance *= ratio(index, more + index);
        if chance < CHANCE_MAX {
            break;
        }
    }
    chance
}

/// How likely it is that none of `before` is met, where `hits` of `after` are.
fn chance_of_a_calm(before: u64, hits: u64, after: u64) -> f64 {
    let spared = 1.0 - ratio(hits, after);
    spared.powi(i32::try_from(before).unwrap_or(i32::MAX))
}

/// Whether so many hits may be in so few of all places by chance.
pub fn is_anywhere(places: usize, of: usize, hits: u64) -> bool {
    let [places, of] = [places, of].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let hits = i32::try_from(hits).unwrap_or(i32::MAX);
    ratio(places, of).powi(hits) > CHANCE_MAX
}

fn ratio(part: u64, whole: u64) -> f64 {
    // Both are numbers of connections.
    let part = f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part / f64::from(u32::try_from(whole).unwrap_or(u32::MAX))
}

/// How closed connections were closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As soon as they were established.
    AtOnce,
    /// All at about the same age.
    SameAge(Span),
    /// All at about the same moment.
    SameMoment,
    /// Of about the same age and at about the same moment.
    Both(Span),
    /// At all ages.
    Various,
}

impl Ending {
    /// From what is known of those closed, and how old they were.
    pub fn of(evidence: &Evidence, lifetimes: &Histogram) -> Ending {
        // Where others were closed, too, their lifetimes are mixed. One in fifty that is off does
        // not make it another ending.
        let [young, middle, old] = if lifetimes.count() == evidence.count {
            [20, 500, 980].map(|permille| lifetimes.quantile(permille))
        } else {
            [evidence.min, evidence.p50, evidence.max]
        };
        let ages = old - young;
        let moments = evidence.last.since(evidence.first);
        let is_small = |span: Span| span.0 <= middle.0 / 10;
        let thrice = |span: Span| Span(span.0.saturating_mul(3));
        if evidence.count >= HITS_MIN && thrice(moments) <= ages && is_small(moments) {
            return Ending::SameMoment;
        }
        if old < AT_ONCE_MAX {
            return Ending::AtOnce;
        }
        if thrice(ages) <= moments && ages.0 <= middle.0 / 3 {
            return Ending::SameAge(middle.rounded_to_3_digits());
        }
        if is_small(ages) && is_small(moments) {
            return Ending::Both(middle.rounded_to_3_digits());
        }
        Ending::Various
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(before: u32, hits: u32, others: u32) -> Shape {
        let onset = Onset {
            established: before,
            dials_after: hits - 1 + others,
            fine_after: others,
            ..Onset::default()
        };
        Shape::of(&onset, hits.into(), (before + hits + others).into())
    }

    #[test]
    fn a_limit_is_what_chance_would_hardly_make() {
        for (before, hits, others, expected) in [
            (0, 1, 0, Shape::All),
            (0, 100, 0, Shape::All),
            // A few that came through all the same.
            (0, 97, 3, Shape::All),
            (1, 39, 0, Shape::From(1)),
            (17, 23, 0, Shape::From(17)),
            (900, 3, 0, Shape::From(900)),
            (900, 960, 40, Shape::From(900)),
            (2, 3, 0, Shape::TooFew),
            (900, 2, 0, Shape::TooFew),
            (0, 30, 70, Shape::Scattered),
            (3, 30, 70, Shape::Scattered),
            (100, 30, 70, Shape::MoreFrom(100)),
            // One in a hundred, and a hundred without one: that happens.
            (100, 10, 900, Shape::Scattered),
            (20_000_000, 40_000_000, 0, Shape::From(20_000_000)),
        ] {
            assert_eq!(shape(before, hits, others), expected, "{before}, {hits}, {others}");
        }
    }
}
