//! How likely chance is to make what a pattern would be made of: numbers in, a probability out.

use std::ops::{Add, AddAssign};

use crate::units::low_32;

/// What has at most this chance to come by itself is no chance.
pub const CHANCE_MAX: f64 = 0.05;

/// A chance that stays none for as many places as there can be connections.
const NEGLIGIBLE: f64 = 1e-12;

/// Up to this many hits their groups are counted exactly.
const EXACT_HITS_MAX: u32 = 100;

/// What chance makes less often is no random order.
const GROUPS_CHANCE_MAX: f64 = 0.001;

/// Some dials, and how many of them were hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    pub all: u32,
    pub hits: u32,
}

impl Part {
    pub fn misses(self) -> u32 {
        self.all - self.hits
    }
}

impl Add for Part {
    type Output = Part;

    fn add(self, other: Part) -> Part {
        Part { all: self.all + other.all, hits: self.hits + other.hits }
    }
}

impl AddAssign for Part {
    fn add_assign(&mut self, other: Part) {
        *self = *self + other;
    }
}

/// How likely it is that `hits`, strewn among themselves and `before` others, all come after those:
/// one over the binomial coefficient.
pub fn p_value_of_block(before: u32, hits: u32) -> f64 {
    let mut chance = 1.0;
    let (fewer, more) = (before.min(hits), before.max(hits));
    for index in 1..=fewer {
        chance *= f64::from(index) / (f64::from(more) + f64::from(index));
        if chance < NEGLIGIBLE {
            break;
        }
    }
    chance
}

/// How likely it is that none of the first `calm` dials is hit, where a part of the rest is.
pub fn p_value_of_lead_in(calm: u32, rest: Part) -> f64 {
    let missed = f64::from(rest.misses()) / f64::from(rest.all.max(1));
    missed.powi(i32::try_from(calm).unwrap_or(i32::MAX))
}

/// Whether hits come in an order that chance makes in all but one run in a thousand, by how often
/// hits and misses change. Source: A. Wald and J. Wolfowitz, "On a test whether two samples are from
/// the same population", Annals of Mathematical Statistics 11 (1940).
pub fn is_random_order(parts: &[Part]) -> bool {
    let whole = parts.iter().copied().fold(Part::default(), Part::add);
    let is_exact = parts.iter().all(|part| part.hits == 0 || part.hits == part.all);
    if is_exact && whole.hits <= EXACT_HITS_MAX {
        let is_begin = |pair: &[Part]| pair[0].hits == 0 && pair[1].hits > 0;
        let begins = parts.windows(2).filter(|pair| is_begin(pair)).count();
        let first = parts.first().is_some_and(|part| part.hits > 0);
        let groups = low_32(begins as u64) + u32::from(first);
        return p_value_of_groups(groups, whole) > GROUPS_CHANCE_MAX;
    }
    let (hits, misses) = (f64::from(whole.hits), f64::from(whole.misses()));
    let n = hits + misses;
    // In a cell of several the order is not kept: the expected number of changes is taken, which
    // blurs the test towards chance.
    let mut runs = 1.0;
    let mut last: Option<bool> = None;
    for part in parts {
        let (h, m) = (f64::from(part.hits), f64::from(part.misses()));
        if part.hits > 0 && part.hits < part.all {
            runs += 2.0 * h * m / (h + m) + 0.5;
            last = None;
        } else {
            let is_hit = part.hits > 0;
            runs += f64::from(u8::from(last.is_some_and(|last| last != is_hit)));
            last = Some(is_hit);
        }
    }
    let mean = 2.0 * hits * misses / n + 1.0;
    let variance = (mean - 1.0) * (mean - 2.0) / (n - 1.0).max(1.0);
    (runs - mean).abs() <= 3.3 * variance.max(0.25).sqrt()
}

/// Whether hits and misses take turns more evenly than chance makes them in all but one run in a
/// thousand, as a balancer that goes around does.
pub fn is_periodic(parts: &[Part]) -> bool {
    let whole = parts.iter().copied().fold(Part::default(), Part::add);
    let is_exact = parts.iter().all(|part| part.hits == 0 || part.hits == part.all);
    if !is_exact || whole.hits == 0 || whole.hits > EXACT_HITS_MAX {
        return false;
    }
    let is_hit = |part: &&Part| part.hits > 0;
    let begins = parts.windows(2).filter(|pair| pair[0].hits == 0 && pair[1].hits > 0).count();
    let groups = low_32(begins as u64) + u32::from(parts.first().as_ref().is_some_and(is_hit));
    groups > 1 && 1.0 - p_value_of_groups(groups - 1, whole) <= GROUPS_CHANCE_MAX
}

/// How likely it is that hits in random order make no more than `groups` groups: of h hits and m
/// misses, k groups have the chance C(h-1, k-1) × C(m+1, k) / C(h+m, h).
fn p_value_of_groups(groups: u32, whole: Part) -> f64 {
    let (hits, misses) = (whole.hits, whole.misses());
    let all = ln_choose(hits + misses, hits);
    let of = |k: u32| (ln_choose(hits - 1, k - 1) + ln_choose(misses + 1, k) - all).exp();
    (1..=groups.min(hits).min(misses + 1)).map(of).sum()
}

/// The logarithm of a binomial coefficient; O(k).
fn ln_choose(n: u32, k: u32) -> f64 {
    let k = k.min(n - k);
    (1..=k).map(|index| (f64::from(n - k + index) / f64::from(index)).ln()).sum()
}

/// Whether it may be chance that all hits are in no more than `places` of all places, which have such
/// a share of all that could have been hit.
pub fn is_anywhere(places: usize, of: usize, share: (u64, u64), hits: u64) -> bool {
    let [places, of] = [places, of].map(|count| f64::from(low_32(count as u64)));
    let [there, all] =
        [share.0, share.1].map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    let ratio = there / all.max(1.0);
    let hits = i32::try_from(hits).unwrap_or(i32::MAX);
    // At most: for each way to choose the places.
    let mut choices = 1.0;
    let mut index = 0.0;
    while index < places {
        choices *= (of - index) / (index + 1.0);
        index += 1.0;
    }
    choices * ratio.powi(hits) > CHANCE_MAX
}
