//! Corrections of unknown flags.

use super::correction::{Correction, Next, Part, short_of};
use super::distance::distance;
use super::flags::{FLAGS, Flag, Verb, by_long, by_short};
use super::habits::{self, Fix, Habit, Takes};
use super::mistake::printable;
use crate::units::{Span, parse_span};

const DURATION: &str = "time to the end of dialing";

/// The most typing mistakes of a flag that is suggested.
const TYPOS_MAX: usize = 2;

/// A flag that the verb does not have.
pub fn unknown(verb: Verb, words: &[String], typed: &str) -> Correction {
    let part = Part::flag(words, typed);
    if let Some(time) = joined_time(verb, typed) {
        return hold(part, time);
    }
    let shown = printable(typed);
    let name = typed.trim_start_matches('-');
    let next = part.as_ref().and_then(|part| part.inline.as_deref().or(part.next()));
    if let Some(habit) = habits::find(verb, name, next) {
        return match (habit.fix, &part) {
            (Fix::Flag("hold"), Some(known)) if churns(known) => {
                let habit = Habit { fix: Fix::Flag("duration"), text: DURATION, ..*habit };
                brought(verb, &habit, typed, part)
            }
            _ => brought(verb, habit, typed, part),
        };
    }
    if let Some(other) = other_verbs(name, short_of(typed)) {
        let (home, here) = (other.verbs[0].command(), verb.command());
        let named = other.short.filter(|_| short_of(typed).is_some());
        let shown =
            named.map_or(format!("--{}", other.long), |s| format!("-{s}, --{}", other.long));
        let line = format!("{shown} belongs to '{home}', not to '{here}'");
        return Correction { line, next: Next::Help };
    }
    let help = |line| Correction { line, next: Next::Help };
    match nearest(verb, name) {
        Some(flag) if flag.belongs_to(verb) => {
            let line = format!("unknown flag {shown}: did you mean {}?", names(flag, typed));
            let next = part.map(|part| Next::Words(renamed(part, flag, typed, true)));
            Correction { line, next: next.unwrap_or(Next::Help) }
        }
        Some(flag) => {
            let home = flag.verbs[0].command();
            help(format!("unknown flag {shown}: did you mean --{} of '{home}'?", flag.long))
        }
        None => help(format!("unknown flag {shown}")),
    }
}

/// The flag of another verb with this name.
fn other_verbs(name: &str, short: Option<char>) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| match short {
        Some(letter) => flag.short == Some(letter),
        None => flag.long == name,
    })
}

/// The time of `-d30s`: the duration of a run in wrk and k6, while here -d is --debug.
pub fn joined_time(verb: Verb, word: &str) -> Option<&str> {
    let time = word.strip_prefix("-d").filter(|_| verb == Verb::Run)?;
    let is_time = parse_span(time, Span::from_s(1)).is_some();
    // `-d46` is three flags.
    (is_time && !time.bytes().all(|b| b"46".contains(&b))).then_some(time)
}

/// Whether slots dial again: then there is no hold.
fn churns(part: &Part) -> bool {
    by_long(Verb::Run, "lifetime").is_some_and(|flag| is_given(flag, part))
}

/// A time after -d: the words with --hold instead, or --duration.
pub fn hold(part: Option<Part>, time: &str) -> Correction {
    let (flag, text) = match part.as_ref().is_some_and(churns) {
        true => ("--duration", DURATION),
        false => ("--hold", "time to hold the connections"),
    };
    let line = format!(
        "-d is --debug and takes no value: did you mean {flag} {} ({text})?",
        printable(time)
    );
    let words = part.map(|part| part.replaced([flag.into(), time.into()]));
    Correction { line, next: words.map_or(Next::Help, Next::Words) }
}

/// A flag of another tool.
fn brought(verb: Verb, habit: &Habit, typed: &str, part: Option<Part>) -> Correction {
    let home = other_verbs(typed.trim_start_matches('-'), short_of(typed));
    let shown = match home {
        Some(flag) => format!("{} belongs to '{}'", printable(typed), flag.verbs[0].command()),
        None => format!("unknown flag {}", printable(typed)),
    };
    let line = match ours(verb, habit.fix) {
        Some(flag) if habit.text.is_empty() => {
            format!("{shown}: did you mean {}?", names(flag, typed))
        }
        Some(flag) => format!("{shown}: did you mean {} ({})?", names(flag, typed), habit.text),
        None => format!("{shown}: {}", habit.text),
    };
    let next = match (habit.fix, part) {
        (Fix::Command(command), _) => Next::Command(command),
        (_, None) => Next::Help,
        (fix, Some(part)) => Next::Words(instead(verb, habit.takes, fix, typed, part)),
    };
    Correction { line, next }
}

