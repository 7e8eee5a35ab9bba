//! argv → [`Command`]. A mistake is one line with the word and what is accepted, and a second one that
//! points to the help.

use std::ffi::OsString;

use super::distance::distance;
use super::effects::Draft;
use super::explain;
use super::flags::{FLAGS, Flag, Verb, by_long, by_short};
use super::help::try_line;
use crate::args::{Args, CalibrateArgs, ServeArgs};
use crate::diagnosis::causes::Cause;
use crate::error::Error;
use crate::escape::{Printable, quoted, quoted_os};

/// First words that are reserved for later verbs, so that today's scripts keep their meaning.
const RESERVED: [&str; 3] = ["merge", "completions", "man"];

/// The greatest edit distance of a suggested flag.
const DISTANCE_MAX: usize = 2;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Run(Args),
    Serve(ServeArgs),
    Calibrate(CalibrateArgs),
    /// One cause, or the list of them.
    Explain(Option<Cause>),
    /// The JSON Schema of a report.
    Schema,
    Help(Verb),
    Version,
}

/// Parses the arguments without the program's name (`std::env::args_os().skip(1)`).
///
/// Only the first word can be a verb: `tcpgoon -y serve` dials a host named "serve". Flags and other
/// words may be mixed; `--` ends the flags; the last of a repeated flag counts. Parsing stops at
/// `--help` and `--version`: mistakes before them are reported, the rest is ignored.
///
/// # Errors
/// [`Error::Usage`] with two lines: the mistake, and the command for the help.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut argv: Vec<OsString> = argv.into_iter().collect();
    let first = argv.first().and_then(|word| word.to_str()).unwrap_or_default();
    let (verb, is_word) = match first {
        "serve" => (Verb::Serve, true),
        "calibrate" => (Verb::Calibrate, true),
        "explain" => (Verb::Explain, true),
        "schema" => (Verb::Schema, true),
        "version" => return parse_version(&argv[1..]).map_err(|what| usage(Verb::Run, what)),
        word if RESERVED.contains(&word) => {
            let what = format!(
                "'{word}' is reserved for a verb of a later version; for a host of that name use --host {word}"
            );
            return Err(usage(Verb::Run, what));
        }
        _ => (Verb::Run, false),
    };
    if is_word {
        argv.remove(0);
    }
    parse_verb(verb, argv).map_err(|what| usage(verb, what))
}

