//! Trouble of the real world, small: each case makes one limit or fault in network namespaces of its
//! own, dials into it, and holds the verdict against what is true.

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod network;
mod server;
mod this_host;

use std::net::SocketAddrV4;

use common::habits::{Habit, Habitual};
use common::{Outcome, Running};
use support::Namespace;

/// What a full accept queue of the server is called.
const QUEUE: [&str; 2] = ["accept-queue-full", "accept-queue-overflow"];

/// What connections that the server no longer knows of are called.
const GONE: [&str; 3] = ["path-down", "state-expired", "host-down"];

fn goon(client: &Namespace, words: &str) -> Outcome {
    start(client, words).outcome()
}

fn start(client: &Namespace, words: &str) -> Running {
    Running::start(client.tcpgoon(&format!("-y {words}")))
}

fn serve(host: &Namespace, address: &str, habit: Habit) -> Habitual {
    Habitual::start(host.name(), at(address), habit)
}

fn at(address: &str) -> SocketAddrV4 {
    address.parse().unwrap()
}
