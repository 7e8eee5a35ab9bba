//! Short reports as they are printed, each of one simulated run.

use tcpgoon::engine::{Action, Engine, Event, EventKind, Key, Summary};
use tcpgoon::plan::Plan;
use tcpgoon::sim::random::Random;
use tcpgoon::sim::world::setup::{End, Idle, Path, Server, World};
use tcpgoon::sim::world::{Stalls, run};
use tcpgoon::units::Moment;

use super::churn::scenarios;
use super::judge::beside;
use super::plans::*;
use super::report_invariants::{Beside, reported, short_report};

fn report_of(plan: &Plan, summary: &Summary, beside: &Beside, columns: usize) -> String {
    let (diagnosis, _) = reported(plan, summary, beside);
    short_report(plan, summary, beside, &diagnosis, columns)
}

fn printed(plan: &Plan, world: &World, seed: u64, stalls: Stalls, columns: usize) -> String {
    let outcome = run(plan, world, seed, stalls);
    report_of(plan, &outcome.summary, &beside(world, &outcome), columns)
}

fn still(plan: &Plan, world: &World, columns: usize) -> String {
    printed(plan, world, 1, Stalls::None, columns)
}

fn row(name: &str, seed: u64, stalls: Stalls) -> String {
    let row = scenarios().find(|row| row.name == name).unwrap();
    let (plan, world) = row.of(seed);
    printed(&plan, &world, seed, stalls, 80)
}

fn nearby() -> Path {
    near(&mut Random::new(1))
}

#[track_caller]
fn assert_printed(actual: &str, expected: &str) {
    assert_eq!(actual, expected.trim_start(), "\n{actual}");
}

#[test]
fn a_clean_run() {
    assert_printed(
        &still(&fast(paced(12_000)), &to(Server::default(), nearby()), 80),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 12000, Dialing: 0, Established: 12000, Closed: 0, Error: 0, NotInitiated: 0
Timing stats for 12000 established connections min/avg/max/dev = 100µs/116µs/118µs/0s
--- verdict ---
OK: 12,000 of 12,000 connections open at once, dialed in 0.23 s (52,600/s). No
limit found up to 12,000 (handshakes only).
           p50    p90    p99  p99.9    max
connect  116µs  116µs  118µs  118µs  118µs
Next: --expect TEXT tests the application; --hold 30 tests whether they last
"#,
    );
}

#[test]
fn a_reply_on_each_connection() {
    assert_printed(
        &still(&hold(s(1), ask(paced(60))), &to(replies(), nearby()), 80),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 60, Dialing: 0, Established: 60, Closed: 0, Error: 0, NotInitiated: 0
Timing stats for 60 established connections min/avg/max/dev = 100µs/100µs/100µs/0s
--- verdict ---
OK: 60 of 60 connections replied, dialed in 0.12 s (499/s). No limit found up to
60 (the application replied).
              p50    p90    p99  p99.9    max
connect     100µs  100µs  100µs  100µs  100µs
first byte  106µs  108µs  108µs  108µs  108µs
Next: a larger -c looks for the limit
"#,
    );
}

