//! The JSON document of a run, and the parts that it shares with the events: written, and read again by
//! `tcpgoon report`. `tcpgoon schema` prints `tests/schema/tcpgoon-1.json`, which describes each field; a
//! test fails for a field that is not described.
//!
//! Numbers are integers below 2^53 with their unit in their name; moments of the run are
//! nanoseconds since its start.
//!
//! * `codec`: how a field is written, and how it is read; `number`: the integers among them;
//!   `path`: the way to a field;
//! * `saved`: all that a document has of a run; `consistency`: what has to add up in it;
//! * `run`: the plan; `host`: this host before the run;
//! * `churn`: where slots dial again; `totals`: counts; `times`: histograms, and the run over time;
//! * `evidence`: checks, ICMP, kernel counters, last lines; `analysis`: what the diagnosis reads;
//! * `diagnosis`: problems, candidates, checks; `facts`: evidence for and against them: written only;
//! * `fields`: how a field of these two is written; `names`: the ids of all enums; `errno`: the names of
//!   errnos.

mod analysis;
mod churn;
pub mod codec;
mod consistency;
mod diagnosis;
mod errno;
mod evidence;
mod facts;
mod fields;
mod host;
pub mod names;
mod number;
mod path;
mod run;
mod saved;
mod times;
mod totals;

pub use saved::{Saved, read};
pub use totals::write_levels;

use codec::Codec;
use fields::number;
use run::Begun;

use super::{Report, Start};
use crate::diagnosis::model::Diagnosis;
use crate::json::Json;
use crate::units::Moment;

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
    let mut saved = Saved::of(report);
    Codec::write(json, report.summary.start, |codec| saved.fields(codec));
    diagnosis::write(json, report, diagnosis);
    number(json, "exit_code", report.exit_code);
}

/// The fields of a run at its beginning.
pub fn write_start(json: &mut Json, start: &Start<'_>) {
    Codec::write(json, Moment(0), |codec| Begun::of(start).fields(codec));
}
