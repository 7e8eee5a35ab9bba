//! Local limits below the plan are printed before a run: in the banner, with `-y` on standard error,
//! with `--dry-run` on standard output. The run goes on, and reaches what was predicted.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::Namespace;
use crate::common::cgroup::Cgroup;
use crate::common::output::matches;
use crate::common::{
    CAP_SYS_RESOURCE, Outcome, Running, Served, listener, privileged_tcpgoon_after, skip, tcpgoon,
    tcpgoon_after,
};

const CLEAN: &str = "No known local limit is below this plan.";
const QUESTION: &str = "Do you want to continue? (y/N): ";

fn outcome(command: Command) -> Outcome {
    Running::start(command).outcome()
}

/// The wildcards of the one line `tcpgoon: {shape}` on standard error.
#[track_caller]
fn finding(run: &Outcome, shape: &str) -> Vec<String> {
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    let line = run.stderr.strip_prefix("tcpgoon: ").unwrap_or_default().trim_end();
    matches(line, shape).unwrap_or_else(|| panic!("not '{shape}': {run:#?}"))
}

const HARD_LIMIT: &str = "open files of a process: enough for # of 1000 connections, ulimit -Hn is \
                          64; fix: prlimit --pid $$ --nofile=# *";

#[test]
fn a_dry_run_prints_its_plan_without_a_question_and_dials_nothing() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    for yes in [&[][..], &["-y"]] {
        let args = [yes, &["--dry-run", "-c", "5", "-s", "20", "--hold", "forever", &target]];
        let run = crate::common::run(&args.concat());
        run.assert_code(0);
        let shapes = [
            "--- tcpgoon * plan, nothing is dialed ---",
            &format!("Targets: {target}"),
            "Sources: chosen by the kernel",
            "Connections: 5",
            "Pace: one dial every 20ms, the last one after 80ms",
            "Dial timeout: 5s",
            "Hold: until a signal",
            "Interval: 1s",
            "Ports: # to #, # usable for each pair of source and target; pairs: 1",
            "Memory: 1 MiB on this host, *",
            CLEAN,
        ];
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(lines.len(), shapes.len(), "{run:#?}");
        for (line, shape) in lines.into_iter().zip(shapes) {
            assert!(matches(line, shape).is_some(), "'{line}' is not of the shape '{shape}'");
        }
        assert_eq!(run.stderr, "");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was dialed");
}

#[test]
fn a_dry_run_with_a_finding_fails_and_prints_it_on_standard_output() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let run = outcome(tcpgoon_after("ulimit -n 64", &["--dry-run", "-c", "1000", &target]));
    run.assert_code(1);
    assert!(run.stdout.contains("below 1000 connections:\n- open files of a process: "));
    run.find(&format!("- {HARD_LIMIT}"));
    assert!(!run.stdout.contains(CLEAN) && !run.stdout.contains(QUESTION), "{run:#?}");
    assert_eq!(run.stderr, "");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was dialed");
}

#[test]
fn a_dry_run_into_a_closed_pipe_exits_by_its_findings() {
    for (first, code) in [("ulimit -n 64", 1), ("true", 0)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = tcpgoon_after(first, &["--dry-run", "-c", "1000", "127.0.0.1:9"]);
        command.stdout(writer).stderr(Stdio::piped());
        let run = Running::start_as_it_is(command).outcome();
        run.assert_code(code);
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn with_yes_findings_are_on_standard_error_and_the_run_goes_on() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "1000", "-s", "0", "-i", "0", &server.target()];
    let run = outcome(tcpgoon_after("ulimit -n 64", &args));
    run.assert_code(2);
    let predicted = &finding(&run, HARD_LIMIT)[0];
    let (predicted, reached): (u64, u64) = (predicted.parse().unwrap(), run.last().established);
    // Two streams, two descriptors.
    assert_eq!(predicted, reached, "{run:#?}");
    // Standard output is as without findings.
    assert!(run.stdout.starts_with("Total: 1000, "), "{run:#?}");
}

