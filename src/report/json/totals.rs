//! Counts: levels and flows, end reasons, the run by target and by source, and how exact the
//! measurement was.

use super::codec::Codec;
use super::{errno, names};
use crate::engine::breakdown::{Breakdown, ROWS_MAX, Row};
use crate::engine::churn::ChurnStats;
use crate::engine::failure_times::{Failures, Slow};
use crate::engine::gaps::{GAPS_MAX, Gap, Gaps};
use crate::engine::sustained::WINDOW;
use crate::engine::{EndReason, State, Summary};
use crate::json::Json;
use crate::plan::Plan;
use crate::report::evidence::reason_text;
use crate::units::{Moment, Span};

/// What is counted beside the summary.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    pub turn_longest: Span,
    pub lines_dropped: u64,
    pub targets_unresolved: Option<u64>,
}

pub fn fields(codec: &mut Codec<'_>, plan: &Plan, summary: &mut Summary, beside: &mut Beside) {
    codec.object("totals", &mut |codec| totals(codec, summary, beside));
    end_reasons(codec, summary);
    codec.object("slow_dials", &mut |codec| slow(codec, &mut summary.slow));
    codec.optional("churn", &mut summary.churn, churn);
    // A table of the last attempts is no record of a run that churns.
    let has_rows = summary.churn.is_none();
    let routes = &plan.routes;
    let target = |index: usize| routes.targets().get(index).map(ToString::to_string);
    table(codec, "targets", &mut summary.targets, routes.targets().len(), has_rows, &target);
    let source = |index: usize| routes.sources().get(index).map(|source| source.ip().to_string());
    table(codec, "sources", &mut summary.sources, routes.sources().len(), has_rows, &source);
    gaps(codec, summary);
}

/// By state; their sum is the number of connections.
pub fn levels(codec: &mut Codec<'_>, levels: &mut [u32; State::COUNT]) {
    let all = State::ALL.into_iter().zip(levels);
    all.for_each(|(state, level)| codec.number(names::level(state), level));
}

/// The same, of an event.
pub fn write_levels(json: &mut Json, levels_now: &[u32; State::COUNT]) {
    Codec::write(json, Moment(0), |codec| levels(codec, &mut levels_now.clone()));
}

fn totals(codec: &mut Codec<'_>, summary: &mut Summary, beside: &mut Beside) {
    codec.number("connections_count", &mut summary.last.connections);
    codec.object("levels", &mut |codec| levels(codec, &mut summary.last.levels));
    codec.number("established_ever_count", &mut summary.established_ever);
    codec.number("established_peak_count", &mut summary.established_peak);
    codec.number("sustained_count", &mut summary.sustained);
    if let Some(json) = codec.writing() {
        json.key("sustained_window_ns").integer(WINDOW.0);
    }
    codec.flag("is_cut_short", &mut summary.is_cut_short);
    codec.number("errors_count", &mut summary.errors);
    codec.number("skipped_dials_count", &mut summary.skipped);
    codec.number("received_bytes", &mut summary.received_bytes);
    codec.moment_or_null("first_dial_ns", &mut summary.first_dial);
    codec.moment_or_null("last_dial_ns", &mut summary.last_dial);
    codec.number("timeout_lateness_max_ns", &mut summary.timeout_lateness_max);
    codec.number("longest_turn_ns", &mut beside.turn_longest);
    codec.number("lines_dropped_count", &mut beside.lines_dropped);
    codec.flag("was_stopped", &mut summary.stopped);
    codec.flag("is_time_up", &mut summary.is_time_up);
    codec.flag("loop_failed", &mut summary.loop_failed);
    codec.flag("hit_max_errors", &mut summary.hit_max_errors);
    codec.number_or_null("targets_unresolved_count", &mut beside.targets_unresolved);
}

/// What ended dials or connections.
struct Ended {
    reason: EndReason,
    count: u64,
    errno: Option<u32>,
    times: Option<Failures>,
}

