//! When connections were closed by the peer, and at which age: as pulses, each a number of closes with
//! none for a while before and after.

use super::dial::RunView;
use super::dials::{APART_MIN, Dials};
use crate::engine::connection::{Connection, EndReason, State};
use crate::engine::histogram::Codes;
use crate::order::sort_short_by_key;
use crate::units::{Moment, Span, low_32};

/// New connections within this of a pulse come after it.
const SOON: Span = Span::from_ms(500);

/// The most pulses that are kept: the largest.
pub const PULSES_MAX: usize = 16;

/// A number of closes with none before and after them.
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
    pub survivors: u32,
    pub survivor_age_max: Span,
    pub survivor_age_min: Span,
    /// How many were established within half a second after it.
    pub newcomers: u32,
}

/// All closes by the peer that were not on accept.
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
    /// How many of them have no date but a gap.
    pub undated: u32,
    /// The largest, in the order of time.
    pub pulses: Vec<Pulse>,
    /// How many pulses there were.
    pub pulses_count: u32,
    /// How many connections are open in the end, and the age of the oldest.
    pub survivors: u32,
    pub survivor_age_max: Span,
    /// Whether they were closed in the order in which they were established.
    pub is_oldest_first: bool,
    /// Whether they are all but the connections established first, or nearly all established after those
    /// that stayed open.
    pub is_newest_only: bool,
    pub is_newest_mostly: bool,
}

impl Closes {
    /// Those by the peer that were not on accept; O(connections + closes × log closes).
    pub fn of(view: &RunView<'_>, dials: &Dials) -> Closes {
        let later = dials.closed.iter().filter(|(_, slot)| dials.is_closed_later(view, *slot));
        let all: Vec<&Connection> = later.map(|(_, slot)| view.table.of(*slot)).collect();
        // In the order of the latest moments that they may have; the earliest may be in another.
        let mut earliest: Vec<Moment> =
            all.iter().map(|connection| view.gaps.earliest(connection.since)).collect();
        earliest.sort_unstable();
        let (Some(first), Some(last)) = (earliest.first().copied(), all.last()) else {
            return Closes::default();
        };
        let p2 = earliest[all.len() / 50];
        let p98 = all[all.len() - 1 - all.len() / 50].since;
        let mut closes = Closes {
            count: low_32(all.len() as u64),
            first,
            last: last.since,
            moments: p98.since(p2),
            age_min: Span(u64::MAX),
            survivors: dials.open,
            survivor_age_max: dials.oldest_open.map_or(Span::ZERO, |oldest| view.now.since(oldest)),
            ..Closes::default()
        };
        closes.measure_ages(view, &all);
        closes.is_oldest_first = closes.undated * 20 <= closes.count && is_oldest_first(&all);
        let is_later = |slot| dials.is_closed_later(view, slot);
        let order = dials.order_of_closes(view, view.now, &is_later);
        closes.is_newest_only = order.is_newest_only();
        closes.is_newest_mostly = order.is_newest_mostly();
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
        pulses.sort_unstable_by_key(|pulse| (std::cmp::Reverse(pulse.count), pulse.from));
        pulses.truncate(PULSES_MAX);
        sort_short_by_key(&mut pulses, |pulse| pulse.from);
        look_around(view, &mut pulses);
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
    let mut pulse = Pulse { age_min: Span(u64::MAX), ..Pulse::default() };
    let (Some(first), Some(last)) = (some.first(), some.last()) else { return pulse };
    (pulse.from, pulse.to) = (view.gaps.earliest(first.since), last.since);
    for connection in some {
        let (low, high) = age(view, connection);
        pulse.count += 1;
        pulse.resets += u32::from(connection.reason == Some(EndReason::PeerReset));
        pulse.age_min = pulse.age_min.min(low);
        pulse.age_max = pulse.age_max.max(high);
    }
    pulse
}

/// Counts the survivors of each pulse, and the connections established soon after it; for pulses in the
/// order of time, O(connections).
fn look_around(view: &RunView<'_>, pulses: &mut [Pulse]) {
    let ends: Vec<Moment> = pulses.iter().map(|pulse| pulse.to).collect();
    let soons: Vec<Moment> = ends.iter().map(|to| view.gaps.acted_on(*to, SOON) + SOON).collect();
    let count = pulses.len() + 1;
    // A connection spans the pulses from one to another. Many span the same ones.
    let mut spans = vec![Spanning::NONE; count * count];
    for connection in view.table.iter() {
        let Some(established_at) = connection.established_at() else { continue };
        let first = ends.partition_point(|to| *to <= established_at);
        let soon = soons.partition_point(|soon| *soon <= established_at);
        pulses[soon.min(first)..first].iter_mut().for_each(|pulse| pulse.newcomers += 1);
        let after = match connection.state {
            State::Established => pulses.len(),
            _ => ends.partition_point(|to| *to < connection.since),
        };
        if first < after {
            spans[first * count + after].add(established_at);
        }
    }
    for (index, pulse) in pulses.iter_mut().enumerate() {
        let mut sum = Spanning::NONE;
        for first in 0..=index {
            spans[first * count + index + 1..(first + 1) * count].iter().for_each(|s| sum.merge(s));
        }
        pulse.survivors = sum.count;
        let age = |at: Moment| pulse.to.since(at);
        (pulse.survivor_age_max, pulse.survivor_age_min) = match sum.count {
            0 => (Span::ZERO, Span(u64::MAX)),
            _ => (age(sum.first), age(sum.last)),
        };
    }
}

/// Connections that stayed open through the same pulses, and when the first and the last of them was
/// established.
#[derive(Clone, Copy)]
struct Spanning {
    count: u32,
    first: Moment,
    last: Moment,
}

impl Spanning {
    const NONE: Spanning = Spanning { count: 0, first: Moment(u64::MAX), last: Moment(0) };

    fn add(&mut self, established_at: Moment) {
        self.merge(&Spanning { count: 1, first: established_at, last: established_at });
    }

    fn merge(&mut self, other: &Spanning) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Pulse {
    /// How long it can have taken.
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
}
