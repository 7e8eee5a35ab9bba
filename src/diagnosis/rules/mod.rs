//! Symptom × pattern × corroboration → candidates. `priors` says what explains a symptom in a
//! pattern, `corroboration` which fact of the run speaks for a cause or against it. Both are tables.

mod connections;
mod corroboration;
mod dials;
mod local;
mod priors;
mod queue;
mod this_host;
mod view;

use super::causes::Cause;
use super::model::{Candidate, Evidence, Likelihood, Symptom};
use crate::order::sort_short_by_key;
use corroboration::CORROBORATION;
use view::Effect;
pub use view::View;

/// The candidates for a symptom, the most likely first.
pub fn candidates(view: &View<'_>) -> Vec<Candidate> {
    if let Symptom::LocalFailure { reason, errno } = view.observed.symptom {
        return local::candidates(view.case, reason, errno);
    }
    let mut weighed: Vec<(i8, Candidate)> =
        priors::of(view).iter().map(|(cause, prior)| (*prior, candidate(*cause))).collect();
    for (cause, is_introduced, rule) in CORROBORATION {
        let Some((effect, fact)) = rule(view) else { continue };
        let index = weighed.iter().position(|(_, known)| known.cause == *cause);
        let index = match index {
            Some(index) => index,
            None if *is_introduced => {
                weighed.push((0, candidate(*cause)));
                weighed.len() - 1
            }
            None => continue,
        };
        let (weight, known) = &mut weighed[index];
        let is_for = match effect {
            Effect::By(by) => {
                *weight = weight.saturating_add(by);
                by > 0
            }
            Effect::Proves => {
                *weight = CERTAIN;
                known.likelihood = Likelihood::Certain;
                true
            }
            Effect::RulesOut => {
                weighed.remove(index);
                continue;
            }
        };
        known.evidence.extend(fact.map(|fact| Evidence { is_for, fact }));
    }
    sort(weighed)
}

/// The weight of what is proven.
const CERTAIN: i8 = 100;

/// A candidate that weighs as much is likely, if it leads.
const LIKELY_MIN: i8 = 5;

/// What lags behind the first by more, with nothing that speaks for it, is not named.
const LEAD_MAX: i8 = 6;

fn candidate(cause: Cause) -> Candidate {
    Candidate { cause, likelihood: Likelihood::Possible, evidence: Vec::new(), knob: None }
}

fn sort(mut weighed: Vec<(i8, Candidate)>) -> Vec<Candidate> {
    if weighed.is_empty() {
        weighed.push((0, candidate(Cause::Undetermined)));
    }
    sort_short_by_key(&mut weighed, |(weight, _)| std::cmp::Reverse(*weight));
    let second = weighed.get(1).map_or(0, |(weight, _)| *weight);
    let (top, is_proven) = (weighed[0].0, weighed[0].0 == CERTAIN);
    if weighed[0].0 >= LIKELY_MIN && weighed[0].0 >= second + 2 && !is_proven {
        weighed[0].1.likelihood = Likelihood::Likely;
    }
    // Beside what is proven only what has evidence of its own is named.
    weighed.retain(|(weight, candidate)| {
        let is_backed = candidate.evidence.iter().any(|evidence| evidence.is_for);
        if is_proven {
            *weight == CERTAIN || (*weight >= LIKELY_MIN && is_backed)
        } else {
            *weight >= 0 && (*weight + LEAD_MAX >= top || is_backed)
        }
    });
    weighed.into_iter().map(|(_, candidate)| candidate).collect()
}
