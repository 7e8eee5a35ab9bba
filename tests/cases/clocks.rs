//! When something was noticed is not when it happened, and which segment came is not known from how
//! many came: healthy servers and stalls that must not be blamed on them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{GONE, QUEUE, goon, serve, start};
use crate::common::faulty_servers::Fault;
use crate::common::path::Knobs;
use crate::common::verdict::verdict;
use crate::common::{Namespace, topology};
use crate::common::{Outcome, Running, command, program, skip, wait_until};

const MS: Duration = Duration::from_millis(1);

/// Starts a run and stops it after so long, but with all connections established, for so long.
fn paused(client: &Namespace, words: &str, after: Duration, length: Duration) -> Outcome {
    let run = start(client, &format!("{words} -i 50ms"));
    run.wait_for_stats("all are established", |stats| stats.established == stats.total);
    // They have to stay open together for 100 ms to count.
    wait_for_moment((run.begun() + after).max(Instant::now() + 300 * MS));
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    wait_for_moment(Instant::now() + length);
    run.signal(Signal::SIGCONT);
    run.outcome()
}

fn wait_for_moment(moment: Instant) {
    wait_until("its time comes", || (Instant::now() >= moment).then_some(()));
}

/// Stopped for 1.5 s just after the keepalives; every connection is healthy.
pub fn this_host_is_paused_while_keepalives_are_out() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Keep);
    let run = paused(&host, "127.0.0.1:80 -c 3000 -s 0 --probe", 1100 * MS, 1500 * MS);
    let verdict = verdict(&run);
    verdict.word("OK", 0).reached_is(3000, 3000).never(&GONE);
}

pub fn the_server_sends_keepalives_of_its_own() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Keepalive { every_s: 1 });
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 60 -s 2 --probe --hold 3"));
    verdict.word("OK", 0).reached_is(60, 60).never(&GONE);
}

/// TCP_DEFER_ACCEPT of 1 s (nginx `deferred`): the final ACK is ignored, the SYN-ACK repeated once, then
/// all is well.
pub fn the_server_defers_accept() {
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Defer { timeout_s: 1 });
    let verdict = verdict(&goon(&host, "127.0.0.1:80 -c 100 -s 2 --hold 6"));
    verdict.word("OK", 0).reached_is(100, 100).never(&[&QUEUE[..], &GONE].concat());
}

/// All are closed at the age of 2 s; this process is stopped for 0.5 s just then, and finds them closed
/// at once.
pub fn this_host_is_paused_while_an_idle_timeout_closes() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Age(2000 * MS));
    let run = paused(&client, "10.77.0.2:80 -c 100 -s 3 --hold 4", 1900 * MS, 500 * MS);
    let verdict = verdict(&run);
    verdict.word("LIMIT", 0).reached_is(100, 100).share(100, 100).first(&["idle-timeout"]);
}

/// A RST has no date: all are closed while this process is stopped.
pub fn this_host_is_paused_while_the_process_ends() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::ResetAll(2500 * MS));
    let run = paused(&client, "10.77.0.2:80 -c 100 -s 10 --hold 4", 2000 * MS, 1500 * MS);
    let verdict = verdict(&run);
    verdict.word("LIMIT", 0).share(100, 100).names(&["process-restarted", "idle-timeout"]);
}

/// Closed at an age of 3 s, from 3 s to 4 s into the run, while this process is stopped and its
/// keepalives go on: acknowledged behind the FIN, they move what would date it.
pub fn this_host_is_paused_while_checked_connections_are_closed() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Age(3000 * MS));
    let run = paused(&client, "10.77.0.2:80 -c 100 -s 10 --hold 4", 1500 * MS, 3000 * MS);
    let verdict = verdict(&run);
    verdict.word("LIMIT", 0).reached_is(100, 100).share(100, 100).first(&["idle-timeout"]);
    let seconds = verdict.main().seconds();
    let [.., first, last] = seconds[..] else { panic!("no dates: {verdict}") };
    assert!(first <= 3.2 && last >= 3.9, "{verdict}");
}

