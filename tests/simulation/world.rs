//! The simulated world behaves as Linux and its servers do, is the same for the same seed, and its
//! truth bounds the counts of the engine.

use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::plan::{Hold, Pace, Plan, Probe, ReplyCheck};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::world::setup::*;
use tcpgoon::sim::world::{Outcome, Stalls, run};
use tcpgoon::units::Span;

const SEEDS: u64 = 8;

fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

fn routes(targets: u8, sources: u8) -> Routes {
    let address = |last: u8, port| format!("10.0.0.{last}:{port}").parse().unwrap();
    let target = |last| Target { host: format!("10.0.0.{last}"), address: address(last, 80) };
    let sources: Vec<_> = (1..=sources).map(|last| address(100 + last, 0)).collect();
    Routes::new((1..=targets).map(target).collect(), &sources).unwrap()
}

/// `connections`, one every 2 ms, with a timeout of 2.5 s.
fn plan(connections: u32) -> Plan {
    Plan {
        pace: Pace::sleep(ms(2)),
        dial_timeout: Some(ms(2_500)),
        ..Plan::plain(connections, routes(1, 0))
    }
}

fn talking(plan: Plan, send: &str, expect: &str) -> Plan {
    let (send, expect) = (send.as_bytes().into(), expect.as_bytes().into());
    Plan { reply_check: Some(ReplyCheck { send, expect, reply_timeout: Span::from_s(2) }), ..plan }
}

fn holding(plan: Plan, hold: Span) -> Plan {
    Plan { hold: Hold::For(hold), ..plan }
}

fn at_server(server: Server) -> World {
    World::new(server, Path::default())
}

fn on_path(path: Path) -> World {
    World::new(Server::default(), path)
}

fn ended(summary: &Summary, reason: EndReason) -> u64 {
    summary.flow[reason as usize]
}

/// Runs some seeds and checks invariants of all runs.
fn each_seed(plan: &Plan, world: &World, check: impl Fn(&Outcome)) {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let outcome = run(plan, world, seed, Stalls::None);
        bounded(&outcome);
        check(&outcome);
    }
}

fn bounded(outcome: &Outcome) {
    let Outcome { summary, truth, .. } = outcome;
    assert_eq!(summary.last.levels.iter().sum::<u32>(), summary.last.connections);
    assert!(summary.established_ever <= truth.established() as u64);
    for site in &truth.sites {
        assert!(site.accepted_peak <= site.open_peak);
    }
}

#[test]
fn without_limits_all_are_established_and_stay() {
    each_seed(
        &holding(plan(100), Span::from_s(1)),
        &World::new(Server::default(), Path::default()),
        |o| {
            assert_eq!((o.summary.established_peak, o.truth.peak()), (100, 100));
            assert_eq!((o.truth.sites[0].accepted, o.truth.sites[0].accepted_peak), (100, 100));
            assert_eq!(o.truth.sustained(ms(900)), 100);
            assert_eq!(o.summary.exit_code(&plan(100)), 0);
        },
    );
}

#[test]
fn a_backlog_of_16_takes_17_and_drops_the_other_syns() {
    let server = Server { accept: Accept::Never, backlog: 16, ..Server::default() };
    each_seed(&plan(40), &at_server(server), |o| {
        assert_eq!((o.summary.established_peak, o.truth.sites[0].open_peak), (17, 17));
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 23);
        // SYNs at 0, 1 and 2 s.
        assert_eq!(o.truth.sites[0].listen_overflows, 23 * 3);
        assert_eq!(o.summary.slow.repeats, 23 * 2);
    });
}

