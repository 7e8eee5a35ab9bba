//! The stamps of readiness after a gap, as in `os/driver.rs`.

use super::{Sim, mark};
use crate::engine::{EndReason, Event, EventKind, Key, State};
use crate::units::Moment;

impl Sim {
    /// Dates the readiness that a poll at `now` returned, `events[first..]`, as far as it happened
    /// before.
    pub(super) fn stamp(&mut self, now: Moment, first: usize, events: &mut Vec<Event>) {
        let mut index = first;
        while let Some(event) = events.get(index).copied() {
            let Some(key) = key_of(event.kind) else { break };
            let began = self.began(key, &events[..index]);
            let last_ack = self.network.last_ack(key.slot);
            let (at, since) = match event.kind {
                EventKind::Opened(_) => {
                    let date = last_ack.filter(|(_, is_first)| *is_first).map(|(date, _)| date);
                    (self.dating.opened(now, began, || date), None)
                }
                EventKind::PeerClosed(_, failure) if failure.reason == EndReason::PeerClosed => {
                    self.dating.closed(now, began, || last_ack.map(|(date, _)| date))
                }
                _ => (self.dating.undated(now, began), None),
            };
            events[index].at = at;
            if at < now {
                mark(&mut self.marks, "readiness that was stamped before its poll");
            }
            if let Some(since) = since {
                mark(&mut self.marks, "a gap found by the date of a FIN");
                let kind = EventKind::Gap { since, is_stop: false };
                events.insert(first, Event { at: now, kind });
                index += 1;
            }
            index += 1;
        }
    }

    /// Since when a connection has been in its state, events not yet handed over included.
    fn began(&self, key: Key, events: &[Event]) -> Moment {
        let of_key = |event: &&Event| matches!(event.kind, EventKind::Dialed(of) | EventKind::Opened(of) if of == key);
        let reported = events.iter().rev().find(of_key).map(|event| event.at);
        let connection = self.engine.connection(key).filter(|c| c.state != State::NotInitiated);
        reported.or(connection.map(|connection| connection.since)).unwrap_or_default()
    }
}

/// The connection of an event, if any.
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
