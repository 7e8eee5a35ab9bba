//! The poll loop: readiness → [`Event`], [`Action`] → system calls.
//!
//! The impure half of `engine/mod.rs`, whose module page is the vocabulary between the two. Policy
//! is over there: this file decides nothing but how to ask the kernel. It holds to mio's contract:
//! readiness is edge-triggered and may be spurious, so every answer is asked of the socket itself.

use std::io::{self, ErrorKind};

use mio::event::Event as Readiness;
use mio::{Events, Token};

use super::causes::{Stage, failure};
use super::closing::close_all;
use super::dialer::{Confirmed, Dialer, Refused};
use super::host::PortRange;
use super::poller::{self, Poller};
use super::sockets::Sockets;
use super::sys::{self, Signals};
use super::{News, Watch};
use crate::engine::{Action, Cause, Engine, Event, Failure, Key, Note, Summary, What};
use crate::error::Result;
use crate::plan::Plan;
use crate::units::{Moment, Span};

/// The one buffer that received bytes pass through, and only with `--debug`.
const DEBUG_BUFFER_BYTES: usize = 4096;

/// What is read of a connection whose end has been heard, at most.
const LAST_DRAIN_BYTES: usize = 64 * 1024;

/// A run that is over: what the engine knows, and what the loop itself has to answer for.
#[derive(Debug, Clone)]
pub struct Run {
    pub summary: Summary,
    /// The longest that the loop kept readiness waiting, or woke late: a time that it reports can be
    /// over by this.
    pub turn_longest: Span,
}

/// All that a run keeps of its connections. At millions of them filling it takes a while, so it is
/// made before the signals are held.
#[derive(Debug)]
pub struct Tables {
    engine: Engine,
    sockets: Sockets,
}

impl Tables {
    /// Room for the connections of `plan`.
    ///
    /// # Errors
    /// [`crate::error::Error::Memory`] when that is not to be had.
    pub fn new(plan: &Plan) -> Result<Tables> {
        // The run's clock begins at zero when the driver makes it.
        let engine = Engine::new(plan, Moment(0))?;
        Ok(Tables { engine, sockets: Sockets::new(plan.connections)? })
    }
}

/// Runs `plan` to its end, with `tables` made for it.
///
/// # Errors
/// [`crate::error::Error::System`] for what is missing before the first dial, or a poll that fails.
/// What happens to a connection is no error here.
pub fn run(
    plan: &Plan,
    tables: Tables,
    ports: Option<PortRange>,
    signals: &Signals,
    watch: &mut dyn Watch,
) -> Result<Run> {
    let mut driver = Driver::new(plan, tables, ports, signals)?;
    driver.spin(watch)?;
    let run = driver.run_so_far();
    watch.done(&run, signals);
    close_all(driver.sockets, driver.poller.clock, signals, watch);
    Ok(run)
}

