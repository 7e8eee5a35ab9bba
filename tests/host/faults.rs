//! Faults of this host: closed, full or shared streams, a poll loop that fails, limits that send
//! signals. The report is written, or the exit code shows that it is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::output::stats;
use crate::common::streams::SmallPipe;
use crate::common::{
    Outcome, Running, Served, privileged_tcpgoon_after, skip, status_number, tcpgoon,
    tcpgoon_after, wait_until, with_full_report,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use proptest::prelude::*;
use tcpgoon::counters::Counters;
use tcpgoon::limits::{CgroupMemory, Descriptors, Gauge, Host, Neighbours, PortRange, judge};
use tcpgoon::plan::{CONNECTIONS_MAX, Plan};
use tcpgoon::report::preflight::write_dry_run;
use tcpgoon::route::{Routes, Target};

const TCPGOON: &str = env!("CARGO_BIN_EXE_tcpgoon");

/// A temporary file, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Scratch(folder.join(format!("edges-{name}-{}", std::process::id())))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A full disk: every write fails with ENOSPC.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Waits until a program blocks in a write to a full pipe.
fn wait_until_stuck(run: &Running) {
    wait_until("it waits for room in a pipe", || {
        let at = fs::read_to_string(format!("/proc/{}/wchan", run.id())).ok()?;
        at.contains("pipe_w").then_some(())
    });
}

#[test]
fn findings_do_not_wait_for_a_reader() {
    let server = Served::start(&["-i", "0"]);
    let pipe = SmallPipe::new();
    pipe.fill();
    let target = server.target();
    let args = ["-y", "-c", "60", "-s", "0", "-i", "0", &target];
    let mut command = tcpgoon_after("ulimit -n 40", &args);
    command.stdout(Stdio::piped()).stderr(pipe.writer());
    let run = Running::start_as_it_is(command).outcome();
    run.assert_code(2);
    assert_eq!(run.find("Output lines dropped: #"), ["1"]);
}

#[test]
fn a_signal_ends_a_program_that_blocks_on_an_error_line() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run = ["-y", "-c", "3", "-s", "0", &target];
    let (calibrate, serve) = (["calibrate", "-c", "10"], ["serve", "-p", "0", "--duration", "1ms"]);
    for args in [&run[..], &calibrate, &serve] {
        let pipe = SmallPipe::new();
        pipe.fill();
        let mut command = tcpgoon(args);
        command.stdout(full()).stderr(pipe.writer());
        let run = Running::start_as_it_is(command);
        wait_until_stuck(&run);
        run.signal(Signal::SIGTERM);
        assert_eq!(run.outcome().signal(), Some(Signal::SIGTERM), "{args:?}");
    }
}

/// Sets the soft RLIMIT_FSIZE of a command.
fn with_file_size_limit(command: &mut Command, bytes: u64) {
    let limit = move || Ok(setrlimit(Resource::RLIMIT_FSIZE, bytes, libc::RLIM_INFINITY)?);
    // SAFETY: between fork and exec it makes one system call and allocates nothing.
    unsafe { command.pre_exec(limit) };
}

fn lift_file_size_limit(process: u32) {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let process = process.cast_signed();
    // SAFETY: the limit is readable; null: the old one is not returned.
    let set = unsafe {
        libc::prlimit(process, libc::RLIMIT_FSIZE, &raw const none, std::ptr::null_mut())
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

#[test]
fn lost_lines_do_not_cost_the_report() {
    let server = Served::start(&["-i", "0"]);
    let output = Scratch::new("lines");
    let args = ["-y", "-c", "3", "-s", "0", "-i", "10ms", "--hold", "forever", &server.target()];
    let mut command = tcpgoon(&args);
    // In the middle of a line.
    with_file_size_limit(&mut command, 300);
    command.stdout(File::create(&output.0).unwrap()).stderr(Stdio::piped());
    let run = Running::start_as_it_is(command);
    wait_until("the file is full", || {
        (fs::metadata(&output.0).unwrap().len() == 300).then_some(())
    });
    let slept = || status_number(run.id(), "voluntary_ctxt_switches");
    let before = slept();
    wait_until("more lines were due", || (slept() > before + 5).then_some(()));
    lift_file_size_limit(run.id());
    let grown = || fs::metadata(&output.0).unwrap().len() > 450;
    wait_until("lines are written again", || grown().then_some(()));
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(1);
    let text = output.text();
    assert!(text.contains("--- verdict ---\n") && text.contains("\nNext: "), "{text}");
    let (lines, _) = text.split_once("--- 127.0.0.1:").unwrap();
    assert_eq!(stats(lines).len(), lines.lines().count(), "a torn line in {text}");
    let error = "tcpgoon: cannot write to standard output: File too large (os error 27): lines ";
    let which = run.stderr.strip_prefix(error).unwrap_or_else(|| panic!("{run:#?}"));
    assert!(which.ends_with(" are missing, the report is complete\n"), "{run:#?}");
}

#[test]
fn a_report_above_the_file_size_limit_is_an_error_and_no_signal() {
    let server = Served::start(&["-i", "0"]);
    let output = Scratch::new("large");
    let mut command = tcpgoon(&["-y", "-c", "3", "-s", "0", &server.target()]);
    with_file_size_limit(&mut command, 200);
    command.stdout(File::create(&output.0).unwrap()).stderr(Stdio::piped());
    let run = Running::start_as_it_is(command).outcome();
    run.assert_code(1);
    let error = "tcpgoon: cannot write to standard output: File too large (os error 27)\n";
    assert_eq!(run.stderr, error);
}

#[test]
fn the_limit_on_cpu_time_ends_the_run_with_its_report() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "3", "-s", "0", "-i", "10ms", "--hold", "forever", &server.target()];
    let run = Running::start(tcpgoon(&args));
    run.wait_for_stats("all are established", |stats| stats.established == 3);
    run.signal(Signal::SIGXCPU);
    run.signal(Signal::SIGXCPU);
    let run = run.outcome();
    run.assert_code(0);
    run.find("End: * (after @, ended by the limit on CPU time (ulimit -t))");
}

