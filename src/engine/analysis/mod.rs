//! The finished run, read once from the table: what became of each dial, in the order of their
//! SYNs and by how many connections were open at each; when and at which age connections were
//! closed. Everything is counted, bounded in size whatever the run's, and judged in `diagnosis/`.

pub mod breakdown;
pub mod closes;
pub mod levels;
pub mod timeline;

pub use closes::{Closes, Pulse};
pub use levels::Levels;
pub use timeline::{Cell, Counts, Timeline};

use super::checks::Checks;
use super::connection::{Connection, EndReason, Side, State, Table};
use super::failure_times::SLOW_DIAL_MIN;
use super::gaps::Gaps;
use crate::route::Routes;
use crate::units::{Moment, Span};
use breakdown::ROWS_MAX;
use levels::{LevelWalk, PlaceOf};

/// A server that closes as soon as its application has accepted does so within this and two RTT.
pub const AT_ONCE_MIN: Span = Span::from_ms(50);

/// What is closed as far apart as this can have been closed at one moment.
const TOGETHER_MAX: Span = Span::from_ms(10);

/// Of ages that differ by less, nothing is made.
const AGES_APART_MIN: Span = Span::from_ms(5);

/// A server that replies once and closes does so within this of the establishment.
const REPLIED_AND_CLOSED_MAX: Span = Span::from_s(1);

/// What a finished run is read from.
#[derive(Debug, Clone, Copy)]
pub struct RunView<'a> {
    pub table: &'a Table,
    pub routes: &'a Routes,
    pub checks: &'a Checks,
    pub gaps: &'a Gaps,
    pub now: Moment,
    /// The shortest handshake: an RTT, or somewhat more.
    pub rtt: Span,
}

/// What became of one dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Established in less than a second: its first SYN was answered.
    Through,
    /// Established after a second and more: its first SYN, or the SYN-ACK, was lost.
    Slow,
    /// Under way for a second and more when the run ended.
    Pending,
    Failed(EndReason),
}

impl Outcome {
    pub const COUNT: usize = 3 + EndReason::COUNT;

    pub fn index(self) -> usize {
        match self {
            Outcome::Through => 0,
            Outcome::Slow => 1,
            Outcome::Pending => 2,
            Outcome::Failed(reason) => 3 + reason as usize,
        }
    }

    /// `None`: not dialed, or so lately that nothing can be said of it.
    pub fn of(connection: &Connection, now: Moment) -> Option<Outcome> {
        match connection.state {
            State::NotInitiated => None,
            State::Dialing => {
                let is_pending = now.since(connection.dialed_at) >= SLOW_DIAL_MIN;
                is_pending.then_some(Outcome::Pending)
            }
            State::Error => connection.reason.map(Outcome::Failed),
            State::Established | State::Closed => {
                let is_slow =
                    connection.dial_time.is_some_and(|time| time.middle() >= SLOW_DIAL_MIN);
                Some(if is_slow { Outcome::Slow } else { Outcome::Through })
            }
        }
    }

    /// Whether this host refused it before anything was sent.
    pub fn is_local(self) -> bool {
        matches!(self, Outcome::Failed(reason) if reason.side() == Side::ThisHost)
    }
}

/// One dial of those that are decided, with what came of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    pub outcome: Outcome,
    /// Closed by the peer as soon as it was established.
    pub closed_at_once: bool,
    pub replied: bool,
    pub no_reply: bool,
}

impl Dial {
    fn of(view: &RunView<'_>, on_accept: &OnAccept, slot: u32) -> Option<Dial> {
        let connection = view.table.of(slot);
        Some(Dial {
            outcome: Outcome::of(connection, view.now)?,
            closed_at_once: on_accept.has(view, slot),
            replied: view.checks.has_replied(slot),
            no_reply: view.checks.has_missed(slot),
        })
    }
}

/// By FIN or RST, and at the latest moment at which it can have been still within the time that a
/// server needs which closes what it has just accepted. One that had replied as it was to did what
/// servers do.
fn is_closed_young(view: &RunView<'_>, slot: u32) -> bool {
    let connection = view.table.of(slot);
    age_of_close(connection).is_some_and(|age| age < at_once_max(view.rtt))
        && !view.checks.has_replied(slot)
}

/// Closed by the peer later than on accept, and not right after its reply.
fn is_closed_later(view: &RunView<'_>, slot: u32) -> bool {
    let connection = view.table.of(slot);
    let Some(age) = age_of_close(connection) else { return false };
    if !view.checks.has_replied(slot) {
        return age >= at_once_max(view.rtt);
    }
    // Its request can have been sent only when this host could act on its establishment.
    let from = Moment(connection.since.0.saturating_sub(age.0));
    let looking = Span(age.0.saturating_sub(view.gaps.within(from, connection.since).0));
    looking >= at_once_max(view.rtt) + REPLIED_AND_CLOSED_MAX
}

/// How old a connection was when the peer closed it, at the most.
fn age_of_close(connection: &Connection) -> Option<Span> {
    let is_close = matches!(connection.reason, Some(EndReason::PeerClosed | EndReason::PeerReset));
    let established_at = connection.established_at().filter(|_| is_close)?;
    Some(connection.since.since(established_at))
}

/// The age up to which a close counts as one on accept.
pub fn at_once_max(rtt: Span) -> Span {
    AT_ONCE_MIN + Span(rtt.0.saturating_mul(2))
}

