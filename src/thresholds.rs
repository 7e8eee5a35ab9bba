//! Conditions of `--fail-if`: a metric of the finished run, a comparison and a value. One that holds
//! fails the run; so does one if its metric has no value: a check that could not be made is no pass. What a metric is of a run is read in `judgement.rs`.

use std::cmp::Ordering;
use std::fmt;

use crate::units::{Span, parse_count, parse_rate_milli, parse_span};

/// What a value of a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connections; compared with a count, or with a percentage of all of them.
    Count,
    Time,
    /// Per second.
    Rate,
}

/// A metric of the finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Established,
    EstablishedPeak,
    Errors,
    Closed,
    Unanswered,
    HalfOpen,
    DialP50,
    DialP90,
    DialP99,
    DialP999,
    DialMax,
    Rate,
    LatenessP99,
}

/// What is to be said of one metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricRecord {
    pub metric: Metric,
    pub name: &'static str,
    pub kind: Kind,
    /// One line.
    pub help: &'static str,
}

const fn record(
    metric: Metric,
    name: &'static str,
    kind: Kind,
    help: &'static str,
) -> MetricRecord {
    MetricRecord { metric, name, kind, help }
}

/// Every metric, in the order of [`Metric`].
pub const METRICS: [MetricRecord; 13] = [
    record(Metric::Established, "established", Kind::Count, "open at the end"),
    record(Metric::EstablishedPeak, "established_peak", Kind::Count, "the most open at once"),
    record(Metric::Errors, "errors", Kind::Count, "dials that failed"),
    record(Metric::Closed, "closed", Kind::Count, "established, and closed or lost before the end"),
    record(Metric::Unanswered, "unanswered", Kind::Count, "no reply, or closed before it"),
    record(Metric::HalfOpen, "half_open", Kind::Count, "keepalive answered with RST"),
    record(Metric::DialP50, "dial_p50", Kind::Time, "median of the dial times"),
    record(Metric::DialP90, "dial_p90", Kind::Time, "90% of the dials took at most this"),
    record(Metric::DialP99, "dial_p99", Kind::Time, "99% of the dials took at most this"),
    record(Metric::DialP999, "dial_p999", Kind::Time, "99.9% of the dials took at most this"),
    record(Metric::DialMax, "dial_max", Kind::Time, "the longest dial"),
    record(Metric::Rate, "rate", Kind::Rate, "dials per second, from the first to the last"),
    record(
        Metric::LatenessP99,
        "lateness_p99",
        Kind::Time,
        "99% of the dials began at most this late",
    ),
];

impl Metric {
    pub fn record(self) -> &'static MetricRecord {
        &METRICS[self as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// The longer ones first: `<` begins `<=`.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Comparison {
    pub fn sign(self) -> &'static str {
        let found = COMPARISONS.iter().find(|(_, comparison)| *comparison == self);
        found.map_or("", |(sign, _)| sign)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Equal => order.is_eq(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Count(u64),
    /// Thousandths of a percent of the connections.
    PercentMilli(u64),
    Time(Span),
    RateMilli(u64),
}

/// A condition under which a run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    pub metric: Metric,
    pub comparison: Comparison,
    pub value: Value,
    /// Without spaces: `established<95%`.
    pub text: String,
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actual {
    /// Of all of them.
    Count {
        count: u64,
        of: u64,
    },
    Time(Span),
    RateMilli(u64),
    /// The run has none: no connection was established, or no pace was set.
    Unknown,
}

/// A condition after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub threshold: Threshold,
    pub actual: Actual,
    /// Whether it fails the run.
    pub failed: bool,
}

/// `2 of 4 (50%)`, `3.1ms`, `1000.0/s`. A percentage is rounded down: 99.99% is not all.
impl fmt::Display for Actual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actual::Count { count, of } => {
                let milli = u128::from(*count) * 100_000 / u128::from((*of).max(1));
                let (whole, rest) = (milli / 1000, milli % 1000);
                let fraction = format!(".{rest:03}");
                let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
                write!(f, "{count} of {of} ({whole}{fraction}%)")
            }
            Actual::Time(time) => write!(f, "{}", time.rounded_to_3_digits()),
            Actual::RateMilli(milli) => write!(f, "{}.{}/s", milli / 1000, milli % 1000 / 100),
            Actual::Unknown => write!(f, "unknown"),
        }
    }
}

