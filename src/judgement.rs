//! The conditions of `--fail-if` against a finished run, and the exit code that follows.

use crate::engine::{EndReason, State, Summary};
use crate::error::exit;
use crate::thresholds::{Judged, Metric, Threshold};
use crate::units::NS_PER_S;

/// Each condition with its actual value, in the order in which they were typed.
pub fn judge(thresholds: &[Threshold], summary: &Summary) -> Vec<Judged> {
    // Under churn a slot is dialed many times: shares are of the dials.
    let connections = match summary.churn {
        Some(_) => dials(summary),
        None => summary.last.connections.into(),
    };
    let judged = |one: &Threshold| one.judge(value(one.metric, summary), connections);
    thresholds.iter().map(judged).collect()
}

/// The exit code, from that of the diagnosis: conditions alone decide between success and failure,
/// but a run that was not completed never succeeds.
pub fn exit_code(judged: &[Judged], diagnosed: u8) -> u8 {
    match diagnosed {
        code if judged.is_empty() => code,
        _ if judged.iter().any(|one| one.failed) => exit::CONDITION_FAILED,
        exit::NOT_COMPLETED => exit::NOT_COMPLETED,
        _ => exit::ALL_ESTABLISHED,
    }
}

/// The value of a metric, in connections, nanoseconds, or thousandths a second; `None` where the run
/// has none.
fn value(metric: Metric, summary: &Summary) -> Option<u64> {
    match metric {
        Metric::Established => Some(match summary.churn {
            Some(_) => summary.established_ever,
            None => summary.last.level(State::Established).into(),
        }),
        Metric::EstablishedPeak => Some(summary.established_peak.into()),
        Metric::Errors => Some(summary.errors),
        Metric::Closed => {
            let closed = EndReason::ALL.into_iter().filter(|r| r.ends_in() == State::Closed);
            Some(closed.map(|reason| summary.ended_by(reason)).sum())
        }
        Metric::Unanswered => Some(summary.checks.no_reply + summary.checks.closed_before_reply),
        Metric::HalfOpen => Some(summary.ended_by(EndReason::HalfOpen)),
        Metric::DialP50 => dial(summary, 500),
        Metric::DialP90 => dial(summary, 900),
        Metric::DialP99 => dial(summary, 990),
        Metric::DialP999 => dial(summary, 999),
        Metric::DialMax => dial(summary, 1000),
        Metric::Rate => rate_milli(summary),
        Metric::LatenessP99 => {
            let lateness = &summary.dial_lateness;
            (lateness.count() > 0).then(|| lateness.quantile(990).0)
        }
    }
}

/// Of the dials that were established; `None` where none was.
fn dial(summary: &Summary, permille: u32) -> Option<u64> {
    let times = &summary.established_times;
    let time = if permille == 1000 { times.max() } else { times.quantile(permille) };
    (times.count() > 0).then_some(time.0)
}

/// `None` for fewer than two dials.
fn rate_milli(summary: &Summary) -> Option<u64> {
    let span = summary.last_dial?.since(summary.first_dial?);
    let gaps = u128::from(dials(summary).saturating_sub(1)) * 1000 * u128::from(NS_PER_S);
    u64::try_from(gaps.checked_div(span.0.into())?).ok()
}

/// Dials that were started, without those skipped.
fn dials(summary: &Summary) -> u64 {
    let dialing = u64::from(summary.last.level(State::Dialing));
    (summary.established_ever + summary.errors + dialing).saturating_sub(summary.skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Event, EventKind, Failure, Key};
    use crate::plan::Plan;
    use crate::route::{Routes, Target};
    use crate::thresholds::Actual;
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

    fn judge(text: &str) -> Judged {
        let threshold = Threshold::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        super::judge(&[threshold], &summary()).remove(0)
    }

    #[test]
    fn a_condition_that_holds_fails_the_run() {
        for (text, failed, actual) in [
            ("established<3", true, "2 of 4 (50%)"),
            ("established < 2", false, "2 of 4 (50%)"),
            ("established<=2", true, "2 of 4 (50%)"),
            ("established>=50%", true, "2 of 4 (50%)"),
            ("established<50%", false, "2 of 4 (50%)"),
            ("established<50.1%", true, "2 of 4 (50%)"),
            ("established_peak==3", true, "3 of 4 (75%)"),
            ("errors>0", true, "1 of 4 (25%)"),
            ("errors>25%", false, "1 of 4 (25%)"),
            ("closed==0", false, "1 of 4 (25%)"),
            ("unanswered>0", false, "0 of 4 (0%)"),
            ("half_open>0", false, "0 of 4 (0%)"),
            ("dial_max>3.5ms", true, "3.6ms"),
            ("dial_p50>1h", false, "1.79ms"),
            ("rate<1.2k", true, "1000.0/s"),
            ("rate>1000/s", false, "1000.0/s"),
        ] {
            let outcome = judge(text);
            assert_eq!((outcome.failed, &*outcome.actual.to_string()), (failed, actual), "{text}");
        }
    }

    /// A day of 100,000 dials a second: shares are of the dials.
    #[test]
    fn shares_of_a_run_that_churns_are_of_all_its_dials() {
        let mut summary = Summary { established_ever: 6_000_000_000, ..summary() };
        (summary.errors, summary.churn) = (2_000_000_000, Some(Default::default()));
        for (text, failed, actual) in [
            ("established<75%", false, "6000000000 of 8000000000 (75%)"),
            ("errors>24%", true, "2000000000 of 8000000000 (25%)"),
        ] {
            let judged = super::judge(&[Threshold::parse(text).unwrap()], &summary).remove(0);
            assert_eq!((judged.failed, &*judged.actual.to_string()), (failed, actual), "{text}");
        }
    }

    #[test]
    fn a_metric_without_a_value_fails_whatever_the_comparison() {
        for text in ["lateness_p99>1s", "lateness_p99<1s"] {
            let Judged { actual, failed, .. } = judge(text);
            assert_eq!((actual, failed), (Actual::Unknown, true));
        }
    }

    #[test]
    fn conditions_alone_decide_unless_the_run_was_not_completed() {
        let judged = |texts: &[&str]| -> Vec<Judged> { texts.iter().map(|t| judge(t)).collect() };
        let (holds, fails) = (judged(&["errors>9"]), judged(&["errors>9", "errors>0"]));
        for (judged, diagnosed, code) in [
            (&judged(&[]), exit::WITH_ERRORS, exit::WITH_ERRORS),
            (&judged(&[]), exit::NOT_COMPLETED, exit::NOT_COMPLETED),
            (&holds, exit::WITH_ERRORS, exit::ALL_ESTABLISHED),
            (&holds, exit::NOT_COMPLETED, exit::NOT_COMPLETED),
            (&fails, exit::ALL_ESTABLISHED, exit::CONDITION_FAILED),
            (&fails, exit::NOT_COMPLETED, exit::CONDITION_FAILED),
        ] {
            assert_eq!(exit_code(judged, diagnosed), code, "{judged:?}");
        }
    }
}
