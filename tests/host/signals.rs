//! Signals in each phase of a run, and twice; stopped and continued.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::output::{self, span};
use crate::common::streams::{SmallPipe, Terminal};
use crate::common::verdict::verdict;
use crate::common::{
    ClosedPort, Outcome, Running, Served, listener, status_number, tcpgoon, tcpgoon_after,
    wait_until,
};
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};

/// Signals within 1 s of the first one, and a SIGINT within 250 ms, ask for the same end. With a
/// margin, as time counts from when the first one is handled.
const SAME_END: Duration = Duration::from_millis(1050);
const TYPED_MIN: Duration = Duration::from_millis(300);

const LONG: Duration = Duration::from_secs(1);

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Waits until the program blocks the signals to read them.
fn wait_until_held(run: &Running) {
    wait_until("it holds the signals", || (blocked(run) != 0).then_some(()));
}

/// Waits until the program has restored the default actions, which it does at the first signal.
fn wait_until_released(run: &Running) {
    wait_until("the signal is taken", || (blocked(run) == 0).then_some(()));
}

/// The mask of blocked signals.
fn blocked(run: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.id())).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
    u64::from_str_radix(blocked, 16).unwrap()
}

#[test]
fn at_the_question_a_signal_kills() {
    let server = Served::start(&["-i", "0"]);
    for signal in SIGNALS {
        let mut command = tcpgoon(&[&server.target()]);
        command.stdin(Stdio::piped());
        let run = Running::start(command);
        run.stdout.wait_for_words("(y/N): ");
        run.signal(signal);
        let run = run.outcome();
        assert_eq!(run.signal(), Some(signal), "{run:#?}");
        assert!(!run.stdout.contains("Total"), "{run:#?}");
    }
}

#[test]
fn while_dialing_a_signal_ends_with_a_report_and_exit_code_1() {
    let server = Served::start(&["-i", "0"]);
    for signal in SIGNALS {
        let args = ["-y", "-c", "100k", "-s", "5", "-i", "10ms", &server.target()];
        let run = Running::start(tcpgoon(&args));
        run.wait_for_stats("some are established", |stats| stats.established >= 3);
        run.signal(signal);
        let run = run.outcome();
        run.assert_code(1);
        let last = run.last();
        assert!(last.established >= 3 && last.not_initiated > 0, "{run:#?}");
        run.find("End: * (after @, ended by a signal)");
        run.find("Timing stats for # established connections min/avg/max/dev = @/@/@/@");
        run.find("Longest loop iteration = @ (*");
    }
}

#[test]
fn a_pending_dial_is_not_completed() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let args = ["-y", "-c", "6", "-s", "0", "-i", "10ms", "-t", "1h", &server.target()];
    let run = Running::start(tcpgoon(&args));
    run.wait_for_stats("all are dialed", |stats| stats.not_initiated == 0 && stats.dialing > 0);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(1);
    assert!(run.last().dialing > 0, "{run:#?}");
}

#[test]
fn a_signal_in_the_hold_exits_by_what_was_reached() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    for signal in SIGNALS {
        for (second, established, code) in [(server.target(), 6, 0), (closed.target(), 3, 2)] {
            let run = Running::start(tcpgoon(
                &[
                    ["-y", "-c", "6", "-s", "0", "-i", "10ms", "--hold", "forever"].as_slice(),
                    &[&server.target(), &second],
                ]
                .concat(),
            ));
            run.wait_for_stats("all are decided", |stats| {
                stats.established == established && stats.established + stats.error == 6
            });
            run.signal(signal);
            let run = run.outcome();
            run.assert_code(code).find("End: * (after @, ended by a signal)");
            assert_eq!(run.last().established, established, "{run:#?}");
        }
    }
}

