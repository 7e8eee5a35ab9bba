//! Events that no correct driver reports, and that must change nothing.

use super::descriptor::failure;
use super::random::Random;
use super::record::View;
use crate::engine::{EndReason, Engine, Event, EventKind, Key, State, TcpInfo, TcpInfoPurpose};
use crate::units::{Moment, Span};

/// One such event, if the state of the run allows any.
pub(super) fn bogus(
    engine: &Engine,
    view: &View,
    now: Moment,
    random: &mut Random,
) -> Option<(&'static str, Event)> {
    let connections = engine.sample().connections;
    let is_in = |slot: u32, wanted: &[State]| {
        let connection = engine.connection(engine.key(slot));
        connection.is_some_and(|connection| wanted.contains(&connection.state))
    };
    let slot = random.small(0, connections - 1);
    let states = |wanted: &[State]| {
        let mut slots = (0..connections).cycle().skip(slot as usize).take(connections as usize);
        slots.find(|slot| is_in(*slot, wanted))
    };
    // The last one is the attempt before, if there was one.
    let further = random.pick(&[1, 7, u32::MAX]);
    let outside = random.pick(&[connections, u32::MAX - 1, u32::MAX]);
    let any = engine.key(slot);
    let last_kind = if view.has_attempts() { 9 } else { 8 };
    let (name, kind) = match random.small(0, last_kind) {
        0 => {
            let attempt = any.attempt.wrapping_add(further);
            ("bogus: wrong attempt", anything(Key { slot, attempt }, random))
        }
        9 => {
            let slot = states(&[State::NotInitiated])?;
            let key = engine.key(slot);
            if key.attempt == 0 || view.dials.contains(&key) {
                return None;
            }
            ("bogus: not dialed again", anything(key, random))
        }
        1 => ("bogus: wrong slot", anything(Key { slot: outside, attempt: 0 }, random)),
        2 => {
            let mut never = view.dialed..connections;
            let slot = never.find(|slot| is_in(*slot, &[State::NotInitiated]))?;
            ("bogus: never dialed", anything(engine.key(slot), random))
        }
        3 => {
            let slot = states(&[State::Closed, State::Error])?;
            ("bogus: already over", anything(engine.key(slot), random))
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
            let key = engine.key(slot);
            let failed = EventKind::Failed(key, failure(EndReason::Refused));
            (
                "bogus: dialed twice",
                random.pick(&[EventKind::Dialed(key), EventKind::Opened(key), failed]),
            )
        }
        6 => {
            let slot = states(&[State::Established])?;
            // Whether a reply is complete only the driver sees; without bytes it is not.
            let is_awaited = engine.expects_reply(engine.key(slot));
            if is_awaited && view.has_bytes[slot as usize] {
                return None;
            }
            ("bogus: a reply without bytes", EventKind::ReplyMatched(engine.key(slot)))
        }
        7 => ("bogus: TCP_INFO that was not read", unread_info(any, random)),
        // Spurious rather than bogus: epoll may report this with nothing to read.
        _ => {
            let slot = states(&[State::Established])?;
            ("bogus: nothing to read", EventKind::Readable(engine.key(slot)))
        }
    };
    let is_expected = match kind {
        EventKind::TcpInfo(key, purpose, _) => view.reads.contains(&(key, purpose)),
        EventKind::KeepaliveStarted(key, _) => view.starts.contains(&key),
        _ => false,
    };
    if is_expected {
        return None;
    }
    let future = now + Span::from_s(1_000);
    let at = random.pick(&[Moment(0), now, now, future, Moment(u64::MAX)]);
    Some((name, Event { at, kind }))
}

fn anything(key: Key, random: &mut Random) -> EventKind {
    let info = unread_info(key, random);
    random.pick(&[
        EventKind::Dialed(key),
        EventKind::Opened(key),
        EventKind::Failed(key, failure(EndReason::Refused)),
        EventKind::PeerClosed(key, failure(EndReason::PeerClosed)),
        EventKind::Readable(key),
        EventKind::Received { key, bytes: 1_000, more: true },
        EventKind::ReplyMatched(key),
        info,
        EventKind::Reset(key, failure(EndReason::PeerReset), TcpInfo::default()),
        EventKind::KeepaliveStarted(key, None),
    ])
}

/// TCP_INFO with extreme values.
fn unread_info(key: Key, random: &mut Random) -> EventKind {
    let purpose = random.pick(&[
        TcpInfoPurpose::Rtt,
        TcpInfoPurpose::Slow,
        TcpInfoPurpose::Suspect,
        TcpInfoPurpose::Keepalive,
    ]);
    let count = random.pick(&[0, 1, u32::MAX]);
    let span = random.pick(&[None, Some(Span::ZERO), Some(Span(u64::MAX))]);
    let info = TcpInfo {
        total_retrans: count,
        rtt: span,
        last_ack_recv: span,
        segs_in: span.map(|_| count),
        data_segs_in: span.map(|_| 0),
        unacked: count,
        probes: span.map(|_| count),
    };
    EventKind::TcpInfo(key, purpose, info)
}
