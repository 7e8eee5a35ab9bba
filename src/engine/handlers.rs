//! What each event does.

use super::check_state::{CheckState, Outcome, SEGS_MODULUS, Step};
use super::check_table::{Input, sent_before_deadline};
use super::failure_times::SLOW_DIAL_MIN;
use super::histogram::Code;
use super::tcp_info::{self, Evidence, SentKeepalive, reduced};
use super::{Action, EndReason, Engine, Failure, Key, Note, State, TcpInfo, TcpInfoPurpose};
use crate::units::{Moment, Span, Tick};

impl Engine {
    /// Whether `key` was handed out by [`Action::Dial`] and not reported as dialed.
    pub(super) fn is_dial_pending(&self, key: Key) -> bool {
        self.is(key, State::NotInitiated)
            && match &self.churn {
                Some(churn) => !churn.is_free(key.slot),
                None => u64::from(key.slot) < self.pacer.taken(),
            }
    }

    /// A dial has started. If its success is the next event it needs no deadline.
    pub(super) fn dialed(
        &mut self,
        key: Key,
        at: Moment,
        is_open: bool,
        actions: &mut Vec<Action>,
    ) {
        self.post(key, State::Dialing, at, None);
        if let Some(timeout) = self.dial_timeout.filter(|_| !is_open) {
            self.wheel.arm(key.slot, Tick::at_or_after(at + timeout));
        }
        if self.pacer.is_paced() {
            let due = match &self.churn {
                Some(churn) => churn.due(key.slot),
                None => self.pacer.scheduled(key.slot.into()),
            };
            self.stats.dial_lateness.record(at.since(due));
        }
        if self.stats.first_dial.is_none() {
            self.stats.first_dial = Some(at);
            self.dialing_begins();
            // It may be older than an interval, and established in this turn.
            self.advance_intervals(self.now);
        }
        self.stats.last_dial = Some(at);
        self.note(key, Note::Dialing, actions);
    }

    pub(super) fn opened(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let after = self.post(key, State::Established, at, None);
        self.exhausted_routes.clear(key.slot);
        self.stats.established_times.record(after);
        self.series.established(after);
        self.note(key, Note::Established { after }, actions);
        let is_slow = after >= SLOW_DIAL_MIN;
        if is_slow {
            self.slow_dial(key, actions);
        } else if self.pending_reads.is_rtt_due(at) {
            self.read_tcp_info(key, TcpInfoPurpose::Rtt, actions);
        }
        if self.churn.is_some() {
            self.live(key, at, actions);
            if self.churns(key.slot) {
                return;
            }
        }
        let checks = self.checks.take(key.slot, Input::Opened { is_slow }, at);
        // The request is sent only now, whenever the connection was established.
        let from = if self.sends { self.now } else { at };
        self.held_sent(key, from);
        self.carry_out(key, from, &checks, actions);
        if self.sends {
            actions.push(Action::Send(key));
        }
    }

    /// A dial took a second or more: a SYN or its SYN-ACK was lost.
    fn slow_dial(&mut self, key: Key, actions: &mut Vec<Action>) {
        let has_failed = !self.is(key, State::Established);
        self.stats.slow.add(has_failed);
        self.read_tcp_info(key, TcpInfoPurpose::Slow, actions);
    }

    /// Requests a read of TCP_INFO.
    pub(super) fn read_tcp_info(
        &mut self,
        key: Key,
        purpose: TcpInfoPurpose,
        actions: &mut Vec<Action>,
    ) {
        let dial_time = self.table.get(key).and_then(|connection| connection.dial_time);
        self.pending_reads.read(key, dial_time, purpose, actions);
    }

    /// A dial failed, or timed out.
    pub(super) fn fail(
        &mut self,
        key: Key,
        failure: Failure,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        let after = self.end(key, failure, at);
        if after >= SLOW_DIAL_MIN {
            self.slow_dial(key, actions);
        }
        self.stats.failed_times.record(after);
        self.note(key, Note::Errored { failure, after }, actions);
        self.close_socket(key, failure.reason, at, actions);
    }

