//! A seed's worth of circumstances: the plan, the servers, the clock and the mischief of one
//! simulated run.

use std::net::{Ipv4Addr, SocketAddr};

use super::random::Random;
use crate::engine::Cause;
use crate::plan::{Close, Hold, Limits, Pace, Plan};
use crate::route::{Routes, Target};
use crate::units::{Moment, NS_PER_MS, Span, Tick};

/// When a kernel gives a dial up by itself.
const KERNEL_TIMEOUT: Span = Span::from_s(127);

/// About as many turns as a run takes in which a server never stops sending; what passes in one
/// follows from that.
const BUSY_TURNS: u64 = 1_000;

/// What a server, or the way to it, does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Behaviour {
    AcceptAtOnce,
    Accept,
    SlowButInTime,
    SlowToTheDot,
    TooSlow,
    Refuse,
    FailOnTheWay,
    BlackHole,
    FailHere,
    NoPort,
    Close,
    CloseWithUnread,
    Reset,
    Vanish,
    Greet,
    Burst,
    Flood,
}

impl Behaviour {
    pub const ALL: [Behaviour; 17] = [
        Behaviour::AcceptAtOnce,
        Behaviour::Accept,
        Behaviour::SlowButInTime,
        Behaviour::SlowToTheDot,
        Behaviour::TooSlow,
        Behaviour::Refuse,
        Behaviour::FailOnTheWay,
        Behaviour::BlackHole,
        Behaviour::FailHere,
        Behaviour::NoPort,
        Behaviour::Close,
        Behaviour::CloseWithUnread,
        Behaviour::Reset,
        Behaviour::Vanish,
        Behaviour::Greet,
        Behaviour::Burst,
        Behaviour::Flood,
    ];
}

/// How a dial is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `connect()` itself says yes.
    AcceptAtOnce,
    Accept,
    Fail(Cause),
    /// `connect()`, or what comes before it, says no.
    FailHere(Cause),
}

/// What becomes of one connection; the times count from the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    pub answer: Answer,
    pub answer_after: Span,
    /// 0 for nothing, [`Script::ENDLESS`] for a server that never stops.
    pub bytes: u64,
    pub bytes_after: Span,
    pub end: Option<(Span, Cause)>,
    /// Whether the poll says nothing of the end but that there is something to read.
    pub end_is_quiet: bool,
}

impl Script {
    pub const ENDLESS: u64 = u64::MAX;

    pub fn new(behaviour: Behaviour, timeout: Option<Span>, random: &mut Random) -> Script {
        let soon = random.span(Span::from_us(20), Span::from_ms(3));
        let later = random.span(Span::ZERO, Span::from_ms(60));
        let timeout = timeout.unwrap_or(Span::from_ms(80));
        let here = [
            Cause::NoDescriptors,
            Cause::NoPorts,
            Cause::NoBuffers,
            Cause::NoWatches,
            Cause::NoRouteToHost,
            Cause::NoRouteToNetwork,
            Cause::NotPermitted,
            Cause::OtherHere,
        ];
        let on_the_way = [
            Cause::Reset,
            Cause::HostUnreachable,
            Cause::NetworkUnreachable,
            Cause::Prohibited,
            Cause::OtherBeyond,
        ];
        let plain = Script {
            answer: Answer::Accept,
            answer_after: soon,
            bytes: 0,
            bytes_after: later,
            end: None,
            end_is_quiet: random.chance(500),
        };
        let fails = |cause| Script { answer: Answer::Fail(cause), ..plain };
        let answers = |answer_after| Script { answer_after, ..plain };
        let ends = |cause| Script { end: Some((later, cause)), ..plain };
        match behaviour {
            Behaviour::AcceptAtOnce => Script { answer: Answer::AcceptAtOnce, ..plain },
            Behaviour::Accept => plain,
            Behaviour::SlowButInTime => answers(timeout - soon),
            Behaviour::SlowToTheDot => answers(timeout),
            Behaviour::TooSlow => answers(timeout + soon),
            Behaviour::Refuse => fails(Cause::Refused),
            Behaviour::FailOnTheWay => fails(random.pick(&on_the_way)),
            Behaviour::BlackHole => {
                Script { answer_after: KERNEL_TIMEOUT, ..fails(Cause::TimedOut) }
            }
            Behaviour::FailHere => Script { answer: Answer::FailHere(random.pick(&here)), ..plain },
            Behaviour::NoPort => Script { answer: Answer::FailHere(Cause::NoPorts), ..plain },
            Behaviour::Close => ends(Cause::PeerClosed),
            // The bytes come with the end, so that no drain can make way for it before the poll
            // tells of both.
            Behaviour::CloseWithUnread => Script {
                bytes: random.between(1, 300_000),
                end_is_quiet: false,
                ..ends(Cause::PeerClosed)
            },
            Behaviour::Reset => ends(Cause::PeerReset),
            Behaviour::Vanish => ends(Cause::Lost),
            Behaviour::Greet => Script { bytes: random.between(1, 100), ..plain },
            Behaviour::Burst => Script { bytes: random.between(1_000, 1_000_000), ..plain },
            Behaviour::Flood => {
                let end = random.chance(300).then_some((later, Cause::PeerReset));
                Script { bytes: Script::ENDLESS, end, end_is_quiet: false, ..plain }
            }
        }
    }
}