fn end_reasons(codec: &mut Codec<'_>, summary: &mut Summary) {
    let ended = |reason: EndReason| Ended {
        reason,
        count: summary.ended_by(reason),
        errno: u32::try_from(summary.first_errno[reason as usize]).ok().filter(|errno| *errno > 0),
        times: summary.failures[reason as usize],
    };
    let mut all: Vec<Ended> =
        EndReason::ALL.into_iter().map(ended).filter(|ended| ended.count > 0).collect();
    let none = || Ended { reason: EndReason::Refused, count: 0, errno: None, times: None };
    codec.list("end_reasons", &mut all, EndReason::COUNT, none, &mut |codec, ended| {
        reason(codec, &mut ended.reason);
        codec.number("connections_count", &mut ended.count);
        codec.number_or_null("errno_number", &mut ended.errno);
        if let Some(json) = codec.writing() {
            let (reason, number) = (ended.reason, summary.first_errno[ended.reason as usize]);
            json.key("side").string(names::side(reason.side()));
            json.key("ends_in").string(names::state(reason.ends_in()));
            json.key("errno").string_or_null(errno::name(number));
            json.key("text").string(&reason_text(summary, reason));
        }
        codec.optional("times", &mut ended.times, failures);
    });
    if !codec.is_reading() {
        return;
    }
    for Ended { reason, count, errno, times } in all {
        let index = reason as usize;
        let is_first = summary.flow[index] == 0 && count > 0;
        codec.check("end_reasons", is_first, "each reason once, with 1 and more, is accepted");
        summary.flow[index] = count;
        summary.first_errno[index] = errno.and_then(|errno| errno.try_into().ok()).unwrap_or(0);
        summary.failures[index] = times.map(|times| Failures { count, ..times });
    }
}

pub fn reason(codec: &mut Codec<'_>, reason: &mut EndReason) {
    codec.choice("reason", reason, &EndReason::ALL, names::reason);
}

/// The first and last time, and how long each took. How many there are is beside it.
pub fn failures(codec: &mut Codec<'_>, failures: &mut Failures) {
    codec.moment("first_ns", &mut failures.first);
    codec.moment("last_ns", &mut failures.last);
    codec.number("took_min_ns", &mut failures.min);
    codec.number("took_p50_ns", &mut failures.p50);
    codec.number("took_max_ns", &mut failures.max);
    codec.check("took_max_ns", failures.min <= failures.max, "less than took_min_ns");
}

fn slow(codec: &mut Codec<'_>, slow: &mut Slow) {
    codec.number("dials_count", &mut slow.dials);
    codec.number("failed_count", &mut slow.failed);
    codec.number("retransmitted_count", &mut slow.retransmitted);
    codec.number("repeats_count", &mut slow.repeats);
    codec.number("failed_repeats_count", &mut slow.failed_repeats);
    codec.check("failed_count", slow.failed <= slow.dials, "more than dials_count");
    let is_part = slow.failed_repeats <= slow.repeats;
    codec.check("failed_repeats_count", is_part, "more than repeats_count");
}

/// Its histogram is `times.dial_from_due`.
fn churn(codec: &mut Codec<'_>, churn: &mut ChurnStats) {
    codec.number("closed_by_us_count", &mut churn.closed_by_us);
    codec.number("dialing_ns", &mut churn.dialing);
    codec.number("dials_due_count", &mut churn.dials_due);
    let fields = ["late_no_slot_count", "late_no_port_count", "late_this_host_count"];
    fields.into_iter().zip(&mut churn.late).for_each(|(field, count)| codec.number(field, count));
    codec.number("interval_ns", &mut churn.interval);
    codec.number("intervals_count", &mut churn.intervals);
    codec.number("established_min_count", &mut churn.established_min);
    codec.number("established_max_count", &mut churn.established_max);
}

