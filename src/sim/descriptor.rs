//! One fake descriptor: its connection and TCP_INFO.

use super::script::{Keepalive, Script};
use crate::engine::check_state::Outcome;
use crate::engine::{EndReason, EventKind, Failure, Key, TcpInfo};
use crate::units::{Moment, NS_PER_MS, NS_PER_S, Span};

/// Seconds after which a kernel repeats a SYN or SYN-ACK.
const SYN_REPEATS_S: [u64; 6] = [1, 3, 7, 15, 31, 63];

/// One open descriptor.
#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    pub key: Key,
    pub script: Script,
    pub dialed_at: Moment,
    pub accepted_at: Option<Moment>,
    /// When an acknowledgement arrived last.
    pub last_ack_at: Moment,
    pub unread: u64,
    /// Bytes to read until the expected reply is complete.
    pub until_reply: Option<u64>,
    pub data_segs: u32,
    pub is_sent_to: bool,
    /// How often keepalive was turned on, and whether it is.
    pub keepalives: u32,
    /// When it was turned on last.
    pub keepalive_at: Moment,
    pub is_keepalive_on: bool,
    /// Keepalives sent since the last acknowledgement, and how many were acknowledged.
    pub probes: u32,
    pub acknowledgements: u32,
    pub ended: Option<EndReason>,
    /// Whether it waits for the next poll, and what that will report.
    pub queued: bool,
    pub reports_dial: bool,
    pub reports_bytes: bool,
    pub reports_end: bool,
}

impl Descriptor {
    /// TCP_INFO.
    pub fn info(&self, at: Moment) -> TcpInfo {
        let waited = self.accepted_at.unwrap_or(at).since(self.dialed_at);
        let repeats = SYN_REPEATS_S.iter().filter(|s| Span::from_s(**s) <= waited).count();
        let idle = self.accepted_at.map(|_| at.since(self.last_ack_at));
        let age = self.accepted_at.map_or(Span::ZERO, |accepted_at| at.since(accepted_at));
        let repeated = SYN_REPEATS_S.iter().zip(0..self.script.repeated_syn_acks);
        let repeated = repeated.filter(|(s, _)| Span::from_s(**s) <= age).count() as u32;
        let own = if self.script.sends_keepalives { (age.0 / NS_PER_S) as u32 } else { 0 };
        TcpInfo {
            total_retrans: u32::try_from(repeats).unwrap_or(u32::MAX),
            // Some SYN-ACKs come late for a high RTT, others answer a repeated SYN.
            rtt: self.accepted_at.map(|_| match self.key.slot % 2 {
                0 => self.script.handshake_after,
                _ => Span(self.script.handshake_after.0 % NS_PER_S),
            }),
            last_ack_recv: idle.map(|idle| Span(idle.0 / NS_PER_MS * NS_PER_MS)),
            segs_in: Some(1 + repeated + own + self.data_segs + self.acknowledgements),
            data_segs_in: Some(self.data_segs),
            unacked: u32::from(self.is_sent_to && self.script.repeated_syn_acks > 0),
            probes: Some(self.probes),
        }
    }

    /// Whether an outcome of its check is not what its server does.
    pub fn contradicts(&self, outcome: Outcome, now: Moment) -> bool {
        match outcome {
            Outcome::Unacknowledged => self.replies_to_keepalives(now),
            // A keepalive that the server sends looks like one.
            Outcome::RepeatsSynAck => {
                self.script.repeated_syn_acks == 0 && !self.script.sends_keepalives
            }
            Outcome::Confirmed => !self.has_acknowledged(),
            _ => false,
        }
    }

    /// Whether its server replies to keepalives since they were turned on last.
    fn replies_to_keepalives(&self, now: Moment) -> bool {
        let age = |at: Moment| at.since(self.accepted_at.unwrap_or(at));
        // With unacknowledged data no keepalive is sent.
        let is_sent = self.info(now).unacked == 0;
        is_sent
            && match self.script.keepalive {
                Keepalive::Acknowledged(_) | Keepalive::ResetAfter(..) => true,
                Keepalive::AcknowledgedFor(lived, _) => age(now) < lived,
                Keepalive::SilentFor(silent, _) => age(self.keepalive_at) >= silent,
                Keepalive::Silence => false,
            }
    }

    /// Whether the peer acknowledged anything after the handshake.
    fn has_acknowledged(&self) -> bool {
        let is_acked = self.is_sent_to && self.script.repeated_syn_acks == 0;
        is_acked || self.acknowledgements + self.data_segs > 0 || self.ended.is_some()
    }

    /// Its end as a driver reports it.
    pub fn end(&self, reason: EndReason, at: Moment) -> EventKind {
        match reason {
            EndReason::HalfOpen | EndReason::PeerReset => {
                EventKind::Reset(self.key, failure(EndReason::PeerReset), self.info(at))
            }
            _ => EventKind::PeerClosed(self.key, failure(reason)),
        }
    }

    /// See [`Network::drain`].
    pub fn read(&mut self, limit: u32, until_would_block: bool) -> Vec<EventKind> {
        let key = self.key;
        let bytes = u32::try_from(self.unread).unwrap_or(limit).min(limit);
        if self.unread != Script::ENDLESS {
            self.unread -= u64::from(bytes);
        }
        let more = if until_would_block { bytes > 0 } else { bytes == limit };
        let mut events = Vec::with_capacity(3);
        if more || bytes > 0 || self.ended.is_none() {
            events.push(EventKind::Received { key, bytes, more });
        }
        if let Some(rest) = self.until_reply.as_mut() {
            *rest = rest.saturating_sub(bytes.into());
            if *rest == 0 {
                self.until_reply = None;
                events.push(EventKind::ReplyMatched(key));
            }
        }
        if let (false, Some(reason)) = (more, self.ended) {
            events.push(EventKind::PeerClosed(key, failure(reason)));
        }
        events
    }
}

/// The errno is made up: the engine only passes it on.
pub fn failure(reason: EndReason) -> Failure {
    Failure { reason, errno: 100 + i32::from(reason as u8) }
}
