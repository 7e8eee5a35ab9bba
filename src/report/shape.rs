//! What the numbers look like: whether trouble began at some number of connections, and whether
//! connections were closed at one age or at one moment.

use crate::engine::evidence::Evidence;
use crate::engine::histogram::Histogram;
use crate::engine::scene::{Onset, Part};
use crate::units::Span;

/// What has at most this chance to come by itself is no chance.
const CHANCE_MAX: f64 = 0.05;

/// A chance that stays none for as many places as there can be connections.
const NEVER: f64 = 1e-12;

/// Losses leave some calm at the beginning of one run in twenty: this asks for more.
const CALM_CHANCE_MAX: f64 = 0.001;

/// Fewer than so many are told as they are, and nothing is made of them.
pub const HITS_MIN: u64 = 3;

/// Who closes as soon as its application has accepted does so within this, and the way to it.
const AT_ONCE_MIN: Span = Span::from_ms(50);

/// Of ages and moments that differ by less, neither is told from the other.
const SPREAD_MIN: Span = Span::from_ms(20);

/// How trouble is spread over the dials of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It met all dials.
    All,
    /// It met nearly all dials, and those that it spared are strewn among them.
    NearlyAll,
    /// From so many connections on it met nearly all dials.
    From(u32),
    /// It met nearly all dials at the beginning, and hardly any later.
    Until,
    /// It met nearly all dials for a while, and hardly any before and later.
    Window,
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
    /// Of trouble that is spread so, and the part of the dials that it is about.
    pub fn of(onset: &Onset) -> (Shape, Part) {
        let Onset { before, within, after, .. } = *onset;
        let whole = Part { all: onset.all(), hits: onset.hits() };
        if whole.hits == whole.all {
            return (Shape::All, whole);
        }
        if u64::from(whole.hits) < HITS_MIN {
            return (Shape::TooFew, whole);
        }
        let outside = before + after;
        let is_clear = outside.hits * 10 <= outside.all && within.hits * 2 >= whole.hits;
        // Who comes through by a repeat is no sign that it is over.
        let is_over = onset.after_fast * 2 >= after.misses();
        if is_dense(within) && is_clear && (is_to_the_end(onset) || is_over) {
            return Shape::of_stretch(onset).unwrap_or((Shape::TooFew, whole));
        }
        if is_dense(whole) {
            return (Shape::NearlyAll, whole);
        }
        let rest = Part { all: whole.all - onset.calm, hits: whole.hits };
        let chance = chance_of_a_calm(onset.calm.into(), rest.hits.into(), rest.all.into());
        if chance <= CALM_CHANCE_MAX {
            return (Shape::MoreFrom(onset.at_first.total()), rest);
        }
        (Shape::Scattered, whole)
    }

    /// Where nearly all in the stretch were met, and hardly any outside; `None` where that may be
    /// chance.
    fn of_stretch(onset: &Onset) -> Option<(Shape, Part)> {
        let Onset { before, within, after, .. } = *onset;
        let (shape, part, spared, places) = match (before.all, is_to_the_end(onset)) {
            (0, true) => return Some((Shape::NearlyAll, within + after)),
            (_, true) => {
                (Shape::From(onset.at_stretch.total()), within + after, before.misses(), 1)
            }
            (0, false) => (Shape::Until, within, after.misses(), 1),
            (_, false) => {
                let spared = before.misses() + after.misses();
                (Shape::Window, within, spared, spared + 1)
            }
        };
        let chance = chance_of_a_block(spared.into(), part.hits.into()) * f64::from(places);
        (chance <= CHANCE_MAX).then_some((shape, part))
    }

    /// Whether it depends on how many connections there are.
    pub fn is_a_limit(self) -> bool {
        matches!(self, Shape::From(_) | Shape::MoreFrom(_))
    }

    /// Whether it is all the same how many connections there are.
    pub fn is_indifferent(self) -> bool {
        matches!(self, Shape::Scattered | Shape::Until | Shape::Window)
    }
}

/// Whether it goes on to the end: a few there that came through do not make an end of it.
fn is_to_the_end(onset: &Onset) -> bool {
    onset.after.all * 20 <= onset.within.all
}

/// Whether nearly all were met: at least 19 of 20.
fn is_dense(part: Part) -> bool {
    u64::from(part.hits) * 20 >= u64::from(part.all) * 19
}

