//! Failures over the dials, connection by connection, compared with the analysis.

use tcpgoon::engine::analysis::Outcome;
use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::units::{Moment, Span};

use super::records::{Conn, Verdict};
use super::state::Shadow;

const SECOND: Span = Span::from_s(1);

impl Shadow {
    /// Compares the timeline, the levels and the closes.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn compare_analysis(&self, summary: &Summary) -> Verdict {
        let analysis = &summary.analysis;
        // Within 0.8% of a second the table may round either way.
        let border = Span::from_ms(992)..SECOND;
        if self.conns.iter().any(|conn| conn.took.is_some_and(|took| border.contains(&took))) {
            return Ok(());
        }
        let dials: Vec<(Moment, Outcome)> = self
            .conns
            .iter()
            .filter_map(|conn| Some((conn.dialed_at, self.outcome(conn)?)))
            .collect();
        let sum: u32 =
            analysis.everywhere.timeline.cells.iter().map(|cell| cell.counts.dials).sum();
        check!(sum as usize == dials.len(), "{sum} dials in the timeline, not {}", dials.len());
        let mut rest = &dials[..];
        for cell in &analysis.everywhere.timeline.cells {
            let (these, behind) = rest.split_at(cell.counts.dials as usize);
            let ends = these.first().zip(these.last()).map(|(a, b)| (a.0, b.0));
            check!(ends == Some((cell.from, cell.to)), "{cell:?} is of {ends:?}");
            for outcome in these.iter().map(|(_, outcome)| *outcome) {
                let mine = these.iter().filter(|(_, other)| *other == outcome).count();
                let theirs = cell.count(outcome) as usize;
                check!(mine == theirs, "{theirs} {outcome:?} in a cell, not {mine}");
            }
            rest = behind;
        }
        let by_level: u32 = analysis.everywhere.levels.cells.iter().map(|cell| cell.dials).sum();
        check!(by_level == sum, "{by_level} dials by level, {sum} in the timeline");
        self.compare_levels(summary)?;
        let is_close = |conn: &&Conn| {
            matches!(conn.reason, Some(EndReason::PeerClosed | EndReason::PeerReset))
        };
        let closed = self.conns.iter().filter(is_close).count() as u32;
        let theirs = analysis.closes.count + analysis.closed_at_once_count();
        let replied = self.conns.iter().filter(is_close).filter(|conn| conn.replied).count();
        let least = closed - u32::try_from(replied).unwrap_or(0);
        let fits = (least..=closed).contains(&theirs);
        check!(fits, "{theirs} closes in the analysis, not {least} to {closed}");
        Ok(())
    }

    /// The most connections open at each dial: those dialed before it that were established, slow ones
    /// from when they were, less those closed.
    fn compare_levels(&self, summary: &Summary) -> Verdict {
        let is_exact = summary.gaps.count() == 0
            && summary.analysis.closed_at_once_count() == 0
            && !self.conns.iter().any(|conn| conn.is_slow && conn.state == State::Closed);
        if !is_exact {
            return Ok(());
        }
        let cells = &summary.analysis.everywhere.timeline.cells;
        let mut counted = 0;
        let mut most = vec![0; cells.len()];
        for (slot, conn) in self.conns.iter().enumerate() {
            if self.outcome(conn).is_none() {
                continue;
            }
            let at = conn.dialed_at;
            let opened =
                self.conns.iter().enumerate().filter(|(other, one)| match self.outcome(one) {
                    Some(Outcome::Through) => *other < slot,
                    Some(Outcome::Slow) => one.opened_at.is_some_and(|opened| opened <= at),
                    _ => false,
                });
            let is_gone = |one: &Conn| one.state == State::Closed && one.since <= at;
            let closed = self.conns.iter().filter(|one| is_gone(one)).count();
            let level = opened.count().saturating_sub(closed) as u32;
            let mut cell = 0;
            let mut until = cells[0].counts.dials;
            while counted >= until {
                cell += 1;
                until += cells[cell].counts.dials;
            }
            most[cell] = level.max(most[cell]);
            counted += 1;
        }
        let theirs: Vec<u32> = cells.iter().map(|cell| cell.level.end).collect();
        check!(theirs == most, "levels {theirs:?}, and should be {most:?}");
        Ok(())
    }

    fn outcome(&self, conn: &Conn) -> Option<Outcome> {
        match conn.state {
            State::NotInitiated => None,
            State::Dialing => (self.now.since(conn.since) >= SECOND).then_some(Outcome::Pending),
            State::Error => conn.reason.map(Outcome::Failed),
            State::Established | State::Closed if conn.is_slow => Some(Outcome::Slow),
            State::Established | State::Closed => Some(Outcome::Through),
        }
    }
}
