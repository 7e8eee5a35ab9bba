//! The poll loop: readiness → [`Event`], [`Action`] → system calls.
//!
//! The impure half of `engine/mod.rs`, whose module page is the vocabulary between the two. Policy
//! is over there: this file decides nothing but how to ask the kernel. It holds to mio's contract:
//! readiness is edge-triggered and may be spurious, so every answer is asked of the socket itself.

use std::io::{self, ErrorKind};

use mio::Events;

use super::closing::close_all;
use super::dialer::{Dialer, Refused};
use super::errno::{Stage, failure};
use super::host::PortRange;
use super::poller::{Gap, Poller};
use super::rejects;
use super::sockets::{Sockets, bytes_per_connection};
use super::sys::{self, Signals};
use super::tcp_info;
use super::watch::{News, Run, Watch};
use crate::engine::dating::Dating;
use crate::engine::expect::{Expect, SEEN_BYTES_MAX};
use crate::engine::{Action, EndReason, Engine, Event, EventKind, Failure, Key, Note};
use crate::error::{Error, Result};
use crate::icmp::IcmpTally;
use crate::plan::{FINAL_DRAIN_FACTOR, Plan};
use crate::said::SaidTally;
use crate::units::Moment;

/// The one buffer that received bytes pass through.
const BUFFER_BYTES: usize = 4096;

/// What is read at once of a connection whose end has been heard: there is no flood to come, and one
/// good look takes it all.
pub(super) const LAST_DRAIN_BYTES: usize = 64 * 1024;

/// Reads at the end of a connection: as many as it takes to look at all that is looked at of a
/// reply.
pub(super) const LAST_READS_MAX: usize = (SEEN_BYTES_MAX as usize).div_ceil(BUFFER_BYTES);

/// The peer has closed in good order.
pub(super) const CLOSED: Failure = Failure { reason: EndReason::PeerClosed, errno: 0 };

/// All that a run keeps of its connections. At millions of them filling it takes a while, so it is
/// made before the signals are held.
#[derive(Debug)]
pub struct Tables {
    engine: Engine,
    sockets: Sockets,
    expect: Expect,
}

impl Tables {
    /// Room for the connections of `plan`.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`] when that is not to be had.
    pub fn new(plan: &Plan) -> Result<Tables> {
        let connections = plan.connections;
        let bytes = u64::from(connections) * bytes_per_connection(plan);
        let no_memory = || Error::Memory { connections, bytes };
        // The run's clock begins at zero when the driver makes it.
        let engine = Engine::new(plan, Moment(0)).map_err(|_| no_memory())?;
        let text = plan.talk.as_ref().map_or_else(Default::default, |talk| talk.expect.clone());
        let expect = Expect::new(text, connections).map_err(|_| no_memory())?;
        let sockets = Sockets::new(connections).map_err(|_| no_memory())?;
        Ok(Tables { engine, sockets, expect })
    }
}

/// Runs `plan` to its end, with `tables` made for it.
///
/// # Errors
/// [`crate::error::Error::System`] for what is missing before the first dial, or a poll that fails:
/// that ends the run as a signal does, with its report. What happens to a connection is no error
/// here.
pub fn run(
    plan: &Plan,
    tables: Tables,
    ports: Option<PortRange>,
    signals: &Signals,
    watch: &mut dyn Watch,
) -> Result<Run> {
    let mut driver = Driver::new(plan, tables, ports, signals)?;
    let failure = driver.spin(watch).err();
    if failure.is_some() {
        driver.stop();
    }
    rejects::note_pending(&mut driver.icmp, &driver.sockets, &driver.poller.clock);
    let run = driver.run_so_far(failure.as_ref());
    watch.done(&run, signals);
    close_all(driver.sockets, driver.poller.clock, signals, watch);
    failure.map_or(Ok(run), Err)
}

/// What came of one read.
pub(super) enum Read {
    Bytes {
        count: u32,
        /// Whether they complete what is expected.
        is_answer: bool,
    },
    /// Not a byte, for now.
    Nothing,
    End(Failure),
}

