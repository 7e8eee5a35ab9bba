//! The ledger of the checks: how many connections are in each state, and what flowed between them.
//! [`CheckLedger::post`] is the only mutator of levels, so that they always balance.

use super::check_state::{CheckState, Outcome, Reply};
use super::connection::EndReason;
use super::tcp_info::HalfOpenSuspect;
use crate::units::Moment;

/// Which keepalive check of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    /// A second after the handshake, or after the reply timeout.
    First,
    /// Once a minute in a hold, of a tenth of the sample; counts are of the latest.
    Watch,
    /// At the end of the hold, of those idle since the first one.
    Last,
}

impl Round {
    pub const ALL: [Round; 3] = [Round::First, Round::Watch, Round::Last];
}

/// What the keepalives of one round found; all but the moments are numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundStats {
    /// Sent; each is one of `confirmed` to `pending`.
    pub sent: u64,
    /// Refused by this host.
    pub not_sent: u64,
    /// Not needed: data or a FIN came before it was sent.
    pub unneeded: u64,
    /// The server's kernel acknowledged it, or sent a FIN.
    pub confirmed: u64,
    /// The server repeats its SYN-ACK: for it the handshake is not complete.
    pub repeats_syn_ack: u64,
    /// Segments came, but no acknowledgement.
    pub other_traffic: u64,
    /// No segment came, while this host was polling; or the kernel gave the connection up.
    pub unacknowledged: u64,
    /// This host was not polling.
    pub unknown: u64,
    /// Answered with RST.
    pub half_open: u64,
    /// The connection ended otherwise before a result.
    pub closed: u64,
    /// No result yet.
    pub pending: u64,
    /// When the first and the last one were sent.
    pub first_at: Option<Moment>,
    pub last_at: Option<Moment>,
    /// When the last acknowledgement was read.
    pub last_confirmed_at: Option<Moment>,
}

impl RoundStats {
    /// Those with a result.
    fn judged(&self) -> u64 {
        let answered = self.confirmed + self.repeats_syn_ack + self.other_traffic;
        answered + self.unacknowledged + self.unknown + self.half_open + self.closed
    }
}

/// What the checks of a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckStats {
    /// Replied as expected, in time.
    pub replied: u64,
    /// Of these: received in time, but read only after the timeout.
    pub replied_late_read: u64,
    /// No reply as expected in time.
    pub no_reply: u64,
    /// Of these: sent bytes in time, but not those expected.
    pub wrong_reply: u64,
    /// Of these: sent bytes, but only after the timeout.
    pub late_reply: u64,
    /// Closed before the reply.
    pub closed_before_reply: u64,
    /// By [`Round`].
    pub rounds: [RoundStats; 3],
    pub watch_rounds: u32,
    /// Connections with the latest keepalive unacknowledged and no data since; those that the kernel
    /// gave up while a keepalive was out included.
    pub unacknowledged: u64,
    /// Connections with that result of the latest check.
    pub repeats_syn_ack: u64,
    /// Reads of TCP_INFO on suspicion of a half-open connection.
    pub suspects: u64,
    /// Of these: the server had repeated its SYN-ACK, and acknowledged no data.
    pub suspects_half_open: u64,
    /// Of the others: the data sent was not acknowledged, by a server that does not have the connection
    /// or because of packet loss.
    pub suspects_unacknowledged: u64,
}

impl CheckStats {
    pub fn round(&self, round: Round) -> &RoundStats {
        &self.rounds[round as usize]
    }

    /// How many connections were checked: by a keepalive, or settled before one was sent.
    pub fn checked(&self) -> u64 {
        let first = self.round(Round::First);
        first.sent + first.not_sent + first.unneeded
    }

    /// How many connections the server's kernel has, by the latest check of all: at the end of the
    /// hold, or else the first.
    pub fn confirmed(&self) -> u64 {
        let [first, watch, last] = &self.rounds;
        match last.sent {
            0 => first.confirmed + first.unneeded,
            _ => last.confirmed + watch.confirmed,
        }
    }