fn instead(verb: Verb, takes: Takes, fix: Fix, typed: &str, mut part: Part) -> Vec<String> {
    let has_value = takes != Takes::Nothing;
    if let Some(flag) = ours(verb, fix).filter(|flag| !is_given(flag, &part)) {
        return renamed(part, flag, typed, has_value);
    }
    let value = if has_value { part.inline.take().or_else(|| part.take_next()) } else { None };
    // The letters after a switch are more switches.
    let rest = part.inline.take().filter(|_| short_of(typed).is_some());
    let rest = rest.map(|rest| format!("-{rest}"));
    let mut with: Vec<String> = match fix {
        Fix::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Fix::Value => value.into_iter().collect(),
        Fix::Ask(preset) => {
            let named = value.map_or(preset.to_owned(), |value| format!("{preset}={value}"));
            vec!["--ask".into(), named]
        }
        Fix::AtLeast => {
            let value = value.unwrap_or_default();
            vec!["--fail-if".into(), format!("established<{value}")]
        }
        Fix::Verb(word) => {
            part.before.insert(0, word.into());
            value.into_iter().collect()
        }
        Fix::Flag(_) | Fix::Drop | Fix::Command(_) => Vec::new(),
    };
    with.extend(rest);
    part.replaced(with)
}

fn ours(verb: Verb, fix: Fix) -> Option<&'static Flag> {
    match fix {
        Fix::Flag(long) => by_long(verb, long),
        _ => None,
    }
}

/// Whether the rest of the command line has this flag already.
fn is_given(flag: &Flag, part: &Part) -> bool {
    part.before.iter().chain(&part.after).any(|word| {
        let name = word.strip_prefix("--").and_then(|name| name.split('=').next());
        let is_short = flag.short.is_some_and(|short| word.starts_with(&format!("-{short}")));
        name == Some(flag.long) || is_short
    })
}

/// The words with our flag in place of the typed one, in the same form.
fn renamed(mut part: Part, flag: &Flag, typed: &str, has_value: bool) -> Vec<String> {
    let is_short = short_of(typed).is_some();
    let name = match flag.short.filter(|_| is_short) {
        Some(short) => format!("-{short}"),
        None => format!("--{}", flag.long),
    };
    let inline = part.inline.take();
    if flag.value.is_none() {
        // The letters after a switch are more switches.
        let rest = inline.filter(|_| is_short && !has_value).map(|rest| format!("-{rest}"));
        return part.replaced([name].into_iter().chain(rest));
    }
    match inline {
        Some(value) if is_short => part.replaced([name, value]),
        Some(value) => part.replaced([format!("{name}={value}")]),
        None => part.replaced([name]),
    }
}

/// `-c, --connections` if a short name was typed, otherwise the long one alone.
fn names(flag: &Flag, typed: &str) -> String {
    match flag.short.filter(|_| short_of(typed).is_some()) {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    }
}

/// The nearest flag to an unknown one, if it is near enough. Of two equally near ones that of this
/// verb comes first: `false` sorts before `true`.
fn nearest(verb: Verb, typed: &str) -> Option<&'static Flag> {
    let lower = typed.to_ascii_lowercase();
    let mut letters = lower.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return by_short(verb, letter);
    }
    let near =
        |flag: &'static Flag| Some((typos(flag.long, &lower)?, !flag.belongs_to(verb), flag));
    let nearest = FLAGS.iter().filter_map(near).min_by_key(|(count, other, _)| (*count, *other));
    nearest.map(|(_, _, flag)| flag)
}

/// The distance of a typed name from a flag, if it is near enough to suggest it. A part of the name
/// or its beginning counts as 1: `--timeout`, `--conn`.
fn typos(long: &str, typed: &str) -> Option<usize> {
    let is_part =
        typed.len() > 2 && (long.starts_with(typed) || long.split('-').any(|part| part == typed));
    if is_part {
        return Some(1);
    }
    let near = |count: &usize| *count <= TYPOS_MAX && 2 * count < typed.chars().count();
    distance(long, typed).filter(near)
}
