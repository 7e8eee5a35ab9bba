//! Exit codes, the lines of both streams, and wrong arguments.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use crate::common::output::{self, span};
use crate::common::verdict::verdict;
use crate::common::{ClosedPort, Outcome, Running, Served, listener, run, tcpgoon, tcpgoon_after};

const VERSION: &str = concat!("tcpgoon ", env!("CARGO_PKG_VERSION"));

/// A listener that must not be dialed.
struct Untouched(TcpListener);

impl Untouched {
    fn new() -> Untouched {
        Untouched(listener("127.0.0.1"))
    }

    fn target(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        self.0.set_nonblocking(true).unwrap();
        assert!(self.0.accept().is_err(), "it was dialed");
    }
}

#[test]
fn the_first_line_comes_before_the_first_dial() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "10", "-s", "5", "-i", "10ms", &server.target()]);
    run.assert_code(0);
    let first = "Total: 10, Dialing: 0, Established: 0, Closed: 0, Error: 0, NotInitiated: 10";
    assert_eq!(run.stdout.lines().next(), Some(first));
    // NotInitiated never rises.
    let waiting: Vec<u64> = run.stats().iter().map(|stats| stats.not_initiated).collect();
    assert!(waiting.is_sorted_by(|one, next| one >= next), "{run:#?}");
    assert_eq!(run.last().established, 10);
}

#[test]
fn a_run_prints_the_originals_lines_and_then_its_report() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let (one, two) = (server.target(), closed.target());
    let run = run(&["-y", "-c", "6", "-s", "1", "-i", "0", &one, &two]);
    run.assert_code(2);
    let shapes = [
        "Total: 6, Dialing: 0, Established: 0, Closed: 0, Error: 0, NotInitiated: 6",
        "--- 2 targets tcp test statistics ---",
        "Total: 6, Dialing: 0, Established: 3, Closed: 0, Error: 3, NotInitiated: 0",
        "Timing stats for 3 established connections min/avg/max/dev = @/@/@/@",
        "Timing stats for 3 failed connections min/avg/max/dev = @/@/@/@",
        "--- * run report ---",
        "Command line: *",
        "Host: *",
        "Start: *",
        "End: * (after @)",
        "Established: 3 in all, 3 at most at once, 3 at the end, 0 closed by the peer",
        "Sustained: 3 open together for 100ms",
        "Closed: 0",
        "Errors: 3, by reason: 3 refused (server or network)",
        "Dial times p50/p90/p99/p99.9 = @/@/@/@",
        "Handshake times by the kernel p50/p99 = @/@ (# sampled)",
        "Dial starts: 6, from first to last @",
        "Dial start lateness p50/p99/max = @/@/@",
        "Longest loop iteration = @ (*",
        "Targets: 2, worst first",
        "*dialed  established       errors       closed  p99",
        "  127.0.0.1:*            3            0            3            0  -",
        "  127.0.0.1:*            3            3            0            0  @",
        "End reasons: 1, dated by SYN or close; open: connections at the first SYN",
        "*count  side                   first       last       open  min/p50/max",
        "  refused          3  server or network  *",
        "Established means: the handshake completed on this host; the server was not probed (--probe)",
        "--- verdict ---",
    ];
    // What other processes lost meanwhile is in the report, too.
    let is_of_the_run = |line: &&str| !line.starts_with("Kernel counters of this host, all");
    let lines: Vec<&str> = run.stdout.lines().filter(is_of_the_run).collect();
    let own = lines.iter().position(|line| *line == "--- verdict ---").unwrap() + 1;
    assert_eq!(own, shapes.len(), "{run:#?}");
    verdict(&run).word("LIMIT", 2).reached_is(3, 6).share(3, 3).first(&["no-listener"]);
    for (line, shape) in lines.into_iter().zip(shapes) {
        assert!(output::matches(line, shape).is_some(), "'{line}' is not of the shape '{shape}'");
    }
    assert_eq!(run.find("--- * run report ---"), [VERSION]);
    let command_line = &run.find("Command line: *")[0];
    assert!(
        command_line.ends_with(&format!("tcpgoon --report=full -y -c 6 -s 1 -i 0 {one} {two}"))
    );
    assert!(output::is_rfc3339(&run.find("Start: *")[0]), "{run:#?}");
    let [end, after] = &run.find("End: * (after @)")[..] else { unreachable!("two wildcards") };
    assert!(output::is_rfc3339(end) && span(after) <= run.took, "{run:#?}");
    assert_eq!(run.stderr, "");
}

#[test]
fn times_of_one_report_agree_with_each_other() {
    let server = Served::start(&["-i", "0"]);
    let run = run(&["-y", "-c", "500", "-s", "0", "-i", "0", &server.target()]);
    let spans = |shape: &str| run.find(shape).iter().map(|word| span(word)).collect::<Vec<_>>();
    let timing = spans("Timing stats for 500 established connections min/avg/max/dev = @/@/@/@");
    let quantiles = spans("Dial times p50/p90/p99/p99.9 = @/@/@/@");
    let (min, avg, max) = (timing[0], timing[1], timing[2]);
    assert!(min <= avg && avg <= max, "{run:#?}");
    assert!(quantiles.is_sorted(), "{run:#?}");
    // The quantiles are rounded, to 0.8% and to three digits.
    let (low, high) = (min.mul_f64(0.98), (max + Duration::from_micros(1)).mul_f64(1.02));
    assert!(quantiles.iter().all(|quantile| (low..=high).contains(quantile)), "{run:#?}");
}

