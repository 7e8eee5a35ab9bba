//! Where reports are written: what cannot be is found before the run if it can be, and costs no other
//! report.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::{Outcome, Running, Scratch, Served, run, tcpgoon, tcpgoon_after};

fn with(server: &Served, args: &[&str]) -> Outcome {
    run(&[&["-y", "-c", "3", "-s", "0"], args, &[&server.target()]].concat())
}

/// The names in a directory.
fn names(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.path("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_is_replaced_with_its_rights_and_through_a_link() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (file, link) = (scratch.write("old.json", "old"), scratch.path("link.json"));
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    symlink("old.json", &link).unwrap();
    let run = with(&server, &["--json", text(&link)]);
    run.assert_code(0).find("--- verdict ---");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let document = fs::read_to_string(&file).unwrap();
    assert!(document.starts_with("{\"schema\":\"tcpgoon/1\"") && document.ends_with("}\n"));
    assert_eq!(names(&scratch), ["link.json", "old.json"], "nothing else is left");

    // In the directory where it is started.
    let mut command = tcpgoon(&["-y", "-c", "1", "--json", "new.json", &server.target()]);
    command.current_dir(scratch.path(""));
    Running::start(command).outcome().assert_code(0);
    assert_eq!(names(&scratch), ["link.json", "new.json", "old.json"]);
}

#[test]
fn what_cannot_be_written_is_found_before_anything_is_dialed() {
    let (server, scratch) = (Served::start(&["-i", "20ms"]), Scratch::new());
    let gone = scratch.path("gone/report");
    for flag in ["--json", "--events", "--html", "--markdown", "--junit", "--prometheus"] {
        for (path, why) in [(text(&gone), "No such file"), ("/", "Is a directory")] {
            let run = with(&server, &[flag, path, "--fail-if", "errors>0"]);
            run.assert_code(1);
            let beginning = format!("tcpgoon: {flag} {path}: {why}");
            assert!(run.stderr.starts_with(&beginning), "{run:#?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
            assert!(run.stdout.is_empty(), "{run:#?}");
        }
    }
    let counted = server.end();
    assert!(counted.stdout.ends_with("\nAccepted: 0, Open: 0, MostOpen: 0, Closed: 0\n"));
}

#[test]
fn a_directory_that_takes_no_new_file_is_refused_or_its_file_rewritten() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let old = scratch.write("old.json", "something that is longer than nothing");
    let new = scratch.path("new.json");
    fs::set_permissions(&old, Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o555)).unwrap();
    let unprivileged = |path: &Path| {
        let target = server.target();
        let args = ["-y", "-c", "1", "--json", text(path), &target];
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return run(&args);
        }
        // Root may write everywhere.
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        command.arg(env!("CARGO_BIN_EXE_tcpgoon")).args(args);
        Running::start(command).outcome()
    };
    let refused = unprivileged(&new);
    let rewritten = unprivileged(&old);
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o755)).unwrap();
    refused.assert_code(1);
    assert!(refused.stderr.contains("new.json: Permission denied"), "{refused:#?}");
    rewritten.assert_code(0);
    assert!(fs::read_to_string(&old).unwrap().starts_with("{\"schema\""));
    assert_eq!(names(&scratch), ["old.json"]);
}

#[test]
fn a_failure_at_the_end_is_one_line_after_every_other_report() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let json = scratch.path("report.json");
    let args = ["--markdown", "/dev/full", "--events", "/dev/full", "--json", text(&json)];
    let run = with(&server, &args);
    run.assert_code(1).find("--- verdict ---");
    assert!(fs::read_to_string(&json).unwrap().contains("\"exit_code\":0}"));
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [events, markdown] = lines[..] else { panic!("{run:#?}") };
    let full = "No space left on device (os error 28)";
    assert!(events.starts_with(&format!("tcpgoon: cannot write --events /dev/full: {full}")));
    assert_eq!(markdown, format!("tcpgoon: cannot write --markdown /dev/full: {full}"));
}

/// A disk that is full when the report is written: the old one stays.
#[test]
fn a_full_disk_leaves_the_old_report() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let old = scratch.write("old.json", "old");
    let target = server.target();
    let args = ["-y", "-c", "3", "-s", "0", "--json", text(&old), &target];
    let run = Running::start(tcpgoon_after("ulimit -f 1", &args)).outcome();
    run.assert_code(1).find("--- verdict ---");
    assert!(run.stderr.contains("cannot write --json"), "{run:#?}");
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    assert_eq!(names(&scratch), ["old.json"]);
}

/// All descriptors are taken by connections when the report is written.
#[test]
fn a_report_is_written_where_no_descriptor_is_left() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let file = scratch.path("report.json");
    let target = server.target();
    let args = ["-y", "-c", "100", "-s", "0", "--json", text(&file), &target];
    let run = Running::start(tcpgoon_after("ulimit -n 60", &args)).outcome();
    run.assert_code(2);
    let document = fs::read_to_string(&file).unwrap();
    assert!(document.contains("\"errno\":\"EMFILE\""), "{document}");
}

#[test]
fn standard_output_takes_one_format() {
    let server = Served::start(&["-i", "0"]);
    let run = with(&server, &["--json", "-", "--events", "-"]);
    run.assert_code(1);
    let line = "tcpgoon: --events - and --json -: standard output takes one of them";
    assert_eq!(run.stderr.lines().next(), Some(line));
    // By its name it is written to as it is.
    let run = with(&server, &["--json", "/dev/stdout"]);
    run.assert_code(0).find("--- verdict ---");
    assert!(run.stdout.lines().any(|line| line.starts_with("{\"schema\"")));
}

#[test]
fn nothing_is_written_where_nothing_is_dialed() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let paths = ["json", "events"].map(|name| scratch.path(name));
    let files = ["--json", text(&paths[0]), "--events", text(&paths[1])];
    let run = with(&server, &[&files[..], &["--dry-run"]].concat());
    run.assert_code(0);
    assert_eq!(names(&scratch), [""; 0]);
}
