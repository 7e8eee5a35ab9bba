//! The pure core: a function of (plan, moments, events). It reads no clock and makes no system call;
//! the network and the clock are its callers.
//!
//! Its impure half is `os/driver.rs`, which turns readiness into [`Event`]s and [`Action`]s into
//! system calls; `sim/` does the same on networks that do not exist. What passes between them is
//! defined in [`event`].
//!
//! # The contract
//!
//! ```text
//! let mut engine = Engine::new(&plan, now)?;
//! loop {
//!     engine.turn(now, &events, &mut actions);
//!     events = carry_out(actions.drain(..), &engine);
//!     if engine.is_over() { break }
//!     (now, batch) = poll(engine.next_wake());
//!     events.extend(to_events(batch, &engine));
//! }
//! engine.turn(now, &events, &mut actions);
//! report(engine.summary());
//! ```
//!
//! 1. [`Engine::new`] allocates all that a run needs, O(connections).
//! 2. [`Engine::turn`] is the only method that changes anything. It takes what happened up to a
//!    moment and appends what is to be done about it: at most [`Budgets::turn_actions_max`] actions,
//!    in O(events + budgets) and without allocating, as long as there are at most
//!    [`Budgets::turn_events_max`] events and `actions` has room.
//! 3. The driver carries out each action once, in order, before it polls. What came of it is an
//!    event of the next turn, and stands before those of the poll.
//! 4. Between two turns the driver may ask, O(1) and without effect: [`Engine::is_over`],
//!    [`Engine::next_wake`], [`Engine::expects_reply`] (whether to read now rather than report
//!    readiness), [`Engine::connection`], [`Engine::sample`].
//! 5. The next turn is due at [`Engine::next_wake`] at the latest. A poll that returns later than
//!    that, or was not made for 100 ms, is reported as an [`EventKind::Gap`].
//! 6. Once the run is over it stays over. One last turn, at the same moment, takes what came of the
//!    last actions: it fires no deadline, dials nothing, and its own actions need not be carried
//!    out. Then [`Engine::summary`], O(connections), is the run.
//!
//! Nothing that a driver hands in can do harm: a moment before the last one counts as that one, and
//! an event that is stale, repeated or impossible changes nothing but [`Summary::events_ignored`].
//!
//! # A turn
//!
//! The order is policy, and is the same for every driver:
//!
//! 1. **Events**, as handed in. A connection that opened in the tick in which its timeout fell due
//!    counts as open.
//! 2. **Deadlines**, at most [`Budgets::expiries_max`], and none while readiness may be pending in
//!    the kernel: dial timeouts, checks, rounds of keepalives.
//! 3. **A sample**, if one is due, and the decision whether the run is over.
//! 4. **Drains**: those of replies that are due, then at most [`Budgets::drains_max`].
//! 5. **Dials**, last, so that nothing stands between a `connect()` and the poll that reports its
//!    success: at most [`Budgets::dials_max`], after at most [`Budgets::skips_max`] that are skipped.
//!
//! What does not fit into a budget waits, and the wake is [`Wake::Now`]. Otherwise it is later than
//! the turn.
//!
//! # The parts
//!
//! A [`Key`] names one attempt of one slot; an event for any other attempt is dropped. A [`State`]
//! is an account of the [`ledger`], and only `Engine::post` moves a connection between two. What
//! each event does is in `handlers.rs`, what deadlines do in `deadlines.rs`, what a turn starts by
//! itself in `schedule.rs`, when a run ends in `ending.rs`; `queries.rs` only reads.

pub mod analysis;
pub mod beside;
pub mod check_state;
pub mod check_stats;
mod check_table;
pub mod checks;
pub mod churn;
pub mod connection;
pub mod dating;
mod deadlines;
mod ending;
pub mod event;
pub mod expect;
pub mod failure_times;
pub mod gaps;
mod handlers;
pub mod histogram;
pub mod ledger;
pub mod pacer;
mod pending_tcp_info;
pub mod port_exhaustion;
mod queries;
pub mod ready;
mod redial;
mod rounds;
mod schedule;
pub mod series;
pub mod stall;
mod stats;
pub mod summary;
pub mod sustained;
pub mod tcp_info;
pub mod wheel;

pub use analysis::breakdown;
pub use check_stats::{CheckStats, Round, RoundStats};
pub use connection::{Connection, EndReason, Key, Side, State};
pub use event::{Action, Event, EventKind, Failure, Note, TcpInfo, TcpInfoPurpose, Wake};
pub use summary::{Progress, Sample, Summary};

