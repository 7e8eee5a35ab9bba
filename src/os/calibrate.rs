//! What this machine can do: `serve` as a child, and a run against it as fast as the loop goes.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::clock::Clock;
use super::driver::{self, Tables};
use super::host::{self, PortRange};
use super::sockets::bytes_per_connection;
use super::sys::{self, Signals};
use super::watch::{News, Run, Watch};
use crate::engine::{Key, Sample};
use crate::error::{Error, Result, why};
use crate::findings::{Calibration, Stopper};
use crate::limits::{self, Knob, OWN_BYTES};
use crate::plan::{CONNECTIONS_MAX, CalibrateArgs, Plan};
use crate::route::{Routes, Target};
use crate::units::Span;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A loopback handshake takes microseconds; one that takes this long was dropped.
const DIAL_TIMEOUT: Span = Span::from_s(5);

/// How often another port is tried, should somebody be quicker to take the one that was free.
const ATTEMPTS_MAX: u32 = 5;

/// A child that takes longer to print its first line, or to end, is given up.
const CHILD_TIME_MAX: Span = Span::from_s(5);

/// Its first line is no longer.
const LINE_BYTES_MAX: usize = 256;

/// Measures this machine and hands the result to `done`, with the signals that are held by then.
/// The child has ended when this returns, whatever happened.
///
/// # Errors
/// [`Error::Setup`] if the server does not come up; what [`driver::run`] fails with.
pub fn calibrate(
    args: &CalibrateArgs,
    done: &mut dyn FnMut(&Calibration, &Signals),
) -> Result<Calibration> {
    // If it cannot be raised, the dials that find no descriptor will say so.
    host::make_room_for(args.connections.unwrap_or(CONNECTIONS_MAX));
    let ports = host::local_port_range();
    let mut server = Server::start(ports)?;
    let (connections, stopper) = most(args, server.address)?;
    let plan = plan(connections, server.address);
    let before = Reading::take(&server);
    let tables = Tables::new(&plan)?;
    // Not before the child has started, or it would inherit what is blocked.
    let signals = Signals::hold().map_err(|e| Error::system("cannot wait for signals", &e))?;
    let serve = server.address;
    let (cpu, after, ended) = (None, Reading::default(), None);
    let mut meter = Meter { server: &mut server, cpu, after, ended };
    let run = driver::run(&plan, tables, ports, &signals, &mut meter)?;
    let (cpu, after, ended) = (meter.cpu.unwrap_or(before.cpu), meter.after, meter.ended);
    let calibration = Calibration {
        serve,
        connections,
        stopper,
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

/// How many connections the limits allow, those that a run is judged by, and which of them allows
/// the fewest.
///
/// # Errors
/// [`Error::Setup`] where there is no memory for one.
fn most(args: &CalibrateArgs, server: SocketAddr) -> Result<(u32, Stopper)> {
    let asked = args.connections.unwrap_or(CONNECTIONS_MAX);
    let plan = plan(asked, server);
    let mut host = host::read(&plan);
    // Neither process has what it takes for itself yet, and nothing is said where the kernel finds
    // none: it ends the process.
    let both = 2 * OWN_BYTES;
    let available = host.memory_available_bytes.as_mut();
    available.into_iter().for_each(|bytes| *bytes = bytes.saturating_sub(both));
    for cgroup in &mut host.cgroups {
        cgroup.bytes.used = cgroup.bytes.used.saturating_add(both);
    }
    let Some(finding) = limits::judge(&plan, &host).into_iter().next() else {
        return Ok((asked, Stopper::Asked));
    };
    let is_memory = matches!(finding.knob, Knob::Memory { .. } | Knob::Cgroup { .. });
    if is_memory && finding.connections == 0 {
        return Err(Error::Setup(
            "no memory is left for a single connection and its server: see MemAvailable in \
             /proc/meminfo and the memory limit of the cgroup"
                .into(),
        ));
    }
    let count = u32::try_from(finding.connections).unwrap_or(CONNECTIONS_MAX);
    Ok((count.clamp(1, asked), Stopper::Limit(finding.knob)))
}

fn plan(connections: u32, server: SocketAddr) -> Plan {
    let target = Target { host: server.ip().to_string(), address: server };
    Plan { dial_timeout: Some(DIAL_TIMEOUT), ..Plan::plain(connections, Routes::to_one(target)) }
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// A `tcpgoon serve` that ends when this is dropped, or when this process ends in any other way: its
/// standard input ends then. A signal at the end of the parent alone would not do, as exec clears
/// that where the file has capabilities.
struct Server {
    child: Child,
    /// Ends with it.
    output: Option<ChildStdout>,
    address: SocketAddr,
}

/// Why there is no [`Server`].
struct NotStarted {
    why: String,
    /// Another one would take as long.
    is_stuck: bool,
}

impl Server {
    /// Starts one on a free port below those that `connect()` chooses from, so that no dial can
    /// take it or meet itself; on any port where none is free there.
    fn start(ports: Option<PortRange>) -> Result<Server> {
        let mut last = "no port is free".to_owned();
        // Not always the same port: what the last calibration left in TIME_WAIT is in the way there.
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
        // From here on dropping it ends the child.
        let unknown = SocketAddr::new(LOOPBACK, port);
        let mut server = Server { child, output, address: unknown };
        // Its first line says where it listens; if it cannot it ends, and that ends the line.
        let line = server.first_line();
        let address = line.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
        server.address = address.ok_or_else(|| match server.ended() {
            Some(how) => {
                let why = format!("it does not listen on port {port}, and ended ({how})");
                NotStarted { why, is_stuck: false }
            }
            None => {
                let why = format!("within {CHILD_TIME_MAX} it does not listen");
                NotStarted { why, is_stuck: true }
            }
        })?;
        Ok(server)
    }

    /// What it printed up to the end of its first line, in the time that it has.
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

    /// How it ended, if it has ended by itself.
    fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Ends it, if it has not ended by itself. One that the kernel cannot end, as it waits for a
    /// device, is not waited for.
    fn end(&mut self) {
        let _ = self.child.kill();
        let is_gone = self.output.take().is_none_or(|output| {
            let gone = sys::wait_for([(output.as_fd(), 0)], Some(CHILD_TIME_MAX));
            matches!(gone, Ok([true]))
        });
        // Its descriptors are closed: what is left of its end takes no time.
        let _ = if is_gone { self.child.wait().map(Some) } else { self.child.try_wait() };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The highest port below `from` that nobody has on the loopback; 0, the system's choice, if there
/// is none.
fn free_port_below(from: u16) -> u16 {
    let free = |port: &u16| TcpListener::bind((LOOPBACK, *port)).is_ok();
    (1024..from).rev().take(1000).find(free).unwrap_or(0)
}

/// What processors and memory say at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    cpu: Span,
    serve_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
}

impl Reading {
    fn take(server: &Server) -> Reading {
        Reading {
            cpu: sys::cpu_time().unwrap_or_default(),
            serve_bytes: host::resident_bytes(server.child.id()),
            kernel_bytes: host::memory_bytes("Slab"),
        }
    }
}

/// Watches a run in silence, and reads once more while the sockets are open.
struct Meter<'a> {
    server: &'a mut Server,
    /// When the first dial was about to start: filling the tables is no part of a connection's cost.
    cpu: Option<Span>,
    after: Reading,
    /// How the server ended by itself.
    ended: Option<String>,
}

impl Watch for Meter<'_> {
    fn sample(&mut self, _: &Sample) {
        self.cpu.get_or_insert_with(|| sys::cpu_time().unwrap_or_default());
    }

    fn debug(&mut self, _: Key, _: News<'_>) {}

    fn done(&mut self, _: &Run, _: &Signals) {
        self.after = Reading::take(self.server);
        self.ended = self.server.ended();
        // The end that closes first is left with the TIME_WAITs, and the dialing end would lack the
        // ports for the next run.
        self.server.end();
    }
}