/// At full speed SYNs are in flight while the queue fills: the SYN queue fills to the backlog, then SYN
/// cookies; final ACKs beyond the accept queue are dropped, and the handshake looks complete from here.
#[test]
fn final_acks_beyond_the_accept_queue_are_dropped_and_syn_acks_repeated() {
    let server = Server { accept: Accept::Never, backlog: 16, ..Server::default() };
    let path = Path { delay: ms(20), ..Path::default() };
    let fast = Plan { pace: Pace::UNPACED, ..holding(plan(40), Span::from_s(4)) };
    each_seed(&fast, &World::new(server.clone(), path.clone()), |o| {
        assert_eq!(o.summary.established_peak, 40);
        assert_eq!(o.truth.sites[0].open_peak, 17);
        // The 16 requests complete, and one cookie: the server keeps no state for the others.
        assert_eq!(o.truth.sites[0].cookies_sent, 24);
        assert_eq!(o.counters.syn_challenge, 0);
    });
    // Paced, the accept queue fills beside few requests: those repeat their SYN-ACK after 1 and 3 s.
    let paced = Plan { pace: Pace::sleep(ms(4)), ..holding(plan(40), Span::from_s(4)) };
    each_seed(&paced, &World::new(server, path), |o| {
        let overflowed = u64::from(o.summary.established_peak) - 17;
        assert!((8..=10).contains(&overflowed), "{overflowed}");
        assert_eq!((o.truth.sites[0].cookies_sent, o.counters.syn_challenge), (0, 2 * overflowed));
    });
    // Keepalives find the half-open ones.
    let all = Plan { probe: Probe::All, ..fast };
    let server = Server {
        accept: Accept::Every { period: ms(100), count: 1 },
        backlog: 4,
        ..Server::default()
    };
    let path = Path { delay: ms(20), ..Path::default() };
    each_seed(&all, &World::new(server, path), |o| {
        assert!(ended(&o.summary, EndReason::HalfOpen) > 0, "{:?}", o.truth.sites);
    });
}

#[test]
fn an_overflow_that_aborts_resets_established_connections() {
    let server = Server {
        accept: Accept::Never,
        backlog: 8,
        aborts_on_overflow: true,
        has_syn_cookies: false,
        ..Server::default()
    };
    let path = Path { delay: ms(20), ..Path::default() };
    let fast = Plan { pace: Pace::UNPACED, ..holding(plan(9 + 8), Span::from_s(1)) };
    each_seed(&fast, &World::new(server, path), |o| {
        let sites = &o.truth.sites[0];
        assert!(sites.open_peak <= 9);
        let end = ended(&o.summary, EndReason::PeerReset) + ended(&o.summary, EndReason::TimedOut);
        assert_eq!(end + u64::from(o.summary.last.level(State::Established)), 17);
    });
}

#[test]
fn a_deferred_accept_waits_for_data_and_then_accepts_all_the_same() {
    let server = Server { defer_accept: 1, ..Server::default() };
    each_seed(&holding(plan(20), Span::from_s(3)), &at_server(server.clone()), |o| {
        assert_eq!((o.summary.established_peak, o.truth.sites[0].accepted), (20, 20));
        assert_eq!(o.counters.syn_challenge, 20);
    });
    let server = Server { reply: Some(Reply::AT_ONCE), ..server };
    each_seed(&talking(plan(20), "PING", "PONG"), &at_server(server), |o| {
        assert_eq!((o.truth.sites[0].replies, o.counters.syn_challenge), (20, 0));
        assert_eq!(o.summary.checks.replied, 20);
    });
}

#[test]
fn a_connection_limit_accepts_and_closes() {
    let limit = Limit { on: LimitOn::Open(50), end: End::Fin, has_last_words: true };
    let server = Server { limit: Some(limit), ..Server::default() };
    each_seed(&holding(plan(80), Span::from_s(1)), &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::PeerClosed), 30);
        assert_eq!((o.truth.sites[0].accepted_peak, o.truth.sites[0].rejected), (50, 30));
        assert_eq!(o.summary.received_bytes, 30 * 32);
        assert_eq!(o.truth.sustained(ms(500)), 50);
    });
}

