//! Each finding as a line, and the plan.

use super::*;
use crate::limits::CgroupMemory;
use crate::plan::Pace;
use crate::route::{Routes, Target};

fn plan(connections: u32, targets: u16) -> Plan {
    let target = |n| Target { host: "10.0.0.1".into(), address: ([10, 0, 0, 1], 80 + n).into() };
    let routes = Routes::new((0..targets).map(target).collect(), &[]).unwrap();
    Plan {
        pace: Pace::sleep(Span::from_ms(10)),
        dial_timeout: Some(Span::from_s(5)),
        interval: Some(Span::from_s(1)),
        ..Plan::plain(connections, routes)
    }
}

#[test]
fn each_finding_is_a_line_with_its_knob_and_its_fix() {
    let gauge = |most, used| Gauge { most, used };
    let memory =
        CgroupMemory { file: "/sys/fs/cgroup/a b/memory.max".into(), bytes: gauge(7 << 20, 5) };
    for (knob, line) in [
        (
            Knob::SoftDescriptors { soft: 64, needed: 1016 },
            "open files of a process: enough for 9 of 1000 connections, ulimit -Sn is 64; fix: ulimit -n 1016",
        ),
        (
            Knob::HardDescriptors { hard: 64, needed: 1016, nr_open_needed: Some(1024) },
            "open files of a process: enough for 9 of 1000 connections, ulimit -Hn is 64; fix: sysctl -w fs.nr_open=1024 && prlimit --pid $$ --nofile=1016 (as root)",
        ),
        (
            Knob::HardDescriptors { hard: 64, needed: 1016, nr_open_needed: None },
            "open files of a process: enough for 9 of 1000 connections, ulimit -Hn is 64; fix: prlimit --pid $$ --nofile=1016 (as root; for good: nofile in \
             /etc/security/limits.conf, or LimitNOFILE=1016 in a systemd unit)",
        ),
        (
            Knob::NrOpen { most: 500, needed: 1016 },
            "open files of a process: enough for 9 of 1000 connections, fs.nr_open is 500; fix: sysctl -w fs.nr_open=1016",
        ),
        (
            Knob::FileMax { files: gauge(500, 20), needed: 1025 },
            "open files of this host: enough for 9 of 1000 connections, fs.file-max is 500 \
             (20 in use); fix: sysctl -w fs.file-max=1025",
        ),
        (
            Knob::Watches { most: 500, needed: 1004 },
            "epoll watches of a user: enough for 9 of 1000 connections, \
             fs.epoll.max_user_watches is 500; fix: sysctl -w \
             fs.epoll.max_user_watches=1004",
        ),
        (
            Knob::Conntrack { entries: gauge(500, 20), needed: 1020 },
            "connection tracking: enough for 9 of 1000 connections, \
             net.netfilter.nf_conntrack_max is 500 (20 in use); fix: sysctl -w \
             net.netfilter.nf_conntrack_max=1020",
        ),
        (
            Knob::Neighbours { is_v6: false, entries: gauge(1024, 24), needed: 1124 },
            "neighbour table (ARP): enough for 9 of 1000 connections, \
             net.ipv4.neigh.default.gc_thresh3 is 1024 (24 in use); fix: sysctl -w \
             net.ipv4.neigh.default.gc_thresh3=1124 (in the initial network namespace)",
        ),
        (
            Knob::Neighbours { is_v6: true, entries: gauge(8, 7), needed: 10 },
            "neighbour table (NDP): enough for 9 of 1000 connections, \
             net.ipv6.neigh.default.gc_thresh3 is 8 (7 in use); fix: sysctl -w \
             net.ipv6.neigh.default.gc_thresh3=10 (in the initial network namespace)",
        ),
        (
            Knob::Memory { available_bytes: 3 << 20, needed_bytes: (7 << 20) + 1 },
            "memory: enough for 9 of 1000 connections, MemAvailable is 3 MiB and 8 MiB are \
             needed; fix: fewer --connections, or more memory",
        ),
        (
            Knob::Cgroup { memory, needed_bytes: 9_000_000 },
            "memory of the cgroup: enough for 9 of 1000 connections, '/sys/fs/cgroup/a \
             b/memory.max' is 7340032 (5 in use); fix: echo 9000000 > \
             '/sys/fs/cgroup/a b/memory.max', or fewer --connections",
        ),
        (
            Knob::AddressSpace { bytes: gauge(4096, 2048), needed_bytes: 8193 },
            "address space of a process: enough for 9 of 1000 connections, ulimit -v is 4 (2 \
             in use); fix: ulimit -v 9",
        ),
    ] {
        let (plan, finding) = (plan(1000, 1), Finding { connections: 9, knob });
        assert_eq!(Line { plan: &plan, finding: &finding }.to_string(), line);
    }
}

