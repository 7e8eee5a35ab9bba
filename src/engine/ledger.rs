//! Double entry: the level of each account, and all that ever flowed. One mutator, so that it always
//! balances.

use super::connection::{EndReason, State};

/// How many connections are in each state now, and how many ever entered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    connections: u32,
    level: [u32; State::COUNT],
    /// How many ever entered each state, but the first.
    entered: [u64; State::COUNT],
    flow: [u64; EndReason::COUNT],
    established_peak: u32,
}

impl Ledger {
    /// All connections start as not initiated.
    pub fn new(connections: u32) -> Ledger {
        let mut level = [0; State::COUNT];
        level[State::NotInitiated as usize] = connections;
        let (entered, flow) = ([0; State::COUNT], [0; EndReason::COUNT]);
        Ledger { connections, level, entered, flow, established_peak: 0 }
    }

    /// Moves one connection from one account to another, with the reason; O(1).
    ///
    /// # Panics
    /// If the account is empty, or the move has no reason although its state needs one: a defect of
    /// the caller.
    pub fn post(&mut self, from: State, to: State, reason: Option<EndReason>) {
        let left = self.level[from as usize].checked_sub(1);
        self.level[from as usize] = left.unwrap_or_else(|| unreachable!("{from:?} is empty"));
        self.level[to as usize] += 1;
        self.entered[to as usize] += 1;
        let ends = matches!(to, State::Closed | State::Error);
        assert_eq!(ends, reason.is_some(), "what ends a connection has a reason, and nothing else");
        if let Some(reason) = reason {
            self.flow[reason as usize] += 1;
        }
        self.established_peak = self.established_peak.max(self.level(State::Established));
        assert_eq!(self.level.iter().sum::<u32>(), self.connections, "the ledger must balance");
    }

    /// How many connections are in `state` now.
    pub fn level(&self, state: State) -> u32 {
        self.level[state as usize]
    }

    pub fn levels(&self) -> [u32; State::COUNT] {
        self.level
    }

    /// How many connections ever entered `state`.
    pub fn entered(&self, state: State) -> u64 {
        self.entered[state as usize]
    }

    /// How many connections `reason` ever ended.
    pub fn flow(&self, reason: EndReason) -> u64 {
        self.flow[reason as usize]
    }

    /// The most that were ever established at once.
    pub fn established_peak(&self) -> u32 {
        self.established_peak
    }

    /// Checks that levels and flows agree, where we have closed `closed_by_us` connections; O(states +
    /// reasons).
    ///
    /// # Panics
    /// If they do not.
    pub fn audit(&self, closed_by_us: u64) {
        assert_eq!(self.level.iter().sum::<u32>(), self.connections);
        for state in [State::Closed, State::Error] {
            let ended_by: u64 =
                EndReason::ALL.iter().filter(|c| c.ends_in() == state).map(|c| self.flow(*c)).sum();
            assert_eq!(ended_by, self.entered(state), "{state:?}: reasons and entries differ");
        }
        let dialed = self.entered(State::Dialing);
        let decided = self.entered(State::Established) + self.entered(State::Error);
        assert_eq!(dialed, decided + u64::from(self.level(State::Dialing)));
        let opened = self.entered(State::Established);
        let open = u64::from(self.level(State::Established));
        assert_eq!(opened, self.entered(State::Closed) + open + closed_by_us);
        assert!(self.established_peak >= self.level(State::Established));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_posting_balances() {
        let mut ledger = Ledger::new(3);
        ledger.post(State::NotInitiated, State::Dialing, None);
        ledger.post(State::NotInitiated, State::Dialing, None);
        ledger.post(State::Dialing, State::Established, None);
        ledger.post(State::Dialing, State::Error, Some(EndReason::Refused));
        ledger.post(State::Established, State::Closed, Some(EndReason::PeerClosed));
        ledger.audit(0);
        assert_eq!(ledger.levels(), [1, 0, 0, 1, 1]);
        assert_eq!(ledger.established_peak(), 1);
        assert_eq!(ledger.flow(EndReason::Refused), 1);
    }

    #[test]
    #[should_panic(expected = "is empty")]
    fn an_empty_account_cannot_be_posted_from() {
        Ledger::new(1).post(State::Dialing, State::Established, None);
    }
}
