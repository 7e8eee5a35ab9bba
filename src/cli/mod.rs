//! The command line: argv in, text out. The only I/O is the prompt, on streams that it is given.
//!
//! * [`flags`]: `FLAGS`, one record a flag for all verbs; parser, help, man page and completions have
//!   no other source. `flag` is the record.
//! * [`verb`]: `VERBS`, one record a first word.
//! * `parse`: argv → [`Command`], or one line for the first mistake.
//! * `effects`: what each flag does with its value.
//! * `target`: the grammar of hosts, ports, and ranges of both.
//! * `source`: the grammar of source addresses.
//! * [`help`]: the help, printed from `FLAGS`; [`man`]: the man page.
//! * [`completions`]: those for bash, zsh and fish.
//! * [`confirm`]: the warning and the question before a run.
//! * `explain`: the id of a cause, and suggestions for a mistyped one.
//! * `mistake`, `correction`, `answer`: a mistake, what to type instead, and the two lines about it.
//! * [`habits`]: `HABITS`, one record a flag of other tools.
//! * `fix_flag`, `fix_value`, `fix_word`: the corrections.
//! * `services`: the names of ports.
//! * `distance`: the edit distance of two words.

mod answer;
pub mod completions;
pub mod confirm;
mod conflicts;
mod correction;
mod distance;
mod effects;
mod explain;
mod fix_flag;
mod fix_value;
mod fix_word;
mod flag;
pub mod flags;
pub mod habits;
pub mod help;
pub mod man;
mod mistake;
pub mod parse;
mod services;
mod source;
mod target;
#[cfg(test)]
mod tests;
pub mod verb;

pub use answer::with_verb;
pub use flags::Verb;
pub use parse::{Command, parse};