struct Driver<'a> {
    plan: &'a Plan,
    engine: Engine,
    signals: &'a Signals,
    poller: Poller,
    sockets: Sockets,
    dialer: Dialer,
    /// For the next turn.
    events: Vec<Event>,
    /// Empty without `--debug`.
    buffer: Vec<u8>,
    /// With `--debug`: what was heard together with the end of a connection, to be told just before
    /// that.
    last_words: Vec<(Key, Vec<u8>)>,
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
            events: Vec::with_capacity(plan.limits.turn_events_max()),
            buffer: vec![0; if plan.debug { DEBUG_BUFFER_BYTES } else { 0 }],
            last_words: Vec::new(),
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
            if self.engine.is_over() {
                return Ok(());
            }
            now = self.poller.wait(self.engine.next_due(), !self.events.is_empty(), &mut ready)?;
            let mut heard = 0;
            for readiness in &ready {
                heard += 1;
                self.hear(now, readiness);
            }
            if heard >= limits.events_max {
                self.push(now, What::Unheard);
            }
        }
    }

    fn push(&mut self, at: Moment, what: What) {
        self.events.push(Event { at, what });
    }

    /// Turns one readiness into events.
    fn hear(&mut self, at: Moment, readiness: &Readiness) {
        let key = match readiness.token() {
            timer if poller::is_timer(timer) => return,
            poller::SIGNALS => {
                if self.signals.take().is_some() {
                    self.push(at, What::Stop);
                }
                return;
            }
            Token(packed) => Key::unpack(packed as u64),
        };
        // A socket that is closed already: what is left of its readiness is stale.
        let Some(socket) = self.sockets.get(key.slot) else { return };
        if !self.sockets.is_opened(key.slot) {
            match self.dialer.confirm(key.slot, socket, readiness) {
                Confirmed::NotYet => return,
                Confirmed::Failed(failure) => return self.push(at, What::Failed(key, failure)),
                Confirmed::Reset(failure) => {
                    self.push(at, What::Opened(key));
                    return self.push(at, What::PeerClosed(key, failure));
                }
                Confirmed::Opened => {
                    self.sockets.set_opened(key.slot);
                    self.push(at, What::Opened(key));
                }
            }
        }
        self.hear_opened(at, key, readiness);
    }

    /// The readiness of a connected socket. A FIN is heard at once, even behind bytes that nobody
    /// has read.
    fn hear_opened(&mut self, at: Moment, key: Key, readiness: &Readiness) {
        let Some(socket) = self.sockets.get(key.slot) else { return };
        if readiness.is_error()
            && let Some(errno) = sys::take_error(socket)
        {
            let error = io::Error::from_raw_os_error(errno);
            return self.push(at, What::PeerClosed(key, failure(Stage::Established, &error)));
        }
        if !readiness.is_read_closed() {
            if readiness.is_readable() {
                self.push(at, What::Readable(key));
            }
            return;
        }
        // One look at what came before the end: servers say why they hang up.
        if !self.drain(at, key, None) {
            let failure = Failure { cause: Cause::PeerClosed, errno: 0 };
            self.push(at, What::PeerClosed(key, failure));
        }
    }

    fn perform(&mut self, action: Action, watch: &mut dyn Watch) {
        match action {
            Action::Close(key) => self.sockets.close(key.slot),
            Action::Sample => watch.sample(&self.engine.sample()),
            Action::Drain(key) => {
                let at = self.poller.clock.now();
                self.drain(at, key, Some(watch));
            }
            Action::Dial(key) => self.dial(key),
            Action::Note(key, note) => {
                if matches!(note, Note::Closed { .. }) {
                    self.tell_last_words(key, watch);
                }
                watch.debug(key, News::Note(note));
            }
        }
    }

    /// Reads once, and says what that meant. Returns whether it was the end of the connection. What
    /// came is told at once, or without a watch just before the end.
    fn drain(&mut self, at: Moment, key: Key, watch: Option<&mut dyn Watch>) -> bool {
        let Some(socket) = self.sockets.get(key.slot) else { return false };
        let read = if self.plan.debug {
            sys::receive(socket, &mut self.buffer)
        } else {
            // With its end known, a connection has no flood to come: one good look takes it all.
            let is_last = watch.is_none();
            let most = self.plan.limits.drain_bytes_max as usize;
            sys::discard(socket, if is_last { LAST_DRAIN_BYTES } else { most })
        };
        let what = match read {
            Ok(0) => What::PeerClosed(key, Failure { cause: Cause::PeerClosed, errno: 0 }),
            Ok(bytes) => {
                match watch {
                    _ if !self.plan.debug => {}
                    Some(watch) => watch.debug(key, News::Received(&self.buffer[..bytes])),
                    None => self.last_words.push((key, self.buffer[..bytes].to_vec())),
                }
                // Only "would block" proves that there is no more: urgent data can end a read
                // early.
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                What::Received { key, bytes, more: true }
            }
            Err(error) if is_transient(&error) => What::Received { key, bytes: 0, more: false },
            Err(error) => What::PeerClosed(key, failure(Stage::Established, &error)),
        };
        self.push(at, what);
        matches!(what, What::PeerClosed(..))
    }

    fn tell_last_words(&mut self, key: Key, watch: &mut dyn Watch) {
        if let Some(index) = self.last_words.iter().position(|(whose, _)| *whose == key) {
            let (_, words) = self.last_words.swap_remove(index);
            watch.debug(key, News::Received(&words));
        }
    }

    fn dial(&mut self, key: Key) {
        match self.dialer.dial(key, &self.poller) {
            Ok((at, socket)) => {
                self.sockets.insert(key.slot, socket);
                self.push(at, What::Dialed(key));
            }
            Err(Refused { at, failure }) => {
                self.push(at, What::Dialed(key));
                let now = self.poller.clock.now();
                self.push(now, What::Failed(key, failure));
            }
        }
    }

    fn run_so_far(&self) -> Run {
        Run { summary: self.engine.summary(), turn_longest: self.poller.turn_longest() }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
