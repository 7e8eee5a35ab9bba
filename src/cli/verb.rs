//! The commands of the program.

/// The commands of the program: the first word, or a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Run,
    Serve,
    Calibrate,
    Explain,
    Schema,
}

impl Verb {
    pub const ALL: [Verb; 5] =
        [Verb::Run, Verb::Serve, Verb::Calibrate, Verb::Explain, Verb::Schema];

    /// The command line of the verb, without flags.
    pub fn command(self) -> &'static str {
        match self {
            Verb::Run => "tcpgoon",
            Verb::Serve => "tcpgoon serve",
            Verb::Calibrate => "tcpgoon calibrate",
            Verb::Explain => "tcpgoon explain",
            Verb::Schema => "tcpgoon schema",
        }
    }
}
