//! Reads the ICMP errors that dials received from their sockets, before these are closed: one
//! system call for each dial that failed, none for one that opened.

use super::clock::Clock;
use super::sockets::Sockets;
use super::sys;
use crate::icmp::IcmpTally;

/// Errors read of one dial: there is at most one for each SYN, and a dial sends no more SYNs in ten
/// seconds.
const ERRORS_MAX: usize = 8;

/// Counts the ICMP errors of a slot that is dialing or has failed to, whatever the dial ended with:
/// one that timed out can have received ICMP errors too.
pub fn collect(tally: &mut IcmpTally, sockets: &Sockets, slot: u32, clock: &Clock) {
    let Some(socket) = sockets.get(slot).filter(|_| !sockets.is_opened(slot)) else { return };
    // One for each rejected SYN, most often equal ones: they count once.
    let mut before = None;
    for _ in 0..ERRORS_MAX {
        let Some(error) = sys::read_icmp_error(socket) else { return };
        if before.replace(error) != Some(error) {
            tally.add(clock.now(), error);
        }
    }
}

/// As [`collect`], for all dials that are pending at the end of the run.
pub fn collect_pending(tally: &mut IcmpTally, sockets: &Sockets, clock: &Clock) {
    (0..sockets.slots()).for_each(|slot| collect(tally, sockets, slot, clock));
}
