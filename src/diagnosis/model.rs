//! What a diagnosis is: what was reached, each problem with its pattern, and the causes that would
//! explain it, with the evidence for and against. Data: renderers find the words.

use std::ops::Range;

use super::causes::Cause;
use super::pattern::{Part, Pattern};
use crate::engine::EndReason;
use crate::limits::Knob;
use crate::units::{Moment, Span};

/// The first word of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// All that was asked for.
    Ok,
    /// Some of it, or not for long.
    Limit,
    /// None.
    Failed,
    /// A signal came before the last dial was decided.
    Stopped,
}

/// How far the evidence reaches, the weakest first: each claim names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This host saw handshakes complete; the server may know less.
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
    /// What a signal or `--max-errors` left undone.
    pub ended_early: Option<EndedEarly>,
    /// The most important first; none: no limit was found.
    pub problems: Vec<Problem>,
}

/// What was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub asked: u32,
    /// The most that stayed open together for 100 ms, and the most that were established at once.
    pub sustained: u32,
    pub peak: u32,
    pub established_ever: u64,
    /// How many replied, where a reply was asked for.
    pub replied: Option<u64>,
    pub reach: Reach,
    /// From the first dial to the last.
    pub dialed_in: Span,
}

/// A run that ended before everything was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedEarly {
    pub by_signal: bool,
    pub not_dialed: u32,
    pub dialing: u32,
    pub replies_pending: u32,
    pub checks_pending: u32,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// This host refused the dials itself.
    LocalFailure { reason: EndReason, errno: i32 },
    /// Dials that failed beyond this host: how many by each reason, the most frequent first, how many
    /// were still under way, how many more came through by a repeated SYN, and how many repeats those
    /// that failed had.
    DialsFailed { reasons: Vec<(EndReason, u32)>, pending: u32, slow: u32, repeats: u64 },
    /// Dials that came through by a repeated SYN, or after a second and more.
    DialsSlow { repeats: u64 },
    /// Established, and closed as soon as the server had accepted.
    ClosedOnAccept { resets: u32, within: Span },
    /// Closed by the peer later.
    Closed { how: ClosePattern, resets: u32, first: Moment, last: Moment, ages: [Span; 3] },
    /// Ended without an answer from the peer.
    Lost { errno: i32 },
    /// Closed on this host, by `ss -K`.
    KilledHere,
    /// A keepalive was answered with RST.
    HalfOpen,
    /// No keepalive was acknowledged: how many were at the check before, and when.
    KeepaliveUnacked { confirmed_before: u64, confirmed_at: Option<Moment>, checked_at: Moment },
    /// The server goes on repeating its SYN-ACK.
    SynAckRepeated,
    /// Established, and no reply in time; how many replied something else, or later.
    NoReply { replied: u64, wrong: u64, late: u64 },
}

/// How connections were closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosePattern {
    /// Each at about the same age.
    AtAge { age: Span },
    /// At about the same age, while others grew older.
    AtAgeWithSurvivors { age: Span },
    /// All that were open, at one moment.
    Simultaneous { at: Moment, of: u32, newcomers: bool },
    /// All that were older than an age, at some moments.
    Sweep { older_than: Span, every: Option<Span> },
    /// Some of those that were open, at one moment, whatever their age.
    Together { at: Moment, kept: u32 },
    /// Of about the same age and at about the same moment.
    AgeOrMoment { age: Span, at: Moment },
    /// All that were established after those that stayed open.
    NewestOnly { kept: u32 },
    /// In the order in which they were established, at different ages, as long as dials went on.
    OldestFirst,
    /// At moments and ages that are not known: this host was not looking.
    Undated,
    /// At different ages and moments.
    Mixed,
    /// Too few to tell, or not dated well enough.
    TooFew,
}

/// Where a problem is, by index into [`Routes`](crate::route::Routes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Everywhere,
    /// Only at some of several, the most affected first; of very many not all are listed.
    Targets {
        places: Vec<u32>,
        count: u32,
    },
    Sources {
        places: Vec<u32>,
        count: u32,
    },
    /// At each by itself, from this many of its own connections on.
    EachTarget {
        open: Range<u32>,
        count: u32,
    },
    EachSource {
        open: Range<u32>,
        count: u32,
    },
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub symptom: Symptom,
    /// How many of how many dials, or connections, it met.
    pub share: Part,
    pub pattern: Pattern,
    pub scope: Scope,
    /// The most likely first.
    pub candidates: Vec<Candidate>,
    /// What is but another sign of it.
    pub explains: Vec<Problem>,
}

/// How sure a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likelihood {
    Possible,
    Likely,
    /// A fact was met that no other cause explains.
    Certain,
}

/// A cause that would explain a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub cause: Cause,
    pub likelihood: Likelihood,
    pub evidence: Vec<Evidence>,
    /// The limit of this host behind it, with its numbers.
    pub knob: Option<Knob>,
}

/// A fact that speaks for a candidate, or against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub is_for: bool,
    pub fact: Fact,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// SYN retransmissions of dials that failed, and dials that came through by one.
    Retransmissions {
        failed: u64,
        through: u64,
    },
    /// None of the repeats came through, where this percentage of first SYNs did.
    FourTupleDecides {
        repeats: u64,
        through_percent: u32,
    },
    /// The application replied to all, or to none, of those established.
    AllReplied {
        replied: u64,
    },
    /// The server repeated its SYN-ACK.
    SynAckRepeated {
        connections: u64,
    },
    HalfOpen {
        connections: u64,
    },
    /// No keepalive was acknowledged since.
    NoneAcknowledged {
        connections: u32,
    },
    /// Each dial had no longer than this.
    ShortTimeout {
        timeout: Span,
    },
    /// Connections that were reset as dials began to be refused.
    ResetAsRefused {
        connections: u32,
    },
    /// ICMP errors that this host sent itself, most likely to these dials.
    IcmpSentHere {
        count: u64,
    },
    /// Its application closed connections meanwhile: it had accepted them.
    ClosedMeanwhile {
        closes: u32,
    },
    /// RST about one RTT after the final ACK.
    ResetAfterHandshake {
        connections: u32,
    },
    /// SYN repeats that this host could not send.
    SynNotSent {
        count: u64,
        repeats: u64,
    },
    /// SYNs that had not left this host yet when they were due again.
    SynStillQueued {
        count: u64,
        repeats: u64,
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
    /// ICMP errors, the type and code, and which address sent them.
    Icmp {
        kind: u8,
        code: u8,
        is_v6: bool,
        offender: std::net::IpAddr,
        is_local: bool,
        count: u64,
    },
    /// The same count at each of several.
    SameCount {
        open: u32,
        places: u32,
        is_source: bool,
    },
    /// Refusals came sooner, or not sooner, than the shortest handshake.
    RefusedSooner {
        refused: Span,
        handshake: Span,
    },
    RefusedAsSoon {
        refused: Span,
        handshake: Span,
    },
    /// Connections that were checked all along are still acknowledged.
    WatchConfirmed {
        confirmed: u64,
        sent: u64,
    },
    /// It goes on, or went on, after the last dial.
    AfterLastDial {
        closes: u32,
    },
    /// It says why.
    LastLine,
    /// Dials refused after it.
    RefusedAfter {
        dials: u32,
    },
}
