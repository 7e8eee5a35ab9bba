//! The numbers of a run that rules read, collected once.

use super::chance::float;
use crate::counters::{Counters, UNRESOLVED_TARGETS_MAX};
use crate::engine::analysis::Outcome;
use crate::engine::analysis::breakdown::Breakdown;
use crate::engine::{EndReason, Round, State, Summary};
use crate::icmp::{IcmpCount, IcmpTally};
use crate::last_lines::LastLine;
use crate::limits::Finding;
use crate::plan::{Plan, Probe};
use crate::units::{Moment, NS_PER_S, Span, low_32};

/// Below this probability the loss of all retransmissions is not chance.
const LOST_BY_CHANCE_MAX: f64 = 0.001;

/// ARP and NDP send three requests a second apart; then all queued dials fail, recent ones included. A
/// reject rule answers at once. The median time to fail tells the two apart. Source: `mcast_solicit`,
/// `retrans_time_ms` in arp(7).
const NEIGHBOUR_FAILS_AFTER: Span = Span::from_ms(200);

/// With a shorter RTT a refusal by the server is as fast as one by this host.
const FAR_MIN: Span = Span::from_us(300);

/// The input of a diagnosis.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub summary: &'a Summary,
    /// Kernel counters of this host during the run.
    pub counters: &'a Counters,
    pub icmp: &'a IcmpTally,
    /// Local limits that the preflight found.
    pub findings: &'a [Finding],
    /// The most frequent first.
    pub last_lines: &'a [LastLine],
}

/// Several targets, or sources, with the same limit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SameCount {
    /// Connections that each admits.
    pub open: u32,
    /// The lowest of those, within 5% of `open`.
    pub least: u32,
    /// Targets or sources with this limit, of those with any.
    pub places: u32,
    pub of: u32,
}

/// Numbers of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub established_ever: u64,
    pub dials_failed: u32,
    /// Dials by how they failed.
    pub refused: u32,
    pub timed_out: u32,
    pub reset: u32,
    pub unreachable: u32,
    pub slow_through: u64,
    pub failed_retransmits: u64,
    /// Whether replies are checked.
    pub checks_replies: bool,
    pub replied: u64,
    pub no_reply: u64,
    pub wrong_replies: u64,
    pub late_replies: u64,
    pub half_open: u64,
    pub syn_ack_repeated: u64,
    /// Half-open at a later check than the first.
    pub half_open_later: u64,
    /// Confirmed at the last check.
    pub confirmed_last: u64,
    /// Confirmed at the first check.
    pub confirmed_first: u64,
    /// When a keepalive was last acknowledged.
    pub confirmed_at: Option<Moment>,
    /// Checks that received other segments than the acknowledgement.
    pub other_traffic: u64,
    pub keepalives_sent: u64,
    pub confirmed: u64,
    pub is_probing_all: bool,
    /// ICMP errors sent by other hosts.
    pub icmp: Vec<IcmpCount>,
    /// ICMP errors sent by this host.
    pub icmp_local: Vec<IcmpCount>,
    /// ICMP errors that this host sent, about any traffic.
    pub icmp_out: u64,
    pub dial_timeout: Option<Span>,
    pub syn_not_sent: u64,
    pub neighbour_table_full: u64,
    /// Of the targets looked up, those with a next hop that has not replied to ARP or NDP.
    pub targets_unresolved: u64,
    pub targets_looked_up: u64,
    /// Segments still queued on this host when due for retransmission.
    pub unsent: u64,
    pub conntrack_drops: u64,
    pub ingress_drops: u64,
    pub listen_overflows: u64,
    pub syn_challenges: u64,
    /// The median time to a refusal.
    pub refused_p50: Span,
    /// The median time to a host-unreachable error.
    pub unreachable_p50: Span,
    /// The shortest handshake.
    pub handshake_min: Span,
    pub dials_per_s: u64,
    pub each_target: Option<SameCount>,
    pub each_source: Option<SameCount>,
    pub several_sources: bool,
    pub several_targets: bool,
    pub last_dial: Moment,
    pub has_last_line: bool,
}

