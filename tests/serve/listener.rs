//! `tcpgoon serve` with clients in the test.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::streams::SmallPipe;
use crate::common::{
    DEADLINE, Running, Served, has_descriptors_for, likely_port, listener, output, run, skip,
    status_number, tcpgoon, tcpgoon_after,
};
use nix::sys::signal::Signal;

/// A client with the deadline of the tests.
fn connect(server: &Served) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Whether the server has closed a connection.
fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn it_prints_its_address_then_counts_and_ends_with_a_total() {
    let server = Served::start(&["-i", "50ms"]);
    assert!(server.address.ip().is_loopback(), "by default it listens on the loopback only");
    let clients = [connect(&server), connect(&server), connect(&server)];
    server.wait_for_counts("three are open", |counts| counts == [3, 3, 3, 0]);
    drop(clients);
    server.wait_for_counts("none is open", |counts| counts == [3, 0, 3, 3]);
    let address = server.address;
    let end = server.end();
    end.assert_code(0);
    let lines: Vec<&str> = end.stdout.lines().collect();
    assert_eq!(lines[0], format!("Listening on {address}"));
    let [counts @ .., header, total] = &lines[1..] else { panic!("{end:#?}") };
    assert!(counts.iter().all(|line| output::counts(line).is_some()), "{end:#?}");
    assert_eq!(*header, format!("--- {address} tcp serve statistics ---"));
    assert_eq!(output::counts(total), Some([3, 0, 3, 3]));
    assert_eq!(end.stderr, "");
}

#[test]
fn port_0_is_any_free_port() {
    // In a namespace no other test has used up the ports.
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec \"$0\" serve -p 0 --duration 50ms";
    command.args(["-rn", "sh", "-c", script, env!("CARGO_BIN_EXE_tcpgoon")]);
    let run = Running::start(command).outcome();
    if !run.status.success() && !run.stderr.starts_with("tcpgoon") {
        return skip(&format!("no network namespace of our own: {}", run.stderr.trim_end()));
    }
    run.assert_code(0);
    assert_ne!(run.find("Listening on 127.0.0.1:#"), ["0"]);
}

#[test]
fn a_duration_ends_it_on_time_with_its_counts() {
    let server = Served::start(&["-i", "0", "--duration", "0.4"]);
    let _client = connect(&server);
    let end = server.running.outcome();
    end.assert_code(0);
    assert!(end.took >= Duration::from_millis(400), "{end:#?}");
    assert_eq!(output::counts(end.stdout.lines().last().unwrap()), Some([1, 1, 1, 0]));
}

#[test]
fn every_signal_ends_it_with_its_counts() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let server = Served::start(&["-i", "20ms"]);
        let _client = connect(&server);
        server.wait_for_counts("one is open", |counts| counts == [1, 1, 1, 0]);
        server.running.signal(signal);
        let end = server.running.outcome();
        end.assert_code(0);
        assert_eq!(output::counts(end.stdout.lines().last().unwrap()), Some([1, 1, 1, 0]));
    }
}

#[test]
fn at_its_limit_it_reports_so_and_goes_on_after_a_close() {
    let server = Served::start(&["-i", "20ms", "--max-connections", "3"]);
    let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    server.running.stderr.wait_for_words(
        "tcpgoon: 3 connections are open, the limit of --max-connections: \
         not accepting until one closes\n",
    );
    server.wait_for_counts("three are open", |counts| counts == [3, 3, 3, 0]);
    clients.remove(0);
    server.wait_for_counts("a fourth took its place", |counts| counts == [4, 3, 3, 1]);
    clients.clear();
    server.wait_for_counts("all had their turn", |[accepted, _, peak, closed]| {
        (accepted, peak, closed) == (5, 3, 5)
    });
}

#[test]
fn without_descriptors_it_reports_so_and_goes_on_after_a_close() {
    let server = Served::start_with(&["-i", "20ms"], |args| tcpgoon_after("ulimit -n 32", args));
    let clients: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    server.running.stderr.wait_for_words("tcpgoon: no free file descriptor with ");
    drop(clients);
    server.wait_for_counts("all had their turn", |[accepted, open, _, _]| {
        (accepted, open) == (40, 0)
    });
    let _later = connect(&server);
    server.wait_for_counts("one more", |[accepted, open, _, _]| (accepted, open) == (41, 1));
}

