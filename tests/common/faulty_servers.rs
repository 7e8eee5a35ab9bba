//! A server with one fault or limit, in a thread of the test; its sockets may be in a namespace.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use super::netns::inside;

/// What a server does with its connections. Those that the client closes it closes too.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Keep,
    /// Keeps a number of connections; sends `error_line` on the others and closes them at once.
    Max {
        count: usize,
        error_line: &'static str,
    },
    /// Keeps a number of new ones a second; closes the others at once.
    Rate(usize),
    /// Keeps a number for each client address; closes the others at once.
    PerClient(usize),
    /// Closes all that are older than an age, at an interval.
    Sweep {
        age: Duration,
        every: Duration,
    },
    /// Sends TCP keepalives.
    Keepalive {
        every_s: u32,
    },
    /// TCP_DEFER_ACCEPT: accepts a connection with its first data, or after a timeout.
    Defer {
        timeout_s: i32,
    },
    Slow {
        every: Duration,
        backlog: i32,
    },
    /// Of several listeners at the port (`SO_REUSEPORT`), a number never accept.
    Stuck {
        stuck: usize,
        of: usize,
        backlog: i32,
    },
    Never {
        backlog: i32,
    },
    /// Answers the first bytes of each, and closes it.
    Answer(&'static str),
    /// Closes each at an age.
    Age(Duration),
    /// At a time after the first one closes all, and goes on accepting.
    DropAll(Duration),
    /// The same by RST, as a process that crashes with unread data.
    ResetAll(Duration),
}

const BACKLOG: i32 = 4096;

/// How often the thread checks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Tokens of listeners begin here; those of connections are their descriptors.
const LISTENERS: usize = 1 << 32;

/// Ends when dropped, and closes everything.
#[derive(Debug)]
pub struct FaultyServer {
    held: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FaultyServer {
    /// A server, listening.
    pub fn start(namespace: &str, address: SocketAddrV4, fault: Fault) -> FaultyServer {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let (count, backlog) = match fault {
            Fault::Stuck { of, backlog, .. } => (of, backlog),
            Fault::Slow { backlog, .. } | Fault::Never { backlog } => (1, backlog),
            _ => (1, BACKLOG),
        };
        let open = || (0..count).map(|_| listener(address, backlog, fault)).collect();
        let listeners: Vec<TcpListener> = inside(namespace, open);
        let (held, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let server = Server::new(listeners, fault, Arc::clone(&held));
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || server.run_until(&is_over)
        });
        FaultyServer { held, is_over, thread: Some(thread) }
    }

