//! Timing: dials, timeouts, holds, interval lines, and the cost of waiting.

mod common;

use std::fs;
use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::output::{self, span};
use common::{
    DEADLINE, Outcome, Running, Served, listen, run, skip, status_number, tcpgoon, wait_until,
};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

/// How late anything may be: the machines are shared, and stall.
const LATE: Duration = Duration::from_secs(5);

/// The time from first to last dial, and the maximum lateness, rounded up.
fn dial_starts(run: &Outcome, dials: u32) -> (Duration, Duration) {
    let took = &run.find(&format!("Dial starts: {dials}, from first to last @"))[0];
    let [p50, p99, max] = &run.find("Dial start lateness p50/p99/max = @/@/@")[..] else {
        unreachable!("three durations")
    };
    let (p50, p99, max) = (span(p50), span(p99), span(max));
    assert!(p50 <= p99 && p99 <= max, "{run:#?}");
    (span(took), max.mul_f64(1.01) + Duration::from_micros(1))
}

/// The first or the last dial may be late, by at most `late`. Only a drift moves them further.
#[track_caller]
fn assert_spread(planned: Duration, took: Duration, late: Duration, run: &Outcome) {
    assert!(took + late >= planned && took <= planned + late, "{run:#?}");
}

#[test]
fn dials_are_spread_by_sleep() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "50", "-s", "10", "-i", "0", &server.target()]);
    run.assert_code(0);
    let (took, late) = dial_starts(&run, 50);
    assert_spread(Duration::from_millis(490), took, late, &run);
}

#[test]
fn dials_are_spread_by_rate() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "31", "--rate", "100", "-i", "0", &server.target()]);
    run.assert_code(0);
    let (took, late) = dial_starts(&run, 31);
    assert_spread(Duration::from_millis(300), took, late, &run);
}

#[test]
fn slow_servers_do_not_stretch_the_schedule() {
    // Every dial beyond the accept queue takes its whole timeout; the next one still starts on time.
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let run = run(&["-y", "-c", "40", "-s", "10", "-t", "0.4", "-i", "0", &server.target()]);
    run.assert_code(2);
    let (took, late) = dial_starts(&run, 40);
    assert_spread(Duration::from_millis(390), took, late, &run);
    // One after another they would take 15 s.
    assert!(run.took < Duration::from_millis(800) + LATE, "{run:#?}");
}

#[test]
fn dial_timeouts_are_never_early() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let timeout = Duration::from_micros(300_125);
    let run = run(&[
        ["-y", "-c", "204", "-s", "500us", "-t", "300125us", "-i", "0", "--debug"].as_slice(),
        &[&server.target()],
    ]
    .concat());
    run.assert_code(2);
    let shape = "connection # to *: error after @: timed out [server or network]";
    let times: Vec<_> = run
        .stderr
        .lines()
        .filter_map(|line| output::matches(line, shape).map(|found| span(&found[2])))
        .collect();
    assert_eq!(times.len() as u64, run.last().error, "{run:#?}");
    assert!(times.len() >= 200, "{run:#?}");
    for time in times {
        assert!((timeout..timeout + LATE).contains(&time), "{time:?}");
    }
}

#[test]
fn timeout_0_leaves_the_kernels_timeout() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let run = Running::start(tcpgoon(
        &[["-y", "-c", "6", "-s", "0", "-t", "0", "-i", "50ms"].as_slice(), &[&server.target()]]
            .concat(),
    ));
    let dialing = |stats: &output::Stats| stats.dialing >= 3 && stats.established >= 1;
    run.wait_for_stats("some are dialing", dialing);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(1);
    assert_eq!(run.last().error, 0, "{run:#?}");
}

#[test]
fn connections_are_held_for_the_hold() {
    let (sender, ends) = mpsc::channel();
    let address = listen(move |mut stream| {
        let sender = sender.clone();
        thread::spawn(move || {
            let end = stream.read(&mut [0]);
            let _ = sender.send((end.ok(), Instant::now()));
        });
    });
    let run = Running::start(tcpgoon(&[
        "-y",
        "-c",
        "5",
        "-s",
        "0",
        "-i",
        "0",
        "--hold",
        "0.5",
        &address.to_string(),
    ]));
    let begun = run.begun();
    for _ in 0..5 {
        let (end, at) = ends.recv_timeout(DEADLINE).unwrap();
        assert_eq!(end, Some(0), "they end with a FIN");
        let held = at - begun;
        assert!((Duration::from_millis(500)..Duration::from_millis(500) + LATE).contains(&held));
    }
    let run = run.outcome();
    run.assert_code(0);
    assert_eq!(run.last().established, 5, "held to the end: {run:#?}");
}

