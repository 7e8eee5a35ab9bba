//! Runs by the clock: `--duration`, and `--lifetime`, with which slots dial again.

mod common;

use std::time::Duration;

use common::output::{self, span};
use common::{ClosedPort, Namespace, Outcome, Running, Served, run, tcpgoon, tcpgoon_as_typed};
use nix::sys::signal::Signal;

/// How late anything may be: the machines are shared, and stall.
const LATE: Duration = Duration::from_secs(5);

#[test]
fn a_duration_ends_the_dials_and_slots_never_dialed_are_no_fault() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let run =
        run(&["-y", "-c", "5000", "--rate", "100", "--duration", "300ms", "-i", "0", &target]);
    run.assert_code(0);
    let last = run.last();
    assert!(last.established > 0 && last.not_initiated > 4000, "{run:#?}");
    assert!(run.took < Duration::from_millis(300) + LATE, "{run:#?}");
    let (open, left) = (last.established, last.not_initiated);
    let verdict = run.stdout.split("--- verdict ---\n").nth(1).unwrap().replace('\n', " ");
    assert!(verdict.starts_with(&format!("OK: {open} of {open} connections ")), "{run:#?}");
    assert!(verdict.contains(&format!("No limit found up to {open} ")), "{run:#?}");
    assert!(verdict.contains(&format!("--duration ended the run with {left} not dialed.")));
}

#[test]
fn a_duration_ends_a_longer_hold_and_a_shorter_hold_ends_before_it() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    for (hold, duration) in [("forever", "200ms"), ("1h", "200ms"), ("100ms", "1h")] {
        let flags = ["-y", "-c", "3", "-s", "0", "-i", "0", "--settle", "0"];
        let run = run(&[&flags[..], &["--hold", hold, "--duration", duration, &target]].concat());
        run.assert_code(0);
        assert_eq!(run.last().established, 3);
        assert!(run.took >= Duration::from_millis(100) && run.took < LATE, "{hold}: {run:#?}");
    }
}

#[test]
fn errors_within_a_duration_are_errors() {
    let closed = ClosedPort::new();
    let run = run(&["-y", "-c", "900", "--duration", "200ms", "-i", "0", &closed.target()]);
    run.assert_code(2);
    let last = run.last();
    assert!(last.error > 0 && last.not_initiated > 0, "{run:#?}");
}

/// The numbers of the report's line of the rate: closed by us, and by the peer.
fn closed_by(run: &Outcome) -> (u64, u64) {
    let found = run.find("Rate: *; # closed by us, # closed by the peer");
    let number = |index: usize| found[index].parse().unwrap();
    (number(found.len() - 2), number(found.len() - 1))
}

/// Every connection that was established is closed by us, by the peer, or open at the end.
#[track_caller]
fn assert_balanced(run: &Outcome) -> u64 {
    let ever: u64 = run.find("Established: # in all, *")[0].parse().unwrap();
    let (by_us, by_peer) = closed_by(run);
    assert_eq!(ever, by_us + by_peer + run.last().established, "{run:#?}");
    ever
}

#[test]
fn slots_dial_again_after_a_lifetime_of_nothing() {
    let server = Served::start(&["-i", "0"]);
    let flags = ["-y", "-c", "5", "-i", "100ms", "--lifetime", "0"];
    let target = server.target();
    // At full speed a FIN each leaves other tests no port for a minute.
    for (close, rate) in [("fin", "--rate=5000"), ("rst", "--sleep=0")] {
        let more = ["--duration", "350ms", "--close", close, rate, &target];
        let run = run(&[&flags[..], &more].concat());
        run.assert_code(0);
        assert!(assert_balanced(&run) > 300, "{run:#?}");
        let shape = "Rates: Dials: */s, Established: */s, Closed by us: */s, Closed by the peer: \
                     */s, Error: */s, p99 dial time: *";
        let rates = run.stdout.lines().filter(|line| output::matches(line, shape).is_some());
        assert!(rates.count() >= 2, "{run:#?}");
        assert!(run.stdout.contains("--- verdict ---\nOK: "), "{run:#?}");
    }
}

