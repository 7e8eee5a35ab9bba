//! The summary of the engine, compared at the end of the run.

use tcpgoon::engine::histogram::Histogram;
use tcpgoon::engine::series::{POINTS_MAX, Point};
use tcpgoon::engine::{EndReason, Engine, State, Summary};
use tcpgoon::units::Span;

use super::records::{Conn, Times, Verdict, Wait, near};
use super::state::Shadow;

impl Times {
    pub(super) fn compare(&self, kind: &str, theirs: &Histogram) -> Verdict {
        let count = self.0.len() as u64;
        check!(theirs.count() == count, "{kind}: {} times, not {count}", theirs.count());
        let sum: u128 = self.0.iter().map(|span| u128::from(span.0)).sum();
        let avg = sum.checked_div(u128::from(count)).unwrap_or_default();
        check!(u128::from(theirs.avg().0) == avg, "{kind}: avg {}, not {avg} ns", theirs.avg());
        let (min, max) = (self.0.iter().min(), self.0.iter().max());
        let (min, max) = (min.copied().unwrap_or_default(), max.copied().unwrap_or_default());
        check!(theirs.min() == min, "{kind}: min {}, not {min}", theirs.min());
        check!(theirs.max() == max, "{kind}: max {}, not {max}", theirs.max());
        let mut all = self.0.clone();
        all.sort();
        let middle = all.get(all.len().div_ceil(2).saturating_sub(1)).copied().unwrap_or_default();
        let p50 = theirs.quantile(500);
        check!(near(p50, middle), "{kind}: p50 {p50}, not {middle}");
        Ok(())
    }
}

