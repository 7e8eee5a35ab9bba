//! What the driver does about gaps, done to a network that does not exist: see `os/driver.rs`.

use super::{Sim, mark};
use crate::engine::{EndReason, Event, EventKind, Key, State};
use crate::units::Moment;

impl Sim {
    /// Stamps the readiness of a poll that returned at `now`, which is what is in `events` from
    /// `first` on, as far as it has happened before.
    pub(super) fn stamp(&mut self, now: Moment, first: usize, events: &mut Vec<Event>) {
        let mut index = first;
        while let Some(event) = events.get(index).copied() {
            let Some(key) = key_of(event.kind) else { break };
            let began = self.began(key, &events[..index]);
            let heard = self.network.last_heard(key.slot);
            let (at, since) = match event.kind {
                EventKind::Opened(_) => {
                    let date = heard.filter(|(_, is_first)| *is_first).map(|(date, _)| date);
                    (self.dating.opened(now, began, || date), None)
                }
                EventKind::PeerClosed(_, failure) if failure.reason == EndReason::PeerClosed => {
                    self.dating.closed(now, began, || heard.map(|(date, _)| date))
                }
                _ => (self.dating.undated(now, began), None),
            };
            events[index].at = at;
            if at < now {
                mark(&mut self.marks, "readiness that was stamped before its poll");
            }
            if let Some(since) = since {
                mark(&mut self.marks, "a gap that a sample revealed");
                let kind = EventKind::Gap { since, is_stop: false };
                events.insert(first, Event { at: now, kind });
                index += 1;
            }
            index += 1;
        }
    }

    /// Since when a connection has been in its state, by the engine and by what is still to be
    /// handed over.
    fn began(&self, key: Key, events: &[Event]) -> Moment {
        let of_key = |event: &&Event| matches!(event.kind, EventKind::Dialed(of) | EventKind::Opened(of) if of == key);
        let reported = events.iter().rev().find(of_key).map(|event| event.at);
        let known = self.engine.connection(key).filter(|known| known.state != State::NotInitiated);
        reported.or(known.map(|known| known.since)).unwrap_or_default()
    }
}

/// The connection that an event is about, if any.
fn key_of(kind: EventKind) -> Option<Key> {
    match kind {
        EventKind::Dialed(key)
        | EventKind::Opened(key)
        | EventKind::Failed(key, _)
        | EventKind::PeerClosed(key, _)
        | EventKind::Reset(key, ..)
        | EventKind::KeepaliveStarted(key, _)
        | EventKind::Readable(key)
        | EventKind::Received { key, .. }
        | EventKind::ReplyMatched(key)
        | EventKind::Sent(key)
        | EventKind::TcpInfo(key, ..) => Some(key),
        EventKind::Gap { .. } | EventKind::PollBatchFull | EventKind::Stop => None,
    }
}
