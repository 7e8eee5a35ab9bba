//! The fix of a local limit.

use std::fmt;

use super::escape::ShellQuoted;
use super::wrap::unbroken;
use crate::limits::{Knob, PORTS_WIDEST, PortRange, PortsKnob};

/// A command or a flag. `{:#}` keeps each command together when the text is wrapped.
pub fn write_fix(f: &mut fmt::Formatter<'_>, knob: &Knob) -> fmt::Result {
    let (command, rest) = match knob {
        Knob::SoftDescriptors { needed, .. } => (format!("ulimit -n {needed}"), String::new()),
        Knob::HardDescriptors { needed, nr_open_needed: Some(most), .. } => (
            format!("sysctl -w fs.nr_open={most} && prlimit --pid $$ --nofile={needed}"),
            " (as root)".into(),
        ),
        Knob::HardDescriptors { needed, .. } => (
            format!("prlimit --pid $$ --nofile={needed}"),
            format!(
                " (as root; for good: nofile in /etc/security/limits.conf, or \
                 LimitNOFILE={needed} in a systemd unit)"
            ),
        ),
        Knob::NrOpen { needed, .. } => (sysctl("fs.nr_open", needed), String::new()),
        Knob::FileMax { needed, .. } => (sysctl("fs.file-max", needed), String::new()),
        Knob::Watches { needed, .. } => {
            (sysctl("fs.epoll.max_user_watches", needed), String::new())
        }
        Knob::Ports(ports) => return write_ports_fix(f, ports),
        Knob::TimeWait(ports) => return write_time_wait_fix(f, ports.reuse_helps),
        Knob::Conntrack { needed, .. } => {
            (sysctl("net.netfilter.nf_conntrack_max", needed), String::new())
        }
        Knob::Neighbours { is_v6, needed, .. } => (
            sysctl(neighbours_sysctl(*is_v6), needed),
            " (in the initial network namespace)".into(),
        ),
        Knob::Memory { .. } => return write!(f, "fewer --connections, or more memory"),
        Knob::Cgroup { memory, needed_bytes } => (
            format!("echo {needed_bytes} > {}", ShellQuoted(&memory.file)),
            ", or fewer --connections".into(),
        ),
        Knob::AddressSpace { needed_bytes, .. } => {
            (format!("ulimit -v {}", needed_bytes.div_ceil(1 << 10)), String::new())
        }
    };
    write_command(f, &command)?;
    f.write_str(&rest)
}

fn sysctl(name: &str, value: &dyn fmt::Display) -> String {
    format!("sysctl -w {name}={value}")
}

fn write_command(f: &mut fmt::Formatter<'_>, command: &str) -> fmt::Result {
    if f.alternate() { f.write_str(&unbroken(command)) } else { f.write_str(command) }
}

fn write_time_wait_fix(f: &mut fmt::Formatter<'_>, reuse_helps: bool) -> fmt::Result {
    write_command(f, "--close rst")?;
    if reuse_helps {
        f.write_str(", ")?;
        write_command(f, "sysctl -w net.ipv4.tcp_tw_reuse=1")?;
    }
    f.write_str(", a lower --rate, or more addresses with --source")
}

fn write_ports_fix(f: &mut fmt::Formatter<'_>, ports: &PortsKnob) -> fmt::Result {
    let mut or = "";
    if ports.time_wait_decides {
        write!(f, "wait a minute, or use ")?;
        write_command(f, "--close rst")?;
        if ports.reuse_helps {
            write!(f, ", or ")?;
            write_command(f, &sysctl("net.ipv4.tcp_tw_reuse", &1))?;
        }
        or = ", or ";
    }
    if ports.widest_is_enough {
        let PortRange { low, high } = PORTS_WIDEST;
        write!(f, "{or}")?;
        let range = format!("\"{low} {high}\"");
        write_command(f, &sysctl("net.ipv4.ip_local_port_range", &range))?;
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

pub fn neighbours_sysctl(is_v6: bool) -> &'static str {
    match is_v6 {
        false => "net.ipv4.neigh.default.gc_thresh3",
        true => "net.ipv6.neigh.default.gc_thresh3",
    }
}
