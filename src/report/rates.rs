//! `--rates`: after each statistics line, the rates of the interval that it ends.

use std::fmt::{self, Write};

use crate::engine::Progress;
use crate::engine::histogram::Histogram;
use crate::units::{NS_PER_S, Span};

/// The counts at the previous statistics line: an interval is the difference of two.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    before: Option<Counts>,
    dial_times: Histogram,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    after: Span,
    /// As [`NAMES`].
    counts: [u64; 5],
}

/// The third and the fourth differ where we close connections, too.
const NAMES: [&str; 5] = ["Dials", "Established", "Closed by us", "Closed", "Error"];
const CLOSED: usize = 3;
const CLOSED_BY_US: usize = 2;

impl Rates {
    /// The line of the interval that ends now; nothing for the first statistics line. O(buckets): it
    /// keeps a copy of the histogram, so the run itself counts nothing more.
    pub fn write(&mut self, out: &mut dyn Write, progress: &Progress<'_>) -> fmt::Result {
        let Progress { sample, dialed, established, closed, errors, dial_times, .. } = progress;
        let by_us = progress.closed_by_us;
        // Where slots dial again, any other end of a connection is an error, too.
        let by_peer = by_us.map_or(*closed, |_| progress.closed_by_peer());
        let errors = errors + (closed - by_peer);
        let now = Counts {
            after: sample.after,
            counts: [*dialed, *established, by_us.unwrap_or(0), by_peer, errors],
        };
        let p99 = dial_times.quantile_since(&self.dial_times, 990);
        let before = self.before.replace(now);
        self.dial_times.clone_from(dial_times);
        let Some(before) = before.filter(|before| before.after < now.after) else { return Ok(()) };
        let took = Span(now.after.0 - before.after.0);
        write!(out, "Rates: ")?;
        for (index, name) in NAMES.iter().enumerate() {
            let name = match (index, by_us) {
                (CLOSED_BY_US, None) => continue,
                (CLOSED, Some(_)) => "Closed by the peer",
                _ => *name,
            };
            let count = now.counts[index].saturating_sub(before.counts[index]);
            write!(out, "{name}: {}/s, ", PerSecond { count, took })?;
        }
        match p99 {
            Some(p99) => writeln!(out, "p99 dial time: {}", p99.rounded_to_3_digits()),
            None => writeln!(out, "p99 dial time: none"),
        }
    }
}

/// `count` in `took` as a rate: rounded to a tenth below 100, else to a whole number.
#[derive(Debug, Clone, Copy)]
pub struct PerSecond {
    pub count: u64,
    pub took: Span,
}

impl PerSecond {
    /// Tenths a second, rounded to what is printed.
    pub fn tenths(self) -> u64 {
        let took = u128::from(self.took.0.max(1));
        let tenths = (u128::from(self.count) * 10 * u128::from(NS_PER_S) + took / 2) / took;
        let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
        if tenths < 1000 { tenths } else { tenths.saturating_add(5) / 10 * 10 }
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tenths() / 10, self.tenths() % 10) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenth) => write!(f, "{whole}.{tenth}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EndReason, Sample, State};

    fn progress(dial_times: &Histogram, after_ms: u64, counts: [u64; 4]) -> Progress<'_> {
        let [dialed, established, closed, errors] = counts;
        let after = Span::from_ms(after_ms);
        let sample = Sample { after, connections: 1000, levels: [0; State::COUNT] };
        let flow = [0; EndReason::COUNT];
        Progress {
            sample,
            dialed,
            established,
            closed,
            errors,
            closed_by_us: None,
            flow,
            held: None,
            dial_times,
            answers: &[],
        }
    }

    #[test]
    fn an_interval_is_the_difference_of_two_lines() {
        let (mut rates, mut times, mut out) = (Rates::default(), Histogram::new(), String::new());
        rates.write(&mut out, &progress(&times, 0, [0; 4])).unwrap();
        assert_eq!(out, "", "no interval ends with the first line");
        (0..99).for_each(|_| times.record(Span::from_us(20)));
        times.record(Span::from_s(1));
        rates.write(&mut out, &progress(&times, 2_000, [250, 100, 0, 1])).unwrap();
        let first = "Rates: Dials: 125/s, Established: 50/s, Closed: 0/s, Error: 0.5/s, p99 dial \
                     time: 20.1µs\n";
        assert_eq!(out, first);
        out.clear();
        // The slow one of the interval before does not count again.
        times.record(Span::from_ms(3));
        rates.write(&mut out, &progress(&times, 2_500, [251, 101, 100, 1])).unwrap();
        let second = "Rates: Dials: 2/s, Established: 2/s, Closed: 200/s, Error: 0/s, p99 dial \
                      time: 3ms\n";
        assert_eq!(out, second);
        out.clear();
        rates.write(&mut out, &progress(&times, 3_500, [251, 101, 100, 1])).unwrap();
        assert!(out.ends_with("p99 dial time: none\n"), "{out}");
    }

    #[test]
    fn where_slots_dial_again_closes_are_apart_by_side() {
        let (mut rates, times, mut out) = (Rates::default(), Histogram::new(), String::new());
        let mut now = progress(&times, 0, [0; 4]);
        now.closed_by_us = Some(0);
        rates.write(&mut out, &now).unwrap();
        let mut now = progress(&times, 1_000, [90, 80, 13, 5]);
        now.closed_by_us = Some(60);
        now.flow[EndReason::PeerClosed as usize] = 8;
        now.flow[EndReason::PeerReset as usize] = 3;
        now.flow[EndReason::Lost as usize] = 2;
        now.flow[EndReason::Refused as usize] = 5;
        rates.write(&mut out, &now).unwrap();
        let line = "Rates: Dials: 90/s, Established: 80/s, Closed by us: 60/s, Closed by the peer: \
                    11/s, Error: 7/s, p99 dial time: none\n";
        assert_eq!(out, line);
    }

    #[test]
    fn a_rate_is_rounded_to_its_precision() {
        for (count, ms, text) in [
            (0, 1000, "0"),
            (1, 3000, "0.3"),
            (998, 10_000, "99.8"),
            (33_400, 1001, "33367"),
            (1, 0, "1000000000"),
        ] {
            let rate = PerSecond { count, took: Span::from_ms(ms) };
            assert_eq!(rate.to_string(), text);
        }
    }
}
