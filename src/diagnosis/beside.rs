//! Which connections pay at a limit: those that churn, those that were held beside them, or all.

use super::churn::{dials, established};
use super::model::{Payer, Pays};
use super::pattern::HITS_MIN;
use crate::engine::beside::BesideStats;
use crate::engine::{EndReason, Side, State, Summary};
use crate::units::{Moment, Span};

/// One of this number of dials or connections is a limit, and not an accident.
const ONE_OF: u64 = 100;

/// A median that has grown to this multiple, and by this, is slower: keepalives are timed to some 10 ms.
const SLOWER: u64 = 2;
const SLOWER_BY: Span = Span::from_ms(15);

/// Dials that failed, and connections that ended otherwise than by us; without those that were held.
pub fn churning_ends(summary: &Summary, beside: &BesideStats) -> [u64; 2] {
    let is_close = |reason: &EndReason| reason.ends_in() == State::Closed;
    let closes = EndReason::ALL.into_iter().filter(is_close);
    let closed: u64 = closes.map(|reason| summary.ended_by(reason)).sum();
    let held = u64::from(beside.before.ends()) + u64::from(beside.during.ends());
    let errors = summary.errors.saturating_sub(beside.errors.into());
    [errors, closed.saturating_sub(held)]
}

/// The dial time that `permille` of the dials of a part of the churn did not exceed: of its first
/// quarter, of its last one; of the dials before it.
pub fn dial_times(summary: &Summary, began: Moment, permille: u32) -> [Option<Span>; 3] {
    let since = |at: Moment| at.since(summary.start);
    let last = summary.last_dial.map_or(began, |at| at.max(began));
    let quarter = Span(last.since(began).0 / 4);
    let (from, to) = (since(began), since(summary.end));
    let of = |from, to| summary.series.between(from, to).dial_quantile(permille);
    [
        of(from, from + quarter),
        of(Span(since(last).0.saturating_sub(quarter.0)), to),
        of(Span::ZERO, from),
    ]
}

/// `None` where no limit was met, or where it is not clear.
pub fn payer(summary: &Summary) -> Option<Pays> {
    let beside = summary.churn.as_ref()?.beside.as_deref()?;
    let began = beside.began?;
    let (tried, opened) = (dials(summary), established(summary));
    // A limit of this host is none of the server.
    let mut reasons = EndReason::ALL.into_iter();
    if reasons.any(|reason| reason.side() == Side::ThisHost && summary.ended_by(reason) > 0) {
        return None;
    }
    // What held connections lose before the churn has another cause.
    if beside.before.ends() > 0 || beside.before.unanswered > 0 || beside.open() == 0 && opened == 0
    {
        return None;
    }
    let is_limit = |hits: u64, of: u64| hits >= HITS_MIN && hits.saturating_mul(ONE_OF) >= of;
    let failed = churning_ends(summary, beside).into_iter().sum();
    let lost = u64::from(beside.during.ends());
    let held = u64::from(beside.established);
    let pays = |payer| Some(Pays { payer, failed, tried, lost, held });
    let do_newcomers = is_limit(failed, tried);
    let do_held = lost > 0 && lost.saturating_mul(ONE_OF) >= held;
    match (do_newcomers, do_held) {
        (true, true) => return pays(Payer::Both),
        (true, false) if lost == 0 && beside.during.unanswered == 0 && held > 0 => {
            return pays(Payer::Newcomers);
        }
        (false, true) if opened > 0 => return pays(Payer::Held),
        (false, false) => {}
        _ => return None,
    }
    let [_, dial, before] = dial_times(summary, began, 500);
    let rtt = [&beside.before.rtt, &beside.during.rtt].map(|times| times.quantile(500));
    let is_slower = |before: Span, now: Span, by: Span| {
        now.0 >= before.0.saturating_mul(SLOWER) && now >= before + by
    };
    let are_checks = beside.before.rtt.count() > 0 && is_slower(rtt[0], rtt[1], SLOWER_BY);
    let is_dial = is_slower(before?, dial?, Span::from_ms(1));
    let times = [rtt[0], rtt[1], before?, dial?];
    (are_checks && is_dial).then_some(())?;
    pays(Payer::All { times: times.map(Span::rounded_to_3_digits) })
}
