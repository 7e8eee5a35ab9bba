//! Histograms of times: percentiles, and buckets with the same edges in every report.

use super::fields::{number, span};
use crate::engine::Summary;
use crate::engine::histogram::Histogram;
use crate::json::Json;

pub fn write(json: &mut Json, summary: &Summary) {
    let none = Histogram::new();
    let from_due = summary.churn.as_ref().map_or(&none, |churn| &churn.due_times);
    json.key("times").object(|json| {
        for (key, times) in [
            ("dial", &summary.established_times),
            ("failed_dial", &summary.failed_times),
            ("handshake", &summary.handshake_times),
            ("notice", &summary.notice_times),
            ("first_byte", &summary.first_byte_times),
            ("lifetime", &summary.lifetimes),
            ("dial_lateness", &summary.dial_lateness),
            ("dial_from_due", from_due),
        ] {
            let times = Some(times).filter(|times| times.count() > 0);
            json.key(key).optional(times, |json, times| json.object(|json| one(json, times)));
        }
    });
}

fn one(json: &mut Json, times: &Histogram) {
    number(json, "values_count", times.count());
    span(json, "min_ns", times.min());
    span(json, "mean_ns", times.avg());
    span(json, "max_ns", times.max());
    span(json, "deviation_ns", times.dev());
    for (key, permille) in [("p50_ns", 500), ("p90_ns", 900), ("p99_ns", 990), ("p999_ns", 999)] {
        span(json, key, times.quantile(permille));
    }
    json.key("buckets").array(|json| {
        for (from, below, count) in times.buckets() {
            json.object(|json| {
                span(json, "from_ns", from);
                span(json, "below_ns", below);
                number(json, "values_count", count);
            });
        }
    });
}
