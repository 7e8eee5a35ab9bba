//! Counts: levels and flows, end reasons, the run by target and by source, and how exact the
//! measurement was.

use super::fields::{boolean, moment, number, number_or_null, span, text};
use super::{errno, names};
use crate::engine::breakdown::{Breakdown, Row};
use crate::engine::churn::ChurnStats;
use crate::engine::failure_times::Failures;
use crate::engine::sustained::WINDOW;
use crate::engine::{EndReason, State, Summary};
use crate::json::Json;
use crate::report::Report;
use crate::report::evidence::reason_text;

pub fn write(json: &mut Json, report: &Report<'_>) {
    let (summary, routes) = (report.summary, &report.plan.routes);
    json.key("totals").object(|json| write_totals(json, report));
    json.key("end_reasons").array(|json| {
        let counted = EndReason::ALL.into_iter().filter(|reason| summary.ended_by(*reason) > 0);
        counted.for_each(|reason| json.object(|json| write_reason(json, summary, reason)));
    });
    json.key("slow_dials").object(|json| {
        let slow = &summary.slow;
        number(json, "dials_count", slow.dials);
        number(json, "failed_count", slow.failed);
        number(json, "retransmitted_count", slow.retransmitted);
        number(json, "repeats_count", slow.repeats);
        number(json, "failed_repeats_count", slow.failed_repeats);
    });
    json.key("churn").optional(summary.churn.as_ref(), |json, churn| {
        json.object(|json| write_churn(json, churn));
    });
    let target = |index: usize| routes.targets().get(index).map(ToString::to_string);
    write_table(json, "targets", &summary.targets, target);
    let source = |index: usize| routes.sources().get(index).map(|source| source.ip().to_string());
    write_table(json, "sources", &summary.sources, source);
    json.key("gaps").array(|json| {
        for gap in summary.gaps.list() {
            json.object(|json| {
                span(json, "from_ns", gap.from.since(summary.start));
                span(json, "to_ns", gap.to.since(summary.start));
                boolean(json, "is_stop", gap.is_stop);
                boolean(json, "is_joined", gap.is_joined);
            });
        }
    });
}

/// By state; their sum is the number of connections.
pub fn write_levels(json: &mut Json, levels: &[u32; State::COUNT]) {
    let all = State::ALL.into_iter().zip(levels);
    all.for_each(|(state, level)| number(json, names::level(state), *level));
}

fn write_totals(json: &mut Json, report: &Report<'_>) {
    let summary = report.summary;
    number(json, "connections_count", summary.last.connections);
    json.key("levels").object(|json| write_levels(json, &summary.last.levels));
    number(json, "established_ever_count", summary.established_ever);
    number(json, "established_peak_count", summary.established_peak);
    number(json, "sustained_count", summary.sustained);
    span(json, "sustained_window_ns", WINDOW);
    boolean(json, "is_cut_short", summary.is_cut_short);
    number(json, "errors_count", summary.errors);
    number(json, "skipped_dials_count", summary.skipped);
    number(json, "received_bytes", summary.received_bytes);
    moment(json, "first_dial_ns", summary.start, summary.first_dial);
    moment(json, "last_dial_ns", summary.start, summary.last_dial);
    span(json, "timeout_lateness_max_ns", summary.timeout_lateness_max);
    span(json, "longest_turn_ns", report.turn_longest);
    number(json, "lines_dropped_count", report.lines_dropped);
    boolean(json, "was_stopped", summary.stopped);
    boolean(json, "is_time_up", summary.is_time_up);
    boolean(json, "hit_max_errors", summary.hit_max_errors);
}

/// Its histogram is `times.dial_from_due`.
fn write_churn(json: &mut Json, churn: &ChurnStats) {
    number(json, "closed_by_us_count", churn.closed_by_us);
    span(json, "dialing_ns", churn.dialing);
    number(json, "dials_due_count", churn.dials_due);
    let keys = ["late_no_slot_count", "late_no_port_count", "late_this_host_count"];
    keys.into_iter().zip(churn.late).for_each(|(key, count)| number(json, key, count));
    span(json, "interval_ns", churn.interval);
    number(json, "intervals_count", churn.intervals);
    number(json, "established_min_count", churn.established_min);
    number(json, "established_max_count", churn.established_max);
}

fn write_reason(json: &mut Json, summary: &Summary, reason: EndReason) {
    let number_of_system = summary.first_errno[reason as usize];
    text(json, "reason", names::reason(reason));
    text(json, "side", names::side(reason.side()));
    text(json, "ends_in", names::state(reason.ends_in()));
    number(json, "connections_count", summary.ended_by(reason));
    json.key("errno").string_or_null(errno::name(number_of_system));
    let system = u64::try_from(number_of_system).ok().filter(|number| *number > 0);
    number_or_null(json, "errno_number", system);
    text(json, "text", &reason_text(summary, reason));
    json.key("times").optional(summary.failures[reason as usize], |json, failures| {
        json.object(|json| write_failures(json, summary, &failures));
    });
}

/// The first and last time, and how long each took.
pub fn write_failures(json: &mut Json, summary: &Summary, failures: &Failures) {
    moment(json, "first_ns", summary.start, Some(failures.first));
    moment(json, "last_ns", summary.start, Some(failures.last));
    span(json, "took_min_ns", failures.min);
    span(json, "took_p50_ns", failures.p50);
    span(json, "took_max_ns", failures.max);
}

fn write_table(
    json: &mut Json,
    key: &str,
    breakdown: &Breakdown,
    name: impl Fn(usize) -> Option<String>,
) {
    json.key(key).array(|json| {
        for row in &breakdown.worst {
            let name = name(row.index as usize).unwrap_or_default();
            json.object(|json| write_row(json, &name, row));
        }
    });
}

fn write_row(json: &mut Json, name: &str, row: &Row) {
    text(json, "name", name);
    for (key, count) in [
        ("dialed_count", row.dialed),
        ("established_count", row.established),
        ("errors_count", row.errors),
        ("closed_count", row.closed),
        ("closed_on_accept_count", row.closed_at_once),
        ("replied_count", row.replied),
        ("no_reply_count", row.no_reply),
        ("slow_count", row.slow_or_pending),
    ] {
        number(json, key, count);
    }
    let p99 = (row.established > 0).then_some(row.p99.0);
    number_or_null(json, "dial_p99_ns", p99);
    json.key("end_reasons").array(|json| {
        let counted = EndReason::ALL.into_iter().zip(row.reasons).filter(|(_, count)| *count > 0);
        for (reason, count) in counted {
            json.object(|json| {
                text(json, "reason", names::reason(reason));
                number(json, "connections_count", count);
            });
        }
    });
}
