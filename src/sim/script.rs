//! What a server, or the path to it, does to one connection: its script.

use super::random::Random;
use crate::engine::EndReason;
use crate::plan::Plan;
use crate::units::Span;

/// When the kernel ends a dial by itself.
pub const KERNEL_TIMEOUT: Span = Span::from_s(127);

/// End reasons of dials that fail before a SYN is sent, and after.
const HERE: [EndReason; 9] = [
    EndReason::NoDescriptors,
    EndReason::NoPorts,
    EndReason::NoSource,
    EndReason::NoBuffers,
    EndReason::NoWatches,
    EndReason::NoRouteToHost,
    EndReason::NoRouteToNetwork,
    EndReason::NotPermitted,
    EndReason::OtherHere,
];
const BEYOND: [EndReason; 5] = [
    EndReason::Reset,
    EndReason::HostUnreachable,
    EndReason::NetworkUnreachable,
    EndReason::Prohibited,
    EndReason::OtherBeyond,
];

/// What a server, or the path to it, does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Behaviour {
    AcceptAtOnce,
    Accept,
    SlowInTime,
    AcceptAtDeadline,
    TooSlow,
    Refuse,
    FailOnPath,
    BlackHole,
    FailHere,
    NoPort,
    Close,
    CloseWithUnread,
    Reset,
    SilentDrop,
    Greet,
    Burst,
    Flood,
    SlowSyn,
    Reply,
    ReplyAtDeadline,
    ReplyTooLate,
    ReplyInPieces,
    WrongReply,
    ReplyAndClose,
    HalfOpen,
    NoKeepaliveAck,
    RepeatSynAck,
    PathFails,
    PathRecovers,
    LateTraffic,
}

impl Behaviour {
    pub const ALL: [Behaviour; 30] = [
        Behaviour::AcceptAtOnce,
        Behaviour::Accept,
        Behaviour::SlowInTime,
        Behaviour::AcceptAtDeadline,
        Behaviour::TooSlow,
        Behaviour::Refuse,
        Behaviour::FailOnPath,
        Behaviour::BlackHole,
        Behaviour::FailHere,
        Behaviour::NoPort,
        Behaviour::Close,
        Behaviour::CloseWithUnread,
        Behaviour::Reset,
        Behaviour::SilentDrop,
        Behaviour::Greet,
        Behaviour::Burst,
        Behaviour::Flood,
        Behaviour::SlowSyn,
        Behaviour::Reply,
        Behaviour::ReplyAtDeadline,
        Behaviour::ReplyTooLate,
        Behaviour::ReplyInPieces,
        Behaviour::WrongReply,
        Behaviour::ReplyAndClose,
        Behaviour::HalfOpen,
        Behaviour::NoKeepaliveAck,
        Behaviour::RepeatSynAck,
        Behaviour::PathFails,
        Behaviour::PathRecovers,
        Behaviour::LateTraffic,
    ];
}

/// What comes of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// `connect()` itself succeeds.
    AcceptAtOnce,
    Accept,
    Fail(EndReason),
    /// `connect()`, or a call before it, fails.
    FailHere(EndReason),
}

/// What a server sends: in reply, or as a greeting if there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub after: Span,
    /// In bytes.
    pub first: u64,
    /// A second piece, and how long after the first.
    pub rest: Option<(Span, u64)>,
    /// Whether it contains the expected text.
    pub is_expected: bool,
}

/// What comes of a keepalive, and after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    Acknowledged(Span),
    /// Until the connection has this age; then the path fails.
    AcknowledgedFor(Span, Span),
    /// Only from this age on.
    SilentFor(Span, Span),
    /// Acknowledged until this age; then the server has no state for it.
    ResetAfter(Span, Span),
    Silence,
}

/// What TCP_INFO holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Full,
    /// And a SYN retransmission within the first second.
    EarlyRetransmit,
    /// An old kernel.
    NoSegmentCounts,
    Zeroes,
    /// The socket is gone.
    NoSocket,
}

impl Detail {
    fn any(random: &mut Random) -> Detail {
        if random.chance(500) {
            return Detail::Full;
        }
        let less =
            [Detail::EarlyRetransmit, Detail::NoSegmentCounts, Detail::Zeroes, Detail::NoSocket];
        random.pick(&less)
    }
}

/// What happens to one connection. Each time counts from the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    pub handshake: Handshake,
    pub handshake_after: Span,
    /// 0 for nothing, [`Script::ENDLESS`] for a server that never stops.
    pub bytes: u64,
    pub bytes_after: Span,
    pub reply: Option<Reply>,
    pub keepalive: Keepalive,
    /// How often the server repeats its SYN-ACK, as it drops the final ACK.
    pub repeated_syn_acks: u32,
    /// Whether the server sends keepalives, one a second.
    pub sends_keepalives: bool,
    /// Whether setting SO_KEEPALIVE fails here.
    pub refuses_keepalive: bool,
    pub tcp_info: Detail,
    pub end: Option<(Span, EndReason)>,
    /// Whether the poll reports the end as readable only.
    pub end_is_quiet: bool,
}

impl Script {
    pub const ENDLESS: u64 = u64::MAX;

    /// A server that accepts and sends nothing.
    fn plain(soon: Span, later: Span, random: &mut Random) -> Script {
        Script {
            handshake: Handshake::Accept,
            handshake_after: soon,
            bytes: 0,
            bytes_after: later,
            reply: None,
            keepalive: Keepalive::Acknowledged(random.pick(&[soon, soon, soon, Span::from_s(2)])),
            repeated_syn_acks: 0,
            sends_keepalives: random.chance(50),
            refuses_keepalive: random.chance(30),
            tcp_info: Detail::any(random),
            end: None,
            end_is_quiet: random.chance(500),
        }
    }

