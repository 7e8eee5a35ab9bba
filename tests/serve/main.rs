//! `serve`, and `calibrate`, which starts one.

#[path = "../common/mod.rs"]
mod common;

mod calibrate;
mod listener;
