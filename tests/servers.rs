//! 500 connections to nginx, redis, sshd and haproxy: the report is compared with the server's own
//! counters. The presets of --ask, against real servers.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use common::listeners::listener;
use common::packaged_servers::{
    ask, certificate, connect, established_at, free_port, haproxy, haproxy_clients, local, nginx,
    nginx_with, number_after, python_tls, redis, redis_clients, s_server, sshd, wait_until,
};
use common::verdict::verdict;
use common::{Outcome, Running, Served, tcpgoon};
use common::{Scratch, command, decided, errors, original, succeed};

/// A run in its hold: all dials are decided.
fn dial_500_and_hold(port: u16, flags: &[&str]) -> Running {
    hold(Running::start(dial_500(port, flags)))
}

/// The same with `--debug` into a file: a pipe with a slow reader loses lines.
fn dial_500_and_hold_with_debug(port: u16, flags: &[&str], debug: &Path) -> Running {
    let mut command = dial_500(port, &[&["--debug"], flags].concat());
    command.stdout(Stdio::piped()).stderr(File::create(debug).unwrap());
    hold(Running::start_as_it_is(command))
}

fn dial_500(port: u16, flags: &[&str]) -> Command {
    let target = local(port).to_string();
    let words = ["-y", "-c", "500", "-s", "1", "-i", "0.1", "--hold", "forever", &target];
    tcpgoon(&[&words, flags].concat())
}

fn hold(dialing: Running) -> Running {
    dialing.wait_for_stats("all dials are decided", |s| s.not_initiated == 0 && s.dialing == 0);
    dialing
}

/// The end of the hold.
fn interrupt(dialing: Running) -> Outcome {
    dialing.signal(Signal::SIGINT);
    dialing.outcome()
}

#[track_caller]
fn assert_all_established(run: &Outcome, port: u16) {
    run.assert_code(0);
    assert_eq!(original(run, &local(port).to_string()).last, decided(500, 500, 0));
    run.find("Established: 500 in all, 500 at most at once, 500 at the end, 0 closed by the peer");
}

/// All were established and the server closed some at once: a limit without errors.
#[track_caller]
fn assert_some_closed(run: &Outcome, port: u16, left: u64) {
    run.find("Errors: 0");
    let verdict = verdict(run);
    let ids: &[&str] = match left {
        0 => &["rejects-client", "backend-unreachable"],
        _ => &["connection-limit"],
    };
    let [reached, _] = verdict.reached();
    let word = if reached == 0 { "FAILED" } else { "LIMIT" };
    verdict.word(word, 2).first(ids).sides(&["server"]);
    // One that keeps none and closes late has some for a while.
    let most = if left == 0 { 150 } else { left };
    assert!((left..=most).contains(&reached), "{verdict}");
    assert_eq!(original(run, &local(port).to_string()).last, decided(500, left, 500 - left));
    run.find(&format!(
        "Established: 500 in all, # at most at once, {left} at the end, {} closed by the peer",
        500 - left
    ));
}

#[test]
fn nginx_counts_the_same_500() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = nginx(&scratch, port, 2048) else { return };
    let active = || {
        let status = ask(connect(port), "GET / HTTP/1.0\r\n\r\n", "Waiting: ");
        number_after(&status, "Active connections:")
    };
    wait_until("only the request is open", || active() == 1);

    let dialing = dial_500_and_hold(port, &[]);
    wait_until("nginx has all and the request", || active() == 501);
    assert_all_established(&interrupt(dialing), port);
    wait_until("nginx has seen them go", || active() == 1);
}

#[test]
fn redis_counts_the_same_500() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    wait_until("redis has all and the request", || redis_clients(port) == 501);
    assert_all_established(&interrupt(dialing), port);
    wait_until("redis has seen them go", || redis_clients(port) == 1);
}

