//! The table: what is true, how it is dialed, and which causes name it.

use tcpgoon::plan::{Pace, Plan};
use tcpgoon::sim::random::Random;
use tcpgoon::sim::world::setup::*;
use tcpgoon::units::Span;

use super::plans::*;

/// One row: a fault or a limit, and a way to dial into it.
pub struct Scenario {
    pub name: &'static str,
    /// What of the plan and the world is left to chance.
    pub make: fn(&mut Random) -> (Plan, World),
    /// The causes that are true; none: nothing is wrong.
    pub truth: &'static [&'static str],
    /// Causes that look the same from here, and may stand first.
    pub alike: &'static [&'static str],
    /// Causes that the evidence rules out.
    pub never: &'static [&'static str],
    /// Whether it is the same at any pace: then the seed chooses it.
    pub is_at_any_pace: bool,
}

impl Scenario {
    const fn never(self, never: &'static [&'static str]) -> Scenario {
        Scenario { never, ..self }
    }

    const fn at_any_pace(self) -> Scenario {
        Scenario { is_at_any_pace: true, ..self }
    }

    /// The plan and the world of a seed.
    pub fn of(&self, seed: u64) -> (Plan, World) {
        let mut random = Random::new(seed);
        let (mut plan, world) = (self.make)(&mut random);
        if self.is_at_any_pace {
            plan.pace = Pace::sleep(ms(random.pick(&[1, 2, 5, 10])));
        }
        (plan, world)
    }
}

pub const fn row(
    name: &'static str,
    truth: &'static [&'static str],
    alike: &'static [&'static str],
    make: fn(&mut Random) -> (Plan, World),
) -> Scenario {
    Scenario { name, make, truth, alike, never: &[], is_at_any_pace: false }
}

/// A queue that is full looks from here like one that overflows.
pub const QUEUE: &[&str] = &["accept-queue-full", "accept-queue-overflow"];

/// What closes the connections that are old.
const AGED: &[&str] = &["idle-timeout", "evicts-oldest"];

/// What an end of the path, or of the host behind it, would be called.
const DEAD: &[&str] = &["path-down", "host-down", "state-expired"];

/// What a connection without its last ACK, or without the one to a keepalive, can be.
const LOST_ACKS: &[&str] = &[
    "packet-loss",
    "accept-deferred",
    "accept-queue-full",
    "accept-queue-overflow",
    "path-down",
    "host-down",
    "state-expired",
];

