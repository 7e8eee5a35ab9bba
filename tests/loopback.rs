//! The built program against real sockets: each kind of server there is, one test each.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::output::{self, span};
use common::{
    ClosedPort, DEADLINE, Running, Served, listen, listener, run, skip, status_number, tcpgoon,
    tcpgoon_after, wait_until,
};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, send};

/// A run that holds its connections until it is told to stop, and prints often.
fn holding(args: &[&str]) -> Running {
    let hold = ["-y", "-s", "0", "-i", "20ms", "--hold", "forever"];
    Running::start(tcpgoon(&[&hold, args].concat()))
}

/// Ends a run that holds.
fn stop(run: Running) -> common::Outcome {
    run.signal(Signal::SIGINT);
    run.outcome()
}

#[test]
fn an_accepting_server_gets_every_connection() {
    let server = Served::start(&["-i", "20ms"]);
    let run = run(&["-y", "-c", "20", "-s", "1", &server.target()]);
    run.assert_code(0);
    assert_eq!(run.last().established, 20);
    run.find("Timing stats for 20 established connections min/avg/max/dev = @/@/@/@");
    run.find("Established: 20 in all, 20 at most at once, 20 at the end, 0 closed by the peer");
    assert!(!run.stdout.contains("failed connections"), "{run:#?}");
    server
        .wait_for_counts("it took all", |[accepted, _, _, closed]| (accepted, closed) == (20, 20));
}

#[test]
fn a_closed_port_refuses_every_dial() {
    let closed = ClosedPort::new();
    let run = run(&["-y", "-c", "10", "-s", "0", &closed.target()]);
    run.assert_code(2);
    assert_eq!(run.last().error, 10);
    run.find("Errors: 10, by reason: 10 refused (server or network)");
    run.find("Timing stats for 10 failed connections min/avg/max/dev = @/@/@/@");
    assert!(!run.stdout.contains("established connections"), "{run:#?}");
    assert!(!run.stdout.contains("Dial times"), "{run:#?}");
}

#[test]
fn dials_that_fail_give_their_descriptors_back() {
    let closed = ClosedPort::new();
    // More than there are descriptors: were one lost with each, they would run out.
    let args = ["-y", "-c", "300", "-s", "0", &closed.target()];
    let run = Running::start(tcpgoon_after("ulimit -n 64", &args)).outcome();
    run.assert_code(2).find("Errors: 300, by reason: 300 refused (server or network)");
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "1"]);
    let run = holding(&["-c", "20", "-t", "0.2", &server.target()]);
    run.wait_for_stats("all are decided", |stats| stats.established + stats.error == 20);
    assert!(run.descriptors() < 20, "{} descriptors are open", run.descriptors());
    stop(run).assert_code(2);
}

#[test]
fn a_soft_limit_on_open_files_is_raised() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "200", "-s", "0", &server.target()];
    let run = Running::start(tcpgoon_after("ulimit -Sn 64", &args)).outcome();
    run.assert_code(0).find("Established: 200 in all, 200 at most at once, 200 at the end, *");
}

/// Closed after 100 ms together is no error; closed before that, they never were open together.
fn code_of_sustained(run: &common::Outcome, connections: u64) -> i32 {
    let sustained: u64 = run.find("Sustained: # open *")[0].parse().unwrap();
    if sustained == connections { 0 } else { 2 }
}

/// Dialed for more than 100 ms, and ended as soon as the last one is established.
#[test]
fn what_was_dialed_last_counts_where_a_signal_comes_early() {
    let server = Served::start(&["-i", "0"]);
    let run = holding(&["-c", "200", "-s", "1", &server.target()]);
    run.wait_for_stats("all are established", |stats| stats.established == 200);
    let run = stop(run);
    run.assert_code(0);
    assert_eq!(run.find("Sustained: # open *")[0], "200", "{run:#?}");
}

#[test]
fn a_server_that_closes_on_accept_is_a_limit_without_an_error() {
    let address = listen(drop);
    let run = holding(&["-c", "10", &address.to_string()]);
    run.wait_for_stats("all are closed", |stats| stats.closed == 10);
    let run = stop(run);
    run.assert_code(2);
    run.find("Established: 10 in all, # at most at once, 0 at the end, 10 closed by the peer");
    run.find("Errors: 0");
    run.find("Closed: 10, by reason: 10 closed by the peer (server)");
}

