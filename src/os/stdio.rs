//! Standard output and error that cannot stop the only thread.
//!
//! A terminal can be stopped (Ctrl-S, a paused pager) and a pipe's reader can be slow. The
//! description behind descriptor 1 or 2 is shared with the shell, so it must not be made
//! non-blocking; a terminal or pipe is opened once more instead, and that description is ours
//! alone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use super::sys::{self, Signals, streams};
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
    /// When standard output cannot be written at all, or there is no descriptor left to hold them
    /// by.
    pub fn open() -> io::Result<Streams> {
        if !streams::is_writable(io::stdout().as_fd()) {
            return Err(io::Error::other(
                "standard output is closed or open for reading only: nothing could be reported \
                 ('>/dev/null' discards it)",
            ));
        }
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

/// One of the two standard streams, or a file that is written as the run goes on.
#[derive(Debug)]
pub struct Output {
    way: Way,
    /// Device and inode of what it leads to; `None` for a regular file, which takes whole lines.
    place: Option<(u64, u64)>,
    /// What is left of a line of which only the beginning was written.
    rest: Vec<u8>,
    /// Lines handed over so far.
    lines: u64,
    lines_dropped: u64,
    lost: Option<LostLines>,
    /// What ended it.
    error: Option<io::Error>,
}

/// Lines that could not be written, numbered from 1.
#[derive(Debug)]
struct LostLines {
    first: u64,
    last: u64,
    count: u64,
    /// The first error.
    error: io::Error,
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

    /// One that is no standard stream, from a description of our own: where it can keep a writer
    /// waiting it has to be non-blocking.
    pub fn of(file: File) -> Output {
        Output::by(Way::Reopened(file), None)
    }

    fn new(fd: BorrowedFd<'_>, is_terminal: bool, path: &str) -> io::Result<Output> {
        let file = fd.try_clone_to_owned().map_err(|error| match error.raw_os_error() {
            // The copy is to be above the standard streams, and no descriptor may be.
            Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::EMFILE),
            _ => error,
        });
        let file = File::from(file?);
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let place = (!kind.is_file()).then(|| (metadata.dev(), metadata.ino()));
        let way = if !streams::is_writable(file.as_fd()) {
            Way::Direct(file)
        } else if kind.is_socket() {
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
        Ok(Output::by(way, place))
    }

    fn by(way: Way, place: Option<(u64, u64)>) -> Output {
        let (rest, lines, lines_dropped) = (Vec::new(), 0, 0);
        Output { way, place, rest, lines, lines_dropped, lost: None, error: None }
    }

    /// Prints a line (which brings its own line feed) if there is room for it now; else drops and
    /// counts it. One that cannot be written is lost, and the next one is tried all the same: a full
    /// disk need not stay full.
    pub fn line(&mut self, line: &str) {
        if self.error.is_some() {
            return;
        }
        self.lines += 1;
        let rest = std::mem::take(&mut self.rest);
        let (left, failure) = self.write(&rest);
        if left > 0 {
            self.rest = rest[rest.len() - left..].to_vec();
            return self.drop_line(failure);
        }
        let (left, failure) = self.write(line.as_bytes());
        if left == line.len() {
            self.drop_line(failure);
        } else {
            self.rest = line.as_bytes()[line.len() - left..].to_vec();
        }
    }

    /// Counts a line of which nothing was written.
    fn drop_line(&mut self, failure: Option<io::Error>) {
        match failure {
            None => self.lines_dropped += 1,
            // Its reader does not come back.
            Some(error) if error.kind() == ErrorKind::BrokenPipe => self.error = Some(error),
            Some(error) => {
                let (line, count) = (self.lines, 0);
                let new = LostLines { first: line, last: line, count, error };
                let lost = self.lost.get_or_insert(new);
                lost.last = line;
                lost.count += 1;
            }
        }
    }

    /// Prints all of `text`, and waits as long as it takes. The first signal in that time is noted
    /// and changes nothing but the next one's effect, which is the kernel's to carry out.
    pub fn finish(&mut self, text: &str, signals: &Signals) {
        if self.error.is_some() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(text.as_bytes());
        let mut left = bytes.len();
        loop {
            let failure;
            (left, failure) = self.write(&bytes[bytes.len() - left..]);
            if left == 0 || failure.is_some() {
                self.error = failure;
                return;
            }
            self.wait(signals);
        }
    }

    /// How many lines found no room.
    pub fn lines_dropped(&self) -> u64 {
        self.lines_dropped
    }

    /// What could not be written to it, and why, if that is worth telling: a reader that has gone
    /// away is not.
    pub fn failure(&self) -> Option<String> {
        match (&self.error, &self.lost) {
            (Some(error), _) if error.kind() == ErrorKind::BrokenPipe => None,
            (Some(error), _) => Some(error.to_string()),
            (None, Some(LostLines { first, last, count, error })) => {
                let which = match count {
                    1 => format!("line {first} is missing"),
                    _ if last - first + 1 == *count => {
                        format!("lines {first} to {last} are missing")
                    }
                    _ => format!("{count} of the lines {first} to {last} are missing"),
                };
                Some(format!("{error}: {which}, the report is complete"))
            }
            (None, None) => None,
        }
    }

    /// Writes what fits, and returns how many bytes are left, and what kept them from being written
    /// but want of room.
    fn write(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut left = bytes;
        while !left.is_empty() {
            match self.write_once(left) {
                Ok(0) => return (left.len(), Some(ErrorKind::WriteZero.into())),
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (left.len(), None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (left.len(), Some(error)),
            }
        }
        (0, None)
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

/// A standard stream that is waited for, also where another program has left what is behind it
/// non-blocking. For what comes before a run and after it.
#[derive(Debug)]
pub struct Patient<F>(pub F);

impl<F: AsFd> Patient<F> {
    fn when(&self, event: i16) -> io::Result<()> {
        match sys::wait_for([(self.0.as_fd(), event)], None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl<F: AsFd> Read for Patient<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match streams::read(self.0.as_fd(), buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.when(libc::POLLIN)?,
                other => return other,
            }
        }
    }
}

impl<F: AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match streams::write(self.0.as_fd(), bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.when(libc::POLLOUT)?,
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
