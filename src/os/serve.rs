//! `tcpgoon serve`: a listener to test against. One thread and one poll loop, like the driver. It
//! must not be the bottleneck of a test, so a burst of dials is accepted in batches, not with one
//! wake-up each.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::event::Event as Readiness;
use mio::{Events, Interest, Token};

use super::clients::{ClientId, Clients, Served};
use super::host;
use super::poller::{self, Poller};
use super::sys::{self, End as SocketEnd, Signals};
use crate::args::{End, ServeArgs};
use crate::error::{Error, Result};
use crate::measured::{ServeCounts, ServeEvent};
use crate::plan::CONNECTIONS_MAX;
use crate::units::{Moment, Span, next_beat};

/// Clients have their descriptor as token, which is below 2^31.
const LISTENER: Token = Token(u32::MAX as usize - 2);

/// Standard input.
const INPUT: Token = Token(u32::MAX as usize - 3);

const EVENTS_MAX: usize = 256;
const ACCEPTS_MAX: u32 = 256;
const EXPIRIES_MAX: u32 = 256;
const CLIENTS_SERVED_MAX: u32 = 16;

/// After some connections were accepted more are likely to come: they are accepted together after
/// this time.
const BATCH_DELAY: Span = Span::from_us(500);

/// When a resource was exhausted, accepting is tried again after this time even if no connection
/// was closed.
const RETRY: Span = Span::from_ms(100);

/// That it stops accepting is reported at most this often: at a limit that can change with every
/// close.
const EVENT_GAP: Span = Span::from_s(1);

/// Receives the reports of a server. The loop waits for each call: none may block for long.
pub trait ServeWatch {
    fn event(&mut self, event: ServeEvent);
    /// A statistics line is due.
    fn sample(&mut self, counts: &ServeCounts);
    /// The end: its duration is over, or a signal came.
    fn done(&mut self, counts: &ServeCounts, signals: &Signals);
}

/// Accepts connections until `--duration` is over, a signal comes, or with `--until-eof` standard
/// input ends.
///
/// # Errors
/// [`Error::Setup`] if it cannot listen; [`Error::System`] if something else that it needs is
/// missing, or if polling fails: then the counts are reported all the same.
pub fn serve(args: &ServeArgs, signals: &Signals, watch: &mut dyn ServeWatch) -> Result<()> {
    let mut server = Server::new(args, signals, watch)?;
    let ended = server.run_loop(watch);
    watch.done(&server.clients.counts, signals);
    ended
}

/// The state of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// Never accepts.
    Off,
    /// The listener is in the poll set.
    Watching,
    /// It is not: accept() is called at this moment.
    Due(Moment),
    /// Not accepting until a connection is closed, or until this moment.
    Paused(Option<Moment>),
}

struct Server<'a> {
    args: &'a ServeArgs,
    signals: &'a Signals,
    poller: Poller,
    listener: OwnedFd,
    accepting: Accepting,
    clients: Clients,
    start: Moment,
    sample_due: Option<Moment>,
    end_due: Option<Moment>,
    /// When it may report again that it stops accepting; `None`: not before it accepts again.
    event_due: Option<Moment>,
}