pub const SCENARIOS: &[Scenario] = &[
    // Nothing is wrong.
    row("fine", &[], &[], |r| (hold(s(1), paced(80)), to(Server::default(), path(r)))),
    row("fine at full speed, and checked", &[], &[], |r| {
        (probe(hold(s(4), fast(paced(80)))), to(Server::default(), path(r)))
    })
    .never(DEAD)
    .at_any_pace(),
    // One stuck listener of several looks the same.
    row("bare ACKs are lost", &[], LOST_ACKS, |r| {
        let path = Path { ack_loss_permille: r.small(50, 150), delay: ms(10), ..path(r) };
        (probe(hold(s(4), paced(150))), to(Server::default(), path))
    }),
    row("fine, and replies", &[], &[], |r| (ask(paced(60)), to(replies(), path(r)))),
    row("replies as expected and closes", &[], &[], |r| {
        let reply = Reply { closes: true, after: ms(r.between(0, 50)), ..Reply::AT_ONCE };
        (ask(paced(60)), to(Server { reply: Some(reply), ..Server::default() }, path(r)))
    })
    .never(&["rejects-client", "connection-limit"])
    .at_any_pace()
    .at_any_pace(),
    row("packets are duplicated and reordered", &[], &[], |r| {
        let path = Path { duplicate_permille: 50, jitter: ms(5), delay: ms(5), ..path(r) };
        (probe(hold(s(4), paced(80))), to(Server::default(), path))
    })
    .at_any_pace(),
    row("the server sends keepalives too", &[], &[], |r| {
        let server = Server { keepalive: Some(s(1)), ..Server::default() };
        (probe(hold(s(4), paced(60))), to(server, path(r)))
    })
    .never(DEAD)
    .at_any_pace(),
    row("the server defers its accept", &[], &["accept-deferred"], |r| {
        let server = Server { defer_accept: 1, ..Server::default() };
        (probe(hold(s(6), paced(60))), to(server, path(r)))
    })
    .at_any_pace(),
    row("the path stalls in the hold", &[], &[], |r| {
        let from = ms(r.between(1_000, 3_000));
        let stall = Some(Window { from, to: from + ms(r.between(200, 700)) });
        (probe(hold(s(6), paced(60))), to(Server::default(), Path { stall, ..path(r) }))
    })
    .never(&["slow-host", "path-down", "host-down", "state-expired"]),
    row("a short outage while keepalives are out", &[], &["outage", "packet-loss"], |r| {
        let from = ms(r.between(1_000, 1_500));
        let outage = Some(Window { from, to: from + ms(r.between(300, 1_200)) });
        (probe(hold(s(8), paced(60))), to(Server::default(), Path { outage, ..path(r) }))
    })
    .never(DEAD),
    row("loses 1 in 100", &[], &["packet-loss", "rate-limit", "undetermined"], |r| {
        let lossy = Path { loss_permille: 10, delay: ms(10), ..path(r) };
        (probe(hold(s(6), patient(s(8), paced(150)))), to(Server::default(), lossy))
    })
    .never(&[
        "path-down",
        "host-down",
        "state-expired",
        "accept-queue-full",
        "accept-queue-overflow",
    ]),
    row("nothing is accepted, and all fit into the queue", &[], &[], |r| {
        (probe(hold(s(4), paced(60))), to(never(r.small(60, 200)), path(r)))
    })
    .at_any_pace(),
    // The server.
    row("no listener", &["no-listener"], &["firewall-reject"], |r| {
        (paced(30), to(Server { is_listening: false, ..Server::default() }, path(r)))
    })
    .at_any_pace(),
    row(
        "one of three targets refuses",
        &["no-listener", "listens-elsewhere"],
        &["firewall-reject", "backend-down"],
        |r| {
            let mut servers = vec![Server::default(); 3];
            servers[r.small(0, 2) as usize].is_listening = false;
            let world = World { servers, path: path(r), ..World::default() };
            (towards(3, 0, paced(60)), world)
        },
    )
    .at_any_pace(),
    row(
        "the listener closes, and connections stay",
        &["listener-closed"],
        &["reject-above-limit", "process-restarted"],
        |r| {
            let at = ms(r.between(60, 140));
            let restart = Some(Restart { at, end: None, back_after: None });
            (hold(s(1), paced(100)), to(Server { restart, ..Server::default() }, path(r)))
        },
    ),
    row("the process ends", &["process-restarted"], &["listener-closed"], |r| {
        let end = Some(r.pick(&[End::Fin, End::Rst]));
        let restart = Some(Restart { at: ms(r.between(60, 140)), end, back_after: None });
        (hold(s(1), paced(100)), to(Server { restart, ..Server::default() }, path(r)))
    }),
    row("the process restarts in the hold", &["process-restarted"], &[], |r| {
        let end = Some(r.pick(&[End::Fin, End::Rst]));
        let restart = Restart { at: ms(r.between(800, 1_800)), end, back_after: Some(ms(100)) };
        let server = Server { restart: Some(restart), ..Server::default() };
        (hold(s(3), paced(100)), to(server, path(r)))
    }),
    row("one of four listeners is stuck", &["listener-stuck"], &["backend-down"], |r| {
        (patient(s(4), paced(200)), by_tuple(4, never(r.small(4, 12))))
    })
    .never(&["packet-loss", "rate-limit", "accept-queue-overflow"])
    .at_any_pace(),
    row("one of three backends is down", &["backend-down"], &["listener-stuck"], |_| {
        (patient(s(6), paced(120)), by_tuple(3, Server { is_down: true, ..Server::default() }))
    })
    .never(&["packet-loss"])
    .at_any_pace(),
    row("each SYN may meet a dead backend", &["backend-down"], &["packet-loss"], |_| {
        let down = Server { is_down: true, ..Server::default() };
        let world = World { balance: Balance::PerSyn, ..by_tuple(4, down) };
        (patient(s(6), paced(150)), world)
    }),
    row("nothing is accepted", QUEUE, &["drop-above-limit"], |r| {
        let backlog = r.small(8, 60);
        let near = Path { delay: Span::from_us(50), ..Path::default() };
        (paced(backlog + 30), to(never(backlog), near))
    })
    .at_any_pace(),
    row("nothing is accepted, with --expect", QUEUE, &["drop-above-limit"], |r| {
        let backlog = r.small(8, 60);
        (ask(paced(backlog + 30)), to(never(backlog), Path::default()))
    })
    .at_any_pace(),
    row("nothing is accepted by a path of 50 ms", QUEUE, &["syn-proxy", "drop-above-limit"], |r| {
        let backlog = r.small(10, 40);
        let far = Path { delay: ms(25), ..Path::default() };
        (probe(hold(s(5), paced(backlog + 50))), to(never(backlog), far))
    })
    .never(DEAD),
    row("accepts slowly", QUEUE, &["rate-limit", "syn-proxy", "app-overloaded"], |r| {
        let accept = Accept::Every { period: ms(r.between(50, 120)), count: 1 };
        let server = Server { accept, backlog: r.small(4, 12), ..Server::default() };
        (patient(s(10), paced(80)), to(server, Path::default()))
    }),
    row(
        "a full queue resets",
        QUEUE,
        &["syn-proxy", "connection-limit", "drop-above-limit"],
        |r| {
            let server = Server {
                aborts_on_overflow: true,
                has_syn_cookies: false,
                backlog: r.small(10, 30),
                accept: Accept::Never,
                ..Server::default()
            };
            let far = Path { delay: ms(10), ..Path::default() };
            (hold(s(1), paced(60)), to(server, far))
        },
    ),
    row(
        "a limit on connections",
        &["connection-limit"],
        &["client-limit", "backend-unreachable"],
        |r| {
            let end = r.pick(&[End::Fin, End::Rst]);
            let server = limited(LimitOn::Open(r.small(20, 60)), end, false);
            (hold(s(1), paced(100)), to(server, path(r)))
        },
    )
    .at_any_pace(),
    row(
        "a limit at full speed",
        &["connection-limit"],
        &["client-limit", "backend-unreachable"],
        |r| {
            let server = limited(LimitOn::Open(r.small(20, 60)), End::Fin, false);
            (hold(s(1), fast(paced(100))), to(server, near(r)))
        },
    ),
    // All are dialed before the first close is back: only the order tells, and a rate has the same.
    row(
        "a limit at full speed and far away",
        &["connection-limit"],
        &["client-limit", "backend-unreachable", "accept-rate-limit"],
        |r| {
            let server = limited(LimitOn::Open(r.small(20, 60)), End::Fin, false);
            let far = Path { delay: ms(r.between(5, 60)), ..Path::default() };
            (hold(s(1), fast(paced(100))), to(server, far))
        },
    ),
    // Each connection waits in the accept queue first, the later the longer.
    row(
        "a limit behind a slow accept",
        &["connection-limit"],
        &["client-limit", "backend-unreachable"],
        |r| (patient(s(10), hold(s(3), paced(200))), to(slow(r, 4096), near(r))),
    )
    .never(AGED)
    .at_any_pace(),
    row(
        "a limit behind a slow accept and a short queue",
        &["connection-limit", "accept-queue-overflow"],
        &["client-limit"],
        |r| (patient(s(10), hold(s(3), fast(paced(200)))), to(slow(r, 60), near(r))),
    ),
    // What its queue dropped comes back after a second, and is accepted after others.
    row(
        "a limit above a short queue",
        &["connection-limit", "accept-queue-overflow"],
        &["client-limit"],
        |r| {
            let server = slow(r, 15);
            (patient(s(10), hold(s(5), paced(200))), to(server, near(r)))
        },
    ),
    row("a limit with an error line", &["connection-limit"], &["client-limit"], |r| {
        let server = limited(LimitOn::Open(r.small(20, 60)), End::Fin, true);
        (hold(s(1), paced(100)), to(server, path(r)))
    })
    .at_any_pace(),
    row("a limit per client, from three", &["client-limit"], &[], |r| {
        let server = limited(LimitOn::OpenOfClient(r.small(10, 20)), End::Fin, false);
        (towards(1, 3, hold(s(1), paced(120))), to(server, path(r)))
    })
    .at_any_pace(),
    row("a limit per client, from one", &["client-limit"], &["connection-limit"], |r| {
        let server = limited(LimitOn::OpenOfClient(r.small(10, 60)), End::Fin, false);
        (hold(s(1), paced(100)), to(server, path(r)))
    })
    .at_any_pace(),
    row("a limit beside connections that end", &["connection-limit"], &["client-limit"], |r| {
        let idle = Some(Idle { after: ms(300), end: End::Fin });
        let server = Server { idle, ..limited(LimitOn::Open(r.small(40, 60)), End::Fin, false) };
        (hold(s(1), paced(300)), to(server, near(r)))
    }),
    row("a limit on the accept rate", &["accept-rate-limit"], &["connection-limit"], |r| {
        let on = LimitOn::Rate { per_s: r.small(50, 200), burst: r.small(1, 20) };
        (hold(s(1), paced(150)), to(limited(on, End::Fin, false), path(r)))
    }),
    row(
        "the server has no descriptor left",
        &["server-fd-limit"],
        &["accept-queue-full", "thread-limit"],
        |r| {
            let open_max = Some(r.small(20, 40));
            (ask(paced(80)), to(Server { open_max, backlog: 8, ..replies() }, Path::default()))
        },
    )
    .at_any_pace(),
    row(
        "the server has no thread left",
        &["thread-limit"],
        &["server-fd-limit", "app-overloaded", "app-silent", "accept-queue-full"],
        |r| {
            let reply = Reply { served_max: r.small(20, 40), ..Reply::AT_ONCE };
            (ask(paced(80)), to(Server { reply: Some(reply), ..Server::default() }, path(r)))
        },
    )
    .at_any_pace(),
    row("an idle timeout", &["idle-timeout"], &[], |r| {
        let after = ms(r.between(800, 2_500));
        let idle = Some(Idle { after, end: r.pick(&[End::Fin, End::Rst]) });
        (hold(s(4), paced(100)), to(Server { idle, ..Server::default() }, path(r)))
    }),
    row("an idle timeout enforced by a sweep", &["idle-timeout"], &[], |r| {
        let sweep = Sweep { every: ms(r.between(800, 1_500)), age: ms(r.between(600, 1_000)) };
        let server = Server { sweep: Some(sweep), ..Server::default() };
        let slow = Plan { pace: Pace::sleep(ms(30)), ..paced(100) };
        (hold(s(5), slow), to(server, path(r)))
    }),
    row("the oldest is evicted", &["evicts-oldest"], &[], |r| {
        let server = Server { evicts_above: Some(r.small(20, 60)), ..Server::default() };
        let slow = Plan { pace: Pace::sleep(ms(10)), ..paced(150) };
        (hold(s(1), slow), to(server, path(r)))
    }),
    row("the oldest is evicted within milliseconds", &["evicts-oldest"], &["idle-timeout"], |r| {
        let server = Server { evicts_above: Some(r.small(20, 40)), ..Server::default() };
        let quick = Plan { pace: Pace::sleep(Span::from_us(500)), ..paced(300) };
        (hold(s(1), quick), to(server, near(r)))
    })
    .never(&["rejects-client"]),
    row("a limit on all, from three sources", &["connection-limit"], &["client-limit"], |r| {
        let server = limited(LimitOn::Open(r.small(50, 90)), End::Fin, false);
        (towards(1, 3, hold(s(1), paced(150))), to(server, near(r)))
    }),
    row("a few accepts a second", &["accept-rate-limit"], &["connection-limit"], |r| {
        let on = LimitOn::Rate { per_s: r.small(8, 20), burst: r.small(5, 10) };
        let slow = Plan { pace: Pace::sleep(ms(10)), ..paced(300) };
        (hold(s(1), slow), to(limited(on, End::Fin, false), path(r)))
    }),
    row("the application is silent", &["app-silent"], &["wrong-reply", "accept-queue-full"], |r| {
        (ask(paced(60)), to(Server::default(), path(r)))
    })
    .at_any_pace(),
    row("the application is overloaded", &["app-overloaded"], &["thread-limit"], |r| {
        let workers = r.small(1, 3);
        let reply = Reply { workers, after: ms(r.between(80, 150)), ..Reply::AT_ONCE };
        (ask(paced(150)), to(Server { reply: Some(reply), ..Server::default() }, path(r)))
    }),
    row("another reply", &["wrong-reply"], &[], |r| {
        let reply = Reply { is_expected: false, ..Reply::AT_ONCE };
        (ask(paced(60)), to(Server { reply: Some(reply), ..Server::default() }, path(r)))
    })
    .at_any_pace(),
    row("another reply, and closes", &["wrong-reply"], &[], |r| {
        let reply = Reply { is_expected: false, closes: true, ..Reply::AT_ONCE };
        (ask(paced(60)), to(Server { reply: Some(reply), ..Server::default() }, path(r)))
    })
    .at_any_pace(),
    row(
        "a proxy gives its backend up after seconds",
        &["backend-unreachable", "idle-timeout"],
        &[],
        |r| {
            let idle = Some(Idle { after: s(r.between(2, 4)), end: End::Fin });
            (hold(s(6), paced(100)), to(Server { idle, ..Server::default() }, path(r)))
        },
    ),
    row(
        "a proxy without a backend",
        &["backend-unreachable"],
        &["rejects-client", "connection-limit"],
        |r| {
            let end = r.pick(&[End::Fin, End::Rst]);
            (hold(s(1), paced(60)), to(limited(LimitOn::Open(0), end, false), path(r)))
        },
    )
    .at_any_pace(),
    row(
        "a server refuses one of three sources",
        &["rejects-client"],
        &["firewall-reject", "no-listener"],
        |r| {
            let filter_source = Some((r.small(0, 2), Refusal::Rst));
            (towards(1, 3, paced(60)), to(Server::default(), Path { filter_source, ..path(r) }))
        },
    )
    .at_any_pace(),
    // The network.
    row("every SYN is dropped", &["firewall-drop"], &["host-down"], |_| {
        (paced(30), to(Server::default(), filtered(Refusal::Drop)))
    })
    .at_any_pace(),
    row(
        "one of three targets is filtered",
        &["firewall-drop"],
        &["host-down", "backend-down"],
        |r| {
            let filter_target = Some((r.small(0, 2), Refusal::Drop));
            (towards(3, 0, paced(60)), to(Server::default(), Path { filter_target, ..path(r) }))
        },
    )
    .at_any_pace(),
    row("every SYN is rejected by ICMP", &["firewall-reject"], &[], |_| {
        (paced(60), to(Server::default(), filtered(Refusal::Icmp(13))))
    })
    .never(&["packet-loss", "rate-limit", "accept-queue-full", "accept-queue-overflow"])
    .at_any_pace(),
    row("every SYN is rejected by RST", &["firewall-reject"], &["no-listener"], |_| {
        (paced(30), to(Server::default(), filtered(Refusal::Rst)))
    })
    .at_any_pace(),
    row("an outage while dialing", &["outage"], &[], |r| {
        let from = s(r.between(1, 2));
        let outage = Some(Window { from, to: from + ms(r.between(2_500, 4_000)) });
        let slow = Plan { pace: Pace::sleep(ms(50)), ..paced(160) };
        (slow, to(Server::default(), Path { outage, ..path(r) }))
    }),
    row("drops above a number", &["drop-above-limit"], QUEUE, |r| {
        let path = counted(r.small(20, 60), CountPer::All, Refusal::Drop);
        (paced(100), to(Server::default(), path))
    })
    .at_any_pace(),
    row("drops above a number, beside connections that end", &["drop-above-limit"], QUEUE, |r| {
        let path = counted(r.small(20, 30), CountPer::All, Refusal::Drop);
        let idle = Some(Idle { after: ms(250), end: End::Fin });
        let slow = Plan { pace: Pace::sleep(ms(5)), ..paced(400) };
        (slow, to(Server { idle, ..Server::default() }, path))
    }),
    row("drops above a number, all reply", &["drop-above-limit"], QUEUE, |r| {
        let path = counted(r.small(20, 60), CountPer::All, Refusal::Drop);
        (ask(paced(100)), to(replies(), path))
    })
    .at_any_pace(),
    row("rejects above a number by RST", &["reject-above-limit"], &["listener-closed"], |r| {
        let path = counted(r.small(20, 60), CountPer::All, Refusal::Rst);
        (paced(100), to(Server::default(), path))
    })
    .at_any_pace(),
    row("rejects above a number by ICMP", &["reject-above-limit"], &["firewall-reject"], |r| {
        let refusal = Refusal::Icmp(r.pick(&[1, 13]));
        (paced(100), to(Server::default(), counted(r.small(20, 60), CountPer::All, refusal)))
    })
    .never(&["packet-loss", "accept-queue-full", "accept-queue-overflow"])
    .at_any_pace(),
    row("drops above a rate", &["rate-limit"], QUEUE, |r| {
        let rate = RateRule { per_s: r.small(40, 100), burst: 5, refusal: Refusal::Drop };
        let path = Path { rate: Some(rate), ..Path::default() };
        (patient(s(5), paced(250)), to(Server::default(), path))
    }),
    row("rejects above a rate", &["rate-limit"], &["reject-above-limit"], |r| {
        let rate = RateRule { per_s: r.small(40, 100), burst: 5, refusal: Refusal::Rst };
        (paced(150), to(Server::default(), Path { rate: Some(rate), ..Path::default() }))
    }),
    row(
        "drops above a number for each source",
        &["drop-above-limit"],
        &["client-limit", "accept-queue-full"],
        |r| {
            let path = counted(r.small(12, 25), CountPer::Client, Refusal::Drop);
            (towards(1, 3, paced(120)), to(Server::default(), path))
        },
    )
    .at_any_pace(),
    row("loses 1 in 10", &["packet-loss"], &[], |r| {
        let lossy = Path { loss_permille: r.small(60, 120), ..path(r) };
        (patient(s(8), paced(200)), to(Server::default(), lossy))
    })
    .at_any_pace(),
    row("loses 1 in 50, and is checked", &["packet-loss"], &[], |r| {
        let lossy = Path { loss_permille: 20, ..path(r) };
        (probe(hold(s(5), patient(s(8), paced(200)))), to(Server::default(), lossy))
    }),
    row(
        "the path fails in the hold",
        &["path-down"],
        &["state-expired", "host-down", "outage"],
        |r| {
            let outage = Some(Window::from(ms(r.between(3_000, 5_000))));
            (probe(hold(s(10), paced(60))), to(Server::default(), Path { outage, ..path(r) }))
        },
    ),
    row("state expires silently", &["state-expired"], &["path-down"], |r| {
        let expiry = Some(Expiry { idle: ms(r.between(3_000, 6_000)), resets: false });
        (probe(hold(s(15), paced(60))), to(Server::default(), Path { expiry, ..path(r) }))
    }),
    row("state expires, with RST", &["state-expired"], &["syn-proxy", "path-down"], |r| {
        let expiry = Some(Expiry { idle: ms(r.between(3_000, 6_000)), resets: true });
        (probe(hold(s(15), paced(60))), to(Server::default(), Path { expiry, ..path(r) }))
    }),
    row(
        "a router has no neighbour entry",
        &["host-down"],
        &["firewall-reject", "no-route-beyond"],
        |_| (paced(40), to(Server::default(), filtered(Refusal::Icmp(1)))),
    )
    .at_any_pace(),
    row("a router has no route", &["no-route-beyond"], &[], |_| {
        (paced(40), to(Server::default(), filtered(Refusal::Icmp(0))))
    })
    .at_any_pace(),
    row(
        "a NAT has few ports for each target",
        &["nat-ports-exhausted"],
        &["drop-above-limit", "accept-queue-full"],
        |r| {
            let path = counted(r.small(15, 25), CountPer::Target, Refusal::Drop);
            (towards(3, 0, paced(120)), to(Server::default(), path))
        },
    )
    .at_any_pace(),
    row("the path fails as dials go on", &["path-down"], &["host-down"], |r| {
        let outage = Some(Window { from: ms(r.between(60, 180)), to: s(3_600) });
        let dials = probe(hold(s(4), paced(150)));
        (dials, to(Server::default(), Path { outage, ..near(r) }))
    }),
    row("large replies are lost", &["path-mtu"], &["app-silent", "app-overloaded"], |r| {
        let reply = Some(Reply { bytes: 1_400, ..Reply::AT_ONCE });
        let narrow = Path { mtu: Some(1_200), ..path(r) };
        (ask(paced(40)), to(Server { reply, ..Server::default() }, narrow))
    })
    .at_any_pace(),
    row("an RTT above the dial timeout", &["long-rtt"], &["firewall-drop"], |r| {
        let far = Path { delay: ms(r.between(300, 400)), ..Path::default() };
        (patient(ms(500), paced(60)), to(Server::default(), far))
    })
    .at_any_pace(),
    row("an RTT above a second", &["long-rtt"], &["packet-loss"], |r| {
        let far = Path { delay: ms(r.between(600, 900)), ..Path::default() };
        (patient(s(6), paced(60)), to(Server::default(), far))
    })
    .at_any_pace(),
    row("a firewall counts, and the server closes all later", &["drop-above-limit"], QUEUE, |r| {
        let path = counted(r.small(30, 60), CountPer::All, Refusal::Drop);
        let restart = Some(Restart { at: s(5), end: Some(End::Fin), back_after: Some(ms(10)) });
        (hold(s(4), paced(100)), to(Server { restart, ..Server::default() }, path))
    }),
    // This host.
    row("this host has no descriptor left", &["fd-limit"], &[], |r| {
        (paced(60), here(Host { descriptors_max: Some(r.small(20, 40)), ..Host::default() }))
    })
    .at_any_pace(),
    row("this host has no port left", &["port-range"], &["time-wait"], |r| {
        (paced(60), here(Host { ports_max: Some(r.small(20, 40)), ..Host::default() }))
    })
    .at_any_pace(),
    row("this host drops above a number", &["local-firewall"], &["local-conntrack"], |r| {
        (paced(80), here(Host { output_drop_above: Some(r.small(20, 60)), ..Host::default() }))
    })
    .at_any_pace(),
    row("this host rejects above a number", &["local-firewall"], &[], |r| {
        (paced(80), here(Host { output_reject_above: Some(r.small(20, 60)), ..Host::default() }))
    })
    .at_any_pace(),
    row("this host's conntrack table is full", &["local-conntrack"], &["local-firewall"], |r| {
        (paced(80), here(Host { conntrack_max: Some(r.small(20, 60)), ..Host::default() }))
    })
    .at_any_pace(),
    row("this host's neighbour table is full", &["neighbour-table-full"], &[], |r| {
        let host = Host { neighbours_max: Some(r.small(8, 14)), ..Host::default() };
        (towards(20, 0, paced(80)), here(host))
    })
    .at_any_pace(),
    row("a neighbour does not answer", &["neighbour-unresolved"], &["host-down"], |_| {
        let host = Host { is_neighbour_unresolved: true, ..Host::default() };
        (patient(s(5), paced(30)), here(host))
    })
    .at_any_pace(),
    row("this host drops what comes in", &["ingress-drops"], &["packet-loss"], |r| {
        let host = Host { ingress_loss_permille: r.small(80, 150), ..Host::default() };
        (patient(s(8), paced(200)), here(host))
    })
    .at_any_pace(),
    row("connections are killed on this host", &["killed-here"], &[], |r| {
        let host = Host { kills_at: Some(ms(r.between(1_000, 2_000))), ..Host::default() };
        (hold(s(3), paced(60)), here(host))
    })
    .at_any_pace(),
];
