//! For each limit: the connections that it allows, and the value that is needed.

use super::*;
use crate::route::{Routes, Target};

const MIB: u64 = 1 << 20;

fn plan(connections: u32, targets: &[&str]) -> Plan {
    plan_from(connections, targets, &[])
}

fn plan_from(connections: u32, targets: &[&str], sources: &[&str]) -> Plan {
    let sources: Vec<_> = sources.iter().map(|address| address.parse().unwrap()).collect();
    let targets = targets
        .iter()
        .map(|address| Target { host: "x".into(), address: address.parse().unwrap() });
    Plan::plain(connections, Routes::new(targets.collect(), &sources).unwrap())
}

/// A thousand connections to one target on another host.
fn thousand() -> Plan {
    plan(1000, &["10.0.0.1:80"])
}

fn gauge(most: u64, used: u64) -> Gauge {
    Gauge { most, used }
}

fn range(low: u16, high: u16) -> PortRange {
    PortRange { low, high }
}

fn descriptors(soft: u64, hard: u64, may_raise: bool) -> Option<Descriptors> {
    Some(Descriptors { soft, hard, open: 3, may_raise })
}

/// The only finding.
#[track_caller]
fn only(plan: &Plan, host: &Host) -> Finding {
    let mut found = judge(plan, host);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The connections that the only finding allows; all if there is none.
#[track_caller]
fn allowed(plan: &Plan, host: &Host) -> u64 {
    match &judge(plan, host)[..] {
        [] => plan.connections.into(),
        [only] => only.connections,
        several => panic!("{several:?}"),
    }
}

#[test]
fn unknown_limits_are_no_findings() {
    let most = plan(crate::plan::CONNECTIONS_MAX, &["127.0.0.1:80"]);
    assert_eq!(judge(&most, &Host::default()), []);
}

#[test]
fn descriptors_are_judged_after_they_were_raised() {
    let needed = 1016;
    let soft = |soft| Some(Knob::SoftDescriptors { soft, needed });
    let hard = |hard| Some(Knob::HardDescriptors { hard, needed, nr_open_needed: None });
    // In steps of 64.
    let nr_open = |most| Some(Knob::NrOpen { most, needed: 1024 });
    for (limit, most, connections, knob) in [
        // Six beside the connections: three are open, three are opened later.
        (descriptors(1006, 1006, false), Some(1 << 20), 1000, None),
        (descriptors(1005, 1005, false), Some(1 << 20), 999, hard(1005)),
        (descriptors(64, 64, false), None, 58, hard(64)),
        (descriptors(4, 4, false), None, 0, hard(4)),
        // The soft limit could not be raised, as only under seccomp.
        (descriptors(64, 4096, false), None, 58, soft(64)),
        // A process that may raise its hard limit has done so.
        (descriptors(500, 500, true), Some(500), 442, nr_open(500)),
        (descriptors(1016, 1016, true), Some(1 << 20), 1000, None),
        (None, Some(500), 445, nr_open(500)),
        (None, Some(1024), 1000, None),
        (None, Some(1023), 957, nr_open(1023)),
    ] {
        let host = Host { descriptors: limit, nr_open: most, ..Host::default() };
        let found = judge(&thousand(), &host);
        assert_eq!(found.first().map(|f| f.knob.clone()), knob, "{host:?}");
        assert_eq!(found.first().map_or(1000, |f| f.connections), connections, "{host:?}");
        assert_eq!(found.len(), usize::from(knob.is_some()), "{host:?}");
    }
    // If both are too low both have to be raised.
    let host =
        Host { descriptors: descriptors(64, 64, false), nr_open: Some(500), ..Host::default() };
    let knobs: Vec<Knob> = judge(&thousand(), &host).into_iter().map(|f| f.knob).collect();
    let both = Knob::HardDescriptors { hard: 64, needed, nr_open_needed: Some(1024) };
    assert_eq!(knobs, [both, nr_open(500).unwrap()]);
}

#[test]
fn inherited_descriptors_count_as_open() {
    let open = |open| Some(Descriptors { soft: 64, hard: 64, open, may_raise: false });
    let host = |count| Host { descriptors: open(count), ..Host::default() };
    assert_eq!(allowed(&thousand(), &host(23)), 38);
    assert_eq!(descriptors_needed(1000, 3), 1016);
    assert_eq!(descriptors_needed(1000, 23), 1026);
    assert_eq!(
        only(&thousand(), &host(23)).knob,
        Knob::HardDescriptors { hard: 64, needed: 1026, nr_open_needed: None }
    );
}

#[test]
fn both_ends_are_files_if_both_are_on_this_host() {
    let files = gauge(1105, 100);
    let host = |targets_here| Host { files: Some(files), targets_here, ..Host::default() };
    assert_eq!(judge(&thousand(), &host(vec![])), []);
    let found = only(&thousand(), &host(vec![true]));
    assert_eq!(found.connections, 501);
    assert_eq!(found.knob, Knob::FileMax { files, needed: 2103 });
    // One of two targets is on this host: three files for two connections.
    let two = plan(1000, &["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(allowed(&two, &host(vec![false, true])), 668);
    // More is in use than the limit: it was lowered.
    let files = Some(gauge(100, 1105));
    assert_eq!(allowed(&thousand(), &Host { files, ..Host::default() }), 0);
}

#[test]
fn watches_count_for_each_end_and_conntrack_entries_once() {
    let host = |most, is_here| Host {
        watches_max: Some(most),
        targets_here: vec![is_here],
        ..Host::default()
    };
    for (is_here, most, connections, needed) in [(false, 900, 896, 1004), (true, 900, 448, 2004)] {
        let found = only(&thousand(), &host(most, is_here));
        assert_eq!(found.connections, connections);
        assert_eq!(found.knob, Knob::Watches { most, needed });
    }

    let host = host(900, true);
    let host = Host { watches_max: None, conntrack: Some(gauge(1200, 500)), ..host };
    let found = only(&thousand(), &host);
    assert_eq!(found.connections, 700);
    assert_eq!(found.knob, Knob::Conntrack { entries: gauge(1200, 500), needed: 1500 });
    let host = Host { conntrack: Some(gauge(1200, 200)), ..host };
    assert_eq!(judge(&thousand(), &host), []);
}

/// The ports of these addresses, each once.
fn listened(targets: &[&str]) -> Vec<u16> {
    let ports = targets.iter().map(|address| address.parse::<SocketAddr>().unwrap().port());
    ports.collect::<std::collections::BTreeSet<u16>>().into_iter().collect()
}

#[test]
fn a_targets_share_does_not_depend_on_the_number_of_its_sources() {
    let host = Host { ports: Some(range(40_000, 40_099)), ..Host::default() };
    // Half of the connections are to the target that only one source can dial.
    let mixed = ["127.0.0.1:81", "[fd00::1]:81"];
    let sources = ["127.0.0.1:0", "[fd00::2]:0", "[fd00::3]:0", "[fd00::4]:0", "[fd00::5]:0"];
    assert_eq!(allowed(&plan_from(300, &mixed, &sources), &host), 100 + 150);
    // The same address twice has twice the share, of the same ports.
    let twice = ["10.0.0.1:81", "10.0.0.1:81", "10.0.0.2:81"];
    assert_eq!(allowed(&plan(195, &twice), &host), 100 + 65);
    let Knob::Ports(knob) = only(&plan(195, &twice), &host).knob else { panic!() };
    assert_eq!((knob.pairs, knob.pairs_needed), (2, Some(3)));
}

#[test]
fn no_port_is_reused_without_timestamps() {
    let host = Host {
        ports: Some(range(40_000, 40_999)),
        time_wait: Some(300),
        time_wait_reuse: Some(1),
        timestamps: Some(0),
        ..Host::default()
    };
    let found = only(&thousand(), &host);
    assert_eq!(found.connections, 700);
    let Knob::Ports(knob) = found.knob else { panic!("{found:?}") };
    assert_eq!((knob.reuse_helps, knob.most), (false, 1000));
    let host = Host { timestamps: Some(1), ..host };
    assert_eq!(judge(&thousand(), &host), []);
}

#[test]
fn reserved_and_listened_ports_are_not_usable() {
    let here = ["127.0.0.1:40005"];
    let there = ["10.0.0.1:40005"];
    let two_here = ["127.0.0.1:40005", "127.0.0.2:40006"];
    let one_port = ["127.0.0.1:40005", "127.0.0.2:40005"];
    for (targets, are_here, reserved, usable) in [
        (&there[..], false, vec![], 10),
        // It has a listener.
        (&here, true, vec![], 9),
        (&["127.0.0.1:80"], true, vec![], 10),
        (&two_here, true, vec![], 8),
        (&one_port, true, vec![], 9),
        (&there, false, vec![range(40_000, 40_001), range(40_009, 40_020)], 7),
        (&there, false, vec![range(1, 39_999), range(40_010, 65_535)], 10),
        // It is reserved, for the server.
        (&here, true, vec![range(40_005, 40_005)], 9),
        (&here, true, vec![range(1, 65_535)], 0),
    ] {
        let plan = plan(1000, targets);
        let host = Host {
            ports: Some(range(40_000, 40_009)),
            ports_reserved: reserved,
            ports_listened: if are_here { listened(targets) } else { vec![] },
            ..Host::default()
        };
        let Knob::Ports(knob) = only(&plan, &host).knob else { panic!("{host:?}") };
        assert_eq!(knob.usable, usable, "{targets:?} {host:?}");
        assert_eq!(allowed(&plan, &host), usable * targets.len() as u64);
        let (count, each) = (targets.len() as u64, 1000 / targets.len() as u64);
        assert_eq!(knob.pairs_needed, (usable > 0).then(|| count * each.div_ceil(usable)));
    }
}

#[test]
fn the_same_target_twice_has_the_same_ports() {
    let host = Host { ports: Some(range(40_000, 40_499)), ..Host::default() };
    for (targets, connections) in [
        (&["10.0.0.1:80"][..], 500),
        (&["10.0.0.1:80", "10.0.0.1:80"], 500),
        (&["10.0.0.1:80", "10.0.0.1:81"], 1000),
        (&["10.0.0.1:80", "[fd00::1]:80"], 1000),
    ] {
        assert_eq!(allowed(&plan(1000, targets), &host), connections, "{targets:?}");
    }
}

#[test]
fn ports_in_time_wait_count_unless_they_are_reused() {
    let (there, here) = (["10.0.0.1:80"], ["127.0.0.1:80", "[::1]:80"]);
    let both = ["10.0.0.1:80", "127.0.0.1:80"];
    for (targets, reuse, is_reused) in [
        (&there[..], Some(0), false),
        (&there, Some(1), true),
        (&there, Some(2), false),
        (&here, Some(0), false),
        (&here, Some(1), true),
        (&here, Some(2), true),
        (&both, Some(2), false),
        (&["0.0.0.0:80"], Some(2), true),
        (&["[::ffff:127.0.0.1]:80"], Some(2), true),
        (&there, None, true),
    ] {
        let plan = plan(1000 * targets.len() as u32, targets);
        let host = Host {
            ports: Some(range(40_000, 40_999)),
            time_wait: Some(300),
            time_wait_reuse: reuse,
            ..Host::default()
        };
        let less = if is_reused { 0 } else { 300 };
        let connections = u64::from(plan.connections) - less;
        assert_eq!(allowed(&plan, &host), connections, "{targets:?} {reuse:?}");
        for finding in judge(&plan, &host) {
            let Knob::Ports(knob) = finding.knob else { panic!("{finding:?}") };
            assert!(knob.time_wait_decides && knob.widest_is_enough && knob.time_wait == 300);
        }
    }
    // There can be more of them than ports: those of other addresses.
    let host = Host {
        ports: Some(range(40_000, 40_099)),
        time_wait: Some(70_000),
        time_wait_reuse: Some(0),
        ..Host::default()
    };
    let found = only(&thousand(), &host);
    assert_eq!(found.connections, 0);
    let Knob::Ports(knob) = found.knob else { panic!("{found:?}") };
    assert!(!knob.time_wait_decides && !knob.widest_is_enough);
    assert_eq!(knob.pairs_needed, Some(710));
}

#[test]
fn a_wider_range_is_advised_if_it_is_enough() {
    let host = Host { ports: Some(range(32_768, 60_999)), ..Host::default() };
    for (connections, is_enough) in [(28_233, true), (64_512, true), (64_513, false)] {
        let found = only(&plan(connections, &["10.0.0.1:80"]), &host);
        assert_eq!(found.connections, 28_232);
        let Knob::Ports(knob) = found.knob else { panic!("{found:?}") };
        assert_eq!(knob.widest_is_enough, is_enough, "{connections}");
    }
}

#[test]
fn memory_is_kernel_memory_for_each_end_and_a_table_entry() {
    let host = |available: u64, is_here| Host {
        memory_available_bytes: Some(available),
        table_bytes_each: 37,
        targets_here: vec![is_here],
        ..Host::default()
    };
    for (is_here, each) in [(false, 4096 + 37), (true, 8192 + 37)] {
        let enough = 1000 * each;
        assert_eq!(memory_needed(&thousand(), &host(0, is_here)), enough);
        assert_eq!(judge(&thousand(), &host(enough, is_here)), []);
        let found = only(&thousand(), &host(enough - 1, is_here));
        assert_eq!(found.connections, 999);
        let (available_bytes, needed_bytes) = (enough - 1, enough);
        assert_eq!(found.knob, Knob::Memory { available_bytes, needed_bytes });
    }
}

#[test]
fn every_cgroup_is_judged_and_accepted_ends_cost_less() {
    let memory =
        |file: &str, most, used| CgroupMemory { file: file.into(), bytes: gauge(most, used) };
    let (inner, outer) = (memory("in", 64 * MIB, 60 * MIB), memory("out", 3 * MIB, 0));
    let host = |is_here| Host {
        cgroups: vec![inner.clone(), outer.clone()],
        table_bytes_each: 37,
        targets_here: vec![is_here],
        ..Host::default()
    };
    // 1000 connections take 3.9 MiB of it, and 5.4 MiB with both ends.
    let found = only(&thousand(), &host(false));
    assert_eq!(found.connections, 3 * MIB / (4096 + 37));
    assert_eq!(found.knob, Knob::Cgroup { memory: outer.clone(), needed_bytes: 4_133_000 });
    let found = judge(&thousand(), &host(true));
    let (outer_needs, inner_needs) = (5_669_000, 60 * MIB + 5_669_000);
    assert_eq!(
        found.into_iter().map(|finding| finding.knob).collect::<Vec<_>>(),
        [
            Knob::Cgroup { memory: outer.clone(), needed_bytes: outer_needs },
            Knob::Cgroup { memory: inner.clone(), needed_bytes: inner_needs },
        ]
    );
    // 10,000 connections fit into 64 MiB.
    let host = Host { cgroups: vec![memory("small", 64 * MIB, 6 * MIB)], ..host(true) };
    assert_eq!(judge(&plan(10_000, &["127.0.0.1:80"]), &host), []);
}

#[test]
fn the_table_has_to_fit_into_the_address_space() {
    let bytes = gauge(12 * MIB, 5 * MIB);
    let host = Host { address_space: Some(bytes), table_bytes_each: 37, ..Host::default() };
    assert_eq!(judge(&thousand(), &host), []);
    let found = only(&plan(1_000_000, &["10.0.0.1:80"]), &host);
    assert_eq!(found.connections, 6 * MIB / 37);
    let needed_bytes = 6 * MIB + 37_000_000;
    assert_eq!(found.knob, Knob::AddressSpace { bytes, needed_bytes });
}

#[test]
fn the_lowest_limit_comes_first() {
    let host = Host {
        descriptors: descriptors(508, 508, false),
        nr_open: Some(704),
        watches_max: Some(300),
        ports: Some(range(40_000, 40_099)),
        conntrack: Some(gauge(400, 0)),
        ..Host::default()
    };
    let found = judge(&thousand(), &host);
    let allowed: Vec<u64> = found.iter().map(|finding| finding.connections).collect();
    assert_eq!(allowed, [100, 296, 400, 502, 698]);
}

/// The needed value of a finding is enough.
#[test]
fn each_pair_of_a_source_and_a_target_has_ports_of_its_own() {
    for (targets, sources, count) in [
        (&["10.0.0.1:80"][..], &[][..], 1),
        (&["10.0.0.1:80", "10.0.0.1:81", "10.0.0.1:80"], &[], 2),
        (&["10.0.0.1:80"], &["10.0.0.8:0", "10.0.0.9:0"], 2),
        (&["10.0.0.1:80", "[fd00::1]:80"], &["10.0.0.8:0", "10.0.0.9:0", "[fd00::2]:0"], 3),
    ] {
        assert_eq!(pairs(&plan_from(1, targets, sources)), count, "{targets:?} {sources:?}");
    }
}

#[test]
fn what_is_needed_is_enough() {
    let plan = plan(50_000, &["10.0.0.1:80", "127.0.0.1:33000", "127.0.0.1:33000"]);
    let mut host = Host {
        descriptors: descriptors(64, 64, false),
        nr_open: Some(500),
        files: Some(gauge(2000, 100)),
        watches_max: Some(10),
        ports: Some(range(40_000, 40_009)),
        ports_reserved: vec![range(2000, 2099)],
        ports_listened: vec![33_000],
        time_wait: Some(7),
        time_wait_reuse: Some(0),
        timestamps: Some(1),
        conntrack: Some(gauge(100, 90)),
        memory_available_bytes: Some(MIB),
        cgroups: vec![CgroupMemory { file: "x".into(), bytes: gauge(2 * MIB, MIB) }],
        address_space: Some(gauge(MIB, 3 * MIB)),
        table_bytes_each: 37,
        targets_here: vec![false, true, true],
        neighbours: vec![Neighbours { is_v6: false, entries: gauge(9, 9), hops: 1, targets: 1 }],
    };
    let found = judge(&plan, &host);
    assert_eq!(found.len(), 10);
    for finding in found {
        match finding.knob {
            Knob::SoftDescriptors { needed: most, .. }
            | Knob::HardDescriptors { needed: most, .. } => {
                host.descriptors = descriptors(most, most, false);
            }
            Knob::NrOpen { needed, .. } => host.nr_open = Some(needed),
            Knob::FileMax { needed, .. } => host.files = Some(gauge(needed, 100)),
            Knob::Watches { needed, .. } => host.watches_max = Some(needed),
            Knob::Ports(knob) => {
                assert!(knob.widest_is_enough);
                host.ports = Some(PORTS_WIDEST);
            }
            Knob::TimeWait(_) => unreachable!("it closes each connection once"),
            Knob::Conntrack { needed, .. } => host.conntrack = Some(gauge(needed, 90)),
            Knob::Neighbours { needed, .. } => host.neighbours[0].entries.most = needed,
            Knob::Memory { needed_bytes, .. } => host.memory_available_bytes = Some(needed_bytes),
            Knob::Cgroup { needed_bytes, .. } => host.cgroups[0].bytes.most = needed_bytes,
            Knob::AddressSpace { needed_bytes, .. } => {
                host.address_space = Some(gauge(needed_bytes, 3 * MIB));
            }
        }
    }
    assert_eq!(judge(&plan, &host), []);
}
