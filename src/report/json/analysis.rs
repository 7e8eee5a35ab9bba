//! What the diagnosis is made from: what became of the dials, in the order of their SYNs and by how many
//! connections were open at each, and when connections were closed.

use super::codec::Codec;
use super::names;
use crate::engine::analysis::Timeline;
use crate::engine::analysis::closes::PULSES_MAX;
use crate::engine::analysis::levels::CELLS_MAX as LEVELS_MAX;
use crate::engine::analysis::timeline::CELLS_MAX;
use crate::engine::analysis::{Analysis, Cell, Closes, Counts, Levels, Outcome, Pulse, Spread};
use crate::engine::breakdown::{Breakdown, HitKind, Hits, ROWS_MAX};
use crate::engine::{EndReason, State, Summary};
use crate::units::Span;

pub fn fields(codec: &mut Codec<'_>, summary: &mut Summary) {
    codec.object("analysis", &mut |codec| {
        let analysis = &mut summary.analysis;
        codec.object("everywhere", &mut |codec| spread(codec, &mut analysis.everywhere));
        codec.list("targets", &mut analysis.targets, ROWS_MAX, Spread::default, &mut spread);
        codec.list("sources", &mut analysis.sources, ROWS_MAX, Spread::default, &mut spread);
        on_accept(codec, analysis);
        codec.object("closes", &mut |codec| closes(codec, &mut analysis.closes));
        hits(codec, "target_hits", &mut summary.targets);
        hits(codec, "source_hits", &mut summary.sources);
    });
}

fn spread(codec: &mut Codec<'_>, spread: &mut Spread) {
    let mut cells = spread.timeline.cells.clone();
    codec.list("dials", &mut cells, CELLS_MAX, Cell::default, &mut |codec, cell| {
        codec.moment("from_ns", &mut cell.from);
        codec.moment("to_ns", &mut cell.to);
        codec.number("open_from_count", &mut cell.level.start);
        codec.number("open_to_count", &mut cell.level.end);
        // At the first of them it is mostly the same.
        let (level, first) = (&cell.level, &mut cell.level_at_first);
        codec.number_or("first_open_from_count", &mut first.start, level.start);
        codec.number_or("first_open_to_count", &mut first.end, level.end);
        counts(codec, &mut cell.counts);
    });
    if codec.is_reading() {
        spread.timeline = Timeline::of(cells);
    }
    codec.object("levels", &mut |codec| {
        let Levels { width, cells, reached } = &mut spread.levels;
        codec.number("width_count", width);
        codec.number("reached_count", reached);
        codec.list("dials", cells, LEVELS_MAX, Counts::default, &mut counts);
    });
}

/// What is 0 is left out.
fn counts(codec: &mut Codec<'_>, counts: &mut Counts) {
    let [through, slow, pending, failed @ ..] = &mut counts.outcomes;
    for (field, count) in [
        ("through_count", through),
        ("slow_count", slow),
        ("pending_count", pending),
        ("closed_on_accept_count", &mut counts.closed_at_once),
        ("replied_count", &mut counts.replied),
        ("no_reply_count", &mut counts.no_reply),
        ("unsettled_count", &mut counts.unsettled),
        ("syn_ack_repeated_count", &mut counts.syn_ack_repeated),
    ] {
        codec.number_or_0(field, count);
    }
    let reasons = EndReason::ALL.into_iter().zip(failed);
    let ends_dials = reasons.filter(|(reason, _)| reason.ends_in() == State::Error);
    ends_dials.for_each(|(reason, count)| codec.number_or_0(names::failed(reason), count));
    if codec.is_reading() {
        let sum = counts.outcomes.iter().try_fold(0u32, |sum, count| sum.checked_add(*count));
        codec.check("", sum.is_some(), "the sum of these dials is too large");
        counts.dials = sum.unwrap_or(0);
    }
}

const _: () = assert!(Outcome::COUNT == 3 + EndReason::COUNT);