#[test]
fn ports_have_every_fix_that_is_enough() {
    let few = PortsKnob {
        range: PortRange { low: 40_000, high: 40_009 },
        usable: 9,
        pairs: 1,
        pairs_needed: Some(112),
        time_wait: 0,
        time_wait_decides: false,
        reuse_helps: true,
        most: 9,
        widest_is_enough: true,
    };
    let value = "net.ipv4.ip_local_port_range is 40000 40009 (9 usable for ";
    let one = "one source and target";
    let more =
        "more addresses with --source or more targets (112 pairs of source and target instead of";
    let widest = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
    let reuse = "wait a minute, or use --close rst, or sysctl -w net.ipv4.tcp_tw_reuse=1";
    for (knob, text) in [
        (few, format!("{value}{one}); fix: {widest}, or {more} 1)")),
        (
            PortsKnob { pairs: 3, time_wait: 8, widest_is_enough: false, ..few },
            format!(
                "{value}each of 3 pairs of source and target, less up to 8 in TIME_WAIT); fix: {more} 3)"
            ),
        ),
        (
            PortsKnob { time_wait: 8, time_wait_decides: true, ..few },
            format!(
                "{value}{one}, less up to 8 in TIME_WAIT); fix: {reuse}, or {widest}, or \
                 {more} 1)"
            ),
        ),
        (PortsKnob { pairs_needed: None, ..few }, format!("{value}{one}); fix: {widest}")),
        (
            PortsKnob { pairs_needed: None, widest_is_enough: false, ..few },
            format!(
                "{value}{one}); fix: remove ports from \
                     net.ipv4.ip_local_reserved_ports"
            ),
        ),
    ] {
        let finding = Finding { connections: 9, knob: Knob::Ports(knob) };
        let line = Line { plan: &plan(1000, 1), finding: &finding }.to_string();
        assert_eq!(line, format!("ephemeral ports: enough for 9 of 1000 connections, {text}"));
    }
}

#[test]
fn a_dry_run_prints_what_the_ports_sustain() {
    let churn = |targets| Plan { lifetime: Some(Span::ZERO), ..plan(10, targets) };
    let ports = Some(PortRange { low: 10_000, high: 15_999 });
    for (reuse, targets, line) in [
        (
            0,
            1,
            "100 connections a second closed by FIN (6000 ports for one source and target, each \
                for 60 s in TIME_WAIT); net.ipv4.tcp_tw_reuse is 0",
        ),
        (
            1,
            2,
            "12000 connections a second closed by FIN (6000 ports for each of 2 pairs of source \
                and target, each for 1 s in TIME_WAIT); net.ipv4.tcp_tw_reuse is 1",
        ),
        (
            2,
            1,
            "100 connections a second closed by FIN (6000 ports for one source and target, each \
                for 60 s in TIME_WAIT); net.ipv4.tcp_tw_reuse is 2: on the loopback only",
        ),
    ] {
        let host = Host { ports, time_wait_reuse: Some(reuse), ..Host::default() };
        let mut text = String::new();
        write_dry_run(&mut text, &churn(targets), &host, &[]).unwrap();
        assert!(text.lines().any(|shown| shown == format!("Ports sustain: {line}")), "{text}");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_the_findings() {
    let host = Host {
        ports: Some(PortRange { low: 40_000, high: 40_009 }),
        table_bytes_each: 37,
        ..Host::default()
    };
    let mut text = String::new();
    write_dry_run(&mut text, &plan(1000, 9), &host, &[]).unwrap();
    let plan_lines = "\
Targets: 10.0.0.1:80, 10.0.0.1:81, 10.0.0.1:82, 10.0.0.1:83, 10.0.0.1:84, 10.0.0.1:85, 10.0.0.1:86, 10.0.0.1:87, … (9 in all)
Sources: chosen by the kernel
Connections: 1000
Pace: one dial every 10ms, the last one after 9.99s
Dial timeout: 5s
Hold: 0s after the last dial has opened or failed
Interval: 1s
Ports: 40000 to 40009, 10 usable for each pair of source and target; pairs: 9
Memory: 4 MiB on this host, nearly all in the kernel
";
    let header = format!("--- {NAME_AND_VERSION} plan, nothing is dialed ---\n");
    let none = "No known local limit is below this plan.\n";
    assert_eq!(text, format!("{header}{plan_lines}{none}"));

    let plan = Plan {
        pace: Pace::UNPACED,
        dial_timeout: None,
        interval: None,
        hold: Hold::Forever,
        ..plan(100, 1)
    };
    let findings = limits::judge(&plan, &host);
    text.clear();
    write_dry_run(&mut text, &plan, &host, &findings).unwrap();
    let mut expected = String::new();
    write_findings(&mut expected, &plan, &findings).unwrap();
    let plan_lines = "\
Targets: 10.0.0.1:80
Sources: chosen by the kernel
Connections: 100
Pace: unpaced
Dial timeout: none
Hold: until a signal
Interval: none
Ports: 40000 to 40009, 10 usable for each pair of source and target; pairs: 1
Memory: 1 MiB on this host, nearly all in the kernel
";
    assert_eq!(text, format!("{header}{plan_lines}{expected}"));
    let first = "Local limits below 100 connections:\n- ephemeral ports: ";
    assert!(expected.starts_with(first), "{expected}");
    assert_eq!(expected.lines().count(), 2);
    expected.clear();
    write_findings(&mut expected, &plan, &[]).unwrap();
    assert_eq!(expected, "");
}