#[test]
fn a_server_that_hangs_up_later_is_noticed_at_once() {
    let server = Served::start(&["-i", "0", "--close-after", "0.3"]);
    let run = holding(&["-c", "30", &server.target()]);
    run.wait_for_stats("all are established", |stats| stats.established == 30);
    run.wait_for_stats("all are closed", |stats| stats.closed == 30);
    // No more than it needs for itself: what is closed gives its descriptor back at once.
    assert!(run.descriptors() < 30, "{} descriptors are open", run.descriptors());
    let run = stop(run);
    run.assert_code(0).find("Closed: 30, by reason: 30 closed by the peer (server)");
}

/// Keeps the first 50, and hangs up on all others at once; sends what was its longest time between
/// two of them.
fn keeper_of_50() -> (SocketAddr, mpsc::Receiver<Duration>) {
    let (sender, longest) = mpsc::channel();
    let (mut kept, mut last, mut most) = (Vec::new(), Instant::now(), Duration::ZERO);
    let address = listen(move |stream| {
        if kept.len() < 50 {
            kept.push(stream);
        } else {
            most = most.max(last.elapsed());
            drop(stream);
            let _ = sender.send(most);
        }
        last = Instant::now();
    });
    (address, longest)
}

#[test]
fn what_stays_open_is_what_counts_and_not_the_peak() {
    for _ in 0..10 {
        let (address, longest) = keeper_of_50();
        let run = run(&["-y", "-c", "2k", "-s", "0", "-i", "0", &address.to_string()]);
        run.assert_code(2);
        let sustained = &run.find("Sustained: # open together for 100ms")[0];
        let turn = span(&run.find("Longest turn of the loop = @ (*")[0]);
        // A server that is stalled itself does not close within 100 ms.
        let stall = longest.try_iter().last().unwrap_or_default().max(turn);
        if stall < Duration::from_millis(50) {
            assert_eq!(sustained, "50", "{run:#?}");
            return;
        }
    }
    skip("this machine is too busy for a server that closes within 100 ms");
}

#[test]
fn a_reset_closes_and_is_told_from_a_fin() {
    let server = Served::start(&["-i", "0", "--reset-after", "0.3"]);
    let run = holding(&["-c", "10", "--debug", &server.target()]);
    run.wait_for_stats("all are closed", |stats| stats.closed == 10);
    let run = stop(run);
    run.assert_code(0).find("Closed: 10, by reason: 10 reset by the peer (server or network)");
    let reset = "connection # to *: closed after @: reset by the peer [server or network]: *";
    assert_eq!(
        run.stderr.lines().filter(|line| output::matches(line, reset).is_some()).count(),
        10
    );
}

#[test]
fn a_fin_behind_unread_data_is_heard() {
    let (go, told) = mpsc::channel();
    let (done, all_sent) = mpsc::channel();
    let mut streams = Vec::new();
    let address = listen(move |stream: TcpStream| {
        streams.push(stream);
        if streams.len() == 5 {
            told.recv().unwrap();
            for mut stream in streams.drain(..) {
                // What does not fit into the buffers of a client that stands still is not sent.
                stream.set_nonblocking(true).unwrap();
                let _ = stream.write_all(&[b'x'; 100 * 1024]);
            }
            done.send(()).unwrap();
        }
    });
    let run = holding(&["-c", "5", &address.to_string()]);
    run.wait_for_stats("all are established", |stats| stats.established == 5);
    // While it stands still, both the data and the end arrive: it hears of them at once.
    run.signal(Signal::SIGSTOP);
    run.wait_until_stopped();
    go.send(()).unwrap();
    all_sent.recv_timeout(DEADLINE).unwrap();
    run.signal(Signal::SIGCONT);
    run.wait_for_stats("all are closed", |stats| stats.closed == 5);
    let run = stop(run);
    run.assert_code(code_of_sustained(&run, 5));
    run.find("Closed: 5, by reason: 5 closed by the peer (server)");
    assert_ne!(run.find("Received and dropped: # bytes"), ["0"]);
}

