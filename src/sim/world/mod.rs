//! A world: servers and paths that all connections of a run share, in front of the same,
//! unmodified engine.
//!
//! In the parent folder each connection has a script of its own. Here each segment crosses the path,
//! passes the rules of the devices on it, and reaches a server with one accept queue, one application
//! and one set of limits. So a limit shows by which dials fail and how many are open then. The kernels
//! at both ends behave as Linux does; each file names its source.
//!
//! ```text
//! driver   the poll loop: the engine's turns, and stalls between any two steps
//!    └ network   the agenda, and where each segment arrives
//!         ├ client, calls   this host's kernel: SYN retransmissions, TCP_INFO, keepalives, readiness
//!         ├ path            delay, loss, stalls, and the rules of devices
//!         └ server          the servers' kernels: handshakes, accept queues
//!              └ app        their applications
//! ```
//!
//! [`run`] and [`rehearse`] are the only doors: the same plan, [`setup::World`] and seed give the same
//! outcome.

mod app;
mod calls;
mod client;
mod driver;
mod failures;
mod follow;
mod network;
pub mod path;
mod runs;
mod server;
pub mod setup;
pub mod site;
pub mod socket;
mod stalls;
mod truth;
mod wire;

pub use driver::START;
pub use follow::Follow;
pub use runs::{BYTES_PER_CONNECTION, Rehearsed, rehearse, run};
pub use stalls::Stalls;
pub use truth::{Icmp, Outcome, Truth};
