//! Times: log-linear buckets for quantiles, and an exact minimum, average, maximum and deviation.

use std::num::NonZeroU16;

use crate::units::Span;

/// Each power of two is divided into this many buckets, so a bucket is at most 1/64 of its values
/// wide and its middle at most 1/128 (0.8%) away from any of them.
const PARTS: u64 = 64;
const PARTS_BITS: u32 = PARTS.ilog2();

/// Times of 2^50 ns (13 days) and more share the last bucket; no flag takes more than 10 days.
const VALUE_BITS_MAX: u32 = 50;
const BUCKETS: usize = ((VALUE_BITS_MAX - PARTS_BITS + 1) as usize) * PARTS as usize;

/// How far a quantile can be from the true one, in percent, stated in the report.
pub const ERROR_PERCENT_MAX: &str = "0.8%";

/// 23 KiB, whatever it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    min: Span,
    max: Span,
    sum_ns: u128,
    /// 2^128 is 64 million times (the most connections) the square of 28 days.
    sum_ns_squared: u128,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            counts: Box::new([0; BUCKETS]),
            count: 0,
            min: Span(u64::MAX),
            max: Span::ZERO,
            sum_ns: 0,
            sum_ns_squared: 0,
        }
    }

    /// Counts one time; O(1).
    pub fn record(&mut self, span: Span) {
        self.counts[bucket(span.0)] += 1;
        self.count += 1;
        self.min = self.min.min(span);
        self.max = self.max.max(span);
        let ns = u128::from(span.0);
        self.sum_ns += ns;
        self.sum_ns_squared = self.sum_ns_squared.saturating_add(ns * ns);
    }

    /// Counts this many times of zero.
    pub fn record_zeros(&mut self, count: u64) {
        if count > 0 {
            self.counts[0] += count;
            self.count += count;
            self.min = Span::ZERO;
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact; zero if there is none.
    pub fn min(&self) -> Span {
        if self.count == 0 { Span::ZERO } else { self.min }
    }

    /// Exact; zero if there is none.
    pub fn max(&self) -> Span {
        self.max
    }

    /// Of all that was counted.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The average, rounded down to the nanosecond.
    pub fn avg(&self) -> Span {
        narrow(self.sum_ns.checked_div(u128::from(self.count)).unwrap_or(0))
    }

    /// The population's standard deviation, rounded down to the nanosecond.
    ///
    /// In integers: with `q` the average rounded down, Σ(x−q)² − (Σx − nq)²/n is n times the
    /// variance, and no term of it overflows where the sum of squares did not.
    pub fn dev(&self) -> Span {
        let n = u128::from(self.count);
        if n == 0 {
            return Span::ZERO;
        }
        let (q, rest) = (self.sum_ns / n, self.sum_ns % n);
        let around_q = self.sum_ns_squared.saturating_sub(q.saturating_mul(self.sum_ns + rest));
        narrow((around_q.saturating_sub(rest * rest / n) / n).isqrt())
    }

    /// What was counted, by bucket: from a time on, and below another one. The same in each run, so
    /// that several can be added up; the last one holds everything above it.
    pub fn buckets(&self) -> impl Iterator<Item = (Span, Span, u64)> + '_ {
        let counted = (0..).zip(self.counts.iter()).filter(|(_, count)| **count > 0);
        counted.map(|(index, count)| (Span(edge(index)), Span(edge(index + 1)), *count))
    }

    /// The value that `permille` of 1000 values do not exceed, to within 0.8%; O(buckets). Zero
    /// if there is none.
    pub fn quantile(&self, permille: u32) -> Span {
        let rank = (self.count * u64::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Span(middle(index as u64)).clamp(self.min, self.max);
            }
        }
        Span::ZERO
    }
}

/// A histogram in numbers that a report keeps, below 2^53 each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    pub count: u64,
    pub min: Span,
    pub max: Span,
    /// The average rounded down, and the rest of the sum: less than `count`.
    pub mean: Span,
    pub rest: Span,
    /// The deviation, rounded down.
    pub deviation: Span,
    /// By the least time of each bucket that has some, in order.
    pub buckets: Vec<(Span, u64)>,
}