#[test]
fn too_many_addresses_times_ports_are_one_line_and_no_memory() {
    let hosts = Scratch::new("hosts");
    let lines = (0..300).map(|n| format!("10.0.{}.{} many\n", n / 250, n % 250 + 1));
    fs::write(&hosts.0, lines.collect::<String>()).unwrap();
    let bind =
        format!("mount --bind {} /etc/hosts; ulimit -v 300000; exec \"$@\"", hosts.0.display());
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", &bind, "sh"]).args(words).stdin(Stdio::null());
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return skip("/etc/hosts is another one in a mount namespace");
    }
    let args = [TCPGOON, "--dry-run", "--all-addresses", "many:1-65535"];
    let run = Running::start(unshare(&args)).outcome();
    run.assert_code(1);
    let error = "tcpgoon: the 300 addresses of many make more than 65536 targets: ";
    assert!(run.stderr.starts_with(error) && run.stderr.lines().count() == 1, "{run:#?}");
}

#[test]
fn a_limit_too_small_to_start_is_one_line_with_its_fix() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run = ["-y", "-c", "2", "-s", "0", &target];
    let (calibrate, serve) = (["calibrate", "-c", "10"], ["serve", "-p", "0", "--duration", "1ms"]);
    for args in [&run[..], &calibrate, &serve] {
        let short = Running::start(tcpgoon_after("ulimit -d 1024", args)).outcome();
        short.assert_code(1);
        let line =
            short.stderr.strip_prefix("tcpgoon: not enough memory: ulimit -d is 1024 KiB, and ");
        let line = line.unwrap_or_else(|| panic!("{args:?} {short:#?}"));
        let fix = line.trim_end().rsplit(": ").next().unwrap();
        assert!(fix.starts_with("ulimit -d ") && line.lines().count() == 1, "{short:#?}");
        // The advised limit suffices.
        Running::start(tcpgoon_after(fix, args)).outcome().assert_code(0);

        let short = Running::start(tcpgoon_after("ulimit -n 5", args)).outcome();
        short.assert_code(1);
        let line = short.stderr.lines().last().unwrap();
        assert!(line.contains(": ulimit -n is too low, a run needs 16 "), "{short:#?}");
    }
}

/// As with `ulimit -n 3`, under which no dynamically linked program starts: the copy of a standard
/// stream has to be above the limit.
#[test]
fn a_descriptor_limit_of_three_is_one_line_with_its_fix() {
    let args = ["-y", "-c", "2", "-s", "0", "127.0.0.1:9"];
    let Some(run) = with_failing("fcntl", "EINVAL", 5, &args) else { return };
    run.assert_code(1);
    let error = "tcpgoon: cannot open the standard streams: Too many open files (os error 24): \
                 ulimit -n is too low, a run needs 16 file descriptors and one for each \
                 connection; fix: ulimit -n 1024\n";
    assert_eq!(run.stderr, error);
}

#[test]
fn calibrate_without_proc_names_what_is_missing() {
    let hidden = "mount -t tmpfs none /proc; exec \"$@\"";
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", hidden, "sh"]).args(words).stdin(Stdio::null());
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return skip("/proc is hidden in a mount namespace");
    }
    let run = Running::start(unshare(&[TCPGOON, "calibrate"])).outcome();
    run.assert_code(1);
    let error = "tcpgoon: cannot start 'tcpgoon serve' to dial: /proc/self/exe: No such file or \
                 directory (os error 2) (is /proc mounted?)\n";
    assert_eq!(run.stderr, error);
}