#[test]
fn without_findings_nothing_is_printed() {
    let server = Served::start(&["-i", "0"]);
    let run = crate::common::run(&["-y", "-c", "50", "-s", "0", &server.target()]);
    run.assert_code(0);
    assert_eq!(run.stderr, "");
    assert!(!run.stdout.contains("in the way"), "{run:#?}");
}

#[test]
fn without_yes_findings_are_between_the_warning_and_the_question() {
    let server = Served::start(&["-i", "0"]);
    let mut command = tcpgoon_after("ulimit -n 64", &["-c", "1000", "-s", "0", &server.target()]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    running.stdout.wait_for_words(QUESTION);
    running.stdin().write_all(b"y\n").unwrap();
    let run = running.outcome();
    run.assert_code(2);
    assert_eq!(run.stderr, "");
    let (before, after) = run.stdout.split_once(QUESTION).unwrap();
    let port = server.address.port();
    let warning = format!(
        "****************************** WARNING ******************************
* You are going to run a TCP stress check with these arguments:
*\t- Host: 127.0.0.1
*\t- TCP Port: {port}
*\t- # of concurrent connections: 1000
*********************************************************************
This dials 1000 connections to 127.0.0.1:{port}, as fast as possible, and up to
5s more for a dial without a reply. Then they are closed.
Local limits below 1000 connections:
"
    );
    let finding = before.strip_prefix(&warning).unwrap_or_else(|| panic!("{run:#?}"));
    assert!(matches(finding.trim_end(), &format!("- {HARD_LIMIT}")).is_some(), "{run:#?}");
    assert!(after.starts_with("Total: 1000, "), "{run:#?}");
}

// The limit on open files.

/// Soft and hard limit on open files of a process.
fn open_files(process: u32) -> Vec<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().take(2).map(|word| word.parse().unwrap()).collect()
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one_always() {
    let first = "ulimit -Sn 64; ulimit -Hn 256";
    let server = Served::start_with(&["-i", "0"], |args| tcpgoon_after(first, args));
    assert_eq!(open_files(server.running.id()), [256, 256]);
    let args = ["-y", "-c", "1", "--hold", "forever", &server.target()];
    let run = Running::start(tcpgoon_after(first, &args));
    run.wait_for_stats("it is established", |stats| stats.established == 1);
    assert_eq!(open_files(run.id()), [256, 256]);
}

#[test]
fn the_hard_limit_is_raised_where_the_process_may() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).unwrap();
    let may = capabilities >> CAP_SYS_RESOURCE & 1 == 1;
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "200", "-s", "0", &server.target()];
    let run = outcome(privileged_tcpgoon_after("ulimit -n 64", &args));
    if may {
        run.assert_code(0);
        assert_eq!(run.stderr, "");
    } else {
        // No error if it may not.
        run.assert_code(2);
        finding(
            &run,
            "open files of a process: enough for # of 200 connections, ulimit -Hn is 64; *",
        );
    }
}

// Ports and connection tracking, in namespaces.

#[test]
fn too_few_ports_are_a_finding() {
    // The second server's port is in the ephemeral range.
    for (port, usable) in [(80, 18), (40_005, 17)] {
        let Some(namespace) = Namespace::make() else { return };
        namespace.set("net/ipv4/ip_local_port_range", "40000 40019");
        namespace.set("net/ipv4/ip_local_reserved_ports", "40010-40011");
        let serve = format!("serve -i 0 -p {port}");
        let _server = Served::start_with(&[], |_| namespace.tcpgoon(&serve));
        let run = outcome(namespace.tcpgoon(&format!("-y -c 30 -s 0 -i 0 127.0.0.1:{port}")));
        run.assert_code(2);
        let shape = "ephemeral ports: enough for # of 30 connections, \
                     net.ipv4.ip_local_port_range is 40000 40019 (# usable for one source and \
                     target); fix: sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", \
                     or more addresses with --source or more targets (2 pairs of source and \
                     target instead of 1)";
        assert_eq!(finding(&run, shape), [usable.to_string(), usable.to_string()]);
        assert_eq!(run.last().established, usable, "{run:#?}");
        // Two targets have twice the ports; the same one twice does not.
        let dry_run = |targets: [u16; 2]| {
            let [one, two] = targets.map(|host| format!("127.0.0.{host}:{port}"));
            outcome(namespace.tcpgoon(&format!("--dry-run -c 30 {one} {two}")))
        };
        dry_run([1, 2]).assert_code(0);
        dry_run([1, 1]).assert_code(1);
    }
}

