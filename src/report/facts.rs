//! Each [`Fact`] as a clause.

use crate::diagnosis::model::Fact;
use crate::units::Span;

/// Without a full stop.
pub fn fact_text(fact: &Fact) -> String {
    let short = |span: &Span| span.rounded_to_3_digits();
    match fact {
        Fact::Retransmissions { failed, through } => {
            format!("{failed} SYN retransmissions got no reply, {through} dials succeeded on one")
        }
        Fact::FourTupleDecides { retransmits, through_percent } => format!(
            "0 of {retransmits} SYN retransmissions succeeded, {through_percent}% of first SYNs did: \
             the 4-tuple decides, not chance"
        ),
        Fact::AllReplied { replied } => {
            format!("the application replied on all {replied} connections")
        }
        Fact::Busy { busy, replied } => {
            format!("{busy} of {replied} replies report an error or overload of the server")
        }
        Fact::SynAckRepeated { connections } => {
            format!("the server retransmits its SYN-ACK on {connections} connections")
        }
        Fact::HalfOpen { connections } => {
            format!("{connections} connections are half-open: the keepalive was answered with RST")
        }
        Fact::NoneAcknowledged { connections } => {
            format!("0 of {connections} keepalives acknowledged since then")
        }
        Fact::ShortTimeout { timeout } => {
            format!("the dial timeout is {timeout}: a later reply counts as none")
        }
        Fact::ResetAsRefused { connections } => {
            format!(
                "RST on {connections} connections that were not accepted yet, when refusals began"
            )
        }
        Fact::IcmpSentHere { count } => {
            format!("this host sent {count} ICMP unreachable errors itself (IcmpOutDestUnreachs)")
        }
        Fact::ClosedMeanwhile { closes } => {
            format!("the application closed {closes} connections meanwhile: it does accept")
        }
        Fact::ResetAfterHandshake { connections } => {
            format!("RST right after the handshake on {connections} connections, no data")
        }
        Fact::SynNotSent { count, retransmits } => format!(
            "this host could not send {count} SYN retransmissions (TCPRetransFail; {retransmits} were \
             due)"
        ),
        Fact::SynStillQueued { count, retransmits } => format!(
            "{count} SYNs were still queued on this host when due for retransmission ({retransmits} \
             retransmissions), as for an on-link address that does not resolve"
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
            format!("conntrack on this host dropped {count} packets")
        }
        Fact::ClosedIntoTimeWait { connections, ports } => {
            format!(
                "this run had closed at least {connections} connections by FIN, and has {ports} ports"
            )
        }
        Fact::IngressDrops { count } => {
            format!("this host dropped {count} received packets (softnet_stat, all traffic)")
        }
        Fact::ListenOverflows { count } => {
            format!("accept queues on this host overflowed {count} times (ListenOverflows)")
        }
        Fact::Icmp { kind, code, is_v6, offender, is_local, count } => {
            let version = if *is_v6 { "ICMPv6" } else { "ICMP" };
            let name = icmp_name(*is_v6, *kind, *code);
            let sender = if *is_local { " (this host)" } else { "" };
            format!("{version} {kind}/{code} ({name}) from {offender}{sender} to {count} dials")
        }
        Fact::SameCount { open, places, is_source } => {
            let noun = if *is_source { "source" } else { "target" };
            format!("{open} connections at each {noun}, at {places} {noun}s")
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
            format!("{closes} closes, continuing after the last dial")
        }
        Fact::LastLine => "the server sent a reason (below)".into(),
        Fact::RefusedAfter { dials } => format!("{dials} dials failed after that"),
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
