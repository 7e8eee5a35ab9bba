//! The listener to test against, on the same kind of loop as the driver: one thread, readiness in
//! batches, a limit on everything. It must never be what is measured, so a burst of dials is taken
//! in naps and not one wake-up each.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::event::Event as Readiness;
use mio::{Events, Interest, Token};

use super::host;
use super::poller::{self, Poller};
use super::seats::{Seat, Seats, Served};
use super::sys::{self, Signals, Whose};
use crate::error::{Error, Result};
use crate::findings::{ServeCounts, ServeNews};
use crate::plan::{CONNECTIONS_MAX, End, ServeArgs};
use crate::units::{Moment, Span, next_beat};

/// Descriptors are the seats' numbers and tokens; the listener's own cannot be one of them.
const LISTENER: Token = Token(u32::MAX as usize - 2);

/// Standard input.
const INPUT: Token = Token(u32::MAX as usize - 3);

const EVENTS_MAX: usize = 256;
const ACCEPTS_MAX: u32 = 256;
const EXPIRIES_MAX: u32 = 256;
const SERVICES_MAX: u32 = 16;

/// After some connections were accepted more are likely to come: they can wait for this long.
const NAP: Span = Span::from_us(500);

/// When accepting failed for want of something, it is tried again after this even if no connection
/// was closed.
const RETRY: Span = Span::from_ms(100);

/// That it does not accept is said at most this often: at its limit it may change its mind with
/// every close.
const NEWS_GAP: Span = Span::from_s(1);

/// Who watches a server. Nothing in here may block for long.
pub trait ServeWatch {
    fn news(&mut self, news: ServeNews);
    /// A statistics line is due.
    fn sample(&mut self, counts: &ServeCounts);
    /// It is over, at the end of its duration or by a signal.
    fn done(&mut self, counts: &ServeCounts, signals: &Signals);
}

/// Serves until `--duration` is over, a signal comes, or with `--until-eof` standard input ends.
///
/// # Errors
/// [`Error::Setup`] if it cannot listen; [`Error::System`] for what else is missing, or a poll that
/// fails: what was counted until then is reported.
pub fn serve(args: &ServeArgs, signals: &Signals, watch: &mut dyn ServeWatch) -> Result<()> {
    let mut server = Server::new(args, signals, watch)?;
    let ended = server.spin(watch);
    watch.done(&server.seats.counts, signals);
    ended
}

/// What is being done about new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// Never.
    Off,
    /// The listener is in the poll set.
    Watching,
    /// It is not: the accept queue is looked at when the moment comes.
    Due(Moment),
    /// Until a connection is closed; for want of something scarce also until a moment.
    Full(Option<Moment>),
}

struct Server<'a> {
    args: &'a ServeArgs,
    signals: &'a Signals,
    poller: Poller,
    listener: OwnedFd,
    accepting: Accepting,
    seats: Seats,
    start: Moment,
    sample_due: Option<Moment>,
    end_due: Option<Moment>,
    /// When it may say again that it does not accept; `None` if it has not accepted since.
    news_due: Option<Moment>,
}

