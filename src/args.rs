//! What was typed: [`Args`] of a run, and those of the other verbs. [`Args::plan`] turns it into
//! the [`Plan`] that it means.

use std::net::{IpAddr, SocketAddr};

use crate::ask::Ask;
use crate::display::Display;
use crate::error::{Error, Result};
use crate::outputs::Outputs;
use crate::plan::{CONNECTIONS_MAX, Close, Hold, Pace, Plan, Probe, ReplyCheck, SAMPLE_HOLD_MIN};
use crate::rehearsal::Rehearsal;
use crate::route::{ROUTES_MAX, RouteError, Routes, SOURCES_MAX, TARGETS_MAX, Target};
use crate::units::Span;

/// If neither a reply timeout nor a dial timeout was typed.
const REPLY_TIMEOUT_DEFAULT: Span = Span::from_s(5);

/// The length of `--hold forever` in a rehearsal, which no signal ends.
const REHEARSED_FOREVER: Span = Span::from_s(60);

/// Which addresses of a name are dialed.
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

/// A target as it was typed: a name or an address (without brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// The flags of the checks: [`Probe`] and [`ReplyCheck`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckArgs {
    pub send: Vec<u8>,
    pub expect: Vec<u8>,
    /// Instead of the two above.
    pub ask: Option<Ask>,
    /// `None`: the dial timeout.
    pub reply_timeout: Option<Span>,
    /// `None`: a sample, if the run holds its connections for long enough.
    pub probe: Option<Probe>,
}

/// The arguments of a run.
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
    /// As in [`Plan::lifetime`].
    pub lifetime: Option<Span>,
    /// As in [`Plan::hold_beside`].
    pub hold_beside: u32,
    /// As in [`Plan::duration`].
    pub duration: Option<Span>,
    /// As in [`Plan::settle`].
    pub settle: Span,
    pub family: Family,
    pub all_addresses: bool,
    /// Addresses of this host, with a zone if one was typed; empty: the kernel chooses.
    pub sources: Vec<String>,
    pub close: Close,
    pub checks: CheckArgs,
    /// As in [`Plan::errors_max`].
    pub errors_max: Option<u64>,
    pub debug: bool,
    pub assume_yes: bool,
    /// Print the plan and the local limits below it, and dial nothing.
    pub dry_run: bool,
    /// Run against a simulation, and dial nothing.
    pub rehearsal: Option<Rehearsal>,
    pub display: Display,
    pub outputs: Outputs,
}

impl Args {
    /// Unpaced, without timeouts, intervals and checks.
    pub fn new(targets: Vec<HostPort>, connections: u32) -> Args {
        Args {
            targets,
            connections,
            pace: Pace::UNPACED,
            dial_timeout: None,
            interval: None,
            hold: Hold::For(Span::ZERO),
            lifetime: None,
            hold_beside: 0,
            duration: None,
            settle: Span::ZERO,
            family: Family::Any,
            all_addresses: false,
            sources: Vec::new(),
            close: Close::Fin,
            checks: CheckArgs::default(),
            errors_max: None,
            debug: false,
            assume_yes: false,
            dry_run: false,
            rehearsal: None,
            display: Display::default(),
            outputs: Outputs::default(),
        }
    }

