//! The impure edge: mio, libc, the clock, files. It prints nothing itself: its caller passes a
//! [`Watch`].

pub mod calibrate;
pub mod cgroup;
pub mod clients;
pub mod clock;
pub mod counters;
pub mod dialer;
pub mod driver;
pub mod errno;
pub mod host;
pub mod icmp;
pub mod neighbours;
pub mod netlink;
pub mod poller;
mod readiness;
pub mod report_file;
pub mod resolve;
pub mod saved_file;
pub mod serve;
pub mod sockets;
pub mod stdio;
pub mod sys;
pub mod tcp_info;
pub mod teardown;
pub mod terminal;
mod watch;

pub use watch::{DebugEvent, Run, Watch};