#[test]
fn redis_limited_to_100_closes_the_rest_and_its_error_line_is_shown() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    wait_until("no connection is left", || established_at(port) == 0);
    let debug = scratch.path("debug");
    let dialing = dial_500_and_hold_with_debug(port, &[], &debug);
    dialing.wait_for_stats("redis has closed the rest", |stats| stats.closed == 400);
    assert_eq!(established_at(port), 100);

    let run = interrupt(dialing);
    assert_some_closed(&run, port, 100);
    let words = r#"received 36 bytes: "-ERR max number of clients reached\r\n""#;
    assert_eq!(fs::read_to_string(debug).unwrap().matches(words).count(), 400);
}

// sshd forks for each connection, and its accept queue is short: SYNs may be repeated.

#[test]
fn sshd_greets_the_same_500() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = sshd(&scratch, port, 1000) else { return };
    let debug = scratch.path("debug");
    let dialing = dial_500_and_hold_with_debug(port, &["-t", "25"], &debug);
    let greeting = "bytes: \"SSH-2.0-";
    let greetings = || fs::read_to_string(&debug).unwrap().matches(greeting).count();
    wait_until("all are greeted", || greetings() == 500);
    assert_eq!(established_at(port), 500);
    assert_all_established(&interrupt(dialing), port);
}

#[test]
fn sshd_limited_to_50_closes_the_rest() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = sshd(&scratch, port, 50) else { return };
    let dialing = dial_500_and_hold(port, &["-t", "25"]);
    dialing.wait_for_stats("sshd has closed the rest", |stats| stats.closed == 450);
    assert_eq!(established_at(port), 50);
    assert_some_closed(&interrupt(dialing), port, 50);
}

#[test]
fn haproxy_and_the_server_behind_it_count_the_same_500() {
    let (scratch, port, behind) = (Scratch::new(), free_port(), Served::start(&[]));
    let Some(_server) = haproxy(&scratch, port, "tcp", behind.address, 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    wait_until("haproxy has all", || haproxy_clients(&scratch) == 500);
    // The earlier connection, which tested whether haproxy listens, may be counted too.
    let all_open = |counts: [u64; 4]| matches!(counts, [500, 500, 500, 0] | [501, 500, 500, 1]);
    behind.wait_for_counts("so has the server behind it", all_open);
    assert_all_established(&interrupt(dialing), port);
    wait_until("haproxy has seen them go", || haproxy_clients(&scratch) == 0);
    let all_closed = |counts: [u64; 4]| matches!(counts, [500, 0, 500, 500] | [501, 0, 500, 501]);
    behind.wait_for_counts("so has the server", all_closed);
}

#[test]
fn haproxy_limited_to_100_leaves_the_rest_in_its_queue_or_unanswered() {
    let (scratch, port, behind) = (Scratch::new(), free_port(), Served::start(&[]));
    let Some(_server) = haproxy(&scratch, port, "tcp", behind.address, 100) else { return };
    let dialing = dial_500_and_hold(port, &["-t", "1"]);
    wait_until("haproxy is full", || haproxy_clients(&scratch) == 100);
    wait_until("its server has 100", || established_at(behind.address.port()) == 100);
    let listener = succeed(command(&format!("ss -Hltn sport = :{port}")), "");
    let queued = number_after(&listener, "LISTEN");
    let run = interrupt(dialing);

    // On this host all are established; only the first hundred reach the server behind haproxy.
    run.assert_code(2);
    assert_eq!(original(&run, &local(port).to_string()).last, decided(500, 100 + queued, 0));
    assert_eq!(errors(&run), format!("{} timed out (server or network)", 400 - queued));
}

#[test]
fn haproxy_without_a_server_behind_it_closes_what_it_takes() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = haproxy(&scratch, port, "tcp", local(free_port()), 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    dialing.wait_for_stats("all are closed", |stats| stats.closed == 500);
    assert_some_closed(&interrupt(dialing), port, 0);
}

// --ask

/// All replied; returns the run for more.
#[track_caller]
fn assert_all_replied(target: &str, preset: &str, connections: u32) -> Outcome {
    let count = connections.to_string();
    let words = ["-y", "-c", &count, "-s", "1", "-t", "25", "-q", "--ask", preset, target];
    let run = Running::start(tcpgoon(&words)).outcome();
    run.assert_code(0);
    verdict(&run).word("OK", 0).nothing();
    run.find(&format!("Replied: {connections} within 25s, no reply: 0, closed before a reply: 0"));
    run
}

/// It may be on two lines.
#[track_caller]
fn assert_reach(run: &Outcome, reach: &str) {
    let words = run.stdout.replace('\n', " ");
    assert!(words.contains(&format!(" ({reach}).")), "{run:#?}");
}

#[track_caller]
fn assert_none_counted_apart(run: &Outcome) {
    assert!(!run.stdout.contains("Of the replies:"), "{run:#?}");
    assert_reach(run, "the application replied");
}

/// One connection to `openssl s_server` with these flags.
#[track_caller]
fn ask_s_server(flags: &str) -> Option<Outcome> {
    let (scratch, port) = (Scratch::new(), free_port());
    let _server = s_server(&scratch, port, flags)?;
    Some(assert_all_replied(&local(port).to_string(), "tls=localhost", 1))
}

#[test]
fn nginx_replies_to_500_requests_and_counts_them() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = nginx(&scratch, port, 2048) else { return };
    let run = assert_all_replied(&local(port).to_string(), "http", 500);
    assert_none_counted_apart(&run);
    let status = ask(connect(port), "GET / HTTP/1.0\r\n\r\n", "Waiting: ");
    let counts = status.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1);
    // Accepted, handled, requests; with the one for the status.
    let requests = counts.unwrap().split_whitespace().nth(2);
    assert_eq!(requests, Some("501"), "{status}");
}

