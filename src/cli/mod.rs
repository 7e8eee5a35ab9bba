//! The command line: argv in, text out. The only I/O is the prompt, on streams that it is given.
//!
//! * [`flags`]: `FLAGS`, one record a flag for all verbs; parser and help have no other source.
//! * `parse`: argv → [`Command`], or one line for the first mistake.
//! * `effects`: what each flag does with its value.
//! * `target`: the grammar of hosts, ports, and ranges of both.
//! * `source`: the grammar of source addresses.
//! * [`help`]: every text that is printed from `FLAGS`.
//! * [`confirm`]: the warning and the question before a run.
//! * `explain`: the id of a cause, and suggestions for a mistyped one.
//! * `distance`: the edit distance of two words.

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
