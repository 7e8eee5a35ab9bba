//! Descriptors that do not exist, and servers at the other end of them: readiness at its edges, as
//! an epoll has it.

use std::collections::{BTreeMap, VecDeque};

use super::descriptor::{Descriptor, failure};
use super::script::{Answer, Keepalive, Knows, Reply, Script};
use crate::engine::check_state::Outcome;
use crate::engine::{EndReason, Engine, Event, EventKind, Key, TcpInfo};
use crate::plan::{Budgets, Plan};
use crate::units::{Moment, Span};

/// A keepalive is sent after so long without a segment, and then as often.
const IDLE: Span = Span::from_s(1);

#[derive(Debug, Clone, Copy)]
enum Happening {
    Answer,
    /// So many; with the last of them what is expected is complete, or not.
    Bytes(u64, bool),
    /// The kernel's keepalive timer, of the so-many-th time that it was turned on.
    KeepaliveTimer(u32),
    Acknowledgement,
    End(EndReason),
}

/// All descriptors by slot, what will happen to them, and those that a poll would tell of.
#[derive(Debug)]
pub struct Network {
    /// Whether a drain goes on until there is nothing, or ends with the first read that its limit
    /// did not cut short.
    probes: bool,
    /// Whether servers reply to what they are sent, or by themselves.
    sends: bool,
    /// Whether anybody looks for a text in what comes.
    expects: bool,
    descriptors: BTreeMap<u32, Descriptor>,
    happenings: BTreeMap<(Moment, u64), (u32, Happening)>,
    sequence: u64,
    queue: VecDeque<u32>,
}