    /// The run against `targets` and from `sources`, the resolved addresses of these arguments.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are no targets, too many routes, a target that no source can dial,
    /// or a number of connections out of range, held ones included.
    pub fn plan(&self, targets: Vec<Target>, sources: &[SocketAddr]) -> Result<Plan> {
        let connections = self.connections;
        if !(1..=CONNECTIONS_MAX).contains(&connections) {
            return Err(Error::Usage(format!(
                "--connections {connections}: 1 to 64m are accepted"
            )));
        }
        let held = self.hold_beside;
        if held >= connections {
            return Err(Error::Usage(format!(
                "--hold-beside {held}: fewer than the connections are accepted (-c {connections})"
            )));
        }
        let routes = Routes::new(targets, sources)
            .map_err(|error| Error::Usage(route_error_text(&error)))?;
        Ok(Plan {
            pace: self.pace,
            dial_timeout: self.dial_timeout,
            interval: self.interval,
            hold: match (self.hold, &self.rehearsal) {
                (Hold::Forever, Some(_)) => Hold::For(REHEARSED_FOREVER),
                (hold, _) => hold,
            },
            lifetime: self.lifetime,
            hold_beside: self.hold_beside,
            duration: self.duration,
            settle: self.settle,
            close: self.close,
            probe: self.probe(),
            reply_check: self.reply_check(),
            preset: self.checks.ask.as_ref().map(|ask| ask.preset),
            errors_max: self.errors_max,
            debug: self.debug,
            rehearsal: self.rehearsal.clone(),
            ..Plan::plain(connections, routes)
        })
    }

    fn probe(&self) -> Probe {
        let holds = match self.hold {
            Hold::For(span) => span >= SAMPLE_HOLD_MIN,
            Hold::Forever => true,
        };
        let default = match (self.hold_beside, self.lifetime) {
            (0, None) if holds => Probe::Sample,
            (0, _) => Probe::None,
            // A request checks more than a keepalive.
            _ if self.reply_check().is_some() => Probe::None,
            _ => Probe::All,
        };
        self.checks.probe.filter(|_| self.hold_beside == 0).unwrap_or(default)
    }

    fn reply_check(&self) -> Option<ReplyCheck> {
        let CheckArgs { send, expect, ask, reply_timeout, .. } = &self.checks;
        if send.is_empty() && expect.is_empty() && ask.is_none() {
            return None;
        }
        let reply_timeout = reply_timeout.or(self.dial_timeout).unwrap_or(REPLY_TIMEOUT_DEFAULT);
        let (send, expect) = match (ask, self.targets.first()) {
            (Some(ask), Some(HostPort { host, port })) => {
                // Any seed does: its bytes are only to look random.
                let request = ask.request(host, *port, self.connections.into());
                (request.into(), ask.expects().into())
            }
            _ => (send.as_slice().into(), expect.as_slice().into()),
        };
        Some(ReplyCheck { send, expect, reply_timeout })
    }
}

fn route_error_text(error: &RouteError) -> String {
    match error {
        RouteError::TargetCount { count } => {
            format!("{count} targets: 1 to {TARGETS_MAX} are accepted")
        }
        RouteError::SourceCount { count } => {
            format!("--source: {count} addresses, at most {SOURCES_MAX} are accepted")
        }
        RouteError::RouteCount { count } => format!(
            "--source: {count} pairs of source and target, at most {ROUTES_MAX} are accepted"
        ),
        RouteError::NoSource { target, is_ipv4 } => {
            let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
            format!("--source: {target} needs an {family} source address, and there is none")
        }
    }
}

/// The arguments of `tcpgoon report`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportArgs {
    /// What is read: a document, or events; `-` is standard input.
    pub file: String,
    pub outputs: Outputs,
    pub display: Display,
}

/// The arguments of `tcpgoon serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArgs {
    pub bind: IpAddr,
    /// 0: any free port.
    pub port: u16,
    pub connections_max: Option<u32>,
    pub interval: Option<Span>,
    pub duration: Option<Span>,
    /// `None`: the most that this host allows.
    pub backlog: Option<u32>,
    pub accept_delay: Span,
    pub never_accept: bool,
    pub end: Option<(Span, End)>,
    /// Sent to each client first, unescaped.
    pub banner: Vec<u8>,
    pub echo: bool,
    pub flood: bool,
    /// End as well when standard input, a pipe, is closed at its other end.
    pub until_eof: bool,
}

/// How `serve` ends a connection after its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
}

/// The arguments of `tcpgoon calibrate`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalibrateArgs {
    /// `None`: the most that this host's limits allow.
    pub connections: Option<u32>,
}
