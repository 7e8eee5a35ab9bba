//! What this machine can do: `serve` as a child, and a run against it as fast as the loop goes.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use super::driver::{self, Tables};
use super::host::{self, DESCRIPTORS_OWN, PortRange};
use super::sockets::bytes_per_connection;
use super::sys::{self, Signals};
use super::watch::{News, Run, Watch};
use crate::engine::{Key, Sample};
use crate::error::{Error, Result};
use crate::findings::{Calibration, Stopper};
use crate::plan::{CONNECTIONS_MAX, CalibrateArgs, Plan};
use crate::route::{Routes, Target};
use crate::units::Span;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Kernel memory of a connection whose two ends are both on this host, with no data under way: 8.1
/// KB measured as the growth of slabs on Linux 6.18, rounded up.
const KERNEL_BYTES_EACH: u64 = 9 * 1024;

/// A loopback handshake takes microseconds; one that takes this long was dropped.
const DIAL_TIMEOUT: Span = Span::from_s(5);

/// How often another port is tried, should somebody be quicker to take the one that was free.
const ATTEMPTS_MAX: u32 = 5;

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
    let (connections, stopper) = most(args, ports, server.address.port())?;
    let plan = plan(connections, server.address);
    let before = Reading::take(&server);
    let tables = Tables::new(&plan)?;
    // Not before the child has started, or it would inherit what is blocked.
    let signals = Signals::hold().map_err(|e| Error::system("cannot wait for signals", &e))?;
    let serve = server.address;
    let mut meter = Meter { server: &mut server, cpu: None, after: Reading::default() };
    let run = driver::run(&plan, tables, ports, &signals, &mut meter)?;
    let (cpu, after) = (meter.cpu.unwrap_or(before.cpu), meter.after);
    let calibration = Calibration {
        serve,
        connections,
        stopper,
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

/// How many connections the limits allow, and which of them allows the fewest.
fn most(
    args: &CalibrateArgs,
    ports: Option<PortRange>,
    server_port: u16,
) -> Result<(u32, Stopper)> {
    let (_, hard) = sys::descriptor_limit()
        .map_err(|error| Error::system("cannot read the limit on open files", &error))?;
    let mut limits = vec![(hard.saturating_sub(DESCRIPTORS_OWN), Stopper::Descriptors { hard })];
    if let Some(ports) = ports {
        let reserved = host::reserved_ports().into_iter().filter_map(|r| r.within(ports));
        let reserved: u32 = reserved.map(|range| range.count()).sum();
        // The server's own port is free for nobody, should it have been taken from the range.
        let taken = reserved + u32::from(ports.contains(server_port));
        let count = ports.count().saturating_sub(taken);
        limits.push((count.into(), Stopper::Ports { count }));
    }
    if let Some(available_bytes) = host::memory_bytes("MemAvailable") {
        let room = available_bytes / KERNEL_BYTES_EACH;
        limits.push((room, Stopper::Memory { available_bytes }));
    }
    // Last, so that it is not named where the machine allows no more either.
    limits.push((args.connections.unwrap_or(CONNECTIONS_MAX).into(), Stopper::Asked));
    let (count, stopper) =
        limits.into_iter().min_by_key(|(count, _)| *count).unwrap_or((1, Stopper::Asked));
    Ok((u32::try_from(count).unwrap_or(CONNECTIONS_MAX).max(1), stopper))
}

fn plan(connections: u32, server: SocketAddr) -> Plan {
    let target = Target { host: server.ip().to_string(), address: server };
    Plan { dial_timeout: Some(DIAL_TIMEOUT), ..Plan::plain(connections, Routes::to_one(target)) }
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// A `tcpgoon serve` that ends when this is dropped, or when this process ends in any other way.
struct Server {
    child: Child,
    address: SocketAddr,
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
                Err(why) => last = why,
            }
            from = port;
        }
        Err(Error::Setup(format!("cannot start 'tcpgoon serve' to dial: {last}")))
    }

    fn start_on(port: u16) -> std::result::Result<Server, String> {
        // This very program, even if its file has been replaced since.
        let mut command = Command::new("/proc/self/exe");
        command.args(["serve", "--interval", "0", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        sys::die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            // Its first line says where it listens; if it cannot it ends, and that ends the line.
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let address = line.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
        // From here on dropping it ends the child.
        let unknown = SocketAddr::new(LOOPBACK, port);
        let server = Server { child, address: address.unwrap_or(unknown) };
        address.map(|_| server).ok_or_else(|| format!("it does not listen on port {port}"))
    }

    /// Ends it, if it has not ended by itself.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
}

impl Watch for Meter<'_> {
    fn sample(&mut self, _: &Sample) {
        self.cpu.get_or_insert_with(|| sys::cpu_time().unwrap_or_default());
    }

    fn debug(&mut self, _: Key, _: News<'_>) {}

    fn done(&mut self, _: &Run, _: &Signals) {
        self.after = Reading::take(self.server);
        // The end that closes first is left with the TIME_WAITs, and the dialing end would lack the
        // ports for the next run.
        self.server.end();
    }
}
