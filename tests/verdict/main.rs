//! The verdict over real sockets: `tcpgoon serve`, packaged servers and faulty ones in the test, with
//! firewalls in network namespaces.

#[path = "../common/mod.rs"]
mod common;

mod host_evidence;
mod limits;
mod over_time;
mod targets;
mod this_host;
