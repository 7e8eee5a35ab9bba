//! Causes on the path, firewalls and load balancers included, wherever they run.

use super::record::{
    AGAIN, CONNTRACK, Cause, CauseRecord, DIAL_TIMEOUT, EXPECT, HOLD, ICMP, INTERFACES, KERNEL_LOG,
    LISTENERS, MORE_TARGETS, NEIGHBOUR, OTHER_SOURCE, PING, PROBE, ROUTE, RULES, SEGMENTS,
    SERVER_COUNT, SERVER_SOCKETS, SLOWER, TRACEROUTE, TTL, from_here, here, on_hop, on_server,
};
use crate::engine::Side;

pub static RECORDS: [CauseRecord; 15] = [
    CauseRecord {
        cause: Cause::FirewallDrop,
        id: "firewall-drop",
        side: Side::Network,
        title: "a firewall drops SYNs to that port",
        explanation: "No dial gets a SYN-ACK, RST or ICMP error: a firewall or a \
            cloud security group drops SYNs to the port, on the path or on the server. A host \
            without a listener would answer with RST. If the host answers a ping, it is up and \
            only the port is filtered.",
        checks: &[
            on_server(SEGMENTS, "no SYN arrives, or its own firewall drops it"),
            on_hop(RULES, "drop for that port, or by default"),
            here(TRACEROUTE, "ends at the hop before it"),
            here(PING, "replies: host up, port filtered"),
        ],
        fix: "Allow the port from this host in the firewall or security group that drops it, which may \
            run on the server.",
    },
    CauseRecord {
        cause: Cause::Outage,
        id: "outage",
        side: Side::Network,
        title: "an outage, over by the end of the run",
        explanation: "Dials failed in one stretch of time and succeeded before or after it, \
            at any number open: a failover, a link or routing change, a restart of the host or \
            the service. It is over, so only logs of that time show whether the server or the \
            network failed.",
        checks: &[
            on_hop(KERNEL_LOG, "link down, or a failover, at that time"),
            on_server(KERNEL_LOG, "link down, or a boot, at that time"),
            from_here(AGAIN, "all succeed"),
        ],
        fix: "Find the event by its time in the logs of the server, of each hop and of routing; \
            if it recurs, run again with --hold to catch it.",
    },
    CauseRecord {
        cause: Cause::DropAboveLimit,
        id: "drop-above-limit",
        side: Side::Network,
        title: "a stateful device drops new connections",
        explanation: "Up to N connections dials succeed; above N no SYN gets a reply, while \
            established connections keep working. A firewall, NAT or load balancer is at the size of its \
            table (nf_conntrack_max), or a rule counts connections (nft ct count, connlimit). A \
            full accept queue drops SYNs as well, but its last connections get no reply from \
            the application.",
        checks: &[
            on_hop(CONNTRACK, "count near max"),
            on_hop(RULES, "ct count or connlimit, with drop"),
            from_here(EXPECT, "every established one gets a reply"),
            from_here(SLOWER, "the same number is established"),
        ],
        fix: "Raise net.netfilter.nf_conntrack_max (and its hash, nf_conntrack_buckets), shorten \
            its timeouts, raise the rule's limit, or exempt this traffic (notrack). \
            \"nf_conntrack: table full, dropping packet\" in the device's kernel log proves it.",
    },
    CauseRecord {
        cause: Cause::RejectAboveLimit,
        id: "reject-above-limit",
        side: Side::Network,
        title: "a stateful device rejects new connections",
        explanation: "Up to N connections dials succeed; above N they are refused (RST) or \
            answered with ICMP. A rule counts connections and rejects the rest. ICMP is limited \
            (a Linux kernel sends one address a burst of 6, then one a second), so most of the \
            rejected dials may time out. A closed listener refuses too, but at another number each \
            time.",
        checks: &[
            on_hop(RULES, "ct count or connlimit, with reject"),
            from_here(AGAIN, "starts at the same number"),
            here(TTL, "RST and SYN-ACK differ in TTL"),
            here(ICMP, "ICMP unreachable, and its sender"),
        ],
        fix: "Raise the limit in the rule, or exempt this host from it. It may be the server's own \
            firewall.",
    },
    CauseRecord {
        cause: Cause::RateLimit,
        id: "rate-limit",
        side: Side::Network,
        title: "a limit on new connections per second",
        explanation: "A device drops or rejects SYNs above N per second, so N succeed in each \
            second, at any number open. Retransmissions of dropped SYNs may succeed, which \
            shows as dial times of 1 s, 3 s or more. Below that rate none fails; packet loss \
            does not depend on the rate.",
        checks: &[
            from_here(SLOWER, "none fails"),
            on_hop(RULES, "limit rate, or hashlimit"),
            on_server(SEGMENTS, "fewer SYNs arrive than were sent"),
            from_here(OTHER_SOURCE, "the same number again: per client"),
        ],
        fix: "Dial below that rate (--rate), or raise the rule's limit and burst, or exempt this \
            host (nft limit rate, iptables limit and hashlimit, DDoS protection, cloud quotas).",
    },
    CauseRecord {
        cause: Cause::FirewallReject,
        id: "firewall-reject",
        side: Side::Network,
        title: "a firewall rejects dials to that port",
        explanation: "Every dial is refused (RST) or answered with ICMP. ICMP is a device's or a \
            firewall's: a kernel without a listener sends RST. Port unreachable (iptables' \
            default reject) shows as refused too. With RST it looks exactly like no-listener, \
            except for the TTL if another host sends it. ICMP is limited (a Linux kernel sends \
            one address a burst of 6, then one a second), and most dials may time out instead.",
        checks: &[
            on_hop(RULES, "reject for that port, or by default"),
            here(ICMP, "admin prohibited, and its sender"),
            here(TTL, "RST differs in TTL from a ping's reply"),
            on_server(LISTENERS, "a line: something listens"),
        ],
        fix: "Allow the port from this host in that firewall; the sender of the ICMP is its \
            address (firewalld on the server rejects with admin-prohibited by default).",
    },
    CauseRecord {
        cause: Cause::PacketLoss,
        id: "packet-loss",
        side: Side::Network,
        title: "packets are lost on the path",
        explanation: "SYNs or SYN-ACKs are lost at random: some dials take 1 s, 3 s or more \
            because of a SYN retransmission, and a few time out, evenly spread, at any number \
            open and any rate. Congestion, a bad link, a duplex mismatch or an \
            overloaded NIC or firewall.",
        checks: &[
            here(PING, "loss above 0%"),
            here("mtr -rwT -P {port} {host}", "loss from one hop on to the last"),
            on_hop(INTERFACES, "errors or dropped rising"),
            from_here(SLOWER, "the same share is lost"),
        ],
        fix: "Repair or relieve the hop at which mtr's loss begins and persists to the end (loss \
            at a middle hop alone is only its ICMP limit). Read the drop counters of its NIC with \
            `ethtool -S`.",
    },
    CauseRecord {
        cause: Cause::PathDown,
        id: "path-down",
        side: Side::Network,
        title: "the path failed",
        explanation: "At some moment everything stops: dials time out, and established \
            connections no longer acknowledge keepalive probes, which even a server that \
            never accepts would do. A link, router or tunnel failed, or routing changed. A host that \
            went down, and a device that expired all state at once, look alike from here.",
        checks: &[
            here(PING, "no reply"),
            here(TRACEROUTE, "ends at the hop before it"),
            on_server(SEGMENTS, "nothing arrives from here"),
            on_server(SERVER_COUNT, "it still has the connections"),
        ],
        fix: "Repair the hop behind the last one that traceroute shows, in both directions: the \
            path back may be another one.",
    },
    CauseRecord {
        cause: Cause::HostDown,
        id: "host-down",
        side: Side::Network,
        title: "the server's host is down",
        explanation: "That address sends nothing: no SYN-ACK, no RST, no keepalive \
            acknowledgement, no ping. A host that shuts down closes its connections first; one \
            that crashes, hangs or loses power or its network does not, and neither does a paused \
            virtual machine.",
        checks: &[
            here(PING, "no reply, though its neighbours reply"),
            here(NEIGHBOUR, "FAILED, if it is on this link"),
            on_server("uptime -s; journalctl -b -1 -n 20", "booted since, or a panic"),
            here(TRACEROUTE, "reaches its last router"),
        ],
        fix: "See its console or hypervisor. If the host is up, check the path (see path-down).",
    },
    CauseRecord {
        cause: Cause::NeighbourUnresolved,
        id: "neighbour-unresolved",
        side: Side::Network,
        title: "no ARP or NDP reply for that address",
        explanation: "Dials fail with \"no route to host\" after some 3 s, three unanswered ARP \
            or NDP requests: no host on the last link has that address, or it is down. If the \
            link is this host's, its own kernel reports it; else the last router does, by ICMP \
            host unreachable. While an attempt is pending only some SYNs are queued, and others \
            time out.",
        checks: &[
            here(NEIGHBOUR, "FAILED or INCOMPLETE"),
            here(ICMP, "host unreachable, and from which router"),
            here(ROUTE, "no via: it is treated as on-link"),
            on_server("ip -br address; ip -br link", "another address, or DOWN"),
        ],
        fix: "Correct the address, or bring the host or its interface up. A wrong prefix length \
            or VLAN here makes an address look on-link that is not.",
    },
    CauseRecord {
        cause: Cause::NoRouteBeyond,
        id: "no-route-beyond",
        side: Side::Network,
        title: "a router has no route to that address",
        explanation: "Dials fail quickly with ICMP network or host unreachable from a router on \
            the path: its routing table has no route to that address, or an unreachable one. If \
            it comes and goes, routing is unstable; ICMP is limited, so some dials may time out \
            instead.",
        checks: &[
            here(ICMP, "unreachable, and from which router"),
            here(TRACEROUTE, "!N or !H at that router"),
            on_hop(ROUTE, "unreachable, or no route"),
        ],
        fix: "Add or repair the route on the router that sends the ICMP. A firewall rule can send \
            the same ICMP (nft: `reject with icmpx`).",
    },
    CauseRecord {
        cause: Cause::StateExpired,
        id: "state-expired",
        side: Side::Network,
        title: "a stateful device's entries expired",
        explanation: "Connections that were idle for some time no longer work although neither end \
            closed them: a NAT, firewall or load balancer has expired its entry, and drops \
            packets without one, or answers with RST. Connections checked in between still \
            work, as traffic renews the entry. A full table evicts entries early.",
        checks: &[
            on_server(SERVER_COUNT, "it still has all of them"),
            on_hop("sysctl -ar 'conntrack_tcp_timeout_est'", "below the idle time"),
            from_here(PROBE, "fewer fail: probes renew the entry"),
            from_here(HOLD, "fails at the same age again"),
        ],
        fix: "Use keepalives shorter than the shortest timeout (SO_KEEPALIVE; \
            net.ipv4.tcp_keepalive_time is 2 h by default), or raise it. Known ones: AWS NLB and \
            NAT gateway 350 s, Azure load balancer 4 min, Google Cloud 10 min, Linux 5 days.",
    },
    CauseRecord {
        cause: Cause::NatPortsExhausted,
        id: "nat-ports-exhausted",
        side: Side::Network,
        title: "a NAT has no free port for that target",
        explanation: "Above N connections to one target, new ones are dropped or rejected, while \
            another target (address or port) takes the same number again: a NAT needs one of \
            its ports for each connection to a destination, or gives each client a fixed \
            share. Ports of closed connections are kept for some minutes.",
        checks: &[
            from_here(MORE_TARGETS, "the same number again to the second"),
            on_hop("conntrack -L -p tcp --dport {port} | wc -l", "near its ports for one target"),
            on_hop(RULES, "snat or masquerade to few ports"),
            on_hop("conntrack -S", "insert_failed or drop rising"),
        ],
        fix: "Give the NAT more addresses or ports for this client, or reach the target without \
            NAT. Known shares: AWS NAT gateway 55,000 for each address and destination, Azure \
            load balancer 1,024 for each VM of a small pool, Google Cloud NAT 64 for each VM by \
            default.",
    },
    CauseRecord {
        cause: Cause::PathMtu,
        id: "path-mtu",
        side: Side::Network,
        title: "large packets are lost (path MTU)",
        explanation: "Handshakes and short replies pass, long ones never arrive: a link on the \
            path has a smaller MTU (a tunnel, VPN or PPPoE), and the ICMP that would report it is \
            filtered, so full-size segments are retransmitted and lost every time. With a long \
            --send text our own segments may be lost.",
        checks: &[
            here("tracepath -n {host}", "pmtu below the interface's MTU"),
            here("ping -c 3 -M do -s 1472 {host}", "lost, where -s 1200 gets a reply"),
            on_server(SERVER_SOCKETS, "Send-Q above 0 and stays"),
            on_server("sysctl net.ipv4.tcp_mtu_probing", "0: it does not probe"),
        ],
        fix: "Let ICMP \"fragmentation needed\" and \"packet too big\" pass, clamp the MSS where \
            the MTU shrinks (nft: `tcp option maxseg size set rt mtu`), or set \
            net.ipv4.tcp_mtu_probing=1 on the sender. Over IPv6 ping with -s 1452.",
    },
    CauseRecord {
        cause: Cause::LongRtt,
        id: "long-rtt",
        side: Side::Network,
        title: "the RTT is high",
        explanation: "Every dial takes about the same long time, with or without a SYN \
            retransmission (after 1 s at any RTT): a satellite, a full queue (bufferbloat), or \
            a path across the world. With \
            an RTT above the dial timeout every dial times out.",
        checks: &[
            here(PING, "rtt near the dial times"),
            from_here(DIAL_TIMEOUT, "all are established"),
            here(TRACEROUTE, "rtt jumps at one hop"),
        ],
        fix: "Raise --dial-timeout above the RTT. If ping is fast on an idle path, a queue fills \
            under load: fq_codel or cake on the bottleneck, or a lower --rate.",
    },
];
