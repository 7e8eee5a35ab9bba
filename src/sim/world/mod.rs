//! A world: servers and paths that all connections of a run share, in front of the same,
//! unmodified engine.
//!
//! Where the parent folder gives each connection a script of its own, here each segment takes the
//! path, meets the rules of the devices on it, and comes to a server with one accept queue, one
//! application and one set of limits. So a limit shows as it does in life: by which dials it met,
//! beside which others. Kernels at both ends do as Linux does; each file names its source.
//!
//! ```text
//! driver   the poll loop: the engine's turns, and stalls between any two steps
//!    └ network   the agenda, and who gets what
//!         ├ client, calls   this host's kernel: SYN repeats, TCP_INFO, keepalives, readiness
//!         ├ path            delay, loss, stalls, and the rules of devices
//!         └ server          the servers' kernels: handshakes, accept queues
//!              └ app        their applications
//! ```
//!
//! [`run`] is the door: a plan, a [`setup::World`] and a seed make an [`Outcome`], always the same.

mod app;
mod calls;
mod client;
mod driver;
mod failures;
mod network;
pub mod path;
mod server;
pub mod setup;
pub mod site;
pub mod socket;
mod stalls;
mod truth;
mod wire;

pub use driver::run;
pub use stalls::Stalls;
pub use truth::{Icmp, Outcome, Truth};
