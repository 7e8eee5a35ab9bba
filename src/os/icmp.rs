//! Reads the ICMP errors that dials received from their sockets, before these are closed: one
//! system call for each dial that failed, none for one that opened.

use std::os::fd::BorrowedFd;

use super::clock::Clock;
use super::sockets::Sockets;
use super::sys;
use crate::icmp::IcmpTally;

/// Errors read of one dial: there is at most one for each SYN, and a dial sends no more SYNs in ten
/// seconds.
const ERRORS_MAX: usize = 8;

/// Counts the ICMP errors of a slot that is dialing or has failed to, whatever the dial ended with:
/// one that timed out can have received ICMP errors too.
#[inline]
pub fn collect(tally: &mut IcmpTally, sockets: &Sockets, slot: u32, clock: &Clock) {
    if !sockets.is_opened(slot)
        && let Some(socket) = sockets.get(slot)
    {
        read_all(tally, socket, clock);
    }
}

fn read_all(tally: &mut IcmpTally, socket: BorrowedFd<'_>, clock: &Clock) {
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
