//! This host: faults, small limits, signals.

#[path = "../common/mod.rs"]
mod common;

mod faults;
mod signals;
mod small;
