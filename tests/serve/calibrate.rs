//! `tcpgoon calibrate`: its output, and that its server never outlives it.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::cgroup::Cgroup;
use crate::common::{Running, children, is_alive, output, run, skip, tcpgoon, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LINES: [&str; 9] = [
    concat!("--- tcpgoon ", env!("CARGO_PKG_VERSION"), " calibration of this machine ---"),
    "Connections reached: 5000 of 5000 (from one address to 127.0.0.1:#)",
    "Limited by: --connections; this machine's limits allow more",
    "Connections per second: #",
    "Client CPU per connection: @",
    "Memory per connection: client # bytes, serve *, kernel * (both ends, *)",
    "Errors: 0",
    "Dial times p50/p90/p99/p99.9 = @/@/@/@",
    "Longest loop iteration = @ (*",
];

#[test]
fn it_reaches_its_connections_and_reports_their_cost() {
    let run = run(&["calibrate", "-c", "5k"]);
    run.assert_code(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), LINES.len(), "{run:#?}");
    for (line, shape) in lines.into_iter().zip(LINES) {
        assert!(output::matches(line, shape).is_some(), "'{line}' is not of the shape '{shape}'");
    }
    assert_eq!(run.stderr, "");
    let port: u16 = run.find(LINES[1])[0].parse().unwrap();
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let low: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    assert!(port < low, "no dial can be given port {port}, the range begins at {low}");
}

/// A calibration with its server running, and the process id of that.
fn calibrating() -> (Running, u32) {
    let running = Running::start(tcpgoon(&["calibrate", "-c", "15k"]));
    let server = wait_until("its server runs", || children(running.id()).first().copied());
    let is_server = || {
        let line = fs::read_to_string(format!("/proc/{server}/cmdline")).ok()?;
        line.contains("\0serve\0").then_some(())
    };
    wait_until("it is a server", is_server);
    (running, server)
}

/// Runs it under strace with an injected fault, its child included.
fn calibrate_with(inject: &str, args: &[&str]) -> Option<Running> {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("system calls are tampered with by strace");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
    command.args([env!("CARGO_BIN_EXE_tcpgoon"), "calibrate"]).args(args).stdin(Stdio::null());
    Some(Running::start(command))
}

#[test]
fn its_server_ends_with_it_without_pdeathsig() {
    // As after the exec of a file with capabilities.
    let Some(running) = calibrate_with("prctl:retval=0", &["-c", "15k"]) else { return };
    let is_program = |child: &u32| {
        let line = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.starts_with(env!("CARGO_BIN_EXE_tcpgoon"))
    };
    let program = wait_until("it runs", || children(running.id()).into_iter().find(is_program));
    let server = wait_until("its server runs", || {
        let server = children(program).first().copied()?;
        (descriptors(server)? > 20).then_some(server)
    });
    kill(Pid::from_raw(program.cast_signed()), Signal::SIGKILL).unwrap();
    wait_for_the_end_of(server);
}

/// Open descriptors of a process.
fn descriptors(process: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{process}/fd")).ok()?.count())
}

#[test]
fn a_killed_server_is_reported_as_such() {
    let (running, server) = calibrating();
    wait_until("it is dialed", || (descriptors(server)? > 20).then_some(()));
    running.signal(Signal::SIGSTOP);
    running.wait_until_stopped();
    kill(Pid::from_raw(server.cast_signed()), Signal::SIGKILL).unwrap();
    running.signal(Signal::SIGCONT);
    let run = running.outcome();
    run.assert_code(1);
    run.find("Limited by: the end of 'tcpgoon serve', the server (signal: 9 (SIGKILL))");
    assert!(!run.stdout.contains("network"), "{run:#?}");
}

#[test]
fn a_server_that_does_not_start_times_out() {
    // The parent makes one only after the child listens.
    let inject = "epoll_create1:signal=STOP";
    let Some(running) = calibrate_with(inject, &["-c", "10"]) else { return };
    let run = running.outcome();
    run.assert_code(1);
    let error = "tcpgoon: cannot start 'tcpgoon serve' to dial: it did not listen within 5s\n";
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", error));
}

#[test]
fn a_small_cgroup_is_a_limit_and_no_oom_kill() {
    let Some(cgroup) = Cgroup::make(32 << 20) else { return };
    let run = Running::start(cgroup.tcpgoon(&["calibrate"])).outcome();
    run.assert_code(0);
    run.find("Limited by: memory of the cgroup: *");
    run.find("Errors: 0");
    drop(cgroup);
    let Some(cgroup) = Cgroup::make(5 << 19) else { return };
    let run = Running::start(cgroup.tcpgoon(&["calibrate"])).outcome();
    run.assert_code(1);
    let error = "tcpgoon: not enough memory for one connection and its server: ";
    assert!(run.stderr.starts_with(error), "{run:#?}");
}

fn wait_for_the_end_of(process: u32) {
    wait_until("its server is gone", || (!is_alive(process)).then_some(()));
}

#[test]
fn its_server_has_ended_when_it_ends() {
    let (running, server) = calibrating();
    let run = running.outcome();
    assert!(!is_alive(server), "{run:#?}");
    assert!(matches!(run.code(), Some(0 | 1)), "{run:#?}");
}

#[test]
fn its_server_ends_when_it_is_killed() {
    let (mut running, server) = calibrating();
    running.signal(Signal::SIGKILL);
    running.ended();
    wait_for_the_end_of(server);
}

#[test]
fn a_signal_ends_it_and_its_server_with_exit_code_1() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (running, server) = calibrating();
        running.signal(signal);
        let run = running.outcome();
        // Before it blocks the signals one kills it.
        match run.code() {
            Some(1) => assert!(run.stdout.contains("Limited by: a signal\n"), "{run:#?}"),
            // It finished before the signal.
            Some(0) => assert!(run.stdout.contains("Connections reached: "), "{run:#?}"),
            _ => assert_eq!(run.signal(), Some(signal), "{run:#?}"),
        }
        wait_for_the_end_of(server);
    }
}

#[test]
fn too_few_descriptors_are_reported_as_the_limit() {
    let command = crate::common::tcpgoon_after("ulimit -n 80", &["calibrate"]);
    let run = Running::start(command).outcome();
    run.assert_code(0);
    run.find("Limited by: the limit of 80 open files per process (ulimit -Hn)");
    let found = run.find("Connections reached: # of # (*");
    assert_eq!(found[0], found[1], "{run:#?}");
}
