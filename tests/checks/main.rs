//! The checks of connections over real sockets: keepalives, replies, and the check at the end of a
//! hold.

#[path = "../common/mod.rs"]
mod common;

mod end_of_hold;
mod keepalives;
mod send_expect;
