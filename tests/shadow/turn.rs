//! One turn, held against what the model would have done.

use tcpgoon::engine::{Action, Key, State, TcpInfoPurpose};
use tcpgoon::plan::Hold;
use tcpgoon::sim::Record;
use tcpgoon::units::{Moment, Span, low_32};

use super::deadlines::Seen;
use super::records::Verdict;
use super::state::Shadow;

/// A gap longer than this moves the schedule.
const PAUSE_MIN: Span = Span::from_s(1);

impl Shadow {
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
        let budgets = self.plan.budgets;
        let (events, actions) = (record.events.len(), record.actions.len());
        check!(events <= budgets.turn_events_max(), "{events} events are too many");
        check!(actions <= budgets.turn_actions_max(), "{actions} actions are too many");

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
        let most = self.plan.budgets.drains_max as usize;
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
        let limits = self.plan.budgets;
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
        check!(!exact || next == wanted, "due at {next:?}, before {wanted:?}, for nothing");
        let work = 6 * low_32(record.deadlines.len() as u64) + seen.cost_from_above();
        let deferred = work >= self.plan.budgets.expiries_max || !self.ready.is_empty();
        let reason = deferred || past(self.dial_due());
        check!(reason || !past(next), "due at {next:?}, which has passed, for nothing");
        Ok(())
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