    pub fn new(behaviour: Behaviour, plan: &Plan, random: &mut Random) -> Script {
        let soon = random.span(Span::from_us(20), Span::from_ms(3));
        let later = random.span(Span::ZERO, Span::from_ms(60));
        let timeout = plan.dial_timeout.unwrap_or(Span::from_ms(80));
        let reply_timeout =
            plan.reply_check.as_ref().map_or(Span::from_ms(20), |reply| reply.reply_timeout);
        let sends = plan.reply_check.as_ref().is_some_and(|reply| !reply.send.is_empty());
        let plain = Script::plain(soon, later, random);
        let fails = |reason| Script { handshake: Handshake::Fail(reason), ..plain };
        let accepts_after = |handshake_after| Script { handshake_after, ..plain };
        let ends = |reason| Script { end: Some((later, reason)), ..plain };
        let reply = Reply { after: soon, first: 7, rest: None, is_expected: true };
        let replies = |reply| Script { reply: Some(reply), ..plain };
        let replies_after = |after| replies(Reply { after, ..reply });
        match behaviour {
            Behaviour::AcceptAtOnce => Script { handshake: Handshake::AcceptAtOnce, ..plain },
            Behaviour::Accept => plain,
            Behaviour::SlowInTime => accepts_after(timeout - soon),
            Behaviour::AcceptAtDeadline => accepts_after(timeout),
            Behaviour::TooSlow => accepts_after(timeout + soon),
            Behaviour::Refuse => fails(EndReason::Refused),
            Behaviour::FailOnPath => fails(random.pick(&BEYOND)),
            Behaviour::BlackHole => {
                Script { handshake_after: KERNEL_TIMEOUT, ..fails(EndReason::TimedOut) }
            }
            Behaviour::FailHere => {
                Script { handshake: Handshake::FailHere(random.pick(&HERE)), ..plain }
            }
            Behaviour::NoPort => {
                Script { handshake: Handshake::FailHere(EndReason::NoPorts), ..plain }
            }
            Behaviour::Close => ends(EndReason::PeerClosed),
            // The bytes come with the end: no drain can read them before the poll reports both.
            Behaviour::CloseWithUnread => Script {
                bytes: random.between(1, 300_000),
                end_is_quiet: false,
                ..ends(EndReason::PeerClosed)
            },
            Behaviour::Reset => ends(EndReason::PeerReset),
            // Sometimes a program on this host ends it.
            Behaviour::SilentDrop => {
                ends(if later.0.is_multiple_of(3) { EndReason::Aborted } else { EndReason::Lost })
            }
            Behaviour::Greet => Script { bytes: random.between(1, 100), ..plain },
            Behaviour::Burst => Script { bytes: random.between(1_000, 1_000_000), ..plain },
            Behaviour::Flood => {
                let end = random.chance(300).then_some((later, EndReason::PeerReset));
                Script { bytes: Script::ENDLESS, end, end_is_quiet: false, ..plain }
            }
            Behaviour::SlowSyn => {
                accepts_after(random.pick(&[Span::from_s(1), Span::from_s(3)]) + soon)
            }
            Behaviour::Reply => replies_after(random.pick(&[soon, Span(reply_timeout.0 / 2)])),
            Behaviour::ReplyAtDeadline => replies_after(reply_timeout),
            Behaviour::ReplyTooLate => replies_after(reply_timeout + soon),
            Behaviour::ReplyInPieces => {
                let rest = random.pick(&[later, Span(reply_timeout.0 / 2), reply_timeout]);
                let first = random.between(1, 5_000);
                replies(Reply { first, rest: Some((rest, random.between(1, 5_000))), ..reply })
            }
            Behaviour::WrongReply => replies(Reply { is_expected: false, ..reply }),
            Behaviour::ReplyAndClose => {
                Script { end: Some((soon + soon, EndReason::PeerClosed)), ..replies_after(soon) }
            }
            Behaviour::HalfOpen => {
                let keepalive = Keepalive::ResetAfter(
                    random.pick(&[Span::ZERO, Span::ZERO, Span::from_s(3)]),
                    random.pick(&[soon, Span::from_s(2)]),
                );
                // While a request is unacknowledged no keepalive is sent.
                let repeats = random.small(0, 3);
                let repeated_syn_acks = if sends { 0 } else { repeats };
                let script = random.pick(&[plain, plain, accepts_after(Span::from_s(1) + soon)]);
                Script { keepalive, repeated_syn_acks, ..script }
            }
            Behaviour::NoKeepaliveAck => Script { keepalive: Keepalive::Silence, ..plain },
            Behaviour::RepeatSynAck => Script {
                repeated_syn_acks: 5,
                keepalive: random.pick(&[plain.keepalive, Keepalive::Silence]),
                ..plain
            },
            Behaviour::PathFails => {
                let lived = random.pick(&[Span::from_s(2), Span::from_s(30), Span::from_s(90)]);
                Script { keepalive: Keepalive::AcknowledgedFor(lived, soon), ..plain }
            }
            Behaviour::PathRecovers => {
                let silent = random.pick(&[Span::from_s(3), Span::from_s(5), Span::from_s(10)]);
                let keepalive = Keepalive::SilentFor(silent, soon);
                let bytes_after = silent + Span::from_s(2);
                Script { keepalive, bytes: 1, bytes_after, ..plain }
            }
            // After the last TCP_INFO read; it may be a FIN.
            Behaviour::LateTraffic => {
                let after = Span::from_ms(4_800) + later;
                let (bytes, end) =
                    random.pick(&[(1, None), (0, Some((after, EndReason::PeerClosed)))]);
                let keepalive = Keepalive::Silence;
                Script { keepalive, bytes, bytes_after: after, end, ..plain }
            }
        }
    }
}
