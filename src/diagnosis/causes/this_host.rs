//! Causes on this host: none of them is evidence about the server.

use super::record::{
    AGAIN, CONNTRACK, Cause, CauseRecord, DRY_RUN, ICMP, INTERFACES, KERNEL_LOG, MORE_TARGETS,
    ROUTE, RULES, SEGMENTS, SLOWER, UNSENT, from_here, here,
};
use crate::engine::Side;

const PORTS: &str = "sysctl -ar 'ip_local_(port_range|reserved_ports)'";
const TIME_WAIT: &str = "ss -Hant state time-wait 'dport = :{port}' | wc -l";
const KERNEL_MEMORY: &str = "grep TCP: /proc/net/sockstat; sysctl net.ipv4.tcp_mem";

pub static RECORDS: [CauseRecord; 14] = [
    CauseRecord {
        cause: Cause::FdLimit,
        id: "fd-limit",
        side: Side::ThisHost,
        title: "its limit on open files is reached",
        explanation: "socket() failed with EMFILE: this process is at its limit of open files, one \
            for each connection. With ENFILE it is the limit of the whole host, \
            fs.file-max. It is no evidence about the server.",
        checks: &[
            from_here(DRY_RUN, "names the limit, its value and the fix"),
            here("ulimit -Hn", "below the connections wanted"),
            here("cat /proc/sys/fs/file-nr", "first number near the third: ENFILE"),
        ],
        fix: "Raise the hard limit of open files (LimitNOFILE= in a unit, nofile in \
            /etc/security/limits.conf, prlimit as root), fs.nr_open above it, and fs.file-max for \
            the host.",
    },
    CauseRecord {
        cause: Cause::PortRange,
        id: "port-range",
        side: Side::ThisHost,
        title: "no ephemeral port is free",
        explanation: "connect() failed with EADDRNOTAVAIL: all ephemeral ports between a source \
            and a target are in use, by this run or by others. There are 28,232 by default for \
            each pair of a source address and a target (address and port).",
        checks: &[
            from_here(DRY_RUN, "names the range and the fix"),
            here(PORTS, "a narrow range, or many reserved"),
            here(TIME_WAIT, "few: it is not TIME_WAIT"),
            from_here(MORE_TARGETS, "the same number again to the second"),
        ],
        fix: "More source addresses (--source), more targets, or a wider \
            net.ipv4.ip_local_port_range.",
    },
    CauseRecord {
        cause: Cause::TimeWait,
        id: "time-wait",
        side: Side::ThisHost,
        title: "TIME_WAIT holds its ephemeral ports",
        explanation: "connect() failed with EADDRNOTAVAIL although few connections are open: the \
            end that closes first keeps the port in TIME_WAIT for 60 s, and earlier runs closed \
            many. With net.ipv4.tcp_tw_reuse=1 and TCP timestamps at both ends connect() may \
            reuse such a port after 1 s; the default, 2, does so on loopback only.",
        checks: &[
            here(TIME_WAIT, "near the size of the port range"),
            here("sysctl net.ipv4.tcp_tw_reuse", "0 or 2"),
            from_here(DRY_RUN, "names the ports in TIME_WAIT"),
            from_here("the same command after 60 s", "succeeds"),
        ],
        fix: "Wait a minute, end runs with `--close rst`, set net.ipv4.tcp_tw_reuse=1, use more \
            source addresses (--source), or widen net.ipv4.ip_local_port_range.",
    },
    CauseRecord {
        cause: Cause::SourceGone,
        id: "source-gone",
        side: Side::ThisHost,
        title: "a --source address is not configured",
        explanation: "bind() to the source address failed during the run. This host had the \
            address at the start and has lost it since, by a DHCP or VPN change, a failover of a \
            floating address, or a link that went down.",
        checks: &[
            here("ip address show to {source}", "no output"),
            here(KERNEL_LOG, "a link or interface went away"),
        ],
        fix: "Configure the address again (`ip address add`), or leave it out of --source.",
    },
    CauseRecord {
        cause: Cause::SocketMemory,
        id: "socket-memory",
        side: Side::ThisHost,
        title: "no kernel memory for more sockets",
        explanation: "A system call failed with ENOBUFS or ENOMEM: the memory limit of a cgroup, \
            the third value of net.ipv4.tcp_mem (in pages, for all TCP buffers of the host), or \
            the host's memory is used up. A connection without data takes about 4 KiB of kernel \
            memory at each end.",
        checks: &[
            from_here(DRY_RUN, "names the memory limit and the fix"),
            here(KERNEL_MEMORY, "mem near the third value"),
            here(KERNEL_LOG, "out of memory, or allocation failure"),
            here("free -m", "available near 0"),
        ],
        fix: "More memory or a higher memory.max for the cgroup, a higher net.ipv4.tcp_mem, or \
            fewer connections (-c).",
    },
    CauseRecord {
        cause: Cause::EpollWatches,
        id: "epoll-watches",
        side: Side::ThisHost,
        title: "its limit on epoll watches is reached",
        explanation: "epoll_ctl() failed with ENOSPC: fs.epoll.max_user_watches limits the \
            descriptors that all processes of one user watch together. The kernel sets it to 4% of low \
            memory at boot.",
        checks: &[
            here("sysctl fs.epoll.max_user_watches", "below the connections wanted"),
            from_here(DRY_RUN, "names the limit and the fix"),
        ],
        fix: "Raise fs.epoll.max_user_watches.",
    },
    CauseRecord {
        cause: Cause::NoRoute,
        id: "no-route",
        side: Side::ThisHost,
        title: "it has no route to that address",
        explanation: "connect() failed at once with ENETUNREACH, EHOSTUNREACH or EINVAL, and no \
            packet was sent: the routing table has no route for that address from that source, an \
            unreachable or a blackhole one, or the interface is down. Often it is IPv6 without a default route.",
        checks: &[
            here(ROUTE, "unreachable, blackhole, or an error"),
            here("ip rule; ip route; ip -6 route", "no default, or a rule for the source"),
            here("ip -br link", "the interface is DOWN"),
        ],
        fix: "Add a route, bring the interface up, or use the other address family (-4, -6).",
    },
    CauseRecord {
        cause: Cause::LocalFirewall,
        id: "local-firewall",
        side: Side::ThisHost,
        title: "its own firewall drops or rejects",
        explanation: "A rule of this host (nftables, iptables, or a BPF program, as systemd's \
            IPAddressDeny= is) drops SYNs on their way out or SYN-ACKs on their way in, or \
            rejects them. connect() does not report a drop, so it looks like a server that does not \
            reply, above a limit, above a rate or to every dial. A reject shows as RST or ICMP from an \
            address of this host.",
        checks: &[
            here(RULES, "output or input: drop, reject, ct count"),
            here(UNSENT, "rising: SYN retransmissions not sent"),
            here(SEGMENTS, "no SYN leaves, or a SYN-ACK comes"),
            here(ICMP, "sent by an address of this host"),
        ],
        fix: "Change the rule, or raise its limit, for traffic to that target. In a container or \
            a virtual machine check its host as well.",
    },
    CauseRecord {
        cause: Cause::NotPermitted,
        id: "not-permitted",
        side: Side::ThisHost,
        title: "a local policy forbids the connect()",
        explanation: "connect() failed at once with EPERM or EACCES, and no packet was sent. A \
            prohibit route or routing rule, a BPF program of a cgroup, seccomp, Landlock, SELinux \
            or AppArmor forbids this process to connect.",
        checks: &[
            here(ROUTE, "prohibited"),
            here("dmesg -T | grep -iE 'avc|apparmor|audit' | tail", "a denial at that time"),
            here("ip rule; ip route; ip -6 route", "prohibit"),
            here("bpftool cgroup tree", "connect4 or connect6"),
        ],
        fix: "Remove the route, or allow the connection in that policy; or run tcpgoon outside of \
            the confined service or container.",
    },
    CauseRecord {
        cause: Cause::KilledHere,
        id: "killed-here",
        side: Side::ThisHost,
        title: "its sockets were destroyed (ss -K)",
        explanation: "Sockets failed with ECONNABORTED: a process on this host destroyed them with \
            SOCK_DESTROY, as `ss -K` and some agents (connection managers, Cilium) do. The kernel \
            sends the server a RST. The peer cannot cause this error on an established \
            connection.",
        checks: &[
            here("pgrep -af 'ss .*(-K|--kill)'", "a process that runs it"),
            here("ss -E 'dport = :{port}'", "shows sockets as they are destroyed"),
            from_here(AGAIN, "happens again: a job or an agent"),
        ],
        fix: "Stop that process, or exempt this traffic.",
    },
    CauseRecord {
        cause: Cause::LocalConntrack,
        id: "local-conntrack",
        side: Side::ThisHost,
        title: "its own conntrack table is full",
        explanation: "This host tracks its own connections, and its table is full, so it drops \
            new SYNs before they leave. connect() does not report that: it looks like a device \
            that drops above a limit. Entries of closed connections count too, for up to two \
            minutes.",
        checks: &[
            here(CONNTRACK, "count near max"),
            here(KERNEL_LOG, "nf_conntrack: table full"),
            here(UNSENT, "rising: SYN retransmissions not sent"),
            from_here(DRY_RUN, "names the limit and the fix"),
        ],
        fix: "Raise net.netfilter.nf_conntrack_max, or exempt this traffic (notrack in the raw \
            output and prerouting chains).",
    },
    CauseRecord {
        cause: Cause::NeighbourTableFull,
        id: "neighbour-table-full",
        side: Side::ThisHost,
        title: "its neighbour table is full",
        explanation: "Many targets are on this host's own link, and each takes an entry in the \
            ARP or NDP table, of at most gc_thresh3 entries (1,024 by default, for all interfaces and \
            namespaces together). SYNs to further ones are not sent. connect() does not report \
            that: those targets seem not to reply.",
        checks: &[
            here("ip neigh show | wc -l", "near gc_thresh3"),
            here("sysctl -ar 'neigh.default.gc_thresh3'", "below the targets on the link"),
            here(KERNEL_LOG, "neighbor table overflow"),
            here(UNSENT, "rising: SYN retransmissions not sent"),
        ],
        fix: "Raise net.ipv4.neigh.default.gc_thresh3 (for IPv6 \
            net.ipv6.neigh.default.gc_thresh3) above the number of targets on the link, and \
            gc_thresh2 with it.",
    },
    CauseRecord {
        cause: Cause::IngressDrops,
        id: "ingress-drops",
        side: Side::ThisHost,
        title: "it drops received packets",
        explanation: "The kernel or the NIC of this host dropped packets during the run, because \
            they arrived faster than it processed them: SYN-ACKs, replies or acknowledgements \
            may be among them. The counters cover all traffic, so rule this out before blaming \
            the server or the network.",
        checks: &[
            here("cut -d' ' -f2 /proc/net/softnet_stat", "rising (hexadecimal, a line a CPU)"),
            here(INTERFACES, "RX dropped or missed rising"),
            here("ethtool -S IFACE | grep -iE 'drop|miss|fifo'", "rising"),
            from_here(SLOWER, "none fails"),
        ],
        fix: "Raise net.core.netdev_max_backlog, or the NIC's ring (`ethtool -G`), spread its \
            interrupts over more CPUs (RPS, irqbalance), or dial more slowly (--rate).",
    },
    CauseRecord {
        cause: Cause::SlowHost,
        id: "slow-host",
        side: Side::ThisHost,
        title: "it is too busy, or was paused",
        explanation: "tcpgoon did not get to run for long stretches: the CPU is shared, throttled \
            by a cgroup or stolen by a hypervisor, or the process was stopped or swapped. Times \
            measured here are too long by up to that, and events in between are dated no \
            better.",
        checks: &[
            here("vmstat 1 5", "r above the CPUs, st or si above 0"),
            here("cat /proc/pressure/cpu", "some avg10 above 10"),
            here("cat /sys/fs/cgroup/cpu.stat", "nr_throttled rising"),
            from_here("tcpgoon calibrate", "few per second, long iterations"),
        ],
        fix: "Give it a CPU (nice, taskset, a higher cpu.max), stop what competes with it, or use \
            another host. Then run again.",
    },
];
