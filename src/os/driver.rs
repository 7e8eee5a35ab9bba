//! The poll loop: readiness → [`Event`], [`Action`] → system calls.
//!
//! The impure half of `engine/mod.rs`: policy is there, system calls are here. Readiness is
//! edge-triggered and may be spurious, so the socket itself decides: its state and error as they are
//! fetched, or a read that would block.

use std::io::{self, ErrorKind};

use mio::Events;

use super::dialer::{DialFailed, Dialer};
use super::errno::{Stage, failure};
use super::host::PortRange;
use super::icmp;
use super::poller::{Gap, Poller};
use super::sockets::{Sockets, bytes_per_connection};
use super::sys::{self, Signals};
use super::tcp_info;
use super::teardown::close_all;
use super::watch::{DebugEvent, Run, Watch};
use crate::engine::dating::Dating;
use crate::engine::expect::{Expect, SEEN_BYTES_MAX};
use crate::engine::{Action, EndReason, Engine, Event, EventKind, Failure, Key, Note, Progress};
use crate::error::{Error, Result};
use crate::icmp::IcmpTally;
use crate::last_lines::LastLineTally;
use crate::plan::{FINAL_DRAIN_FACTOR, Plan};
use crate::units::Moment;

/// The one buffer that received bytes pass through.
const BUFFER_BYTES: u32 = 4096;

/// Read at once from a connection that the peer has closed: nothing more can arrive.
pub(super) const LAST_DRAIN_BYTES: usize = 64 * 1024;

/// Reads from a connection that the peer has closed: enough for the bytes that a reply is searched
/// in.
pub(super) const LAST_READS_MAX: u32 = SEEN_BYTES_MAX.div_ceil(BUFFER_BYTES);

/// A FIN from the peer.
pub(super) const CLOSED: Failure = Failure { reason: EndReason::PeerClosed, errno: 0 };

/// All memory that a run keeps for its connections. Filling it takes a while for millions of them,
/// so it is allocated before the signals are blocked.
#[derive(Debug)]
pub struct Tables {
    engine: Engine,
    sockets: Sockets,
    expect: Expect,
}

impl Tables {
    /// Memory for the connections of `plan`.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`] if allocation fails.
    pub fn new(plan: &Plan) -> Result<Tables> {
        let connections = plan.connections;
        let bytes = u64::from(connections) * bytes_per_connection(plan);
        let no_memory = || Error::Memory { connections, bytes };
        // The run's clock begins at zero when the driver makes it.
        let engine = Engine::new(plan, Moment(0)).map_err(|_| no_memory())?;
        let reply = plan.reply_check.as_ref();
        let text = reply.map_or_else(Default::default, |reply| reply.expect.clone());
        let answers = plan.preset.map_or(&[][..], |preset| preset.answers);
        let expect = Expect::new(text, connections).map_err(|_| no_memory())?;
        let expect = expect.with_answers(answers);
        let sockets = Sockets::new(connections).map_err(|_| no_memory())?;
        Ok(Tables { engine, sockets, expect })
    }
}

/// Runs `plan` to its end, with the `tables` made for it.
///
/// # Errors
/// [`crate::error::Error::System`] if something that the loop needs is missing before the first
/// dial, or if polling fails. The latter ends the run as a signal does, with its report. Failures
/// of connections are no errors here.
pub fn run(
    plan: &Plan,
    tables: Tables,
    ports: Option<PortRange>,
    signals: &Signals,
    watch: &mut dyn Watch,
) -> Result<Run> {
    let mut driver = Driver::new(plan, tables, ports, signals)?;
    let failure = driver.run_loop(watch).err();
    if failure.is_some() {
        driver.stop();
    }
    icmp::collect_pending(&mut driver.icmp, &driver.sockets, &driver.poller.clock);
    let run = driver.run_so_far(failure.as_ref());
    watch.done(&run, signals);
    close_all(driver.sockets, driver.poller.clock, signals, watch);
    failure.map_or(Ok(run), Err)
}

/// The result of one read.
enum Read {
    Bytes {
        count: u32,
        /// Whether they complete the expected text.
        is_reply: bool,
    },
    WouldBlock,
    End(Failure),
}

