//! A hierarchical timing wheel: at most one deadline a slot, armed and cancelled in O(1).
//!
//! Six levels of 64 buckets. A bucket of level 0 is one tick, of level 1 it is 64 ticks, and so on:
//! a deadline sits at the level of the highest digit (base 64) in which it differs from the current
//! tick, and moves down as time passes: at most five times, and nearly every deadline is cancelled
//! before the first move.
//!
//! Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987); the levels by
//! exclusive-or are tokio's (`tokio/src/runtime/time/wheel`).

use std::collections::TryReserveError;

use super::connection::filled;
use crate::units::{Tick, low_32};

const LEVELS: usize = 6;
const LEVEL_TOP: u32 = 5;
const DIGIT_BITS: u32 = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// In [`Link::prev`]: the rest is the number of a bucket, not a slot.
const BUCKET_MARK: u32 = 1 << 31;

/// The furthest deadline, in ticks: what 32 bits hold.
pub const REACH_TICKS: u64 = u32::MAX as u64;

/// A slot's place: 12 bytes. All zero means unarmed, so that untouched memory is right as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Link {
    /// The slot before plus one, or the bucket with [`BUCKET_MARK`]; 0 if the slot is not armed.
    prev: u32,
    /// The slot behind plus one; 0 if there is none.
    next: u32,
    /// The low 32 bits of the deadline's tick. The rest follows from the current tick, which is
    /// never later.
    due: u32,
}

const _: () = assert!(size_of::<Link>() == 12);

/// Deadlines by slot. It never fires early, and late only by what `budget` defers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    links: Box<[Link]>,
    /// By bucket: the first slot plus one, or 0.
    heads: [u32; LEVELS * BUCKETS],
    /// By level: which buckets are not empty.
    occupied: [u64; LEVELS],
    /// Everything due before this tick has fired.
    current: u64,
    /// Nothing is due, nor to be moved down, before this tick.
    quiet_until: u64,
    armed: u32,
}

/// The earliest bucket that is not empty, and the tick at which it begins.
struct Earliest {
    level: usize,
    bucket: usize,
    begins: u64,
}

impl Wheel {
    /// A wheel for `slots` slots (fewer than 2^31) that begins at tick 0.
    ///
    /// # Errors
    /// If allocation fails.
    pub fn new(slots: u32) -> Result<Wheel, TryReserveError> {
        assert!(slots < BUCKET_MARK, "a slot plus one must leave the mark free");
        Ok(Wheel {
            links: filled(Link::default(), slots)?,
            heads: [0; LEVELS * BUCKETS],
            occupied: [0; LEVELS],
            current: 0,
            quiet_until: 0,
            armed: 0,
        })
    }

    /// How many slots have a deadline.
    pub fn armed(&self) -> u32 {
        self.armed
    }

    /// When the slot is due, if it is armed.
    pub fn due(&self, slot: u32) -> Option<Tick> {
        let link = self.links[slot as usize];
        (link.prev != 0).then(|| Tick(self.whole(link.due)))
    }

    /// Everything due before this tick has fired. Just after [`Wheel::pop_expired`] has returned a slot
    /// it is the tick at which that was due.
    pub fn current(&self) -> Tick {
        Tick(self.current)
    }

    /// Sets the slot's deadline. One that has passed is due at once. One beyond [`REACH_TICKS`] fires
    /// there, too early: the caller has to arm it again.
    pub fn arm(&mut self, slot: u32, due: Tick) {
        self.cancel(slot);
        self.link(slot, due.0.clamp(self.current, self.current.saturating_add(REACH_TICKS)));
        self.armed += 1;
    }

    /// Clears the slot's deadline, if it has one.
    pub fn cancel(&mut self, slot: u32) {
        if self.armed > 0 && self.links[slot as usize].prev != 0 {
            self.unlink(slot);
            self.armed -= 1;
        }
    }

    /// The first tick at which [`Wheel::pop_expired`] has something to do: a deadline, or a bucket
    /// to move down, which is no later than the deadlines in it.
    pub fn next_due(&self) -> Option<Tick> {
        self.earliest().map(|earliest| Tick(earliest.begins))
    }

