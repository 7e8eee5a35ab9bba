//! Counters of this host's kernel. The difference over a run is evidence that does not depend on
//! when this process was scheduled.
//!
//! Text → numbers; `os/counters.rs` reads the files. `None`: unknown, as the kernel is older, the
//! file cannot be opened, or a module is not loaded. Counters are of the network namespace unless
//! the field is documented otherwise, and of all processes, not of this run alone.

#[cfg(test)]
mod tests;

/// The cumulative counters at one moment, or the difference of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// `TcpExtTCPRetransFail`: retransmissions, SYNs included, that this host could not send: its
    /// own firewall dropped them on output, or its neighbour table was full. Does not count first
    /// SYNs.
    pub syn_retrans_failed: Option<u64>,
    /// `TcpExtTCPSynRetrans`: retransmitted SYNs and SYN-ACKs.
    pub syn_retrans: Option<u64>,
    /// `TcpExtTCPSpuriousRtxHostQueues`: retransmission timers that expired while the segment was
    /// still queued on this host: for a neighbour without a reply to ARP or NDP, or for a slow
    /// interface.
    pub rtx_still_queued: Option<u64>,
    /// `TcpExtTCPSYNChallenge`: a SYN or SYN-ACK for an established connection: the server
    /// retransmits its SYN-ACK.
    pub syn_challenge: Option<u64>,
    /// `TcpExtListenOverflows`, `TcpExtListenDrops`: of servers in this namespace.
    pub listen_overflows: Option<u64>,
    pub listen_drops: Option<u64>,
    /// `TcpExtTCPTimeouts`: retransmission timers that expired.
    pub timeouts: Option<u64>,
    /// `TcpAttemptFails`: failed handshakes, of both ends.
    pub attempt_fails: Option<u64>,
    /// `TcpRetransSegs`, `TcpOutRsts`, `TcpEstabResets`.
    pub retrans_segs: Option<u64>,
    pub out_rsts: Option<u64>,
    pub estab_resets: Option<u64>,
    /// `IcmpOutDestUnreachs` and `Icmp6OutDestUnreachs`: this host rejected packets, or could not
    /// resolve a neighbour.
    pub icmp_out_dest_unreachs: Option<u64>,
    /// `IpOutNoRoutes`, `IpOutDiscards`, `IpInDiscards` and their IPv6 counterparts.
    pub ip_out_no_routes: Option<u64>,
    pub ip_out_discards: Option<u64>,
    pub ip_in_discards: Option<u64>,
    /// Packets dropped because a CPU's input queue was full (`net.core.netdev_max_backlog`): of all
    /// interfaces, the loopback included, and all network namespaces.
    pub ingress_drops: Option<u64>,
    /// `insert_failed`, `drop`, `early_drop` of `/proc/net/stat/nf_conntrack`.
    pub conntrack_insert_failed: Option<u64>,
    pub conntrack_drop: Option<u64>,
    pub conntrack_early_drop: Option<u64>,
    /// `ndts_table_fulls` of the ARP and NDP tables: entries refused at `gc_thresh3`, in all
    /// network namespaces.
    pub neighbour_table_full: Option<u64>,
    /// Of the first targets, how many were behind a next hop without a reply to ARP or NDP when the
    /// run ended. No difference: it is of that moment.
    pub targets_unresolved: Option<u64>,
}

/// The most targets that [`Counters::targets_unresolved`] counts.
pub const UNRESOLVED_TARGETS_MAX: usize = 64;

/// No real counter rises this much in a run; an emulated `/proc` (LXCFS) can. Below it sums in the
/// rules cannot overflow.
const SINCE_MAX: u64 = 1 << 48;

/// The texts of the files with [`Counters`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// `/proc/net/netstat`.
    pub netstat: Option<&'a str>,
    /// `/proc/net/snmp`.
    pub snmp: Option<&'a str>,
    /// `/proc/net/snmp6`.
    pub snmp6: Option<&'a str>,
    /// `/proc/net/softnet_stat`.
    pub softnet: Option<&'a str>,
    /// `/proc/net/stat/nf_conntrack`.
    pub conntrack: Option<&'a str>,
}

impl Counters {
    /// All but [`Counters::neighbour_table_full`] and `targets_unresolved`, which are in no file.
    pub fn parse(texts: &Texts<'_>) -> Counters {
        let extended = |name| in_pair(texts.netstat?, "TcpExt:", name);
        let simple = |group, name| in_pair(texts.snmp?, group, name);
        let both = |group, name, v6| sum(simple(group, name), in_list(texts.snmp6, v6));
        let conntrack = |name| in_table(texts.conntrack?, name);
        Counters {
            syn_retrans_failed: extended("TCPRetransFail"),
            syn_retrans: extended("TCPSynRetrans"),
            rtx_still_queued: extended("TCPSpuriousRtxHostQueues"),
            syn_challenge: extended("TCPSYNChallenge"),
            listen_overflows: extended("ListenOverflows"),
            listen_drops: extended("ListenDrops"),
            timeouts: extended("TCPTimeouts"),
            attempt_fails: simple("Tcp:", "AttemptFails"),
            retrans_segs: simple("Tcp:", "RetransSegs"),
            out_rsts: simple("Tcp:", "OutRsts"),
            estab_resets: simple("Tcp:", "EstabResets"),
            icmp_out_dest_unreachs: both("Icmp:", "OutDestUnreachs", "Icmp6OutDestUnreachs"),
            ip_out_no_routes: both("Ip:", "OutNoRoutes", "Ip6OutNoRoutes"),
            ip_out_discards: both("Ip:", "OutDiscards", "Ip6OutDiscards"),
            ip_in_discards: both("Ip:", "InDiscards", "Ip6InDiscards"),
            ingress_drops: texts.softnet.and_then(softnet_drops),
            conntrack_insert_failed: conntrack("insert_failed"),
            conntrack_drop: conntrack("drop"),
            conntrack_early_drop: conntrack("early_drop"),
            neighbour_table_full: None,
            targets_unresolved: None,
        }
    }