#[test]
fn a_clean_run_names_what_it_did_not_test() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let next = |count, sleep| {
        let flags = ["-y", "-i", "0", "-c", count, "-s", sleep, "--lifetime", "0"];
        // At full speed no longer than fills the accept queue of a server that is not run.
        let duration = if sleep == "0" { "20ms" } else { "200ms" };
        let more = ["--close", "rst", "--duration", duration, &target];
        let run = Running::start(tcpgoon_as_typed(&[&flags[..], &more].concat())).outcome();
        let text = run.stdout.replace('\n', " ");
        let reach = if sleep == "0" { "No limit found up to " } else { "The pace of 100/s was" };
        assert!(text.contains(reach), "{text}");
        text.split_once("Next: ").map(|(_, next)| next.trim_end().to_owned())
    };
    let beside = "--hold-beside 50 tests what it does to open connections";
    assert_eq!(next("200", "0"), Some(beside.to_owned()));
    assert_eq!(next("200", "10"), Some(format!("--sleep 0 dials at full speed; {beside}")));
    assert_eq!(next("5", "0"), None);
}

/// Twenty slots of a tenth of a second each dial 200 times a second, whatever the pace.
#[test]
fn a_pace_that_the_slots_cannot_keep_is_not_reached_and_counts_from_when_dials_were_due() {
    let server = Served::start(&["-i", "0"]);
    let flags = ["-y", "-c", "20", "--rate", "1000", "-i", "0", "--lifetime", "100ms"];
    let run = run(&[&flags[..], &["--duration", "1s", &server.target()]].concat());
    run.assert_code(0);
    assert!(assert_balanced(&run) <= 220, "{run:#?}");
    let late = run.find("Late dials, by more than 1ms: # (# without a free slot, # *");
    let [late, no_slot] = [0, 1].map(|index| late[index].parse::<u64>().unwrap());
    assert!(no_slot * 2 > late && late > 50, "{run:#?}");
    let [.., max] = &run.find("Dial times from when they were due p50/p99/max = @/@/@")[..] else {
        unreachable!("three durations")
    };
    assert!(span(max) > Duration::from_millis(500), "{run:#?}");
    let verdict = run.stdout.split("--- verdict ---\n").nth(1).unwrap().replace('\n', " ");
    assert!(
        verdict.starts_with("LIMIT: ") && verdict.contains("no slot was free, -c 10"),
        "{run:#?}"
    );
}

#[test]
fn a_close_by_the_peer_before_the_lifetime_is_over_is_an_error() {
    let server = Served::start(&["-i", "0", "--close-after", "100ms"]);
    let flags = ["-y", "-c", "20", "-s", "1", "-i", "0", "--lifetime", "10s"];
    let run = run(&[&flags[..], &["--duration", "1s", &server.target()]].concat());
    run.assert_code(2);
    let ever = assert_balanced(&run);
    assert!(ever > 40 && closed_by(&run).0 == 0, "{run:#?}");
}

#[test]
fn without_a_duration_a_signal_or_the_most_errors_end_it() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let flags = ["-y", "-c", "3", "-s", "1", "-i", "50ms", "--lifetime", "10ms"];
    let running = Running::start(tcpgoon(&[&flags[..], &[&server.target()]].concat()));
    running.stdout.wait_for_words("Rates: ");
    running.signal(Signal::SIGINT);
    let ended = running.outcome();
    ended.assert_code(0);
    assert_balanced(&ended);
    let ended = run(&[&flags[..], &["--max-errors", "7", &closed.target()]].concat());
    ended.assert_code(2);
    assert!(ended.stdout.contains("Errors: 7, by reason: 7 refused"), "{ended:#?}");
}

