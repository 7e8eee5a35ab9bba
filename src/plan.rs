//! What was typed ([`Args`] and its kin) and what it means ([`Plan`]): the validated run that the
//! engine obeys.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::outputs::Outputs;
use crate::route::{
    Misrouted, OtherAddresses, ROUTES_MAX, Routes, SOURCES_MAX, TARGETS_MAX, Target,
};
use crate::units::{NS_PER_S, Span};

/// The most connections that one run takes.
pub const CONNECTIONS_MAX: u32 = 64_000_000;

/// The most bytes of a text that is sent or expected: it has to fit into any socket's send buffer at
/// once.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

impl Family {
    pub fn accepts(self, address: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// A target as it was typed: a host (a name or an address, without brackets) and its port, neither
/// resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// When dials are due: `dials` of them every `span`. No dials means no pace: as fast as the loop
/// goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub span: Span,
    pub dials: u64,
}

impl Pace {
    pub const UNPACED: Pace = Pace { span: Span::ZERO, dials: 0 };

    /// One dial every `sleep`.
    pub fn sleep(sleep: Span) -> Pace {
        if sleep == Span::ZERO { Pace::UNPACED } else { Pace { span: sleep, dials: 1 } }
    }

    /// `rate_milli` thousandths of a dial a second; at least one thousandth.
    pub fn rate(rate_milli: u64) -> Pace {
        Pace { span: Span(1000 * NS_PER_S), dials: rate_milli }
    }

    /// How long after the start dial `index` is due: `index × span / dials`, rounded down, so that
    /// no error adds up.
    pub fn offset(&self, index: u32) -> Span {
        if self.dials == 0 {
            return Span::ZERO;
        }
        let ns = u128::from(index) * u128::from(self.span.0) / u128::from(self.dials);
        Span(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    pub fn is_paced(&self) -> bool {
        self.dials > 0
    }
}

/// How long the connections are kept open after the last dial is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    For(Span),
    /// Until a signal.
    Forever,
}

/// How a run ends the connections that it still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Close {
    /// In good order, which leaves the port in TIME_WAIT for a minute.
    #[default]
    Fin,
    /// With a reset, which leaves nothing behind.
    Rst,
}

/// Which connections are asked by a keepalive whether the server has them, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    #[default]
    None,
    /// An even sample of about [`SAMPLE_MAX`].
    Sample,
    All,
}

impl Probe {
    /// Every so many slots one is probed; 0 is never.
    pub fn stride(self, connections: u32) -> u32 {
        match self {
            Probe::None => 0,
            Probe::Sample => connections.div_ceil(SAMPLE_MAX),
            Probe::All => 1,
        }
    }
}

/// The most connections of a sample.
pub const SAMPLE_MAX: u32 = 1_000;

/// A run that holds its connections for as long has the time to probe a sample unasked.
pub const SAMPLE_HOLD_MIN: Span = Span::from_s(2);

/// Where neither a reply timeout nor a dial timeout was typed.
const REPLY_TIMEOUT_DEFAULT: Span = Span::from_s(5);

/// What is said to each connection once it is established, and what it is to say in return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// Sent once; may be empty.
    pub send: Arc<[u8]>,
    /// Whether this was seen in the first bytes back is what "answered" means; empty: any byte.
    pub expect: Arc<[u8]>,
    /// From the moment at which it was established.
    pub reply_timeout: Span,
}

/// What was typed of [`Probe`] and [`Talk`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
    pub send: Vec<u8>,
    pub expect: Vec<u8>,
    /// `None`: the dial timeout.
    pub reply_timeout: Option<Span>,
    /// `None`: a sample, if the run holds its connections for long enough.
    pub probe: Option<Probe>,
}

/// What was typed for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// In the order in which they were typed; at least one.
    pub targets: Vec<HostPort>,
    pub connections: u32,
    pub pace: Pace,
    /// `None`: no timeout of ours.
    pub dial_timeout: Option<Span>,
    /// `None`: the first line and no interval lines.
    pub interval: Option<Span>,
    pub hold: Hold,
    /// How long, as part of the hold, to wait at most for closes to cease.
    pub settle: Span,
    pub family: Family,
    pub all_addresses: bool,
    /// Addresses of this host, with a zone where one was typed; none for the system's choice.
    pub sources: Vec<String>,
    pub close: Close,
    pub questions: Questions,
    /// Errors and closes by the peer at which no more is dialed.
    pub errors_max: Option<u64>,
    pub debug: bool,
    pub assume_yes: bool,
    /// Say what would be done, and what stands in its way, and dial nothing.
    pub dry_run: bool,
    pub outputs: Outputs,
}