#[test]
fn a_run_ends_as_soon_as_everything_is_decided() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "5", "-s", "0", "-i", "1h", "-t", "1h", &server.target()]);
    run.assert_code(0);
    assert_eq!(run.stats().len(), 2, "the first and the last line");
    assert!(run.took < LATE, "{run:#?}");
}

#[test]
fn a_run_settles_for_100_ms_or_up_to_its_maximum() {
    let server = Served::start(&["-i", "0"]);
    for (args, least_ms) in [(&["--settle", "0"][..], 0), (&[], 100), (&["--settle", "50ms"], 50)] {
        let run = run(&[&["-y", "-c", "5", "-s", "0", &server.target()], args].concat());
        run.assert_code(0);
        let took = span(&run.find("End: * (after @)")[1]);
        let least = Duration::from_millis(least_ms);
        assert!(took >= least && took < least + LATE, "{run:#?}");
    }
}

#[test]
fn interval_lines_come_on_time() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "1", "-i", "0.1", "--hold", "1.05", &server.target()]);
    run.assert_code(0);
    // The first line, ten intervals, the last. Intervals within one stall leave one line.
    let missing = u32::try_from(12 - run.stats().len()).unwrap();
    let mut lines = run.stdout.lines();
    let stalls = lines.find_map(|line| output::matches(line, "Not looking: @ in all, *"));
    let stalled = stalls.map_or(Duration::ZERO, |found| span(&found[0]));
    let longest = span(&run.find("Longest loop iteration = @ (*")[0]);
    assert!(missing * Duration::from_millis(100) <= stalled + longest, "{run:#?}");
}

/// The connections that the limit on open files allows, at most `most`; `None` skips aloud.
fn room_for(most: u32) -> Option<u32> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < u64::from(most) + 100 {
        skip(&format!("{most} connections need more than {hard} open files (ulimit -Hn)"));
        return None;
    }
    Some(most)
}

#[test]
fn nineteen_thousand_connections_are_established_at_full_speed() {
    let Some(count) = room_for(19_000) else { return };
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", &count.to_string(), "-s", "0", "-t", "30", &server.target()]);
    run.assert_code(0);
    run.find("Established: 19000 in all, 19000 at most at once, 19000 at the end, 0 closed *");
    run.find("Errors: 0");
}

#[test]
fn waiting_costs_nothing() {
    let Some(_) = room_for(10_000) else { return };
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = ["-y", "-c", "10000", "-s", "0", "-i", "0", "--hold", "forever", &target];
    let run = Running::start(tcpgoon(&args));
    wait_until("all are dialed", || (run.descriptors() >= 10_000).then_some(()));
    // A second after the last dial a sample is checked by keepalive.
    let quiet = || {
        let before = work(run.id());
        let end = Instant::now() + Duration::from_millis(1500);
        wait_until("a moment", || (Instant::now() >= end).then_some(()));
        (work(run.id()).0 == before.0).then_some(())
    };
    wait_until("both have settled", quiet);
    let before = [work(run.id()), work(server.running.id())];
    let end = Instant::now() + Duration::from_secs(3);
    wait_until("three seconds", || (Instant::now() >= end).then_some(()));
    let after = [work(run.id()), work(server.running.id())];
    for ((switches_before, ticks_before), (switches, ticks)) in before.into_iter().zip(after) {
        assert!(switches <= switches_before + 3, "{switches_before} wake-ups, then {switches}");
        assert!(ticks <= ticks_before + 1, "{ticks_before} ticks of processor time, then {ticks}");
    }
    run.signal(Signal::SIGINT);
    run.outcome().assert_code(0).find("Established: 10000 in all, 10000 at most at once, *");
}

#[test]
fn a_connection_takes_less_than_100_bytes() {
    let Some(_) = room_for(10_000) else { return };
    let server = Served::start(&["-i", "20ms"]);
    let resident = |count: usize| {
        let args = ["-y", "-c", &count.to_string(), "-s", "0", "-i", "0", "--hold", "forever"];
        let run = Running::start(tcpgoon(&[&args[..], &[&server.target()]].concat()));
        // Descriptors are open before all memory is allocated.
        server.wait_for_counts("all are open", |[_, open, ..]| open == count as u64);
        let kib = status_number(run.id(), "RssAnon");
        run.signal(Signal::SIGINT);
        run.outcome();
        kib * 1024
    };
    let (empty, full) = (resident(1), resident(10_000));
    let each = full.saturating_sub(empty) / 10_000;
    // The tables alone take 36.
    assert!((30..100).contains(&each), "{each} bytes a connection");
}

/// Voluntary context switches of a process, and its CPU time in ticks of 10 ms.
fn work(process: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // proc_pid_stat(5): state is field 3; utime and stime are 14 and 15.
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |place: usize| fields[place - 3].parse::<u64>().unwrap();
    (status_number(process, "voluntary_ctxt_switches"), ticks(14) + ticks(15))
}
