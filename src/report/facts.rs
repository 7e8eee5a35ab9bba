//! The words for what was counted.

use crate::diagnosis::model::Fact;
use crate::units::Span;

/// A fact as a clause.
pub fn fact_words(fact: &Fact) -> String {
    let short = |span: &Span| span.rounded_to_3_digits();
    match fact {
        Fact::Retransmissions { failed, through } => {
            format!("{failed} SYN retransmissions failed, {through} dials came through by one")
        }
        Fact::FourTupleDecides { repeats, through_percent } => format!(
            "none of {repeats} SYN retransmissions came through, {through_percent}% of first SYNs \
             did: the 4-tuple decides, not chance"
        ),
        Fact::AllReplied { replied } => {
            format!("the application replied on all {replied} connections")
        }
        Fact::SynAckRepeated { connections } => {
            format!("the server repeats its SYN-ACK to {connections}")
        }
        Fact::HalfOpen { connections } => {
            format!("{connections} are half-open: the keepalive was answered with RST")
        }
        Fact::NoneAcknowledged { connections } => {
            format!("none of {connections} keepalives was acknowledged since")
        }
        Fact::ShortTimeout { timeout } => {
            format!("no dial had more than {timeout}: what takes longer looks like silence")
        }
        Fact::ResetAsRefused { connections } => {
            format!("RST on {connections} that waited to be accepted, as refusals began")
        }
        Fact::IcmpSentHere { count } => {
            format!("this host sent {count} ICMP unreachable errors itself (IcmpOutDestUnreachs)")
        }
        Fact::ClosedMeanwhile { closes } => {
            format!("its application closed {closes} connections: it does accept")
        }
        Fact::ResetAfterHandshake { connections } => {
            format!("RST right after the handshake on {connections}, and no data")
        }
        Fact::SynNotSent { count, repeats } => format!(
            "this host could not send {count} SYN retransmissions (TCPRetransFail; {repeats} were \
             due)"
        ),
        Fact::SynStillQueued { count, repeats } => format!(
            "{count} SYNs still waited on this host when they were due again ({repeats} repeats), \
             as for an address of the link that does not resolve"
        ),
        Fact::TargetsUnresolved { targets: 1, of: 1 } => {
            "no reply to ARP or NDP from the next hop to the target when the run ended".into()
        }
        Fact::TargetsUnresolved { targets, of } => format!(
            "no reply to ARP or NDP from the next hop to {targets} of {of} targets when the run ended"
        ),
        Fact::NeighbourTableFull { count } => {
            format!("the neighbour table was full {count} times")
        }
        Fact::ConntrackDrops { count } => {
            format!("connection tracking of this host dropped {count} packets")
        }
        Fact::IngressDrops { count } => {
            format!("this host dropped {count} packets on input (softnet_stat, all of its traffic)")
        }
        Fact::ListenOverflows { count } => {
            format!("accept queues on this host overflowed {count} times (ListenOverflows)")
        }
        Fact::Icmp { kind, code, is_v6, offender, is_local, count } => {
            let version = if *is_v6 { "ICMPv6" } else { "ICMP" };
            let name = icmp_name(*is_v6, *kind, *code);
            let whose = if *is_local { " (this host)" } else { "" };
            format!("{version} {kind}/{code} ({name}) from {offender}{whose} to {count} dials")
        }
        Fact::SameCount { open, places, is_source } => {
            let noun = if *is_source { "source" } else { "target" };
            format!("{open} at each {noun}, at {places} of them")
        }
        Fact::RefusedSooner { refused, handshake } => format!(
            "refused within {}, sooner than the shortest handshake ({})",
            short(refused),
            short(handshake)
        ),
        Fact::RefusedAsSoon { refused, handshake } => format!(
            "refused after {}, as long as a handshake takes ({})",
            short(refused),
            short(handshake)
        ),
        Fact::WatchConfirmed { confirmed, sent } => format!(
            "{confirmed} of {sent} keepalives of the same check were acknowledged: the path works"
        ),
        Fact::AfterLastDial { closes } => {
            format!("{closes} closes, and they went on after the last dial")
        }
        Fact::LastLine => "the server says why (below)".into(),
        Fact::RefusedAfter { dials } => format!("{dials} dials failed after it"),
    }
}

/// Source: RFC 792, RFC 1812 and RFC 4443.
fn icmp_name(is_v6: bool, kind: u8, code: u8) -> &'static str {
    match (is_v6, kind, code) {
        (false, 3, 0) | (true, 1, 0) => "network unreachable",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "administratively prohibited",
        (true, 1, 5 | 6) => "rejected by policy or route",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        _ => "unreachable",
    }
}
