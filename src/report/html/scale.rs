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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// From zero.
    Linear { most: u64 },
    /// By [`log`].
    Log { low: u64, high: u64 },
}

#[derive(Debug, Clone)]
pub struct Axis {
    pub title: String,
    unit: Unit,
    range: Range,
}

impl Axis {
    /// From zero to `most`.
    pub fn linear(title: String, unit: Unit, most: u64) -> Axis {
        Axis { title, unit, range: Range::Linear { most: most.max(1) } }
    }

    /// Times; from and to a tick.
    pub fn log_times(title: String, least: Span, most: Span) -> Axis {
        let least = round_numbers().take_while(|number| *number <= least.0).last().unwrap_or(1);
        let (low, high) = (log(least), log(round_up(most.0.max(least * 2))));
        Axis { title, unit: Unit::Time, range: Range::Log { low, high } }
    }

    /// Numbers of connections: logarithmic if they are large, with a visible height for a single one.
    pub fn counts(title: &str, most: u64) -> Axis {
        if most < LOG_COUNTS_MIN {
            return Axis::linear(title.to_owned(), Unit::Count, most);
        }
        let range = Range::Log { low: 0, high: log(most) };
        Axis { title: format!("{title}, logarithmic"), unit: Unit::Count, range }
    }

    /// From 0 to [`LENGTH`]; values beyond its ends are at its ends.
    pub fn at(&self, value: u64) -> u64 {
        match self.range {
            Range::Linear { most } => {
                // Less than LENGTH.
                (u128::from(value.min(most)) * u128::from(LENGTH) / u128::from(most)) as u64
            }
            Range::Log { .. } if value == 0 => 0,
            Range::Log { .. } => self.at_log(log(value)),
        }
    }

    /// By the logarithm of a value, on a logarithmic axis.
    pub fn at_log(&self, log: u64) -> u64 {
        match self.range {
            Range::Linear { .. } => 0,
            Range::Log { low, high } => (log.clamp(low, high) - low) * LENGTH / (high - low),
        }
    }

    /// Positions and labels.
    pub fn ticks(&self) -> Vec<(u64, String)> {
        let values: Vec<u64> = match self.range {
            Range::Linear { most } => {
                let step = step(self.unit, most.div_ceil(TICKS_MAX as u64 - 1));
                (0..=most / step).map(|index| index * step).collect()
            }
            Range::Log { low, high } => {
                let is_wide = high - low > log(100) - log(1);
                let is_tick = |number: &u64| {
                    (low..=high).contains(&log(*number)) && (!is_wide || is_power_of_10(*number))
                };
                let all: Vec<u64> = round_numbers().filter(is_tick).collect();
                let every = all.len().div_ceil(TICKS_MAX).max(1);
                all.into_iter().step_by(every).collect()
            }
        };
        values.into_iter().map(|value| (self.at(value), label(self.unit, value))).collect()
    }
}

/// A round distance of at least this.
pub fn step(unit: Unit, at_least: u64) -> u64 {
    let mut long = LONG_STEPS_S.map(|s| s * NS_PER_S).into_iter();
    match unit {
        Unit::Time if at_least > 20 * NS_PER_S => long.find(|step| *step >= at_least),
        _ => None,
    }
    .unwrap_or_else(|| round_up(at_least.max(1)))
}

/// 1, 2, 5, 10, 20, 50, …
fn round_numbers() -> impl Iterator<Item = u64> {
    (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)))
}

fn round_up(at_least: u64) -> u64 {
    round_numbers().find(|number| *number >= at_least).unwrap_or(u64::MAX)
}

fn is_power_of_10(number: u64) -> bool {
    10u64.pow(number.ilog10()) == number
}

/// The logarithm of twice a value, in [`OCTAVE`]ths of a power of two; zero is taken for one.
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

/// `500ms`, `2m`, `1.5k`.
fn label(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Time => {
            let text = Span(value).to_string();
            let text = text.replace("m0s", "m");
            text.replace("h0m", "h")
        }
        Unit::Count => decimal(value, 1),
        Unit::Rate => decimal(value, 1_000),
    }
}

/// Of `one`ths.
fn decimal(value: u64, one: u64) -> String {
    let units = [(1_000_000 * one, "M"), (1_000 * one, "k")];
    let (unit, letter) = units.into_iter().find(|of| value >= of.0).unwrap_or((one, ""));
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return format!("{whole}{letter}");
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}{letter}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks(axis: &Axis) -> String {
        let texts: Vec<String> =
            axis.ticks().iter().map(|(at, label)| format!("{label} at {at}")).collect();
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
        let times = |least, most| ticks(&Axis::log_times(String::new(), span(least), span(most)));
        assert_eq!(
            times("12us", "340ms"),
            "10µs at 0, 100µs at 212, 1ms at 425, 10ms at 638, 100ms at 851"
        );
        assert_eq!(times("1ms", "1ms"), "1ms at 0, 2ms at 1000");
        assert_eq!(times("31us", "70us"), "20µs at 0, 50µs at 569, 100µs at 1000");
        let counts = |most| ticks(&Axis::counts("", most));
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
                Axis::log_times(String::new(), least_span, Span(most.min(1 << 60))),
                Axis::counts("", most),
            ] {
                let at: Vec<u64> = values.iter().map(|value| axis.at(*value)).collect();
                prop_assert!(at.is_sorted() && at.iter().all(|at| *at <= LENGTH), "{:?}", axis);
                let ticks = axis.ticks();
                prop_assert!((1..=TICKS_MAX + 1).contains(&ticks.len()), "{:?}", ticks);
                prop_assert!(ticks.iter().all(|(at, _)| *at <= LENGTH), "{:?}", ticks);
            }
        }

        #[test]
        fn a_logarithm_is_that_of_floating_point(value in 1u64..) {
            let exact = ((value as f64).log2() + 1.0) * OCTAVE as f64;
            prop_assert!((exact - log(value) as f64).abs() <= 1.5, "{exact}, {}", log(value));
        }
    }
}