impl Args {
    /// Nothing but this: as fast as it goes, without timeouts, intervals and questions.
    pub fn new(targets: Vec<HostPort>, connections: u32) -> Args {
        Args {
            targets,
            connections,
            pace: Pace::UNPACED,
            dial_timeout: None,
            interval: None,
            hold: Hold::For(Span::ZERO),
            settle: Span::ZERO,
            family: Family::Any,
            all_addresses: false,
            sources: Vec::new(),
            close: Close::Fin,
            questions: Questions::default(),
            errors_max: None,
            debug: false,
            assume_yes: false,
            dry_run: false,
            outputs: Outputs::default(),
        }
    }

    fn probe(&self) -> Probe {
        let holds = match self.hold {
            Hold::For(span) => span >= SAMPLE_HOLD_MIN,
            Hold::Forever => true,
        };
        self.questions.probe.unwrap_or(if holds { Probe::Sample } else { Probe::None })
    }

    fn talk(&self) -> Option<Talk> {
        let Questions { send, expect, reply_timeout, .. } = &self.questions;
        if send.is_empty() && expect.is_empty() {
            return None;
        }
        let timeout = reply_timeout.or(self.dial_timeout).unwrap_or(REPLY_TIMEOUT_DEFAULT);
        let (send, expect) = (send.as_slice().into(), expect.as_slice().into());
        Some(Talk { send, expect, reply_timeout: timeout })
    }
}

/// What was typed for `tcpgoon serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArgs {
    pub bind: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
    pub connections_max: Option<u32>,
    pub interval: Option<Span>,
    pub duration: Option<Span>,
    /// `None`: the most that this host allows.
    pub backlog: Option<u32>,
    pub accept_delay: Span,
    pub never_accept: bool,
    pub end: Option<(Span, End)>,
    /// The bytes to greet with, unescaped.
    pub banner: Vec<u8>,
    pub echo: bool,
    pub flood: bool,
    /// End as well when the other end of standard input, a pipe, is closed.
    pub until_eof: bool,
}

/// How `serve` ends a connection by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
}

/// What was typed for `tcpgoon calibrate`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalibrateArgs {
    /// `None`: as many as this host's limits allow.
    pub connections: Option<u32>,
}

/// What a question to an established connection, or about it, costs of [`Limits::expiries_max`]: a
/// keepalive takes four system calls, and dials are waiting.
pub const CHECK_COST: u32 = 8;

/// When an answer is due, so many times the bytes of a drain are read at once, if they have come: by
/// default, all that is ever looked at of a reply.
pub const FINAL_DRAIN_FACTOR: u32 = 16;

/// What to read so much costs of [`Limits::expiries_max`]: four of them a turn, by default.
pub const FINAL_DRAIN_COST: u32 = 64;

/// How much one turn of the loop may do. What does not fit waits for the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Readiness events taken from one poll.
    pub events_max: u32,
    /// Dials started in a turn. More than one before a poll makes the reported times lie: 64 of
    /// them report 530 µs for handshakes that take 13, at the same rate.
    pub dials_max: u32,
    /// Dials skipped because their route has no port left.
    pub skips_max: u32,
    /// Deadlines fired, and wheel entries moved down a level. A deadline of an established connection
    /// counts as [`CHECK_COST`], or as [`FINAL_DRAIN_COST`]; the last one of a turn may go beyond.
    pub expiries_max: u32,
    /// Connections drained of what the server sent; those whose answer is due are not counted.
    pub drains_max: u32,
    /// Bytes dropped of one connection before the next one gets its chance.
    pub drain_bytes_max: u32,
}

impl Limits {
    pub const DEFAULT: Limits = Limits {
        events_max: 256,
        dials_max: 1,
        skips_max: 256,
        expiries_max: 256,
        // With four drains of 64 KiB a turn, 100 servers that never stop sending treble the p99 of
        // the dials beside them, and one of 16 KiB doubles it; with this it is what it is beside
        // silent ones (benches/floor/compare --flood 100).
        drains_max: 1,
        drain_bytes_max: 4 * 1024,
    };

    /// The most connections whose answer is due that one turn drains.
    pub fn final_drains_max(&self) -> u32 {
        self.expiries_max.div_ceil(FINAL_DRAIN_COST)
    }

    /// The most keepalives that one turn sends as their deadlines have come; a later round sends no
    /// more than that either.
    fn keepalives_max(&self) -> u32 {
        self.expiries_max.div_ceil(CHECK_COST)
    }

