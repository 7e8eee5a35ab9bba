//! The rows in which slots dial again: at which rate, and what stands in its way.

use tcpgoon::plan::Close;
use tcpgoon::plan::Plan;
use tcpgoon::sim::world::setup::*;
use tcpgoon::units::Span;

use super::plans::*;
use super::table::{self, QUEUE, Scenario, row};

/// Those in which each connection is dialed once, then those in which slots dial again.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    table::SCENARIOS.iter().chain(SCENARIOS)
}

/// What lets some through at each moment looks like a limit by time.
const STEADY: &[&str] =
    &["rate-limit", "accept-queue-full", "accept-queue-overflow", "drop-above-limit"];

const SCENARIOS: &[Scenario] = &[
    row("churn: fine", &[], &[], |r| {
        let lifetime = ms(r.between(0, 100));
        (churn(60, 200, lifetime, s(3)), to(Server::default(), path(r)))
    }),
    row("churn: fine at full speed", &[], &[], |r| {
        let plan = Plan { close: Close::Rst, ..fast(churn(10, 1, Span::ZERO, ms(300))) };
        (plan, to(Server::default(), near(r)))
    }),
    row("churn: a firewall drops above a rate", &["rate-limit"], &[], |r| {
        let rate = RateRule { per_s: r.small(60, 120), burst: 5, refusal: Refusal::Drop };
        let lifetime = ms(r.pick(&[0, 50]));
        (
            churn(300, 300, lifetime, s(4)),
            to(Server::default(), Path { rate: Some(rate), ..near(r) }),
        )
    }),
    row("churn: a firewall rejects above a rate", &["rate-limit"], &["reject-above-limit"], |r| {
        let rate = RateRule { per_s: r.small(60, 120), burst: 5, refusal: Refusal::Rst };
        (churn(50, 300, ms(20), s(4)), to(Server::default(), Path { rate: Some(rate), ..near(r) }))
    }),
    row(
        "churn: a firewall drops what is little above a rate",
        &["rate-limit"],
        &["packet-loss"],
        |r| {
            let rate = RateRule { per_s: r.small(500, 540), burst: 1, refusal: Refusal::Drop };
            let path = Path { rate: Some(rate), ..near(r) };
            (churn(400, 600, Span::ZERO, s(5)), to(Server::default(), path))
        },
    ),
    row("churn: a limit on the accept rate", &["accept-rate-limit"], &["connection-limit"], |r| {
        let on = LimitOn::Rate { per_s: r.small(50, 100), burst: r.small(1, 20) };
        (churn(300, 250, ms(500), s(4)), to(limited(on, End::Fin, false), near(r)))
    }),
    row("churn: accepts slowly", QUEUE, STEADY, |r| {
        let accept = Accept::Every { period: ms(r.between(20, 40)), count: 1 };
        let server = Server { accept, backlog: r.small(4, 12), ..Server::default() };
        (churn(200, 200, ms(100), s(4)), to(server, Path::default()))
    }),
    row(
        "churn: a limit on connections",
        &["connection-limit"],
        &["client-limit", "accept-rate-limit", "backend-unreachable"],
        |r| {
            let end = r.pick(&[End::Fin, End::Rst]);
            let server = limited(LimitOn::Open(r.small(20, 60)), end, false);
            (churn(300, 200, ms(800), s(4)), to(server, near(r)))
        },
    ),
    row("churn: drops above a number", &["drop-above-limit"], STEADY, |r| {
        let path = counted(r.small(20, 40), CountPer::All, Refusal::Drop);
        (churn(200, 200, ms(500), s(4)), to(Server::default(), path))
    }),
    // As conntrack, which keeps closed connections for minutes.
    row("churn: a table of connections fills", &["drop-above-limit"], &[], |r| {
        let (max, per) = (r.small(200, 500), CountPer::All);
        let count = Some(CountRule { max, per, refusal: Refusal::Drop, linger: s(60) });
        (churn(200, 200, Span::ZERO, s(5)), to(Server::default(), Path { count, ..near(r) }))
    }),
    row(
        "churn: the ports of a NAT are used up",
        &["nat-ports-exhausted"],
        &["drop-above-limit"],
        |r| {
            let (max, per) = (r.small(200, 500), CountPer::Target);
            let count = Some(CountRule { max, per, refusal: Refusal::Drop, linger: s(60) });
            (churn(200, 200, Span::ZERO, s(5)), to(Server::default(), Path { count, ..near(r) }))
        },
    ),
    row("churn: loses 1 in 20", &["packet-loss"], &[], |r| {
        let path = Path { loss_permille: 50, ..near(r) };
        (patient(ms(2_500), churn(400, 200, ms(50), s(5))), to(Server::default(), path))
    }),
    row("churn: closed before their lifetime", &["idle-timeout"], &["backend-unreachable"], |r| {
        let idle = Some(Idle { after: ms(r.between(200, 400)), end: End::Fin });
        (churn(200, 100, s(1), s(4)), to(Server { idle, ..Server::default() }, near(r)))
    }),
    row(
        "churn: the oldest is evicted",
        &["evicts-oldest"],
        &["idle-timeout", "backend-unreachable"],
        |r| {
            let server = Server { evicts_above: Some(r.small(20, 60)), ..Server::default() };
            (churn(200, 150, s(1), s(4)), to(server, near(r)))
        },
    ),
    row("churn: an outage", &["outage"], &[], |r| {
        let from = ms(r.between(1_500, 2_500));
        let outage = Some(Window { from, to: from + ms(r.between(700, 1_500)) });
        (churn(400, 100, ms(50), s(6)), to(Server::default(), Path { outage, ..near(r) }))
    }),
    row("churn: the path fails", &["path-down"], &["host-down", "drop-above-limit"], |r| {
        let outage = Some(Window::from(ms(r.between(1_000, 2_000))));
        (churn(200, 100, ms(50), s(5)), to(Server::default(), Path { outage, ..near(r) }))
    }),
    row("churn: no listener", &["no-listener"], &["firewall-reject"], |r| {
        let server = Server { is_listening: false, ..Server::default() };
        (churn(10, 100, ms(50), s(2)), to(server, near(r)))
    }),
    row("churn: the process ends", &["process-restarted"], &["listener-closed"], |r| {
        let end = Some(r.pick(&[End::Fin, End::Rst]));
        let restart = Some(Restart { at: ms(r.between(1_000, 2_000)), end, back_after: None });
        (churn(200, 100, ms(500), s(4)), to(Server { restart, ..Server::default() }, near(r)))
    }),
    row("churn: ports in TIME_WAIT", &["time-wait"], &["port-range"], |r| {
        let host = Host { ports_max: Some(r.small(100, 200)), ..Host::default() };
        (churn(10, 200, Span::ZERO, s(3)), here(host))
    }),
    row("churn: this host has no descriptor left", &["fd-limit"], &[], |r| {
        let host = Host { descriptors_max: Some(r.small(20, 40)), ..Host::default() };
        (churn(100, 200, s(1), s(3)), here(host))
    }),
    row("churn: this host drops what comes in", &["ingress-drops"], &["packet-loss"], |r| {
        let host = Host { ingress_loss_permille: r.small(80, 150), ..Host::default() };
        (patient(ms(2_500), churn(400, 100, ms(50), s(5))), here(host))
    }),
];
