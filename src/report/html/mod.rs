//! The report as one HTML page that can be mailed: no script, nothing loaded, every value from outside
//! escaped. It decides and counts nothing: words and numbers are those of the text report.
//!
//! * `page`: markup and escaping; `sections`: the verdict, tables and the rest of the page;
//! * `charts`: which charts; `chart`: one of them as SVG; `scale`: its axes.

mod chart;
mod charts;
mod page;
mod scale;
mod sections;

use page::Page;

use super::Report;
use crate::diagnosis::model::Diagnosis;

/// Without the whole of it, a page would look and print as plain text.
const STYLE: &str = include_str!("style.css");

/// The whole page. It is XML as well.
pub fn document(report: &Report<'_>, diagnosis: &Diagnosis) -> String {
    let mut page = Page::default();
    page.raw(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ",
        "style-src 'unsafe-inline'\"/><meta name=\"color-scheme\" content=\"light dark\"/>",
    ));
    let word = diagnosis.word.text();
    page.element("title", &format_args!("{word}: {} - tcpgoon", report.target));
    page.raw("<style>");
    page.raw(STYLE);
    page.raw("</style></head><body><main>\n");
    sections::result(&mut page, report, diagnosis);
    sections::verdict(&mut page, report, diagnosis);
    sections::conditions(&mut page, report);
    sections::groups(&mut page, report);
    page.raw("<section><h2>Over time</h2>\n");
    charts::write(&mut page, report.summary);
    page.raw("</section>\n");
    sections::tables(&mut page, report);
    sections::limits(&mut page, report);
    sections::run(&mut page, report, diagnosis);
    page.raw("</main></body></html>\n");
    page.into_html()
}
