//! What TCP_INFO means for a check. Pure, so that the simulation and the fuzzer reach it.
//!
//! Facts that do not depend on when it is read (Linux, net/ipv4/tcp_input.c):
//!
//! - `last_ack_recv` moves with each segment that carries an acceptable acknowledgement: a SYN-ACK,
//!   data, a FIN, the ACK of a keepalive. It does not with a RST, with a keepalive of the
//!   server's (its sequence number is old, so its acknowledgement is not processed) or with a
//!   repeated SYN-ACK (answered by a challenge ACK).
//! - `segs_in` moves with each of them.
//! - `probes` counts the keepalives since the last acknowledgement; a RST leaves it as it is.

use super::event::TcpInfo;
use crate::units::{Moment, Span};

/// A server repeats its SYN-ACK after a second: at an RTT of half of that and more also while our ACK
/// is in flight. Source: RFC 6298, 2.1.
const NEAR_RTT_MAX: Span = Span::from_ms(500);

/// The error of the kernel's times: its tick is 10 ms if `CONFIG_HZ` is 100.
const CLOCK_SLACK: Span = Span::from_ms(11);

/// Segments that a server sends in a handshake, and for a keepalive.
const HANDSHAKE_SEGS: u32 = 1;
const KEEPALIVE_SEGS: u32 = 1;

/// After this a SYN-ACK is repeated, and the next keepalive sent.
const ALONE: Span = Span::from_s(1);

/// With this number of keepalives unacknowledged, the first one had two seconds, however late this
/// host reads that.
const UNANSWERED_PROBES: u32 = 3;

/// A keepalive that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentKeepalive {
    /// When it was sent, or a doubt began.
    pub at: Moment,
    /// Whether data was sent before, which has to be acknowledged as well.
    pub sends: bool,
    /// Whether it is the connection's first keepalive.
    pub is_first: bool,
    /// Segments received before, modulo [`SEGS_MODULUS`](super::check_state::SEGS_MODULUS).
    pub segs: u8,
}

/// What TCP_INFO shows of a keepalive that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// An acknowledgement that is newer than the keepalive, by an RTT at least.
    Acknowledged,
    /// The same, with more segments than a handshake and a keepalive take: one was duplicated, or the
    /// server repeats its SYN-ACK.
    AcknowledgedInDoubt,
    /// None, but segments without data that can be repeats of the SYN-ACK.
    RepeatsSynAck,
    /// None, but other segments.
    OtherTraffic,
    /// No segment, although a keepalive or data is out.
    Nothing,
    /// Unknown whether anything was sent or came.
    Unclear,
}

/// What a read on suspicion of a half-open connection shows, after a slow dial or a missing reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfOpenSuspect {
    Unfounded,
    /// The server repeats its SYN-ACK, and acknowledges no data.
    RepeatsSynAck,
    /// The data sent was not acknowledged.
    Unacknowledged,
}

/// What `info`, read at `at`, shows of `sent`.
pub fn evidence(info: &TcpInfo, at: Moment, sent: &SentKeepalive) -> Evidence {
    // A segment that left the server after the keepalive, unless the RTT has fallen since it was
    // measured; then a later keepalive is confirmed.
    let newest = newest_ack(info, at, sent.at + info.rtt.unwrap_or(Span::ZERO));
    let segs = info.segs_in.map(reduced);
    let is_acknowledged = match newest {
        Order::After => true,
        // As early as that, no other segment is expected than the answer.
        Order::Unclear => at.since(sent.at) < ALONE && segs.is_some_and(|segs| segs != sent.segs),
        Order::Before => false,
    };
    let is_taken = !sent.sends || info.unacked == 0;
    if is_taken && is_acknowledged {
        let is_doubt = sent.is_first && !sent.sends;
        let most = HANDSHAKE_SEGS + KEEPALIVE_SEGS;
        return match is_doubt && is_more_than(info, most) {
            true => Evidence::AcknowledgedInDoubt,
            false => Evidence::Acknowledged,
        };
    }
    let Some(segs) = segs else { return Evidence::Unclear };
    let is_out = info.unacked > 0 || info.probes.is_none_or(|count| count >= UNANSWERED_PROBES);
    match segs == sent.segs {
        // The acknowledgement may be of the keepalive, or of the handshake just before it.
        false if is_taken && newest == Order::Unclear => Evidence::Unclear,
        false if sent.is_first && is_more_than(info, HANDSHAKE_SEGS) => Evidence::RepeatsSynAck,
        false => Evidence::OtherTraffic,
        true if is_out && info.last_ack_recv.is_some() => Evidence::Nothing,
        true => Evidence::Unclear,
    }
}

