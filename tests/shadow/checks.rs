//! What the shadow would ask of connections, servers and the kernel, and what it makes of answers.

use tcpgoon::engine::{Action, EndReason, Key, Note, Round, State, TcpInfo, TcpInfoPurpose};
use tcpgoon::plan::{Probe, SAMPLE_MAX};
use tcpgoon::units::{Moment, Span, Tick};

use super::records::{Found, Seat, Sighting, Wait};
use super::state::Shadow;

/// A dial that took as long lost a SYN, or the answer to one.
const SLOW: Span = Span::from_s(1);

/// No more than one handshake time in so long.
const RTT_EVERY: Span = Span::from_ms(10);

/// A connection keeps its `segs_in` modulo this: all of its check fits into a byte.
const SEGS_MODULUS: u32 = 7;

const SUSPECTS_MAX: u32 = 1_000;

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
    pub(super) fn is_probed(&self, slot: u32) -> bool {
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
        self.waits_for_last() || self.seats.iter().any(|seat| self.is_waited_for(seat))
    }

    /// Whether what a seat says next may be an answer in time.
    pub(super) fn awaits_answer(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        match seat.state {
            State::Established => seat.wait == Wait::Reply,
            State::Closed | State::Error => false,
            _ => self.plan.reply_check.is_some(),
        }
    }

    pub(super) fn is_waited_for(&self, seat: &Seat) -> bool {
        let is_open = self.plan.probe == Probe::All && seat.wait.is_open();
        seat.wait == Wait::Reply || is_open
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
        let talk = self.plan.reply_check.clone();
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
            let from = if talk.send.is_empty() { at } else { self.now };
            self.seat(slot).sent_to_at = from;
            self.wait(slot, Wait::Reply, from + talk.reply_timeout);
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
            let talks = self.plan.reply_check.is_some();
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
        let Seat { wait, wait_until, .. } = *self.seat(slot);
        let due = Tick::at_or_after(wait_until).moment();
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
            Wait::Sending => {
                self.not_sent(slot, self.now);
                answers.push(Action::StopKeepalive(key));
            }
            Wait::Look(count) => {
                let (next, after) = match count {
                    1 => (Wait::Look(2), Span::from_s(1)),
                    2 => (Wait::Look(3), Span::from_s(2)),
                    _ => (Wait::LastWord, Span::from_ms(250)),
                };
                self.look_again(key, next, after, due, answers);
            }
            Wait::LastWord => {
                self.look_again(key, Wait::VeryLastWord, Span::from_ms(250), due, answers);
            }
            Wait::Doubt => {
                self.look_again(key, Wait::DoubtWord, Span::from_ms(250), due, answers);
            }
            Wait::DoubtWord => self.find(slot, Found::Confirmed, self.now),
            Wait::VeryLastWord => {
                self.find(slot, Found::Unknown, self.now);
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
            self.seat(key.slot).is_unneeded = is_probed;
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

    /// A look, and the next one after the time at which this one was due, or if that has passed from
    /// now.
    fn look_again(
        &mut self,
        key: Key,
        next: Wait,
        after: Span,
        due: Moment,
        answers: &mut Vec<Action>,
    ) {
        answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Keepalive));
        let is_late = due + after <= self.now;
        let until = if is_late { self.now + after } else { due + after };
        self.late_at = if is_late { Some(self.now) } else { self.late_at };
        let seat = self.seat(key.slot);
        seat.question = match next {
            // Counted back from the deadline, whatever that has become.
            Wait::Look(2) => before(until, 1_500),
            Wait::Look(_) => before(until, 3_500),
            Wait::LastWord => before(until, 3_750),
            Wait::DoubtWord => before(until, 3_500),
            _ => before(until, 2_250),
        };
        self.wait(key.slot, next, until);
    }

    pub(super) fn probe(&mut self, key: Key, answers: &mut Vec<Action>) {
        self.mark("a keepalive");
        let seat = self.seat(key.slot);
        (seat.is_silent, seat.is_repeating) = (false, false);
        answers.push(Action::StartKeepalive(key));
        self.wait(key.slot, Wait::Sending, self.now + Span::from_ms(500));
    }

    /// The driver has sent a keepalive, after so many segments, or could not.
    pub(super) fn started(&mut self, slot: u32, info: Option<TcpInfo>, at: Moment) {
        match info {
            Some(info) => {
                self.sent(slot, at);
                self.wait(slot, Wait::Look(1), at + Span::from_ms(500));
                self.seat(slot).segs = info.segs_in.unwrap_or(0) % SEGS_MODULUS;
            }
            None => {
                self.mark("a keepalive refused");
                self.not_sent(slot, at);
                self.wait_no_more(slot);
            }
        }
    }

    /// Bytes came: an answer perhaps. Of a keepalive that is out they tell nothing: they may have
    /// come before it.
    pub(super) fn hear(&mut self, key: Key, at: Moment, answers: &mut Vec<Action>) {
        let slot = key.slot;
        let any = self.plan.reply_check.as_ref().is_some_and(|talk| talk.expect.is_empty());
        let is_probed = self.is_probed(slot);
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
            Wait::Keepalive | Wait::Suspicion { .. } => {
                self.seat(slot).is_unneeded = is_probed;
                self.wait_no_more(slot);
            }
            Wait::Nothing if is_silent => {
                answers.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Keepalive));
            }
            _ => {}
        }
    }

    /// Whether a request was to be sent, and its reply may still come in time.
    pub(super) fn may_be_in_time(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        let sends = self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
        sends && matches!(seat.wait, Wait::Reply) && !seat.is_put_off
    }

    /// It was sent.
    pub(super) fn request_sent(&mut self, slot: u32, at: Moment) {
        let patience =
            self.plan.reply_check.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        self.seat(slot).sent_to_at = at;
        self.wait(slot, Wait::Reply, at + patience);
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
        let patience =
            self.plan.reply_check.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        let seat = self.seat(slot);
        let due = Tick::at_or_after(seat.sent_to_at + patience).moment();
        let is_late = due < at || seat.is_put_off;
        (seat.answered, seat.is_overdue) = (true, is_late);
        seat.is_unneeded |= is_probed;
        if is_late {
            self.mark("answered, and read late");
        }
        self.wait_no_more(slot);
    }

    /// It is closed, whatever it was asked.
    pub(super) fn hang_up(&mut self, slot: u32, reason: EndReason, at: Moment) {
        let is_probed = self.is_probed(slot);
        let wait = self.seat(slot).wait;
        let missed = wait == Wait::Reply;
        if missed {
            self.mark("closed before it answered");
        }
        if wait.is_sent() {
            let found = Shadow::found_by_end(reason);
            self.find(slot, found, at);
            if reason == EndReason::Lost {
                self.mark("given up by the kernel");
                self.lost += 1;
            }
        }
        // A goodbye is the server's own; a reset may come from anybody.
        let is_before = missed || matches!(wait, Wait::Keepalive | Wait::Suspicion { .. });
        let is_told = is_before && is_probed && reason == EndReason::PeerClosed;
        if is_told {
            self.mark("a goodbye before the keepalive");
        }
        let seat = self.seat(slot);
        (seat.hung_up, seat.is_silent, seat.is_repeating) = (missed, false, false);
        seat.is_unneeded |= is_told;
        self.wait_no_more(slot);
    }

    /// Whether a reset answers the keepalive: one is out that was not acknowledged.
    pub(super) fn is_half_open(&self, slot: u32, info: &TcpInfo) -> bool {
        let wait = self.seats[slot as usize].wait;
        wait.is_asked() && !wait.is_doubt() && info.probes.unwrap_or(0) > 0
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
                let sends =
                    self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
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
            TcpInfoPurpose::Keepalive if seat.state == State::Established => {
                self.judge(key, look, at, answers);
            }
            TcpInfoPurpose::Keepalive => {}
        }
    }

    /// Whether this host stood still or was too busy to look, so that what it asked then is older
    /// than it thinks.
    fn has_stalled_since(&self, moment: Moment) -> bool {
        self.stalls.iter().chain(&self.late_at).any(|stall| *stall > moment)
    }

    /// What a look says of a keepalive that is out.
    fn judge(&mut self, key: Key, look: &TcpInfo, at: Moment, answers: &mut Vec<Action>) {
        let slot = key.slot;
        let seat = *self.seat(slot);
        let modulus = SEGS_MODULUS;
        let came = look.segs_in.map(|segs| (segs % modulus + modulus - seat.segs) % modulus);
        match seat.wait {
            Wait::Nothing if seat.is_silent && look.probes == Some(0) => {
                self.mark("an acknowledgement after all");
                return self.seat(slot).is_silent = false;
            }
            Wait::DoubtWord => {
                // One more SYN-ACK falls into the time, and acknowledges nothing; more is something
                // else.
                let came = came.filter(|_| look.data_segs_in == Some(0));
                let has_stalled = self.has_stalled_since(seat.question);
                let found = match (came, acknowledged(look, at, seat.question)) {
                    (Some(1), Some(false)) if !has_stalled => Found::RepeatsSynAck,
                    (Some(1), Some(false) | None) => Found::Unknown,
                    (Some(2), Some(true) | None) => Found::Unknown,
                    _ => Found::Confirmed,
                };
                self.find(slot, found, at);
                return self.wait_no_more(slot);
            }
            Wait::Look(2..) | Wait::LastWord | Wait::VeryLastWord => {}
            _ => return,
        }
        let is_first = self.round_of(slot) == Round::First;
        let sends = self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
        // Newer than the question by the time there and back, but for the kernel's clock.
        let newest = Moment(seat.question.0.saturating_add(look.rtt.unwrap_or_default().0));
        let is_taken = !(sends && look.unacked > 0);
        let is_newer = acknowledged(look, at, newest);
        // Too close to tell: then a segment tells, before any other than the answer can come.
        let has_come_soon = at.since(seat.question) < Span::from_s(1) && came.unwrap_or(0) > 0;
        let found = if is_newer.unwrap_or(has_come_soon) && is_taken {
            // The handshake's answer and the keepalive's, and nothing else.
            if is_first && !sends && repeated(look, 3) {
                self.mark("a doubt");
                answers.push(Action::StopKeepalive(key));
                self.wait(slot, Wait::Doubt, at + Span::from_ms(3_250));
                self.seat(slot).segs = look.segs_in.unwrap_or(0) % modulus;
                return;
            }
            Found::Confirmed
        } else if matches!(seat.wait, Wait::Look(_)) {
            return;
        } else {
            let is_out = look.unacked > 0 || look.probes.is_none_or(|probes| probes > 2);
            let gap = self.stalls.iter().max().filter(|gap| **gap > seat.question);
            let was_looking = gap.is_none_or(|gap| at.since(*gap) >= Span::from_s(2));
            let is_clear =
                !(self.has_stalled_since(seat.question) || is_taken && is_newer.is_none());
            let has_come = came.filter(|_| is_clear);
            match has_come.or(came.filter(|count| *count == 0)) {
                Some(1..) if is_first && repeated(look, 2) => Found::RepeatsSynAck,
                Some(1..) => Found::OtherTraffic,
                Some(0) if is_out && was_looking && look.last_ack_recv.is_some() => {
                    Found::Unacknowledged
                }
                _ if seat.wait == Wait::VeryLastWord => Found::Unknown,
                _ => {
                    self.mark("looked once more");
                    self.wait(slot, Wait::LastWord, at + Span::from_s(2));
                    self.seat(slot).segs = look.segs_in.unwrap_or(0) % modulus;
                    return;
                }
            }
        };
        self.find(slot, found, at);
        self.seat(slot).is_silent = found == Found::Unacknowledged;
        answers.push(Action::StopKeepalive(key));
        self.wait_no_more(slot);
    }
}

/// So many milliseconds before a deadline, which is on the wheel's ticks.
fn before(deadline: Moment, ms: u64) -> Moment {
    Moment(Tick::at_or_after(deadline).moment().0.saturating_sub(Span::from_ms(ms).0))
}

/// Whether anything was acknowledged after `moment`, if the clocks are good enough to tell.
fn acknowledged(look: &TcpInfo, at: Moment, moment: Moment) -> Option<bool> {
    let Some(age) = look.last_ack_recv else { return Some(false) };
    let after = i128::from(at.0) - i128::from(age.0) - i128::from(moment.0);
    (after.abs() > 11_000_000 || after == 11_000_000).then_some(after > 0)
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
