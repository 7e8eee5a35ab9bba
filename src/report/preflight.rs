//! The plan of a run and the local limits below it, as printed before the run.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::escape::ShellQuoted;
use crate::NAME_AND_VERSION;
use crate::limits::{self, Finding, Gauge, Host, Knob, PORTS_WIDEST, PortRange, PortsKnob};
use crate::plan::{Hold, Plan};
use crate::units::Span;

/// The most targets that are listed; of more the total follows.
const LISTED_MAX: usize = 8;

/// A finding on one line: the limit, the connections that it allows, its knob and value, and the fix.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub plan: &'a Plan,
    pub finding: &'a Finding,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowed, planned) = (self.finding.connections, self.plan.connections);
        let knob = &self.finding.knob;
        write!(f, "{}: enough for {allowed} ", what(knob))?;
        // Ports in TIME_WAIT may belong to other addresses.
        if let Knob::Ports(PortsKnob { most, .. }) = knob
            && *most > allowed
        {
            write!(f, "to {most} ")?;
        }
        write!(f, "of {planned} connections, ")?;
        write_value(f, knob)?;
        write!(f, "; fix: ")?;
        write_fix(f, knob)
    }
}

pub(super) fn what(knob: &Knob) -> &'static str {
    match knob {
        Knob::SoftDescriptors { .. } | Knob::HardDescriptors { .. } | Knob::NrOpen { .. } => {
            "open files of a process"
        }
        Knob::FileMax { .. } => "open files of this host",
        Knob::Watches { .. } => "epoll watches of a user",
        Knob::Ports(_) => "ephemeral ports",
        Knob::Conntrack { .. } => "connection tracking",
        Knob::Neighbours { is_v6: false, .. } => "neighbour table (ARP)",
        Knob::Neighbours { is_v6: true, .. } => "neighbour table (NDP)",
        Knob::Memory { .. } => "memory",
        Knob::Cgroup { .. } => "memory of the cgroup",
        Knob::AddressSpace { .. } => "address space of a process",
    }
}

pub(super) fn write_value(f: &mut dyn Write, knob: &Knob) -> fmt::Result {
    let used = |gauge: &Gauge| format!("{} ({} in use)", gauge.most, gauge.used);
    match knob {
        Knob::SoftDescriptors { soft, .. } => write!(f, "ulimit -Sn is {soft}"),
        Knob::HardDescriptors { hard, .. } => write!(f, "ulimit -Hn is {hard}"),
        Knob::NrOpen { most, .. } => write!(f, "fs.nr_open is {most}"),
        Knob::FileMax { files, .. } => write!(f, "fs.file-max is {}", used(files)),
        Knob::Watches { most, .. } => write!(f, "fs.epoll.max_user_watches is {most}"),
        Knob::Ports(ports) => write_ports(f, ports),
        Knob::Conntrack { entries, .. } => {
            write!(f, "net.netfilter.nf_conntrack_max is {}", used(entries))
        }
        Knob::Neighbours { is_v6, entries, .. } => {
            write!(f, "{} is {}", neighbours_sysctl(*is_v6), used(entries))
        }
        Knob::Memory { available_bytes, needed_bytes } => {
            let (available, needed) = (available_bytes >> 20, needed_bytes.div_ceil(1 << 20));
            write!(f, "MemAvailable is {available} MiB and {needed} MiB are needed")
        }
        Knob::Cgroup { memory, .. } => {
            write!(f, "{} is {}", ShellQuoted(&memory.file), used(&memory.bytes))
        }
        Knob::AddressSpace { bytes, .. } => {
            write!(f, "ulimit -v is {} ({} in use)", bytes.most >> 10, bytes.used >> 10)
        }
    }
}

fn neighbours_sysctl(is_v6: bool) -> &'static str {
    match is_v6 {
        false => "net.ipv4.neigh.default.gc_thresh3",
        true => "net.ipv6.neigh.default.gc_thresh3",
    }
}

fn write_ports(f: &mut dyn Write, ports: &PortsKnob) -> fmt::Result {
    let PortsKnob { range: PortRange { low, high }, usable, pairs, time_wait, .. } = ports;
    write!(f, "net.ipv4.ip_local_port_range is {low} {high} ({usable} usable for ")?;
    match pairs {
        1 => write!(f, "one source and target")?,
        pairs => write!(f, "each of {pairs} pairs of source and target")?,
    }
    if *time_wait > 0 {
        write!(f, ", less up to {time_wait} in TIME_WAIT")?;
    }
    f.write_str(")")
}

/// A command or a flag.
fn write_fix(f: &mut fmt::Formatter<'_>, knob: &Knob) -> fmt::Result {
    match knob {
        Knob::SoftDescriptors { needed, .. } => write!(f, "ulimit -n {needed}"),
        Knob::HardDescriptors { needed, nr_open_needed: Some(most), .. } => {
            write!(f, "sysctl -w fs.nr_open={most} && prlimit --pid $$ --nofile={needed} (as root)")
        }
        Knob::HardDescriptors { needed, .. } => write!(
            f,
            "prlimit --pid $$ --nofile={needed} (as root; for good: nofile in \
             /etc/security/limits.conf, or LimitNOFILE={needed} in a systemd unit)"
        ),
        Knob::NrOpen { needed, .. } => write!(f, "sysctl -w fs.nr_open={needed}"),
        Knob::FileMax { needed, .. } => write!(f, "sysctl -w fs.file-max={needed}"),
        Knob::Watches { needed, .. } => {
            write!(f, "sysctl -w fs.epoll.max_user_watches={needed}")
        }
        Knob::Ports(ports) => write_ports_fix(f, ports),
        Knob::Conntrack { needed, .. } => {
            write!(f, "sysctl -w net.netfilter.nf_conntrack_max={needed}")
        }
        Knob::Neighbours { is_v6, needed, .. } => write!(
            f,
            "sysctl -w {}={needed} (in the initial network namespace)",
            neighbours_sysctl(*is_v6)
        ),
        Knob::Memory { .. } => write!(f, "fewer --connections, or more memory"),
        Knob::Cgroup { memory, needed_bytes } => {
            let file = ShellQuoted(&memory.file);
            write!(f, "echo {needed_bytes} > {file}, or fewer --connections")
        }
        Knob::AddressSpace { needed_bytes, .. } => {
            write!(f, "ulimit -v {}", needed_bytes.div_ceil(1 << 10))
        }
    }
}

