//! Gaps without a poll, and how many connections certainly stayed open together.

use tcpgoon::engine::{State, Summary};
use tcpgoon::units::{Moment, Span};

use super::records::Verdict;
use super::state::Shadow;

/// How long they must stay open.
const WINDOW: Span = Span::from_ms(100);

/// The tolerance.
const GRACE: Span = Span::from_ms(1);

/// The most gaps that the engine keeps apart.
const APART_MAX: usize = 32;

impl Shadow {
    /// No poll returned between `since` and `at`.
    pub(super) fn gap(&mut self, since: Moment, at: Moment, is_stop: bool) {
        if since >= at || at > self.now {
            self.ignored += 1;
            return;
        }
        let since = since.max(self.start);
        let last = self.changes.last().map_or(self.start, |(at, ..)| *at);
        self.is_revised |= since < last;
        self.mark(if is_stop { "a gap in which it was stopped" } else { "a gap" });
        self.gaps.push((since, at, is_stop));
        self.stalls.push(at);
    }

    /// One connection more, or one less, which had been in its state since `since`.
    pub(super) fn change_open(&mut self, to: State, at: Moment, since: Moment) {
        let change = if to == State::Established { 1 } else { -1 };
        self.changes.push((at.min(self.now), change, since));
    }

    pub(super) fn compare_gaps(&mut self, summary: &Summary) -> Verdict {
        let (mine, theirs) = (&self.gaps, &summary.gaps);
        check!(theirs.count() as usize == mine.len(), "{theirs:?}, not {mine:?}");
        for (from, to, _) in mine {
            let earliest = theirs.earliest(*to);
            check!(earliest <= *from, "{to:?} is not before {earliest:?}, but {from:?}");
        }
        let overlap = |(a, b): (&(Moment, Moment, bool), &(Moment, Moment, bool))| b.0 < a.1;
        let is_apart = !mine.iter().zip(mine.iter().skip(1)).any(overlap);
        if is_apart && mine.len() <= APART_MAX {
            let list = theirs.list().iter();
            let list: Vec<_> = list.map(|gap| (gap.from, gap.to, gap.is_stop)).collect();
            check!(list == *mine, "{list:?}, not {mine:?}");
        }
        let sum: u64 = mine.iter().map(|(from, to, _)| to.since(*from).0).sum();
        let total = theirs.total().0;
        check!(total == sum || !is_apart && total <= sum, "{total} ns, not {sum}");
        self.compare_sustained(summary)
    }

    fn compare_sustained(&mut self, summary: &Summary) -> Verdict {
        let theirs = summary.sustained;
        let open = self.level(State::Established);
        check!(theirs <= self.peak, "{theirs} sustained, and {} at most", self.peak);
        if self.now.since(self.start) < WINDOW {
            check!(theirs == open, "{theirs} sustained, not {open}");
            return Ok(());
        }
        let mut certain: Vec<(Moment, i64)> =
            self.changes.iter().map(|change| self.certain(*change)).collect();
        certain.sort_by_key(|(at, _)| *at);
        let most = self.longest_lived(&certain, WINDOW, true);
        // What is open at the end counts without a full window.
        let left = |window: Span| {
            let is_late =
                |(at, change, _): &&(Moment, i64, Moment)| *change < 0 && *at + window >= self.now;
            open.saturating_sub(self.changes.iter().filter(is_late).count() as u32)
        };
        let most = most.max(left(WINDOW));
        // The engine keeps what it had counted when a gap is found later.
        check!(self.is_revised || theirs <= most, "{theirs} sustained, and not {most}");
        if self.gaps.is_empty() {
            let changes: Vec<_> = self.changes.iter().map(|(at, by, _)| (*at, *by)).collect();
            let least = self.longest_lived(&changes, WINDOW + GRACE, false);
            let least = least.max(left(WINDOW + GRACE));
            check!(theirs >= least, "{theirs} sustained, and not {least}");
        }
        self.mark(match (theirs, self.peak) {
            (0, _) => "no connection sustained",
            (theirs, peak) if theirs == peak => "the peak sustained",
            _ => "less than the peak sustained",
        });
        Ok(())
    }

    /// A change at the worst moment: an undated close at the beginning of its gap, or when it opened.
    fn certain(&self, (at, change, since): (Moment, i64, Moment)) -> (Moment, i64) {
        let gap = self.gaps.iter().find(|(from, to, _)| *to == at && *from < at);
        (gap.filter(|_| change < 0).map_or(at, |(from, ..)| since.max(*from)), change)
    }

    /// The highest level held for some whole window. Changes at one moment count one by one, or `at_once`
    /// as their sum.
    fn longest_lived(&self, changes: &[(Moment, i64)], window: Span, at_once: bool) -> u32 {
        let mut levels = vec![(self.start, 0)];
        for (at, change) in changes {
            let (last, level) = levels[levels.len() - 1];
            if at_once && last == *at {
                levels.pop();
            }
            levels.push((*at, level + change));
        }
        let fits = |index: &usize| levels[*index].0 + window <= self.now;
        let lowest = |index: usize| {
            let from = levels[index].0;
            let within = levels[index..].iter().take_while(|(at, _)| *at < from + window);
            within.map(|(_, level)| *level).min()
        };
        let most = (0..levels.len()).filter(fits).filter_map(lowest).max();
        u32::try_from(most.unwrap_or(0)).unwrap_or(0)
    }
}
