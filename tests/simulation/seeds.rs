//! Seeded runs of the unmodified engine on a fake network and a virtual clock, with the reference
//! model as the observer.
//!
//! `SIM_SEEDS=20000` runs more, `SIM_SEED=17` replays one and prints its trace.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use tcpgoon::diagnosis::model::Diagnosis;
use tcpgoon::engine::{Action, EndReason, Event, EventKind, Key, TcpInfoPurpose};
use tcpgoon::engine::{Engine, Summary};
use tcpgoon::sim::{Behaviour, Observer, Outcome, Record, Sim, TIMED_SEEDS};
use tcpgoon::units::{Moment, Span, Tick};

use crate::report_invariants::{Beside, contradictions, html_faults, reported, short_faults};
use crate::shadow::Shadow;

const SEEDS_DEFAULT: u64 = 320;
const HOUR: Span = Span::from_s(3_600);

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seeds() -> u64 {
    from_environment("SIM_SEEDS").unwrap_or(SEEDS_DEFAULT)
}

/// How many of the runs have a duration.
fn timed_seeds() -> u64 {
    seeds() / 2
}

/// The model, with a lie that changes its records.
struct Misled<'a> {
    shadow: Shadow,
    lie: &'a mut dyn FnMut(&mut Record),
}

impl Observer for Misled<'_> {
    fn turn(&mut self, engine: &Engine, record: &Record) -> Result<(), String> {
        let mut record = record.clone();
        (self.lie)(&mut record);
        self.shadow.turn(engine, &record)
    }

    fn end(&mut self, engine: &Engine, summary: &Summary) -> Result<(), String> {
        self.shadow.end(engine, summary)
    }
}

/// Runs one seed. `Err` is a text that begins with the seed, also for a panic.
fn attempt(sim: &mut Sim, seed: u64, lie: &mut dyn FnMut(&mut Record)) -> Result<Outcome, String> {
    let mut observer = Misled { shadow: Shadow::new(sim.plan(), sim.start()), lie };
    match catch_unwind(AssertUnwindSafe(|| sim.run(&mut observer))) {
        Ok(outcome) => outcome.map_err(|violation| violation.to_string()).map(|mut outcome| {
            outcome.marks.append(&mut observer.shadow.marks);
            outcome
        }),
        Err(panic) => Err(format!("seed {seed}: {}", words(&*panic))),
    }
}

