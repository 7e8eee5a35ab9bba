//! Which file imports from which: `use` and paths in the code, each followed through re-exports to the
//! file that defines the item. A `mod` line imports nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, has_word};

/// Each file of a tree, and the files that it imports from.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

type Path = Vec<String>;

/// A file as a module.
struct Module {
    file: String,
    /// Every path in it, absolute.
    paths: Vec<Path>,
    /// Imported names: name → absolute path.
    scope: BTreeMap<String, Path>,
}

pub fn edges(sources: &[Source]) -> Edges {
    let mut modules: BTreeMap<Path, Module> = BTreeMap::new();
    let names: BTreeSet<Path> = sources.iter().map(|source| module_of(&source.path)).collect();
    for source in sources {
        let own = module_of(&source.path);
        let text = source.shipped.join("\n");
        let children: Vec<&str> = names
            .iter()
            .filter(|name| name.len() == own.len() + 1 && name.starts_with(&own))
            .map(|name| name[own.len()].as_str())
            .collect();
        let (mut paths, mut scope) = (Vec::new(), BTreeMap::new());
        for (start, is_use) in starts(&text, &children) {
            let mut found = Vec::new();
            tree(&mut &text[start..], &mut Vec::new(), &mut found);
            for (path, name) in found {
                let path = absolute(&own, path);
                if is_use && !path.is_empty() {
                    scope.insert(name, path.clone());
                }
                paths.push(path);
            }
        }
        modules.insert(own, Module { file: source.path.clone(), paths, scope });
    }
    let of = |module: &Module| {
        let to = module.paths.iter().filter_map(|path| definer(&modules, path, 0));
        (module.file.clone(), to.filter(|file| *file != module.file).collect())
    };
    modules.values().map(of).collect()
}

/// Every path into another crate, without the crate's name.
pub fn paths_of(source: &Source, krate: &str) -> Vec<String> {
    let text = source.shipped.join("\n");
    let mut found = Vec::new();
    for (start, _) in starts(&text, &[krate]) {
        tree(&mut &text[start..], &mut Vec::new(), &mut found);
    }
    let of_krate = found.iter().filter(|(path, _)| path[0] == krate);
    of_krate.map(|(path, _)| path[1..].join("::")).collect()
}

/// The files that reach themselves, in groups that reach each other.
pub fn circles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|file| (file, reach(edges, file))).collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for (file, to) in &reached {
        let is_new = !groups.iter().any(|group| group.contains(*file));
        if to.contains(file) && is_new {
            let back = to.iter().filter(|other| reached[*other].contains(file));
            groups.push(back.map(|file| (*file).clone()).collect());
        }
    }
    groups
}

fn reach<'a>(edges: &'a Edges, file: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<&String> = edges[file].iter().collect();
    while let Some(next) = todo.pop() {
        if found.insert(next) {
            todo.extend(edges.get(next).into_iter().flatten());
        }
    }
    found
}

fn module_of(file: &str) -> Path {
    let path = file.trim_end_matches(".rs");
    let names: Vec<&str> = path.split('/').collect();
    let is_root =
        |name: &&&str| ["mod", "lib"].contains(*name) || (names.len() > 1 && **name == "main");
    names.iter().filter(|name| !is_root(name)).map(|name| (*name).to_owned()).collect()
}

/// Where paths of this crate begin, and whether a `use` brings them into scope.
fn starts(text: &str, children: &[&str]) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    for first in ["crate", "super", "self"].iter().chain(children) {
        for (at, _) in text.match_indices(&format!("{first}::")) {
            let before = text[..at].trim_end_matches([' ', '\n']);
            let is_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !is_word && !before.ends_with("::") && !is_in_group(before) {
                found.push((at, has_word(&before[before.len().saturating_sub(4)..], "use")));
            }
        }
    }
    found
}

/// Inside `use other::{…` the path begins further left.
fn is_in_group(before: &str) -> bool {
    let statement = before.rsplit(';').next().unwrap_or_default();
    let open = statement.matches("::{").count();
    open > statement.matches('}').count() && has_word(statement, "use")
}

/// Parses `a::{b, c::{self, d as e}, *}`: each path, and its name here.
fn tree(rest: &mut &str, prefix: &mut Path, found: &mut Vec<(Path, String)>) {
    let depth = prefix.len();
    loop {
        *rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            *rest = group;
            loop {
                *rest = rest.trim_start_matches([' ', '\n', ',']);
                if rest.is_empty() || rest.starts_with('}') {
                    *rest = rest.get(1..).unwrap_or_default();
                    break;
                }
                let before = rest.len();
                tree(rest, prefix, found);
                if rest.len() == before {
                    break;
                }
            }
            break;
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        *rest = after;
        // `self` in a group is the module itself.
        if !word.is_empty() && (word != "self" || prefix.is_empty()) {
            prefix.push(word.to_owned());
        }
        match rest.strip_prefix("::") {
            Some(after) if !after.starts_with('<') => *rest = after,
            _ => {
                let alias = rest.strip_prefix(" as ").map(|after| {
                    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_');
                    let (name, after) = after.split_at(end.unwrap_or(after.len()));
                    *rest = after;
                    name.to_owned()
                });
                let name = alias.or_else(|| prefix.last().cloned()).unwrap_or_default();
                found.push((prefix.clone(), name));
                break;
            }
        }
    }
    prefix.truncate(depth);
}

fn absolute(own: &Path, path: Path) -> Path {
    let mut from = own.clone();
    let mut rest = &path[..];
    match path.first().map(String::as_str) {
        Some("crate") => (from, rest) = (Vec::new(), &path[1..]),
        Some("self") => rest = &path[1..],
        _ => {}
    }
    while let Some(("super", after)) =
        rest.split_first().map(|(name, after)| (name.as_str(), after))
    {
        from.pop();
        rest = after;
    }
    from.extend(rest.iter().cloned());
    from
}

/// The file that defines the item of `path`.
fn definer(modules: &BTreeMap<Path, Module>, path: &Path, steps: u32) -> Option<String> {
    assert!(steps < 20, "{path:?} leads in a circle");
    let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &modules[&path[..length]];
    let from_elsewhere = path.get(length).and_then(|name| module.scope.get(name));
    match from_elsewhere {
        Some(path) => definer(modules, path, steps + 1),
        None => Some(module.file.clone()),
    }
}

#[test]
fn an_import_leads_to_the_file_that_defines_the_item() {
    let source = |path: &str, text: &str| Source::new(path.into(), text.into());
    let edges = edges(&[
        source("a/mod.rs", "mod b;\nmod c;\npub use b::{B, Other as Name};\npub struct Own;\n"),
        source("a/b.rs", "use super::c::{self, C};\nfn f() -> crate::d::D {}\n"),
        source(
            "a/c.rs",
            "use std::fmt;\nuse super::{\n    Name,\n    Own,\n};\n// use crate::d;\n",
        ),
        source("d.rs", "pub struct D;\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n"),
    ]);
    let to = |file: &str| edges[file].iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(to("a/mod.rs"), "a/b.rs");
    assert_eq!(to("a/b.rs"), "a/c.rs d.rs");
    // The name is defined in b.rs.
    assert_eq!(to("a/c.rs"), "a/b.rs a/mod.rs");
    assert_eq!(to("d.rs"), "");
    let all: BTreeSet<String> = ["a/b.rs", "a/c.rs", "a/mod.rs"].map(str::to_owned).into();
    assert_eq!(circles(&edges), [all]);
}
