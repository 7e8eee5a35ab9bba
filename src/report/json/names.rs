//! The ids of all enums: kebab-case and stable, independent of the wording of the text report.

use crate::diagnosis::causes::Place;
use crate::diagnosis::model::{ClosePattern, Likelihood, Payer, Reach, Scope, Symptom, Word};
use crate::diagnosis::pattern::Pattern;
use crate::engine::breakdown::HitKind;
use crate::engine::{EndReason, Side, State};
use crate::limits::Knob;
use crate::plan::{Close, Probe};

pub fn side(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Network => "network",
        Side::Beyond => "server-or-network",
        Side::ThisHost => "this-host",
    }
}

pub fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Refused => "refused",
        EndReason::TimedOut => "timed-out",
        EndReason::Reset => "reset",
        EndReason::HostUnreachable => "host-unreachable",
        EndReason::NetworkUnreachable => "network-unreachable",
        EndReason::Prohibited => "prohibited",
        EndReason::OtherBeyond => "other",
        EndReason::NoDescriptors => "no-descriptors",
        EndReason::NoPorts => "no-ports",
        EndReason::NoSource => "no-source",
        EndReason::NoBuffers => "no-buffers",
        EndReason::NoWatches => "no-epoll-watches",
        EndReason::NoRouteToHost => "no-route-to-host",
        EndReason::NoRouteToNetwork => "no-route-to-network",
        EndReason::NotPermitted => "not-permitted",
        EndReason::OtherHere => "other-here",
        EndReason::PeerClosed => "closed-by-peer",
        EndReason::PeerReset => "reset-by-peer",
        EndReason::HalfOpen => "half-open",
        EndReason::Lost => "lost",
        EndReason::Aborted => "closed-here",
    }
}

/// The key of a count of dials that failed; empty for what ends connections.
pub fn failed(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Refused => "refused_count",
        EndReason::TimedOut => "timed_out_count",
        EndReason::Reset => "reset_count",
        EndReason::HostUnreachable => "host_unreachable_count",
        EndReason::NetworkUnreachable => "network_unreachable_count",
        EndReason::Prohibited => "prohibited_count",
        EndReason::OtherBeyond => "other_count",
        EndReason::NoDescriptors => "no_descriptors_count",
        EndReason::NoPorts => "no_ports_count",
        EndReason::NoSource => "no_source_count",
        EndReason::NoBuffers => "no_buffers_count",
        EndReason::NoWatches => "no_epoll_watches_count",
        EndReason::NoRouteToHost => "no_route_to_host_count",
        EndReason::NoRouteToNetwork => "no_route_to_network_count",
        EndReason::NotPermitted => "not_permitted_count",
        EndReason::OtherHere => "other_here_count",
        EndReason::PeerClosed
        | EndReason::PeerReset
        | EndReason::HalfOpen
        | EndReason::Lost
        | EndReason::Aborted => "",
    }
}

/// What a row of a table has.
pub fn hit(kind: HitKind) -> &'static str {
    match kind {
        HitKind::EndReason(end_reason) => reason(end_reason),
        HitKind::Closed => "closed",
        HitKind::NoReply => "no-reply",
    }
}

/// The key of the level of a state.
pub fn level(state: State) -> &'static str {
    match state {
        State::NotInitiated => "not_initiated_count",
        State::Dialing => "dialing_count",
        State::Established => "established_count",
        State::Closed => "closed_count",
        State::Error => "error_count",
    }
}

pub fn state(state: State) -> &'static str {
    match state {
        State::NotInitiated => "not-initiated",
        State::Dialing => "dialing",
        State::Established => "established",
        State::Closed => "closed",
        State::Error => "error",
    }
}

pub fn close(close: Close) -> &'static str {
    match close {
        Close::Fin => "fin",
        Close::Rst => "rst",
    }
}

pub fn payer(payer: &Payer) -> &'static str {
    match payer {
        Payer::Newcomers => "newcomers",
        Payer::Held => "held",
        Payer::Both => "both",
        Payer::All { .. } => "all",
    }
}

pub fn probe(probe: Probe) -> &'static str {
    match probe {
        Probe::None => "none",
        Probe::Sample => "sample",
        Probe::All => "all",
    }
}

