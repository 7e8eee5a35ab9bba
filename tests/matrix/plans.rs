//! How the scenarios are dialed, and what their worlds are made of.

use tcpgoon::plan::{Hold, Pace, Plan, Probe, ReplyCheck};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::random::Random;
use tcpgoon::sim::world::setup::{
    Accept, Balance, CountPer, CountRule, End, Host, Limit, LimitOn, Path, Refusal, Reply, Server,
    World,
};
use tcpgoon::units::Span;

pub fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

pub fn s(s: u64) -> Span {
    Span::from_s(s)
}

fn routes(targets: u8, sources: u8) -> Routes {
    let address = |last: u8, port| format!("10.0.0.{last}:{port}").parse().unwrap();
    let target = |last| Target { host: format!("10.0.0.{last}"), address: address(last, 80) };
    let sources: Vec<_> = (1..=sources).map(|last| address(100 + last, 0)).collect();
    Routes::new((1..=targets).map(target).collect(), &sources).unwrap()
}

/// `-c connections -s 2 -t 2.5`.
pub fn paced(connections: u32) -> Plan {
    Plan {
        pace: Pace::sleep(ms(2)),
        dial_timeout: Some(ms(2_500)),
        settle: s(1),
        ..Plan::plain(connections, routes(1, 0))
    }
}

/// `-c slots --rate per_s --lifetime lifetime --duration duration -t 0.5`.
pub fn churn(slots: u32, per_s: u64, lifetime: Span, duration: Span) -> Plan {
    Plan {
        pace: Pace::rate(1_000 * per_s),
        dial_timeout: Some(ms(500)),
        lifetime: Some(lifetime),
        duration: Some(duration),
        interval: Some(ms(500)),
        ..Plan::plain(slots, routes(1, 0))
    }
}

/// `-s 0`.
pub fn fast(plan: Plan) -> Plan {
    Plan { pace: Pace::UNPACED, ..plan }
}

/// `-t timeout`.
pub fn patient(timeout: Span, plan: Plan) -> Plan {
    Plan { dial_timeout: Some(timeout), ..plan }
}

/// `--hold`, which checks a sample from 2 s on.
pub fn hold(hold: Span, plan: Plan) -> Plan {
    let probe = if hold >= s(2) { Probe::Sample } else { plan.probe };
    Plan { hold: Hold::For(hold), probe, ..plan }
}

/// `--probe`.
pub fn probe(plan: Plan) -> Plan {
    Plan { probe: Probe::All, ..plan }
}

/// `--send GET --expect 200`.
pub fn ask(plan: Plan) -> Plan {
    let (send, expect) = (b"GET".as_slice().into(), b"200".as_slice().into());
    Plan { reply_check: Some(ReplyCheck { send, expect, reply_timeout: s(2) }), ..plan }
}

/// Several targets, and several sources.
pub fn towards(targets: u8, sources: u8, plan: Plan) -> Plan {
    Plan { routes: routes(targets, sources), ..plan }
}

/// An application that replies at once.
pub fn replies() -> Server {
    Server { reply: Some(Reply::AT_ONCE), ..Server::default() }
}

pub fn never(backlog: u32) -> Server {
    Server { accept: Accept::Never, backlog, ..Server::default() }
}

pub fn limited(on: LimitOn, end: End, has_last_words: bool) -> Server {
    Server { limit: Some(Limit { on, end, has_last_words }), ..Server::default() }
}

/// It closes what is above its limit, and accepts one in some milliseconds, as one that forks does.
pub fn slow(random: &mut Random, backlog: u32) -> Server {
    let accept = Accept::Every { period: ms(random.between(1, 8)), count: 1 };
    let on = LimitOn::Open(random.small(20, 60));
    Server { accept, backlog, ..limited(on, random.pick(&[End::Fin, End::Rst]), false) }
}

pub fn by_tuple(count: usize, one: Server) -> World {
    let mut servers = vec![Server::default(); count - 1];
    servers.push(one);
    World { servers, balance: Balance::ByTuple, ..World::default() }
}

pub fn counted(max: u32, per: CountPer, refusal: Refusal) -> Path {
    Path { count: Some(CountRule { max, per, refusal, linger: Span::ZERO }), ..Path::default() }
}

pub fn filtered(refusal: Refusal) -> Path {
    Path { filter: Some(refusal), ..Path::default() }
}

/// A path like most: from a rack to another region, with a little jitter.
pub fn path(random: &mut Random) -> Path {
    let delay = random.pick(&[50, 250, 1_000, 10_000, 40_000]);
    Path { delay: Span::from_us(delay), jitter: Span::from_us(delay / 10), ..Path::default() }
}

/// Within a data centre.
pub fn near(random: &mut Random) -> Path {
    let delay = Span::from_us(random.pick(&[20, 50, 250, 1_000]));
    Path { delay, ..Path::default() }
}

pub fn to(server: Server, path: Path) -> World {
    World::new(server, path)
}

pub fn here(host: Host) -> World {
    World { servers: vec![Server::default()], host, ..World::default() }
}