#[test]
fn the_originals_long_flags_still_work() {
    let server = Served::start(&["-i", "0"]);
    let port = server.address.port().to_string();
    let long = ["--assume-yes", "--connections", "4", "--dial-timeout", "2", "--host", "127.0.0.1"];
    let rest = ["--interval", "1", "--port", &port, "--sleep", "1"];
    let run = run(&[long.as_slice(), &rest].concat());
    run.assert_code(0).find(&format!("--- 127.0.0.1:{port} tcp test statistics ---"));
    let short = ["-y", "-c4", "-t2", "-h127.0.0.1", "-i1", "-p", &port, "-s1"];
    crate::common::run(&short).assert_code(0);
    // Of a repeated flag the last one counts.
    let repeated = [short.as_slice(), &["-c", "7"]].concat();
    assert_eq!(crate::common::run(&repeated).assert_code(0).last().established, 7);
}

/// A usage error: one line with this beginning, then a hint; nothing on standard output.
#[track_caller]
fn assert_usage(run: &Outcome, beginning: &str, try_line: &str) {
    run.assert_code(1);
    assert_eq!(run.stdout, "");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{run:#?}");
    assert!(lines[0].starts_with(beginning), "{run:#?}");
    assert_eq!(lines[1], try_line);
}

#[test]
fn a_wrong_argument_is_named_and_nothing_is_dialed() {
    let listener = Untouched::new();
    let target = listener.target();
    for (wrong, named) in [
        (&["-c", "0"][..], "tcpgoon: --connections '0': "),
        (&["-c", "1e-3"], "tcpgoon: --connections '1e-3': "),
        (&["-c", "65m"], "tcpgoon: --connections '65m': "),
        (&["-s", "-1"], "tcpgoon: --sleep '-1': "),
        (&["-s", "1", "--rate", "1"], "tcpgoon: --rate and --sleep "),
        (&["-s", "0", "--rate", "1k"], "tcpgoon: --rate and --sleep "),
        (&["-t", "soon"], "tcpgoon: --dial-timeout 'soon': "),
        (&["-t", "11d"], "tcpgoon: --dial-timeout '11d': "),
        (&["-t", "9999h"], "tcpgoon: --dial-timeout '9999h': "),
        (&["-i", ""], "tcpgoon: --interval '': "),
        (&["--hold", "always"], "tcpgoon: --hold 'always': "),
        (&["--port", "0"], "tcpgoon: --port '0': "),
        (&["--report", "long"], "tcpgoon: --report 'long': short, full and none are accepted"),
        (&["--port", "65536"], "tcpgoon: --port '65536': "),
        (&["-Z"], "tcpgoon: unknown flag -Z"),
        (&["-y=maybe"], "tcpgoon: --assume-yes 'maybe': "),
        (&["-c"], "tcpgoon: --connections: the value (int) is missing"),
        (&["--echo"], "tcpgoon: --echo belongs to 'tcpgoon serve'"),
        (&["a\u{1b}[2Jb:80"], "tcpgoon: 'a\\u{1b}[2Jb:80': "),
        (&["[::1:80"], "tcpgoon: '[::1:80': "),
    ] {
        let run = run(&[["-y", &target].as_slice(), wrong].concat());
        assert_usage(&run, named, "try: tcpgoon --help");
    }
    assert_usage(&run(&["-y"]), "tcpgoon: a host is required", "try: tcpgoon --help");
    assert_usage(&run(&[]), "tcpgoon: a host is required", "try: tcpgoon --help");
    let run = crate::common::run(&["serve", "--debug=x"]);
    assert_usage(&run, "tcpgoon: --debug belongs to 'tcpgoon'", "try: tcpgoon serve");
    let run = crate::common::run(&["calibrate", "-c", "lots"]);
    assert_usage(&run, "tcpgoon: --connections 'lots': ", "try: tcpgoon calibrate --help");
    let run = crate::common::run(&["explain", "accept-queue-ful"]);
    let named =
        "tcpgoon: 'accept-queue-ful': no cause has this id; did you mean accept-queue-full?";
    assert_usage(&run, named, "try: tcpgoon explain accept-queue-full");
}

#[test]
fn a_name_without_an_address_is_one_line_and_nothing_is_dialed() {
    let listener = Untouched::new();
    for (args, named) in [
        (&["no-such-host.invalid:80"][..], "tcpgoon: cannot resolve no-such-host.invalid: "),
        (&["-6", "127.0.0.1:80"], "tcpgoon: cannot resolve 127.0.0.1: it has no IPv6 address"),
        (&["-4", "[::1]:80"], "tcpgoon: cannot resolve ::1: it has no IPv4 address"),
    ] {
        // Nothing is dialed before everything is resolved.
        let target = listener.target();
        let first: &[&str] = if args[0].starts_with('-') { &[] } else { &[&target] };
        let run = run(&[&["-y"], first, args].concat());
        run.assert_code(1);
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with(named), "{run:#?}");
        // Which of them depends on the name servers here.
        let in_words = ["no such name in DNS", "temporary DNS failure: ", "-4", "-6", "permanent"];
        assert!(in_words.iter().any(|words| run.stderr.contains(words)), "{run:#?}");
    }
}

