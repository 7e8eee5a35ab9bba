//! Axes of charts: where a value is, and which values are labelled. In integers, so that nothing is
//! ever not a number.

use crate::units::{NS_PER_S, Span};

/// The length of each axis: the view box of a plot is a square of it.
pub const LENGTH: u64 = 1000;

/// The part of a logarithm of 2.
const OCTAVE: u64 = 1024;

/// From this number on, the heights of a distribution are logarithmic.
const LOG_COUNTS_MIN: u64 = 30;

/// Ticks of an axis; fewer on a logarithmic one.
const TICKS_MAX: usize = 7;

/// Distances of the ticks of times of more than 20 s, in seconds.
const LONG_STEPS_S: [u64; 13] =
    [30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800];

/// What the values of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    /// Thousandths a second.
    Rate,
    /// In nanoseconds.
    Time,
}

/// From `low` to `high`, which are logarithms on a logarithmic one.
#[derive(Debug, Clone)]
pub struct Axis {
    pub title: String,
    unit: Unit,
    low: u64,
    high: u64,
    is_log: bool,
}

impl Axis {
    /// From zero to `most`.
    pub fn linear(title: String, unit: Unit, most: u64) -> Axis {
        Axis { title, unit, low: 0, high: most.max(1), is_log: false }
    }

    /// Times; from and to a tick.
    pub fn log_times(title: &str, least: Span, most: Span) -> Axis {
        let title = format!("{title}, logarithmic");
        let mut first = 1;
        while next_tick(first) <= least.0 {
            first = next_tick(first);
        }
        let (low, high) = (log(first), log(round_up(most.0.max(next_tick(first)))));
        Axis { title, unit: Unit::Time, low, high, is_log: true }
    }

    /// Numbers of connections: logarithmic if they are large, with a visible height for a single one.
    pub fn counts(most: u64) -> Axis {
        let is_log = most >= LOG_COUNTS_MIN;
        let title = if is_log { "connections, logarithmic" } else { "connections" };
        let high = if is_log { log(most) } else { most.max(1) };
        Axis { title: title.to_owned(), unit: Unit::Count, low: 0, high, is_log }
    }

    /// From 0 to [`LENGTH`]; values beyond its ends are at its ends.
    #[inline(never)]
    pub fn at(&self, value: u64) -> u64 {
        match self.is_log && value > 0 {
            true => self.at_raw(log(value)),
            false => self.at_raw(value),
        }
    }

    /// Of a logarithm, on a logarithmic axis.
    pub fn at_raw(&self, value: u64) -> u64 {
        let (from, all) = (value.clamp(self.low, self.high) - self.low, self.high - self.low);
        // At most LENGTH.
        (u128::from(from) * u128::from(LENGTH) / u128::from(all)) as u64
    }

    /// The values that are labelled.
    pub fn ticks(&self) -> Vec<u64> {
        let mut ticks = Vec::new();
        if self.is_log {
            let is_wide = self.high - self.low > log(100) - log(1);
            let mut tick = 1;
            while log(tick) <= self.high && tick < u64::MAX {
                let is_power = 10u64.pow(tick.ilog10()) == tick;
                if log(tick) >= self.low && (is_power || !is_wide) {
                    ticks.push(tick);
                }
                tick = next_tick(tick);
            }
            let every = ticks.len().div_ceil(TICKS_MAX).max(1);
            return ticks.into_iter().step_by(every).collect();
        }
        let step = step(self.unit, self.high.div_ceil(TICKS_MAX as u64 - 1));
        let mut tick = 0;
        // The largest number is no tick.
        while tick <= self.high && tick < u64::MAX {
            ticks.push(tick);
            tick = tick.saturating_add(step);
        }
        ticks
    }

    /// `500ms`, `2m`, `1.5k`.
    pub fn label(&self, value: u64) -> String {
        match self.unit {
            Unit::Time => Span(value).to_string().replace("m0s", "m").replace("h0m", "h"),
            Unit::Count => decimal(value, 1),
            Unit::Rate => decimal(value, 1_000),
        }
    }
}

/// A round distance of at least this.
pub fn step(unit: Unit, at_least: u64) -> u64 {
    let is_long = unit == Unit::Time && at_least > 20 * NS_PER_S;
    let long = LONG_STEPS_S.iter().find(|s| is_long && *s * NS_PER_S >= at_least);
    long.map_or_else(|| round_up(at_least), |s| s * NS_PER_S)
}

/// The first of 1, 2, 5, 10, 20, 50, … that is not less.
#[inline(never)]
fn round_up(at_least: u64) -> u64 {
    let mut tick = 1;
    while tick < at_least {
        tick = next_tick(tick);
    }
    tick
}

/// 2 after 1, 5 after 2, 10 after 5. The last one is the largest number.
#[inline(never)]
fn next_tick(tick: u64) -> u64 {
    let power = 10u64.pow(tick.ilog10());
    let next =
        if tick == power.saturating_mul(2) { power.checked_mul(5) } else { tick.checked_mul(2) };
    next.unwrap_or(u64::MAX)
}