#[test]
fn one_problem_at_three_widths() {
    let (plan, world) = (paced(40), to(never(16), nearby()));
    assert_printed(
        &still(&plan, &world, 80),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 40, Dialing: 0, Established: 17, Closed: 0, Error: 23, NotInitiated: 0
Timing stats for 17 established connections min/avg/max/dev = 100µs/100µs/100µs/0s
Timing stats for 23 failed connections min/avg/max/dev = 2.500205s/2.500205s/2.500205s/0s
--- verdict ---
LIMIT: 17 of 40 connections open at once. Above 17 open, every dial timed out
(23 of 23; 46 SYN retransmissions, none succeeded).
Cause, server or network or this host (not distinguishable from this host):
  1. accept-queue-full    server     its process has stopped calling accept()
  2. drop-above-limit     network    a stateful device drops new connections
  3. rate-limit           network    a limit on new connections per second
  4. nat-ports-exhausted  network    a NAT has no free port for that target
  5. local-firewall       this host  its own firewall drops or rejects
  6. path-down            network    the path failed
Check:
  on the server  ss -lnt 'sport = :80'                Recv-Q > Send-Q: 1
  on each hop    sysctl -ar 'conntrack_(count|max)'   count near max: 2
  from here      the same command with --expect TEXT
                   the last ones get no reply: 1; every established one gets a
                   reply: 2
           p50    p90    p99  p99.9    max
connect  100µs  100µs  100µs  100µs  100µs
           count  open   first    last  side
timed out     23    17  34.1ms  78.1ms  server or network
Next: tcpgoon explain accept-queue-full; --report full has all checks
"#,
    );
    assert_printed(
        &still(&plan, &world, 200),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 40, Dialing: 0, Established: 17, Closed: 0, Error: 23, NotInitiated: 0
Timing stats for 17 established connections min/avg/max/dev = 100µs/100µs/100µs/0s
Timing stats for 23 failed connections min/avg/max/dev = 2.500205s/2.500205s/2.500205s/0s
--- verdict ---
LIMIT: 17 of 40 connections open at once. Above 17 open, every dial timed out (23 of 23; 46 SYN retransmissions, none succeeded).
Cause, server or network or this host (not distinguishable from this host):
  1. accept-queue-full    server     its process has stopped calling accept()
  2. drop-above-limit     network    a stateful device drops new connections
  3. rate-limit           network    a limit on new connections per second
  4. nat-ports-exhausted  network    a NAT has no free port for that target
  5. local-firewall       this host  its own firewall drops or rejects
  6. path-down            network    the path failed
Check:
  on the server  ss -lnt 'sport = :80'                 Recv-Q > Send-Q: 1
  on the server  nstat -az TcpExtListenOverflows       rising: 1
  on each hop    sysctl -ar 'conntrack_(count|max)'    count near max: 2
  on each hop    nft list ruleset; iptables-save       ct count or connlimit, with drop: 2; limit rate, or hashlimit: 3
  from here      the same command with --expect TEXT   the last ones get no reply: 1; every established one gets a reply: 2
  from here      the same command with a lower --rate  none fails: 3
           p50    p90    p99  p99.9    max
connect  100µs  100µs  100µs  100µs  100µs
           count  open   first    last  side
timed out     23    17  34.1ms  78.1ms  server or network
Next: tcpgoon explain accept-queue-full; --report full has all checks
"#,
    );
    assert_printed(
        &still(&plan, &world, 40),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 40, Dialing: 0, Established: 17, Closed: 0, Error: 23, NotInitiated: 0
Timing stats for 17 established connections min/avg/max/dev = 100µs/100µs/100µs/0s
Timing stats for 23 failed connections min/avg/max/dev = 2.500205s/2.500205s/2.500205s/0s
--- verdict ---
LIMIT: 17 of 40 connections open at
once. Above 17 open, every dial timed
out (23 of 23; 46 SYN retransmissions,
none succeeded).
Cause, server or network or this host
(not distinguishable from this host):
  1. accept-queue-full  server
  2. drop-above-limit  network
  3. rate-limit  network
  4. nat-ports-exhausted  network
  5. local-firewall  this host
  6. path-down  network
           p50    p90    p99  p99.9
connect  100µs  100µs  100µs  100µs
           count  open   first    last
timed out     23    17  34.1ms  78.1ms
Next: tcpgoon explain accept-queue-full;
--report full has all checks
"#,
    );
}

#[test]
fn three_problems() {
    let report = row("the listener closes, and connections stay", 1, Stalls::Some);
    assert_printed(
        &report,
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 100, Dialing: 0, Established: 0, Closed: 26, Error: 74, NotInitiated: 0
Timing stats for 26 established connections min/avg/max/dev = 80.539ms/84.218ms/87.024ms/1.575ms
Timing stats for 74 failed connections min/avg/max/dev = 80.512ms/193.626ms/322.068ms/100.147ms
--- verdict ---
FAILED: 0 of 100 connections stayed open (peak 26). Above 18 open, every dial
was refused (74 of 74).
Cause, server or network (most likely first):
  1. process-restarted  server     its process ended or was restarted
  2. listener-closed    server     its listener was closed during the run
  3. rate-limit         network    a limit on new connections per second
Check:
  on the server  ps -o lstart= -p PID    started at the time of the closes: 1
  on the server  ss -lnt 'sport = :80'   no line: 2
  from here      the same command again  refused from the first dial: 2
Also: 8 of 26 connections were closed by the peer on accept (RST) (within 87ms).
Cause, server (most likely first):
  1. process-restarted      server     its process ended or was restarted
  2. accept-rate-limit      server     it closes new connections above a rate
  3. connection-limit       server     its application is at a connection limit
  4. accept-queue-overflow  server     its process calls accept() too slowly
  5. client-limit           server     a limit on connections per client address
  6. backend-unreachable    server     its proxy cannot reach a backend
Also: The peer closed 18 of 18 connections (RST), 45.9ms to 324ms old, 181ms to
422ms into the run; for some of that time this host was not looking.
Cause, server (not distinguishable from this host):
  1. process-restarted    server     its process ended or was restarted
  2. idle-timeout         server     a timeout for idle or old connections
  3. evicts-oldest        server     it closes old connections for new ones
  4. backend-unreachable  server     its proxy cannot reach a backend
Note: this host was not looking for 3.49s (2 times).
            p50     p90     p99   p99.9   max
connect  84.4ms  86.5ms  86.5ms  86.5ms  87ms
                   count  open   first   last  side
refused               74    18  52.1ms  431ms  server or network
reset by the peer     26     -   168ms  422ms  server or network
Next: tcpgoon explain process-restarted; --report full has all checks
"#,
    );
}

