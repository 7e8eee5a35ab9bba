//! The end of a run of a million connections: the table is read into a summary, and that is diagnosed.
//! An operator waits for both, with the sockets still open. Both together are to take 100 ms. Then
//! the outputs, each with its size.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::{Case, diagnose};
use tcpgoon::display::ReportForm;
use tcpgoon::engine::{Action, EndReason, Engine, Event, EventKind, Failure, Key};
use tcpgoon::icmp::IcmpTally;
use tcpgoon::limits::Host;
use tcpgoon::outputs::Format;
use tcpgoon::plan::{Hold, Plan};
use tcpgoon::report::{Report, format, short};
use tcpgoon::route::{Routes, Target};
use tcpgoon::sim::random::Random;
use tcpgoon::units::{Moment, Span};

const CONNECTIONS: [u32; 2] = [10_000, 1_000_000];
const TARGETS: u16 = 20;

/// A dial on loopback.
const TURN: Span = Span::from_us(13);

/// How many turns after its dial a connection fails or opens, and how many later it is closed.
const DECIDED_AFTER: u32 = 20;
const CLOSED_AFTER: u32 = 1_000;

fn main() {
    divan::main();
}

fn plan(connections: u32) -> Plan {
    let target = |port| Target { host: "127.0.0.1".into(), address: ([127, 0, 0, 1], port).into() };
    let routes = Routes::new((1..=TARGETS).map(target).collect(), &[]).expect("a few");
    Plan { hold: Hold::Forever, ..Plan::plain(connections, routes) }
}

/// Three reasons of failed dials and two of closed connections, in random order: no stretch of the
/// timeline is longer than a few dials, which is the worst case.
fn fate(slot: u32) -> Option<EndReason> {
    Some(match Random::new(slot.into()).small(0, 15) {
        0 => EndReason::Refused,
        1 => EndReason::TimedOut,
        2 => EndReason::HostUnreachable,
        3 => EndReason::PeerClosed,
        4 => EndReason::PeerReset,
        _ => return None,
    })
}

fn finished(plan: &Plan) -> Engine {
    let mut engine = Engine::new(plan, Moment(0)).expect("memory");
    let (mut events, mut actions) = (Vec::new(), Vec::new());
    let mut now = Moment(0);
    for turn in 0..plan.connections + CLOSED_AFTER + 2 {
        engine.turn(now, &events, &mut actions);
        events.clear();
        now = now + TURN;
        for action in actions.drain(..) {
            if let Action::Dial(key) = action {
                events.push(Event { at: now, kind: EventKind::Dialed(key) });
            }
        }
        let dialed = |turns_ago: u32| turn.checked_sub(turns_ago).filter(|s| *s < plan.connections);
        let decided = dialed(DECIDED_AFTER).map(|slot| {
            let key = Key { slot, attempt: 0 };
            match fate(slot) {
                Some(reason) if !is_close(reason) => EventKind::Failed(key, failure(reason)),
                _ => EventKind::Opened(key),
            }
        });
        let closed = dialed(CLOSED_AFTER).and_then(|slot| {
            let reason = fate(slot).filter(|reason| is_close(*reason))?;
            Some(EventKind::PeerClosed(Key { slot, attempt: 0 }, failure(reason)))
        });
        events.extend(decided.into_iter().chain(closed).map(|kind| Event { at: now, kind }));
    }
    engine
}

fn is_close(reason: EndReason) -> bool {
    matches!(reason, EndReason::PeerClosed | EndReason::PeerReset)
}

fn failure(reason: EndReason) -> Failure {
    Failure { reason, errno: 0 }
}

/// The table, read into a summary.
#[divan::bench(args = CONNECTIONS, sample_count = 10, sample_size = 1)]
fn summary(bencher: Bencher, connections: u32) {
    let engine = finished(&plan(connections));
    bencher.bench_local(|| black_box(engine.summary()));
}

/// The text, and what the flags write to files: `None` is the text.
const OUTPUTS: [Option<Format>; Format::ALL.len() + 1] = {
    let mut outputs = [None; Format::ALL.len() + 1];
    let mut index = 0;
    while index < Format::ALL.len() {
        outputs[index] = Some(Format::ALL[index]);
        index += 1;
    }
    outputs
};

#[divan::bench(args = OUTPUTS, consts = [100_000, 1_000_000], sample_count = 10, sample_size = 1)]
fn output<const CONNECTIONS: u32>(bencher: Bencher, output: Option<Format>) {
    let plan = plan(CONNECTIONS);
    let engine = finished(&plan);
    let summary = engine.summary();
    let (counters, icmp, limits) = (Counters::default(), IcmpTally::default(), Host::default());
    let report = Report {
        target: "20 targets",
        plan: &plan,
        command_line: "tcpgoon",
        host: None,
        start_unix_ns: 0,
        end_unix_ns: summary.end.since(summary.start).0,
        summary: &summary,
        turn_longest: TURN,
        counters: &counters,
        icmp: &icmp,
        limits: &limits,
        findings: &[],
        last_lines: &[],
        ended_by: None,
        lines_dropped: 0,
        judged: &[],
        exit_code: 2,
    };
    let diagnosis = diagnose(&report.case());
    let write = || match output {
        Some(format) => format::write(format, &report, &diagnosis),
        None => short::report(&report, &diagnosis, ReportForm::Full, 80),
    };
    let bytes = write().len();
    println!("{output:?} of {CONNECTIONS} connections: {bytes} bytes");
    bencher.counter(BytesCount::new(bytes)).bench_local(|| black_box(write()));
}

/// The summary, diagnosed.
#[divan::bench(args = CONNECTIONS, sample_count = 10, sample_size = 1)]
fn diagnosis(bencher: Bencher, connections: u32) {
    let plan = plan(connections);
    let summary = finished(&plan).summary();
    let (counters, icmp) = (Counters::default(), IcmpTally::default());
    let case = Case {
        plan: &plan,
        summary: &summary,
        counters: &counters,
        icmp: &icmp,
        findings: &[],
        last_lines: &[],
    };
    assert!(summary.ended_by(EndReason::PeerReset) > 0 && !diagnose(&case).problems.is_empty());
    bencher.bench_local(|| black_box(diagnose(&case)));
}
