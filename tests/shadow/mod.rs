//! The reference model: what the engine should be and do, told from the design and not from its
//! code. It shares nothing with the engine but the vocabulary: events, actions, plan, summary.
//!
//! It keeps a record of its own for each connection, in the plainest way (lists, scans, repeated
//! addition), is shown each turn as the driver saw it, and objects to whatever it would not have
//! done. The simulation, the exhaustive walk and the fuzzer show it theirs.
#![allow(dead_code, reason = "each test uses a part of it")]

mod checks;
mod deadlines;
mod distribution;
mod events;
mod failures;
mod gaps;
mod rounds;
mod routing;
mod summary;

use std::collections::{BTreeMap, VecDeque};

use tcpgoon::engine::{Action, EndReason, Engine, Key, PAUSE_MIN, State, Summary, TcpInfoPurpose};
use tcpgoon::plan::{Hold, Plan};
use tcpgoon::sim::{Observer, Record};
use tcpgoon::units::{Moment, Span, low_32};

use deadlines::Seen;
use failures::Sighting;
use rounds::Rounds;
use routing::Routing;
use summary::{Seat, Times};

/// What the shadow objects to, in words.
pub type Verdict = Result<(), String>;

macro_rules! check {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use check;

#[derive(Debug, Clone)]
pub struct Shadow {
    pub plan: Plan,
    pub start: Moment,
    pub seats: Vec<Seat>,
    pub now: Moment,
    pub(crate) turn: u64,
    next_due: Option<Moment>,
    pub(crate) asked: u32,
    shift: Span,
    not_before: Moment,
    pub(crate) ready: VecDeque<u32>,
    /// Those whose answer is due, to be drained in this turn.
    pub(crate) final_drains: Vec<u32>,
    /// What the kernel was asked in the turn before, and has not told yet.
    pub(crate) looks: Vec<(Key, TcpInfoPurpose)>,
    pub(crate) full_turns: u32,
    /// Turns in which nothing was heard, said or put off.
    idle_turns: u32,
    /// Whether the engine had reason to ask for a turn at once.
    busy: bool,
    sample_due: Option<Moment>,
    decided_at: Option<Moment>,
    pub stopped: bool,
    pub gave_up: bool,
    pub over: bool,
    pub peak: u32,
    pub ignored: u64,
    pub bytes: u64,
    closed_at: Option<Moment>,
    pub(super) gaps: Vec<(Moment, Moment, bool)>,
    /// Whether one of them began before something that was reported already.
    pub(super) is_revised: bool,
    /// Every change of how many are open, and when it was stamped.
    pub(super) changes: Vec<(Moment, i64, Moment)>,
    /// Until when this host was not looking, each time.
    pub(crate) stalls: Vec<Moment>,
    /// When a look was so late that the next one was due.
    late_at: Option<Moment>,
    pub(crate) rounds: Rounds,
    pub dialed: Vec<Moment>,
    pub established: Times,
    pub failed: Times,
    pub lateness: Times,
    pub(crate) routing: Routing,
    pub timeout_lateness_max: Span,
    pub(crate) last_rtt: Option<Moment>,
    pub handshakes: Times,
    pub first_bytes: Times,
    pub lifetimes: Times,
    /// Given up by the kernel while a keepalive was out.
    pub(crate) lost: u64,
    pub(crate) sightings: Vec<(EndReason, Sighting)>,
    pub(crate) misses: Vec<Sighting>,
    pub(crate) retransmitted: u64,
    pub(crate) repeats: u64,
    pub(crate) suspects_taken: u32,
    pub(crate) suspects_looked_at: u64,
    pub(crate) suspects_half_open: u64,
    pub(crate) suspects_unacknowledged: u64,
    /// What the run came across, and how often: so that a test can tell whether it tested
    /// anything.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Shadow {
    pub fn new(plan: &Plan, start: Moment) -> Shadow {
        Shadow {
            plan: plan.clone(),
            start,
            seats: vec![Seat::FRESH; plan.connections as usize],
            now: start,
            turn: 0,
            next_due: Some(start),
            asked: 0,
            shift: Span::ZERO,
            not_before: start,
            ready: VecDeque::new(),
            final_drains: Vec::new(),
            looks: Vec::new(),
            full_turns: 0,
            idle_turns: 0,
            busy: true,
            sample_due: Some(start),
            decided_at: None,
            stopped: false,
            gave_up: false,
            over: false,
            peak: 0,
            ignored: 0,
            bytes: 0,
            closed_at: None,
            gaps: Vec::new(),
            is_revised: false,
            changes: Vec::new(),
            stalls: Vec::new(),
            late_at: None,
            rounds: Rounds::default(),
            dialed: Vec::new(),
            established: Times::default(),
            failed: Times::default(),
            lateness: Times::default(),
            routing: Routing::new(plan),
            timeout_lateness_max: Span::ZERO,
            last_rtt: None,
            handshakes: Times::default(),
            first_bytes: Times::default(),
            lifetimes: Times::default(),
            lost: 0,
            sightings: Vec::new(),
            misses: Vec::new(),
            retransmitted: 0,
            repeats: 0,
            suspects_taken: 0,
            suspects_looked_at: 0,
            suspects_half_open: 0,
            suspects_unacknowledged: 0,
            marks: BTreeMap::new(),
        }
    }

    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    /// How many seats are in `state`, counted.
    pub fn level(&self, state: State) -> u32 {
        self.seats.iter().map(|seat| u32::from(seat.state == state)).sum()
    }

    pub fn levels(&self) -> [u32; State::COUNT] {
        State::ALL.map(|state| self.level(state))
    }

    /// A slot that nobody asked to dial yet.
    pub fn unasked(&self) -> Option<u32> {
        (self.asked < self.plan.connections).then_some(self.asked)
    }

    /// Looks at one turn.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn watch(&mut self, record: &Record) -> Verdict {
        self.turn += 1;
        check!(!self.over, "a turn after the run was over");
        check!(record.now >= self.now, "the clock went backwards");
        self.notice_pause(record.now);
        self.now = record.now;
        let limits = self.plan.limits;
        let (events, actions) = (record.events.len(), record.actions.len());
        check!(events <= limits.turn_events_max(), "{events} events are too many");
        check!(actions <= limits.turn_actions_max(), "{actions} actions are too many");

        let answers = self.take_all(&record.events);
        let (mine, rest) = record.actions.split_at(answers.len().min(actions));
        check!(mine == answers, "the events should lead to {answers:?}, not {mine:?}");
        let (seen, rest) = self.expiries(record, rest)?;
        let rest = self.ask_again(rest)?;
        let rest = self.sample(rest)?;
        self.conclude();
        let rest = self.final_drains(rest)?;
        let rest = self.drains(rest)?;
        let rest = self.dials(rest)?;
        check!(rest.is_empty(), "{rest:?} came out of order");

        check!(record.over == self.over, "over is {}, and should be {}", record.over, self.over);
        let levels = self.levels();
        check!(record.levels == levels, "the levels are {:?}, not {levels:?}", record.levels);
        self.awaits(record)?;
        self.overdue()?;
        self.idle(record)?;
        self.wake(record, seen)?;
        self.next_due = record.next_due;
        self.looks = looks(&record.actions);
        Ok(())
    }

    /// The schedule moves by whatever the loop overslept by more than a second.
    fn notice_pause(&mut self, now: Moment) {
        let Some(due) = self.next_due else { return };
        let overslept = now.since(due.max(self.now));
        if overslept > Span::from_ms(100) {
            self.stalls.push(now);
        }
        if overslept > PAUSE_MIN {
            self.mark("a pause");
            self.shift = self.shift + overslept;
        }
    }

    pub(crate) fn state(&self, key: Key) -> Option<State> {
        let seat = self.seats.get(key.slot as usize)?;
        (key.attempt == 0).then_some(seat.state)
    }

    pub(crate) fn scheduled(&self, index: u32) -> Moment {
        self.start + self.plan.pace.offset(index) + self.shift
    }

    pub(crate) fn unheard(&self) -> bool {
        let batches = self.plan.connections.div_ceil(self.plan.limits.events_max);
        self.full_turns > 0 && self.full_turns <= batches
    }

    fn sample<'a>(&mut self, actions: &'a [Action]) -> Result<&'a [Action], String> {
        let due = self.sample_due.filter(|due| *due <= self.now);
        let asked = actions.first() == Some(&Action::Sample);
        check!(asked == due.is_some(), "a sample was due at {:?}", self.sample_due);
        if let Some(mut due) = due {
            self.sample_due = self.plan.interval.map(|interval| {
                while due <= self.now {
                    due = due + interval;
                }
                due
            });
        }
        Ok(&actions[usize::from(asked)..])
    }

    /// When it has held for long enough, and has settled: no close for 100 ms, or no more time for
    /// that, or nothing left that could be closed.
    fn hold_end(&self) -> Option<Moment> {
        let (decided_at, Hold::For(span)) = (self.decided_at?, self.plan.hold) else { return None };
        let mut end = decided_at + span;
        if self.level(State::Established) > 0 {
            let last = self.closed_at.unwrap_or(decided_at).max(decided_at);
            let (quiet, latest) = (last + Span::from_ms(100), decided_at + self.plan.settle);
            end = end.max(quiet.min(latest));
        }
        Some(end)
    }

    fn conclude(&mut self) {
        let undecided = self.level(State::NotInitiated) + self.level(State::Dialing);
        if undecided == 0 && self.decided_at.is_none() {
            self.decided_at = Some(self.now);
        }
        let held = self.hold_end().is_some_and(|end| end <= self.now) && !self.unheard();
        if held && self.is_waiting() {
            self.mark("answers waited for");
        }
        if self.has_enough() {
            self.mark("gave up");
            self.gave_up = true;
        }
        self.over = self.stopped || self.gave_up || (held && !self.is_waiting());
        if self.stopped {
            self.mark(match undecided {
                0 if held => "a signal as it was over anyway",
                0 => "a signal in the hold",
                all if all == self.plan.connections && self.asked == 0 => {
                    "a signal before any dial"
                }
                _ => "a signal between the dials",
            });
        }
    }

    /// Whether there are as many errors and closes as the operator puts up with.
    fn has_enough(&self) -> bool {
        let ended = self.level(State::Error) + self.level(State::Closed);
        self.plan.errors_max.is_some_and(|most| u64::from(ended) >= most)
    }

    /// One drain of each whose answer is due, in any order.
    fn final_drains<'a>(&mut self, actions: &'a [Action]) -> Result<&'a [Action], String> {
        let mut due = std::mem::take(&mut self.final_drains);
        due.retain(|_| !self.over);
        let (last, rest) = actions.split_at(due.len().min(actions.len()));
        let is_last =
            |slot: &u32| last.contains(&Action::DrainFully(Key { slot: *slot, attempt: 0 }));
        check!(due.iter().all(is_last), "{due:?} are to be drained, and not {last:?}");
        Ok(rest)
    }

    fn drains<'a>(&mut self, actions: &'a [Action]) -> Result<&'a [Action], String> {
        let mut count = 0;
        let most = self.plan.limits.drains_max as usize;
        while let Some(Action::Drain(key)) = actions.get(count) {
            check!(!self.over, "{key:?} is drained after the end");
            let open = self.state(*key) == Some(State::Established);
            check!(open, "{key:?} is drained, but not established");
            let place = self.ready.iter().position(|slot| *slot == key.slot);
            check!(place.is_some(), "{key:?} is drained for nothing");
            place.and_then(|place| self.ready.remove(place));
            count += 1;
        }
        check!(count <= most, "{count} drains in a turn are too many");
        if !self.over {
            let (seats, turn) = (&self.seats, self.turn);
            let gone = |slot: u32| seats[slot as usize].state != State::Established;
            let late = |slot: u32| seats[slot as usize].drained_by <= turn;
            let starved = self.ready.iter().find(|slot| !gone(**slot) && late(**slot));
            check!(starved.is_none(), "slot {starved:?} is starved by the others");
            self.ready.retain(|slot| !(gone(*slot) && late(*slot)));
            if !self.ready.is_empty() {
                self.mark("a drain put off");
            }
        }
        Ok(&actions[count..])
    }

    fn dials<'a>(&mut self, mut rest: &'a [Action]) -> Result<&'a [Action], String> {
        let limits = self.plan.limits;
        let (mut dials, mut skipped) = (0, 0);
        // Those that need no dial come first, and one of them may be an error too many.
        while !self.over && self.dial_due().is_some_and(|due| due <= self.now) {
            let key = Key { slot: self.asked, attempt: 0 };
            let mut expected = Vec::new();
            if self.routing.is_forgone(key.slot, self.now) {
                if dials > 0 || skipped == limits.skips_max {
                    break;
                }
                skipped += 1;
                self.skip_dial(key, &mut expected);
            } else if dials == limits.dials_max {
                break;
            } else {
                dials += 1;
                self.routing.dial(key.slot, self.now);
                expected.push(Action::Dial(key));
            }
            if self.scheduled(self.asked) < self.not_before {
                self.mark("a schedule caught up");
            }
            self.asked += 1;
            self.not_before = self.now + Span(self.plan.pace.offset(1).0 / 2);
            check!(rest.starts_with(&expected), "{expected:?} was due, not {rest:?}");
            rest = &rest[expected.len()..];
            if !matches!(expected[..], [Action::Dial(_)]) {
                self.busy = true;
                self.conclude();
            }
        }
        Ok(rest)
    }

    fn dial_due(&self) -> Option<Moment> {
        let due = self.scheduled(self.asked).max(self.not_before);
        (self.asked < self.plan.connections).then_some(due)
    }

    /// A turn of nothing moves deadlines down the wheel, or finds closed what was ready; there is
    /// an end to both.
    fn idle(&mut self, record: &Record) -> Verdict {
        let nothing = record.events.is_empty() && record.actions.is_empty();
        self.idle_turns += u32::from(nothing && !self.busy);
        // For a dial, a reply, a keepalive, its reads and the last word, in each round.
        let (idle, most) =
            (self.idle_turns, 9 * 6 * self.plan.connections * (2 + self.rounds.begun) + 2);
        check!(idle <= most, "it spins: {idle} turns of nothing");
        Ok(())
    }

    /// Whether the engine wants to be woken when there is something to do, and not sooner.
    fn wake(&mut self, record: &Record, seen: Seen) -> Verdict {
        let next = record.next_due;
        if self.over {
            check!(next.is_none(), "it is over, and still due at {next:?}");
            return Ok(());
        }
        let past = |due: Option<Moment>| due.is_some_and(|due| due <= record.now);
        let live = |slot: &u32| self.seats[*slot as usize].state == State::Established;
        self.busy = self.unheard() || self.ready.iter().any(live) || self.is_asking();
        if self.busy {
            check!(past(next), "due at {next:?} instead of now");
            return Ok(());
        }
        let wheel = (0..self.plan.connections).filter_map(|slot| self.tick_due(slot)).min();
        let end = self.hold_end().filter(|_| !self.is_waiting());
        let others = [self.dial_due(), self.sample_due, end, self.round_due()];
        let wanted = others.into_iter().flatten().chain(wheel).min();
        let latest = wanted.map(|wanted| wanted.max(record.now));
        let late = latest.is_some_and(|latest| next.is_none_or(|next| next > latest));
        check!(!late, "due at {next:?} instead of {wanted:?}");
        // With no deadline to move about there is nothing to wake up for before the time.
        let exact = wheel.is_none() && self.ready.is_empty();
        check!(!exact || next == latest, "due at {next:?}, before {wanted:?}, for nothing");
        let work = 6 * low_32(record.deadlines.len() as u64) + seen.cost_from_above();
        let deferred = work >= self.plan.limits.expiries_max || !self.ready.is_empty();
        let reason = deferred || past(self.dial_due());
        check!(reason || !past(next), "due at {next:?}, which has passed, for nothing");
        Ok(())
    }
}

impl Observer for Shadow {
    fn turn(&mut self, engine: &Engine, record: &Record) -> Verdict {
        self.watch(record)?;
        for slot in 0..self.plan.connections {
            let awaits = engine.expects_reply(Key { slot, attempt: 0 });
            let same = awaits == self.awaits_answer(slot);
            check!(same, "slot {slot}: to await an answer is {awaits}, and should not be");
        }
        Ok(())
    }

    fn end(&mut self, engine: &Engine, summary: &Summary) -> Verdict {
        self.settle(engine, summary)
    }
}

/// What the kernel is asked for.
fn looks(actions: &[Action]) -> Vec<(Key, TcpInfoPurpose)> {
    let look = |action: &Action| match action {
        Action::ReadTcpInfo(key, why) => Some((*key, *why)),
        _ => None,
    };
    actions.iter().filter_map(look).collect()
}
