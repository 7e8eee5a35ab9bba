//! Rules for and against each cause: a table of (cause, whether the rule alone makes it a
//! candidate, the rule).

use super::view::{RuleResult, View};
use super::{connections, dials, queue, this_host};
use crate::diagnosis::causes::Cause::{self, *};

type Rule = fn(&View<'_>) -> RuleResult;

/// In any order; each rule is applied once.
pub static CORROBORATION: &[(Cause, bool, Rule)] = &[
    // This host, wherever it can cause the same.
    (LocalFirewall, true, this_host::syns_not_sent),
    (LocalFirewall, true, this_host::refused_sooner),
    (LocalFirewall, false, this_host::refused_as_soon),
    (LocalFirewall, true, this_host::local_icmp),
    (NeighbourTableFull, true, this_host::neighbour_table_full),
    (NeighbourUnresolved, true, this_host::neighbour_unresolved),
    (NeighbourUnresolved, true, this_host::syns_still_queued),
    (NeighbourUnresolved, true, this_host::targets_unresolved),
    (NeighbourUnresolved, true, this_host::neighbour_unreachable_here),
    (LocalFirewall, true, this_host::rejected_here),
    (LocalConntrack, true, this_host::conntrack_drops),
    (IngressDrops, true, this_host::ingress_drops),
    (SlowHost, false, this_host::noticed_late),
    (LongRtt, false, this_host::noticed_late_against),
    // The accept queue.
    (AcceptQueueFull, false, queue::syn_ack_repeated),
    (AcceptQueueFull, false, queue::not_all_replied),
    (AcceptQueueFull, false, queue::all_replied_against),
    (AcceptQueueFull, false, queue::listen_overflows),
    (AcceptQueueOverflow, true, queue::reset_after_handshake),
    (AcceptQueueOverflow, false, queue::half_open_beside),
    (AcceptQueueOverflow, false, queue::slow_through),
    (AcceptQueueOverflow, false, queue::listen_overflows),
    (AcceptQueueFull, false, connections::closed_meanwhile),
    (DropAboveLimit, false, queue::all_replied),
    (ServerFdLimit, true, queue::not_all_replied_above),
    (AppOverloaded, true, queue::busy),
    // What decides.
    (BackendDown, false, dials::four_tuple),
    (ListenerStuck, false, dials::four_tuple),
    (BackendDown, true, dials::many_lost),
    (BackendDown, false, dials::periodic),
    (BackendUnreachable, false, dials::periodic),
    (PacketLoss, false, dials::repeats_through),
    (PacketLoss, false, dials::four_tuple_against),
    (RateLimit, false, dials::repeats_through),
    (RateLimit, false, dials::four_tuple_against),
    (NatPortsExhausted, true, dials::each_target),
    (ClientLimit, true, dials::each_source),
    (ConnectionLimit, false, dials::each_source_against),
    (ConnectionLimit, false, connections::has_last_line),
    (ConnectionLimit, false, connections::none_later_stayed),
    (ClientLimit, false, connections::none_later_stayed),
    (LongRtt, true, dials::short_timeout),
    (NeighbourUnresolved, true, dials::may_be_unresolved),
    (LongRtt, false, dials::handshakes_are_long),
    (ListenerClosed, false, dials::reset_as_refused),
    (Outage, true, dials::outage_or_else),
    (DropAboveLimit, true, dials::count_or_else),
    // Some sources only: a listener would treat all of them alike.
    (NoListener, false, dials::some_sources_rule_out),
    (ListensElsewhere, false, dials::some_sources_rule_out),
    (HostDown, false, dials::some_sources_rule_out),
    (RejectsClient, true, dials::some_sources),
    (FirewallReject, false, dials::some_sources),
    (FirewallDrop, true, dials::some_sources_silent),
    // ICMP.
    (FirewallReject, true, dials::prohibited),
    (RejectAboveLimit, false, dials::icmp_above),
    (NoRouteBeyond, false, dials::net_unreachable),
    // Packet loss, or a full queue, beside missing replies.
    (PacketLoss, true, queue::loss_beside),
    (AcceptQueueOverflow, true, queue::queue_beside),
    // Closes.
    (ProcessRestarted, true, connections::all_were_closed),
    (RejectAboveLimit, false, connections::all_were_closed_against),
    (IdleTimeout, false, connections::after_last_dial),
    (BackendUnreachable, true, connections::closed_before_data),
    (EvictsOldest, false, connections::after_last_dial_against),
    (ProcessRestarted, false, connections::refused_after),
    (IdleTimeout, false, connections::refused_after_against),
    (WrongReply, true, connections::closed_after_other_data),
    // Checks.
    (PathDown, true, dials::none_acknowledged),
    (HostDown, true, dials::none_acknowledged),
    (AcceptQueueFull, false, dials::none_acknowledged_against),
    (DropAboveLimit, false, dials::none_acknowledged_against),
    (RateLimit, false, dials::none_acknowledged_against),
    (NatPortsExhausted, false, dials::none_acknowledged_against),
    (PathDown, false, dials::path_is_up),
    (HostDown, false, dials::path_is_up),
    (StateExpired, false, connections::some_confirmed),
    (PathDown, false, connections::some_confirmed_against),
    (HostDown, false, connections::some_confirmed_against),
    (PacketLoss, true, connections::few_unacked),
    (StateExpired, false, connections::unacked_first_against),
    (AcceptQueueOverflow, false, connections::half_open_later_against),
    (IdleTimeout, false, connections::half_open_later_against),
    (SynProxy, false, connections::half_open_later_against),
    (StateExpired, false, connections::half_open_later),
    (StateExpired, false, connections::half_open_first_against),
];
