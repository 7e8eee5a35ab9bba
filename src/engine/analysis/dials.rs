//! The dials of a finished run, read from the table once: the fate of each, and which connections were
//! closed on accept.

use super::dial::{Dial, Fate, RunView};
use crate::engine::connection::{Connection, EndReason, State};
use crate::units::{Moment, Span};

/// A server that closes as soon as its application has accepted does so within this and two RTT.
pub const AT_ONCE_MIN: Span = Span::from_ms(50);

/// Closes as far apart as this belong to two pulses.
pub const APART_MIN: Span = Span::from_ms(100);

/// Connections closed within this of each other can have been closed at one moment.
const TOGETHER_MAX: Span = Span::from_ms(10);

/// Ages that differ by less are the same.
const AGES_APART_MIN: Span = Span::from_ms(5);

/// Fewer of those that stayed open, or of those that were closed, are no evidence that the first ones
/// stay open;
const KEPT_MIN: u32 = 3;

/// unless the order of all these pairs is the same: by chance it would be so for one run in a hundred.
const PAIRS_MIN: u64 = 100;

/// Fewer connections are no evidence that the oldest were closed.
const EVICTED_MIN: usize = 3;

/// A server that replies once and closes does so within this of the establishment.
const REPLIED_AND_CLOSED_MAX: Span = Span::from_s(1);

/// The connections closed by the peer on accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnAccept {
    /// By FIN and by RST.
    pub counts: [u32; 2],
    pub age_max: Span,
    /// When the first and the last of them was closed.
    pub seen: Option<(Moment, Moment)>,
    /// Whether nearly all were established after those that stayed open.
    pub is_newest_mostly: bool,
}

/// Connections that were closed, among those that stayed open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloseOrder {
    pub kept: u32,
    pub closed: u32,
    /// Of those that stayed open, how many were established before the last of those closed.
    kept_before: u32,
    /// Of one that stayed open and one that was closed, where the latter was established later.
    pairs: u64,
    /// Whether connections ended in another way.
    has_others: bool,
}

impl CloseOrder {
    /// Of all pairs.
    fn all(&self) -> u64 {
        u64::from(self.kept) * u64::from(self.closed)
    }

    /// Whether the connections established first stayed open, and all others were closed.
    pub fn is_newest_only(&self) -> bool {
        self.pairs == self.all() && !self.has_others
    }

    /// Whether nearly all that were closed were established after those that stayed open; at random half
    /// of the pairs are like this.
    pub fn is_newest_mostly(&self) -> bool {
        let are_some = self.kept.min(self.closed) >= KEPT_MIN;
        let are_enough = are_some || (self.closed > 1 && self.all() >= PAIRS_MIN);
        let exceptions = if are_some { self.all() / 10 } else { 0 };
        are_enough && self.pairs >= self.all() - exceptions
    }
}

/// What the rest of the analysis goes by.
#[derive(Debug)]
pub struct Dials {
    fates: Vec<Fate>,
    /// By fate.
    decoded: [Option<Dial>; Fate::COUNT],
    /// Slots of slow dials by when they were established.
    pub slow: Vec<(Moment, u32)>,
    /// Slots of closed connections by when they were found closed.
    pub closed: Vec<(Moment, u32)>,
    pub on_accept: OnAccept,
    /// How many connections are open in the end, and since when the oldest is.
    pub open: u32,
    pub oldest_open: Option<Moment>,
    /// Between which two moments connections were established that may have been in the accept queue
    /// still when those that a limit had kept were closed: whether it keeps them is not known.
    pub undecided: Option<(Moment, Moment)>,
}

