//! Outputs that can block: a small pipe and a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use super::program::Captured;
use super::wait::wait_until;

/// What [`SmallPipe::fill`] repeats.
pub const FILLER: &str = "#\n";

/// A pipe that is full after a page.
#[derive(Debug)]
pub struct SmallPipe {
    reader: PipeReader,
    /// Keeps the pipe open.
    writer: Option<PipeWriter>,
}

impl SmallPipe {
    pub fn new() -> SmallPipe {
        let (reader, writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        SmallPipe { reader, writer: Some(writer) }
    }

    /// The end for a child.
    pub fn writer(&self) -> PipeWriter {
        self.writer.as_ref().unwrap().try_clone().unwrap()
    }

    /// Fills it to the last byte, with lines of its own.
    pub fn fill(&self) {
        // Through a file description of its own: O_NONBLOCK must not affect the others.
        let path = format!("/proc/self/fd/{}", self.reader.as_raw_fd());
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut filler = options.open(path).unwrap();
        while filler.write_all(FILLER.as_bytes()).is_ok() {}
    }

    /// The next line, without its end.
    pub fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            self.reader.read_exact(&mut byte).unwrap();
            match byte {
                [b'\n'] => return String::from_utf8(line).unwrap(),
                [other] => line.push(other),
            }
        }
    }

    /// Everything up to the end.
    pub fn read_to_end(mut self) -> String {
        self.writer = None;
        Captured::from_reader(self.reader).all()
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut polled, 0u8).unwrap() > 0
}

/// A pseudo-terminal; the test is its screen and keyboard.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    device: File,
}

impl Terminal {
    pub fn new() -> Terminal {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname_r(&master).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
        let device = options.open(path).unwrap();
        Terminal { keyboard: File::from(OwnedFd::from(master)), device }
    }

    /// For one of a child's standard streams.
    pub fn device(&self) -> File {
        self.device.try_clone().unwrap()
    }

    /// Sets its width.
    pub fn resize(&self, columns: u16) {
        resize(&self.device, columns);
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a write would block.
    #[track_caller]
    pub fn wait_until_full(&self) {
        wait_until("the terminal is full", || (!has_room(self.device.as_fd())).then_some(()));
    }

    /// Captures what is written, until no child has it open.
    pub fn show(self) -> (File, Captured) {
        let Terminal { keyboard, device } = self;
        drop(device);
        let screen = Captured::from_reader(keyboard.try_clone().unwrap());
        (keyboard, screen)
    }
}

/// Sets the width of a terminal, by either end of it.
pub fn resize(end: &File, columns: u16) {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads a `winsize`.
    let outcome = unsafe { libc::ioctl(end.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
}

/// Undoes what a terminal does to line ends.
pub fn lines_of(screen: &str) -> String {
    screen.replace("\r\n", "\n")
}