/// Which of the connections that were closed young were closed on accept, and not with older ones at
/// one moment.
#[derive(Debug)]
pub struct OnAccept {
    /// When older ones were closed, in order.
    older: Vec<Moment>,
    /// Whether those closed young were closed together, at different ages.
    are_together: bool,
}

impl OnAccept {
    /// O(connections + closes × log closes).
    pub fn of(view: &RunView<'_>) -> OnAccept {
        let mut older: Vec<Moment> = Vec::new();
        let (mut moments, mut ages): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        for slot in 0..view.table.count() {
            let connection = view.table.of(slot);
            let Some(age) = age_of_close(connection) else { continue };
            if is_closed_young(view, slot) {
                moments.push(connection.since.0);
                ages.push(age.0);
            } else {
                older.push(connection.since);
            }
        }
        older.sort_unstable();
        // On accept each is closed at about the same age, at moments as far apart as the dials; an end
        // of the process spares none.
        let first = moments.iter().min().copied().unwrap_or(u64::MAX);
        let is_kept = |c: &Connection| c.state == State::Established && c.since < Moment(first);
        let (ages, moments) = (half_range(ages), half_range(moments));
        let is_told = ages >= AGES_APART_MIN.0 && moments.saturating_mul(2) < ages;
        let are_together = is_told && !view.table.iter().any(is_kept);
        OnAccept { older, are_together }
    }

    fn has(&self, view: &RunView<'_>, slot: u32) -> bool {
        if !is_closed_young(view, slot) || self.are_together {
            return false;
        }
        let at = view.table.of(slot).since;
        let from = Moment(at.0.saturating_sub(TOGETHER_MAX.0));
        let first = self.older.partition_point(|moment| *moment < from);
        let with = self.older[first..].iter().take_while(|moment| **moment <= at + TOGETHER_MAX);
        with.take(3).count() < 3
    }
}

/// How far apart the middle half of some values are.
fn half_range(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let quarter = values.len() / 4;
    let (low, high) = (values.get(quarter), values.iter().nth_back(quarter));
    high.copied().unwrap_or(0).saturating_sub(low.copied().unwrap_or(0))
}

/// The dials of one place, in the order of their SYNs and by how many were open there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spread {
    pub timeline: Timeline,
    pub levels: Levels,
}

impl Spread {
    /// Those of `places` places; O(connections + closes × log closes).
    fn of(
        view: &RunView<'_>,
        on_accept: &OnAccept,
        places: usize,
        place_of: PlaceOf<'_>,
    ) -> Vec<Spread> {
        let walk = LevelWalk::new(view, on_accept, places, place_of);
        let mut spreads = vec![Spread::default(); places];
        let mut highest = vec![0; places];
        walk.go(|place, slot, dial, level| {
            highest[place] = level.end.max(highest[place]);
            spreads[place].timeline.push(view.table.of(slot).dialed_at, dial, level);
        });
        for (spread, highest) in spreads.iter_mut().zip(highest) {
            spread.levels.make_room(highest);
        }
        walk.go(|place, _, dial, level| spreads[place].levels.add(dial, level));
        spreads
    }
}

/// The finished run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Of all dials.
    pub everywhere: Spread,
    /// Of each target and of each source, where there are a few of them.
    pub targets: Vec<Spread>,
    pub sources: Vec<Spread>,
    /// Those closed by the peer later than on accept.
    pub closes: Closes,
    /// Closed by the peer on accept, by FIN and by RST.
    pub closed_at_once: [u32; 2],
    /// Their greatest age.
    pub at_once_age_max: Span,
    /// When the first and the last of them was closed.
    pub closed_at_once_seen: Option<(Moment, Moment)>,
}

impl Analysis {
    /// O(connections + closes × log closes); it allocates 8 bytes for each closed connection and for
    /// each slow one.
    pub fn of(view: &RunView<'_>, on_accept: &OnAccept) -> Analysis {
        let routes = view.routes;
        let everywhere = Spread::of(view, on_accept, 1, &|_| Some(0)).pop().unwrap_or_default();
        let a_few = |count: usize| if (2..=ROWS_MAX).contains(&count) { count } else { 0 };
        let targets = match a_few(routes.targets().len()) {
            0 => Vec::new(),
            few => {
                let target = |slot| usize::try_from(routes.target_index(slot)).ok();
                Spread::of(view, on_accept, few, &target)
            }
        };
        let sources = match a_few(routes.sources().len()) {
            0 => Vec::new(),
            few => {
                let source =
                    |slot| routes.source_index(slot).and_then(|index| usize::try_from(index).ok());
                Spread::of(view, on_accept, few, &source)
            }
        };
        let mut analysis = Analysis { everywhere, targets, sources, ..Analysis::default() };
        for slot in (0..view.table.count()).filter(|slot| on_accept.has(view, *slot)) {
            let connection = view.table.of(slot);
            let is_reset = connection.reason == Some(EndReason::PeerReset);
            analysis.closed_at_once[usize::from(is_reset)] += 1;
            let age = age_of_close(connection).unwrap_or_default();
            analysis.at_once_age_max = analysis.at_once_age_max.max(age);
            let at = connection.since;
            let (first, last) = analysis.closed_at_once_seen.unwrap_or((at, at));
            analysis.closed_at_once_seen = Some((first.min(at), last.max(at)));
        }
        analysis.closes = Closes::of(view, &|slot| {
            is_closed_later(view, slot)
                || (is_closed_young(view, slot) && !on_accept.has(view, slot))
        });
        analysis
    }

    pub fn closed_at_once_count(&self) -> u32 {
        self.closed_at_once[0] + self.closed_at_once[1]
    }
}
