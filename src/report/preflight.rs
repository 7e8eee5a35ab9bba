//! The plan of a run and the local limits below it, as printed before the run.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::escape::ShellQuoted;
use super::fix::{neighbours_sysctl, write_fix};
use crate::NAME_AND_VERSION;
use crate::engine::beside::{CALM, CHECK_EVERY};
use crate::limits::{self, Finding, Gauge, Host, Knob, PortRange, PortsKnob, TimeWaitKnob};
use crate::plan::{Hold, Plan};
use crate::units::Span;

/// The most targets that are listed; of more the total follows.
const LISTED_MAX: usize = 8;

/// A finding on one line: the limit, the connections that it allows, its knob and value, and the fix.
/// `{:#}` keeps each command of the fix together when it is wrapped.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub plan: &'a Plan,
    pub finding: &'a Finding,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowed, planned) = (self.finding.connections, self.plan.connections);
        let knob = &self.finding.knob;
        if let Knob::TimeWait(ports) = knob {
            return write_time_wait(f, ports);
        }
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
        Knob::Ports(_) | Knob::TimeWait(_) => "ephemeral ports",
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
        Knob::TimeWait(ports) => write_sustained(f, ports),
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

/// `470 connections a second closed by FIN (28232 ports, each 60 s in TIME_WAIT)`.
fn write_sustained(f: &mut dyn Write, ports: &TimeWaitKnob) -> fmt::Result {
    let TimeWaitKnob { usable, pairs, wait_s, per_s, .. } = ports;
    let each = match pairs {
        1 => "one source and target".to_owned(),
        pairs => format!("each of {pairs} pairs of source and target"),
    };
    write!(
        f,
        "{per_s} connections a second closed by FIN ({usable} ports for {each}, each for {wait_s} s in \
         TIME_WAIT)"
    )
}

fn write_time_wait(f: &mut fmt::Formatter<'_>, ports: &TimeWaitKnob) -> fmt::Result {
    f.write_str("ephemeral ports: they sustain ")?;
    write_sustained(f, ports)?;
    match ports.wanted_per_s {
        Some(wanted) => write!(f, ", the plan dials {wanted} a second")?,
        None => f.write_str(", the plan sets no limit")?,
    }
    f.write_str("; fix: ")?;
    write_fix(f, &Knob::TimeWait(*ports))
}

/// What the findings are below: a rate is no number of connections.
pub fn header(plan: &Plan, findings: &[Finding]) -> String {
    if findings.iter().any(|finding| matches!(finding.knob, Knob::TimeWait(_))) {
        return "Local limits below this plan:".to_owned();
    }
    format!("Local limits below {} connections:", plan.connections)
}

/// The findings with a header; nothing if there are none.
pub fn write_findings(out: &mut dyn Write, plan: &Plan, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", header(plan, findings))?;
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
        write!(out, "Pace: one dial every {each}")?;
        match plan.lifetime {
            Some(_) => writeln!(out)?,
            None => writeln!(out, ", the last one after {last}")?,
        }
    } else {
        writeln!(out, "Pace: unpaced")?;
    }
    writeln!(out, "Dial timeout: {}", or_none(plan.dial_timeout))?;
    if let Some(lifetime) = plan.lifetime {
        writeln!(out, "Lifetime: {lifetime}, then the slot dials again")?;
        if plan.hold_beside > 0 {
            let held = plan.hold_beside;
            writeln!(
                out,
                "Held beside: {held} of the connections, each checked every {CHECK_EVERY}; the others and \
                 the duration begin {CALM} after the last of these dials"
            )?;
        }
    }
    match plan.hold {
        _ if plan.lifetime.is_some() => {}
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
    if let Some(ports) = limits::sustained_by_ports(plan, host) {
        write!(out, "Ports sustain: ")?;
        write_sustained(out, &ports)?;
        match host.time_wait_reuse {
            Some(2) => writeln!(out, "; net.ipv4.tcp_tw_reuse is 2: on the loopback only")?,
            Some(reuse) => writeln!(out, "; net.ipv4.tcp_tw_reuse is {reuse}")?,
            None => writeln!(out)?,
        }
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
mod tests;