/// CPU time of a process in nanoseconds. Source: `Documentation/scheduler/sched-stats.rst`.
fn processor_ns(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn to_accept_costs_less_than_to_dial() {
    const COUNT: u64 = 15_000;
    if !has_descriptors_for(COUNT) {
        return;
    }
    let server = Served::start(&["-i", "20ms"]);
    let (count, target) = (COUNT.to_string(), server.target());
    let args = ["-y", "-c", &count, "-s", "0", "-t", "30", "-i", "20ms", "--hold", "forever"];
    let client = Running::start(tcpgoon(&[&args[..], &[&target]].concat()));
    server.wait_for_counts("all are accepted", |counts| counts[1] == COUNT);
    let accepting = processor_ns(server.running.id()) / COUNT;
    client.wait_for_stats("all are established", |stats| stats.established == COUNT);
    let dialing = processor_ns(client.id()) / COUNT;
    println!("processor time a connection: to dial {dialing} ns, to accept {accepting} ns");
    // A client never waits for the server.
    assert!(accepting * 4 < dialing * 3, "to dial {dialing} ns, to accept {accepting} ns");
}

#[test]
fn without_memory_it_reports_so_and_goes_on_after_a_close() {
    const COUNT: u64 = 15_000;
    if !has_descriptors_for(COUNT) {
        return;
    }
    // The hour is not reached, but storing it takes memory.
    let server = Served::start(&["-i", "20ms", "--close-after", "1h"]);
    server.wait_for_counts("it runs", |counts| counts == [0, 0, 0, 0]);
    let process = server.running.id();
    let limit = format!("--as={}", status_number(process, "VmSize") * 1024);
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &process.to_string(), &limit]);
    assert!(prlimit.status().unwrap().success(), "{prlimit:?}");

    let (count, target) = (COUNT.to_string(), server.target());
    let args = ["-y", "-c", &count, "-s", "0", "-i", "0", "--hold", "forever", &target];
    let client = Running::start(tcpgoon(&args));
    let words = "tcpgoon: out of memory with ";
    server.running.stderr.wait_for_words(words);
    drop(client);
    server.wait_for_counts("all are gone", |[accepted, open, peak, _]| {
        accepted > 0 && open == 0 && peak < COUNT
    });
    let _later = connect(&server);
    server.wait_for_counts("one more", |[_, open, _, closed]| open == 1 && closed > 0);
}

#[test]
fn a_clamped_backlog_is_reported() {
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let server = Served::start(&["--backlog", "2147483647", "--duration", "50ms"]);
    let run = server.running.outcome();
    run.assert_code(0);
    let words = "tcpgoon: --backlog 2147483647: this host allows";
    assert_eq!(run.stderr, format!("{words} {} (sysctl net.core.somaxconn)\n", most.trim_end()));
}

#[test]
fn an_accept_delay_sets_the_pace() {
    let server = Served::start(&["-i", "0", "--accept-delay", "0.1", "--banner", "x"]);
    let begun = Instant::now();
    let clients: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    for (mut client, delay_ms) in clients.into_iter().zip([100, 200, 300, 400]) {
        client.read_exact(&mut [0]).unwrap();
        let after = begun.elapsed();
        assert!(after >= Duration::from_millis(delay_ms), "accepted after {after:?}");
    }
}

#[test]
fn it_can_accept_nothing() {
    let server = Served::start(&["-i", "20ms", "--never-accept", "--banner", "x"]);
    let client = connect(&server);
    server.wait_for_counts("nothing happens", |counts| counts == [0, 0, 0, 0]);
    assert!(!is_over(&client));
    let end = server.end();
    assert_eq!(output::counts(end.stdout.lines().last().unwrap()), Some([0, 0, 0, 0]));
}

/// Reads 300 connections, opened together, to their ends. Returns the shortest lifetime, and the ends.
fn lives(server: &Served) -> (Duration, Vec<Option<ErrorKind>>) {
    let clients: Vec<_> = (0..300).map(|_| (Instant::now(), connect(server))).collect();
    let ends = clients.into_iter().map(|(begun, mut client)| {
        let end = client.read(&mut [0]).map_err(|error| error.kind()).err();
        (begun.elapsed(), end)
    });
    let (lives, ends): (Vec<_>, Vec<_>) = ends.unzip();
    (lives.into_iter().min().unwrap(), ends)
}

#[test]
fn close_after_is_never_early() {
    let server = Served::start(&["-i", "0", "--close-after", "0.25"]);
    let (shortest, ends) = lives(&server);
    assert!(shortest >= Duration::from_millis(250), "{shortest:?}");
    assert!(ends.iter().all(Option::is_none), "{ends:?}");
}

#[test]
fn reset_after_is_never_early() {
    let server = Served::start(&["-i", "0", "--reset-after", "0.25"]);
    let (shortest, ends) = lives(&server);
    assert!(shortest >= Duration::from_millis(250), "{shortest:?}");
    assert!(ends.iter().all(|end| *end == Some(ErrorKind::ConnectionReset)), "{ends:?}");
}

#[test]
fn a_banner_can_be_any_bytes() {
    let server =
        Served::start(&["-i", "0", "--banner", r"220 \x00\xff\t\\\r\n", "--close-after", "0.1"]);
    let mut greeting = Vec::new();
    connect(&server).read_to_end(&mut greeting).unwrap();
    assert_eq!(greeting, b"220 \0\xff\t\\\r\n");
}

