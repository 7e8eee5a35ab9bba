//! Rules about the accept queue, and a slow application behind it.

use super::view::{Effect, RuleResult, View, is_dial, is_failed, with_fact};
use crate::diagnosis::model::{Fact, Symptom};
use crate::diagnosis::pattern::{HITS_MIN, Pattern};
use crate::diagnosis::symptoms::{Observed, are_final_acks_lost};
use crate::engine::EndReason;
use crate::engine::failure_times::SLOW_DIAL_MIN;
use crate::limits::is_loopback;

fn is_about_queue(view: &View<'_>) -> bool {
    is_dial(view) || matches!(view.observed.symptom, Symptom::NoReply { .. })
}

pub fn syn_ack_repeated(view: &View<'_>) -> RuleResult {
    // Scattered: lost final ACKs show the same.
    let is_loss = view.others.iter().any(|other| {
        other.symptom == Symptom::SynAckRepeated
            && are_final_acks_lost(view.case, &other.fit.pattern, other.fit.part)
    });
    let connections = if is_loss { 0 } else { view.facts.syn_ack_repeated };
    (is_about_queue(view) && connections >= HITS_MIN).then_some(())?;
    with_fact(Effect::By(3), Fact::SynAckRepeated { connections })
}

/// The first connections got replies, the last ones did not: they are in the accept queue.
pub fn not_all_replied(view: &View<'_>) -> RuleResult {
    let facts = view.facts;
    let is_it = is_failed(view)
        && view.observed.fit.pattern.is_a_count()
        && facts.replied > 0
        && facts.no_reply >= HITS_MIN;
    is_it.then_some(())?;
    Some((Effect::By(4), None))
}

pub fn not_all_replied_above(view: &View<'_>) -> RuleResult {
    not_all_replied(view)?;
    Some((Effect::By(2), None))
}

/// Whether all got replies, so quickly that a queue would have had room for SYN retransmissions.
fn has_replied_to_all(view: &View<'_>) -> bool {
    let facts = view.facts;
    let queue_empty_after = SLOW_DIAL_MIN + view.case.summary.first_byte_times.max();
    facts.checks_replies
        && facts.replied > 0
        && facts.replied == facts.established_ever
        && view.case.plan.dial_timeout.is_none_or(|timeout| timeout > queue_empty_after)
}

pub fn all_replied(view: &View<'_>) -> RuleResult {
    (is_failed(view) && view.is_silent() && has_replied_to_all(view)).then_some(())?;
    with_fact(Effect::By(3), Fact::AllReplied { replied: view.facts.replied })
}

pub fn all_replied_against(view: &View<'_>) -> RuleResult {
    let is_it = is_failed(view) && view.is_silent() && has_replied_to_all(view);
    is_it.then_some(())?;
    with_fact(Effect::By(-2), Fact::AllReplied { replied: view.facts.replied })
}

/// Most of the replies are errors of the server, and the others do not come.
pub fn busy(view: &View<'_>) -> RuleResult {
    let (busy, replied) = (view.case.summary.answers.busy(), view.facts.replied);
    let is_it = matches!(view.observed.symptom, Symptom::NoReply { .. }) && busy * 2 > replied;
    is_it.then_some(())?;
    with_fact(Effect::By(4), Fact::Busy { busy, replied })
}

pub fn listen_overflows(view: &View<'_>) -> RuleResult {
    let count = view.facts.listen_overflows;
    // The counter covers all servers on this host, and only those.
    let mut targets = view.case.plan.routes.targets().iter();
    let is_here = targets.all(|target| is_loopback(target.address.ip()));
    let enough = count >= view.observed.fit.part.hits;
    (is_dial(view) && view.is_silent() && is_here && count > 0 && enough).then_some(())?;
    with_fact(Effect::By(4), Fact::ListenOverflows { count })
}

/// RST about one RTT after the final ACK, without data, beside SYNs without a reply: a full queue with
/// tcp_abort_on_overflow. An application that closes sends FIN.
pub fn reset_after_handshake(view: &View<'_>) -> RuleResult {
    let Symptom::ClosedOnAccept { resets, .. } = view.observed.symptom else { return None };
    let hits = view.observed.fit.part.hits;
    let sends = view.case.plan.reply_check.as_ref().is_some_and(|check| !check.send.is_empty());
    let is_it = resets * 10 >= hits * 9 && !sends && view.case.summary.received_bytes == 0;
    is_it.then_some(())?;
    let has_slow_syns = view.facts.slow_through > 0 || view.facts.timed_out > 0;
    let effect = Effect::By(if has_slow_syns { 7 } else { 3 });
    with_fact(effect, Fact::ResetAfterHandshake { connections: resets })
}

pub fn half_open_beside(view: &View<'_>) -> RuleResult {
    let connections = view.facts.half_open;
    (is_dial(view) && view.is_silent() && connections > 0).then_some(())?;
    with_fact(Effect::By(3), Fact::HalfOpen { connections })
}

pub fn slow_through(view: &View<'_>) -> RuleResult {
    let through = view.facts.slow_through;
    (view.observed.symptom == Symptom::HalfOpen && through > 0).then_some(())?;
    with_fact(
        Effect::By(2),
        Fact::Retransmissions { failed: view.facts.failed_retransmits, through },
    )
}

/// More SYNs than replies are lost, in random order: packet loss explains the replies as well.
pub fn loss_beside(view: &View<'_>) -> RuleResult {
    let Symptom::NoReply { .. } = view.observed.symptom else { return None };
    let hits = view.observed.fit.part.hits;
    let is_loss = |other: &Observed| {
        is_about_dials(other)
            && other.fit.pattern == Pattern::Scattered
            && other.fit.part.hits >= hits
    };
    view.others.iter().any(is_loss).then_some(())?;
    Some((Effect::By(6), None))
}

/// SYN retransmissions above a count: the accept queue overflows, and connections in it get no reply.
pub fn queue_beside(view: &View<'_>) -> RuleResult {
    let Symptom::NoReply { .. } = view.observed.symptom else { return None };
    let is_queue = |other: &Observed| {
        let pattern = &other.fit.pattern;
        let is_queue = pattern.is_a_count() || *pattern == Pattern::Irregular;
        is_about_dials(other) && is_queue && other.fit.part.hits >= HITS_MIN
    };
    view.others.iter().any(is_queue).then_some(())?;
    let through = view.facts.slow_through;
    with_fact(
        Effect::By(6),
        Fact::Retransmissions { failed: view.facts.failed_retransmits, through },
    )
}

fn is_about_dials(observed: &Observed) -> bool {
    match &observed.symptom {
        Symptom::DialsSlow { .. } => true,
        Symptom::DialsFailed { reasons, .. } => {
            reasons.iter().any(|(reason, _)| *reason == EndReason::TimedOut)
        }
        _ => false,
    }
}