#[test]
fn debug_lines_of_a_flood_are_bounded() {
    let server = Served::start(&["-i", "0", "--flood"]);
    let args = ["-y", "-c", "3", "-s", "0", "--debug", "--hold", "0.3", &server.target()];
    let run = Running::start(tcpgoon(&args)).outcome();
    run.assert_code(0);
    assert!(run.stderr.len() < 3 * 4096 + 3000, "{} bytes", run.stderr.len());
    assert_eq!(run.stderr.matches(" more bytes, which are not shown\n").count(), 3);
}

/// A number in /proc.
fn count() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 63, 64, 1 << 20, 1 << 47, u64::MAX / 2, u64::MAX - 1, u64::MAX])
}

fn host() -> impl Strategy<Value = Host> {
    let gauge = || (count(), count()).prop_map(|(most, used)| Gauge { most, used });
    let limits = (count(), count(), 0..1u64 << 32, any::<bool>());
    let counts = (gauge(), gauge(), gauge(), gauge(), gauge());
    (limits, counts, (count(), count(), count()), any::<bool>()).prop_map(
        |(
            (soft, hard, open, may_raise),
            (files, conntrack, bytes, address_space, entries),
            n,
            is_v6,
        )| {
            let (nr_open, watches, time_wait) = n;
            Host {
                descriptors: Some(Descriptors { soft, hard, open, may_raise }),
                nr_open: Some(nr_open),
                files: Some(files),
                watches_max: Some(watches),
                ports: Some(PortRange { low: 1, high: u16::MAX }),
                ports_reserved: vec![PortRange { low: 2, high: u16::MAX }],
                time_wait: Some(time_wait),
                time_wait_reuse: Some(0),
                conntrack: Some(conntrack),
                memory_available_bytes: Some(bytes.most),
                cgroups: vec![CgroupMemory { file: "x".into(), bytes }],
                address_space: Some(address_space),
                table_bytes_each: 37,
                neighbours: vec![Neighbours { is_v6, entries, hops: time_wait, targets: 1 }],
                ..Host::default()
            }
        },
    )
}

proptest! {
    /// As LXCFS can report them.
    #[test]
    fn counts_near_the_maximum_do_not_overflow(host in host()) {
        let target = Target { host: "x".into(), address: "10.0.0.1:80".parse().unwrap() };
        for connections in [1, CONNECTIONS_MAX] {
            let plan = Plan::plain(connections, Routes::to_one(target.clone()));
            let findings = judge(&plan, &host);
            let mut text = String::new();
            write_dry_run(&mut text, &plan, &host, &findings).unwrap();
        }
    }
}

#[test]
fn a_counter_that_no_kernel_has_is_unknown() {
    let at = |count| Counters { timeouts: Some(count), ..Counters::default() };
    assert_eq!(at(u64::MAX).since(&at(1)).timeouts, None);
    assert_eq!(at(u64::MAX).since(&at(u64::MAX - 7)).timeouts, Some(7));
}

/// Runs the program with a system call that fails from its nth call on; `None` where strace cannot do
/// that.
fn with_failing(call: &str, error: &str, from: u32, args: &[&str]) -> Option<Outcome> {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("system calls are made to fail by strace");
        return None;
    }
    let mut command = Command::new("strace");
    let inject = format!("inject={call}:error={error}:when={from}+");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, TCPGOON]);
    command.args(with_full_report(args));
    command.stdin(Stdio::null());
    Some(Running::start(command).outcome())
}

#[test]
fn a_keepalive_that_cannot_be_set_is_this_hosts() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "5", "-s", "0", "--probe", &server.target()];
    let Some(run) = with_failing("setsockopt", "ENOMEM", 1, &args) else { return };
    run.find(
        "Established means: 5 checked (0 by keepalive), 0 confirmed by the server, 0 half-open, 0 \
         unknown, 5 not checked (this host could not set a keepalive)",
    );
}

/// The system call that mio polls with on this architecture.
const POLL: &str = if cfg!(target_arch = "x86_64") { "epoll_wait" } else { "epoll_pwait" };

