//! What TCP_INFO means for a check. Pure, so that the simulation and the fuzzer reach it.
//!
//! Facts that do not age with the moment at which we look (Linux, net/ipv4/tcp_input.c):
//!
//! - `last_ack_recv` moves with each segment that carries an acceptable acknowledgement: a SYN-ACK,
//!   data, a FIN, the answer to a keepalive. It does not with a RST, with a keepalive of the
//!   server's (its sequence number is old, so it is answered before its acknowledgement is looked
//!   at) or with a repeated SYN-ACK (answered by a challenge ACK).
//! - `segs_in` moves with each of them.
//! - `probes` counts the keepalives since the last acknowledgement; a RST leaves it as it is.

use super::event::TcpInfo;
use crate::units::{Moment, Span};

/// A server repeats its SYN-ACK after a second. With an RTT of half of that and more it may do so
/// because the answer to it is under way. Source: RFC 6298, 2.1.
const NEAR_RTT_MAX: Span = Span::from_ms(500);

/// By how much a time of the kernel's can be wrong: it ticks every 10 ms where `CONFIG_HZ` is 100.
const CLOCK_SLACK: Span = Span::from_ms(11);

/// What a handshake takes of the server's segments, and a keepalive.
const HANDSHAKE_SEGS: u32 = 1;
const KEEPALIVE_SEGS: u32 = 1;

/// A SYN-ACK is repeated after so long, and the next keepalive sent.
const ALONE: Span = Span::from_s(1);

/// So many keepalives without an acknowledgement: the first one had two seconds for it, however late
/// this host reads that.
const UNANSWERED_PROBES: u32 = 3;

/// What a keepalive was to find out, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// When it was asked.
    pub at: Moment,
    /// Whether data was sent before: its acknowledgement is asked for as well.
    pub sends: bool,
    /// Whether it is the connection's first keepalive.
    pub is_first: bool,
    /// How many segments had come, modulo [`SEGS_MODULUS`](super::check_state::SEGS_MODULUS).
    pub segs: u8,
}

/// What TCP_INFO tells of a keepalive that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// An acknowledgement that is newer than the question, by an RTT at least.
    Acknowledged,
    /// The same, but more segments came than a handshake and a keepalive take: one was duplicated,
    /// or the server repeats its SYN-ACK.
    AcknowledgedInDoubt,
    /// None, but segments without data, so early that they can be repeats of the SYN-ACK.
    RepeatsSynAck,
    /// None, but something came.
    OtherTraffic,
    /// Nothing came, and it was asked for.
    Nothing,
    /// It cannot be told whether anything was asked for or came.
    Unclear,
}

/// What the half-open suspicion of a slow dial or of a missing reply has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfOpenSuspect {
    Unfounded,
    /// The server repeats its SYN-ACK, and acknowledges nothing that was sent.
    RepeatsSynAck,
    /// Nothing that was sent was acknowledged.
    Unacknowledged,
}

/// What `info`, read at `at`, tells of a question.
pub fn evidence(info: &TcpInfo, at: Moment, question: &Question) -> Evidence {
    // Something that left the server after the question, unless the RTT has fallen since it was
    // measured; then a later keepalive is confirmed.
    let newest = newest_ack(info, at, question.at + info.rtt.unwrap_or(Span::ZERO));
    let segs = info.segs_in.map(reduced);
    let is_acknowledged = match newest {
        Order::After => true,
        // As early as that, no other segment is expected than the answer.
        Order::Unclear => {
            at.since(question.at) < ALONE && segs.is_some_and(|segs| segs != question.segs)
        }
        Order::Before => false,
    };
    let is_taken = !question.sends || info.unacked == 0;
    if is_taken && is_acknowledged {
        let is_doubt = question.is_first && !question.sends;
        let most = HANDSHAKE_SEGS + KEEPALIVE_SEGS;
        return match is_doubt && is_more_than(info, most) {
            true => Evidence::AcknowledgedInDoubt,
            false => Evidence::Acknowledged,
        };
    }
    let Some(segs) = segs else { return Evidence::Unclear };
    let is_out = info.unacked > 0 || info.probes.is_none_or(|count| count >= UNANSWERED_PROBES);
    match segs == question.segs {
        // It may have acknowledged the question, or just before that the handshake.
        false if is_taken && newest == Order::Unclear => Evidence::Unclear,
        false if question.is_first && is_more_than(info, HANDSHAKE_SEGS) => Evidence::RepeatsSynAck,
        false => Evidence::OtherTraffic,
        true if is_out && info.last_ack_recv.is_some() => Evidence::Nothing,
        true => Evidence::Unclear,
    }
}