impl Histogram {
    pub fn parts(&self) -> Parts {
        let rest = self.sum_ns.checked_rem(u128::from(self.count)).unwrap_or(0);
        Parts {
            count: self.count,
            min: self.min(),
            max: self.max,
            mean: self.avg(),
            rest: narrow(rest),
            deviation: self.dev(),
            buckets: self.buckets().map(|(from, _, count)| (from, count)).collect(),
        }
    }

    /// What every time of the bucket from `from` on is below.
    pub fn below(from: Span) -> Span {
        Span(edge(bucket(from.0) as u64 + 1))
    }

    /// The histogram with these parts, again the same but for the fractions of a nanosecond that the
    /// deviation lacks.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn of(parts: &Parts) -> Result<Histogram, &'static str> {
        let Parts { count, min, max, mean, rest, deviation, .. } = *parts;
        let mut histogram = Histogram { count, min, max, ..Histogram::new() };
        let mut next = 0;
        for (from, count) in &parts.buckets {
            let index = bucket(from.0);
            if edge(index as u64) != from.0 || index < next || *count == 0 {
                return Err("buckets with other edges, empty ones, or not in order");
            }
            (histogram.counts[index], next) = (*count, index + 1);
        }
        let sum = parts.buckets.iter().try_fold(0u64, |sum, (_, count)| sum.checked_add(*count));
        if sum != Some(count) || count == 0 {
            return Err("values_count is not the sum of its buckets, or is 0");
        }
        let ends = [parts.buckets.first(), parts.buckets.last()].map(|end| end.map(|end| end.0));
        let of_ends = [min, max].map(|end| Some(Span(edge(bucket(end.0) as u64))));
        if ends != of_ends || mean < min || max < mean || rest.0 >= count {
            return Err("min_ns, mean_ns or max_ns is outside of the buckets");
        }
        let (n, q, rest) = (u128::from(count), u128::from(mean.0), u128::from(rest.0));
        let squares = || {
            let sum_ns = q.checked_mul(n)?.checked_add(rest)?;
            let around_q = u128::from(deviation.0).pow(2).checked_mul(n)? + rest * rest / n;
            Some((sum_ns, around_q.checked_add(q.checked_mul(sum_ns.checked_add(rest)?)?)?))
        };
        let sums = squares().ok_or("such long times of this many values are not possible")?;
        (histogram.sum_ns, histogram.sum_ns_squared) = sums;
        Ok(histogram)
    }

    /// As [`Histogram::quantile`], of what came after `earlier`, which is a copy of this one;
    /// `None` where nothing did. O(buckets).
    pub fn quantile_since(&self, earlier: &Histogram, permille: u32) -> Option<Span> {
        let count = self.count.saturating_sub(earlier.count);
        let rank = (count * u64::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        let counts = self.counts.iter().zip(earlier.counts.iter());
        let found = (0..).zip(counts).find(|(_, (now, before))| {
            seen += now.saturating_sub(**before);
            seen >= rank
        });
        found.map(|(index, _)| Span(middle(index)).clamp(self.min, self.max))
    }
}

/// A time as the bucket that it falls into, plus one: all that a quantile needs, in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(NonZeroU16);

const _: () = assert!(BUCKETS < u16::MAX as usize && size_of::<Option<Code>>() == 2);

impl Code {
    pub fn of(span: Span) -> Code {
        let bucket = u16::try_from(bucket(span.0)).unwrap_or(u16::MAX - 1);
        Code(NonZeroU16::MIN.saturating_add(bucket))
    }

    /// The middle of its bucket.
    pub fn middle(self) -> Span {
        Span(middle(u64::from(self.0.get() - 1)))
    }
}

/// Times by their codes alone, for quantiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    counts: Box<[u64]>,
    count: u64,
}

impl Codes {
    pub fn new() -> Codes {
        // Zeroed pages take no memory until they are written to.
        Codes { counts: vec![0; BUCKETS].into(), count: 0 }
    }

    pub fn record(&mut self, code: Code) {
        self.counts[usize::from(code.0.get() - 1)] += 1;
        self.count += 1;
    }

    pub fn record_span(&mut self, span: Span) {
        self.record(Code::of(span));
    }