fn write_ports_fix(f: &mut fmt::Formatter<'_>, ports: &PortsKnob) -> fmt::Result {
    let mut or = "";
    if ports.time_wait_decides {
        write!(f, "wait a minute, or use --close rst")?;
        if ports.reuse_helps {
            write!(f, ", or sysctl -w net.ipv4.tcp_tw_reuse=1")?;
        }
        or = ", or ";
    }
    if ports.widest_is_enough {
        let PortRange { low, high } = PORTS_WIDEST;
        write!(f, "{or}sysctl -w net.ipv4.ip_local_port_range=\"{low} {high}\"")?;
        or = ", or ";
    }
    match ports.pairs_needed {
        Some(needed) => write!(
            f,
            "{or}more addresses with --source or more targets ({needed} pairs of source and target instead \
             of {})",
            ports.pairs
        ),
        None if or.is_empty() => {
            write!(f, "remove ports from net.ipv4.ip_local_reserved_ports")
        }
        None => Ok(()),
    }
}

/// The findings with a header; nothing if there are none.
pub fn write_findings(out: &mut dyn Write, plan: &Plan, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "Local limits below {} connections:", plan.connections)?;
    findings.iter().try_for_each(|finding| writeln!(out, "- {}", Line { plan, finding }))
}

/// The output of `--dry-run`.
pub fn write_dry_run(
    out: &mut dyn Write,
    plan: &Plan,
    host: &Host,
    findings: &[Finding],
) -> fmt::Result {
    writeln!(out, "--- {NAME_AND_VERSION} plan, nothing is dialed ---")?;
    write_plan(out, plan, host)?;
    if findings.is_empty() {
        return writeln!(out, "No known local limit is below this plan.");
    }
    write_findings(out, plan, findings)
}

fn write_plan(out: &mut dyn Write, plan: &Plan, host: &Host) -> fmt::Result {
    write_list(out, "Targets", plan.routes.targets())?;
    let sources: Vec<_> = plan.routes.sources().iter().map(SocketAddr::ip).collect();
    match sources[..] {
        [] => writeln!(out, "Sources: chosen by the kernel")?,
        _ => write_list(out, "Sources", &sources)?,
    }
    writeln!(out, "Connections: {}", plan.connections)?;
    let last = plan.pace.offset(plan.connections - 1);
    if plan.pace.is_paced() {
        let each = plan.pace.offset(1u32);
        writeln!(out, "Pace: one dial every {each}, the last one after {last}")?;
    } else {
        writeln!(out, "Pace: unpaced")?;
    }
    writeln!(out, "Dial timeout: {}", or_none(plan.dial_timeout))?;
    match plan.hold {
        Hold::For(span) if span >= plan.settle => {
            writeln!(out, "Hold: {span} after the last dial has opened or failed")?;
        }
        Hold::For(span) => {
            let settle = plan.settle;
            writeln!(
                out,
                "Hold: {span} after the last dial has opened or failed, and up to {settle} until 100ms \
                 pass without a close"
            )?;
        }
        Hold::Forever => writeln!(out, "Hold: until a signal")?,
    }
    if plan.duration.is_some() {
        writeln!(out, "Duration: {}", or_none(plan.duration))?;
    }
    writeln!(out, "Interval: {}", or_none(plan.interval))?;
    if let Some(range) = host.ports {
        let (usable, pairs) = (limits::ports_usable(host, range), limits::pairs(plan));
        let PortRange { low, high } = range;
        writeln!(
            out,
            "Ports: {low} to {high}, {usable} usable for each pair of source and target; pairs: {pairs}"
        )?;
    }
    let mib = limits::memory_needed(plan, host).div_ceil(1 << 20);
    writeln!(out, "Memory: {mib} MiB on this host, nearly all in the kernel")
}

fn write_list(out: &mut dyn Write, title: &str, all: &[impl ToString]) -> fmt::Result {
    let listed: Vec<String> = all.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    write!(out, "{title}: {}", listed.join(", "))?;
    if all.len() > LISTED_MAX {
        write!(out, ", … ({} in all)", all.len())?;
    }
    writeln!(out)
}

fn or_none(span: Option<Span>) -> String {
    span.map_or_else(|| "none".into(), |span| span.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CgroupMemory;
    use crate::plan::Pace;
    use crate::route::{Routes, Target};

    fn plan(connections: u32, targets: u16) -> Plan {
        let target =
            |n| Target { host: "10.0.0.1".into(), address: ([10, 0, 0, 1], 80 + n).into() };
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
        let more = "more addresses with --source or more targets (112 pairs of source and target instead of";
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
}
