//! A saved run again: read, judged and diagnosed as when it was over.

use crate::diagnosis::diagnose;
use crate::diagnosis::model::Diagnosis;
use crate::display::ReportForm;
use crate::judgement;
use crate::outputs::Format;
use crate::report::json::{self, Saved};
use crate::report::{Report, format, short};
use crate::thresholds::Threshold;

#[derive(Debug, Clone)]
pub struct Reread {
    saved: Saved,
    diagnosis: Diagnosis,
    exit_code: u8,
}

impl Reread {
    /// From a document, or from events.
    ///
    /// # Errors
    /// `LINE:COLUMN: FIELD: what is wrong`, on one line.
    pub fn of(bytes: &[u8]) -> Result<Reread, String> {
        let mut saved = json::read(bytes)?;
        let conditions: Vec<Threshold> =
            saved.judged.iter().map(|one| one.threshold.clone()).collect();
        saved.judged = judgement::judge(&conditions, &saved.summary);
        let diagnosis = diagnose(&saved.report(0).case());
        let exit_code = judgement::exit_code(&saved.judged, diagnosis.exit_code);
        Ok(Reread { saved, diagnosis, exit_code })
    }

    /// As when the run was over.
    pub fn report(&self) -> Report<'_> {
        self.saved.report(self.exit_code)
    }

    pub fn in_format(&self, wanted: Format) -> String {
        format::write(wanted, &self.report(), &self.diagnosis)
    }

    /// For a terminal of `columns`.
    pub fn text(&self, form: ReportForm, columns: usize) -> String {
        short::report(&self.report(), &self.diagnosis, form, columns)
    }
}
