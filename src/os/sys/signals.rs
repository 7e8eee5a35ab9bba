//! Signals that can be polled, and what the end of a process leads to.
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

/// An operator's signals as something that can be polled: SIGINT, SIGTERM and SIGHUP, but those that
/// were ignored at the start; SIGXCPU, the kernel's word that the limit on processor time is
/// reached; and SIGCONT, which reports that the process was stopped. Continued it is even while that
/// is blocked (signal(7)), and a blocked signal is kept although its default is to be ignored.
///
/// They are blocked from [`Signals::hold`] on. With the first one that is taken they are unblocked: one
/// that comes within a second of it asks for the same end and changes nothing; a later one, or a
/// second SIGINT 250 ms later, ends the process at once, whatever it is doing. SIGXCPU comes again
/// with each second of processor time and ends nothing more: the hard limit does (setrlimit(2)).
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
    /// The first of the operator's that was read.
    asked: Cell<Option<c_int>>,
    /// The one that was taken; from then on the others are released.
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
        // SAFETY: the set is initialized; -1 asks for a new descriptor.
        let fd = own(unsafe {
            libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        })?;
        mask(libc::SIG_BLOCK, &set)?;
        Ok(Signals { fd, set, asked: Cell::new(None), taken: Cell::new(None) })
    }

    /// Takes an operator's signal that has come, if one has, and lets go of the rest.
    pub fn take(&self) -> Option<c_int> {
        self.read();
        self.take_read()
    }

    /// The same of one that [`Signals::read`] has met.
    pub fn take_read(&self) -> Option<c_int> {
        let signal = self.asked.take()?;
        self.taken.set(Some(signal));
        self.release();
        Some(signal)
    }

    /// Reads what is pending, keeps the operator's for [`Signals::take_read`], and returns whether a
    /// SIGCONT was among it.
    pub fn read(&self) -> bool {
        let mut is_continued = false;
        while self.asked.get().is_none() {
            match self.read_one() {
                Some(libc::SIGCONT) => is_continued = true,
                Some(signal) => self.asked.set(Some(signal)),
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
        // SAFETY: the read was whole, so `info` is initialized.
        c_int::try_from(unsafe { info.assume_init() }.ssi_signo).ok()
    }

    /// What is behind the first one, where that is no operator.
    pub fn limit(&self) -> Option<&'static str> {
        (self.taken.get() == Some(libc::SIGXCPU)).then_some("the limit on CPU time (ulimit -t)")
    }

    /// Whether one was taken.
    pub fn is_released(&self) -> bool {
        self.taken.get().is_some()
    }

    /// From here on the kernel delivers them: to [`end_unless_repeated`].
    fn release(&self) {
        // Both before a handler can run.
        TAKEN_AT_NS.store(monotonic_ns(), Ordering::Relaxed);
        let handler: extern "C" fn(c_int) = end_unless_repeated;
        self.set_action(handler as libc::sighandler_t);
        // SAFETY: the action is a valid one for this signal.
        unsafe { libc::signal(libc::SIGXCPU, libc::SIG_IGN) };
        // With a valid set this cannot fail, and if it did the first signal would still be obeyed.
        let _ = mask(libc::SIG_UNBLOCK, &self.set);
    }

    fn set_action(&self, action: libc::sighandler_t) {
        for signal in SIGNALS {
            // SAFETY: the set is initialized.
            if unsafe { libc::sigismember(&raw const self.set, signal) } == 1 {
                // SAFETY: the action is the default one, or a handler that makes calls only that
                // are safe in one. Failing is impossible for these signals.
                unsafe { libc::signal(signal, action) };
            }
        }
    }
}

impl Drop for Signals {
    /// They are not read any more, so they have to have an effect by themselves. Those that came
    /// before asked for the end that has come.
    fn drop(&mut self) {
        if !self.is_released() {
            self.read();
            self.set_action(libc::SIG_DFL);
            let _ = mask(libc::SIG_UNBLOCK, &self.set);
        }
    }
}

/// When the first signal was taken, on the monotonic clock.
static TAKEN_AT_NS: AtomicU64 = AtomicU64::new(0);

/// Within this the same end is asked for, by however many signals: closing a terminal sends SIGHUP
/// from the kernel and from the shell, `timeout` sends SIGTERM to the process and to its group.
const SAME_END: Span = Span::from_s(1);

/// A second Ctrl-C that was typed.
const TYPED_MIN: Span = Span::from_ms(250);

/// Ends the process by a signal that does not ask for what the first one has asked for.
extern "C" fn end_unless_repeated(signal: c_int) {
    let since = monotonic_ns().saturating_sub(TAKEN_AT_NS.load(Ordering::Relaxed));
    let same = if signal == libc::SIGINT { TYPED_MIN } else { SAME_END };
    if since >= same.0 {
        // SAFETY: it may be called from a signal handler; the default action is valid for all.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // It is blocked in its handler, and ends the process on the return from here.
        // SAFETY: it may be called from a signal handler.
        unsafe { libc::raise(signal) };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the abort that follows on a failed allocation a plain failure: what it was has been said on
/// standard error by then, and there is nothing in a core file for an operator.
pub fn fail_on_abort() {
    extern "C" fn fail(_: c_int) {
        // SAFETY: it may be called from a signal handler, and does not return.
        unsafe { libc::_exit(1) }
    }
    let handler: extern "C" fn(c_int) = fail;
    // SAFETY: the handler makes one call, which is safe in it. Failing is impossible for a valid
    // signal.
    unsafe { libc::signal(libc::SIGABRT, handler as libc::sighandler_t) };
}

/// Makes a file that reaches its greatest size (`ulimit -f`) an error of the write, `EFBIG`, and not
/// the end of the process. Source: setrlimit(2), `RLIMIT_FSIZE`.
pub fn fail_on_file_size() {
    // SAFETY: the action is a valid one for this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

fn is_ignored(signal: c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: null means that nothing is to be changed; `action` is initialized where the call
    // succeeds.
    let action = unsafe {
        check(libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()))?;
        action.assume_init()
    };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn mask(how: c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialized; null means that the old one is not wanted.
    let error = unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Makes a child die when this process does, however that comes about. Source: prctl(2),
/// `PR_SET_PDEATHSIG`.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // It is variadic, and all of its arguments are of this type.
        let signal = libc::SIGKILL as libc::c_ulong;
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
        // It may have died before that took effect, and then nobody would tell the child.
        if std::os::unix::process::parent_id() == parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec it makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(set) };
}