    /// As [`Histogram::quantile`], without clamping.
    pub fn quantile(&self, permille: u32) -> Span {
        let rank = (self.count * u64::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = (0..).zip(self.counts.iter()).find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map_or(Span::ZERO, |(index, _)| Span(middle(index)))
    }
}

impl Default for Codes {
    fn default() -> Self {
        Codes::new()
    }
}

/// Values below [`PARTS`] have buckets of their own; above, the top bits of a value are its bucket.
fn bucket(ns: u64) -> usize {
    let octave = (ns | (PARTS - 1)).ilog2() + 1 - PARTS_BITS;
    let shift = octave.saturating_sub(1);
    let index = u64::from(shift) * PARTS + (ns >> shift);
    (index as usize).min(BUCKETS - 1)
}

/// The middle of a bucket: the inverse of [`bucket`].
fn middle(index: u64) -> u64 {
    let (from, below) = (edge(index), edge(index + 1));
    from + (below - from) / 2
}

/// The least value of a bucket.
fn edge(index: u64) -> u64 {
    if index < 2 * PARTS {
        return index;
    }
    let shift = index / PARTS - 1;
    let part = index % PARTS + PARTS;
    part << shift
}

fn narrow(ns: u128) -> Span {
    Span(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_count_on_after_days_of_dials() {
        let many = u64::from(u32::MAX);
        let mut codes = Codes::new();
        codes.counts[bucket(7)] = many;
        codes.count = many;
        for ns in [7, 60, 60] {
            codes.record_span(Span(ns));
        }
        assert_eq!(
            (codes.count, codes.quantile(500), codes.quantile(1000)),
            (many + 3, Span(7), Span(60))
        );
    }

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|ns| histogram.record(Span(*ns)));
        histogram
    }

    #[test]
    fn nothing_counted_is_zero_everywhere() {
        let empty = Histogram::new();
        for span in [empty.min(), empty.avg(), empty.max(), empty.dev(), empty.quantile(500)] {
            assert_eq!(span, Span::ZERO);
        }
    }

    #[test]
    fn buckets_hold_what_was_counted() {
        let values = [0, 1, 63, 64, 127, 128, 129, 1_000, 1_000, 123_456_789, 1 << 49];
        let histogram = of(&values);
        let buckets: Vec<(Span, Span, u64)> = histogram.buckets().collect();
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{buckets:?}");
        let mut left = values.to_vec();
        for (from, below, count) in buckets {
            let before = left.len();
            left.retain(|value| !(from.0..below.0).contains(value));
            assert_eq!((before - left.len()) as u64, count, "{from} to {below}");
        }
        assert_eq!(left, [0; 0]);
    }

    #[test]
    fn average_and_population_deviation_are_exact() {
        let known = of(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!((known.avg(), known.dev()), (Span(5), Span(2)));
        // Large values with a small spread are where a sum of squares in floating point gives
        // nonsense.
        let close = of(&[864_000_000_000_000, 864_000_000_000_002]);
        assert_eq!((close.avg(), close.dev()), (Span(864_000_000_000_001), Span(1)));
    }

    #[test]
    fn times_of_centuries_do_not_overflow() {
        let histogram = of(&[u64::MAX; 3]);
        assert_eq!(histogram.avg().0, u64::MAX);
        assert!(histogram.dev() <= histogram.max());
    }

    #[test]
    fn the_longest_times_of_the_most_connections_do_not_overflow() {
        let mut histogram = of(&[crate::units::SPAN_MAX.0]);
        let n = u128::from(crate::plan::CONNECTIONS_MAX);
        histogram.count = crate::plan::CONNECTIONS_MAX.into();
        histogram.sum_ns *= n;
        histogram.sum_ns_squared *= n;
        assert_eq!((histogram.avg(), histogram.dev()), (crate::units::SPAN_MAX, Span::ZERO));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_their_stated_error(
            mut values in prop::collection::vec(0u64..1 << 50, 1..200),
            permille in 1u32..=1000,
        ) {
            let histogram = of(&values);
            values.sort_unstable();
            let rank = (values.len() * permille as usize).div_ceil(1000).max(1);
            let exact = values[rank - 1];
            let error = histogram.quantile(permille).0.abs_diff(exact);
            prop_assert!(error * 128 <= exact, "{} for {exact}", histogram.quantile(permille).0);
            prop_assert_eq!(histogram.min().0, values[0]);
            prop_assert_eq!(histogram.max().0, values[values.len() - 1]);
        }

        #[test]
        fn every_bucket_holds_its_own_middle(index in 0u64..BUCKETS as u64) {
            prop_assert_eq!(bucket(middle(index)), index as usize);
        }
    }
}