    /// The next slot that is due by `now`, its deadline cleared; `None` if there is none, or `budget`
    /// is used up. A slot fired and a slot moved down a level cost one each.
    #[inline]
    pub fn pop_expired(&mut self, now: Tick, budget: &mut u32) -> Option<u32> {
        if self.quiet_until <= now.0
            && let Some(expired) = self.pop(now, budget)
        {
            return expired;
        }
        self.current = self.current.max(now.0);
        None
    }

    /// The same where something may be due. `None`: nothing is.
    fn pop(&mut self, now: Tick, budget: &mut u32) -> Option<Option<u32>> {
        loop {
            let earliest = self.earliest();
            self.quiet_until = earliest.as_ref().map_or(u64::MAX, |earliest| earliest.begins);
            let Earliest { level, bucket, begins } = earliest.filter(|e| e.begins <= now.0)?;
            if *budget == 0 {
                return Some(None);
            }
            *budget -= 1;
            self.current = begins;
            let slot = self.heads[level * BUCKETS + bucket] - 1;
            let due = self.whole(self.links[slot as usize].due);
            self.unlink(slot);
            if level == 0 {
                self.armed -= 1;
                return Some(Some(slot));
            }
            self.link(slot, due);
        }
    }

    /// The earliest bucket that is not empty. Where one of a higher level begins with one of a
    /// lower, the higher comes first: it may hold deadlines of that very tick.
    fn earliest(&self) -> Option<Earliest> {
        let mut best: Option<Earliest> = None;
        let mut shift = 0;
        for (level, occupied) in self.occupied.iter().enumerate() {
            if *occupied != 0 {
                let position = self.current >> shift;
                let digit = low_32(position % BUCKETS as u64);
                let ahead = occupied.rotate_right(digit).trailing_zeros();
                let begins = (position + u64::from(ahead)) << shift;
                if best.as_ref().is_none_or(|best| begins <= best.begins) {
                    let bucket = (digit + ahead) as usize % BUCKETS;
                    best = Some(Earliest { level, bucket, begins });
                }
            }
            shift += DIGIT_BITS;
        }
        best
    }

    /// All bits of a deadline of which `low` are the lower 32.
    fn whole(&self, low: u32) -> u64 {
        self.current + u64::from(low.wrapping_sub(low_32(self.current)))
    }

    fn link(&mut self, slot: u32, due: u64) {
        assert!(due >= self.current && due - self.current <= REACH_TICKS, "out of reach");
        // Or-ing the lowest digit in makes equal ticks a difference in digit 0.
        let differs = (due ^ self.current) | (BUCKETS as u64 - 1);
        let level = (differs.ilog2() / DIGIT_BITS).min(LEVEL_TOP);
        let bucket = low_32(due >> (DIGIT_BITS * level)) as usize % BUCKETS;
        let place = level as usize * BUCKETS + bucket;
        let next = std::mem::replace(&mut self.heads[place], slot + 1);
        if next != 0 {
            self.links[(next - 1) as usize].prev = slot + 1;
        }
        self.links[slot as usize] = Link { prev: bucket_mark(place), next, due: low_32(due) };
        self.occupied[level as usize] |= 1 << bucket;
        let begins = due >> (DIGIT_BITS * level) << (DIGIT_BITS * level);
        self.quiet_until = self.quiet_until.min(begins);
    }

    fn unlink(&mut self, slot: u32) {
        let Link { prev, next, .. } = std::mem::take(&mut self.links[slot as usize]);
        assert!(prev != 0, "unlinked twice");
        if next != 0 {
            self.links[(next - 1) as usize].prev = prev;
        }
        if prev & BUCKET_MARK == 0 {
            self.links[(prev - 1) as usize].next = next;
            return;
        }
        let place = (prev & !BUCKET_MARK) as usize;
        self.heads[place] = next;
        if next == 0 {
            self.occupied[place / BUCKETS] &= !(1 << (place % BUCKETS));
        }
    }

