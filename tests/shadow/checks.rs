//! What the shadow would ask of connections, servers and the kernel, and what it makes of answers.

use super::Shadow;
use super::failures::Sighting;
use super::summary::Seat;
use tcpgoon::engine::{Action, EndReason, Key, Note, State, TcpInfo, TcpInfoPurpose};
use tcpgoon::plan::{Probe, SAMPLE_MAX};
use tcpgoon::units::{Moment, Span, Tick};

/// A dial that took as long lost a SYN, or the answer to one.
const SLOW: Span = Span::from_s(1);

/// No more than one handshake time in so long.
const RTT_EVERY: Span = Span::from_ms(10);

const SUSPECTS_MAX: u32 = 1_000;

/// What the one deadline of an established seat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Nothing,
    /// The application's answer, or the news that it did not come in time.
    Reply,
    /// To send a keepalive.
    Keepalive,
    /// To look at a suspect; and then, perhaps, to send a keepalive.
    Suspicion {
        is_probed: bool,
    },
    /// To look for what the keepalive has brought, for the first time, the second or the third.
    Look(u32),
    /// The answer to the last look.
    LastWord,
}

impl Wait {
    /// Whether a keepalive is out.
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Wait::Look(_) | Wait::LastWord)
    }

    /// Whether it is not known yet if the server has the connection.
    fn is_doubt(self) -> bool {
        match self {
            Wait::Keepalive | Wait::Look(_) | Wait::LastWord => true,
            Wait::Suspicion { is_probed } => is_probed,
            Wait::Nothing | Wait::Reply => false,
        }
    }
}

impl Shadow {
    pub(super) fn seat(&mut self, slot: u32) -> &mut Seat {
        &mut self.seats[slot as usize]
    }

    fn wait(&mut self, slot: u32, wait: Wait, until: Moment) {
        let seat = self.seat(slot);
        (seat.wait, seat.wait_until, seat.overdue_turns) = (wait, until, 0);
    }

    fn wait_no_more(&mut self, slot: u32) {
        self.wait(slot, Wait::Nothing, Moment(0));
    }

    /// Whether the keepalives are for this slot, too: an even sample is every so many.
    fn is_probed(&self, slot: u32) -> bool {
        match self.plan.probe {
            Probe::None => false,
            Probe::All => true,
            Probe::Sample => {
                let few = |every: &u32| self.plan.connections.div_ceil(*every) <= SAMPLE_MAX;
                slot.is_multiple_of((1..).find(few).unwrap_or(u32::MAX))
            }
        }
    }

    /// Whether the run has to go on for answers that may still come.
    pub(super) fn is_waiting(&self) -> bool {
        self.seats.iter().any(|seat| self.is_waited_for(seat))
    }

    /// Whether what a seat says next may be an answer in time.
    pub(super) fn awaits_answer(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        match seat.state {
            State::Established => seat.wait == Wait::Reply,
            State::Closed | State::Error => false,
            _ => self.plan.talk.is_some(),
        }
    }

    pub(super) fn is_waited_for(&self, seat: &Seat) -> bool {
        let doubt = self.plan.probe == Probe::All && seat.wait.is_doubt();
        seat.wait == Wait::Reply || doubt
    }

