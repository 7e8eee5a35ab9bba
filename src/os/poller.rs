//! The poll set of both loops, with a timer and the signals in it. Measures the time between polls.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::clock::Clock;
use super::sys::{Signals, Timer};
use crate::engine::gaps::GAP_MIN;
use crate::error::{Error, Result};
use crate::units::{Moment, Span};

/// The poller's own tokens. Slots and descriptors are below 2^31, so no connection has one of
/// these.
const TIMER: Token = Token(u32::MAX as usize);
pub const SIGNALS: Token = Token(u32::MAX as usize - 1);

/// The result of a poll, besides readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    pub now: Moment,
    /// If this process did not poll for [`GAP_MIN`] or longer before that.
    pub gap: Option<Gap>,
}

/// A time without polls, up to the return of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub since: Moment,
    pub is_stop: bool,
}

/// A poll set that can sleep until an exact moment.
#[derive(Debug)]
pub struct Poller {
    pub clock: Clock,
    poll: Poll,
    timer: Timer,
    /// The timer's setting, unless it has expired.
    timer_due: Option<Moment>,
    /// When the last poll returned.
    woke: Moment,
    turn_longest: Span,
}

impl Poller {
    /// Creates the poll set, the timer and the clock.
    ///
    /// # Errors
    /// [`Error::System`] if a system call fails.
    pub fn new(signals: &Signals) -> Result<Poller> {
        let failed = |error| Error::system("cannot set up the poll loop", &error);
        let clock = Clock::start();
        let poller = Poller {
            clock,
            poll: Poll::new().map_err(failed)?,
            timer: Timer::new().map_err(failed)?,
            timer_due: None,
            woke: clock.now(),
            turn_longest: Span::ZERO,
        };
        poller.watch(poller.timer.as_fd(), TIMER, Interest::READABLE).map_err(failed)?;
        poller.watch(signals.as_fd(), SIGNALS, Interest::READABLE).map_err(failed)?;
        Ok(poller)
    }

