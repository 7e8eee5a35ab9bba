//! nginx, redis, sshd and haproxy from their packages, on a free port of the loopback, with their files
//! in a temporary directory. One that is not installed is skipped aloud.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::listeners::listener;
use super::program::Running;
use super::tools::{Scratch, command, succeed};
use super::wait::{self, skip};

/// Where Debian installs servers; not in every `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The program of a server, if it is installed.
pub fn installed(name: &str) -> Option<Command> {
    let mut paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    let found = paths.find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found.map(Command::new)
}

pub fn free_port() -> u16 {
    listener("127.0.0.1").local_addr().unwrap().port()
}

pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait::wait_until(what, || holds().then_some(()));
}

/// Starts a server and waits until it accepts.
pub fn start(mut command: Command, port: u16) -> Running {
    command.stdin(Stdio::null());
    let mut server = Running::start(command);
    wait_until("the server listens", || {
        let ended = server.child.try_wait().unwrap();
        assert_eq!(ended, None, "the server ended: {server:#?}");
        TcpStream::connect(local(port)).is_ok()
    });
    server
}

/// The response to one request, up to `end` or the end of the stream.
#[track_caller]
pub fn ask(mut stream: impl Read + Write, request: &str, end: &str) -> String {
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

/// A connection for a request.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The number that follows `title`.
#[track_caller]
pub fn number_after(text: &str, title: &str) -> u64 {
    let rest = text.split_once(title).map_or("", |(_, rest)| rest).trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{title:?}: {text:?}"))
}

/// Established connections at a port, on the server's side.
pub fn established_at(port: u16) -> usize {
    let sockets = command(&format!("ss -Htn state established sport = :{port}"));
    succeed(sockets, "").lines().count()
}

/// nginx with its status as the only page.
pub fn nginx(scratch: &Scratch, port: u16, connections_max: u32) -> Option<Running> {
    let server = format!("listen 127.0.0.1:{port}; location / {{ stub_status; }}");
    nginx_with(scratch, port, connections_max, &server)
}

/// nginx with these lines for its server.
pub fn nginx_with(
    scratch: &Scratch,
    port: u16,
    connections_max: u32,
    server: &str,
) -> Option<Running> {
    let mut nginx = installed("nginx")?;
    // Temporary files are in the prefix; all paths of our own are relative to it.
    let config = scratch.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid pid; error_log stderr;
             events {{ worker_connections {connections_max}; }}
             http {{
                 access_log off;
                 client_body_temp_path body; proxy_temp_path proxy; scgi_temp_path scgi;
                 fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
                 server {{ {server} }}
             }}"
        ),
    );
    nginx.args(["-e", "stderr", "-p"]).arg(scratch.path("")).arg("-c").arg(config);
    Some(start(nginx, port))
}

/// A key and a self-signed certificate, in PEM.
pub fn certificate(scratch: &Scratch) -> Option<[PathBuf; 2]> {
    let mut openssl = installed("openssl")?;
    let [key, cert] = ["key.pem", "cert.pem"].map(|name| scratch.path(name));
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-days", "1", "-subj", "/CN=localhost", "-keyout"]).arg(&key);
    openssl.arg("-out").arg(&cert);
    succeed(openssl, "");
    Some([key, cert])
}

/// The TLS server of OpenSSL, for one connection after the other.
pub fn s_server(scratch: &Scratch, port: u16, flags: &str) -> Option<Running> {
    let [key, cert] = certificate(scratch)?;
    let mut openssl = installed("openssl")?;
    openssl.args(["s_server", "-www", "-accept", &local(port).to_string(), "-key"]).arg(key);
    openssl.arg("-cert").arg(cert).args(flags.split_whitespace());
    Some(start(openssl, port))
}

/// Python's ssl module: a thread for each connection. It prints the server name of each ClientHello.
pub fn python_tls(scratch: &Scratch, port: u16) -> Option<Running> {
    let [key, cert] = certificate(scratch)?;
    let mut python = installed("python3")?;
    python.args(["-u", "-c", PYTHON_TLS]).arg(port.to_string()).arg(cert).arg(key);
    Some(start(python, port))
}

const PYTHON_TLS: &str = "
import socketserver, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
def show(socket, name, context):
    # In one write: other threads write too.
    sys.stdout.write('name %s\\n' % name)
context.sni_callback = show
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            context.wrap_socket(self.request, server_side=True)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    request_queue_size, daemon_threads = 1000, True
Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

pub fn redis(scratch: &Scratch, port: u16, clients_max: u32) -> Option<Running> {
    let mut redis = installed("redis-server")?;
    let (port_word, clients_max) = (port.to_string(), clients_max.to_string());
    redis.args(["--bind", "127.0.0.1", "--port", &port_word, "--maxclients", &clients_max]);
    redis.args(["--save", "", "--appendonly", "no", "--dir"]).arg(scratch.path(""));
    let server = start(redis, port);
    wait_until("only the question is open", || redis_clients(port) == 1);
    Some(server)
}

pub fn redis_clients(port: u16) -> u64 {
    let info = ask(connect(port), "INFO clients\r\nQUIT\r\n", "+OK\r\n");
    number_after(&info, "connected_clients:")
}

pub fn sshd(scratch: &Scratch, port: u16, startups_max: u32) -> Option<Running> {
    let mut sshd = installed("sshd")?;
    let key = scratch.path("key");
    let mut keygen = command("ssh-keygen -q -t ed25519");
    keygen.args(["-N", "", "-f"]).arg(&key);
    succeed(keygen, "");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // As root it needs this directory, which its service otherwise makes.
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
    wait_until("no connection is left", || established_at(port) == 0);
    Some(server)
}

/// haproxy in front of one server; `mode` is `tcp` or `http`.
pub fn haproxy(
    scratch: &Scratch,
    port: u16,
    mode: &str,
    behind: SocketAddr,
    clients_max: u32,
) -> Option<Running> {
    let mut haproxy = installed("haproxy")?;
    let config = scratch.write(
        "haproxy.cfg",
        &format!(
            "global
                 maxconn 2000
                 stats socket {}
             defaults
                 mode {mode}
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
    wait_until("its statistics socket accepts", || UnixStream::connect(&stats).is_ok());
    wait_until("no connection is left", || haproxy_clients(scratch) == 0);
    Some(server)
}

/// The open connections of its frontend: column `scur` of its statistics.
pub fn haproxy_clients(scratch: &Scratch) -> u64 {
    let stats = UnixStream::connect(scratch.path("stats")).unwrap();
    stats.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let table = ask(stats, "show stat\n", "\n\n");
    let titles = table.lines().next().unwrap();
    let front = table.lines().find(|line| line.starts_with("front,FRONTEND,")).unwrap();
    let mut cells = titles.split(',').zip(front.split(','));
    cells.find(|(title, _)| *title == "scur").unwrap().1.parse().unwrap()
}