/// The order of two times of different clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Before,
    Unclear,
    After,
}

/// When the newest acknowledgement came in relation to `moment`; `at` is stamped before the read.
fn newest_ack(info: &TcpInfo, at: Moment, moment: Moment) -> Order {
    let Some(age) = info.last_ack_recv else { return Order::Before };
    let (sum, slack) = (moment.0.saturating_add(age.0), CLOCK_SLACK.0);
    match (at.0 >= sum.saturating_add(slack), at.0.saturating_add(slack) >= sum) {
        (true, _) => Order::After,
        (false, true) => Order::Unclear,
        (false, false) => Order::Before,
    }
}

/// A number of segments as a check keeps it.
pub fn reduced(segs_in: u32) -> u8 {
    let rest = segs_in % u32::from(super::check_state::SEGS_MODULUS);
    u8::try_from(rest).unwrap_or_default()
}

/// What `info`, read at `at`, shows of a [`Doubt`](super::check_state::Step::Doubt), with `sent` as of
/// its beginning.
///
/// A server that repeats its SYN-ACK does so once within it, at 3 s, without acknowledging. More
/// segments are keepalives of the server; none, or an acknowledgement, belong to keepalives that were
/// in flight when ours were turned off.
pub fn evidence_in_doubt(
    info: &TcpInfo,
    at: Moment,
    sent: &SentKeepalive,
    was_polling: bool,
) -> Evidence {
    let modulus = super::check_state::SEGS_MODULUS;
    let came = |segs| (reduced(segs) + modulus - sent.segs % modulus) % modulus;
    let came = info.segs_in.filter(|_| info.data_segs_in == Some(0)).map(came);
    match (came, newest_ack(info, at, sent.at)) {
        (Some(1), Order::Before) if was_polling => Evidence::RepeatsSynAck,
        (Some(1), Order::Before | Order::Unclear) => Evidence::Unclear,
        // A SYN-ACK may be one of two.
        (Some(2), Order::Unclear | Order::After) => Evidence::Unclear,
        _ => Evidence::Acknowledged,
    }
}

/// Whether a RST answered a keepalive: one was sent and not acknowledged. A server that has the
/// connection acknowledges it before it does anything else.
pub fn is_reset_by_keepalive(info: &TcpInfo) -> bool {
    info.probes.is_some_and(|count| count > 0)
}

/// Whether a keepalive that was judged unacknowledged was acknowledged later.
pub fn is_acknowledged_late(info: &TcpInfo) -> bool {
    info.probes == Some(0)
}

/// What a read shows of a suspect; `sends`: whether data was sent to it.
pub fn suspicion(info: &TcpInfo, sends: bool) -> HalfOpenSuspect {
    let is_repeated = is_more_than(info, HANDSHAKE_SEGS);
    match (sends, info.unacked) {
        (true, 0) => HalfOpenSuspect::Unfounded,
        _ if is_repeated => HalfOpenSuspect::RepeatsSynAck,
        (true, _) => HalfOpenSuspect::Unacknowledged,
        (false, _) => HalfOpenSuspect::Unfounded,
    }
}

