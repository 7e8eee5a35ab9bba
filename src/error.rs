//! The errors that stop the program, their messages and exit codes. A failed dial is no `Error`: it
//! is data, and counted in the ledger.

use std::fmt;

use crate::escape::Printable;

/// The exit codes: the original's, and one more.
pub mod exit {
    /// Every connection was established.
    pub const ALL_ESTABLISHED: u8 = 0;
    /// Not completed: usage, setup, declined at the prompt, interrupted with dials or checks
    /// pending, output not written.
    pub const NOT_COMPLETED: u8 = 1;
    /// Completed with connection errors.
    pub const WITH_ERRORS: u8 = 2;
    /// A condition of `--fail-if` holds. With conditions these alone decide between this and
    /// [`ALL_ESTABLISHED`], but for a run that was [`NOT_COMPLETED`].
    pub const CONDITION_FAILED: u8 = 3;
}

/// Source: errno(3).
const EMFILE: i32 = 24;

/// Why a run does not start or does not complete. Messages are in lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A flag or a value that is not accepted: with its name and what is accepted.
    Usage(String),
    /// A name without an address of the wanted family.
    Resolve { name: String, why: String },
    /// No at the prompt, which prints the original's message to standard output.
    Declined,
    /// No answer at the prompt, which prints the original's message to standard output.
    Unanswered,
    /// The tables for the connections do not fit in memory.
    Memory { connections: u32, bytes: u64 },
    /// A system call failed that the run needs.
    System { what: &'static str, why: String },
    /// The setup of a run, `serve` or `calibrate` failed.
    Setup(String),
}

impl Error {
    /// A failed system call.
    pub fn system(what: &'static str, error: &std::io::Error) -> Error {
        Error::System { what, why: why(error) }
    }

    /// The same for all errors: not completed.
    pub fn exit_code(&self) -> u8 {
        exit::NOT_COMPLETED
    }

    /// Whether its message has been printed already, at the prompt.
    pub fn is_silent(&self) -> bool {
        matches!(self, Error::Declined)
    }
}

/// The system's message, with the fix if the program lacks descriptors for itself.
pub fn why(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(EMFILE) => format!(
            "{error}: ulimit -n is too low, a run needs 16 file descriptors and one for each \
             connection; fix: ulimit -n 1024"
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
            Error::Unanswered => write!(f, "the question was not answered: -y skips it"),
            Error::Memory { connections, bytes } => write!(
                f,
                "a table for {connections} connections ({} MiB) does not fit in memory: use fewer --connections",
                bytes.div_ceil(1 << 20)
            ),
            Error::System { what, why } => write!(f, "{what}: {why}"),
            Error::Setup(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;