use checks::Checks;
use churn::Churn;
use connection::Table;
use gaps::{Gaps, Unread};
use ledger::Ledger;
use pacer::Pacer;
use pending_tcp_info::PendingTcpInfo;
use port_exhaustion::{ExhaustedRoutes, TRIED_AGAIN_EVERY, TRIED_EVERY};
use ready::Ready;
use series::Series;
use stall::Stalled;
use stats::Stats;
use sustained::Sustained;
use wheel::Wheel;

use crate::error::{Error, Result};
use crate::plan::{Budgets, Hold, Plan};
use crate::route::Routes;
use crate::units::{Moment, Span, Tick};

/// A loop that did not run for this time was stopped or suspended, not busy.
pub const PAUSE_MIN: Span = Span::from_s(1);

/// User-space bits a connection in any run: its record, its ready link, its wheel link.
const BITS_PER_CONNECTION: u64 = 8 * (24 + 4 + 12);

/// The same in a run that checks everything, with the [`expect::Expect`] that goes with it.
pub const BITS_PER_CONNECTION_MAX: u64 =
    BITS_PER_CONNECTION + check_state::BITS_PER_CONNECTION + expect::BITS_PER_CONNECTION;

/// User-space bits that each connection of `plan` takes here.
pub fn bits_per_connection(plan: &Plan) -> u64 {
    let checks = if checks::checks(plan) { check_state::BITS_PER_CONNECTION } else { 0 };
    let has_expect = plan.reply_check.as_ref().is_some_and(|talk| !talk.expect.is_empty());
    let expect = if has_expect { expect::BITS_PER_CONNECTION } else { 0 };
    let churn = if plan.lifetime.is_some() { churn::BITS_PER_CONNECTION } else { 0 };
    BITS_PER_CONNECTION + checks + expect + churn
}

/// A run in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    connections: u32,
    dial_timeout: Option<Span>,
    interval: Option<Span>,
    hold: Hold,
    duration: Option<Span>,
    /// When that is over, once dialing has begun.
    time_up_at: Option<Moment>,
    settle: Span,
    debug: bool,
    budgets: Budgets,
    table: Table,
    ledger: Ledger,
    wheel: Wheel,
    ready: Ready,
    pacer: Pacer,
    /// Only with a lifetime.
    churn: Option<Box<Churn>>,
    routes: Routes,
    exhausted_routes: ExhaustedRoutes,
    checks: Checks,
    pending_reads: PendingTcpInfo,
    /// Slots with a reply due, to be drained in this turn.
    final_drains: Vec<u32>,
    /// Whether a text is sent on each connection.
    sends: bool,
    errors_max: Option<u64>,
    stalled: Stalled,
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
    hit_max_errors: bool,
    over: bool,
    wake: Wake,
    series: Series,
    stats: Stats,
}

