//! The reference model: what the engine should be and do, told from the design and not from its
//! code. It shares nothing with the engine but the vocabulary: events, actions, plan, summary.
//!
//! It keeps a record of its own for each connection, in the plainest way (lists, scans, repeated
//! addition), is shown each turn as the driver saw it, and objects to whatever it would not have
//! done. The simulation, the exhaustive walk and the fuzzer show it theirs.
#![allow(dead_code, reason = "each test uses a part of it")]

macro_rules! check {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

mod checks;
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
mod turn;

use tcpgoon::engine::{Engine, Key, Summary};
use tcpgoon::sim::{Observer, Record};

use records::Verdict;
pub use state::Shadow;

impl Observer for Shadow {
    fn turn(&mut self, engine: &Engine, record: &Record) -> Verdict {
        self.watch(record)?;
        for slot in 0..self.plan.connections {
            let awaits = engine.awaits_answer(Key { slot, attempt: 0 });
            let same = awaits == self.awaits_answer(slot);
            check!(same, "slot {slot}: to await an answer is {awaits}, and should not be");
        }
        Ok(())
    }

    fn end(&mut self, engine: &Engine, summary: &Summary) -> Verdict {
        self.settle(engine, summary)
    }
}
