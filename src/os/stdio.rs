//! Standard output and error that never block the only thread.
//!
//! A terminal can be stopped (Ctrl-S, a paused pager), and a pipe can have a slow reader. The open
//! file description of descriptor 1 or 2 is shared with the shell, so it must not be made
//! non-blocking: a terminal or pipe is opened again instead.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use super::sys::{self, Signals, streams};
use super::terminal::LiveRow;
use crate::error::{Error, Result};
use crate::units::Span;

/// How a stream is written without blocking.
#[derive(Debug)]
enum Sink {
    /// A file, or a device such as /dev/null: a write blocks no longer than the disk.
    Direct(File),
    /// A terminal or pipe, opened again as non-blocking.
    Reopened(File),
    /// A socket: written with MSG_DONTWAIT.
    Socket(OwnedFd),
    /// A terminal or pipe that could not be opened again: polled before each write.
    Polled(File),
}

/// Standard output and error. One [`Output`] if both are the same terminal or pipe: otherwise a
/// line of one could follow half a line of the other.
#[derive(Debug)]
pub struct Streams {
    pub stdout: Output,
    /// `None`: the same as `stdout`.
    stderr: Option<Output>,
}

impl Streams {
    /// # Errors
    /// If standard output is not open for writing, or there is no free descriptor.
    pub fn open() -> io::Result<Streams> {
        if !streams::is_writable(io::stdout().as_fd()) {
            return Err(io::Error::other(
                "standard output is closed or not open for writing (to discard it: >/dev/null)",
            ));
        }
        let (stdout, stderr) = (Output::stdout()?, Output::stderr()?);
        let is_shared = stdout.file_id.is_some() && stdout.file_id == stderr.file_id;
        Ok(Streams { stdout, stderr: (!is_shared).then_some(stderr) })
    }

    pub fn stderr(&mut self) -> &mut Output {
        self.stderr.as_mut().unwrap_or(&mut self.stdout)
    }

    /// Both: see [`Output::wait_for_room`].
    pub fn wait_for_room(&mut self) {
        self.stdout.wait_for_room();
        self.stderr().wait_for_room();
    }

    /// Lines of both that were dropped because they would have blocked.
    pub fn lines_dropped(&self) -> u64 {
        let stderr = self.stderr.as_ref().map_or(0, Output::lines_dropped);
        self.stdout.lines_dropped() + stderr
    }
}

