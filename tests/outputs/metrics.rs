//! `--prometheus`: metrics that are replaced as the run goes on. What Prometheus makes of them is in
//! `tests/prometheus.rs`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::common::{
    ClosedPort, Running, Scratch, Served, run, tcpgoon, tcpgoon_after, wait_until,
};

/// The value of a series, by its name and labels behind the target.
fn value(text: &str, name: &str, labels: &str) -> Option<u64> {
    let prefix = format!("tcpgoon_{name}{{target=\"");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.find_map(|line| {
        let (labels_shown, value) = line.split_once("} ")?;
        let (_, labels_shown) = labels_shown.split_once('"')?;
        (labels_shown == labels).then(|| value.parse().unwrap())
    })
}

fn established(text: &str) -> Option<u64> {
    value(text, "connections", ",state=\"established\"")
}

fn holding<'a>(path: &'a Path, target: &'a str) -> Vec<&'a str> {
    let hold = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "forever"];
    [&hold[..], &["--prometheus", path.to_str().unwrap(), target]].concat()
}

#[test]
fn a_file_is_whole_at_each_moment_of_a_run_and_has_its_result_in_the_end() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (file, target) = (scratch.path("run.prom"), server.target());
    let run = Running::start(tcpgoon(&holding(&file, &target)));
    let mut seen = 0;
    wait_until("500 reads", || {
        let Ok(text) = fs::read_to_string(&file) else { return None };
        assert!(text.starts_with("# HELP tcpgoon_info ") && text.ends_with('\n'), "{text}");
        assert!(value(&text, "dial_duration_seconds_count", "").is_some(), "{text}");
        assert_eq!(value(&text, "running", ""), Some(1));
        seen += u32::from(established(&text) == Some(5));
        (seen == 500).then_some(())
    });
    run.signal(Signal::SIGINT);
    run.outcome().assert_code(0);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!((value(&text, "running", ""), value(&text, "exit_code", "")), (Some(0), Some(0)));
    assert_eq!((established(&text), value(&text, "peak_connections", "")), (Some(5), Some(5)));
    let names: Vec<_> = fs::read_dir(scratch.path("")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
}

#[test]
fn on_standard_output_they_take_the_place_of_the_text() {
    let closed = ClosedPort::new();
    let run = run(&["-y", "-c", "3", "-s", "0", "--prometheus", "-", &closed.target()]);
    run.assert_code(2);
    let text = &run.stdout;
    assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("tcpgoon_")));
    let refused = ",reason=\"refused\",side=\"server-or-network\"";
    assert_eq!(value(text, "ended_total", refused), Some(3), "{text}");
    assert_eq!(value(text, "connections", ",state=\"error\""), Some(3));
    assert_eq!(value(text, "dials_total", ""), Some(3));
    assert_eq!(value(text, "exit_code", ""), Some(2));
}

#[test]
fn a_failure_in_mid_run_is_one_line_and_the_next_update_may_succeed() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (folder, away) = (scratch.path("textfiles"), scratch.path("away"));
    fs::create_dir(&folder).unwrap();
    let (file, target) = (folder.join("run.prom"), server.target());
    let run = Running::start(tcpgoon(&holding(&file, &target)));
    wait_until("it is written", || file.exists().then_some(()));
    fs::rename(&folder, &away).unwrap();
    let path = file.to_str().unwrap();
    let line = format!("tcpgoon: cannot write --prometheus {path}: No such file or directory");
    run.stderr.wait_for_words(&line);
    let lines = run.stdout.text().lines().count();
    run.wait_for_stats("it goes on", |_| run.stdout.text().lines().count() > lines + 50);
    fs::rename(&away, &folder).unwrap();
    fs::remove_file(&file).unwrap();
    wait_until("it is written again", || file.exists().then_some(()));
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(0).find("--- verdict ---");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");

    // One that stays is reported in the end, too.
    let args = holding(&file, &target);
    let run = Running::start(tcpgoon_after("ulimit -f 1", &args));
    run.stderr.wait_for_words("File too large");
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(1).find("--- verdict ---");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{run:#?}");
}

#[test]
fn they_are_updated_where_no_descriptor_is_left() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let (file, target) = (scratch.path("run.prom"), server.target());
    let path = file.to_str().unwrap();
    let args = ["-y", "-c", "100", "-s", "0", "-i", "20ms", "--hold", "forever"];
    let args = [&args[..], &["--prometheus", path, &target]].concat();
    let run = Running::start(tcpgoon_after("ulimit -n 60", &args));
    let no_descriptors = ",reason=\"no-descriptors\",side=\"this-host\"";
    wait_until("failed dials are counted in mid-run", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        (value(&text, "ended_total", no_descriptors) > Some(0)).then_some(())
    });
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(2);
    assert!(!run.stderr.contains("--prometheus"), "{run:#?}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&text, "running", ""), Some(0));
}

#[test]
fn a_file_in_a_directory_that_takes_no_other_is_rewritten_from_its_beginning() {
    let (server, scratch) = (Served::start(&["-i", "0"]), Scratch::new());
    let file = scratch.write("run.prom", &"old\n".repeat(5_000));
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
    command.arg(env!("CARGO_BIN_EXE_tcpgoon"));
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        command = Command::new(env!("CARGO_BIN_EXE_tcpgoon"));
    }
    command.args(holding(&file, &server.target())).stdin(Stdio::null());
    let run = Running::start(command);
    run.wait_for_stats("some intervals", |_| run.stdout.text().lines().count() > 20);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o755)).unwrap();
    run.assert_code(0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# HELP tcpgoon_info ") && !text.contains("old"), "{text}");
    assert_eq!((value(&text, "running", ""), established(&text)), (Some(0), Some(5)));
    assert_eq!(text.matches("# HELP tcpgoon_running ").count(), 1);
}
