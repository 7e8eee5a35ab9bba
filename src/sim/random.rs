//! A seeded pseudorandom generator, the same on every machine.

use crate::units::Span;

/// SplitMix64. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"
/// (2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included. The bias of the remainder does not matter here.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.word() % (most - least + 1)
    }

    pub fn small(&mut self, least: u32, most: u32) -> u32 {
        crate::units::low_32(self.between(u64::from(least), u64::from(most)))
    }

    pub fn span(&mut self, least: Span, most: Span) -> Span {
        Span(self.between(least.0, most.0))
    }

    pub fn chance(&mut self, permille: u32) -> bool {
        self.small(0, 999) < permille
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.between(1, all.len() as u64) as usize - 1]
    }
}
