//! The engine without sockets: on simulated networks, through every short sequence of events, and its
//! timing wheel alone.

#[path = "../common/report_invariants.rs"]
mod report_invariants;
#[path = "../shadow/mod.rs"]
mod shadow;
#[path = "../common/wheel_model.rs"]
mod wheel_model;

mod beside;
mod exhaustive;
mod seeds;
mod wheel;
mod world;
