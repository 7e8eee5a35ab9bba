//! Fake descriptors and the servers at the other end, with edge-triggered readiness as epoll has
//! it.

use std::collections::{BTreeMap, VecDeque};

use super::descriptor::{Descriptor, failure};
use super::script::{Detail, Handshake, Keepalive, Reply, Script};
use crate::engine::check_state::Outcome;
use crate::engine::{EndReason, Engine, Event, EventKind, Key, TcpInfo};
use crate::plan::{Budgets, Plan};
use crate::units::{Moment, Span};

/// The keepalive idle time and interval.
const IDLE: Span = Span::from_s(1);

#[derive(Debug, Clone, Copy)]
enum Happening {
    Handshake,
    /// How many, and whether they complete the expected reply.
    Bytes(u64, bool),
    /// The keepalive timer, with the number of the start it belongs to.
    KeepaliveTimer(u32),
    Acknowledgement,
    End(EndReason),
}

/// All descriptors by slot, what will happen to them, and which are ready.
#[derive(Debug)]
pub struct Network {
    /// Whether a drain reads until it would block, or only until a short read.
    until_would_block: bool,
    /// Whether servers reply to a request, or greet.
    sends: bool,
    /// Whether a text is expected in the reply.
    expects: bool,
    descriptors: BTreeMap<u32, Descriptor>,
    happenings: BTreeMap<(Moment, u64), (Key, Happening)>,
    sequence: u64,
    queue: VecDeque<u32>,
}