/// How likely it is that `hits`, strewn among themselves and `before` others, all come after those:
/// one over the binomial coefficient.
fn chance_of_a_block(before: u64, hits: u64) -> f64 {
    let mut chance = 1.0;
    let (fewer, more) = (before.min(hits), before.max(hits));
    for index in 1..=fewer {
        chance *= ratio(index, more + index);
        if chance < NEVER {
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

/// Whether it may be chance that so many hits are in no more than so many of all places, which have
/// such a part of all that could have been met.
pub fn is_anywhere(places: usize, of: usize, share: (u64, u64), hits: u64) -> bool {
    let [places, of] = [places, of].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let hits = i32::try_from(hits).unwrap_or(i32::MAX);
    // At most: for each way to choose the places.
    let choices: f64 = (0..places).map(|index| ratio(of - index, index + 1)).product();
    choices * ratio(share.0, share.1).powi(hits) > CHANCE_MAX
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
    /// All at about the same age, as far as others were not older.
    SameAge(Span),
    /// At about the same age, which others outlived.
    Outlived(Span),
    /// All at about the same moment.
    SameMoment,
    /// Of about the same age and at about the same moment.
    Both(Span),
    /// At all ages.
    Various,
}

impl Ending {
    /// From what is known of those closed, how old they were, how old others got, and how long the
    /// shortest dial took.
    pub fn of(
        evidence: &Evidence,
        lifetimes: &Histogram,
        oldest: Span,
        shortest_dial: Span,
    ) -> Ending {
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
        // An end that is on its way already is heard of after the way there and back.
        if old < AT_ONCE_MIN + times(2, shortest_dial) {
            return Ending::AtOnce(old.rounded_to_3_digits());
        }
        // What is smaller may be how exactly either is kept.
        let is_told = ages.max(moments) >= SPREAD_MIN;
        if is_told && times(3, moments) <= ages && is_small(moments) {
            return Ending::SameMoment;
        }
        let age = middle.rounded_to_3_digits();
        if is_told && times(3, ages) <= moments && ages.0 <= middle.0 / 3 {
            let is_outlived = oldest.0 > old.0 + old.0 / 4;
            return if is_outlived { Ending::Outlived(age) } else { Ending::SameAge(age) };
        }
        if is_small(ages) && is_small(moments) {
            return Ending::Both(age);
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
    use crate::engine::scene::Level;

    /// Each part: how many, and every so many of them is met; 0 is none.
    fn shape(parts: &[(u32, u32)]) -> Shape {
        let hits = parts.iter().flat_map(|(count, every)| {
            (0..*count).map(move |index| *every > 0 && index % every == 0)
        });
        let onset = Onset::of_hits(hits);
        let level = |established| Level { established, under_way: 0 };
        let levels = [onset.calm, onset.before.all].map(level);
        let after_fast = onset.after.misses();
        Shape::of(&Onset { at_first: levels[0], at_stretch: levels[1], after_fast, ..onset }).0
    }

    #[test]
    fn a_limit_is_what_chance_would_hardly_make() {
        for (parts, expected) in [
            (&[(1, 1)][..], Shape::All),
            (&[(100, 1)], Shape::All),
            // A few that came through all the same, at the beginning or anywhere.
            (&[(3, 0), (97, 1)], Shape::From(3)),
            (&[(40, 1), (1, 0), (30, 1), (1, 0), (28, 1)], Shape::NearlyAll),
            (&[(1, 0), (39, 1)], Shape::From(1)),
            (&[(17, 0), (23, 1)], Shape::From(17)),
            (&[(900, 0), (3, 1)], Shape::From(900)),
            (&[(900, 0), (500, 1), (20, 0), (480, 1)], Shape::From(900)),
            // Beside some loss, and with one that slipped through at the end.
            (&[(100, 25), (50, 1)], Shape::From(100)),
            (&[(100, 0), (50, 1), (1, 0)], Shape::From(100)),
            (&[(2, 0), (3, 1)], Shape::TooFew),
            (&[(900, 0), (2, 1)], Shape::TooFew),
            (&[(100, 3)], Shape::Scattered),
            (&[(12, 0), (90, 3)], Shape::Scattered),
            (&[(100, 0), (100, 3)], Shape::MoreFrom(100)),
            // One in a hundred, and a hundred without one: that happens.
            (&[(100, 0), (1000, 100)], Shape::Scattered),
            (&[(27, 1), (123, 0)], Shape::Until),
            (&[(27, 1), (123, 40)], Shape::Until),
            (&[(100, 0), (150, 1), (150, 0)], Shape::Window),
            (&[(5, 0), (3, 1), (2, 0)], Shape::TooFew),
            (&[(2_000_000, 0), (4_000_000, 1)], Shape::From(2_000_000)),
        ] {
            assert_eq!(shape(parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn that_all_hits_are_in_one_place_can_be_chance() {
        for (places, of, share, hits, expected) in [
            (1, 2, (50, 100), 1, true),
            // The second coin falls as the first one did; the sixth hardly.
            (1, 2, (50, 100), 5, true),
            (1, 2, (50, 100), 6, false),
            (1, 100, (1, 100), 1, true),
            (1, 100, (1, 100), 2, false),
            // One that has half of all dials.
            (1, 51, (100, 200), 3, true),
            (2, 3, (200, 300), 5, true),
            (2, 3, (200, 300), 20, false),
            (19, 20, (190, 200), 60, true),
        ] {
            assert_eq!(is_anywhere(places, of, share, hits), expected, "{places} of {of}, {hits}");
        }
    }
}
