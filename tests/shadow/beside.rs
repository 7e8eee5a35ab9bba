//! Connections held beside the churn: their dials, their checks again and again, their ends.

use tcpgoon::engine::{EndReason, State, Summary};
use tcpgoon::units::{Moment, Span};

use super::records::{Conn, Held, Verdict, Wait};
use super::state::Shadow;

impl Shadow {
    pub fn is_held(&self, slot: u32) -> bool {
        slot < self.plan.hold_beside
    }

    pub fn holds_beside(&self) -> bool {
        self.plan.hold_beside > 0
    }

    /// Whether a slot is dialed again.
    pub fn is_churning(&self, slot: u32) -> bool {
        self.plan.lifetime.is_some() && !self.is_held(slot)
    }

    fn phase(&self) -> usize {
        usize::from(self.held.began.is_some())
    }

    /// A dial of them has succeeded or failed.
    pub fn held_decided(&mut self) {
        let held = self.plan.hold_beside as usize;
        let is_open = |conn: &&Conn| !matches!(conn.state, State::NotInitiated | State::Dialing);
        if self.conns[..held].iter().filter(is_open).count() == held {
            self.held.decided_at.get_or_insert(self.now);
        }
    }

    pub fn held_ended(&mut self, reason: EndReason, at: Moment) {
        if reason.ends_in() == State::Error {
            return self.held_decided();
        }
        self.mark("a held connection ended");
        let phase = self.phase();
        self.held.ends[phase].push((reason, at));
    }

    /// When the others begin.
    pub fn churn_due(&self) -> Option<Moment> {
        if self.held.began.is_some() {
            return None;
        }
        let held = self.plan.hold_beside as usize;
        let is_any = self.conns[..held].iter().any(|conn| conn.state == State::Established);
        let calm = if is_any { Span::from_s(3) } else { Span::ZERO };
        Some(self.held.decided_at? + calm)
    }

    /// They begin now if that is due.
    pub fn begin_churn(&mut self) {
        if self.holds_beside() && self.churn_due().is_some_and(|due| due <= self.now) {
            self.mark("a churn beside held connections");
            self.held.began = Some(self.now);
            (self.blocked_until, self.behind, self.free_since) = (None, None, self.now);
            self.shift = self.shift + self.now.since(self.scheduled(self.handed_out));
            self.held.due_from = Some(self.scheduled(self.handed_out).max(self.now));
        }
    }

    /// Whether only held connections may be dialed yet.
    pub fn is_alone(&self) -> bool {
        self.holds_beside() && self.held.began.is_none()
    }

    /// From when dials and the duration are counted.
    pub fn counted_from(&self) -> Option<Moment> {
        if self.holds_beside() { self.held.began } else { self.dialed.first().copied() }
    }

    /// A check has its result, if that is known; `at`: when the answer came, if that is.
    pub fn held_checked(&mut self, slot: u32, is_answered: Option<bool>, at: Option<Moment>) {
        if !self.is_held(slot) {
            return;
        }
        let (phase, sent_at) = (self.phase(), self.conns[slot as usize].sent_to_at);
        match is_answered {
            Some(true) => {
                self.mark("a held connection answered");
                self.held.answered[phase] += 1;
                self.held.rtts[phase].0.extend(at.map(|at| at.since(sent_at)));
            }
            Some(false) => {
                self.mark("a held connection did not answer");
                self.held.unanswered[phase].push(self.now);
            }
            None => {}
        }
    }

    /// It is checked again, a second after it was checked, or after it acknowledged a keepalive.
    pub fn check_again(&mut self, slot: u32, at: Option<Moment>) {
        if !self.is_held(slot) {
            return;
        }
        self.mark("a held connection checked again");
        let conn = *self.conn(slot);
        self.held.checked.push(Conn { is_unacknowledged: false, repeats: false, ..conn });
        let is_request = self.plan.reply_check.is_some();
        let since = at
            .filter(|_| !is_request)
            .map_or(conn.sent_to_at, |at| at.max(conn.sent_to_at) + Span::from_ms(11));
        *self.conn(slot) = Conn {
            has_data: false,
            replied: false,
            is_overdue: false,
            no_reply: false,
            wrong_reply: false,
            late_reply: false,
            is_unneeded: false,
            is_unacknowledged: false,
            repeats: false,
            is_deferred: false,
            ..conn
        };
        self.rounds.begun += 1;
        self.wait(slot, Wait::KeepaliveDue, (since + Span::from_s(1)).max(self.now));
    }

    pub fn compare_beside(&self, summary: &Summary) -> Verdict {
        let theirs = summary.churn.as_ref().and_then(|churn| churn.beside.as_deref());
        check!(theirs.is_some() == self.holds_beside(), "{theirs:?}");
        let Some(theirs) = theirs else { return Ok(()) };
        let held = &self.conns[..self.plan.hold_beside as usize];
        let count = |fits: fn(&&Conn) -> bool| held.iter().filter(fits).count() as u32;
        let mine = (
            self.plan.hold_beside,
            count(|conn| conn.took.is_some()),
            count(|conn| conn.state == State::Error),
            self.held.began,
            count(|conn| conn.state == State::Established),
        );
        let theirs_are =
            (theirs.held, theirs.established, theirs.errors, theirs.began, theirs.open());
        check!(theirs_are == mine, "held: {theirs_are:?}, not {mine:?}");
        for (index, theirs) in [&theirs.before, &theirs.during].into_iter().enumerate() {
            let Held { ends, answered, unanswered, rtts, .. } = &self.held;
            let (ends, unanswered) = (&ends[index], &unanswered[index]);
            let by = |reasons: &[EndReason]| {
                ends.iter().filter(|(reason, _)| reasons.contains(reason)).count() as u32
            };
            let mine = [
                by(&[EndReason::PeerClosed]),
                by(&[EndReason::PeerReset]),
                by(&[EndReason::HalfOpen]),
                by(&[EndReason::Lost, EndReason::Aborted]),
            ];
            check!(theirs.ended == mine, "{:?} held ended, not {mine:?}", theirs.ended);
            let at = || ends.iter().map(|(_, at)| *at);
            for (what, theirs, mine) in [
                ("first end", theirs.first_end, at().min()),
                ("last end", theirs.last_end, at().max()),
                ("first unanswered", theirs.first_unanswered, unanswered.first().copied()),
                ("last unanswered", theirs.last_unanswered, unanswered.last().copied()),
            ] {
                check!(theirs == mine, "{what}: {theirs:?}, not {mine:?}");
            }
            let counts = (theirs.answered, theirs.unanswered);
            let mine = (answered[index], unanswered.len() as u64);
            check!(counts == mine, "{counts:?} answered and not, and not {mine:?}");
            rtts[index].compare("held", &theirs.rtt)?;
        }
        Ok(())
    }

    /// Whether any check of them was not answered.
    pub fn has_unanswered(&self) -> bool {
        self.held.unanswered.iter().any(|all| !all.is_empty())
    }
}
