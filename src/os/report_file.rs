//! A file that a report is written to: found writable before the run, so that nothing is dialed for a
//! report that cannot be kept, and never the reason for another report to be lost.
//!
//! A regular file is replaced: its successor is written beside it and renamed, so that a crash or a
//! full disk leaves the old one. A pipe or a device is written directly, and so is a file in a
//! directory that takes no other. What is appended to (events, Markdown) is opened once. What is
//! updated (metrics) is replaced at each interval, too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::stdio::Output;
use super::sys::{Signals, files};
use crate::error::{Error, Result};
use crate::escape::Printable;
use crate::outputs::Format;

/// Names that are tried for the file beside.
const NAMES_MAX: u32 = 16;

/// One of them.
#[derive(Debug)]
pub struct ReportFile {
    format: Format,
    path: String,
    sink: Sink,
    failure: Option<String>,
}

#[derive(Debug)]
enum Sink {
    /// Replaced in the end.
    Beside {
        target: PathBuf,
        /// Keeps a descriptor: later the connections may have all others.
        place: Option<File>,
    },
    /// Written from its beginning.
    Rewritten(File),
    /// Written as it is.
    Direct(Output),
}

impl ReportFile {
    /// Finds out whether it can be written, as far as can be known beforehand.
    ///
    /// # Errors
    /// [`Error::Setup`] with the flag, the path and what is wrong with it. A named pipe without a
    /// reader is one: to wait for it could take for ever.
    pub fn open(format: Format, path: &str) -> Result<ReportFile> {
        let sink = open(format, Path::new(path)).map_err(|error| {
            let (flag, path) = (format.flag(), Printable(path));
            let why = match error.raw_os_error() {
                Some(libc::ENXIO) => "no process reads this pipe: start its reader first".into(),
                _ => error.to_string(),
            };
            Error::Setup(format!("{flag} {path}: {why}"))
        })?;
        Ok(ReportFile { format, path: path.to_owned(), sink, failure: None })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// A line, if there is room for it now; else it is dropped and counted.
    pub fn line(&mut self, line: &str) {
        if let Sink::Direct(output) = &mut self.sink {
            output.line(line);
        }
    }

    /// As [`Output::wait_for_room`].
    pub fn wait_for_room(&mut self) {
        if let Sink::Direct(output) = &mut self.sink {
            output.wait_for_room();
        }
    }

    /// How many lines found no room.
    pub fn lines_dropped(&self) -> u64 {
        match &self.sink {
            Sink::Direct(output) => output.lines_dropped(),
            _ => 0,
        }
    }

    /// The whole of it, or its end. As [`Output::finish`], it waits as long as it takes.
    pub fn finish(&mut self, text: &str, signals: &Signals) {
        let written = match &mut self.sink {
            Sink::Direct(output) => {
                output.finish(text, signals);
                self.failure = output.failure();
                return;
            }
            Sink::Rewritten(file) => rewrite(file, text),
            Sink::Beside { target, place } => replace(target, text, place, true),
        };
        self.failure = written.err().map(|error| error.to_string());
    }

    /// The whole of it as it stands, in a run that goes on; a pipe or a device gets it in the end
    /// only. Does not wait for the disk. Returns the first failure: the next update may succeed.
    pub fn update(&mut self, text: &str) -> Option<Error> {
        let written = match &mut self.sink {
            Sink::Direct(_) => Ok(()),
            Sink::Rewritten(file) => rewrite(file, text),
            Sink::Beside { target, place } => replace(target, text, place, false),
        };
        let failure = written.err().filter(|_| self.failure.is_none())?;
        self.failure = Some(failure.to_string());
        self.failure()
    }

    /// What could not be written.
    pub fn failure(&self) -> Option<Error> {
        let (flag, path) = (self.format.flag(), Printable(&self.path));
        let why = self.failure.as_ref()?;
        Some(Error::Setup(format!("cannot write {flag} {path}: {why}")))
    }
}

fn open(format: Format, path: &Path) -> io::Result<Sink> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_file = kind.is_none_or(|kind| kind.is_file());
    // Such a name leads to what is open already.
    let is_ours = path.starts_with("/dev") || path.starts_with("/proc");
    if kind.is_some_and(|kind| kind.is_dir()) {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if kind.is_some_and(|kind| kind.is_socket()) {
        return Err(io::Error::other("a socket cannot be written to by its name"));
    }
    if is_file && !is_ours && !format.is_appended() {
        return open_beside(path);
    }
    // Never the only thread's business: to wait for a reader, or for a terminal's line.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.append(is_file).write(true).create(is_file && !is_ours).custom_flags(flags);
    Ok(Sink::Direct(Output::of(options.open(path)?)))
}

fn open_beside(path: &Path) -> io::Result<Sink> {
    // Through a symbolic link, its file is replaced and not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match create_beside(&target) {
        Ok((place, name)) => {
            fs::remove_file(name)?;
            Ok(Sink::Beside { target, place: Some(place) })
        }
        // The directory takes no new file, but this one may be writable.
        Err(error) if is_refusal(&error) && target.exists() => {
            Ok(Sink::Rewritten(OpenOptions::new().write(true).open(&target)?))
        }
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// A new file in the directory of `target`.
fn create_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    let directory = target.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let process = std::process::id();
    let mut names = (0..NAMES_MAX).map(|n| directory.join(format!(".tcpgoon-{process}-{n}")));
    loop {
        let name = names.next().ok_or(ErrorKind::AlreadyExists)?;
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Replaces `target`; `place` keeps the descriptor. `is_end`: not before it is on the disk.
fn replace(target: &Path, text: &str, place: &mut Option<File>, is_end: bool) -> io::Result<()> {
    drop(place.take());
    let (file, name) = create_beside(target)?;
    let file = place.insert(file);
    let written = file.write_all(text.as_bytes());
    let written = if is_end { written.and_then(|()| file.sync_all()) } else { written };
    let renamed = written.and_then(|()| {
        if let Ok(old) = fs::metadata(target) {
            // Of another owner's file they cannot all be had.
            let _ = file.set_permissions(old.permissions());
        }
        // On ext4 a rename over a file begins to write the new one, and waits for a busy disk: ms. An
        // exchange does not. Source: ext4(5), auto_da_alloc.
        if !is_end && files::exchange(&name, target).is_ok() {
            return fs::remove_file(&name);
        }
        fs::rename(&name, target)
    });
    let Err(error) = renamed else { return Ok(()) };
    let _ = fs::remove_file(&name);
    // A file that is a mount of its own cannot be replaced.
    match error.kind() {
        ErrorKind::ResourceBusy => rewrite(&mut OpenOptions::new().write(true).open(target)?, text),
        _ => Err(error),
    }
}

fn rewrite(file: &mut File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}
