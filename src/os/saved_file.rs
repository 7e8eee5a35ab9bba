//! Reads a file that a run was saved to, and finds out whether it would be overwritten.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

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

/// Whether a file that is written is the one that is read: a device or a pipe is not lost by it.
pub fn is_same(read: &str, written: &str) -> bool {
    let read = if read == "-" { "/dev/stdin" } else { read };
    let [read, written] = [read, written].map(|path| {
        let file = fs::metadata(path).ok().filter(|file| file.is_file());
        file.map(|file| (file.dev(), file.ino()))
    });
    read.is_some() && read == written
}