impl<'a> Server<'a> {
    fn new(
        args: &'a ServeArgs,
        signals: &'a Signals,
        watch: &mut dyn ServeWatch,
    ) -> Result<Server<'a>> {
        // If it cannot be raised, the connections that find no descriptor will say so.
        host::make_room_for(args.connections_max.unwrap_or(CONNECTIONS_MAX));
        let poller = Poller::new(signals)?;
        if args.until_eof {
            let watched = poller.watch(io::stdin().as_fd(), INPUT, Interest::READABLE);
            watched.map_err(|error| {
                Error::system(
                    "--until-eof: standard input cannot be watched, it is no pipe",
                    &error,
                )
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
            seats: Seats::new(args),
            start,
            sample_due: args.interval.map(|interval| start + interval),
            end_due: args.duration.map(|duration| start + duration),
            news_due: Some(start),
        };
        if !args.never_accept {
            let watched = server.watch_listener();
            watched.map_err(|error| Error::system("cannot watch the listener", &error))?;
        }
        Ok(server)
    }

    fn spin(&mut self, watch: &mut dyn ServeWatch) -> Result<()> {
        let mut ready = Events::with_capacity(EVENTS_MAX);
        loop {
            let has_work = self.seats.has_work();
            let wake = self.poller.wait(self.signals, self.next_due(), has_work, &mut ready)?;
            let now = wake.now;
            for readiness in &ready {
                match readiness.token() {
                    timer if poller::is_timer(timer) => {}
                    poller::SIGNALS => drop(self.signals.read()),
                    LISTENER => self.unwatch_listener(now)?,
                    // What is written into it means nothing.
                    INPUT if readiness.is_read_closed() => return Ok(()),
                    INPUT => {}
                    Token(seat) => self.hear(seat, readiness),
                }
            }
            if self.signals.take_read().is_some() {
                return Ok(());
            }
            self.end_connections(now);
            for _ in 0..SERVICES_MAX {
                match self.seats.serve_next() {
                    Served::Nobody => break,
                    Served::Somebody => {}
                    Served::Ended(seat) => self.close(seat),
                }
            }
            self.accept(now, watch);
            if self.sample_due.is_some_and(|due| due <= now) {
                watch.sample(&self.seats.counts);
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
            Accepting::Full(moment) => moment,
        };
        let end = self.seats.next_end();
        [accept, end, self.sample_due, self.end_due].into_iter().flatten().min()
    }

    fn watch_listener(&mut self) -> io::Result<()> {
        self.poller.watch(self.listener.as_fd(), LISTENER, Interest::READABLE)?;
        self.accepting = Accepting::Watching;
        Ok(())
    }

    /// Waits for whoever comes next.
    fn await_next(&mut self, now: Moment, watch: &mut dyn ServeWatch) {
        if let Err(error) = self.watch_listener() {
            // All watches can be taken, by other processes too: then the clock has to do.
            self.want(now, &error, watch);
        }
    }

    /// Somebody is in the accept queue: from now on it is looked at by the clock.
    fn unwatch_listener(&mut self, now: Moment) -> Result<()> {
        if self.accepting == Accepting::Watching {
            self.accepting = Accepting::Due(now + self.args.accept_delay);
            let unwatched = self.poller.unwatch(self.listener.as_fd());
            unwatched.map_err(|error| Error::system("cannot watch the listener", &error))?;
        }
        Ok(())
    }

    fn accept(&mut self, now: Moment, watch: &mut dyn ServeWatch) {
        match self.accepting {
            Accepting::Due(moment) if moment <= now => {}
            Accepting::Full(Some(moment)) if moment <= now => {}
            _ => return,
        }
        let delay = self.args.accept_delay;
        let accepts_max = if delay > Span::ZERO { 1 } else { ACCEPTS_MAX };
        for accepted in 0..accepts_max {
            let most = self.args.connections_max.unwrap_or(u32::MAX);
            let open = self.seats.counts.open;
            if open >= most {
                return self.fill(now, None, ServeNews::AtLimit { connections: most }, watch);
            }
            if self.seats.make_room().is_err() {
                return self.fill(now, Some(now + RETRY), ServeNews::NoMemory { open }, watch);
            }
            let taken = sys::accept(self.listener.as_fd()).map(|socket| self.seat(now, socket));
            match taken {
                Ok(Ok(())) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && accepted == 0 => {
                    return self.await_next(now, watch);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accepting = Accepting::Due(now + NAP);
                    return;
                }
                // The client was gone again: that is no trouble of ours.
                Err(error) if is_the_clients(&error) => {}
                Ok(Err(error)) | Err(error) => return self.want(now, &error, watch),
            }
        }
        if delay > Span::ZERO {
            // Whoever is next in the queue waits as long, from the moment at which it is noticed.
            return self.await_next(now, watch);
        }
        self.accepting = Accepting::Due(now);
    }

    /// Stops accepting for want of something that others can bring back as well.
    fn want(&mut self, now: Moment, error: &io::Error, watch: &mut dyn ServeWatch) {
        let news = want_of(error, self.seats.counts.open);
        self.fill(now, Some(now + RETRY), news, watch);
    }

    /// Stops accepting and says so.
    fn fill(
        &mut self,
        now: Moment,
        retry: Option<Moment>,
        news: ServeNews,
        watch: &mut dyn ServeWatch,
    ) {
        self.accepting = Accepting::Full(retry);
        if self.news_due.is_some_and(|due| due <= now) {
            self.news_due = None;
            watch.news(news);
        }
    }

    /// Takes a connection that was accepted. The error is what it lacked to be kept.
    fn seat(&mut self, now: Moment, socket: OwnedFd) -> io::Result<()> {
        let token = Token(socket.as_raw_fd().unsigned_abs() as usize);
        // Without a watch nobody would notice its end.
        let watched = self.poller.watch(socket.as_fd(), token, self.seats.interest());
        let seated = watched.and_then(|()| {
            self.seats.insert(socket).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))
        });
        let seat = seated.inspect_err(|_| self.seats.count_lost())?;
        self.news_due.get_or_insert(now + NEWS_GAP);
        if let Some((after, _)) = self.args.end {
            // From its own accept(): many can be accepted in one turn, and none must end early.
            self.seats.end_at(self.poller.clock.now() + after, seat);
        }
        Ok(())
    }

