//! Limits and faults as they occur in production, small: each case makes one in network namespaces,
//! dials into it, and compares the verdict with the truth.

#[path = "../common/mod.rs"]
mod common;

mod clocks;
mod network;
#[macro_use]
mod pool;
mod server;
mod this_host;

use std::net::SocketAddrV4;

use common::Namespace;
use common::faulty_servers::{Fault, FaultyServer};
use common::{Outcome, Running};

cases! {
    clocks:
        this_host_is_paused_while_keepalives_are_out
        the_server_sends_keepalives_of_its_own
        the_server_defers_accept
        this_host_is_paused_while_an_idle_timeout_closes
        this_host_is_paused_while_the_process_ends
        this_host_is_paused_while_checked_connections_are_closed
        this_host_is_late_as_a_poll_returns
        an_outage_is_dated_by_its_dials
        a_stalled_path_is_not_a_slow_host
        a_short_outage_while_keepalives_are_out;
    network:
        an_icmp_reject_is_rate_limited
        an_icmp_reject_above_twenty
        one_of_three_backends_is_down
        one_of_two_backends_closes_in_turn
        a_router_expires_idle_connections_silently
        a_nat_has_twenty_ports_for_each_destination
        one_percent_of_loss_closes_no_connection
        a_firewall_counts_and_the_server_closes_all_later
        the_path_fails_in_the_hold
        a_limit_on_the_count_beside_connections_that_end
        an_ipv6_address_that_no_host_on_the_link_has
        the_path_fails_as_dials_go_on
        final_acks_are_lost
        all_final_acks_are_lost
        a_rate_lets_some_through_at_any_level
        an_address_that_no_host_on_the_link_has
        a_short_dial_to_an_address_that_no_host_on_the_link_has;
    server:
        one_of_two_reuseport_listeners_is_stuck
        an_idle_timeout_is_enforced_by_a_sweep
        nothing_is_ever_accepted_and_the_kernel_acknowledges
        accepted_and_closed_above_a_rate
        a_limit_per_client_address_seen_from_three
        a_limit_per_client_address_seen_from_one
        it_listens_on_another_address_of_that_host
        a_full_queue_resets
        at_full_speed_the_number_is_the_limit
        a_full_queue_behind_50_ms_is_no_failed_path
        replied_as_expected_and_closed
        another_reply_and_closed;
    this_host:
        a_blackhole_route_of_this_host
        a_rule_of_this_host_drops_above_fifty
        a_rule_of_this_host_rejects_above_fifty;
}

/// The causes that are a full accept queue.
const QUEUE: [&str; 2] = ["accept-queue-full", "accept-queue-overflow"];

/// The causes that end connections without a FIN or RST.
const GONE: [&str; 3] = ["path-down", "state-expired", "host-down"];

fn goon(client: &Namespace, words: &str) -> Outcome {
    start(client, words).outcome()
}

fn start(client: &Namespace, words: &str) -> Running {
    Running::start(client.tcpgoon(&format!("-y {words}")))
}

fn serve(host: &Namespace, address: &str, fault: Fault) -> FaultyServer {
    FaultyServer::start(host.name(), at(address), fault)
}

fn at(address: &str) -> SocketAddrV4 {
    address.parse().unwrap()
}