impl Network {
    /// A network that the driver of `plan` looks at in one of two honest ways; see
    /// [`Network::drain`].
    pub fn new(plan: &Plan, probes: bool) -> Network {
        Network {
            probes,
            sends: plan.reply_check.as_ref().is_some_and(|reply| !reply.send.is_empty()),
            expects: plan.reply_check.as_ref().is_some_and(|reply| !reply.expect.is_empty()),
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
    pub fn dial(
        &mut self,
        key: Key,
        script: Script,
        at: Moment,
    ) -> Result<Option<EventKind>, String> {
        let (answer, after) = (script.answer, script.answer_after);
        let descriptor = Descriptor {
            key,
            script,
            dialed_at: at,
            accepted_at: None,
            heard_at: at,
            unread: 0,
            to_answer: None,
            data_segs: 0,
            is_spoken_to: false,
            keepalives: 0,
            asked_at: at,
            is_keepalive_on: false,
            probes: 0,
            acknowledgements: 0,
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
                self.reply(key.slot, at, false);
                Ok(Some(EventKind::Opened(key)))
            }
            Answer::FailHere(reason) => Ok(Some(EventKind::Failed(key, failure(reason)))),
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
    pub fn drain(&mut self, key: Key, limit: u32) -> Result<Vec<EventKind>, String> {
        let probes = self.probes;
        Ok(self.of(key, "drained")?.read(limit, probes))
    }

    /// Says to the server of `key` what there is to say.
    ///
    /// # Errors
    /// If there is no such descriptor, or it was said before.
    pub fn send(&mut self, key: Key, at: Moment) -> Result<(), String> {
        let open = self.of(key, "spoken to")?;
        if std::mem::replace(&mut open.is_spoken_to, true) {
            return Err(format!("{key:?} is spoken to twice"));
        }
        if open.script.repeated_answers == 0 {
            open.heard_at = at;
        }
        self.reply(key.slot, at, true);
        Ok(())
    }

    /// Turns keepalive on, and says what TCP_INFO held before it; `None` if that was refused.
    ///
    /// # Errors
    /// If there is no such descriptor, or it is on already.
    pub fn start_keepalive(&mut self, key: Key, at: Moment) -> Result<Option<TcpInfo>, String> {
        let open = self.of(key, "probed")?;
        if open.script.refuses_keepalive {
            return Ok(None);
        }
        if std::mem::replace(&mut open.is_keepalive_on, true) {
            return Err(format!("{key:?} has keepalive turned on twice"));
        }
        let info = open.info(at);
        open.keepalives += 1;
        open.asked_at = at;
        let (sent_at, keepalives) = (at.max(open.heard_at + IDLE), open.keepalives);
        self.schedule(sent_at, key.slot, Happening::KeepaliveTimer(keepalives));
        Ok(Some(info))
    }

    /// Turns it off.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn stop_keepalive(&mut self, key: Key) -> Result<(), String> {
        self.of(key, "no longer probed")?.is_keepalive_on = false;
        Ok(())
    }

    /// TCP_INFO of `key`; `None` as with a socket that is gone.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn tcp_info(&mut self, key: Key, at: Moment) -> Result<Option<TcpInfo>, String> {
        let open = self.of(key, "looked at")?;
        let all = open.info(at);
        Ok(match open.script.knows {
            Knows::Everything => Some(all),
            Knows::EarlyRepeat => Some(TcpInfo { total_retrans: all.total_retrans.max(1), ..all }),
            Knows::NoSegments => Some(TcpInfo { segs_in: None, data_segs_in: None, ..all }),
            Knows::Nothing => Some(TcpInfo::default()),
            Knows::Nobody => None,
        })
    }

    /// Whether the outcome of a check of `key` is not what its server does.
    pub fn contradicts(&self, key: Key, outcome: Outcome, now: Moment) -> bool {
        let open = self.descriptors.get(&key.slot).filter(|open| open.key == key);
        open.is_some_and(|open| open.contradicts(outcome, now))
    }

    /// When the newest segment of `slot` with an acknowledgement came, and whether it was its first.
    pub fn last_heard(&self, slot: u32) -> Option<(Moment, bool)> {
        let open = self.descriptors.get(&slot)?;
        let is_first = open.accepted_at == Some(open.heard_at) && open.data_segs == 0;
        Some((open.heard_at, is_first && open.script.repeated_answers == 0))
    }

    /// Nothing happens for a while, at either end of the paths.
    pub fn suspend(&mut self, pause: Span) {
        let later = std::mem::take(&mut self.happenings);
        let later = later.into_iter().map(|((at, order), what)| ((at + pause, order), what));
        self.happenings = later.collect();
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

    /// What a poll tells at `at`, of no more descriptors than fit into its batch; returns of how
    /// many. Those of which `engine` awaits an answer are read from at once.
    pub fn poll(
        &mut self,
        budgets: &Budgets,
        engine: &Engine,
        at: Moment,
        events: &mut Vec<Event>,
    ) -> u32 {
        let mut count = 0;
        while count < budgets.events_max {
            let Some(slot) = self.queue.pop_front() else { break };
            let Some(open) = self.descriptors.get_mut(&slot) else { continue };
            open.queued = false;
            count += 1;
            let key = open.key;
            let mut say = |kind| events.push(Event { at, kind });
            let answer_is_news = std::mem::take(&mut open.answer_is_news);
            if answer_is_news {
                say(match open.script.answer {
                    Answer::Fail(reason) => EventKind::Failed(key, failure(reason)),
                    _ => EventKind::Opened(key),
                });
            }
            let ended = open.ended.filter(|_| std::mem::take(&mut open.end_is_news));
            if std::mem::take(&mut open.bytes_are_news) {
                // A driver may have a look at the bytes before an end, or leave it at that.
                let bytes = u32::try_from(open.unread).unwrap_or(u32::MAX);
                if ended.is_some() && self.probes {
                    say(EventKind::Received { key, bytes, more: true });
                    if open.to_answer.take().is_some() {
                        say(EventKind::ReplyMatched(key));
                    }
                } else if ended.is_none() && engine.awaits_answer(key) {
                    open.read(budgets.drain_bytes_max, self.probes).into_iter().for_each(&mut say);
                } else {
                    say(EventKind::Readable(key));
                }
            }
            if let Some(reason) = ended {
                let end = open.end(reason, at);
                events.push(Event { at, kind: end });
            }
            if answer_is_news {
                self.reply(slot, at, false);
            }
        }
        count
    }

    fn of(&mut self, key: Key, is: &str) -> Result<&mut Descriptor, String> {
        let descriptor = self.descriptors.get_mut(&key.slot).filter(|open| open.key == key);
        descriptor.ok_or_else(|| format!("{key:?} is {is} but not open"))
    }

    fn schedule(&mut self, at: Moment, slot: u32, happening: Happening) {
        self.happenings.insert((at, self.sequence), (slot, happening));
        self.sequence += 1;
    }

    /// What a server does once it has accepted.
    fn accepted(&mut self, slot: u32, at: Moment) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        open.accepted_at = Some(at);
        open.heard_at = at;
        let script = open.script;
        if script.bytes > 0 {
            self.schedule(at + script.bytes_after, slot, Happening::Bytes(script.bytes, false));
        }
        if let Some((after, reason)) = script.end {
            self.schedule(at + after, slot, Happening::End(reason));
        }
    }

    /// The server replies to what it was sent, or where nothing is sent greets who has come. The
    /// times count from the moment at which the driver knows of the connection, as its patience
    /// does.
    fn reply(&mut self, slot: u32, at: Moment, is_spoken_to: bool) {
        let Some(open) = self.descriptors.get(&slot) else { return };
        let Some(Reply { after, first, rest, is_expected }) = open.script.reply else { return };
        if self.sends != is_spoken_to {
            return;
        }
        let is_expected = is_expected && self.expects;
        let is_whole = rest.is_none();
        self.schedule(at + after, slot, Happening::Bytes(first, is_whole && is_expected));
        if let Some((later, bytes)) = rest {
            self.schedule(at + after + later, slot, Happening::Bytes(bytes, is_expected));
        }
    }

    /// The keepalive timer of a slot has run out: a keepalive goes out, unless something came.
    fn keepalive(&mut self, at: Moment, slot: u32, of: u32) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        let quiet_until = open.heard_at + IDLE;
        if at < quiet_until && open.probes == 0 {
            return self.schedule(quiet_until, slot, Happening::KeepaliveTimer(of));
        }
        open.probes += 1;
        let age = at.since(open.accepted_at.unwrap_or(at));
        let answer = match open.script.keepalive {
            Keepalive::Acknowledged(after) => Some((after, Happening::Acknowledgement)),
            Keepalive::AcknowledgedFor(lived, after) if age < lived => {
                Some((after, Happening::Acknowledgement))
            }
            Keepalive::AcknowledgedFor(..) => None,
            Keepalive::SilentFor(silent, after) => {
                (age >= silent).then_some((after, Happening::Acknowledgement))
            }
            Keepalive::ResetAfter(lived, after) if age < lived => {
                Some((after, Happening::Acknowledgement))
            }
            Keepalive::ResetAfter(_, after) => Some((after, Happening::End(EndReason::HalfOpen))),
            Keepalive::Silence => None,
        };
        if let Some((after, happening)) = answer {
            self.schedule(at + after, slot, happening);
        }
        self.schedule(at + IDLE, slot, Happening::KeepaliveTimer(of));
    }

