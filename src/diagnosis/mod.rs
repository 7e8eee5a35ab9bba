//! A finished run → a [`Diagnosis`], as data. Nothing here prints, and only the table of causes has
//! prose.
//!
//! * [`model`]: what a diagnosis is;
//! * [`causes`]: `CAUSES`, one record a cause: how it looks, how to check it, how to fix it;
//! * [`facts`]: the numbers that rules read; [`useful_checks`]: which checks are useful after a run;
//! * [`symptoms`]: what was observed, with its [`pattern`] and [`scope`]; [`closes`]: how connections
//!   were closed; [`chance`]: the tests against chance; [`churn`]: what differs under churn;
//! * [`rank`]: which symptom comes first, and which others it explains;
//! * [`rules`]: symptom × pattern × corroboration → candidates.

pub mod beside;
pub mod causes;
pub mod chance;
pub mod churn;
pub mod closes;
pub mod facts;
pub mod model;
pub mod pattern;
pub mod rank;
pub mod rules;
pub mod scope;
pub mod symptoms;
pub mod useful_checks;

pub use facts::Case;

use crate::engine::{EndReason, State, Summary};
use crate::error::exit;
use crate::units::Span;
use facts::Facts;
use model::{
    Candidate, ClosePattern, Diagnosis, EndedEarly, Problem, Reach, Reached, Symptom, Word,
};
use pattern::Pattern;
use rules::View;
use symptoms::Observed;

/// Explains a finished run. Cost: a few passes over its timeline, independent of the connections.
pub fn diagnose(case: &Case<'_>) -> Diagnosis {
    let facts = Facts::of(case);
    let reached = reached(case, &facts);
    let all = match case.summary.churn {
        Some(_) => churn::symptoms(case),
        None => symptoms::symptoms(case, &facts),
    };
    let problem = |index: usize| problem(case, &facts, &all, index);
    let problems: Vec<Problem> = rank::rank(&all)
        .into_iter()
        .map(|ranked| {
            let first = problem(ranked.index);
            let explained = |index| explained(&first, problem(index));
            let explains = ranked.explains.into_iter().map(explained).collect();
            Problem { explains, ..first }
        })
        .collect();
    let (word, exit_code) = word(case, &reached, &problems);
    let (pays, ended_early) = (beside::payer(case.summary), ended_early(case.summary));
    Diagnosis { word, exit_code, reached, pays, ended_early, problems }
}

/// A problem that another one explains keeps only the candidates that both have, or the first of the
/// other one.
fn explained(by: &Problem, mut problem: Problem) -> Problem {
    let is_shared =
        |one: &Candidate| by.candidates.iter().any(|candidate| candidate.cause == one.cause);
    problem.candidates.retain(is_shared);
    if problem.candidates.is_empty() {
        problem.candidates.extend(by.candidates.first().cloned());
    }
    problem
}

fn problem(case: &Case<'_>, facts: &Facts, all: &[Observed], index: usize) -> Problem {
    let observed = &all[index];
    let view = View { case, facts, observed, others: all };
    Problem {
        symptom: observed.symptom.clone(),
        share: observed.fit.part,
        outside: observed.fit.outside,
        pattern: observed.fit.pattern.clone(),
        scope: observed.scope.clone(),
        candidates: match case.summary.churn {
            Some(_) => churn::candidates(&view),
            None => rules::candidates(&view),
        },
        explains: Vec::new(),
    }
}

fn reached(case: &Case<'_>, facts: &Facts) -> Reached {
    let summary = case.summary;
    let checked = summary.checks.checked_last();
    let reach = match (facts.checks_replies && facts.replied > 0, checked) {
        (true, _) => Reach::Application,
        (false, 0) => Reach::Handshake,
        (false, checked) => Reach::Kernel { confirmed: facts.confirmed, checked },
    };
    let dialed_in = match (summary.first_dial, summary.last_dial) {
        (Some(first), Some(last)) => last.since(first),
        _ => Span::ZERO,
    };
    let planned = match summary.is_time_up {
        true => summary.last.connections - summary.last.level(State::NotInitiated),
        false => summary.last.connections,
    };
    Reached {
        planned,
        sustained: stayed_open(summary, planned),
        peak: summary.established_peak,
        established_ever: summary.established_ever,
        replied: facts.checks_replies.then_some(facts.replied),
        reach,
        dialed_in,
    }
}

