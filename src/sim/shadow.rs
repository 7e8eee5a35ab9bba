//! A second opinion: what the engine should be and do, told from the design and not from its code.
//!
//! It keeps a record of its own for each seat, in the plainest way (lists, scans, repeated
//! addition), is shown each turn as the driver saw it, and objects to whatever it would not have
//! done.

use std::collections::{BTreeMap, VecDeque};

use super::Record;
use super::reckoning::{Seat, Times};
use super::routing::Routing;
use crate::engine::{Action, Cause, Failure, Key, Note, PAUSE_MIN, State};
use crate::plan::{Hold, Plan};
use crate::units::{Moment, Span, Tick};

/// What the shadow objects to, in words.
pub type Verdict = Result<(), String>;

macro_rules! check {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(super) use check;

#[derive(Debug, Clone)]
pub struct Shadow {
    pub plan: Plan,
    pub start: Moment,
    pub seats: Vec<Seat>,
    pub now: Moment,
    pub(super) turn: u64,
    next_due: Option<Moment>,
    pub(super) asked: u32,
    shift: Span,
    not_before: Moment,
    pub(super) ready: VecDeque<u32>,
    pub(super) full_turns: u32,
    /// Turns in which nothing was heard, said or put off.
    idle_turns: u32,
    /// Whether the engine had cause to ask for a turn at once.
    busy: bool,
    sample_due: Option<Moment>,
    decided_at: Option<Moment>,
    pub stopped: bool,
    pub over: bool,
    pub peak: u32,
    pub ignored: u64,
    pub bytes: u64,
    pub pauses: u32,
    pub paused: Span,
    pub dialed: Vec<Moment>,
    pub established: Times,
    pub failed: Times,
    pub lateness: Times,
    pub(super) routing: Routing,
    pub timeout_lateness_max: Span,
    /// What the run came across, and how often: so that a test can tell whether it tested
    /// anything.
    pub reached: BTreeMap<&'static str, u64>,
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
            full_turns: 0,
            idle_turns: 0,
            busy: true,
            sample_due: Some(start),
            decided_at: None,
            stopped: false,
            over: false,
            peak: 0,
            ignored: 0,
            bytes: 0,
            pauses: 0,
            paused: Span::ZERO,
            dialed: Vec::new(),
            established: Times::default(),
            failed: Times::default(),
            lateness: Times::default(),
            routing: Routing::new(plan),
            timeout_lateness_max: Span::ZERO,
            reached: BTreeMap::new(),
        }
    }

    pub fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
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
        let (expired, rest) = self.expiries(rest)?;
        let rest = self.sample(rest)?;
        self.conclude();
        let rest = self.drains(rest)?;
        let rest = self.dials(rest)?;
        check!(rest.is_empty(), "{rest:?} came out of order");

        check!(record.over == self.over, "over is {}, and should be {}", record.over, self.over);
        let levels = self.levels();
        check!(record.levels == levels, "the levels are {:?}, not {levels:?}", record.levels);
        self.overdue()?;
        self.idle(record)?;
        self.wake(record, expired)?;
        self.next_due = record.next_due;
        Ok(())
    }

    /// The schedule moves by whatever the loop overslept by more than a second.
    fn notice_pause(&mut self, now: Moment) {
        let Some(due) = self.next_due else { return };
        let overslept = now.since(due.max(self.now));
        if overslept > PAUSE_MIN {
            self.reach("a pause");
            self.pauses += 1;
            self.paused = self.paused + overslept;
            self.shift = self.shift + overslept;
        }
    }

    pub(super) fn state(&self, key: Key) -> Option<State> {
        let seat = self.seats.get(key.slot as usize)?;
        (key.attempt == 0).then_some(seat.state)
    }

    /// The exact end of a dial's patience.
    pub(super) fn due(&self, slot: u32) -> Option<Moment> {
        let seat = &self.seats[slot as usize];
        let timeout = self.plan.dial_timeout.filter(|_| seat.state == State::Dialing)?;
        Some(seat.since + timeout)
    }

    /// The first moment at which the wheel may fire for it.
    fn tick_due(&self, slot: u32) -> Option<Moment> {
        Some(Tick::at_or_after(self.due(slot)?).moment())
    }

    pub(super) fn scheduled(&self, index: u32) -> Moment {
        self.start + self.plan.pace.offset(index) + self.shift
    }

    fn unheard(&self) -> bool {
        let batches = self.plan.connections.div_ceil(self.plan.limits.events_max);
        self.full_turns > 0 && self.full_turns <= batches
    }

    /// Dials that ran out of time, and how many they are.
    fn expiries<'a>(&mut self, mut rest: &'a [Action]) -> Result<(u32, &'a [Action]), String> {
        let mut count = 0;
        while let Some(Action::Close(key) | Action::Note(key, _)) = rest.first()
            && !matches!(rest.first(), Some(Action::Note(_, Note::Forgone)))
        {
            let due = self.state(*key).and_then(|_| self.due(key.slot));
            check!(due.is_some(), "{key:?} is closed, but is not waiting for anything");
            let late = due.map(|due| self.now.since(due));
            check!(due.is_some_and(|due| due <= self.now), "{key:?} timed out early");
            check!(!self.unheard(), "{key:?} timed out although it may have opened unheard");
            self.timeout_lateness_max = self.timeout_lateness_max.max(late.unwrap_or_default());
            let mut expected = Vec::new();
            let timed_out = Failure { cause: Cause::TimedOut, errno: 0 };
            self.fail(*key, timed_out, self.now, &mut expected);
            check!(rest.starts_with(&expected), "a timeout should lead to {expected:?}");
            self.reach("a timeout of ours");
            rest = &rest[expected.len()..];
            count += 1;
        }
        let most = self.plan.limits.expiries_max;
        check!(count <= most, "{count} timeouts in a turn are too many");
        Ok((count, rest))
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

    fn hold_end(&self) -> Option<Moment> {
        match self.plan.hold {
            Hold::For(span) => Some(self.decided_at? + span),
            Hold::Forever => None,
        }
    }

    fn conclude(&mut self) {
        let undecided = self.level(State::NotInitiated) + self.level(State::Dialing);
        if undecided == 0 && self.decided_at.is_none() {
            self.decided_at = Some(self.now);
        }
        let held = self.hold_end().is_some_and(|end| end <= self.now) && !self.unheard();
        self.over = self.stopped || held;
        if self.stopped {
            self.reach(match undecided {
                0 if held => "a signal as it was over anyway",
                0 => "a signal in the hold",
                all if all == self.plan.connections && self.asked == 0 => {
                    "a signal before any dial"
                }
                _ => "a signal between the dials",
            });
        }
    }

    fn drains<'a>(&mut self, actions: &'a [Action]) -> Result<&'a [Action], String> {
        let mut count = 0;
        while let Some(Action::Drain(key)) = actions.get(count) {
            check!(!self.over, "{key:?} is drained after the end");
            let open = self.state(*key) == Some(State::Established);
            check!(open, "{key:?} is drained, but not established");
            let place = self.ready.iter().position(|slot| *slot == key.slot);
            check!(place.is_some(), "{key:?} is drained for nothing");
            place.and_then(|place| self.ready.remove(place));
            count += 1;
        }
        let most = self.plan.limits.drains_max as usize;
        check!(count <= most, "{count} drains in a turn are too many");
        if !self.over {
            let (seats, turn) = (&self.seats, self.turn);
            let gone = |slot: u32| seats[slot as usize].state != State::Established;
            let late = |slot: u32| seats[slot as usize].drained_by <= turn;
            let starved = self.ready.iter().find(|slot| !gone(**slot) && late(**slot));
            check!(starved.is_none(), "slot {starved:?} is starved by the others");
            self.ready.retain(|slot| !(gone(*slot) && late(*slot)));
            if !self.ready.is_empty() {
                self.reach("a drain put off");
            }
        }
        Ok(&actions[count..])
    }

    fn dials<'a>(&mut self, mut rest: &'a [Action]) -> Result<&'a [Action], String> {
        let limits = self.plan.limits;
        let (mut dials, mut forgone) = (0, 0);
        let is_due = |shadow: &Shadow| shadow.dial_due().is_some_and(|due| due <= shadow.now);
        while !self.over && dials < limits.dials_max && forgone < limits.forgone_max && is_due(self)
        {
            let key = Key { slot: self.asked, attempt: 0 };
            if self.scheduled(self.asked) < self.not_before {
                self.reach("a schedule caught up");
            }
            self.asked += 1;
            self.not_before = self.now + Span(self.plan.pace.offset(1).0 / 2);
            let mut expected = Vec::new();
            if self.routing.is_forgone(key.slot, self.now) {
                forgone += 1;
                self.forgo(key, &mut expected);
            } else {
                dials += 1;
                expected.push(Action::Dial(key));
            }
            check!(rest.starts_with(&expected), "{expected:?} was due, not {rest:?}");
            rest = &rest[expected.len()..];
        }
        if forgone > 0 {
            self.busy = true;
            self.conclude();
        }
        Ok(rest)
    }

    fn dial_due(&self) -> Option<Moment> {
        let due = self.scheduled(self.asked).max(self.not_before);
        (self.asked < self.plan.connections).then_some(due)
    }

    /// A deadline may wait for as many turns as the limit makes of all the wheel's work, and no
    /// more.
    fn overdue(&mut self) -> Verdict {
        if self.over || self.unheard() {
            return Ok(());
        }
        let turns_max = self.expiry_turns_max();
        for slot in 0..self.plan.connections {
            if self.tick_due(slot).is_none_or(|due| due > self.now) {
                continue;
            }
            self.reach("a timeout put off");
            let seat = &mut self.seats[slot as usize];
            seat.overdue_turns += 1;
            let turns = seat.overdue_turns;
            check!(turns <= turns_max, "slot {slot} is overdue for {turns} turns");
        }
        Ok(())
    }

    /// Each deadline costs at most six: five levels down, and fired.
    fn expiry_turns_max(&self) -> u64 {
        (6 * u64::from(self.plan.connections)).div_ceil(u64::from(self.plan.limits.expiries_max))
    }

    /// A turn of nothing moves deadlines down the wheel, or finds closed what was ready; there is
    /// an end to both.
    fn idle(&mut self, record: &Record) -> Verdict {
        let nothing = record.events.is_empty() && record.actions.is_empty();
        self.idle_turns += u32::from(nothing && !self.busy);
        let (idle, most) = (self.idle_turns, 6 * self.plan.connections + 2);
        check!(idle <= most, "it spins: {idle} turns of nothing");
        Ok(())
    }

    /// Whether the engine wants to be woken when there is something to do, and not sooner.
    fn wake(&mut self, record: &Record, expired: u32) -> Verdict {
        let next = record.next_due;
        if self.over {
            check!(next.is_none(), "it is over, and still due at {next:?}");
            return Ok(());
        }
        let past = |due: Option<Moment>| due.is_some_and(|due| due <= record.now);
        let live = |slot: &u32| self.seats[*slot as usize].state == State::Established;
        self.busy = self.unheard() || self.ready.iter().any(live);
        if self.busy {
            check!(past(next), "due at {next:?} instead of now");
            return Ok(());
        }
        let wheel = (0..self.plan.connections).filter_map(|slot| self.tick_due(slot)).min();
        let others = [self.dial_due(), self.sample_due, self.hold_end()];
        let wanted = others.into_iter().flatten().chain(wheel).min();
        let latest = wanted.map(|wanted| wanted.max(record.now));
        let late = latest.is_some_and(|latest| next.is_none_or(|next| next > latest));
        check!(!late, "due at {next:?} instead of {wanted:?}");
        // With no deadline to move about there is nothing to wake up for before the time.
        let exact = wheel.is_none() && self.ready.is_empty();
        check!(!exact || next == wanted, "due at {next:?}, before {wanted:?}, for nothing");
        let work = 6 * (self.level(State::Dialing) + expired);
        let deferred = work >= self.plan.limits.expiries_max || !self.ready.is_empty();
        let cause = deferred || past(self.dial_due());
        check!(cause || !past(next), "due at {next:?}, which has passed, for nothing");
        Ok(())
    }
}
