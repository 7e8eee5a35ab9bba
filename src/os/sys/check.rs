//! The return value of a system call as an `io::Result`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::c_int;

/// For system calls that return -1 and set `errno`.
pub fn check(returned: c_int) -> io::Result<c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// For system calls that return a length.
pub fn check_length(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// For system calls that return a new descriptor.
pub fn own(returned: c_int) -> io::Result<OwnedFd> {
    let fd = check(returned)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
