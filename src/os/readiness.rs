//! What one readiness of the poll means: reads the state of the socket, and dates the event.

use std::io;

use mio::Token;
use mio::event::Event as Readiness;

use super::dialer::Connected;
use super::driver::{CLOSED, Driver, LAST_DRAIN_BYTES, LAST_READS_MAX};
use super::errno::{Stage, failure};
use super::poller;
use super::sys;
use super::tcp_info;
use crate::engine::dating::{date_of_last, date_of_syn_ack};
use crate::engine::{EndReason, Event, EventKind, Failure, Key, State, TcpInfo};
use crate::units::Moment;

impl Driver<'_> {
    /// When a connection entered its state, by the engine or by the events it has not yet got.
    fn began(&self, key: Key) -> Moment {
        let known = self.engine.connection(key).filter(|known| known.state != State::NotInitiated);
        let is_dial = |event: &&Event| event.kind == EventKind::Dialed(key);
        let dialed = || self.events.iter().find(is_dial).map(|event| event.at);
        known.map(|known| known.since).or_else(dialed).unwrap_or_default()
    }

    /// Turns one readiness into events.
    pub(super) fn on_ready(&mut self, now: Moment, readiness: &Readiness) {
        let key = match readiness.token() {
            timer if poller::is_timer(timer) => return,
            poller::SIGNALS => {
                self.signals.read();
                return;
            }
            Token(packed) => Key::unpack(packed as u64),
        };
        // Readiness of a socket that is closed by now is stale, and so is that of an earlier attempt.
        if self.churns && self.engine.connection(key).is_none() {
            return;
        }
        let Some(socket) = self.sockets.get(key.slot) else { return };
        let mut began = if self.dating.is_after_gap() { self.began(key) } else { Moment(0) };
        let at = self.dating.undated(now, began);
        if !self.sockets.is_opened(key.slot) {
            match self.dialer.connected(key.slot, socket, readiness) {
                Connected::NotYet => return,
                Connected::Failed(failure) => {
                    return self.push(at, EventKind::Failed(key, failure));
                }
                Connected::Reset(failure) => {
                    self.push(at, EventKind::Opened(key));
                    return self.on_end(at, key, failure, None);
                }
                Connected::Opened => {
                    let clock = self.poller.clock;
                    let date = || date_of_syn_ack(&tcp_info::read(socket), clock.now());
                    began = self.dating.opened(now, began, date);
                    self.sockets.set_opened(key.slot);
                    self.events.push(Event { at: began, kind: EventKind::Opened(key) });
                }
            }
        } else if readiness.is_read_closed() {
            began = self.began(key);
        }
        self.on_established_ready(now, began, key, readiness);
    }

    /// The readiness of an established socket. A FIN counts at once, even behind unread bytes.
    fn on_established_ready(
        &mut self,
        now: Moment,
        began: Moment,
        key: Key,
        readiness: &Readiness,
    ) {
        let Some(socket) = self.sockets.get(key.slot) else { return };
        let at = self.dating.undated(now, began);
        if readiness.is_error()
            && let Some(errno) = sys::take_error(socket)
        {
            let error = io::Error::from_raw_os_error(errno);
            let failure = failure(Stage::Established, &error);
            let info = (failure.reason == EndReason::PeerReset).then(|| tcp_info::read(socket));
            return self.on_end(at, key, failure, info);
        }
        if readiness.is_read_closed() {
            let clock = self.poller.clock;
            let date = || match tcp_info::has_keepalive(socket) {
                true => None,
                false => date_of_last(&tcp_info::read(socket), clock.now()),
            };
            let (at, gap) = self.dating.closed(now, began, date);
            if let Some(since) = gap {
                // The whole batch may be as old.
                let kind = EventKind::Gap { since, is_stop: false };
                self.events.insert(self.batch_at, Event { at: now, kind });
            }
            self.on_end(at, key, CLOSED, None);
        } else if readiness.is_readable() {
            // Replies come in bursts, while each dial takes a turn: reading one reply a turn would
            // count those that came in time as late.
            if self.is_reply_pending(key) {
                self.receive(at, key, 1, None);
            } else {
                self.push(at, EventKind::Readable(key));
            }
        }
    }

    /// Whether the next bytes of a connection can be a reply in time. Other connections are drained
    /// within the engine's budget.
    fn is_reply_pending(&self, key: Key) -> bool {
        self.can_match(key.slot) && self.engine.expects_reply(key)
    }

    /// The end of a connection, after the bytes before it: the reason that a server sent, or the
    /// reply itself.
    fn on_end(&mut self, at: Moment, key: Key, mut end: Failure, info: Option<TcpInfo>) {
        let mut drained = self.drain(key, LAST_READS_MAX, LAST_DRAIN_BYTES, None);
        // A read after take_error() reports a close.
        end = drained.end.filter(|read| *read != CLOSED).unwrap_or(end);
        drained.end = Some(end);
        self.report(at, key, &drained);
        let info = info.filter(|_| end.reason == EndReason::PeerReset);
        let reset = info.map(|info| EventKind::Reset(key, end, info));
        self.push(at, reset.unwrap_or(EventKind::PeerClosed(key, end)));
    }
}
