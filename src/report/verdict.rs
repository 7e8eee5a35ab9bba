//! The last lines of a report: what was reached, what stopped it, on which side, and what to look at
//! next. A pure function of the evidence, which it never goes beyond: where two limits look alike
//! from here, both are named, and what tells them apart.

use std::fmt::{self, Write};

use super::remedies::{Remedy, remedy};
use super::served;
use super::shape::{HITS_MIN, Shape};
use super::troubles::{Kind, Trouble, troubles};
use crate::engine::{EndReason, State, Summary};
use crate::plan::{Plan, Probe};
use crate::units::Moment;

/// What a verdict is made of.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub summary: &'a Summary,
    pub plan: &'a Plan,
    /// Packets that this host dropped on their way in meanwhile, of whomever; `None` if unknown.
    pub packets_dropped: Option<u64>,
}

pub fn write_verdict(out: &mut dyn Write, case: &Case<'_>) -> fmt::Result {
    writeln!(out, "--- verdict ---")?;
    write!(out, "Reached: {}.", reached(case.summary))?;
    let mut all = troubles(case);
    let Some(worst) = take_worst(case, &mut all) else {
        return writeln!(out, "{}", untroubled(case));
    };
    writeln!(out, " {}.{}", worst.happened, ended(case.summary))?;
    writeln!(out, "Side: {}", worst.remedy.side)?;
    writeln!(out, "Next: {}", worst.remedy.next)?;
    if all.is_empty() {
        return Ok(());
    }
    let others: Vec<String> = all.iter().map(|trouble| trouble.sentence(case)).collect();
    writeln!(out, "Also: {}.", others.join(". "))
}

fn reached(summary: &Summary) -> String {
    let (peak, asked) = (summary.established_peak, summary.last.connections);
    let plural = if peak == 1 { "" } else { "s" };
    match peak {
        0 => format!("no connection of {asked} asked for"),
        1 if asked == 1 => "1 concurrent connection, as asked for".to_owned(),
        _ if peak == asked => {
            format!("{peak} concurrent connection{plural}, all that were asked for")
        }
        _ => format!("{peak} concurrent connection{plural} of {asked} asked for"),
    }
}

/// Where nothing went wrong.
fn untroubled(case: &Case<'_>) -> String {
    let summary = case.summary;
    let asked = summary.last.connections;
    let ended = ended(summary);
    // What the server makes of them it was not asked, or not of all.
    let as_far_as = match (&case.plan.talk, case.plan.probe) {
        (Some(_), _) | (None, Probe::All) => "",
        (None, Probe::Sample) => ", as far as handshakes and a sample of the connections tell",
        (None, Probe::None) => ", as far as handshakes tell",
    };
    match summary.established_peak {
        peak if ended.is_empty() && peak == asked => format!(
            " Nothing limited this run{as_far_as}; if there is a limit, it is not below {asked}."
        ),
        0 => ended,
        _ => format!(" Nothing had limited them so far.{ended}"),
    }
}

