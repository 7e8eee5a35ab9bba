//! The reference model of the engine: written from the design, not from the engine's code. It shares
//! only events, actions, plan and summary with it.
//!
//! It is naive (lists, scans, repeated addition). As an [`Observer`] it sees each turn and objects to
//! whatever it would not have done. The simulation, the exhaustive walk and the fuzzer use it.
//!
//! ```text
//! turn         one turn, in the engine's order
//!  ├ events      events → closes, notes
//!  ├ deadlines   what expires
//!  ├ checks      replies, suspects, keepalives: when, and what is read
//!  ├ tcp_info    what a read means
//!  ├ churn       the ends of lifetimes, and dials of free slots
//!  ├ beside      connections held beside these, checked again and again
//!  ├ rounds      later rounds of keepalives
//!  └ gaps        pauses, the sustained level
//! summary      the end of the run, compared
//!  ├ failures, distribution
//!  └ routing     routes, exhausted ports
//! state        everything that is kept; records: its parts
//! ```
#![allow(dead_code, reason = "each test uses a part of it")]

macro_rules! check {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

mod beside;
mod checks;
mod churn;
mod deadlines;
mod distribution;
mod events;
mod failures;
mod gaps;
mod records;
mod rounds;
mod routing;
mod state;
mod summary;
mod tcp_info;
mod turn;

use tcpgoon::engine::{Engine, Summary};
use tcpgoon::sim::{Observer, Record};

use records::Verdict;
pub use state::Shadow;

impl Observer for Shadow {
    fn turn(&mut self, engine: &Engine, record: &Record) -> Verdict {
        self.check_turn(record)?;
        for slot in 0..self.plan.connections {
            let awaits = engine.expects_reply(self.key(slot));
            let same = awaits == self.awaits_answer(slot);
            check!(same, "slot {slot}: awaits_answer is {awaits}, and should not be");
        }
        Ok(())
    }

    fn end(&mut self, engine: &Engine, summary: &Summary) -> Verdict {
        self.compare_summary(engine, summary)
    }
}