#[test]
fn a_banner_is_drained_counted_and_never_shown_raw() {
    let server = Served::start(&["-i", "0", "--banner", r"220 \x1b[2J\0\r\n"]);
    let run = holding(&["-c", "3", "--debug", &server.target()]);
    let all_greeted =
        || (run.stderr.text().matches("received 11 bytes").count() == 3).then_some(());
    wait_until("all were greeted", all_greeted);
    let run = stop(run);
    run.assert_code(0).find("Received and dropped: 33 bytes");
    assert_eq!(run.stderr.matches(r#"received 11 bytes: "220 \x1b[2J\0\r\n""#).count(), 3);
    assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n'), "{run:#?}");
    let established = "connection # to *: established after @";
    let count = run.stderr.lines().filter(|l| output::matches(l, established).is_some()).count();
    assert_eq!(count, 3, "{run:#?}");
}

#[test]
fn servers_that_never_stop_sending_starve_nothing() {
    let flooding = Served::start(&["-i", "0", "--flood"]);
    let quiet = Served::start(&["-i", "0"]);
    let run = Running::start(tcpgoon(
        &[
            ["-y", "-c", "60", "-s", "10", "-i", "0.1", "--hold", "1"].as_slice(),
            &[&flooding.target(), &quiet.target()],
        ]
        .concat(),
    ));
    run.wait_for_stats("some are established", |stats| stats.established >= 10);
    let resident_before = status_number(run.id(), "VmRSS");
    run.wait_for_stats("all are established", |stats| stats.established == 60);
    let resident_kib = status_number(run.id(), "VmRSS");
    assert!(resident_kib < resident_before + 4096, "{resident_before} KiB, then {resident_kib}");
    let run = run.outcome();
    run.assert_code(0);
    // 0.6 s of dials and 1 s of hold come to 16 lines between the first and the last.
    let intervals = run.stats().len() - 2;
    assert!((8..=16 + run.took.as_secs() as usize * 10).contains(&intervals), "{run:#?}");
    let received: u64 = run.find("Received and dropped: # bytes")[0].parse().unwrap();
    assert!(received > 1 << 20, "{received}");
}

#[test]
fn dials_beyond_a_full_accept_queue_time_out_and_not_early() {
    let server = Served::start(&["-i", "0", "--never-accept", "--backlog", "4"]);
    let run = run(&["-y", "-c", "12", "-t", "1", "-s", "5", &server.target()]);
    run.assert_code(2);
    let last = run.last();
    // The queue takes one more than its length.
    assert_eq!((last.established, last.error), (5, 7), "{run:#?}");
    run.find("Errors: 7, by reason: 7 timed out (server or network)");
    let [min, _, _, _] =
        &run.find("Timing stats for 7 failed connections min/avg/max/dev = @/@/@/@")[..]
    else {
        unreachable!("four durations")
    };
    assert!(span(min) >= Duration::from_secs(1), "{min}");
    run.find("Latest dial timeout = @ after it was due");
}

#[test]
fn an_echo_server_has_nothing_to_say_to_a_silent_client() {
    let server = Served::start(&["-i", "0", "--echo"]);
    let run = run(&["-y", "-c", "10", "-s", "0", "--hold", "0.1", &server.target()]);
    run.assert_code(0);
    assert_eq!(run.last().established, 10);
    assert!(!run.stdout.contains("Received"), "{run:#?}");
}

#[test]
fn urgent_data_wedges_nothing() {
    let (go, told) = mpsc::channel::<()>();
    let mut streams = Vec::new();
    let address = listen(move |mut stream: TcpStream| {
        for (bytes, flags) in [(b"a", MsgFlags::empty()), (b"!", MsgFlags::MSG_OOB)] {
            send(stream.as_raw_fd(), bytes, flags).unwrap();
        }
        stream.write_all(b"b").unwrap();
        // The very last byte is urgent and never read.
        send(stream.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        streams.push(stream);
        if streams.len() == 5 {
            // They are closed when the test says so.
            let _ = told.recv();
            streams.clear();
        }
    });
    let run = Running::start(tcpgoon(&[
        "-y",
        "-c",
        "5",
        "-s",
        "0",
        "-i",
        "0",
        "--hold",
        "forever",
        "--debug",
        &address.to_string(),
    ]));
    wait_until("what is not urgent was received", || {
        (run.stderr.text().matches("received").count() >= 5).then_some(())
    });
    assert_is_asleep(&run);
    go.send(()).unwrap();
    wait_until("all are closed", || {
        (run.stderr.text().matches("closed by the peer").count() == 5).then_some(())
    });
    stop(run).assert_code(0).find("Closed: 5, by reason: 5 closed by the peer (server)");
}

/// A loop that spins on readiness it cannot use up would be seen in any half second.
fn assert_is_asleep(run: &Running) {
    let state_is_sleep = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id())).ok()?;
        stat.rsplit_once(") ")?.1.starts_with('S').then_some(())
    };
    wait_until("it sleeps", state_is_sleep);
    let switches = || status_number(run.id(), "voluntary_ctxt_switches");
    let before = switches();
    let end = std::time::Instant::now() + Duration::from_millis(500);
    wait_until("half a second", || (std::time::Instant::now() >= end).then_some(()));
    assert!(switches() <= before + 5, "{before}, then {}", switches());
}

