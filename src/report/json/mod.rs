//! The JSON document of a run, and the parts that it shares with the events. `tcpgoon schema` prints
//! `tests/schema/tcpgoon-1.json`, which describes each field; a test fails for a field that is not
//! described.
//!
//! Numbers are integers below 2^53 with their unit in their name; moments of the run are
//! nanoseconds since its start.
//!
//! * `run`: the plan, and this host before the run;
//! * `totals`: counts; `times`: histograms; `timeline`: the run over time;
//! * `evidence`: checks, ICMP, kernel counters, last lines;
//! * `diagnosis`: problems, candidates, checks; `facts`: evidence for and against them;
//! * `fields`: how a field is written; `names`: the ids of all enums; `errno`: the names of errnos.

mod diagnosis;
mod errno;
mod evidence;
mod facts;
mod fields;
pub mod names;
mod run;
mod timeline;
mod times;
mod totals;

pub use run::write_start;
pub use totals::write_levels;

use fields::{number, span};

use super::Report;
use crate::diagnosis::model::Diagnosis;
use crate::json::Json;
use crate::thresholds::{Actual, Judged};

/// The schema itself.
pub const SCHEMA: &str = include_str!("../../../tests/schema/tcpgoon-1.json");

/// The whole run, on one line.
pub fn document(report: &Report<'_>, diagnosis: &Diagnosis) -> String {
    let mut json = Json::new();
    json.object(|json| write_document(json, report, diagnosis));
    json.into_text() + "\n"
}

/// The fields of a document.
pub fn write_document(json: &mut Json, report: &Report<'_>, diagnosis: &Diagnosis) {
    let summary = report.summary;
    write_start(json, &report.start());
    json.key("end").string(&crate::units::rfc3339(report.end_unix_ns));
    number(json, "end_unix_us", report.end_unix_ns / 1_000);
    span(json, "took_ns", summary.end.since(summary.start));
    json.key("ended_by").string_or_null(report.ended_by.or(summary.stopped.then_some("a signal")));
    totals::write(json, report);
    times::write(json, summary);
    timeline::write(json, &summary.series);
    evidence::write(json, report);
    diagnosis::write(json, report, diagnosis);
    json.key("thresholds").array(|json| {
        report.judged.iter().for_each(|judged| json.object(|json| write_judged(json, judged)));
    });
    number(json, "exit_code", report.exit_code);
}

fn write_judged(json: &mut Json, judged: &Judged) {
    let Judged { threshold, actual, failed } = judged;
    json.key("condition").string(&threshold.text);
    json.key("metric").string(threshold.metric.record().name);
    json.key("comparison").string(threshold.comparison.sign());
    json.key("failed").bool(*failed);
    json.key("actual").string(&actual.to_string());
    match *actual {
        Actual::Count { count, of } => {
            number(json, "actual_count", count);
            number(json, "of_count", of);
        }
        Actual::Time(time) => span(json, "actual_ns", time),
        Actual::RateMilli(milli) => number(json, "actual_per_1000_s_count", milli),
        Actual::Unknown => {}
    }
}