    fn happen(&mut self, at: Moment, slot: u32, happening: Happening) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        match happening {
            Happening::Answer => open.answer_is_news = true,
            // There is but one end, and nothing after it.
            _ if open.ended.is_some() => return,
            Happening::Bytes(bytes, is_answer) => {
                open.heard_at = at;
                open.data_segs += 1;
                open.probes = 0;
                open.unread = open.unread.saturating_add(bytes);
                if is_answer {
                    open.to_answer = Some(open.unread);
                }
                open.bytes_are_news = true;
            }
            Happening::Acknowledgement => {
                (open.heard_at, open.probes) = (at, 0);
                open.acknowledgements += 1;
                return;
            }
            Happening::KeepaliveTimer(of) => {
                let is_on = open.is_keepalive_on && of == open.keepalives;
                // Unacknowledged data takes its place.
                if is_on && open.info(at).unacked == 0 {
                    self.keepalive(at, slot, of);
                }
                return;
            }
            Happening::End(reason) => {
                open.ended = Some(reason);
                // A FIN acknowledges, and a RST does not.
                if reason == EndReason::PeerClosed {
                    open.heard_at = at;
                }
                // A reset takes with it what was not read; a FIN leaves it in the way.
                if reason != EndReason::PeerClosed {
                    (open.unread, open.to_answer) = (0, None);
                }
                open.bytes_are_news = true;
                open.end_is_news = !open.script.end_is_quiet || reason == EndReason::HalfOpen;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Routes, Target};
    use crate::sim::random::Random;
    use crate::sim::script::Behaviour;

    /// What is called a contradiction a second after a keepalive to a server that does this.
    fn contradicted(behaviour: Behaviour, outcome: Outcome) -> bool {
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        let plan = Plan::plain(1, routes);
        let script = Script {
            has_keepalives: false,
            refuses_keepalive: false,
            answer: Answer::AcceptAtOnce,
            ..Script::new(behaviour, &plan, &mut Random::new(1))
        };
        let (mut network, key) = (Network::new(&plan, false), Key { slot: 0, attempt: 0 });
        network.dial(key, script, Moment(0)).unwrap();
        network.start_keepalive(key, Moment(0) + IDLE).unwrap();
        let now = Moment(0) + IDLE + Span::from_ms(900);
        network.advance(now);
        network.contradicts(key, outcome, now)
    }

    #[test]
    fn an_outcome_that_is_not_what_the_server_does_is_a_contradiction() {
        use Behaviour::{Accept, HalfOpen, NoKeepaliveAck, RepeatSynAck};
        for (behaviour, outcome, expected) in [
            (Accept, Outcome::Confirmed, false),
            (Accept, Outcome::Unacknowledged, true),
            (Accept, Outcome::RepeatsSynAck, true),
            (Accept, Outcome::Unknown, false),
            (NoKeepaliveAck, Outcome::Unacknowledged, false),
            (NoKeepaliveAck, Outcome::Confirmed, true),
            (NoKeepaliveAck, Outcome::RepeatsSynAck, true),
            (HalfOpen, Outcome::Unacknowledged, true),
            (RepeatSynAck, Outcome::RepeatsSynAck, false),
        ] {
            assert_eq!(contradicted(behaviour, outcome), expected, "{behaviour:?} {outcome:?}");
        }
    }
}
