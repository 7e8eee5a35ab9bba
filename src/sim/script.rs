//! What servers, and the ways to them, do to connections: the script of each.

use super::random::Random;
use crate::engine::EndReason;
use crate::plan::Plan;
use crate::units::Span;

/// When a kernel gives a dial up by itself.
pub const KERNEL_TIMEOUT: Span = Span::from_s(127);

/// Why a dial can fail before anything is sent, and after.
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
const ON_THE_WAY: [EndReason; 5] = [
    EndReason::Reset,
    EndReason::HostUnreachable,
    EndReason::NetworkUnreachable,
    EndReason::Prohibited,
    EndReason::OtherBeyond,
];

/// What a server, or the way to it, does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Behaviour {
    AcceptAtOnce,
    Accept,
    SlowButInTime,
    AcceptAtDeadline,
    TooSlow,
    Refuse,
    FailOnTheWay,
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
    ReplyToTheDot,
    ReplyTooLate,
    ReplyInPieces,
    ReplyAmiss,
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
        Behaviour::SlowButInTime,
        Behaviour::AcceptAtDeadline,
        Behaviour::TooSlow,
        Behaviour::Refuse,
        Behaviour::FailOnTheWay,
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
        Behaviour::ReplyToTheDot,
        Behaviour::ReplyTooLate,
        Behaviour::ReplyInPieces,
        Behaviour::ReplyAmiss,
        Behaviour::ReplyAndClose,
        Behaviour::HalfOpen,
        Behaviour::NoKeepaliveAck,
        Behaviour::RepeatSynAck,
        Behaviour::PathFails,
        Behaviour::PathRecovers,
        Behaviour::LateTraffic,
    ];
}

/// How a dial is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `connect()` itself says yes.
    AcceptAtOnce,
    Accept,
    Fail(EndReason),
    /// `connect()`, or what comes before it, says no.
    FailHere(EndReason),
}

/// What a server says in return, or by itself where nobody says anything first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub after: Span,
    /// In bytes.
    pub first: u64,
    /// A second piece, and how long after the first.
    pub rest: Option<(Span, u64)>,
    /// Whether it ends in what is expected.
    pub is_expected: bool,
}

/// What comes of a keepalive, and how long after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    Acknowledged(Span),
    /// As long as the connection is younger than that; then the path fails.
    AcknowledgedFor(Span, Span),
    /// As long as it is younger than that the path fails.
    SilentFor(Span, Span),
    /// As long as it is younger than that it is acknowledged; then the server does not have it.
    ResetAfter(Span, Span),
    Silence,
}

/// What the kernel can tell of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knows {
    Everything,
    /// And that a SYN was repeated before its second was over.
    EarlyRepeat,
    /// It is an old one.
    NoSegments,
    Nothing,
    /// There is no socket to ask about.
    Nobody,
}

impl Knows {
    fn any(random: &mut Random) -> Knows {
        if random.chance(500) {
            return Knows::Everything;
        }
        let less = [Knows::EarlyRepeat, Knows::NoSegments, Knows::Nothing, Knows::Nobody];
        random.pick(&less)
    }
}

/// What becomes of one connection; the times count from the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    pub answer: Answer,
    pub answer_after: Span,
    /// 0 for nothing, [`Script::ENDLESS`] for a server that never stops.
    pub bytes: u64,
    pub bytes_after: Span,
    pub reply: Option<Reply>,
    pub keepalive: Keepalive,
    /// How often the server repeats its SYN-ACK, because it does not take what comes.
    pub repeated_answers: u32,
    /// Whether the server sends keepalives of its own, once a second.
    pub has_keepalives: bool,
    /// Whether this host refuses to send any.
    pub refuses_keepalive: bool,
    pub knows: Knows,
    pub end: Option<(Span, EndReason)>,
    /// Whether the poll says nothing of the end but that there is something to read.
    pub end_is_quiet: bool,
}

impl Script {
    pub const ENDLESS: u64 = u64::MAX;

    /// A server that accepts, and then has nothing to say of its own.
    fn plain(soon: Span, later: Span, random: &mut Random) -> Script {
        Script {
            answer: Answer::Accept,
            answer_after: soon,
            bytes: 0,
            bytes_after: later,
            reply: None,
            keepalive: Keepalive::Acknowledged(random.pick(&[soon, soon, soon, Span::from_s(2)])),
            repeated_answers: 0,
            has_keepalives: random.chance(50),
            refuses_keepalive: random.chance(30),
            knows: Knows::any(random),
            end: None,
            end_is_quiet: random.chance(500),
        }
    }

