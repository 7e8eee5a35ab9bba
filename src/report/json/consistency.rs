//! What has to add up in a document that is read. The rules of the diagnosis count on it, as they count
//! on the engine: no sum of theirs is too large, and no difference below zero.

use super::codec::Codec;
use crate::engine::analysis::{Counts, Outcome, Spread};
use crate::engine::breakdown::{Breakdown, Row};
use crate::engine::{State, Summary};
use crate::json::INTEGER_MAX;
use crate::plan::Plan;

/// As [`crate::engine::analysis::levels`] makes them.
const WIDTH_MAX: u32 = 1 << 17;

const TOO_MANY: &str = "more than the connections of the plan";

pub fn check(codec: &mut Codec<'_>, plan: &Plan, summary: &Summary) {
    let connections = plan.connections;
    let last = &summary.last;
    let sum: u64 = last.levels.iter().map(|level| u64::from(*level)).sum();
    codec.check("totals", last.connections == connections, "not the connections of the plan");
    codec.check("totals", sum == u64::from(connections), "levels that do not add up");
    let is_churn = summary.churn.is_some() == plan.lifetime.is_some();
    codec.check("churn", is_churn, "an object is accepted with plan.lifetime_ns, else null");
    let beside = summary.churn.as_ref().and_then(|churn| churn.beside.as_ref());
    let held = beside.map_or(0, |beside| beside.held);
    codec.check("churn", held == plan.hold_beside, "beside.held_count is not that of the plan");
    counts(codec, connections, summary);
    analysis(codec, connections, summary);
    rows(codec, "targets", connections, &summary.targets);
    rows(codec, "sources", connections, &summary.sources);
}

fn counts(codec: &mut Codec<'_>, connections: u32, summary: &Summary) {
    let checks = &summary.checks;
    let end_reasons: u64 = summary.flow.iter().fold(0, |sum, count| sum.saturating_add(*count));
    let rounds = checks.rounds.iter();
    let of_rounds = rounds.map(|round| {
        let parts = [round.sent, round.not_sent, round.unneeded, round.half_open];
        parts.into_iter().max().unwrap_or(0)
    });
    // Where slots are dialed again these can be more.
    let most = if summary.churn.is_some() { INTEGER_MAX } else { connections.into() };
    for (field, name, count) in [
        ("totals", "established_ever_count", summary.established_ever),
        ("totals", "errors_count", summary.errors),
        ("end_reasons", "the sum of connections_count", end_reasons),
        ("slow_dials", "dials_count", summary.slow.dials),
        ("checks", "unacknowledged_count", checks.unacknowledged),
        ("checks", "repeats_syn_ack_count", checks.repeats_syn_ack),
        ("checks", "replied_count", checks.replied),
        ("checks", "no_reply_count", checks.no_reply),
        ("checks", "closed_before_reply_count", checks.closed_before_reply),
        ("checks", "a count of keepalives", of_rounds.max().unwrap_or(0)),
    ] {
        at_most(codec, most, field, name, count);
    }
    for (field, name, count) in [
        ("totals", "established_peak_count", summary.established_peak.into()),
        ("totals", "sustained_count", summary.sustained.into()),
        ("checks", "replies_pending_count", summary.replies_pending.into()),
        ("checks", "checks_pending_count", summary.probes_pending.into()),
    ] {
        at_most(codec, connections.into(), field, name, count);
    }
    let answers = summary.answers.counts();
    let answered = answers.iter().fold(0, |sum: u64, one| sum.saturating_add(one.connections));
    // Requests on held connections are repeated.
    let may_answer = answered <= summary.established_ever || summary.churn.is_some();
    codec.check("checks", may_answer, "more answers than connections");
    codec.check("totals", summary.skipped <= summary.errors, "more skipped dials than errors");
    let open = summary.last.level(State::Established);
    codec.check("totals", open <= summary.established_peak, "more are open than ever at once");
    let closed = u64::from(summary.last.level(State::Closed));
    let gone = closed + summary.errors;
    // A slot that is dialed again is not closed any more.
    let is_gone = if summary.churn.is_some() { end_reasons >= gone } else { end_reasons == gone };
    codec.check("end_reasons", is_gone, "not the closed connections and errors");
    let times = summary.established_times.count();
    codec.check("times", times == summary.established_ever, "not totals.established_ever_count");
}