    /// An established connection ended.
    pub(super) fn close(
        &mut self,
        key: Key,
        failure: Failure,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        let after = self.end(key, failure, at);
        self.stats.lifetimes.record(after);
        self.closed_at = self.closed_at.max(Some(at.min(self.now)));
        self.note(key, Note::Closed { failure, after }, actions);
        self.close_socket(key, failure.reason, at, actions);
    }

    /// Of a dial that has failed, or a connection that has ended: under churn its slot is free.
    fn close_socket(&mut self, key: Key, reason: EndReason, at: Moment, actions: &mut Vec<Action>) {
        actions.push(Action::Close(key));
        if let Some(churn) = &mut self.churn {
            churn.ended(key.slot, Some(reason), at, self.now);
        }
    }

    /// The same, by RST: half-open if that answered our keepalive.
    pub(super) fn reset(
        &mut self,
        key: Key,
        failure: Failure,
        info: &TcpInfo,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        let is_keepalive_on = self.checks.state(key.slot).is_keepalive_on();
        let is_half_open = is_keepalive_on && tcp_info::is_reset_by_keepalive(info);
        let reason = if is_half_open { EndReason::HalfOpen } else { failure.reason };
        self.close(key, Failure { reason, ..failure }, at, actions);
    }

    fn end(&mut self, key: Key, failure: Failure, at: Moment) -> Span {
        let Failure { reason, errno } = failure;
        if let Some(connection) = self.table.get(key) {
            // A dial is dated by its SYN, not by when it was given up.
            let is_dial = reason.ends_in() == State::Error;
            let date = if is_dial { connection.since } else { at };
            self.stats.failure_times[reason as usize].add(date, at.since(connection.since));
        }
        self.checks.close(key.slot, reason, at);
        match reason {
            EndReason::NoPorts => self.exhausted_routes.insert(key.slot, self.now),
            _ => self.exhausted_routes.clear(key.slot),
        }
        let first_errno = &mut self.stats.first_errno[reason as usize];
        if *first_errno == 0 {
            *first_errno = errno;
        }
        self.post(key, reason.ends_in(), at, Some(reason))
    }

    pub(super) fn received(&mut self, key: Key, bytes: u32, at: Moment, actions: &mut Vec<Action>) {
        self.stats.received_bytes += u64::from(bytes);
        if bytes == 0 {
            return;
        }
        let is_late = self.is_reply_late(key, at);
        let (is_first, mut checks) = self.checks.on_data(key.slot, at, is_late);
        checks.answered_at = (!is_late).then_some(at);
        // Under churn a request may be one of many.
        if is_first
            && self.churn.is_none()
            && let Some(connection) = self.table.get(key)
        {
            self.stats.first_byte_times.record(at.since(connection.since));
        }
        self.carry_out(key, at, &checks, actions);
    }

    pub(super) fn replied(&mut self, key: Key, at: Moment, actions: &mut Vec<Action>) {
        let is_late = self.is_reply_late(key, at);
        match self.checks.on_reply(key.slot, at, is_late) {
            Some(mut checks) => {
                checks.answered_at = (!is_late).then_some(at);
                self.carry_out(key, at, &checks, actions);
            }
            None => self.stats.events_ignored += 1,
        }
    }

    /// Whether a request is to be sent, or was, and its reply may still come in time.
    pub(super) fn awaits_reply(&self, key: Key) -> bool {
        let state = self.checks.state(key.slot);
        self.sends && self.is(key, State::Established) && state.is_reply_timed()
    }

    /// A stopped or busy host sends late: the reply timeout runs from here.
    pub(super) fn sent(&mut self, key: Key, at: Moment) {
        self.held_sent(key, at);
        if let Some(timeout) = self.checks.reply_timeout(key.slot) {
            self.wheel.arm(key.slot, Tick::at_or_after(at + timeout));
        }
    }

    /// Whether what came at `at` came after the reply timeout, or is read only now that this is over.
    fn is_reply_late(&self, key: Key, at: Moment) -> bool {
        match self.checks.state(key.slot) {
            CheckState::ReplyPending | CheckState::PartialReply => {
                self.wheel.due(key.slot).is_some_and(|due| due.moment() < at)
            }
            CheckState::ReplyDue | CheckState::PartialReplyDue => true,
            _ => false,
        }
    }

