//! What a run amounts to: numbers for the reports, and the exit code that follows from them.

use super::analysis::Analysis;
use super::analysis::breakdown::Breakdown;
use super::check_stats::CheckStats;
use super::churn::ChurnStats;
use super::connection::{EndReason, State};
use super::failure_times::{Failures, Slow};
use super::gaps::Gaps;
use super::histogram::Histogram;
use super::series::Series;
use crate::ask::answer::{AnswerTally, Count};
use crate::error::exit;
use crate::plan::Plan;
use crate::units::{Moment, Span};

/// The accounts at one moment. An interval is one of these minus another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Since the start of the run.
    pub after: Span,
    pub connections: u32,
    /// By [`State`]; the sum is `connections`.
    pub levels: [u32; State::COUNT],
}

impl Sample {
    pub fn level(&self, state: State) -> u32 {
        self.levels[state as usize]
    }
}

/// A run as it stands, for what is shown while it goes on. O(end reasons) to make.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    pub sample: Sample,
    /// How many ever entered each state; the skipped dials count as dialed, and as errors.
    pub dialed: u64,
    pub established: u64,
    pub closed: u64,
    pub errors: u64,
    /// At the end of their lifetime; only of a run that churns.
    pub closed_by_us: Option<u64>,
    /// How many connections each reason ended, by [`EndReason`].
    pub flow: [u64; EndReason::COUNT],
    /// For how long they have been held: since every dial was decided.
    pub held: Option<Span>,
    /// Of the established connections, since the start.
    pub dial_times: &'a Histogram,
    /// As in [`Summary::answers`]: what reads the replies counts them, the engine does not.
    pub answers: &'a [Count],
}

impl Progress<'_> {
    /// By FIN or RST.
    pub fn closed_by_peer(&self) -> u64 {
        self.flow[EndReason::PeerClosed as usize] + self.flow[EndReason::PeerReset as usize]
    }
}

/// The whole run, when it is over or so far. 70 to 320 KiB, made once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub last: Sample,
    /// When the run began and when this was taken.
    pub start: Moment,
    pub end: Moment,
    /// Every connection ever established, those since closed included.
    pub established_ever: u64,
    /// The most open at once.
    pub established_peak: u32,
    /// The most that stayed open together for [`WINDOW`](super::sustained::WINDOW).
    pub sustained: u32,
    /// Whether some of these were open for less, as the run ended.
    pub is_cut_short: bool,
    pub errors: u64,
    /// How many connections each reason ended, by [`EndReason`].
    pub flow: [u64; EndReason::COUNT],
    /// The errno of the first of each reason; 0 if it has none.
    pub first_errno: [i32; EndReason::COUNT],
    /// From `connect()` to the poll that reported its success.
    pub established_times: Histogram,
    /// From `connect()` to the error, without skipped dials.
    pub failed_times: Histogram,
    /// Dials skipped because their route had no free port.
    pub skipped: u64,
    /// By [`EndReason`]; `None` for those that did not occur.
    pub failures: [Option<Failures>; EndReason::COUNT],
    /// What became of the dials, read from the table.
    pub analysis: Analysis,
    /// Dials of a second and more.
    pub slow: Slow,
    /// The RTT that the kernel measured in handshakes, of at most 100 a second.
    pub handshake_times: Histogram,
    /// How much longer each of these dials took: from the SYN-ACK to the poll that reported it.
    pub notice_times: Histogram,
    /// From the establishment to the first byte; only if a reply is expected.
    pub first_byte_times: Histogram,
    /// Of those without the expected reply in time.
    pub no_reply: Option<Failures>,
    /// Results of the checks.
    pub checks: CheckStats,
    /// Replies still pending when a signal ended the run.
    pub replies_pending: u32,
    /// Connections without a result of their keepalive when a signal ended a run that checks each; 0
    /// for a sample.
    pub probes_pending: u32,
    /// Of closed connections.
    pub lifetimes: Histogram,
    /// Whether errors reached `--max-errors`.
    pub hit_max_errors: bool,
    pub targets: Breakdown,
    pub sources: Breakdown,
    /// How late dials started against their schedule; empty without one (`--sleep 0`).
    pub dial_lateness: Histogram,
    /// Of the first and the last `connect()`.
    pub first_dial: Option<Moment>,
    pub last_dial: Option<Moment>,
    /// Of dial timeouts.
    pub timeout_lateness_max: Span,
    pub received_bytes: u64,
    /// When this host was not polling.
    pub gaps: Gaps,
    /// Events that were stale, repeated or impossible, and dropped. For tests: real networks have stale
    /// ones, too.
    pub events_ignored: u64,
    /// The run over time.
    pub series: Series,
    /// Replies that were counted apart, set by the driver.
    pub answers: AnswerTally,
    /// Only with a lifetime.
    pub churn: Option<ChurnStats>,
    /// Whether the duration of the plan was over before its end: slots never dialed are no fault then.
    pub is_time_up: bool,
    /// Whether a signal ended it, or a failure of the poll loop.
    pub stopped: bool,
    /// The latter, set by the driver.
    pub loop_failed: bool,
}

impl Summary {
    /// The median of `notice_times`. A sample is taken at a time, so what waits through a stall is in
    /// it more often: there is none if the sample took longer than dials did.
    pub fn notice_p50(&self) -> Option<Span> {
        let (notice, dials) = (&self.notice_times, &self.established_times);
        // Quantiles are within 0.8%.
        let (p50, most) = (notice.quantile(500), dials.quantile(500).0 / 100 * 102);
        (notice.count() > 0 && p50.0 <= most).then_some(p50)
    }

    /// The original's exit code.
    pub fn exit_code(&self, plan: &Plan) -> u8 {
        if plan.lifetime.is_some() {
            return self.exit_code_of_churn(plan);
        }
        let undecided = self.not_dialed()
            + self.last.level(State::Dialing)
            + self.replies_pending
            + self.probes_pending;
        let unanswered = self.checks.no_reply + self.checks.closed_before_reply;
        if self.hit_max_errors {
            exit::WITH_ERRORS
        } else if undecided > 0 {
            exit::NOT_COMPLETED
        } else if self.errors
            + unanswered
            + self.ended_by(EndReason::HalfOpen)
            + self.checks.unacknowledged
            > 0
        {
            exit::WITH_ERRORS
        } else {
            exit::ALL_ESTABLISHED
        }
    }

    /// Whatever was not closed by us ended too early. Without a duration a signal is the end.
    fn exit_code_of_churn(&self, plan: &Plan) -> u8 {
        let is_cut_short = self.stopped && plan.duration.is_some() && !self.is_time_up;
        match (self.hit_max_errors, self.flow.iter().sum::<u64>()) {
            (false, _) if is_cut_short => exit::NOT_COMPLETED,
            (false, 0) if self.established_ever == 0 => exit::NOT_COMPLETED,
            (false, 0) => exit::ALL_ESTABLISHED,
            _ => exit::WITH_ERRORS,
        }
    }

    /// Slots that were to be dialed and were not.
    pub fn not_dialed(&self) -> u32 {
        if self.is_time_up { 0 } else { self.last.level(State::NotInitiated) }
    }

    /// How many connections `reason` ended.
    pub fn ended_by(&self, reason: EndReason) -> u64 {
        self.flow[reason as usize]
    }
}