#[test]
fn limits_by_client_and_by_rate_close_what_is_above_them() {
    let limit = Limit { on: LimitOn::OpenOfClient(10), end: End::Rst, has_last_words: false };
    let server = Server { limit: Some(limit), ..Server::default() };
    let spread = Plan { routes: routes(1, 3), ..holding(plan(60), Span::from_s(1)) };
    each_seed(&spread, &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::PeerReset), 30);
        assert_eq!(o.truth.sites[0].accepted_peak, 30);
    });
    let on = LimitOn::Rate { per_s: 100, burst: 10 };
    let limit = Limit { on, end: End::Fin, has_last_words: false };
    let server = Server { limit: Some(limit), ..Server::default() };
    each_seed(&holding(plan(100), Span::from_s(1)), &at_server(server), |o| {
        // 500 a second for 0.2 s.
        let closed = ended(&o.summary, EndReason::PeerClosed);
        assert!((65..=75).contains(&closed), "{closed}");
    });
}

#[test]
fn the_oldest_is_evicted() {
    let server = Server { evicts_above: Some(30), ..Server::default() };
    each_seed(&holding(plan(50), Span::from_s(1)), &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::PeerClosed), 20);
        assert!(o.truth.dials[..20].iter().all(|dial| dial.ended_at.is_some()));
        assert_eq!(o.truth.sustained(ms(500)), 30);
    });
}

#[test]
fn idle_timeouts_come_one_by_one_and_sweeps_all_at_once() {
    let span = |o: &Outcome| {
        let ended = o.truth.dials.iter().filter_map(|dial| dial.ended_at);
        let (first, last) = (ended.clone().min().unwrap(), ended.max().unwrap());
        last.since(first)
    };
    let idle = Idle { after: Span::from_s(2), end: End::Fin };
    let server = Server { idle: Some(idle), ..Server::default() };
    each_seed(&holding(plan(100), Span::from_s(4)), &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::PeerClosed), 100);
        assert!((ms(190)..ms(210)).contains(&span(o)), "{:?}", span(o));
    });
    let sweep = Sweep { every: Span::from_s(3), age: Span::from_s(1) };
    let server = Server { sweep: Some(sweep), ..Server::default() };
    each_seed(&holding(plan(100), Span::from_s(4)), &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::PeerClosed), 100);
        assert!(span(o) < ms(5), "{:?}", span(o));
    });
}

#[test]
fn a_restart_ends_all_and_refuses_until_it_is_over() {
    let restart = Restart { at: ms(100), end: Some(End::Rst), back_after: Some(ms(60)) };
    let server = Server { restart: Some(restart), ..Server::default() };
    each_seed(&holding(plan(100), Span::from_s(1)), &at_server(server), |o| {
        let refused = ended(&o.summary, EndReason::Refused);
        assert!((29..=31).contains(&refused), "{refused}");
        assert!((49..=51).contains(&ended(&o.summary, EndReason::PeerReset)));
        assert!((19..=21).contains(&o.summary.last.level(State::Established)));
    });
    let server = Server { is_listening: false, ..Server::default() };
    each_seed(&plan(10), &at_server(server), |o| {
        assert_eq!(ended(&o.summary, EndReason::Refused), 10);
    });
}

#[test]
fn a_server_without_descriptors_fills_its_queue() {
    let server =
        Server { open_max: Some(20), backlog: 8, reply: Some(Reply::AT_ONCE), ..Server::default() };
    each_seed(&talking(plan(60), "", "hello"), &at_server(server), |o| {
        assert_eq!((o.summary.established_peak, o.truth.sites[0].accepted_peak), (29, 20));
        assert_eq!((o.summary.checks.replied, o.summary.checks.no_reply), (20, 9));
    });
}

