//! The two kinds of runs over a world: checked, for tests; and rehearsed, for the program, with the
//! evidence that a real run would leave.

use std::collections::VecDeque;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr};

use super::driver::{Driver, START, WAKE_COST};
use super::follow::Follow;
use super::path::ENTRY_BYTES;
use super::setup::World;
use super::site::Peer;
use super::socket::Socket;
use super::stalls::Stalls;
use super::truth::Outcome;
use super::wire::AGENDA_ENTRY_BYTES;
use crate::counters::Counters;
use crate::engine::{Engine, Key, Note, Summary};
use crate::icmp::{IcmpError, IcmpTally};
use crate::last_lines::LastLine;
use crate::plan::Plan;
use crate::sim::random::Random;
use crate::units::{Moment, Span};

/// A device on the path. Source: RFC 2544 reserves 198.18.0.0/15 for tests.
const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));

/// The memory that a world needs for a connection: the tables, which grow twofold, two timers, and
/// the driver's own.
pub const BYTES_PER_CONNECTION: u64 = (2
    * (size_of::<Socket>() + size_of::<Peer>() + ENTRY_BYTES + 2 * AGENDA_ENTRY_BYTES)
    + 64) as u64;

/// No run takes this long unless it loops.
const TURNS_MAX: u64 = 2_000_000;

/// An audit reads all connections and costs dozens of turns, so not every turn has one.
const AUDIT_EVERY: u64 = 64;

/// Objects where the engine's own assertions fail.
struct Audit;

impl Follow for Audit {
    fn sample(&mut self, _: Moment, _: &Engine) {}

    fn turned(&mut self, turns: u64, engine: &Engine) {
        assert!(turns <= TURNS_MAX, "the run does not end");
        if turns.is_multiple_of(AUDIT_EVERY) || engine.is_over() {
            engine.audit();
        }
    }

    fn stuck(&mut self, engine: &Engine) {
        panic!("nothing is pending and nothing is due: {:?}", engine.sample());
    }

    fn note(&mut self, _: Key, _: Note) {}
}

/// Gives worlds another random sequence than the parent folder has for the same seed.
const SALT: u64 = 0x0077_6f72_6c64;

/// Runs `plan` against `world`. The seed decides everything random, `stalls` included.
///
/// # Panics
/// Where the engine's own assertions fail, or the run cannot end.
pub fn run(plan: &Plan, world: &World, seed: u64, stalls: Stalls) -> Outcome {
    let mut random = Random::new(seed ^ SALT);
    let engine = Engine::new(plan, START).unwrap_or_else(|error| panic!("{error}"));
    let stalls = stalls.schedule(plan, START, &mut Random::new(random.word()));
    let mut audit = Audit;
    let mut driver = Driver::new(plan, engine, world, stalls, &mut random, &mut audit);
    driver.run_loop();
    driver.finish()
}

/// A rehearsed run.
#[derive(Debug)]
pub struct Rehearsed {
    pub summary: Summary,
    pub turn_longest: Span,
    pub icmp: IcmpTally,
    pub counters: Counters,
    pub last_lines: Vec<LastLine>,
}

/// Runs `plan` against `world`, with the `engine` made for it at [`START`].
pub fn rehearse(
    plan: &Plan,
    engine: Engine,
    world: &World,
    seed: u64,
    follower: &mut dyn Follow,
) -> Rehearsed {
    let mut random = Random::new(seed ^ SALT);
    let none = VecDeque::new();
    let mut driver = Driver::new(plan, engine, world, none, &mut random, follower);
    driver.network.client.levels = None;
    driver.run_loop();
    let client = &driver.network.client;
    let mut icmp = IcmpTally::new();
    for socket in &client.sockets {
        let target = &plan.routes.targets()[socket.tuple.target as usize];
        // IPv6 sockets queue none.
        let Some((code, _)) = socket.icmp.filter(|_| target.address.is_ipv4()) else { continue };
        let error = IcmpError { is_v6: false, kind: 3, code, offender: BEYOND };
        icmp.add(socket.ended_at.unwrap_or(socket.dialed_at), error);
    }
    icmp.find_local(|_| Some(false));
    let is_limited = world.servers.iter().any(|server| server.limit.is_some());
    let line: &[u8] = if is_limited { b"-ERR max number of clients reached" } else { b"OK" };
    let connections = driver.sent_before_close;
    let last_lines = match connections {
        0 => Vec::new(),
        _ => vec![LastLine { line: line.to_vec(), connections }],
    };
    let counted = client.counters;
    let counters = Counters {
        syn_retrans_failed: Some(counted.syn_retrans_failed),
        syn_challenge: Some(counted.syn_challenge),
        ingress_drops: Some(counted.ingress_drops),
        conntrack_drop: Some(counted.conntrack_drop),
        conntrack_insert_failed: Some(0),
        neighbour_table_full: Some(counted.neighbour_table_full),
        listen_overflows: Some(0),
        ..Counters::default()
    };
    let summary = driver.engine.summary();
    Rehearsed { summary, turn_longest: WAKE_COST, icmp, counters, last_lines }
}
