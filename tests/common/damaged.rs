//! Documents with other numbers than a run can have: whatever is read of them is rendered, and what is
//! not is one line.

use std::ops::Range;

use tcpgoon::display::ReportForm;
use tcpgoon::outputs::Format;
use tcpgoon::reread::Reread;

/// One change of a document.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    pub place: u32,
    pub kind: u8,
    pub value: u64,
}

/// The numbers of a document.
fn numbers(document: &str) -> Vec<Range<usize>> {
    let bytes = document.as_bytes();
    let is_number = |at: usize| bytes[at].is_ascii_digit();
    let begins = |at: &usize| is_number(*at) && bytes[*at - 1] == b':';
    let end = |at: usize| (at..bytes.len()).find(|at| !is_number(*at)).unwrap_or(bytes.len());
    (1..bytes.len()).filter(begins).map(|at| at..end(at)).collect()
}

/// A list or an object that begins with `bracket`, without it and without its end.
fn insides(document: &str, bracket: char) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, _) in document.match_indices(bracket) {
        let mut depth = 0;
        let end = document[start..].find(|c: char| {
            depth += i32::from("[{".contains(c)) - i32::from("]}".contains(c));
            depth == 0
        });
        found.extend(end.map(|end| start + 1..start + end));
    }
    found
}

fn replace(document: &str, range: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &document[..range.start], &document[range.end..])
}

impl Edit {
    pub fn apply(&self, document: &str) -> String {
        let numbers = numbers(document);
        if numbers.is_empty() {
            return document.to_owned();
        }
        let of = |count: usize| self.place as usize % count;
        let range = numbers[of(numbers.len())].clone();
        let old: u64 = document[range.clone()].parse().unwrap_or(0);
        let other = numbers[self.value as usize % numbers.len()].clone();
        let value = match self.kind % 16 {
            0 => 0,
            1 => 1,
            2 => old.saturating_add(1),
            3 => old.saturating_sub(1),
            4 => old.saturating_mul(2),
            5 => u32::MAX.into(),
            6 => 64_000_000,
            7 => (1 << 53) - 1,
            8 => self.value,
            9 => self.value % 1_000,
            10 => document[other].parse().unwrap_or(0),
            11 => return replace(document, range, "null"),
            12 => {
                let flags: Vec<_> = document.match_indices("false").collect();
                let Some((at, word)) = flags.get(of(flags.len().max(1))) else {
                    return document.into();
                };
                return replace(document, *at..at + word.len(), "true");
            }
            // A list is empty, or has everything twice.
            13 | 14 => {
                let lists = insides(document, '[');
                let list = lists[of(lists.len())].clone();
                let inside = &document[list.clone()];
                let twice = if self.kind % 16 == 13 || inside.is_empty() {
                    String::new()
                } else {
                    format!("{inside},{inside}")
                };
                return replace(document, list, &twice);
            }
            _ => {
                let at = self.value as usize % document.len();
                return replace(document, at..at + 1, "");
            }
        };
        replace(document, range, &value.to_string())
    }
}

/// Whether it is read; then each format renders it.
pub fn check(document: &[u8]) -> bool {
    let run = match Reread::of(document) {
        Ok(run) => run,
        Err(why) => {
            assert!(!why.is_empty() && !why.contains('\n') && why.len() < 1_000, "{why}");
            return false;
        }
    };
    let texts = |run: &Reread| {
        [(ReportForm::Full, 80), (ReportForm::Short, 80), (ReportForm::Short, 20)]
            .map(|(form, columns)| run.text(form, columns))
    };
    let shown = texts(&run);
    for format in Format::ALL {
        assert!(!run.in_format(format).is_empty(), "{format:?}");
    }
    // What was read is written and read again as the same.
    let again = Reread::of(run.in_format(Format::Json).as_bytes()).expect("our own");
    assert_eq!(texts(&again), shown);
    true
}
