//! The validated run that the engine carries out.

use std::sync::Arc;

use crate::ask::Preset;
use crate::rehearsal::Rehearsal;
use crate::route::{OtherAddresses, Routes};
use crate::units::{NS_PER_S, Span};

/// The most connections of one run.
pub const CONNECTIONS_MAX: u32 = 64_000_000;

/// The most bytes of a text to send or expect: it has to fit into any socket's send buffer at once.
pub const TEXT_BYTES_MAX: usize = 4096;

/// When dials are due: `dials` of them every `span`. No dials: unpaced, one a loop iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pub span: Span,
    pub dials: u64,
}

impl Pace {
    pub const UNPACED: Pace = Pace { span: Span::ZERO, dials: 0 };

    /// One dial every `sleep`.
    pub fn sleep(sleep: Span) -> Pace {
        if sleep == Span::ZERO { Pace::UNPACED } else { Pace { span: sleep, dials: 1 } }
    }

    /// `rate_milli` thousandths of a dial a second; at least one thousandth.
    pub fn rate(rate_milli: u64) -> Pace {
        Pace { span: Span(1000 * NS_PER_S), dials: rate_milli }
    }

    /// How long after the start dial `index` is due: `index × span / dials`, rounded down, so that
    /// no error adds up.
    pub fn offset(&self, index: impl Into<u64>) -> Span {
        if self.dials == 0 {
            return Span::ZERO;
        }
        let ns = u128::from(index.into()) * u128::from(self.span.0) / u128::from(self.dials);
        Span(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// How many dials are due within this time, its ends included; 0 without a pace.
    pub fn dials_within(&self, span: Span) -> u64 {
        let dials = u128::from(span.0) * u128::from(self.dials);
        let full = dials.checked_div(u128::from(self.span.0)).map(|dials| dials + 1);
        u64::try_from(full.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    pub fn is_paced(&self) -> bool {
        self.dials > 0
    }
}

/// How long the connections are kept open after the last dial has opened or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    For(Span),
    /// Until a signal.
    Forever,
}

/// How a run closes the connections that are open at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Close {
    /// Leaves the port in TIME_WAIT for a minute.
    #[default]
    Fin,
    /// Leaves no state behind.
    Rst,
}

/// Which connections get keepalive probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    #[default]
    None,
    /// An even sample of about [`SAMPLE_MAX`].
    Sample,
    All,
}

impl Probe {
    /// The distance between two probed slots; 0: none is probed.
    pub fn stride(self, connections: u32) -> u32 {
        match self {
            Probe::None => 0,
            Probe::Sample => connections.div_ceil(SAMPLE_MAX),
            Probe::All => 1,
        }
    }
}

/// The most connections of a sample.
pub const SAMPLE_MAX: u32 = 1_000;

/// The shortest hold in which a sample is probed by default: shorter ones leave no time for it.
pub const SAMPLE_HOLD_MIN: Span = Span::from_s(2);

/// What is sent on each connection once it is established, and the reply that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyCheck {
    /// Sent once; may be empty.
    pub send: Arc<[u8]>,
    /// A reply has this text in its first bytes; empty: any byte is a reply.
    pub expect: Arc<[u8]>,
    /// From the moment at which the connection was established.
    pub reply_timeout: Span,
}

/// What a check of an established connection costs of [`Budgets::expiries_max`]: a keepalive takes
/// four system calls, and dials are waiting.
pub const CHECK_COST: u32 = 8;

/// At its reply deadline a connection is drained up to this number of reads at once; by default
/// that is all of a reply that is ever searched.
pub const FINAL_DRAIN_FACTOR: u32 = 16;

/// What such a drain costs of [`Budgets::expiries_max`]: four of them a turn, by default.
pub const FINAL_DRAIN_COST: u32 = 64;

/// How much one turn of the engine may do. What does not fit waits for the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Readiness events taken from one poll.
    pub events_max: u32,
    /// Dials started in a turn. With more than one before a poll the reported times are wrong: 64
    /// of them report 530 µs for handshakes that take 13, at the same rate.
    pub dials_max: u32,
    /// Dials skipped because their route has no free port.
    pub skips_max: u32,
    /// Deadlines fired, and wheel entries moved down a level. A deadline of an established
    /// connection counts as [`CHECK_COST`] or [`FINAL_DRAIN_COST`]; the last one of a turn may
    /// exceed the budget.
    pub expiries_max: u32,
    /// Connections drained; those at their reply deadline are not counted.
    pub drains_max: u32,
    /// Bytes read or discarded in one drain.
    pub drain_bytes_max: u32,
}

impl Budgets {
    pub const DEFAULT: Budgets = Budgets {
        events_max: 256,
        dials_max: 1,
        skips_max: 256,
        expiries_max: 256,
        // Beside 100 servers that never stop sending, four drains of 64 KiB a turn treble the p99
        // of the dials, one of 16 KiB doubles it; one of 4 KiB leaves it as it is beside silent
        // servers (benches/floor/compare --flood 100).
        drains_max: 1,
        drain_bytes_max: 4 * 1024,
    };

