//! What both loops stand on: a poll set with a timer and the operator's signals in it, and an
//! account of the time between two polls.

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

/// The tokens of the poller's own. Slots and descriptors are below 2^31, so no key of a connection
/// is one of these.
const TIMER: Token = Token(u32::MAX as usize);
pub const SIGNALS: Token = Token(u32::MAX as usize - 1);

/// What a poll returned besides readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    pub now: Moment,
    /// Whether this host was not looking for [`GAP_MIN`] and more before that.
    pub gap: Option<Gap>,
}

/// A stretch without a poll; it ends with the return of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub since: Moment,
    pub is_stop: bool,
}

/// A poll set that sleeps until an exact moment.
#[derive(Debug)]
pub struct Poller {
    pub clock: Clock,
    poll: Poll,
    timer: Timer,
    /// What the timer is set to, unless it has gone off.
    timer_due: Option<Moment>,
    /// When the last poll returned.
    woke: Moment,
    turn_longest: Span,
}

impl Poller {
    /// Opens everything that a loop needs for itself.
    ///
    /// # Errors
    /// [`Error::System`] if it is not to be had.
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

    /// Adds a descriptor, edge-triggered. Closing it takes it out again.
    ///
    /// # Errors
    /// The system's; `ENOSPC` when `fs.epoll.max_user_watches` is reached.
    pub fn watch(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> std::io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, interest)
    }

    /// Takes a descriptor out that stays open.
    ///
    /// # Errors
    /// The system's, if it was not in.
    pub fn unwatch(&self, fd: BorrowedFd<'_>) -> std::io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// Polls: without waiting if `at_once` or if `due` has passed, else until `due` or readiness,
    /// whichever comes first. There may be no readiness in `ready`, or only that of the timer
    /// ([`is_timer`]). After [`GAP_MIN`] and more without a poll it does not wait either: so what it
    /// returns is what happened meanwhile, and not what happens next.
    ///
    /// # Errors
    /// [`Error::System`] if the kernel does not poll.
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
            // Every signal that is not blocked is ignored or deadly, so the process was stopped
            // (signal(7)): since when nobody knows. What happened meanwhile is to be heard before
            // what fell due meanwhile, and a poll that does not wait is not interrupted.
            polled = self.poll.poll(ready, Some(Duration::ZERO));
        }
        let now = self.clock.now();
        match (polled, due) {
            (Err(error), _) => return Err(Error::system("polling failed", &error)),
            (Ok(()), _) if at_once || was_stopped => self.note_turn(now.since(began)),
            // A machine that has no time for the loop wakes it late.
            (Ok(()), Some(due)) => self.note_turn(now.since(due)),
            (Ok(()), None) => {}
        }
        let gap = if now.since(woke) < GAP_MIN {
            None
        } else {
            let slept = Slept { woke, due: due.filter(|_| !at_once), at_once, was_stopped };
            self.gap(signals, &slept, now, ready)
        };
        if ready.iter().any(|readiness| readiness.token() == TIMER) {
            self.timer_due = None;
        }
        self.woke = now;
        Ok(Wake { now, gap })
    }

    /// Whether readiness can have waited before `now`, and since when.
    ///
    /// A poll that sleeps is woken by readiness itself, so it misses nothing while the machine runs
    /// it. It was not run if it wakes long after its timer: then since that has fired, if nothing
    /// was ready before (a poll returns readiness in the order in which it came). It was stopped if
    /// it was interrupted; also if SIGCONT is pending that was not there when it returned, as the
    /// stop then came just behind it. Since when is not known then, but for the poll before.
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

    fn note_turn(&mut self, took: Span) {
        self.turn_longest = self.turn_longest.max(took);
    }

    /// The longest time from the end of one poll to the next one that slept, or to the end of one
    /// that did not; by which it woke late; or in which it was stopped.
    pub fn turn_longest(&self) -> Span {
        self.turn_longest
    }

    /// Leaves the timer as it is where it is right already, or where nothing is due: going off for
    /// nothing costs one turn, and setting it anew costs as much.
    fn set_timer(&mut self, due: Option<Moment>) -> Result<()> {
        let Some(moment) = due.filter(|_| self.timer_due != due) else { return Ok(()) };
        self.timer_due = due;
        let set = self.timer.set(self.clock.monotonic_ns(moment));
        set.map_err(|error| Error::system("cannot set the timer", &error))
    }
}

/// How a poll came to return.
struct Slept {
    /// When the one before it returned.
    woke: Moment,
    /// Until when it was to sleep.
    due: Option<Moment>,
    at_once: bool,
    was_stopped: bool,
}

/// Whether a readiness is the timer's: it says nothing but the time.
pub fn is_timer(token: Token) -> bool {
    token == TIMER
}