#[test]
fn few_workers_reply_late() {
    let reply = Reply { after: ms(100), workers: 2, ..Reply::AT_ONCE };
    let server = Server { reply: Some(reply), ..Server::default() };
    each_seed(&talking(plan(100), "GET", "200"), &at_server(server), |o| {
        // 20 a second for about 2 s.
        let replied = o.summary.checks.replied;
        assert!((39..=45).contains(&replied), "{replied}");
    });
    let reply = Reply { closes: true, ..Reply::AT_ONCE };
    let server = Server { reply: Some(reply), ..Server::default() };
    each_seed(&talking(plan(20), "GET", "200"), &at_server(server), |o| {
        assert_eq!(o.summary.checks.replied, 20);
        assert_eq!(ended(&o.summary, EndReason::PeerClosed), 20);
    });
    let reply = Reply { is_expected: false, ..Reply::AT_ONCE };
    let server = Server { reply: Some(reply), ..Server::default() };
    each_seed(&talking(plan(20), "GET", "200"), &at_server(server), |o| {
        assert_eq!((o.summary.checks.replied, o.summary.checks.wrong_reply), (0, 20));
    });
}

#[test]
fn a_stuck_listener_of_four_takes_its_share() {
    let stuck = Server { accept: Accept::Never, backlog: 3, ..Server::default() };
    let mut servers = vec![Server::default(); 3];
    servers.push(stuck);
    let world = World { servers, balance: Balance::ByTuple, ..World::default() };
    each_seed(&plan(120), &world, |o| {
        let failed = ended(&o.summary, EndReason::TimedOut);
        assert!((10..45).contains(&failed), "{failed}");
        assert_eq!(o.truth.sites[3].open_peak, 4);
    });
    // If each SYN is balanced anew, it reaches the dead backend with probability 1/4.
    let mut servers = vec![Server::default(); 3];
    servers.push(Server { is_down: true, ..Server::default() });
    let world = World { servers, balance: Balance::PerSyn, ..World::default() };
    each_seed(&plan(120), &world, |o| {
        assert!(ended(&o.summary, EndReason::TimedOut) < 10);
        assert!((10..50).contains(&o.summary.slow.dials), "{:?}", o.summary.slow);
    });
}

#[test]
fn keepalives_are_answered_and_the_servers_own_move_no_ack() {
    let held = Plan { probe: Probe::All, ..holding(plan(20), Span::from_s(6)) };
    each_seed(&held, &at_server(Server::default()), |o| {
        assert_eq!((o.summary.checks.confirmed(), o.summary.checks.unacknowledged), (20, 0));
    });
    let server = Server { keepalive: Some(Span::from_s(1)), ..Server::default() };
    let path = Path { outage: Some(Window::from(Span::from_s(1))), ..Path::default() };
    each_seed(&held, &World::new(server, path), |o| {
        assert_eq!((o.summary.checks.confirmed(), o.summary.checks.unacknowledged), (0, 20));
    });
}

#[test]
fn a_count_rule_drops_or_rejects_above_its_number() {
    let rule = |refusal| CountRule { max: 30, per: CountPer::All, refusal, linger: Span::ZERO };
    let with = |refusal| on_path(Path { count: Some(rule(refusal)), ..Path::default() });
    each_seed(&plan(50), &with(Refusal::Drop), |o| {
        assert_eq!(o.summary.established_peak, 30);
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 20);
    });
    each_seed(&plan(50), &with(Refusal::Rst), |o| {
        assert_eq!(ended(&o.summary, EndReason::Refused), 20);
    });
    each_seed(&plan(50), &with(Refusal::Icmp(13)), |o| {
        // Six at once and one a second; SYNs of 20 dials at 0, 1 and 2 s.
        let unreachable = ended(&o.summary, EndReason::HostUnreachable);
        assert!((6..=9).contains(&unreachable), "{unreachable}");
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 20 - unreachable);
        assert_eq!((o.icmp[0].code, o.icmp[0].dials), (13, unreachable));
    });
    let rule = CountRule { per: CountPer::Target, ..rule(Refusal::Drop) };
    let world = on_path(Path { count: Some(rule), ..Path::default() });
    let two = Plan { routes: routes(2, 0), ..plan(80) };
    each_seed(&two, &world, |o| assert_eq!(o.summary.established_peak, 60));
}