fn on_accept(codec: &mut Codec<'_>, analysis: &mut Analysis) {
    codec.object("closed_on_accept", &mut |codec| {
        let [fin, rst] = &mut analysis.closed_at_once;
        codec.number("fin_count", fin);
        codec.number("rst_count", rst);
        codec.number("age_max_ns", &mut analysis.at_once_age_max);
        let (mut first, mut last) = analysis.closed_at_once_seen.unzip();
        codec.moment_or_null("first_ns", &mut first);
        codec.moment_or_null("last_ns", &mut last);
        analysis.closed_at_once_seen = first.zip(last);
        codec.flag("is_newest_mostly", &mut analysis.closed_at_once_newest);
    });
}

fn closes(codec: &mut Codec<'_>, closes: &mut Closes) {
    codec.number("closes_count", &mut closes.count);
    codec.number("resets_count", &mut closes.resets);
    codec.moment("first_ns", &mut closes.first);
    codec.moment("last_ns", &mut closes.last);
    codec.number("moments_ns", &mut closes.moments);
    for (field, age) in [
        ("age_min_ns", &mut closes.age_min),
        ("age_p2_ns", &mut closes.age_p2),
        ("age_p50_ns", &mut closes.age_p50),
        ("age_p98_ns", &mut closes.age_p98),
        ("age_max_ns", &mut closes.age_max),
    ] {
        codec.number(field, age);
    }
    codec.number("undated_count", &mut closes.undated);
    codec.list("pulses", &mut closes.pulses, PULSES_MAX, Pulse::default, &mut pulse);
    codec.number("pulses_count", &mut closes.pulses_count);
    codec.number("survivors_count", &mut closes.survivors);
    codec.number("survivor_age_max_ns", &mut closes.survivor_age_max);
    codec.flag("is_oldest_first", &mut closes.is_oldest_first);
    codec.flag("is_newest_only", &mut closes.is_newest_only);
    codec.flag("is_newest_mostly", &mut closes.is_newest_mostly);
}

fn pulse(codec: &mut Codec<'_>, pulse: &mut Pulse) {
    codec.moment("from_ns", &mut pulse.from);
    codec.moment("to_ns", &mut pulse.to);
    codec.number("closes_count", &mut pulse.count);
    codec.number("resets_count", &mut pulse.resets);
    codec.number("age_min_ns", &mut pulse.age_min);
    codec.number("age_max_ns", &mut pulse.age_max);
    codec.number("survivors_count", &mut pulse.survivors);
    codec.number("survivor_age_max_ns", &mut pulse.survivor_age_max);
    // Without survivors the least age is none.
    let mut youngest = Some(pulse.survivor_age_min).filter(|age| *age < Span(u64::MAX));
    codec.number_or_null("survivor_age_min_ns", &mut youngest);
    pulse.survivor_age_min = youngest.unwrap_or(Span(u64::MAX));
    codec.number("newcomers_count", &mut pulse.newcomers);
}

/// Of all rows, where more are than are listed.
#[inline(never)]
fn hits(codec: &mut Codec<'_>, field: &'static str, breakdown: &mut Breakdown) {
    let is_more = breakdown.count > ROWS_MAX;
    let kinds: Vec<HitKind> = HitKind::all().collect();
    let mut all: Vec<(HitKind, Hits)> = Vec::new();
    for kind in &kinds {
        let hits = breakdown.hits(*kind);
        if is_more && hits.rows > 0 {
            all.push((*kind, hits));
        }
    }
    let none = || (HitKind::Closed, Hits::default());
    codec.list(field, &mut all, HitKind::COUNT, none, &mut |codec, (kind, hits)| {
        codec.choice("hit", kind, &kinds, names::hit);
        codec.number("rows_count", &mut hits.rows);
        codec.number("hits_count", &mut hits.hits);
        codec.number("dialed_count", &mut hits.dialed);
        codec.number("established_count", &mut hits.established);
        let (mut index, mut most) = hits.worst.unwrap_or_default();
        codec.number("worst_index_number", &mut index);
        codec.number("worst_hits_count", &mut most);
        hits.worst = Some((index, most));
        codec.check("hits_count", hits.hits > 0 && hits.rows > 0, "1 and more are accepted");
    });
    if codec.is_reading() && is_more {
        kinds.iter().for_each(|kind| breakdown.set_hits(*kind, Hits::default()));
        all.into_iter().for_each(|(kind, hits)| breakdown.set_hits(kind, hits));
    }
}