    /// How many connections that check was about.
    pub fn checked_last(&self) -> u64 {
        if self.round(Round::Last).sent == 0 { self.checked() } else { self.keepalives_sent() }
    }

    /// How many keepalives that check sent.
    pub fn keepalives_sent(&self) -> u64 {
        let [first, watch, last] = &self.rounds;
        if last.sent == 0 { first.sent } else { last.sent + watch.sent }
    }
}

/// One transition, as it is posted.
#[derive(Debug, Clone, Copy)]
pub struct Posting {
    pub from: CheckState,
    pub to: CheckState,
    pub round: Round,
    /// Whether the slot is in the sample.
    pub is_sampled: bool,
    /// What ended the connection, if that is the reason.
    pub end: Option<EndReason>,
    /// Whether a reply was read only after its timeout.
    pub is_late_read: bool,
    /// Whether TCP_INFO is read on suspicion.
    pub reads_suspect: bool,
    pub at: Moment,
}

/// Levels by kind of state, and flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLedger {
    level: [u32; CheckState::KINDS],
    /// Levels of two groups of states, read in every turn.
    replies_pending: u32,
    in_flight: u32,
    flows: CheckStats,
    /// Given up by the kernel while a keepalive was out.
    lost: u64,
    /// Connections that were taken for suspects.
    suspects_taken: u32,
}

impl CheckLedger {
    /// `slots` connections, all unchecked.
    pub fn new(slots: u32) -> CheckLedger {
        let mut level = [0; CheckState::KINDS];
        level[CheckState::UNCHECKED.kind()] = slots;
        let flows = CheckStats::default();
        CheckLedger { level, replies_pending: 0, in_flight: 0, flows, lost: 0, suspects_taken: 0 }
    }

    /// Moves one connection from one state to another; O(1).
    ///
    /// # Panics
    /// If the level is 0: a defect of the caller.
    pub fn post(&mut self, posting: &Posting) {
        let Posting { from, to, .. } = *posting;
        let left = self.level[from.kind()].checked_sub(1);
        self.level[from.kind()] = left.unwrap_or_else(|| unreachable!("{from:?} is empty"));
        self.level[to.kind()] += 1;
        self.replies_pending -= u32::from(from.is_reply_pending());
        self.replies_pending += u32::from(to.is_reply_pending());
        self.in_flight -= u32::from(from.is_in_flight());
        self.in_flight += u32::from(to.is_in_flight());
        let is_suspect = match to {
            CheckState::SuspectScheduled => true,
            _ => posting.reads_suspect && from != CheckState::SuspectScheduled,
        };
        self.suspects_taken += u32::from(is_suspect);
        self.post_reply(posting);
        self.post_keepalive(posting);
    }

    fn post_reply(&mut self, posting: &Posting) {
        let Posting { from, to, is_late_read, .. } = *posting;
        let flows = &mut self.flows;
        if from.is_reply_pending() && !to.is_reply_pending() {
            match to.reply() {
                Reply::Replied => flows.replied += 1,
                Reply::NoReply => flows.no_reply += 1,
                Reply::Wrong => {
                    flows.no_reply += 1;
                    flows.wrong_reply += 1;
                }
                Reply::NotExpected => flows.closed_before_reply += 1,
            }
            flows.replied_late_read += u64::from(is_late_read && to.reply() == Reply::Replied);
        } else if from.reply() == Reply::NoReply && to.reply() == Reply::Wrong {
            flows.late_reply += 1;
        }
    }

