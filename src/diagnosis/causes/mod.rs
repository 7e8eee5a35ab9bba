//! `CAUSES`: every cause that a diagnosis can name, one record each, and the only source of names,
//! explanations, checks and fixes for the verdict, `tcpgoon explain` and the tests.
//!
//! Ordered by side: `server` (its kernel), `application`, `network`, `this_host`. The types are in
//! `record`.

mod application;
mod network;
pub mod record;
mod server;
#[cfg(test)]
mod tests;
mod this_host;

pub use record::{Cause, CauseRecord, Check, PLACEHOLDERS, Place};
use record::{LOG, MORE, OTHER_HOST, SEGMENTS, from_here, on_server};

use crate::engine::Side;

impl Cause {
    pub const COUNT: usize = Cause::Undetermined as usize + 1;

    /// In the order of the table.
    pub const ALL: [Cause; Cause::COUNT] = all();

    pub fn record(self) -> &'static CauseRecord {
        let mut index = self as usize;
        for records in CAUSES {
            match records.get(index) {
                Some(record) => return record,
                None => index -= records.len(),
            }
        }
        unreachable!("the table has a record for each cause: all() compares them")
    }

    /// The cause with this id.
    pub fn find(id: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.id() == id)
    }

    /// Stable, in kebab-case, for scripts and JSON.
    pub fn id(self) -> &'static str {
        self.record().id
    }

    pub fn side(self) -> Side {
        self.record().side
    }
}

/// Compiles only if the table has each cause once, at its own index.
const fn all() -> [Cause; Cause::COUNT] {
    let mut all = [Cause::Undetermined; Cause::COUNT];
    let (mut index, mut part) = (0, 0);
    while part < CAUSES.len() {
        let mut at = 0;
        while at < CAUSES[part].len() {
            let cause = CAUSES[part][at].cause;
            assert!(cause as usize == index, "the table is not in the order of the causes");
            all[index] = cause;
            (index, at) = (index + 1, at + 1);
        }
        part += 1;
    }
    assert!(index == Cause::COUNT, "a cause has no record");
    all
}

/// The table by side; see `Cause::record` and `Cause::ALL`.
pub static CAUSES: [&[CauseRecord]; 5] = [
    &server::RECORDS,
    &application::RECORDS,
    &network::RECORDS,
    &this_host::RECORDS,
    &[UNDETERMINED],
];

const UNDETERMINED: CauseRecord = CauseRecord {
    cause: Cause::Undetermined,
    id: "undetermined",
    side: Side::Beyond,
    title: "the evidence fits no single cause",
    explanation: "Too few connections failed, or in too mixed a way, to distinguish a limit, a \
        timeout, packet loss and an outage. More dials, or a capture at both ends, decide it.",
    checks: &[
        from_here(MORE, "more failures show their pattern"),
        from_here(OTHER_HOST, "no failure there: the path or this host"),
        on_server(SEGMENTS, "no SYN arrives: before the server"),
        on_server(LOG, "what it logged at the time"),
    ],
    fix: "None yet. Run again with more connections (-c), a longer --dial-timeout and a --hold, \
        and capture on both ends (tcpdump) while it runs.",
};
