//! The run as NDJSON, for `tail -f`, `jq` and log shippers. The last line has the whole document.

use super::json::{write_document, write_levels, write_start};
use super::{Report, Start};
use crate::diagnosis::model::Diagnosis;
use crate::engine::Sample;
use crate::json::Json;
use crate::units::rfc3339;

/// The first line.
pub fn start(run: &Start<'_>) -> String {
    event("start", |json| write_start(json, run))
}

/// The statistics of an interval.
pub fn interval(now_unix_ns: u64, sample: &Sample) -> String {
    event("interval", |json| {
        json.key("time").string(&rfc3339(now_unix_ns));
        json.key("time_unix_us").integer(now_unix_ns / 1_000);
        json.key("after_ns").integer(sample.after.0);
        json.key("levels").object(|json| write_levels(json, &sample.levels));
    })
}

/// The last line.
pub fn end(report: &Report<'_>, diagnosis: &Diagnosis) -> String {
    event("end", |json| write_document(json, report, diagnosis))
}

fn event(name: &str, fill: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.key("event").string(name);
        fill(json);
    });
    json.into_text() + "\n"
}