    /// Adds a descriptor, edge-triggered. Closing it removes it.
    ///
    /// # Errors
    /// Of epoll_ctl(2); `ENOSPC`: `fs.epoll.max_user_watches` is reached.
    pub fn watch(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> std::io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, interest)
    }

    /// Removes a descriptor that stays open.
    ///
    /// # Errors
    /// Of epoll_ctl(2), if it is not in the set.
    pub fn unwatch(&self, fd: BorrowedFd<'_>) -> std::io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// Polls: without waiting if `at_once` or if `due` has passed, otherwise until `due` or
    /// readiness. `ready` may be empty, or have the timer only ([`is_timer`]). After [`GAP_MIN`] or
    /// longer without a poll it does not wait either, so that `ready` has only what happened in the
    /// gap.
    ///
    /// # Errors
    /// [`Error::System`] if setting the timer or polling fails.
    pub fn wait(
        &mut self,
        signals: &Signals,
        due: Option<Moment>,
        at_once: bool,
        ready: &mut Events,
    ) -> Result<Wake> {
        let at_once = at_once || due.is_some_and(|due| due <= self.woke);
        let (woke, mut began) = (self.woke, self.woke);
        if !at_once {
            self.set_timer(due)?;
            began = self.clock.now();
            self.note_turn(began.since(woke));
        }
        let at_once = at_once || began.since(woke) >= GAP_MIN;
        let mut polled = self.poll.poll(ready, at_once.then_some(Duration::ZERO));
        let was_stopped = matches!(&polled, Err(error) if error.kind() == ErrorKind::Interrupted);
        if was_stopped {
            // Unblocked signals are ignored or end the process, so EINTR means that the process was
            // stopped and continued (signal(7)), since an unknown moment. Readiness from the stop
            // has to come before deadlines from it: poll once more, without waiting.
            polled = self.poll.poll(ready, Some(Duration::ZERO));
        }
        let now = self.clock.now();
        match (polled, due) {
            (Err(error), _) => return Err(Error::system("polling failed", &error)),
            (Ok(()), _) if at_once || was_stopped => self.note_turn(now.since(began)),
            // A busy host wakes the loop late.
            (Ok(()), Some(due)) => self.note_turn(now.since(due)),
            (Ok(()), None) => {}
        }
        let gap = if now.since(woke) < GAP_MIN {
            None
        } else {
            let slept = Slept { woke, due: due.filter(|_| !at_once), at_once, was_stopped };
            self.gap(signals, &slept, now, ready)
        };
        self.note_timer(ready);
        self.woke = now;
        Ok(Wake { now, gap })
    }

    /// Polls once more after a gap, without waiting, and returns the time then. The process can have
    /// been stopped as the poll before returned: `ready` of that one has nothing of the gap.
    ///
    /// # Errors
    /// [`Error::System`] if polling fails.
    pub fn again(&mut self, ready: &mut Events) -> Result<Moment> {
        let polled = self.poll.poll(ready, Some(Duration::ZERO));
        polled.map_err(|error| Error::system("polling failed", &error))?;
        self.note_timer(ready);
        let now = self.clock.now();
        // A further gap is found by the next poll.
        if now.since(self.woke) < GAP_MIN {
            self.woke = now;
        }
        Ok(now)
    }

    /// The time before `now` in which readiness was not seen, if any.
    ///
    /// A sleeping poll is woken by readiness, so it has no gap while the host runs the process. The
    /// process did not run if it wakes long after its timer: since the timer expired, if nothing
    /// was ready before that (epoll returns readiness in order). It was stopped if the poll was
    /// interrupted, or if a SIGCONT is pending that is not in the batch: the stop came right after
    /// the poll. Then the gap can have begun at any time since the last poll.
    fn gap(&self, signals: &Signals, slept: &Slept, now: Moment, ready: &Events) -> Option<Gap> {
        let Slept { woke, due, at_once, was_stopped } = *slept;
        let is_continued = signals.read();
        if at_once || was_stopped {
            return Some(Gap { since: woke, is_stop: is_continued || was_stopped });
        }
        let is_in_batch = ready.iter().any(|readiness| readiness.token() == SIGNALS);
        if is_continued && !is_in_batch {
            return Some(Gap { since: woke, is_stop: true });
        }
        let due = due.filter(|due| now.since(*due) >= GAP_MIN)?;
        let is_timer_first = ready.iter().next().is_some_and(|first| first.token() == TIMER);
        let fired = self.timer_due.filter(|_| is_timer_first).map(|set| set.min(due));
        Some(Gap { since: fired.unwrap_or(woke).max(woke), is_stop: false })
    }

    fn note_timer(&mut self, ready: &Events) {
        if ready.iter().any(|readiness| readiness.token() == TIMER) {
            self.timer_due = None;
        }
    }

    fn note_turn(&mut self, took: Span) {
        self.turn_longest = self.turn_longest.max(took);
    }

    /// The longest time between the end of a poll and the next sleep (or the end of the next poll
    /// that did not sleep), of a late wake-up, or of a stop.
    pub fn turn_longest(&self) -> Span {
        self.turn_longest
    }

    /// Leaves the timer as it is if it is right, or if nothing is due: a needless expiry costs one
    /// loop iteration, as much as setting it.
    fn set_timer(&mut self, due: Option<Moment>) -> Result<()> {
        let Some(moment) = due.filter(|_| self.timer_due != due) else { return Ok(()) };
        self.timer_due = due;
        let set = self.timer.set(self.clock.monotonic_ns(moment));
        set.map_err(|error| Error::system("cannot set the timer", &error))
    }
}

/// How a poll slept.
struct Slept {
    /// When the poll before it returned.
    woke: Moment,
    /// Its timeout.
    due: Option<Moment>,
    at_once: bool,
    was_stopped: bool,
}

/// Whether a readiness is the timer's: it has no other meaning than the time.
pub fn is_timer(token: Token) -> bool {
    token == TIMER
}
