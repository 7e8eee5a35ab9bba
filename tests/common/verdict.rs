//! The verdict of a run, parsed: tests assert on cause ids, sides and numbers, not on sentences.

use std::process::Command;

use tcpgoon::diagnosis::causes::Cause;

use super::listeners::Served;
use super::netns::Namespace;
use super::output::span;
use super::program::{self, Outcome, Running};

/// The beginnings of sections.
const SECTIONS: [&str; 5] =
    ["Cause, ", "Local limit: ", "Check ", "Also: ", "The server said, to "];

/// The beginnings of sentences about a run that ended early.
const ENDED: [&str; 2] = ["A signal ended the run", "--max-errors ended the run"];

/// A verdict, with wrapped lines joined.
#[derive(Debug, Default)]
pub struct Verdict {
    /// OK, LIMIT, FAILED or STOPPED.
    pub word: String,
    /// What was reached, and how far the evidence for that reaches.
    pub reached: String,
    /// What a signal or `--max-errors` ended early.
    pub ended: String,
    /// The most important first.
    pub problems: Vec<Problem>,
    /// What to try next.
    pub next: String,
    /// The most frequent line of the server, and on how many connections.
    pub said: Option<(u64, String)>,
    /// The whole text, and the exit code.
    text: String,
    code: Option<i32>,
}

#[derive(Debug, Default)]
pub struct Problem {
    /// What was observed, with what that explains.
    pub symptom: String,
    /// The sides that its causes line names, in its order.
    pub sides: Vec<String>,
    pub is_certain: bool,
    pub candidates: Vec<Candidate>,
    pub fix: String,
    /// The lines of all checks.
    pub checks: String,
}

#[derive(Debug, Default)]
pub struct Candidate {
    pub id: String,
    pub side: String,
    /// Each begins with `+` or `-`.
    pub evidence: Vec<String>,
}

/// The verdict of a report, its last part.
#[track_caller]
pub fn verdict(run: &Outcome) -> Verdict {
    let (_, text) =
        run.stdout.split_once("--- verdict ---\n").unwrap_or_else(|| panic!("{run:#?}"));
    println!("{text}");
    let (text, next) = text.split_once("Next: ").unwrap_or((text, ""));
    let (text, next) = (text.to_owned(), next.to_owned());
    let mut verdict = Verdict { text, next, code: run.code(), ..Verdict::default() };
    let text = &verdict.text.clone();
    for section in sections(text) {
        verdict.add(&section);
    }
    assert!(["OK", "LIMIT", "FAILED", "STOPPED"].contains(&&*verdict.word), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end()), "space at the end of a line: {text}");
    verdict
}

/// The lines of each section.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        let begins = SECTIONS.iter().any(|header| line.starts_with(header));
        match sections.last_mut() {
            Some(section) if !begins => section.push(line),
            _ => sections.push(vec![line]),
        }
    }
    sections
}

impl Verdict {
    #[track_caller]
    fn add(&mut self, lines: &[&str]) {
        let joined = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let joined = ungrouped(&joined);
        let header = SECTIONS.iter().find(|header| joined.starts_with(**header));
        let rest = header.map_or(&*joined, |header| &joined[header.len()..]);
        let problem = self.problems.last_mut();
        match (header.copied(), problem) {
            (None, None) => {
                let (word, sentences) = joined.split_once(": ").expect("a word, and the rest");
                let (mut reached, mut symptom) = first_sentence(sentences);
                if symptom.starts_with("No limit found") {
                    let (reach, rest) = first_sentence(&symptom);
                    reached = format!("{reached}. {reach}");
                    symptom = rest;
                }
                (self.word, self.reached) = (word.to_owned(), reached);
                if ENDED.iter().any(|by| symptom.starts_with(by)) {
                    (self.ended, symptom) = first_sentence(&symptom);
                }
                if !symptom.is_empty() {
                    self.problems.push(Problem { symptom, ..Problem::default() });
                }
            }
            (Some("Also: "), _) => {
                self.problems.push(Problem { symptom: rest.to_owned(), ..Problem::default() });
            }
            (Some("Cause, "), Some(problem)) => problem.add_causes(lines),
            (Some("Local limit: "), Some(problem)) => rest.clone_into(&mut problem.fix),
            (Some("Check "), Some(problem)) => {
                assert!(lines.len() > 1, "checks without a command: {}", self.text);
                problem.checks += &lines[1..].join("\n");
            }
            (Some("The server said, to "), Some(_)) => {
                let (count, words) = rest.split_once(": ").expect("how many, and what");
                let count = count.replace(',', "").parse().expect("how many");
                self.said = Some((count, words.trim_matches('"').to_owned()));
            }
            _ => panic!("not expected there: {joined}"),
        }
    }
}