#[test]
fn a_rate_rule_lets_repeats_through() {
    let rate = RateRule { per_s: 100, burst: 5, refusal: Refusal::Drop };
    let world = on_path(Path { rate: Some(rate), ..Path::default() });
    each_seed(&Plan { dial_timeout: Some(Span::from_s(5)), ..plan(200) }, &world, |o| {
        assert!(o.summary.slow.retransmitted > 50, "{:?}", o.summary.slow);
        assert!(o.summary.established_ever > 150);
    });
}

#[test]
fn loss_delays_dials_by_seconds() {
    let path = Path { loss_permille: 100, delay: ms(10), jitter: ms(5), ..Path::default() };
    let slow = Plan { dial_timeout: Some(Span::from_s(5)), ..plan(200) };
    each_seed(&slow, &on_path(path), |o| {
        // A SYN or its SYN-ACK is lost once in five.
        assert!((20..60).contains(&o.summary.slow.dials), "{:?}", o.summary.slow);
        assert!(o.summary.established_ever >= 195);
        assert!(o.summary.handshake_times.min() >= ms(20));
    });
}

#[test]
fn an_outage_takes_what_is_dialed_in_it() {
    let outage = Window { from: ms(100), to: Span::from_s(6) };
    let world = on_path(Path { outage: Some(outage), ..Path::default() });
    each_seed(&plan(100), &world, |o| {
        let failed = ended(&o.summary, EndReason::TimedOut);
        assert!((49..=51).contains(&failed), "{failed}");
    });
    // Stalled packets are not lost, and arrive together.
    let stall = Window { from: ms(100), to: ms(700) };
    let world = on_path(Path { stall: Some(stall), ..Path::default() });
    each_seed(&plan(100), &world, |o| {
        assert_eq!((o.summary.established_peak, o.summary.slow.dials), (100, 0));
    });
}

#[test]
fn state_that_expired_drops_or_resets() {
    let held = Plan { probe: Probe::All, ..holding(plan(10), Span::from_s(8)) };
    for (resets, reason) in [(false, None), (true, Some(EndReason::HalfOpen))] {
        let expiry = Expiry { idle: ms(900), resets };
        let world = on_path(Path { expiry: Some(expiry), ..Path::default() });
        each_seed(&held, &world, |o| match reason {
            Some(reason) => assert_eq!(ended(&o.summary, reason), 10),
            None => assert_eq!(o.summary.checks.unacknowledged, 10),
        });
    }
}