/// Five of twenty are held, the others churn for two seconds. Without `text` breaks.
fn beside(server: &Served, more: &[&str]) -> (Outcome, String) {
    let flags = ["-y", "-c", "20", "-s", "5", "-i", "0", "--report", "full", "--duration", "2s"];
    let churn = ["--lifetime", "50ms", "--hold-beside", "5"];
    let run = run(&[&flags[..], &churn, more, &[&server.target()]].concat());
    let text = run.stdout.replace('\n', " ");
    (run, text)
}

/// The counts of a line of the report: answered and unanswered.
fn checks(run: &Outcome, when: &str) -> [u64; 2] {
    let found = run.find(&format!("Checks {when} the churn: # answered, *"));
    let unanswered = found[1].split(' ').next().unwrap();
    [&found[0], unanswered].map(|count| count.parse().unwrap())
}

#[test]
fn connections_are_held_beside_a_churn_and_checked_each_second() {
    let (silent, echo) = (Served::start(&["-i", "0"]), Served::start(&["-i", "0", "--echo"]));
    let ask = ["--send", "PING\\r\\n", "--expect", "PING"];
    let requests = 5 * 3;
    for (server, more, before) in [(&silent, &[][..], 5), (&echo, &ask[..], requests)] {
        let (run, text) = beside(server, more);
        run.assert_code(0);
        run.find("Held: 5 of 5 established, 5 open at the end");
        let [[answered, 0], [later, 0]] = ["before", "during"].map(|when| checks(&run, when))
        else {
            panic!("{run:#?}")
        };
        assert!(answered >= before && later >= 5, "{run:#?}");
        let dials =
            run.find("Churning: # dials from @ on, # established, 0 failed, 0 closed early*");
        assert!(dials[0] == dials[2] && dials[0].parse::<u64>().unwrap() > 100, "{run:#?}");
        // Those that were held are no part of the rate.
        assert!(text.contains(&format!("OK: {} connections in ", dials[0])), "{run:#?}");
        assert_eq!(assert_balanced(&run), dials[0].parse::<u64>().unwrap() + 5);
    }
    // A request without an answer is an error, and is not repeated.
    let (run, text) = beside(&silent, &["--send", "PING", "--reply-timeout", "500ms"]);
    run.assert_code(2);
    assert!(text.contains("5 of 5 checks of held connections were not answered."), "{run:#?}");
    assert_eq!(checks(&run, "before"), [0, 5], "{run:#?}");
}