impl Problem {
    #[track_caller]
    fn add_causes(&mut self, lines: &[&str]) {
        let header = lines[0].trim_start_matches("Cause, ").trim_end_matches(':');
        let sides = header.split(" (").next().unwrap_or(header);
        self.sides = sides.split(" or ").map(str::to_owned).collect();
        self.is_certain = header.ends_with("(certain)");
        for line in &lines[1..] {
            let words = line.trim_start();
            match line.len() - words.len() {
                2 => self.candidates.push(Candidate::of(words, self.candidates.len() + 1)),
                5 => self.last().push(words.to_owned()),
                7 => *self.last().last_mut().expect("evidence") += &format!(" {words}"),
                _ => panic!("neither a candidate nor its evidence: {line:?}"),
            }
        }
    }

    fn last(&mut self) -> &mut Vec<String> {
        &mut self.candidates.last_mut().expect("a candidate").evidence
    }

    pub fn ids(&self) -> Vec<&str> {
        self.candidates.iter().map(|candidate| &*candidate.id).collect()
    }

    /// The share of dials or connections: of these many.
    #[track_caller]
    pub fn share(&self) -> [u64; 2] {
        let words = words(&self.symptom);
        let of =
            words.windows(3).find(|three| three[1] == "of" && all_digits(&[three[0], three[2]]));
        let of = of.unwrap_or_else(|| panic!("no share: {self:#?}"));
        [of[0], of[2]].map(|number| number.parse().expect("digits"))
    }

    /// The level where it began: the same number twice, or a range.
    #[track_caller]
    pub fn open(&self) -> [u64; 2] {
        let words = words(&self.symptom);
        let place = words.iter().position(|word| *word == "open").expect("a level");
        let number = |index: usize| words[index].parse::<u64>();
        let high = number(place - 1).unwrap_or_else(|_| panic!("no level: {self:#?}"));
        let low = if words[place - 2] == "to" { number(place - 3).unwrap_or(high) } else { high };
        [low, high]
    }

    /// The times in it, in seconds.
    pub fn seconds(&self) -> Vec<f64> {
        let spans = words(&self.symptom)
            .into_iter()
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with('s'));
        spans.map(|word| span(word).as_secs_f64()).collect()
    }
}

impl Candidate {
    /// `1. accept-queue-full    server     its process …`: numbered in order, known, and of that side.
    #[track_caller]
    fn of(line: &str, number: usize) -> Candidate {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], format!("{number}."), "{line}");
        let cause = Cause::find(words[1]).unwrap_or_else(|| panic!("no such cause: {line}"));
        let record = cause.record();
        let side = record.side.word();
        let rest = line.split_once(record.id).map_or("", |(_, rest)| rest).trim_start();
        let title = rest.strip_prefix(side).map(str::trim_start);
        assert_eq!(title, Some(record.title), "{line}");
        Candidate { id: record.id.to_owned(), side: side.to_owned(), evidence: Vec::new() }
    }
}

/// The first sentence, and the others.
fn first_sentence(text: &str) -> (String, String) {
    match text.split_once(". ") {
        Some((first, rest)) => (format!("{first}."), rest.to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

/// Counts without thousands separators: `12,345` is 12345.
fn ungrouped(text: &str) -> String {
    let is_digit = |part: Option<char>| part.is_some_and(|c| c.is_ascii_digit());
    let mut parts = text.split(',');
    let mut joined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_inside = is_digit(joined.chars().last()) && is_digit(part.chars().next());
        joined.push_str(if is_inside { "" } else { "," });
        joined.push_str(part);
    }
    joined
}

/// The words of a sentence without its punctuation.
fn words(text: &str) -> Vec<&str> {
    let trimmed = |word| str::trim_matches(word, |c: char| "().,;:".contains(c));
    text.split_whitespace().map(trimmed).collect()
}

fn all_digits(words: &[&str]) -> bool {
    words.iter().all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()))
}

impl Verdict {
    /// The first word, and the exit code that goes with it.
    #[track_caller]
    pub fn word(&self, word: &str, code: i32) -> &Verdict {
        assert_eq!((&*self.word, self.code), (word, Some(code)), "{self}");
        self
    }