    /// What is asked at once of a connection that was just established, and what later.
    pub(super) fn greet(&mut self, key: Key, at: Moment, took: Span, answers: &mut Vec<Action>) {
        let slot = key.slot;
        self.seat(slot).opened_at = Some(at);
        if took >= SLOW {
            self.slow(key, answers);
        } else if self.last_rtt.is_none_or(|last| last + RTT_EVERY <= at) {
            self.last_rtt = Some(at);
            answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Rtt));
        }
        let talk = self.plan.talk.clone();
        if talk.as_ref().is_some_and(|talk| !talk.send.is_empty()) {
            answers.push(Action::Send(key));
        }
        let is_probed = self.is_probed(slot);
        if !is_probed && self.plan.probe == Probe::Sample {
            self.mark("not in the sample");
        }
        // Where nobody asks for anything, nobody looks at suspects either.
        let is_suspect = took >= SLOW && self.plan.probe != Probe::None && talk.is_none();
        if let Some(talk) = talk {
            self.wait(slot, Wait::Reply, at + talk.reply_timeout);
        } else if is_suspect && self.take_suspect() {
            self.wait(slot, Wait::Suspicion { is_probed }, at + Span::from_ms(1_200));
        } else if is_probed {
            self.wait(slot, Wait::Keepalive, at + Span::from_s(1));
        }
    }

    /// A dial that took so long is looked at, once, whatever came of it.
    pub(super) fn slow(&mut self, key: Key, answers: &mut Vec<Action>) {
        self.mark("a slow dial");
        self.seat(key.slot).is_slow = true;
        answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Slow));
    }

    fn take_suspect(&mut self) -> bool {
        if self.suspects_taken == SUSPECTS_MAX {
            let talks = self.plan.talk.is_some();
            self.mark(if talks { "a suspect too many" } else { "a slow dial too many to suspect" });
            return false;
        }
        self.suspects_taken += 1;
        true
    }

    /// The time of an established seat has come. What is to be done, if anything is; and whether the
    /// answer is put off.
    pub(super) fn question(&mut self, key: Key, answers: &mut Vec<Action>) -> bool {
        let slot = key.slot;
        let wait = self.seat(slot).wait;
        self.wait_no_more(slot);
        match wait {
            Wait::Nothing => {}
            Wait::Reply if self.may_be_unread(slot) => {
                self.mark("an answer put off");
                self.seat(slot).is_put_off = true;
                self.final_drains.push(slot);
                self.wait(slot, Wait::Reply, self.now + Tick::LENGTH);
                return true;
            }
            Wait::Reply => self.miss(key, answers),
            Wait::Keepalive => self.probe(key, answers),
            Wait::Suspicion { is_probed } => {
                self.mark("a suspect");
                answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Suspect));
                if is_probed {
                    self.probe(key, answers);
                }
            }
            Wait::Look(count) => {
                answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Keepalive));
                let (next, after) = match count {
                    1 => (Wait::Look(2), Span::from_s(1)),
                    2 => (Wait::Look(3), Span::from_s(2)),
                    _ => (Wait::LastWord, Span::from_ms(250)),
                };
                self.wait(slot, next, self.now + after);
            }
            Wait::LastWord => {
                self.mark("a keepalive unanswered");
                self.seat(slot).is_silent = true;
                answers.push(Action::StopKeepalive(key));
            }
        }
        false
    }

    /// Whether what came in time may not have been read yet. There is one chance for that.
    fn may_be_unread(&self, slot: u32) -> bool {
        self.ready.contains(&slot) && !self.seats[slot as usize].is_put_off
    }

    /// No answer in time. Who has not said a word may not know of the connection at all.
    fn miss(&mut self, key: Key, answers: &mut Vec<Action>) {
        let Seat { opened_at, heard, .. } = *self.seat(key.slot);
        if self.seat(key.slot).is_put_off {
            self.mark("an answer put off no more");
        }
        self.mark(if heard { "unanswered, but for something" } else { "unanswered" });
        let seat = self.seat(key.slot);
        (seat.unanswered, seat.misheard) = (true, heard);
        let since = opened_at.unwrap_or_default();
        let seen = Sighting { at: self.now, since, is_timed: true };
        self.misses.push(seen);
        self.say(key, Note::ReplyTimedOut, answers);
        let is_probed = self.is_probed(key.slot);
        if heard {
            self.seat(key.slot).proven = is_probed;
            return;
        }
        if self.take_suspect() {
            self.mark("a suspect");
            answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Suspect));
        }
        if is_probed {
            self.probe(key, answers);
        }
    }

    fn probe(&mut self, key: Key, answers: &mut Vec<Action>) {
        self.mark("a keepalive");
        self.seat(key.slot).asked = true;
        answers.push(Action::StartKeepalive(key));
        self.wait(key.slot, Wait::Look(1), self.now + Span::from_ms(500));
    }

    /// Bytes came: the server has the connection, and perhaps they are an answer.
    pub(super) fn hear(&mut self, key: Key, at: Moment, answers: &mut Vec<Action>) {
        let slot = key.slot;
        let any = self.plan.talk.as_ref().is_some_and(|talk| talk.expect.is_empty());
        let Seat { wait, heard, opened_at, is_silent, .. } = *self.seat(slot);
        let seat = self.seat(slot);
        let is_late = seat.unanswered && !heard;
        seat.heard = true;
        seat.late |= is_late;
        if is_late {
            self.mark("too late an answer");
        }
        match wait {
            Wait::Reply => {
                if !heard {
                    self.first_bytes.0.push(at.since(opened_at.unwrap_or_default()));
                }
                if any {
                    self.answer(slot, at);
                }
            }
            Wait::Nothing if is_silent => {
                self.mark("a word after all");
                let seat = self.seat(slot);
                (seat.is_silent, seat.proven) = (false, true);
            }
            Wait::Nothing => {}
            _ => {
                if wait.is_asked() {
                    self.mark("a word instead of an acknowledgement");
                    answers.push(Action::StopKeepalive(key));
                }
                self.seat(slot).proven = wait.is_doubt();
                self.wait_no_more(slot);
            }
        }
    }

    /// What was expected has come.
    pub(super) fn answer(&mut self, slot: u32, at: Moment) {
        if self.due(slot).is_some_and(|due| due <= self.now) {
            self.mark("answered when its timeout was due");
        }
        self.mark("answered");
        if self.seat(slot).is_put_off {
            self.mark("answered by a last drain");
        }
        let is_probed = self.is_probed(slot);
        let patience = self.plan.talk.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        let seat = self.seat(slot);
        let took = at.since(seat.opened_at.unwrap_or_default());
        (seat.answered, seat.is_overdue, seat.proven) = (true, took > patience, is_probed);
        if took > patience {
            self.mark("answered, and read late");
        }
        self.wait_no_more(slot);
    }

    /// It is closed, whatever it was asked.
    pub(super) fn hang_up(&mut self, slot: u32, reason: EndReason) {
        let is_probed = self.is_probed(slot);
        let Seat { wait, asked, proven, heard, is_silent, .. } = *self.seat(slot);
        let missed = wait == Wait::Reply;
        if missed {
            self.mark("closed before it answered");
        }
        // Whoever says a word, or goodbye, has it; a reset may come from anybody.
        let has_it = match reason {
            EndReason::HalfOpen => false,
            EndReason::PeerClosed => is_probed,
            _ => proven || (is_probed && heard),
        };
        if has_it && !proven {
            self.mark(match (asked, is_silent) {
                (_, true) => "a goodbye after all",
                (true, _) => "a goodbye instead of an acknowledgement",
                _ => "a goodbye before the keepalive",
            });
        } else if asked && !has_it && reason != EndReason::HalfOpen {
            self.mark("an end that tells nothing");
        }
        let seat = self.seat(slot);
        (seat.hung_up, seat.is_silent, seat.proven) = (missed, false, has_it);
        self.wait_no_more(slot);
    }

    /// The kernel has told what it was asked for.
    pub(super) fn look(
        &mut self,
        key: Key,
        why: TcpInfoPurpose,
        look: &TcpInfo,
        at: Moment,
        answers: &mut Vec<Action>,
    ) {
        let seat = *self.seat(key.slot);
        match why {
            // Of a handshake that had to be repeated nobody knows how long it took.
            TcpInfoPurpose::Rtt if look.total_retrans > 0 => {}
            TcpInfoPurpose::Rtt => self.handshakes.0.extend(look.rtt),
            TcpInfoPurpose::Slow => {
                if look.total_retrans > 0 {
                    self.mark("a SYN repeated");
                    self.retransmitted += 1;
                }
                self.repeats += u64::from(look.total_retrans);
            }
            TcpInfoPurpose::Suspect => {
                let sends = self.plan.talk.as_ref().is_some_and(|talk| !talk.send.is_empty());
                // The handshake's one answer came more than once, and nothing else.
                let is_repeated = repeated(look, 2);
                self.suspects_looked_at += 1;
                // What was sent to a server that has it would be acknowledged.
                let is_taken = sends && look.unacked == 0;
                if is_repeated && !is_taken {
                    self.mark("a suspect half open");
                    self.suspects_half_open += 1;
                } else if sends && !is_taken {
                    self.mark("a suspect that acknowledges nothing");
                    self.suspects_unacknowledged += 1;
                }
            }
            TcpInfoPurpose::Keepalive => {
                // Something was acknowledged clearly later than the handshake.
                let age = at.since(seat.opened_at.unwrap_or_default());
                let is_proof = look.last_ack_recv.is_some_and(|for_so_long| {
                    for_so_long < age && age - for_so_long > Span::from_ms(500)
                });
                // Three segments without data are a handshake's answer, once more, and another
                // acknowledgement: that server still waits for the handshake to end.
                let sends = self.plan.talk.as_ref().is_some_and(|talk| !talk.send.is_empty());
                let is_undone = !sends && repeated(look, 3);
                if is_proof && is_undone {
                    self.mark("a handshake undone");
                }
                if is_proof && !is_undone && seat.wait.is_doubt() {
                    answers.push(Action::StopKeepalive(key));
                    self.mark("a keepalive answered");
                    self.seat(key.slot).proven = true;
                    self.wait_no_more(key.slot);
                }
            }
        }
    }
}

/// Whether at least so many segments without data came by a way so short that the answer to the
/// first one cannot have been on its way still.
fn repeated(look: &TcpInfo, least: u32) -> bool {
    let is_far = look.rtt.is_some_and(|rtt| rtt >= Span::from_ms(500));
    match (look.segs_in, look.data_segs_in) {
        (Some(count), Some(0)) if !is_far => count - count.min(look.total_retrans) >= least,
        _ => false,
    }
}
