//! `--send` and `--expect` against packaged servers and against listeners in the test, and the end of
//! a run after too many errors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::output::{self, matches, span};
use crate::common::packaged_servers::{free_port, haproxy, local, nginx, redis, sshd};
use crate::common::{
    ClosedPort, DEADLINE, Outcome, Running, Served, listen, run, tcpgoon, wait_until,
};
use crate::common::{Scratch, decided};

/// How late anything may be: the machines are shared, and stall.
const LATE: Duration = Duration::from_secs(5);

/// A run at full speed, to its end.
fn run_against(target: impl ToString, flags: &[&str]) -> Outcome {
    let words = ["-y", "-s", "0", "-i", "50ms", "--debug", &target.to_string()];
    run(&[&words, flags].concat())
}

/// From the start to the report, as the run reports it.
#[track_caller]
fn took(run: &Outcome) -> Duration {
    span(&run.find("End: * (after @)")[1])
}

/// Connections with no reply in time, from the lines of `--debug`.
fn no_reply(run: &Outcome) -> usize {
    let shape = "connection # to *: established, no reply from the application";
    run.stderr.lines().filter(|line| matches(line, shape).is_some()).count()
}

#[track_caller]
fn assert_all_replied(run: &Outcome, connections: u64) {
    run.assert_code(0);
    let last = run.last();
    assert_eq!(last, decided(connections, last.established, last.closed), "{run:#?}");
    assert_eq!(last.established + last.closed, connections, "{run:#?}");
    assert_eq!(no_reply(run), 0, "{run:#?}");
    // No connection waited for its timeout of many seconds.
    assert!(took(run) < LATE, "{run:#?}");
}

/// None gets a reply, all stay established, and the last one has its full timeout.
#[track_caller]
fn assert_none_replied(run: &Outcome, connections: u64, timeout: Duration) {
    run.assert_code(2);
    assert_eq!(run.last(), decided(connections, connections, 0), "{run:#?}");
    assert_eq!(no_reply(run) as u64, connections, "{run:#?}");
    let reported = &run.find("Replied: # within @, no reply: #, closed before a reply: #")[2];
    assert_eq!(*reported, connections.to_string(), "{run:#?}");
    assert!((timeout..timeout + LATE).contains(&took(run)), "{run:#?}");
    let before = |stats: &output::Stats| stats.dialing + stats.not_initiated > 0;
    let held = run.stats().into_iter().filter(|stats| !before(stats));
    assert!(held.clone().count() > 1, "{run:#?}");
    assert!(held.clone().all(|stats| stats.established == connections), "{run:#?}");
}

// Packaged servers.

#[test]
fn redis_replies_to_a_ping() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 1000) else { return };
    let run =
        run_against(local(port), &["-c", "300", "--send", r"PING\r\n", "--expect", r"+PONG\r\n"]);
    assert_all_replied(&run, 300);
    run.find("Received and dropped: 2100 bytes");
}

#[test]
fn redis_at_its_limit_answers_no_ping() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    let flags = ["-c", "150", "--send", r"PING\r\n", "--expect", "+PONG", "--hold", "0.3"];
    let run = run_against(local(port), &flags);
    run.assert_code(2);
    assert_eq!(run.last(), decided(150, 100, 50), "{run:#?}");
    // The expected text may be its error line, followed by a FIN, or by a RST if it has not read the
    // ping.
    let words = "-ERR max number of clients";
    let run = run_against(local(port), &["-c", "150", "--expect", words, "--reply-timeout", "0.5"]);
    run.assert_code(2);
    assert_eq!(no_reply(&run), 100, "{run:#?}");
    let run = run_against(local(port), &["-c", "150", "--send", r"PING\r\n", "--expect", r"\r\n"]);
    assert_all_replied(&run, 150);
}