/// Whether more segments than `part` came, and no data: then the server may repeat its SYN-ACK. Each
/// retransmission of ours may have had a response, too.
fn is_more_than(info: &TcpInfo, part: u32) -> bool {
    let came = info.segs_in.map(|count| count.saturating_sub(info.total_retrans));
    let is_near = info.rtt.is_none_or(|rtt| rtt < NEAR_RTT_MAX);
    is_near && came.is_some_and(|count| count > part) && info.data_segs_in == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_half_open_if_its_server_repeats_its_syn_ack_and_acknowledges_no_data() {
        use HalfOpenSuspect::{RepeatsSynAck, Unacknowledged, Unfounded};
        let info = |total_retrans, segs_in, data_segs_in, unacked| TcpInfo {
            total_retrans,
            segs_in,
            data_segs_in,
            unacked,
            ..TcpInfo::default()
        };
        let far = |info| TcpInfo { rtt: Some(Span::from_ms(600)), ..info };
        for (info, silent, sent) in [
            (info(0, Some(1), Some(0), 0), Unfounded, Unfounded),
            (info(0, Some(2), Some(0), 0), RepeatsSynAck, Unfounded),
            (info(0, Some(2), Some(0), 1), RepeatsSynAck, RepeatsSynAck),
            (info(0, Some(1), Some(0), 1), Unfounded, Unacknowledged),
            (info(1, Some(2), Some(0), 1), Unfounded, Unacknowledged),
            (info(1, Some(3), Some(0), 1), RepeatsSynAck, RepeatsSynAck),
            (info(0, Some(3), Some(1), 1), Unfounded, Unacknowledged),
            (info(0, None, None, 1), Unfounded, Unacknowledged),
            (info(0, None, Some(0), 0), Unfounded, Unfounded),
            (far(info(0, Some(2), Some(0), 0)), Unfounded, Unfounded),
            (far(info(0, Some(2), Some(0), 1)), Unfounded, Unacknowledged),
            (info(u32::MAX, Some(1), Some(0), 1), Unfounded, Unacknowledged),
            (info(u32::MAX - 1, Some(u32::MAX), Some(0), 1), Unfounded, Unacknowledged),
        ] {
            let found = [suspicion(&info, false), suspicion(&info, true)];
            assert_eq!(found, [silent, sent], "{info:?}");
        }
    }

    const SENT: SentKeepalive =
        SentKeepalive { at: Moment(10_000_000_000), sends: false, is_first: true, segs: 1 };

    /// The evidence 500 ms after the keepalive.
    fn after_500_ms(age_ms: u64, segs_in: u32, probes: u32, sent: &SentKeepalive) -> Evidence {
        let info = TcpInfo {
            rtt: Some(Span::from_ms(50)),
            last_ack_recv: Some(Span::from_ms(age_ms)),
            segs_in: Some(segs_in),
            data_segs_in: Some(0),
            probes: Some(probes),
            ..TcpInfo::default()
        };
        evidence(&info, sent.at + Span::from_ms(500), sent)
    }

    #[test]
    fn only_what_is_newer_than_the_keepalive_by_an_rtt_acknowledges_it() {
        assert_eq!(after_500_ms(400, 2, 0, &SENT), Evidence::Acknowledged);
        assert_eq!(after_500_ms(439, 2, 0, &SENT), Evidence::Acknowledged);
        for age_ms in [440, 450, 461] {
            assert_eq!(
                after_500_ms(age_ms, 2, 0, &SENT),
                Evidence::Acknowledged,
                "the kernel's clock"
            );
            assert_eq!(after_500_ms(age_ms, 1, 0, &SENT), Evidence::Unclear, "the SYN-ACK");
            let earlier = SentKeepalive { at: Moment(SENT.at.0 - 500_000_000), ..SENT };
            let info = |segs_in| TcpInfo {
                rtt: Some(Span::from_ms(50)),
                last_ack_recv: Some(Span::from_ms(age_ms + 500)),
                segs_in: Some(segs_in),
                data_segs_in: Some(0),
                probes: Some(1),
                ..TcpInfo::default()
            };
            let late = evidence(&info(2), SENT.at + Span::from_ms(500), &earlier);
            assert_eq!(late, Evidence::Unclear, "the SYN-ACK, which was repeated");
        }
        assert_eq!(after_500_ms(462, 2, 0, &SENT), Evidence::RepeatsSynAck);
        assert_eq!(after_500_ms(1_500, 1, 3, &SENT), Evidence::Nothing);
        // A SYN-ACK just before the keepalive, and a server that does not acknowledge anything.
        assert_eq!(after_500_ms(450, 1, 3, &SENT), Evidence::Nothing);
    }

    #[test]
    fn segments_without_an_acknowledgement_are_other_traffic() {
        let later = SentKeepalive { is_first: false, segs: 3, ..SENT };
        assert_eq!(after_500_ms(1_500, 2, 3, &SENT), Evidence::RepeatsSynAck);
        assert_eq!(after_500_ms(1_500, 4, 3, &later), Evidence::OtherTraffic);
        assert_eq!(after_500_ms(1_500, 3, 3, &later), Evidence::Nothing);
        // More than the handshake's and the keepalive's, but only of the first keepalive.
        assert_eq!(after_500_ms(400, 3, 0, &SENT), Evidence::AcknowledgedInDoubt);
        assert_eq!(after_500_ms(400, 9, 0, &later), Evidence::Acknowledged);
    }

    #[test]
    fn without_a_keepalive_sent_or_a_known_count_the_evidence_is_unclear() {
        assert_eq!(after_500_ms(1_500, 1, 0, &SENT), Evidence::Unclear, "no keepalive went out");
        assert_eq!(
            after_500_ms(1_500, 1, 2, &SENT),
            Evidence::Unclear,
            "it had no two seconds yet"
        );
        let nothing = evidence(&TcpInfo::default(), SENT.at, &SENT);
        assert_eq!(nothing, Evidence::Unclear);
        let unacked = TcpInfo {
            unacked: 1,
            segs_in: Some(1),
            last_ack_recv: Some(Span::from_s(9)),
            probes: Some(0),
            ..TcpInfo::default()
        };
        let sends = SentKeepalive { sends: true, ..SENT };
        assert_eq!(evidence(&unacked, SENT.at, &sends), Evidence::Nothing, "data was out");
    }

    #[test]
    fn data_has_to_be_acknowledged_as_well() {
        let sends = SentKeepalive { sends: true, ..SENT };
        let info = TcpInfo {
            unacked: 1,
            last_ack_recv: Some(Span::ZERO),
            segs_in: Some(3),
            data_segs_in: Some(0),
            ..TcpInfo::default()
        };
        let at = sends.at + Span::from_s(1);
        assert_eq!(evidence(&info, at, &sends), Evidence::RepeatsSynAck);
        let taken = TcpInfo { unacked: 0, ..info };
        assert_eq!(evidence(&taken, at, &sends), Evidence::Acknowledged);
    }

    #[test]
    fn one_segment_in_a_doubt_is_a_syn_ack_unless_it_is_an_acknowledgement() {
        let began = SentKeepalive { segs: 6, ..SENT };
        let info = |segs_in, age_ms| TcpInfo {
            segs_in: Some(segs_in),
            data_segs_in: Some(0),
            last_ack_recv: Some(Span::from_ms(age_ms)),
            ..TcpInfo::default()
        };
        let at = began.at + Span::from_ms(3_500);
        let found = |info: TcpInfo, was_polling| evidence_in_doubt(&info, at, &began, was_polling);
        for (segs_in, age_ms, was_polling, expected) in [
            (7, 4_000, true, Evidence::RepeatsSynAck),
            (7, 4_000, false, Evidence::Unclear),
            (6, 4_000, true, Evidence::Acknowledged),
            (6, 4_000, false, Evidence::Acknowledged),
            // An answer that was under way when the keepalive was turned off.
            (7, 3_400, true, Evidence::Acknowledged),
            (7, 3_400, false, Evidence::Acknowledged),
            (7, 3_500, true, Evidence::Unclear),
            (8, 3_400, true, Evidence::Unclear),
            // Keepalives of its own.
            (9, 4_000, true, Evidence::Acknowledged),
        ] {
            assert_eq!(found(info(segs_in, age_ms), was_polling), expected, "{segs_in} {age_ms}");
        }
        let data = TcpInfo { data_segs_in: Some(1), ..info(7, 4_000) };
        assert_eq!(found(data, true), Evidence::Acknowledged);
    }

    #[test]
    fn a_rst_answers_a_keepalive_if_one_was_out() {
        let info = |probes| TcpInfo { probes, ..TcpInfo::default() };
        assert!(is_reset_by_keepalive(&info(Some(1))));
        assert!(!is_reset_by_keepalive(&info(Some(0))));
        assert!(!is_reset_by_keepalive(&info(None)));
    }
}