impl Dials {
    /// O(connections + closes × log closes). Allocates a byte a connection, 16 for each closed and each
    /// slow one, and for a while up to 40 more for each closed one.
    pub fn read(view: &RunView<'_>) -> Dials {
        let mut dials = Dials {
            fates: Vec::with_capacity(view.table.count() as usize),
            decoded: std::array::from_fn(|index| Fate::at(index).dial()),
            slow: Vec::new(),
            closed: Vec::new(),
            on_accept: OnAccept::default(),
            open: 0,
            oldest_open: None,
            undecided: None,
        };
        for (slot, connection) in (0..).zip(view.table.iter()) {
            let fate = Fate::of(connection, view.checks.reply(slot), view.now);
            dials.fates.push(fate);
            if fate.is_slow() {
                dials.slow.extend(connection.established_at().map(|at| (at, slot)));
            }
            match connection.state {
                State::Established => {
                    dials.open += 1;
                    let oldest = dials.oldest_open.unwrap_or(connection.since);
                    dials.oldest_open = Some(oldest.min(connection.since));
                }
                State::Closed => dials.closed.push((connection.since, slot)),
                _ => {}
            }
        }
        dials.slow.sort_unstable();
        dials.closed.sort_unstable();
        dials.find_on_accept(view);
        if dials.on_accept.seen.is_some() && !dials.on_accept.is_newest_mostly {
            let is_one = |slot| dials.fate(slot).is_closed_on_accept();
            let order = dials.order_of_closes(view, view.now, &is_one);
            dials.on_accept.is_newest_mostly = order.is_newest_mostly();
        }
        dials
    }

    /// By slot.
    pub fn fates(&self) -> impl Iterator<Item = (u32, Fate)> {
        (0..).zip(self.fates.iter().copied())
    }

    pub fn fate(&self, slot: u32) -> Fate {
        self.fates[slot as usize]
    }

    pub fn dial(&self, fate: Fate) -> Option<Dial> {
        self.decoded[fate.index()]
    }

    /// Which connections were closed on accept: behind a slow accept those that a limit closed, whatever
    /// their age; else the young ones, if not together with older ones or, at different ages, with each
    /// other.
    fn find_on_accept(&mut self, view: &RunView<'_>) {
        let is_certain = |(_, slot): &(Moment, u32)| {
            greatest_age(view, view.table.of(*slot)).is_some_and(|age| age < at_once_max(view.rtt))
        };
        // Of the others a gap hides how old they were: alone they show nothing.
        let is_any_certain = self.closed.iter().any(is_certain);
        let (mut young, mut ages, mut older) = (Vec::new(), Vec::new(), Vec::new());
        for (at, slot) in &self.closed {
            let Some(age) = age_of_close(view.table.of(*slot)) else { continue };
            if age < at_once_max(view.rtt) && !self.fate(*slot).replied() {
                young.push((*at, *slot));
                ages.push(age.0);
            } else {
                older.push(*at);
            }
        }
        let last_young = young.last().map(|(at, _)| *at).filter(|_| is_any_certain);
        if let Some((until, is_newest)) = self.accepted_late_until(view, last_young, &older) {
            let late: Vec<u32> = self.closed_by(view, until).map(|(_, slot)| slot).collect();
            late.iter().for_each(|slot| self.mark_on_accept(view, *slot));
            let newest = late.iter().filter_map(|slot| view.table.of(*slot).established_at()).max();
            // An empty queue leaves none undecided.
            let ends_in_it = |end: &Moment| until + self.on_accept.age_max >= *end;
            self.undecided = newest.zip(self.close_of_oldest(view).filter(ends_in_it));
            self.on_accept.is_newest_mostly = is_newest;
            (young, ages) = young.into_iter().zip(ages).filter(|((at, _), _)| *at > until).unzip();
        }
        if !is_any_certain {
            return;
        }
        if self.are_together(&young, ages) || are_evicted(view, &young) {
            return;
        }
        let mut first = 0;
        for (at, slot) in young {
            let from = Moment(at.0.saturating_sub(TOGETHER_MAX.0));
            first += older[first..].iter().take_while(|moment| **moment < from).count();
            let third = older.get(first + 2);
            if third.is_none_or(|third| *third > at + TOGETHER_MAX) {
                self.mark_on_accept(view, slot);
            }
        }
    }

    fn mark_on_accept(&mut self, view: &RunView<'_>, slot: u32) {
        self.fates[slot as usize] = self.fates[slot as usize].on_accept();
        self.on_accept.add(view.table.of(slot));
    }

    /// Those closed by the peer up to a moment, not after a reply.
    fn closed_by(&self, view: &RunView<'_>, until: Moment) -> impl Iterator<Item = (Moment, u32)> {
        let is_one = move |(at, slot): &(Moment, u32)| {
            *at <= until
                && age_of_close(view.table.of(*slot)).is_some()
                && !self.fate(*slot).replied()
        };
        self.closed.iter().copied().filter(is_one)
    }

