//! Runs against servers that others wrote, as their packages bring them: 500 connections to each,
//! and what `tcpgoon` says is compared with what the server says itself. Each server is started
//! here, on a free port of the loopback, with its files in a directory of its own. A server that is
//! not installed is skipped, and that is said.

mod common;
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use common::{Outcome, Running, Served, listener, skip, tcpgoon};
use support::{Scratch, command, decided, errors, original, succeed};

/// Where Debian has its servers, which is not in everybody's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The program of a server, if it is installed.
fn installed(name: &str) -> Option<Command> {
    let mut paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    let found = paths.find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found.map(Command::new)
}

fn free_port() -> u16 {
    listener("127.0.0.1").local_addr().unwrap().port()
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    common::wait_until(what, || holds().then_some(()));
}

/// Starts a server and waits until it takes connections.
fn start(mut command: Command, port: u16) -> Running {
    command.stdin(Stdio::null());
    let mut server = Running::start(command);
    wait_until("the server listens", || {
        let ended = server.child.try_wait().unwrap();
        assert_eq!(ended, None, "the server ended: {server:#?}");
        TcpStream::connect(local(port)).is_ok()
    });
    server
}

/// A run that holds its connections, once all of its dials are decided.
fn dial_500_and_hold(port: u16, flags: &[&str]) -> Running {
    hold(Running::start(dial_500(port, flags)))
}

/// The same with every line of `--debug`, in a file: a pipe that nobody is quick to read loses
/// some.
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

/// All were established and some are left: that the server closed the others is told, and is no
/// error.
#[track_caller]
fn assert_some_closed(run: &Outcome, port: u16, left: u64) {
    run.assert_code(0);
    assert_eq!(original(run, &local(port).to_string()).last, decided(500, left, 500 - left));
    run.find(&format!(
        "Established: 500 in all, # at most at once, {left} at the end, {} closed by the peer",
        500 - left
    ));
}

/// What is answered to one request, up to `end` or the end of all.
#[track_caller]
fn ask(mut stream: impl Read + Write, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).unwrap();
        answer.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&answer);
        if length == 0 || text.contains(end) {
            return text.into_owned();
        }
    }
}

/// A connection to ask something on.
fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The number that follows `title`.
#[track_caller]
fn number_after(text: &str, title: &str) -> u64 {
    let rest = text.split_once(title).map_or("", |(_, rest)| rest).trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{title:?}: {text:?}"))
}

/// How many connections the kernel has on the server's side of a port.
fn established_at(port: u16) -> usize {
    let sockets = command(&format!("ss -Htn state established sport = :{port}"));
    succeed(sockets, "").lines().count()
}

#[test]
fn nginx_counts_the_same_500() {
    let Some(mut nginx) = installed("nginx") else { return };
    let (scratch, port) = (Scratch::new(), free_port());
    // Temporary files are in the prefix; all paths of our own are relative to it.
    let config = scratch.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid pid; error_log stderr;
             events {{ worker_connections 2048; }}
             http {{
                 access_log off;
                 client_body_temp_path body; proxy_temp_path proxy; scgi_temp_path scgi;
                 fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
                 server {{ listen 127.0.0.1:{port}; location / {{ stub_status; }} }}
             }}"
        ),
    );
    nginx.args(["-e", "stderr", "-p"]).arg(scratch.path("")).arg("-c").arg(config);
    let _server = start(nginx, port);
    let active = || {
        let status = ask(connect(port), "GET / HTTP/1.0\r\n\r\n", "Waiting: ");
        number_after(&status, "Active connections:")
    };
    wait_until("only the question is open", || active() == 1);

    let dialing = dial_500_and_hold(port, &[]);
    wait_until("nginx has all and the question", || active() == 501);
    assert_all_established(&interrupt(dialing), port);
    wait_until("nginx has seen them go", || active() == 1);
}

fn redis(scratch: &Scratch, port: u16, clients_max: u32) -> Option<Running> {
    let mut redis = installed("redis-server")?;
    let (port_word, clients_max) = (port.to_string(), clients_max.to_string());
    redis.args(["--bind", "127.0.0.1", "--port", &port_word, "--maxclients", &clients_max]);
    redis.args(["--save", "", "--appendonly", "no", "--dir"]).arg(scratch.path(""));
    let server = start(redis, port);
    wait_until("only the question is open", || redis_clients(port) == 1);
    Some(server)
}

fn redis_clients(port: u16) -> u64 {
    let info = ask(connect(port), "INFO clients\r\nQUIT\r\n", "+OK\r\n");
    number_after(&info, "connected_clients:")
}

#[test]
fn redis_counts_the_same_500() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    wait_until("redis has all and the question", || redis_clients(port) == 501);
    assert_all_established(&interrupt(dialing), port);
    wait_until("redis has seen them go", || redis_clients(port) == 1);
}

#[test]
fn redis_with_room_for_100_closes_the_rest_and_its_words_are_shown() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = redis(&scratch, port, 100) else { return };
    wait_until("nobody is connected", || established_at(port) == 0);
    let debug = scratch.path("debug");
    let dialing = dial_500_and_hold_with_debug(port, &[], &debug);
    dialing.wait_for_stats("redis has closed the rest", |stats| stats.closed == 400);
    assert_eq!(established_at(port), 100);

    let run = interrupt(dialing);
    assert_some_closed(&run, port, 100);
    let words = r#"received 36 bytes: "-ERR max number of clients reached\r\n""#;
    assert_eq!(fs::read_to_string(debug).unwrap().matches(words).count(), 400);
}