impl Network {
    /// A network for a run of `plan`. [`Network::drain`] explains `until_would_block`.
    pub fn new(plan: &Plan, until_would_block: bool) -> Network {
        Network {
            until_would_block,
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

    /// Opens a descriptor at `at`. Returns what `connect()` reports at once, if anything.
    ///
    /// # Errors
    /// If the slot has a descriptor already.
    pub fn dial(
        &mut self,
        key: Key,
        script: Script,
        at: Moment,
    ) -> Result<Option<EventKind>, String> {
        let (handshake, after) = (script.handshake, script.handshake_after);
        let descriptor = Descriptor {
            key,
            script,
            dialed_at: at,
            accepted_at: None,
            last_ack_at: at,
            unread: 0,
            until_reply: None,
            data_segs: 0,
            is_sent_to: false,
            keepalives: 0,
            keepalive_at: at,
            is_keepalive_on: false,
            probes: 0,
            acknowledgements: 0,
            ended: None,
            queued: false,
            reports_dial: false,
            reports_bytes: false,
            reports_end: false,
        };
        if self.descriptors.insert(key.slot, descriptor).is_some() {
            return Err(format!("slot {} is dialed while its descriptor is open", key.slot));
        }
        match handshake {
            Handshake::AcceptAtOnce => {
                self.accepted(key.slot, at);
                self.reply(key.slot, at, false);
                Ok(Some(EventKind::Opened(key)))
            }
            Handshake::FailHere(reason) => Ok(Some(EventKind::Failed(key, failure(reason)))),
            Handshake::Accept | Handshake::Fail(_) => {
                self.schedule(at + after, key.slot, Happening::Handshake);
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

    /// Reads and drops up to `limit` bytes, and returns what a driver reports of it. One kind of driver
    /// reads until "would block"; the other takes a short read for the end of the bytes.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn drain(&mut self, key: Key, limit: u32) -> Result<Vec<EventKind>, String> {
        let until_would_block = self.until_would_block;
        Ok(self.of(key, "drained")?.read(limit, until_would_block))
    }

    /// Sends the request to the server of `key`.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn send(&mut self, key: Key, at: Moment) -> Result<(), String> {
        let open = self.of(key, "sent to")?;
        open.is_sent_to = true;
        if open.script.repeated_syn_acks == 0 {
            open.last_ack_at = at;
        }
        self.reply(key.slot, at, true);
        Ok(())
    }

    /// Turns keepalive on. Returns TCP_INFO from before it; `None` if setting it failed.
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
        open.keepalive_at = at;
        let (sent_at, keepalives) = (at.max(open.last_ack_at + IDLE), open.keepalives);
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

    /// TCP_INFO of `key`; `None` as for a socket that is gone.
    ///
    /// # Errors
    /// If there is no such descriptor.
    pub fn tcp_info(&mut self, key: Key, at: Moment) -> Result<Option<TcpInfo>, String> {
        let open = self.of(key, "read")?;
        let all = open.info(at);
        Ok(match open.script.tcp_info {
            Detail::Full => Some(all),
            Detail::EarlyRetransmit => {
                Some(TcpInfo { total_retrans: all.total_retrans.max(1), ..all })
            }
            Detail::NoSegmentCounts => Some(TcpInfo { segs_in: None, data_segs_in: None, ..all }),
            Detail::Zeroes => Some(TcpInfo::default()),
            Detail::NoSocket => None,
        })
    }

    /// Whether the outcome of a check of `key` is not what its server does.
    pub fn contradicts(&self, key: Key, outcome: Outcome, now: Moment) -> bool {
        let open = self.descriptors.get(&key.slot).filter(|open| open.key == key);
        open.is_some_and(|open| open.contradicts(outcome, now))
    }

    /// When the last acknowledgement of `slot` arrived, and whether that was the SYN-ACK.
    pub fn last_ack(&self, slot: u32) -> Option<(Moment, bool)> {
        let open = self.descriptors.get(&slot)?;
        let is_first = open.accepted_at == Some(open.last_ack_at) && open.data_segs == 0;
        Some((open.last_ack_at, is_first && open.script.repeated_syn_acks == 0))
    }

    /// Moves everything that is pending: both ends stand still.
    pub fn suspend(&mut self, pause: Span) {
        let later = std::mem::take(&mut self.happenings);
        let later = later.into_iter().map(|((at, order), what)| ((at + pause, order), what));
        self.happenings = later.collect();
    }

    /// When something happens next; `now` if a descriptor is ready already.
    pub fn next(&self, now: Moment) -> Option<Moment> {
        let waiting = (!self.queue.is_empty()).then_some(now);
        waiting.or_else(|| self.happenings.keys().next().map(|(at, _)| *at))
    }

    /// Applies everything that happens until `now`.
    pub fn advance(&mut self, now: Moment) {
        while let Some(entry) = self.happenings.first_entry().filter(|e| e.key().0 <= now) {
            let ((at, _), (key, happening)) = entry.remove_entry();
            self.happen(at, key, happening);
        }
    }

    /// One poll at `at`, of at most a batch of descriptors. Returns how many. Those from which `engine`
    /// expects a reply are read at once.
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
            let mut report = |kind| events.push(Event { at, kind });
            let reports_dial = std::mem::take(&mut open.reports_dial);
            if reports_dial {
                report(match open.script.handshake {
                    Handshake::Fail(reason) => EventKind::Failed(key, failure(reason)),
                    _ => EventKind::Opened(key),
                });
            }
            let ended = open.ended.filter(|_| std::mem::take(&mut open.reports_end));
            if std::mem::take(&mut open.reports_bytes) {
                // A driver may read the bytes before an end, or leave them.
                let bytes = u32::try_from(open.unread).unwrap_or(u32::MAX);
                if ended.is_some() && self.until_would_block {
                    report(EventKind::Received { key, bytes, more: true });
                    if open.until_reply.take().is_some() {
                        report(EventKind::ReplyMatched(key));
                    }
                } else if ended.is_none() && engine.expects_reply(key) {
                    open.read(budgets.drain_bytes_max, self.until_would_block)
                        .into_iter()
                        .for_each(&mut report);
                } else {
                    report(EventKind::Readable(key));
                }
            }
            if let Some(reason) = ended {
                let end = open.end(reason, at);
                events.push(Event { at, kind: end });
            }
            if reports_dial {
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
        let Some(open) = self.descriptors.get(&slot) else { return };
        self.happenings.insert((at, self.sequence), (open.key, happening));
        self.sequence += 1;
    }

    /// The SYN-ACK has arrived: schedules what the server does next.
    fn accepted(&mut self, slot: u32, at: Moment) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        open.accepted_at = Some(at);
        open.last_ack_at = at;
        let script = open.script;
        if script.bytes > 0 {
            self.schedule(at + script.bytes_after, slot, Happening::Bytes(script.bytes, false));
        }
        if let Some((after, reason)) = script.end {
            self.schedule(at + after, slot, Happening::End(reason));
        }
    }

    /// The server replies to the request, or greets if there is none. Times count from when the
    /// driver reported the connection, as the reply timeout does.
    fn reply(&mut self, slot: u32, at: Moment, is_sent_to: bool) {
        let Some(open) = self.descriptors.get(&slot) else { return };
        let Some(Reply { after, first, rest, is_expected }) = open.script.reply else { return };
        if self.sends != is_sent_to {
            return;
        }
        let is_expected = is_expected && self.expects;
        let is_whole = rest.is_none();
        self.schedule(at + after, slot, Happening::Bytes(first, is_whole && is_expected));
        if let Some((later, bytes)) = rest {
            self.schedule(at + after + later, slot, Happening::Bytes(bytes, is_expected));
        }
    }

    /// The keepalive timer of a slot has expired: sends one, unless something arrived meanwhile.
    fn keepalive(&mut self, at: Moment, slot: u32, of: u32) {
        let Some(open) = self.descriptors.get_mut(&slot) else { return };
        let quiet_until = open.last_ack_at + IDLE;
        if at < quiet_until && open.probes == 0 {
            return self.schedule(quiet_until, slot, Happening::KeepaliveTimer(of));
        }
        open.probes += 1;
        let age = at.since(open.accepted_at.unwrap_or(at));
        let response = match open.script.keepalive {
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
        if let Some((after, happening)) = response {
            self.schedule(at + after, slot, happening);
        }
        self.schedule(at + IDLE, slot, Happening::KeepaliveTimer(of));
    }

    fn happen(&mut self, at: Moment, key: Key, happening: Happening) {
        let slot = key.slot;
        let open = self.descriptors.get_mut(&slot).filter(|open| open.key == key);
        let Some(open) = open else { return };
        match happening {
            Happening::Handshake => open.reports_dial = true,
            // Nothing follows an end.
            _ if open.ended.is_some() => return,
            Happening::Bytes(bytes, is_reply) => {
                open.last_ack_at = at;
                open.data_segs += 1;
                open.probes = 0;
                open.unread = open.unread.saturating_add(bytes);
                if is_reply {
                    open.until_reply = Some(open.unread);
                }
                open.reports_bytes = true;
            }
            Happening::Acknowledgement => {
                (open.last_ack_at, open.probes) = (at, 0);
                open.acknowledgements += 1;
                return;
            }
            Happening::KeepaliveTimer(of) => {
                let is_on = open.is_keepalive_on && of == open.keepalives;
                // With unacknowledged data none is sent.
                if is_on && open.info(at).unacked == 0 {
                    self.keepalive(at, slot, of);
                }
                return;
            }
            Happening::End(reason) => {
                open.ended = Some(reason);
                // A FIN acknowledges; a RST does not.
                if reason == EndReason::PeerClosed {
                    open.last_ack_at = at;
                }
                // A RST drops unread data; a FIN does not.
                if reason != EndReason::PeerClosed {
                    (open.unread, open.until_reply) = (0, None);
                }
                open.reports_bytes = true;
                open.reports_end = !open.script.end_is_quiet || reason == EndReason::HalfOpen;
            }
        }
        if !std::mem::replace(&mut open.queued, true) {
            self.queue.push_back(slot);
        }
        let accepts = open.script.handshake == Handshake::Accept;
        if matches!(happening, Happening::Handshake) && accepts {
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

    /// Whether `outcome` contradicts this behaviour a second after a keepalive.
    fn contradicted(behaviour: Behaviour, outcome: Outcome) -> bool {
        let address = "127.0.0.1:1".parse().unwrap();
        let routes = Routes::to_one(Target { host: "127.0.0.1".into(), address });
        let plan = Plan::plain(1, routes);
        let script = Script {
            sends_keepalives: false,
            refuses_keepalive: false,
            handshake: Handshake::AcceptAtOnce,
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
