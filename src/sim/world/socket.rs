//! A socket of this host, and its TCP_INFO.

use super::wire::{Stream, Tuple};
use crate::units::{Moment, Span};

/// How long this host has been up: the age of what never happened.
const UPTIME: Span = Span::from_s(86_400);

/// A pending socket error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refused,
    Reset,
    TimedOut,
    NetworkUnreachable,
    HostUnreachable,
    /// Ended on this host.
    Aborted,
    NoPorts,
    NoDescriptors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    SynSent,
    Established,
    /// The connection is gone, the descriptor still open.
    Dead,
    /// The descriptor is closed.
    Closed,
}

/// TCP_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    pub total_retrans: u32,
    pub rtt: Option<Span>,
    pub last_ack_recv: Span,
    pub segs_out: u32,
    pub segs_in: u32,
    pub data_segs_out: u32,
    pub data_segs_in: u32,
    pub unacked: u32,
    pub probes: u32,
}

/// What one read of a socket comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Bytes { count: u32, is_expected: bool },
    WouldBlock,
    End,
}

#[derive(Debug, Clone)]
pub struct Socket {
    pub tuple: Tuple,
    pub state: State,
    pub dialed_at: Moment,
    pub opened_at: Option<Moment>,
    pub ended_at: Option<Moment>,
    /// Moved by SYN-ACK, ACK, data and FIN only.
    pub last_ack_at: Option<Moment>,
    pub syns: u32,
    pub total_retrans: u32,
    pub rtt: Option<Span>,
    pub segs_out: u32,
    pub segs_in: u32,
    pub data_segs_out: u32,
    pub data_segs_in: u32,
    pub stream: Stream,
    pub unread: u32,
    /// Whether the bytes complete what is expected.
    pub is_expected: bool,
    pub has_fin: bool,
    /// Closed here first: until then its port is not used again.
    pub time_wait_until: Option<Moment>,
    pub fault: Option<Fault>,
    pub keepalives: Option<u8>,
    /// Keepalives sent since the last acknowledgement.
    pub probes: u32,
    pub keepalive_generation: u32,
    pub icmp: Option<(u8, bool)>,
    pub is_ready: bool,
}

/// The counters of this host at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// TCPRetransFail.
    pub syn_retrans_failed: u64,
    /// TCPSYNChallenge.
    pub syn_challenge: u64,
    pub ingress_drops: u64,
    pub conntrack_drop: u64,
    pub neighbour_table_full: u64,
}

/// What really happened to one dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialed {
    pub dialed_at: Moment,
    pub syns: u32,
    pub opened_at: Option<Moment>,
    /// When its end arrived; `None` where the run ended it.
    pub ended_at: Option<Moment>,
    /// The code of an ICMP error for it, and whether this host sent that.
    pub icmp: Option<(u8, bool)>,
}

impl Socket {
    /// Before its SYN is sent.
    pub fn new(now: Moment, tuple: Tuple) -> Socket {
        Socket {
            tuple,
            state: State::SynSent,
            dialed_at: now,
            opened_at: None,
            ended_at: None,
            last_ack_at: None,
            syns: 0,
            total_retrans: 0,
            rtt: None,
            segs_out: 0,
            segs_in: 0,
            data_segs_out: 0,
            data_segs_in: 0,
            stream: Stream::default(),
            unread: 0,
            is_expected: false,
            has_fin: false,
            time_wait_until: None,
            fault: None,
            keepalives: None,
            probes: 0,
            keepalive_generation: 0,
            icmp: None,
            is_ready: false,
        }
    }

    /// TCP_INFO.
    pub fn info(&self, now: Moment) -> Info {
        // The kernel counts in whole milliseconds.
        let ms = |at: Moment| at.0 / 1_000_000;
        let age = self.last_ack_at.map(|at| Span::from_ms(ms(now) - ms(at)));
        Info {
            total_retrans: self.total_retrans,
            rtt: self.rtt,
            last_ack_recv: age.unwrap_or(UPTIME),
            segs_out: self.segs_out,
            segs_in: self.segs_in,
            data_segs_out: self.data_segs_out,
            data_segs_in: self.data_segs_in,
            unacked: match self.state {
                State::SynSent => 1,
                _ => self.stream.unacked().into(),
            },
            probes: self.probes,
        }
    }

    /// What happened to it.
    pub fn dialed(&self) -> Dialed {
        Dialed {
            dialed_at: self.dialed_at,
            syns: self.syns,
            opened_at: self.opened_at,
            ended_at: self.ended_at,
            icmp: self.icmp,
        }
    }
}
