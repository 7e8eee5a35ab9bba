//! Finds an expected text, or an answer of a preset, in the first bytes of a reply, however they are cut
//! into segments.

use std::collections::TryReserveError;
use std::sync::Arc;

use super::connection::filled;
use crate::ask::answer::{Answer, AnswerTally, Fit};
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
    /// Searched instead of the text, if there are any.
    answers: &'static [Answer],
    tally: AnswerTally,
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
        let (answers, tally) = (&[][..], AnswerTally::default());
        Ok(Expect { text, borders: borders.into(), step_bytes, steps_max, answers, tally, slots })
    }

    /// Takes these answers for a reply, from its first byte on, and no other text.
    #[must_use]
    pub fn with_answers(self, answers: &'static [Answer]) -> Expect {
        Expect { answers, ..self }
    }

    /// The answers so far that are counted apart.
    pub fn tally(&self) -> &AnswerTally {
        &self.tally
    }

    /// Whether the text may still be found in more bytes of a slot.
    pub fn is_open(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|at| *at != CLOSED)
    }

    /// Searches what follows for one more reply, if that of a slot is complete.
    pub fn reopen(&mut self, slot: u32) {
        if let Some(at) = self.slots.get_mut(slot as usize).filter(|at| **at == CLOSED) {
            *at = [0; 3];
        }
    }

    /// Takes the next bytes of a slot. Returns whether they complete the text. A step is one byte for
    /// texts of up to 256 bytes, and up to 16 bytes for longer ones: of a reply that comes in smaller
    /// pieces fewer bytes are searched.
    pub fn feed(&mut self, slot: u32, bytes: &[u8]) -> bool {
        if !self.answers.is_empty() {
            return self.feed_answers(slot, bytes);
        }
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

    /// As [`Expect::feed`], with answers: how many bytes came, a bit for each answer that they do not
    /// fit, and what was kept of them, a byte each.
    fn feed_answers(&mut self, slot: u32, bytes: &[u8]) -> bool {
        let open = self.slots.get_mut(slot as usize).filter(|at| **at != CLOSED);
        let Some(progress) = open else { return false };
        for byte in bytes {
            let [at, unfit, kept] = progress;
            let was = (usize::from(*at), *kept);
            let mut first = None;
            for (index, answer) in self.answers.iter().enumerate().rev() {
                let (bit, length) = (1 << index, answer.length());
                if *unfit & bit == 0 && was.0 < length {
                    match answer.fit(was.0, *byte, was.1) {
                        Fit::No => *unfit |= bit,
                        Fit::Yes => {}
                        Fit::Kept(number) => *kept = number,
                    }
                }
                if *unfit & bit == 0 {
                    first = Some((answer, length));
                }
            }
            *at += 1;
            // While the first of those left may still fit it decides.
            match first {
                Some((_, length)) if usize::from(*at) < length => continue,
                Some((answer, _)) => self.tally.add(answer.meaning, *kept),
                None => {}
            }
            *progress = CLOSED;
            return first.is_some();
        }
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
    use crate::ask::PRESETS;
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

    /// What comes of bytes in pieces: whether they are an answer, whether they can become one, and what
    /// was counted.
    fn found(name: &str, reply: &[u8], piece: usize) -> (bool, bool, String) {
        let preset = PRESETS.iter().find(|preset| preset.name == name).unwrap();
        let mut expect = expect(b"any").with_answers(preset.answers);
        let mut found = false;
        for bytes in reply.chunks(piece) {
            assert!(!found || !expect.feed(1, bytes), "found twice");
            found |= expect.feed(1, bytes);
        }
        (found, expect.is_open(1), expect.tally().text())
    }

    #[test]
    fn answers_are_found_however_they_are_cut() {
        let hello = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
        let mysql = b"\x4a\0\0\0\x0a8.0.36\0";
        let too_many = b"\x17\0\0\0\xff\x10\x04Too many connections";
        for (name, reply, counted) in [
            ("http", &b"HTTP/1.1 200 OK\r\n"[..], ""),
            ("http", b"HTTP/1.0 404 Not Found\r\n", ""),
            ("http", b"HTTP/1.1 503 Service Unavailable\r\n", "1 busy (HTTP 503)"),
            ("http", b"HTTP/1.1 599\r\n", "1 busy (HTTP 599)"),
            ("tls", hello, ""),
            ("tls", b"\x15\x03\x01\0\x02\x02\x28", "1 TLS alert 40 (handshake_failure)"),
            ("tls", b"\x15\x03\x03\0\x02\x02\x46", "1 TLS alert 70 (protocol_version)"),
            ("redis", b"+PONG\r\n", ""),
            ("redis", b"-ERR operation not permitted\r\n", ""),
            ("redis", b"-NOAUTH Authentication required.\r\n", ""),
            ("redis", b"-ERR max number of clients reached\r\n", "1 busy (max number of clients)"),
            ("redis", b"-LOADING Redis is loading\r\n", "1 busy (LOADING)"),
            ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", ""),
            ("ssh", b"Exceeded MaxStartups\r\n", "1 busy (MaxStartups)"),
            ("smtp", b"220 mail ESMTP\r\n", ""),
            ("smtp", b"421 too many connections\r\n", "1 busy (SMTP 421)"),
            ("mysql", mysql, ""),
            ("mysql", too_many, "1 busy (too many connections)"),
            ("postgres", b"S", ""),
            ("postgres", b"N", ""),
        ] {
            let counted = match counted {
                "" => String::new(),
                counted => format!("Of the replies: {counted}"),
            };
            for piece in 1..=reply.len() {
                let came = found(name, reply, piece);
                assert_eq!(came, (true, false, counted.clone()), "{name} {reply:?} {piece}");
            }
        }
    }

    #[test]
    fn other_bytes_are_no_answer() {
        for (name, reply) in [
            ("http", &b"HTTP/1.1 2x0 OK"[..]),
            ("http", b" HTTP/1.1 200 OK"),
            ("http", b"SSH-2.0-OpenSSH"),
            ("tls", b"HTTP/1.1 400 Bad Request"),
            ("tls", b"\x16\x03\x03\x00\x7a\x0b\0\0\0\x03"),
            ("tls", b"\x15\x03\x03\0\x1a\x02\x28"),
            ("redis", b"-DENIED Redis is running in protected mode"),
            ("ssh", b"Not allowed at this time"),
            ("smtp", b"554 no"),
            ("mysql", b"\x4a\0\0\x01\x0a"),
            ("postgres", b"E\0\0\0\x2cSFATAL"),
        ] {
            for piece in 1..=reply.len() {
                let came = found(name, reply, piece);
                assert_eq!(came, (false, false, String::new()), "{name} {reply:?} {piece}");
            }
        }
        // The beginning of one is not an answer yet.
        assert_eq!(found("redis", b"-ERR m", 1), (false, true, String::new()));
        assert_eq!(found("http", b"HTTP/1.1 50", 3), (false, true, String::new()));
    }

    #[test]
    fn connections_keep_their_own_place_in_an_answer() {
        let http = PRESETS[0].answers;
        let mut expect = expect(b"any").with_answers(http);
        assert!(!expect.feed(0, b"HTTP/1.1 50") && !expect.feed(1, b"HTTP/1.1 20"));
        assert!(expect.feed(0, b"3 ") && expect.feed(1, b"3 ") && !expect.feed(1, b"HTTP/1.1 200"));
        assert_eq!(expect.tally().text(), "Of the replies: 1 busy (HTTP 503)");
    }

    proptest! {
        /// However the bytes are cut, the result is the same.
        #[test]
        fn the_cuts_of_an_answer_decide_nothing(
            preset in prop::sample::select(PRESETS),
            prefix in prop::sample::select(vec!["HTTP/1.1 ", "\x16\x03", "\x15\x03", "-ERR ", ""]),
            rest in prop::collection::vec(any::<u8>(), 0..24),
            piece in 1usize..30,
        ) {
            let reply = [prefix.as_bytes(), &rest].concat();
            prop_assert_eq!(found(preset.name, &reply, piece), found(preset.name, &reply, 64));
        }

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
