//! What a read of TCP_INFO means: handshake times, slow dials, suspects, keepalives.

use tcpgoon::engine::{Action, Key, Round, State, TcpInfo, TcpInfoPurpose};
use tcpgoon::units::{Moment, Span};

use super::records::{Judgement, Wait};
use super::state::Shadow;

/// A connection keeps `segs_in` modulo this: its whole check state is a byte.
pub(super) const SEGS_MODULUS: u32 = 7;

impl Shadow {
    /// Whether a RST answers the keepalive: one is sent and not acknowledged.
    pub(super) fn is_half_open(&self, slot: u32, info: &TcpInfo) -> bool {
        let wait = self.conns[slot as usize].wait;
        wait.is_pending() && !wait.is_doubt() && info.probes.unwrap_or(0) > 0
    }

    /// TCP_INFO was read.
    pub(super) fn on_tcp_info(
        &mut self,
        key: Key,
        purpose: TcpInfoPurpose,
        info: &TcpInfo,
        at: Moment,
        expected: &mut Vec<Action>,
    ) {
        let conn = *self.conn(key.slot);
        match purpose {
            // After a SYN retransmission the handshake time is unknown.
            TcpInfoPurpose::Rtt if info.total_retrans > 0 => {}
            TcpInfoPurpose::Rtt => self.handshakes.0.extend(info.rtt),
            TcpInfoPurpose::Slow => {
                if info.total_retrans > 0 {
                    self.mark("a SYN repeated");
                    self.retransmitted += 1;
                }
                self.repeats += u64::from(info.total_retrans);
            }
            TcpInfoPurpose::Suspect => {
                let sends =
                    self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
                // Repeated SYN-ACKs and nothing else.
                let is_repeated = repeated(info, 2);
                self.suspects_read += 1;
                // A server that has the connection would have acknowledged the request.
                let is_taken = sends && info.unacked == 0;
                if is_repeated && !is_taken {
                    self.mark("a suspect half open");
                    self.suspects_half_open += 1;
                } else if sends && !is_taken {
                    self.mark("a suspect without an acknowledgement");
                    self.suspects_unacknowledged += 1;
                }
            }
            TcpInfoPurpose::Keepalive if conn.state == State::Established => {
                self.on_keepalive_read(key, info, at, expected);
            }
            TcpInfoPurpose::Keepalive => {}
        }
    }

    /// Whether this host stalled after `moment`.
    fn has_stalled_since(&self, moment: Moment) -> bool {
        self.stalls.iter().chain(&self.late_at).any(|stall| *stall > moment)
    }

