//! A run's numbers → bytes. Pure: everything is written into what it is given.

pub mod colour;
pub mod debug;
pub mod events;
pub mod evidence;
pub mod explain;
pub mod facts;
pub mod format;
pub mod host_evidence;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod measured;
pub mod other_addresses;
pub mod outlook;
pub mod preflight;
pub mod progress;
pub mod rates;
pub mod sentences;
pub mod tables;
pub mod text;
pub mod thresholds;
pub mod verdict;
pub mod wrap;

pub use crate::escape;

use crate::counters::Counters;
use crate::diagnosis::Case;
use crate::engine::Summary;
use crate::icmp::IcmpTally;
use crate::last_lines::LastLine;
use crate::limits::{Finding, Host};
use crate::plan::Plan;
use crate::thresholds::Judged;
use crate::units::Span;

/// Everything that a report of a run says.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The target as the header names it.
    pub target: &'a str,
    /// What was asked for.
    pub plan: &'a Plan,
    /// As it was typed, quoted where a shell would want it.
    pub command_line: &'a str,
    /// This host's name, if it has one.
    pub host: Option<&'a str>,
    /// When the run began and ended, in nanoseconds since 1970.
    pub start_unix_ns: u64,
    pub end_unix_ns: u64,
    pub summary: &'a Summary,
    /// The longest time between two polls.
    pub turn_longest: Span,
    /// What this host's kernel counted meanwhile, of all of its traffic.
    pub counters: &'a Counters,
    /// ICMP errors that dials received.
    pub icmp: &'a IcmpTally,
    /// This host's limits, as they were before the run.
    pub limits: &'a Host,
    /// What the preflight found.
    pub findings: &'a [Finding],
    /// The last lines that servers sent on connections that they then closed.
    pub last_lines: &'a [LastLine],
    /// What on this host ended the run, where that was no operator.
    pub ended_by: Option<&'a str>,
    /// Lines that found no room on a standard stream.
    pub lines_dropped: u64,
    /// The conditions of `--fail-if`, and the exit code with them.
    pub judged: &'a [Judged],
    pub exit_code: u8,
}

/// What is known of a run when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    pub plan: &'a Plan,
    pub command_line: &'a str,
    pub host: Option<&'a str>,
    pub start_unix_ns: u64,
    pub limits: &'a Host,
    pub findings: &'a [Finding],
}

impl Report<'_> {
    /// What was known of it when it began.
    pub fn start(&self) -> Start<'_> {
        let Report { plan, command_line, host, start_unix_ns, limits, findings, .. } = *self;
        Start { plan, command_line, host, start_unix_ns, limits, findings }
    }

    /// What the diagnosis is made from.
    pub fn case(&self) -> Case<'_> {
        let Report { plan, summary, counters, icmp, findings, last_lines, .. } = *self;
        Case { plan, summary, counters, icmp, findings, last_lines }
    }
}
