//! A report is the same when it is made again from its document.

use tcpgoon::diagnosis::diagnose;
use tcpgoon::diagnosis::model::Diagnosis;
use tcpgoon::display::ReportForm;
use tcpgoon::judgement;
use tcpgoon::report::{Report, json, short};

/// What differs, in words.
pub fn difference(report: &Report<'_>, diagnosis: &Diagnosis) -> Option<String> {
    let document = json::document(report, diagnosis);
    let mut saved = match json::read(document.as_bytes()) {
        Ok(saved) => saved,
        Err(why) => return Some(format!("the document is not read: {why}\n{document}")),
    };
    let conditions: Vec<_> = saved.judged.iter().map(|one| one.threshold.clone()).collect();
    saved.judged = judgement::judge(&conditions, &saved.summary);
    let again = saved.report(report.exit_code);
    let diagnosed = diagnose(&again.case());
    // As its plan has it, and not as a test names it.
    let target = report.plan.routes.to_string();
    let report = Report { target: &target, ..*report };
    for form in [ReportForm::Full, ReportForm::Short] {
        let text = short::report(&report, diagnosis, form, 80);
        let text_again = short::report(&again, &diagnosed, form, 80);
        if text != text_again {
            return Some(format!("the text of the document:\n{text_again}of the run:\n{text}"));
        }
    }
    let document_again = json::document(&again, &diagnosed);
    (document != document_again)
        .then(|| format!("the document again:\n{document_again}of the run:\n{document}"))
}

#[track_caller]
pub fn assert_same(report: &Report<'_>, diagnosis: &Diagnosis) {
    if let Some(difference) = difference(report, diagnosis) {
        panic!("{difference}");
    }
}