#[test]
fn ports_in_time_wait_count_where_they_are_not_reused() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv4/ip_local_port_range", "40000 40009");
    namespace.set("net/ipv4/tcp_tw_reuse", "0");
    let _server = Served::start_with(&[], |_| namespace.tcpgoon("serve -i 0 -p 80"));
    // The side that closes first has the TIME_WAIT.
    outcome(namespace.tcpgoon("-y -c 4 -s 0 -i 0 127.0.0.1:80")).assert_code(0);

    let words = "--dry-run -c 10 127.0.0.1:80";
    let run = outcome(namespace.tcpgoon(words));
    run.assert_code(1);
    let shape = "- ephemeral ports: enough for # to 10 of 10 connections, net.ipv4.ip_local_port_range \
                 is 40000 40009 (10 usable for one source and target, less up to # in \
                 TIME_WAIT); fix: wait a minute, or use --close rst, or sysctl -w net.ipv4.tcp_tw_reuse=1, or *";
    let found = run.find(shape);
    let [room, waiting]: [u64; 2] = [0, 1].map(|index: usize| found[index].parse().unwrap());
    assert!(waiting > 0 && room + waiting == 10, "{run:#?}");
    for reuse in ["1", "2"] {
        namespace.set("net/ipv4/tcp_tw_reuse", reuse);
        outcome(namespace.tcpgoon(words)).assert_code(0);
    }
}

#[test]
fn a_small_conntrack_table_is_a_finding() {
    let Some(namespace) = Namespace::make() else { return };
    // A rule on `ct state` turns tracking on.
    namespace.firewall("input", "ct state new accept");
    let read = namespace.command("cat", "/proc/sys/net/netfilter/nf_conntrack_max").output();
    let most = String::from_utf8(read.unwrap().stdout).unwrap();
    let Ok(most @ 1..10_000_000) = most.trim().parse::<u64>() else {
        return skip("this kernel tracks no connections, or any number of them");
    };
    let run = outcome(namespace.tcpgoon(&format!("--dry-run -c {} 127.0.0.1:80", most + 1)));
    run.assert_code(1);
    let shape = format!(
        "- connection tracking: enough for {most} of {0} connections, \
         net.netfilter.nf_conntrack_max is {most} (0 in use); fix: sysctl -w \
         net.netfilter.nf_conntrack_max={0}",
        most + 1
    );
    run.find(&shape);
}

#[test]
fn a_target_on_this_host_costs_the_memory_of_both_ends() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.run("ip address add 10.9.0.1/32 dev lo");
    let memory = |target: &str| {
        let run = outcome(namespace.tcpgoon(&format!("--dry-run -c 20k {target}:80")));
        run.find("Memory: # MiB on this host, *")[0].parse::<u64>().unwrap()
    };
    assert_eq!((memory("10.9.0.1"), memory("127.0.0.1")), (158, 158));
    assert_eq!(memory("10.9.0.2"), 79);
}

// Memory.

fn assert_one_line_about_memory(run: &Outcome, connections: &str) {
    run.assert_code(1);
    assert_eq!(run.stdout, "");
    let shape = "a table for # connections (# MiB) does not fit in memory: *";
    assert_eq!(finding(run, shape)[0], connections);
}