    fn post_keepalive(&mut self, posting: &Posting) {
        let Posting { from, to, round, is_sampled, end, at, .. } = *posting;
        let stats = &mut self.flows.rounds[round as usize];
        if from.is_sent() && !to.is_sent() {
            let count = match (end, to.outcome()) {
                (Some(EndReason::HalfOpen), _) => &mut stats.half_open,
                (Some(EndReason::PeerClosed), _) | (None, Outcome::Confirmed) => {
                    stats.last_confirmed_at = Some(at);
                    &mut stats.confirmed
                }
                (Some(EndReason::Lost), _) => {
                    self.lost += 1;
                    &mut stats.unacknowledged
                }
                (Some(_), _) => &mut stats.closed,
                (None, Outcome::RepeatsSynAck) => &mut stats.repeats_syn_ack,
                (None, Outcome::OtherTraffic) => &mut stats.other_traffic,
                (None, Outcome::Unacknowledged) => &mut stats.unacknowledged,
                (None, _) => &mut stats.unknown,
            };
            *count += 1;
        } else if to.is_sent() && !from.is_sent() {
            stats.sent += 1;
            stats.first_at.get_or_insert(at);
            stats.last_at = Some(at);
        } else if to.outcome() == Outcome::NotSent && from.is_in_flight() {
            stats.not_sent += 1;
        }
        let is_before = from.is_scheduled() || from.is_reply_pending();
        let is_settled = to.outcome() == Outcome::Confirmed || end == Some(EndReason::PeerClosed);
        stats.unneeded += u64::from(is_sampled && is_before && is_settled);
    }

    /// The result of a read on suspicion.
    pub fn suspect(&mut self, found: HalfOpenSuspect) {
        self.flows.suspects += 1;
        let repeats = found == HalfOpenSuspect::RepeatsSynAck;
        self.flows.suspects_half_open += u64::from(repeats);
        let unacknowledged = found == HalfOpenSuspect::Unacknowledged;
        self.flows.suspects_unacknowledged += u64::from(unacknowledged);
    }

    /// A round of watching begins.
    pub fn begin_watch(&mut self) {
        self.flows.watch_rounds += 1;
        self.flows.rounds[Round::Watch as usize] = RoundStats::default();
    }

    /// How many replies may still come in time; O(1).
    pub fn replies_pending(&self) -> u32 {
        self.replies_pending
    }

    /// How many keepalives are out, or to be sent; O(1).
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many connections have been taken for suspects; O(1).
    pub fn suspects_taken(&self) -> u32 {
        self.suspects_taken
    }

    /// How many connections are in a state that `fits`; O(kinds).
    pub fn count(&self, fits: impl Fn(CheckState) -> bool) -> u32 {
        let kinds = self.level.iter().enumerate();
        kinds.filter(|(kind, _)| fits(CheckState::of_kind(*kind))).map(|(_, level)| *level).sum()
    }

    /// How many are in one state, whatever its segments; O(1).
    pub fn level(&self, state: CheckState) -> u32 {
        self.level[state.kind()]
    }

    pub fn stats(&self) -> CheckStats {
        let mut stats = self.flows;
        for round in &mut stats.rounds {
            round.pending = round.sent - round.judged();
        }
        let unacknowledged = self.count(|state| state.outcome() == Outcome::Unacknowledged);
        stats.unacknowledged = u64::from(unacknowledged) + self.lost;
        let repeats = self.count(|state| state.outcome() == Outcome::RepeatsSynAck);
        stats.repeats_syn_ack = repeats.into();
        stats
    }

    /// Checks levels against `states` and against the flows; O(slots), for tests.
    ///
    /// # Panics
    /// If they do not agree.
    pub fn audit(&self, states: impl Iterator<Item = CheckState>) {
        let mut level = [0; CheckState::KINDS];
        states.for_each(|state| level[state.kind()] += 1);
        assert_eq!(self.level, level, "the ledger and the states differ");
        assert_eq!(self.replies_pending, self.count(CheckState::is_reply_pending));
        assert_eq!(self.in_flight, self.count(CheckState::is_in_flight));
        let stats = self.stats();
        let pending: u64 = stats.rounds.iter().map(|round| round.pending).sum();
        assert_eq!(pending, u64::from(self.count(CheckState::is_sent)), "{stats:?}");
        assert!(stats.wrong_reply + stats.late_reply <= stats.no_reply, "{stats:?}");
        assert!(stats.replied_late_read <= stats.replied, "{stats:?}");
        assert!(stats.suspects <= u64::from(self.suspects_taken), "{stats:?}");
    }
}
