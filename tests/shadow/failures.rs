//! Failures one by one, compared with the times and counts in the summary.

use tcpgoon::engine::failure_times::Failures;
use tcpgoon::engine::{CheckStats, EndReason, Round, State, Summary};
use tcpgoon::units::Span;

use super::records::{Conn, FailureTime, Verdict, near};
use super::state::Shadow;

impl Shadow {
    /// Compares failures, slow dials, checks and the analysis.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn compare_failures(&self, summary: &Summary) -> Verdict {
        for reason in EndReason::ALL {
            let mine: Vec<FailureTime> = self.failures_of(reason);
            let theirs = summary.failures[reason as usize].as_ref();
            let is_dial = reason.ends_in() == State::Error;
            self.compare(reason.word(), is_dial, &mine, theirs)?;
        }
        self.compare("unanswered", false, &self.reply_timeouts, summary.no_reply.as_ref())?;
        self.compare_slow(summary)?;
        let checks = self.check_stats();
        check!(summary.checks == checks, "{:?}, and not {checks:?}", summary.checks);
        if self.plan.lifetime.is_some() {
            // A table of the last attempts is no record of the run.
            let cells = summary.analysis.everywhere.timeline.cells.len();
            check!(cells == 0, "{cells} cells of a run that churns");
            return Ok(());
        }
        self.compare_analysis(summary)
    }

    fn failures_of(&self, reason: EndReason) -> Vec<FailureTime> {
        self.failures.iter().filter(|(of, _)| *of == reason).map(|(_, failure)| *failure).collect()
    }

    /// A dial is dated by its SYN, the end of a connection by that end.
    fn compare(
        &self,
        what: &str,
        is_dial: bool,
        mine: &[FailureTime],
        theirs: Option<&Failures>,
    ) -> Verdict {
        check!(theirs.is_some() != mine.is_empty(), "{what}: {theirs:?} of {}", mine.len());
        let Some(theirs) = theirs else { return Ok(()) };
        let dated = || mine.iter().map(|failure| if is_dial { failure.since } else { failure.at });
        let (first, last) = (dated().min(), dated().max());
        check!(theirs.count == mine.len() as u64, "{what}: {theirs:?}, not {}", mine.len());
        let same = (Some(theirs.first), Some(theirs.last)) == (first, last);
        check!(same, "{what}: {theirs:?}, not {first:?}, {last:?}");
        let timed = mine.iter().filter(|failure| failure.is_timed);
        let mut times: Vec<Span> = timed.map(|failure| failure.at.since(failure.since)).collect();
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        let most = times.len().saturating_sub(1);
        let (min, middle, max) = (at(0), at(most / 2), at(most));
        check!(theirs.min == min && theirs.max == max, "{what}: {theirs:?}, not {min} to {max}");
        check!(near(theirs.p50, middle), "{what}: p50 {}, not {middle}", theirs.p50);
        Ok(())
    }

    fn compare_slow(&self, summary: &Summary) -> Verdict {
        let theirs = &summary.slow;
        let mine = (self.slow_dials, self.retransmitted, self.repeats);
        let same = mine == (theirs.dials, theirs.retransmitted, theirs.repeats);
        check!(same, "{theirs:?}, and should be {mine:?}");
        let failed = self.slow_failed;
        check!(failed == theirs.failed, "{theirs:?}, of which {failed} failed");
        Ok(())
    }

    /// Counted from the connections.
    fn check_stats(&self) -> CheckStats {
        let all = || self.conns.iter().chain(&self.held.checked);
        let count = |fits: fn(&Conn) -> bool| all().filter(|s| fits(s)).count() as u64;
        CheckStats {
            replied: count(|conn| conn.replied),
            replied_late_read: count(|conn| conn.is_overdue),
            no_reply: count(|conn| conn.no_reply),
            wrong_reply: count(|conn| conn.wrong_reply),
            late_reply: count(|conn| conn.late_reply),
            closed_before_reply: count(|conn| conn.closed_before_reply),
            rounds: Round::ALL.map(|round| self.round_stats(round)),
            watch_rounds: self.rounds.watch_rounds,
            unacknowledged: count(|conn| conn.is_unacknowledged) + self.lost,
            repeats_syn_ack: count(|conn| conn.repeats),
            suspects: self.suspects_read,
            suspects_half_open: self.suspects_half_open,
            suspects_unacknowledged: self.suspects_unacknowledged,
        }
    }
}