impl Facts {
    pub fn of(case: &Case<'_>) -> Facts {
        let summary = case.summary;
        let timeline = &summary.analysis.everywhere.timeline;
        let count = |reason| timeline.count(Outcome::Failed(reason));
        let counters = case.counters;
        let checks = &summary.checks;
        let later = [checks.round(Round::Watch), checks.round(Round::Last)];
        let (local, remote): (Vec<IcmpCount>, Vec<IcmpCount>) =
            case.icmp.counts().iter().partition(|count| count.is_local == Some(true));
        let p50 = |reason: EndReason| {
            summary.failures[reason as usize].map_or(Span::ZERO, |failures| failures.p50)
        };
        let dialing = match (summary.first_dial, summary.last_dial) {
            (Some(first), Some(last)) => last.since(first).0,
            _ => 0,
        };
        let dials = u64::from(timeline.dials());
        let unreachable =
            [EndReason::HostUnreachable, EndReason::NetworkUnreachable, EndReason::Prohibited];
        let failed = EndReason::ALL
            .into_iter()
            .filter(|reason| reason.ends_in() == State::Error)
            .map(count)
            .sum();
        let conntrack = [counters.conntrack_insert_failed, counters.conntrack_drop]
            .map(Option::unwrap_or_default);
        Facts {
            established_ever: summary.established_ever,
            dials_failed: failed,
            refused: count(EndReason::Refused),
            timed_out: count(EndReason::TimedOut) + timeline.count(Outcome::Pending),
            reset: count(EndReason::Reset),
            unreachable: unreachable.into_iter().map(count).sum(),
            slow_through: summary.slow.through(),
            failed_retransmits: summary.slow.failed_repeats,
            checks_replies: case.plan.reply_check.is_some(),
            replied: checks.replied,
            no_reply: checks.no_reply,
            wrong_replies: checks.wrong_reply,
            late_replies: checks.late_reply,
            half_open: summary.ended_by(EndReason::HalfOpen),
            syn_ack_repeated: checks.suspects_half_open.max(checks.repeats_syn_ack),
            half_open_later: later.iter().map(|round| round.half_open).sum(),
            confirmed_first: checks.round(Round::First).confirmed,
            confirmed_last: checks.round(Round::Last).confirmed,
            confirmed_at: checks.rounds.iter().filter_map(|round| round.last_confirmed_at).max(),
            other_traffic: checks.rounds.iter().map(|round| round.other_traffic).sum(),
            keepalives_sent: checks.keepalives_sent(),
            confirmed: checks.confirmed(),
            is_probing_all: case.plan.probe == Probe::All,
            icmp: remote,
            icmp_local: local,
            icmp_out: counters.icmp_out_dest_unreachs.unwrap_or(0),
            dial_timeout: case.plan.dial_timeout,
            syn_not_sent: counters.syn_retrans_failed.unwrap_or(0),
            neighbour_table_full: counters.neighbour_table_full.unwrap_or(0),
            targets_unresolved: counters.targets_unresolved.unwrap_or(0),
            targets_looked_up: case.plan.routes.targets().len().min(UNRESOLVED_TARGETS_MAX) as u64,
            unsent: counters.rtx_still_queued.unwrap_or(0),
            conntrack_drops: conntrack[0].saturating_add(conntrack[1]),
            ingress_drops: counters.ingress_drops.unwrap_or(0),
            listen_overflows: counters.listen_overflows.unwrap_or(0),
            syn_challenges: counters.syn_challenge.unwrap_or(0),
            refused_p50: p50(EndReason::Refused),
            unreachable_p50: p50(EndReason::HostUnreachable),
            handshake_min: match summary.handshake_times.count() {
                0 => summary.established_times.min(),
                _ => summary.established_times.min().min(summary.handshake_times.min()),
            },
            dials_per_s: (dials * NS_PER_S).checked_div(dialing).unwrap_or(0),
            each_target: same_count(&summary.targets),
            each_source: same_count(&summary.sources),
            several_sources: summary.sources.count > 1,
            several_targets: summary.targets.count > 1,
            last_dial: summary.last_dial.unwrap_or_default(),
            has_last_line: !case.last_lines.is_empty(),
        }
    }

    /// The percentage of first SYNs that got a reply, if no retransmission did: then the 4-tuple
    /// decides, not chance, a rate or a queue. `hit` of `all` first SYNs got no reply.
    pub fn four_tuple_decides(&self, hit: u64, all: u64) -> Option<u32> {
        let lost = float(hit) / float(all.max(1));
        let retransmits = i32::try_from(self.failed_retransmits).unwrap_or(i32::MAX);
        let is_chance = lost.powi(retransmits) > LOST_BY_CHANCE_MAX;
        let few_through = self.slow_through * 50 <= hit;
        let is_decided = self.failed_retransmits > 0 && !is_chance && few_through && hit < all;
        is_decided.then_some(100 - low_32(hit.saturating_mul(100) / all.max(1)))
    }

    /// Whether this host could not send 90% of the SYN retransmissions of failed dials.
    pub fn were_syns_not_sent(&self) -> bool {
        self.failed_retransmits > 0 && self.syn_not_sent * 10 >= self.failed_retransmits * 9
    }

    /// Whether dials failed because ARP or NDP on this host got no reply.
    pub fn is_neighbour_unresolved(&self) -> bool {
        self.icmp_local.iter().any(|count| count.error.is_host_unreachable())
            && self.unreachable_p50 >= NEIGHBOUR_FAILS_AFTER
    }

    /// The same on the router of the target's link.
    pub fn is_remote_neighbour_unresolved(&self) -> bool {
        let is_host = |count: &IcmpCount| count.error.is_host_unreachable();
        // Over IPv6 the sender of an error is unknown.
        let may_be = self.icmp.iter().any(is_host)
            || (self.icmp.is_empty() && self.icmp_local.is_empty() && self.unreachable > 0);
        may_be && self.unreachable_p50 >= NEIGHBOUR_FAILS_AFTER
    }

    /// Whether refusals took less than half of the shortest handshake.
    pub fn was_refused_sooner(&self) -> bool {
        self.refused > 0
            && self.established_ever >= 10
            && self.handshake_min >= FAR_MIN
            && self.refused_p50.0 * 2 < self.handshake_min.0
    }
}

/// The limit that most targets, or sources, reached alike; a few may be lower, with connections of
/// others.
fn same_count(breakdown: &Breakdown) -> Option<SameCount> {
    let limits: Vec<u32> = breakdown
        .worst
        .iter()
        .filter(|row| row.onset.hits > 0)
        .map(|row| row.onset.is_clean().then_some(row.onset.before))
        .collect::<Option<_>>()?;
    let open = limits.iter().copied().max()?;
    let near = |count: &&u32| **count + 1 + open / 20 >= open;
    let places = u32::try_from(limits.iter().filter(near).count()).ok()?;
    let least = limits.iter().filter(near).min().copied()?;
    let of = u32::try_from(limits.len()).ok()?;
    (breakdown.count <= breakdown.worst.len() && places >= 2 && 2 * places > of)
        .then_some(SameCount { open, least, places, of })
}