#[test]
fn a_table_that_does_not_fit_in_memory_is_one_line() {
    let listener = Untouched::new();
    let args = ["-y", "-c", "64m", &listener.target()];
    let run = Running::start(tcpgoon_after("ulimit -v 300000", &args)).outcome();
    run.assert_code(1);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    let shape = "tcpgoon: a table for 64000000 connections (# MiB) does not fit in memory: *";
    assert!(output::matches(run.stderr.trim_end(), shape).is_some(), "{run:#?}");
}

#[test]
fn help_and_version_succeed() {
    for args in [&["--version"][..], &["version"], &["-y", "--version", "--nonsense"]] {
        let run = run(args);
        assert_eq!((run.code(), run.stdout), (Some(0), format!("{VERSION}\n")));
    }
    for (args, usage) in [
        (&["--help"][..], "Usage of tcpgoon:\n"),
        (&["serve", "--help"], "Usage of tcpgoon serve:\n"),
        (&["calibrate", "--help"], "Usage of tcpgoon calibrate:\n"),
        (&["explain", "--help"], "Usage of tcpgoon explain:\n"),
    ] {
        let run = run(args);
        run.assert_code(0);
        assert!(run.stdout.starts_with(usage), "{run:#?}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn a_cause_is_explained_and_without_an_id_all_are_listed() {
    for (args, said) in [
        (&["explain"][..], "accept-queue-full      server     its process has stopped"),
        (
            &["explain", "accept-queue-full"],
            "    ss -lnt 'sport = :PORT'              Recv-Q > Send-Q",
        ),
    ] {
        let run = run(args);
        run.assert_code(0);
        assert!(run.stdout.contains(said), "{run:#?}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn help_into_a_closed_pipe_is_no_failure_and_onto_a_full_disk_is_one() {
    let mut command = tcpgoon(&["--help"]);
    command.stdout(io::pipe().unwrap().1).stderr(Stdio::piped());
    let run = Running::start_as_it_is(command).outcome();
    assert_eq!((run.code(), run.stderr.as_str()), (Some(0), ""));
    let mut command = tcpgoon(&["--help"]);
    command.stdout(full_disk()).stderr(Stdio::piped());
    let run = Running::start_as_it_is(command).outcome();
    run.assert_code(1);
    assert!(run.stderr.starts_with("tcpgoon: cannot write to standard output: "), "{run:#?}");
}

fn full_disk() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Runs with this standard output, against a server and a closed port in turn if `errors`.
fn run_into(stdout: impl Into<Stdio>, errors: bool) -> Outcome {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let (one, two) = (server.target(), if errors { closed.target() } else { server.target() });
    let mut command = tcpgoon(&["-y", "-c", "10", "-s", "1", "-i", "1ms", &one, &two]);
    command.stdout(stdout).stderr(Stdio::piped());
    Running::start_as_it_is(command).outcome()
}

#[test]
fn a_closed_pipe_does_not_change_the_exit_code() {
    for (errors, code) in [(false, 0), (true, 2)] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let run = run_into(writer, errors);
        assert_eq!((run.code(), run.stderr.as_str()), (Some(code), ""));
    }
}

#[test]
fn closed_streams_are_not_taken_by_sockets() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "3", "-s", "0", "--debug", &server.target()];
    for (first, code) in
        [("exec >&-", 1), ("exec 2>&-", 0), ("exec <&-", 0), ("exec <&- >&- 2>&-", 1)]
    {
        let run = Running::start(tcpgoon_after(first, &args)).outcome();
        run.assert_code(code);
        // No socket may take the closed descriptor.
        assert!(!run.stderr.contains("Total") && !run.stdout.contains("dialing"), "{run:#?}");
    }
}

#[test]
fn a_full_disk_is_reported_after_the_run_and_is_a_failure() {
    for errors in [false, true] {
        let run = run_into(full_disk(), errors);
        run.assert_code(1);
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with("tcpgoon: cannot write to standard output: "), "{run:#?}");
        assert!(run.took >= Duration::from_millis(9), "it ran nevertheless");
    }
}

#[test]
fn output_is_appended_to_a_regular_file() {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/command_line.out");
    std::fs::write(path, "before\n").unwrap();
    let run = run_into(OpenOptions::new().append(true).open(path).unwrap(), false);
    run.assert_code(0);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("before\nTotal: 10, Dialing: 0, "), "{text}");
    let (_, end) = text.split_once("--- verdict ---\nOK: 10 ").unwrap_or_default();
    assert!(end.ends_with("whether they last\n"), "{text}");
    std::fs::remove_file(path).unwrap();
}
