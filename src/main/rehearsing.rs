//! `--rehearse`: the same reports of a run that the network is simulated for.

use std::cell::Cell;
use std::net::SocketAddr;

use tcpgoon::args::Args;
use tcpgoon::counters::Counters;
use tcpgoon::engine::{Engine, Key, Note};
use tcpgoon::error::Result;
use tcpgoon::limits::Host;
use tcpgoon::os::resolve::{self, Resolved};
use tcpgoon::os::sys::Signals;
use tcpgoon::os::{DebugEvent, Run, Watch, host};
use tcpgoon::plan::Plan;
use tcpgoon::sim::rehearsal;
use tcpgoon::sim::world::{Follow, START};
use tcpgoon::units::Moment;

/// The name of the host in the reports: the same on every machine.
pub const HOST: &str = "rehearsal";

/// When each rehearsal begins: 2026-01-01T00:00:00Z.
const START_UNIX_NS: u64 = 1_767_225_600_000_000_000;

/// What a report reads from this machine otherwise.
#[derive(Debug)]
pub struct Rehearsed {
    pub unix_ns: Cell<u64>,
    pub counters: Cell<Counters>,
}

impl Rehearsed {
    pub fn new() -> Rehearsed {
        let (unix_ns, counters) = (Cell::new(START_UNIX_NS), Cell::default());
        Rehearsed { unix_ns, counters }
    }

    fn set_clock(&self, now: Moment) {
        self.unix_ns.set(START_UNIX_NS + now.since(START).0);
    }
}

/// The addresses of a run and its sources, of a rehearsal without a look-up.
pub fn addresses(args: &Args) -> Result<(Resolved, Vec<SocketAddr>)> {
    if args.rehearsal.is_some() {
        let (targets, sources) = rehearsal::addresses(args)?;
        return Ok((Resolved { targets, truncated: Vec::new(), others: Vec::new() }, sources));
    }
    let sources = resolve::sources(&args.sources)?;
    let resolved = resolve::targets(&args.targets, args.family, args.all_addresses, &sources)?;
    Ok((resolved, sources))
}

/// The limits of this host; a rehearsal has none but its memory.
pub fn limits(plan: &Plan) -> Result<Host> {
    let host = host::read(plan);
    if plan.rehearsal.is_none() {
        return Ok(host);
    }
    let table_bytes_each = rehearsal::bytes_per_connection(plan);
    host::check_memory_for(plan.connections, &Host { table_bytes_each, ..host })?;
    host::check_data_limit(u64::from(plan.connections) * table_bytes_each)?;
    Ok(Host::default())
}

struct Follower<'a> {
    watch: &'a mut dyn Watch,
    rehearsed: &'a Rehearsed,
}

impl Follow for Follower<'_> {
    fn sample(&mut self, at: Moment, engine: &Engine) {
        self.rehearsed.set_clock(at);
        self.watch.sample(&engine.sample());
        self.watch.interval(&engine.progress());
    }

    fn note(&mut self, key: Key, note: Note) {
        self.watch.debug(key, DebugEvent::Note(note));
    }
}

/// Runs the rehearsal of `plan`. Signals have their default actions, until there is a report to
/// write: then they are held.
pub fn run(
    plan: &Plan,
    rehearsed: &Rehearsed,
    watch: &mut dyn Watch,
    hold_signals: fn() -> Result<Signals>,
) -> Result<()> {
    let Some(rehearsal) = &plan.rehearsal else { return Ok(()) };
    let outcome = rehearsal::run(plan, rehearsal, &mut Follower { watch, rehearsed })?;
    rehearsed.set_clock(outcome.summary.end);
    rehearsed.counters.set(outcome.counters);
    let run = Run {
        summary: outcome.summary,
        turn_longest: outcome.turn_longest,
        last_lines: outcome.last_lines,
        icmp: outcome.icmp,
        ended_by: None,
    };
    watch.done(&run, &hold_signals()?);
    Ok(())
}