/// What ended the run early, as a sentence with a space before it.
fn ended(summary: &Summary) -> String {
    let [untried, dialing] =
        [State::NotInitiated, State::Dialing].map(|state| summary.last.level(state));
    let who = match (summary.gave_up, summary.stopped) {
        _ if untried + dialing + summary.awaited + summary.unsettled == 0 => return String::new(),
        (true, _) => "--max-errors",
        (_, true) => "A signal",
        _ => return String::new(),
    };
    let awaited = summary.awaited;
    let parts = [
        (untried, "not dialed"),
        (dialing, "under way"),
        (awaited, "not answered yet"),
        (summary.unsettled, "not looked into yet"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
    format!(" {who} ended the run with {}.", parts.join(" and "))
}

/// The trouble that the verdict is about.
struct Worst {
    happened: String,
    remedy: Remedy,
}

/// Takes it away, and what is but another sign of it.
fn take_worst(case: &Case<'_>, all: &mut Vec<Trouble>) -> Option<Worst> {
    if all.is_empty() {
        return None;
    }
    let index = end_of_the_server(all).or_else(|| queue(all)).or_else(|| timed_out(all));
    let index = index.unwrap_or(0);
    let worst = all.remove(index);
    let mut happened = worst.sentence(case);
    let mut signs = Vec::new();
    let is_sign = |trouble: &Trouble| is_a_sign(case, &worst, trouble);
    while let Some(index) = all.iter().position(is_sign) {
        signs.push(all.remove(index));
    }
    for sign in &signs {
        let words = match worst.kind {
            // Where some came in again, it is no matter of all that came after it.
            Kind::Closed(_) if worst.onset.newcomers == 0 => sign.after_it(case),
            _ => sign.sentence(case),
        };
        happened = format!("{happened}. {words}");
    }
    Some(Worst { happened, remedy: remedy(case, &worst, &signs) })
}

/// All closed at one moment, whatever the dials after it met.
fn end_of_the_server(all: &[Trouble]) -> Option<usize> {
    let is_end = |trouble: &Trouble| {
        matches!(trouble.kind, Kind::Closed(ending) if ending.is_common())
            && trouble.hits >= HITS_MIN
            && trouble.onset.kept == 0
    };
    all.iter().position(is_end)
}

/// Dials that time out beside connections that nobody serves: the dials tell where it began.
fn queue(all: &[Trouble]) -> Option<usize> {
    let is_wall = |trouble: &Trouble| {
        trouble.kind == Kind::Beyond(EndReason::TimedOut)
            && trouble.shape != Shape::TooFew
            && all.iter().any(|other| {
                matches!(other.kind, Kind::Unanswered | Kind::HalfOpen) && is_there(trouble, other)
            })
    };
    all.iter().position(is_wall)
}

/// Dials that timed out tell it more surely than those that hung yet.
fn timed_out(all: &[Trouble]) -> Option<usize> {
    let is_first = all.first().is_some_and(|trouble| trouble.kind == Kind::Hanging);
    let timed_out = Kind::Beyond(EndReason::TimedOut);
    all.iter().position(|trouble| is_first && trouble.kind == timed_out)
}

/// Whether the second one is nowhere where the first one is not.
fn is_there(worst: &Trouble, other: &Trouble) -> bool {
    match (&worst.site, worst.only) {
        (None, _) => true,
        (Some(_), Some(_)) => other.only == worst.only,
        // Which ones these are is not kept.
        (Some(_), None) => false,
    }
}

/// Whether a way, or a host, that went dead does this. Who refuses is not dead.
fn may_be_dead(kind: Kind) -> bool {
    match kind {
        Kind::Beyond(reason) => {
            matches!(
                reason,
                EndReason::TimedOut | EndReason::HostUnreachable | EndReason::NetworkUnreachable
            )
        }
        Kind::Here(_) | Kind::Closed(_) => false,
        _ => true,
    }
}

/// Whether the second one comes with the first.
fn is_a_sign(case: &Case<'_>, worst: &Trouble, other: &Trouble) -> bool {
    if !is_there(worst, other) {
        return false;
    }
    match (worst.kind, other.kind) {
        (Kind::Closed(_), Kind::HalfOpen) => served::is_a_plain_reset(case, other),
        (Kind::Closed(ending), Kind::Beyond(reason)) => {
            // What was dialed afterwards.
            let [begun, met] = [worst, other].map(|trouble| {
                trouble.evidence.as_ref().map_or(Moment(0), |evidence| evidence.first)
            });
            ending.is_common()
                && worst.onset.kept == 0
                && matches!(
                    reason,
                    EndReason::Refused | EndReason::TimedOut | EndReason::HostUnreachable
                )
                && met + served::SAME_MOMENT >= begun
        }
        (Kind::Silent, kind) | (kind, Kind::Silent) => may_be_dead(kind),
        (Kind::Beyond(EndReason::TimedOut), Kind::Hanging) => true,
        (
            Kind::Beyond(EndReason::TimedOut) | Kind::Hanging,
            Kind::Unanswered | Kind::HalfOpen | Kind::Slow,
        ) => true,
        (Kind::Unanswered, Kind::HalfOpen | Kind::Slow) => true,
        (Kind::HalfOpen, Kind::Unanswered | Kind::Slow) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