    /// The difference to `before`. A counter that went down counts as unchanged (a CPU that goes
    /// offline takes its share with it); `SINCE_MAX` and above is unknown.
    #[must_use]
    pub fn since(&self, before: &Counters) -> Counters {
        let mut since = *self;
        for ((_, after), (_, before)) in since.fields().into_iter().zip(before.named()) {
            let since = after.zip(before).map(|(after, before)| after.saturating_sub(before));
            *after = since.filter(|count| *count < SINCE_MAX);
        }
        since
    }

    /// Each with its name in `nstat`, or that of its column elsewhere.
    pub fn named(&self) -> [(&'static str, Option<u64>); Counters::COUNT] {
        let mut copy = *self;
        copy.fields().map(|(name, count)| (name, *count))
    }

    pub const COUNT: usize = 20;

    /// Names and fields; a field that is missing here does not compile.
    pub fn fields(&mut self) -> [(&'static str, &mut Option<u64>); Counters::COUNT] {
        let Counters {
            syn_retrans_failed,
            syn_retrans,
            rtx_still_queued,
            syn_challenge,
            listen_overflows,
            listen_drops,
            timeouts,
            attempt_fails,
            retrans_segs,
            out_rsts,
            estab_resets,
            icmp_out_dest_unreachs,
            ip_out_no_routes,
            ip_out_discards,
            ip_in_discards,
            ingress_drops,
            conntrack_insert_failed,
            conntrack_drop,
            conntrack_early_drop,
            neighbour_table_full,
            targets_unresolved: _,
        } = self;
        [
            ("TcpExtTCPRetransFail", syn_retrans_failed),
            ("TcpExtTCPSynRetrans", syn_retrans),
            ("TcpExtTCPSpuriousRtxHostQueues", rtx_still_queued),
            ("TcpExtTCPSYNChallenge", syn_challenge),
            ("TcpExtListenOverflows", listen_overflows),
            ("TcpExtListenDrops", listen_drops),
            ("TcpExtTCPTimeouts", timeouts),
            ("TcpAttemptFails", attempt_fails),
            ("TcpRetransSegs", retrans_segs),
            ("TcpOutRsts", out_rsts),
            ("TcpEstabResets", estab_resets),
            ("IcmpOutDestUnreachs", icmp_out_dest_unreachs),
            ("IpOutNoRoutes", ip_out_no_routes),
            ("IpOutDiscards", ip_out_discards),
            ("IpInDiscards", ip_in_discards),
            ("softnet dropped", ingress_drops),
            ("nf_conntrack insert_failed", conntrack_insert_failed),
            ("nf_conntrack drop", conntrack_drop),
            ("nf_conntrack early_drop", conntrack_early_drop),
            ("neighbour table_fulls", neighbour_table_full),
        ]
    }
}

/// The sum of IPv4 and IPv6; a host without IPv6 has no counters for it.
fn sum(v4: Option<u64>, v6: Option<u64>) -> Option<u64> {
    match (v4, v6) {
        (Some(v4), Some(v6)) => Some(v4.saturating_add(v6)),
        (v4, v6) => v4.or(v6),
    }
}

/// A number from a file of pairs of lines: `TcpExt: NAME NAME …`, `TcpExt: NUMBER NUMBER …`.
/// Source: `netstat_seq_show` and `snmp_seq_show` in net/ipv4/proc.c.
fn in_pair(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let column = names.split_whitespace().position(|word| word == name)?;
    numbers.split_whitespace().nth(column)?.parse().ok()
}

/// A number from a file of lines `NAME NUMBER`. Source: `snmp6_seq_show` in net/ipv6/proc.c.
fn in_list(text: Option<&str>, name: &str) -> Option<u64> {
    text?.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == name)?;
        words.next()?.parse().ok()
    })
}

/// The sum of a column over all CPUs, a line each, hexadecimal, below a line of names.
/// Source: `ct_cpu_seq_show` in net/netfilter/nf_conntrack_standalone.c.
fn in_table(text: &str, name: &str) -> Option<u64> {
    let (names, rows) = text.split_once('\n')?;
    sum_of_column(rows, names.split_whitespace().position(|word| word == name)?)
}

/// The sum of the second column over all CPUs, a line each, hexadecimal, without names.
/// Source: `softnet_seq_show` in net/core/net-procfs.c.
fn softnet_drops(text: &str) -> Option<u64> {
    sum_of_column(text, 1)
}

fn sum_of_column(rows: &str, column: usize) -> Option<u64> {
    let number = |row: &str| u64::from_str_radix(row.split_whitespace().nth(column)?, 16).ok();
    let numbers: Option<Vec<u64>> = rows.lines().map(number).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    Some(numbers.into_iter().fold(0, u64::saturating_add))
}
