//! The input and the result of a rule.

use crate::diagnosis::facts::{Case, Facts};
use crate::diagnosis::model::{Fact, Symptom};
use crate::diagnosis::symptoms::Observed;
use crate::engine::EndReason;

/// The input of a rule: one symptom, with the run around it.
pub struct View<'a> {
    pub case: &'a Case<'a>,
    pub facts: &'a Facts,
    pub observed: &'a Observed,
    /// The other symptoms of the run.
    pub others: &'a [Observed],
}

impl View<'_> {
    /// Whether it includes SYNs without a reply.
    pub fn is_silent(&self) -> bool {
        match &self.observed.symptom {
            Symptom::DialsFailed { reasons, pending, slow, .. } => {
                let timed_out: u64 = reasons
                    .iter()
                    .filter(|(reason, _)| *reason == EndReason::TimedOut)
                    .map(|(_, count)| count)
                    .sum();
                timed_out + u64::from(*pending) + slow > 0
            }
            Symptom::DialsSlow { .. } => true,
            _ => false,
        }
    }

    /// The failed dials with this end reason.
    pub fn failed_by(&self, reason: EndReason) -> u64 {
        match &self.observed.symptom {
            Symptom::DialsFailed { reasons, .. } => {
                reasons.iter().filter(|(of, _)| *of == reason).map(|(_, count)| count).sum()
            }
            _ => 0,
        }
    }
}

/// The effect of a rule on a candidate.
pub enum Effect {
    /// Adds to its weight, or subtracts.
    By(i8),
    /// No other cause explains the fact.
    Proves,
    RulesOut,
}

/// The effect, with the fact as printed evidence.
pub fn with_fact(effect: Effect, fact: Fact) -> RuleResult {
    Some((effect, Some(fact)))
}

/// Whether it is a symptom of dials.
pub fn is_dial(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. } | Symptom::DialsSlow { .. })
}

/// Whether it is a symptom of failed dials.
pub fn is_failed(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. })
}

/// `None` if the rule does not apply; the fact is printed as evidence.
pub type RuleResult = Option<(Effect, Option<Fact>)>;

/// An ICMP error as a fact.
pub fn icmp_fact(count: &crate::icmp::IcmpCount, is_local: bool) -> Fact {
    let crate::icmp::IcmpError { is_v6, kind, code, offender } = count.error;
    Fact::Icmp { kind, code, is_v6, offender, is_local, count: count.dials }
}
