//! The lines of `--debug`: the events of each connection, and the first bytes that it received.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::text::{write_note, write_received};
use crate::engine::{Key, Note};
use crate::route::Target;

/// Shown per connection: a server that floods would fill a file at 100 MB/s.
const SHOWN_BYTES_MAX: usize = 4096;

/// Bytes shown per open connection; some 40 bytes of memory for each that received data.
#[derive(Debug, Clone, Default)]
pub struct Debug {
    received: BTreeMap<u32, Received>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Received {
    shown_bytes: usize,
    other_bytes: u64,
}

impl Debug {
    /// Writes an event of a connection; at its end also the number of bytes that were not shown.
    pub fn note(
        &mut self,
        out: &mut dyn Write,
        key: Key,
        target: &dyn fmt::Display,
        note: &Note,
    ) -> fmt::Result {
        if matches!(note, Note::Closed { .. } | Note::Retired { .. } | Note::Dialing)
            && let Some(received) = self.received.remove(&key.slot)
        {
            received.write_rest(out, key.slot, target)?;
        }
        write_note(out, key, target, note)
    }

    /// Writes received bytes, up to the limit.
    pub fn received(
        &mut self,
        out: &mut dyn Write,
        key: Key,
        target: &dyn fmt::Display,
        bytes: &[u8],
    ) -> fmt::Result {
        let received = self.received.entry(key.slot).or_default();
        let (shown, others) =
            bytes.split_at(bytes.len().min(SHOWN_BYTES_MAX - received.shown_bytes));
        received.shown_bytes += shown.len();
        received.other_bytes += others.len() as u64;
        if shown.is_empty() { Ok(()) } else { write_received(out, key, target, shown) }
    }

    /// At the end of the run, a line for each open connection with bytes that were not shown.
    pub fn lines<'a>(
        &'a self,
        target: impl Fn(u32) -> &'a Target + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.received.iter().filter(|(_, received)| received.other_bytes > 0).map(
            move |(slot, received)| {
                let mut line = String::new();
                // Writing to a string cannot fail.
                let _ = received.write_rest(&mut line, *slot, target(*slot));
                line
            },
        )
    }
}

impl Received {
    fn write_rest(self, out: &mut dyn Write, slot: u32, target: &dyn fmt::Display) -> fmt::Result {
        match self.other_bytes {
            0 => Ok(()),
            count => writeln!(
                out,
                "connection {slot} to {target}: received {count} more bytes, which are not shown"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EndReason, Failure};
    use crate::units::Span;

    #[test]
    fn the_first_4096_bytes_are_shown_and_the_rest_is_counted_once() {
        let mut debug = Debug::default();
        let target = Target { host: "127.0.0.1".into(), address: ([127, 0, 0, 1], 80).into() };
        let [flooded, other, still_open] = [7, 8, 9].map(|slot| Key { slot, attempt: 0 });
        let mut out = String::new();
        for _ in 0..1000 {
            for key in [flooded, still_open] {
                debug.received(&mut out, key, &target, &[b'.'; 1500]).unwrap();
            }
        }
        debug.received(&mut out, other, &target, b"hi").unwrap();
        assert_eq!(out.lines().count(), 2 * 3 + 1);
        assert_eq!(out.matches('.').count(), 2 * SHOWN_BYTES_MAX + 7 * 3);
        out.clear();
        let failure = Failure { reason: EndReason::PeerClosed, errno: 0 };
        let closed = Note::Closed { failure, after: Span::from_ms(1) };
        for key in [flooded, other] {
            debug.note(&mut out, key, &target, &closed).unwrap();
        }
        let more = 1_500_000 - SHOWN_BYTES_MAX;
        assert_eq!(
            out,
            format!(
                "connection 7 to 127.0.0.1:80: received {more} more bytes, which are not shown\n\
                 connection 7 to 127.0.0.1:80: closed after 1ms: closed by the peer [server]\n\
                 connection 8 to 127.0.0.1:80: closed after 1ms: closed by the peer [server]\n"
            )
        );
        let rest: Vec<String> = debug.lines(|_| &target).collect();
        assert_eq!(rest.len(), 1);
        assert!(rest[0].starts_with("connection 9 to 127.0.0.1:80: received "), "{rest:?}");
    }
}