/// The result of several reads of one connection.
#[derive(Debug, Default)]
pub(super) struct Drained {
    pub received: u32,
    /// Whether the expected text is complete with it.
    pub is_reply: bool,
    /// Whether it would block now; otherwise there may be more.
    pub is_empty: bool,
    pub end: Option<Failure>,
}

pub(super) struct Driver<'a> {
    plan: &'a Plan,
    pub(super) engine: Engine,
    pub(super) signals: &'a Signals,
    pub(super) poller: Poller,
    pub(super) sockets: Sockets,
    pub(super) dialer: Dialer,
    pub(super) dating: Dating,
    /// Whether slots are dialed again.
    pub(super) churns: bool,
    /// For the next turn.
    pub(super) events: Vec<Event>,
    /// Index of the first event of the current poll batch.
    pub(super) batch_at: usize,
    buffer: Vec<u8>,
    last_lines: LastLineTally,
    pub(super) expect: Expect,
    /// With `--debug`: bytes received during the poll. They are printed after the notes of the next
    /// turn, but before the note that their connection was closed.
    received: Vec<(Key, Vec<u8>)>,
    icmp: IcmpTally,
}

impl<'a> Driver<'a> {
    fn new(
        plan: &'a Plan,
        tables: Tables,
        ports: Option<PortRange>,
        signals: &'a Signals,
    ) -> Result<Driver<'a>> {
        Ok(Driver {
            plan,
            signals,
            poller: Poller::new(signals)?,
            sockets: tables.sockets,
            engine: tables.engine,
            dialer: Dialer::new(plan, ports),
            dating: Dating::new(plan.batches()),
            churns: plan.lifetime.is_some(),
            events: Vec::with_capacity(plan.budgets.turn_events_max()),
            batch_at: 0,
            buffer: vec![0; BUFFER_BYTES as usize],
            last_lines: LastLineTally::default(),
            expect: tables.expect,
            received: Vec::new(),
            icmp: IcmpTally::new(),
        })
    }

    fn run_loop(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let budgets = &self.plan.budgets;
        let [mut ready, mut later] =
            [(); 2].map(|()| Events::with_capacity(budgets.events_max as usize));
        let mut actions = Vec::with_capacity(budgets.turn_actions_max());
        let mut now = self.poller.clock.now();
        let redraw_every = watch.redraw_every();
        let mut redraw_due = redraw_every.map(|every| now + every);
        loop {
            self.engine.turn(now, &self.events, &mut actions);
            self.events.clear();
            // Before the dials of this turn: nothing stands between them and the poll.
            if redraw_due.is_some_and(|due| due <= now) {
                redraw_due = redraw_every.map(|every| now + every);
                watch.redraw(&self.engine.progress());
            }
            for action in &actions {
                self.perform(action, watch);
            }
            actions.clear();
            if self.plan.debug {
                for (key, bytes) in self.received.drain(..) {
                    watch.debug(key, DebugEvent::Received(&bytes));
                }
            }
            if self.engine.is_over() {
                // Results of the last actions; what they lead to is not carried out any more.
                self.engine.turn(now, &self.events, &mut actions);
                return Ok(());
            }
            let due = self.engine.next_wake().due(now).into_iter().chain(redraw_due).min();
            let at_once = !self.events.is_empty();
            let wake = self.poller.wait(self.signals, due, at_once, &mut ready)?;
            now = wake.now;
            let mut count = ready.iter().count();
            later.clear();
            if let Some(Gap { since, is_stop }) = wake.gap {
                // Readiness of the gap has to come before deadlines.
                if count < budgets.events_max as usize {
                    now = self.poller.again(&mut later)?;
                }
                self.dating.begin_gap(since, now);
                self.push(now, EventKind::Gap { since, is_stop });
            }
            self.batch_at = self.events.len();
            count += later.iter().count();
            for readiness in ready.iter().chain(&later) {
                self.on_ready(now, readiness);
            }
            let is_full = count >= budgets.events_max as usize;
            self.dating.end_batch(is_full);
            if is_full {
                self.push(now, EventKind::PollBatchFull);
            }
            // After a gap the poller reads the signals itself, so they may be in no batch.
            if self.signals.take_read().is_some() {
                self.push(now, EventKind::Stop);
            }
        }
    }

    /// Ends the run when the loop cannot go on; what was read so far counts.
    fn stop(&mut self) {
        let now = self.poller.clock.now();
        self.push(now, EventKind::Stop);
        // The end of the run carries out what these ask for.
        let mut actions = Vec::new();
        self.engine.turn(now, &self.events, &mut actions);
    }

    pub(super) fn push(&mut self, at: Moment, kind: EventKind) {
        if let EventKind::PeerClosed(key, _) = kind {
            self.last_lines.closed(key.slot);
        }
        self.events.push(Event { at, kind });
    }

    /// Whether the next bytes of a slot can complete its reply.
    pub(super) fn can_match(&self, slot: u32) -> bool {
        let reply = self.plan.reply_check.as_ref();
        reply.is_some_and(|reply| reply.expect.is_empty() || self.expect.is_open(slot))
    }

    fn perform(&mut self, action: &Action, watch: &mut dyn Watch) {
        match *action {
            Action::Close(key) => {
                icmp::collect(&mut self.icmp, &self.sockets, key.slot, &self.poller.clock);
                self.sockets.close(key.slot);
                if self.churns {
                    self.last_lines.closed_by_us(key.slot);
                }
            }
            Action::Sample => {
                watch.sample(&self.engine.sample());
                let answers = self.expect.tally().counts();
                watch.interval(&Progress { answers, ..self.engine.progress() });
            }
            Action::Drain(key) => self.receive(self.poller.clock.now(), key, 1, Some(watch)),
            Action::DrainFully(key) => {
                let reads_max = if self.can_match(key.slot) { FINAL_DRAIN_FACTOR } else { 0 };
                self.receive(self.poller.clock.now(), key, reads_max, Some(watch));
            }
            Action::Dial(key) => self.dial(key),
            Action::Send(key) => self.send(key),
            Action::StartKeepalive(key) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    let info = tcp_info::read(socket);
                    let info = tcp_info::set_keepalive(socket).ok().map(|()| info);
                    // Stamped after the send: what is newer arrived after it.
                    let at = self.poller.clock.now();
                    self.push(at, EventKind::KeepaliveStarted(key, info));
                }
            }
            Action::StopKeepalive(key) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    // If it fails the probes go on, which does no harm.
                    let _ = tcp_info::clear_keepalive(socket);
                }
            }
            Action::ReadTcpInfo(key, purpose) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    // Stamped before the read: a stall in between must make nothing look newer.
                    let at = self.poller.clock.now();
                    let info = tcp_info::read(socket);
                    self.push(at, EventKind::TcpInfo(key, purpose, info));
                }
            }
            Action::Note(key, note) => {
                if matches!(note, Note::Closed { .. } | Note::Retired { .. }) {
                    self.flush_received(key, watch);
                }
                watch.debug(key, DebugEvent::Note(note));
            }
        }
    }

    /// Reads a connection up to `reads_max` times and reports what came of it.
    pub(super) fn receive(
        &mut self,
        at: Moment,
        key: Key,
        reads_max: u32,
        watch: Option<&mut dyn Watch>,
    ) {
        let drained = self.drain(key, reads_max, self.plan.budgets.drain_bytes_max as usize, watch);
        self.report(at, key, &drained);
        if let Some(failure) = drained.end {
            self.push(at, EventKind::PeerClosed(key, failure));
        }
    }

    /// Reads until the reply is complete, the socket would block, or the connection has ended, but
    /// `reads_max` times at most. Only "would block" proves that there is no more: urgent data can
    /// end a read early.
    pub(super) fn drain(
        &mut self,
        key: Key,
        reads_max: u32,
        bytes_max: usize,
        mut watch: Option<&mut dyn Watch>,
    ) -> Drained {
        let mut drained = Drained::default();
        for _ in 0..reads_max {
            match self.read(key, bytes_max, &mut watch) {
                Read::Bytes { count, is_reply } => {
                    drained.received += count;
                    drained.is_reply |= is_reply;
                }
                Read::WouldBlock => drained.is_empty = true,
                Read::End(failure) => drained.end = Some(failure),
            }
            // Where any byte is a reply, the first read has it.
            if drained.is_empty || drained.end.is_some() || !self.expect.is_open(key.slot) {
                break;
            }
        }
        drained
    }

    /// Reports what was read; the end of the connection comes after it, from the caller.
    pub(super) fn report(&mut self, at: Moment, key: Key, drained: &Drained) {
        let Drained { received: bytes, is_reply, is_empty, end } = *drained;
        if bytes > 0 || end.is_none() {
            let more = !is_empty && end.is_none();
            self.push(at, EventKind::Received { key, bytes, more });
        }
        if is_reply {
            self.push(at, EventKind::ReplyMatched(key));
        }
    }

    /// Reads once: into the buffer, and up to `bytes_max` that are discarded if nothing uses
    /// them. With `--debug` the bytes are printed now, or after the next turn if there is no
    /// `watch`.
    fn read(&mut self, key: Key, bytes_max: usize, watch: &mut Option<&mut dyn Watch>) -> Read {
        let Some(socket) = self.sockets.get(key.slot) else { return Read::WouldBlock };
        // Answers that are too late are not counted either.
        let is_in_time = self.plan.preset.is_none() || self.engine.expects_reply(key);
        let is_awaited = self.expect.is_open(key.slot) && is_in_time;
        match sys::receive(socket, &mut self.buffer) {
            Ok(0) => Read::End(CLOSED),
            Ok(bytes) => {
                self.last_lines.received(key.slot, &self.buffer[..bytes]);
                let is_used = self.plan.debug || is_awaited;
                let rest = match bytes == self.buffer.len() && bytes < bytes_max && !is_used {
                    true => sys::discard(socket, bytes_max - bytes).unwrap_or(0),
                    false => 0,
                };
                match watch {
                    _ if !self.plan.debug => {}
                    Some(watch) => watch.debug(key, DebugEvent::Received(&self.buffer[..bytes])),
                    None => self.received.push((key, self.buffer[..bytes].to_vec())),
                }
                let is_reply = is_awaited && self.expect.feed(key.slot, &self.buffer[..bytes]);
                Read::Bytes { count: u32::try_from(bytes + rest).unwrap_or(u32::MAX), is_reply }
            }
            Err(error) if is_transient(&error) => Read::WouldBlock,
            Err(error) => Read::End(failure(Stage::Established, &error)),
        }
    }

    /// Prints what a connection received before the note that it was closed.
    fn flush_received(&mut self, key: Key, watch: &mut dyn Watch) {
        while let Some(index) = self.received.iter().position(|(of, _)| *of == key) {
            let (_, bytes) = self.received.remove(index);
            watch.debug(key, DebugEvent::Received(&bytes));
        }
    }

    /// Sends the request; it fits into the send buffer of a new socket. If the connection has ended
    /// already, its readiness reports that.
    fn send(&mut self, key: Key) {
        if let (Some(reply), Some(socket)) = (&self.plan.reply_check, self.sockets.get(key.slot)) {
            let _ = sys::send(socket, &reply.send);
            if self.churns {
                self.expect.reopen(key.slot);
            }
            let at = self.poller.clock.now();
            self.push(at, EventKind::Sent(key));
        }
    }

    fn dial(&mut self, key: Key) {
        match self.dialer.dial(key, &self.poller) {
            Ok((at, socket)) => {
                self.sockets.insert(key.slot, socket);
                self.events.push(Event { at, kind: EventKind::Dialed(key) });
            }
            Err(DialFailed { at, failure }) => {
                self.push(at, EventKind::Dialed(key));
                let now = self.poller.clock.now();
                self.push(now, EventKind::Failed(key, failure));
            }
        }
    }

    fn run_so_far(&self, failure: Option<&Error>) -> Run {
        let (mut summary, turn_longest) = (self.engine.summary(), self.poller.turn_longest());
        summary.loop_failed = failure.is_some();
        summary.answers = self.expect.tally().clone();
        let ended_by = match failure {
            Some(error) => Some(format!("an error of this host: {error}")),
            None => self.signals.limit().map(str::to_owned),
        };
        let (icmp, last_lines) = (self.icmp.clone(), self.last_lines.summary());
        Run { summary, turn_longest, last_lines, icmp, ended_by }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