#[test]
fn a_failing_poll_loop_still_reports() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    for (call, error, from, words) in [
        (POLL, "EBADF", 40, "polling failed: Bad file descriptor (os error 9)"),
        ("timerfd_settime", "EINVAL", 9, "cannot set the timer: Invalid argument (os error 22)"),
    ] {
        let args = ["-y", "-c", "100k", "-s", "5", "-i", "10ms", &target];
        let Some(run) = with_failing(call, error, from, &args) else { return };
        run.assert_code(1)
            .find(&format!("End: * (after @, ended by an error of this host: {words})"));
        // After the findings.
        assert!(run.stderr.ends_with(&format!("tcpgoon: {words}\n")), "{run:#?}");
        let last = run.last();
        assert!(last.established > 0 && last.not_initiated > 0, "{run:#?}");
        assert!(run.stdout.contains("--- verdict ---\nSTOPPED: "), "{run:#?}");
        let verdict = run.stdout.replace('\n', " ");
        assert!(verdict.contains("An error of this host ended the run with "), "{run:#?}");
    }
}

#[test]
fn a_failing_poll_loop_of_serve_still_reports() {
    let args = ["serve", "-p", "0", "-i", "1ms"];
    let Some(run) = with_failing(POLL, "EBADF", 40, &args) else { return };
    run.assert_code(1);
    assert!(run.stdout.contains(" tcp serve statistics ---\nAccepted: 0, "), "{run:#?}");
    assert_eq!(run.stderr, "tcpgoon: polling failed: Bad file descriptor (os error 9)\n");
}

/// The program, started by a shell with redirections.
fn redirected(how: &str, args: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$@\" {how}"), "sh", TCPGOON]).args(args);
    command.stdin(Stdio::null());
    Running::start(command).outcome()
}

#[test]
fn an_unwritable_standard_output_is_an_error_without_a_dial() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    for how in [">&-", "1</dev/null"] {
        for args in [
            &["-y", "-c", "3", "-s", "0", &target][..],
            &["-c", "3", &target],
            &["--dry-run", &target],
            &["--help"],
            &["version"],
            &["explain"],
            &["calibrate", "-c", "10"],
            &["serve", "-p", "0", "--duration", "1ms"],
        ] {
            let run = redirected(how, args);
            run.assert_code(1);
            assert!(run.stderr.contains(" standard output"), "{how} {args:?} {run:#?}");
        }
    }
    let ended = server.end();
    assert!(ended.stdout.contains("Accepted: 0, "), "{ended:#?}");
}

#[test]
fn closed_streams_that_are_not_used_do_no_harm() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "3", "-s", "0", &server.target()];
    for how in ["<&-", "2>&-", "<&- 2>&-"] {
        let run = redirected(how, &args);
        run.assert_code(0);
        assert_eq!(run.last().established, 3, "{how} {run:#?}");
    }
    // No standard input to answer on.
    let unanswered = redirected("<&-", &args[1..]);
    unanswered.assert_code(1);
    assert!(unanswered.stdout.ends_with("\nResponse not processed\n"), "{unanswered:#?}");
    redirected("<&- >&- 2>&-", &args).assert_code(1);
}

#[test]
fn a_host_without_dev_null_runs() {
    let hidden = "mount -t tmpfs none /dev; exec \"$@\" <&- 2>&-";
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", hidden, "sh"]).args(words).stdin(Stdio::null());
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return skip("/dev is hidden in a mount namespace");
    }
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run = Running::start(unshare(&[TCPGOON, "-y", "-c", "3", "-s", "0", &target])).outcome();
    run.assert_code(0);
    assert_eq!(run.last().established, 3, "{run:#?}");
}

#[test]
fn a_non_blocking_standard_input_is_waited_for() {
    let server = Served::start(&["-i", "0"]);
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut command = tcpgoon(&["-c", "3", "-s", "0", &server.target()]);
    command.stdin(reader);
    let run = Running::start(command);
    run.stdout.wait_for_words("(y/N): ");
    // It sleeps, and has not ended.
    wait_until("it waits for the answer", || {
        let at = fs::read_to_string(format!("/proc/{}/wchan", run.id())).ok()?;
        (at.contains("poll") || at.contains("pipe_read")).then_some(())
    });
    writer.write_all(b"y\n").unwrap();
    let run = run.outcome();
    run.assert_code(0);
    assert_eq!(run.last().established, 3, "{run:#?}");
}

#[test]
fn ten_wrong_answers_end_the_question() {
    let mut yes = Command::new("yes").arg("maybe").stdout(Stdio::piped()).spawn().unwrap();
    let mut command = privileged_tcpgoon_after(":", &["127.0.0.1:9"]);
    command.stdin(yes.stdout.take().unwrap());
    let run = Running::start(command).outcome();
    yes.wait().unwrap();
    run.assert_code(1);
    assert_eq!(run.stdout.matches("(y/N): ").count(), 10, "{run:#?}");
    assert!(run.stdout.ends_with("\nResponse not processed\n"), "{run:#?}");
}