/// The sustained level, without connections that a limit closed late: they wait for it in the accept
/// queue of an application that accepts slowly, one after the other, or it is enforced later.
fn stayed_open(summary: &Summary, planned: u32) -> u32 {
    let analysis = &summary.analysis;
    // All of the plan were open together, whatever was closed later.
    if summary.sustained == planned {
        return planned;
    }
    // Where all are closed on accept, there is always one that is not closed yet.
    let are_all = u64::from(analysis.closed_at_once_count()) == summary.established_ever;
    let level = match analysis.closed_at_once_newest || are_all {
        true => summary.sustained.min(analysis.everywhere.levels.reached),
        false => summary.sustained,
    };
    match closes::close_pattern(&analysis.closes, summary.last_dial.unwrap_or_default()) {
        ClosePattern::NewestOnly { kept, .. } => level.min(kept),
        _ => level,
    }
}

fn ended_early(summary: &Summary) -> Option<EndedEarly> {
    let [not_dialed, dialing] =
        [State::NotInitiated, State::Dialing].map(|state| summary.last.level(state));
    let by_signal = summary.stopped && !summary.hit_max_errors;
    let early = EndedEarly {
        by_signal,
        by_duration: summary.is_time_up && !summary.hit_max_errors && !by_signal,
        not_dialed,
        dialing,
        replies_pending: summary.replies_pending,
        checks_pending: summary.probes_pending,
    };
    let is_undone = not_dialed + dialing + summary.replies_pending + summary.probes_pending > 0;
    (is_undone && (by_signal || early.by_duration || summary.hit_max_errors)).then_some(early)
}

/// The first word, and its exit code.
fn word(case: &Case<'_>, reached: &Reached, problems: &[Problem]) -> (Word, u8) {
    let summary = case.summary;
    if let Some(churn) = &summary.churn {
        return churn::word(case, churn);
    }
    // What was established and did not stay is none.
    let is_some = reached.sustained > 0 || reached.replied.is_some_and(|replied| replied > 0);
    let some_or_none = if is_some { Word::Limit } else { Word::Failed };
    let is_undecided = summary.not_dialed() + summary.last.level(State::Dialing) > 0;
    if summary.hit_max_errors {
        return (some_or_none, exit::WITH_ERRORS);
    }
    if summary.stopped && (is_undecided || summary.replies_pending > 0) {
        return (Word::Stopped, exit::NOT_COMPLETED);
    }
    let is_all_replied = reached.replied == Some(reached.planned.into());
    let is_all_open = reached.sustained == reached.planned && reached.replied.is_none();
    if !is_all_open && !is_all_replied {
        return (some_or_none, exit::WITH_ERRORS);
    }
    let all =
        || problems.iter().flat_map(|problem| std::iter::once(problem).chain(&problem.explains));
    let has_no_reply = all().any(|problem| {
        match problem.symptom {
            // On all of them: the server defers accept(). On a few, scattered: final ACKs were
            // lost, and the ACK to the retransmitted SYN-ACK completes the handshake.
            Symptom::SynAckRepeated => {
                problem.pattern != Pattern::All
                    && !symptoms::are_final_acks_lost(case, &problem.pattern, problem.share)
            }
            Symptom::Lost { .. } | Symptom::HalfOpen | Symptom::KeepaliveUnacked { .. } => true,
            _ => false,
        }
    });
    let is_closed = all()
        .any(|problem| matches!(problem.symptom, Symptom::Closed { .. } | Symptom::KilledHere));
    match (has_no_reply, is_closed) {
        (true, _) => (Word::Limit, exit::WITH_ERRORS),
        (false, true) => (Word::Limit, exit::ALL_ESTABLISHED),
        (false, false) => (Word::Ok, exit::ALL_ESTABLISHED),
    }
}

/// Connections that the peer closed, by FIN or RST.
pub fn closed_by_peer(summary: &Summary) -> u64 {
    summary.ended_by(EndReason::PeerClosed) + summary.ended_by(EndReason::PeerReset)
}
