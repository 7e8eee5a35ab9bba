//! Every command in the README, run in a network namespace of its own block. What a `console` block
//! shows has to be what the commands print, but for the numbers. `README_BLESS=target/release` writes
//! into it what that build prints.

use std::fs;
use std::path::Path;
use std::thread;

use super::common::tools::{Scratch, command};
use super::common::{Namespace, Running, skip};

/// The folder of a build to take the output of.
const BLESS: &str = "README_BLESS";

/// On a loaded machine a fault can look otherwise, and the verdict with it.
const TRIES: usize = 3;

/// Before the output of a command.
const MARK: char = '\u{1}';

/// What a table may name, and a test has no time or descriptors for.
const SMALLER: [(&str, &str); 5] = [
    ("--hold 10m", "--hold 2"),
    ("-c 30k", "-c 3k"),
    ("-c 60k", "-c 6k"),
    ("-c 1m", "-c 10k"),
    ("calibrate", "calibrate -c 500"),
];

/// A command of a block, and its output.
#[derive(Debug, Default, Clone, PartialEq)]
struct Step {
    /// With its continuation lines.
    typed: String,
    output: String,
}

impl Step {
    fn shows(&self, shown: &Step) -> bool {
        is_shown(&shown.output, &self.output)
    }

    #[track_caller]
    fn assert_shown(&self, shown: &Step) {
        let Step { typed, output } = self;
        assert!(self.shows(shown), "shown:\n$ {typed}{}\nprinted:\n{output}", shown.output);
    }

    fn is_background(&self) -> bool {
        self.typed.trim_end().ends_with('&')
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(top().join("README.md")).unwrap()
}

/// The text inside the fences of one language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let inside = readme.split(&open).skip(1);
    inside.map(|rest| rest.split_once("```").map_or(rest, |(block, _)| block)).collect()
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continues = false;
    for line in block.split_inclusive('\n') {
        match line.strip_prefix("$ ") {
            Some(typed) => steps.push(Step { typed: typed.to_owned(), ..Step::default() }),
            None => {
                let last = steps.last_mut().expect("a block begins with a command");
                if continues { &mut last.typed } else { &mut last.output }.push_str(line);
            }
        }
        continues = line.ends_with("\\\n");
    }
    steps
}

/// Runs bash with the built program in its path and names for the servers' addresses.
fn bash(namespace: &Namespace, script: &str) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_tcpgoon")).parent().unwrap().to_path_buf();
    let folder = std::env::var_os(BLESS).map_or(built, |folder| top().join(folder));
    let folder = folder.display();
    let scratch = Scratch::new();
    let file = scratch.write("script", script);
    // As for a user, a hard limit is one.
    let words =
        format!("--bounding-set=-sys_resource --inh-caps=-sys_resource bash {}", file.display());
    let mut shell = namespace.command("setpriv", &words);
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{folder}:/usr/sbin:{path}")).env("LC_ALL", "C.UTF-8");
    shell.current_dir(scratch.path("."));
    Running::start(shell).outcome().stdout
}

/// A namespace with the servers' and the sources' addresses.
fn namespace() -> Option<Namespace> {
    let namespace = Namespace::make()?;
    for last in (7..=9).chain(20..=23) {
        namespace.run(&format!("ip address add 10.0.0.{last}/32 dev lo"));
    }
    Some(namespace)
}

/// Runs the steps of a block in one shell; servers in the background end with it, unheard.
fn run_steps(steps: &[Step]) -> Option<Vec<Step>> {
    let namespace = namespace()?;
    let mut script = String::from("exec 2>&1\n");
    for step in steps {
        // The exit code is kept for `echo $?`.
        script.push_str(&format!("code=$?; printf '{MARK}'; (exit $code)\n"));
        let typed = step.typed.trim_end();
        if step.is_background() {
            let port = typed.split_whitespace().find(|word| word.parse::<u16>().is_ok()).unwrap();
            script.push_str(&format!("{} >/dev/null 2>&1 &\n", typed.trim_end_matches('&')));
            script.push_str(&listening(port));
        } else {
            script.push_str(&format!("{typed}\n"));
        }
    }
    script.push_str("kill $(jobs -p) 2>/dev/null\nwait\n");
    let output = bash(&namespace, &script);
    let outputs = output.split(MARK).skip(1).map(str::to_owned);
    let ran = steps.iter().zip(outputs).map(|(step, output)| Step { output, ..step.clone() });
    Some(ran.collect())
}

/// Waits for a listener; gives up after half a minute.
fn listening(port: &str) -> String {
    format!(
        "timeout 30 bash -c 'until ss -Hltn \"sport = :{port}\" | grep -q .; do sleep 0.02; done'\n"
    )
}

/// The words with all numbers, and the units behind them, masked: lines break elsewhere if a number is
/// longer.
fn words(text: &str) -> Vec<String> {
    let is_number = |c: char| c.is_ascii_digit() || ".,".contains(c);
    let mask = |word: &str| {
        let mut masked = String::new();
        let mut rest = word;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            masked.push_str(&rest[..at]);
            masked.push('#');
            rest = rest[at..].trim_start_matches(is_number);
            let units = ["µs", "ms", "ns", "s", "m"];
            rest = units.iter().find_map(|unit| rest.strip_prefix(unit)).unwrap_or(rest);
        }
        masked + rest
    };
    text.split_whitespace().map(mask).filter(|word| word != "-" && word != "#").collect()
}

