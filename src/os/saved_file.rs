//! Reads a file that a run was saved to.

use std::fs::File;
use std::io::{self, Read};

use super::stdio::Blocking;

/// All of a file, or of standard input (`-`); no more than one byte above `bytes_max`.
///
/// # Errors
/// If it cannot be opened or read: a directory cannot.
pub fn read(path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
    let most = bytes_max as u64 + 1;
    let mut bytes = Vec::new();
    match path {
        "-" => Blocking(io::stdin()).take(most).read_to_end(&mut bytes)?,
        path => File::open(path)?.take(most).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