impl<'a> Server<'a> {
    fn new(
        args: &'a ServeArgs,
        signals: &'a Signals,
        watch: &mut dyn ServeWatch,
    ) -> Result<Server<'a>> {
        // If this fails, accept() reports the lack of descriptors.
        host::raise_nofile_limit(args.connections_max.unwrap_or(CONNECTIONS_MAX));
        let poller = Poller::new(signals)?;
        if args.until_eof {
            let watched = poller.watch(io::stdin().as_fd(), INPUT, Interest::READABLE);
            watched.map_err(|error| {
                Error::system("--until-eof: standard input is no pipe and cannot be polled", &error)
            })?;
        }
        let listener = listen(args, watch)?;
        let start = poller.clock.now();
        let mut server = Server {
            args,
            signals,
            poller,
            listener,
            accepting: Accepting::Off,
            clients: Clients::new(args),
            start,
            sample_due: args.interval.map(|interval| start + interval),
            end_due: args.duration.map(|duration| start + duration),
            event_due: Some(start),
        };
        if !args.never_accept {
            let watched = server.watch_listener();
            watched.map_err(|error| Error::system("cannot poll the listener", &error))?;
        }
        Ok(server)
    }

    fn run_loop(&mut self, watch: &mut dyn ServeWatch) -> Result<()> {
        let mut ready = Events::with_capacity(EVENTS_MAX);
        loop {
            let has_work = self.clients.has_work();
            let wake = self.poller.wait(self.signals, self.next_due(), has_work, &mut ready)?;
            let now = wake.now;
            for readiness in &ready {
                match readiness.token() {
                    timer if poller::is_timer(timer) => {}
                    poller::SIGNALS => drop(self.signals.read()),
                    LISTENER => self.unwatch_listener(now)?,
                    // Input is ignored.
                    INPUT if readiness.is_read_closed() => return Ok(()),
                    INPUT => {}
                    Token(descriptor) => self.on_ready(descriptor, readiness),
                }
            }
            if self.signals.take_read().is_some() {
                return Ok(());
            }
            self.end_connections(now);
            for _ in 0..CLIENTS_SERVED_MAX {
                match self.clients.serve_next() {
                    Served::Idle => break,
                    Served::Progress => {}
                    Served::Ended(id) => self.close(id),
                }
            }
            self.accept(now, watch);
            if self.sample_due.is_some_and(|due| due <= now) {
                watch.sample(&self.clients.counts);
                self.sample_due = self.args.interval.map(|every| next_beat(self.start, every, now));
            }
            if self.end_due.is_some_and(|due| due <= now) {
                return Ok(());
            }
        }
    }

    fn next_due(&self) -> Option<Moment> {
        let accept = match self.accepting {
            Accepting::Off | Accepting::Watching => None,
            Accepting::Due(moment) => Some(moment),
            Accepting::Paused(moment) => moment,
        };
        let end = self.clients.next_end();
        [accept, end, self.sample_due, self.end_due].into_iter().flatten().min()
    }

    fn watch_listener(&mut self) -> io::Result<()> {
        self.poller.watch(self.listener.as_fd(), LISTENER, Interest::READABLE)?;
        self.accepting = Accepting::Watching;
        Ok(())
    }

    /// Waits for the next connection.
    fn await_next(&mut self, now: Moment, watch: &mut dyn ServeWatch) {
        if let Err(error) = self.watch_listener() {
            // epoll watches are exhausted, perhaps by other processes: retry later.
            self.accept_failed(now, &error, watch);
        }
    }

    /// The accept queue is not empty: from now on accept() is called by the clock.
    fn unwatch_listener(&mut self, now: Moment) -> Result<()> {
        if self.accepting == Accepting::Watching {
            self.accepting = Accepting::Due(now + self.args.accept_delay);
            let unwatched = self.poller.unwatch(self.listener.as_fd());
            unwatched.map_err(|error| Error::system("cannot poll the listener", &error))?;
        }
        Ok(())
    }

    fn accept(&mut self, now: Moment, watch: &mut dyn ServeWatch) {
        match self.accepting {
            Accepting::Due(moment) if moment <= now => {}
            Accepting::Paused(Some(moment)) if moment <= now => {}
            _ => return,
        }
        let delay = self.args.accept_delay;
        let accepts_max = if delay > Span::ZERO { 1 } else { ACCEPTS_MAX };
        for accepted in 0..accepts_max {
            let connections_max = self.args.connections_max.unwrap_or(u32::MAX);
            let open = self.clients.counts.open;
            if open >= connections_max {
                let event = ServeEvent::AtLimit { connections: connections_max };
                return self.pause(now, None, event, watch);
            }
            if self.clients.reserve().is_err() {
                return self.pause(now, Some(now + RETRY), ServeEvent::NoMemory { open }, watch);
            }
            let accept = sys::accept(self.listener.as_fd()).map(|socket| self.add(now, socket));
            match accept {
                Ok(Ok(())) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && accepted == 0 => {
                    return self.await_next(now, watch);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accepting = Accepting::Due(now + BATCH_DELAY);
                    return;
                }
                // The connection ended in the accept queue.
                Err(error) if is_of_one_connection(&error) => {}
                Ok(Err(error)) | Err(error) => return self.accept_failed(now, &error, watch),
            }
        }
        if delay > Span::ZERO {
            // The next connection in the queue is delayed from the moment at which it is noticed.
            return self.await_next(now, watch);
        }
        self.accepting = Accepting::Due(now);
    }

    /// Stops accepting until the exhausted resource may be free again.
    fn accept_failed(&mut self, now: Moment, error: &io::Error, watch: &mut dyn ServeWatch) {
        let event = event_of(error, self.clients.counts.open);
        self.pause(now, Some(now + RETRY), event, watch);
    }

    /// Stops accepting and reports why.
    fn pause(
        &mut self,
        now: Moment,
        retry: Option<Moment>,
        event: ServeEvent,
        watch: &mut dyn ServeWatch,
    ) {
        self.accepting = Accepting::Paused(retry);
        if self.event_due.is_some_and(|due| due <= now) {
            self.event_due = None;
            watch.event(event);
        }
    }

    /// Adds an accepted connection. The error is that of the resource that is exhausted.
    fn add(&mut self, now: Moment, socket: OwnedFd) -> io::Result<()> {
        let token = Token(socket.as_raw_fd().unsigned_abs() as usize);
        // It has to be polled, or its end would not be noticed.
        let watched = self.poller.watch(socket.as_fd(), token, self.clients.interest());
        let added = watched.and_then(|()| {
            self.clients.insert(socket).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))
        });
        let id = added.inspect_err(|_| self.clients.count_lost())?;
        self.event_due.get_or_insert(now + EVENT_GAP);
        if let Some((after, _)) = self.args.end {
            // From its own accept(): a batch takes a while, and no connection must end early.
            self.clients.end_at(self.poller.clock.now() + after, id);
        }
        Ok(())
    }

    fn on_ready(&mut self, token: usize, readiness: &Readiness) {
        // A FIN alone does not end it: close() with unread data would send RST.
        let ended = readiness.is_error() || readiness.is_write_closed();
        if let Some(id) = self.clients.on_ready(token, ended) {
            self.close(id);
        }
    }

    fn end_connections(&mut self, now: Moment) {
        let Some((_, end)) = self.args.end else { return };
        for _ in 0..EXPIRIES_MAX {
            let Some(id) = self.clients.pop_end(now) else { return };
            if end == End::Reset
                && let Some(socket) = self.clients.get(id)
            {
                // If it fails the close sends a FIN, and the connection ends all the same.
                let _ = sys::set_reset_on_close(socket);
            }
            self.close(id);
        }
    }

    fn close(&mut self, id: ClientId) {
        let closed = self.clients.remove(id);
        // accept() is tried again in this loop iteration.
        if closed && matches!(self.accepting, Accepting::Paused(_)) {
            self.accepting = Accepting::Paused(Some(Moment(0)));
        }
    }
}

