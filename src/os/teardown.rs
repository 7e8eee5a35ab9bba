//! Closes the connections that a run still holds, once its report is written.

use super::clock::Clock;
use super::sockets::Sockets;
use super::sys::Signals;
use super::watch::Watch;
use crate::units::{Span, next_beat};

/// Slots closed before signals and the clock are read: less than a millisecond, as a rule.
const CLOSES_MAX: u32 = 64;

/// Closing a million connections takes a while: the progress is printed this often.
const PROGRESS_EVERY: Span = Span::from_s(1);

/// Closes all of `sockets`, or until a signal comes: the end of the process closes the rest.
pub fn close_all(mut sockets: Sockets, clock: Clock, signals: &Signals, watch: &mut dyn Watch) {
    let (all, slots) = (sockets.count(), sockets.slots());
    let began = clock.now();
    let mut progress_due = began + PROGRESS_EVERY;
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
        if progress_due <= now && closed < all {
            watch.closing(closed, all);
            progress_due = next_beat(began, PROGRESS_EVERY, now);
        }
    }
    // After a signal the end of the process closes the rest faster than one by one.
    std::mem::forget(sockets);
}
