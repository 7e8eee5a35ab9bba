//! The completions in the real shells, and the man page in mandoc.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use common::packaged_servers::installed;
use common::streams::Terminal;
use common::{Captured, Running, Scratch, command, run, succeed, wait_until};
use tcpgoon::cli::flags::{FLAGS, Flag};
use tcpgoon::cli::help::EXAMPLES;
use tcpgoon::cli::verb::{Offer, VERBS, VerbRecord, listed};
use tcpgoon::diagnosis::causes::Cause;

/// An interactive shell that has loaded the completions.
struct Shell {
    _running: Running,
    keyboard: File,
    screen: Captured,
    /// Marks sent so far.
    marks: usize,
    _scratch: Scratch,
}

const PROMPT: &str = "ready> ";

impl Shell {
    fn bash() -> Option<Shell> {
        let mut bash = on_terminal("bash")?;
        bash.args(["--norc", "--noprofile", "-i"]);
        // Lists at the first TAB, and without a question.
        let setup = "bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'; \
                     bind 'set page-completions off'; source <($TCPGOON completions bash)";
        Some(Shell::start(bash, setup))
    }

    fn zsh() -> Option<Shell> {
        let mut zsh = on_terminal("zsh")?;
        zsh.args(["-f", "-i"]);
        let setup = "bindkey -e; LISTMAX=9999; setopt no_list_ambiguous no_auto_menu; \
                     autoload -Uz compinit; compinit -u -d $HOME/dump; \
                     source <($TCPGOON completions zsh)";
        Some(Shell::start(zsh, setup))
    }

    fn start(mut command: Command, setup: &str) -> Shell {
        let (terminal, scratch) = (Terminal::new(), Scratch::new());
        scratch.write("a report.json", "");
        // A flag and its description on a line, and no second column.
        terminal.resize(120);
        command.stdin(terminal.device()).stdout(terminal.device()).stderr(terminal.device());
        command.current_dir(scratch.path("")).env("HOME", scratch.path("")).env("TERM", "xterm");
        command.env("PS1", PROMPT).env("TCPGOON", env!("CARGO_BIN_EXE_tcpgoon"));
        let running = Running::start_as_it_is(command);
        let (keyboard, screen) = terminal.show();
        let mut shell = Shell { _running: running, keyboard, screen, marks: 0, _scratch: scratch };
        shell.screen.wait_for_words(PROMPT);
        shell.after_typing(&format!("PS1='{PROMPT}'; {setup}\n"));
        shell
    }

    /// Types something, and returns what the screen shows until a command after it has run. The next
    /// prompt has to be there before more is typed: until then the terminal would edit it.
    fn after_typing(&mut self, keys: &str) -> String {
        self.marks += 1;
        let before = self.screen.text().len();
        let mark = format!("mark-{}", self.marks);
        writeln!(self.keyboard, "{keys}echo mark-$(({}))", self.marks).unwrap();
        let shown = wait_until(&mark, || {
            let text = self.screen.text();
            let (shown, rest) = text.get(before..)?.split_once(&format!("{mark}\r\n"))?;
            rest.contains(PROMPT).then(|| shown.to_owned())
        });
        without_escapes(&shown)
    }

    /// What it offers behind a line; the line is deleted then.
    fn offers(&mut self, line: &str) -> String {
        self.after_typing(&format!("{line}\t\u{15}"))
    }
}

/// A shell in a session of its own: its terminal is the controlling one.
fn on_terminal(shell: &str) -> Option<Command> {
    installed(shell)?;
    let mut command = Command::new("setsid");
    command.args(["--ctty", shell]);
    Some(command)
}

fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        let end = behind.find(|c: char| c.is_ascii_alphabetic() || "=>".contains(c));
        rest = end.map_or("", |end| &behind[end + 1..]);
    }
    (plain + rest).replace('\r', "")
}

fn flags_of(record: &VerbRecord) -> impl Iterator<Item = &'static Flag> {
    let verb = record.verb;
    FLAGS.iter().filter(move |flag| verb.is_some_and(|verb| flag.belongs_to(verb)))
}

