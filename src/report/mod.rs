//! A finished run and its diagnosis → text, JSON, HTML, Markdown, JUnit, Prometheus. Pure: the caller
//! does the I/O.

mod beside;
pub mod checks;
pub mod churn;
pub mod colour;
pub mod debug;
pub mod events;
pub mod evidence;
pub mod explain;
pub mod facts;
pub mod fix;
pub mod format;
pub mod host_evidence;
pub mod html;
pub mod json;
pub mod junit;
pub mod layout;
pub mod markdown;
pub mod measured;
pub mod other_addresses;
pub mod outlook;
pub mod preflight;
pub mod progress;
pub mod prometheus;
pub mod rates;
pub mod sentences;
pub mod short;
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

/// The input of every renderer.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The target as the header names it.
    pub target: &'a str,
    /// The plan of the run.
    pub plan: &'a Plan,
    /// As typed, quoted for a shell.
    pub command_line: &'a str,
    /// This host's name, if it has one.
    pub host: Option<&'a str>,
    /// Beginning and end of the run, in nanoseconds since 1970.
    pub start_unix_ns: u64,
    pub end_unix_ns: u64,
    pub summary: &'a Summary,
    /// The longest time between two polls.
    pub turn_longest: Span,
    /// Kernel counters of this host during the run, for all of its traffic.
    pub counters: &'a Counters,
    /// ICMP errors that dials received.
    pub icmp: &'a IcmpTally,
    /// Limits of this host before the run.
    pub limits: &'a Host,
    /// Local limits below the plan.
    pub findings: &'a [Finding],
    /// The last lines that servers sent before they closed a connection.
    pub last_lines: &'a [LastLine],
    /// What on this host ended the run, if not a signal.
    pub ended_by: Option<&'a str>,
    /// Lines that were dropped because a standard stream was blocked.
    pub lines_dropped: u64,
    /// The conditions of `--fail-if`, and the exit code with them.
    pub judged: &'a [Judged],
    pub exit_code: u8,
}

/// A run at its beginning.
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
    /// The run at its beginning.
    pub fn start(&self) -> Start<'_> {
        let Report { plan, command_line, host, start_unix_ns, limits, findings, .. } = *self;
        Start { plan, command_line, host, start_unix_ns, limits, findings }
    }

    /// The input of the diagnosis.
    pub fn case(&self) -> Case<'_> {
        let Report { plan, summary, counters, icmp, findings, last_lines, .. } = *self;
        Case { plan, summary, counters, icmp, findings, last_lines }
    }
}