/// All words that are shown were printed in this order, and the end is the end.
fn is_shown(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (words(shown), words(printed));
    let mut left = printed.iter();
    shown.iter().all(|word| left.any(|other| other == word)) && shown.last() == printed.last()
}

#[test]
fn numbers_and_line_breaks_do_not_matter_but_words_do() {
    let shown = "LIMIT: 17 of 40 (within\n194µs): a\n  p50  1.2ms\n";
    assert!(is_shown(shown, "LIMIT: 18 of 1,041\n(within 1.02ms): a p50 17µs\n"));
    assert!(!is_shown(shown, "OK: 18 of 41 (within 1ms): a p50 17µs\n"));
    assert!(!is_shown(shown, "LIMIT: 18 of 41 (within 1ms): a p50 17µs\nmore\n"));
}

#[test]
fn console_blocks_print_what_they_show() {
    let mut text = readme();
    let blocks: Vec<String> = blocks(&text, "console").into_iter().map(str::to_owned).collect();
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let ran: Vec<_> = thread::scope(|scope| {
        let run = |block: &String| {
            let shown = steps(block);
            scope.spawn(move || {
                let is_it = |ran: &Vec<Step>| ran.iter().zip(&shown).all(|(r, s)| r.shows(s));
                let mut ran = run_steps(&shown);
                for _ in 1..TRIES {
                    if ran.as_ref().is_none_or(is_it) {
                        break;
                    }
                    ran = run_steps(&shown);
                }
                ran
            })
        };
        let threads: Vec<_> = blocks.iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (block, ran) in blocks.iter().zip(ran) {
        let Some(ran) = ran else { return skip("the README's commands need a namespace") };
        if std::env::var_os(BLESS).is_some() {
            let new = ran.iter().map(|step| format!("$ {}{}", step.typed, step.output));
            text = text.replace(block, &new.collect::<String>());
        } else {
            ran.iter().zip(steps(block)).for_each(|(ran, shown)| ran.assert_shown(&shown));
        }
    }
    if text != readme() {
        fs::write(top().join("README.md"), text).unwrap();
    }
}

/// The commands of the table of tasks, and of the recipes, against servers at 10.0.0.7 to 10.0.0.9,
/// with a saved run.
#[test]
fn tasks_and_recipes_succeed() {
    let text = readme();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let mut typed: Vec<String> = rows
        .filter_map(|row| {
            row.trim_end_matches("` |").rsplit_once('`').map(|(_, typed)| typed.to_owned())
        })
        .filter(|typed| typed.starts_with("tcpgoon "))
        .collect();
    assert!(typed.len() >= 10, "{typed:#?}");
    let lines = blocks(&text, "sh").into_iter().flat_map(str::lines);
    typed.extend(lines.filter(|line| line.starts_with("tcpgoon ")).map(str::to_owned));
    let recipe = blocks(&text, "yaml").concat();
    typed.push(recipe.split_once("run: |\n").expect("a recipe").1.to_owned());
    thread::scope(|scope| {
        for typed in &typed {
            scope.spawn(move || {
                let Some(namespace) = namespace() else { return };
                let smaller = |typed: String, (from, to): &(&str, &str)| typed.replace(from, to);
                let typed = SMALLER.iter().fold(typed.clone(), smaller);
                let servers = "tcpgoon serve -p 80 --bind 0.0.0.0 >/dev/null 2>&1 &\n\
                    tcpgoon serve -p 8080 >/dev/null 2>&1 &\n\
                    tcpgoon serve -p 6379 --bind 0.0.0.0 --banner PONG >/dev/null 2>&1 &\n";
                let ready: String = ["80", "8080", "6379"].map(listening).concat();
                let saved = "tcpgoon h:1 -y -q --rehearse ok --json run.json >/dev/null 2>&1\n";
                let script = format!(
                    "exec 2>&1; export GITHUB_STEP_SUMMARY=summary.md\n{servers}{ready}{saved}\
                     set -o pipefail\n{{ {typed}\n}} < <(yes)\nprintf '\\ncode %d\\n' $?\n\
                     kill $(jobs -p)\nwait\n"
                );
                let output = bash(&namespace, &script);
                assert!(output.contains("\ncode 0\n"), "{typed}\n{output}");
            });
        }
    });
}

/// What the table needs, in the packages of CI.
#[test]
fn the_readmes_servers_are_installed_in_ci() {
    let ci = fs::read_to_string(top().join(".ci/run")).unwrap();
    let named = ["redis-server", "jq"].into_iter().filter(|name| readme().contains(name));
    for name in named {
        assert!(ci.contains(name), "{name} is in README.md and not installed by .ci/run");
        let installed = command("which").arg(name).output().unwrap().status.success();
        if !installed {
            skip(&format!("{name} is not installed"));
        }
    }
}
