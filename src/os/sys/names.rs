//! The error codes and texts of the C library's resolver.

use std::ffi::{CStr, c_int};

/// Error codes of getaddrinfo(3) with a message of ours. The standard library returns only their
/// text.
pub const EAI_CODES: [c_int; 7] = [
    EAI_ADDRFAMILY,
    libc::EAI_AGAIN,
    libc::EAI_FAIL,
    libc::EAI_FAMILY,
    libc::EAI_MEMORY,
    libc::EAI_NODATA,
    libc::EAI_NONAME,
];

/// Source: netdb.h of glibc; musl has no such error.
pub const EAI_ADDRFAMILY: c_int = -9;

/// The text of an error code of getaddrinfo(3).
pub fn gai_text(code: c_int) -> String {
    // SAFETY: it accepts any code.
    let text = unsafe { libc::gai_strerror(code) };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: it is a string constant of the C library.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
