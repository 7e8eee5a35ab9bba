//! The verdict, against the real thing. Servers are tcpgoon's own, other people's, and ones made
//! here; firewalls are in networks that the tests make themselves. Limits of several kinds, what
//! came and went in the middle of a run, and what was found at one of several targets.

#[path = "../common/mod.rs"]
mod common;

mod host_evidence;
mod limits;
mod over_time;
mod targets;
mod this_host;
