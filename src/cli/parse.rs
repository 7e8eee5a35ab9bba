//! argv → [`Command`]. Every mistake is one line that names the word and what is accepted, and a
//! second one with what to type: `answer` finds what was meant.

use std::ffi::OsString;

use super::answer::{answer, wrong_dash};
use super::effects::Draft;
use super::explain;
use super::flags::{FLAGS, Flag, Verb, by_long, by_short};
use super::mistake::Mistake;
use super::{completions, verb};
use crate::args::{Args, CalibrateArgs, ServeArgs};
use crate::diagnosis::causes::Cause;
use crate::error::Error;
use crate::escape::{Printable, quoted, quoted_os};

/// First words that are reserved for later verbs, so that today's scripts keep their meaning.
const RESERVED: [&str; 1] = ["merge"];

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Run(Box<Args>),
    Serve(ServeArgs),
    Calibrate(CalibrateArgs),
    /// One cause, or the list of them.
    Explain(Option<Cause>),
    /// The JSON Schema of a report.
    Schema,
    /// The completions for this shell.
    Completions(&'static str),
    Man,
    Help(Verb),
    /// The scenarios of rehearsals.
    Scenarios,
    Version,
}

/// Parses the arguments without the program's name (`std::env::args_os().skip(1)`).
///
/// Only the first word can be a verb: `tcpgoon -y serve` dials a host named "serve". Flags and
/// other words may be mixed; `--` ends the flags; the last of a repeated flag counts. Parsing stops
/// at `--help` and `--version`: mistakes before them are reported, the rest is ignored.
///
/// # Errors
/// [`Error::Usage`] with two lines: what is wrong, and what to type.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    parse_words(&argv).map_err(|(verb, mistake)| {
        let check = |words: &[String]| {
            parse_words(&words.iter().map(OsString::from).collect::<Vec<_>>()).map(drop)
        };
        Error::Usage(answer(verb, &argv, &mistake, &check))
    })
}

/// As [`parse`], with the mistake as it was found.
fn parse_words(argv: &[OsString]) -> Result<Command, (Verb, Mistake)> {
    let (first, rest) =
        argv.split_first().map_or((None, argv), |(first, rest)| (first.to_str(), rest));
    let (verb, rest) = match first.unwrap_or_default() {
        "help" => return parse_help(rest).map_err(|mistake| (Verb::Run, mistake)),
        "version" => return parse_version(rest).map_err(|line| (Verb::Run, line.into())),
        word if RESERVED.contains(&word) => {
            let line = format!(
                "'{word}' is reserved for a verb of a later version; for a host of that name use --host {word}"
            );
            return Err((Verb::Run, line.into()));
        }
        word => match verb::find(word).and_then(|record| record.verb) {
            Some(verb) => (verb, rest),
            None => (Verb::Run, argv),
        },
    };
    parse_verb(verb, rest.to_vec()).map_err(|mistake| (verb, mistake))
}

/// `tcpgoon help [VERB]`.
fn parse_help(rest: &[OsString]) -> Result<Command, Mistake> {
    let Some(word) = rest.first() else { return Ok(Command::Help(Verb::Run)) };
    let named = |what: &str| Mistake::Word {
        word: rest[rest.len() - 1].to_string_lossy().into_owned(),
        line: format!("{}: {what}; for a host of that name use --host help", quoted_os(word)),
    };
    if rest.len() > 1 {
        return Err(named("'tcpgoon help' takes one verb"));
    }
    match verb::find(word.to_str().unwrap_or_default()) {
        Some(record) => Ok(Command::Help(record.verb.unwrap_or(Verb::Run))),
        None if word == "--help" => Ok(Command::Help(Verb::Run)),
        None => Err(named("no such verb")),
    }
}

/// The arguments of `tcpgoon version`: none, or `--help`.
fn parse_version(rest: &[OsString]) -> Result<Command, String> {
    match rest {
        [] => Ok(Command::Version),
        [word] if word == "--help" => Ok(Command::Help(Verb::Run)),
        [word, ..] => Err(format!(
            "{}: 'tcpgoon version' takes no arguments; for a host of that name use --host version",
            quoted_os(word)
        )),
    }
}

fn parse_verb(verb: Verb, argv: Vec<OsString>) -> Result<Command, Mistake> {
    let mut draft = Draft::new();
    let mut given = read(verb, argv, &mut draft)?;
    if draft.help {
        return Ok(Command::Help(verb));
    }
    if draft.version {
        return Ok(Command::Version);
    }
    if draft.scenarios {
        return Ok(Command::Scenarios);
    }
    draft.check_conflicts()?;
    draft.check_dependencies()?;
    if verb == Verb::Serve {
        draft.listen_on_words(&mut given)?;
    }
    for flag in FLAGS.iter().filter(|flag| flag.belongs_to(verb) && !given.contains(&flag.long)) {
        if let Some(default) = flag.default {
            apply(flag, &mut draft, default)?;
        }
    }
    Ok(match verb {
        Verb::Run => Command::Run(Box::new(draft.into_run()?)),
        Verb::Serve => Command::Serve(draft.into_serve()),
        Verb::Calibrate => Command::Calibrate(draft.calibrate),
        Verb::Explain => Command::Explain(explain::cause(&draft.words)?),
        Verb::Schema => Command::Schema,
        Verb::Completions => Command::Completions(completions::shell(&draft.words)?),
        Verb::Man => Command::Man,
    })
}

