//! A correction of a mistake: the line about it, and the words to type instead.

/// A correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    pub line: String,
    pub next: Next,
}

/// What to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The words of the whole command line, which may have mistakes of their own; a host can be HOST
    /// and a port PORT, to be replaced.
    Words(Vec<String>),
    /// Another command.
    Command(&'static str),
    /// The help: there is no suggestion.
    Help,
}

/// A part of the command line to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The flag, in the form in which it was typed: `-t` or `--dial-timeout`.
    name: String,
    pub before: Vec<String>,
    /// The value, or the text after a short name in its word.
    pub inline: Option<String>,
    pub after: Vec<String>,
}

impl Part {
    /// A flag as it was typed: `--timeout`, `-n`, `-duration`. The same text as a value of another
    /// flag is not recognized.
    pub fn flag(words: &[String], typed: &str) -> Option<Part> {
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let short = short_of(typed);
        words[..end].iter().enumerate().find_map(|(index, word)| {
            let (head, inline) = match short {
                Some(letter) => split_cluster(word, letter)?,
                None => (None, split_long(word, typed)?),
            };
            Some(Part::new(words, index, typed, head, inline))
        })
    }

    /// A flag with this value; `short` is its short name.
    pub fn value(words: &[String], long: &str, short: Option<char>, value: &str) -> Option<Part> {
        let long = format!("--{long}");
        words.iter().enumerate().find_map(|(index, word)| {
            let short_name = short.map(|letter| format!("-{letter}"));
            let (name, (head, inline)) = match split_long(word, &long) {
                Some(inline) => (long.as_str(), (None, inline)),
                None => (short_name.as_deref()?, split_cluster(word, short?)?),
            };
            let mut part = Part::new(words, index, name, head, inline);
            if part.inline.is_none() {
                part.inline = part.take_next();
            }
            (part.inline.as_deref() == Some(value)).then_some(part)
        })
    }

    /// The last word that is this one.
    pub fn word(words: &[String], word: &str) -> Option<Part> {
        let index = words.iter().rposition(|other| other == word)?;
        Some(Part::new(words, index, word, None, None))
    }

    fn new(
        words: &[String],
        index: usize,
        name: &str,
        head: Option<String>,
        inline: Option<String>,
    ) -> Part {
        let mut before = words[..index].to_vec();
        before.extend(head);
        Part { name: name.into(), before, inline, after: words[index + 1..].to_vec() }
    }

    /// The words with another value of the same flag; `joined` by `=` if necessary.
    pub fn with_value(self, value: String, joined: bool) -> Vec<String> {
        let name = self.name.clone();
        if joined || value.starts_with('-') {
            return self.replaced([format!("{name}={value}")]);
        }
        self.replaced([name, value])
    }

    /// The next word, unless it is a flag.
    pub fn next(&self) -> Option<&str> {
        let next = self.after.first().filter(|word| !word.starts_with('-') || word.len() == 1);
        next.map(String::as_str)
    }

    /// As `next`, and it belongs to this part from now on.
    pub fn take_next(&mut self) -> Option<String> {
        self.next().is_some().then(|| self.after.remove(0))
    }

    /// The words, with others in place of this part.
    pub fn replaced<I: IntoIterator<Item = String>>(self, with: I) -> Vec<String> {
        let mut words = self.before;
        words.extend(with);
        words.extend(self.after);
        words
    }
}

/// The letter of a short name: of `-n`, and not of `--n` or `-duration`.
pub fn short_of(typed: &str) -> Option<char> {
    let mut rest = typed.strip_prefix('-')?.chars();
    let letter = rest.next().filter(|letter| *letter != '-')?;
    rest.next().is_none().then_some(letter)
}

/// `5` for `--rate=5`, `None` for `--rate`.
fn split_long(word: &str, typed: &str) -> Option<Option<String>> {
    match word.strip_prefix(typed)? {
        "" => Some(None),
        rest => rest.strip_prefix('=').map(|value| Some(value.to_owned())),
    }
}

/// `-zn5` for the letter `n`: `-z` and `5`. A letter after `=` is no flag.
fn split_cluster(word: &str, letter: char) -> Option<(Option<String>, Option<String>)> {
    let cluster = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    let (head, rest) = cluster.split_once(letter).filter(|(head, _)| !head.contains('='))?;
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let head = (!head.is_empty()).then(|| format!("-{head}"));
    Some((head, (!rest.is_empty()).then(|| rest.to_owned())))
}