    /// Where an application that accepts slowly closes what is above a limit, connections wait for
    /// that in the accept queue: some are closed young, others old, and the first ones stay open, or none
    /// does. Until when it closed like this, and whether any stayed open. `None` also if that was until
    /// the end, and none was young.
    fn accepted_late_until(
        &self,
        view: &RunView<'_>,
        last_young: Option<Moment>,
        older: &[Moment],
    ) -> Option<(Moment, bool)> {
        let last = (*older.last()?).max(last_young.unwrap_or_default());
        let is_one = |slot| age_of_close(view.table.of(slot)).is_some();
        let order = |until: Moment| self.order_of_closes(view, until, &is_one);
        let spares = |until: &Moment| order(*until).is_newest_mostly();
        if spares(&last) {
            return last_young.map(|_| (last, true));
        }
        // Others may end later, in another way: after a pause, or with the first ones.
        let (all, slots): (Vec<Moment>, Vec<u32>) = self.closed_by(view, last).unzip();
        let is_quiet = |pair: &&[Moment]| {
            Some(pair[0]) >= last_young && view.gaps.earliest(pair[1]).since(pair[0]) >= APART_MIN
        };
        let quiet_from = last_young.and_then(|_| all.windows(2).find(is_quiet)).map(|pair| pair[0]);
        // The first to be closed was young, and none that was older than a closed one stayed.
        let established_at = |slot: &u32| view.table.of(*slot).established_at();
        let is_in_order = || {
            let (until, first) = (quiet_from.unwrap_or(last), *slots.first()?);
            let slots = &slots[..all.partition_point(|at| *at <= until)];
            let mut newest = None;
            let mut is_off = |slot: &&u32| {
                let at = established_at(slot);
                newest = newest.max(at);
                at < newest
            };
            let off = slots.iter().filter(|slot| is_off(slot)).count();
            let is_young = greatest_age(view, view.table.of(first))? < at_once_max(view.rtt);
            let are_in_order = off * 20 <= slots.len() && order(until).kept == 0;
            (is_young && are_in_order).then_some((until, false))
        };
        let before_oldest = || {
            let end = view.gaps.earliest(self.close_of_oldest(view)?);
            let until = *all[..all.partition_point(|at| *at + TOGETHER_MAX < end)].last()?;
            // Later ones may have been in the accept queue still.
            let order = order(until);
            let order = CloseOrder { kept: order.kept_before, ..order };
            order.is_newest_mostly().then_some((until, true))
        };
        let spared = quiet_from.filter(spares).map(|until| (until, true));
        spared.or_else(is_in_order).or_else(before_oldest)
    }

    /// When the connection that was established first was closed by the peer.
    fn close_of_oldest(&self, view: &RunView<'_>) -> Option<Moment> {
        let by_age = |c: &&Connection| c.established_at().unwrap_or(Moment(u64::MAX));
        let oldest = view.table.iter().min_by_key(by_age)?;
        age_of_close(oldest).map(|_| oldest.since)
    }

    /// How those of `closes` up to a moment lie among the connections that were open then, in the order
    /// in which they were established. O(connections).
    pub fn order_of_closes(
        &self,
        view: &RunView<'_>,
        until: Moment,
        closes: &dyn Fn(u32) -> bool,
    ) -> CloseOrder {
        let mut order = CloseOrder::default();
        // A target without a close has no part in how the others close.
        let mut closing = vec![false; view.routes.targets().len()];
        for (_, slot) in self.closed.iter().filter(|(_, slot)| closes(*slot)) {
            closing[view.routes.target_index(*slot) as usize] = true;
        }
        let is_one = closing.len() < 2;
        let mut count = |slot: u32, established_at: Moment| {
            if !is_one && !closing[view.routes.target_index(slot) as usize] {
                order.has_others = true;
                return;
            }
            let connection = view.table.of(slot);
            let is_later = connection.since > until && age_of_close(connection).is_some();
            if connection.state == State::Established || is_later {
                order.kept += u32::from(established_at <= until);
            } else if closes(slot) && !self.fate(slot).replied() {
                order.closed += 1;
                order.pairs += u64::from(order.kept);
                order.kept_before = order.kept;
            } else {
                order.has_others |= !self.fate(slot).is_closed_on_accept();
            }
        };
        let mut slow = self.slow.iter().copied().peekable();
        for ((slot, fate), connection) in self.fates().zip(view.table.iter()) {
            let Some(at) = connection.established_at().filter(|_| !fate.is_slow()) else {
                continue;
            };
            while let Some((earlier, slot)) = slow.next_if(|(earlier, _)| *earlier <= at) {
                count(slot, earlier);
            }
            count(slot, at);
        }
        slow.for_each(|(at, slot)| count(slot, at));
        order
    }

