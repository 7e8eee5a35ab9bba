//! Tests of patterns against chance: counts in, probabilities out.

use std::ops::{Add, AddAssign};

use crate::units::low_32;

/// At most this probability is significant.
pub const CHANCE_MAX: f64 = 0.05;

/// Insignificant even after multiplying by every possible position.
const NEGLIGIBLE: f64 = 1e-12;

/// Up to this number of hits the distribution of groups is computed exactly.
const EXACT_HITS_MAX: u64 = 100;

/// A less probable number of groups is not a random order.
const GROUPS_CHANCE_MAX: f64 = 0.001;

/// As a float; what the tests are used for stays far below the most.
pub fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Some dials, and the hits among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    pub all: u64,
    pub hits: u64,
}

impl Part {
    pub fn misses(self) -> u64 {
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

/// The probability that `hits` and `before` others in random order have all hits last:
/// 1 / C(before + hits, hits). O(min(before, hits)).
pub fn p_value_of_block(before: u64, hits: u64) -> f64 {
    let mut chance = 1.0;
    let (fewer, more) = (before.min(hits), before.max(hits));
    for index in 1..=fewer {
        chance *= float(index) / (float(more) + float(index));
        if chance < NEGLIGIBLE {
            break;
        }
    }
    chance
}

/// The probability that none of the first `lead_in` dials is hit, at the hit rate of the rest.
pub fn p_value_of_lead_in(lead_in: u64, rest: Part) -> f64 {
    let missed = float(rest.misses()) / float(rest.all.max(1));
    missed.powi(i32::try_from(lead_in).unwrap_or(i32::MAX))
}

/// The Wald-Wolfowitz runs test at 0.1%: whether the order of hits may be random. Source: A. Wald
/// and J. Wolfowitz, "On a test whether two samples are from the same population", Annals of
/// Mathematical Statistics 11 (1940).
pub fn is_random_order(parts: &[Part]) -> bool {
    let whole = parts.iter().copied().fold(Part::default(), Part::add);
    let is_exact = parts.iter().all(|part| part.hits == 0 || part.hits == part.all);
    if is_exact && whole.hits <= EXACT_HITS_MAX {
        let is_begin = |pair: &[Part]| pair[0].hits == 0 && pair[1].hits > 0;
        let begins = parts.windows(2).filter(|pair| is_begin(pair)).count();
        let first = parts.first().is_some_and(|part| part.hits > 0);
        let groups = begins as u64 + u64::from(first);
        return p_value_of_groups(groups, whole) > GROUPS_CHANCE_MAX;
    }
    let (hits, misses) = (float(whole.hits), float(whole.misses()));
    let n = hits + misses;
    // The order within a cell is unknown: the expected number of runs is used, which favours
    // "random".
    let mut runs = 1.0;
    let mut last: Option<bool> = None;
    for part in parts {
        let (h, m) = (float(part.hits), float(part.misses()));
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

/// Whether hits are spaced more evenly than in a random order (at 0.1%), as by a round-robin balancer.
pub fn is_periodic(parts: &[Part]) -> bool {
    let whole = parts.iter().copied().fold(Part::default(), Part::add);
    let is_exact = parts.iter().all(|part| part.hits == 0 || part.hits == part.all);
    if !is_exact || whole.hits == 0 || whole.hits > EXACT_HITS_MAX {
        return false;
    }
    let is_hit = |part: &&Part| part.hits > 0;
    let begins = parts.windows(2).filter(|pair| pair[0].hits == 0 && pair[1].hits > 0).count();
    let groups = begins as u64 + u64::from(parts.first().as_ref().is_some_and(is_hit));
    groups > 1 && 1.0 - p_value_of_groups(groups - 1, whole) <= GROUPS_CHANCE_MAX
}

/// The probability that hits in random order form at most `groups` groups: for h hits and m misses, k
/// groups have the probability C(h-1, k-1) × C(m+1, k) / C(h+m, h).
fn p_value_of_groups(groups: u64, whole: Part) -> f64 {
    let (hits, misses) = (whole.hits, whole.misses());
    let all = ln_choose(hits + misses, hits);
    let of = |k: u64| (ln_choose(hits - 1, k - 1) + ln_choose(misses + 1, k) - all).exp();
    (1..=groups.min(hits).min(misses + 1)).map(of).sum()
}

/// The logarithm of a binomial coefficient; O(k).
fn ln_choose(n: u64, k: u64) -> f64 {
    let k = k.min(n - k);
    (1..=k).map(|index| (float(n - k + index) / float(index)).ln()).sum()
}

/// Whether it may be chance that all hits are at `affected` of `of` targets or sources, which have
/// `share.0` of `share.1` dials.
pub fn may_be_anywhere(affected: usize, of: usize, share: (u64, u64), hits: u64) -> bool {
    let [affected, of] = [affected, of].map(|count| f64::from(low_32(count as u64)));
    let [hit_share, all] = [share.0, share.1].map(float);
    let ratio = hit_share / all.max(1.0);
    let hits = i32::try_from(hits).unwrap_or(i32::MAX);
    // An upper bound: times the number of ways to choose them.
    let mut choices = 1.0;
    let mut index = 0.0;
    while index < affected {
        choices *= (of - index) / (index + 1.0);
        index += 1.0;
    }
    choices * ratio.powi(hits) > CHANCE_MAX
}