#[test]
fn a_server_that_goes_away_half_way_leaves_a_mix() {
    let server = Served::start(&["-i", "0"]);
    let run =
        Running::start(tcpgoon(&["-y", "-c", "100", "-s", "10", "-i", "20ms", &server.target()]));
    run.wait_for_stats("some are established", |stats| stats.established >= 20);
    drop(server);
    let run = run.outcome();
    run.assert_code(2);
    let last = run.last();
    assert!(last.closed >= 20 && last.error > 0, "{run:#?}");
    assert_eq!(last.closed + last.error, 100, "{run:#?}");
    let [established] =
        &run.find("Timing stats for # established connections min/avg/max/dev = *")[..1]
    else {
        unreachable!("one number was asked for")
    };
    assert_eq!(established.parse(), Ok(last.closed));
}

#[test]
fn ipv6_works_like_ipv4() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return skip("there is no IPv6 loopback");
    }
    let server = Served::start(&["-i", "0", "--bind", "::1"]);
    let port = server.address.port().to_string();
    let run = run(&["-y", "-c", "10", "-s", "0", "-6", "--host", "::1", "--port", &port]);
    run.assert_code(0);
    assert_eq!(run.last().established, 10);
    run.find(&format!("--- [::1]:{port} tcp test statistics ---"));
}

#[test]
fn several_targets_are_dialed_in_turn() {
    let servers: Vec<_> = (1..=3)
        .map(|n| Served::start(&["-i", "20ms", "--bind", &format!("127.0.0.{n}")]))
        .collect();
    let targets: Vec<_> = servers.iter().map(Served::target).collect();
    let words: Vec<&str> = targets.iter().map(String::as_str).collect();
    let run = run(&[["-y", "-c", "11", "-s", "0"].as_slice(), &words].concat());
    run.assert_code(0).find("--- 3 targets tcp test statistics ---");
    for (server, share) in servers.iter().zip([4, 4, 3]) {
        server.wait_for_counts("it took its share", |[_, open, _, closed]| {
            (open, closed) == (0, share)
        });
    }
}

#[test]
fn a_name_is_dialed_at_its_first_address_or_at_all_of_them() {
    let one = listener("127.0.0.1");
    let port = one.local_addr().unwrap().port();
    let two = TcpListener::bind(("127.0.0.2", port)).unwrap();
    // A name with two addresses, for whoever has this file in the place of the system's.
    std::fs::write(HOSTS, "127.0.0.1 localhost\n127.0.0.1 twins\n127.0.0.2 twins\n").unwrap();
    let inside = |args: &[&str]| in_namespace("-m", "mount --bind \"$HOSTS\" /etc/hosts", args);
    let version = inside(&["version"]);
    if version.code() != Some(0) {
        return skip(&format!("no mount namespace of our own: {}", version.stderr.trim_end()));
    }
    let target = format!("twins:{port}");
    let first = inside(&["-y", "-c", "4", "-s", "0", &target]);
    let dialed = &first.assert_code(0).find("--- twins(*):# tcp test statistics ---")[0];
    let listener = if dialed == "127.0.0.1" { &one } else { &two };
    assert_eq!(waiting(listener), 4);
    let all = inside(&["-y", "-c", "5", "-s", "0", "--all-addresses", &target]);
    all.assert_code(0).find("--- 2 targets tcp test statistics ---");
    let mut shares = [waiting(&one), waiting(&two)];
    shares.sort_unstable();
    assert_eq!(shares, [2, 3]);
    // Where nothing listens any more, the address that was not dialed is named.
    drop((one, two));
    let failed = inside(&["-y", "-c", "4", "-s", "0", &target]);
    let other = if dialed == "127.0.0.1" { "127.0.0.2" } else { "127.0.0.1" };
    let shape = format!("twins has another address: {other} (--all-addresses dials all)");
    failed.assert_code(2).find(&shape);
}