#[test]
fn filters_and_this_hosts_own_rules_show_in_the_counters() {
    let filtered = |refusal| on_path(Path { filter: Some(refusal), ..Path::default() });
    each_seed(&plan(5), &filtered(Refusal::Drop), |o| {
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 5);
        assert_eq!(o.counters.syn_retrans_failed, 0);
    });
    let from_one = Path { filter_source: Some((1, Refusal::Rst)), ..Path::default() };
    each_seed(&Plan { routes: routes(1, 3), ..plan(15) }, &on_path(from_one), |o| {
        assert_eq!(ended(&o.summary, EndReason::Refused), 5);
    });
    let to_one = Path { filter_target: Some((0, Refusal::Drop)), ..Path::default() };
    each_seed(&Plan { routes: routes(3, 0), ..plan(15) }, &on_path(to_one), |o| {
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 5);
    });
    let server =
        Server { reply: Some(Reply { bytes: 1_400, ..Reply::AT_ONCE }), ..Server::default() };
    let narrow = Path { mtu: Some(1_200), ..Path::default() };
    each_seed(&talking(plan(5), "GET", "200"), &World::new(server, narrow), |o| {
        assert_eq!((o.summary.established_peak, o.summary.checks.no_reply), (5, 5));
    });
    each_seed(&plan(5), &filtered(Refusal::Icmp(1)), |o| {
        assert_eq!(ended(&o.summary, EndReason::HostUnreachable), 5);
        assert!(!o.icmp[0].is_local);
    });
    let at_host = |host| World { servers: vec![Server::default()], host, ..World::default() };
    let world = at_host(Host { output_drop_above: Some(10), ..Host::default() });
    each_seed(&plan(15), &world, |o| {
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 5);
        assert_eq!(o.counters.syn_retrans_failed, o.summary.slow.repeats);
    });
    let world = at_host(Host { is_neighbour_unresolved: true, ..Host::default() });
    let patient = Plan { dial_timeout: Some(Span::from_s(5)), ..plan(5) };
    each_seed(&patient, &world, |o| {
        assert_eq!(ended(&o.summary, EndReason::HostUnreachable), 5);
        assert!(o.icmp[0].is_local);
    });
    let world = at_host(Host { output_reject_above: Some(10), ..Host::default() });
    each_seed(&plan(15), &world, |o| {
        assert_eq!(ended(&o.summary, EndReason::Refused), 5);
        assert!(o.icmp[0].is_local);
    });
    let world = at_host(Host { conntrack_max: Some(12), ..Host::default() });
    each_seed(&plan(15), &world, |o| {
        assert_eq!((o.counters.conntrack_drop, o.counters.syn_retrans_failed), (3 * 3, 3 * 2));
    });
    let world = at_host(Host { neighbours_max: Some(4), ..Host::default() });
    each_seed(&Plan { routes: routes(6, 0), ..plan(12) }, &world, |o| {
        assert_eq!(ended(&o.summary, EndReason::TimedOut), 4);
        assert!(o.counters.neighbour_table_full > 0);
    });
    let world = at_host(Host { kills_at: Some(ms(500)), ..Host::default() });
    each_seed(&holding(plan(12), Span::from_s(1)), &world, |o| {
        assert_eq!(ended(&o.summary, EndReason::Aborted), 12);
    });
    let world = at_host(Host { ports_max: Some(8), ..Host::default() });
    each_seed(&plan(12), &world, |o| assert_eq!(ended(&o.summary, EndReason::NoPorts), 4));
    let world = at_host(Host { descriptors_max: Some(7), ..Host::default() });
    each_seed(&plan(12), &world, |o| assert_eq!(ended(&o.summary, EndReason::NoDescriptors), 5));
}

#[test]
fn the_same_seed_is_the_same_run_with_and_without_stalls() {
    let limit = Limit { on: LimitOn::Open(50), end: End::Fin, has_last_words: true };
    let server = Server { limit: Some(limit), ..Server::default() };
    let path = Path { loss_permille: 50, jitter: ms(3), duplicate_permille: 20, ..Path::default() };
    let world = World::new(server, path);
    let plan = holding(plan(80), Span::from_s(2));
    let (mut differs, mut stalled) = (false, 0);
    for seed in 0..SEEDS {
        for stalls in [Stalls::None, Stalls::Some] {
            let (first, second) =
                (run(&plan, &world, seed, stalls), run(&plan, &world, seed, stalls));
            assert_eq!(first.summary, second.summary, "seed {seed}");
            assert_eq!((first.turns, &first.truth.dials), (second.turns, &second.truth.dials));
            bounded(&first);
            let (from, to) = (|o: &Outcome| o.truth.start, |o: &Outcome| o.truth.end);
            assert!(first.truth.stalls.iter().all(|s| s.0 >= from(&first) && s.1 <= to(&first)));
            assert!(stalls == Stalls::Some || first.truth.stalls.is_empty(), "seed {seed}");
            stalled += first.truth.stalls.len();
        }
        differs |= run(&plan, &world, seed, Stalls::None).summary
            != run(&plan, &world, seed + 1, Stalls::None).summary;
    }
    assert!(differs && stalled >= SEEDS as usize, "{stalled} stalls");
}
