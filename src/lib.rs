//! tcpgoon finds out how many concurrent TCP connections a server, load balancer, NAT or firewall
//! can take, and which side runs out of what. It dials N connections from one thread and one poll
//! loop, holds them, prints statistics, and ends with a report and an exit code.
//!
//! # The idea
//!
//! The network and the clock are callers, not collaborators: they hand the core a moment and a list
//! of events, the core hands back a list of actions, and every connection is at all times in
//! exactly one account of a ledger that always balances.
//!
//! # The map
//!
//! Folders are layers. Imports point down this list only, and `os` knows no face: it is handed
//! something that watches. `tests/tidy.rs` holds all of it.
//!
//! ```text
//! main.rs               parse → resolve → plan → preflight → confirm → drive → report → exit
//! os/                   the impure edge: mio, libc, the real clock, files
//!   mod.rs              Watch: who watches a run
//!   driver.rs           the poll loop of a run: readiness → Event, Action → system calls
//!   readiness.rs        what one readiness means: Opened, Failed, PeerClosed, and when
//!   dialer.rs           how a connection is dialed, and how it is known that it stands
//!   tcp_info.rs         reads TCP_INFO, sets keepalives
//!   rejects.rs          the ICMP errors that failed dials received
//!   closing.rs          how a large run lets go of its connections
//!   serve.rs            the listener to test against
//!   seats.rs            its connections by descriptor: greeted, read, echoed, flooded
//!   calibrate.rs        serve as a child, and a run against it
//!   poller.rs           what both loops stand on: poll set, exact timer, signals
//!   sockets.rs          a run's descriptors by slot
//!   resolve.rs          names → addresses, before anything is dialed
//!   host.rs             reads this machine's limits into plain numbers
//!   cgroup.rs           and those of the cgroups that it is in
//!   counters.rs         what this host's kernel counted, before and after a run
//!   netlink.rs          the neighbour tables, routes and addresses of this host
//!   neighbours.rs       what a plan takes of its neighbour tables
//!   stdio.rs            standard output and error that cannot stop the only thread
//!   errno.rs            errno → EndReason
//!   clock.rs            the only place that reads a clock
//!   sys/                every unsafe
//!     mod.rs            sockets, limits, clock and timer
//!     errors.rs         the error queue of a socket: ICMP errors
//!     signals.rs        signals that can be polled, and what the end of a process leads to
//!     streams.rs        the standard streams as descriptors
//! sim/                  the other edge: a seeded fake network and a virtual clock, the same engine
//!   mod.rs              the driver's loop over both; Sim::run(observer) → Outcome
//!   scenario.rs         seed → plan, behaviours of servers, faults
//!   script.rs           what a server does to a connection
//!   gaps.rs             the stamps of its readiness after a gap
//!   network.rs          fake descriptors with edge-triggered readiness
//!   descriptor.rs       one of them, and the TCP_INFO it has
//!   bogus.rs            events that no network sends
//!   trace.rs            what happened, as text and as a hash
//!   random.rs           the one source of chance
//!   world/              servers and paths that all connections share
//!     mod.rs            run(plan, world, seed, stalls) → Outcome
//!     setup.rs          what a world is made of
//!     driver.rs         the poll loop over it
//!     failures.rs       what a pending error means
//!     stalls.rs         when that loop is held up
//!     network.rs        the agenda, and what arrives where
//!     client.rs         this host's kernel: segments and timers
//!     calls.rs          its system calls and its poll
//!     socket.rs         its sockets, TCP_INFO
//!     path.rs           delay, loss, and the rules of devices
//!     server.rs         the servers' kernels: handshakes, accept queues
//!     site.rs           one server: its end of each connection
//!     app.rs            its application
//!     wire.rs           segments, timers, the agenda
//!     truth.rs          what came of a run, and what really happened
//! cli/                  argv ⇄ text; no I/O but the prompt
//!   flags.rs            FLAGS: one record a flag
//!   parse.rs            argv → Args
//!   effects.rs          what a flag's value does
//!   explain.rs          the id of a cause, and what may have been meant by it
//!   target.rs           the grammar of targets
//!   source.rs           the grammar of sources
//!   words.rs            what was typed, made fit for a message
//!   help.rs             --help and the README's usage block, printed from FLAGS
//!   confirm.rs          the WARNING banner and the y/N question
//! report/               numbers → bytes; pure
//!   text.rs             the original's lines, then what we add
//!   tables.rs           the run by target and by source
//!   evidence.rs         the reasons, and what "established" means
//!   verdict.rs          the last lines: what was reached, what stopped it, on which side
//!   troubles.rs         what went wrong, and where
//!   sentences.rs        the words for it
//!   shape.rs            a limit or chance, one age or one moment
//!   remedies.rs         whose limit it is, and the command that tells
//!   silence.rs          the same for dials that nobody answered
//!   served.rs           the same for connections that were established
//!   this_host.rs        this host's own limits, and their knobs
//!   host_evidence.rs    ICMP errors, and what this host's kernel counted
//!   findings.rs         the lines of serve and calibrate
//!   explain.rs          a cause in full, and the list of them
//!   preflight.rs        the lines before a run: its plan, and what stands in its way
//! diagnosis/            evidence → Diagnosis, as data; pure
//!   causes/             CAUSES: one record a cause, with its checks and its fix
//!     server.rs         on the server: its kernel and its listeners
//!     application.rs    on the server: its application, and what is behind it
//!     network.rs        on the path
//!     this_host.rs      on this host
//! limits/               judges a plan against this host's numbers: findings that name the knob
//!   mod.rs              all of them
//!   neighbours.rs       those of the neighbour tables
//! engine/               the pure core: a function of (plan, moments, events)
//!   mod.rs              Engine::{new, turn, next_due, sample, summary, audit}
//!   event.rs            Event, EventKind, Action, Note: what passes between engine and edge
//!   connection.rs       State, EndReason, Side, Key, Connection, Table; the legal edges
//!   wheel.rs            hierarchical timing wheel, intrusive links by slot
//!   ready.rs            slots whose readiness is not used up, the urgent ones first
//!   gaps.rs             when this host was not looking, and which stamps are undated
//!   dating.rs           the stamps of readiness: what the kernel dates, after a gap
//!   sustained.rs        the most that stayed open together for 100 ms
//!   ending.rs           when a run is over: the hold, the settling, the end of a gap
//!   pacer.rs            when the next dial is due
//!   ledger.rs           double entry: what is in each account now, what ever flowed
//!   account.rs          what is counted along the way; Engine::{summary, audit}
//!   handlers.rs         what follows as connections open, reply, and TCP_INFO is read
//!   deadlines.rs        what is due: dials that time out, checks, rounds
//!   checks.rs           whether replies and acknowledgements of keepalives come
//!   check_table.rs      the transition table of that: (state, input) → (state, actions)
//!   check_state.rs      its states, a byte a connection
//!   check_stats.rs      the ledger over them, and what is counted
//!   rounds.rs           when a hold checks its connections again
//!   tcp_info.rs         what TCP_INFO means for a check
//!   expect.rs           a text in a reply, across segments
//!   evidence.rs         what is known of each thing that went wrong
//!   scene.rs            where it was, and how it is spread over the connections
//!   exhausted.rs        routes that have no port left
//!   histogram.rs        log-linear latency buckets + exact min/avg/max/dev
//!   breakdown.rs        the run by target and by source
//!   summary.rs          Sample, Summary, and the exit code that follows
//! plan.rs               what was typed, and the validated run that it means
//! findings.rs           what serve and calibrate have to tell
//! said.rs               what a server said last before it closed
//! route.rs              slot → (source, target)
//! counters.rs           what this host's kernel counted: text → numbers
//! icmp.rs               ICMP errors that dials received
//! escape.rs             text from elsewhere, made fit for a terminal
//! units.rs              Moment, Span, Tick; times, counts and rates: one table parses and prints
//! error.rs              Error, its words, the exit codes
//! ```
//!
//! All but `os/` and `main.rs` is pure: same inputs, same outputs, on any machine, and that is
//! where the tests, the fuzzers and the benches go in.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("tcpgoon runs on 64-bit Linux: it stands on epoll, signalfd, timerfd and /proc");

pub mod cli;
pub mod counters;
pub mod diagnosis;
pub mod engine;
pub mod error;
pub mod escape;
pub mod findings;
pub mod icmp;
pub mod limits;
pub mod os;
pub mod plan;
pub mod report;
pub mod route;
pub mod said;
pub mod sim;
pub mod units;

/// As it is printed: `tcpgoon 0.1.0`.
pub const NAME_AND_VERSION: &str = concat!("tcpgoon ", env!("CARGO_PKG_VERSION"));
