//! A diagnosis as data: what was reached, each problem with its pattern, and the causes that
//! explain it, with the evidence for and against each.

use std::ops::Range;

use super::causes::Cause;
use super::pattern::{Part, Pattern};
use crate::engine::EndReason;
use crate::limits::Knob;
use crate::units::{Moment, NS_PER_S, Span, rounded_to_3_digits};

/// The first word of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// All connections of the plan.
    Ok,
    /// Some of them, or not for long.
    Limit,
    /// None.
    Failed,
    /// A signal came before the last dial was decided.
    Stopped,
}

/// Which connections fail at a limit, beside connections that were held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// Those that churn; the held ones stay.
    Newcomers,
    /// Those that were held, while others are established.
    Held,
    Both,
    /// None fails, and all are slower: the median of checks before the churn and during it, that of
    /// dials before it and at its end.
    All {
        times: [Span; 4],
    },
}

/// The same, with how many dials of the churn failed or were closed by the peer, and how many of the
/// held connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pays {
    pub payer: Payer,
    pub failed: u64,
    pub tried: u64,
    pub lost: u64,
    pub held: u64,
}

/// How far the evidence reaches, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Handshakes completed on this host; the server may not have the connections.
    Handshake,
    /// The server's kernel acknowledged keepalives of `confirmed` of `checked` connections.
    Kernel { confirmed: u64, checked: u64 },
    /// The server's application replied.
    Application,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub word: Word,
    pub exit_code: u8,
    pub reached: Reached,
    /// Only beside held connections.
    pub pays: Option<Pays>,
    /// What a signal or `--max-errors` left undone.
    pub ended_early: Option<EndedEarly>,
    /// The most important first; empty if no limit was found.
    pub problems: Vec<Problem>,
}

/// What was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The connections of the plan, without those not dialed before --duration was over.
    pub planned: u32,
    /// The most that stayed open together for 100 ms.
    pub sustained: u32,
    /// The most that were established at once.
    pub peak: u32,
    pub established_ever: u64,
    /// Connections with a reply; `None` without --expect or --send.
    pub replied: Option<u64>,
    pub reach: Reach,
    /// From the first dial to the last.
    pub dialed_in: Span,
}

impl Reached {
    /// Dials a second, if all were dialed, rounded to three digits; `None` for a single one.
    pub fn dials_per_s(&self) -> Option<u64> {
        let rate = u64::from(self.planned.saturating_sub(1)) * NS_PER_S;
        Some(rounded_to_3_digits(rate.checked_div(self.dialed_in.0)?))
    }
}

/// What was undecided when a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedEarly {
    pub by_signal: bool,
    /// By --duration, and not before it was over.
    pub by_duration: bool,
    pub not_dialed: u32,
    pub dialing: u32,
    pub replies_pending: u32,
    pub checks_pending: u32,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// Dials failed on this host, before a packet was sent.
    LocalFailure { reason: EndReason, errno: i32 },
    /// Dials failed beyond this host. `reasons`: the most frequent first. `pending`: undecided when the
    /// run ended. `slow`: other dials, which succeeded after a SYN retransmission. `retransmits`: SYN
    /// retransmissions of the failed ones.
    DialsFailed { reasons: Vec<(EndReason, u64)>, pending: u32, slow: u64, retransmits: u64 },
    /// Dials that succeeded after a SYN retransmission, or after 1 s or more.
    DialsSlow { retransmits: u64 },
    /// Established, then closed as soon as the server had accepted.
    ClosedOnAccept { resets: u64, within: Span },
    /// Closed by the peer later. `ages`: minimum, median and maximum.
    Closed { how: ClosePattern, resets: u64, first: Moment, last: Moment, ages: [Span; 3] },
    /// An established connection failed with no reply from the peer.
    Lost { errno: i32 },
    /// Closed on this host, as by `ss -K`.
    KilledHere,
    /// A keepalive was answered with RST.
    HalfOpen,
    /// Keepalives were not acknowledged. `confirmed_before`: acknowledged at the check before.
    KeepaliveUnacked { confirmed_before: u64, confirmed_at: Option<Moment>, checked_at: Moment },
    /// The server keeps retransmitting its SYN-ACK.
    SynAckRepeated,
    /// Established, and no reply in time. `wrong`: sent another reply; `late`: replied later.
    NoReply { replied: u64, wrong: u64, late: u64 },
}

/// How connections were closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosePattern {
    /// Each at about the same age.
    AtAge { age: Span },
    /// At about the same age, while others lived longer.
    AtAgeWithSurvivors { age: Span },
    /// All that were open, at one moment.
    Simultaneous { at: Moment, of: u32, newcomers: bool },
    /// All older than an age, at one moment or several.
    Sweep { older_than: Span, every: Option<Span> },
    /// Some of those that were open, at one moment, whatever their age.
    Together { at: Moment, kept: u32 },
    /// All of about the same age, at about the same moment.
    AgeOrMoment { age: Span, at: Moment },
    /// The `kept` that were established first stayed open, all later ones were closed; or nearly so.
    NewestOnly { kept: u32, is_exact: bool },
    /// In the order in which they were established, at different ages, while dials continued.
    OldestFirst,
    /// While tcpgoon was paused, so that moments and ages are unknown.
    Undated,
    /// At different ages and moments.
    Mixed,
    /// Too few, or dated too coarsely.
    TooFew,
}