/// Applies the flags and collects the other words; returns the names of the given flags.
fn read(verb: Verb, argv: Vec<OsString>, draft: &mut Draft) -> Result<Vec<&'static str>, Mistake> {
    let mut given = Vec::with_capacity(FLAGS.len());
    let mut parser = lexopt::Parser::from_args(argv);
    // In `-yc10` the `c10` is not a value of `-y`, in `-y=true` the `true` is. lexopt returns an
    // unused value at the next step, so a switch is on until then.
    let mut switched: Option<&'static Flag> = None;
    loop {
        let wrong = parser.try_raw_args().and_then(|rest| wrong_dash(verb, rest.peek()?.to_str()?));
        if let Some(mistake) = wrong.filter(|_| !draft.help && !draft.version) {
            return Err(mistake);
        }
        let flag = match parser.next() {
            Err(lexopt::Error::UnexpectedValue { value, .. }) if switched.is_some() => {
                switched.take().map_or(Ok(()), |flag| apply_os(flag, draft, value))?;
                continue;
            }
            // Only now is it certain that no `=false` follows.
            _ if draft.help || draft.version => return Ok(given),
            Err(error) => return Err(Printable(&error.to_string()).to_string().into()),
            Ok(None) => return Ok(given),
            Ok(Some(lexopt::Arg::Value(word))) => {
                draft.words.push(read_word(verb, word)?);
                switched = None;
                continue;
            }
            Ok(Some(lexopt::Arg::Long(long))) => {
                by_long(verb, long).ok_or_else(|| Mistake::Flag(format!("--{long}")))?
            }
            Ok(Some(lexopt::Arg::Short(short))) => {
                by_short(verb, short).ok_or_else(|| Mistake::Flag(format!("-{short}")))?
            }
        };
        if !given.contains(&flag.long) {
            given.push(flag.long);
        }
        match flag.value {
            Some(_) if flag.alone.is_some() => {
                apply_optional(flag, draft, &mut parser)?;
                switched = None;
            }
            Some(value_word) => {
                let line = format!("--{}: the value ({value_word}) is missing", flag.long);
                let missing = |_| Mistake::NoValue { flag: flag.long, line };
                apply_os(flag, draft, parser.value().map_err(missing)?)?;
                switched = None;
            }
            None => {
                apply(flag, draft, "true")?;
                switched = Some(flag);
            }
        }
    }
}

fn read_word(verb: Verb, word: OsString) -> Result<String, Mistake> {
    let line = match verb {
        Verb::Calibrate | Verb::Schema | Verb::Man => {
            format!("{}: '{}' takes flags only", quoted_os(&word), verb.command())
        }
        _ => match word.into_string() {
            Ok(word) => return Ok(word),
            Err(word) => return Err(format!("{}: not UTF-8", quoted_os(&word)).into()),
        },
    };
    Err(Mistake::Word { word: word.to_string_lossy().into_owned(), line })
}

fn apply_os(flag: &Flag, draft: &mut Draft, value: OsString) -> Result<(), Mistake> {
    match value.to_str() {
        Some(text) => apply(flag, draft, text),
        None => Err(format!("--{} {}: not UTF-8", flag.long, quoted_os(&value)).into()),
    }
}

fn apply(flag: &Flag, draft: &mut Draft, value: &str) -> Result<(), Mistake> {
    (flag.effect)(draft, value).map_err(|why| Mistake::Value {
        flag: flag.long,
        value: value.into(),
        line: format!("--{} {}: {why}", flag.long, quoted(value)),
    })
}

/// A flag with an optional value: the next word is its value only if the effect accepts it.
fn apply_optional(
    flag: &Flag,
    draft: &mut Draft,
    parser: &mut lexopt::Parser,
) -> Result<(), Mistake> {
    if let Some(value) = parser.optional_value() {
        return apply_os(flag, draft, value);
    }
    let mut rest = parser.raw_args().map_err(|error| error.to_string())?;
    let taken = rest.next_if(|word| {
        let word = word.to_str();
        word.is_some_and(|word| (flag.effect)(&mut Draft::new(), word).is_ok())
    });
    match taken {
        Some(word) => apply_os(flag, draft, word),
        None => apply(flag, draft, flag.alone.unwrap_or_default()),
    }
}

#[cfg(test)]
pub(super) mod tests;