#[test]
fn a_run_ended_early_reports_what_was_not_checked() {
    let server = Served::start(&["-i", "0"]);
    let ended = |flags: &[&str]| {
        let args = ["-y", "-c", "20", "-s", "0", "-i", "10ms", &server.target()];
        let run = Running::start(tcpgoon(&[&args[..], flags].concat()));
        run.wait_for_stats("all are established", |stats| stats.established == 20);
        run.signal(Signal::SIGINT);
        let run = run.outcome();
        let after = span(&run.find("End: * (after @, ended by a signal)")[1]);
        // The first keepalive is sent a second after the dial.
        (after < LONG).then_some(run)
    };
    for flags in [&["--probe"][..], &["--probe", "sample", "--hold", "9"]] {
        let run = wait_until("a run ends before its first keepalive", || ended(flags));
        // Unchecked connections change neither the word nor the code.
        run.assert_code(0).find("End: * (after @, ended by a signal)");
        let none = " 0 checked (0 by keepalive), 0 confirmed by the server, 0 half-open, 0 unknown";
        assert!(run.stdout.contains(none), "{run:#?}");
        let verdict = verdict(&run);
        verdict.word("OK", 0).reached_is(20, 20).nothing();
        assert_eq!(verdict.ended.contains("20"), flags == ["--probe"], "{verdict}");
    }
}

#[test]
fn an_ignored_hangup_stays_ignored() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "100k", "-s", "5", "-i", "10ms", &server.target()];
    let run = Running::start(tcpgoon_after("trap '' HUP", &args));
    run.wait_for_stats("some are established", |stats| stats.established >= 3);
    run.signal(Signal::SIGHUP);
    let so_far = crate::common::output::stats(&run.stdout.text()).last().unwrap().established;
    run.wait_for_stats("it goes on", |stats| stats.established >= so_far + 20);
    run.signal(Signal::SIGTERM);
    run.outcome().assert_code(1);
}

#[test]
fn ignored_sigint_and_sigterm_stay_ignored() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "100k", "-s", "5", "-i", "10ms", &server.target()];
    let run = Running::start(tcpgoon_after("trap '' INT TERM", &args));
    run.wait_for_stats("some are established", |stats| stats.established >= 3);
    run.signal(Signal::SIGINT);
    run.signal(Signal::SIGTERM);
    let so_far = crate::common::output::stats(&run.stdout.text()).last().unwrap().established;
    run.wait_for_stats("it goes on", |stats| stats.established >= so_far + 20);
    run.signal(Signal::SIGHUP);
    run.outcome().assert_code(1);
}

#[test]
fn signals_at_the_same_time_do_not_cost_the_report() {
    let server = Served::start(&["-i", "0"]);
    for together in [
        [Signal::SIGHUP, Signal::SIGHUP, Signal::SIGHUP],
        [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTERM],
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP],
    ] {
        for _ in 0..5 {
            let args =
                ["-y", "-c", "50", "-s", "0", "-i", "10ms", "--hold", "forever", &server.target()];
            let run = Running::start(tcpgoon(&args));
            run.wait_for_stats("all are established", |stats| stats.established == 50);
            for signal in together {
                run.signal(signal);
            }
            let run = run.outcome();
            run.assert_code(0).find("End: * (after @, ended by a signal)");
            assert!(run.stdout.contains("--- verdict ---"), "{run:#?}");
        }
    }
}