/// The command line of a verb; a run needs no word.
fn line_of(record: &VerbRecord) -> String {
    if record.word == "run" { "tcpgoon".into() } else { record.command.into() }
}

/// The lines to complete for each offer of each verb, and the words that have to be there.
fn questions(hosts: &str) -> Vec<(String, Vec<String>)> {
    let wanted = |offer: Offer| -> Vec<String> {
        match offer {
            Offer::Nothing => Vec::new(),
            Offer::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            Offer::Files => vec!["a report.json".into(), "a\\ report.json".into()],
            Offer::Hosts => vec![hosts.to_owned()],
            Offer::Causes => Cause::ALL.map(|cause| cause.id().to_owned()).to_vec(),
            Offer::Verbs => listed().map(|record| record.word.to_owned()).collect(),
        }
    };
    let mut questions = vec![("tcpgoon ".to_owned(), wanted(Offer::Verbs))];
    for record in &VERBS {
        let line = line_of(record);
        questions.push((format!("{line} "), wanted(record.offer)));
        for flag in flags_of(record).filter(|flag| flag.value.is_some()) {
            let between = if flag.alone.is_some() { '=' } else { ' ' };
            questions.push((format!("{line} --{}{between}", flag.long), wanted(flag.offer())));
        }
    }
    questions
}

