//! What a rule looks at, and what it can say.

use crate::diagnosis::facts::{Case, Facts};
use crate::diagnosis::model::{Fact, Symptom};
use crate::diagnosis::symptoms::Observed;
use crate::engine::EndReason;

/// What a rule looks at.
pub struct View<'a> {
    pub case: &'a Case<'a>,
    pub facts: &'a Facts,
    pub observed: &'a Observed,
    /// The other symptoms of the run.
    pub others: &'a [Observed],
}

impl View<'_> {
    /// Whether it is about SYNs that got no reply.
    pub fn is_silent(&self) -> bool {
        match &self.observed.symptom {
            Symptom::DialsFailed { reasons, pending, slow, .. } => {
                let timed_out: u32 = reasons
                    .iter()
                    .filter(|(reason, _)| *reason == EndReason::TimedOut)
                    .map(|(_, count)| count)
                    .sum();
                timed_out + pending + slow > 0
            }
            Symptom::DialsSlow { .. } => true,
            _ => false,
        }
    }

    /// How many of the dials that failed failed for a reason.
    pub fn failed_by(&self, reason: EndReason) -> u32 {
        match &self.observed.symptom {
            Symptom::DialsFailed { reasons, .. } => {
                reasons.iter().filter(|(of, _)| *of == reason).map(|(_, count)| count).sum()
            }
            _ => 0,
        }
    }
}

/// What a fact does to a candidate.
pub enum Effect {
    /// So much likelier, or less likely where it is negative.
    By(i8),
    /// No other cause explains it.
    Proves,
    RulesOut,
}

/// A fact, told with its effect.
pub fn with_fact(effect: Effect, fact: Fact) -> RuleResult {
    Some((effect, Some(fact)))
}

/// Whether it is about dials.
pub fn is_dial(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. } | Symptom::DialsSlow { .. })
}

/// Whether it is about dials that failed.
pub fn is_failed(view: &View<'_>) -> bool {
    matches!(view.observed.symptom, Symptom::DialsFailed { .. })
}

/// What a rule says: nothing, or an effect with the fact behind it.
pub type RuleResult = Option<(Effect, Option<Fact>)>;

/// An ICMP error as a fact.
pub fn icmp_fact(count: &crate::icmp::IcmpCount, is_local: bool) -> Fact {
    let crate::icmp::IcmpError { is_v6, kind, code, offender } = count.error;
    Fact::Icmp { kind, code, is_v6, offender, is_local, count: count.dials }
}
