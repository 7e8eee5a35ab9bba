//! What a server said last before it closed: the most frequent lines, in constant memory. Servers
//! often say why.

/// How many different lines are told apart.
const LINES_MAX: usize = 16;

/// A line is cut there.
const LINE_BYTES_MAX: usize = 120;

/// For so many connections at a time the last line is kept.
const RECENT: u32 = 1024;

/// A line that a server sent, and on how many connections that it then closed it was the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub line: Vec<u8>,
    pub connections: u64,
}

#[derive(Debug, Clone)]
struct Line {
    bytes: Vec<u8>,
    /// Connections on which it was the last, closed and still open ones.
    closed: u64,
    open: u64,
}

/// Counts last lines; about 12 KiB. What does not fit is not counted.
#[derive(Debug, Clone)]
pub struct SaidTally {
    lines: Vec<Line>,
    /// By slot modulo [`RECENT`]: the slot and the index of its last line.
    recent: Box<[Option<(u32, u8)>]>,
}

impl Default for SaidTally {
    fn default() -> SaidTally {
        SaidTally {
            lines: Vec::with_capacity(LINES_MAX),
            recent: vec![None; RECENT as usize].into(),
        }
    }
}

impl SaidTally {
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
        self.forget(slot);
        let recent = &mut self.recent[(slot % RECENT) as usize];
        if let Some((_, before)) = recent.take() {
            // It makes room for this one: it was open.
            self.lines[usize::from(before)].open += 1;
        }
        *recent = u8::try_from(index).ok().map(|index| (slot, index));
    }

    /// The peer closed the connection of a slot.
    pub fn closed(&mut self, slot: u32) {
        if let Some(index) = self.forget(slot) {
            self.lines[usize::from(index)].closed += 1;
        }
    }

    fn forget(&mut self, slot: u32) -> Option<u8> {
        let recent = &mut self.recent[(slot % RECENT) as usize];
        let (_, index) = recent.filter(|(whose, _)| *whose == slot)?;
        *recent = None;
        Some(index)
    }

    /// The most frequent first; without what is no reason to close, as it was said on more
    /// connections that stayed open.
    pub fn summary(&self) -> Vec<Said> {
        let mut open: Vec<u64> = self.lines.iter().map(|line| line.open).collect();
        for (_, index) in self.recent.iter().flatten() {
            open[usize::from(*index)] += 1;
        }
        let is_last = |(line, open): &(&Line, u64)| line.closed > *open;
        let said =
            |(line, _): (&Line, u64)| Said { line: line.bytes.clone(), connections: line.closed };
        let mut all: Vec<Said> = self.lines.iter().zip(open).filter(is_last).map(said).collect();
        all.sort_by_key(|said| std::cmp::Reverse(said.connections));
        all
    }
}

/// The last line with something in it.
fn last_line(bytes: &[u8]) -> Option<&[u8]> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    bytes.rsplit(is_end).find(|line| line.iter().any(|byte| !byte.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, connections: u64) -> Said {
        Said { line: line.into(), connections }
    }

    #[test]
    fn the_last_line_before_a_close_counts() {
        let mut tally = SaidTally::default();
        for slot in 0..3_000 {
            tally.received(slot, b"220 ready\r\n");
        }
        for slot in 10..15 {
            tally.received(slot, b"x\r\n421 too many\r\n\r\n");
            tally.closed(slot);
            tally.closed(slot);
        }
        tally.closed(17);
        assert_eq!(tally.summary(), [said("421 too many", 5)]);
    }

    #[test]
    fn a_greeting_of_all_that_were_closed_counts_and_memory_is_bounded() {
        let mut tally = SaidTally::default();
        for slot in 0..100 {
            tally.received(slot, b"bye");
            tally.closed(slot);
        }
        for slot in 0..1_000_u32 {
            tally.received(slot, format!("{slot}{}", "y".repeat(500)).as_bytes());
            tally.closed(slot);
        }
        let all = tally.summary();
        assert_eq!((all.len(), &all[0]), (LINES_MAX, &said("bye", 100)));
        assert!(all.iter().all(|said| said.line.len() <= LINE_BYTES_MAX));
        tally.received(1, b" \r\n");
        tally.closed(1);
        assert_eq!(tally.summary(), all);
    }
}