/// Asks an interactive shell for all flags and all values.
fn check(shell: &mut Shell) {
    for record in &VERBS {
        let offered = shell.offers(&format!("{} --", line_of(record)));
        let listed: Vec<&str> = offered
            .lines()
            .filter(|line| line.starts_with("--"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let expected: Vec<String> =
            flags_of(record).map(|flag| format!("--{}", flag.long)).collect();
        match &expected[..] {
            [] => assert!(!offered.contains("--h"), "{offered}"),
            // It is inserted.
            [only] => assert!(offered.contains(&format!("{only} ")), "{offered}"),
            _ => {
                assert_eq!(listed, expected, "{}: {offered}", record.command);
                for flag in flags_of(record) {
                    assert!(offered.contains(&flag.described()), "{}: {offered}", flag.long);
                }
            }
        }
    }
    for (line, words) in questions("localhost") {
        let offered = shell.offers(&line);
        let is_shown = |word: &String| offered.replacen(line.trim_end(), "", 1).contains(word);
        match words.iter().any(|word| word.contains("report")) {
            // As it is listed, or as it is inserted.
            true => assert!(words.iter().any(is_shown), "{line}: {offered}"),
            false => assert!(words.iter().all(is_shown), "{line}: {offered}"),
        }
    }
    // A part of a word is completed, and one that cannot be stays as it is.
    for (line, shown) in [
        ("tcpgoon ser", "tcpgoon serve "),
        ("tcpgoon --json a", "tcpgoon --json a\\ report.json "),
        ("tcpgoon --json=a", "tcpgoon --json=a\\ report.json "),
        ("tcpgoon --host loc", "tcpgoon --host localhost "),
        ("tcpgoon --assume", "tcpgoon --assume-yes "),
        ("tcpgoon --color=al", "tcpgoon --color=always "),
        ("tcpgoon run --color n", "tcpgoon run --color never "),
        ("tcpgoon explain path-m", "tcpgoon explain path-mtu "),
        ("tcpgoon serve --ec", "tcpgoon serve --echo"),
        // Each one counts.
        ("tcpgoon --fail-if x --fail", "tcpgoon --fail-if x --fail-if"),
    ] {
        let offered = shell.offers(line);
        assert!(offered.contains(shown), "{line}: {offered}");
    }
    for (line, other) in [
        ("tcpgoon -y ser", "serve "),
        ("tcpgoon run ser", "serve "),
        ("tcpgoon serve --rat", "--rates"),
        ("tcpgoon -c --ra", "--rates"),
    ] {
        let offered = shell.offers(line);
        assert!(!offered.contains(other), "{line}: {offered}");
    }
}

#[test]
fn bash_offers_verbs_flags_and_values() {
    let Some(mut bash) = Shell::bash() else { return };
    check(&mut bash);
}

#[test]
fn zsh_offers_verbs_flags_and_values() {
    let Some(mut zsh) = Shell::zsh() else { return };
    check(&mut zsh);
}

/// fish prints what it would offer.
fn fish_offers(scratch: &Scratch, lines: &[String]) -> Option<Vec<Vec<(String, String)>>> {
    let mut fish = installed("fish")?;
    fish.args(["--no-config", "-c"]);
    fish.arg(
        "$TCPGOON completions fish | source; \
         while read line; complete -C $line; echo ----; end",
    );
    fish.current_dir(scratch.path("")).env("HOME", scratch.path(""));
    fish.env("TCPGOON", env!("CARGO_BIN_EXE_tcpgoon"));
    let text = succeed(fish, &(lines.join("\n") + "\n"));
    let offer = |line: &str| {
        let (word, help) = line.split_once('\t').unwrap_or((line, ""));
        (word.to_owned(), help.to_owned())
    };
    let answers = text.split_terminator("----\n");
    let answers: Vec<_> = answers.map(|lines| lines.lines().map(offer).collect()).collect();
    assert_eq!(answers.len(), lines.len(), "{text}");
    Some(answers)
}

#[test]
fn fish_offers_verbs_flags_and_values() {
    let scratch = Scratch::new();
    scratch.write("a report.json", "");
    fs::create_dir(scratch.path(".ssh")).unwrap();
    // It does not offer names of this host.
    scratch.write(".ssh/known_hosts", "db.example ssh-ed25519 AAAA\n");
    let lines: Vec<String> = VERBS.iter().map(|record| format!("{} --", line_of(record))).collect();
    let Some(answers) = fish_offers(&scratch, &lines) else { return };
    for (record, offered) in VERBS.iter().zip(answers) {
        let expected: Vec<(String, String)> =
            flags_of(record).map(|flag| (format!("--{}", flag.long), flag.described())).collect();
        // One with an optional value is there twice, also with =.
        let offered: Vec<_> =
            offered.into_iter().filter(|(word, _)| !word.ends_with('=')).collect();
        assert_eq!(offered, expected, "{}", record.command);
    }
    let (lines, words): (Vec<_>, Vec<_>) = questions("db.example").into_iter().unzip();
    let answers = fish_offers(&scratch, &lines).unwrap();
    for ((line, words), offered) in lines.iter().zip(words).zip(answers) {
        let is_offered = |word: &String| offered.iter().any(|(is, _)| is.ends_with(word));
        match words.iter().any(|word| word.contains("report")) {
            true => assert!(words.iter().any(is_offered), "{line}: {offered:?}"),
            false => assert!(words.iter().all(is_offered), "{line}: {offered:?}"),
        }
    }
    let lines = ["tcpgoon -y ser", "tcpgoon serve --rat", "tcpgoon explain path-m"];
    let answers = fish_offers(&scratch, &lines.map(str::to_owned)).unwrap();
    let path_mtu = Cause::PathMtu.record();
    let path_mtu = vec![(path_mtu.id.to_owned(), path_mtu.title.to_owned())];
    assert_eq!(answers, [vec![], vec![], path_mtu]);
}

#[test]
fn mandoc_has_no_complaint_and_shows_every_flag_and_example() {
    let Some(mut lint) = installed("mandoc") else { return };
    let page = run(&["man"]);
    page.assert_code(0);
    // Its exit status is of any complaint, to the least one of style.
    lint.args(["-T", "lint", "-W", "all"]);
    assert_eq!(succeed(lint, &page.stdout), "");
    let shown = succeed(command("mandoc -T ascii -O width=300"), &page.stdout);
    // Bold and underlined letters are struck over.
    let mut text = String::new();
    for c in shown.chars() {
        match c {
            '\u{8}' => _ = text.pop(),
            c => text.push(c),
        }
    }
    let is_shown = |line: &str| text.lines().any(|shown| shown.contains(line));
    for flag in FLAGS {
        assert!(is_shown(&format!("--{}", flag.long)), "{}: {text}", flag.long);
        assert!(is_shown(&flag.described()), "{}: {text}", flag.long);
    }
    for (example, _) in EXAMPLES {
        assert!(is_shown(example), "{example}: {text}");
    }
}
