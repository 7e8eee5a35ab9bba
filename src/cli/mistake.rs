//! A mistake in a command line, as the parser found it. `answer` prints it, with what to type
//! instead.

use crate::escape::quoted;

/// The first mistake of a command line. A `line` has the word and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// A flag that the verb does not have, as it was typed: `--timeout`, `-n`, `-duration`.
    Flag(String),
    /// A flag of the verb with the wrong dash: `-port`, `—port=80`.
    Dash(String),
    /// A value that the flag of this long name does not accept.
    Value {
        flag: &'static str,
        value: String,
        line: String,
    },
    /// The flag of this long name is the last word, and needs a value.
    NoValue {
        flag: &'static str,
        line: String,
    },
    /// A word that is no flag and cannot be parsed.
    Word {
        word: String,
        line: String,
    },
    /// A host without a port.
    NoPort {
        word: String,
        line: String,
    },
    NoTarget,
    /// All else: only this line.
    Other(String),
}

impl From<String> for Mistake {
    fn from(line: String) -> Mistake {
        Mistake::Other(line)
    }
}

impl Mistake {
    /// The line about the mistake, without a suggestion.
    pub fn line(&self) -> String {
        match self {
            Mistake::Flag(typed) => format!("unknown flag {}", printable(typed)),
            Mistake::Dash(typed) => format!("{}: a flag begins with '-' or '--'", quoted(typed)),
            Mistake::NoTarget => {
                "a host is required: give HOST:PORT, or --host HOST --port PORT".into()
            }
            Mistake::Value { line, .. }
            | Mistake::NoValue { line, .. }
            | Mistake::Word { line, .. }
            | Mistake::NoPort { line, .. }
            | Mistake::Other(line) => line.clone(),
        }
    }
}

/// As [`quoted`], without the quotes: they do not belong after the dashes.
pub fn printable(typed: &str) -> String {
    let typed = quoted(typed);
    typed.trim_matches('\'').to_owned()
}
