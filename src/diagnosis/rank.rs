//! Which problem comes first, and which ones follow from another: an effect begins after its cause.

use super::closes::SAME_MOMENT;
use super::model::{ClosePattern, Scope, Symptom};
use super::pattern::{HITS_MIN, Pattern};
use super::symptoms::Observed;
use crate::engine::EndReason;
use crate::order::sort_short_by_key;

/// A symptom, and the indexes of those that it explains.
pub struct Ranked {
    pub index: usize,
    pub explains: Vec<usize>,
}

/// The most important first. O(symptoms²).
pub fn rank(all: &[Observed]) -> Vec<Ranked> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    sort_short_by_key(&mut order, |index| std::cmp::Reverse(weight(all, *index)));
    let mut ranked: Vec<Ranked> = Vec::new();
    let mut explained = vec![false; all.len()];
    for index in order.clone() {
        if explained[index] {
            continue;
        }
        let explains: Vec<usize> = order
            .iter()
            .copied()
            .filter(|other| *other != index && !explained[*other])
            .filter(|other| !ranked.iter().any(|known| known.index == *other))
            .filter(|other| explains(&all[index], &all[*other]))
            .collect();
        for other in &explains {
            explained[*other] = true;
        }
        ranked.push(Ranked { index, explains });
    }
    ranked
}

/// What kept connections from being established first, then what ended them, then slow dials; within
/// each the most hits.
fn weight(all: &[Observed], index: usize) -> (u8, u64) {
    let observed = &all[index];
    let hits = observed.fit.part.hits;
    let class = match &observed.symptom {
        Symptom::DialsSlow { .. } => 0,
        _ if hits < HITS_MIN => 1,
        // The end of a process comes before the failures of later dials.
        Symptom::Closed { how: ClosePattern::Simultaneous { .. }, .. }
            if all.iter().any(|other| explains(observed, other)) =>
        {
            4
        }
        // They did not last because others were open, as above a limit.
        Symptom::Closed { how: ClosePattern::NewestOnly { .. }, .. } => 3,
        Symptom::Closed { .. } | Symptom::HalfOpen | Symptom::NoReply { .. } => 2,
        Symptom::Lost { .. } | Symptom::KilledHere => 2,
        Symptom::DialsFailed { .. }
        | Symptom::ClosedOnAccept { .. }
        | Symptom::LocalFailure { .. }
        | Symptom::KeepaliveUnacked { .. }
        | Symptom::SynAckRepeated => 3,
    };
    (class, hits)
}

/// Whether the scope of `effect` lies within that of `cause`.
fn is_within_scope(cause: &Observed, effect: &Observed) -> bool {
    match (&cause.scope, &effect.scope) {
        (Scope::Targets { indexes: a, .. }, Scope::Targets { indexes: b, .. })
        | (Scope::Sources { indexes: a, .. }, Scope::Sources { indexes: b, .. }) => {
            b.iter().all(|index| a.contains(index))
        }
        (Scope::Targets { .. } | Scope::Sources { .. }, _) => false,
        _ => true,
    }
}

fn has_timeouts(symptom: &Symptom) -> bool {
    match symptom {
        Symptom::DialsFailed { reasons, pending, .. } => {
            *pending > 0 || reasons.iter().any(|(reason, _)| *reason == EndReason::TimedOut)
        }
        _ => false,
    }
}

/// Whether a server that closed all connections, or is down, shows this.
fn may_follow_a_restart(symptom: &Symptom) -> bool {
    match symptom {
        Symptom::DialsFailed { reasons, .. } => reasons.iter().all(|(reason, _)| {
            matches!(reason, EndReason::Refused | EndReason::TimedOut | EndReason::HostUnreachable)
        }),
        Symptom::HalfOpen | Symptom::NoReply { .. } => true,
        _ => false,
    }
}

/// Whether connections were reset at the time of the first refusal, as when a listener is closed with
/// connections in its accept queue.
pub fn is_reset_as_refused(refused: &Observed, closed: &Observed) -> bool {
    let is_refused = matches!(&refused.symptom, Symptom::DialsFailed { reasons, .. }
        if reasons.iter().all(|(reason, _)| *reason == EndReason::Refused));
    let is_reset = matches!(closed.symptom, Symptom::ClosedOnAccept { resets, .. }
        if resets == closed.fit.part.hits);
    let (first, then) = (closed.began, refused.began);
    is_refused && is_reset && first + SAME_MOMENT >= then && then + SAME_MOMENT >= first
}

/// Whether `effect` follows from `cause`.
fn explains(cause: &Observed, effect: &Observed) -> bool {
    if !is_within_scope(cause, effect) {
        return false;
    }
    let begins_after = effect.began + SAME_MOMENT >= cause.began;
    match (&cause.symptom, &effect.symptom) {
        (
            Symptom::Closed {
                how: ClosePattern::Simultaneous { at, newcomers: false, .. }, ..
            },
            effect_of,
        ) => may_follow_a_restart(effect_of) && effect.began + SAME_MOMENT >= *at,
        // It was restarted: dials failed only in between.
        (
            Symptom::Closed { how: ClosePattern::Simultaneous { at, newcomers: true, .. }, .. },
            dials @ Symptom::DialsFailed { .. },
        ) => {
            may_follow_a_restart(dials)
                && effect.fit.pattern.is_over()
                && effect.began + SAME_MOMENT >= *at
        }
        (Symptom::DialsFailed { .. }, Symptom::ClosedOnAccept { .. }) => {
            is_reset_as_refused(cause, effect) && effect.fit.part.hits < cause.fit.part.hits
        }
        (
            failed @ Symptom::DialsFailed { .. },
            Symptom::HalfOpen
            | Symptom::NoReply { .. }
            | Symptom::SynAckRepeated
            | Symptom::DialsSlow { .. },
        ) => has_timeouts(failed),
        (Symptom::DialsFailed { .. }, Symptom::KeepaliveUnacked { .. } | Symptom::Lost { .. }) => {
            // No keepalive acknowledged: even a server that has stopped accepting would do that.
            let is_all = effect.fit.pattern == Pattern::All;
            has_timeouts(&cause.symptom)
                && begins_after
                && (is_all || !cause.fit.pattern.is_a_count())
        }
        (Symptom::KeepaliveUnacked { .. }, Symptom::Lost { .. }) => true,
        (Symptom::KeepaliveUnacked { .. }, dials @ Symptom::DialsFailed { .. }) => {
            has_timeouts(dials) && begins_after
        }
        (
            Symptom::SynAckRepeated,
            Symptom::DialsSlow { .. } | Symptom::HalfOpen | Symptom::NoReply { .. },
        ) => true,
        (Symptom::HalfOpen, Symptom::DialsSlow { .. } | Symptom::NoReply { .. }) => true,
        (Symptom::NoReply { .. }, Symptom::DialsSlow { .. }) => true,
        (Symptom::ClosedOnAccept { resets, .. }, Symptom::DialsSlow { .. } | Symptom::HalfOpen) => {
            *resets * 10 >= cause.fit.part.hits * 9
        }
        _ => false,
    }
}