#[test]
fn nginx_with_503_is_counted_as_busy() {
    let (scratch, port) = (Scratch::new(), free_port());
    let server = format!("listen 127.0.0.1:{port}; if ($host != ok.example) {{ return 503; }}");
    let Some(_server) = nginx_with(&scratch, port, 2048, &server) else { return };
    let target = local(port).to_string();
    let run = assert_all_replied(&target, "http", 100);
    run.find("Of the replies: 100 busy (HTTP 503)");
    assert_reach(&run, "the application replied, 100 busy");
    let words = ["-y", "-c", "10", "-s", "1", "--report", "short", "--ask", "http", &target];
    let short = Running::start(tcpgoon(&words)).outcome();
    short.assert_code(0).find("Of the replies: 10 busy (HTTP 503)");
    assert_none_counted_apart(&assert_all_replied(&target, "http=ok.example", 1));
}

#[test]
fn nginx_replies_to_200_hellos() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some([key, cert]) = certificate(&scratch) else { return };
    let server = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};",
        cert.display(),
        key.display()
    );
    let Some(_server) = nginx_with(&scratch, port, 2048, &server) else { return };
    let target = local(port).to_string();
    assert_none_counted_apart(&assert_all_replied(&target, "tls=localhost", 200));
    // Its answer to a request without TLS.
    assert_none_counted_apart(&assert_all_replied(&target, "http", 10));
}

#[test]
fn openssl_replies_to_a_hello_of_each_version() {
    // The third does not take the share: HelloRetryRequest.
    for flags in ["-tls1_3", "-tls1_2", "-tls1_3 -groups P-256"] {
        let Some(run) = ask_s_server(flags) else { return };
        assert_none_counted_apart(&run);
    }
}

#[test]
fn alerts_of_openssl_are_counted_by_number() {
    for (flags, alert) in [
        ("-tls1_3 -groups X448", "40 (handshake_failure)"),
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", "70 (protocol_version)"),
    ] {
        let Some(run) = ask_s_server(flags) else { return };
        run.find(&format!("Of the replies: 1 TLS alert {alert}"));
        assert_reach(&run, "the application replied, 1 TLS alert");
    }
}