    /// How many stayed open, and of how many.
    #[track_caller]
    pub fn reached(&self) -> [u64; 2] {
        let words = words(&self.reached);
        assert!(words[1] == "of" && all_digits(&[words[0], words[2]]), "{self}");
        [words[0], words[2]].map(|number| number.parse().expect("digits"))
    }

    #[track_caller]
    pub fn reached_is(&self, established: u64, connections: u64) -> &Verdict {
        assert_eq!(self.reached(), [established, connections], "{self}");
        self
    }

    /// The most important problem.
    #[track_caller]
    pub fn main(&self) -> &Problem {
        self.problems.first().unwrap_or_else(|| panic!("no problem: {self}"))
    }

    /// Asserts the exact level above which it began.
    #[track_caller]
    pub fn open(&self, open: u64) -> &Verdict {
        assert_eq!(self.main().open(), [open; 2], "{self}");
        self
    }

    #[track_caller]
    pub fn share(&self, hits: u64, all: u64) -> &Verdict {
        assert_eq!(self.main().share(), [hits, all], "{self}");
        self
    }

    /// The first candidate is one of these.
    #[track_caller]
    pub fn first(&self, ids: &[&str]) -> &Verdict {
        known(ids);
        let first = self.main().ids().first().copied().unwrap_or_default();
        assert!(ids.contains(&first), "the first is not one of {ids:?}: {self}");
        self
    }

    /// Each of these is a candidate.
    #[track_caller]
    pub fn names(&self, ids: &[&str]) -> &Verdict {
        known(ids);
        let all = self.ids();
        assert!(ids.iter().all(|id| all.contains(id)), "not all of {ids:?}: {self}");
        self
    }

    /// None of these is a candidate.
    #[track_caller]
    pub fn never(&self, ids: &[&str]) -> &Verdict {
        known(ids);
        let all = self.ids();
        assert!(!ids.iter().any(|id| all.contains(id)), "one of {ids:?}: {self}");
        self
    }

    /// The candidates of all problems.
    pub fn ids(&self) -> Vec<&str> {
        self.problems.iter().flat_map(Problem::ids).collect()
    }

    /// The sides of the first problem's causes, in any order.
    #[track_caller]
    pub fn sides(&self, sides: &[&str]) -> &Verdict {
        let sorted = |mut sides: Vec<String>| {
            sides.sort();
            sides
        };
        let expected = sorted(sides.iter().map(ToString::to_string).collect());
        assert_eq!(sorted(self.main().sides.clone()), expected, "{self}");
        self
    }

    #[track_caller]
    pub fn certain(&self) -> &Verdict {
        assert!(self.main().is_certain, "{self}");
        self
    }

    /// Asserts words in the checks or the fix of the first problem.
    #[track_caller]
    pub fn checks(&self, words: &[&str]) -> &Verdict {
        let Problem { checks, fix, .. } = self.main();
        let is_there = |word: &&str| checks.contains(*word) || fix.contains(*word);
        assert!(words.iter().all(is_there), "no check has all of {words:?}: {self}");
        self
    }

    /// Asserts that there is no problem.
    #[track_caller]
    pub fn nothing(&self) {
        assert!(self.problems.is_empty(), "{self}");
    }

    /// Asserts that there is no other problem.
    #[track_caller]
    pub fn nothing_else(&self) {
        assert_eq!(self.problems.len(), 1, "{self}");
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n{}", self.code, self.text)
    }
}

/// Guards against misspelled ids.
#[track_caller]
fn known(ids: &[&str]) {
    assert!(ids.iter().all(|id| Cause::find(id).is_some()), "{ids:?}");
}

pub fn run(target: &str, words: &str) -> Outcome {
    let words: Vec<&str> = words.split_whitespace().chain([target]).collect();
    program::run(&[&["-y", "-i", "0"], words.as_slice()].concat())
}

pub fn run_in(namespace: &Namespace, words: &str) -> Outcome {
    Running::start(namespace.tcpgoon(&format!("-y -i 0 {words}"))).outcome()
}

/// A server on port 80 of a namespace.
pub fn serve_in(namespace: &Namespace, words: &str) -> Served {
    Served::start_with(&[], |_| -> Command {
        let mut command = namespace.tcpgoon("serve -p 80");
        command.args(words.split_whitespace());
        command
    })
}
