//! The limits of this host before the run, and those below the plan.

use super::codec::Codec;
use super::names;
use crate::limits::{
    CgroupMemory, Descriptors, Finding, Gauge, Host, Knob, Neighbours, PortRange, PortsKnob,
    TimeWaitKnob,
};
use crate::plan::Plan;
use crate::report::preflight;
use crate::units::{NS_PER_S, Span};

/// More than a host has.
const ENTRIES_MAX: usize = 100_000;

pub fn limits(codec: &mut Codec<'_>, host: &mut Host) {
    codec.optional("descriptors", &mut host.descriptors, |codec, one: &mut Descriptors| {
        codec.number("soft_count", &mut one.soft);
        codec.number("hard_count", &mut one.hard);
        codec.number("open_count", &mut one.open);
        codec.flag("may_raise", &mut one.may_raise);
    });
    codec.number_or_null("nr_open_count", &mut host.nr_open);
    codec.optional("files", &mut host.files, gauge);
    codec.number_or_null("epoll_watches_count", &mut host.watches_max);
    codec.optional("ephemeral_ports", &mut host.ports, ports);
    let reserved = &mut host.ports_reserved;
    codec.list("reserved_ports", reserved, ENTRIES_MAX, PortRange::default, &mut ports);
    codec.number_or_null("time_wait_count", &mut host.time_wait);
    codec.number_or_null("tcp_tw_reuse_setting", &mut host.time_wait_reuse);
    codec.number_or_null("tcp_timestamps_setting", &mut host.timestamps);
    codec.optional("conntrack", &mut host.conntrack, gauge);
    codec.number_or_null("memory_available_bytes", &mut host.memory_available_bytes);
    let cgroups = &mut host.cgroups;
    codec.list("cgroups", cgroups, ENTRIES_MAX, CgroupMemory::default, &mut cgroup);
    codec.optional("address_space", &mut host.address_space, bytes);
    codec.number("connection_bytes", &mut host.table_bytes_each);
    let tables = &mut host.neighbours;
    codec.list(
        "neighbour_tables",
        tables,
        ENTRIES_MAX,
        Neighbours::default,
        &mut |codec, table| {
            family(codec, &mut table.is_v6);
            gauge(codec, &mut table.entries);
            codec.number("next_hops_count", &mut table.hops);
            codec.number("targets_count", &mut table.targets);
        },
    );
}

fn family(codec: &mut Codec<'_>, is_v6: &mut bool) {
    let name = |is_v6| if is_v6 { "ipv6" } else { "ipv4" };
    codec.choice("family", is_v6, &[false, true], name);
}

fn gauge(codec: &mut Codec<'_>, gauge: &mut Gauge) {
    codec.number("max_count", &mut gauge.most);
    codec.number("used_count", &mut gauge.used);
}

fn bytes(codec: &mut Codec<'_>, gauge: &mut Gauge) {
    codec.number("max_bytes", &mut gauge.most);
    codec.number("used_bytes", &mut gauge.used);
}

fn cgroup(codec: &mut Codec<'_>, cgroup: &mut CgroupMemory) {
    codec.text("file", &mut cgroup.file);
    bytes(codec, &mut cgroup.bytes);
}

fn ports(codec: &mut Codec<'_>, range: &mut PortRange) {
    codec.number("first_port", &mut range.low);
    codec.number("last_port", &mut range.high);
    codec.check("last_port", range.low <= range.high, "first_port and above is accepted");
}

pub fn findings(codec: &mut Codec<'_>, plan: &Plan, findings: &mut Vec<Finding>) {
    codec.list("findings", findings, ENTRIES_MAX, no_finding, &mut |codec, finding| {
        kind(codec, &mut finding.knob);
        codec.number("allows_count", &mut finding.connections);
        if let Some(json) = codec.writing() {
            json.key("text").string(&preflight::Line { plan, finding }.to_string());
        }
        codec.object("details", &mut |codec| details(codec, &mut finding.knob));
    });
}

fn no_finding() -> Finding {
    Finding { connections: 0, knob: Knob::NrOpen { most: 0, needed: 0 } }
}

