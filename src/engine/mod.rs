//! The pure core: a function of (plan, moments, events). The network and the clock are callers, not
//! collaborators.
//!
//! [`Engine::turn`] is the one verb. Its impure half is `os/driver.rs`, which turns readiness into
//! [`Event`]s and [`Action`]s into system calls; `sim/` does the same to a network that does not
//! exist. Between the three there is only the vocabulary of `event.rs`:
//!
//! - a [`Key`] names one attempt of one slot, and an event for any other attempt is dropped;
//! - an [`Event`] says what happened and when; it may be stale, repeated or nonsense, and then
//!   changes nothing;
//! - an [`Action`] is to be carried out once, in order, before the next poll. One that fails or
//!   succeeds at once comes back as an event of the next turn;
//! - a [`State`] is an account of the [`ledger`], and only `Engine::post` moves a connection
//!   between two.

mod account;
pub mod analysis;
pub mod check_state;
pub mod check_stats;
mod check_table;
pub mod checks;
pub mod connection;
pub mod dating;
mod deadlines;
mod ending;
pub mod event;
pub mod exhausted;
pub mod expect;
pub mod failure_times;
pub mod gaps;
mod handlers;
pub mod histogram;
pub mod ledger;
pub mod pacer;
pub mod ready;
mod rounds;
pub mod series;
pub mod summary;
pub mod sustained;
pub mod tcp_info;
pub mod wheel;

pub use analysis::breakdown;
pub use check_stats::{CheckStats, Round, RoundStats};
pub use connection::{Connection, EndReason, Key, Side, State};
pub use event::{Action, Event, EventKind, Failure, Note, TcpInfo, TcpInfoPurpose};
pub use summary::{Sample, Summary};

use account::Tally;
use checks::Checks;
use connection::Table;
use exhausted::Exhausted;
use failure_times::SLOW_DIAL_MIN;
use gaps::{Gaps, Unread};
use handlers::PendingTcpInfo;
use ledger::Ledger;
use pacer::Pacer;
use ready::Ready;
use series::Series;
use sustained::Sustained;
use wheel::Wheel;

use crate::error::{Error, Result};
use crate::plan::{Budgets, Hold, Plan};
use crate::route::Routes;
use crate::units::{Moment, Span, Tick, next_beat};

/// A loop that did not run for longer than this was stopped or suspended, not busy.
pub const PAUSE_MIN: Span = Span::from_s(1);

/// User-space bits a connection that [`Engine::new`] allocates in any run: its record, its ready
/// link, its wheel link.
const BITS_PER_CONNECTION: u64 = 8 * (24 + 4 + 12);

/// The same in a run in which everything is asked, with the [`expect::Expect`] that goes with it.
pub const BITS_PER_CONNECTION_MAX: u64 =
    BITS_PER_CONNECTION + check_state::BITS_PER_CONNECTION + expect::BITS_PER_CONNECTION;

/// User-space bits that each connection of `plan` takes here.
pub fn bits_per_connection(plan: &Plan) -> u64 {
    let asked = if checks::checks(plan) { check_state::BITS_PER_CONNECTION } else { 0 };
    let is_expected = plan.reply_check.as_ref().is_some_and(|reply| !reply.expect.is_empty());
    let expected = if is_expected { expect::BITS_PER_CONNECTION } else { 0 };
    BITS_PER_CONNECTION + asked + expected
}

/// A run in progress. Everything is allocated in [`Engine::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    connections: u32,
    dial_timeout: Option<Span>,
    interval: Option<Span>,
    hold: Hold,
    settle: Span,
    debug: bool,
    budgets: Budgets,
    table: Table,
    ledger: Ledger,
    wheel: Wheel,
    ready: Ready,
    pacer: Pacer,
    routes: Routes,
    exhausted: Exhausted,
    checks: Checks,
    reads: PendingTcpInfo,
    /// Slots to be drained in this turn as their answer is due.
    final_drains: Vec<u32>,
    /// Whether there is something to send to each connection.
    sends: bool,
    errors_max: Option<u64>,
    start: Moment,
    now: Moment,
    sample_due: Option<Moment>,
    /// When the last dial was decided.
    decided_at: Option<Moment>,
    /// When a connection was last found closed by its peer.
    closed_at: Option<Moment>,
    gaps: Gaps,
    /// What is still to be read of a gap.
    gap_unread: Option<Unread>,
    sustained: Sustained,
    /// For how many turns in a row the poll's batch was full.
    full_batches: u32,
    stopped: bool,
    /// Whether there were too many errors.
    gave_up: bool,
    over: bool,
    series: Series,
    tally: Tally,
}

