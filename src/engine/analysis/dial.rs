//! What became of one dial and its connection, as the table has it.

use crate::engine::checks::Checks;
use crate::engine::connection::{Connection, EndReason, Side, State, Table};
use crate::engine::failure_times::SLOW_DIAL_MIN;
use crate::engine::gaps::Gaps;
use crate::route::Routes;
use crate::units::{Moment, Span};

/// A server that closes as soon as its application has accepted does so within this and two RTT.
pub const AT_ONCE_MIN: Span = Span::from_ms(50);

/// What is closed as far apart as this can have been closed at one moment.
const TOGETHER_MAX: Span = Span::from_ms(10);

/// Of ages that differ by less, nothing is made.
const AGES_APART_MIN: Span = Span::from_ms(5);

/// Of fewer connections it is not told whether the oldest were closed.
const EVICTED_MIN: u64 = 3;

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
    /// Open, and so young as the run ended that it may have been closed on accept.
    pub is_unsettled: bool,
    /// The server repeats its SYN-ACK, as far as its latest check tells.
    pub syn_ack_repeated: bool,
}

impl Dial {
    pub(super) fn of(view: &RunView<'_>, on_accept: &OnAccept, slot: u32) -> Option<Dial> {
        let connection = view.table.of(slot);
        let young = at_once_max(view.rtt);
        Some(Dial {
            outcome: Outcome::of(connection, view.now)?,
            closed_at_once: on_accept.has(view, slot),
            replied: view.checks.has_replied(slot),
            no_reply: view.checks.has_missed(slot),
            is_unsettled: connection.state == State::Established
                && view.now.since(connection.since) < young,
            syn_ack_repeated: view.checks.repeats_syn_ack(slot),
        })
    }
}

/// By FIN or RST, and at the latest moment at which it can have been still within the time that a
/// server needs which closes what it has just accepted. One that had replied as it was to did what
/// servers do.
pub(super) fn is_closed_young(view: &RunView<'_>, slot: u32) -> bool {
    let connection = view.table.of(slot);
    age_of_close(connection).is_some_and(|age| age < at_once_max(view.rtt))
        && !view.checks.has_replied(slot)
}

/// Closed by the peer later than on accept, and not right after its reply.
pub(super) fn is_closed_later(view: &RunView<'_>, slot: u32) -> bool {
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
pub(super) fn age_of_close(connection: &Connection) -> Option<Span> {
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
    /// Whether each had to make room for a new one.
    are_evicted: bool,
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
        OnAccept { older, are_together, are_evicted: are_evicted(view) }
    }

    pub(super) fn has(&self, view: &RunView<'_>, slot: u32) -> bool {
        if !is_closed_young(view, slot) || self.are_together || self.are_evicted {
            return false;
        }
        let at = view.table.of(slot).since;
        let from = Moment(at.0.saturating_sub(TOGETHER_MAX.0));
        let first = self.older.partition_point(|moment| *moment < from);
        let with = self.older[first..].iter().take_while(|moment| **moment <= at + TOGETHER_MAX);
        with.take(3).count() < 3
    }
}

/// Whether those that stayed open are newer than all that were closed young, and were established
/// before the last of these was closed: it made room for them. A server that closes on accept up to
/// some moment closes the last one before it keeps another.
fn are_evicted(view: &RunView<'_>) -> bool {
    let young = || (0..view.table.count()).filter(|slot| is_closed_young(view, *slot));
    let last = young().map(|slot| view.gaps.earliest(view.table.of(slot).since)).max();
    let Some(last) = last else { return false };
    let before = Moment(last.0.saturating_sub(view.rtt.0.saturating_mul(2)));
    let (mut kept, mut kept_before, mut kept_from) = (0u64, 0u64, Moment(u64::MAX));
    for connection in view.table.iter().filter(|c| c.state == State::Established) {
        kept += 1;
        kept_before += u64::from(connection.since < before);
        kept_from = kept_from.min(connection.since);
    }
    let (mut closed, mut newer) = (0u64, 0u64);
    for slot in young() {
        closed += 1;
        newer += u64::from(view.table.of(slot).established_at() > Some(kept_from));
    }
    // Those of the last RTT are not before it either way.
    kept_before >= EVICTED_MIN
        && closed >= EVICTED_MIN
        && kept_before * 3 >= kept
        && newer * 20 <= closed
}

/// How far apart the middle half of some values are.
fn half_range(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let quarter = values.len() / 4;
    let (low, high) = (values.get(quarter), values.iter().nth_back(quarter));
    high.copied().unwrap_or(0).saturating_sub(low.copied().unwrap_or(0))
}