/// Without their numbers.
fn knobs() -> [Knob; 12] {
    let (needed, needed_bytes, entries) = (0, 0, Gauge::default());
    [
        Knob::SoftDescriptors { soft: 0, needed },
        Knob::HardDescriptors { hard: 0, needed, nr_open_needed: None },
        Knob::NrOpen { most: 0, needed },
        Knob::FileMax { files: entries, needed },
        Knob::Watches { most: 0, needed },
        Knob::Ports(PortsKnob::default()),
        Knob::TimeWait(TimeWaitKnob::default()),
        Knob::Conntrack { entries, needed },
        Knob::Neighbours { is_v6: false, entries, needed },
        Knob::Memory { available_bytes: 0, needed_bytes },
        Knob::Cgroup { memory: CgroupMemory::default(), needed_bytes },
        Knob::AddressSpace { bytes: entries, needed_bytes },
    ]
}

fn kind(codec: &mut Codec<'_>, knob: &mut Knob) {
    let mut name = names::knob(knob);
    let all = knobs();
    codec.choice("knob", &mut name, &all.each_ref().map(names::knob), |name| name);
    if codec.is_reading() {
        let found = all.into_iter().find(|one| names::knob(one) == name);
        *knob = found.unwrap_or_else(|| no_finding().knob);
    }
}

fn details(codec: &mut Codec<'_>, knob: &mut Knob) {
    match knob {
        Knob::SoftDescriptors { soft: most, .. }
        | Knob::HardDescriptors { hard: most, .. }
        | Knob::NrOpen { most, .. }
        | Knob::Watches { most, .. } => codec.number("max_count", most),
        Knob::FileMax { files: entries, .. }
        | Knob::Conntrack { entries, .. }
        | Knob::Neighbours { entries, .. } => gauge(codec, entries),
        Knob::Ports(ports) => ports_knob(codec, ports),
        Knob::TimeWait(ports) => time_wait(codec, ports),
        Knob::Memory { available_bytes, .. } => codec.number("max_bytes", available_bytes),
        Knob::Cgroup { memory, .. } => cgroup(codec, memory),
        Knob::AddressSpace { bytes: gauge, .. } => bytes(codec, gauge),
    }
    match knob {
        Knob::HardDescriptors { nr_open_needed, .. } => {
            codec.number_or_null("nr_open_needed_count", nr_open_needed);
        }
        Knob::Neighbours { is_v6, .. } => family(codec, is_v6),
        _ => {}
    }
    match knob {
        Knob::SoftDescriptors { needed, .. }
        | Knob::HardDescriptors { needed, .. }
        | Knob::NrOpen { needed, .. }
        | Knob::FileMax { needed, .. }
        | Knob::Watches { needed, .. }
        | Knob::Conntrack { needed, .. }
        | Knob::Neighbours { needed, .. } => codec.number("needed_count", needed),
        Knob::Memory { needed_bytes, .. }
        | Knob::Cgroup { needed_bytes, .. }
        | Knob::AddressSpace { needed_bytes, .. } => codec.number("needed_bytes", needed_bytes),
        Knob::Ports(_) | Knob::TimeWait(_) => {}
    }
}

fn ports_knob(codec: &mut Codec<'_>, knob: &mut PortsKnob) {
    ports(codec, &mut knob.range);
    codec.number("usable_count", &mut knob.usable);
    codec.number("pairs_count", &mut knob.pairs);
    codec.number_or_null("pairs_needed_count", &mut knob.pairs_needed);
    codec.number("max_count", &mut knob.most);
    codec.number("time_wait_count", &mut knob.time_wait);
    codec.flag("time_wait_decides", &mut knob.time_wait_decides);
    codec.flag("reuse_helps", &mut knob.reuse_helps);
    codec.flag("widest_is_enough", &mut knob.widest_is_enough);
}

fn time_wait(codec: &mut Codec<'_>, knob: &mut TimeWaitKnob) {
    ports(codec, &mut knob.range);
    codec.number("usable_count", &mut knob.usable);
    codec.number("pairs_count", &mut knob.pairs);
    // The numbers of a rule, which multiplies them.
    codec.check("usable_count", knob.usable <= 1 << 16, "at most 65536 are accepted");
    codec.check("pairs_count", knob.pairs <= 1 << 32, "at most 4294967296 are accepted");
    let mut wait = Span::from_s(knob.wait_s);
    codec.number("wait_ns", &mut wait);
    knob.wait_s = wait.0 / NS_PER_S;
    codec.number("per_s_count", &mut knob.per_s);
    codec.number_or_null("wanted_per_s_count", &mut knob.wanted_per_s);
    codec.flag("reuse_helps", &mut knob.reuse_helps);
}
