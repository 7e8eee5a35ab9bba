//! The evidence for and against a candidate: the id, the text and the numbers of each fact.

use super::fields::{boolean, number, span, text};
use crate::diagnosis::model::{Evidence, Fact};
use crate::json::Json;
use crate::report::facts::fact_text;

pub fn write(json: &mut Json, evidence: &Evidence) {
    let fact = &evidence.fact;
    boolean(json, "is_for", evidence.is_for);
    text(json, "fact", id(fact));
    text(json, "text", &fact_text(fact));
    write_numbers(json, fact);
}

fn id(fact: &Fact) -> &'static str {
    match fact {
        Fact::Retransmissions { .. } => "retransmissions",
        Fact::FourTupleDecides { .. } => "four-tuple-decides",
        Fact::AllReplied { .. } => "all-replied",
        Fact::Busy { .. } => "busy",
        Fact::SynAckRepeated { .. } => "syn-ack-repeated",
        Fact::HalfOpen { .. } => "half-open",
        Fact::NoneAcknowledged { .. } => "none-acknowledged",
        Fact::ShortTimeout { .. } => "short-timeout",
        Fact::ResetAsRefused { .. } => "reset-as-refused",
        Fact::IcmpSentHere { .. } => "icmp-sent-here",
        Fact::ClosedMeanwhile { .. } => "closed-meanwhile",
        Fact::ResetAfterHandshake { .. } => "reset-after-handshake",
        Fact::SynNotSent { .. } => "syn-not-sent",
        Fact::SynStillQueued { .. } => "syn-still-queued",
        Fact::TargetsUnresolved { .. } => "targets-unresolved",
        Fact::NeighbourTableFull { .. } => "neighbour-table-full",
        Fact::ConntrackDrops { .. } => "conntrack-drops",
        Fact::IngressDrops { .. } => "ingress-drops",
        Fact::ListenOverflows { .. } => "listen-overflows",
        Fact::Icmp { .. } => "icmp",
        Fact::SameCount { .. } => "same-count",
        Fact::RefusedSooner { .. } => "refused-sooner",
        Fact::RefusedAsSoon { .. } => "refused-as-soon",
        Fact::WatchConfirmed { .. } => "watch-confirmed",
        Fact::AfterLastDial { .. } => "after-last-dial",
        Fact::LastLine => "last-line",
        Fact::RefusedAfter { .. } => "refused-after",
        Fact::ClosedIntoTimeWait { .. } => "closed-into-time-wait",
    }
}

fn write_numbers(json: &mut Json, fact: &Fact) {
    match fact {
        Fact::Retransmissions { failed, through } => {
            number(json, "failed_count", *failed);
            number(json, "through_count", *through);
        }
        Fact::FourTupleDecides { retransmits, through_percent } => {
            number(json, "repeats_count", *retransmits);
            number(json, "through_percent", *through_percent);
        }
        Fact::ClosedIntoTimeWait { connections, ports } => {
            number(json, "connections_count", *connections);
            number(json, "ports_count", *ports);
        }
        Fact::AllReplied { replied } => number(json, "connections_count", *replied),
        Fact::SynAckRepeated { connections } | Fact::HalfOpen { connections } => {
            number(json, "connections_count", *connections);
        }
        Fact::ResetAfterHandshake { connections }
        | Fact::NoneAcknowledged { connections }
        | Fact::ResetAsRefused { connections } => {
            number(json, "connections_count", *connections);
        }
        Fact::Busy { busy, replied } => {
            number(json, "busy_count", *busy);
            number(json, "replied_count", *replied);
        }
        Fact::ShortTimeout { timeout } => span(json, "timeout_ns", *timeout),
        Fact::SynNotSent { count, retransmits } | Fact::SynStillQueued { count, retransmits } => {
            number(json, "events_count", *count);
            number(json, "repeats_count", *retransmits);
        }
        Fact::TargetsUnresolved { targets, of } => {
            number(json, "unresolved_count", *targets);
            number(json, "targets_count", *of);
        }
        Fact::NeighbourTableFull { count }
        | Fact::ConntrackDrops { count }
        | Fact::IngressDrops { count }
        | Fact::IcmpSentHere { count }
        | Fact::ListenOverflows { count } => number(json, "events_count", *count),
        Fact::Icmp { kind, code, is_v6, offender, is_local, count } => {
            text(json, "protocol", if *is_v6 { "icmpv6" } else { "icmp" });
            number(json, "type_number", *kind);
            number(json, "icmp_code", *code);
            text(json, "from", &offender.to_string());
            boolean(json, "is_this_host", *is_local);
            number(json, "dials_count", *count);
        }
        Fact::SameCount { open, places, is_source } => {
            number(json, "open_count", *open);
            number(json, "places_count", *places);
            text(json, "places", if *is_source { "sources" } else { "targets" });
        }
        Fact::RefusedSooner { refused, handshake } | Fact::RefusedAsSoon { refused, handshake } => {
            span(json, "refused_ns", *refused);
            span(json, "handshake_ns", *handshake);
        }
        Fact::WatchConfirmed { confirmed, sent } => {
            number(json, "confirmed_count", *confirmed);
            number(json, "sent_count", *sent);
        }
        Fact::AfterLastDial { closes } | Fact::ClosedMeanwhile { closes } => {
            number(json, "connections_count", *closes)
        }
        Fact::LastLine => {}
        Fact::RefusedAfter { dials } => number(json, "dials_count", *dials),
    }
}
