//! `VERBS`: every first word that is no target, one record each: the only source of the parser, the
//! list in the help, the man page and the completions.

/// The commands of the program: the first word, or a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Run,
    Serve,
    Calibrate,
    Explain,
    Schema,
    Completions,
    Man,
}

impl Verb {
    pub const ALL: [Verb; 7] = [
        Verb::Run,
        Verb::Serve,
        Verb::Calibrate,
        Verb::Explain,
        Verb::Schema,
        Verb::Completions,
        Verb::Man,
    ];

    pub fn record(self) -> &'static VerbRecord {
        &VERBS[self as usize]
    }

    /// The command line of the verb, without flags.
    pub fn command(self) -> &'static str {
        self.record().command
    }
}

/// The words that a shell can offer for a word or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Nothing,
    Words(&'static [&'static str]),
    Files,
    Hosts,
    /// The ids of causes.
    Causes,
    Verbs,
}

/// A first word.
#[derive(Debug, Clone, Copy)]
pub struct VerbRecord {
    pub word: &'static str,
    /// The command line, without flags.
    pub command: &'static str,
    /// `None`: it has no flags of its own.
    pub verb: Option<Verb>,
    /// What follows it, as in a synopsis.
    pub args: &'static str,
    /// The words that follow it.
    pub offer: Offer,
    /// One line.
    pub help: &'static str,
}

const fn verb(
    verb: Verb,
    [word, command, args, help]: [&'static str; 4],
    offer: Offer,
) -> VerbRecord {
    VerbRecord { word, command, verb: Some(verb), args, offer, help }
}

/// The shells that have completions.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// Those of [`Verb::ALL`] in that order, then those that only print.
#[rustfmt::skip]
pub static VERBS: [VerbRecord; 9] = [
    // As of the original's later versions; without it a run is the same.
    verb(Verb::Run, ["run", "tcpgoon", "[flags] HOST:PORT...", "dial targets"], Offer::Hosts),
    verb(Verb::Serve, ["serve", "tcpgoon serve", "[flags] [PORT | ADDR:PORT]",
        "a server to test against"], Offer::Nothing),
    verb(Verb::Calibrate, ["calibrate", "tcpgoon calibrate", "[flags]",
        "measure the limits of this machine"], Offer::Nothing),
    verb(Verb::Explain, ["explain", "tcpgoon explain", "[ID]",
        "print a cause that a verdict names, or the list of all causes"], Offer::Causes),
    verb(Verb::Schema, ["schema", "tcpgoon schema", "",
        "print the JSON Schema of --json and --events"], Offer::Nothing),
    verb(Verb::Completions, ["completions", "tcpgoon completions", "SHELL",
        "print the completions for bash, zsh or fish"], Offer::Words(SHELLS)),
    verb(Verb::Man, ["man", "tcpgoon man", "",
        "print the man page: tcpgoon man | man -l -"], Offer::Nothing),
    VerbRecord { word: "version", command: "tcpgoon version", verb: None, args: "",
        offer: Offer::Nothing, help: "print the version" },
    VerbRecord { word: "help", command: "tcpgoon help", verb: None, args: "[VERB]",
        offer: Offer::Verbs, help: "print this help, or that of a verb" },
];

impl VerbRecord {
    /// Its command line.
    pub fn synopsis(&self) -> String {
        format!("{} {}", self.command, self.args).trim_end().to_owned()
    }
}

/// The record of a first word.
pub fn find(word: &str) -> Option<&'static VerbRecord> {
    VERBS.iter().find(|record| record.word == word)
}

/// What a shell offers as a first word, and the help lists.
pub fn listed() -> impl Iterator<Item = &'static VerbRecord> {
    VERBS.iter().skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_its_record() {
        for (index, verb) in Verb::ALL.into_iter().enumerate() {
            assert_eq!(verb as usize, index);
            assert_eq!(verb.record().verb, Some(verb));
        }
        for record in listed() {
            assert_eq!(record.command, format!("tcpgoon {}", record.word));
        }
        assert_eq!(find("run").unwrap().verb, Some(Verb::Run));
        assert!(find("h:80").is_none());
    }
}