    /// Closed on accept, each is of about the same age, at moments as far apart as the dials; an end
    /// of the process closes all at one moment and spares none.
    fn are_together(&self, young: &[(Moment, u32)], mut ages: Vec<u64>) -> bool {
        ages.sort_unstable();
        let moments: Vec<u64> = young.iter().map(|(at, _)| at.0).collect();
        let (ages, moments) = (half_range(&ages), half_range(&moments));
        let are_apart = ages >= AGES_APART_MIN.0 && moments.saturating_mul(2) < ages;
        let spares_any = young
            .first()
            .is_some_and(|(first, _)| self.oldest_open.is_some_and(|oldest| oldest < *first));
        are_apart && !spares_any
    }

    /// Whether a connection was closed by the peer, not on accept, and not right after its reply.
    pub fn is_closed_later(&self, view: &RunView<'_>, slot: u32) -> bool {
        let (connection, fate) = (view.table.of(slot), self.fate(slot));
        let Some(age) = age_of_close(connection).filter(|_| !fate.is_closed_on_accept()) else {
            return false;
        };
        if !fate.replied() {
            return true;
        }
        // Its request may have been sent only once this host was looking.
        let from = Moment(connection.since.0.saturating_sub(age.0));
        let looking = Span(age.0.saturating_sub(view.gaps.within(from, connection.since).0));
        looking >= at_once_max(view.rtt) + REPLIED_AND_CLOSED_MAX
    }
}

impl OnAccept {
    fn add(&mut self, connection: &Connection) {
        let is_reset = connection.reason == Some(EndReason::PeerReset);
        self.counts[usize::from(is_reset)] += 1;
        self.age_max = self.age_max.max(age_of_close(connection).unwrap_or_default());
        let at = connection.since;
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
    }
}

/// Whether those that stayed open are newer than all that were closed young, and were established
/// before the last of these was closed: it made room for them. A server that closes on accept up to
/// some moment closes the last one before it keeps another.
fn are_evicted(view: &RunView<'_>, young: &[(Moment, u32)]) -> bool {
    let last = young.iter().map(|(at, _)| view.gaps.earliest(*at)).max();
    let Some(last) = last.filter(|_| young.len() >= EVICTED_MIN) else { return false };
    let before = Moment(last.0.saturating_sub(view.rtt.0.saturating_mul(2)));
    let (mut kept, mut kept_before, mut kept_from) = (0, 0, Moment(u64::MAX));
    for connection in view.table.iter().filter(|c| c.state == State::Established) {
        kept += 1;
        kept_before += usize::from(connection.since < before);
        kept_from = kept_from.min(connection.since);
    }
    let is_newer = |slot: u32| view.table.of(slot).established_at() > Some(kept_from);
    let newer = young.iter().filter(|(_, slot)| is_newer(*slot)).count();
    // Those of the last RTT are not before it either way.
    kept_before >= EVICTED_MIN && kept_before * 3 >= kept && newer * 20 <= young.len()
}

/// The greatest age at which the peer can have closed a connection.
fn age_of_close(connection: &Connection) -> Option<Span> {
    let is_close = matches!(connection.reason, Some(EndReason::PeerClosed | EndReason::PeerReset));
    let established_at = connection.established_at().filter(|_| is_close)?;
    Some(connection.since.since(established_at))
}

/// The age of a connection that its peer closed, if it was established as early as it can have been.
fn greatest_age(view: &RunView<'_>, connection: &Connection) -> Option<Span> {
    let (dialed_at, closed_at) = (connection.dialed_at, connection.since);
    let age = age_of_close(connection)?;
    Some(if view.gaps.touch(dialed_at..=closed_at) { closed_at.since(dialed_at) } else { age })
}

/// The age up to which a close counts as one on accept.
pub fn at_once_max(rtt: Span) -> Span {
    AT_ONCE_MIN + Span(rtt.0.saturating_mul(2))
}

/// How far apart the middle half of some sorted values is.
fn half_range(values: &[u64]) -> u64 {
    let quarter = values.len() / 4;
    let (low, high) = (values.get(quarter), values.iter().nth_back(quarter));
    high.copied().unwrap_or(0).saturating_sub(low.copied().unwrap_or(0))
}