#[test]
fn a_signal_ends_a_program_that_blocks_on_its_first_error_line() {
    let taken = listener("127.0.0.1");
    listen(&taken, Backlog::new(1).unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let pipe = SmallPipe::new();
    pipe.fill();
    let mut command = tcpgoon(&["serve", "-p", &port]);
    command.stdout(Stdio::null()).stderr(pipe.writer());
    let run = Running::start_as_it_is(command);
    wait_until("it writes its error", || {
        let at = std::fs::read_to_string(format!("/proc/{}/wchan", run.id())).ok()?;
        at.contains("pipe_w").then_some(())
    });
    run.signal(Signal::SIGTERM);
    assert_eq!(run.outcome().signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_second_signal_kills_while_the_report_blocks_in_a_pipe() {
    let server = Served::start(&["-i", "0"]);
    for (first, second) in [
        (Signal::SIGINT, Signal::SIGINT),
        (Signal::SIGTERM, Signal::SIGHUP),
        (Signal::SIGHUP, Signal::SIGTERM),
    ] {
        let pipe = SmallPipe::new();
        pipe.fill();
        let args = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "forever", &server.target()];
        let mut command = tcpgoon(&args);
        command.stdout(pipe.writer());
        let run = Running::start_as_it_is(command);
        wait_until_held(&run);
        run.signal(first);
        wait_until_released(&run);
        let released = Instant::now();
        run.signal(second);
        let later = if second == Signal::SIGINT { TYPED_MIN } else { SAME_END };
        wait_until("it is another end", || (released.elapsed() > later).then_some(()));
        run.signal(second);
        assert_eq!(run.outcome().signal(), Some(second));
    }
}

#[test]
fn a_second_signal_kills_while_the_terminal_is_stopped() {
    let server = Served::start(&["-i", "0"]);
    let mut terminal = Terminal::new();
    terminal.press("\x13");
    let args = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "forever", &server.target()];
    let mut command = tcpgoon(&args);
    command.stdin(terminal.device()).stdout(terminal.device()).stderr(terminal.device());
    let run = Running::start_as_it_is(command);
    terminal.wait_until_full();
    wait_until_held(&run);
    run.signal(Signal::SIGINT);
    wait_until_released(&run);
    let released = Instant::now();
    wait_until("it is another end", || (released.elapsed() > TYPED_MIN).then_some(()));
    run.signal(Signal::SIGINT);
    assert_eq!(run.outcome().signal(), Some(Signal::SIGINT));
}

#[test]
fn one_signal_while_the_report_blocks_changes_nothing() {
    let server = Served::start(&["-i", "0"]);
    let pipe = SmallPipe::new();
    pipe.fill();
    let args = ["-y", "-c", "5", "-s", "0", "-i", "1ms", "--hold", "0.2", &server.target()];
    let mut command = tcpgoon(&args);
    command.stdout(pipe.writer());
    let mut run = Running::start_as_it_is(command);
    wait_until_held(&run);
    // In the hold it wakes up for every line; blocked on its report it sleeps.
    let mut last = (0, Instant::now());
    wait_until("the report is stuck", || {
        let switches = status_number(run.id(), "voluntary_ctxt_switches");
        if switches != last.0 {
            last = (switches, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(())
    });
    run.signal(Signal::SIGINT);
    wait_until_released(&run);
    let text = pipe.read_to_end();
    assert!(run.ended().success(), "{text}");
    assert!(text.contains("\nOutput lines dropped"), "{text}");
    assert!(text.ends_with("looks for the limit\n"), "{text}");
    assert!(!text.contains("ended by a signal"), "{text}");
}

#[test]
fn a_stop_during_poll_is_reported_as_a_pause() {
    let server = Served::start(&["-i", "20ms"]);
    // Nothing falls due while it is stopped: only the kernel reports it.
    let args = ["-y", "-c", "1", "-i", "0", "--hold", "forever", &server.target()];
    let run = Running::start(tcpgoon(&args));
    server.wait_for_counts("it is established", |[_, open, _, _]| open == 1);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    let stopped = Instant::now();
    wait_until("1.5 s have passed", || {
        (stopped.elapsed() >= Duration::from_millis(1500)).then_some(())
    });
    run.signal(Signal::SIGCONT);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    run.assert_code(0);
    let longest = &run.find("Longest loop iteration = @ (*")[0];
    assert!(span(longest) >= Duration::from_millis(1500), "{run:#?}");
    assert!(stopped_for(&run) >= Duration::from_millis(1500), "{run:#?}");
}

/// How long the process was stopped by the report, plus its rounding.
fn stopped_for(run: &Outcome) -> Duration {
    let line = run.stdout.lines().find(|line| line.starts_with("Not looking: "));
    let line = line.unwrap_or_else(|| panic!("{run:#?}"));
    // On a busy machine there are other gaps.
    let stretches = line.split_once('(').unwrap().1.trim_end_matches(')');
    let stop = stretches.split("; ").find_map(|stretch| stretch.strip_suffix(", stopped"));
    let (from, to) =
        stop.and_then(|stop| stop.split_once(" to ")).unwrap_or_else(|| panic!("{line}"));
    span(to) - span(from) + Duration::from_millis(10)
}

#[test]
fn a_stop_is_one_gap() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "3", "-s", "0", "-i", "20ms", "--hold", "forever", &server.target()];
    let run = Running::start(tcpgoon(&args));
    run.wait_for_stats("all are established", |stats| stats.established == 3);
    // Without a stop there is none.
    run.signal(Signal::SIGCONT);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    let stopped = Instant::now();
    wait_until("0.5 s have passed", || {
        (stopped.elapsed() >= Duration::from_millis(500)).then_some(())
    });
    let lines = run.stdout.text().lines().count();
    run.signal(Signal::SIGCONT);
    wait_until("it goes on", || (run.stdout.text().lines().count() > lines + 3).then_some(()));
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    assert!(stopped_for(&run) >= Duration::from_millis(500), "{run:#?}");
    assert_eq!(run.stdout.matches(", stopped").count(), 1, "{run:#?}");
}

#[test]
fn a_fin_during_a_stop_is_dated_by_the_kernel() {
    let listener = listener("127.0.0.1");
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let args = ["-y", "-c", "1", "-i", "20ms", "--hold", "forever", "--debug", &target];
    let run = Running::start(tcpgoon(&args));
    let (stream, _) = listener.accept().unwrap();
    run.wait_for_stats("it is established", |stats| stats.established == 1);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    drop(stream);
    let closed = Instant::now();
    wait_until("a second has passed", || (closed.elapsed() >= LONG).then_some(()));
    let alive = closed - run.begun();
    run.signal(Signal::SIGCONT);
    run.wait_for_stats("it is closed", |stats| stats.closed == 1);
    run.signal(Signal::SIGINT);
    let run = run.outcome();
    let line = "connection 0 to *: closed after @: closed by the peer [server]";
    let closed = run.stderr.lines().find_map(|of| output::matches(of, line));
    let lifetime = span(&closed.unwrap_or_else(|| panic!("{run:#?}"))[1]);
    // The kernel's tick is 10 ms at most.
    assert!(lifetime <= alive + Duration::from_millis(20), "{lifetime:?}, not {alive:?}: {run:#?}");
}

#[test]
fn a_stopped_run_reports_it_and_moves_its_schedule() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "40", "-s", "25", "-i", "10ms", &server.target()];
    let run = Running::start(tcpgoon(&args));
    run.wait_for_stats("some are established", |stats| stats.established >= 5);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    let stopped = Instant::now();
    wait_until("2.5 s have passed", || {
        (stopped.elapsed() >= Duration::from_millis(2500)).then_some(())
    });
    run.signal(Signal::SIGCONT);
    let run = run.outcome();
    run.assert_code(0);
    let paused = stopped_for(&run);
    assert!(paused >= Duration::from_millis(2400), "{run:#?}");
    let took = span(&run.find("Dial starts: 40, from first to last @")[0]);
    let late = span(&run.find("Dial start lateness p50/p99/max = @/@/@")[2]).mul_f64(1.01);
    // No burst: the rest of the schedule takes as long as before. The gap begins with the poll before
    // the stop, an interval or a dial earlier.
    assert!(took + late >= paused + Duration::from_millis(975 - 50), "{run:#?}");
}

#[test]
fn readiness_during_a_stop_comes_before_deadlines() {
    let listener = listener("127.0.0.1");
    // The queue holds one more than the backlog.
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let run =
        Running::start(tcpgoon(&["-y", "-c", "3", "-s", "0", "-i", "20ms", "-t", "8", &target]));
    run.wait_for_stats("one has to wait", |stats| stats.established == 2 && stats.dialing == 1);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    // The kernel repeats the SYN of the third, and then the queue has a free place.
    listener.set_nonblocking(true).unwrap();
    let _streams = [(); 3].map(|()| wait_until("they are accepted", || listener.accept().ok()));
    let over = run.begun() + Duration::from_millis(8500);
    wait_until("the timeout is over", || (Instant::now() >= over).then_some(()));
    run.signal(Signal::SIGCONT);
    let run = run.outcome();
    run.assert_code(0);
    assert_eq!(run.last().established, 3, "{run:#?}");
}
