//! Finds an expected text in the first bytes of a reply, however they are cut into segments.

use std::collections::TryReserveError;
use std::sync::Arc;

use super::connection::filled;
use crate::plan::TEXT_BYTES_MAX;

/// The most bytes of a reply that are searched.
pub const SEEN_BYTES_MAX: u32 = 65_535;

/// User-space bits a slot, if a text is expected.
pub const BITS_PER_CONNECTION: u64 = 24;

/// Up to this length of text the bytes of a reply are counted one by one. For a longer one, 24 bits
/// are too few for that and for how far it has matched.
const FINE_BYTES_MAX: usize = 256;

/// How far the search is in one reply: how many bytes of the text the last bytes match, and how many
/// steps of the reply were searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    matched: usize,
    steps: usize,
}

/// A progress as a number, or [`CLOSED`].
type Packed = [u8; 3];

const _: () = assert!(8 * size_of::<Packed>() as u64 == BITS_PER_CONNECTION);

/// The text was found, or the search was given up.
const CLOSED: Packed = [0xff; 3];

/// 3 bytes a slot if a text is expected. Each byte costs amortized O(1).
/// Source: Knuth, Morris, Pratt, "Fast Pattern Matching in Strings", SIAM J. Comput. 6 (1977).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    text: Arc<[u8]>,
    /// By length of a prefix of the text, less one: the length of its longest border.
    borders: Box<[u16]>,
    /// Bytes of a reply in a step; a shorter read is a step, too.
    step_bytes: usize,
    steps_max: usize,
    slots: Box<[Packed]>,
}

impl Expect {
    /// Searches the replies of `slots` slots for `text`, of at most [`TEXT_BYTES_MAX`] bytes; none if
    /// it is empty.
    ///
    /// # Errors
    /// If allocation fails.
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
        let step_bytes = text.len().div_ceil(FINE_BYTES_MAX).max(1);
        let steps_max = SEEN_BYTES_MAX as usize / step_bytes;
        let slots = filled([0; 3], if text.is_empty() { 0 } else { slots })?;
        Ok(Expect { text, borders: borders.into(), step_bytes, steps_max, slots })
    }

    /// Whether the text may still be found in more bytes of a slot.
    pub fn is_open(&self, slot: u32) -> bool {
        self.progress(slot).is_some()
    }

    /// Takes the next bytes of a slot. Returns whether they complete the text. A step is one byte for
    /// texts of up to 256 bytes, and up to 16 bytes for longer ones: of a reply that comes in smaller
    /// pieces fewer bytes are searched.
    pub fn feed(&mut self, slot: u32, bytes: &[u8]) -> bool {
        let Some(Progress { mut matched, mut steps }) = self.progress(slot) else { return false };
        let room = (self.steps_max - steps) * self.step_bytes;
        let bytes = &bytes[..bytes.len().min(room)];
        for byte in bytes {
            while matched > 0 && *byte != self.text[matched] {
                matched = usize::from(self.borders[matched - 1]);
            }
            matched += usize::from(*byte == self.text[matched]);
            if matched == self.text.len() {
                self.slots[slot as usize] = CLOSED;
                return true;
            }
        }
        steps += bytes.len().div_ceil(self.step_bytes);
        self.slots[slot as usize] = self.packed(Progress { matched, steps });
        false
    }

    fn progress(&self, slot: u32) -> Option<Progress> {
        let [high, middle, low] = *self.slots.get(slot as usize).filter(|at| **at != CLOSED)?;
        let number = u32::from_be_bytes([0, high, middle, low]) as usize;
        Some(Progress { matched: number % self.text.len(), steps: number / self.text.len() })
    }

    fn packed(&self, Progress { matched, steps }: Progress) -> Packed {
        if steps == self.steps_max {
            return CLOSED;
        }
        let number = steps * self.text.len() + matched;
        let [.., high, middle, low] = number.to_be_bytes();
        [high, middle, low]
    }
}

/// Whether each progress has a number, with a text of this length.
const fn is_packable(text_bytes: usize) -> bool {
    let steps = SEEN_BYTES_MAX as usize / text_bytes.div_ceil(FINE_BYTES_MAX);
    steps * text_bytes < 0xff_ffff
}

const _: () = {
    let mut text_bytes = 1;
    while text_bytes <= TEXT_BYTES_MAX {
        assert!(is_packable(text_bytes));
        text_bytes += 1;
    }
};

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
    fn only_the_first_bytes_are_searched() {
        let mut expect = expect(b"x");
        assert!(!expect.feed(0, &[b'.'; 60_000]));
        assert!(!expect.feed(0, &[[b'.'; 5_535].as_slice(), b"x"].concat()));
        assert!(!expect.is_open(0) && !expect.feed(0, b"x"));
        assert!(expect.feed(1, &[[b'.'; 65_534].as_slice(), b"x"].concat()));
    }

    #[test]
    fn a_long_text_is_searched_in_fewer_bytes_if_they_come_in_small_pieces() {
        for (length, step) in [(256, 1), (257, 2), (512, 2), (513, 3), (TEXT_BYTES_MAX, 16)] {
            let text: Vec<u8> =
                (0..length).map(|index| if index == 0 { b'x' } else { b'a' }).collect();
            let most = SEEN_BYTES_MAX as usize / step * step;
            let reply = |before| [vec![b'.'; before], text.clone()].concat();
            let found = |reply: &[u8], piece| {
                let mut expect = expect(&text);
                reply.chunks(piece).any(|bytes| expect.feed(1, bytes))
            };
            for piece in [step, 64 * step, 1 << 20] {
                assert!(found(&reply(most - length), piece), "{length} in pieces of {piece}");
                assert!(!found(&reply(most - length + 1), piece), "{length} in pieces of {piece}");
            }
            assert_eq!(found(&reply(most - length), 1), step == 1, "{length} byte by byte");
            // Then a step is a byte.
            for before in [0, (most / step).saturating_sub(length), most / step] {
                let fits = before + length <= most / step;
                assert_eq!(found(&reply(before), 1), fits, "{length} behind {before}");
            }
        }
    }

    #[test]
    fn every_progress_survives_packing() {
        for length in [1, 2, 255, 256, 257, 4095, TEXT_BYTES_MAX] {
            let mut expect = expect(&vec![b'a'; length]);
            for steps in [0, 1, 255, 256, expect.steps_max - 1] {
                for matched in [0, length / 2, length - 1] {
                    let progress = Progress { matched, steps };
                    expect.slots[0] = expect.packed(progress);
                    assert_eq!(expect.progress(0), Some(progress), "{length}");
                }
            }
            expect.slots[0] = expect.packed(Progress { matched: 0, steps: expect.steps_max });
            assert!(!expect.is_open(0) && expect.is_open(1), "{length}");
        }
    }

    #[test]
    fn an_empty_text_is_never_found() {
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
