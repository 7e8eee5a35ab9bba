//! What the end-to-end tests share, one file a purpose.

// No test binary uses all of it.
#![allow(dead_code, unused_imports)]

pub mod cgroup;
pub mod damaged;
pub mod faulty_servers;
pub mod html;
pub mod listeners;
pub mod netns;
pub mod original;
pub mod output;
pub mod packaged_servers;
pub mod path;
pub mod process;
pub mod program;
pub mod saved;
pub mod streams;
pub mod tools;
pub mod topology;
pub mod verdict;
pub mod wait;

pub use listeners::{ClosedPort, Served, likely_port, listen, listener};
pub use netns::{Namespace, has_ipv6};
pub use original::{decided, errors, original};
pub use process::{children, has_descriptors_for, is_alive, status_number};
pub use program::{
    CAP_SYS_RESOURCE, Captured, Outcome, Running, privileged_tcpgoon_after, program, run, tcpgoon,
    tcpgoon_after, tcpgoon_as_typed, with_full_report,
};
pub use tools::{Scratch, command, succeed};
pub use wait::{DEADLINE, skip, wait_until};
