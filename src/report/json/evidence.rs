//! The evidence of a run: checks, ICMP errors, kernel counters of this host, and last lines of the
//! server.

use super::fields::{moment, number, number_or_null, text};
use super::totals::write_failures;
use crate::engine::{CheckStats, Round, RoundStats, Summary};
use crate::escape::Escaped;
use crate::icmp::IcmpCount;
use crate::json::Json;
use crate::report::Report;
use crate::units::Moment;

pub fn write(json: &mut Json, report: &Report<'_>) {
    let start = report.summary.start;
    json.key("checks").object(|json| write_checks(json, report.summary));
    json.key("icmp").object(|json| {
        json.key("errors").array(|json| {
            let counts = report.icmp.counts().iter();
            counts.for_each(|count| json.object(|json| write_icmp(json, start, count)));
        });
        number(json, "others_count", report.icmp.others());
    });
    json.key("kernel_counters").array(|json| {
        for (name, count) in report.counters.named() {
            json.object(|json| {
                text(json, "name", name);
                number_or_null(json, "events_count", count);
            });
        }
    });
    json.key("last_lines").array(|json| {
        for line in report.last_lines {
            json.object(|json| {
                text(json, "line", &Escaped(&line.line).to_string());
                number(json, "connections_count", line.connections);
            });
        }
    });
}

fn write_checks(json: &mut Json, summary: &Summary) {
    let checks: &CheckStats = &summary.checks;
    for (key, count) in [
        ("replied_count", checks.replied),
        ("replied_late_read_count", checks.replied_late_read),
        ("no_reply_count", checks.no_reply),
        ("wrong_reply_count", checks.wrong_reply),
        ("late_reply_count", checks.late_reply),
        ("closed_before_reply_count", checks.closed_before_reply),
        ("replies_pending_count", summary.replies_pending.into()),
        ("unacknowledged_count", checks.unacknowledged),
        ("repeats_syn_ack_count", checks.repeats_syn_ack),
        ("suspects_count", checks.suspects),
        ("suspects_half_open_count", checks.suspects_half_open),
        ("suspects_unacknowledged_count", checks.suspects_unacknowledged),
        ("checks_pending_count", summary.probes_pending.into()),
        ("watch_rounds_count", checks.watch_rounds.into()),
    ] {
        number(json, key, count);
    }
    json.key("answers").array(|json| {
        for count in summary.answers.counts() {
            json.object(|json| {
                text(json, "kind", count.meaning.id());
                text(json, "label", &count.label());
                number(json, "connections_count", count.connections);
            });
        }
    });
    json.key("no_reply").optional(summary.no_reply, |json, failures| {
        json.object(|json| write_failures(json, summary, &failures));
    });
    json.key("keepalives").object(|json| {
        for (key, round) in
            [("first", Round::First), ("watch", Round::Watch), ("last", Round::Last)]
        {
            let round = checks.round(round);
            json.key(key).object(|json| write_round(json, summary.start, round));
        }
    });
}

fn write_round(json: &mut Json, start: Moment, round: &RoundStats) {
    for (key, count) in [
        ("sent_count", round.sent),
        ("not_sent_count", round.not_sent),
        ("unneeded_count", round.unneeded),
        ("confirmed_count", round.confirmed),
        ("repeats_syn_ack_count", round.repeats_syn_ack),
        ("other_traffic_count", round.other_traffic),
        ("unacknowledged_count", round.unacknowledged),
        ("unknown_count", round.unknown),
        ("half_open_count", round.half_open),
        ("closed_count", round.closed),
        ("pending_count", round.pending),
    ] {
        number(json, key, count);
    }
    moment(json, "first_ns", start, round.first_at);
    moment(json, "last_ns", start, round.last_at);
    moment(json, "last_confirmed_ns", start, round.last_confirmed_at);
}

fn write_icmp(json: &mut Json, start: Moment, count: &IcmpCount) {
    let error = &count.error;
    text(json, "protocol", if error.is_v6 { "icmpv6" } else { "icmp" });
    number(json, "type_number", error.kind);
    number(json, "icmp_code", error.code);
    text(json, "from", &error.offender.to_string());
    json.key("is_this_host").optional(count.is_local, Json::bool);
    number(json, "dials_count", count.dials);
    moment(json, "first_ns", start, Some(count.first));
    moment(json, "last_ns", start, Some(count.last));
}
