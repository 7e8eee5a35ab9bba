//! The checks of connections: replies, suspects, and when keepalives are due.

use tcpgoon::engine::{Action, EndReason, Key, Note, State, TcpInfo, TcpInfoPurpose};
use tcpgoon::plan::{Probe, SAMPLE_MAX};
use tcpgoon::units::{Moment, Span, Tick};

use super::records::{Conn, FailureTime, Judgement, Wait};
use super::state::Shadow;
use super::tcp_info::SEGS_MODULUS;

/// A dial of this length lost a SYN or a SYN-ACK.
const SLOW: Span = Span::from_s(1);

/// The shortest time between two handshake times.
const RTT_EVERY: Span = Span::from_ms(10);

const SUSPECTS_MAX: u32 = 1_000;

impl Shadow {
    pub(super) fn conn(&mut self, slot: u32) -> &mut Conn {
        &mut self.conns[slot as usize]
    }

    pub(super) fn wait(&mut self, slot: u32, wait: Wait, until: Moment) {
        let conn = self.conn(slot);
        (conn.wait, conn.wait_until, conn.overdue_turns) = (wait, until, 0);
    }

    pub(super) fn wait_no_more(&mut self, slot: u32) {
        self.wait(slot, Wait::Nothing, Moment(0));
    }

    /// Whether this slot gets a keepalive: a sample is every nth slot.
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