/// Listens, and reports the address. The kernel cuts the backlog to `net.core.somaxconn`.
fn listen(args: &ServeArgs, watch: &mut dyn ServeWatch) -> Result<OwnedFd> {
    let wanted = SocketAddr::new(args.bind, args.port);
    let allowed = host::accept_queue_max();
    let backlog = args.backlog.or(allowed).unwrap_or(4096);
    let failed = |error: io::Error| Error::Setup(format!("cannot listen on {wanted}: {error}"));
    let listener =
        sys::listen(&wanted, i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(failed)?;
    let address = sys::address(listener.as_fd(), SocketEnd::Local).map_err(failed)?;
    watch.event(ServeEvent::Listening { address });
    if let (Some(requested), Some(allowed)) = (args.backlog, allowed)
        && requested > allowed
    {
        watch.event(ServeEvent::BacklogClamped { requested, allowed });
    }
    Ok(listener)
}

/// Errors of `accept()` that concern one connection only. Source: accept(2).
fn is_of_one_connection(error: &io::Error) -> bool {
    let errno = error.raw_os_error().unwrap_or(0);
    [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
    ]
    .contains(&errno)
}

fn event_of(error: &io::Error, open: u32) -> ServeEvent {
    match error.raw_os_error().unwrap_or(0) {
        libc::EMFILE | libc::ENFILE => ServeEvent::NoDescriptors { open },
        libc::ENOMEM | libc::ENOBUFS => ServeEvent::NoMemory { open },
        libc::ENOSPC => ServeEvent::NoWatches { open },
        errno => ServeEvent::AcceptFailed { errno },
    }
}
