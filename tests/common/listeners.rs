//! Listeners to dial: `tcpgoon serve`, one in the test, and a closed port.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use super::output::counts;
use super::program::{Outcome, Running, tcpgoon};
use super::wait::wait_until;

/// A port that is likely to be free, below the ephemeral range: that one may be full of TIME_WAIT.
pub fn likely_port() -> u16 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    10_000 + (hasher.finish() % 20_000) as u16
}

/// A listener on the loopback.
pub fn listener(ip: &str) -> TcpListener {
    wait_until("a port is free", || TcpListener::bind((ip, likely_port())).ok())
}

/// A `tcpgoon serve` on a free port.
#[derive(Debug)]
pub struct Served {
    pub running: Running,
    pub address: SocketAddr,
}

impl Served {
    pub fn start(args: &[&str]) -> Served {
        Served::start_with(args, tcpgoon)
    }

    /// As [`Served::start`], where `command` makes the command from the arguments.
    pub fn start_with(args: &[&str], command: impl Fn(&[&str]) -> Command) -> Served {
        wait_until("serve finds a free port", || {
            let port = likely_port().to_string();
            let mut running = Running::start(command(&[&["serve", "-p", &port], args].concat()));
            let address = wait_until("serve listens, or ends", || {
                let text = running.stdout.text();
                let address =
                    text.lines().next().and_then(|line| line.strip_prefix("Listening on "));
                let address = address.filter(|_| text.contains('\n')).map(|a| a.parse().unwrap());
                let is_known = address.is_some() || running.child.try_wait().unwrap().is_some();
                is_known.then_some(address)
            })?;
            Some(Served { running, address })
        })
    }

    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Ends it with SIGTERM.
    pub fn end(self) -> Outcome {
        self.running.signal(Signal::SIGTERM);
        self.running.outcome()
    }

    /// Waits for a statistics line that fits: accepted, open, most open, closed.
    #[track_caller]
    pub fn wait_for_counts(&self, what: &str, fits: impl Fn([u64; 4]) -> bool) {
        self.running.stdout.wait_for(what, |line| counts(line).filter(|c| fits(*c)));
    }
}

/// A listener in the test: `handle` gets each connection, one after the other.
pub fn listen(handle: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = listener("127.0.0.1");
    let address = listener.local_addr().unwrap();
    // It ends with the test.
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(handle));
    address
}

/// A port without a listener that no other process can bind: it is the near end of a connection.
#[derive(Debug)]
pub struct ClosedPort {
    pub address: SocketAddr,
    _ends: (TcpListener, TcpStream),
}

impl ClosedPort {
    pub fn new() -> ClosedPort {
        let listener = listener("127.0.0.1");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ClosedPort { address: stream.local_addr().unwrap(), _ends: (listener, stream) }
    }

    pub fn target(&self) -> String {
        self.address.to_string()
    }
}
