//! Rules for the sources: layers, circles, `unsafe`, clocks, bans, sizes, language, the map.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/language.rs"]
mod language;
#[path = "tidy/source.rs"]
mod source;

use source::{Source, after_word, code_of, first_name, has_word, imports};

/// The layers, highest first, and what each may import: only lower ones.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "os",
        &[
            "display",
            "engine",
            "measured",
            "limits",
            "args",
            "plan",
            "outputs",
            "route",
            "counters",
            "icmp",
            "last_lines",
            "units",
            "error",
            "escape",
        ],
    ),
    (
        "sim",
        &[
            "engine",
            "args",
            "plan",
            "rehearsal",
            "route",
            "counters",
            "icmp",
            "last_lines",
            "units",
            "error",
            "escape",
        ],
    ),
    (
        "cli",
        &[
            "order",
            "diagnosis",
            "display",
            "args",
            "plan",
            "rehearsal",
            "outputs",
            "thresholds",
            "route",
            "units",
            "error",
            "escape",
        ],
    ),
    (
        "report",
        &[
            "order",
            "diagnosis",
            "display",
            "measured",
            "limits",
            "engine",
            "plan",
            "outputs",
            "thresholds",
            "json",
            "route",
            "counters",
            "icmp",
            "last_lines",
            "units",
            "error",
            "escape",
        ],
    ),
    (
        "diagnosis",
        &[
            "order",
            "engine",
            "limits",
            "plan",
            "route",
            "counters",
            "icmp",
            "last_lines",
            "units",
            "error",
        ],
    ),
    ("judgement", &["engine", "plan", "thresholds", "route", "units", "error"]),
    ("measured", &["engine", "limits", "units"]),
    ("limits", &["order", "plan", "route", "units", "error"]),
    ("engine", &["order", "plan", "route", "units", "error"]),
    ("args", &["display", "plan", "rehearsal", "outputs", "route", "units", "error"]),
    ("plan", &["rehearsal", "route", "units"]),
    ("rehearsal", &["units"]),
    ("outputs", &["thresholds"]),
    ("thresholds", &["units"]),
    ("json", &[]),
    ("route", &["units", "error", "escape"]),
    ("counters", &[]),
    ("last_lines", &["order"]),
    ("icmp", &["units"]),
    ("display", &[]),
    ("order", &[]),
    ("units", &[]),
    ("error", &["escape"]),
    ("escape", &[]),
];

/// What may be at the top level.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "fuzz",
    "src",
    "tests",
];

const LINES_MAX: usize = 450;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    sources_below("src")
}

fn sources_below(folder: &str) -> Vec<Source> {
    let folder = top().join(folder);
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    let read = |file: &PathBuf| {
        let path = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap();
        Source::new(path, text)
    };
    let sources: Vec<Source> = files.iter().map(read).collect();
    assert!(sources.len() > 10, "where are the sources?");
    sources
}

