//! The standard streams as descriptors: read, written, and there from the start.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;

use super::check::{check, check_length};

/// Reads what there is.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (place, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `place` points to `length` writable bytes.
    check_length(unsafe { libc::read(fd.as_raw_fd(), place, length) })
}

/// Writes what fits. Unlike the standard library's streams it reports `EBADF`: written to a closed
/// stream, nothing was written.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (place, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `place` points to `length` readable bytes.
    check_length(unsafe { libc::write(fd.as_raw_fd(), place, length) })
}

/// Whether it was opened for writing.
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

/// Runs before `main`, and before the standard library looks at the streams: for a closed one that
/// would open `/dev/null`, so that a report vanishes without an error, or abort where there is none.
#[used]
// SAFETY: the C library calls what is in this section once it is set up; the function takes no
// arguments and uses nothing of the standard library.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = fill_closed_streams;

/// Puts the reading end of an empty pipe in the place of each stream that is closed: reading it is
/// the end of the input, and writing it fails.
extern "C" fn fill_closed_streams() {
    const STREAMS: [c_int; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];
    // SAFETY: no pointers.
    let closed = STREAMS.map(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1);
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    if !closed.contains(&true) || unsafe { libc::pipe(ends.as_mut_ptr()) } == -1 {
        return;
    }
    let [reader, writer] = ends;
    // SAFETY: the descriptor was just made, and is used by nothing else.
    unsafe { libc::close(writer) };
    // The reader is the first of the closed ones: the kernel hands out the lowest that is free.
    for (fd, _) in STREAMS.into_iter().zip(closed).filter(|(fd, closed)| *closed && *fd != reader) {
        // SAFETY: no pointers; what it replaces is closed or the writer, which is closed too.
        unsafe { libc::dup2(reader, fd) };
    }
}
