//! The answer to a mistake, in two lines: the mistake with what was probably meant, then what to
//! type. A suggested command line has been parsed without a mistake.

use std::ffi::{OsStr, OsString};

use super::correction::{Correction, Next, Part};
use super::flags::{FLAGS, Verb};
use super::help::try_line;
use super::mistake::{Mistake, printable};
use super::{fix_flag, fix_value, fix_word, habits};
use crate::error::Error;
use crate::escape::command_line;
use crate::escape::quoted;

/// The most mistakes of one command line that are corrected.
const CORRECTIONS_MAX: usize = 16;

/// The longest command line that is suggested, in bytes.
const SUGGESTED_BYTES_MAX: usize = 400;

/// Dashes that a word processor puts in place of `-` and `--`.
const DASHES: [char; 7] =
    ['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}', '\u{2212}'];

/// A parser of whole command lines.
pub type Check<'a> = &'a dyn Fn(&[String]) -> Result<(), (Verb, Mistake)>;

/// Two lines. `check` parses each correction, until there is no mistake left.
pub fn answer(verb: Verb, argv: &[OsString], mistake: &Mistake, check: Check<'_>) -> String {
    let words: Option<Vec<String>> =
        argv.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    // Words that are not UTF-8 cannot be suggested; the line about a flag is still right.
    let is_text = words.is_some();
    let words = words.unwrap_or_default();
    let Correction { line, next } = correct(verb, &words, mistake);
    let hint = if is_text { hint(next, check) } else { None };
    format!("{line}\n{}", hint.unwrap_or_else(|| try_line(verb).to_owned()))
}

/// The line with what to type, if there is one.
fn hint(mut next: Next, check: Check<'_>) -> Option<String> {
    for _ in 0..CORRECTIONS_MAX {
        let mut words = match next {
            Next::Help => return None,
            Next::Command(command) => return Some(format!("try: {command}")),
            Next::Words(words) => words,
        };
        if words.iter().map(String::len).sum::<usize>() > SUGGESTED_BYTES_MAX {
            return None;
        }
        next = match check(&filled_in(&words)) {
            Ok(()) => return suggested(words),
            Err((_, Mistake::NoTarget)) => {
                words.push("HOST:PORT".into());
                Next::Words(words)
            }
            Err((verb, mistake)) => correct(verb, &words, &mistake).next,
        };
    }
    None
}

/// The words with a host and a port where the operator is to put one.
fn filled_in(words: &[String]) -> Vec<String> {
    let fill = |word: &String| match word.strip_suffix(":PORT") {
        Some(host) => format!("{host}:80"),
        None => word.clone(),
    };
    words.iter().map(fill).collect()
}

fn suggested(words: Vec<String>) -> Option<String> {
    let line = command_line(["tcpgoon".to_owned()].into_iter().chain(words));
    (line.len() <= SUGGESTED_BYTES_MAX).then(|| format!("try: {line}"))
}

/// A name that does not resolve and is the first word may have been meant as a verb: `serv 8080`.
pub fn with_verb(error: Error, first: Option<&OsStr>) -> Error {
    match error {
        Error::Resolve { name, why } if first.is_some_and(|word| word == name.as_str()) => {
            let verb = fix_word::nearest_verb(&name);
            let hint = verb.map(|verb| format!("; did you mean 'tcpgoon {verb}'?"));
            Error::Resolve { name, why: why + &hint.unwrap_or_default() }
        }
        other => other,
    }
}

fn correct(verb: Verb, words: &[String], mistake: &Mistake) -> Correction {
    match mistake {
        Mistake::Flag(typed) => fix_flag::unknown(verb, words, typed),
        Mistake::Dash(typed) => dash(words, typed),
        Mistake::Value { flag, value, line } => fix_value::bad(verb, words, flag, value, line),
        Mistake::NoValue { flag, line } => fix_value::missing(verb, words, flag, line),
        Mistake::Word { word, line } => fix_word::bad(verb, words, word, line),
        Mistake::NoPort { word, line } => fix_word::no_port(words, word, line),
        Mistake::NoTarget | Mistake::Other(_) => {
            Correction { line: mistake.line(), next: Next::Help }
        }
    }
}

/// A word that would be a flag of the verb, or of another tool, with the right dashes.
pub fn wrong_dash(verb: Verb, word: &str) -> Option<Mistake> {
    let name = word.trim_start_matches(DASHES);
    if name.len() < word.len() && !name.is_empty() {
        return Some(Mistake::Dash(word.into()));
    }
    let name = word.strip_prefix('-')?.split('=').next()?;
    if FLAGS.iter().any(|flag| flag.belongs_to(verb) && flag.long == name) {
        return Some(Mistake::Dash(word.into()));
    }
    let is_flag = name.len() > 2 && habits::is_known(verb, name);
    if is_flag {
        return Some(Mistake::Flag(format!("-{name}")));
    }
    fix_flag::joined_time(verb, word).map(|_| Mistake::Flag(word.into()))
}

/// `-port=80` and `—port` → `--port`, `–c` → `-c`.
fn dash(words: &[String], typed: &str) -> Correction {
    let bare = typed.trim_start_matches(DASHES).trim_start_matches('-');
    let name = bare.split('=').next().unwrap_or_default();
    let is_long = FLAGS.iter().any(|flag| flag.long == name)
        || (name.len() > 1 && Verb::ALL.into_iter().any(|verb| habits::is_known(verb, name)));
    let is_short = !is_long && bare.starts_with(|c| FLAGS.iter().any(|f| f.short == Some(c)));
    let dashes = if is_short { "-" } else { "--" };
    let why = if typed.starts_with('-') {
        "a long flag begins with two dashes"
    } else {
        "flags begin with '-', not with this dash"
    };
    let shown = match typed.starts_with('-') {
        true => printable(typed),
        false => quoted(typed),
    };
    let meant = if is_short { format!("-{bare}") } else { format!("--{name}") };
    let line = format!("{shown}: {why}; did you mean {}?", printable(&meant));
    let next = Part::word(words, typed).map(|part| part.replaced([format!("{dashes}{bare}")]));
    Correction { line, next: next.map_or(Next::Help, Next::Words) }
}