#[test]
fn closes_in_a_hold() {
    let idle = Some(Idle { after: s(2), end: End::Fin });
    let world = to(Server { idle, ..Server::default() }, nearby());
    assert_printed(
        &still(&hold(s(4), paced(100)), &world, 80),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 100, Dialing: 0, Established: 0, Closed: 100, Error: 0, NotInitiated: 0
Timing stats for 100 established connections min/avg/max/dev = 100µs/100µs/100µs/0s
--- verdict ---
LIMIT: 100 of 100 connections open at once. The peer closed 100 of 100
connections (FIN), each 2s old.
Cause, server (not distinguishable from this host):
  1. idle-timeout         server     a timeout for idle or old connections
     + 100 closes, continuing after the last dial
  2. backend-unreachable  server     its proxy cannot reach a backend
Check:
  on the server  journalctl -u SERVICE --since=-10min
                   no backend, or connect() failed: 2
  from here      the same command with --hold 10m
                   closes continue after the last dial: 1
  from here      the same command with --send TEXT
                   they live longer: an idle timeout: 1; closed at the same
                   age: 2
            p50    p90    p99  p99.9    max
connect   100µs  100µs  100µs  100µs  100µs
lifetime     2s     2s     2s     2s     2s
                    count  open  first  last  side
closed by the peer    100     -     2s  2.2s  server
Next: tcpgoon explain idle-timeout; --report full has all checks
"#,
    );
}

#[test]
fn nothing_is_established() {
    let world = to(Server { is_listening: false, ..Server::default() }, nearby());
    assert_printed(
        &still(&paced(30), &world, 80),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 30, Dialing: 0, Established: 0, Closed: 0, Error: 30, NotInitiated: 0
Timing stats for 30 failed connections min/avg/max/dev = 100µs/100µs/100µs/0s
--- verdict ---
FAILED: 0 of 30 connections open at once. Every dial was refused (30 of 30).
Cause, server or network or this host (not distinguishable from this host):
  1. no-listener        server     no process listens on that port
  2. listens-elsewhere  server     it listens on another address only
  3. firewall-reject    network    a firewall rejects dials to that port
  4. local-firewall     this host  its own firewall drops or rejects
Check:
  on the server  ss -lnt 'sport = :80'
                   no line: 1; Local Address is another one: 2
  on each hop    nft list ruleset; iptables-save
                   reject for that port, or by default: 3
  on this host   nft list ruleset; iptables-save
                   output or input: drop, reject, ct count: 4
         count  open  first    last  side
refused     30     0   17µs  58.1ms  server or network
Next: tcpgoon explain no-listener; --report full has all checks
"#,
    );
}

#[test]
fn this_host_was_paused() {
    assert_printed(
        &row("fine", 3, Stalls::Some),
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 80, Dialing: 0, Established: 80, Closed: 0, Error: 0, NotInitiated: 0
Timing stats for 80 established connections min/avg/max/dev = 19.513ms/20.988ms/21.957ms/467µs
--- verdict ---
OK: 80 of 80 connections open at once, dialed in 3.36 s (23/s). No limit found
up to 80 (handshakes only).
Note: this host was not looking for 3.22s (2 times).
            p50     p90     p99   p99.9   max
connect  21.1ms  21.6ms  21.9ms  21.9ms  22ms
Next: --expect TEXT tests the application; a larger -c looks for the limit
"#,
    );
}

#[test]
fn a_signal_ends_the_run() {
    let plan = paced(3);
    let mut engine = Engine::new(&plan, Moment(0)).unwrap();
    let mut actions: Vec<Action> = Vec::new();
    let mut feed = |at_us: u64, kind: EventKind| {
        let at = Moment(at_us * 1_000);
        engine.turn(at, &[Event { at, kind }], &mut actions);
    };
    let key = Key { slot: 0, attempt: 0 };
    feed(0, EventKind::PollBatchFull);
    feed(2, EventKind::Dialed(key));
    feed(1_502, EventKind::Opened(key));
    feed(1_900, EventKind::Stop);
    let report = report_of(&plan, &engine.summary(), &Beside::default(), 80);
    assert_printed(
        &report,
        r#"
--- 10.0.0.1:80 tcp test statistics ---
Total: 3, Dialing: 0, Established: 1, Closed: 0, Error: 0, NotInitiated: 2
Timing stats for 1 established connections min/avg/max/dev = 1.5ms/1.5ms/1.5ms/0s
--- verdict ---
STOPPED: 1 of 3 connections open at once. A signal ended the run with 2 not
dialed.
Note: some of these connections were open for less than 100ms.
           p50    p90    p99  p99.9    max
connect  1.5ms  1.5ms  1.5ms  1.5ms  1.5ms
"#,
    );
}