impl Engine {
    /// A run that begins at `start`, with nothing dialed.
    ///
    /// # Errors
    /// [`Error::Memory`] when the tables do not fit.
    pub fn new(plan: &Plan, start: Moment) -> Result<Engine> {
        let connections = plan.connections;
        let bytes = u64::from(connections) * bits_per_connection(plan).div_ceil(8);
        let no_memory = |_| Error::Memory { connections, bytes };
        let mut wheel = Wheel::new(connections).map_err(no_memory)?;
        // Empty yet: it turns to where the run begins, from where its reach counts.
        wheel.pop_expired(Tick::begun_by(start), &mut 0);
        Ok(Engine {
            connections,
            dial_timeout: plan.dial_timeout,
            interval: plan.interval,
            hold: plan.hold,
            settle: plan.settle,
            debug: plan.debug,
            budgets: plan.budgets,
            table: Table::new(connections).map_err(no_memory)?,
            ledger: Ledger::new(connections),
            wheel,
            ready: Ready::new(connections).map_err(no_memory)?,
            pacer: Pacer::new(plan.pace, connections, start),
            routes: plan.routes.clone(),
            exhausted: Exhausted::new(&plan.routes).map_err(no_memory)?,
            checks: Checks::new(plan).map_err(no_memory)?,
            reads: PendingTcpInfo::new(&plan.budgets),
            final_drains: Vec::with_capacity(plan.budgets.final_drains_max() as usize),
            sends: plan.reply_check.as_ref().is_some_and(|reply| !reply.send.is_empty()),
            errors_max: plan.errors_max,
            start,
            now: start,
            sample_due: Some(start),
            decided_at: None,
            closed_at: None,
            gaps: Gaps::new(),
            gap_unread: None,
            sustained: Sustained::new(start),
            full_batches: 0,
            stopped: false,
            gave_up: false,
            over: false,
            series: Series::new(connections),
            tally: Tally::new(),
        })
    }

    /// Takes what happened up to `now` and says what to do next. Order is policy: readiness first,
    /// so that a connection that opened in the tick in which its timeout fell due counts as open;
    /// then deadlines, then dials. It appends at most [`Budgets::turn_actions_max`] actions and
    /// allocates nothing if they fit.
    pub fn turn(&mut self, now: Moment, events: &[Event], actions: &mut Vec<Action>) {
        self.advance_series(now);
        self.notice_pause(now);
        self.now = self.now.max(now);
        let mut is_batch_full = false;
        self.reads.begin_turn();
        self.final_drains.clear();
        for event in events {
            is_batch_full |= event.kind == EventKind::PollBatchFull;
            self.take(event, actions);
        }
        self.full_batches = if is_batch_full { self.full_batches.saturating_add(1) } else { 0 };
        self.end_gap(is_batch_full);
        if !self.readiness_may_be_pending() {
            self.expire(actions);
        }
        if self.sample_due.is_some_and(|due| due <= self.now) {
            actions.push(Action::Sample);
            self.sample_due = self.interval.map(|every| next_beat(self.start, every, self.now));
        }
        self.conclude();
        if !self.over {
            self.drain(actions);
            self.dial(actions);
        }
    }

    /// When [`Engine::turn`] has something to do even if nothing happens; a moment that has passed
    /// means now, and `None` never.
    pub fn next_due(&self) -> Option<Moment> {
        if self.over {
            return None;
        }
        if self.readiness_may_be_pending() || !self.ready.is_empty() {
            return Some(self.now);
        }
        let wheel = self.wheel.next_due().map(Tick::moment);
        let dial = if self.stopped { None } else { self.pacer.next_due() };
        // While answers are waited for, the end is theirs to bring about.
        let end = self.end_due().filter(|_| !self.checks.is_waiting());
        let round = self.checks.next_due(self.now, self.decided_at, self.hold);
        let round = round.filter(|_| !self.stopped);
        [wheel, dial, self.sample_due, end, round].into_iter().flatten().min()
    }