    /// Checks every link of every list; O(slots), for tests.
    ///
    /// # Panics
    /// If anything is amiss.
    pub fn audit(&self) {
        let mut linked = 0;
        for place in 0..self.heads.len() {
            let (mut prev, mut at) = (bucket_mark(place), self.heads[place]);
            let occupied = self.occupied[place / BUCKETS] >> (place % BUCKETS) & 1;
            assert_eq!(occupied == 1, at != 0, "bucket {place}: the map and the list differ");
            while at != 0 {
                let link = self.links[(at - 1) as usize];
                assert_eq!(link.prev, prev, "slot {}: the links differ", at - 1);
                linked += 1;
                assert!(linked <= self.links.len(), "the lists go round in circles");
                (prev, at) = (at, link.next);
            }
        }
        assert_eq!(linked, self.armed as usize, "armed slots and linked slots differ");
        assert!(self.next_due().is_none_or(|due| self.quiet_until <= due.0), "it is not quiet");
        assert_eq!(linked, self.links.iter().filter(|link| link.prev != 0).count());
    }
}

/// What stands in [`Link::prev`] of the first slot of the bucket at `place`.
fn bucket_mark(place: usize) -> u32 {
    BUCKET_MARK | low_32(place as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop_all(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut fired: Vec<u32> =
            std::iter::from_fn(|| wheel.pop_expired(Tick(now), &mut u32::MAX.clone())).collect();
        fired.sort_unstable();
        fired
    }

    #[test]
    fn a_deadline_fires_in_its_tick_and_not_before() {
        for due in [0, 1, 63, 64, 65, 4_095, 4_096, 20_000, 262_144, 1 << 24, 1 << 30, REACH_TICKS]
        {
            let mut wheel = Wheel::new(1).unwrap();
            wheel.arm(0, Tick(due));
            if due > 0 {
                assert!(pop_all(&mut wheel, due - 1).is_empty(), "{due} was early");
            }
            assert_eq!(wheel.due(0), Some(Tick(due)));
            assert_eq!(pop_all(&mut wheel, due), [0], "{due} was late");
            assert_eq!(wheel.next_due(), None);
        }
    }

    #[test]
    fn an_earlier_deadline_of_a_half_moved_bucket_is_not_overtaken() {
        // Both sit in the bucket of level 1 that begins at 64. The budget ends after one move; the
        // one still up there is due at 64, the one that came down at 70.
        let mut wheel = Wheel::new(2).unwrap();
        wheel.arm(0, Tick(64));
        wheel.arm(1, Tick(70));
        assert_eq!(wheel.pop_expired(Tick(64), &mut 1), None);
        assert_eq!(wheel.next_due(), Some(Tick(64)));
        assert_eq!(pop_all(&mut wheel, 64), [0]);
        assert_eq!(pop_all(&mut wheel, 70), [1]);
    }

    #[test]
    fn deadlines_beyond_the_digits_of_the_top_level_come_round() {
        let mut wheel = Wheel::new(2).unwrap();
        let now = (1u64 << 36) - 5;
        assert!(pop_all(&mut wheel, now).is_empty());
        wheel.arm(0, Tick(now + 10));
        wheel.arm(1, Tick(now + REACH_TICKS));
        wheel.audit();
        assert!(pop_all(&mut wheel, now + 9).is_empty());
        assert_eq!(pop_all(&mut wheel, now + 10), [0]);
        assert_eq!(wheel.due(1), Some(Tick(now + REACH_TICKS)));
        assert_eq!(pop_all(&mut wheel, now + REACH_TICKS), [1]);
    }

    #[test]
    fn after_a_deadline_fires_the_next_one_is_later() {
        // After a timer fires at `now`, the next deadline is later than `now`: else a loop would
        // spin.
        let mut wheel = Wheel::new(3).unwrap();
        for (slot, due) in [(0, 100), (1, 100), (2, 5_000)] {
            wheel.arm(slot, Tick(due));
        }
        while let Some(due) = wheel.next_due() {
            pop_all(&mut wheel, due.0);
            assert!(wheel.next_due().is_none_or(|next| next > due));
        }
    }
}