    /// The most connections at their reply deadline that one turn drains.
    pub fn final_drains_max(&self) -> u32 {
        self.expiries_max.div_ceil(FINAL_DRAIN_COST)
    }

    /// The most keepalives that one turn starts because their deadlines are due; a later round
    /// starts no more than that either.
    fn keepalives_max(&self) -> u32 {
        self.expiries_max.div_ceil(CHECK_COST)
    }

    /// The most events that one turn is handed: up to four for each readiness (opened, bytes, a
    /// reply, closed); the results of the last turn's actions, up to two for a dial and three for a
    /// drain; TCP_INFO of each connection that opened, was sent to, failed or was due; keepalives
    /// started and requests sent; and three of the poll itself: a gap, a full batch, a signal.
    pub fn turn_events_max(&self) -> usize {
        let readiness = 4 * self.events_max;
        let drains = self.drains_max + self.final_drains_max();
        let feedback = 2 * self.dials_max + 3 * drains;
        let sent = self.events_max;
        let reads = self.events_max + self.dials_max + drains + self.expiries_max;
        (readiness + feedback + sent + reads + 2 * self.keepalives_max() + 3) as usize
    }

    /// The most actions that one turn hands back: up to three for each event and each expiry (a
    /// note, a read of TCP_INFO, and a send, check or close), each dial, skipped dial and drain,
    /// and a sample.
    pub fn turn_actions_max(&self) -> usize {
        let each_three_times = 3 * (self.turn_events_max() + self.expiries_max as usize);
        let others = self.dials_max + self.skips_max + self.drains_max + self.keepalives_max();
        each_three_times + others as usize + 1
    }
}

/// A validated run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    pub routes: Routes,
    /// Of each name that resolved to several addresses: those that are not dialed.
    pub other_addresses: Vec<OtherAddresses>,
    pub pace: Pace,
    pub dial_timeout: Option<Span>,
    pub interval: Option<Span>,
    pub hold: Hold,
    /// Churn: each connection is closed by us this long after it was established, and its slot dials
    /// again.
    pub lifetime: Option<Span>,
    /// How many of the connections are held beside the churn: the first ones; 0: none.
    pub hold_beside: u32,
    /// From the first dial to the end of dialing, and of the hold; beside held connections from the
    /// beginning of the churn.
    pub duration: Option<Span>,
    /// The most of the hold that the run waits for late closes.
    pub settle: Span,
    pub close: Close,
    pub probe: Probe,
    pub reply_check: Option<ReplyCheck>,
    /// Of `--ask`: its answers are expected, instead of the text of `reply_check`.
    pub preset: Option<&'static Preset>,
    /// Dialing stops at this number of errors and closes by the peer.
    pub errors_max: Option<u64>,
    /// Whether the engine hands out a note for each change of a connection.
    pub debug: bool,
    /// Nothing is dialed: the network is simulated.
    pub rehearsal: Option<Rehearsal>,
    pub budgets: Budgets,
}

impl Plan {
    /// Unpaced, without timeouts, intervals and checks.
    pub fn plain(connections: u32, routes: Routes) -> Plan {
        Plan {
            connections,
            routes,
            other_addresses: Vec::new(),
            pace: Pace::UNPACED,
            dial_timeout: None,
            interval: None,
            hold: Hold::For(Span::ZERO),
            lifetime: None,
            hold_beside: 0,
            duration: None,
            settle: Span::ZERO,
            close: Close::Fin,
            probe: Probe::None,
            reply_check: None,
            preset: None,
            errors_max: None,
            debug: false,
            rehearsal: None,
            budgets: Budgets::DEFAULT,
        }
    }

    /// The number of full poll batches in a row after which each connection has been in one.
    pub fn batches(&self) -> u32 {
        self.connections.div_ceil(self.budgets.events_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        assert_eq!(Pace::sleep(Span::from_ms(10)).offset(999u32), Span::from_ms(9_990));
        // A third of a second has no exact length in nanoseconds; the 3,000th dial is due after
        // 1,000 s all the same.
        assert_eq!(Pace::rate(3_000).offset(1u32), Span(333_333_333));
        assert_eq!(Pace::rate(3_000).offset(3_000u32), Span::from_s(1_000));
        assert_eq!(Pace::rate(500).offset(1u32), Span::from_s(2));
        assert_eq!(Pace::rate(3_000).dials_within(Span::from_ms(1_000)), 4);
        assert_eq!(Pace::rate(3_000).dials_within(Span::from_ms(999)), 3);
        assert_eq!(Pace::UNPACED.dials_within(Span::from_s(1)), 0);
        assert_eq!(Pace::sleep(Span::ZERO).offset(12u32), Span::ZERO);
        assert_eq!(Pace::sleep(crate::units::SPAN_MAX).offset(u32::MAX), Span(u64::MAX));
    }
}