/// How two times lie that are from different clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Before,
    Unclear,
    After,
}

/// How the newest acknowledgement lies to `moment`, which is stamped before the read.
fn newest_ack(info: &TcpInfo, at: Moment, moment: Moment) -> Order {
    let Some(age) = info.last_ack_recv else { return Order::Before };
    let (sum, slack) = (moment.0.saturating_add(age.0), CLOCK_SLACK.0);
    match (at.0 >= sum.saturating_add(slack), at.0.saturating_add(slack) >= sum) {
        (true, _) => Order::After,
        (false, true) => Order::Unclear,
        (false, false) => Order::Before,
    }
}

/// The number of segments as a check keeps it.
pub fn reduced(segs_in: u32) -> u8 {
    let rest = segs_in % u32::from(super::check_state::SEGS_MODULUS);
    u8::try_from(rest).unwrap_or_default()
}

/// What `info`, read at `at`, tells of a [`Doubt`](super::check_state::Step::Doubt) that `question`
/// began, which has the segments that had come by then.
///
/// A server that repeats its SYN-ACK does so once within that time, at 3 s of its age, and that does
/// not acknowledge. More is keepalives of its own; less, or an acknowledgement, is answers to
/// keepalives that were out as ours were turned off.
pub fn evidence_in_doubt(
    info: &TcpInfo,
    at: Moment,
    question: &Question,
    is_looking: bool,
) -> Evidence {
    let modulus = super::check_state::SEGS_MODULUS;
    let came = |segs| (reduced(segs) + modulus - question.segs % modulus) % modulus;
    let came = info.segs_in.filter(|_| info.data_segs_in == Some(0)).map(came);
    match (came, newest_ack(info, at, question.at)) {
        (Some(1), Order::Before) if is_looking => Evidence::RepeatsSynAck,
        (Some(1), Order::Before | Order::Unclear) => Evidence::Unclear,
        // A SYN-ACK may be one of two.
        (Some(2), Order::Unclear | Order::After) => Evidence::Unclear,
        _ => Evidence::Acknowledged,
    }
}

/// Whether a RST that ended a connection with a keepalive out was the answer to that: it was sent,
/// and no acknowledgement came. A server that has the connection acknowledges it before it does
/// anything else.
pub fn is_reset_by_keepalive(info: &TcpInfo) -> bool {
    info.probes.is_some_and(|count| count > 0)
}

/// Whether a keepalive that stayed unacknowledged was acknowledged after all.
pub fn is_acknowledged_late(info: &TcpInfo) -> bool {
    info.probes == Some(0)
}