impl Threshold {
    /// Reads `METRIC OP VALUE`, with or without spaces.
    ///
    /// # Errors
    /// What is accepted in the place of what is wrong.
    pub fn parse(text: &str) -> Result<Threshold, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let at =
            text.find(['<', '>', '=']).ok_or("METRIC, then <, <=, >, >= or ==, then a value")?;
        let (name, rest) = text.split_at(at);
        let found = METRICS.iter().find(|record| record.name == name);
        let &MetricRecord { metric, kind, .. } = found.ok_or_else(|| {
            let names: Vec<&str> = METRICS.iter().map(|record| record.name).collect();
            format!("the metrics are {}", names.join(", "))
        })?;
        let (sign, comparison) = COMPARISONS
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or("the comparisons are <, <=, >, >= and ==")?;
        let value = Value::parse(kind, &rest[sign.len()..]).ok_or_else(|| {
            let accepted = match kind {
                Kind::Count => "a count, or a percentage of --connections (95%)",
                Kind::Time => "a time with its unit (20ms)",
                Kind::Rate => "a number per second (500, 2.5k)",
            };
            format!("the value of {name} is {accepted}")
        })?;
        Ok(Threshold { metric, comparison, value, text })
    }

    /// Judges the value of its metric in a run of `connections`; rates are in thousandths.
    pub fn judge(&self, actual: Option<u64>, connections: u64) -> Judged {
        let threshold = self.clone();
        let Some(actual) = actual else {
            return Judged { threshold, actual: Actual::Unknown, failed: true };
        };
        let order = match self.value {
            Value::Count(value) | Value::RateMilli(value) | Value::Time(Span(value)) => {
                actual.cmp(&value)
            }
            Value::PercentMilli(value) => {
                let all = u128::from(connections);
                (u128::from(actual) * 100_000).cmp(&(u128::from(value) * all))
            }
        };
        let failed = self.comparison.holds(order);
        let actual = match self.metric.record().kind {
            Kind::Count => Actual::Count { count: actual, of: connections },
            Kind::Time => Actual::Time(Span(actual)),
            Kind::Rate => Actual::RateMilli(actual),
        };
        Judged { threshold, actual, failed }
    }
}

impl Value {
    fn parse(kind: Kind, text: &str) -> Option<Value> {
        match (kind, text.strip_suffix('%')) {
            (Kind::Count, Some(percent)) => parse_rate_milli(percent).map(Value::PercentMilli),
            (Kind::Count, None) => parse_count(text).map(Value::Count),
            (Kind::Time, None) => parse_time(text).map(Value::Time),
            (Kind::Rate, None) => {
                parse_rate_milli(text.strip_suffix("/s").unwrap_or(text)).map(Value::RateMilli)
            }
            (_, Some(_)) => None,
        }
    }
}

/// Only with a unit, except for zero: a bare number could be any.
fn parse_time(text: &str) -> Option<Span> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    parse_span(text, Span::from_s(1)).filter(|span| !is_bare || *span == Span::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stand_in_their_order() {
        for (index, record) in METRICS.iter().enumerate() {
            assert_eq!(record.metric as usize, index);
        }
    }

    #[test]
    fn what_is_wrong_is_answered_with_what_is_accepted() {
        for (text, why) in [
            ("established", "METRIC, then <, <=, >, >= or ==, then a value"),
            ("", "METRIC, then <, <=, >, >= or ==, then a value"),
            ("open<3", "the metrics are established, established_peak, "),
            ("errors=3", "the comparisons are <, <=, >, >= and =="),
            ("errors>many", "the value of errors is a count, or a percentage"),
            ("errors>-1", "the value of errors is a count"),
            ("dial_p99>20", "the value of dial_p99 is a time with its unit (20ms)"),
            ("dial_p99>20%", "the value of dial_p99 is a time"),
            ("rate<5%", "the value of rate is a number per second"),
            ("errors>99999999999999999999999", "the value of errors is a count"),
        ] {
            let error = Threshold::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_percentage_is_rounded_down() {
        for (count, of, words) in [
            (2, 4, "2 of 4 (50%)"),
            (1, 3, "1 of 3 (33.333%)"),
            (9_999_999, 10_000_000, "9999999 of 10000000 (99.999%)"),
            (7, 7, "7 of 7 (100%)"),
            (0, 5, "0 of 5 (0%)"),
        ] {
            assert_eq!(Actual::Count { count, of }.to_string(), words);
        }
    }
}