/// Every connection is closed at the age of 2 s. This process does not run for 2.5 s between the end of
/// one of its polls in the kernel and its return: what that brings is older than what happened since.
pub fn this_host_is_late_as_a_poll_returns() {
    if command("strace -V").output().is_err() {
        return skip("a poll is delayed by strace");
    }
    let Some(host) = Namespace::make() else { return };
    let _server = serve(&host, "127.0.0.1:80", Fault::Age(2000 * MS));
    // With the dials, and with the keepalives after them.
    // As glibc and as musl wait.
    const WAIT: &str = "epoll_wait,epoll_pwait";
    let runs = [215, 230, 245, 260, 275, 290, 305].map(|poll| {
        let delay = format!("-e trace={WAIT} -e inject={WAIT}:delay_exit=2500000:when={poll}");
        let program = program();
        let words = "-y 127.0.0.1:80 -c 100 -s 10 --hold 4 --report=full";
        Running::start(host.command("strace", &format!("-o /dev/null {delay} {program} {words}")))
    });
    for run in runs {
        let run = run.outcome();
        run.find("Not looking: @ in all, *");
        let verdict = verdict(&run);
        assert_eq!(verdict.word, "LIMIT", "{verdict}");
        verdict.first(&["idle-timeout"]).never(&["process-restarted", "connection-limit"]);
    }
}

/// SYNs are dropped for 6 s, once a hundred dials came through; with a dial timeout of 5 s the first
/// error is seen 5 s after that.
pub fn an_outage_is_dated_by_its_dials() {
    let Some([client, host]) = topology::two() else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    host.firewall("input", "tcp dport 81 drop");
    let run = start(&client, "10.77.0.2:80 -c 1500 -i 50ms");
    let begun = run.begun();
    run.wait_for_stats("it has begun", |_| true);
    let began_by = begun.elapsed();
    run.wait_for_stats("some are established", |stats| stats.established >= 100);
    // A loaded machine is late to start the run, and to change a rule.
    let change = |rule: &str| {
        let from = begun.elapsed().saturating_sub(began_by);
        host.run(rule);
        from.as_secs_f64() - 0.5..begun.elapsed().as_secs_f64() + 0.5
    };
    let begins = change("nft add rule inet test input tcp dport 80 drop");
    wait_for_moment(Instant::now() + 6000 * MS);
    let ends = change("nft flush chain inet test input");
    let verdict = verdict(&run.outcome());
    verdict.word("LIMIT", 2);
    let seconds = verdict.main().seconds();
    let is_dated = |pair: &[f64]| begins.contains(&pair[0]) && ends.contains(&pair[1]);
    assert!(seconds.windows(2).any(is_dated), "{begins:?} {ends:?} {verdict}");
}

/// All packets wait on the path for 0.6 s once, far from the first repetition of a SYN; this host was
/// never busy.
pub fn a_stalled_path_is_not_a_slow_host() {
    let stall = Some((400 * MS, 600 * MS));
    let knobs = Knobs { rtt: 2 * MS, stall, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let run = goon(&client, "10.77.0.2:80 -c 2400 --rate 2000");
    verdict(&run).word("OK", 0).never(&["slow-host"]);
    assert!(!run.stdout.to_lowercase().contains("this host was slow"), "{run:#?}");
    assert!(!run.stdout.to_lowercase().contains("this host was too slow"), "{run:#?}");
}

/// With `tcp_keepalive_probes` = 3 on this host, the path is silent for 3.6 s; the server has all 50
/// afterwards.
pub fn a_short_outage_while_keepalives_are_out() {
    let stall = Some((1000 * MS, 3600 * MS));
    let knobs = Knobs { rtt: 2 * MS, stall, ..Knobs::default() };
    let Some(([client, host], _path)) = topology::far(knobs) else { return };
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    client.set("net/ipv4/tcp_keepalive_probes", "3");
    let verdict = verdict(&goon(&client, "10.77.0.2:80 -c 50 -s 1 --probe --hold 6"));
    verdict.word("OK", 0).reached_is(50, 50).never(&["path-down", "host-down"]);
}
