//! `tcpgoon calibrate`: runs `serve` as a child, and dials it unpaced.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::clock::Clock;
use super::driver::{self, Tables};
use super::host::{self, PortRange};
use super::sockets::bytes_per_connection;
use super::sys::{self, Signals};
use super::watch::{DebugEvent, Run, Watch};
use crate::args::CalibrateArgs;
use crate::engine::{Key, Sample};
use crate::error::{Error, Result, why};
use crate::limits::{self, Knob, OWN_BYTES};
use crate::measured::{Calibration, LimitedBy};
use crate::plan::{CONNECTIONS_MAX, Plan};
use crate::route::{Routes, Target};
use crate::units::Span;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A loopback handshake takes microseconds; after this time its SYNs were dropped.
const DIAL_TIMEOUT: Span = Span::from_s(5);

/// Attempts to start `serve`: another process can take the port that was free.
const ATTEMPTS_MAX: u32 = 5;

/// The most time that `serve` gets to print its first line, and to end.
const CHILD_TIME_MAX: Span = Span::from_s(5);

/// The most bytes of its first line.
const LINE_BYTES_MAX: usize = 256;

/// Measures this machine and hands the result to `done`, with the signals that are blocked by then.
/// The child has ended when this returns, also with an error.
///
/// # Errors
/// [`Error::Setup`] if `serve` does not start or no memory is left; those of [`driver::run`].
pub fn calibrate(
    args: &CalibrateArgs,
    done: &mut dyn FnMut(&Calibration, &Signals),
) -> Result<Calibration> {
    // If this fails, the limits that are judged below are lower.
    host::raise_nofile_limit(args.connections.unwrap_or(CONNECTIONS_MAX));
    let ports = host::local_port_range();
    let mut server = Server::start(ports)?;
    let (connections, limited_by) = connections_max(args, server.address)?;
    let plan = plan(connections, server.address);
    let before = Usage::take(&server);
    let tables = Tables::new(&plan)?;
    // Only after the child has started: it would inherit the blocked signals.
    let signals = Signals::hold().map_err(|e| Error::system("cannot receive signals", &e))?;
    let serve = server.address;
    let (cpu, after, ended) = (None, Usage::default(), None);
    let mut meter = Meter { server: &mut server, cpu, after, ended };
    let run = driver::run(&plan, tables, ports, &signals, &mut meter)?;
    let (cpu, after, ended) = (meter.cpu.unwrap_or(before.cpu), meter.after, meter.ended);
    let calibration = Calibration {
        serve,
        connections,
        limited_by,
        serve_ended: ended,
        summary: run.summary,
        turn_longest: run.turn_longest,
        cpu: after.cpu - cpu,
        client_bytes_each: bytes_per_connection(&plan),
        serve_bytes: grown(before.serve_bytes, after.serve_bytes),
        kernel_bytes: grown(before.kernel_bytes, after.kernel_bytes),
    };
    done(&calibration, &signals);
    Ok(calibration)
}

/// The number of connections that [`limits::judge`] allows, as for a run, and the limit that allows
/// the fewest.
///
/// # Errors
/// [`Error::Setup`] if there is no memory for one connection.
fn connections_max(args: &CalibrateArgs, server: SocketAddr) -> Result<(u32, LimitedBy)> {
    let requested = args.connections.unwrap_or(CONNECTIONS_MAX);
    let plan = plan(requested, server);
    let mut host = host::read(&plan);
    // Neither process has allocated its own memory yet, and the OOM killer gives no warning.
    let both = 2 * OWN_BYTES;
    let available = host.memory_available_bytes.as_mut();
    available.into_iter().for_each(|bytes| *bytes = bytes.saturating_sub(both));
    for cgroup in &mut host.cgroups {
        cgroup.bytes.used = cgroup.bytes.used.saturating_add(both);
    }
    let Some(finding) = limits::judge(&plan, &host).into_iter().next() else {
        return Ok((requested, LimitedBy::Requested));
    };
    let is_memory = matches!(finding.knob, Knob::Memory { .. } | Knob::Cgroup { .. });
    if is_memory && finding.connections == 0 {
        return Err(Error::Setup(
            "not enough memory for one connection and its server: see MemAvailable in \
             /proc/meminfo and the memory limit of the cgroup"
                .into(),
        ));
    }
    let count = u32::try_from(finding.connections).unwrap_or(CONNECTIONS_MAX);
    Ok((count.clamp(1, requested), LimitedBy::Limit(finding.knob)))
}

