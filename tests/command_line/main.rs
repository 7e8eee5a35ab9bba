//! The command line, the prompt and the standard streams.

#[path = "../common/mod.rs"]
mod common;

mod display;
mod escape;
mod habits;
mod preflight;
mod prompt;
mod readme;
mod readme_runs;
mod runs;
mod terminal;