const HOSTS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/hosts");

/// Runs the program in a namespace of its own, after a piece of shell.
fn in_namespace(which: &str, first: &str, args: &[&str]) -> common::Outcome {
    let mut command = std::process::Command::new("unshare");
    let script = format!("{first}; exec \"$@\"");
    command.args(["-r", which, "sh", "-ec", &script, "sh", env!("CARGO_BIN_EXE_tcpgoon")]);
    command.args(args).env("HOSTS", HOSTS);
    Running::start(command).outcome()
}

/// How many connections wait to be accepted, which takes them.
fn waiting(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    listener.incoming().map_while(Result::ok).count()
}

#[test]
fn a_dial_that_would_meet_itself_is_refused() {
    // A namespace of its own in which every dial is given the very port that it dials.
    let narrow = "ip link set lo up && echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range";
    let inside = |args: &[&str]| in_namespace("-n", narrow, args);
    let version = inside(&["version"]);
    if version.code() != Some(0) {
        return skip(&format!("no network namespace of our own: {}", version.stderr.trim_end()));
    }
    for target in ["127.0.0.1:40000", "[::1]:40000"] {
        let run = inside(&["-y", "-c", "1", target]);
        run.assert_code(2).find("Errors: 1, by reason: 1 refused (server or network)");
        run.find(&format!("--- {target} tcp test statistics ---"));
    }
}

#[test]
fn a_host_without_descriptors_blames_itself() {
    let server = Served::start(&["-i", "0"]);
    let args = ["-y", "-c", "100", "-s", "0", &server.target()];
    let run = Running::start(tcpgoon_after("ulimit -n 64", &args)).outcome();
    run.assert_code(2);
    let last = run.last();
    assert!((40..=60).contains(&last.established), "{run:#?}");
    assert_eq!(last.established + last.error, 100, "{run:#?}");
    run.find(&format!("Errors: {0}, by reason: {0} no file descriptors (this host)", last.error));
    run.find("Errors of this host say nothing about the target.");
    // What the report itself needs it has opened before.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    run.find(&format!("Host: {}", host.trim_end()));
    // Counted to the last one, whatever the standard streams take of them.
    let told = run.stderr.strip_prefix("tcpgoon: open files of a process: enough for ");
    let told = told.and_then(|told| told.split(' ').next()?.parse().ok());
    assert_eq!(told, Some(last.established), "{run:#?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
}

#[test]
fn a_server_that_resets_what_waits_in_its_queue_is_data_and_no_crash() {
    let server = Served::start(&["-i", "0", "--never-accept"]);
    let run = holding(&["-c", "20", &server.target()]);
    run.wait_for_stats("all are established", |stats| stats.established == 20);
    // Its queue is reset when it goes.
    drop(server);
    run.wait_for_stats("all are closed", |stats| stats.closed == 20);
    let run = stop(run);
    run.assert_code(code_of_sustained(&run, 20));
    run.find("Closed: 20, by reason: 20 reset by the peer (server or network)");
}

#[test]
fn half_closed_and_busy_servers_do_not_confuse_each_other() {
    // One of three hangs up at once, one sends a little and stays, one only stays.
    let mut kept = Vec::new();
    let mut count = 0;
    let address = listen(move |mut stream: TcpStream| {
        count += 1;
        match count % 3 {
            0 => drop(stream),
            1 => {
                let sent = stream.write_all(b"hello\n");
                assert!(sent.is_ok() || sent.unwrap_err().kind() == ErrorKind::BrokenPipe);
                kept.push(stream);
            }
            _ => kept.push(stream),
        }
    });
    let run = holding(&["-c", "90", &address.to_string()]);
    run.wait_for_stats("a third is closed", |stats| stats.closed == 30);
    let run = stop(run);
    run.assert_code(2);
    assert_eq!(run.last().established, 60);
    run.find("Received and dropped: 180 bytes");
}