fn at_most(codec: &mut Codec<'_>, most: u64, field: &'static str, name: &str, count: u64) {
    if count > most {
        codec.fail(field, &format!("{name} is {count}: at most {most} is accepted"));
    }
}

fn analysis(codec: &mut Codec<'_>, connections: u32, summary: &Summary) {
    let analysis = &summary.analysis;
    let [fin, rst] = analysis.closed_at_once.map(u64::from);
    let closes = &analysis.closes;
    let closed = fin + rst + u64::from(closes.count);
    codec.check("analysis", closed <= summary.established_ever, "more closes than connections");
    let is_seen = (fin + rst > 0) == analysis.closed_at_once_seen.is_some();
    codec.check("analysis", is_seen, "closes on accept without a moment");
    for count in [closes.resets, closes.undated, closes.survivors, closes.pulses_count] {
        codec.check("analysis", count <= connections, TOO_MANY);
    }
    for pulse in &closes.pulses {
        let most = [pulse.count, pulse.resets, pulse.survivors, pulse.newcomers].into_iter().max();
        codec.check("analysis", most <= Some(connections), TOO_MANY);
    }
    let places = [(&analysis.targets, &summary.targets), (&analysis.sources, &summary.sources)];
    for (spreads, breakdown) in places {
        let is_each = spreads.is_empty() || spreads.len() == breakdown.count;
        codec.check("analysis", is_each, "neither none nor one of each target or source");
    }
    let each = analysis.targets.iter().chain(&analysis.sources);
    each.chain([&analysis.everywhere]).for_each(|place| spread(codec, connections, place));
}

fn spread(codec: &mut Codec<'_>, connections: u32, spread: &Spread) {
    let Spread { timeline, levels } = spread;
    let (mut by_order, mut by_level) = (Counts::ZERO, Counts::ZERO);
    let mut is_sound = true;
    let mut add = |sum: &mut Counts, counts: &Counts| {
        let dials = u64::from(sum.dials) + u64::from(counts.dials);
        is_sound &= dials <= connections.into() && is_possible(counts);
        if is_sound {
            sum.add(counts);
        }
    };
    timeline.cells.iter().for_each(|cell| add(&mut by_order, &cell.counts));
    levels.cells.iter().for_each(|counts| add(&mut by_level, counts));
    codec.check("analysis", is_sound && by_order == by_level, "dials that do not add up");
    let are_levels = timeline.cells.iter().all(|cell| {
        let is_level =
            |level: &std::ops::Range<u32>| level.start <= level.end && level.end <= connections;
        is_level(&cell.level) && is_level(&cell.level_at_first) && cell.from <= cell.to
    });
    let is_width = levels.width.is_power_of_two() && levels.width <= WIDTH_MAX;
    let is_sound = are_levels && is_width && levels.reached <= connections;
    codec.check("analysis", is_sound, "numbers of open connections that are not possible");
}

/// Whether these can be counts of some dials.
fn is_possible(counts: &Counts) -> bool {
    let through = counts.of(Outcome::Through) + counts.of(Outcome::Slow);
    let is_part = |one: u32, other: u32| one + other <= through;
    is_part(counts.closed_at_once, counts.unsettled)
        && is_part(counts.replied, counts.no_reply)
        && is_part(counts.syn_ack_repeated, 0)
}

fn rows(codec: &mut Codec<'_>, field: &'static str, connections: u32, breakdown: &Breakdown) {
    let is_row = |row: &Row| {
        let onset = &row.onset;
        let all = [
            row.dialed,
            row.established,
            row.errors,
            row.closed,
            row.no_reply,
            row.replied,
            row.closed_at_once,
            row.slow_or_pending,
            onset.before,
            onset.after,
            onset.hits,
        ];
        let most = all.into_iter().chain(row.reasons).max();
        most <= Some(connections)
    };
    codec.check(field, breakdown.worst.iter().all(is_row), TOO_MANY);
}