impl Shadow {
    /// Compares the engine's summary.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare_summary(&mut self, engine: &Engine, summary: &Summary) -> Verdict {
        for (slot, conn) in (0..).zip(&self.conns) {
            let theirs = engine.connection(self.key(slot));
            let same = theirs.is_some_and(|t| t.state == conn.state && t.reason == conn.reason);
            check!(same, "slot {slot} is {theirs:?}, and should be {conn:?}");
        }
        let levels = self.levels();
        check!(summary.last.levels == levels, "{:?} at the end, not {levels:?}", summary.last);
        for reason in EndReason::ALL {
            let mine = self.failures.iter().filter(|(of, _)| *of == reason).count() as u64;
            let theirs = summary.ended_by(reason);
            check!(theirs == mine, "{reason:?} ended {theirs} connections, not {mine}");
        }
        self.times_and_counts(summary)?;
        self.compare_series(summary)?;
        self.compare_churn(summary)?;
        self.compare_failures(summary)?;
        self.routing.compare(&self.conns, summary)?;
        self.compare_gaps(summary)?;
        if self.conns.iter().any(|conn| conn.wait.is_pending()) {
            self.mark(match summary.probes_pending {
                0 => "a keepalive of a sample pending at the end",
                _ => "a keepalive pending at the end",
            });
        }
        let (code, theirs) = (self.exit_code(), summary.exit_code(&self.plan));
        check!(theirs == code, "exit code {theirs}, not {code}");
        self.mark(["exit code 0", "exit code 1", "exit code 2"][usize::from(code)]);
        Ok(())
    }

    fn times_and_counts(&self, summary: &Summary) -> Verdict {
        self.established.compare("established", &summary.established_times)?;
        self.failed.compare("failed", &summary.failed_times)?;
        self.lateness.compare("lateness", &summary.dial_lateness)?;
        self.handshakes.compare("handshake", &summary.handshake_times)?;
        self.first_bytes.compare("first byte", &summary.first_byte_times)?;
        self.lifetimes.compare("lifetime", &summary.lifetimes)?;
        let late = self.timeout_lateness_max;
        let is_awaited = |conn: &&Conn| conn.wait == Wait::Reply && !self.holds_beside();
        let replies = self.conns.iter().filter(is_awaited).count() as u64;
        let awaited = self.conns.iter().filter(|conn| self.is_undecided(conn)).count() as u64;
        for (what, theirs, mine) in [
            ("established ever", summary.established_ever, self.established.0.len() as u64),
            ("established at once", summary.established_peak.into(), self.peak.into()),
            ("errors", summary.errors, self.failed.0.len() as u64 + self.routing.skipped),
            ("received bytes", summary.received_bytes, self.bytes),
            ("dials skipped", summary.skipped, self.routing.skipped),
            ("events ignored", summary.events_ignored, self.ignored),
            ("worst lateness of a timeout", summary.timeout_lateness_max.0, late.0),
            ("awaited", summary.replies_pending.into(), replies),
            ("unsettled", summary.probes_pending.into(), awaited - replies),
            ("stopped", summary.stopped.into(), self.stopped.into()),
            ("gave up", summary.hit_max_errors.into(), self.gave_up.into()),
            ("time up", summary.is_time_up.into(), self.is_time_up().into()),
            ("start", summary.start.0, self.start.0),
            ("end", summary.end.0, self.now.0),
        ] {
            check!(theirs == mine, "{what}: {theirs}, not {mine}");
        }
        let (first, last) = (self.dialed.first().copied(), self.dialed.last().copied());
        check!(summary.first_dial == first, "the first dial was at {first:?}");
        check!(summary.last_dial == last, "the last dial was at {last:?}");
        Ok(())
    }

    /// The last point is the run's end, and on the way nothing that was counted is taken back.
    fn compare_series(&self, summary: &Summary) -> Verdict {
        let points = summary.series.points();
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Err("the series is empty".into());
        };
        check!(points.len() <= POINTS_MAX, "{} points", points.len());
        check!(first.at == Span::ZERO, "the series begins at {}", first.at);
        let end = self.now.since(self.start);
        check!(last.at == end, "the series ends at {}, not {end}", last.at);
        check!(last.levels == self.levels(), "{:?} is the last point", last.levels);
        let dials: u64 = points.iter().flat_map(|p| p.dial_times).map(u64::from).sum();
        let is_close = |reason: &EndReason| reason.ends_in() == State::Closed;
        let closed = self.failures.iter().filter(|(reason, _)| is_close(reason)).count() as u64;
        let failed = self.failed.0.len() as u64 + self.routing.skipped;
        let established = self.established.0.len() as u64;
        for (what, theirs, mine) in [
            ("dials", last.dials, self.dialed.len() as u64 + self.routing.skipped),
            ("established", last.established, established),
            ("dial times", dials, established),
            ("closed", last.closed, closed),
            ("errors", last.errors, failed),
        ] {
            check!(theirs == mine, "series: {what}: {theirs}, not {mine}");
        }
        let connections = summary.last.connections;
        let is_whole = |p: &Point| p.levels.iter().sum::<u32>() == connections;
        check!(points.iter().all(is_whole), "not {connections} at each point: {points:?}");
        for pair in points.windows(2) {
            let counts = |p: &Point| [p.dials, p.established, p.closed, p.errors];
            let only_grow = counts(&pair[0]).iter().zip(counts(&pair[1])).all(|(a, b)| *a <= b);
            check!(pair[0].at < pair[1].at && only_grow, "{:?}, then {:?}", pair[0], pair[1]);
        }
        Ok(())
    }

    /// Whether a connection makes a run that is ended early incomplete: later rounds do not.
    fn is_undecided(&self, conn: &Conn) -> bool {
        let is_later = conn.wait != Wait::Reply && self.has_later_rounds();
        self.is_waited_for(conn) && !is_later
    }

    /// The rule of the exit code, connection by connection.
    fn exit_code(&self) -> u8 {
        if self.gave_up {
            return 2;
        }
        if self.plan.lifetime.is_some() {
            return self.exit_code_of_churn();
        }
        // Ended by the kernel while a keepalive was pending.
        let mut code = if self.lost > 0 { 2 } else { 0 };
        for conn in &self.conns {
            match conn.state {
                State::NotInitiated if self.is_time_up() => {}
                State::NotInitiated | State::Dialing => return 1,
                _ if self.is_undecided(conn) => return 1,
                State::Error => code = 2,
                // Established, but half-open, closed early or without a reply.
                _ if conn.no_reply || conn.closed_before_reply => code = 2,
                _ if conn.reason == Some(EndReason::HalfOpen) || conn.is_unacknowledged => code = 2,
                State::Established | State::Closed => {}
            }
        }
        code
    }
}