    /// Whether the run has ended: every dial is decided and the hold is over, or a signal came.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The accounts as they are; O(1).
    pub fn sample(&self) -> Sample {
        Sample {
            after: self.now.since(self.start),
            connections: self.connections,
            levels: self.ledger.levels(),
        }
    }

    /// The connection that `key` names, if that attempt is the current one.
    pub fn connection(&self, key: Key) -> Option<&Connection> {
        self.table.get(key)
    }

    fn take(&mut self, event: &Event, actions: &mut Vec<Action>) {
        let at = event.at;
        match event.kind {
            EventKind::Dialed(key) => self.dialed(key, at, actions),
            EventKind::Opened(key) if self.is(key, State::Dialing) => self.opened(key, at, actions),
            EventKind::Failed(key, failure) if self.may_end(key, State::Dialing, failure) => {
                self.fail(key, failure, at, actions);
            }
            EventKind::PeerClosed(key, failure)
                if self.may_end(key, State::Established, failure) =>
            {
                self.close(key, failure, at, actions);
            }
            EventKind::Reset(key, failure, info)
                if self.may_end(key, State::Established, failure) =>
            {
                let is_asked = self.checks.state(key.slot).is_keepalive_on();
                let is_answer = is_asked && tcp_info::is_reset_by_keepalive(&info);
                let reason = if is_answer { EndReason::HalfOpen } else { failure.reason };
                self.close(key, Failure { reason, ..failure }, at, actions);
            }
            EventKind::Sent(key) if self.awaits_reply(key) => self.sent(key, at),
            EventKind::KeepaliveStarted(key, info)
                if self.is(key, State::Established)
                    && self.checks.state(key.slot).is_starting() =>
            {
                self.keepalive_started(key, info, at, actions);
            }
            EventKind::Readable(key) if self.is(key, State::Established) => {
                self.ready.push(key.slot)
            }
            EventKind::Received { key, bytes, more } if self.is(key, State::Established) => {
                self.received(key, bytes, at, actions);
                if more {
                    self.ready.push(key.slot);
                }
            }
            EventKind::ReplyMatched(key) if self.is(key, State::Established) => {
                self.replied(key, at, actions)
            }
            EventKind::TcpInfo(key, purpose, info) if self.reads.answer(key, purpose) => {
                self.tcp_info_read(key, purpose, &info, at, actions);
            }
            EventKind::Gap { since, is_stop } if since < at && at <= self.now => {
                self.begin_gap(since, at, is_stop);
            }
            EventKind::PollBatchFull => {}
            EventKind::Stop => self.stopped = true,
            _ => self.tally.events_ignored += 1,
        }
    }

    fn dialed(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        if !self.is(key, State::NotInitiated) || key.slot >= self.pacer.asked() {
            self.tally.events_ignored += 1;
            return;
        }
        self.post(key, State::Dialing, at, None);
        if let Some(timeout) = self.dial_timeout {
            self.wheel.arm(key.slot, Tick::at_or_after(at + timeout));
        }
        if self.pacer.is_paced() {
            self.tally.dial_lateness.record(at.since(self.pacer.scheduled(key.slot)));
        }
        self.tally.first_dial.get_or_insert(at);
        self.tally.last_dial = Some(at);
        self.note(key, Note::Dialing, actions);
    }

    fn close(&mut self, key: Key, failure: Failure, at: Moment, actions: &mut Vec<Action>) {
        let after = self.end(key, failure, at);
        self.tally.lifetimes.record(after);
        self.closed_at = self.closed_at.max(Some(at.min(self.now)));
        self.note(key, Note::Closed { failure, after }, actions);
        actions.push(Action::Close(key));
    }

    fn fail(&mut self, key: Key, failure: Failure, at: Moment, actions: &mut Vec<Action>) {
        let after = self.end(key, failure, at);
        if after >= SLOW_DIAL_MIN {
            self.slow(key, actions);
        }
        self.tally.failed_times.record(after);
        self.note(key, Note::Errored { failure, after }, actions);
        actions.push(Action::Close(key));
    }