fn usage(verb: Verb, what: String) -> Error {
    Error::Usage(format!("{what}\n{}", try_line(verb)))
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

fn parse_verb(verb: Verb, argv: Vec<OsString>) -> Result<Command, String> {
    let mut draft = Draft::new();
    let given = read(verb, argv, &mut draft)?;
    if draft.help {
        return Ok(Command::Help(verb));
    }
    if draft.version {
        return Ok(Command::Version);
    }
    draft.check_conflicts()?;
    draft.check_dependencies()?;
    for flag in FLAGS.iter().filter(|flag| flag.belongs_to(verb) && !given.contains(&flag.long)) {
        if let Some(default) = flag.default {
            apply(flag, &mut draft, default)?;
        }
    }
    Ok(match verb {
        Verb::Run => Command::Run(draft.into_run()?),
        Verb::Serve => Command::Serve(draft.into_serve()),
        Verb::Calibrate => Command::Calibrate(draft.calibrate),
        Verb::Explain => Command::Explain(explain::cause(&draft.words)?),
        Verb::Schema => Command::Schema,
    })
}

/// Applies the flags and collects the other words; returns the names of the given flags.
fn read(verb: Verb, argv: Vec<OsString>, draft: &mut Draft) -> Result<Vec<&'static str>, String> {
    let mut given = Vec::with_capacity(FLAGS.len());
    let mut parser = lexopt::Parser::from_args(argv);
    // In `-yc10` the `c10` is not a value of `-y`, in `-y=true` the `true` is. lexopt returns an
    // unused value at the next step, so a switch is on until then.
    let mut switched: Option<&'static Flag> = None;
    loop {
        let flag = match parser.next() {
            Err(lexopt::Error::UnexpectedValue { value, .. }) if switched.is_some() => {
                switched.take().map_or(Ok(()), |flag| apply_os(flag, draft, value))?;
                continue;
            }
            // Only now is it certain that no `=false` follows.
            _ if draft.help || draft.version => return Ok(given),
            Err(error) => return Err(Printable(&error.to_string()).to_string()),
            Ok(None) => return Ok(given),
            Ok(Some(lexopt::Arg::Value(word))) => {
                draft.words.push(read_word(verb, word)?);
                switched = None;
                continue;
            }
            Ok(Some(lexopt::Arg::Long(long))) => {
                by_long(verb, long).ok_or_else(|| unknown_long(verb, long))?
            }
            Ok(Some(lexopt::Arg::Short(short))) => {
                by_short(verb, short).ok_or_else(|| unknown_short(verb, short))?
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
                let missing = |_| format!("--{}: the value ({value_word}) is missing", flag.long);
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

fn read_word(verb: Verb, word: OsString) -> Result<String, String> {
    if !matches!(verb, Verb::Run | Verb::Explain) {
        return Err(format!("{}: '{}' takes flags only", quoted_os(&word), verb.command()));
    }
    word.into_string().map_err(|word| format!("{}: not UTF-8", quoted_os(&word)))
}

fn apply_os(flag: &Flag, draft: &mut Draft, value: OsString) -> Result<(), String> {
    match value.to_str() {
        Some(text) => apply(flag, draft, text),
        None => Err(format!("--{} {}: not UTF-8", flag.long, quoted_os(&value))),
    }
}

fn apply(flag: &Flag, draft: &mut Draft, value: &str) -> Result<(), String> {
    (flag.effect)(draft, value).map_err(|why| format!("--{} {}: {why}", flag.long, quoted(value)))
}

/// A flag with an optional value: the next word is its value only if the effect accepts it.
fn apply_optional(
    flag: &Flag,
    draft: &mut Draft,
    parser: &mut lexopt::Parser,
) -> Result<(), String> {
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

fn unknown_long(verb: Verb, long: &str) -> String {
    if let Some(other) = FLAGS.iter().find(|flag| flag.long == long) {
        return of_another_verb(verb, other, &format!("--{long}"));
    }
    // quoted() escapes and cuts it; the quotes do not belong after the dashes.
    let typed = quoted(long);
    let name = typed.trim_matches('\'');
    // Of two equally near flags that of this verb comes first: `false` sorts before `true`.
    let nearest = FLAGS
        .iter()
        .filter_map(|flag| Some((near(flag.long, long)?, !flag.belongs_to(verb), flag)))
        .min_by_key(|(count, is_other, _)| (*count, *is_other));
    match nearest {
        Some((_, false, flag)) => format!("unknown flag --{name}: did you mean --{}?", flag.long),
        Some((_, true, flag)) => {
            let home = flag.verbs[0].command();
            format!("unknown flag --{name}: did you mean --{} of '{home}'?", flag.long)
        }
        None => format!("unknown flag --{name}"),
    }
}

/// The distance of a typed name from a flag, if it is near enough to suggest it. A part of the name or
/// its beginning counts as 1: `--timeout`, `--conn`.
fn near(long: &str, typed: &str) -> Option<usize> {
    let is_part =
        typed.len() > 2 && (long.starts_with(typed) || long.split('-').any(|part| part == typed));
    if is_part {
        return Some(1);
    }
    let is_near = |count: &usize| *count <= DISTANCE_MAX && 2 * count < typed.chars().count();
    distance(long, typed).filter(is_near)
}

fn unknown_short(verb: Verb, short: char) -> String {
    match FLAGS.iter().find(|flag| flag.short == Some(short)) {
        Some(other) => of_another_verb(verb, other, &format!("-{short}, --{}", other.long)),
        None => format!("unknown flag -{}", Printable(short.encode_utf8(&mut [0; 4]))),
    }
}

fn of_another_verb(verb: Verb, flag: &Flag, typed: &str) -> String {
    format!("{typed} belongs to '{}', not to '{}'", flag.verbs[0].command(), verb.command())
}

#[cfg(test)]
pub(super) mod tests;