#[test]
fn a_table_that_does_not_fit_into_the_address_space_is_one_line() {
    // The table takes 353 MiB, 382 with expected replies; the last limit is just below.
    for (asks, just_too_small) in [(&[][..], 362_000), (&["--expect", "x"], 391_000)] {
        let args = [&["-c", "10m", "127.0.0.1:9"], asks].concat();
        for said in [&["-y"][..], &[]] {
            for limit_kib in [60_000, 300_000, just_too_small] {
                let args = [said, &args].concat();
                let run = outcome(tcpgoon_after(&format!("ulimit -v {limit_kib}"), &args));
                assert_one_line_about_memory(&run, "10000000");
            }
        }
        // The advised size suffices.
        let args = [&["--dry-run"], &args[..]].concat();
        let run = outcome(tcpgoon_after("ulimit -v 300000", &args));
        let shape = "- address space of a process: enough for # of 10000000 connections, ulimit -v \
                     is 300000 (# in use); fix: ulimit -v #";
        let needed = &run.find(shape)[2];
        let listener = listener("127.0.0.1");
        let target = listener.local_addr().unwrap().to_string();
        let args = [&["-c", "10m", &target], asks].concat();
        let mut command = tcpgoon_after(&format!("ulimit -v {needed}"), &args);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        running.stdout.wait_for_words(QUESTION);
        running.stdin().write_all(b"n\n").unwrap();
        running.outcome().assert_code(1);
    }
}

/// With any limit the program ends by itself.
#[test]
fn no_address_space_is_so_small_that_the_program_is_killed() {
    for connections in ["10", "10000"] {
        for limit_kib in (4_000..9_000).step_by(100) {
            let limit = format!("ulimit -v {limit_kib}");
            let args = ["-y", "-s", "0", "-i", "0", "-c", connections, "127.0.0.1:9"];
            let run = outcome(tcpgoon_after(&limit, &args));
            // 127: the loader could not map the C library. In some KiB above that it is killed before
            // `main`.
            let is_reported = matches!(run.code(), Some(1 | 2 | 127));
            let begins = || outcome(tcpgoon_after(&limit, &["--version"])).code() == Some(0);
            assert!(is_reported || !begins(), "{limit_kib} KiB: {run:#?}");
        }
    }
}

#[test]
fn a_table_that_does_not_fit_into_a_cgroup_above_is_one_line() {
    let Some(cgroup) = Cgroup::make(16 << 20) else { return };
    let run = outcome(cgroup.tcpgoon(&["-y", "-c", "64m", "127.0.0.1:9"]));
    assert_one_line_about_memory(&run, "64000000");

    let run = outcome(cgroup.tcpgoon(&["--dry-run", "-c", "10k", "127.0.0.1:9"]));
    run.assert_code(1);
    let file = format!("{}/memory.limit_in_bytes", cgroup.0);
    let shape = format!(
        "- memory of the cgroup: enough for # of 10000 connections, {file} is 16777216 (# in use); \
         fix: echo # > {file}, or fewer --connections"
    );
    let found = run.find(&shape);
    let room: u64 = found[0].parse().unwrap();
    assert!((1000..3000).contains(&room), "{run:#?}");
    // The advised size suffices.
    fs::write(&file, &found[2]).unwrap();
    outcome(cgroup.tcpgoon(&["--dry-run", "-c", "9900", "127.0.0.1:9"])).assert_code(0);
}

#[test]
fn findings_are_the_same_with_yes_and_with_dry_run() {
    let first = "ulimit -n 64";
    let dry = outcome(tcpgoon_after(first, &["--dry-run", "-c", "1k", "127.0.0.1:9"]));
    let wet = outcome(tcpgoon_after(first, &["-y", "-c", "1k", "-s", "0", "127.0.0.1:9"]));
    let line = dry.stdout.lines().find_map(|line| line.strip_prefix("- ")).unwrap();
    assert_eq!(wet.stderr, format!("tcpgoon: {line}\n"));
    // A switch takes a value.
    let run = crate::common::run(&["--dry-run=false", "-y", "-c", "1", "127.0.0.1:9"]);
    assert_eq!(run.last().error, 1);
    let mut command = tcpgoon(&["--dry-run", "127.0.0.1:9"]);
    command.stdin(Stdio::piped());
    Running::start(command).outcome().assert_code(0);
}