/// The logarithm of twice a value, in [`OCTAVE`]ths of a power of two; zero is taken for one.
#[inline(never)]
pub fn log(value: u64) -> u64 {
    let value = value.max(1);
    let whole = value.ilog2();
    // Between 2^31 and 2^32. Each square doubles the logarithm, and so has its next bit.
    let mut rest = if whole > 31 { value >> (whole - 31) } else { value << (31 - whole) };
    let mut log = u64::from(whole) + 1;
    for _ in 0..OCTAVE.ilog2() {
        rest = (rest * rest) >> 31;
        let bit = rest >> 32;
        rest >>= bit;
        log = log * 2 + bit;
    }
    log
}

/// Of `one`ths.
fn decimal(value: u64, one: u64) -> String {
    let (unit, letter) = match value / one {
        0..1_000 => (one, ""),
        1_000..1_000_000 => (1_000 * one, "k"),
        _ => (1_000_000 * one, "M"),
    };
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    // Without a unit there are no decimals: its only one is zero.
    format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks(axis: &Axis) -> String {
        let texts: Vec<String> =
            axis.ticks().iter().map(|t| format!("{} at {}", axis.label(*t), axis.at(*t))).collect();
        texts.join(", ")
    }

    fn span(text: &str) -> Span {
        crate::units::parse_span(text, Span(1)).unwrap()
    }

    #[test]
    fn ticks_are_round_and_in_natural_units() {
        let time = |text| ticks(&Axis::linear(String::new(), Unit::Time, span(text).0));
        assert_eq!(
            time("1.2s"),
            "0s at 0, 200ms at 166, 400ms at 333, 600ms at 500, 800ms at 666, 1s at 833, 1.2s at 1000"
        );
        assert_eq!(time("61s"), "0s at 0, 20s at 327, 40s at 655, 1m at 983");
        assert_eq!(time("100m"), "0s at 0, 30m at 300, 1h at 600, 1h30m at 900");
        let count = |most| ticks(&Axis::linear(String::new(), Unit::Count, most));
        assert_eq!(count(3), "0 at 0, 1 at 333, 2 at 666, 3 at 1000");
        assert_eq!(count(7_000), "0 at 0, 2k at 285, 4k at 571, 6k at 857");
        assert_eq!(
            count(2_600_000),
            "0 at 0, 500k at 192, 1M at 384, 1.5M at 576, 2M at 769, 2.5M at 961"
        );
        assert_eq!(count(0), "0 at 0, 1 at 1000");
        let rate = |most| ticks(&Axis::linear(String::new(), Unit::Rate, most));
        assert_eq!(rate(2_000), "0 at 0, 0.5 at 250, 1 at 500, 1.5 at 750, 2 at 1000");
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_10_or_1_2_5() {
        let times = |least, most| ticks(&Axis::log_times("", span(least), span(most)));
        assert_eq!(
            times("12us", "340ms"),
            "10µs at 0, 100µs at 212, 1ms at 425, 10ms at 638, 100ms at 851"
        );
        assert_eq!(times("1ms", "1ms"), "1ms at 0, 2ms at 1000");
        assert_eq!(times("31us", "70us"), "20µs at 0, 50µs at 569, 100µs at 1000");
        let counts = |most| ticks(&Axis::counts(most));
        assert_eq!(counts(2), "0 at 0, 1 at 500, 2 at 1000");
        assert_eq!(
            counts(1_000_000),
            "1 at 47, 10 at 206, 100 at 365, 1k at 523, 10k at 682, 100k at 841, 1M at 1000"
        );
    }

    proptest! {
        #[test]
        fn every_position_is_on_the_axis_and_in_order(
            mut values in prop::collection::vec(any::<u64>(), 2..20), shift in 0u32..64,
        ) {
            values.iter_mut().for_each(|value| *value >>= shift);
            values.sort_unstable();
            let (least, most) = (values[0], values[values.len() - 1]);
            let least_span = Span(least.min(1 << 50));
            for axis in [
                Axis::linear(String::new(), Unit::Count, most),
                Axis::linear(String::new(), Unit::Time, most),
                Axis::log_times("", least_span, Span(most.min(1 << 60))),
                Axis::counts(most),
            ] {
                let at: Vec<u64> = values.iter().map(|value| axis.at(*value)).collect();
                prop_assert!(at.is_sorted() && at.iter().all(|at| *at <= LENGTH), "{:?}", axis);
                let ticks = axis.ticks();
                prop_assert!((1..=TICKS_MAX + 1).contains(&ticks.len()), "{:?}", ticks);
            }
        }

        #[test]
        fn a_logarithm_is_that_of_floating_point(value in 1u64..) {
            let exact = ((value as f64).log2() + 1.0) * OCTAVE as f64;
            prop_assert!((exact - log(value) as f64).abs() <= 1.5, "{exact}, {}", log(value));
        }
    }
}
