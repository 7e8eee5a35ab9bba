//! The command line: argv in, text out. The only I/O is the prompt, on streams that it is given.
//!
//! * `verb`: the verbs.
//! * [`flags`]: `FLAGS`, one record a flag for all verbs; parser and help have no other source.
//! * `parse`: argv → [`Command`], or one line for the first mistake.
//! * `effects`: what each flag does with its value.
//! * `target`: the grammar of hosts, ports, and ranges of both.
//! * `source`: the grammar of source addresses.
//! * [`help`]: every text that is printed from `FLAGS`.
//! * [`confirm`]: the warning and the question before a run.
//! * `explain`: the id of a cause, and suggestions for a mistyped one.
//! * `mistake`, `correction`, `answer`: a mistake, what to type instead, and the two lines about it.
//! * [`habits`]: `HABITS`, one record a flag of other tools.
//! * `fix_flag`, `fix_value`, `fix_word`: the corrections.
//! * `services`: the names of ports.
//! * `distance`: the edit distance of two words.

mod answer;
pub mod confirm;
mod correction;
mod distance;
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
mod verb;

pub use answer::with_verb;
pub use flags::Verb;
pub use parse::{Command, parse};
