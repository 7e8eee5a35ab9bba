//! A run's numbers → bytes. Pure: everything is written into what it is given.

pub mod escape;
pub mod evidence;
pub mod findings;
pub mod host_evidence;
pub mod preflight;
pub mod remedies;
pub mod sentences;
pub mod served;
pub mod shape;
pub mod silence;
pub mod tables;
pub mod text;
pub mod this_host;
pub mod troubles;
pub mod verdict;

use crate::counters::Counters;
use crate::engine::Summary;
use crate::icmp::IcmpTally;
use crate::plan::Plan;
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
    /// What this host's kernel counted during the run, for all of its processes.
    pub counters: Counters,
    /// ICMP errors that failed dials received.
    pub icmp: &'a IcmpTally,
    /// Lines that found no room on a standard stream.
    pub lines_dropped: u64,
}
