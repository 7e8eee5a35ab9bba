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
//! Folders are layers, in this order: imports point down only, without circles inside a folder. Each
//! folder's own file is its `mod.rs`. `os` prints nothing itself: it is given a `Watch`.
//! `tests/tidy.rs` checks all of this.
//!
//! ```text
//! main.rs               parse → resolve → plan → confirm → drive → diagnose → report → exit
//! main/serving.rs       the same for serve and calibrate
//! main/rehearsing.rs    the same for --rehearse
//! main/rereading.rs     the same for report
//! os/                   the impure edge: mio, libc, the real clock, files, children
//!   watch.rs            Watch: the reports of a run, while it goes on and at its end
//!   driver.rs           the poll loop of a run: readiness → Event, Action → system calls
//!   readiness.rs        what one readiness means: Opened, Failed, PeerClosed, and when
//!   dialer.rs           socket, options, bind and connect of one dial
//!   tcp_info.rs         reads TCP_INFO, sets keepalives
//!   icmp.rs             reads the ICMP errors that dials received
//!   teardown.rs         closes the connections of a run, in pieces
//!   serve.rs            the listener to test against
//!   clients.rs          its clients by descriptor: banner, read, echo, flood
//!   calibrate.rs        serve as a child, and a run against it
//!   poller.rs           the poll set of both loops, with an exact timer and signals
//!   sockets.rs          a run's descriptors by slot
//!   resolve.rs          names → addresses, before anything is dialed
//!   host.rs             reads this host's limits
//!   cgroup.rs           the memory limits of its cgroups
//!   counters.rs         this host's kernel counters, before and after a run
//!   netlink.rs          this host's neighbour tables, routes and addresses
//!   neighbours.rs       the neighbour table entries that a plan needs
//!   report_file.rs      a file that a report is written to, found writable before the run
//!   saved_file.rs       reads a file that a run was saved to
//!   stdio.rs            standard output and error that never block
//!   errno.rs            errno → EndReason
//!   terminal.rs         whether a stream is a terminal that can redraw, and how wide
//!   clock.rs            the only place that reads a clock
//!   sys/                every unsafe: sockets, limits
//!     check.rs          the result of a system call
//!     time.rs           the monotonic clock, the timer
//!     errors.rs         the error queue of a socket
//!     files.rs          the exchange of two files
//!     names.rs          the resolver's error codes
//!     signals.rs        signals as a descriptor, and the end of a child
//!     streams.rs        the standard streams as descriptors
//! sim/                  the other edge: a seeded fake network and a virtual clock, the same engine
//!   scenario.rs         seed → plan, scripts of servers, faults
//!   script.rs           what a server, or the path, does to one connection
//!   gaps.rs             the stamps of readiness after a gap
//!   network.rs          fake descriptors with edge-triggered readiness
//!   descriptor.rs       one of them, and its TCP_INFO
//!   bogus.rs            events that no correct driver reports
//!   trace.rs            a run as text and as a hash
//!   record.rs           one turn as an observer sees it
//!   rehearsal.rs        the worlds of --rehearse, and its addresses
//!   random.rs           the seeded generator
//!   world/              servers and paths that all connections of a run share
//!     setup.rs          what a world consists of
//!     driver.rs         the poll loop over it
//!     runs.rs           a run for tests, and one that is rehearsed, with its evidence
//!     follow.rs         the reports of a run as it goes on
//!     failures.rs       errno → EndReason, and TCP_INFO, as os/ has it
//!     stalls.rs         when the poll loop stalls
//!     network.rs        the agenda, and where each segment arrives
//!     client.rs         this host's kernel: segments and timers
//!     calls.rs          its system calls and its poll
//!     socket.rs         its sockets, TCP_INFO
//!     path.rs           delay, loss, and the rules of devices
//!     server.rs         the servers' kernels: handshakes, accept queues
//!     site.rs           one server: its end of each connection
//!     app.rs            its application: accepts, replies, closes
//!     wire.rs           segments, timers, the agenda
//!     truth.rs          the outcome of a run, and what really happened
//! cli/                  argv ⇄ text; no I/O but the prompt
//!   flags.rs            FLAGS: one record a flag
//!   flag.rs             that record
//!   verb.rs             VERBS: one record a first word
//!   parse.rs            argv → Args
//!   conflicts.rs        flags that exclude each other, or need another one
//!   effects.rs          parses and stores the value of a flag
//!   mistake.rs          a mistake in a command line
//!   correction.rs       a correction: the words to type instead
//!   answer.rs           the two lines about a mistake
//!   habits.rs           HABITS: one record a flag of other tools
//!   fix_flag.rs         corrections of unknown flags
//!   fix_value.rs        corrections of values
//!   fix_word.rs         corrections of other words
//!   services.rs         the names of ports
//!   explain.rs          the id of a cause, and suggestions for a mistyped one
//!   target.rs           the grammar of targets
//!   source.rs           the grammar of sources
//!   distance.rs         the edit distance of two words, for suggestions
//!   help.rs             --help and the README's usage block, printed from FLAGS
//!   man.rs              the man page, from the same
//!   completions.rs      those for bash, zsh and fish, from the same
//!   confirm.rs          the WARNING banner and the y/N question
//! report/               a finished run and its diagnosis → bytes; pure
//!   text.rs             the full report: the original's lines, then our own
//!   short.rs            the short report: the verdict, then tables
//!   debug.rs            the lines of --debug
//!   colour.rs           errors and the verdict in colour, on a terminal
//!   tables.rs           the run by target and by source; aligned columns
//!   evidence.rs         the end reasons, and what "established" means
//!   verdict.rs          a diagnosis as text
//!   layout.rs           how much of it, and how wide
//!   checks.rs           the checks of a problem
//!   sentences.rs        one sentence a symptom
//!   facts.rs            one clause for each fact
//!   other_addresses.rs  addresses of a name that were not dialed
//!   outlook.rs          a summary of the plan, above the prompt
//!   host_evidence.rs    ICMP errors, and this host's kernel counters
//!   measured.rs         the lines of serve and calibrate
//!   explain.rs          a cause in full, and the list of them
//!   json/               the document of a run, written and read
//!     codec.rs          one description of a part, by which it is written and read
//!     number.rs         the integers of a document
//!     path.rs           the way to a field of it, for messages
//!     saved.rs          all that a document has of a run
//!     consistency.rs    what has to add up in a document that is read
//!     run.rs            the plan
//!     host.rs           this host before the run
//!     churn.rs          where slots dial again, and connections held beside these
//!     totals.rs         counts by end reason, by target, by source
//!     times.rs          percentiles, and buckets that add up; the run over time
//!     evidence.rs       checks, ICMP, kernel counters, last lines of the server
//!     analysis.rs       what the diagnosis is made from
//!     diagnosis.rs      problems and candidates
//!     facts.rs          evidence for and against them
//!     fields.rs         a key with its unit, and its value
//!     names.rs          the ids of all enums
//!     errno.rs          the names of errnos
//!   format.rs           the renderer of each format
//!   events.rs           the run as NDJSON, written during it
//!   html/               the report as one web page
//!     page.rs           markup, and escaping of everything else
//!     sections.rs       the verdict, tables, the run
//!     charts.rs         series and histograms → charts
//!     chart.rs          a chart → SVG
//!     scale.rs          axes and their ticks, in integers
//!   markdown.rs         the result as a table for a CI job's summary
//!   prometheus.rs       the run as metrics for node_exporter's textfile collector
//!   junit.rs            the conditions as JUnit XML
//!   thresholds.rs       the conditions of --fail-if, each with its actual value
//!   fix.rs              the fix of a local limit
//!   preflight.rs        the lines before a run: its plan, and local limits below it
//!   progress.rs         the progress line on a terminal
//!   rates.rs            the line of --rates
//!   churn.rs            rates, and late dials, where slots dial again
//!   beside.rs           the connections held beside these, and which of both pay
//!   wrap.rs             text at a width
//! diagnosis/            a finished run → Diagnosis, as data; pure
//!   model.rs            what a diagnosis is
//!   facts.rs            the numbers that rules read
//!   useful_checks.rs    which checks and tests are useful after a run
//!   symptoms.rs         the symptoms, each with its pattern and scope
//!   scope.rs            the targets or sources of a symptom, and its pattern there
//!   pattern.rs          how failures are spread: by order, and by level
//!   chance.rs           their p-values
//!   churn.rs            the same where slots dial again
//!   beside.rs           which connections pay at a limit, beside held ones
//!   closes.rs           how connections were closed: age, moment, sweep, oldest first
//!   rank.rs             the primary symptom, and what it explains
//!   rules/              symptom × pattern × corroboration → candidates
//!     view.rs           what a rule reads, and what it can return
//!     priors.rs         symptom × pattern → causes
//!     corroboration.rs  the table of rules for and against each cause
//!     dials.rs          what decides which dials fail
//!     queue.rs          the accept queue, and the application behind it
//!     connections.rs    how connections ended, and what checks found
//!     this_host.rs      segments that this host could not send, dropped or read late
//!     local.rs          dials that failed on this host
//!   causes/             CAUSES: one record a cause, with its checks and its fix
//!     record.rs         the types of a record
//!     server.rs         on the server: its kernel and its listeners
//!     application.rs    on the server: its application and backends
//!     network.rs        on the path
//!     this_host.rs      on this host
//! measured.rs           the numbers of serve and calibrate
//! limits/               a plan against this host's limits → findings that name the knob
//!   model.rs            this host in plain numbers; Finding, Knob
//!   neighbours.rs       those of the neighbour tables
//!   time_wait.rs        ports of connections closed by FIN, a second
//! engine/               the pure core: a function of (plan, moments, events)
//!   event.rs            Event, Action, Wake: what passes between engine and edge
//!   connection.rs       State, EndReason, Side, Key, Connection, Table; the legal edges
//!   wheel.rs            hierarchical timing wheel, intrusive links by slot
//!   stall.rs            dials without a reply, before their timeout
//!   ready.rs            slots with unused readiness, the urgent ones first
//!   gaps.rs             when this host did not poll
//!   dating.rs           when an event happened: the kernel's date, or an interval
//!   sustained.rs        the most that stayed open together for 100 ms
//!   ending.rs           when a run is over: the hold, the settling, the end of a gap
//!   churn.rs            slots that dial again: their queue, their numbers
//!   beside.rs           the connections held beside these
//!   redial.rs           our closes after a lifetime, and the dials of free slots
//!   pacer.rs            when the next dial is due
//!   ledger.rs           double entry: what is in each account now, what ever flowed
//!   handlers.rs         what each event does
//!   deadlines.rs        what deadlines do: dial timeouts, checks, rounds of keepalives
//!   schedule.rs         what a turn starts by itself: samples, drains, dials; the next wake
//!   queries.rs          what can be read between two turns: sample, summary, audit
//!   stats.rs            what is counted for the summary
//!   checks.rs           the checks of a run: replies and keepalives
//!   check_table.rs      their transition table: (state, input) → (state, actions)
//!   check_state.rs      their states, a byte a connection
//!   check_stats.rs      the ledger of them
//!   rounds.rs           when a hold checks its connections again
//!   tcp_info.rs         what TCP_INFO means for a check
//!   expect.rs           a text in a reply, across segments
//!   failure_times.rs    each end reason: first, last, how long it took
//!   port_exhaustion.rs  routes that have no free port
//!   pending_tcp_info.rs reads of TCP_INFO without a result
//!   histogram.rs        log-linear latency buckets + exact min/avg/max/dev
//!   series.rs           the run over time, at no more than 512 moments
//!   summary.rs          Sample, Summary, and the exit code that follows
//!   analysis/           the finished run, read once
//!     dial.rs           what became of one dial, in a byte
//!     dials.rs          that of all, and which were closed on accept
//!     timeline.rs       dials in the order of their SYNs
//!     levels.rs         dials by how many connections were open
//!     closes.rs         when connections were closed, and at which age
//!     breakdown.rs      the run by target and by source
//! reread.rs             a saved run again: read, judged and diagnosed
//! judgement.rs          the conditions of --fail-if against a finished run
//! args.rs               what was typed
//! ask/                  PRESETS of --ask: what is sent, and what counts as an answer
//!   answer.rs           patterns of answers, and their counts
//!   hello.rs            a TLS ClientHello
//! display.rs            how a run is shown: what was typed of it, and what that means
//! plan.rs               the validated run that it means
//! rehearsal.rs          the scenarios of --rehearse
//! outputs.rs            files in other formats, and the conditions of a run
//! thresholds.rs         --fail-if: a metric, a comparison, a value
//! last_lines.rs         the last line that a server sent before it closed
//! route.rs              slot → (source, target)
//! counters.rs           this host's kernel counters: text → numbers
//! icmp.rs               ICMP errors that dials received
//! json/                 JSON, written as it goes
//!   reader.rs           and read: strict, bounded, without a copy of the text
//! escape.rs             escaping and quoting of text from outside
//! order.rs              order in short lists
//! units.rs              Moment, Span, Tick; times, counts and rates: one table to parse and print
//! error.rs              Error, its messages, the exit codes
//! ```
//!
//! All but `os/` and `main.rs` is pure: same inputs, same outputs, on any machine, and that is
//! where the tests, the fuzzers and the benches go in.
//!
//! # Working on it
//!
//! `cargo test --test tidy` checks that layers import downward only, and the other rules. `sudo
//! .ci/run` is the whole CI; it needs Debian, root and a nightly toolchain (for the fuzzers), and
//! installs the rest.
//!
//! | where | what |
//! |---|---|
//! | `src/engine/` | the pure core: `turn(now, events, actions)`; the contract is in `mod.rs` |
//! | `src/os/`, `src/sim/` | its two drivers: system calls, and simulated networks with a virtual clock |
//! | `src/diagnosis/` | a finished run → causes; `src/report/` prints them |
//! | `tests/simulation/` | seeds, the simulated world, all short event sequences; `tests/shadow/` is the reference model |
//! | `tests/matrix/`, `tests/cases/`, `tests/verdict/` | does the verdict name the true cause? simulated, in namespaces, over sockets |
//! | `tests/*/`, `tests/*.rs` | the program end to end; helpers for all of them in `tests/common/` |
//! | `fuzz/`, `benches/` | arguments, turns, the timing wheel; cost beside `benches/floor/floor.c` |
//!
//! **A flag.** Add a record to `FLAGS` (`src/cli/flags.rs`): parser, help and the README's
//! reference follow from it. Its `effect` (`src/cli/effects.rs`) stores the value in `src/args.rs`;
//! `GROUPS` in `src/cli/help.rs` has its place in the help; `src/plan.rs` validates it. Test it in
//! `src/cli/parse/tests.rs` and `tests/command_line/runs.rs`; `readme.rs` beside that prints the
//! new reference.
//!
//! **A cause.** Add a variant to `Cause` (`src/diagnosis/causes/record.rs`) and its record at the
//! same place of a table beside it: id, title, explanation, checks, fix. Say when it is a candidate
//! in `src/diagnosis/rules/priors.rs`, and what counts for and against it in `corroboration.rs`.
//! Add a row to `tests/matrix/table.rs`.
//!
//! **An end reason.** Add a variant to `EndReason` (`src/engine/connection.rs`) and map an errno to
//! it in `src/os/errno.rs`; the compiler finds the other tables. Add it to `HERE` or `BEYOND` in
//! `src/sim/script.rs`, or to a `Behaviour` there: `tests/simulation/seeds.rs` fails until a seed
//! has it.
//!
//! **An event.** Add a kind to `EventKind` (`src/engine/event.rs`), handle it in
//! `src/engine/handlers.rs`, and report it from `src/os/readiness.rs` or `src/os/driver.rs`.
//! `src/sim/trace.rs` and `tests/shadow/events.rs` do not compile without it, and the model objects
//! until it agrees.
//!
//! **A simulated server.** For one connection: a `Behaviour` and its script in `src/sim/script.rs`.
//! For a server that all connections share: a field of `Server` in `src/sim/world/setup.rs`, what
//! it does in `app.rs` or `server.rs` beside it, a test in `tests/simulation/world.rs`, a row in
//! `tests/matrix/table.rs`.
//!
//! **An output format.** Add a variant to `Format` (`src/outputs.rs`) with its flag, a renderer in
//! `src/report/` (a pure function from `Report` and `Diagnosis` to text, as `markdown.rs`), and its
//! line in `src/report/format.rs`. It decides nothing: that is the diagnosis's part. Test it in
//! `tests/outputs/documents.rs`, and add the file to the map in `src/lib.rs`.
//!
//! `SIM_SEEDS=20000 cargo test --release --test simulation` runs more seeds, `SIM_SEED=7` replays
//! one with its trace. `cargo test --test matrix -- --nocapture` prints how often the verdict names
//! the true cause for some 70 faults and limits; `MATRIX_ONLY='evicted' MATRIX_SEED=7` prints the
//! verdicts of one.
//!
//! `tests/million.sh 100000` holds fewer connections than a million in the same way, in three
//! minutes; it fetches qemu and a kernel with apt-get. So does `tests/ingress_drops.sh`: the
//! verdict on a host that drops received packets.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("tcpgoon runs on 64-bit Linux: it needs epoll, signalfd, timerfd and /proc");

pub mod args;
pub mod ask;
pub mod cli;
pub mod counters;
pub mod diagnosis;
pub mod display;
pub mod engine;
pub mod error;
pub mod escape;
pub mod icmp;
pub mod json;
pub mod judgement;
pub mod last_lines;
pub mod limits;
pub mod measured;
pub mod order;
pub mod os;
pub mod outputs;
pub mod plan;
pub mod rehearsal;
pub mod report;
pub mod reread;
pub mod route;
pub mod sim;
pub mod thresholds;
pub mod units;

/// As it is printed: `tcpgoon 0.1.0`.
pub const NAME_AND_VERSION: &str = concat!("tcpgoon ", env!("CARGO_PKG_VERSION"));
