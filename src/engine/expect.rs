//! Finds an expected text in the first bytes of a reply, however they are cut into segments.

use std::collections::TryReserveError;
use std::sync::Arc;

use super::connection::filled;

/// The most bytes of a reply that are looked at.
pub const SEEN_BYTES_MAX: u32 = 65_535;

/// How far one reply has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    /// How many bytes of the text the last bytes are the beginning of.
    matched: u16,
    seen: u16,
}

/// 4 bytes a slot where a text is expected. Each byte that is looked at costs amortized O(1).
/// Source: Knuth, Morris, Pratt, "Fast Pattern Matching in Strings", SIAM J. Comput. 6 (1977).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    text: Arc<[u8]>,
    /// By length of a beginning of the text, less one: how long the longest shorter beginning is
    /// that it ends with.
    borders: Box<[u16]>,
    slots: Box<[Progress]>,
}

impl Expect {
    /// Waits for `text`, which has at most 4096 bytes, from each of so many slots; for an empty one
    /// nobody waits.
    ///
    /// # Errors
    /// When the memory is not to be had.
    pub fn new(text: Arc<[u8]>, slots: u32) -> Result<Expect, TryReserveError> {
        let mut borders = vec![0u16; text.len()];
        let mut matched = 0u16;
        for index in 1..text.len() {
            while matched > 0 && text[index] != text[usize::from(matched)] {
                matched = borders[usize::from(matched) - 1];
            }
            matched += u16::from(text[index] == text[usize::from(matched)]);
            borders[index] = matched;
        }
        let slots = filled(Progress::default(), if text.is_empty() { 0 } else { slots })?;
        Ok(Expect { text, borders: borders.into(), slots })
    }

    /// Whether more bytes of a slot can matter: the text was not seen yet, and not so many bytes
    /// came that it is not waited for any more.
    pub fn is_open(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|progress| {
            usize::from(progress.matched) < self.text.len()
                && u32::from(progress.seen) < SEEN_BYTES_MAX
        })
    }

    /// Takes the next bytes of a slot. Returns whether they complete the text.
    pub fn feed(&mut self, slot: u32, bytes: &[u8]) -> bool {
        if !self.is_open(slot) {
            return false;
        }
        let Progress { mut matched, mut seen } = self.slots[slot as usize];
        for byte in bytes {
            if u32::from(seen) == SEEN_BYTES_MAX {
                break;
            }
            seen += 1;
            while matched > 0 && *byte != self.text[usize::from(matched)] {
                matched = self.borders[usize::from(matched) - 1];
            }
            matched += u16::from(*byte == self.text[usize::from(matched)]);
            if usize::from(matched) == self.text.len() {
                break;
            }
        }
        self.slots[slot as usize] = Progress { matched, seen };
        usize::from(matched) == self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expect(text: &[u8]) -> Expect {
        Expect::new(text.into(), 2).unwrap()
    }

    #[test]
    fn a_text_is_found_across_segments_and_once() {
        let mut expect = expect(b"+PONG\r\n");
        assert!(!expect.feed(0, b"+PO"));
        assert!(!expect.feed(1, b"NG\r\n"));
        assert!(expect.is_open(0));
        assert!(expect.feed(0, b"NG\r\nmore"));
        assert!(!expect.is_open(0) && !expect.feed(0, b"+PONG\r\n"));
        assert!(expect.is_open(1));
    }

    #[test]
    fn only_the_first_bytes_are_looked_at() {
        let mut expect = expect(b"x");
        assert!(!expect.feed(0, &[b'.'; 60_000]));
        assert!(!expect.feed(0, &[[b'.'; 5_535].as_slice(), b"x"].concat()));
        assert!(!expect.is_open(0) && !expect.feed(0, b"x"));
        assert!(expect.feed(1, &[[b'.'; 65_534].as_slice(), b"x"].concat()));
    }

    #[test]
    fn nobody_waits_for_nothing() {
        let mut nothing = expect(b"");
        assert!(!nothing.is_open(0) && !nothing.feed(0, b"x"));
    }

    proptest! {
        /// However the bytes are cut, it is found exactly when it is there.
        #[test]
        fn it_finds_what_a_plain_search_finds(
            text in "[ab]{1,6}", reply in "[ab]{0,40}", cuts in prop::collection::vec(0usize..8, 0..40),
        ) {
            let mut expect = expect(text.as_bytes());
            let (mut rest, mut found) = (reply.as_bytes(), false);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                found |= expect.feed(0, piece);
                rest = behind;
            }
            found |= expect.feed(0, rest);
            prop_assert_eq!(found, reply.contains(&text));
        }
    }
}