/// The same, and checks its report.
fn attempt_and_report(sim: &mut Sim, seed: u64) -> Result<Outcome, String> {
    let outcome = attempt(sim, seed, &mut |_| {})?;
    let report = || {
        let (diagnosis, text) = reported(sim.plan(), &outcome.summary, &Beside::default());
        let mut found = contradictions(sim.plan(), &outcome.summary, &diagnosis, &text);
        let beside = Beside::default();
        let (plan, summary) = (sim.plan(), &outcome.summary);
        // They take longer than the run.
        match seed % 8 {
            0 => found.extend(short_faults(plan, summary, &beside, &diagnosis)),
            1 => found.extend(html_faults(plan, summary, &beside, (&diagnosis, &text))),
            _ => {}
        }
        (found, text)
    };
    match catch_unwind(AssertUnwindSafe(report)) {
        Ok((found, _)) if found.is_empty() => Ok(outcome),
        Ok((found, text)) => Err(format!("seed {seed}: {}\n{text}", found.join("\n"))),
        Err(panic) => Err(format!("seed {seed}: its report: {}", words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Runs one seed that must pass; if it fails, with its trace.
fn hold(seed: u64) -> Outcome {
    let outcome = attempt_and_report(&mut Sim::new(seed, false), seed);
    outcome.unwrap_or_else(|words| panic!("{}", explained(seed, &words)))
}

/// The failure of a seed, and the end of its trace.
fn explained(seed: u64, words: &str) -> String {
    let mut sim = Sim::new(seed, true);
    let _ = attempt(&mut sim, seed, &mut |_| {});
    let trace = sim.trace();
    let tail: Vec<&str> = trace.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    let tail = tail.join("\n");
    format!("{words}\nthe end of its trace (SIM_SEED={seed} prints it all):\n{tail}\n{words}")
}

/// Which seeds have their report checked: of many only every fourth, as a report takes longer than most
/// runs.
fn is_reported(seed: u64) -> bool {
    seeds() <= 1_000 || seed.is_multiple_of(4)
}

/// What is kept of a run: a summary has 70 KiB.
struct Kept {
    turns: u64,
    marks: BTreeMap<&'static str, u64>,
    met: [u64; Behaviour::ALL.len()],
    ended_by: [u64; EndReason::COUNT],
}

impl From<Outcome> for Kept {
    fn from(outcome: Outcome) -> Kept {
        let Outcome { turns, marks, met, summary, .. } = outcome;
        Kept { turns, marks, met, ended_by: summary.flow }
    }
}

/// Runs all seeds once, on all processors, for all tests.
fn all() -> &'static BTreeMap<u64, Kept> {
    static ALL: OnceLock<BTreeMap<u64, Kept>> = OnceLock::new();
    ALL.get_or_init(|| {
        let (next, outcomes) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
        let failures = Mutex::new(BTreeMap::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let index = next.fetch_add(1, Ordering::Relaxed)
                        && index < seeds() + timed_seeds()
                    {
                        let timed = index.checked_sub(seeds()).map(|above| TIMED_SEEDS + above);
                        let seed = timed.unwrap_or(index);
                        let mut sim = Sim::new(seed, false);
                        let outcome = match is_reported(seed) {
                            true => attempt_and_report(&mut sim, seed),
                            false => attempt(&mut sim, seed, &mut |_| {}),
                        };
                        match outcome {
                            Ok(outcome) => {
                                outcomes.lock().unwrap().insert(seed, Kept::from(outcome));
                            }
                            Err(words) => _ = failures.lock().unwrap().insert(seed, words),
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap();
        for words in failures.values() {
            println!("{}", words.lines().next().unwrap_or_default());
        }
        if let Some((seed, words)) = failures.first_key_value() {
            panic!("{} seeds fail; {}", failures.len(), explained(*seed, words));
        }
        outcomes.into_inner().unwrap()
    })
}

#[test]
fn the_reference_model_objects_to_no_seed() {
    if let Some(seed) = from_environment("SIM_SEED") {
        let mut sim = Sim::new(seed, true);
        let outcome = attempt_and_report(&mut sim, seed);
        println!("{}", sim.trace());
        let outcome = outcome.unwrap_or_else(|words| panic!("{words}"));
        println!("seed {seed}: {} turns, {:#?}", outcome.turns, outcome.marks);
        return;
    }
    let turns: u64 = all().values().map(|outcome| outcome.turns).sum();
    println!("{} seeds, {turns} turns", all().len());
    assert_eq!(all().len() as u64, seeds() + timed_seeds());
}

/// The checks of reports can fail: each lie about a run is detected.
#[test]
fn a_report_that_contradicts_its_run_is_detected() {
    type Lie = fn(&mut Diagnosis, &mut String);
    let lies: [(&str, Lie); 9] = [
        ("sustained more than the peak", |d, _| d.reached.sustained = d.reached.peak + 1),
        ("more open at once than ever", |d, _| d.reached.established_ever = 0),
        ("a share over the whole", |d, _| {
            d.problems.iter_mut().for_each(|problem| problem.share.hits = problem.share.all + 1);
        }),
        ("no candidate", |d, _| d.problems.iter_mut().for_each(|p| p.candidates.clear())),
        ("another exit code", |d, _| d.exit_code = 2 - d.exit_code.min(1)),
        ("another word", |_, text| *text = text.replace("LIMIT", "OK")),
        ("a long line", |_, text| *text = text.replace("\nCause, ", &"-".repeat(80))),
        ("a quarter is nearly every", |_, text| {
            text.push_str("Nearly every dial failed (1 of 4).\n")
        }),
        ("a level above the peak", |_, text| text.push_str("Above 1000000 open, ...\n")),
    ];
    let mut seen = [0; 9];
    for seed in 0..40 {
        let mut sim = Sim::new(seed, false);
        let outcome = attempt(&mut sim, seed, &mut |_| {}).unwrap();
        let honest = reported(sim.plan(), &outcome.summary, &Beside::default());
        for (seen, (name, lie)) in seen.iter_mut().zip(lies) {
            let (mut diagnosis, mut text) = honest.clone();
            lie(&mut diagnosis, &mut text);
            if (&diagnosis, &text) != (&honest.0, &honest.1) {
                let found = contradictions(sim.plan(), &outcome.summary, &diagnosis, &text);
                assert!(!found.is_empty(), "seed {seed}: {name}\n{text}");
                *seen += 1;
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..32 {
        let (first, second) = (hold(seed), hold(seed));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.turns, second.turns, "seed {seed}");
        assert_eq!(first.summary, second.summary, "seed {seed}");
    }
    assert_ne!(hold(1).hash, hold(2).hash, "seeds 1 and 2 are the same run");
}

#[test]
fn the_seeds_cover_every_behaviour_every_end_reason_and_every_mark() {
    if seeds() < SEEDS_DEFAULT {
        println!("skipped: SIM_SEEDS={} is too few to reach everything", seeds());
        return;
    }
    let mut missing: Vec<String> = Vec::new();
    for behaviour in Behaviour::ALL {
        if all().values().all(|outcome| outcome.met[behaviour as usize] == 0) {
            missing.push(format!("{behaviour:?}"));
        }
    }
    for reason in EndReason::ALL {
        if all().values().all(|outcome| outcome.ended_by[reason as usize] == 0) {
            missing.push(format!("{reason:?}"));
        }
    }
    for reached in [
        "not initiated to dialing",
        "dialing to established",
        "dialing to error",
        "established to closed",
        "a dial timeout",
        "a dial timeout deferred",
        "opened when its timeout was due",
        "a drain cut short",
        "a drain deferred",
        "a full batch",
        "a pause",
        "a gap",
        "a gap in which it was stopped",
        "readiness that was stamped before its poll",
        "no connection sustained",
        "less than the peak sustained",
        "the peak sustained",
        "a schedule caught up",
        "a note",
        "a dial skipped",
        "an exhausted route cleared",
        "a port on an exhausted route",
        "a slow dial",
        "a SYN repeated",
        "a reply",
        "a reply when its timeout was due",
        "a reply timeout deferred",
        "a deferred reply timeout",
        "a reply in a final drain",
        "a reply read late",
        "read as soon as reported",
        "no reply",
        "a wrong reply",
        "a late reply",
        "a close before the reply",
        "the end waits for checks",
        "a check deferred",
        "a keepalive",
        "confirmed",
        "a SYN-ACK repeated",
        "other traffic",
        "an unknown outcome",
        "a keepalive not set",
        "a keepalive reset",
        "a SYN-ACK doubt",
        "an extra read",
        "a late acknowledgement",
        "a connection lost",
        "a watch round",
        "a last round",
        "first checks at the end of the hold",
        "the host was suspended",
        "a keepalive unacknowledged",
        "a keepalive pending at the end",
        "a keepalive of a sample pending at the end",
        "a FIN before the keepalive",
        "an end that decides nothing",
        "not in the sample",
        "half open",
        "a suspect",
        "a suspect half open",
        "a suspect without an acknowledgement",
        "a suspect above the maximum",
        "a slow dial above the maximum of suspects",
        "max errors",
        "a signal before any dial",
        "a signal between the dials",
        "a signal in the hold",
        "bogus: wrong attempt",
        "bogus: wrong slot",
        "bogus: never dialed",
        "bogus: already over",
        "bogus: wrong reason",
        "bogus: dialed twice",
        "bogus: nothing to read",
        "bogus: a reply without bytes",
        "bogus: TCP_INFO that was not read",
        "the time up before the last dial",
        "a lifetime over",
        "late for a slot",
        "late for a port",
        "late by this host",
        "a lifetime of nothing",
        "a slot dialed again after its lifetime",
        "a slot dialed again after an error or a close",
        "a free slot without a port",
        "a port freed by our own close",
        "bogus: not dialed again",
        "a churn beside held connections",
        "a held connection checked again",
        "a held connection answered",
        "a held connection did not answer",
        "a held connection ended",
        "exit code 0",
        "exit code 1",
        "exit code 2",
    ] {
        let seeds = all().values().filter(|outcome| outcome.marks.contains_key(reached)).count();
        println!("{reached}: by {seeds} seeds");
        if seeds < 2 {
            missing.push(format!("{reached} (by {seeds} seeds)"));
        }
    }
    assert!(missing.is_empty(), "not reached by seeds 0..{}: {missing:?}", seeds());
}

/// However this host is paused, stopped or suspended, no healthy connection is called unacknowledged or
/// half-open. The simulation compares every outcome with its server; here they are counted.
#[test]
fn stalls_make_no_connection_unacknowledged_or_half_open() {
    let resets = [Behaviour::HalfOpen, Behaviour::Reset, Behaviour::Flood];
    let mut compared = BTreeMap::new();
    for (seed, run) in all() {
        let reset: u64 = resets.iter().map(|of| run.met[*of as usize]).sum();
        assert!(run.ended_by[EndReason::HalfOpen as usize] <= reset, "seed {seed}");
        if run.marks.contains_key("a pause") || run.marks.contains_key("a gap") {
            let marks = run.marks.iter().filter(|(mark, _)| mark.starts_with("compared: "));
            marks.for_each(|(mark, count)| *compared.entry(*mark).or_insert(0) += count);
        }
    }
    println!("in runs with pauses: {compared:?}");
    if seeds() >= SEEDS_DEFAULT {
        assert!(compared.len() == 4 && compared.values().all(|count| *count > 10), "{compared:?}");
    }
}

/// In how many of 64 seeds `lie` changes a record, and in how many the model objects.
fn caught(lie: impl Fn(&mut Record) -> bool) -> (u32, u32) {
    let (mut lies, mut caught) = (0, 0);
    for seed in 0..64 {
        let mut lied = false;
        let mut tamper = |record: &mut Record| lied = lied || lie(record);
        let mut sim = Sim::new(seed, false);
        if sim.connections() > 500 {
            // These take longer than all others together.
            continue;
        }
        let outcome = attempt(&mut sim, seed, &mut tamper);
        if let Err(words) = &outcome {
            assert!(words.contains(&format!("seed {seed}")), "{words} does not name its seed");
        }
        lies += u32::from(lied);
        caught += u32::from(lied && outcome.is_err());
    }
    (lies, caught)
}

/// Removes the first action or event that fits.
fn remove<T>(all: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> bool {
    let place = all.iter().position(fits);
    place.is_some_and(|place| {
        all.remove(place);
        true
    })
}

/// Repeats the first action that fits.
fn repeat(actions: &mut Vec<Action>, fits: impl Fn(&Action) -> bool) -> bool {
    let place = actions.iter().position(fits);
    place.is_some_and(|place| {
        actions.insert(place, actions[place]);
        true
    })
}

#[test]
fn the_model_objects_to_every_lie() {
    type Lie = fn(&mut Record) -> bool;
    let lies: [(&str, Lie); 30] = [
        ("a close too many", |r| repeat(&mut r.actions, |a| matches!(a, Action::Close(_)))),
        ("a close missing", |r| remove(&mut r.actions, |a| matches!(a, Action::Close(_)))),
        ("a dial too many", |r| repeat(&mut r.actions, |a| matches!(a, Action::Dial(_)))),
        ("a dial missing", |r| remove(&mut r.actions, |a| matches!(a, Action::Dial(_)))),
        ("a dial of no slot", |r| {
            r.actions.push(Action::Dial(Key { slot: 1_000, attempt: 0 }));
            true
        }),
        ("a drain too many", |r| repeat(&mut r.actions, |a| matches!(a, Action::Drain(_)))),
        ("a drain missing", |r| remove(&mut r.actions, |a| matches!(a, Action::Drain(_)))),
        ("a sample too many", |r| repeat(&mut r.actions, |a| *a == Action::Sample)),
        ("a sample missing", |r| remove(&mut r.actions, |a| *a == Action::Sample)),
        ("a note missing", |r| remove(&mut r.actions, |a| matches!(a, Action::Note(..)))),
        ("a TCP_INFO read too many", |r| {
            repeat(&mut r.actions, |a| matches!(a, Action::ReadTcpInfo(..)))
        }),
        ("a TCP_INFO read missing", |r| {
            remove(&mut r.actions, |a| matches!(a, Action::ReadTcpInfo(..)))
        }),
        ("a keepalive too many", |r| {
            repeat(&mut r.actions, |a| matches!(a, Action::StartKeepalive(_)))
        }),
        ("a keepalive missing", |r| {
            remove(&mut r.actions, |a| matches!(a, Action::StartKeepalive(_)))
        }),
        ("a keepalive stop too many", |r| {
            repeat(&mut r.actions, |a| matches!(a, Action::StopKeepalive(_)))
        }),
        ("a keepalive stop missing", |r| {
            remove(&mut r.actions, |a| matches!(a, Action::StopKeepalive(_)))
        }),
        ("a send too many", |r| repeat(&mut r.actions, |a| matches!(a, Action::Send(_)))),
        ("a send missing", |r| remove(&mut r.actions, |a| matches!(a, Action::Send(_)))),
        ("a reply hidden", |r| {
            remove(&mut r.events, |e| matches!(e.kind, EventKind::ReplyMatched(_)))
        }),
        ("a gap hidden", |r| remove(&mut r.events, |e| matches!(e.kind, EventKind::Gap { .. }))),
        ("a TCP_INFO hidden", |r| {
            // Only those that change a count.
            remove(&mut r.events, |e| match e.kind {
                EventKind::TcpInfo(_, TcpInfoPurpose::Rtt, look) => {
                    look.total_retrans == 0 && look.rtt.is_some()
                }
                EventKind::TcpInfo(_, TcpInfoPurpose::Slow, look) => look.total_retrans > 0,
                _ => false,
            })
        }),
        ("a deadline too many", |r| {
            let place = (0..).zip(&r.deadlines).position(|(slot, (armed, _))| slot != *armed);
            place.is_some_and(|place| {
                r.deadlines.insert(place, (place as u32, Tick(u64::MAX / Tick::LENGTH.0)));
                true
            })
        }),
        ("a deadline missing", |r| r.deadlines.pop().is_some()),
        ("a deadline too late", |r| {
            let last = r.deadlines.last_mut();
            last.is_some_and(|(_, due)| {
                *due = Tick(due.0 + 1_000_000);
                true
            })
        }),
        ("an opening hidden", |r| {
            remove(&mut r.events, |e| matches!(e.kind, EventKind::Opened(_)))
        }),
        ("a wake-up too late", |r| {
            // While a deadline moves down the wheel the engine may be due early, so a small delay is
            // allowed.
            let late = if r.deadlines.is_empty() { Span(1) } else { HOUR };
            r.next_due = r.next_due.map(|due| due + late);
            r.next_due > Some(r.now + late)
        }),
        ("a wake-up missing", |r| r.next_due.take().is_some()),
        ("a false end", |r| {
            r.over = !r.over;
            true
        }),
        ("a timeout too early", |r| {
            let ends = r.actions.iter().filter(|a| matches!(a, Action::Close(_))).count();
            let reported =
                |e: &&Event| matches!(e.kind, EventKind::Failed(..) | EventKind::PeerClosed(..));
            let timed_out = ends > r.events.iter().filter(reported).count();
            // An hour earlier it is too soon.
            r.now = if timed_out { Moment(r.now.0.saturating_sub(HOUR.0)) } else { r.now };
            timed_out
        }),
        ("a connection counted twice", |r| {
            r.levels[0] += 1;
            true
        }),
    ];
    for (name, lie) in lies {
        let (lies, caught) = caught(lie);
        println!("{name}: {caught} of {lies} detected");
        assert!(lies >= 5, "{name}: only {lies} seeds allow it");
        assert_eq!(caught, lies, "{name}: the model did not object");
    }
}
