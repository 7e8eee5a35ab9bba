//! The causes of each symptom with each pattern, weighted, before other facts of the run.

use super::view::View;
use crate::diagnosis::causes::Cause::{self, *};
use crate::diagnosis::model::{ClosePattern, Symptom};
use crate::diagnosis::pattern::Pattern;
use crate::diagnosis::symptoms::are_final_acks_lost;
use crate::engine::EndReason;

/// Causes with their weights.
pub type Priors = &'static [(Cause, i8)];

/// The priors of a symptom.
pub fn of(view: &View<'_>) -> Priors {
    let (fit, facts) = (&view.observed.fit, view.facts);
    match &view.observed.symptom {
        Symptom::LocalFailure { .. } => &[],
        Symptom::DialsFailed { .. } => dials_failed(view),
        Symptom::DialsSlow { retransmits: 0 } => &[(LongRtt, 4), (SlowHost, 2)],
        Symptom::DialsSlow { .. } => slow(&fit.pattern),
        Symptom::ClosedOnAccept { .. } => on_accept(&fit.pattern),
        Symptom::Closed { how, .. } => {
            let closes = &view.case.summary.analysis.closes;
            // Those with a date are at moments of their own: no process has ended.
            let may_be_one_moment = closes.undated == closes.count;
            closed(how, fit.pattern == Pattern::All && may_be_one_moment)
        }
        Symptom::Lost { .. } => &[(PathDown, 3), (HostDown, 2), (StateExpired, 2)],
        Symptom::KilledHere => &[(KilledHere, 4)],
        Symptom::HalfOpen => {
            // An idle timeout at the age of the check can coincide with it.
            &[
                (AcceptQueueOverflow, 3),
                (ProcessRestarted, 2),
                (StateExpired, 2),
                (IdleTimeout, 1),
                (SynProxy, 1),
            ]
        }
        Symptom::KeepaliveUnacked { .. } => &[(PathDown, 3), (StateExpired, 3), (HostDown, 2)],
        Symptom::SynAckRepeated => match (&fit.pattern, facts.confirmed_first) {
            _ if are_final_acks_lost(view.case, &fit.pattern, fit.part) => {
                &[(PacketLoss, 4), (AcceptDeferred, 0)]
            }
            (_, 0) => &[(AcceptDeferred, 4), (AcceptQueueFull, 3), (AcceptQueueOverflow, 2)],
            _ => &[
                (AcceptQueueFull, 4),
                (AcceptQueueOverflow, 3),
                (AcceptDeferred, 1),
                (PacketLoss, 1),
            ],
        },
        Symptom::NoReply { replied, wrong, late } => {
            let hits = fit.part.hits;
            match (*replied, &fit.pattern) {
                _ if *wrong * 2 > hits => &[(WrongReply, 5), (AppOverloaded, 1)],
                _ if *late * 2 > hits => &[(AppOverloaded, 5), (LongRtt, 1), (PacketLoss, 1)],
                (0, _) => &[
                    (AppSilent, 4),
                    (AcceptQueueFull, 2),
                    (ThreadLimit, 1),
                    (AppOverloaded, 1),
                    (PathMtu, 1),
                ],
                (_, Pattern::AboveCount { .. } | Pattern::FromMoment { .. }) => &[
                    (ThreadLimit, 3),
                    (ServerFdLimit, 2),
                    (ConnectionLimit, 2),
                    (AppOverloaded, 1),
                ],
                (_, Pattern::Scattered) => &[
                    (AppOverloaded, 3),
                    (PacketLoss, 2),
                    (AppSilent, 1),
                    (BackendDown, 1),
                    (PathMtu, 1),
                ],
                _ => &[
                    (AppOverloaded, 3),
                    (ThreadLimit, 2),
                    (AppSilent, 1),
                    (BackendDown, 1),
                    (PathMtu, 1),
                ],
            }
        }
    }
}

