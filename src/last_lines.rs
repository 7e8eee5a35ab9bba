//! The last line that a server sent before it closed a connection, which often gives the reason:
//! the most frequent ones, in constant memory.

use crate::order::sort_short_by_key;

/// The most different lines that are counted.
const LINES_MAX: usize = 16;

/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 120;

/// The number of connections of which the last line is kept at a time.
const RECENT: u32 = 1024;

/// A line, and the number of connections that the server closed right after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastLine {
    pub line: Vec<u8>,
    pub connections: u64,
}

#[derive(Debug, Clone)]
struct Line {
    bytes: Vec<u8>,
    /// Connections with this last line: closed, and still open.
    closed: u64,
    open: u64,
}

/// Counts last lines; about 12 KiB. Lines after the first 16 different ones are not counted.
#[derive(Debug, Clone)]
pub struct LastLineTally {
    lines: Vec<Line>,
    /// By slot modulo [`RECENT`]: the slot and the index of its last line.
    recent: Box<[Option<(u32, u8)>]>,
}

impl Default for LastLineTally {
    fn default() -> LastLineTally {
        LastLineTally {
            lines: Vec::with_capacity(LINES_MAX),
            recent: vec![None; RECENT as usize].into(),
        }
    }
}

impl LastLineTally {
    /// A connection received `bytes`; O(lines).
    pub fn received(&mut self, slot: u32, bytes: &[u8]) {
        let Some(line) = last_line(bytes) else { return };
        let line = &line[..line.len().min(LINE_BYTES_MAX)];
        let known = self.lines.iter().position(|known| known.bytes == line);
        let index = match known {
            Some(index) => index,
            None if self.lines.len() < LINES_MAX => {
                self.lines.push(Line { bytes: line.to_vec(), closed: 0, open: 0 });
                self.lines.len() - 1
            }
            None => return,
        };
        self.take(slot);
        let recent = &mut self.recent[(slot % RECENT) as usize];
        if let Some((_, before)) = recent.take() {
            // Another slot's entry is evicted; its connection was open.
            self.lines[usize::from(before)].open += 1;
        }
        *recent = u8::try_from(index).ok().map(|index| (slot, index));
    }

    /// The peer closed the connection of a slot.
    pub fn closed(&mut self, slot: u32) {
        if let Some(index) = self.take(slot) {
            self.lines[usize::from(index)].closed += 1;
        }
    }

    /// We closed it: its last line was no reason.
    pub fn closed_by_us(&mut self, slot: u32) {
        if let Some(index) = self.take(slot) {
            self.lines[usize::from(index)].open += 1;
        }
    }

    fn take(&mut self, slot: u32) -> Option<u8> {
        if self.lines.is_empty() {
            return None;
        }
        let recent = &mut self.recent[(slot % RECENT) as usize];
        let (_, index) = recent.filter(|(of, _)| *of == slot)?;
        *recent = None;
        Some(index)
    }

    /// The most frequent first. Without lines that were received on more connections that stayed
    /// open than were closed: they are no reason for a close.
    pub fn summary(&self) -> Vec<LastLine> {
        let mut open: Vec<u64> = self.lines.iter().map(|line| line.open).collect();
        for (_, index) in self.recent.iter().flatten() {
            open[usize::from(*index)] += 1;
        }
        let is_reason = |(line, open): &(&Line, u64)| line.closed > *open;
        let last = |(line, _): (&Line, u64)| LastLine {
            line: line.bytes.clone(),
            connections: line.closed,
        };
        let mut all: Vec<LastLine> =
            self.lines.iter().zip(open).filter(is_reason).map(last).collect();
        sort_short_by_key(&mut all, |last| std::cmp::Reverse(last.connections));
        all
    }
}

/// The last line that is not blank.
fn last_line(bytes: &[u8]) -> Option<&[u8]> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    bytes.rsplit(is_end).find(|line| line.iter().any(|byte| !byte.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(line: &str, connections: u64) -> LastLine {
        LastLine { line: line.into(), connections }
    }

    #[test]
    fn the_last_line_before_a_close_is_counted() {
        let mut tally = LastLineTally::default();
        for slot in 0..3_000 {
            tally.received(slot, b"220 ready\r\n");
        }
        for slot in 10..15 {
            tally.received(slot, b"x\r\n421 too many\r\n\r\n");
            tally.closed(slot);
            tally.closed(slot);
        }
        tally.closed(17);
        // Closed by us: what its slot has next was not sent this line.
        tally.received(20, b"421 too many\r\n");
        tally.closed_by_us(20);
        tally.closed(20);
        assert_eq!(tally.summary(), [last("421 too many", 5)]);
    }

    #[test]
    fn a_greeting_counts_if_all_were_closed_and_memory_is_bounded() {
        let mut tally = LastLineTally::default();
        for slot in 0..100 {
            tally.received(slot, b"bye");
            tally.closed(slot);
        }
        for slot in 0..1_000_u32 {
            tally.received(slot, format!("{slot}{}", "y".repeat(500)).as_bytes());
            tally.closed(slot);
        }
        let all = tally.summary();
        assert_eq!((all.len(), &all[0]), (LINES_MAX, &last("bye", 100)));
        assert!(all.iter().all(|last| last.line.len() <= LINE_BYTES_MAX));
        tally.received(1, b" \r\n");
        tally.closed(1);
        assert_eq!(tally.summary(), all);
    }
}
