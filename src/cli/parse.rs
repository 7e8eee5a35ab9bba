//! argv → [`Command`]. Every mistake is one line that names the word and says what is accepted, and
//! a second one that says where the help is.

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

/// First words that are kept for verbs to come, so that scripts written today mean the same then.
const RESERVED: [&str; 3] = ["merge", "completions", "man"];

/// How many slips of the finger a flag that is suggested may be away.
const SLIPS_MAX: usize = 2;

/// What was asked for.
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

/// Reads the arguments, the program's own name not among them (`std::env::args_os().skip(1)`).
///
/// The first word may be a verb, and only the first: `tcpgoon -y serve` dials a host of the name
/// "serve". Flags and other words may be mixed; `--` ends the flags; of a flag that is repeated the
/// last one counts. `--help` and `--version` are obeyed where they are met: what is wrong before
/// them is still said, what comes after is not read.
///
/// # Errors
/// [`Error::Usage`] with two lines: what is wrong, and how to get the help of the verb.
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
                "this version has no verb '{word}': a host of that name is reached with --host {word}"
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

/// `tcpgoon version` has nothing to add but the question what it is.
fn parse_version(rest: &[OsString]) -> Result<Command, String> {
    match rest {
        [] => Ok(Command::Version),
        [word] if word == "--help" => Ok(Command::Help(Verb::Run)),
        [word, ..] => Err(format!(
            "{}: 'tcpgoon version' takes no more words; a host of that name is reached with --host version",
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
    draft.check_company()?;
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

/// Obeys the flags and collects the other words; says which flags were given.
fn read(verb: Verb, argv: Vec<OsString>, draft: &mut Draft) -> Result<Vec<&'static str>, String> {
    let mut given = Vec::with_capacity(FLAGS.len());
    let mut parser = lexopt::Parser::from_args(argv);
    // In `-yc10` the `c10` is no value of `-y`, in `-y=true` the `true` is. lexopt tells them apart
    // by handing over at the next step what nobody took, so a switch is on until that step says
    // otherwise.
    let mut switched: Option<&'static Flag> = None;
    loop {
        let flag = match parser.next() {
            Err(lexopt::Error::UnexpectedValue { value, .. }) if switched.is_some() => {
                switched.take().map_or(Ok(()), |flag| apply_os(flag, draft, value))?;
                continue;
            }
            // Help and version are decided once it is known that no `=false` follows.
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

/// A flag that may stand alone: the word behind it is its value only if it can be one.
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
    // quoted() makes it fit to print; the quotes themselves would stand between the dashes and the
    // name.
    let typed = quoted(long);
    let name = typed.trim_matches('\'');
    // Of two equally near the one that this verb has comes first, as `false` sorts before `true`.
    let nearest = FLAGS
        .iter()
        .filter_map(|flag| Some((slips(flag.long, long)?, !flag.belongs_to(verb), flag)))
        .min_by_key(|(count, is_other, _)| (*count, *is_other));
    match nearest {
        Some((_, false, flag)) => format!("unknown flag --{name}: is --{} meant?", flag.long),
        Some((_, true, flag)) => {
            let home = flag.verbs[0].command();
            format!("unknown flag --{name}: is --{} of '{home}' meant?", flag.long)
        }
        None => format!("unknown flag --{name}"),
    }
}

/// How far what was typed is from a flag, where it is near enough to have been meant. A word of it,
/// or its beginning, is as near as one slip: `--timeout`, `--conn`.
fn slips(long: &str, typed: &str) -> Option<usize> {
    let is_part =
        typed.len() > 2 && (long.starts_with(typed) || long.split('-').any(|part| part == typed));
    if is_part {
        return Some(1);
    }
    let near = |count: &usize| *count <= SLIPS_MAX && 2 * count < typed.chars().count();
    distance(long, typed).filter(near)
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
