//! What stops the program: one enum, its words and its exit code. What a network does to a dial is
//! no `Error`: that is data, and goes to the ledger.

use std::fmt;

use crate::escape::Printable;

/// The exit codes: the original's, and one of our own.
pub mod exit {
    /// Every connection was established.
    pub const ALL_ESTABLISHED: u8 = 0;
    /// Not completed: usage, set-up, refused at the prompt, interrupted with dials pending or
    /// questions open that each connection was to be asked, output not written.
    pub const NOT_COMPLETED: u8 = 1;
    /// Completed, with connection errors.
    pub const WITH_ERRORS: u8 = 2;
    /// A condition of `--fail-if` holds. With conditions these alone decide between this and
    /// [`ALL_ESTABLISHED`], but for a run that was [`NOT_COMPLETED`].
    pub const CONDITION_FAILED: u8 = 3;
}

/// The process has no file descriptor left. Source: errno(3).
const EMFILE: i32 = 24;

/// A reason to stop before, or instead of, a run. Each one is a single line, in lower case, without
/// a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A flag or a value that is not accepted: names it and says what is.
    Usage(String),
    /// A name that has no address, or none of the family that was asked for.
    Resolve { name: String, why: String },
    /// The operator said no at the prompt; what is printed about it is the original's and goes to
    /// standard output.
    Declined,
    /// The prompt got no answer: the input ended.
    Unanswered,
    /// The table of connections does not fit in memory.
    Memory { connections: u32, bytes: u64 },
    /// The system refused something that the run cannot do without.
    System { what: &'static str, why: String },
    /// A part of `serve` or `calibrate` that could not be set up.
    Setup(String),
}

impl Error {
    /// A refusal of the system.
    pub fn system(what: &'static str, error: &std::io::Error) -> Error {
        Error::System { what, why: why(error) }
    }

    /// Everything that ends in an `Error` was not completed.
    pub fn exit_code(&self) -> u8 {
        exit::NOT_COMPLETED
    }

    /// Whether the words for it have been said already (at the prompt).
    pub fn is_silent(&self) -> bool {
        matches!(self, Error::Declined | Error::Unanswered)
    }
}

/// An error in the system's words; and what to do, where it is descriptors that the program itself
/// lacks.
pub fn why(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(EMFILE) => format!(
            "{error}: ulimit -n is too small, a run takes 16 file descriptors and one for each \
             connection (ulimit -n 1024)"
        ),
        _ => error.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => write!(f, "{what}"),
            Error::Resolve { name, why } => write!(f, "cannot resolve {}: {why}", Printable(name)),
            Error::Declined => write!(f, "execution aborted as prompted by the user"),
            Error::Unanswered => write!(f, "response not processed"),
            Error::Memory { connections, bytes } => write!(
                f,
                "a table for {connections} connections ({} MiB) does not fit in memory: ask for fewer with --connections",
                bytes.div_ceil(1 << 20)
            ),
            Error::System { what, why } => write!(f, "{what}: {why}"),
            Error::Setup(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {}

/// What a fallible step of the set-up returns.
pub type Result<T> = std::result::Result<T, Error>;
