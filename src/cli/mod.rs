//! The face towards the operator's shell: argv in, text out. No input or output but the prompt.
//!
//! * [`flags`]: `FLAGS`, one record a flag for all verbs; help and parser know nothing that is not
//!   in it.
//! * `parse`: argv → [`Command`], with one line for each mistake.
//! * `effects`: what each flag does with its value.
//! * `target`: the grammar of hosts, ports, and ranges of both.
//! * `source`: the grammar of this host's own addresses.
//! * [`help`]: every text that is printed from `FLAGS`.
//! * [`confirm`]: the warning and the question before a run.
//! * `explain`: the id of a cause, and what may have been meant by it.
//! * `words`: foreign text made fit for an error message.

pub mod confirm;
mod distance;
mod effects;
mod explain;
pub mod flags;
pub mod help;
pub mod parse;
mod source;
mod target;
#[cfg(test)]
mod tests;

pub use flags::Verb;
pub use parse::{Command, parse};