/// What is done to the run besides what servers do.
#[derive(Debug, Clone)]
pub struct Mischief {
    /// How often, in thousandths, a wake-up is late, and by how much at most.
    pub late_permille: u32,
    pub late_max: Span,
    /// How often the clock jumps between two turns.
    pub pause_permille: u32,
    /// How often an event is made up.
    pub bogus_permille: u32,
    /// When the signal comes.
    pub stop_at: Option<Moment>,
    /// How long a turn takes at most.
    pub turn_cost: Span,
}

/// Everything that a seed decides before the first turn. The seats draw the rest as they are
/// dialed.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub plan: Plan,
    pub start: Moment,
    /// Each connection meets one of these.
    pub behaviours: Vec<Behaviour>,
    pub mischief: Mischief,
}

impl Scenario {
    pub fn new(random: &mut Random) -> Scenario {
        let plan = plan(random);
        let behaviours: Vec<Behaviour> = match random.small(0, 3) {
            0 => vec![random.pick(&Behaviour::ALL)],
            1 => Behaviour::ALL.to_vec(),
            _ => (0..random.small(2, 5)).map(|_| random.pick(&Behaviour::ALL)).collect(),
        };
        let start = start(random);
        let horizon = horizon(&plan, &behaviours);
        let must_stop = plan.hold == Hold::Forever;
        let stops = must_stop || random.chance(200);
        let stop_at = stops.then(|| {
            let first = Span(horizon.0 / 8);
            let within = random.pick(&[Span::ZERO, first, horizon, horizon, horizon]);
            start + random.span(Span::ZERO, within)
        });
        let busy = behaviours.iter().any(|b| matches!(b, Behaviour::Flood | Behaviour::Burst));
        let turn_cost = match busy {
            true => Span((horizon.0 / BUSY_TURNS).clamp(4_000, 100 * NS_PER_MS)),
            false => random.pick(&[Span::ZERO, Span::from_us(5), Span::from_us(100)]),
        };
        let mischief = Mischief {
            late_permille: random.pick(&[0, 0, 100, 500]),
            late_max: random.pick(&[Span(1), Span::from_us(100), Span::from_ms(5)]),
            pause_permille: random.pick(&[0, 0, 2, 20]),
            bogus_permille: random.pick(&[0, 0, 50, 500]),
            stop_at,
            turn_cost,
        };
        Scenario { plan, start, behaviours, mischief }
    }
}

fn plan(random: &mut Random) -> Plan {
    let (least, most) = random.pick(&[(1, 1), (2, 8), (9, 60), (9, 60), (61, 400), (61, 400)]);
    let pace = match random.small(0, 3) {
        0 => Pace::sleep(random.span(Span::from_us(100), Span::from_ms(20))),
        1 => Pace::rate(random.between(50_000, 20_000_000)),
        _ => Pace::UNPACED,
    };
    let short = random.span(Span::from_us(1), Span::from_ms(20));
    let long = random.span(Span::from_ms(500), Span::from_s(3));
    let hold = random.span(Span::from_us(1), Span::from_ms(200));
    let interval = random.span(Span::from_ms(2), Span::from_ms(100));
    let small = Limits {
        events_max: random.small(1, 8),
        dials_max: random.small(1, 4),
        forgone_max: random.small(1, 4),
        expiries_max: random.small(1, 8),
        drains_max: random.small(1, 3),
        drain_bytes_max: random.small(1, 4_096),
    };
    Plan {
        connections: random.small(least, most),
        routes: routes(random),
        pace,
        dial_timeout: random.pick(&[None, Some(short), Some(short), Some(long)]),
        interval: random.pick(&[None, Some(interval), Some(Span::from_s(1))]),
        hold: random.pick(&[
            Hold::For(Span::ZERO),
            Hold::For(Span::ZERO),
            Hold::For(hold),
            Hold::Forever,
        ]),
        close: Close::Fin,
        debug: random.chance(500),
        limits: random.pick(&[Limits::DEFAULT, small]),
    }
}

/// One target as often as not, from wherever it likes.
fn routes(random: &mut Random) -> Routes {
    let target = |port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Target { host: address.ip().to_string(), address }
    };
    let source = |last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    let targets = (1..=random.pick(&[1, 1, 1, 2, 3, 30])).map(target).collect();
    let sources: Vec<SocketAddr> = (1..=random.pick(&[0, 0, 0, 1, 2, 5])).map(source).collect();
    Routes::new(targets, &sources).unwrap_or_else(|why| unreachable!("{why:?}"))
}

/// The clock's origin is its own affair, and so are the places where 32 bits or the wheel's digits
/// come round.
fn start(random: &mut Random) -> Moment {
    let before = random.span(Span::ZERO, Span::from_ms(300));
    let round = |ticks: u64| Moment(Tick(ticks).moment().0 - before.0);
    random.pick(&[
        Moment(0),
        Moment(before.0),
        Moment(1_700_000_000_123_456_789),
        round(1 << 32),
        round(1 << 36),
        round(3 << 24),
    ])
}

/// Roughly when a run without mischief is over.
fn horizon(plan: &Plan, behaviours: &[Behaviour]) -> Span {
    let unanswered = behaviours.contains(&Behaviour::BlackHole);
    let dial = match plan.dial_timeout {
        Some(timeout) => timeout,
        None if unanswered => KERNEL_TIMEOUT,
        None => Span::from_ms(80),
    };
    let hold = match plan.hold {
        Hold::For(span) => span,
        Hold::Forever => Span::from_ms(200),
    };
    plan.pace.offset(plan.connections) + dial + hold + Span::from_ms(20)
}