#[test]
fn nginx_answers_a_request_and_may_close_at_once() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = nginx(&scratch, port, 2048) else { return };
    let expect = ["-c", "100", "--hold", "0.3", "--expect", "HTTP/1.1 200", "--send"];
    let target = local(port);
    let run = run_against(target, &[&expect[..], &[r"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]].concat());
    assert_all_replied(&run, 100);
    assert_eq!(run.last().established, 100, "{run:#?}");
    let run = run_against(target, &[&expect[..], &[r"GET / HTTP/1.0\r\n\r\n"]].concat());
    assert_all_replied(&run, 100);
    assert_eq!(run.last().closed, 100, "{run:#?}");
}

#[test]
fn sshd_greets_without_a_request() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = sshd(&scratch, port, 1000) else { return };
    let run = run_against(local(port), &["-c", "50", "-t", "25", "--expect", "SSH-2.0-"]);
    run.assert_code(0);
    assert_eq!(run.last(), decided(50, 50, 0), "{run:#?}");
}

#[test]
fn haproxy_without_a_server_behind_it_answers_503() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = haproxy(&scratch, port, "http", local(free_port()), 1000) else { return };
    let flags = ["-c", "50", "--send", r"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "--expect"];
    assert_all_replied(&run_against(local(port), &[&flags[..], &["503"]].concat()), 50);
    // The reply is not the expected one.
    let run = run_against(
        local(port),
        &[&flags[..], &["HTTP/1.1 200", "--reply-timeout", "0.5"]].concat(),
    );
    run.assert_code(2);
    assert_eq!(run.last().established + run.last().closed, 50, "{run:#?}");
}

// Replies, whole and in pieces.

/// A listener that calls `talk` for each connection in its own thread, and keeps it open until the
/// client closes it.
fn replying(talk: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    listen(move |mut stream| {
        let talk = talk.clone();
        thread::spawn(move || {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            talk(&mut stream);
            while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
        });
    })
}

#[test]
fn a_reply_is_matched_across_segments() {
    let (go, start) = mpsc::channel::<u8>();
    let mut streams = Vec::new();
    let address = listen(move |stream: TcpStream| {
        streams.push(stream);
        if streams.len() == 3 {
            for byte in &start {
                streams.iter_mut().for_each(|stream| stream.write_all(&[byte]).unwrap());
            }
        }
    });
    let words = ["-y", "-c", "3", "-s", "0", "-i", "0", "-t", "60", "--debug"];
    let expect = ["--expect", "++PONG", &address.to_string()];
    let run = Running::start(tcpgoon(&[&words[..], &expect].concat()));
    for (count, byte) in (1..).zip(*b"++++PONG") {
        go.send(byte).unwrap();
        let read = || run.stderr.text().matches("received 1 bytes: ").count() == 3 * count;
        wait_until("each has read its byte", || read().then_some(()));
    }
    assert_all_replied(&run.outcome(), 3);
}

#[test]
fn any_byte_can_be_sent_and_expected() {
    let server = Served::start(&["-i", "0", "--echo"]);
    let escaped: String = (0..=255).rev().map(|byte| format!("\\x{byte:02x}")).collect();
    let flags = ["-c", "20", "--send", &escaped, "--expect", &escaped, "-t", "60"];
    let run = run_against(server.target(), &flags);
    assert_all_replied(&run, 20);
    run.find("Received and dropped: 5120 bytes");
    let flags = ["-c", "20", "--send", r"a\r\n\t\0\\\xff", "--expect", r"\x0d\x0a\x09\x00\x5c\xFF"];
    assert_all_replied(&run_against(server.target(), &flags), 20);
}

#[test]
fn any_byte_is_a_reply_where_none_is_expected() {
    let server = Served::start(&["-i", "0", "--echo"]);
    assert_all_replied(&run_against(server.target(), &["-c", "20", "--send", "x", "-t", "60"]), 20);
}

#[test]
fn a_reply_just_before_fin_or_rst_counts() {
    // The most that is searched, with the reply in its last bytes.
    let long = [vec![b'.'; 65_535 - 6], b"answer".to_vec()].concat();
    for reply in [b"answer".to_vec(), long] {
        for leaves_unread in [false, true] {
            let reply = reply.clone();
            let address = listen(move |mut stream| {
                let mut request = [0; 8];
                let wanted = if leaves_unread { 4 } else { 8 };
                stream.read_exact(&mut request[..wanted]).unwrap();
                stream.write_all(&reply).unwrap();
                // close() with unread data sends RST.
            });
            let words = ["-y", "-c", "20", "-s", "0", "-i", "0", "-t", "60", "--hold", "0.3"];
            let question = ["--send", "question", "--expect", "answer", &address.to_string()];
            let run = run(&[&words[..], &question].concat());
            assert_eq!(run.last(), decided(20, 0, 20), "{run:#?}");
            let how = if leaves_unread { "reset by the peer" } else { "closed by the peer" };
            assert!(run.find("Closed: 20, by reason: *")[0].contains(how), "{run:#?}");
            run.assert_code(0);
        }
    }
}

/// `reply` arrives while the program is stopped beyond the deadline: it resumes to both.
fn assert_read_before_its_deadline(reply: &[u8]) {
    const COUNT: usize = 500;
    let (go, start) = mpsc::channel();
    let (done, all_sent) = mpsc::channel();
    let (mut streams, reply) = (Vec::new(), reply.to_vec());
    let bytes = COUNT * reply.len();
    let address = listen(move |stream| {
        streams.push(stream);
        if streams.len() == COUNT {
            start.recv().unwrap();
            streams.iter_mut().for_each(|stream| stream.write_all(&reply).unwrap());
            done.send(()).unwrap();
        }
    });
    let words = ["-y", "-c", "500", "-s", "1", "-i", "20ms", "--expect", "hello"];
    let flags = ["--reply-timeout", "3", &address.to_string()];
    let run = Running::start(tcpgoon(&[&words[..], &flags].concat()));
    run.wait_for_stats("all are established", |stats| stats.established == COUNT as u64);
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    go.send(()).unwrap();
    all_sent.recv_timeout(DEADLINE).unwrap();
    let over = run.begun() + Duration::from_millis(3500);
    wait_until("the deadlines have passed", || (Instant::now() >= over).then_some(()));
    run.signal(Signal::SIGCONT);
    let run = run.outcome();
    run.assert_code(0).find(&format!("Received and dropped: {bytes} bytes"));
    let shape = "Replied: # within @ (# of them read late, tcpgoon was paused), *";
    let answered: u64 = run.find(shape)[0].parse().unwrap();
    assert_eq!(answered, COUNT as u64, "{run:#?}");
}

#[test]
fn replies_in_the_socket_are_read_before_their_deadlines() {
    assert_read_before_its_deadline(b"hello");
}

/// The expected text is found after several reads.
#[test]
fn so_are_expected_texts_at_the_end_of_long_replies() {
    assert_read_before_its_deadline(&[&[b'.'; 30_000][..], b"hello"].concat());
}

// No reply.

#[test]
fn a_connection_without_a_reply_stays_open_and_is_counted() {
    let timeout = Duration::from_millis(400);
    let silent = Served::start(&["-i", "0"]);
    let never = Served::start(&["-i", "0", "--never-accept"]);
    for target in [silent.target(), never.target()] {
        for question in [["--send", "x"], ["--expect", "x"]] {
            let flags = [&question[..], &["-c", "20", "--reply-timeout", "0.4", "-t", "60"]];
            assert_none_replied(&run_against(&target, &flags.concat()), 20, timeout);
        }
    }
}

#[test]
fn a_wrong_reply_is_no_reply() {
    let server = Served::start(&["-i", "0", "--banner", "220 hello"]);
    let flags = ["-c", "20", "--expect", "250", "--reply-timeout", "0.4"];
    assert_none_replied(&run_against(server.target(), &flags), 20, Duration::from_millis(400));
}

#[test]
fn the_dial_timeout_is_the_default() {
    let server = Served::start(&["-i", "0"]);
    let run = run_against(server.target(), &["-c", "20", "--expect", "x", "-t", "0.3"]);
    assert_none_replied(&run, 20, Duration::from_millis(300));
}

#[test]
fn a_run_waits_for_the_last_reply_deadline_and_for_the_hold() {
    let server = Served::start(&["-i", "0"]);
    let paced = ["-y", "-c", "5", "-s", "100", "-i", "0", "-t", "60", "--expect", "x"];
    for (reply, hold, least_ms) in [("0.5", "0", 900), ("0.3", "1", 1400), ("0.6", "0.2", 1000)] {
        let flags = ["--reply-timeout", reply, "--hold", hold, "--probe", "none"];
        let run = run(&[&paced[..], &flags, &[&server.target()]].concat());
        run.assert_code(2);
        let least = Duration::from_millis(least_ms);
        assert!((least..least + LATE).contains(&took(&run)), "{run:#?}");
    }
}

#[test]
fn a_close_before_the_reply_is_no_reply() {
    let server = Served::start(&["-i", "0", "--close-after", "0.1"]);
    let run = run_against(server.target(), &["-c", "20", "--expect", "x", "-t", "60"]);
    run.assert_code(2);
    assert_eq!(run.last(), decided(20, 0, 20), "{run:#?}");
    run.find("Closed: 20, by reason: 20 closed by the peer (server)");
    // The run does not wait for their timeouts.
    assert!(took(&run) < LATE, "{run:#?}");
}

#[test]
fn only_the_beginning_of_an_endless_reply_is_searched() {
    let server = Served::start(&["-i", "0", "--flood"]);
    let words = ["-y", "-c", "20", "-s", "0", "-i", "0", "--expect", "no such thing"];
    let flags = ["--reply-timeout", "0.5", &server.target()];
    let run = run(&[&words[..], &flags].concat());
    run.assert_code(2);
    assert_eq!(run.last(), decided(20, 20, 0), "{run:#?}");
    assert!(took(&run) < Duration::from_millis(500) + LATE, "{run:#?}");
    // Just behind the beginning it is not found.
    let late = [vec![b'.'; 65_535 - 5], b"answer".to_vec()].concat();
    let address = replying(move |stream| stream.write_all(&late).unwrap());
    let run = run_against(address, &["-c", "5", "--expect", "answer", "--reply-timeout", "0.5"]);
    assert_none_replied(&run, 5, Duration::from_millis(500));
    run.find("Received and dropped: 327680 bytes");
}

#[test]
fn a_reply_timeout_needs_send_or_expect_and_is_not_zero() {
    let closed = ClosedPort::new();
    for (flags, words) in [
        (&["--reply-timeout", "1"][..], "--reply-timeout is for --ask, --send and --expect"),
        (&["--send", "x", "--reply-timeout", "0"], "--reply-timeout '0'"),
        (&["--expect", ""], "--expect ''"),
        (&["--send", r"\q"], r"--send '\q'"),
    ] {
        let run = run(&[&["-y", &closed.target()], flags].concat());
        run.assert_code(1);
        assert!(run.stderr.contains(words) && run.stdout.is_empty(), "{run:#?}");
    }
}

// --max-errors.

/// What one turn can add: a batch of readiness and a batch of deadlines.
const TURN: u64 = 512;

#[test]
fn max_errors_ends_a_run_early() {
    let closed = ClosedPort::new();
    for connections in ["19000", "1m"] {
        let words = ["-y", "-c", connections, "-s", "0", "-i", "0", "--hold", "forever"];
        let run = run(&[&words[..], &["--max-errors", "50", &closed.target()]].concat());
        run.assert_code(2);
        let last = run.last();
        assert!((50..=50 + TURN).contains(&last.error), "{run:#?}");
        // Pending dials stay pending.
        assert!(last.not_initiated >= last.total - 50 - 2 * TURN, "{run:#?}");
        assert!(run.took < LATE, "{run:#?}");
    }
}

#[test]
fn closes_by_the_peer_count_towards_max_errors() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    let target = local(port).to_string();
    let run = run(&["-y", "-c", "10k", "-s", "2", "-i", "0", "--max-errors", "50", &target]);
    run.assert_code(2);
    let last = run.last();
    assert!((50..=50 + TURN).contains(&last.closed) && last.error == 0, "{run:#?}");
    assert!(last.established >= 100 && last.not_initiated > 0, "{run:#?}");
}

#[test]
fn fewer_errors_do_not_end_the_run() {
    let (closed, server) = (ClosedPort::new(), Served::start(&["-i", "0"]));
    let words = ["-y", "-c", "100", "-s", "0", "-i", "0", "--max-errors", "51"];
    let run =
        Running::start(tcpgoon(&[&words[..], &[&closed.target(), &server.target()]].concat()));
    let run = run.outcome();
    run.assert_code(2);
    let last = run.last();
    assert_eq!((last.error, last.established), (50, 50), "{run:#?}");
}
