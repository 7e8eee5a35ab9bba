//! Outputs that can stand still: a small pipe and a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use super::program::Heard;
use super::wait::wait_until;

/// What [`SmallPipe::fill`] repeats.
pub const FILLER: &str = "#\n";

/// A pipe that is full after a page.
#[derive(Debug)]
pub struct SmallPipe {
    reader: PipeReader,
    /// Keeps it from ending.
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
        // By a description of its own: to not wait is nobody else's wish.
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

    /// What is in it and what is still written into it, to the end.
    pub fn read_to_end(mut self) -> String {
        self.writer = None;
        Heard::from_reader(self.reader).all()
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut polled, 0u8).unwrap() > 0
}

/// A pseudo-terminal of which the test is the screen and the keyboard.
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

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until whoever writes to it would have to wait.
    #[track_caller]
    pub fn wait_until_full(&self) {
        wait_until("the terminal is full", || (!has_room(self.device.as_fd())).then_some(()));
    }

    /// Begins to show what is written; it ends when no child has it open any more.
    pub fn show(self) -> (File, Heard) {
        let Terminal { keyboard, device } = self;
        drop(device);
        let screen = Heard::from_reader(keyboard.try_clone().unwrap());
        (keyboard, screen)
    }
}

/// What a terminal has made of a text, undone.
pub fn lines_of(screen: &str) -> String {
    screen.replace("\r\n", "\n")
}
