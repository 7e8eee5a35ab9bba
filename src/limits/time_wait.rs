//! Ports in TIME_WAIT, where each connection is closed by FIN and its slot dials again.

use super::model::{Finding, Knob, PortRange, TimeWaitKnob};
use crate::plan::{Close, Plan};
use crate::units::{NS_PER_S, Span};

/// How long a port stays in TIME_WAIT. Source: `TCP_TIMEWAIT_LEN` in `net/tcp.h`.
const TIME_WAIT_S: u64 = 60;

/// And where `connect()` may use it again after the timestamp has changed. Source: `tcp_twsk_unique`
/// in `net/ipv4/tcp_ipv4.c`.
const REUSED_AFTER_S: u64 = 1;

/// The ports of a plan, on its host.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub range: PortRange,
    /// For each pair of source and target, and pairs.
    pub usable: u64,
    pub pairs: u64,
    /// Whether those in TIME_WAIT are used again, and whether they could be.
    pub is_reused: bool,
    pub can_be_reused: bool,
}

/// What the ports sustain; `None` where no connection is closed by FIN over and over.
pub fn sustained(plan: &Plan, ports: &Ports) -> Option<TimeWaitKnob> {
    let lifetime = plan.lifetime.filter(|_| plan.close == Close::Fin)?;
    let Ports { range, usable, pairs, is_reused, can_be_reused } = *ports;
    let wait_s = if is_reused { REUSED_AFTER_S } else { TIME_WAIT_S };
    Some(TimeWaitKnob {
        range,
        usable,
        pairs,
        wait_s,
        per_s: usable * pairs / wait_s,
        wanted_per_s: wanted_per_s(plan, lifetime),
        reuse_helps: !is_reused && can_be_reused,
    })
}

/// As many dials as the pace makes due, and as the slots can have.
fn wanted_per_s(plan: &Plan, lifetime: Span) -> Option<u64> {
    let per_s = |count: u64, span: Span| {
        let per_s = u128::from(count) * u128::from(NS_PER_S) / u128::from(span.0.max(1));
        u64::try_from(per_s).unwrap_or(u64::MAX)
    };
    let paced = plan.pace.is_paced().then(|| per_s(plan.pace.dials, plan.pace.span));
    let by_slots = (lifetime > Span::ZERO)
        .then(|| per_s((plan.connections - plan.hold_beside).into(), lifetime));
    paced.into_iter().chain(by_slots).min()
}

/// A finding if the plan wants more, for long enough to use up all ports.
pub fn judge(plan: &Plan, knob: TimeWaitKnob) -> Option<Finding> {
    let ports = knob.usable * knob.pairs;
    let seconds = plan.duration.map_or(u64::MAX, |span| span.0.div_ceil(NS_PER_S));
    let dials = knob.wanted_per_s.unwrap_or(u64::MAX).saturating_mul(seconds);
    let is_below = knob.wanted_per_s.is_none_or(|wanted| wanted > knob.per_s) && dials > ports;
    is_below.then_some(Finding { connections: ports, knob: Knob::TimeWait(knob) })
}

#[cfg(test)]
mod tests {
    use super::{Close, Finding, Knob, Plan, Span};
    use crate::limits::{Host, PortRange, judge};
    use crate::plan::Pace;
    use crate::route::{Routes, Target};

    /// Paced, with a lifetime and a duration in ms.
    fn found(rate_milli: u64, [lifetime, duration]: [u64; 2], host: &Host) -> Option<[u64; 2]> {
        let target = Target { host: "h".into(), address: ([10, 0, 0, 1], 80).into() };
        let plan = Plan {
            pace: if rate_milli == 0 { Pace::UNPACED } else { Pace::rate(rate_milli) },
            lifetime: Some(Span::from_ms(lifetime)),
            duration: (duration > 0).then(|| Span::from_ms(duration)),
            ..Plan::plain(60, Routes::to_one(target))
        };
        let reset = Plan { close: Close::Rst, ..plan.clone() };
        assert_eq!(judge(&reset, host), [], "an RST leaves no TIME_WAIT");
        let found = judge(&plan, host).pop()?;
        let Finding { connections, knob: Knob::TimeWait(knob) } = found else {
            panic!("one of another kind");
        };
        Some([connections, knob.per_s])
    }

    #[test]
    fn ports_sustain_their_number_a_minute_or_where_they_are_reused_a_second() {
        let ports = Some(PortRange { low: 1_001, high: 1_600 });
        let host = |reuse, timestamps| Host {
            ports,
            time_wait_reuse: Some(reuse),
            timestamps: Some(timestamps),
            ..Host::default()
        };
        let never = host(0, 1);
        // 600 ports: ten a second.
        for (rate_milli, times, expected) in [
            (10_000, [0, 0], None),
            (11_000, [0, 0], Some([600, 10])),
            (11_000, [0, 54_000], None),
            (11_000, [0, 55_000], Some([600, 10])),
            (0, [0, 1], Some([600, 10])),
            // Sixty slots dial ten times a second if each is busy for six.
            (0, [6_000, 0], None),
            (0, [5_000, 0], Some([600, 10])),
        ] {
            assert_eq!(found(rate_milli, times, &never), expected, "{rate_milli} {times:?}");
        }
        for (host, expected) in [
            (host(1, 1), Some([600, 600])),
            (host(1, 0), Some([600, 10])),
            // Only on the loopback.
            (host(2, 1), Some([600, 10])),
            (Host::default(), None),
        ] {
            assert_eq!(found(601_000, [0, 0], &host), expected, "{host:?}");
        }
    }
}
