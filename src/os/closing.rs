//! The end of the connections that a run still holds, once its report is written: in pieces, so
//! that a signal is heard, and with a sign of life, as a million of them take a while.

use super::clock::Clock;
use super::sockets::Sockets;
use super::sys::Signals;
use super::watch::Watch;
use crate::units::{Span, next_beat};

/// Slots gone through before signals and the clock are looked at: less than a millisecond's worth,
/// as a rule.
const CLOSES_MAX: u32 = 64;

/// How often it is told how far it has come.
const TOLD_EVERY: Span = Span::from_s(1);

/// Closes all of `sockets`. A signal ends it early: then the end of the process closes the rest.
pub fn close_all(mut sockets: Sockets, clock: Clock, signals: &Signals, watch: &mut dyn Watch) {
    let (all, slots) = (sockets.count(), sockets.slots());
    let began = clock.now();
    let mut told_due = began + TOLD_EVERY;
    let mut closed = 0;
    for first in (0..slots).step_by(CLOSES_MAX as usize) {
        for slot in first..slots.min(first + CLOSES_MAX) {
            closed += u32::from(sockets.get(slot).is_some());
            sockets.close(slot);
        }
        if signals.take().is_some() {
            break;
        }
        let now = clock.now();
        if told_due <= now && closed < all {
            watch.closing(closed, all);
            told_due = next_beat(began, TOLD_EVERY, now);
        }
    }
    // What a signal left is closed faster by the end of the process than one by one.
    std::mem::forget(sockets);
}