    fn hear(&mut self, token: usize, readiness: &Readiness) {
        // A FIN is no end yet: closed with bytes unread, a connection would be reset, not closed.
        let ended = readiness.is_error() || readiness.is_write_closed();
        if let Some(seat) = self.seats.hear(token, ended) {
            self.close(seat);
        }
    }

    fn end_connections(&mut self, now: Moment) {
        let Some((_, end)) = self.args.end else { return };
        for _ in 0..EXPIRIES_MAX {
            let Some(seat) = self.seats.pop_end(now) else { return };
            if end == End::Reset
                && let Some(socket) = self.seats.get(seat)
            {
                // Should that fail the close is a FIN: the connection ends all the same.
                let _ = sys::set_reset_on_close(socket);
            }
            self.close(seat);
        }
    }

    fn close(&mut self, seat: Seat) {
        let closed = self.seats.remove(seat);
        // There is room again, and this turn ends with a look at whoever waits for it.
        if closed && matches!(self.accepting, Accepting::Full(_)) {
            self.accepting = Accepting::Full(Some(Moment(0)));
        }
    }
}

/// Listens, and says where. How long the accept queue really is only `net.core.somaxconn` knows.
fn listen(args: &ServeArgs, watch: &mut dyn ServeWatch) -> Result<OwnedFd> {
    let wanted = SocketAddr::new(args.bind, args.port);
    let most = host::accept_queue_max();
    let backlog = args.backlog.or(most).unwrap_or(4096);
    let failed = |error: io::Error| Error::Setup(format!("cannot listen on {wanted}: {error}"));
    let listener =
        sys::listen(&wanted, i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(failed)?;
    let address = sys::address(listener.as_fd(), Whose::Local).map_err(failed)?;
    watch.news(ServeNews::Listening { address });
    if let (Some(asked), Some(got)) = (args.backlog, most)
        && asked > got
    {
        watch.news(ServeNews::BacklogClamped { asked, got });
    }
    Ok(listener)
}

/// Errors of `accept()` that belong to the one connection. Source: accept(2).
fn is_the_clients(error: &io::Error) -> bool {
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

fn want_of(error: &io::Error, open: u32) -> ServeNews {
    match error.raw_os_error().unwrap_or(0) {
        libc::EMFILE | libc::ENFILE => ServeNews::NoDescriptors { open },
        libc::ENOMEM | libc::ENOBUFS => ServeNews::NoMemory { open },
        libc::ENOSPC => ServeNews::NoWatches { open },
        errno => ServeNews::AcceptFailed { errno },
    }
}
