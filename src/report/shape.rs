//! What the numbers look like: whether trouble began at some number of connections, and whether
//! connections were closed at one age or at one moment.

use crate::engine::evidence::Evidence;
use crate::engine::histogram::Histogram;
use crate::units::Span;

/// What has at most this chance to come by itself is no chance.
const CHANCE_MAX: f64 = 0.05;

/// Losses leave some calm at the beginning of one run in twenty: this asks for more.
const CALM_CHANCE_MAX: f64 = 0.001;

/// Fewer than so many are told as they are, and nothing is made of them.
pub const HITS_MIN: u64 = 3;

/// Who closes as soon as its application has accepted does so within this, or within ten times what
/// a dial usually takes, but never after a second.
const AT_ONCE_MIN: Span = Span::from_ms(50);
const AT_ONCE_MAX: Span = Span::from_s(1);

/// How trouble is spread over the dials of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It met all dials.
    All,
    /// It met nearly all dials, from the first one on.
    NearlyAll,
    /// From so many connections on it met nearly all dials.
    From(u32),
    /// From so many connections on it met some dials, and none before.
    MoreFrom(u32),
    /// It met some dials, and the number of connections was not what decided.
    Scattered,
    /// It met some dials to a few targets, or from a few sources, and none elsewhere.
    InPlaces,
    /// There is too little of it to say.
    TooFew,
}

impl Shape {
    /// Of trouble that met `hits` of `before` and `after`, and none of those before. The first hit
    /// is the first of those after, and began at so many connections.
    pub fn of(connections: u32, hits: u64, before: u64, after: u64) -> Shape {
        let hits = hits.min(after);
        if before == 0 && hits == after {
            return Shape::All;
        }
        if hits < HITS_MIN {
            return Shape::TooFew;
        }
        if hits * 20 < after * 19 {
            let is_calm = chance_of_a_calm(before, hits, after) <= CALM_CHANCE_MAX;
            return if is_calm { Shape::MoreFrom(connections) } else { Shape::Scattered };
        }
        match chance_of_a_block(before, hits) {
            _ if before == 0 => Shape::NearlyAll,
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

/// Whether it may be chance that so many hits are in no more than so many of all places.
pub fn is_anywhere(places: usize, of: usize, hits: u64) -> bool {
    let [places, of] = [places, of].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let hits = i32::try_from(hits).unwrap_or(i32::MAX);
    // At most: for each way to choose the places.
    let choices: f64 = (0..places).map(|index| ratio(of - index, index + 1)).product();
    choices * ratio(places, of).powi(hits) > CHANCE_MAX
}

fn ratio(part: u64, whole: u64) -> f64 {
    // Both are numbers of connections.
    let part = f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part / f64::from(u32::try_from(whole).unwrap_or(u32::MAX))
}

/// How closed connections were closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There are too few of them to make anything of it.
    Few,
    /// As soon as they were established: but for one in fifty, within so long.
    AtOnce(Span),
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
    /// From what is known of those closed, how old they were, and how long a dial usually took.
    pub fn of(evidence: &Evidence, lifetimes: &Histogram, dial_time: Span) -> Ending {
        if evidence.count < HITS_MIN {
            return Ending::Few;
        }
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
        let times = |n: u64, span: Span| Span(span.0.saturating_mul(n));
        if times(3, moments) <= ages && is_small(moments) {
            return Ending::SameMoment;
        }
        if old < times(10, dial_time).max(AT_ONCE_MIN).min(AT_ONCE_MAX) {
            return Ending::AtOnce(old.rounded_to_3_digits());
        }
        if times(3, ages) <= moments && ages.0 <= middle.0 / 3 {
            return Ending::SameAge(middle.rounded_to_3_digits());
        }
        if is_small(ages) && is_small(moments) {
            return Ending::Both(middle.rounded_to_3_digits());
        }
        Ending::Various
    }

    /// Whether they may have ended together.
    pub fn is_common(self) -> bool {
        matches!(self, Ending::SameMoment | Ending::Both(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_what_chance_would_hardly_make() {
        for (before, hits, others, expected) in [
            (0, 1, 0, Shape::All),
            (0, 100, 0, Shape::All),
            // A few that came through all the same.
            (0, 97, 3, Shape::NearlyAll),
            (0, 99, 1, Shape::NearlyAll),
            (1, 39, 0, Shape::From(1)),
            (17, 23, 0, Shape::From(17)),
            (900, 3, 0, Shape::From(900)),
            (900, 960, 40, Shape::From(900)),
            (2, 3, 0, Shape::TooFew),
            (900, 2, 0, Shape::TooFew),
            (0, 30, 70, Shape::Scattered),
            (3, 30, 70, Shape::Scattered),
            (12, 30, 70, Shape::Scattered),
            (100, 30, 70, Shape::MoreFrom(100)),
            // One in a hundred, and a hundred without one: that happens.
            (100, 10, 900, Shape::Scattered),
            (20_000_000, 40_000_000, 0, Shape::From(20_000_000)),
        ] {
            let connections = u32::try_from(before).unwrap();
            let shape = Shape::of(connections, hits, before, hits + others);
            assert_eq!(shape, expected, "{before}, {hits}, {others}");
        }
    }

    #[test]
    fn that_all_hits_are_in_one_place_can_be_chance() {
        for (places, of, hits, expected) in [
            (1, 2, 1, true),
            // The second coin falls as the first one did; the sixth hardly.
            (1, 2, 5, true),
            (1, 2, 6, false),
            (1, 100, 1, true),
            (1, 100, 2, false),
            (2, 3, 5, true),
            (2, 3, 20, false),
            (19, 20, 60, true),
        ] {
            assert_eq!(is_anywhere(places, of, hits), expected, "{places} of {of}, {hits}");
        }
    }
}
