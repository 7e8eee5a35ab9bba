//! The README agrees with the program and its CI.

use std::fs;
use std::path::Path;

use tcpgoon::cli::flags::FLAGS;
use tcpgoon::cli::help;

/// The first commands on a fresh machine.
const COMMANDS: [&str; 2] = ["cargo run --release -- calibrate", "cargo test"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of all code blocks.
fn code(readme: &str) -> impl Iterator<Item = &str> {
    readme.split("```").skip(1).step_by(2).flat_map(str::lines)
}

#[test]
fn readme_shows_the_help_as_it_is() {
    let (readme, help) = (read("README.md"), help::readme_block());
    assert!(readme.contains(&help), "README.md lacks this block, to the letter:\n{help}");
}

#[test]
fn ci_runs_the_readmes_two_commands() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    for command in COMMANDS {
        // A prompt may precede it, a comment may follow.
        let is_shown = |line: &str| {
            let behind = line.trim_start_matches(['$', '%', ' ']).strip_prefix(command);
            behind.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        assert!(code(&readme).any(is_shown), "README.md does not show: {command}");
        let is_run = |line: &str| {
            line.trim_end()
                .strip_suffix(command)
                .is_some_and(|before| before.is_empty() || before.ends_with(' '))
        };
        assert!(ci.lines().any(is_run), ".ci/run does not run: {command}");
    }
}

#[test]
fn readme_names_no_flag_that_is_not_there() {
    let readme = read("README.md");
    for line in code(&readme) {
        // The arguments of a tcpgoon command line, up to the next shell command.
        let Some((_, words)) = line.split_once("tcpgoon ") else { continue };
        let words =
            words.split_whitespace().take_while(|word| !["|", "&&", ";", "&", "#"].contains(word));
        let flags = words.filter_map(|word| word.strip_prefix("--"));
        for flag in flags.map(|flag| flag.split('=').next().unwrap_or(flag)) {
            // `--- … ---` is a header in the output.
            let is_name = flag.starts_with(|c: char| c.is_ascii_lowercase())
                && flag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let is_there = FLAGS.iter().any(|known| known.long == flag);
            assert!(!is_name || is_there, "--{flag}: {line}");
        }
    }
}