impl Engine {
    /// A run that begins at `start`, with nothing dialed.
    ///
    /// # Errors
    /// [`Error::Memory`] if the tables do not fit.
    pub fn new(plan: &Plan, start: Moment) -> Result<Engine> {
        let connections = plan.connections;
        let bytes = u64::from(connections) * bits_per_connection(plan).div_ceil(8);
        let no_memory = |_| Error::Memory { connections, bytes };
        let (dials, tried_every) = match plan.lifetime {
            Some(_) => (u64::MAX, TRIED_AGAIN_EVERY),
            None => (connections.into(), TRIED_EVERY),
        };
        let mut wheel = Wheel::new(connections).map_err(no_memory)?;
        // Its reach counts from here.
        wheel.pop_expired(Tick::begun_by(start), &mut 0);
        Ok(Engine {
            connections,
            dial_timeout: plan.dial_timeout,
            interval: plan.interval,
            hold: plan.hold,
            duration: plan.duration,
            time_up_at: None,
            settle: plan.settle,
            debug: plan.debug,
            budgets: plan.budgets,
            table: Table::new(connections).map_err(no_memory)?,
            ledger: Ledger::new(connections),
            wheel,
            ready: Ready::new(connections).map_err(no_memory)?,
            pacer: Pacer::new(plan.pace, dials, start),
            churn: Churn::new(plan, start).map_err(no_memory)?,
            routes: plan.routes.clone(),
            exhausted_routes: ExhaustedRoutes::new(&plan.routes, tried_every).map_err(no_memory)?,
            checks: Checks::new(plan).map_err(no_memory)?,
            pending_reads: PendingTcpInfo::new(&plan.budgets),
            final_drains: Vec::with_capacity(plan.budgets.final_drains_max() as usize),
            sends: plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty()),
            errors_max: plan.errors_max,
            stalled: Stalled::new(plan.errors_max.filter(|_| plan.lifetime.is_none())),
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
            hit_max_errors: false,
            over: false,
            wake: Wake::Now,
            series: Series::new(connections),
            stats: Stats::new(),
        })
    }

    /// Takes what happened up to `now` and appends what to do next; see the
    /// [contract](self#the-contract).
    pub fn turn(&mut self, now: Moment, events: &[Event], actions: &mut Vec<Action>) {
        self.advance_series(now);
        self.notice_pause(now);
        self.now = self.now.max(now);
        self.pending_reads.begin_turn();
        self.final_drains.clear();
        let mut is_full = false;
        for (index, event) in events.iter().enumerate() {
            is_full |= matches!(event.kind, EventKind::PollBatchFull);
            self.dispatch(event, events.get(index + 1), actions);
        }
        self.end_batch(is_full);
        if !self.over {
            if !self.readiness_may_be_pending() {
                self.expire(actions);
            }
            self.sample_if_due(actions);
            self.conclude();
        }
        if !self.over {
            self.drain(actions);
            self.dial(actions);
        }
        self.wake = self.wake_after_turn();
    }

    fn dispatch(&mut self, event: &Event, next: Option<&Event>, actions: &mut Vec<Action>) {
        use EventKind as Kind;
        let at = event.at;
        match event.kind {
            Kind::Dialed(key) if self.is_dial_pending(key) => {
                let is_open =
                    matches!(next, Some(Event { kind: Kind::Opened(of), .. }) if *of == key);
                self.dialed(key, at, is_open, actions);
            }
            Kind::Opened(key) if self.is(key, State::Dialing) => self.opened(key, at, actions),
            Kind::Failed(key, failure) if self.may_end(key, State::Dialing, failure) => {
                self.fail(key, failure, at, actions);
            }
            Kind::PeerClosed(key, failure) if self.may_end(key, State::Established, failure) => {
                self.close(key, failure, at, actions);
            }
            Kind::Reset(key, failure, info) if self.may_end(key, State::Established, failure) => {
                self.reset(key, failure, &info, at, actions);
            }
            Kind::Sent(key) if self.awaits_reply(key) => self.sent(key, at),
            Kind::KeepaliveStarted(key, info) if self.awaits_keepalive_start(key) => {
                self.keepalive_started(key, info, at, actions);
            }
            Kind::Readable(key) if self.is(key, State::Established) => self.ready.push(key.slot),
            Kind::Received { key, bytes, more } if self.is(key, State::Established) => {
                self.received(key, bytes, at, actions);
                if more {
                    self.ready.push(key.slot);
                }
            }
            Kind::ReplyMatched(key) if self.is(key, State::Established) => {
                self.replied(key, at, actions);
            }
            Kind::TcpInfo(key, purpose, info) => match self.pending_reads.take(key, purpose) {
                Some(dial) => self.tcp_info_read(key, purpose, dial, &info, at, actions),
                None => self.stats.events_ignored += 1,
            },
            Kind::Gap { since, is_stop } if since < at && at <= self.now => {
                self.begin_gap(since, at, is_stop);
            }
            Kind::PollBatchFull => {}
            Kind::Stop => self.stopped = true,
            _ => self.stats.events_ignored += 1,
        }
    }

    /// The only way from one state to another: table, ledger and deadline together. Returns how
    /// long the connection was in the state that it left.
    fn post(&mut self, key: Key, to: State, at: Moment, reason: Option<EndReason>) -> Span {
        let (state, since) = self.table.step(key.slot, to, at, reason);
        self.ledger.post(state, to, reason);
        let found_at = at.min(self.now);
        match (state, to) {
            (_, State::Dialing) => self.stalled.dialed(),
            (_, State::Established) => {
                self.sustained.open(found_at);
                self.stalled.opened();
            }
            (State::Dialing, State::Error) => self.stalled.failed(key.slot),
            (State::Established, _) => self.sustained.close(since, found_at),
            _ => {}
        }
        self.wheel.cancel(key.slot);
        at.since(since)
    }

    fn is(&self, key: Key, state: State) -> bool {
        self.table.get(key).is_some_and(|connection| connection.state == state)
    }

    fn may_end(&self, key: Key, state: State, failure: Failure) -> bool {
        self.is(key, state) && state.may_become(failure.reason.ends_in())
    }

    fn note(&self, key: Key, note: Note, actions: &mut Vec<Action>) {
        if self.debug {
            actions.push(Action::Note(key, note));
        }
    }
}
