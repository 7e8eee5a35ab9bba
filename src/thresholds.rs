//! Thresholds of `--fail-if`: a metric of the finished run, a comparison and a value. A condition
//! that holds fails the run; so does one whose metric has no value, for a check that could not be
//! made is no pass.

use std::cmp::Ordering;
use std::fmt;

use crate::engine::{EndReason, State, Summary};
use crate::units::{NS_PER_S, Span, parse_count, parse_rate_milli, parse_span};

/// What a value of a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connections; compared with a count, or with a percentage of those asked for.
    Count,
    Time,
    /// Per second.
    Rate,
}

/// A metric of the finished run.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// One line, for the help.
    pub help: &'static str,
    read: fn(&Summary) -> Option<u64>,
}

impl PartialEq for Metric {
    fn eq(&self, other: &Metric) -> bool {
        self.name == other.name
    }
}

impl Eq for Metric {}

const fn metric(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Summary) -> Option<u64>,
) -> Metric {
    Metric { name, kind, help, read }
}

/// Every metric, in the order in which they are listed.
pub const METRICS: [Metric; 13] = [
    metric("established", Kind::Count, "open at the end", |summary| {
        Some(summary.last.level(State::Established).into())
    }),
    metric("established_peak", Kind::Count, "the most open at once", |summary| {
        Some(summary.established_peak.into())
    }),
    metric("errors", Kind::Count, "dials that failed", |summary| Some(summary.errors)),
    metric("closed", Kind::Count, "established, and closed or lost before the end", |summary| {
        Some(summary.last.level(State::Closed).into())
    }),
    metric("unanswered", Kind::Count, "no reply, or closed before it", |summary| {
        Some(summary.checks.no_reply + summary.checks.closed_before_reply)
    }),
    metric("half_open", Kind::Count, "keepalive answered with RST", |summary| {
        Some(summary.ended_by(EndReason::HalfOpen))
    }),
    metric("dial_p50", Kind::Time, "median of the dial times", |summary| dial(summary, 500)),
    metric("dial_p90", Kind::Time, "90% of the dials took at most this", |summary| {
        dial(summary, 900)
    }),
    metric("dial_p99", Kind::Time, "99% of the dials took at most this", |summary| {
        dial(summary, 990)
    }),
    metric("dial_p999", Kind::Time, "99.9% of the dials took at most this", |summary| {
        dial(summary, 999)
    }),
    metric("dial_max", Kind::Time, "the longest dial", |summary| dial(summary, 1000)),
    metric("rate", Kind::Rate, "dials per second, from the first to the last", rate_milli),
    metric("lateness_p99", Kind::Time, "99% of the dials began at most this late", |summary| {
        let lateness = &summary.dial_lateness;
        (lateness.count() > 0).then(|| lateness.quantile(990).0)
    }),
];

/// Of the dials that were established; `None` where none was.
fn dial(summary: &Summary, permille: u32) -> Option<u64> {
    let times = &summary.established_times;
    let time = if permille == 1000 { times.max() } else { times.quantile(permille) };
    (times.count() > 0).then_some(time.0)
}

/// In thousandths; `None` for fewer than two dials.
fn rate_milli(summary: &Summary) -> Option<u64> {
    let span = summary.last_dial?.since(summary.first_dial?);
    let skipped = u32::try_from(summary.skipped).unwrap_or(u32::MAX);
    let not_dialed = summary.last.level(State::NotInitiated) + skipped;
    let dials = u64::from(summary.last.connections.saturating_sub(not_dialed));
    let gaps = u128::from(dials.saturating_sub(1)) * 1000 * u128::from(NS_PER_S);
    u64::try_from(gaps.checked_div(span.0.into())?).ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
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
enum Value {
    Count(u64),
    /// Thousandths of a percent of the connections asked for.
    PercentMilli(u64),
    Time(Span),
    RateMilli(u64),
}

/// A condition under which a run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    pub metric: Metric,
    comparison: Comparison,
    value: Value,
    /// Without spaces: `established<95%`.
    pub text: String,
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actual {
    Count(u64),
    Time(Span),
    RateMilli(u64),
    /// The run has none: no connection was established, or no pace was set.
    Unknown,
}

/// A condition after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub actual: Actual,
    /// Whether it fails the run.
    pub failed: bool,
}

