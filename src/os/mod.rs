//! The impure edge: mio, libc, the clock, files. It knows the engine and no face: whoever runs it
//! hands it a [`Watch`].

pub mod calibrate;
pub mod cgroup;
pub mod clock;
pub mod closing;
pub mod counters;
pub mod dialer;
pub mod driver;
pub mod errno;
pub mod host;
pub mod neighbours;
pub mod netlink;
pub mod poller;
mod readiness;
pub mod rejects;
pub mod report_file;
pub mod resolve;
pub mod seats;
pub mod serve;
pub mod sockets;
pub mod stdio;
pub mod sys;
pub mod tcp_info;
mod watch;

pub use watch::{News, Run, Watch};
