//! Events that no honest driver hands over, and that must change nothing.

use super::asking::Wait;
use super::network::failure;
use super::random::Random;
use super::shadow::Shadow;
use crate::engine::{EndReason, Event, EventKind, Key, State, TcpInfo, TcpInfoPurpose};
use crate::units::{Moment, Span};

/// Makes one up, if the run is in a state that has room for it.
pub fn bogus(shadow: &mut Shadow, now: Moment, random: &mut Random) -> Option<Event> {
    let connections = shadow.plan.connections;
    let slot = random.small(0, connections - 1);
    let states = |wanted: &[State]| {
        let mut slots = (0..connections).cycle().skip(slot as usize).take(connections as usize);
        slots.find(|slot| wanted.contains(&shadow.seats[*slot as usize].state))
    };
    let attempt = random.pick(&[1, 7, u32::MAX]);
    let outside = random.pick(&[connections, u32::MAX - 1, u32::MAX]);
    let any = Key { slot, attempt: 0 };
    let (edge, kind) = match random.small(0, 8) {
        0 => ("bogus: wrong attempt", anything(Key { slot, attempt }, random)),
        1 => ("bogus: wrong slot", anything(Key { slot: outside, attempt: 0 }, random)),
        2 => {
            let slot = shadow.unasked()?;
            ("bogus: never asked for", anything(Key { slot, attempt: 0 }, random))
        }
        3 => {
            let slot = states(&[State::Closed, State::Error])?;
            ("bogus: already over", anything(Key { slot, attempt: 0 }, random))
        }
        4 => {
            let closing =
                random.pick(&[EndReason::PeerClosed, EndReason::HalfOpen, EndReason::Lost]);
            let failing =
                random.pick(&[EndReason::Refused, EndReason::TimedOut, EndReason::NoPorts]);
            let failed = EventKind::Failed(any, failure(closing));
            let closed = EventKind::PeerClosed(any, failure(failing));
            ("bogus: wrong reason", random.pick(&[failed, closed]))
        }
        5 => {
            let slot = states(&[State::Established])?;
            let key = Key { slot, attempt: 0 };
            let failed = EventKind::Failed(key, failure(EndReason::Refused));
            (
                "bogus: dialed twice",
                random.pick(&[EventKind::Dialed(key), EventKind::Opened(key), failed]),
            )
        }
        6 => {
            let slot = states(&[State::Established])?;
            let seat = &shadow.seats[slot as usize];
            // Whether what is awaited has come nobody but the driver knows; not without bytes.
            if seat.wait == Wait::Reply && seat.heard {
                return None;
            }
            ("bogus: an answer to nothing", EventKind::ReplyMatched(Key { slot, attempt: 0 }))
        }
        7 => ("bogus: a look at nothing", looked(any, random)),
        // Spurious, rather than bogus: an epoll may say so with nothing there to read.
        _ => {
            let slot = states(&[State::Established])?;
            ("bogus: nothing to read", EventKind::Readable(Key { slot, attempt: 0 }))
        }
    };
    if let EventKind::TcpInfo(key, why, _) = kind
        && shadow.looks.contains(&(key, why))
    {
        return None;
    }
    shadow.reach(edge);
    let future = now + Span::from_s(1_000);
    Some(Event { at: random.pick(&[Moment(0), now, now, future, Moment(u64::MAX)]), kind })
}

fn anything(key: Key, random: &mut Random) -> EventKind {
    let looked = looked(key, random);
    random.pick(&[
        EventKind::Dialed(key),
        EventKind::Opened(key),
        EventKind::Failed(key, failure(EndReason::Refused)),
        EventKind::PeerClosed(key, failure(EndReason::PeerClosed)),
        EventKind::Readable(key),
        EventKind::Received { key, bytes: 1_000, more: true },
        EventKind::ReplyMatched(key),
        looked,
    ])
}

/// The kernel is said to have said something, however absurd.
fn looked(key: Key, random: &mut Random) -> EventKind {
    let why = random.pick(&[
        TcpInfoPurpose::Rtt,
        TcpInfoPurpose::Slow,
        TcpInfoPurpose::Suspect,
        TcpInfoPurpose::Keepalive,
    ]);
    let count = random.pick(&[0, 1, u32::MAX]);
    let span = random.pick(&[None, Some(Span::ZERO), Some(Span(u64::MAX))]);
    let look = TcpInfo {
        total_retrans: count,
        rtt: span,
        last_ack_recv: span,
        segs_in: span.map(|_| count),
        data_segs_in: span.map(|_| 0),
        unacked: count,
    };
    EventKind::TcpInfo(key, why, look)
}