fn dials_failed(view: &View<'_>) -> Priors {
    let (fit, facts) = (&view.observed.fit, view.facts);
    let icmp = view.failed_by(EndReason::HostUnreachable)
        + view.failed_by(EndReason::NetworkUnreachable)
        + view.failed_by(EndReason::Prohibited);
    let is_rejected = icmp > 0 || !facts.icmp.is_empty() || !facts.icmp_local.is_empty();
    if is_rejected && (icmp > 0 || view.is_silent()) {
        return by_icmp(&fit.pattern, facts.is_remote_neighbour_unresolved());
    }
    let refused = view.failed_by(EndReason::Refused) + view.failed_by(EndReason::Reset);
    if refused > 0 && refused * 2 >= fit.part.hits {
        return refused_priors(&fit.pattern);
    }
    if !view.is_silent() {
        return &[(Undetermined, 0)];
    }
    let decides = facts.four_tuple_decides(fit.part.hits, fit.part.all).is_some();
    if view.case.summary.churn.is_some() && matches!(fit.pattern, Pattern::FromMoment { .. }) {
        // A table of connections that keeps the closed ones for a while is full at some time.
        return &[
            (DropAboveLimit, 3),
            (PathDown, 3),
            (HostDown, 2),
            (AcceptQueueFull, 2),
            (NatPortsExhausted, 2),
            (FirewallDrop, 1),
        ];
    }
    let some_succeeded = matches!(view.observed.symptom, Symptom::DialsFailed { slow: 1.., .. });
    silent(&fit.pattern, decides, some_succeeded)
}

/// No reply to the SYN.
fn silent(pattern: &Pattern, four_tuple_decides: bool, some_succeeded: bool) -> Priors {
    match pattern {
        // If retransmissions succeed, not every SYN is dropped.
        Pattern::All | Pattern::NearlyAll if some_succeeded => &[
            (RateLimit, 3),
            (AcceptQueueOverflow, 3),
            (LongRtt, 2),
            (BackendDown, 2),
            (PacketLoss, 1),
        ],
        Pattern::Scattered | Pattern::Irregular | Pattern::NearlyAll if four_tuple_decides => {
            &[(BackendDown, 4), (ListenerStuck, 3), (PathDown, 1)]
        }
        Pattern::PartlyAboveCount { .. } if four_tuple_decides => {
            &[(ListenerStuck, 4), (BackendDown, 3), (DropAboveLimit, 1)]
        }
        Pattern::All => &[
            (FirewallDrop, 3),
            (HostDown, 2),
            (PathDown, 2),
            (AcceptQueueFull, 1),
            (LocalFirewall, 1),
        ],
        Pattern::NearlyAll => {
            &[(RateLimit, 3), (AcceptQueueFull, 3), (DropAboveLimit, 2), (PacketLoss, 1)]
        }
        Pattern::AboveCount { .. } => &[
            (AcceptQueueFull, 3),
            (DropAboveLimit, 3),
            (RateLimit, 2),
            (NatPortsExhausted, 1),
            (LocalFirewall, 1),
            (PathDown, 1),
        ],
        Pattern::PartlyAboveCount { .. } => {
            &[(AcceptQueueOverflow, 3), (RateLimit, 3), (DropAboveLimit, 2), (PacketLoss, 1)]
        }
        Pattern::FromMoment { .. } => {
            &[(PathDown, 3), (HostDown, 3), (AcceptQueueFull, 2), (FirewallDrop, 1)]
        }
        Pattern::InitialOutage { .. } | Pattern::Outage { .. } => {
            &[(Outage, 3), (AcceptQueueOverflow, 3), (ProcessRestarted, 1)]
        }
        Pattern::Scattered => {
            &[(PacketLoss, 3), (RateLimit, 2), (AcceptQueueOverflow, 2), (BackendDown, 1)]
        }
        Pattern::Irregular => &[
            (AcceptQueueOverflow, 3),
            (RateLimit, 3),
            (PacketLoss, 1),
            (DropAboveLimit, 1),
            (Outage, 1),
        ],
        Pattern::TooFew => {
            &[(Undetermined, 0), (PacketLoss, 1), (AcceptQueueOverflow, 1), (RateLimit, 1)]
        }
    }
}

