//! How each connection stands with whoever asks, in half a byte.

use std::collections::TryReserveError;

use super::connection::filled;

/// What a connection is asked, or what has come of it. At any time it is asked one thing at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody asks.
    Unasked,
    /// The application's answer is awaited, and nothing came yet.
    Reply,
    /// Something came, but not yet what was expected.
    Heard,
    /// The answer is due, and what has come is read for a last time; nothing was heard before.
    ReplyDue,
    /// The same, and something was.
    HeardDue,
    /// It has answered in time.
    Answered,
    /// It has not, and not a word has come so far.
    Mute,
    /// It has not, and nothing more is to be found out.
    Missed,
    /// The keepalive is due.
    Due,
    /// A look is due, and then, if it is to be probed, the keepalive.
    SuspectDue,
    /// The keepalive is out, and no look has been taken, or one, two, three.
    Asked,
    AskedLooked,
    AskedLookedTwice,
    AskedLookedThrice,
    /// The server has it.
    Proven,
    /// It did not answer.
    Silent,
}

impl Standing {
    pub const ALL: [Standing; 16] = [
        Standing::Unasked,
        Standing::Reply,
        Standing::Heard,
        Standing::ReplyDue,
        Standing::HeardDue,
        Standing::Answered,
        Standing::Mute,
        Standing::Missed,
        Standing::Due,
        Standing::SuspectDue,
        Standing::Asked,
        Standing::AskedLooked,
        Standing::AskedLookedTwice,
        Standing::AskedLookedThrice,
        Standing::Proven,
        Standing::Silent,
    ];

    /// Whether the application's answer may still come in time.
    pub fn is_awaited(self) -> bool {
        self.is_unheard() || self.is_heard()
    }

    /// Whether it may, and nothing was heard yet.
    pub fn is_unheard(self) -> bool {
        matches!(self, Standing::Reply | Standing::ReplyDue)
    }

    /// Whether it may, and something was.
    pub fn is_heard(self) -> bool {
        matches!(self, Standing::Heard | Standing::HeardDue)
    }

    /// Whether the keepalive, if there is to be one, is still to come.
    pub fn is_due(self) -> bool {
        matches!(self, Standing::Due | Standing::SuspectDue)
    }

    /// Whether the keepalive is out.
    pub fn is_asked(self) -> bool {
        let asked = [Standing::Asked, Standing::AskedLooked];
        let looked = [Standing::AskedLookedTwice, Standing::AskedLookedThrice];
        asked.contains(&self) || looked.contains(&self)
    }

    /// Whether it is in doubt: a look, the keepalive, or what comes of it, is still to come.
    pub fn is_open(self) -> bool {
        self.is_due() || self.is_asked()
    }

    /// Whether it has been looked into, and counted as that.
    pub fn is_probed(self) -> bool {
        self.is_asked() || matches!(self, Standing::Proven | Standing::Silent)
    }

    /// Whether something has a deadline.
    pub fn is_pending(self) -> bool {
        self.is_awaited() || self.is_open()
    }
}

/// User-space bits that a slot takes, where anything is asked.
pub const BITS_PER_CONNECTION: u64 = 4;

const BITS: u32 = 4;
const MASK: u8 = (1 << BITS) - 1;

const _: () = assert!(BITS as u64 == BITS_PER_CONNECTION && Standing::ALL.len() <= 1 << BITS);

/// The standing of each slot, two to a byte; O(1) each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    pairs: Box<[u8]>,
}

impl Standings {
    /// Room for `count` slots, of which none is asked.
    ///
    /// # Errors
    /// When the memory is not to be had.
    pub fn new(count: u32) -> Result<Standings, TryReserveError> {
        Ok(Standings { pairs: filled(0, count.div_ceil(2))? })
    }

    /// How a slot stands; one without room is not asked.
    pub fn get(&self, slot: u32) -> Standing {
        let pair = self.pairs.get(slot as usize / 2).copied().unwrap_or(0);
        Standing::ALL[usize::from(pair >> shift(slot) & MASK)]
    }

    /// # Panics
    /// If there is no room for the slot.
    pub fn set(&mut self, slot: u32, standing: Standing) {
        let pair = &mut self.pairs[slot as usize / 2];
        let [code, ..] = (standing as usize).to_le_bytes();
        *pair = *pair & !(MASK << shift(slot)) | code << shift(slot);
    }

    /// Of each slot, and of one more where their number is odd; O(slots), for tests.
    pub fn iter(&self) -> impl Iterator<Item = Standing> {
        let slots = 0..2 * self.pairs.len();
        slots.filter_map(|slot| u32::try_from(slot).ok()).map(|slot| self.get(slot))
    }
}

fn shift(slot: u32) -> u32 {
    slot % 2 * BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_standing_survives_beside_any_other() {
        for (code, standing) in Standing::ALL.into_iter().enumerate() {
            assert_eq!(standing as usize, code);
            for neighbour in Standing::ALL {
                for (slot, other) in [(2, 3), (3, 2)] {
                    let mut standings = Standings::new(5).unwrap();
                    standings.set(other, Standing::Silent);
                    standings.set(slot, standing);
                    standings.set(other, neighbour);
                    assert_eq!(standings.get(slot), standing);
                    assert_eq!(standings.get(other), neighbour);
                    let count = |of| standings.iter().filter(|s| *s == of).count();
                    assert!(count(standing) > 0 && count(neighbour) > 0);
                }
            }
        }
    }

    #[test]
    fn the_last_of_an_odd_number_has_room_and_nobody_behind_it_is_asked() {
        let mut standings = Standings::new(5).unwrap();
        standings.set(4, Standing::Proven);
        assert_eq!(standings.get(4), Standing::Proven);
        assert_eq!(standings.get(6), Standing::Unasked);
        assert_eq!(Standings::new(0).unwrap().get(0), Standing::Unasked);
    }
}
