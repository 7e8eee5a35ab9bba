//! Rust sources: what is code, what of it ships, what it imports. The sources are formatted, so lines
//! suffice; this is no parser.

use std::collections::BTreeSet;

/// A source file, and its code.
pub struct Source {
    /// Below `src/`.
    pub path: String,
    pub text: String,
    /// Line for line as `text`, without comments and the contents of strings.
    pub code: Vec<String>,
    /// The code without tests: those lines are empty.
    pub shipped: Vec<String>,
}

impl Source {
    pub fn new(path: String, text: String) -> Source {
        let code: Vec<String> = code_of(&text).lines().map(str::to_owned).collect();
        let is_test = path.ends_with("tests.rs");
        let shipped = if is_test { vec![String::new(); code.len()] } else { without_tests(&code) };
        Source { path, text, code, shipped }
    }

    /// Its layer.
    pub fn part(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// Whether its parent module is the crate itself.
    fn is_a_part(&self) -> bool {
        let part = self.part();
        self.path == format!("{part}.rs") || self.path == format!("{part}/mod.rs")
    }

    /// The lines that are bad, as `file:line: text`.
    pub fn places<'a>(
        &'a self,
        lines: &'a [String],
        is_bad: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        let bad = lines.iter().enumerate().filter(move |(_, line)| is_bad(line));
        bad.map(|(index, line)| format!("src/{}:{}: {}", self.path, index + 1, line.trim()))
    }
}

/// Blanks comments and strings; line breaks stay.
pub fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r').unwrap_or_default();
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let is_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if !is_word && raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.len() - raw.len() + hashes + 1;
            start + rest[start..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            quoted_length(rest, '"')
        } else if first == '\'' && is_char_literal(rest) {
            quoted_length(rest, '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        // A space keeps both sides apart.
        out.push(' ');
        out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    out
}

/// And not a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    });
    end.unwrap().0 + 1
}

/// Blanks every item after `#[cfg(test)]`, to its closing brace, or to a semicolon before any brace.
fn without_tests(code: &[String]) -> Vec<String> {
    let (mut in_test, mut depth) = (false, 0);
    let mut shipped = Vec::with_capacity(code.len());
    for line in code {
        let begins = !in_test && line.trim() == "#[cfg(test)]";
        shipped.push(if in_test || begins { String::new() } else { line.clone() });
        if begins {
            in_test = true;
            continue;
        }
        for c in line.chars() {
            depth += i32::from("{[(".contains(c)) - i32::from("}])".contains(c));
            if depth == 0 && in_test && ['}', ';'].contains(&c) {
                in_test = false;
            }
        }
    }
    shipped
}

/// What follows each occurrence of `word` as a whole word.
pub fn after_word<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).filter_map(move |(at, _)| {
        let rest = &line[at + word.len()..];
        (!line[..at].ends_with(is_word) && !rest.starts_with(is_word)).then_some(rest)
    })
}

pub fn has_word(line: &str, word: &str) -> bool {
    after_word(line, word).next().is_some()
}

/// The layers that a source imports from.
pub fn imports(source: &Source) -> BTreeSet<String> {
    let text = source.shipped.join("\n");
    let mut found = BTreeSet::new();
    for path in after_word(&text, "crate").filter_map(|rest| rest.strip_prefix("::")) {
        match path.strip_prefix('{') {
            // use crate::{engine::Key, plan::{Plan, Args}};
            Some(group) => {
                let mut depth = 1;
                let mut name = String::new();
                for c in group.chars() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if c == ',' && depth == 1 || depth == 0 {
                        found.insert(first_name(&name));
                        name.clear();
                        if depth == 0 {
                            break;
                        }
                    } else {
                        name.push(c);
                    }
                }
            }
            None => drop(found.insert(first_name(path))),
        }
    }
    if source.is_a_part() {
        let above = after_word(&text, "super").filter_map(|rest| rest.strip_prefix("::"));
        found.extend(above.map(first_name));
    }
    // A capital: an item of the crate root.
    found.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    found.remove(source.part());
    found
}

pub fn first_name(path: &str) -> String {
    let path = path.trim_start();
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
}

#[test]
fn comments_and_strings_are_not_taken_for_code() {
    let text = "a /* x\ny */ b // c\n\"d \\\" // e\" f r#\"g \" h\"# i b'\\'' 'j' '\"' &'k l \\ m";
    let words: Vec<String> = code_of(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words.join(" "), "a b f i b &'k l \\ m");
    assert_eq!(code_of(text).lines().count(), text.lines().count());
}

#[test]
fn tests_are_not_taken_for_what_ships() {
    let text = "
a
#[cfg(test)]
mod tests;
b
    #[cfg(test)]
    fn c() -> [u8; 4] {
        d;
    }
e
";
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let shipped = without_tests(&lines);
    assert_eq!(shipped.len(), lines.len());
    assert_eq!(shipped.concat(), "abe");
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "
use crate::engine::{Key, Event};
use crate::{
    plan::{Plan, Args},
    units,
};
fn f() -> crate::os::X {}
// crate::cli
use super::route;
use crate::NAME;
";
    let of = |path: &str| {
        let found = imports(&Source::new(path.into(), text.into()));
        found.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("report/text.rs"), "engine os plan units");
    assert_eq!(of("report/mod.rs"), "engine os plan route units");
    assert_eq!(of("plan.rs"), "engine os route units");
}
