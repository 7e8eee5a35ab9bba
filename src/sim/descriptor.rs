//! One descriptor that does not exist: what its server and its kernel make of it.

use super::script::{Keepalive, Script};
use crate::engine::check_state::Outcome;
use crate::engine::{EndReason, EventKind, Failure, Key, TcpInfo};
use crate::units::{Moment, NS_PER_MS, NS_PER_S, Span};

/// After so many seconds a kernel repeats its SYN.
const SYN_REPEATS_S: [u64; 6] = [1, 3, 7, 15, 31, 63];

/// One open descriptor.
#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    pub key: Key,
    pub script: Script,
    pub dialed_at: Moment,
    pub accepted_at: Option<Moment>,
    /// When anything was acknowledged last.
    pub heard_at: Moment,
    pub unread: u64,
    /// How many bytes have to be read until what is expected is complete.
    pub to_answer: Option<u64>,
    pub data_segs: u32,
    pub is_spoken_to: bool,
    /// How often keepalive was turned on, and whether it is.
    pub keepalives: u32,
    /// When it was turned on last.
    pub asked_at: Moment,
    pub is_keepalive_on: bool,
    /// Keepalives that went out since the last acknowledgement, and answers to them.
    pub probes: u32,
    pub acknowledgements: u32,
    pub ended: Option<EndReason>,
    /// Whether it waits to be told of by a poll, and what there is to tell.
    pub queued: bool,
    pub answer_is_news: bool,
    pub bytes_are_news: bool,
    pub end_is_news: bool,
}

impl Descriptor {
    /// TCP_INFO.
    pub fn info(&self, at: Moment) -> TcpInfo {
        let waited = self.accepted_at.unwrap_or(at).since(self.dialed_at);
        let repeats = SYN_REPEATS_S.iter().filter(|s| Span::from_s(**s) <= waited).count();
        let idle = self.accepted_at.map(|_| at.since(self.heard_at));
        let age = self.accepted_at.map_or(Span::ZERO, |accepted_at| at.since(accepted_at));
        let repeated = SYN_REPEATS_S.iter().zip(0..self.script.repeated_answers);
        let repeated = repeated.filter(|(s, _)| Span::from_s(**s) <= age).count() as u32;
        let own = if self.script.has_keepalives { (age.0 / NS_PER_S) as u32 } else { 0 };
        TcpInfo {
            total_retrans: u32::try_from(repeats).unwrap_or(u32::MAX),
            // Some answers come late by a high RTT, others to the repeat of a SYN that was lost.
            rtt: self.accepted_at.map(|_| match self.key.slot % 2 {
                0 => self.script.answer_after,
                _ => Span(self.script.answer_after.0 % NS_PER_S),
            }),
            last_ack_recv: idle.map(|idle| Span(idle.0 / NS_PER_MS * NS_PER_MS)),
            segs_in: Some(1 + repeated + own + self.data_segs + self.acknowledgements),
            data_segs_in: Some(self.data_segs),
            unacked: u32::from(self.is_spoken_to && self.script.repeated_answers > 0),
            probes: Some(self.probes),
        }
    }

    /// Whether an outcome of its check is not what its server does.
    pub fn contradicts(&self, outcome: Outcome, now: Moment) -> bool {
        match outcome {
            Outcome::Unacknowledged => self.answers_keepalives(now),
            // A keepalive of the server's looks like one from here.
            Outcome::RepeatsSynAck => {
                self.script.repeated_answers == 0 && !self.script.has_keepalives
            }
            Outcome::Confirmed => !self.has_acknowledged(),
            _ => false,
        }
    }

    /// Whether its server has answered each keepalive since it was turned on last, or is about to.
    fn answers_keepalives(&self, now: Moment) -> bool {
        let age = |at: Moment| at.since(self.accepted_at.unwrap_or(at));
        // Where data is out no keepalive is sent.
        let is_sent = self.info(now).unacked == 0;
        is_sent
            && match self.script.keepalive {
                Keepalive::Acknowledged(_) | Keepalive::ResetAfter(..) => true,
                Keepalive::AcknowledgedFor(lived, _) => age(now) < lived,
                Keepalive::SilentFor(silent, _) => age(self.asked_at) >= silent,
                Keepalive::Silence => false,
            }
    }

    /// Whether anything but the handshake was ever acknowledged.
    fn has_acknowledged(&self) -> bool {
        let is_taken = self.is_spoken_to && self.script.repeated_answers == 0;
        is_taken || self.acknowledgements + self.data_segs > 0 || self.ended.is_some()
    }

    /// What ended it, as a driver reports it.
    pub fn end(&self, reason: EndReason, at: Moment) -> EventKind {
        match reason {
            EndReason::HalfOpen | EndReason::PeerReset => {
                EventKind::Reset(self.key, failure(EndReason::PeerReset), self.info(at))
            }
            _ => EventKind::PeerClosed(self.key, failure(reason)),
        }
    }

    /// See [`Network::drain`].
    pub fn read(&mut self, limit: u32, probes: bool) -> Vec<EventKind> {
        let key = self.key;
        let bytes = u32::try_from(self.unread).unwrap_or(limit).min(limit);
        if self.unread != Script::ENDLESS {
            self.unread -= u64::from(bytes);
        }
        let more = if probes { bytes > 0 } else { bytes == limit };
        let mut said = Vec::with_capacity(3);
        if more || bytes > 0 || self.ended.is_none() {
            said.push(EventKind::Received { key, bytes, more });
        }
        if let Some(rest) = self.to_answer.as_mut() {
            *rest = rest.saturating_sub(bytes.into());
            if *rest == 0 {
                self.to_answer = None;
                said.push(EventKind::ReplyMatched(key));
            }
        }
        if let (false, Some(reason)) = (more, self.ended) {
            said.push(EventKind::PeerClosed(key, failure(reason)));
        }
        said
    }
}

/// The number beside the reason is made up: the engine only passes it on.
pub fn failure(reason: EndReason) -> Failure {
    Failure { reason, errno: 100 + i32::from(reason as u8) }
}