/// Which targets or sources a problem is limited to, by index into [`Routes`](crate::route::Routes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Everywhere,
    /// `count` of several, the most affected first; `indexes` may be shorter.
    Targets {
        indexes: Vec<u32>,
        count: u32,
    },
    Sources {
        indexes: Vec<u32>,
        count: u32,
    },
    /// Each has the same limit: this many of its own connections open.
    EachTarget {
        open: Range<u32>,
        count: u32,
    },
    EachSource {
        open: Range<u32>,
        count: u32,
    },
}

/// One symptom with its candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub symptom: Symptom,
    /// Hits, of all dials or connections that could have been hit.
    pub share: Part,
    /// Hits that the pattern does not cover.
    pub outside: u64,
    pub pattern: Pattern,
    pub scope: Scope,
    /// The most likely first.
    pub candidates: Vec<Candidate>,
    /// Problems that follow from this one.
    pub explains: Vec<Problem>,
}

/// How sure a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likelihood {
    Possible,
    Likely,
    /// A fact proves it: no other cause explains that.
    Certain,
}

/// A cause that fits a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub cause: Cause,
    pub likelihood: Likelihood,
    pub evidence: Vec<Evidence>,
    /// The local limit behind it, as the preflight found it.
    pub knob: Option<Knob>,
}

/// A fact for a candidate, or against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub is_for: bool,
    pub fact: Fact,
}

/// An observation with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// SYN retransmissions of failed dials, and dials that succeeded after one.
    Retransmissions {
        failed: u64,
        through: u64,
    },
    /// No SYN retransmission succeeded, but this percentage of first SYNs did.
    FourTupleDecides {
        retransmits: u64,
        through_percent: u32,
    },
    /// The application replied on all established connections.
    AllReplied {
        replied: u64,
    },
    /// Of the replies: how many report an error or overload of the server.
    Busy {
        busy: u64,
        replied: u64,
    },
    /// The server retransmitted its SYN-ACK.
    SynAckRepeated {
        connections: u64,
    },
    HalfOpen {
        connections: u64,
    },
    /// No keepalive was acknowledged since the dials began to fail.
    NoneAcknowledged {
        connections: u64,
    },
    /// The dial timeout is short.
    ShortTimeout {
        timeout: Span,
    },
    /// Connections that were reset when refusals began.
    ResetAsRefused {
        connections: u64,
    },
    /// ICMP errors that this host sent itself, probably about these dials.
    IcmpSentHere {
        count: u64,
    },
    /// The application closed connections meanwhile, so it had accepted them.
    ClosedMeanwhile {
        closes: u64,
    },
    /// RST about one RTT after the final ACK.
    ResetAfterHandshake {
        connections: u64,
    },
    /// SYN retransmissions that this host could not send.
    SynNotSent {
        count: u64,
        retransmits: u64,
    },
    /// SYNs still queued on this host when due for retransmission.
    SynStillQueued {
        count: u64,
        retransmits: u64,
    },
    NeighbourTableFull {
        count: u64,
    },
    /// Targets with a next hop that had not replied to ARP or NDP when the run ended.
    TargetsUnresolved {
        targets: u64,
        of: u64,
    },
    ConntrackDrops {
        count: u64,
    },
    IngressDrops {
        count: u64,
    },
    ListenOverflows {
        count: u64,
    },
    /// ICMP errors of one type and code from one address.
    Icmp {
        kind: u8,
        code: u8,
        is_v6: bool,
        offender: std::net::IpAddr,
        is_local: bool,
        count: u64,
    },
    /// The same number of open connections at each of several targets or sources.
    SameCount {
        open: u32,
        places: u32,
        is_source: bool,
    },
    /// Refusals took less time than the shortest handshake.
    RefusedSooner {
        refused: Span,
        handshake: Span,
    },
    /// Refusals took as long as a handshake.
    RefusedAsSoon {
        refused: Span,
        handshake: Span,
    },
    /// Other keepalives of the same check were acknowledged.
    WatchConfirmed {
        confirmed: u64,
        sent: u64,
    },
    /// Closes continued after the last dial.
    AfterLastDial {
        closes: u64,
    },
    /// The server sent a line before it closed.
    LastLine,
    /// Dials failed after the close.
    RefusedAfter {
        dials: u64,
    },
    /// Connections that this run had closed by FIN before the first dial without a port, and all
    /// ports of its pairs.
    ClosedIntoTimeWait {
        connections: u64,
        ports: u64,
    },
}
