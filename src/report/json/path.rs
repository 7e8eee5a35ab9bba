//! The way to a field of a document, for messages.

use std::fmt::Write;

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Field(&'static str),
    Item(usize),
}

/// `totals.levels.error_count: `, `targets[3].name: `; nothing for the document itself.
pub fn shown(path: &[Step], field: &'static str) -> String {
    let mut shown = String::new();
    // Writing to a string cannot fail.
    let _ = path.iter().chain(&[Step::Field(field)]).try_for_each(|step| match step {
        Step::Field("") => Ok(()),
        Step::Field(name) if shown.is_empty() => write!(shown, "{name}"),
        Step::Field(name) => write!(shown, ".{name}"),
        Step::Item(index) => write!(shown, "[{index}]"),
    });
    if shown.is_empty() { shown } else { shown + ": " }
}
