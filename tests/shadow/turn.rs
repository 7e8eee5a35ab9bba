//! One turn, compared with what the model would have done.

use tcpgoon::engine::{Action, Key, State, TcpInfoPurpose};
use tcpgoon::plan::Hold;
use tcpgoon::sim::Record;
use tcpgoon::units::{Moment, Span, low_32};

use super::deadlines::Expired;
use super::records::{Conn, Verdict};
use super::state::Shadow;

/// A gap longer than this moves the schedule.
const PAUSE_MIN: Span = Span::from_s(1);

impl Shadow {
    /// Checks one turn.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_turn(&mut self, record: &Record) -> Verdict {
        self.turn += 1;
        check!(!self.over, "a turn after the run was over");
        check!(record.now >= self.now, "the clock went backwards");
        self.on_pause(record.now);
        self.now = record.now;
        let budgets = self.plan.budgets;
        let (events, actions) = (record.events.len(), record.actions.len());
        check!(events <= budgets.turn_events_max(), "{events} events are too many");
        check!(actions <= budgets.turn_actions_max(), "{actions} actions are too many");

        let wanted = self.apply_all(&record.events);
        let (mine, rest) = record.actions.split_at(wanted.len().min(actions));
        check!(mine == wanted, "the events should lead to {wanted:?}, not {mine:?}");
        let (expired, rest) = self.expiries(record, rest)?;
        let rest = self.later_checks(rest)?;
        let rest = self.sample(rest)?;
        self.check_end();
        let rest = self.final_drains(rest)?;
        let rest = self.drains(rest)?;
        let rest = self.dials(rest)?;
        check!(rest.is_empty(), "{rest:?} came out of order");