#[test]
fn python_replies_to_50_hellos_with_the_name_of_the_target() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(server) = python_tls(&scratch, port) else { return };
    assert_none_counted_apart(&assert_all_replied(&format!("localhost:{port}"), "tls", 50));
    let names = || server.stdout.text().matches("name localhost\n").count();
    wait_until("all had the name", || names() == 50);
    assert_none_counted_apart(&assert_all_replied(&local(port).to_string(), "tls", 1));
    server.stdout.wait_for_words("name None");
}

#[test]
fn redis_replies_to_500_pings_and_counts_them() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 1000) else { return };
    assert_none_counted_apart(&assert_all_replied(&local(port).to_string(), "redis", 500));
    let stats = ask(connect(port), "INFO commandstats\r\nQUIT\r\n", "+OK\r\n");
    assert_eq!(number_after(&stats, "cmdstat_ping:calls="), 500);
}

#[test]
fn redis_limited_to_100_is_busy_for_the_rest() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    wait_until("no connection is left", || established_at(port) == 0);
    let run = dial_500_and_hold(port, &["--ask", "redis"]);
    run.wait_for_stats("redis has closed the rest", |stats| stats.closed == 400);
    interrupt(run).find("Of the replies: 400 busy (max number of clients)");
}

#[test]
fn sshd_greets_100_without_a_request() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = sshd(&scratch, port, 1000) else { return };
    assert_none_counted_apart(&assert_all_replied(&local(port).to_string(), "ssh", 100));
}

/// Of these the servers are too large for a test: their first bytes only.
#[test]
fn greetings_of_smtp_mysql_and_postgres_are_answers() {
    for (preset, banner, counted) in [
        ("smtp", "220 mail.example ESMTP\\r\\n", ""),
        ("smtp", "421 too many connections\\r\\n", "SMTP 421"),
        ("mysql", "\\x4a\\0\\0\\0\\x0a8.0.36\\0", ""),
        ("mysql", "\\x17\\0\\0\\0\\xff\\x10\\x04Too many connections", "too many connections"),
        ("postgres", "S", ""),
        ("postgres", "N", ""),
    ] {
        let server = Served::start(&["--banner", banner]);
        let run = assert_all_replied(&server.target(), preset, 20);
        match counted {
            "" => assert_none_counted_apart(&run),
            words => drop(run.find(&format!("Of the replies: 20 busy ({words})"))),
        }
    }
    let other = Served::start(&["--banner", "554 no\\r\\n"]);
    let words = ["-y", "-c", "5", "-s", "1", "-t", "0.5", "--ask", "smtp", &other.target()];
    let run = Running::start(tcpgoon(&words)).outcome();
    verdict(&run).first(&["wrong-reply"]);
}

#[test]
fn replies_of_503_are_evidence_of_overload_where_others_get_none() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let accepted = listener.incoming().take(40).enumerate();
        let replied = accepted.map(|(index, stream)| {
            let mut stream = stream.unwrap();
            if index < 30 {
                stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
            }
            stream
        });
        replied.collect::<Vec<_>>()
    });
    let words = ["-y", "-c", "40", "-s", "1", "-t", "1", "--ask", "http", &target];
    let run = Running::start(tcpgoon(&words)).outcome();
    drop(server.join().unwrap());
    verdict(&run).first(&["app-overloaded"]);
    run.find("     + 30 of 30 replies report an error or overload of the server");
}

#[test]
fn a_503_that_is_too_late_is_not_counted() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    let flags = ["-c", "3", "--reply-timeout", "0.3", "--hold", "forever", "--ask", "http"];
    let run = Running::start(tcpgoon(&[&["-y", "--debug", &target], &flags[..]].concat()));
    let streams: Vec<_> = listener.incoming().take(3).map(Result::unwrap).collect();
    let count = |words: &str| run.stderr.text().matches(words).count();
    wait_until("the time is up", || count("no reply") == 3);
    for mut stream in &streams {
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
    }
    wait_until("all were read", || count("HTTP/1.1 503") == 3);
    let run = interrupt(run);
    assert!(!run.stdout.contains("Of the replies") && run.stdout.contains("no reply: 3"));
}