fn plan(connections: u32, server: SocketAddr) -> Plan {
    let target = Target { host: server.ip().to_string(), address: server };
    Plan { dial_timeout: Some(DIAL_TIMEOUT), ..Plan::plain(connections, Routes::to_one(target)) }
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// A child `tcpgoon serve` that ends when this is dropped, and when this process ends in any other
/// way: its standard input ends then. PDEATHSIG alone is not enough: exec clears it if the file has
/// capabilities.
struct Server {
    child: Child,
    /// Closed when the child has ended.
    output: Option<ChildStdout>,
    address: SocketAddr,
}

/// Why `serve` did not start.
struct NotStarted {
    why: String,
    /// It timed out: another attempt would, too.
    is_stuck: bool,
}

impl Server {
    /// Starts `serve` on a free port below the ephemeral range, so that no dial can use the port or
    /// connect to itself; on any free port if there is none.
    fn start(ports: Option<PortRange>) -> Result<Server> {
        let mut last = "no port is free".to_owned();
        // Not always the same port: the last calibration left connections to it in TIME_WAIT.
        let below = u16::try_from(std::process::id() % 1000).unwrap_or(0);
        let mut from = ports.map_or(32_768, |ports| ports.low).saturating_sub(below);
        for _ in 0..ATTEMPTS_MAX {
            let port = free_port_below(from);
            match Server::start_on(port) {
                Ok(server) => return Ok(server),
                Err(NotStarted { why, is_stuck }) => {
                    last = why;
                    if is_stuck {
                        break;
                    }
                }
            }
            from = port;
        }
        Err(Error::Setup(format!("cannot start 'tcpgoon serve' to dial: {last}")))
    }

    fn start_on(port: u16) -> std::result::Result<Server, NotStarted> {
        // This very program, even if its file has been replaced since.
        let program = "/proc/self/exe";
        let mut command = Command::new(program);
        command.args(["serve", "--until-eof", "--interval", "0", "--port", &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        sys::die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| {
            let hint =
                if error.kind() == ErrorKind::NotFound { " (is /proc mounted?)" } else { "" };
            NotStarted { why: format!("{program}: {}{hint}", why(&error)), is_stuck: false }
        })?;
        let output = child.stdout.take();
        // From here on a drop ends the child.
        let unknown = SocketAddr::new(LOOPBACK, port);
        let mut server = Server { child, output, address: unknown };
        // Its first line ends with the address; if it cannot listen it ends, and so does the line.
        let line = server.first_line();
        let address = line.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
        server.address = address.ok_or_else(|| match server.ended() {
            Some(how) => {
                let why = format!("it ended ({how}) and does not listen on port {port}");
                NotStarted { why, is_stuck: false }
            }
            None => {
                let why = format!("it did not listen within {CHILD_TIME_MAX}");
                NotStarted { why, is_stuck: true }
            }
        })?;
        Ok(server)
    }

    /// Its first line, or what it printed of that within [`CHILD_TIME_MAX`].
    fn first_line(&mut self) -> String {
        let clock = Clock::start();
        let mut line = Vec::new();
        let Some(output) = &mut self.output else { return String::new() };
        while line.len() < LINE_BYTES_MAX && !line.ends_with(b"\n") {
            let left = CHILD_TIME_MAX.0.saturating_sub(clock.now().0);
            let ready = sys::wait_for([(output.as_fd(), libc::POLLIN)], Some(Span(left)));
            let mut byte = [0];
            match ready {
                Ok([true]) if matches!(output.read(&mut byte), Ok(1)) => line.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Its exit status, if it has ended by itself.
    fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Kills it. A process that the kernel cannot end, as it waits for a device, is not waited for.
    fn end(&mut self) {
        let _ = self.child.kill();
        let is_gone = self.output.take().is_none_or(|output| {
            let gone = sys::wait_for([(output.as_fd(), 0)], Some(CHILD_TIME_MAX));
            matches!(gone, Ok([true]))
        });
        // Once its descriptors are closed wait() does not block for long.
        let _ = if is_gone { self.child.wait().map(Some) } else { self.child.try_wait() };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The highest of the 1000 ports below `from` that is free on the loopback; 0, any free port, if
/// none is.
fn free_port_below(from: u16) -> u16 {
    let free = |port: &u16| TcpListener::bind((LOOPBACK, *port)).is_ok();
    (1024..from).rev().take(1000).find(free).unwrap_or(0)
}

/// CPU time and memory at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    cpu: Span,
    serve_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
}

impl Usage {
    fn take(server: &Server) -> Usage {
        Usage {
            cpu: sys::cpu_time().unwrap_or_default(),
            serve_bytes: host::resident_bytes(server.child.id()),
            kernel_bytes: host::memory_bytes("Slab"),
        }
    }
}

/// Prints nothing, and reads the usage while the sockets are still open.
struct Meter<'a> {
    server: &'a mut Server,
    /// CPU time before the first dial: filling the tables is no part of a connection's cost.
    cpu: Option<Span>,
    after: Usage,
    /// How the server ended, if it ended by itself.
    ended: Option<String>,
}

impl Watch for Meter<'_> {
    fn sample(&mut self, _: &Sample) {
        self.cpu.get_or_insert_with(|| sys::cpu_time().unwrap_or_default());
    }

    fn debug(&mut self, _: Key, _: DebugEvent<'_>) {}

    fn done(&mut self, _: &Run, _: &Signals) {
        self.after = Usage::take(self.server);
        self.ended = self.server.ended();
        // The end that closes first keeps the ports in TIME_WAIT: it has to be the server's, or the
        // next run would lack ephemeral ports.
        self.server.end();
    }
}
