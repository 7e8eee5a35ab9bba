//! When the poll loop of this host stalls.

use std::collections::VecDeque;

use crate::plan::{Hold, Plan};
use crate::sim::random::Random;
use crate::units::{Moment, Span};

/// Whether the poll loop stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalls {
    None,
    /// One to three times, for 0.1 to 5 s each, at any step.
    Some,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    pub at: Moment,
    pub length: Span,
}

impl Stalls {
    /// Random stalls within the length of `plan`.
    pub fn schedule(self, plan: &Plan, start: Moment, random: &mut Random) -> VecDeque<Stall> {
        if self == Stalls::None {
            return VecDeque::new();
        }
        let hold = match plan.hold {
            Hold::For(span) => span,
            Hold::Forever => Span::from_s(60),
        };
        let dials = plan.pace.offset(plan.connections);
        let most = dials + hold + plan.dial_timeout.unwrap_or(Span::from_s(5));
        let mut stalls: Vec<Stall> = (0..random.small(1, 3))
            .map(|_| {
                // Half of them within the dials: most of a run is hold.
                let within = if random.chance(500) { dials + Span::from_ms(20) } else { most };
                let at = start + random.span(Span::ZERO, within);
                // Short ones are as likely as long ones.
                let longest = random.pick(&[Span::from_ms(300), Span::from_s(1), Span::from_s(5)]);
                Stall { at, length: random.span(Span::from_ms(100), longest) }
            })
            .collect();
        stalls.sort_by_key(|stall| stall.at);
        stalls.into()
    }
}