    /// Whether the run waits for checks.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits_for_last() || self.conns.iter().any(|conn| self.is_waited_for(conn))
    }

    /// Whether the next data may be a reply in time.
    pub(super) fn awaits_answer(&self, slot: u32) -> bool {
        let conn = &self.conns[slot as usize];
        match conn.state {
            State::Established => conn.wait == Wait::Reply,
            State::Closed | State::Error => false,
            _ => self.plan.reply_check.is_some() && !self.is_churning(slot),
        }
    }

    pub(super) fn is_waited_for(&self, conn: &Conn) -> bool {
        if self.holds_beside() {
            return false;
        }
        let is_open = self.plan.probe == Probe::All && conn.wait.is_open();
        conn.wait == Wait::Reply || is_open
    }

    /// A connection was established: what is done at once, and its first deadline.
    pub(super) fn on_opened(
        &mut self,
        key: Key,
        at: Moment,
        took: Span,
        expected: &mut Vec<Action>,
    ) {
        let slot = key.slot;
        self.conn(slot).opened_at = Some(at);
        if took >= SLOW {
            self.slow(key, expected);
        } else if self.last_rtt.is_none_or(|last| last + RTT_EVERY <= at) {
            self.last_rtt = Some(at);
            expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Rtt));
        }
        if self.is_churning(slot) {
            return;
        }
        self.conn(slot).sent_to_at = at;
        let talk = self.plan.reply_check.clone();
        if talk.as_ref().is_some_and(|talk| !talk.send.is_empty()) {
            expected.push(Action::Send(key));
        }
        let is_probed = self.is_probed(slot);
        if !is_probed && self.plan.probe == Probe::Sample {
            self.mark("not in the sample");
        }
        // Without checks there are no suspects.
        let is_suspect =
            took >= SLOW && !self.is_held(slot) && self.plan.probe != Probe::None && talk.is_none();
        if let Some(talk) = talk {
            let from = if talk.send.is_empty() { at } else { self.now };
            self.conn(slot).sent_to_at = from;
            self.wait(slot, Wait::Reply, from + talk.reply_timeout);
        } else if is_suspect && self.take_suspect() {
            self.wait(slot, Wait::SuspectDue { is_probed }, at + Span::from_ms(1_200));
        } else if is_probed {
            self.wait(slot, Wait::KeepaliveDue, at + Span::from_s(1));
        }
    }

    /// TCP_INFO of a slow dial is read once, established or not.
    pub(super) fn slow(&mut self, key: Key, expected: &mut Vec<Action>) {
        self.mark("a slow dial");
        self.conn(key.slot).is_slow = true;
        self.slow_dials += 1;
        self.slow_failed += u64::from(self.state(key) == Some(State::Error));
        expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Slow));
    }

    fn take_suspect(&mut self) -> bool {
        if self.suspects_taken == SUSPECTS_MAX {
            let talks = self.plan.reply_check.is_some();
            self.mark(if talks {
                "a suspect above the maximum"
            } else {
                "a slow dial above the maximum of suspects"
            });
            return false;
        }
        self.suspects_taken += 1;
        true
    }

    /// The deadline of an established connection has passed. Returns whether it is deferred for a final
    /// drain.
    pub(super) fn on_due(&mut self, key: Key, expected: &mut Vec<Action>) -> bool {
        let slot = key.slot;
        let Conn { wait, wait_until, .. } = *self.conn(slot);
        let due = Tick::at_or_after(wait_until).moment();
        self.wait_no_more(slot);
        match wait {
            Wait::Nothing => {}
            Wait::Reply if self.may_be_unread(slot) => {
                self.mark("a reply timeout deferred");
                self.conn(slot).is_deferred = true;
                self.final_drains.push(slot);
                self.wait(slot, Wait::Reply, self.now + Tick::LENGTH);
                return true;
            }
            Wait::Reply => self.on_reply_timeout(key, expected),
            Wait::KeepaliveDue if self.plan.reply_check.is_some() => {
                self.ask_again(key, expected);
            }
            Wait::KeepaliveDue => self.start_keepalive(key, expected),
            Wait::SuspectDue { is_probed } => {
                self.mark("a suspect");
                expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Suspect));
                if is_probed {
                    self.start_keepalive(key, expected);
                }
            }
            Wait::KeepaliveStarting => {
                self.not_sent(slot, self.now);
                expected.push(Action::StopKeepalive(key));
                self.check_again(slot, None);
            }
            Wait::Read(count) => {
                let (next, after) = match count {
                    1 => (Wait::Read(2), Span::from_s(1)),
                    2 => (Wait::Read(3), Span::from_s(2)),
                    _ => (Wait::FinalRead, Span::from_ms(250)),
                };
                self.read_again(key, next, after, due, expected);
            }
            Wait::FinalRead => {
                self.read_again(key, Wait::ExtraRead, Span::from_ms(250), due, expected);
            }
            Wait::Doubt => {
                self.read_again(key, Wait::DoubtRead, Span::from_ms(250), due, expected);
            }
            Wait::DoubtRead => self.judge(slot, Judgement::Confirmed, self.now),
            Wait::ExtraRead => {
                self.judge(slot, Judgement::Unknown, self.now);
                expected.push(Action::StopKeepalive(key));
                self.check_again(slot, None);
            }
        }
        false
    }

    /// Whether there may be data in time that is not read yet. It has one chance.
    fn may_be_unread(&self, slot: u32) -> bool {
        self.ready.contains(&slot) && !self.conns[slot as usize].is_deferred
    }

    /// No reply in time. Without any data the connection may be half-open.
    fn on_reply_timeout(&mut self, key: Key, expected: &mut Vec<Action>) {
        let Conn { opened_at, has_data, .. } = *self.conn(key.slot);
        if self.conn(key.slot).is_deferred {
            self.mark("a deferred reply timeout");
        }
        self.mark(if has_data { "a wrong reply" } else { "no reply" });
        let conn = self.conn(key.slot);
        (conn.no_reply, conn.wrong_reply) = (true, has_data);
        let sent_at = self.conn(key.slot).sent_to_at;
        let is_held = self.is_held(key.slot);
        let since = if is_held { sent_at } else { opened_at.unwrap_or_default() };
        self.held_checked(key.slot, Some(false), None);
        let failure = FailureTime { at: self.now, since, is_timed: true };
        self.reply_timeouts.push(failure);
        self.note(key, Note::ReplyTimedOut, expected);
        let is_probed = self.is_probed(key.slot);
        if has_data {
            self.conn(key.slot).is_unneeded = is_probed;
            return;
        }
        if !is_held && self.take_suspect() {
            self.mark("a suspect");
            expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Suspect));
        }
        if is_probed {
            self.start_keepalive(key, expected);
        }
    }

    /// A read of TCP_INFO. The next is `after` the time at which this one was due, or after now if that
    /// has passed.
    fn read_again(
        &mut self,
        key: Key,
        next: Wait,
        after: Span,
        due: Moment,
        expected: &mut Vec<Action>,
    ) {
        expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Keepalive));
        let is_late = due + after <= self.now;
        let until = if is_late { self.now + after } else { due + after };
        self.late_at = if is_late { Some(self.now) } else { self.late_at };
        let conn = self.conn(key.slot);
        conn.newer_than = match next {
            // Counted back from the deadline.
            Wait::Read(2) => before(until, 1_500),
            Wait::Read(_) => before(until, 3_500),
            Wait::FinalRead => before(until, 3_750),
            Wait::DoubtRead => before(until, 3_500),
            _ => before(until, 2_250),
        };
        self.wait(key.slot, next, until);
    }

    pub(super) fn start_keepalive(&mut self, key: Key, expected: &mut Vec<Action>) {
        self.mark("a keepalive");
        let conn = self.conn(key.slot);
        (conn.is_unacknowledged, conn.repeats) = (false, false);
        expected.push(Action::StartKeepalive(key));
        if self.is_held(key.slot) {
            self.conn(key.slot).sent_to_at = self.now;
        }
        self.wait(key.slot, Wait::KeepaliveStarting, self.now + Span::from_ms(500));
    }

    /// The request is sent once more.
    fn ask_again(&mut self, key: Key, expected: &mut Vec<Action>) {
        let patience =
            self.plan.reply_check.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        expected.push(Action::Send(key));
        let now = self.now;
        let conn = self.conn(key.slot);
        (conn.sent_to_at, conn.has_data) = (now, false);
        self.wait(key.slot, Wait::Reply, now + patience);
    }

    /// The driver has turned keepalive on, or could not.
    pub(super) fn on_keepalive_started(&mut self, slot: u32, info: Option<TcpInfo>, at: Moment) {
        if self.is_held(slot) {
            self.conn(slot).sent_to_at = at;
        }
        match info {
            Some(info) => {
                self.sent(slot, at);
                self.wait(slot, Wait::Read(1), at + Span::from_ms(500));
                self.conn(slot).segs = info.segs_in.unwrap_or(0) % SEGS_MODULUS;
            }
            None => {
                self.mark("a keepalive not set");
                self.not_sent(slot, at);
                self.wait_no_more(slot);
                self.check_again(slot, None);
            }
        }
    }

    /// Data came: perhaps the reply. It does not confirm a keepalive: it may be older.
    pub(super) fn on_data(&mut self, key: Key, at: Moment, expected: &mut Vec<Action>) {
        let slot = key.slot;
        let any = self.plan.reply_check.as_ref().is_some_and(|talk| talk.expect.is_empty());
        let is_probed = self.is_probed(slot);
        let Conn { wait, has_data, opened_at, is_unacknowledged, .. } = *self.conn(slot);
        let conn = self.conn(slot);
        let is_late = conn.no_reply && !has_data;
        conn.has_data = true;
        conn.late_reply |= is_late;
        if is_late {
            self.mark("a late reply");
        }
        match wait {
            Wait::Reply => {
                if !has_data && !self.is_held(slot) {
                    self.first_bytes.0.push(at.since(opened_at.unwrap_or_default()));
                }
                if any {
                    self.on_reply(slot, at);
                }
            }
            Wait::KeepaliveDue if self.is_held(slot) => {}
            Wait::KeepaliveDue | Wait::SuspectDue { .. } => {
                self.conn(slot).is_unneeded = is_probed;
                self.wait_no_more(slot);
            }
            Wait::Nothing if is_unacknowledged => {
                expected.push(Action::ReadTcpInfo(key, TcpInfoPurpose::Keepalive));
            }
            _ => {}
        }
    }

    /// Whether a request is sent now, and its reply can still be in time.
    pub(super) fn may_be_in_time(&self, slot: u32) -> bool {
        let conn = &self.conns[slot as usize];
        let sends = self.plan.reply_check.as_ref().is_some_and(|talk| !talk.send.is_empty());
        sends && matches!(conn.wait, Wait::Reply) && !conn.is_deferred
    }

    /// The request was sent.
    pub(super) fn request_sent(&mut self, slot: u32, at: Moment) {
        let patience =
            self.plan.reply_check.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        self.conn(slot).sent_to_at = at;
        self.wait(slot, Wait::Reply, at + patience);
    }

    /// The reply has come.
    pub(super) fn on_reply(&mut self, slot: u32, at: Moment) {
        if self.due(slot).is_some_and(|due| due <= self.now) {
            self.mark("a reply when its timeout was due");
        }
        self.mark("a reply");
        if self.conn(slot).is_deferred {
            self.mark("a reply in a final drain");
        }
        let is_probed = self.is_probed(slot);
        let patience =
            self.plan.reply_check.as_ref().map(|talk| talk.reply_timeout).unwrap_or_default();
        let conn = self.conn(slot);
        let due = Tick::at_or_after(conn.sent_to_at + patience).moment();
        let is_late = due < at || conn.is_deferred;
        (conn.replied, conn.is_overdue) = (true, is_late);
        conn.is_unneeded |= is_probed;
        if is_late {
            self.mark("a reply read late");
        }
        self.wait_no_more(slot);
        let at = (!is_late).then_some(at);
        self.held_checked(slot, Some(true), at);
        self.check_again(slot, at);
    }

    /// The connection has ended, with whatever check was pending.
    pub(super) fn on_close(&mut self, slot: u32, reason: EndReason, at: Moment) {
        let is_probed = self.is_probed(slot);
        let wait = self.conn(slot).wait;
        let missed = wait == Wait::Reply;
        if missed {
            self.mark("a close before the reply");
        }
        if wait.is_sent() {
            let found = Shadow::judgement_of_end(reason);
            self.judge(slot, found, at);
            if reason == EndReason::Lost {
                self.mark("a connection lost");
                self.lost += 1;
            }
        }
        // A FIN proves that the server had it; a RST may come from the path.
        let is_before = missed || matches!(wait, Wait::KeepaliveDue | Wait::SuspectDue { .. });
        let is_confirmed = is_before && is_probed && reason == EndReason::PeerClosed;
        if is_confirmed {
            self.mark("a FIN before the keepalive");
        }
        let conn = self.conn(slot);
        (conn.closed_before_reply, conn.is_unacknowledged, conn.repeats) = (missed, false, false);
        conn.is_unneeded |= is_confirmed;
        self.wait_no_more(slot);
    }
}

/// `ms` before a deadline, which is rounded up to a tick.
fn before(deadline: Moment, ms: u64) -> Moment {
    Moment(Tick::at_or_after(deadline).moment().0.saturating_sub(Span::from_ms(ms).0))
}
