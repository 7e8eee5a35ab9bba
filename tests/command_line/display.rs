//! How a run is shown: the line that is redrawn on a terminal, colours, `--quiet` and `--rates`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::output::{self, span, stats};
use crate::common::streams::{Terminal, lines_of, resize};
use crate::common::{self, ClosedPort, Running, Served, tcpgoon, tcpgoon_as_typed, wait_until};

const ERASE: &str = "\r\x1b[J";

/// Starts it on a terminal that can redraw, with an environment that has no wishes.
fn on(terminal: &Terminal, mut command: Command) -> Running {
    command.stdin(terminal.device()).stdout(terminal.device()).stderr(terminal.device());
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    Running::start_as_it_is(command)
}

/// A run on a terminal of 80 columns, to its end: its exit code and what it wrote.
fn shown(args: &[&str]) -> (Option<i32>, String) {
    let terminal = Terminal::new();
    terminal.resize(80);
    let mut run = on(&terminal, tcpgoon(args));
    let (_keyboard, screen) = terminal.show();
    let code = run.ended().code();
    (code, screen.all())
}

/// What a text leaves on a screen that is wide enough: carriage returns, line feeds and ED are all
/// that moves in it. Colours are left out.
fn screen_of(text: &str) -> Vec<String> {
    let (mut rows, mut column) = (vec![String::new()], 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let row = rows.last_mut().unwrap();
        if let Some(behind) = rest.strip_prefix("\x1b[J") {
            assert_eq!(column, 0, "erased behind something");
            row.clear();
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("\x1b[") {
            let (_, behind) = behind.split_once('m').expect("nothing else but colours");
            rest = behind;
        } else {
            match first {
                '\n' => rows.push(String::new()),
                '\r' => column = 0,
                other => {
                    let kept: String = row.chars().take(column).collect();
                    let behind: String = row.chars().skip(column + 1).collect();
                    *row = format!("{kept}{other}{behind}");
                    column += 1;
                }
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    rows
}

/// Each state of the row that is redrawn.
fn rows(text: &str) -> Vec<&str> {
    let drawn = text.split(ERASE).skip(1).filter_map(|drawn| drawn.strip_suffix('\r'));
    drawn.map(|drawn| drawn.rsplit('\n').next().unwrap()).collect()
}

#[test]
fn one_line_is_redrawn_below_the_others_and_gone_at_the_end() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = ["-y", "-c", "300", "-s", "3", "-i", "200ms", "--hold", "1", &target];
    let (code, text) = shown(&args);
    assert_eq!(code, Some(0), "{text}");
    let screen = screen_of(&text);
    let report = screen.iter().position(|row| row.starts_with("--- ")).unwrap();
    let lines = screen[..report].join("\n") + "\n";
    assert!(report >= 4 && stats(&lines).len() == report, "{lines}");
    assert!(!text.split_once("\n--- ").unwrap().1.contains(ERASE), "{text}");
    let rows = rows(&text);
    assert!(rows.iter().any(|row| row.contains("/300  ")), "{rows:?}");
    assert!(rows.iter().any(|row| row.contains("  holding 300  0/1 s  0 err")), "{rows:?}");
    assert!(rows.iter().all(|row| row.chars().count() < 80), "{rows:?}");
    // Ten a second at most, and once more below each line.
    let took = span(&find(&text, "End: * (after @)")[1]);
    assert!(rows.len() <= report + 1 + took.as_millis() as usize / 100, "{took:?} {rows:?}");
}

fn find(text: &str, shape: &str) -> Vec<String> {
    let found = lines_of(text).lines().find_map(|line| output::matches(line, shape));
    found.unwrap_or_else(|| panic!("no line '{shape}' in {text}"))
}

#[test]
fn the_line_fits_the_terminal_that_is_resized() {
    let server = Served::start(&["-i", "0"]);
    let terminal = Terminal::new();
    terminal.resize(40);
    let target = server.target();
    let mut run =
        on(&terminal, tcpgoon(&["-y", "-c", "100", "-s", "0", "--hold", "forever", &target]));
    let (keyboard, screen) = terminal.show();
    let wait_for_row = |what: &str, fits: &dyn Fn(&str) -> bool| {
        wait_until(what, || rows(&screen.text()).iter().any(|row| fits(row)).then_some(()));
    };
    wait_for_row("a hold", &|row| row.starts_with("holding 100  "));
    assert!(rows(&screen.text()).iter().all(|row| row.len() < 40), "{}", screen.text());
    // It shows the bar where there is room for it; a hold without end has none, so by its words.
    resize(&keyboard, 14);
    wait_for_row("a narrow one", &|row| row == "holding 100");
    resize(&keyboard, 200);
    let before = rows(&screen.text()).len();
    wait_until("a wide one", || {
        let text = screen.text();
        rows(&text)[before..].iter().any(|row| row.ends_with("  0 errors")).then_some(())
    });
    run.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(run.ended().code(), Some(0));
}

#[test]
fn a_target_that_refuses_everything_is_seen_at_once() {
    let closed = ClosedPort::new();
    let (code, text) = shown(&["-y", "-c", "100", "-s", "5", "--color", "never", &closed.target()]);
    assert_eq!(code, Some(2), "{text}");
    let is_seen = |row: &&str| {
        let found = row.split("  ").find_map(|words| output::matches(words, "# of # refused"));
        found.is_some_and(|counts| counts[0] == counts[1])
    };
    assert!(rows(&text).iter().any(is_seen), "{text}");
}

#[test]
fn nothing_is_redrawn_in_a_pipe_a_dumb_terminal_or_where_it_is_not_wanted() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = ["-y", "-c", "50", "-s", "5", "-i", "100ms", &target];
    let run = Running::start(tcpgoon(&args)).outcome();
    run.assert_code(0);
    assert!(!run.stdout.contains(['\r', '\x1b']), "{run:#?}");
    for more in [&["--progress", "never"][..], &["--debug"], &["-q"]] {
        let (code, text) = shown(&[more, &args].concat());
        assert_eq!((code, text.contains("\x1b[J")), (Some(0), false), "{text}");
    }
    let terminal = Terminal::new();
    let mut command = tcpgoon(&args);
    command.stdin(Stdio::null()).stdout(terminal.device()).env("TERM", "dumb");
    let mut run = Running::start_as_it_is(command);
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    assert!(!screen.all().contains('\x1b'), "{}", screen.text());
    // Where it was typed it is drawn in a pipe as well, which may lead to a terminal.
    let run = Running::start(tcpgoon(&[&["--progress=always"], &args[..]].concat())).outcome();
    assert!(rows(&run.stdout).len() > 1, "{run:#?}");
}

#[test]
fn a_terminal_that_is_stopped_drops_the_line_and_tears_none() {
    let server = Served::start(&["-i", "20ms"]);
    let terminal = Terminal::new();
    terminal.resize(80);
    let target = server.target();
    let mut run = on(&terminal, tcpgoon(&["-y", "-c", "200", "-s", "5", "-i", "100us", &target]));
    server.wait_for_counts("all were dialed", |[accepted, ..]| accepted == 200);
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    let rows = screen_of(&screen.all());
    let report = rows.iter().position(|row| row.starts_with("--- ")).unwrap();
    let lines = rows[..report].join("\n") + "\n";
    assert!(report > 5 && stats(&lines).len() == report, "{lines}");
    let dropped = find(&rows.join("\n"), "Output lines dropped: #");
    assert_ne!(dropped, ["0"]);
}

#[test]
fn a_quiet_run_prints_its_report_only() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run = common::run(&["-y", "-q", "-c", "30", "-s", "5", "-i", "20ms", &target]);
    run.assert_code(0);
    let header = format!("--- {target} tcp test statistics ---\n");
    assert!(run.stdout.starts_with(&header) && run.stats().len() == 1, "{run:#?}");
    assert_eq!(run.stderr, "");
    let both = common::run(&["-y", "--quiet", "--rates", &target]);
    both.assert_code(1);
    assert!(both.stderr.starts_with("tcpgoon: --rates follows the stats lines"), "{both:#?}");
}

#[test]
fn rates_follow_each_statistics_line_but_the_first() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = ["-y", "--rates", "-c", "100", "-s", "10", "-i", "250ms", "--hold", "1", &target];
    let run = common::run(&args);
    run.assert_code(0);
    let (before, _) = run.stdout.split_once("--- 127").unwrap();
    let lines: Vec<&str> = before.lines().collect();
    let shape = "Rates: Dials: */s, Established: */s, Closed: */s, Error: */s, p99 dial time: *";
    assert_eq!(stats(&format!("{}\n{}\n", lines[0], lines[1])).len(), 2, "{before}");
    let mut dials = 0.0;
    for pair in lines[1..].chunks(2) {
        assert_eq!(stats(&format!("{}\n", pair[0])).len(), 1, "{before}");
        let rates = output::matches(pair[1], shape).unwrap_or_else(|| panic!("{before}"));
        let per_second: f64 = rates[0].parse().unwrap();
        dials += per_second * 0.25;
        assert_eq!(rates[4] == "none", per_second == 0.0, "{before}");
    }
    // A line can be late by some milliseconds, and its interval is measured.
    assert!((80.0..=120.0).contains(&dials), "{dials} in {before}");
}

