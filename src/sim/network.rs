//! Descriptors that do not exist, and servers at the other end of them: readiness at its edges, as
//! an epoll has it.

use std::collections::{BTreeMap, VecDeque};

use super::scenario::{Answer, Script};
use crate::engine::{Cause, Event, Failure, Key, What};
use crate::units::Moment;

#[derive(Debug, Clone, Copy)]
enum Happening {
    Answer,
    Bytes,
    End(Cause),
}

/// One open descriptor.
#[derive(Debug, Clone)]
struct Descriptor {
    key: Key,
    script: Script,
    unread: u64,
    ended: Option<Cause>,
    /// Whether it waits to be told of by a poll, and what there is to tell.
    queued: bool,
    answer_is_news: bool,
    bytes_are_news: bool,
    end_is_news: bool,
}

/// All descriptors by slot, what will happen to them, and those that a poll would tell of.
#[derive(Debug)]
pub struct Network {
    /// Whether a drain goes on until there is nothing, or ends with the first read that its limit
    /// did not cut short.
    probes: bool,
    descriptors: BTreeMap<u32, Descriptor>,
    happenings: BTreeMap<(Moment, u64), (u32, Happening)>,
    sequence: u64,
    queue: VecDeque<u32>,
}

impl Network {
    /// A network that the driver looks at in one of two honest ways; see [`Network::drain`].
    pub fn new(probes: bool) -> Network {
        Network {
            probes,
            descriptors: BTreeMap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            queue: VecDeque::new(),
        }
    }

    /// How many descriptors are open.
    pub fn open(&self) -> usize {
        self.descriptors.len()
    }

    /// Opens a descriptor at `at`, and says what a `connect()` would say at once.
    ///
    /// # Errors
    /// If the slot has a descriptor already.
    pub fn dial(&mut self, key: Key, script: Script, at: Moment) -> Result<Option<What>, String> {
        let (answer, after) = (script.answer, script.answer_after);
        let descriptor = Descriptor {
            key,
            script,
            unread: 0,
            ended: None,
            queued: false,
            answer_is_news: false,
            bytes_are_news: false,
            end_is_news: false,
        };
        if self.descriptors.insert(key.slot, descriptor).is_some() {
            return Err(format!("slot {} is dialed while its descriptor is open", key.slot));
        }
        match answer {
            Answer::AcceptAtOnce => {
                self.accepted(key.slot, at);
                Ok(Some(What::Opened(key)))
            }
            Answer::FailHere(cause) => Ok(Some(What::Failed(key, failure(cause)))),
            Answer::Accept | Answer::Fail(_) => {
                self.schedule(at + after, key.slot, Happening::Answer);
                Ok(None)
            }
        }
    }

    /// Closes the descriptor of `key`.
    ///
    /// # Errors
    /// If it is not open.
    pub fn close(&mut self, key: Key) -> Result<(), String> {
        let closed = self.descriptors.remove(&key.slot).filter(|open| open.key == key);
        if closed.as_ref().is_some_and(|closed| closed.queued) {
            self.queue.retain(|slot| *slot != key.slot);
        }
        closed.map(|_| ()).ok_or_else(|| format!("{key:?} is closed but not open"))
    }