    /// The most events that one turn is handed: each readiness can mean up to four (opened, bytes,
    /// an answer, closed); what the actions of the turn before have come to is up to two for a dial
    /// and three for a drain, be it a last one; of each connection that opened, sent, failed or was
    /// due TCP_INFO can have been read; keepalives were sent, and requests;
    /// three more are the poll's own: a gap, a full batch, a signal.
    pub fn turn_events_max(&self) -> usize {
        let readiness = 4 * self.events_max;
        let drains = self.drains_max + self.final_drains_max();
        let feedback = 2 * self.dials_max + 3 * drains;
        let sent = self.events_max;
        let reads = self.events_max + self.dials_max + drains + self.expiries_max;
        (readiness + feedback + sent + reads + 2 * self.keepalives_max() + 3) as usize
    }

    /// The most actions that one turn hands back: up to three for each event and each expiry (a
    /// note, a look, and what is said or done), each dial, skipped dial and drain, and a sample.
    pub fn turn_actions_max(&self) -> usize {
        let each_three_times = 3 * (self.turn_events_max() + self.expiries_max as usize);
        let others = self.dials_max + self.skips_max + self.drains_max + self.keepalives_max();
        each_three_times + others as usize + 1
    }
}

/// A validated run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    pub routes: Routes,
    /// By name, for those that have several.
    pub other_addresses: Vec<OtherAddresses>,
    pub pace: Pace,
    pub dial_timeout: Option<Span>,
    pub interval: Option<Span>,
    pub hold: Hold,
    /// How long, as part of the hold, to wait at most for closes to cease.
    pub settle: Span,
    pub close: Close,
    pub probe: Probe,
    pub talk: Option<Talk>,
    /// Errors and closes by the peer at which no more is dialed.
    pub errors_max: Option<u64>,
    /// Whether the engine hands out a note for each thing that happens to a connection.
    pub debug: bool,
    pub limits: Limits,
}

impl Plan {
    /// So many connections as fast as it goes, without timeouts, intervals and questions.
    pub fn plain(connections: u32, routes: Routes) -> Plan {
        Plan {
            connections,
            routes,
            other_addresses: Vec::new(),
            pace: Pace::UNPACED,
            dial_timeout: None,
            interval: None,
            hold: Hold::For(Span::ZERO),
            settle: Span::ZERO,
            close: Close::Fin,
            probe: Probe::None,
            talk: None,
            errors_max: None,
            debug: false,
            limits: Limits::DEFAULT,
        }
    }

    /// After as many full batches in a row every connection has been in one.
    pub fn batches(&self) -> u32 {
        self.connections.div_ceil(self.limits.events_max)
    }

    /// The run that `args` ask for against `targets` and from `sources`, which they resolved to.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are no targets, too many routes, a target that no source can
    /// dial, or a number of connections out of range.
    pub fn new(args: &Args, targets: Vec<Target>, sources: &[SocketAddr]) -> Result<Plan> {
        if !(1..=CONNECTIONS_MAX).contains(&args.connections) {
            let asked = args.connections;
            return Err(Error::Usage(format!("--connections {asked}: 1 to 64m are accepted")));
        }
        let routes = Routes::new(targets, sources).map_err(|why| Error::Usage(misrouted(&why)))?;
        Ok(Plan {
            pace: args.pace,
            dial_timeout: args.dial_timeout,
            interval: args.interval,
            hold: args.hold,
            settle: args.settle,
            close: args.close,
            probe: args.probe(),
            talk: args.talk(),
            errors_max: args.errors_max,
            debug: args.debug,
            ..Plan::plain(args.connections, routes)
        })
    }
}

fn misrouted(why: &Misrouted) -> String {
    match why {
        Misrouted::TargetCount { count } => {
            format!("{count} targets: 1 to {TARGETS_MAX} are accepted")
        }
        Misrouted::SourceCount { count } => {
            format!("--source: {count} addresses, at most {SOURCES_MAX} are accepted")
        }
        Misrouted::RouteCount { count } => format!(
            "--source: {count} pairs of source and target, at most {ROUTES_MAX} are accepted"
        ),
        Misrouted::NoSource { target, is_ipv4 } => {
            let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
            format!(
                "--source: {target} has to be dialed from an {family} address, and none is given"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        assert_eq!(Pace::sleep(Span::from_ms(10)).offset(999), Span::from_ms(9_990));
        // A third of a second has no exact length in nanoseconds; the 3,000th dial is due after
        // 1,000 s all the same.
        assert_eq!(Pace::rate(3_000).offset(1), Span(333_333_333));
        assert_eq!(Pace::rate(3_000).offset(3_000), Span::from_s(1_000));
        assert_eq!(Pace::rate(500).offset(1), Span::from_s(2));
        assert_eq!(Pace::sleep(Span::ZERO).offset(12), Span::ZERO);
        assert_eq!(Pace::sleep(crate::units::SPAN_MAX).offset(u32::MAX), Span(u64::MAX));
    }
}
