//! Standard output and error that cannot stop the only thread.
//!
//! A terminal can be stopped (Ctrl-S, a paused pager) and a pipe's reader can be slow. The
//! description behind descriptor 1 or 2 is shared with the shell, so it must not be made
//! non-blocking; a terminal or pipe is opened once more instead, and that description is ours
//! alone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use super::sys::{self, Signals};
use crate::units::Span;

/// How bytes get out.
#[derive(Debug)]
enum Way {
    /// A file or a device such as /dev/null: it keeps a writer waiting no longer than its disk.
    Direct(File),
    /// A terminal or pipe of which we have a non-blocking description of our own.
    Reopened(File),
    /// A socket: it takes "do not wait" call by call.
    Socket(OwnedFd),
    /// One that could not be opened again: asked for room before each write.
    Asked(File),
}

/// Standard output and error: one and the same where both lead to the same terminal or pipe, or
/// what is left of a line of the one would be followed there by a line of the other.
#[derive(Debug)]
pub struct Streams {
    pub stdout: Output,
    /// `None`: the same as `stdout`.
    stderr: Option<Output>,
}

impl Streams {
    /// # Errors
    /// When there is no descriptor left to hold them by.
    pub fn open() -> io::Result<Streams> {
        let (stdout, stderr) = (Output::stdout()?, Output::stderr()?);
        let is_shared = stdout.place.is_some() && stdout.place == stderr.place;
        Ok(Streams { stdout, stderr: (!is_shared).then_some(stderr) })
    }

    pub fn stderr(&mut self) -> &mut Output {
        self.stderr.as_mut().unwrap_or(&mut self.stdout)
    }

    /// How many lines found no room in either.
    pub fn lines_dropped(&self) -> u64 {
        let stderr = self.stderr.as_ref().map_or(0, Output::lines_dropped);
        self.stdout.lines_dropped() + stderr
    }
}

/// One of the two standard streams.
#[derive(Debug)]
pub struct Output {
    way: Way,
    /// Device and inode of what it leads to; `None` for a regular file, which takes whole lines.
    place: Option<(u64, u64)>,
    /// What is left of a line of which only the beginning fitted.
    rest: Vec<u8>,
    lines_dropped: u64,
    error: Option<io::Error>,
}

impl Output {
    /// # Errors
    /// When there is no descriptor left to hold it by.
    pub fn stdout() -> io::Result<Output> {
        Output::new(io::stdout().as_fd(), io::stdout().is_terminal(), "/proc/self/fd/1")
    }

    /// # Errors
    /// When there is no descriptor left to hold it by.
    pub fn stderr() -> io::Result<Output> {
        Output::new(io::stderr().as_fd(), io::stderr().is_terminal(), "/proc/self/fd/2")
    }

    fn new(fd: BorrowedFd<'_>, is_terminal: bool, path: &str) -> io::Result<Output> {
        let file = File::from(fd.try_clone_to_owned()?);
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let place = (!kind.is_file()).then(|| (metadata.dev(), metadata.ino()));
        let way = if kind.is_socket() {
            Way::Socket(file.into())
        } else if kind.is_fifo() || is_terminal {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
            let reopen = |path| OpenOptions::new().write(true).custom_flags(flags).open(path);
            let reopened = match reopen(path) {
                // Another user's terminal (after su), or no /proc. Asking is not enough for a
                // terminal: it says that there is room, and not for how much.
                Err(_) if sys::is_controlling_terminal(file.as_fd()) => reopen("/dev/tty"),
                other => other,
            };
            // What is left are another user's pipes, and terminals of another session.
            reopened.map_or(Way::Asked(file), Way::Reopened)
        } else {
            Way::Direct(file)
        };
        Ok(Output { way, place, rest: Vec::new(), lines_dropped: 0, error: None })
    }

    /// Prints a line (which brings its own line feed) if there is room for it now; else drops and
    /// counts it.
    pub fn line(&mut self, line: &str) {
        if self.error.is_some() {
            return;
        }
        let rest = std::mem::take(&mut self.rest);
        let unwritten = self.write(&rest);
        if unwritten > 0 {
            self.rest = rest[rest.len() - unwritten..].to_vec();
            self.lines_dropped += 1;
            return;
        }
        match self.write(line.as_bytes()) {
            0 => {}
            all if all == line.len() => self.lines_dropped += 1,
            some => self.rest = line.as_bytes()[line.len() - some..].to_vec(),
        }
    }

    /// Prints all of `text`, and waits as long as it takes. The first signal in that time is noted
    /// and changes nothing but the next one's effect, which is the kernel's to carry out.
    pub fn finish(&mut self, text: &str, signals: &Signals) {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(text.as_bytes());
        let mut unwritten = bytes.len();
        while self.error.is_none() {
            unwritten = self.write(&bytes[bytes.len() - unwritten..]);
            if unwritten == 0 {
                return;
            }
            self.wait(signals);
        }
    }

    /// How many lines found no room.
    pub fn lines_dropped(&self) -> u64 {
        self.lines_dropped
    }

    /// What went wrong with it, if that is worth telling: a reader that has gone away is not.
    pub fn failure(&self) -> Option<&io::Error> {
        self.error.as_ref().filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    /// Writes what fits, and returns how many bytes are left. An error is kept, and leaves nothing
    /// to be written.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while !left.is_empty() {
            match self.write_once(left) {
                Ok(0) => self.error = Some(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = &left[written..];
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return left.len(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.error = Some(error),
            }
            return 0;
        }
        0
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Direct(file) | Way::Reopened(file) => file.write(bytes),
            Way::Socket(fd) => sys::send(fd.as_fd(), bytes),
            Way::Asked(file) => {
                let [room] = sys::wait_for([(file.as_fd(), libc::POLLOUT)], Some(Span::ZERO))?;
                // A pipe with room has room for this much (pipe(7), PIPE_BUF).
                let piece = &bytes[..bytes.len().min(libc::PIPE_BUF)];
                if room { file.write(piece) } else { Err(ErrorKind::WouldBlock.into()) }
            }
        }
    }

    /// Until there may be room again, or a signal came. Should waiting fail, the next write says
    /// what is wrong.
    fn wait(&self, signals: &Signals) {
        let room = (self.fd(), libc::POLLOUT);
        if signals.is_released() {
            let _ = sys::wait_for([room], None);
        } else if let Ok([_, true]) = sys::wait_for([room, (signals.as_fd(), libc::POLLIN)], None) {
            let _ = signals.take();
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Direct(file) | Way::Reopened(file) | Way::Asked(file) => file.as_fd(),
            Way::Socket(fd) => fd.as_fd(),
        }
    }
}