        check!(record.over == self.over, "over is {}, and should be {}", record.over, self.over);
        let levels = self.levels();
        check!(record.levels == levels, "the levels are {:?}, not {levels:?}", record.levels);
        self.compare_deadlines(record)?;
        self.check_overdue()?;
        self.check_idle(record)?;
        self.check_next_due(record, expired)?;
        self.next_due = record.next_due;
        self.reads = reads(&record.actions);
        Ok(())
    }

    /// A loop that is late by more than a second moves the schedule by that.
    fn on_pause(&mut self, now: Moment) {
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
        let is_sampled = actions.first() == Some(&Action::Sample);
        check!(is_sampled == due.is_some(), "a sample was due at {:?}", self.sample_due);
        if let Some(mut due) = due {
            self.sample_due = self.plan.interval.map(|interval| {
                while due <= self.now {
                    due = due + interval;
                }
                due
            });
        }
        Ok(&actions[usize::from(is_sampled)..])
    }

    /// When the hold is over and the run has settled: no close for 100 ms, or the maximum for that, or
    /// no connection left.
    fn hold_end(&self) -> Option<Moment> {
        let (decided_at, Hold::For(span)) = (self.decided_at?, self.hold()) else { return None };
        let mut end = decided_at + span;
        if self.level(State::Established) > 0 && self.plan.lifetime.is_none() {
            let last = self.closed_at.unwrap_or(decided_at).max(decided_at);
            let (quiet, latest) = (last + Span::from_ms(100), decided_at + self.plan.settle);
            end = end.max(quiet.min(latest));
        }
        Some(end)
    }

    /// When `--duration` is over.
    pub(super) fn time_up_at(&self) -> Option<Moment> {
        Some(self.counted_from()? + self.plan.duration?)
    }

    pub(super) fn is_time_up(&self) -> bool {
        self.time_up_at().is_some_and(|end| end <= self.now)
    }

    /// The hold, or what `--duration` leaves of it.
    pub(super) fn hold(&self) -> Hold {
        let (Some(end), Some(decided_at)) = (self.time_up_at(), self.decided_at) else {
            return self.plan.hold;
        };
        match self.plan.hold {
            Hold::For(span) if decided_at + span <= end => Hold::For(span),
            _ => Hold::For(end.since(decided_at)),
        }
    }

    fn check_end(&mut self) {
        let undecided = match self.plan.lifetime {
            Some(_) => self.plan.connections,
            None => self.level(State::NotInitiated) + self.level(State::Dialing),
        };
        let in_flight = self.level(State::Dialing) + self.unreported;
        if (undecided == 0 || self.is_time_up() && in_flight == 0) && self.decided_at.is_none() {
            self.decided_at = Some(self.now);
            if undecided > 0 {
                self.mark("the time up before the last dial");
            }
        }
        let held =
            self.hold_end().is_some_and(|end| end <= self.now) && !self.readiness_may_be_pending();
        if held && self.is_waiting() {
            self.mark("the end waits for checks");
        }
        if self.reached_max_errors() || self.has_stalled() {
            self.mark("max errors");
            self.gave_up = true;
        }
        self.over = self.stopped || self.gave_up || (held && !self.is_waiting());
        if self.stopped {
            self.mark(match undecided {
                0 if held => "a signal at the end",
                0 => "a signal in the hold",
                _ if self.dialed.is_empty() && self.next_slot == 0 => "a signal before any dial",
                _ => "a signal between the dials",
            });
        }
    }

    /// Whether errors and closes have reached `--max-errors`.
    fn reached_max_errors(&self) -> bool {
        self.plan.errors_max.is_some_and(|most| self.failures.len() as u64 >= most)
    }

    /// Whether `--max-errors` dials in a row have had no reply for 3.5 s: those after the last one
    /// that was established, in their order.
    fn has_stalled(&mut self) -> bool {
        let Some(most) = self.plan.errors_max.filter(|_| self.plan.lifetime.is_none()) else {
            return false;
        };
        if self.readiness_may_be_pending() {
            return false;
        }
        let dialed = &self.conns[self.dialed_at_open as usize..];
        let age = |conn: &&Conn| self.now.since(conn.since);
        let is_pending = |conn: &&Conn| conn.state == State::Dialing;
        let is_waiting = |conn: &&Conn| {
            conn.state == State::NotInitiated
                || (is_pending(conn) && age(conn) < Span::from_ms(3_500))
        };
        let stalled = dialed.iter().take_while(|conn| !is_waiting(conn)).filter(is_pending);
        let has_stalled = stalled.count() as u64 >= most;
        if has_stalled {
            self.mark("dials stalled");
        }
        has_stalled
    }

    /// When the next of them will have stalled.
    fn stall_due(&self) -> Option<Moment> {
        self.plan.errors_max.filter(|_| self.plan.lifetime.is_none())?;
        let dialed = &self.conns[self.dialed_at_open as usize..];
        let is_counted = |conn: &&Conn| self.now.since(conn.since) >= Span::from_ms(3_500);
        let mut rest = dialed.iter().skip_while(|conn| match conn.state {
            State::NotInitiated => false,
            State::Dialing => is_counted(conn),
            _ => true,
        });
        let next = rest.next().filter(|conn| conn.state == State::Dialing)?;
        Some(next.since + Span::from_ms(3_500))
    }

    /// One final drain of each deferred slot, in any order.
    fn final_drains<'a>(&mut self, actions: &'a [Action]) -> Result<&'a [Action], String> {
        let mut due = std::mem::take(&mut self.final_drains);
        due.retain(|_| !self.over);
        let (last, rest) = actions.split_at(due.len().min(actions.len()));
        let is_last = |slot: &u32| last.contains(&Action::DrainFully(self.key(*slot)));
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
            let (conns, turn) = (&self.conns, self.turn);
            let gone = |slot: u32| conns[slot as usize].state != State::Established;
            let late = |slot: u32| conns[slot as usize].drained_by <= turn;
            let starved = self.ready.iter().find(|slot| !gone(**slot) && late(**slot));
            check!(starved.is_none(), "slot {starved:?} is starved by the others");
            self.ready.retain(|slot| !(gone(*slot) && late(*slot)));
            if !self.ready.is_empty() {
                self.mark("a drain deferred");
            }
        }
        Ok(&actions[count..])
    }

    fn dials<'a>(&mut self, mut rest: &'a [Action]) -> Result<&'a [Action], String> {
        let limits = self.plan.budgets;
        if self.is_time_up() {
            return Ok(rest);
        }
        if self.plan.lifetime.is_some() {
            return self.dials_again(rest);
        }
        let (mut dials, mut skipped) = (0, 0);
        // Skipped dials come first, and one of them may reach `--max-errors`.
        while !self.over && self.dial_due().is_some_and(|due| due <= self.now) {
            let key = self.key(self.next_slot);
            let mut expected = Vec::new();
            if self.routing.must_skip(key.slot, self.now) {
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
                self.unreported += 1;
                expected.push(Action::Dial(key));
            }
            if self.scheduled(self.next_dial()) < self.not_before {
                self.mark("a schedule caught up");
            }
            self.next_slot += 1;
            self.not_before = self.now + Span(self.plan.pace.offset(1u32).0 / 2);
            check!(rest.starts_with(&expected), "{expected:?} was due, not {rest:?}");
            rest = &rest[expected.len()..];
            if !matches!(expected[..], [Action::Dial(_)]) {
                self.busy = true;
                self.check_end();
            }
        }
        Ok(rest)
    }

    fn dial_due(&self) -> Option<Moment> {
        if self.is_time_up() {
            return None;
        }
        let due = self.scheduled(self.next_dial()).max(self.not_before);
        if self.plan.lifetime.is_some() {
            return self.dial_again_due(due);
        }
        (self.next_slot < self.plan.connections).then_some(due)
    }

    /// A turn without events and actions moves deadlines down the wheel, or drops closed slots. Both are
    /// bounded.
    fn check_idle(&mut self, record: &Record) -> Verdict {
        let nothing = record.events.is_empty() && record.actions.is_empty();
        self.idle_turns += u32::from(nothing && !self.busy);
        // For a dial, a reply, a keepalive and its reads, in each round.
        let (idle, most) = (self.idle_turns, 9 * 6 * self.attempts() * (2 + self.rounds.begun) + 2);
        check!(idle <= most, "it spins: {idle} turns of nothing");
        Ok(())
    }

    /// The engine is due when there is something to do, and not sooner.
    fn check_next_due(&mut self, record: &Record, expired: Expired) -> Verdict {
        let next = record.next_due;
        if self.over {
            check!(next.is_none(), "it is over, and still due at {next:?}");
            return Ok(());
        }
        let past = |due: Option<Moment>| due.is_some_and(|due| due <= record.now);
        let live = |slot: &u32| self.conns[*slot as usize].state == State::Established;
        self.busy =
            self.readiness_may_be_pending() || self.ready.iter().any(live) || self.is_sending();
        if self.busy {
            check!(past(next), "due at {next:?} instead of now");
            return Ok(());
        }
        let wheel = (0..self.plan.connections).filter_map(|slot| self.tick_due(slot)).min();
        let end = self.hold_end().filter(|_| !self.is_waiting());
        let time_up = self.time_up_at().filter(|_| self.decided_at.is_none() && !self.is_time_up());
        let others =
            [self.dial_due(), self.sample_due, end, self.round_due(), self.stall_due(), time_up];
        let wanted = others.into_iter().flatten().chain(wheel).min();
        let latest = wanted.map(|wanted| wanted.max(record.now));
        let late = latest.is_some_and(|latest| next.is_none_or(|next| next > latest));
        check!(!late, "due at {next:?} instead of {wanted:?}");
        // Without deadlines in the wheel there is no early wake-up.
        let exact = wheel.is_none() && self.ready.is_empty();
        check!(!exact || next == latest, "due at {next:?}, before {wanted:?}, for nothing");
        let work = 6 * low_32(record.deadlines.len() as u64) + expired.cost_from_above();
        let deferred = work >= self.plan.budgets.expiries_max || !self.ready.is_empty();
        let reason = deferred || past(self.dial_due());
        check!(reason || !past(next), "due at {next:?}, which has passed, for nothing");
        Ok(())
    }
}

/// The TCP_INFO reads among actions.
fn reads(actions: &[Action]) -> Vec<(Key, TcpInfoPurpose)> {
    let read = |action: &Action| match action {
        Action::ReadTcpInfo(key, purpose) => Some((*key, *purpose)),
        _ => None,
    };
    actions.iter().filter_map(read).collect()
}
