//! Dials that failed on this host: errno names the cause, the preflight has the knob.

use crate::diagnosis::Case;
use crate::diagnosis::causes::Cause;
use crate::diagnosis::model::{Candidate, Evidence, Fact, Likelihood};
use crate::engine::series::Point;
use crate::engine::{EndReason, State};
use crate::limits::{Finding, Knob, TimeWaitKnob};
use crate::plan::Close;
use crate::units::Span;

pub fn candidates(case: &Case<'_>, reason: EndReason, _errno: i32) -> Vec<Candidate> {
    if let Some(churn) = case.summary.churn.as_ref().filter(|_| reason == EndReason::NoPorts)
        && churn.closed_by_us > 0
        && case.plan.close == Close::Fin
    {
        return ports_in_time_wait(case);
    }
    let causes: &[Cause] = match reason {
        EndReason::NoDescriptors => &[Cause::FdLimit],
        EndReason::NoPorts => &[Cause::PortRange, Cause::TimeWait],
        EndReason::NoSource => &[Cause::SourceGone],
        EndReason::NoBuffers => &[Cause::SocketMemory],
        EndReason::NoWatches => &[Cause::EpollWatches],
        EndReason::NoRouteToHost | EndReason::NoRouteToNetwork => &[Cause::NoRoute],
        EndReason::NotPermitted => &[Cause::NotPermitted, Cause::LocalFirewall],
        _ => &[Cause::Undetermined],
    };
    // TIME_WAIT is a candidate only if the preflight counted some.
    let counts_time_wait =
        |finding: &Finding| matches!(&finding.knob, Knob::Ports(ports) if ports.time_wait > 0);
    let causes = match reason == EndReason::NoPorts && !case.findings.iter().any(counts_time_wait) {
        true => &causes[..1],
        false => causes,
    };
    let is_certain = causes.len() == 1 && causes[0] != Cause::Undetermined;
    let likelihood = if is_certain { Likelihood::Certain } else { Likelihood::Possible };
    let candidate = |cause: &Cause| Candidate {
        cause: *cause,
        likelihood,
        evidence: Vec::new(),
        knob: knob(case, *cause),
    };
    let mut all: Vec<Candidate> = causes.iter().map(candidate).collect();
    // TIME_WAIT comes first if the port range alone would have been enough.
    let is_time_wait = case.findings.iter().any(|finding| {
        matches!(&finding.knob, Knob::Ports(ports) if ports.time_wait > 0 && ports.time_wait_decides)
    });
    if is_time_wait && reason == EndReason::NoPorts {
        all.reverse();
    }
    all
}

/// Where this run closed connections by FIN itself: these hold their ports, and if open ones need
/// less than half of them, nothing else does.
fn ports_in_time_wait(case: &Case<'_>) -> Vec<Candidate> {
    let (summary, slots) = (case.summary, u64::from(case.plan.connections));
    let began = summary.failures[EndReason::NoPorts as usize].map_or(summary.end, |of| of.first);
    let took = began.since(summary.start);
    let is_before = |point: &&Point| point.at <= took;
    let before = summary.series.points().iter().rev().find(is_before).unwrap_or(&Point::START);
    let open = u64::from(before.levels[State::Established as usize]);
    let closed = before.established.saturating_sub(before.closed + open);
    let knob = knob(case, Cause::TimeWait);
    let mut evidence = Vec::new();
    let mut is_certain = false;
    if let Some(Knob::TimeWait(TimeWaitKnob { usable, pairs, wait_s, .. })) = knob {
        let ports = usable * pairs;
        let fact = Fact::ClosedIntoTimeWait { connections: closed, ports };
        evidence.push(Evidence { is_for: true, fact });
        is_certain =
            took <= Span::from_s(wait_s) && slots * 2 < ports && (closed + slots) * 10 >= ports * 9;
    }
    let likelihood = if is_certain { Likelihood::Certain } else { Likelihood::Possible };
    let mut all = vec![Candidate { cause: Cause::TimeWait, likelihood, evidence, knob }];
    if !is_certain {
        let (cause, evidence) = (Cause::PortRange, Vec::new());
        all.push(Candidate { cause, likelihood, evidence, knob: self::knob(case, cause) });
    }
    all
}

/// The local limit of this cause that the preflight found.
fn knob(case: &Case<'_>, cause: Cause) -> Option<Knob> {
    let is_of_cause = |knob: &&Knob| match cause {
        Cause::FdLimit => matches!(
            knob,
            Knob::SoftDescriptors { .. }
                | Knob::HardDescriptors { .. }
                | Knob::NrOpen { .. }
                | Knob::FileMax { .. }
        ),
        Cause::TimeWait if case.plan.lifetime.is_some() => matches!(knob, Knob::TimeWait(_)),
        Cause::PortRange | Cause::TimeWait => matches!(knob, Knob::Ports(_)),
        Cause::SocketMemory => matches!(knob, Knob::Memory { .. } | Knob::Cgroup { .. }),
        Cause::EpollWatches => matches!(knob, Knob::Watches { .. }),
        Cause::LocalConntrack => matches!(knob, Knob::Conntrack { .. }),
        _ => false,
    };
    case.findings.iter().map(|finding| &finding.knob).find(is_of_cause).cloned()
}
