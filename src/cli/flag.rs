//! The record of a flag.

use super::effects::Draft;
use super::verb::{Offer, Verb};

/// One flag of one or more verbs.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without its dashes.
    pub long: &'static str,
    pub short: Option<char>,
    /// The word that stands for the value in the help; `None` for a switch.
    pub value: Option<&'static str>,
    /// The words that the value can be, if there are such.
    pub words: &'static [&'static str],
    /// The value of a flag that is given without one. Its value has to follow `=`, or be a word
    /// that the effect accepts: any other word is not the flag's.
    pub alone: Option<&'static str>,
    /// The value if the flag is not given, as it would be typed. Parsed, and printed in the help.
    pub default: Option<&'static str>,
    /// Whether each one counts, and not the last one alone.
    pub is_list: bool,
    pub verbs: &'static [Verb],
    /// One line, without the default.
    pub help: &'static str,
    /// Parses the value (of a switch: a boolean) and stores it. An error names what is accepted.
    pub effect: fn(&mut Draft, &str) -> Result<(), String>,
}

impl Flag {
    pub fn belongs_to(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// What a shell offers as its value.
    pub fn offer(&self) -> Offer {
        match (self.words, self.value) {
            ([], Some("FILE")) => Offer::Files,
            // The original's word for a host.
            ([], Some("string")) => Offer::Hosts,
            ([], _) => Offer::Nothing,
            (words, _) => Offer::Words(words),
        }
    }

    /// The line about it, with its default.
    pub fn described(&self) -> String {
        match self.default {
            Some(default) => format!("{} (default {default})", self.help),
            None => self.help.to_owned(),
        }
    }
}
