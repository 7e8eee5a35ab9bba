//! How connections were closed: at an age, at one moment, by a sweep, the oldest first. A close is
//! known to within an interval; a pattern is claimed only if it holds for the whole of each.

use super::model::ClosePattern;
use super::pattern::HITS_MIN;
use crate::engine::analysis::{Closes, Pulse};
use crate::units::{Moment, Span};

/// Ages, or moments, that differ by less are not distinguishable.
const SPREAD_MIN: Span = Span::from_ms(20);

/// Events this close in time may be simultaneous.
pub const SAME_MOMENT: Span = Span::from_ms(50);

/// `last_dial`: when the last dial began. O(pulses).
pub fn close_pattern(closes: &Closes, last_dial: Moment) -> ClosePattern {
    // Undated closes may have any age of their interval: then the extremes count.
    let (young, old) = match closes.undated * 20 > closes.count {
        true => (closes.age_min, closes.age_max),
        false => (closes.age_p2, closes.age_p98),
    };
    let ages = old - young;
    if let Some(pattern) = newest_only(closes) {
        // Of all ages at one moment: a process with the newest ones has ended.
        let by_pulses = by_pulses(closes, false, closes.age_p50);
        let are_together = |other: &ClosePattern| matches!(other, ClosePattern::Together { .. });
        return by_pulses.filter(are_together).unwrap_or(pattern);
    }
    if u64::from(closes.count) < HITS_MIN {
        return ClosePattern::TooFew;
    }
    let (middle, moments) = (closes.age_p50, closes.moments);
    let age = middle.rounded_to_3_digits();
    let is_small = |span: Span| span.0 <= middle.0 / 10;
    let is_one_age = ages.0 <= middle.0 / 3;
    let is_distinguishable = ages.max(moments) >= SPREAD_MIN;
    if is_one_age && is_distinguishable && ages.0.saturating_mul(3) <= moments.0 {
        let is_outlived = closes.survivor_age_max.0 > old.0 + old.0 / 4;
        return match is_outlived {
            true => ClosePattern::AtAgeWithSurvivors { age },
            false => ClosePattern::AtAge { age },
        };
    }
    // Shorter ages are not distinguishable.
    if old >= SPREAD_MIN
        && let Some(pattern) = by_pulses(closes, is_small(ages), age)
    {
        return pattern;
    }
    if is_one_age && is_small(ages) && is_small(moments) {
        return ClosePattern::AgeOrMoment { age, at: closes.first };
    }
    // An application that accepts slowly closes them later; of one timeout none lives so much longer.
    let is_outlived = closes.survivor_age_max.0 / 2 > closes.age_max.0;
    let continues = closes.last > last_dial + SAME_MOMENT && !is_outlived;
    if closes.undated * 4 > closes.count {
        return ClosePattern::Undated;
    }
    match closes.is_oldest_first && !continues && closes.survivors > 0 {
        true => ClosePattern::OldestFirst,
        false => ClosePattern::Mixed,
    }
}

/// The number that stayed open, if those were established before the closed ones, but for a few: a limit that
/// is enforced late.
fn newest_only(closes: &Closes) -> Option<ClosePattern> {
    let (kept, is_exact) = (closes.survivors, closes.is_newest_only);
    closes.is_newest_mostly.then_some(ClosePattern::NewestOnly { kept, is_exact })
}

/// Closes in large groups, each at one moment.
fn by_pulses(closes: &Closes, are_ages_alike: bool, age: Span) -> Option<ClosePattern> {
    let large: Vec<&Pulse> =
        closes.pulses.iter().filter(|p| u64::from(p.count) >= HITS_MIN).collect();
    let in_large: u32 = large.iter().map(|pulse| pulse.count).sum();
    let is_short = |pulse: &&Pulse| {
        pulse.length() <= SAME_MOMENT.max(Span(pulse.age_max.0 / 20))
            && pulse.length().0.saturating_mul(2) <= (pulse.age_max - pulse.age_min).0.max(1)
    };
    if in_large * 20 < closes.count * 19 || large.is_empty() {
        return None;
    }
    if !large.iter().all(is_short) {
        // Ages and moments vary alike: it may be either.
        let is_one = large.len() == 1 && large[0].length() <= SAME_MOMENT;
        let at = large[0].from;
        return (is_one && are_ages_alike && large[0].survivors == 0)
            .then_some(ClosePattern::AgeOrMoment { age, at });
    }
    // A sweep spares younger ones: none that stayed is older than a closed one.
    let spares_younger = |pulse: &&Pulse| {
        pulse.survivors == 0 || pulse.survivor_age_max <= pulse.age_min + SPREAD_MIN
    };
    let spared: Vec<&Pulse> = large.iter().copied().filter(|pulse| pulse.survivors > 0).collect();
    if large.iter().all(spares_younger) && (!spared.is_empty() || large.len() > 1) {
        let older_than = large.iter().map(|pulse| pulse.age_min).min().unwrap_or_default();
        let gaps = large.windows(2).map(|pair| pair[1].from.since(pair[0].from));
        let every = gaps.min().map(Span::rounded_to_3_digits);
        return Some(ClosePattern::Sweep { older_than: older_than.rounded_to_3_digits(), every });
    }
    let [pulse] = large[..] else { return None };
    let (at, of) = (pulse.from, pulse.count + pulse.survivors);
    Some(match pulse.survivors {
        0 => ClosePattern::Simultaneous { at, of, newcomers: pulse.newcomers > 0 },
        kept => ClosePattern::Together { at, kept },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Span {
        Span::from_ms(ms)
    }

    /// Fifty, established in a second, that were closed within the next second and a half.
    fn closes(undated: u32) -> Closes {
        let (first, last) = (Moment(0) + ms(1_000), Moment(0) + ms(2_500));
        Closes {
            count: 50,
            first,
            last,
            moments: ms(1_500),
            age_min: ms(100),
            age_p2: ms(150),
            age_p50: ms(1_200),
            age_p98: ms(2_300),
            age_max: ms(2_500),
            undated,
            pulses_count: 1,
            ..Closes::default()
        }
    }

    #[test]
    fn closes_without_a_date_have_no_pattern_of_ages() {
        let last_dial = Moment(0) + ms(1_000);
        assert_eq!(close_pattern(&closes(50), last_dial), ClosePattern::Undated);
        assert_eq!(close_pattern(&closes(0), last_dial), ClosePattern::Mixed);
    }

    /// Of a hundred, dialed over a second, the last fifty.
    fn newest(moments: Span) -> Closes {
        let first = Moment(0) + ms(3_000);
        let (age_min, age_max) = (ms(2_000), ms(2_500) + moments);
        let pulse = Pulse {
            from: first,
            to: first + moments,
            count: 50,
            age_min,
            age_max,
            survivors: 50,
            survivor_age_max: ms(3_000),
            survivor_age_min: ms(2_500),
            ..Pulse::default()
        };
        Closes {
            first,
            last: first + moments,
            moments,
            age_min,
            age_max,
            pulses: vec![pulse],
            survivors: 50,
            is_newest_only: true,
            is_newest_mostly: true,
            ..closes(0)
        }
    }

    #[test]
    fn the_newest_at_one_moment_are_those_of_a_process_and_not_above_a_limit() {
        let pattern = |moments| close_pattern(&newest(moments), Moment(0) + ms(1_000));
        let together = ClosePattern::Together { at: Moment(0) + ms(3_000), kept: 50 };
        assert_eq!(pattern(ms(5)), together);
        assert_eq!(pattern(ms(500)), ClosePattern::NewestOnly { kept: 50, is_exact: true });
    }
}