    /// Connections that it has accepted and not closed.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

fn listener(address: SocketAddrV4, backlog: i32, fault: Fault) -> TcpListener {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    setsockopt(&listener, sockopt::ReuseAddr, &true).unwrap();
    match fault {
        Fault::Stuck { .. } => setsockopt(&listener, sockopt::ReusePort, &true).unwrap(),
        Fault::Defer { timeout_s } => defer_accept(&listener, timeout_s),
        _ => {}
    }
    bind(listener.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
    socket::listen(&listener, Backlog::new(backlog).unwrap()).unwrap();
    TcpListener::from(listener)
}

fn defer_accept(listener: &OwnedFd, timeout_s: i32) {
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    let length = libc::socklen_t::try_from(size_of::<i32>()).unwrap();
    // SAFETY: the value is an `int` that lives until the call returns, and its size is given.
    let result = unsafe {
        libc::setsockopt(listener.as_raw_fd(), level, name, (&raw const timeout_s).cast(), length)
    };
    assert_eq!(result, 0, "TCP_DEFER_ACCEPT");
}

struct Connection {
    stream: TcpStream,
    client: IpAddr,
    since: Instant,
}

struct Server {
    poll: Poll,
    listeners: Vec<TcpListener>,
    fault: Fault,
    connections: HashMap<usize, Connection>,
    /// In the order of accept; some are closed.
    accepted: VecDeque<(usize, Instant)>,
    by_client: HashMap<IpAddr, usize>,
    began: Instant,
    /// When the next sweep, slow accept or drop is due.
    next: Instant,
    held: Arc<AtomicUsize>,
}

impl Server {
    fn new(listeners: Vec<TcpListener>, fault: Fault, held: Arc<AtomicUsize>) -> Server {
        let poll = Poll::new().unwrap();
        let stuck = match fault {
            Fault::Stuck { stuck, .. } => stuck,
            Fault::Never { .. } | Fault::Slow { .. } => 1,
            _ => 0,
        };
        for (index, listener) in listeners.iter().enumerate().skip(stuck) {
            let fd = listener.as_raw_fd();
            let mut source = SourceFd(&fd);
            let token = Token(LISTENERS + index);
            poll.registry().register(&mut source, token, Interest::READABLE).unwrap();
        }
        let now = Instant::now();
        let next = match fault {
            Fault::Sweep { every, .. } => now + every,
            _ => now,
        };
        let (connections, by_client) = (HashMap::new(), HashMap::new());
        let accepted = VecDeque::new();
        Server { poll, listeners, fault, connections, accepted, by_client, began: now, next, held }
    }

    fn run_until(mut self, is_over: &AtomicBool) {
        let mut events = Events::with_capacity(1024);
        while !is_over.load(Ordering::Relaxed) {
            let wake = self.on_time(Instant::now());
            // EINTR is possible.
            let _ = self.poll.poll(&mut events, Some(wake));
            for event in &events {
                match event.token() {
                    Token(token) if token >= LISTENERS => self.accept_all(token - LISTENERS),
                    Token(connection) => self.on_readable(connection),
                }
            }
            self.held.store(self.connections.len(), Ordering::Relaxed);
        }
    }

    fn accept_all(&mut self, listener: usize) {
        while let Ok((stream, peer)) = self.listeners[listener].accept() {
            self.admit(stream, peer.ip());
        }
    }

    fn admit(&mut self, mut stream: TcpStream, client: IpAddr) {
        let now = Instant::now();
        let is_admitted = match self.fault {
            Fault::Max { count, .. } => self.connections.len() < count,
            Fault::Rate(count) => {
                let second = Duration::from_secs(1);
                let recent = |(_, since): &&(usize, Instant)| now - *since < second;
                self.accepted.iter().rev().take_while(recent).count() < count
            }
            Fault::PerClient(count) => self.by_client.get(&client).is_none_or(|held| *held < count),
            _ => true,
        };
        if !is_admitted {
            if let Fault::Max { error_line, .. } = self.fault {
                // The client may have closed.
                let _ = stream.write_all(error_line.as_bytes());
            }
            return;
        }
        stream.set_nonblocking(true).unwrap();
        if let Fault::Keepalive { every_s } = self.fault {
            setsockopt(&stream, sockopt::KeepAlive, &true).unwrap();
            setsockopt(&stream, sockopt::TcpKeepIdle, &every_s).unwrap();
            setsockopt(&stream, sockopt::TcpKeepInterval, &every_s).unwrap();
        }
        let fd = stream.as_raw_fd();
        let token = usize::try_from(fd).unwrap();
        let mut source = SourceFd(&fd);
        self.poll.registry().register(&mut source, Token(token), Interest::READABLE).unwrap();
        if self.connections.is_empty() && self.accepted.is_empty() {
            self.began = now;
        }
        *self.by_client.entry(client).or_default() += 1;
        self.accepted.push_back((token, now));
        self.connections.insert(token, Connection { stream, client, since: now });
        // Data may have arrived before it was registered.
        self.on_readable(token);
    }

    fn on_readable(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let mut buffer = [0; 4096];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => return self.close(token),
                Ok(_) => {
                    if let Fault::Answer(answer) = self.fault {
                        // The client may have closed.
                        let _ = connection.stream.write_all(answer.as_bytes());
                        return self.close(token);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(token),
            }
        }
    }

    fn close(&mut self, token: usize) {
        if let Some(connection) = self.connections.remove(&token) {
            if let Fault::ResetAll(_) = self.fault {
                let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&connection.stream, sockopt::Linger, &at_once).unwrap();
            }
            *self.by_client.entry(connection.client).or_default() -= 1;
        }
    }

    /// Does what is due, and returns the time to the next.
    fn on_time(&mut self, now: Instant) -> Duration {
        match self.fault {
            Fault::Age(age) => return self.close_older(now, age),
            Fault::Sweep { age, every } if self.next <= now => {
                self.close_older(now, age);
                self.next += every;
            }
            Fault::Slow { every, .. } if self.next <= now => match self.listeners[0].accept() {
                Ok((stream, peer)) => {
                    self.admit(stream, peer.ip());
                    self.next = now + every;
                }
                Err(_) => return Duration::from_millis(1),
            },
            Fault::DropAll(after) | Fault::ResetAll(after) if !self.accepted.is_empty() => {
                // Once.
                if now >= self.began + after && self.next < self.began + after {
                    self.next = self.began + after;
                    self.close_older(now, Duration::ZERO);
                }
                return (self.began + after).saturating_duration_since(now).min(LOOK);
            }
            _ => {}
        }
        self.next.checked_duration_since(now).map_or(LOOK, |wait| wait.min(LOOK))
    }

    /// Returns the time to the next.
    fn close_older(&mut self, now: Instant, age: Duration) -> Duration {
        while let Some((token, since)) = self.accepted.front().copied() {
            if now < since + age {
                return (since + age - now).min(LOOK);
            }
            self.accepted.pop_front();
            // The descriptor may be reused.
            if self.connections.get(&token).is_some_and(|held| held.since == since) {
                self.close(token);
            }
        }
        LOOK
    }
}