    /// Posts what ended a connection, or the attempt at one.
    fn end(&mut self, key: Key, failure: Failure, at: Moment) -> Span {
        if let Some(connection) = self.table.get(key) {
            // What happened to a dial is dated by its SYN, not by when it was given up.
            let is_dial = failure.reason.ends_in() == State::Error;
            let dated = if is_dial { connection.since } else { at };
            let times = &mut self.tally.failure_times[failure.reason as usize];
            times.add(dated, at.since(connection.since));
        }
        self.checks.close(key.slot, failure.reason, at);
        match failure.reason {
            EndReason::NoPorts => self.exhausted.insert(key.slot, self.now),
            _ => self.exhausted.relieve(key.slot),
        }
        let first_errno = &mut self.tally.first_errno[failure.reason as usize];
        if *first_errno == 0 {
            *first_errno = failure.errno;
        }
        self.post(key, failure.reason.ends_in(), at, Some(failure.reason))
    }

    /// The only way from one state to another: table, ledger and deadline together. Returns how
    /// long the connection was in the state that it left.
    fn post(&mut self, key: Key, to: State, at: Moment, reason: Option<EndReason>) -> Span {
        let before = self.table.step(key.slot, to, at, reason);
        self.ledger.post(before.state, to, reason);
        let found_at = at.min(self.now);
        match (before.state, to) {
            (_, State::Established) => self.sustained.open(found_at),
            (State::Established, _) => self.sustained.close(before.since, found_at),
            _ => {}
        }
        self.wheel.cancel(key.slot);
        at.since(before.since)
    }

    fn is(&self, key: Key, state: State) -> bool {
        self.table.get(key).is_some_and(|connection| connection.state == state)
    }

    fn may_end(&self, key: Key, state: State, failure: Failure) -> bool {
        self.is(key, state) && state.may_become(failure.reason.ends_in())
    }

    /// By when something has to come of `key`, if by any time; for tests.
    pub fn deadline(&self, key: Key) -> Option<Tick> {
        self.table.get(key).and_then(|_| self.wheel.due(key.slot))
    }

    fn note(&self, key: Key, note: Note, actions: &mut Vec<Action>) {
        if self.debug {
            actions.push(Action::Note(key, note));
        }
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        actions
            .extend(self.final_drains.iter().map(|slot| Action::DrainFully(self.table.key(*slot))));
        for _ in 0..self.budgets.drains_max {
            let Some(slot) = self.ready.pop() else { return };
            self.note_drain(slot);
            let key = self.table.key(slot);
            // One that was closed while it waited has nothing to drain any more.
            if self.is(key, State::Established) {
                actions.push(Action::Drain(key));
            }
        }
    }

    fn dial(&mut self, actions: &mut Vec<Action>) {
        // The skipped ones come first: nothing stands between a dial and the poll, and they may be
        // one error too many.
        let mut skipped = 0;
        while skipped < self.budgets.skips_max
            && self.exhausted.forbids(self.pacer.asked(), self.now)
            && let Some(slot) = self.pacer.take(self.now)
        {
            skipped += 1;
            self.skip_dial(self.table.key(slot), actions);
            if self.is_too_much() {
                break;
            }
        }
        if skipped > 0 {
            self.conclude();
        }
        let mut dials = 0;
        while !self.over
            && dials < self.budgets.dials_max
            && !self.exhausted.forbids(self.pacer.asked(), self.now)
            && let Some(slot) = self.pacer.take(self.now)
        {
            dials += 1;
            self.exhausted.dial(slot, self.now);
            actions.push(Action::Dial(self.table.key(slot)));
        }
    }

    /// A dial that begins and fails in the same moment, unasked: the answer is known, and to hear
    /// it from the kernel again would take milliseconds. It took no time, so there is none to
    /// record.
    fn skip_dial(&mut self, key: Key, actions: &mut Vec<Action>) {
        self.post(key, State::Dialing, self.now, None);
        self.tally.failure_times[EndReason::NoPorts as usize].add_untimed(self.now);
        self.post(key, State::Error, self.now, Some(EndReason::NoPorts));
        self.tally.skipped += 1;
        self.note(key, Note::Skipped, actions);
    }
}
