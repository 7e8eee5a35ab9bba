//! Dials that failed on this host: errno names the cause, the preflight has the knob.

use crate::diagnosis::Case;
use crate::diagnosis::causes::Cause;
use crate::diagnosis::model::{Candidate, Likelihood};
use crate::engine::EndReason;
use crate::limits::{Finding, Knob};

pub fn candidates(case: &Case<'_>, reason: EndReason, _errno: i32) -> Vec<Candidate> {
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
        Cause::PortRange | Cause::TimeWait => matches!(knob, Knob::Ports(_)),
        Cause::SocketMemory => matches!(knob, Knob::Memory { .. } | Knob::Cgroup { .. }),
        Cause::EpollWatches => matches!(knob, Knob::Watches { .. }),
        Cause::LocalConntrack => matches!(knob, Knob::Conntrack { .. }),
        _ => false,
    };
    case.findings.iter().map(|finding| &finding.knob).find(is_of_cause).cloned()
}