    /// TCP_INFO was read for a keepalive: judges it.
    fn on_keepalive_read(
        &mut self,
        key: Key,
        info: &TcpInfo,
        at: Moment,
        expected: &mut Vec<Action>,
    ) {
        let slot = key.slot;
        let conn = *self.conn(slot);
        let modulus = SEGS_MODULUS;
        let came = info.segs_in.map(|segs| (segs % modulus + modulus - conn.segs) % modulus);
        match conn.wait {
            Wait::Nothing if conn.is_unacknowledged && info.probes == Some(0) => {
                self.mark("a late acknowledgement");
                return self.conn(slot).is_unacknowledged = false;
            }
            Wait::DoubtRead => {
                // One more SYN-ACK is due in this time; more segments are something else.
                let came = came.filter(|_| info.data_segs_in == Some(0));
                let has_stalled = self.has_stalled_since(conn.newer_than);
                let found = match (came, acknowledged(info, at, conn.newer_than)) {
                    (Some(1), Some(false)) if !has_stalled => Judgement::RepeatsSynAck,
                    (Some(1), Some(false) | None) => Judgement::Unknown,
                    (Some(2), Some(true) | None) => Judgement::Unknown,
                    _ => Judgement::Confirmed,
                };
                self.judge(slot, found, at);
                return self.wait_no_more(slot);
            }
            Wait::Read(2..) | Wait::FinalRead | Wait::ExtraRead => {}
            _ => return,
        }
        let is_first = self.round_of(slot) == Round::First;
        let sends = self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
        // Newer by an RTT, but for the resolution of the kernel's clock.
        let newest = Moment(conn.newer_than.0.saturating_add(info.rtt.unwrap_or_default().0));
        let is_taken = !(sends && info.unacked > 0);
        let is_newer = acknowledged(info, at, newest);
        // Too close: then a segment decides, before any but the ACK can come.
        let has_come_soon = at.since(conn.newer_than) < Span::from_s(1) && came.unwrap_or(0) > 0;
        let found = if is_newer.unwrap_or(has_come_soon) && is_taken {
            // The SYN-ACK and the ACK of the keepalive, and nothing else.
            if is_first && !sends && repeated(info, 3) {
                self.mark("a SYN-ACK doubt");
                expected.push(Action::StopKeepalive(key));
                self.wait(slot, Wait::Doubt, at + Span::from_ms(3_250));
                self.conn(slot).segs = info.segs_in.unwrap_or(0) % modulus;
                return;
            }
            Judgement::Confirmed
        } else if matches!(conn.wait, Wait::Read(_)) {
            return;
        } else {
            let is_out = info.unacked > 0 || info.probes.is_none_or(|probes| probes > 2);
            let gap = self.stalls.iter().max().filter(|gap| **gap > conn.newer_than);
            let was_looking = gap.is_none_or(|gap| at.since(*gap) >= Span::from_s(2));
            let is_clear =
                !(self.has_stalled_since(conn.newer_than) || is_taken && is_newer.is_none());
            let has_come = came.filter(|_| is_clear);
            match has_come.or(came.filter(|count| *count == 0)) {
                Some(1..) if is_first && repeated(info, 2) => Judgement::RepeatsSynAck,
                Some(1..) => Judgement::OtherTraffic,
                Some(0) if is_out && was_looking && info.last_ack_recv.is_some() => {
                    Judgement::Unacknowledged
                }
                _ if conn.wait == Wait::ExtraRead => Judgement::Unknown,
                _ => {
                    self.mark("an extra read");
                    self.wait(slot, Wait::FinalRead, at + Span::from_s(2));
                    self.conn(slot).segs = info.segs_in.unwrap_or(0) % modulus;
                    return;
                }
            }
        };
        self.judge(slot, found, at);
        self.conn(slot).is_unacknowledged = found == Judgement::Unacknowledged;
        expected.push(Action::StopKeepalive(key));
        self.wait_no_more(slot);
        let answered = match found {
            Judgement::Confirmed => Some(true),
            Judgement::Unknown => None,
            _ => Some(false),
        };
        // The one segment since then is the acknowledgement.
        let age = info.last_ack_recv.filter(|_| came == Some(1) && answered == Some(true));
        let answered_at = age.map(|age| Moment(at.0.saturating_sub(age.0)));
        self.held_checked(slot, answered, answered_at);
        self.check_again(slot, answered_at);
    }
}

/// Whether an ACK came after `moment`; `None` within the resolution of the clocks.
fn acknowledged(info: &TcpInfo, at: Moment, moment: Moment) -> Option<bool> {
    let Some(age) = info.last_ack_recv else { return Some(false) };
    let after = i128::from(at.0) - i128::from(age.0) - i128::from(moment.0);
    (after.abs() > 11_000_000 || after == 11_000_000).then_some(after > 0)
}

/// Whether at least `least` segments without data came, over a path too short for a late SYN-ACK.
fn repeated(info: &TcpInfo, least: u32) -> bool {
    let is_far = info.rtt.is_some_and(|rtt| rtt >= Span::from_ms(500));
    match (info.segs_in, info.data_segs_in) {
        (Some(count), Some(0)) if !is_far => count - count.min(info.total_retrans) >= least,
        _ => false,
    }
}