    pub fn new(behaviour: Behaviour, plan: &Plan, random: &mut Random) -> Script {
        let soon = random.span(Span::from_us(20), Span::from_ms(3));
        let later = random.span(Span::ZERO, Span::from_ms(60));
        let timeout = plan.dial_timeout.unwrap_or(Span::from_ms(80));
        let patience =
            plan.reply_check.as_ref().map_or(Span::from_ms(20), |talk| talk.reply_timeout);
        let sends = plan.reply_check.as_ref().is_some_and(|reply| !reply.send.is_empty());
        let plain = Script::plain(soon, later, random);
        let fails = |reason| Script { answer: Answer::Fail(reason), ..plain };
        let answers = |answer_after| Script { answer_after, ..plain };
        let ends = |reason| Script { end: Some((later, reason)), ..plain };
        let reply = Reply { after: soon, first: 7, rest: None, is_expected: true };
        let replies = |reply| Script { reply: Some(reply), ..plain };
        let replies_after = |after| replies(Reply { after, ..reply });
        match behaviour {
            Behaviour::AcceptAtOnce => Script { answer: Answer::AcceptAtOnce, ..plain },
            Behaviour::Accept => plain,
            Behaviour::SlowButInTime => answers(timeout - soon),
            Behaviour::AcceptAtDeadline => answers(timeout),
            Behaviour::TooSlow => answers(timeout + soon),
            Behaviour::Refuse => fails(EndReason::Refused),
            Behaviour::FailOnTheWay => fails(random.pick(&ON_THE_WAY)),
            Behaviour::BlackHole => {
                Script { answer_after: KERNEL_TIMEOUT, ..fails(EndReason::TimedOut) }
            }
            Behaviour::FailHere => Script { answer: Answer::FailHere(random.pick(&HERE)), ..plain },
            Behaviour::NoPort => Script { answer: Answer::FailHere(EndReason::NoPorts), ..plain },
            Behaviour::Close => ends(EndReason::PeerClosed),
            // The bytes come with the end, so that no drain can make way for it before the poll
            // tells of both.
            Behaviour::CloseWithUnread => Script {
                bytes: random.between(1, 300_000),
                end_is_quiet: false,
                ..ends(EndReason::PeerClosed)
            },
            Behaviour::Reset => ends(EndReason::PeerReset),
            // Now and then it is a program on this host that ends it.
            Behaviour::SilentDrop => {
                ends(if later.0.is_multiple_of(3) { EndReason::Aborted } else { EndReason::Lost })
            }
            Behaviour::Greet => Script { bytes: random.between(1, 100), ..plain },
            Behaviour::Burst => Script { bytes: random.between(1_000, 1_000_000), ..plain },
            Behaviour::Flood => {
                let end = random.chance(300).then_some((later, EndReason::PeerReset));
                Script { bytes: Script::ENDLESS, end, end_is_quiet: false, ..plain }
            }
            Behaviour::SlowSyn => answers(random.pick(&[Span::from_s(1), Span::from_s(3)]) + soon),
            Behaviour::Reply => replies_after(random.pick(&[soon, Span(patience.0 / 2)])),
            Behaviour::ReplyToTheDot => replies_after(patience),
            Behaviour::ReplyTooLate => replies_after(patience + soon),
            Behaviour::ReplyInPieces => {
                let rest = random.pick(&[later, Span(patience.0 / 2), patience]);
                let first = random.between(1, 5_000);
                replies(Reply { first, rest: Some((rest, random.between(1, 5_000))), ..reply })
            }
            Behaviour::ReplyAmiss => replies(Reply { is_expected: false, ..reply }),
            Behaviour::ReplyAndClose => {
                Script { end: Some((soon + soon, EndReason::PeerClosed)), ..replies_after(soon) }
            }
            Behaviour::HalfOpen => {
                let keepalive = Keepalive::ResetAfter(
                    random.pick(&[Span::ZERO, Span::ZERO, Span::from_s(3)]),
                    random.pick(&[soon, Span::from_s(2)]),
                );
                // A request that is not acknowledged would take the place of the keepalive.
                let repeats = random.small(0, 3);
                let repeated_answers = if sends { 0 } else { repeats };
                let script = random.pick(&[plain, plain, answers(Span::from_s(1) + soon)]);
                Script { keepalive, repeated_answers, ..script }
            }
            Behaviour::NoKeepaliveAck => Script { keepalive: Keepalive::Silence, ..plain },
            Behaviour::RepeatSynAck => Script {
                repeated_answers: 5,
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
            // When everybody has lost hope; it may be a goodbye.
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
