//! Signals as a descriptor that can be polled, and what happens when a process ends.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;

use super::check::{check, check_length, own};
use super::time::monotonic_ns;
use crate::units::Span;

/// A signalfd for SIGINT, SIGTERM and SIGHUP (except those that were ignored at the start), SIGXCPU
/// (the limit on CPU time is reached), and SIGCONT, which shows that the process was stopped: it
/// continues the process even while blocked (signal(7)), and a blocked signal stays pending
/// although its default is to be ignored.
///
/// They are blocked from [`Signals::hold`] on, and unblocked when the first one is taken. Another
/// one within a second belongs to the same end and changes nothing; a later one, or a SIGINT after
/// more than 250 ms, ends the process at once. Further SIGXCPUs, one a second of CPU time, are
/// ignored: the hard limit ends the process (setrlimit(2)).
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
    /// The first that was read, but for SIGCONT.
    pending: Cell<Option<c_int>>,
    /// The one that was taken; from then on they are unblocked.
    taken: Cell<Option<c_int>>,
}

const SIGNALS: [c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGXCPU];

impl Signals {
    pub fn hold() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is writable; sigemptyset initializes it and cannot fail.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in SIGNALS {
            if !is_ignored(signal)? {
                // SAFETY: the set is initialized and the signal's number valid.
                check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
            }
        }
        // SAFETY: the set is initialized and the signal's number valid.
        check(unsafe { libc::sigaddset(&raw mut set, libc::SIGCONT) })?;
        // SAFETY: the set is initialized; -1 creates a new descriptor.
        let fd = own(unsafe {
            libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        })?;
        mask(libc::SIG_BLOCK, &set)?;
        Ok(Signals { fd, set, pending: Cell::new(None), taken: Cell::new(None) })
    }

    /// Reads pending signals and takes the first one (but for SIGCONT): unblocks all.
    pub fn take(&self) -> Option<c_int> {
        self.read();
        self.take_read()
    }

    /// As [`Signals::take`], of what [`Signals::read`] has read.
    #[inline]
    pub fn take_read(&self) -> Option<c_int> {
        let signal = self.pending.take()?;
        self.taken.set(Some(signal));
        self.release();
        Some(signal)
    }

    /// Reads pending signals up to the first one for [`Signals::take_read`]. Returns whether there
    /// was a SIGCONT.
    pub fn read(&self) -> bool {
        let mut is_continued = false;
        while self.pending.get().is_none() {
            match self.read_one() {
                Some(libc::SIGCONT) => is_continued = true,
                Some(signal) => self.pending.set(Some(signal)),
                None => break,
            }
        }
        is_continued
    }

    fn read_one(&self) -> Option<c_int> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let (fd, length) = (self.fd.as_raw_fd(), size_of::<libc::signalfd_siginfo>());
        // SAFETY: `info` has `length` writable bytes.
        let read =
            check_length(unsafe { libc::read(fd, info.as_mut_ptr().cast(), length) }).ok()?;
        if read != length {
            return None;
        }
        // SAFETY: all of `info` was read.
        c_int::try_from(unsafe { info.assume_init() }.ssi_signo).ok()
    }

    /// The limit that sent the signal, if it was no operator.
    pub fn limit(&self) -> Option<&'static str> {
        (self.taken.get() == Some(libc::SIGXCPU)).then_some("the limit on CPU time (ulimit -t)")
    }

    /// Whether one was taken.
    pub fn is_released(&self) -> bool {
        self.taken.get().is_some()
    }

    /// Unblocks the signals: the kernel delivers them to [`end_unless_repeated`].
    fn release(&self) {
        // Both before a handler can run.
        TAKEN_AT_NS.store(monotonic_ns(), Ordering::Relaxed);
        let handler: extern "C" fn(c_int) = end_unless_repeated;
        self.set_action(handler as libc::sighandler_t);
        // SAFETY: the action is a valid one for this signal.
        unsafe { libc::signal(libc::SIGXCPU, libc::SIG_IGN) };
        // It cannot fail with a valid set.
        let _ = mask(libc::SIG_UNBLOCK, &self.set);
    }

    fn set_action(&self, action: libc::sighandler_t) {
        for signal in SIGNALS {
            // SAFETY: the set is initialized.
            if unsafe { libc::sigismember(&raw const self.set, signal) } == 1 {
                // SAFETY: the action is the default one, or a handler with async-signal-safe calls
                // only. It cannot fail for these signals.
                unsafe { libc::signal(signal, action) };
            }
        }
    }
}

impl Drop for Signals {
    /// Restores the default actions, as the signals are not read any more. Pending ones are
    /// dropped: the run has ended anyway.
    fn drop(&mut self) {
        if !self.is_released() {
            self.read();
            self.set_action(libc::SIG_DFL);
            let _ = mask(libc::SIG_UNBLOCK, &self.set);
        }
    }
}

/// When the first signal was taken; monotonic clock.
static TAKEN_AT_NS: AtomicU64 = AtomicU64::new(0);

/// Signals within this time are one request to end: when a terminal is closed the kernel and the
/// shell send SIGHUP, and `timeout` sends SIGTERM to the process and to its group.
const SAME_END: Span = Span::from_s(1);

/// A SIGINT after this time is a second Ctrl-C that was typed.
const TYPED_MIN: Span = Span::from_ms(250);

/// The handler after the first signal: ends the process, unless the signal repeats the first.
extern "C" fn end_unless_repeated(signal: c_int) {
    let since = monotonic_ns().saturating_sub(TAKEN_AT_NS.load(Ordering::Relaxed));
    let same = if signal == libc::SIGINT { TYPED_MIN } else { SAME_END };
    if since >= same.0 {
        // SAFETY: async-signal-safe; the default action is valid for all signals.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // Blocked in its own handler, it ends the process on the return from here.
        // SAFETY: async-signal-safe.
        unsafe { libc::raise(signal) };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the abort after a failed allocation an exit with code 1: the standard library has printed
/// the reason by then, and a core file is of no use to an operator.
pub fn exit_on_abort() {
    extern "C" fn exit(_: c_int) {
        // SAFETY: async-signal-safe, and does not return.
        unsafe { libc::_exit(1) }
    }
    let handler: extern "C" fn(c_int) = exit;
    // SAFETY: the handler makes one async-signal-safe call. It cannot fail for a valid signal.
    unsafe { libc::signal(libc::SIGABRT, handler as libc::sighandler_t) };
}

/// Makes a write beyond `ulimit -f` fail with `EFBIG` instead of ending the process. Source:
/// setrlimit(2), `RLIMIT_FSIZE`.
pub fn ignore_sigxfsz() {
    // SAFETY: the action is a valid one for this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

fn is_ignored(signal: c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: null: nothing is changed; `action` is initialized if the call succeeds.
    let action = unsafe {
        check(libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()))?;
        action.assume_init()
    };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn mask(how: c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialized; null: the old one is not returned.
    let error = unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Kills a child when this process ends, in whatever way. Source: prctl(2),
/// `PR_SET_PDEATHSIG`.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // prctl() is variadic: each argument has to have this type.
        let signal = libc::SIGKILL as libc::c_ulong;
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
        // If the parent ended before the call, no signal will come.
        if std::os::unix::process::parent_id() == parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec it makes two system calls, without allocation or locks.
    unsafe { command.pre_exec(set) };
}
