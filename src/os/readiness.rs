//! What one readiness of a poll means: the part of the driver that asks a socket what happened to it,
//! and when.

use std::io;

use mio::Token;
use mio::event::Event as Readiness;

use super::dialer::Confirmed;
use super::driver::{CLOSED, Driver, LAST_DRAIN_BYTES, LAST_READS_MAX, Read};
use super::errno::{Stage, failure};
use super::poller;
use super::sys;
use super::tcp_info;
use crate::engine::dating::{date_of_last, date_of_syn_ack};
use crate::engine::{EndReason, Event, EventKind, Failure, Key, State, TcpInfo};
use crate::units::Moment;

impl Driver<'_> {
    /// Since when a connection has been in its state, for all that was reported so far.
    fn began(&self, key: Key) -> Moment {
        let known = self.engine.connection(key).filter(|known| known.state != State::NotInitiated);
        let is_dial = |event: &&Event| event.kind == EventKind::Dialed(key);
        let dialed = || self.events.iter().find(is_dial).map(|event| event.at);
        known.map(|known| known.since).or_else(dialed).unwrap_or_default()
    }

    /// Turns one readiness into events.
    pub(super) fn hear(&mut self, now: Moment, readiness: &Readiness) {
        let key = match readiness.token() {
            timer if poller::is_timer(timer) => return,
            poller::SIGNALS => {
                self.signals.read();
                return;
            }
            Token(packed) => Key::unpack(packed as u64),
        };
        // A socket that is closed already: what is left of its readiness is stale.
        let Some(socket) = self.sockets.get(key.slot) else { return };
        let mut began = if self.dating.is_after_gap() { self.began(key) } else { Moment(0) };
        let at = self.dating.undated(now, began);
        if !self.sockets.is_opened(key.slot) {
            match self.dialer.confirm(key.slot, socket, readiness) {
                Confirmed::NotYet => return,
                Confirmed::Failed(failure) => {
                    return self.push(at, EventKind::Failed(key, failure));
                }
                Confirmed::Reset(failure) => {
                    self.push(at, EventKind::Opened(key));
                    return self.hear_end(at, key, failure, None);
                }
                Confirmed::Opened => {
                    let clock = self.poller.clock;
                    let date = || date_of_syn_ack(&tcp_info::read(socket), clock.now());
                    began = self.dating.opened(now, began, date);
                    self.sockets.set_opened(key.slot);
                    self.push(began, EventKind::Opened(key));
                }
            }
        } else if readiness.is_read_closed() {
            began = self.began(key);
        }
        self.hear_opened(now, began, key, readiness);
    }

    /// The readiness of a connected socket. A FIN is heard at once, even behind bytes that nobody
    /// has read.
    fn hear_opened(&mut self, now: Moment, began: Moment, key: Key, readiness: &Readiness) {
        let Some(socket) = self.sockets.get(key.slot) else { return };
        let at = self.dating.undated(now, began);
        if readiness.is_error()
            && let Some(errno) = sys::take_error(socket)
        {
            let error = io::Error::from_raw_os_error(errno);
            let failure = failure(Stage::Established, &error);
            let info = (failure.reason == EndReason::PeerReset).then(|| tcp_info::read(socket));
            return self.hear_end(at, key, failure, info);
        }
        if readiness.is_read_closed() {
            let clock = self.poller.clock;
            let date = || date_of_last(&tcp_info::read(socket), clock.now());
            let (at, gap) = self.dating.closed(now, began, date);
            if let Some(since) = gap {
                // All of the batch can be as old.
                let kind = EventKind::Gap { since, is_stop: false };
                self.events.insert(self.batch_at, Event { at: now, kind });
            }
            self.hear_end(at, key, CLOSED, None);
        } else if readiness.is_readable() {
            // Answers come in bursts, beside dials that each take a turn: read one a turn, those
            // that came in time would be counted as late, and each as later than it came.
            if self.is_awaited(key) {
                self.receive(at, key, None);
            } else {
                self.push(at, EventKind::Readable(key));
            }
        }
    }

    /// Whether the next bytes of a connection can be an answer in time: servers that go on sending
    /// wait their turn.
    fn is_awaited(&self, key: Key) -> bool {
        self.can_answer(key.slot) && self.engine.expects_reply(key)
    }

    /// The end of a connection, and what came before it: servers say why they hang up, and it can
    /// be the answer that is waited for, however soon they hang up behind it.
    fn hear_end(&mut self, at: Moment, key: Key, mut end: Failure, info: Option<TcpInfo>) {
        let (mut received, mut is_answered) = (0, false);
        for _ in 0..LAST_READS_MAX {
            match self.read(key, LAST_DRAIN_BYTES, None) {
                Read::Bytes { count, is_answer } => {
                    received += count;
                    is_answered |= is_answer;
                }
                Read::Nothing => break,
                Read::End(failure) => {
                    // The socket's own error has been taken from it already.
                    end = if failure == CLOSED { end } else { failure };
                    break;
                }
            }
            if !self.expect.is_open(key.slot) {
                break;
            }
        }
        if received > 0 {
            self.push(at, EventKind::Received { key, bytes: received, more: false });
        }
        if is_answered {
            self.push(at, EventKind::ReplyMatched(key));
        }
        let info = info.filter(|_| end.reason == EndReason::PeerReset);
        let reset = info.map(|info| EventKind::Reset(key, end, info));
        self.push(at, reset.unwrap_or(EventKind::PeerClosed(key, end)));
    }
}
