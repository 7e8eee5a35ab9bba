//! Words that no engineer uses for programs and packets, counted by folder. Each count must equal its
//! maximum below, so it can only fall.

use std::fs;
use std::path::{Path, PathBuf};

/// Words for people, and phrases that no manual has.
const BANNED: &[&str] = &[
    "who",
    "whoever",
    "whom",
    "whose",
    "nobody",
    "somebody",
    "anybody",
    "everybody",
    "the way there",
    "went dead",
    "to be had",
    "for want of",
    "so many",
    "as many as",
    "put up with",
    "puts up with",
    "forgo",
    "forgone",
    "stand in the way",
    "stands in the way",
];

/// Right for people, rarely for packets: probed, sent, received, has state for, replies, expires.
const DIALECT: &[&str] = &["asked", "told", "heard", "knows", "says", "forgets"];

/// By folder: banned words, and words of dialect.
const MAXIMA: &[(&str, usize, usize)] = &[
    ("README.md", 0, 0),
    ("benches", 0, 0),
    ("fuzz", 0, 0),
    ("src", 0, 0),
    ("src/cli", 0, 0),
    ("src/diagnosis", 0, 0),
    ("src/engine", 0, 0),
    ("src/limits", 0, 0),
    ("src/os", 0, 0),
    ("src/report", 0, 0),
    ("src/sim", 0, 0),
    ("tests", 0, 0),
];

/// What is counted.
const READ: [&str; 6] = ["src", "tests", "benches", "fuzz/fuzz_targets", ".ci", "README.md"];

/// This file, which is not.
const WORD_LIST: &str = "tests/tidy/language.rs";

/// The words of a text in lower case, each with its line; identifiers are split.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut before = ' ';
        for c in text.chars() {
            let begins = !before.is_alphabetic() || (before.is_lowercase() && c.is_uppercase());
            match words.last_mut() {
                Some((_, word)) if c.is_alphabetic() && !begins => word.extend(c.to_lowercase()),
                _ if c.is_alphabetic() => words.push((line, c.to_lowercase().collect())),
                _ => {}
            }
            before = c;
        }
    }
    words
}

/// The lines in which one of `phrases` begins, and which.
fn found<'a>(text: &str, phrases: &[&'a str]) -> Vec<(usize, &'a str)> {
    let words = words(text);
    let is_at = |at: usize, phrase: &str| {
        let mut rest = words[at..].iter().map(|(_, word)| word.as_str());
        phrase.split(' ').all(|word| rest.next() == Some(word))
    };
    let at =
        |at: usize| phrases.iter().find(|phrase| is_at(at, phrase)).map(|of| (words[at].0, *of));
    (0..words.len()).filter_map(at).collect()
}

/// `src/engine` for `src/engine/analysis/mod.rs`, `src` for `src/lib.rs`, `tests` for all below it.
fn folder(file: &Path) -> String {
    let mut parts = file.iter().map(|part| part.to_str().unwrap());
    let (first, second) = (parts.next().unwrap(), parts.next());
    match second {
        Some(second) if first == "src" && parts.next().is_some() => format!("{first}/{second}"),
        _ => first.to_owned(),
    }
}

/// The folders with a wrong maximum.
pub fn complaints(top: &Path, files_below: impl Fn(&Path, &mut Vec<PathBuf>)) -> Vec<String> {
    let mut files = Vec::new();
    for name in READ.map(|name| top.join(name)) {
        if name.is_dir() { files_below(&name, &mut files) } else { files.push(name) }
    }
    files.sort();
    let mut complaints = Vec::new();
    let mut counted: Vec<(String, [Vec<String>; 2])> = Vec::new();
    for file in &files {
        let path = file.strip_prefix(top).unwrap();
        if path == Path::new(WORD_LIST) {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        let folder = folder(path);
        if counted.iter().all(|(other, _)| *other != folder) {
            counted.push((folder.clone(), Default::default()));
        }
        let (_, places) = counted.iter_mut().find(|(other, _)| *other == folder).unwrap();
        for (places, phrases) in places.iter_mut().zip([BANNED, DIALECT]) {
            let found = found(&text, phrases).into_iter();
            places.extend(found.map(|(line, of)| format!("{}:{line}: {of}", path.display())));
        }
    }
    for (folder, places) in &counted {
        let maxima = MAXIMA.iter().find(|(of, ..)| of == folder);
        let maxima = maxima.map_or([0, 0], |(_, banned, dialect)| [*banned, *dialect]);
        let kinds = ["banned words", "words of dialect"];
        for ((places, maximum), kind) in places.iter().zip(maxima).zip(kinds) {
            let count = places.len();
            if count > maximum {
                let places = places.join("\n");
                complaints.push(format!("{folder}: {count} {kind}, at most {maximum}:\n{places}"));
            } else if count < maximum {
                complaints
                    .push(format!("{folder}: {count} {kind}, not {maximum}: lower it to {count}"));
            }
        }
    }
    let has = |folder: &str| counted.iter().any(|(other, _)| other == folder);
    let gone = MAXIMA.iter().filter(|(folder, ..)| !has(folder));
    complaints.extend(gone.map(|(folder, ..)| format!("{folder} is no folder: remove its row")));
    complaints
}

#[test]
fn phrases_are_found_across_lines_and_in_names() {
    let text = "//! For want\n//! of it nobody_else\nis WhoKnows, not knowsX nor whole.";
    let of = |phrases| {
        let found: Vec<String> =
            found(text, phrases).iter().map(|(line, of)| format!("{line} {of}")).collect();
        found.join(", ")
    };
    assert_eq!(of(BANNED), "1 for want of, 2 nobody, 3 who");
    assert_eq!(of(DIALECT), "3 knows, 3 knows");
}