impl fmt::Display for Actual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actual::Count(count) => write!(f, "{count}"),
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
        let metric = METRICS.into_iter().find(|metric| metric.name == name).ok_or_else(|| {
            let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
            format!("the metrics are {}", names.join(", "))
        })?;
        let (sign, comparison) = COMPARISONS
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or("the comparisons are <, <=, >, >= and ==")?;
        let value = Value::parse(metric.kind, &rest[sign.len()..]).ok_or_else(|| {
            let accepted = match metric.kind {
                Kind::Count => "a count, or a percentage of the connections asked for (95%)",
                Kind::Time => "a time with its unit (20ms)",
                Kind::Rate => "a number per second (500, 2.5k)",
            };
            format!("the value of {name} is {accepted}")
        })?;
        Ok(Threshold { metric, comparison, value, text })
    }

    /// Judges the finished run.
    pub fn judge(&self, summary: &Summary) -> Outcome {
        let Some(actual) = (self.metric.read)(summary) else {
            return Outcome { actual: Actual::Unknown, failed: true };
        };
        let order = match self.value {
            Value::Count(value) | Value::RateMilli(value) | Value::Time(Span(value)) => {
                actual.cmp(&value)
            }
            Value::PercentMilli(value) => {
                let of = u128::from(summary.last.connections);
                (u128::from(actual) * 100_000).cmp(&(u128::from(value) * of))
            }
        };
        let actual = match self.metric.kind {
            Kind::Count => Actual::Count(actual),
            Kind::Time => Actual::Time(Span(actual)),
            Kind::Rate => Actual::RateMilli(actual),
        };
        Outcome { actual, failed: self.comparison.holds(order) }
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
    use crate::engine::{Engine, Event, EventKind, Failure, Key};
    use crate::plan::Plan;
    use crate::route::{Routes, Target};
    use crate::units::Moment;

    /// Four dials: three established after 1, 2 and 4 ms, of which one is closed; one refused.
    fn summary() -> Summary {
        let address = "127.0.0.1:80".parse().unwrap();
        let plan = Plan::plain(4, Routes::to_one(Target { host: "localhost".into(), address }));
        let mut engine = Engine::new(&plan, Moment(0)).unwrap();
        let mut actions = Vec::new();
        let mut feed = |at_us: u64, kind: EventKind| {
            let at = Moment(at_us * 1_000);
            engine.turn(at, &[Event { at, kind }], &mut actions);
        };
        let key = |slot| Key { slot, attempt: 0 };
        let failure = |reason| Failure { reason, errno: 0 };
        feed(0, EventKind::PollBatchFull);
        feed(0, EventKind::Dialed(key(0)));
        feed(900, EventKind::Opened(key(0)));
        feed(1_000, EventKind::Dialed(key(1)));
        feed(2_000, EventKind::Dialed(key(2)));
        feed(2_800, EventKind::Opened(key(1)));
        feed(3_000, EventKind::Dialed(key(3)));
        feed(3_100, EventKind::Failed(key(3), failure(EndReason::Refused)));
        feed(5_600, EventKind::Opened(key(2)));
        feed(9_000, EventKind::PeerClosed(key(0), failure(EndReason::PeerClosed)));
        engine.summary()
    }

    fn judge(text: &str) -> Outcome {
        Threshold::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).judge(&summary())
    }

    #[test]
    fn a_condition_that_holds_fails_the_run() {
        for (text, failed, actual) in [
            ("established<3", true, "2"),
            ("established < 2", false, "2"),
            ("established<=2", true, "2"),
            ("established>=50%", true, "2"),
            ("established<50%", false, "2"),
            ("established<50.1%", true, "2"),
            ("established_peak==3", true, "3"),
            ("errors>0", true, "1"),
            ("errors>25%", false, "1"),
            ("closed==0", false, "1"),
            ("unanswered>0", false, "0"),
            ("half_open>0", false, "0"),
            ("dial_max>3.5ms", true, "3.6ms"),
            ("dial_p50>1h", false, "1.79ms"),
            ("rate<1.2k", true, "1000.0/s"),
            ("rate>1000/s", false, "1000.0/s"),
        ] {
            let outcome = judge(text);
            assert_eq!((outcome.failed, &*outcome.actual.to_string()), (failed, actual), "{text}");
        }
    }

    #[test]
    fn a_metric_without_a_value_fails_whatever_the_comparison() {
        for text in ["lateness_p99>1s", "lateness_p99<1s"] {
            assert_eq!(judge(text), Outcome { actual: Actual::Unknown, failed: true });
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
}