pub(super) struct Driver<'a> {
    plan: &'a Plan,
    pub(super) engine: Engine,
    pub(super) signals: &'a Signals,
    pub(super) poller: Poller,
    pub(super) sockets: Sockets,
    pub(super) dialer: Dialer,
    pub(super) dating: Dating,
    /// For the next turn.
    pub(super) events: Vec<Event>,
    /// Where in them those of the poll begin.
    pub(super) batch_at: usize,
    buffer: Vec<u8>,
    said: SaidTally,
    pub(super) expect: Expect,
    /// With `--debug`: what was heard in the poll, to be told after what the engine has to say of
    /// it, but before the end of a connection.
    words: Vec<(Key, Vec<u8>)>,
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
            events: Vec::with_capacity(plan.limits.turn_events_max()),
            batch_at: 0,
            buffer: vec![0; BUFFER_BYTES],
            said: SaidTally::default(),
            expect: tables.expect,
            words: Vec::new(),
            icmp: IcmpTally::new(),
        })
    }

    fn spin(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let limits = &self.plan.limits;
        let mut ready = Events::with_capacity(limits.events_max as usize);
        let mut actions = Vec::with_capacity(limits.turn_actions_max());
        let mut now = self.poller.clock.now();
        loop {
            self.engine.turn(now, &self.events, &mut actions);
            self.events.clear();
            for action in actions.drain(..) {
                self.perform(action, watch);
            }
            for (key, words) in self.words.drain(..) {
                watch.debug(key, News::Received(&words));
            }
            if self.engine.is_over() {
                // Results of the last actions; what they lead to is not carried out any more.
                self.engine.turn(now, &self.events, &mut actions);
                return Ok(());
            }
            let (due, at_once) = (self.engine.next_wake().due(now), !self.events.is_empty());
            let wake = self.poller.wait(self.signals, due, at_once, &mut ready)?;
            now = wake.now;
            if let Some(Gap { since, is_stop }) = wake.gap {
                self.dating.begin_gap(since, now);
                self.push(now, EventKind::Gap { since, is_stop });
            }
            self.batch_at = self.events.len();
            let mut heard = 0;
            for readiness in &ready {
                heard += 1;
                self.hear(now, readiness);
            }
            let is_full = heard >= limits.events_max;
            self.dating.end_batch(is_full);
            if is_full {
                self.push(now, EventKind::PollBatchFull);
            }
            // A poll that took long has read them although they may not be in its batch.
            if self.signals.take_read().is_some() {
                self.push(now, EventKind::Stop);
            }
        }
    }

    /// Ends the run where the loop cannot go on; what was read so far counts.
    fn stop(&mut self) {
        let now = self.poller.clock.now();
        self.push(now, EventKind::Stop);
        // What there would be to do is done by the end of the run.
        let mut actions = Vec::new();
        self.engine.turn(now, &self.events, &mut actions);
    }

    pub(super) fn push(&mut self, at: Moment, kind: EventKind) {
        if let EventKind::PeerClosed(key, _) = kind {
            self.said.closed(key.slot);
        }
        self.events.push(Event { at, kind });
    }

    /// Whether there is an answer in what comes next, for all that was read so far. Where any byte
    /// is one, nobody looks at them.
    pub(super) fn can_answer(&self, slot: u32) -> bool {
        let talk = self.plan.talk.as_ref();
        talk.is_some_and(|talk| talk.expect.is_empty() || self.expect.is_open(slot))
    }

    fn perform(&mut self, action: Action, watch: &mut dyn Watch) {
        match action {
            Action::Close(key) => {
                rejects::note(&mut self.icmp, &self.sockets, key.slot, &self.poller.clock);
                self.sockets.close(key.slot);
            }
            Action::Sample => watch.sample(&self.engine.sample()),
            Action::Drain(key) => {
                let at = self.poller.clock.now();
                self.receive(at, key, Some(watch));
            }
            Action::DrainFully(key) => {
                let at = self.poller.clock.now();
                self.receive_all(at, key, watch);
            }
            Action::Dial(key) => self.dial(key),
            Action::Send(key) => self.send(key),
            Action::StartKeepalive(key) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    let info = tcp_info::read(socket);
                    let info = tcp_info::set_keepalive(socket).ok().map(|()| info);
                    // Stamped when it is out: what is newer came after it.
                    let at = self.poller.clock.now();
                    self.push(at, EventKind::KeepaliveStarted(key, info));
                }
            }
            Action::StopKeepalive(key) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    // Should that fail it goes on, and the run all the same.
                    let _ = tcp_info::clear_keepalive(socket);
                }
            }
            Action::ReadTcpInfo(key, purpose) => {
                if let Some(socket) = self.sockets.get(key.slot) {
                    // Stamped before: a stall in between must make nothing look newer than it is.
                    let at = self.poller.clock.now();
                    let info = tcp_info::read(socket);
                    self.push(at, EventKind::TcpInfo(key, purpose, info));
                }
            }
            Action::Note(key, note) => {
                if matches!(note, Note::Closed { .. }) {
                    self.tell_last_words(key, watch);
                }
                watch.debug(key, News::Note(note));
            }
        }
    }

    /// Reads once, and says what that meant.
    pub(super) fn receive(&mut self, at: Moment, key: Key, watch: Option<&mut dyn Watch>) {
        match self.read(key, self.drain_bytes(), watch) {
            // Only "would block" proves that there is no more: urgent data can end a read early.
            Read::Bytes { count, is_answer } => {
                self.push(at, EventKind::Received { key, bytes: count, more: true });
                if is_answer {
                    self.push(at, EventKind::ReplyMatched(key));
                }
            }
            Read::Nothing => self.push(at, EventKind::Received { key, bytes: 0, more: false }),
            Read::End(failure) => self.push(at, EventKind::PeerClosed(key, failure)),
        }
    }

    /// Reads on while there is more and the answer may be in it, and says what that meant in one.
    fn receive_all(&mut self, at: Moment, key: Key, watch: &mut dyn Watch) {
        let (mut received, mut more, mut is_answered, mut end) = (0, true, false, None);
        for _ in 0..FINAL_DRAIN_FACTOR {
            if !self.can_answer(key.slot) {
                break;
            }
            match self.read(key, self.drain_bytes(), Some(watch)) {
                Read::Bytes { count, is_answer } => {
                    received += count;
                    is_answered |= is_answer;
                }
                Read::Nothing => more = false,
                Read::End(failure) => end = Some(failure),
            }
            // Where any byte is an answer, this was all that it takes.
            if !self.expect.is_open(key.slot) || !more || end.is_some() {
                break;
            }
        }
        self.push(at, EventKind::Received { key, bytes: received, more });
        if is_answered {
            self.push(at, EventKind::ReplyMatched(key));
        }
        if let Some(failure) = end {
            self.push(at, EventKind::PeerClosed(key, failure));
        }
    }

    fn drain_bytes(&self) -> usize {
        self.plan.limits.drain_bytes_max as usize
    }

    /// Reads once, of what nobody looks at at most `most` bytes. What came is told at once, or
    /// without a watch after the next turn.
    pub(super) fn read(&mut self, key: Key, most: usize, watch: Option<&mut dyn Watch>) -> Read {
        let Some(socket) = self.sockets.get(key.slot) else { return Read::Nothing };
        let is_awaited = self.expect.is_open(key.slot);
        match sys::receive(socket, &mut self.buffer) {
            Ok(0) => Read::End(CLOSED),
            Ok(bytes) => {
                self.said.received(key.slot, &self.buffer[..bytes]);
                let is_looked_at = self.plan.debug || is_awaited;
                let rest = match bytes == self.buffer.len() && bytes < most && !is_looked_at {
                    true => sys::discard(socket, most - bytes).unwrap_or(0),
                    false => 0,
                };
                match watch {
                    _ if !self.plan.debug => {}
                    Some(watch) => watch.debug(key, News::Received(&self.buffer[..bytes])),
                    None => self.words.push((key, self.buffer[..bytes].to_vec())),
                }
                let is_answer = is_awaited && self.expect.feed(key.slot, &self.buffer[..bytes]);
                Read::Bytes { count: u32::try_from(bytes + rest).unwrap_or(u32::MAX), is_answer }
            }
            Err(error) if is_transient(&error) => Read::Nothing,
            Err(error) => Read::End(failure(Stage::Established, &error)),
        }
    }

    /// Tells what was heard of a connection before it is told how it ended.
    fn tell_last_words(&mut self, key: Key, watch: &mut dyn Watch) {
        while let Some(index) = self.words.iter().position(|(whose, _)| *whose == key) {
            let (_, words) = self.words.remove(index);
            watch.debug(key, News::Received(&words));
        }
    }

    /// A fresh socket has room for all of it. One whose peer is gone already will say so itself.
    fn send(&mut self, key: Key) {
        if let (Some(talk), Some(socket)) = (&self.plan.talk, self.sockets.get(key.slot)) {
            let _ = sys::send(socket, &talk.send);
            let at = self.poller.clock.now();
            self.push(at, EventKind::Sent(key));
        }
    }

    fn dial(&mut self, key: Key) {
        match self.dialer.dial(key, &self.poller) {
            Ok((at, socket)) => {
                self.sockets.insert(key.slot, socket);
                self.push(at, EventKind::Dialed(key));
            }
            Err(Refused { at, failure }) => {
                self.push(at, EventKind::Dialed(key));
                let now = self.poller.clock.now();
                self.push(now, EventKind::Failed(key, failure));
            }
        }
    }

    fn run_so_far(&self, failure: Option<&Error>) -> Run {
        let (mut summary, turn_longest) = (self.engine.summary(), self.poller.turn_longest());
        summary.loop_failed = failure.is_some();
        let ended_by = match failure {
            Some(error) => Some(format!("an error of this host: {error}")),
            None => self.signals.limit().map(str::to_owned),
        };
        let (icmp, said) = (self.icmp.clone(), self.said.summary());
        Run { summary, turn_longest, said, icmp, ended_by }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
