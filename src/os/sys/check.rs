//! The answer of a system call as an `io::Result`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::c_int;

/// The answer of a system call that returns -1 and sets `errno`.
pub fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The same for those that return a length.
pub fn check_length(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// A descriptor that a system call has just returned.
pub fn own(returned: c_int) -> io::Result<OwnedFd> {
    let fd = check(returned)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