#[test]
fn the_verdict_and_errors_are_coloured_on_a_terminal_or_where_it_is_wanted() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let target = server.target();
    let ok = "\n\x1b[32mOK\x1b[0m: 5 of 5 connections";
    let args = ["-y", "-c", "5", "-s", "0", "--progress", "never", "--report=short", &target];
    let (_, text) = shown(&args);
    assert!(lines_of(&text).contains(ok), "{text}");
    let (_, text) = shown(&["-y", "-c", "5", "-s", "0", "--report=short", &closed.target()]);
    for failed in ["\n\x1b[31mFAILED\x1b[0m: 0 of 5", ", \x1b[31mError: 5\x1b[0m, "] {
        assert!(lines_of(&text).contains(failed), "{text}");
    }
    let piped = |variable: &str, more: &[&str]| {
        let mut command = tcpgoon(&[&args, more].concat());
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
        let run = Running::start(command).outcome();
        run.assert_code(0);
        assert_eq!(run.stdout.contains('\x1b'), run.stdout.contains(ok), "{run:#?}");
        run.stdout.contains(ok)
    };
    assert!(!piped("", &[]));
    assert!(piped("", &["--color"]) && piped("CLICOLOR_FORCE=1", &[]));
    assert!(!piped("CLICOLOR_FORCE=1", &["--color=never"]) && !piped("CLICOLOR_FORCE=0", &[]));
    assert!(piped("NO_COLOR=1", &["--color=always"]));
    let terminal = Terminal::new();
    let mut command = tcpgoon(&args);
    command.stdout(terminal.device()).env("TERM", "xterm").env("NO_COLOR", "1");
    let mut run = Running::start_as_it_is(command);
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    assert!(!screen.all().contains('\x1b'), "{}", screen.text());
}

