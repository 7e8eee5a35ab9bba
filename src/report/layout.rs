//! The layout of a verdict.

use super::wrap::COLUMNS;

/// How much of a verdict is printed, and how wide.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub columns: usize,
    /// Checks that are printed of a problem, and of one candidate.
    pub checks_max: usize,
    pub checks_each_max: usize,
    pub has_evidence: bool,
    pub has_titles: bool,
    /// Checks only of the first problem, in one list where that fits.
    pub is_short: bool,
}

impl Layout {
    pub const FULL: Layout = Layout {
        columns: COLUMNS,
        checks_max: 9,
        checks_each_max: 2,
        has_evidence: true,
        has_titles: true,
        is_short: false,
    };

    /// Whether each check has its place beside it.
    pub fn has_places(&self) -> bool {
        self.is_short && self.columns >= COLUMNS
    }
}
