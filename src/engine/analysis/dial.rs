//! What became of one dial and its connection: in words, and packed into a byte.

use crate::engine::check_state::Reply;
use crate::engine::checks::Checks;
use crate::engine::connection::{Connection, EndReason, Side, State, Table};
use crate::engine::failure_times::SLOW_DIAL_MIN;
use crate::engine::gaps::Gaps;
use crate::route::Routes;
use crate::units::{Moment, Span};

/// What a finished run is read from.
#[derive(Debug, Clone, Copy)]
pub struct RunView<'a> {
    pub table: &'a Table,
    pub routes: &'a Routes,
    pub checks: &'a Checks,
    pub gaps: &'a Gaps,
    pub now: Moment,
    /// The shortest dial: an RTT, or somewhat more.
    pub rtt: Span,
}

/// What became of one dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Established in less than a second: its first SYN was answered.
    Through,
    /// Established after a second or more: its first SYN, or the SYN-ACK, was lost.
    Slow,
    /// Pending for a second or more when the run ended.
    Pending,
    Failed(EndReason),
}

impl Outcome {
    pub const COUNT: usize = 3 + EndReason::COUNT;

    pub fn index(self) -> usize {
        match self {
            Outcome::Through => 0,
            Outcome::Slow => 1,
            Outcome::Pending => 2,
            Outcome::Failed(reason) => 3 + reason as usize,
        }
    }

    /// Whether this host refused it before anything was sent.
    pub fn is_local(self) -> bool {
        matches!(self, Outcome::Failed(reason) if reason.side() == Side::ThisHost)
    }
}

/// One decided dial, with what came of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    pub outcome: Outcome,
    /// Closed by the peer as soon as it was established.
    pub closed_at_once: bool,
    pub replied: bool,
    pub no_reply: bool,
    /// Open, and so young as the run ended that it may have been closed on accept.
    pub is_unsettled: bool,
    /// The server repeats its SYN-ACK, as far as its latest check tells.
    pub syn_ack_repeated: bool,
}

/// Equal for equal dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialKey(u16);

impl Dial {
    /// As a number, which is compared at once.
    pub fn key(self) -> DialKey {
        let Dial { outcome, closed_at_once, replied, no_reply, is_unsettled, syn_ack_repeated } =
            self;
        let marks = [closed_at_once, replied, no_reply, is_unsettled, syn_ack_repeated];
        let bits = marks.into_iter().fold(0, |bits, mark| bits << 1 | u16::from(mark));
        DialKey(bits << 8 | u16::try_from(outcome.index()).unwrap_or(u16::MAX))
    }

    /// Whether any of its marks is set.
    pub fn has_a_mark(self) -> bool {
        self.closed_at_once
            | self.replied
            | self.no_reply
            | self.is_unsettled
            | self.syn_ack_repeated
    }

    /// Whether its first SYN made a connection that was not closed on accept.
    pub fn is_through(self) -> bool {
        self.outcome == Outcome::Through && !self.closed_at_once
    }
}

/// All that is counted of one slot, in a byte:
///
/// ```text
/// 0               not dialed
/// 1               dialing, for less than a second
/// 2               Pending
/// 3 + reason      Failed
/// 19 + 24 × slow + 3 × end + reply      established: Through or Slow
///      end: 0 open, 1 to 5 the reasons of a close, 6 FIN and 7 RST on accept
///      reply: 0 none expected, 1 replied, 2 no reply
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate(u8);

const PENDING: usize = 2;
const FAILED_FROM: usize = 3;
const ESTABLISHED_FROM: usize = FAILED_FROM + EndReason::PeerClosed as usize;
const REPLIES: usize = 3;
const ON_ACCEPT_FROM: usize = 1 + EndReason::COUNT - EndReason::PeerClosed as usize;
const ENDS: usize = ON_ACCEPT_FROM + 2;

/// From a close by the peer to the same on accept.
const TO_ON_ACCEPT: usize = REPLIES * (ON_ACCEPT_FROM - 1);

impl Fate {
    pub const COUNT: usize = ESTABLISHED_FROM + 2 * ENDS * REPLIES;

    /// That of a connection at `now`, not closed on accept as far as it goes.
    pub fn of(connection: &Connection, reply: Reply, now: Moment) -> Fate {
        let Connection { state, reason, dialed_at, .. } = *connection;
        let reason = reason.map(|reason| reason as usize);
        let index = match state {
            State::NotInitiated => 0,
            State::Dialing => 1 + usize::from(now.since(dialed_at) >= SLOW_DIAL_MIN),
            State::Error => FAILED_FROM + reason.unwrap_or_default(),
            State::Established | State::Closed => {
                let slow = connection.dial_time.is_some_and(|time| time.middle() >= SLOW_DIAL_MIN);
                let end = reason.map_or(0, |reason| 1 + reason - EndReason::PeerClosed as usize);
                let reply = match reply {
                    Reply::NotExpected => 0,
                    Reply::Replied => 1,
                    Reply::NoReply | Reply::Wrong => 2,
                };
                ESTABLISHED_FROM + (ENDS * usize::from(slow) + end) * REPLIES + reply
            }
        };
        Fate::at(index)
    }

