//! When connections were closed by the peer, and how old they were: as pulses, each some closes with
//! nothing for a while before and after.

use super::dial::RunView;
use crate::engine::connection::{Connection, EndReason, State};
use crate::engine::histogram::Codes;
use crate::units::{Moment, Span, low_32};

/// Closes as far apart as this belong to two pulses.
pub const APART_MIN: Span = Span::from_ms(100);

/// New connections within this of a pulse come after it.
const SOON: Span = Span::from_ms(500);

/// The most pulses that are kept: the largest.
pub const PULSES_MAX: usize = 16;

/// Some closes with nothing before and after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// The first can have been as early as `from`, the last as late as `to`.
    pub from: Moment,
    pub to: Moment,
    pub count: u32,
    pub resets: u32,
    /// At the least and at the most.
    pub age_min: Span,
    pub age_max: Span,
    /// How many were established before it and stayed open after it, and how old the oldest and the
    /// youngest of these were at its end.
    pub kept: u32,
    pub kept_age_max: Span,
    pub kept_age_min: Span,
    /// When the first of those closed was established, and the last of those that stayed open.
    pub established_from: Moment,
    pub kept_established_to: Moment,
    /// How many were established within half a second after it.
    pub newcomers: u32,
}

/// All closes by the peer of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closes {
    pub count: u32,
    pub resets: u32,
    pub first: Moment,
    pub last: Moment,
    /// All but one in fifty of them at either end were closed within this.
    pub moments: Span,
    /// Of their ages: the least, all but one in fifty, half, one in fifty, the greatest.
    pub age_min: Span,
    pub age_p2: Span,
    pub age_p50: Span,
    pub age_p98: Span,
    pub age_max: Span,
    /// How many of them are dated no better than by a stretch in which this host was not looking.
    pub undated: u32,
    /// The largest, in the order of time.
    pub pulses: Vec<Pulse>,
    /// How many pulses there were.
    pub pulses_count: u32,
    /// How many connections are open in the end, and the age of the oldest.
    pub kept: u32,
    pub kept_age_max: Span,
    /// Whether they were closed in the order in which they were established.
    pub is_oldest_first: bool,
}

impl Closes {
    /// Those of the slots that `is_meant`; O(closes × log closes + connections × pulses kept).
    pub fn of(view: &RunView<'_>, is_meant: &dyn Fn(u32) -> bool) -> Closes {
        let slots = (0..view.table.count()).filter(|slot| is_meant(*slot));
        let mut all: Vec<&Connection> = slots.map(|slot| view.table.of(slot)).collect();
        if all.is_empty() {
            return Closes::default();
        }
        all.sort_unstable_by_key(|connection| connection.since);
        let mut closes = Closes {
            count: low_32(all.len() as u64),
            first: view.gaps.earliest(all[0].since),
            last: all[all.len() - 1].since,
            moments: all[all.len() - 1 - all.len() / 50]
                .since
                .since(view.gaps.earliest(all[all.len() / 50].since)),
            age_min: Span(u64::MAX),
            ..Closes::default()
        };
        closes.measure_ages(view, &all);
        for connection in view.table.iter().filter(|c| c.state == State::Established) {
            closes.kept += 1;
            closes.kept_age_max = closes.kept_age_max.max(view.now.since(connection.since));
        }
        closes.is_oldest_first = closes.undated * 20 <= closes.count && is_oldest_first(&all);
        closes.find_pulses(view, &all);
        closes
    }

    fn measure_ages(&mut self, view: &RunView<'_>, all: &[&Connection]) {
        let mut codes = Codes::new();
        for connection in all {
            let (low, high) = age(view, connection);
            self.age_min = self.age_min.min(low);
            self.age_max = self.age_max.max(high);
            self.undated += u32::from(low != high);
            self.resets += u32::from(connection.reason == Some(EndReason::PeerReset));
            codes.record_span(Span(low.0 / 2 + high.0 / 2));
        }
        let [p2, p50, p98] = [20, 500, 980]
            .map(|permille| codes.quantile(permille).clamp(self.age_min, self.age_max));
        (self.age_p2, self.age_p50, self.age_p98) = (p2, p50, p98);
    }

    fn find_pulses(&mut self, view: &RunView<'_>, all: &[&Connection]) {
        let is_apart = |a: &&Connection, b: &&Connection| {
            view.gaps.earliest(b.since).since(a.since) >= APART_MIN
        };
        let mut pulses: Vec<Pulse> =
            all.chunk_by(|a, b| !is_apart(a, b)).map(|some| pulse(view, some)).collect();
        self.pulses_count = low_32(pulses.len() as u64);
        pulses.sort_by_key(|pulse| std::cmp::Reverse(pulse.count));
        pulses.truncate(PULSES_MAX);
        pulses.sort_by_key(|pulse| pulse.from);
        for pulse in &mut pulses {
            pulse.look_around(view);
        }
        self.pulses = pulses;
    }
}

/// Whether connections were closed in the order in which they were established, as a timeout of each
/// or an eviction of the oldest closes them; one in twenty may be off.
fn is_oldest_first(all: &[&Connection]) -> bool {
    let mut newest = Moment(0);
    let mut off = 0;
    for connection in all {
        let established_at = connection.established_at().unwrap_or_default();
        off += usize::from(established_at + Span::from_ms(20) < newest);
        newest = newest.max(established_at);
    }
    off * 20 <= all.len()
}

/// The least and the greatest age at which it can have been closed.
fn age(view: &RunView<'_>, connection: &Connection) -> (Span, Span) {
    let established_at = connection.established_at().unwrap_or(connection.since);
    let earliest = view.gaps.earliest(connection.since);
    (earliest.since(established_at), connection.since.since(established_at))
}

fn pulse(view: &RunView<'_>, some: &[&Connection]) -> Pulse {
    let mut pulse =
        Pulse { age_min: Span(u64::MAX), established_from: Moment(u64::MAX), ..Pulse::default() };
    let (Some(first), Some(last)) = (some.first(), some.last()) else { return pulse };
    (pulse.from, pulse.to) = (view.gaps.earliest(first.since), last.since);
    for connection in some {
        let (low, high) = age(view, connection);
        pulse.count += 1;
        pulse.resets += u32::from(connection.reason == Some(EndReason::PeerReset));
        let established_at = connection.established_at().unwrap_or(connection.since);
        pulse.established_from = pulse.established_from.min(established_at);
        pulse.age_min = pulse.age_min.min(low);
        pulse.age_max = pulse.age_max.max(high);
    }
    pulse
}

impl Pulse {
    fn look_around(&mut self, view: &RunView<'_>) {
        let soon = view.gaps.acted_on(self.to, SOON) + SOON;
        self.kept_age_min = Span(u64::MAX);
        for connection in view.table.iter() {
            let Some(established_at) = connection.established_at() else { continue };
            self.newcomers += u32::from((self.to..soon).contains(&established_at));
            let is_open = connection.state == State::Established || connection.since > self.to;
            if is_open && established_at < self.to {
                let age = self.to.since(established_at);
                self.kept += 1;
                self.kept_established_to = self.kept_established_to.max(established_at);
                self.kept_age_max = self.kept_age_max.max(age);
                self.kept_age_min = self.kept_age_min.min(age);
            }
        }
    }

    /// How long it can have taken.
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
}
