//! Markdown and JUnit.

use std::fs;

use crate::common::{ClosedPort, Scratch, command, run, skip, succeed};

#[test]
fn markdown_is_appended_as_a_table() {
    let (closed, scratch) = (ClosedPort::new(), Scratch::new());
    let file = scratch.write("summary.md", "before\n");
    let path = file.to_str().unwrap();
    let target = closed.target();
    let fails = ["--fail-if", "errors>25%", "--fail-if", "errors>4", "--markdown", path];
    run(&[&["-y", "-c", "4", "-s", "0"], &fails[..], &[&target]].concat()).assert_code(3);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("before\n\n### tcpgoon: FAILED (`"), "{text}");
    for line in [
        "|---|---|",
        "| Connections | 4 |",
        "| Errors | 4 |",
        "| Exit code | 3 |",
        "| `--fail-if` | actual | |",
        "| `errors>25%` | 4 of 4 (100%) | **FAILED** |",
        "| `errors>4` | 4 of 4 (100%) | ok |",
        "--- verdict ---",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    // The rows of a table have its number of columns, whatever stands in them.
    let evil = "a|b`c";
    let args = ["-y", "-c", "1", "--expect", evil, "--markdown", path, &target];
    run(&args).assert_code(2);
    let text = fs::read_to_string(&file).unwrap();
    let row = text.lines().rfind(|line| line.starts_with("| Command |")).unwrap();
    assert_eq!(row.replace("\\|", "").matches('|').count(), 3, "{row}");
    assert_eq!(row.matches('`').count(), 2, "{row}");
}

/// Reads JUnit XML and prints its numbers and each case with its failure.
const JUNIT: &str = "
import sys
import xml.etree.ElementTree as tree
suite = tree.parse(sys.stdin).getroot()
print(suite.tag, suite.get('tests'), suite.get('failures'), suite.get('errors'))
for case in suite.iter('testcase'):
    print(case.get('name'), [failure.get('message') for failure in case])
print(suite.find('system-out').text.splitlines()[0])
";

#[test]
fn junit_has_a_case_for_each_condition() {
    let (closed, scratch) = (ClosedPort::new(), Scratch::new());
    let file = scratch.path("junit.xml");
    let path = file.to_str().unwrap();
    let fails = ["--fail-if", "established < 95%", "--fail-if", "errors>4", "--junit", path];
    let target = closed.target();
    let args = [&["-y", "-c", "4", "-s", "0"], &fails[..], &[&target]].concat();
    run(&args).assert_code(3);
    let xml = fs::read_to_string(&file).unwrap();
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite "), "{xml}");
    let mut python = command("python3 -c");
    python.arg(JUNIT);
    if command("python3 --version").output().is_err() {
        return skip("Python is missing");
    }
    let expected = "testsuite 2 1 0\n\
                    established<95% ['established<95%: actual 0 of 4 (0%)']\n\
                    errors>4 []\n\
                    --- verdict ---\n";
    assert_eq!(succeed(python, &xml), expected);
}
