//! The standard streams as descriptors, and replacements for closed ones.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;

use super::check::{check, check_length};

/// read(2).
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `start` points to `length` writable bytes.
    check_length(unsafe { libc::read(fd.as_raw_fd(), start, length) })
}

/// write(2). Unlike the standard library's streams it returns `EBADF` for a closed stream.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `start` points to `length` readable bytes.
    check_length(unsafe { libc::write(fd.as_raw_fd(), start, length) })
}

/// Whether it is open for writing.
pub fn is_writable(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) });
    flags.is_ok_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// How many columns a terminal has; 0 where it does not know.
pub fn columns(fd: BorrowedFd<'_>) -> io::Result<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` has room for what TIOCGWINSZ writes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(size.ws_col)
}

/// Runs before `main` and before the standard library checks the streams: in place of a closed one
/// that opens `/dev/null`, so that a report would be lost without an error, or aborts without it.
#[used]
// SAFETY: the C library calls the functions in this section once it is initialized; this one takes
// no arguments and uses nothing of the standard library.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = fill_closed_streams;

/// Replaces each closed stream by the reading end of an empty pipe: a read returns end of file, and
/// a write fails.
extern "C" fn fill_closed_streams() {
    const STREAMS: [c_int; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];
    // SAFETY: no pointers.
    let closed = STREAMS.map(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1);
    let mut ends = [-1; 2];
    // SAFETY: `ends` holds two descriptors.
    if !closed.contains(&true) || unsafe { libc::pipe(ends.as_mut_ptr()) } == -1 {
        return;
    }
    let [reader, writer] = ends;
    // SAFETY: the descriptor is new, and nothing else uses it.
    unsafe { libc::close(writer) };
    // The reader has replaced the first closed one: the kernel assigns the lowest free descriptor.
    for (fd, _) in STREAMS.into_iter().zip(closed).filter(|(fd, closed)| *closed && *fd != reader) {
        // SAFETY: no pointers; the replaced descriptor is closed, as is the writer.
        unsafe { libc::dup2(reader, fd) };
    }
}