/// RST in reply to the SYN, or what looks like it.
fn refused_priors(pattern: &Pattern) -> Priors {
    match pattern {
        Pattern::All => {
            &[(NoListener, 4), (ListensElsewhere, 3), (FirewallReject, 2), (LocalFirewall, 1)]
        }
        Pattern::AboveCount { .. } => {
            &[(RejectAboveLimit, 3), (ListenerClosed, 3), (RateLimit, 1), (LocalFirewall, 1)]
        }
        Pattern::FromMoment { .. } => {
            &[(ListenerClosed, 3), (ProcessRestarted, 2), (RejectAboveLimit, 1)]
        }
        Pattern::InitialOutage { .. } => {
            &[(NoListener, 3), (ProcessRestarted, 2), (Outage, 1), (FirewallReject, 1)]
        }
        Pattern::Outage { .. } => {
            &[(ProcessRestarted, 4), (Outage, 2), (FirewallReject, 1), (BackendDown, 1)]
        }
        Pattern::Scattered => {
            &[(BackendDown, 3), (RateLimit, 2), (FirewallReject, 1), (LocalFirewall, 0)]
        }
        Pattern::PartlyAboveCount { .. } | Pattern::Irregular | Pattern::NearlyAll => &[
            (RateLimit, 3),
            (BackendDown, 2),
            (RejectAboveLimit, 2),
            (ListenerClosed, 1),
            (LocalFirewall, 0),
        ],
        Pattern::TooFew => {
            &[(Undetermined, 0), (NoListener, 1), (FirewallReject, 1), (RateLimit, 1)]
        }
    }
}

/// ICMP errors, for all or some dials: a kernel limits how many it sends.
fn by_icmp(pattern: &Pattern, is_remote_neighbour_unresolved: bool) -> Priors {
    match pattern {
        Pattern::All | Pattern::NearlyAll if is_remote_neighbour_unresolved => {
            &[(HostDown, 4), (NoRouteBeyond, 2), (FirewallReject, 2)]
        }
        Pattern::All | Pattern::NearlyAll => {
            &[(FirewallReject, 3), (NoRouteBeyond, 3), (HostDown, 1), (LocalFirewall, 0)]
        }
        Pattern::AboveCount { .. } => {
            &[(RejectAboveLimit, 4), (RateLimit, 2), (FirewallReject, 1), (LocalFirewall, 1)]
        }
        Pattern::FromMoment { .. } => {
            &[(HostDown, 3), (NoRouteBeyond, 3), (RejectAboveLimit, 1), (FirewallReject, 1)]
        }
        Pattern::InitialOutage { .. } | Pattern::Outage { .. } => {
            &[(Outage, 4), (NoRouteBeyond, 1), (FirewallReject, 1)]
        }
        Pattern::PartlyAboveCount { .. }
        | Pattern::Scattered
        | Pattern::Irregular
        | Pattern::TooFew => {
            &[(RateLimit, 3), (RejectAboveLimit, 2), (FirewallReject, 2), (NoRouteBeyond, 1)]
        }
    }
}

fn slow(pattern: &Pattern) -> Priors {
    match pattern {
        Pattern::All | Pattern::NearlyAll => {
            &[(LongRtt, 3), (RateLimit, 2), (AcceptQueueOverflow, 2)]
        }
        Pattern::AboveCount { .. } | Pattern::PartlyAboveCount { .. } => {
            &[(AcceptQueueOverflow, 3), (RateLimit, 3), (DropAboveLimit, 2), (PacketLoss, 1)]
        }
        Pattern::InitialOutage { .. } | Pattern::Outage { .. } => {
            &[(Outage, 3), (AcceptQueueOverflow, 3)]
        }
        Pattern::FromMoment { .. } => &[(AcceptQueueOverflow, 2), (RateLimit, 2), (Outage, 1)],
        // A queue overflows in bursts, and above a count.
        Pattern::Scattered => &[(PacketLoss, 4), (RateLimit, 1)],
        Pattern::TooFew => &[(PacketLoss, 3), (Undetermined, 0)],
        Pattern::Irregular => &[(AcceptQueueOverflow, 3), (RateLimit, 3), (PacketLoss, 2)],
    }
}

