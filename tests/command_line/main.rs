//! The command line and the streams of the program, as people and scripts see them.

#[path = "../common/mod.rs"]
mod common;

mod escape;
mod preflight;
mod prompt;
mod readme;
mod runs;
mod terminal;