    /// The same, of a connection closed by the peer on accept.
    pub fn on_accept(self) -> Fate {
        Fate::at(self.index() + TO_ON_ACCEPT)
    }

    /// # Panics
    /// If there is none.
    pub fn at(index: usize) -> Fate {
        assert!(index < Fate::COUNT, "{index} is no fate");
        Fate(u8::try_from(index).unwrap_or(u8::MAX))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether it is established and slow, how it ended, and whether it replied.
    fn parts(self) -> Option<(bool, usize, usize)> {
        let above = self.index().checked_sub(ESTABLISHED_FROM)?;
        Some((above >= ENDS * REPLIES, above / REPLIES % ENDS, above % REPLIES))
    }

    pub fn is_dialed(self) -> bool {
        self.index() > 0
    }

    pub fn is_established(self) -> bool {
        self.index() >= ESTABLISHED_FROM
    }

    pub fn replied(self) -> bool {
        self.parts().is_some_and(|(_, _, reply)| reply == 1)
    }

    pub fn is_slow(self) -> bool {
        self.parts().is_some_and(|(is_slow, ..)| is_slow)
    }

    pub fn is_closed_on_accept(self) -> bool {
        self.parts().is_some_and(|(_, end, _)| end >= ON_ACCEPT_FROM)
    }

    /// What ended the dial or the connection.
    pub fn reason(self) -> Option<EndReason> {
        let index = match self.parts() {
            None => self.index().checked_sub(FAILED_FROM)?,
            Some((_, 0, _)) => return None,
            Some((_, end, _)) => {
                let end = if end < ON_ACCEPT_FROM { end - 1 } else { end - ON_ACCEPT_FROM };
                EndReason::PeerClosed as usize + end
            }
        };
        Some(EndReason::ALL[index])
    }

    /// `None`: not decided, or not dialed.
    pub fn dial(self) -> Option<Dial> {
        let outcome = match self.parts() {
            Some((true, ..)) => Outcome::Slow,
            Some((false, ..)) => Outcome::Through,
            None if self.index() == PENDING => Outcome::Pending,
            None => Outcome::Failed(self.reason()?),
        };
        Some(Dial {
            outcome,
            closed_at_once: self.is_closed_on_accept(),
            replied: self.replied(),
            no_reply: self.parts().is_some_and(|(_, _, reply)| reply == 2),
            // These two are no part of a fate.
            is_unsettled: false,
            syn_ack_repeated: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::histogram::Code;

    fn connection(state: State, reason: Option<EndReason>, dial_time: Option<Span>) -> Connection {
        let dial_time = dial_time.map(Code::of);
        let (dialed_at, since) = (Moment(0), Moment(0));
        Connection { dialed_at, since, attempt: 0, state, reason, dial_time }
    }

    #[test]
    fn a_fate_keeps_all_that_it_was_made_of() {
        let second = Span::from_s(1);
        let mut fates = Vec::new();
        for reason in EndReason::ALL {
            let state = reason.ends_in();
            for dial_time in [Span::from_ms(1), Span::from_s(3)] {
                for reply in [Reply::NotExpected, Reply::Replied, Reply::NoReply] {
                    let is_open = state == State::Closed;
                    let closed =
                        connection(state, Some(reason), Some(dial_time).filter(|_| is_open));
                    let fate = Fate::of(&closed, reply, Moment(0));
                    assert_eq!(fate.reason(), Some(reason));
                    let dial = fate.dial().unwrap();
                    let outcome = match (is_open, dial_time < second) {
                        (false, _) => Outcome::Failed(reason),
                        (true, true) => Outcome::Through,
                        (true, false) => Outcome::Slow,
                    };
                    assert_eq!((dial.outcome, dial.closed_at_once), (outcome, false));
                    let replies = [Reply::Replied, Reply::NoReply].map(|r| is_open && r == reply);
                    assert_eq!([dial.replied, dial.no_reply], replies);
                    fates.push(fate.index());
                    if reason.is_close_as(EndReason::PeerClosed) {
                        let on_accept = fate.on_accept();
                        assert_eq!(on_accept.reason(), Some(reason));
                        assert_eq!(on_accept.dial(), Some(Dial { closed_at_once: true, ..dial }));
                        fates.push(on_accept.index());
                    }
                }
            }
        }
        for (state, dial_time) in [
            (State::NotInitiated, None),
            (State::Dialing, None),
            (State::Established, Some(Span::from_ms(1))),
            (State::Established, Some(Span::from_s(3))),
        ] {
            for reply in [Reply::NotExpected, Reply::Replied, Reply::Wrong] {
                let open = connection(state, None, dial_time);
                let early = Fate::of(&open, reply, Moment(0));
                assert_eq!((early.reason(), early.dial().is_some()), (None, dial_time.is_some()));
                fates.extend([early.index(), Fate::of(&open, reply, Moment(0) + second).index()]);
            }
        }
        fates.sort_unstable();
        fates.dedup();
        assert_eq!(fates, (0..Fate::COUNT).collect::<Vec<usize>>());
    }
}