/// `count`: how many targets or sources there are.
fn table(
    codec: &mut Codec<'_>,
    field: &'static str,
    breakdown: &mut Breakdown,
    count: usize,
    has_rows: bool,
    name: &dyn Fn(usize) -> Option<String>,
) {
    let mut rows = breakdown.worst.clone();
    codec.list(field, &mut rows, ROWS_MAX, Row::default, &mut |codec, one| {
        codec.number("index_number", &mut one.index);
        if let Some(json) = codec.writing() {
            json.key("name").string(&name(one.index as usize).unwrap_or_default());
        }
        row(codec, one);
    });
    if codec.is_reading() {
        crate::order::sort_short_by_key(&mut rows, |row| row.index);
        let is_known = rows.last().is_none_or(|last| (last.index as usize) < count);
        let is_once = rows.windows(2).all(|pair| pair[0].index < pair[1].index);
        let expected = if count < 2 || !has_rows { 0 } else { count.min(ROWS_MAX) };
        let holds = is_known && is_once && rows.len() == expected;
        codec.check(field, holds, "a row for each of plan's, once, at most 20, is accepted");
        *breakdown = Breakdown::of(count, rows.into_iter().filter(|_| holds));
    }
}

fn row(codec: &mut Codec<'_>, row: &mut Row) {
    codec.number("dialed_count", &mut row.dialed);
    codec.number("established_count", &mut row.established);
    codec.number("errors_count", &mut row.errors);
    codec.number("closed_count", &mut row.closed);
    codec.number("closed_on_accept_count", &mut row.closed_at_once);
    codec.number("replied_count", &mut row.replied);
    codec.number("no_reply_count", &mut row.no_reply);
    codec.number("slow_count", &mut row.slow_or_pending);
    let mut p99 = (row.established > 0).then_some(row.p99);
    codec.number_or_null("dial_p99_ns", &mut p99);
    let is_any = p99.is_some() == (row.established > 0);
    codec.check("dial_p99_ns", is_any, "a time is accepted where established_count is not 0");
    row.p99 = p99.unwrap_or_default();
    codec.object("onset", &mut |codec| {
        codec.number("before_count", &mut row.onset.before);
        codec.number("after_count", &mut row.onset.after);
        codec.number("hits_count", &mut row.onset.hits);
    });
    reason_counts(codec, &mut row.reasons);
}

/// Those of a row, or of some dials.
pub fn reason_counts(codec: &mut Codec<'_>, counts: &mut [u32; EndReason::COUNT]) {
    let mut all: Vec<(EndReason, u32)> =
        EndReason::ALL.into_iter().zip(*counts).filter(|(_, count)| *count > 0).collect();
    let none = || (EndReason::Refused, 0);
    codec.list("end_reasons", &mut all, EndReason::COUNT, none, &mut |codec, one| {
        reason(codec, &mut one.0);
        codec.number("connections_count", &mut one.1);
    });
    if codec.is_reading() {
        *counts = [0; EndReason::COUNT];
        all.into_iter().for_each(|(reason, count)| counts[reason as usize] = count);
    }
}

fn gaps(codec: &mut Codec<'_>, summary: &mut Summary) {
    let mut list = summary.gaps.list().to_vec();
    codec.list("gaps", &mut list, GAPS_MAX, Gap::default, &mut |codec, gap| {
        codec.moment("from_ns", &mut gap.from);
        codec.moment("to_ns", &mut gap.to);
        codec.flag("is_stop", &mut gap.is_stop);
        codec.flag("is_joined", &mut gap.is_joined);
    });
    let (mut total, mut count) = (summary.gaps.total(), summary.gaps.count());
    codec.number("gaps_total_ns", &mut total);
    codec.number("gaps_count", &mut count);
    if codec.is_reading() {
        let is_in_order = list.windows(2).all(|pair| pair[0].to <= pair[1].from)
            && list.iter().all(|gap| gap.from < gap.to);
        codec.check("gaps", is_in_order, "pauses in order, none in another, are accepted");
        let is_any = list.is_empty() == (count == 0) && list.len() <= count as usize;
        codec.check("gaps_count", is_any, "fewer than there are in gaps, or none of these");
        summary.gaps = Gaps::of(list, total, count);
    }
}