#[test]
fn echo_returns_every_byte_and_then_closes() {
    let server = Served::start(&["-i", "0", "--echo"]);
    let mut client = connect(&server);
    let sent: Vec<u8> = (0..1u32 << 20).map(|n| (n % 251) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let expected = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut returned = Vec::new();
    client.read_to_end(&mut returned).unwrap();
    writing.join().unwrap();
    assert!(returned == expected, "{} bytes returned, or others", returned.len());
}

#[test]
fn a_client_that_does_not_read_its_echo_costs_little_memory_and_delays_no_other() {
    let server = Served::start(&["-i", "0", "--echo"]);
    let resident_before = status_number(server.running.id(), "VmRSS");
    let mut greedy: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    for client in &mut greedy {
        // Until all buffers are full, at both ends.
        client.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        while client.write(&[b'x'; 64 * 1024]).is_ok() {}
    }
    let mut other = connect(&server);
    other.write_all(b"hello").unwrap();
    let mut returned = [0; 5];
    other.read_exact(&mut returned).unwrap();
    assert_eq!(&returned, b"hello");
    // Everything is still there to read.
    greedy[0].set_read_timeout(Some(DEADLINE)).unwrap();
    let mut begun = vec![0; 1 << 20];
    greedy[0].read_exact(&mut begun).unwrap();
    assert!(begun.iter().all(|byte| *byte == b'x'));
    let resident_kib = status_number(server.running.id(), "VmRSS");
    // 64 KiB each would be 3200.
    assert!(resident_kib < resident_before + 1024, "{resident_before} KiB, then {resident_kib}");
}

#[test]
fn flood_never_ends_and_starves_no_other_client() {
    let server = Served::start(&["-i", "20ms", "--flood"]);
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for client in &mut clients {
        client.read_exact(&mut vec![0; 4 << 20]).unwrap();
    }
    drop(clients);
    server.wait_for_counts("they are gone", |counts| counts == [3, 0, 3, 3]);
}

#[test]
fn received_data_is_dropped_and_closes_are_noticed() {
    let server = Served::start(&["-i", "20ms"]);
    let mut polite = connect(&server);
    server.wait_for_counts("one is open", |counts| counts == [1, 1, 1, 0]);
    // Data and FIN arrive while it is stopped: one poll reports both.
    server.running.signal(Signal::SIGSTOP);
    server.running.wait_until_stopped();
    polite.write_all(&[b'x'; 16 * 1024]).unwrap();
    polite.shutdown(Shutdown::Write).unwrap();
    server.running.signal(Signal::SIGCONT);
    assert_eq!(polite.read(&mut [0]).unwrap(), 0, "it closes as well, with a FIN");
    drop(polite);
    server.wait_for_counts("one came and went", |counts| counts == [1, 0, 1, 1]);
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = listener("127.0.0.1");
    let address = taken.local_addr().unwrap();
    let run = run(&["serve", "--port", &address.port().to_string()]);
    run.assert_code(1);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    let words = format!("tcpgoon: cannot listen on {address}: Address");
    assert!(run.stderr.starts_with(&words), "{run:#?}");
}

#[test]
fn a_blocked_output_does_not_stop_it() {
    let mut pipe = SmallPipe::new();
    let port = likely_port().to_string();
    let mut command = tcpgoon(&["serve", "-p", &port, "-i", "1ms", "--echo"]);
    command.stdout(pipe.writer());
    let mut running = Running::start_as_it_is(command);
    let first = pipe.read_line();
    let address: SocketAddr = first.strip_prefix("Listening on ").unwrap().parse().unwrap();
    pipe.fill();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    running.signal(Signal::SIGTERM);
    let rest = pipe.read_to_end();
    assert!(running.ended().success());
    let [lines @ .., header, total] = &rest.lines().collect::<Vec<_>>()[..] else {
        panic!("{rest}")
    };
    let is_whole = |line: &&str| line.starts_with('#') || output::counts(line).is_some();
    assert!(lines.iter().all(is_whole), "a torn line: {rest}");
    assert_eq!(*header, format!("--- {address} tcp serve statistics ---"));
    assert_eq!(output::counts(total), Some([1, 1, 1, 0]));
}

#[test]
fn until_eof_ends_it_with_its_standard_input() {
    let mut server = Served::start_with(&["-i", "0", "--until-eof"], |args| {
        let mut command = tcpgoon(args);
        command.stdin(Stdio::piped());
        command
    });
    // Input is ignored.
    let mut input = server.running.stdin();
    input.write_all(b"quit\n").unwrap();
    let _stream = TcpStream::connect(server.address).unwrap();
    drop(input);
    let run = server.running.outcome();
    run.assert_code(0);
    assert!(run.stdout.contains(" tcp serve statistics ---\nAccepted: "), "{run:#?}");
    let run = crate::common::run(&["serve", "-p", "0", "--until-eof"]);
    run.assert_code(1);
    assert!(run.stderr.starts_with("tcpgoon: --until-eof: standard input is no pipe"), "{run:#?}");
}
