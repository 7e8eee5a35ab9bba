//! What is counted as the run goes on, for its summary.

use super::connection::EndReason;
use super::failure_times::{FailureTimes, Slow, failure_times};
use super::histogram::Histogram;
use crate::units::{Moment, Span};

/// Nothing here is read before the end: what decides anything is in the ledger or the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    pub established_times: Histogram,
    pub failed_times: Histogram,
    pub dial_lateness: Histogram,
    pub first_dial: Option<Moment>,
    pub last_dial: Option<Moment>,
    pub timeout_lateness_max: Span,
    pub skipped: u64,
    /// By reason.
    pub failure_times: Box<[FailureTimes]>,
    pub no_reply: FailureTimes,
    pub slow: Slow,
    pub handshake_times: Histogram,
    pub notice_times: Histogram,
    pub first_byte_times: Histogram,
    pub lifetimes: Histogram,
    pub first_errno: [i32; EndReason::COUNT],
    pub received_bytes: u64,
    pub events_ignored: u64,
}

impl Stats {
    pub fn new() -> Stats {
        Stats {
            established_times: Histogram::new(),
            failed_times: Histogram::new(),
            dial_lateness: Histogram::new(),
            first_dial: None,
            last_dial: None,
            timeout_lateness_max: Span::ZERO,
            skipped: 0,
            failure_times: failure_times(),
            no_reply: FailureTimes::default(),
            slow: Slow::default(),
            handshake_times: Histogram::new(),
            notice_times: Histogram::new(),
            first_byte_times: Histogram::new(),
            lifetimes: Histogram::new(),
            first_errno: [0; EndReason::COUNT],
            received_bytes: 0,
            events_ignored: 0,
        }
    }
}