#[test]
fn the_question_goes_to_standard_error_where_only_the_report_leads_elsewhere() {
    let server = Served::start(&["-i", "0"]);
    let terminal = Terminal::new();
    let mut command = tcpgoon(&["-c", "3", "-s", "0", &server.target()]);
    command.stdin(terminal.device()).stdout(Stdio::piped()).stderr(terminal.device());
    let run = Running::start_as_it_is(command);
    let (mut keyboard, screen) = terminal.show();
    screen.wait_for_words("Do you want to continue? (y/N): ");
    keyboard.write_all(b"y\n").unwrap();
    let run = run.outcome();
    run.assert_code(0);
    assert!(run.stdout.starts_with("Total: 3, "), "{run:#?}");
    assert!(lines_of(&screen.all()).contains("\nThis dials 3 connections to "), "{run:#?}");
}

#[test]
fn max_errors_does_not_wait_for_timeouts_where_every_dial_stalls() {
    // Its kernel completes two handshakes and drops every SYN after them.
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let args = ["-y", "-t", "60", "-s", "10", "-c", "5000", "--max-errors", "50"];
    let run = common::run(&[&args[..], &[&server.target()]].concat());
    run.assert_code(2);
    let last = run.last();
    assert!(last.dialing >= 50 && last.error < 50, "{run:#?}");
    // After 3.5 s and 50 more dials: 4 s, where timeouts would have taken a minute.
    assert!((4.0..30.0).contains(&run.took.as_secs_f64()), "{run:#?}");
    assert!(run.stdout.contains("--max-errors"), "{run:#?}");
}