#[track_caller]
fn none(rule: &str, places: impl IntoIterator<Item = String>) {
    let places: Vec<String> = places.into_iter().collect();
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn imports_point_down_the_house() {
    for (index, (part, below)) in LAYERS.iter().enumerate() {
        for name in *below {
            let is_below = LAYERS[index + 1..].iter().any(|(part, _)| part == name);
            assert!(is_below, "the table itself: {name} is not below {part}");
        }
    }
    for source in sources() {
        // They join the layers.
        if ["main", "lib"].contains(&source.part()) {
            continue;
        }
        let part = LAYERS.iter().find(|(part, _)| *part == source.part());
        let (_, allowed) = part.unwrap_or_else(|| panic!("src/{} has no layer", source.path));
        for name in imports(&source) {
            assert!(allowed.contains(&&*name), "src/{} imports {name}", source.path);
        }
        // Would bypass the table.
        let climbs = source.places(&source.shipped, |line| line.contains("super::super"));
        none("one step up at a time", climbs);
    }
}

/// An import counts for the file that defines the item, wherever it is re-exported: a file may re-export
/// what its children define, and these may import nothing that it defines itself.
#[test]
fn files_import_in_no_circle() {
    let edges = imports::edges(&sources());
    let circles = imports::circles(&edges);
    for circle in &circles {
        let to = |file: &String| {
            let to: Vec<&String> = edges[file].intersection(circle).collect();
            format!("{file} → {to:?}")
        };
        none("a circle", circle.iter().map(to));
    }
}

/// So do tests: a suite in a folder has its modules beside its `main.rs`.
#[test]
fn tests_import_in_no_circle() {
    let circles = imports::circles(&imports::edges(&sources_below("tests")));
    none("a circle in tests/", circles.iter().map(|circle| format!("{circle:?}")));
}

/// What the reference model may import: the engine's inputs and outputs. With anything else the engine
/// would check itself.
const SHADOW_IMPORTS: &[&str] = &[
    "engine::Action",
    "engine::CheckStats",
    "engine::EndReason",
    "engine::Engine",
    "engine::Event",
    "engine::EventKind",
    "engine::Failure",
    "engine::Key",
    "engine::Note",
    "engine::Round",
    "engine::RoundStats",
    "engine::State",
    "engine::Summary",
    "engine::TcpInfo",
    "engine::TcpInfoPurpose",
    "engine::analysis::Outcome",
    "engine::breakdown::Breakdown",
    "engine::breakdown::ROWS_MAX",
    "engine::breakdown::Row",
    "engine::failure_times::Failures",
    "engine::histogram::Histogram",
    "engine::series::POINTS_MAX",
    "engine::series::Point",
    "plan::",
    "sim::Observer",
    "sim::Record",
    "units::",
];

#[test]
fn the_reference_model_uses_no_code_of_the_engine() {
    let mut taken = BTreeSet::new();
    for source in sources_below("tests/shadow") {
        taken.extend(imports::paths_of(&source, "tcpgoon"));
    }
    assert!(taken.len() > 10, "{taken:?}");
    let is_allowed = |path: &String| {
        SHADOW_IMPORTS.iter().any(|allowed| match allowed.strip_suffix("::") {
            Some(_) => path.starts_with(allowed),
            None => path == allowed,
        })
    };
    none("in tests/shadow/", taken.into_iter().filter(|path| !is_allowed(path)));
}

#[test]
fn unsafe_is_in_os_sys_with_a_safety_comment() {
    for source in sources() {
        let places = source.places(&source.code, |line| has_word(line, "unsafe"));
        if !source.path.starts_with("os/sys/") {
            none("unsafe belongs to os/sys/", places);
            continue;
        }
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for (index, line) in source.code.iter().enumerate() {
            let has_comment = || {
                // The comment before the statement.
                let before = lines[..index].iter().rev();
                let comment: Vec<_> = before
                    .skip_while(|line| {
                        let is_before = line.is_empty() || line.ends_with([';', '{', '}']);
                        !is_before && !line.starts_with("//")
                    })
                    .take_while(|line| line.starts_with("//"))
                    .collect();
                comment.iter().any(|line| line.starts_with("// SAFETY: "))
            };
            let place = format!("{}:{}", source.path, index + 1);
            assert!(!has_word(line, "unsafe") || has_comment(), "{place}: {line}");
        }
    }
}

#[test]
fn clocks_are_read_in_one_file() {
    for source in sources().iter().filter(|source| source.path != "os/clock.rs") {
        let names = ["Instant", "SystemTime", "UNIX_EPOCH"];
        let is_a_clock = |line: &str| {
            // The system call itself is in os/sys/.
            names.iter().any(|name| has_word(line, name)) || line.contains("sys::monotonic_ns")
        };
        none("time is a parameter", source.places(&source.code, is_a_clock));
    }
}

#[test]
fn nothing_that_ships_panics_or_prints_on_its_own() {
    for source in sources() {
        none(
            "the possible is a Result, the impossible is unreachable!(why)",
            source.places(&source.shipped, |line| {
                [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err(", "unreachable!()"]
                    .iter()
                    .any(|banned| line.contains(banned))
            }),
        );
        none(
            "unfinished, or written past os/stdio.rs",
            source.places(&source.code, |line| {
                ["print", "println", "eprint", "eprintln", "dbg", "todo", "unimplemented"]
                    .iter()
                    .any(|name| after_word(line, name).any(|rest| rest.starts_with('!')))
            }),
        );
    }
}

#[test]
fn nothing_narrows_but_low_32() {
    // System calls have types of their own, and the simulated network need not be exact.
    for source in sources().iter().filter(|s| !s.path.starts_with("os/sys/") && s.part() != "sim") {
        let narrows = |line: &str| {
            after_word(line, "as").any(|rest| {
                let to = first_name(rest);
                to.len() < 5 && to.starts_with(['i', 'u', 'f']) && !["u64", "u128"].contains(&&*to)
            })
        };
        let places: Vec<String> = source.places(&source.shipped, narrows).collect();
        if source.path == "units.rs" {
            let low_32 = source.text.find("fn low_32(").expect("where is low_32?");
            let line = source.text[..low_32].lines().count() + 1;
            let own = format!("src/units.rs:{line}: (value & 0xffff_ffff) as u32");
            assert_eq!(places, [own], "conversions are by try_from");
        } else {
            none("conversions are by try_from", places);
        }
    }
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter(|source| source.code.len() > LINES_MAX);
    none("too long", long.map(|s| format!("{}: {}", s.path, s.code.len())));
}

#[test]
fn tests_wait_for_something_and_do_not_sleep() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        files_below(&top().join(folder), &mut files);
    }
    // The one polling loop with a deadline.
    let is_test = |file: &Path| file != top().join("tests/common/wait.rs");
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
        let code = code_of(&fs::read_to_string(file).unwrap());
        let sleeps = code.contains(concat!("thread::", "sleep"));
        assert!(!sleeps || !is_test(file), "{}", file.display());
    }
}

