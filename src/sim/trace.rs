//! A run as a hash, to compare it with another one, and as text.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use super::record::Record;
use crate::engine::{Action, EventKind, Note};
use crate::units::Moment;

/// A digest of all turns so far, and their text if that is wanted.
#[derive(Debug, Default)]
pub struct Trace {
    digest: DefaultHasher,
    text: Option<String>,
}

impl Trace {
    pub fn new(readable: bool) -> Trace {
        Trace { digest: DefaultHasher::new(), text: readable.then(String::new) }
    }

    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub fn hash(&self) -> u64 {
        self.digest.finish()
    }

    /// Adds a turn, the times in the text counted from `start`.
    pub fn add(&mut self, start: Moment, record: &Record) {
        (record.now.0, record.next_due.map(|due| due.0), record.over).hash(&mut self.digest);
        for event in &record.events {
            event.at.0.hash(&mut self.digest);
            self.event(event.kind);
        }
        record.actions.iter().for_each(|action| self.action(*action));
        let Some(text) = &mut self.text else { return };
        // Writing to a string does not fail.
        let _ = writeln!(text, "at {}: {:?}", record.now.since(start), record.levels);
        for event in &record.events {
            let _ = writeln!(text, "    {:?} at {}", event.kind, event.at.since(start));
        }
        for action in &record.actions {
            let _ = writeln!(text, "        {action:?}");
        }
        let _ = match record.next_due {
            Some(due) => writeln!(text, "    due at {}", due.since(start)),
            None => writeln!(text, "    due never; over: {}", record.over),
        };
    }

    fn event(&mut self, kind: EventKind) {
        discriminant(&kind).hash(&mut self.digest);
        match kind {
            EventKind::Dialed(key) | EventKind::Opened(key) | EventKind::Readable(key) => {
                key.hash(&mut self.digest);
            }
            EventKind::Failed(key, failure) | EventKind::PeerClosed(key, failure) => {
                (key, failure.reason, failure.errno).hash(&mut self.digest);
            }
            EventKind::Received { key, bytes, more } => (key, bytes, more).hash(&mut self.digest),
            EventKind::ReplyMatched(key) | EventKind::Sent(key) => key.hash(&mut self.digest),
            EventKind::TcpInfo(key, purpose, info) => (key, purpose, info).hash(&mut self.digest),
            EventKind::Gap { since, is_stop } => (since, is_stop).hash(&mut self.digest),
            EventKind::Reset(key, failure, info) => {
                (key, failure.reason, failure.errno, info).hash(&mut self.digest);
            }
            EventKind::KeepaliveStarted(key, info) => (key, info).hash(&mut self.digest),
            EventKind::PollBatchFull | EventKind::Stop => {}
        }
    }

    fn action(&mut self, action: Action) {
        discriminant(&action).hash(&mut self.digest);
        match action {
            Action::Close(key) | Action::Drain(key) | Action::Dial(key) => {
                key.hash(&mut self.digest);
            }
            Action::DrainFully(key)
            | Action::Send(key)
            | Action::StartKeepalive(key)
            | Action::StopKeepalive(key) => {
                key.hash(&mut self.digest);
            }
            Action::ReadTcpInfo(key, purpose) => (key, purpose).hash(&mut self.digest),
            Action::Sample => {}
            Action::Note(key, note) => {
                (key, discriminant(&note)).hash(&mut self.digest);
                match note {
                    Note::Dialing | Note::Skipped | Note::ReplyTimedOut => {}
                    Note::Established { after } | Note::Retired { after } => {
                        after.hash(&mut self.digest);
                    }
                    Note::Errored { failure, after } | Note::Closed { failure, after } => {
                        (failure.reason, failure.errno, after).hash(&mut self.digest);
                    }
                }
            }
        }
    }
}