/// Quiet, with the report that `more` chooses.
fn report_of(more: &[&str], columns: Option<u16>) -> String {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = [&["-y", "-q", "-c", "10", "-s", "1"], more, &[&target]].concat();
    let Some(columns) = columns else {
        let run = Running::start(tcpgoon_as_typed(&args)).outcome();
        return run.assert_code(0).stdout.clone();
    };
    let terminal = Terminal::new();
    terminal.resize(columns);
    let mut run = on(&terminal, tcpgoon_as_typed(&[&args[..], &["--color=never"]].concat()));
    let (_keyboard, screen) = terminal.show();
    assert_eq!(run.ended().code(), Some(0));
    lines_of(&screen.all())
}

#[test]
fn the_report_is_short_by_default() {
    let report = report_of(&[], None);
    let lines: Vec<&str> = report.lines().collect();
    let shapes = [
        "--- 127.0.0.1:# tcp test statistics ---",
        "Total: 10, Dialing: 0, Established: 10, Closed: 0, Error: 0, NotInitiated: 0",
        "Timing stats for 10 established connections min/avg/max/dev = @/@/@/@",
        "--- verdict ---",
        "OK: 10 of 10 connections open at once, dialed in *",
    ];
    assert!(lines.len() <= 12, "{report}");
    for (line, shape) in lines.iter().zip(shapes) {
        assert!(output::matches(line, shape).is_some(), "'{line}' is not of the shape '{shape}'");
    }
    let next = "Next: --expect TEXT tests the application; --hold 30 tests whether they last";
    assert_eq!(lines.last(), Some(&next));
    assert!(lines.iter().any(|line| line.starts_with("connect  ")), "{report}");
    for internal in ["Command line", "lateness", "Longest loop", "run report"] {
        assert!(!report.contains(internal), "{report}");
    }
}

#[test]
fn the_report_can_be_full_or_left_out() {
    let full = report_of(&["--report", "full"], None);
    assert!(full.contains("\nDial times p50/p90/p99/p99.9 = "), "{full}");
    assert!(full.contains("\nCommand line: "), "{full}");
    let none = report_of(&["--report", "none"], None);
    assert!(none.lines().count() == 3 && none.lines().last().unwrap().starts_with("Timing stats"));
    let judged = report_of(&["--report", "none", "--fail-if", "errors>0"], None);
    let lines: Vec<&str> = judged.lines().skip(3).collect();
    assert_eq!(lines, ["--- thresholds ---", "ok      errors>0  actual 0 of 10 (0%)"]);
}

#[test]
fn the_short_report_is_as_wide_as_the_terminal() {
    let widest = |columns| {
        let report = report_of(&[], Some(columns));
        let (_, verdict) = report.split_once("--- verdict ---\n").unwrap();
        verdict.lines().map(|line| line.chars().count()).max().unwrap()
    };
    assert!((30..=40).contains(&widest(40)) && widest(200) > 80);
}
