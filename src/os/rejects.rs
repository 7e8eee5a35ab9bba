//! The ICMP errors that dials received, read from their sockets before these are closed: one system
//! call a dial that failed, none for one that opened.

use super::clock::Clock;
use super::sockets::Sockets;
use super::sys;
use crate::icmp::IcmpTally;

/// What is read of one dial at most: it sends no more SYNs than that in ten seconds.
const ERRORS_MAX: usize = 8;

/// Counts the ICMP errors of a slot that is dialing or has failed to. What the dial itself ended by
/// does not matter: one that timed out may have been rejected by ICMP as well.
pub fn note(tally: &mut IcmpTally, sockets: &Sockets, slot: u32, clock: &Clock) {
    let Some(socket) = sockets.get(slot).filter(|_| !sockets.is_opened(slot)) else { return };
    // One for each SYN that was rejected: most often they are equal.
    let mut before = None;
    for _ in 0..ERRORS_MAX {
        let Some(error) = sys::read_icmp_error(socket) else { return };
        if before.replace(error) != Some(error) {
            tally.add(clock.now(), error);
        }
    }
}

/// The same for all dials that are under way when the run is ended.
pub fn note_pending(tally: &mut IcmpTally, sockets: &Sockets, clock: &Clock) {
    (0..sockets.slots()).for_each(|slot| note(tally, sockets, slot, clock));
}
