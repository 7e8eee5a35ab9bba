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
//! * `mistake`, `correction`, `answer`: what is wrong, what was meant, and the two lines about it.
//! * `habits`: `HABITS`, one record a flag of other tools.
//! * `fix_flag`, `fix_value`, `fix_word`: what was meant by each.
//! * `services`: the names of ports.
//! * `words`: foreign text made fit for an error message.

mod answer;
pub mod confirm;
mod correction;
mod effects;
mod explain;
mod fix_flag;
mod fix_value;
mod fix_word;
pub mod flags;
pub mod habits;
pub mod help;
mod mistake;
pub mod parse;
mod services;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub use flags::Verb;
pub use parse::{Command, parse};