#[test]
fn held_connections_need_a_churn_beside_them_and_a_request_that_can_be_repeated() {
    let no_probe = "--lifetime takes no --hold or --probe, and --ask, --send and --expect only with \
                    --hold-beside";
    let once = "--hold-beside asks each second: give --send, or --ask http or redis";
    for (flags, line) in [
        ("-c 9", "--hold-beside holds connections beside a churn: give --lifetime"),
        ("-c 5 --lifetime 1", "--hold-beside 5: fewer than the connections are accepted (-c 5)"),
        ("-c 9 --lifetime 1 --probe", no_probe),
        ("-c 9 --lifetime 1 --hold 1", no_probe),
        ("-c 9 --lifetime 1 --ask ssh", once),
        ("-c 9 --lifetime 1 --expect x", once),
    ] {
        let run = run(&[&["127.0.0.1:9", "--hold-beside", "5"][..], &words(flags)].concat());
        run.assert_code(1);
        let first = run.stderr.lines().next().unwrap();
        assert_eq!((first, &run.stdout[..]), (&format!("tcpgoon: {line}")[..], ""), "{flags}");
    }
    let lines = run(&["127.0.0.1:9", "--lifetime", "1", "--send", "x"]).stderr;
    assert!(lines.starts_with(&format!("tcpgoon: {no_probe}\n")), "{lines}");
    let flags = words("--dry-run -c 9 --lifetime 1 --hold-beside 5 127.0.0.1:9");
    run(&flags).find(
        "Held beside: 5 of the connections, each checked every 1s; the others and the duration begin 3s \
         after the last of these dials",
    );
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Above 8 open connections the listener accepts no more, and its queue holds two.
#[test]
fn at_a_limit_newcomers_fail_and_held_connections_stay() {
    let server = Served::start(&["-i", "0", "-m", "8", "--backlog", "1"]);
    let (run, text) = beside(&server, &["-t", "300ms"]);
    run.assert_code(2);
    run.find("Held: 5 of 5 established, 5 open at the end");
    assert!(text.contains("LIMIT: ") && text.contains(" Newcomers fail, held connections stay: "));
}

#[test]
fn held_connections_that_the_peer_closes_are_counted_apart_and_are_an_error() {
    let server = Served::start(&["-i", "0", "--reset-after", "4s"]);
    let (run, text) = beside(&server, &[]);
    run.assert_code(2);
    run.find(
        "Held: 5 of 5 established, 0 open at the end; ended during it: 5 by RST, the first @ after the \
         churn began, the last after @",
    );
    let words =
        "Held connections are closed while newcomers get in: 5 of 5 held connections ended; ";
    assert!(text.contains(words), "{run:#?}");
}

/// A hundred ports that stay in TIME_WAIT for a minute, and a hundred dials a second.
#[test]
fn time_wait_is_foreseen_and_named_when_it_stopped_the_run() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.set("net/ipv4/ip_local_port_range", "10000 10099");
    namespace.set("net/ipv4/tcp_tw_reuse", "0");
    let _server = Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80"));
    let words = "-y -c 5 --rate 200 -i 0 --lifetime 0 --duration 2s 127.0.0.1:80";
    let reset = Running::start(namespace.tcpgoon(&format!("--close rst {words}"))).outcome();
    reset.assert_code(0);
    assert_eq!(reset.stderr, "");
    assert!(assert_balanced(&reset) > 150, "{reset:#?}");
    let stopped = Running::start(namespace.tcpgoon(words)).outcome();
    stopped.assert_code(2);
    let foreseen = "tcpgoon: ephemeral ports: they sustain 1 connections a second closed by FIN (100 \
                    ports for one source and target, each for 60 s in TIME_WAIT), the plan dials 200 a \
                    second; fix: --close rst, sysctl -w net.ipv4.tcp_tw_reuse=1, a lower --rate, or \
                    more addresses with --source\n";
    assert_eq!(stopped.stderr, foreseen);
    assert_eq!(assert_balanced(&stopped), 100, "{stopped:#?}");
    let verdict = stopped.stdout.split("--- verdict ---\n").nth(1).unwrap();
    for words in [
        "LIMIT: 100 connections in ",
        "Cause, this host (certain):\n  1. time-wait",
        "connections by FIN, and has 100 ports",
    ] {
        assert!(verdict.contains(words), "{words}: {stopped:#?}");
    }
    // A port is searched for ten times a second, and not at each dial.
    let errors: u64 =
        stopped.find("Errors: #, by reason: # no ephemeral ports (this host)")[0].parse().unwrap();
    assert!((1..=25).contains(&errors), "{stopped:#?}");
}

/// A firewall lets a thousand SYNs a second pass, and no more connections are established.
#[test]
fn a_rate_limit_on_the_path_is_the_sustained_rate() {
    let Some(namespace) = Namespace::make() else { return };
    let _server = Served::start_with(&[], |_| namespace.tcpgoon("serve -p 80"));
    namespace.firewall("input", "tcp dport 80 tcp flags syn limit rate over 1000/second drop");
    let words = "-y -c 3000 --rate 3000 -t 500ms -i 0 --lifetime 0 --close rst --duration 3s";
    let run = Running::start(namespace.tcpgoon(&format!("{words} 127.0.0.1:80"))).outcome();
    run.assert_code(2);
    assert_balanced(&run);
    let per_s: f64 = run.find("Rate: */s (*")[0].parse().unwrap();
    println!("{per_s} a second");
    // A busy host dials less at times; the limit lets a few more pass at first.
    assert!((700.0..1_050.0).contains(&per_s), "{run:#?}");
    let verdict = run.stdout.split("--- verdict ---\n").nth(1).unwrap();
    assert!(verdict.contains("rate-limit ") && verdict.contains("undetermined "), "{run:#?}");
}