/// One of the two standard streams, or a file that is written as the run goes on.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    /// Device and inode; `None` for a regular file, which takes whole lines.
    file_id: Option<(u64, u64)>,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    /// Lines passed to [`Output::line`] so far.
    lines: u64,
    lines_dropped: u64,
    lost: Option<LostLines>,
    /// Whether a line waits for room.
    waits: bool,
    /// What is redrawn below the lines.
    live: LiveRow,
    /// The error after which nothing more is written.
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
    /// If there is no free descriptor.
    pub fn stdout() -> io::Result<Output> {
        Output::new(io::stdout().as_fd(), io::stdout().is_terminal(), "/proc/self/fd/1")
    }

    /// # Errors
    /// If there is no free descriptor.
    pub fn stderr() -> io::Result<Output> {
        Output::new(io::stderr().as_fd(), io::stderr().is_terminal(), "/proc/self/fd/2")
    }

    /// Any other file, from a description of our own: of a pipe or a terminal a non-blocking one.
    pub fn of(file: File) -> Output {
        Output::by(Sink::Reopened(file), None)
    }

    fn new(fd: BorrowedFd<'_>, is_terminal: bool, path: &str) -> io::Result<Output> {
        let file = fd.try_clone_to_owned().map_err(|error| match error.raw_os_error() {
            // F_DUPFD above the standard streams, and the descriptor limit is below that.
            Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::EMFILE),
            _ => error,
        });
        let file = File::from(file?);
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let file_id = (!kind.is_file()).then(|| (metadata.dev(), metadata.ino()));
        let sink = if !streams::is_writable(file.as_fd()) {
            Sink::Direct(file)
        } else if kind.is_socket() {
            Sink::Socket(file.into())
        } else if kind.is_fifo() || is_terminal {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
            let reopen = |path| OpenOptions::new().write(true).custom_flags(flags).open(path);
            let reopened = match reopen(path) {
                // Another user's terminal (after su), or no /proc. Polling is not enough for a
                // terminal: it does not report how many bytes fit.
                Err(_) if sys::is_controlling_terminal(file.as_fd()) => reopen("/dev/tty"),
                other => other,
            };
            // Another user's pipe, or a terminal of another session.
            reopened.map_or(Sink::Polled(file), Sink::Reopened)
        } else {
            Sink::Direct(file)
        };
        Ok(Output::by(sink, file_id))
    }

    fn by(sink: Sink, file_id: Option<(u64, u64)>) -> Output {
        let (rest, lines, lines_dropped) = (Vec::new(), 0, 0);
        let live = LiveRow::default();
        let (waits, lost, error) = (false, None, None);
        Output { sink, file_id, rest, lines, lines_dropped, lost, waits, live, error }
    }

    /// From here on no line is dropped: each waits for room. For a run on a simulated clock.
    pub fn wait_for_room(&mut self) {
        self.waits = true;
    }

    /// Writes a line (with its line feed), or drops and counts it if that would block. After an
    /// error the next line is tried all the same: a full disk need not stay full.
    pub fn line(&mut self, line: &str) {
        if self.error.is_some() {
            return;
        }
        self.lines += 1;
        let line = &*self.live.below(line);
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

    /// Redraws what stands below the lines, if there is room for it now. It is not counted where
    /// there is none, and the next one is tried all the same.
    pub fn redraw(&mut self, text: &str) {
        // Poll reports room in such a terminal, and not for how much: the write could block.
        if self.error.is_some() || matches!(self.sink, Sink::Polled(_)) {
            return;
        }
        let rest = std::mem::take(&mut self.rest);
        let (left, _) = self.write(&rest);
        self.rest = rest[rest.len() - left..].to_vec();
        if left > 0 {
            return;
        }
        let Some(drawn) = self.live.redraw(text) else { return };
        let (left, _) = self.write(drawn.as_bytes());
        if left == drawn.len() {
            // To be drawn again.
            self.live.forget();
        } else {
            self.rest = drawn.as_bytes()[drawn.len() - left..].to_vec();
        }
    }

    /// Counts a line that was not written.
    fn drop_line(&mut self, failure: Option<io::Error>) {
        match failure {
            None => self.lines_dropped += 1,
            // The reader is gone for good.
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

    /// Writes all of `text`, and waits for as long as that takes. The first signal meanwhile is
    /// taken and ignored; the next one ends the process.
    pub fn finish(&mut self, text: &str, signals: &Signals) {
        if self.error.is_some() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(self.live.end(text).as_bytes());
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

    /// Lines that were dropped because they would have blocked.
    pub fn lines_dropped(&self) -> u64 {
        self.lines_dropped
    }

    /// # Errors
    /// [`Output::failure`], for the end of the program: a failed write is reported last.
    pub fn all_written(&self) -> Result<()> {
        let what = "cannot write to standard output";
        self.failure().map_or(Ok(()), |why| Err(Error::System { what, why }))
    }

    /// The write error and the lines that are missing. A closed pipe is no failure.
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

    /// Writes what does not block. Returns the number of bytes left, and the error, if there was
    /// one.
    fn write(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut left = bytes;
        while !left.is_empty() {
            match self.write_once(left) {
                Ok(0) => return (left.len(), Some(ErrorKind::WriteZero.into())),
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let writable = (self.fd(), libc::POLLOUT);
                    if !self.waits || sys::wait_for([writable], None).is_err() {
                        return (left.len(), None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (left.len(), Some(error)),
            }
        }
        (0, None)
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Direct(file) | Sink::Reopened(file) => file.write(bytes),
            Sink::Socket(fd) => sys::send(fd.as_fd(), bytes),
            Sink::Polled(file) => {
                let [is_writable] =
                    sys::wait_for([(file.as_fd(), libc::POLLOUT)], Some(Span::ZERO))?;
                // A writable pipe takes this much (pipe(7), PIPE_BUF).
                let piece = &bytes[..bytes.len().min(libc::PIPE_BUF)];
                if is_writable { file.write(piece) } else { Err(ErrorKind::WouldBlock.into()) }
            }
        }
    }

    /// Waits until a write may succeed or a signal comes. If waiting fails, the next write returns
    /// the error.
    fn wait(&self, signals: &Signals) {
        let writable = (self.fd(), libc::POLLOUT);
        if signals.is_released() {
            let _ = sys::wait_for([writable], None);
        } else if let Ok([_, true]) =
            sys::wait_for([writable, (signals.as_fd(), libc::POLLIN)], None)
        {
            let _ = signals.take();
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.sink {
            Sink::Direct(file) | Sink::Reopened(file) | Sink::Polled(file) => file.as_fd(),
            Sink::Socket(fd) => fd.as_fd(),
        }
    }
}

/// A standard stream that blocks, even if another program has made it non-blocking. For use before
/// a run and after it.
#[derive(Debug)]
pub struct Blocking<F>(pub F);

impl<F: AsFd> Blocking<F> {
    fn when(&self, event: i16) -> io::Result<()> {
        match sys::wait_for([(self.0.as_fd(), event)], None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl<F: AsFd> Read for Blocking<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match streams::read(self.0.as_fd(), buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.when(libc::POLLIN)?,
                other => return other,
            }
        }
    }
}

impl<F: AsFd> Write for Blocking<F> {
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