/// What a read tells of a suspect to which something was sent, or nothing.
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
/// repeat of ours may have drawn an answer as well.
fn is_more_than(info: &TcpInfo, part: u32) -> bool {
    let came = info.segs_in.map(|count| count.saturating_sub(info.total_retrans));
    let is_near = info.rtt.is_none_or(|rtt| rtt < NEAR_RTT_MAX);
    is_near && came.is_some_and(|count| count > part) && info.data_segs_in == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_half_open_if_its_server_repeats_itself_and_takes_nothing() {
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

    const ASKED: Question =
        Question { at: Moment(10_000_000_000), sends: false, is_first: true, segs: 1 };

    /// What TCP_INFO holds 500 ms after the question.
    fn told(age_ms: u64, segs_in: u32, probes: u32, question: &Question) -> Evidence {
        let info = TcpInfo {
            rtt: Some(Span::from_ms(50)),
            last_ack_recv: Some(Span::from_ms(age_ms)),
            segs_in: Some(segs_in),
            data_segs_in: Some(0),
            probes: Some(probes),
            ..TcpInfo::default()
        };
        evidence(&info, question.at + Span::from_ms(500), question)
    }

    #[test]
    fn only_what_is_newer_than_the_question_by_an_rtt_is_an_acknowledgement() {
        assert_eq!(told(400, 2, 0, &ASKED), Evidence::Acknowledged);
        assert_eq!(told(439, 2, 0, &ASKED), Evidence::Acknowledged);
        for age_ms in [440, 450, 461] {
            assert_eq!(told(age_ms, 2, 0, &ASKED), Evidence::Acknowledged, "the kernel's clock");
            assert_eq!(told(age_ms, 1, 0, &ASKED), Evidence::Unclear, "the SYN-ACK");
            let earlier = Question { at: Moment(ASKED.at.0 - 500_000_000), ..ASKED };
            let info = |segs_in| TcpInfo {
                rtt: Some(Span::from_ms(50)),
                last_ack_recv: Some(Span::from_ms(age_ms + 500)),
                segs_in: Some(segs_in),
                data_segs_in: Some(0),
                probes: Some(1),
                ..TcpInfo::default()
            };
            let late = evidence(&info(2), ASKED.at + Span::from_ms(500), &earlier);
            assert_eq!(late, Evidence::Unclear, "the SYN-ACK, which was repeated");
        }
        assert_eq!(told(462, 2, 0, &ASKED), Evidence::RepeatsSynAck);
        assert_eq!(told(1_500, 1, 3, &ASKED), Evidence::Nothing);
        // A SYN-ACK just before the question, and a server that does not acknowledge anything.
        assert_eq!(told(450, 1, 3, &ASKED), Evidence::Nothing);
    }

    #[test]
    fn segments_without_an_acknowledgement_are_never_nothing() {
        let later = Question { is_first: false, segs: 3, ..ASKED };
        assert_eq!(told(1_500, 2, 3, &ASKED), Evidence::RepeatsSynAck);
        assert_eq!(told(1_500, 4, 3, &later), Evidence::OtherTraffic);
        assert_eq!(told(1_500, 3, 3, &later), Evidence::Nothing);
        // More than the handshake's and the keepalive's, but only of the first keepalive.
        assert_eq!(told(400, 3, 0, &ASKED), Evidence::AcknowledgedInDoubt);
        assert_eq!(told(400, 9, 0, &later), Evidence::Acknowledged);
    }

    #[test]
    fn what_was_not_asked_for_or_is_not_known_is_unclear() {
        assert_eq!(told(1_500, 1, 0, &ASKED), Evidence::Unclear, "no keepalive went out");
        assert_eq!(told(1_500, 1, 2, &ASKED), Evidence::Unclear, "it had no two seconds yet");
        let nothing = evidence(&TcpInfo::default(), ASKED.at, &ASKED);
        assert_eq!(nothing, Evidence::Unclear);
        let unacked = TcpInfo {
            unacked: 1,
            segs_in: Some(1),
            last_ack_recv: Some(Span::from_s(9)),
            probes: Some(0),
            ..TcpInfo::default()
        };
        let sends = Question { sends: true, ..ASKED };
        assert_eq!(evidence(&unacked, ASKED.at, &sends), Evidence::Nothing, "data was out");
    }

    #[test]
    fn what_was_sent_has_to_be_acknowledged_as_well() {
        let sends = Question { sends: true, ..ASKED };
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
    fn one_segment_in_a_doubt_is_a_syn_ack_unless_it_acknowledges() {
        let began = Question { segs: 6, ..ASKED };
        let info = |segs_in, age_ms| TcpInfo {
            segs_in: Some(segs_in),
            data_segs_in: Some(0),
            last_ack_recv: Some(Span::from_ms(age_ms)),
            ..TcpInfo::default()
        };
        let at = began.at + Span::from_ms(3_500);
        let found = |info: TcpInfo, is_looking| evidence_in_doubt(&info, at, &began, is_looking);
        for (segs_in, age_ms, is_looking, expected) in [
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
            assert_eq!(found(info(segs_in, age_ms), is_looking), expected, "{segs_in} {age_ms}");
        }
        let data = TcpInfo { data_segs_in: Some(1), ..info(7, 4_000) };
        assert_eq!(found(data, true), Evidence::Acknowledged);
    }

    #[test]
    fn a_reset_is_the_keepalives_if_one_was_out() {
        let info = |probes| TcpInfo { probes, ..TcpInfo::default() };
        assert!(is_reset_by_keepalive(&info(Some(1))));
        assert!(!is_reset_by_keepalive(&info(Some(0))));
        assert!(!is_reset_by_keepalive(&info(None)));
    }
}
