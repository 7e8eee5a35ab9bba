//! What counts as an answer: patterns over the first bytes of a stream, and what was counted of them.

use std::fmt::Write;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Text(&'static [u8]),
    /// One byte from the first to the second.
    In(u8, u8),
    /// A decimal digit, or any byte, that is kept: the number of the answer.
    KeptDigit,
    KeptByte,
}

/// Any byte.
pub const ANY: Part = Part::In(0, 0xff);
pub const DIGIT: Part = Part::In(b'0', b'9');

/// What an answer means, beside that the application replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: it is not counted apart.
    Plain,
    /// An error of the server: 5xx, of which the last two digits are kept.
    Http5xx,
    /// It is too busy, by its own words or number.
    Busy(&'static str),
    /// An alert, of which the number is kept.
    TlsAlert,
}

impl Meaning {
    /// In the document.
    pub fn id(self) -> &'static str {
        match self {
            Meaning::Plain => "plain",
            Meaning::Http5xx | Meaning::Busy(_) => "busy",
            Meaning::TlsAlert => "tls-alert",
        }
    }
}

/// One answer of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub parts: &'static [Part],
    pub meaning: Meaning,
}

/// Whether a pattern accepts a byte at a position, and what is kept then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    No,
    Yes,
    Kept(u8),
}

impl Answer {
    /// How many bytes it has.
    pub fn length(&self) -> usize {
        let length = |part: &Part| if let Part::Text(text) = part { text.len() } else { 1 };
        self.parts.iter().map(length).sum()
    }

    /// Whether `byte` fits at the position `at`, where `kept` is what was kept before it.
    pub fn fit(&self, mut at: usize, byte: u8, kept: u8) -> Fit {
        for part in self.parts {
            let fits = match part {
                Part::Text(text) if at >= text.len() => {
                    at -= text.len();
                    continue;
                }
                _ if at > 0 && !matches!(part, Part::Text(_)) => {
                    at -= 1;
                    continue;
                }
                Part::Text(text) => text[at] == byte,
                Part::In(low, high) => (*low..=*high).contains(&byte),
                Part::KeptByte => return Fit::Kept(byte),
                Part::KeptDigit if byte.is_ascii_digit() => {
                    return Fit::Kept(kept.wrapping_mul(10).wrapping_add(byte - b'0'));
                }
                Part::KeptDigit => false,
            };
            return if fits { Fit::Yes } else { Fit::No };
        }
        Fit::No
    }
}

/// Answers of one meaning and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub meaning: Meaning,
    pub number: u8,
    pub connections: u64,
}

/// How many answers of each meaning and number came; at most a few hundred kinds. Plain ones are not
/// counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerTally {
    counts: Vec<Count>,
}

/// What counts of answers are headed by.
pub const OF_THE_REPLIES: &str = "Of the replies";

/// The kinds in a report; of the others only the count.
const SHOWN_MAX: usize = 4;

impl AnswerTally {
    pub fn add(&mut self, meaning: Meaning, number: u8) {
        if meaning == Meaning::Plain {
            return;
        }
        let is_same = |count: &&mut Count| count.meaning == meaning && count.number == number;
        match self.counts.iter_mut().find(is_same) {
            Some(count) => count.connections += 1,
            None => self.counts.push(Count { meaning, number, connections: 1 }),
        }
    }

    /// Of such counts, which were saved.
    pub fn of(counts: Vec<Count>) -> AnswerTally {
        AnswerTally { counts }
    }

    /// In the order of their first ones.
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    fn sum(&self, accepts: impl Fn(Meaning) -> bool) -> u64 {
        let counts = self.counts.iter().filter(|count| accepts(count.meaning));
        counts.map(|count| count.connections).sum()
    }

    /// How many report an error or overload of the server.
    pub fn busy(&self) -> u64 {
        self.sum(|meaning| meaning != Meaning::TlsAlert)
    }

    /// `, 12 busy, 3 TLS alerts`; empty if there are none.
    pub fn short_text(&self) -> String {
        let (busy, alerts) = (self.busy(), self.sum(|meaning| meaning == Meaning::TlsAlert));
        let plural = if alerts == 1 { "" } else { "s" };
        let mut text = String::new();
        if busy > 0 {
            let _ = write!(text, ", {busy} busy");
        }
        if alerts > 0 {
            let _ = write!(text, ", {alerts} TLS alert{plural}");
        }
        text
    }

    /// `Of the replies: 12 busy (HTTP 503), 3 TLS alert 40 (handshake_failure)`; empty if there are
    /// none.
    pub fn text(&self) -> String {
        match self.list() {
            list if list.is_empty() => list,
            list => format!("{OF_THE_REPLIES}: {list}"),
        }
    }

    /// As [`AnswerTally::text`], without its first words.
    pub fn list(&self) -> String {
        let (mut text, mut others) = (String::new(), 0);
        for (index, count) in self.counts.iter().enumerate() {
            if index >= SHOWN_MAX {
                others += count.connections;
                continue;
            }
            text.push_str(if index == 0 { "" } else { ", " });
            let is_busy = count.meaning.id() == "busy";
            let _ = match is_busy {
                true => write!(text, "{} busy ({})", count.connections, count.label()),
                false => write!(text, "{} {}", count.connections, count.label()),
            };
        }
        if others > 0 {
            let _ = write!(text, ", {others} others");
        }
        text
    }
}

impl Count {
    pub fn label(&self) -> String {
        label(self.meaning, self.number)
    }
}

/// `HTTP 503`, `TLS alert 40 (handshake_failure)`.
pub fn label(meaning: Meaning, number: u8) -> String {
    match (meaning, number) {
        (Meaning::Plain, _) => String::new(),
        (Meaning::Http5xx, number) => format!("HTTP 5{number:02}"),
        (Meaning::Busy(words), _) => words.into(),
        (Meaning::TlsAlert, number) => match alert_name(number) {
            Some(name) => format!("TLS alert {number} ({name})"),
            None => format!("TLS alert {number}"),
        },
    }
}

/// Those that can answer a ClientHello. Source: RFC 8446, section 6, and RFC 5246, section 7.2.
fn alert_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "close_notify",
        10 => "unexpected_message",
        22 => "record_overflow",
        40 => "handshake_failure",
        47 => "illegal_parameter",
        49 => "access_denied",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_meaning_and_number() {
        let mut tally = AnswerTally::default();
        assert_eq!((tally.text(), tally.short_text()), (String::new(), String::new()));
        tally.add(Meaning::Plain, 0);
        (0..12).for_each(|_| tally.add(Meaning::Http5xx, 3));
        (0..3).for_each(|_| tally.add(Meaning::TlsAlert, 40));
        let text = "Of the replies: 12 busy (HTTP 503), 3 TLS alert 40 (handshake_failure)";
        assert_eq!(tally.text(), text);
        assert_eq!((tally.busy(), &*tally.short_text()), (12, ", 12 busy, 3 TLS alerts"));
        tally.add(Meaning::TlsAlert, 200);
        tally.add(Meaning::Busy("SMTP 421"), 0);
        tally.add(Meaning::Http5xx, 0);
        tally.add(Meaning::Http5xx, 2);
        let more = ", 1 TLS alert 200, 1 busy (SMTP 421), 2 others";
        assert_eq!(tally.text(), format!("{text}{more}"));
        assert_eq!(tally.busy(), 15);
    }
}