#[test]
fn the_language_only_gets_plainer() {
    let complaints = language::complaints(top(), files_below);
    assert!(
        complaints.is_empty(),
        "see MAXIMA in tests/tidy/language.rs:\n{}",
        complaints.join("\n")
    );
}

/// The files of a map: a folder ends in `/`, what is indented below is in it, and each line begins with a
/// name.
fn mapped(map: &str) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders: Vec<(usize, String)> = Vec::new();
    for line in map.lines() {
        let indent = line.len() - line.trim_start().len();
        folders.retain(|(at, _)| *at < indent);
        let folder = folders.last().map_or(String::new(), |(_, path)| path.clone());
        for (index, word) in line.split_whitespace().enumerate() {
            if let Some(name) = word.strip_suffix('/').filter(|_| index == 0) {
                if name != "src" {
                    folders.push((indent, format!("{folder}{word}")));
                    files.insert(format!("{folder}{name}/mod.rs"));
                }
                break;
            } else if word.ends_with(".rs") {
                files.insert(format!("{folder}{word}"));
            } else {
                break;
            }
        }
    }
    files
}

#[test]
fn the_map_names_every_file_and_no_other() {
    let sources = sources();
    let lib = &sources.iter().find(|source| source.path == "lib.rs").unwrap().text;
    let docs: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let docs = docs.join("\n");
    let mapped = mapped(docs.split("```").nth(1).expect("lib.rs has a map in a code block"));
    let paths = sources.iter().map(|source| source.path.clone());
    // Test files are beside what they test, and the map is in lib.rs.
    let actual: BTreeSet<String> =
        paths.filter(|path| !path.ends_with("tests.rs") && path != "lib.rs").collect();
    none("on the map only", mapped.difference(&actual).cloned());
    none("not on the map", actual.difference(&mapped).cloned());
}

#[test]
fn the_top_level_holds_what_it_should() {
    // By git if possible: untracked files do not count.
    let tracked = Command::new("git").args(["ls-files"]).current_dir(top()).output();
    let names: BTreeSet<String> = match tracked {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let paths = String::from_utf8(output.stdout).unwrap();
            paths.lines().filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
        }
        _ => {
            let entries = fs::read_dir(top()).unwrap().map(|e| e.unwrap().file_name());
            let names = entries.map(|name| name.into_string().unwrap());
            names.filter(|name| name != "target" && name != ".git").collect()
        }
    };
    none(
        "not at the top level",
        names.into_iter().filter(|name| !TOP_LEVEL.contains(&name.as_str())),
    );
}

/// `cargo tree` in this configuration: package names, without versions.
fn tree(words: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none"]);
    let output = command.args(words).current_dir(top()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_ships_is_made_of_mio_lexopt_and_libc() {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(tree(&["--depth", "1"]), names(&["lexopt", "libc", "mio", "tcpgoon"]));
    // On Linux mio needs nothing else.
    assert_eq!(tree(&[]), names(&["lexopt", "libc", "mio", "tcpgoon"]));
}

#[test]
fn a_map_is_read_as_it_is_indented() {
    let map = "
src/
  main.rs               joins
  os/                   the edge, see text.rs
    driver.rs  clock.rs two
    sys/                a folder of its own
      signals.rs        in there
    stdio.rs            and out again
  error.rs              words
";
    let files: Vec<String> = mapped(map).into_iter().collect();
    assert_eq!(
        files,
        [
            "error.rs",
            "main.rs",
            "os/clock.rs",
            "os/driver.rs",
            "os/mod.rs",
            "os/stdio.rs",
            "os/sys/mod.rs",
            "os/sys/signals.rs"
        ]
    );
}
