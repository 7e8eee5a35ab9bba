//! The run as NDJSON, for `tail -f`, `jq` and log shippers. The last line has the whole document.

use super::json::{write_document, write_levels, write_start};
use super::{Report, Start};
use crate::diagnosis::model::Diagnosis;
use crate::engine::Progress;
use crate::json::Json;
use crate::units::rfc3339;

/// The first line.
pub fn start(run: &Start<'_>) -> String {
    event("start", |json| write_start(json, run))
}

/// The statistics of an interval; where slots dial again with all that was counted so far, as levels
/// alone do not tell of it.
pub fn interval(now_unix_ns: u64, progress: &Progress<'_>) -> String {
    let Progress { sample, dialed, established, errors, .. } = progress;
    event("interval", |json| {
        json.key("time").string(&rfc3339(now_unix_ns));
        json.key("time_unix_us").integer(now_unix_ns / 1_000);
        json.key("after_ns").integer(sample.after.0);
        json.key("levels").object(|json| write_levels(json, &sample.levels));
        let Some(by_us) = progress.closed_by_us else { return };
        json.key("so_far").object(|json| {
            for (field, count) in [
                ("dials_count", *dialed),
                ("established_ever_count", *established),
                ("closed_by_us_count", by_us),
                ("closed_by_peer_count", progress.closed_by_peer()),
                ("errors_count", *errors),
            ] {
                json.key(field).integer(count);
            }
        });
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
