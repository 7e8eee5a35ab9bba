//! The clock and the timer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::check::{check, own};
use crate::units::NS_PER_S;

/// The monotonic clock in nanoseconds; only for `os/clock.rs`. (`Instant` gives no absolute time to
/// set a timer to.)
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The call cannot fail: the clock exists since Linux 2.6.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * NS_PER_S + time.tv_nsec.unsigned_abs()
}

/// A timerfd on the monotonic clock: the timeout of a poll is in whole milliseconds only.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    pub fn new() -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }).map(Timer)
    }

    /// Sets it to expire once at an absolute time of the monotonic clock, in place of any earlier
    /// setting.
    pub fn set(&self, monotonic_ns: u64) -> io::Result<()> {
        // Zero would disarm it.
        let ns = monotonic_ns.max(1);
        let when = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(ns % NS_PER_S).unwrap_or(0),
            },
        };
        let (fd, flags) = (self.0.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
        let none = std::ptr::null_mut();
        // SAFETY: `when` lives until the call returns; null: the old time is not returned.
        check(unsafe { libc::timerfd_settime(fd, flags, &raw const when, none) }).map(drop)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
