//! The renderer of each format.

use super::{Report, events, html, json, junit, markdown, prometheus};
use crate::diagnosis::model::Diagnosis;
use crate::outputs::Format;

/// A report in a format other than text; for `Format::Events` the last line.
pub fn write(format: Format, report: &Report<'_>, diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match format {
        Format::Events => return events::end(report, diagnosis),
        Format::Html => return html::document(report, diagnosis),
        Format::Json => return json::document(report, diagnosis),
        Format::Junit => junit::write(&mut text, report, diagnosis),
        Format::Markdown => markdown::write(&mut text, report, diagnosis),
        Format::Prometheus => return prometheus::end(report),
    };
    text
}