    pub(super) fn awaits_keepalive_start(&self, key: Key) -> bool {
        self.is(key, State::Established) && self.checks.state(key.slot).is_starting()
    }

    /// A keepalive was sent, after the segments that `info` counts; or, without one, refused.
    pub(super) fn keepalive_started(
        &mut self,
        key: Key,
        info: Option<TcpInfo>,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.held_sent(key, at);
        let segs = info.map(|info| reduced(info.segs_in.unwrap_or(0)));
        let input = segs.map_or(Input::Refused, |segs| Input::Started { segs });
        let checks = self.checks.take(key.slot, input, at);
        self.carry_out(key, at, &checks, actions);
    }

    pub(super) fn tcp_info_read(
        &mut self,
        key: Key,
        purpose: TcpInfoPurpose,
        dial_time: Option<Code>,
        info: &TcpInfo,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        let is_open = self.is(key, State::Established);
        match purpose {
            TcpInfoPurpose::Rtt => self.record_rtt(dial_time, info),
            TcpInfoPurpose::Slow => {
                self.stats.slow.add_repeats(info.total_retrans, dial_time.is_none());
            }
            TcpInfoPurpose::Suspect => {
                self.checks.suspect(tcp_info::suspicion(info, self.sends));
            }
            TcpInfoPurpose::Keepalive => {
                if let Some(input) = self.keepalive_input(key, info, at).filter(|_| is_open) {
                    let answered_at = self.acknowledged_at(key.slot, info, at);
                    let mut checks = self.checks.take(key.slot, input, at);
                    checks.answered_at = answered_at.filter(|_| checks.is_answered == Some(true));
                    self.carry_out(key, at, &checks, actions);
                }
            }
        }
    }

    /// When the keepalive that is out was acknowledged, if that is clear: by the only segment since it
    /// was sent.
    fn acknowledged_at(&self, slot: u32, info: &TcpInfo, at: Moment) -> Option<Moment> {
        let CheckState::KeepaliveSent { segs, .. } = self.checks.state(slot) else { return None };
        let is_one = reduced(info.segs_in?) == (segs + 1) % SEGS_MODULUS;
        let age = info.last_ack_recv.filter(|_| is_one)?;
        Some(Moment(at.0.saturating_sub(age.0)))
    }

    fn record_rtt(&mut self, dial_time: Option<Code>, info: &TcpInfo) {
        // The kernel takes no RTT from a retransmitted SYN.
        let Some(rtt) = info.rtt.filter(|_| info.total_retrans == 0) else { return };
        self.stats.handshake_times.record(rtt);
        let dial_time = dial_time.map_or(rtt, |time| time.middle());
        self.stats.notice_times.record(Span(dial_time.0.saturating_sub(rtt.0)));
    }

    /// What TCP_INFO means for the check of a connection in its present state.
    fn keepalive_input(&self, key: Key, info: &TcpInfo, at: Moment) -> Option<Input> {
        match self.checks.state(key.slot) {
            CheckState::KeepaliveSent { step, segs, .. } => {
                let due = self.wheel.due(key.slot)?.moment();
                let sent_at = Moment(due.0.saturating_sub(sent_before_deadline(step).0));
                let is_first = self.checks.is_first(key.slot);
                let sent = SentKeepalive { at: sent_at, sends: self.sends, is_first, segs };
                let always_polled = self.checks.was_polling_since(sent_at);
                if step == Step::DoubtRead {
                    let evidence = tcp_info::evidence_in_doubt(info, at, &sent, always_polled);
                    return Some(Input::ReadInDoubt { evidence });
                }
                let evidence = match tcp_info::evidence(info, at, &sent) {
                    Evidence::RepeatsSynAck | Evidence::OtherTraffic if !always_polled => {
                        Evidence::Unclear
                    }
                    evidence => evidence,
                };
                Some(Input::Read {
                    evidence,
                    was_polling: self.checks.was_polling(sent_at, at),
                    segs: reduced(info.segs_in.unwrap_or(0)),
                })
            }
            CheckState::Settled(_, Outcome::Unacknowledged) => {
                tcp_info::is_acknowledged_late(info).then_some(Input::ReadLate)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
