//! A seed's worth of circumstances: the plan, the servers, the clock and the faults of one
//! simulated run.

use std::net::{Ipv4Addr, SocketAddr};

use super::random::Random;
use super::script::{Behaviour, KERNEL_TIMEOUT};
use crate::engine::beside::CALM;
use crate::plan::{Budgets, Close, Hold, Pace, Plan, Probe, ReplyCheck, SAMPLE_MAX};
use crate::route::{Routes, Target};
use crate::units::{Moment, NS_PER_MS, Span, Tick};

/// By then a keepalive is judged.
const PROBES_TAKE: Span = Span::from_s(5);

/// About how many turns a run with a flooding server takes. The cost of a turn follows from it.
const BUSY_TURNS: u64 = 1_000;

/// What is done to the run besides what servers do.
#[derive(Debug, Clone)]
pub struct Faults {
    /// How often, in thousandths, a wake-up is late, and by how much at most.
    pub late_permille: u32,
    pub late_max: Span,
    /// How often, in thousandths, the clock jumps between two turns.
    pub pause_permille: u32,
    /// How often, in thousandths, a bogus event is inserted.
    pub bogus_permille: u32,
    /// When the signal comes.
    pub stop_at: Option<Moment>,
    /// How long a turn takes at most.
    pub turn_cost: Span,
}

/// Everything that the seed decides before the first turn. The rest is drawn at each dial.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub plan: Plan,
    pub start: Moment,
    /// Each connection has one of these.
    pub behaviours: Vec<Behaviour>,
    pub faults: Faults,
}

/// Seeds from here on are runs with a duration, and most of them churn. All others are as they were
/// without these.
pub const TIMED_SEEDS: u64 = 1 << 63;

impl Scenario {
    pub fn new(seed: u64, random: &mut Random) -> Scenario {
        let is_large = random.chance(45);
        let mut plan = if is_large { large(plan(random), random) } else { plan(random) };
        if seed >= TIMED_SEEDS {
            plan = timed(plan, &mut Random::new(!seed));
        }
        let behaviours: Vec<Behaviour> = match random.small(0, 3) {
            _ if is_large && plan.reply_check.is_none() => vec![Behaviour::SlowSyn],
            _ if is_large => vec![random.pick(&[Behaviour::Accept, Behaviour::SlowSyn])],
            0 => vec![random.pick(&Behaviour::ALL)],
            1 => Behaviour::ALL.to_vec(),
            _ => (0..random.small(2, 5)).map(|_| random.pick(&Behaviour::ALL)).collect(),
        };
        let start = start(random);
        let horizon = horizon(&plan, &behaviours);
        let is_endless = plan.hold == Hold::Forever || plan.lifetime.is_some();
        let must_stop = is_endless && plan.duration.is_none();
        let is_stopped = must_stop || random.chance(200);
        let stop_at = is_stopped.then(|| {
            let first = Span(horizon.0 / 8);
            let within = random.pick(&[Span::ZERO, first, horizon, horizon, horizon]);
            start + random.span(Span::ZERO, within)
        });
        let busy = behaviours.iter().any(|b| matches!(b, Behaviour::Flood | Behaviour::Burst));
        let turn_cost = match busy || plan.lifetime.is_some() {
            true => Span((horizon.0 / BUSY_TURNS).clamp(4_000, 100 * NS_PER_MS)),
            false => random.pick(&[Span::ZERO, Span::from_us(5), Span::from_us(100)]),
        };
        let faults = Faults {
            late_permille: random.pick(&[0, 0, 100, 500]),
            late_max: random.pick(&[Span(1), Span::from_us(100), Span::from_ms(5)]),
            pause_permille: random.pick(&[0, 0, 2, 20]),
            bogus_permille: random.pick(&[0, 0, 50, 500]),
            stop_at,
            turn_cost,
        };
        Scenario { plan, start, behaviours, faults }
    }
}

fn plan(random: &mut Random) -> Plan {
    let (least, most) = random.pick(&[(1, 1), (2, 8), (9, 60), (9, 60), (61, 400), (61, 400)]);
    let connections = random.small(least, most);
    let pace = match random.small(0, 3) {
        0 => Pace::sleep(random.span(Span::from_us(100), Span::from_ms(20))),
        1 => Pace::rate(random.between(50_000, 20_000_000)),
        _ => Pace::UNPACED,
    };
    let short = random.span(Span::from_us(1), Span::from_ms(20));
    let long = random.span(Span::from_ms(500), Span::from_s(3));
    let hold = random.span(Span::from_us(1), Span::from_ms(200));
    let long_hold = random.pick(&[Hold::For(Span::from_s(130)), Hold::For(hold + Span::from_s(2))]);
    let interval = random.span(Span::from_ms(2), Span::from_ms(100));
    let small = Budgets {
        events_max: random.small(1, 8),
        dials_max: random.small(1, 4),
        skips_max: random.small(1, 4),
        expiries_max: random.small(1, 8),
        drains_max: random.small(1, 3),
        drain_bytes_max: random.small(1, 4_096),
    };
    let plan = Plan {
        connections,
        routes: routes(random),
        other_addresses: Vec::new(),
        pace,
        dial_timeout: random.pick(&[None, Some(short), Some(short), Some(long)]),
        interval: random.pick(&[None, Some(interval), Some(Span::from_s(1))]),
        lifetime: None,
        hold_beside: 0,
        duration: None,
        hold: random.pick(&[
            Hold::For(Span::ZERO),
            Hold::For(Span::ZERO),
            Hold::For(hold),
            Hold::For(hold + PROBES_TAKE),
            long_hold,
            long_hold,
            Hold::Forever,
        ]),
        settle: random.pick(&[Span::ZERO, Span::ZERO, hold, Span::from_s(1)]),
        close: Close::Fin,
        probe: random.pick(&[Probe::None, Probe::None, Probe::Sample, Probe::All]),
        preset: None,
        reply_check: random.chance(450).then(|| reply_check(random)),
        errors_max: random.chance(100).then(|| random.between(1, u64::from(connections))),
        debug: random.chance(500),
        rehearsal: None,
        budgets: random.pick(&[Budgets::DEFAULT, small]),
    };
    impatient(plan)
}