pub fn knob(knob: &Knob) -> &'static str {
    match knob {
        Knob::SoftDescriptors { .. } => "soft-descriptors",
        Knob::HardDescriptors { .. } => "hard-descriptors",
        Knob::NrOpen { .. } => "nr-open",
        Knob::FileMax { .. } => "file-max",
        Knob::Watches { .. } => "epoll-watches",
        Knob::Ports(_) => "port-range",
        Knob::TimeWait(_) => "time-wait",
        Knob::Conntrack { .. } => "conntrack",
        Knob::Neighbours { .. } => "neighbour-table",
        Knob::Memory { .. } => "memory",
        Knob::Cgroup { .. } => "cgroup-memory",
        Knob::AddressSpace { .. } => "address-space",
    }
}

/// The first word of a verdict, in lower case.
pub fn verdict_word(word: Word) -> &'static str {
    match word {
        Word::Ok => "ok",
        Word::Limit => "limit",
        Word::Failed => "failed",
        Word::Stopped => "stopped",
    }
}

pub fn reach(reach: &Reach) -> &'static str {
    match reach {
        Reach::Handshake => "handshake",
        Reach::Kernel { .. } => "kernel",
        Reach::Application => "application",
    }
}

pub fn likelihood(likelihood: Likelihood) -> &'static str {
    match likelihood {
        Likelihood::Certain => "certain",
        Likelihood::Likely => "likely",
        Likelihood::Possible => "possible",
    }
}

pub fn place(place: Place) -> &'static str {
    match place {
        Place::Server => "server",
        Place::Hop => "hop",
        Place::Here => "this-host",
        Place::FromHere => "from-here",
    }
}

pub fn symptom(symptom: &Symptom) -> &'static str {
    match symptom {
        Symptom::LocalFailure { .. } => "local-failure",
        Symptom::DialsFailed { .. } => "dials-failed",
        Symptom::DialsSlow { .. } => "dials-slow",
        Symptom::ClosedOnAccept { .. } => "closed-on-accept",
        Symptom::Closed { .. } => "closed",
        Symptom::Lost { .. } => "lost",
        Symptom::KilledHere => "closed-here",
        Symptom::HalfOpen => "half-open",
        Symptom::KeepaliveUnacked { .. } => "keepalive-unacked",
        Symptom::SynAckRepeated => "syn-ack-repeated",
        Symptom::NoReply { .. } => "no-reply",
    }
}

pub fn close_pattern(how: &ClosePattern) -> &'static str {
    match how {
        ClosePattern::AtAge { .. } => "at-age",
        ClosePattern::AtAgeWithSurvivors { .. } => "at-age-with-survivors",
        ClosePattern::Simultaneous { .. } => "simultaneous",
        ClosePattern::Sweep { .. } => "sweep",
        ClosePattern::Together { .. } => "together",
        ClosePattern::AgeOrMoment { .. } => "age-or-moment",
        ClosePattern::NewestOnly { .. } => "newest-only",
        ClosePattern::OldestFirst => "oldest-first",
        ClosePattern::Undated => "undated",
        ClosePattern::Mixed => "mixed",
        ClosePattern::TooFew => "too-few",
    }
}

pub fn pattern(pattern: &Pattern) -> &'static str {
    match pattern {
        Pattern::All => "all",
        Pattern::NearlyAll => "nearly-all",
        Pattern::AboveCount { .. } => "above-count",
        Pattern::PartlyAboveCount { .. } => "partly-above-count",
        Pattern::FromMoment { .. } => "from-moment",
        Pattern::InitialOutage { .. } => "initial-outage",
        Pattern::Outage { .. } => "outage",
        Pattern::Scattered => "scattered",
        Pattern::Irregular => "irregular",
        Pattern::TooFew => "too-few",
    }
}

pub fn scope(scope: &Scope) -> &'static str {
    match scope {
        Scope::Everywhere => "everywhere",
        Scope::Targets { .. } => "targets",
        Scope::Sources { .. } => "sources",
        Scope::EachTarget { .. } => "each-target",
        Scope::EachSource { .. } => "each-source",
    }
}