fn on_accept(pattern: &Pattern) -> Priors {
    match pattern {
        Pattern::All | Pattern::NearlyAll => {
            &[(RejectsClient, 3), (BackendUnreachable, 3), (ConnectionLimit, 1), (SynProxy, 1)]
        }
        Pattern::AboveCount { .. } => &[
            (ConnectionLimit, 4),
            (ClientLimit, 3),
            (AcceptRateLimit, 2),
            (ThreadLimit, 1),
            (ServerFdLimit, 1),
        ],
        Pattern::FromMoment { .. } => {
            &[(BackendUnreachable, 3), (ConnectionLimit, 2), (RejectsClient, 1)]
        }
        // Only the last ones stay: the earlier ones may have been evicted for them.
        Pattern::InitialOutage { .. } => &[
            (BackendUnreachable, 3),
            (ProcessRestarted, 2),
            (EvictsOldest, 2),
            (AcceptRateLimit, 1),
        ],
        Pattern::Outage { .. } => {
            &[(BackendUnreachable, 3), (ProcessRestarted, 2), (AcceptRateLimit, 1)]
        }
        Pattern::PartlyAboveCount { .. } | Pattern::Irregular => {
            &[(AcceptRateLimit, 3), (ConnectionLimit, 3), (ClientLimit, 2), (BackendUnreachable, 1)]
        }
        Pattern::Scattered => {
            &[(AcceptRateLimit, 3), (BackendUnreachable, 2), (ConnectionLimit, 2)]
        }
        Pattern::TooFew => {
            &[(Undetermined, 0), (ConnectionLimit, 1), (RejectsClient, 1), (BackendUnreachable, 1)]
        }
    }
}

fn closed(how: &ClosePattern, may_be_all_at_once: bool) -> Priors {
    match how {
        // A proxy closes after its own connect timeout to the backend.
        ClosePattern::AtAge { .. } => {
            &[(IdleTimeout, 5), (EvictsOldest, 1), (BackendUnreachable, 1)]
        }
        ClosePattern::AtAgeWithSurvivors { .. } | ClosePattern::OldestFirst => {
            &[(EvictsOldest, 4), (IdleTimeout, 2)]
        }
        ClosePattern::NewestOnly { .. } => &[
            (ConnectionLimit, 4),
            (ClientLimit, 3),
            (AcceptRateLimit, 2),
            (ThreadLimit, 1),
            (ServerFdLimit, 1),
        ],
        ClosePattern::Sweep { .. } => &[(IdleTimeout, 5), (EvictsOldest, 1), (ProcessRestarted, 1)],
        ClosePattern::Simultaneous { .. } => &[(ProcessRestarted, 4), (IdleTimeout, 2)],
        ClosePattern::Together { .. } => {
            &[(ProcessRestarted, 3), (IdleTimeout, 2), (BackendDown, 1)]
        }
        ClosePattern::AgeOrMoment { .. } => &[(IdleTimeout, 3), (ProcessRestarted, 3)],
        ClosePattern::Undated if may_be_all_at_once => {
            &[(ProcessRestarted, 3), (IdleTimeout, 3), (EvictsOldest, 1), (BackendUnreachable, 1)]
        }
        ClosePattern::Undated => &[
            (IdleTimeout, 3),
            (ProcessRestarted, 2),
            (EvictsOldest, 1),
            (ConnectionLimit, 1),
            (BackendUnreachable, 1),
        ],
        ClosePattern::Mixed => &[(IdleTimeout, 2), (EvictsOldest, 1), (Undetermined, 0)],
        ClosePattern::TooFew => {
            &[(Undetermined, 0), (IdleTimeout, 1), (ConnectionLimit, 1), (ProcessRestarted, 1)]
        }
    }
}