/// Some runs have no dial timeout and a low maximum of errors: dials that stall end them.
fn impatient(plan: Plan) -> Plan {
    match plan.errors_max {
        Some(most) if most.is_multiple_of(2) => {
            Plan { dial_timeout: None, errors_max: Some(1 + most % 3), ..plan }
        }
        _ => plan,
    }
}

/// More connections than a sample of keepalives has, and than suspects are read.
fn large(plan: Plan, random: &mut Random) -> Plan {
    Plan {
        connections: random.small(SAMPLE_MAX + 1, SAMPLE_MAX + 100),
        pace: Pace::UNPACED,
        dial_timeout: None,
        interval: None,
        probe: random.pick(&[Probe::None, Probe::Sample, Probe::Sample, Probe::All]),
        reply_check: random.chance(500).then(|| reply_check(random)),
        ..plan
    }
}

/// Most churn; of the others some end before their last dial, some in their hold.
fn timed(plan: Plan, random: &mut Random) -> Plan {
    if random.chance(700) {
        return churning(plan, random);
    }
    let dials = plan.pace.offset(plan.connections) + Span::from_ms(5);
    let most =
        random.pick(&[Span(dials.0 / 2), dials, dials + Span::from_s(1), Span(20 * dials.0)]);
    Plan { duration: Some(random.span(Span(1), most)), ..plan }
}

/// Each slot is dialed a few times at least.
fn churning(plan: Plan, random: &mut Random) -> Plan {
    let short = random.span(Span(1), Span::from_ms(5));
    let lifetime =
        random.pick(&[Span::ZERO, Span::ZERO, short, Span::from_ms(40), Span::from_s(1)]);
    let all = plan.pace.offset(plan.connections) + lifetime;
    let most = Span(4 * all.0) + Span::from_ms(50);
    let plan = Plan {
        lifetime: Some(lifetime),
        duration: random.chance(800).then(|| random.span(Span(all.0 / 2), most)),
        hold: Hold::For(Span::ZERO),
        close: random.pick(&[Close::Fin, Close::Rst]),
        probe: Probe::None,
        reply_check: None,
        ..plan
    };
    if plan.connections > 1 && random.chance(300) { beside(plan, random) } else { plan }
}

/// Some are held, for long enough that most are checked several times.
fn beside(plan: Plan, random: &mut Random) -> Plan {
    let check = reply_check(random);
    let asks = !check.send.is_empty() && random.chance(400);
    Plan {
        hold_beside: random.small(1, plan.connections - 1),
        probe: if asks { Probe::None } else { Probe::All },
        reply_check: asks.then_some(check),
        duration: plan.duration.map(|span| span + random.span(Span::ZERO, Span::from_s(8))),
        ..plan
    }
}

/// A request, an expected reply, or both.
fn reply_check(random: &mut Random) -> ReplyCheck {
    let (send, expect) = random.pick(&[("PING", ""), ("", "+PONG"), ("PING", "+PONG")]);
    let short = random.span(Span::from_us(1), Span::from_ms(20));
    let long = random.span(Span::from_ms(500), Span::from_s(3));
    ReplyCheck {
        send: send.as_bytes().into(),
        expect: expect.as_bytes().into(),
        reply_timeout: random.pick(&[short, short, long]),
    }
}

/// Often one target; with or without sources.
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

/// Any origin of the clock, also just before 32 bits or a level of the wheel wrap around.
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

/// Roughly when a run without faults is over.
fn horizon(plan: &Plan, behaviours: &[Behaviour]) -> Span {
    let dial = match plan.dial_timeout {
        Some(timeout) => timeout,
        None if behaviours.contains(&Behaviour::BlackHole) => KERNEL_TIMEOUT,
        None if behaviours.contains(&Behaviour::SlowSyn) => Span::from_s(4),
        None => Span::from_ms(80),
    };
    let hold = match plan.hold {
        Hold::For(span) => span,
        Hold::Forever => Span::from_ms(200),
    };
    let checks = plan.reply_check.as_ref().map_or(Span::ZERO, |reply| reply.reply_timeout)
        + if plan.probe == Probe::None { Span::ZERO } else { PROBES_TAKE };
    let dials = plan.pace.offset(plan.connections) + dial;
    match plan.duration {
        _ if plan.hold_beside > 0 => {
            dials + CALM + plan.duration.unwrap_or(Span::from_s(2)) + dial + Span::from_ms(20)
        }
        Some(end) if end < dials + hold => end + dial + checks + Span::from_ms(20),
        _ => dials + hold.max(checks) + Span::from_ms(20),
    }
}
