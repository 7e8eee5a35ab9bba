//! The last lines of a run, taken apart.

use super::Namespace;
use crate::common::words::matches;
use crate::common::{self, Outcome, Running, Served};

/// The lines of a verdict, each without its title.
#[derive(Debug)]
pub struct Verdict {
    pub reached: String,
    pub side: String,
    pub next: String,
    pub also: String,
}

/// It stands at the end, under its header, and each of its lines once at most.
#[track_caller]
pub fn verdict(run: &Outcome) -> Verdict {
    let (_, text) =
        run.stdout.split_once("--- verdict ---\n").unwrap_or_else(|| panic!("{run:#?}"));
    println!("{text}");
    let mut lines = text.lines().peekable();
    let mut line = |title: &str| {
        let line = lines.next_if(|line| line.starts_with(title)).unwrap_or_default();
        line.trim_start_matches(title).trim_start().to_owned()
    };
    let verdict = Verdict {
        reached: line("Reached:"),
        side: line("Side:"),
        next: line("Next:"),
        also: line("Also:"),
    };
    assert_eq!(lines.next(), None, "a verdict is the last of all: {run:#?}");
    assert_ne!(verdict.reached, "", "{run:#?}");
    verdict
}

impl Verdict {
    /// What the first line has in the places of the wildcards.
    #[track_caller]
    pub fn reached(&self, shape: &str) -> Vec<u64> {
        let found = matches(&self.reached, shape).unwrap_or_else(|| panic!("'{shape}': {self:#?}"));
        found.iter().filter_map(|word| word.parse().ok()).collect()
    }

    #[track_caller]
    pub fn side(&self, beginning: &str) -> &Verdict {
        assert!(self.side.starts_with(beginning), "not '{beginning}': {self:#?}");
        self
    }

    /// What is to be looked at next.
    #[track_caller]
    pub fn next(&self, words: &[&str]) -> &Verdict {
        for word in words {
            assert!(self.next.contains(word), "no '{word}': {self:#?}");
        }
        self
    }

    #[track_caller]
    pub fn nothing_else(&self) {
        assert_eq!(self.also, "", "{self:#?}");
    }
}

pub fn run(target: &str, words: &str) -> Outcome {
    let words: Vec<&str> = words.split_whitespace().chain([target]).collect();
    common::run(&[&["-y", "-i", "0"], words.as_slice()].concat())
}

pub fn run_in(namespace: &Namespace, words: &str) -> Outcome {
    Running::start(namespace.tcpgoon(&format!("-y -i 0 {words}"))).outcome()
}

/// A server on port 80 of a namespace.
pub fn serve_in(namespace: &Namespace, words: &str) -> Served {
    Served::start_with(&[], |_| {
        let mut command = namespace.tcpgoon("serve -p 80");
        command.args(words.split_whitespace());
        command
    })
}