    /// Reads and drops up to `limit` bytes, and says what a driver would say of it: one that probes
    /// takes only "would block" for the end of the bytes, another one a read that was shorter
    /// than it could have been.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn drain(&mut self, key: Key, limit: u32) -> Result<Vec<What>, String> {
        let descriptor = self.descriptors.get_mut(&key.slot).filter(|open| open.key == key);
        let open = descriptor.ok_or_else(|| format!("{key:?} is drained but not open"))?;
        let bytes = u32::try_from(open.unread).unwrap_or(limit).min(limit);
        if open.unread != Script::ENDLESS {
            open.unread -= u64::from(bytes);
        }
        let more = if self.probes { bytes > 0 } else { bytes == limit };
        let mut said = Vec::with_capacity(2);
        if more || bytes > 0 || open.ended.is_none() {
            said.push(What::Received { key, bytes, more });
        }
        if let (false, Some(cause)) = (more, open.ended) {
            said.push(What::PeerClosed(key, failure(cause)));
        }
        Ok(said)
    }

    /// When the next thing happens by itself; `now` if a poll has something to tell already.
    pub fn next(&self, now: Moment) -> Option<Moment> {
        let waiting = (!self.queue.is_empty()).then_some(now);
        waiting.or_else(|| self.happenings.keys().next().map(|(at, _)| *at))
    }

    /// Lets happen what happens until `now`.
    pub fn advance(&mut self, now: Moment) {
        while let Some(entry) = self.happenings.first_entry().filter(|e| e.key().0 <= now) {
            let ((at, _), (slot, happening)) = entry.remove_entry();
            self.happen(at, slot, happening);
        }
    }

    /// What a poll tells at `at`, of at most `count_max` descriptors; returns of how many it told.
    pub fn poll(&mut self, count_max: u32, at: Moment, events: &mut Vec<Event>) -> u32 {
        let mut count = 0;
        while count < count_max {
            let Some(slot) = self.queue.pop_front() else { break };
            let Some(open) = self.descriptors.get_mut(&slot) else { continue };
            open.queued = false;
            count += 1;
            let key = open.key;
            if std::mem::take(&mut open.answer_is_news) {
                let what = match open.script.answer {
                    Answer::Fail(cause) => What::Failed(key, failure(cause)),
                    _ => What::Opened(key),
                };
                events.push(Event { at, what });
            }
            let ended = open.ended.filter(|_| std::mem::take(&mut open.end_is_news));
            if std::mem::take(&mut open.bytes_are_news) {
                // A driver may have a look at the bytes before an end, or leave it at that.
                let bytes = u32::try_from(open.unread).unwrap_or(u32::MAX);
                let what = match ended {
                    Some(_) if self.probes => What::Received { key, bytes, more: true },
                    _ => What::Readable(key),
                };
                events.push(Event { at, what });
            }
            if let Some(cause) = ended {
                events.push(Event { at, what: What::PeerClosed(key, failure(cause)) });
            }
        }
        count
    }

    fn schedule(&mut self, at: Moment, slot: u32, happening: Happening) {
        self.happenings.insert((at, self.sequence), (slot, happening));
        self.sequence += 1;
    }

    /// What a server does once it has accepted.
    fn accepted(&mut self, slot: u32, at: Moment) {
        let Some(script) = self.descriptors.get(&slot).map(|open| open.script) else { return };
        if script.bytes > 0 {
            self.schedule(at + script.bytes_after, slot, Happening::Bytes);
        }
        if let Some((after, cause)) = script.end {
            self.schedule(at + after, slot, Happening::End(cause));
        }
    }

    fn happen(&mut self, at: Moment, slot: u32, happening: Happening) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        match happening {
            Happening::Answer => open.answer_is_news = true,
            Happening::Bytes if open.ended.is_none() => {
                open.unread = open.script.bytes;
                open.bytes_are_news = true;
            }
            Happening::Bytes => return,
            Happening::End(cause) => {
                open.ended = Some(cause);
                // A reset takes with it what was not read; a FIN leaves it in the way.
                open.unread = if cause == Cause::PeerClosed { open.unread } else { 0 };
                open.bytes_are_news = true;
                open.end_is_news = !open.script.end_is_quiet;
            }
        }
        if !std::mem::replace(&mut open.queued, true) {
            self.queue.push_back(slot);
        }
        let accepts = open.script.answer == Answer::Accept;
        if matches!(happening, Happening::Answer) && accepts {
            self.accepted(slot, at);
        }
    }
}

/// The number beside the cause is made up: the engine only passes it on.
pub fn failure(cause: Cause) -> Failure {
    Failure { cause, errno: 100 + i32::from(cause as u8) }
}