fn sshd(scratch: &Scratch, port: u16, startups_max: u32) -> Option<Running> {
    let mut sshd = installed("sshd")?;
    let key = scratch.path("key");
    let mut keygen = command("ssh-keygen -q -t ed25519");
    keygen.args(["-N", "", "-f"]).arg(&key);
    succeed(keygen, "");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // As root it wants this one, which otherwise its service makes.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    let config = scratch.write(
        "sshd_config",
        &format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nUsePAM no\n\
             MaxStartups {startups_max}\nLoginGraceTime 300\n",
            key.display(),
        ),
    );
    sshd.args(["-D", "-e", "-f"]).arg(config);
    let server = start(sshd, port);
    wait_until("nobody is connected", || established_at(port) == 0);
    Some(server)
}

// It makes a process of each connection, and its accept queue is short: a SYN may have to be
// repeated.

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
fn sshd_with_room_for_50_closes_the_rest() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = sshd(&scratch, port, 50) else { return };
    let dialing = dial_500_and_hold(port, &["-t", "25"]);
    dialing.wait_for_stats("sshd has closed the rest", |stats| stats.closed == 450);
    assert_eq!(established_at(port), 50);
    assert_some_closed(&interrupt(dialing), port, 50);
}

fn haproxy(scratch: &Scratch, port: u16, behind: SocketAddr, clients_max: u32) -> Option<Running> {
    let mut haproxy = installed("haproxy")?;
    let config = scratch.write(
        "haproxy.cfg",
        &format!(
            "global
                 maxconn 2000
                 stats socket {}
             defaults
                 mode tcp
                 retries 0
                 timeout connect 10s
                 timeout client 5m
                 timeout server 5m
             frontend front
                 bind 127.0.0.1:{port}
                 maxconn {clients_max}
                 default_backend back
             backend back
                 server one {behind}\n",
            scratch.path("stats").display()
        ),
    );
    haproxy.args(["-db", "-f"]).arg(config);
    let server = start(haproxy, port);
    let stats = scratch.path("stats");
    wait_until("it can be asked", || UnixStream::connect(&stats).is_ok());
    wait_until("nobody is connected", || haproxy_clients(scratch) == 0);
    Some(server)
}

/// The connections that its frontend has now: column `scur` of its statistics.
fn haproxy_clients(scratch: &Scratch) -> u64 {
    let stats = UnixStream::connect(scratch.path("stats")).unwrap();
    stats.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let table = ask(stats, "show stat\n", "\n\n");
    let titles = table.lines().next().unwrap();
    let front = table.lines().find(|line| line.starts_with("front,FRONTEND,")).unwrap();
    let mut cells = titles.split(',').zip(front.split(','));
    cells.find(|(title, _)| *title == "scur").unwrap().1.parse().unwrap()
}

#[test]
fn haproxy_and_the_server_behind_it_count_the_same_500() {
    let (scratch, port, behind) = (Scratch::new(), free_port(), Served::start(&[]));
    let Some(_server) = haproxy(&scratch, port, behind.address, 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    wait_until("haproxy has all", || haproxy_clients(&scratch) == 500);
    // The one before that asked whether haproxy listens may have come through, too.
    let all_open = |counts: [u64; 4]| matches!(counts, [500, 500, 500, 0] | [501, 500, 500, 1]);
    behind.wait_for_counts("so has the server behind it", all_open);
    assert_all_established(&interrupt(dialing), port);
    wait_until("haproxy has seen them go", || haproxy_clients(&scratch) == 0);
    let all_closed = |counts: [u64; 4]| matches!(counts, [500, 0, 500, 500] | [501, 0, 500, 501]);
    behind.wait_for_counts("so has the server", all_closed);
}

#[test]
fn haproxy_with_room_for_100_leaves_the_rest_in_its_queue_or_unanswered() {
    let (scratch, port, behind) = (Scratch::new(), free_port(), Served::start(&[]));
    let Some(_server) = haproxy(&scratch, port, behind.address, 100) else { return };
    let dialing = dial_500_and_hold(port, &["-t", "1"]);
    wait_until("haproxy is full", || haproxy_clients(&scratch) == 100);
    wait_until("its server has as many", || established_at(behind.address.port()) == 100);
    let listener = succeed(command(&format!("ss -Hltn sport = :{port}")), "");
    let queued = number_after(&listener, "LISTEN");
    let run = interrupt(dialing);

    // From here they all look the same: established. Behind haproxy only the first hundred are.
    run.assert_code(2);
    assert_eq!(original(&run, &local(port).to_string()).last, decided(500, 100 + queued, 0));
    assert_eq!(errors(&run), format!("{} timed out (server or network)", 400 - queued));
}

#[test]
fn haproxy_without_a_server_behind_it_closes_what_it_takes() {
    let (scratch, port) = (Scratch::new(), free_port());
    let Some(_server) = haproxy(&scratch, port, local(free_port()), 1000) else { return };
    let dialing = dial_500_and_hold(port, &[]);
    dialing.wait_for_stats("all are closed", |stats| stats.closed == 500);
    assert_some_closed(&interrupt(dialing), port, 0);
}
