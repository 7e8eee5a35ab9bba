//! The progress line of a terminal: share done, rates, and the most frequent failure. One row,
//! fitted to the width; `os/terminal.rs` draws it.

use std::collections::VecDeque;
use std::fmt::Write;

use super::colour::{PLAIN, RED, YELLOW};
use super::rates::PerSecond;
use crate::engine::{EndReason, Progress, State};
use crate::plan::{Hold, Pace, Plan};
use crate::units::{Grouped, NS_PER_S, Span};

/// Between two redraws: at most ten a second.
pub const REDRAW_EVERY: Span = Span::from_ms(100);

/// The current rate covers this time, or this number of dials if that takes longer.
const RATE_SPAN: Span = Span::from_s(1);
const RATE_DIALS: u64 = 5;

/// Earlier redraws kept for the rate: 5 s of them.
const MARKS_MAX: usize = 50;

/// The width of the bar with its brackets. In between it is a fifth of the terminal, independent of the
/// text beside it, so that it does not jump from one redraw to the next.
const BAR_COLUMNS: std::ops::RangeInclusive<usize> = 7..=32;
const BAR_PART: usize = 5;

/// From this width words are written out.
const LONG_COLUMNS_MIN: usize = 100;

const GAP: &str = "  ";

/// Up to this, times are shown in seconds: `23/60 s`.
const IN_SECONDS_MAX: Span = Span::from_s(600);

/// The line, with the state that it keeps between redraws.
#[derive(Debug, Clone)]
pub struct LiveLine {
    pace: Pace,
    hold: Hold,
    is_coloured: bool,
    /// Time and dials so far; oldest first.
    marks: VecDeque<(Span, u64)>,
}

/// A part of the line. In a narrow terminal parts with a low rank are dropped first.
#[derive(Debug, Clone)]
struct Piece {
    text: String,
    rank: u8,
    colour: &'static str,
}

/// The filled part of the bar.
#[derive(Debug, Clone, Copy)]
struct Share {
    done: u64,
    all: u64,
}

impl LiveLine {
    pub fn new(plan: &Plan, is_coloured: bool) -> LiveLine {
        let marks = VecDeque::with_capacity(MARKS_MAX + 1);
        // Where slots dial again, the time that is over is that of the duration.
        let hold = match plan.lifetime.and(plan.duration) {
            Some(duration) => Hold::For(duration),
            None => plan.hold,
        };
        LiveLine { pace: plan.pace, hold, is_coloured, marks }
    }

    /// The line for a terminal of `columns`. It leaves the last one free: some terminals wrap there.
    pub fn text(&mut self, progress: &Progress<'_>, columns: usize) -> String {
        self.marks.push_back((progress.sample.after, progress.dialed));
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
        let columns = columns.saturating_sub(1);
        let (share, pieces) = self.pieces(progress, columns >= LONG_COLUMNS_MIN);
        self.joined(pieces, share, columns)
    }

    /// Drops parts that do not fit; the bar gets the remaining columns.
    fn joined(&self, mut pieces: Vec<Piece>, share: Option<Share>, columns: usize) -> String {
        while width(&pieces) > columns {
            let last = (0..).zip(&pieces).min_by_key(|(_, piece)| piece.rank);
            let Some((index, _)) = last else { break };
            pieces.remove(index);
        }
        let mut line = String::new();
        let bar = (columns / BAR_PART).clamp(*BAR_COLUMNS.start(), *BAR_COLUMNS.end());
        let has_room = width(&pieces) + GAP.len() + bar <= columns;
        if let Some(share) = share.filter(|_| has_room) {
            write_bar(&mut line, share, bar);
        }
        for Piece { text, colour, .. } in &pieces {
            line.push_str(if line.is_empty() { "" } else { GAP });
            match self.is_coloured && !colour.is_empty() {
                true => line.extend([colour, text.as_str(), PLAIN]),
                false => line.push_str(text),
            }
        }
        line
    }

    fn pieces(&self, progress: &Progress<'_>, is_long: bool) -> (Option<Share>, Vec<Piece>) {
        let Progress { sample, dialed, held, .. } = *progress;
        let is_held = match self.hold {
            Hold::For(span) => span > Span::ZERO,
            Hold::Forever => true,
        };
        let mut pieces = Vec::new();
        let share = match held.filter(|_| is_held && progress.closed_by_us.is_none()) {
            Some(held) => {
                let open = Grouped(sample.level(State::Established).into());
                add(&mut pieces, 9, format!("holding {open}"));
                add(&mut pieces, 8, self.held_text(held));
                self.held_share(held)
            }
            None if progress.closed_by_us.is_some() => {
                let open = Grouped(sample.level(State::Established).into());
                add(&mut pieces, 9, format!("{} dialed", Grouped(dialed)));
                add(&mut pieces, 6, format!("{open} established"));
                if is_held {
                    add(&mut pieces, 8, self.held_text(sample.after));
                    self.held_share(sample.after)
                } else {
                    None
                }
            }
            None => {
                // Padded to the width of the total, so that the rest of the line does not move.
                let all = Grouped(sample.connections.into()).to_string();
                let wide = |count| format!("{:>1$}", Grouped(count).to_string(), all.len());
                let done = wide(dialed);
                let open = wide(sample.level(State::Established).into());
                if is_long {
                    add(&mut pieces, 9, format!("{done} of {all} dialed"));
                    add(&mut pieces, 6, format!("{open} established"));
                } else {
                    add(&mut pieces, 9, format!("{done}/{all}"));
                    add(&mut pieces, 6, format!("{open} est"));
                }
                Some(Share { done: dialed, all: sample.connections.into() })
            }
        };
        add_failures(&mut pieces, progress, is_long);
        if held.is_none() {
            self.add_pace(&mut pieces, progress);
        }
        (share, pieces)
    }

    /// Dials per second and the time left; once all are dialed, the pending ones.
    fn add_pace(&self, pieces: &mut Vec<Piece>, progress: &Progress<'_>) {
        let left = u64::from(progress.sample.connections).saturating_sub(progress.dialed);
        if let (Some(_), Some(rate)) = (progress.closed_by_us, self.rate()) {
            return add(pieces, 5, format!("{}/s", Grouped(rate.tenths().div_ceil(10))));
        }
        if left == 0 {
            let pending = progress.sample.level(State::Dialing).into();
            return add(pieces, 5, format!("{} dialing", Grouped(pending)));
        }
        let Some(rate) = self.rate() else { return };
        add(pieces, 3, format!("{}/s", Grouped(rate.tenths().div_ceil(10))));
        let ns = match self.pace.dials {
            0 if rate.count == 0 => return,
            0 => u128::from(left) * u128::from(rate.took.0) / u128::from(rate.count),
            dials => u128::from(left) * u128::from(self.pace.span.0) / u128::from(dials),
        };
        let left = Span(u64::try_from(ns).unwrap_or(u64::MAX));
        add(pieces, 4, format!("{} left", seconds(Span(left.0.saturating_add(NS_PER_S - 1)))));
    }

    /// Over the last second, or the last few dials if they take longer.
    fn rate(&self) -> Option<PerSecond> {
        let (now, dialed) = *self.marks.back()?;
        let since = |mark: &(Span, u64)| (now - mark.0, dialed.saturating_sub(mark.1));
        let is_enough = |(took, count): &(Span, u64)| *took >= RATE_SPAN && *count >= RATE_DIALS;
        let mut all = self.marks.iter().rev().map(since);
        let (took, count) = all.find(is_enough).or_else(|| self.marks.front().map(since))?;
        // The first redraws are too close together for a rate.
        (took >= REDRAW_EVERY).then_some(PerSecond { count, took })
    }

    fn held_text(&self, held: Span) -> String {
        match self.hold {
            Hold::For(all) if all <= IN_SECONDS_MAX => {
                let tenths = |span: Span| span.0 / (NS_PER_S / 10);
                let whole = held.min(all).0 / NS_PER_S;
                match tenths(all) % 10 {
                    0 => format!("{whole}/{} s", all.0 / NS_PER_S),
                    tenth => format!("{whole}/{}.{tenth} s", all.0 / NS_PER_S),
                }
            }
            Hold::For(all) => format!("{}/{}", seconds(held.min(all)), seconds(all)),
            Hold::Forever => seconds(held),
        }
    }

    fn held_share(&self, held: Span) -> Option<Share> {
        match self.hold {
            Hold::For(all) => Some(Share { done: held.min(all).0, all: all.0 }),
            Hold::Forever => None,
        }
    }
}

/// Errors and closes: with a single reason its name, else the count and the most frequent reason.
fn add_failures(pieces: &mut Vec<Piece>, progress: &Progress<'_>, is_long: bool) {
    let Progress { errors, closed, dialed, .. } = *progress;
    let words = if is_long { "errors" } else { "err" };
    let mut worst = None;
    match most_frequent(progress, State::Error) {
        None => add(pieces, 7, format!("0 {words}")),
        Some((reason, count)) if count == errors => {
            let is_all = errors == dialed && errors > 1;
            let of = if is_all { format!(" of {}", Grouped(dialed)) } else { String::new() };
            add_bad(pieces, 7, RED, format!("{}{of} {}", Grouped(errors), reason_text(reason)));
        }
        Some(found) => {
            add_bad(pieces, 7, RED, format!("{} {words}", Grouped(errors)));
            worst = Some(found);
        }
    }
    match most_frequent(progress, State::Closed) {
        None => {}
        Some((reason, count)) if count == closed => {
            let words = if is_long { reason_text(reason) } else { close_word(reason) };
            add_bad(pieces, 5, YELLOW, format!("{} {words}", Grouped(closed)));
        }
        Some(found) => {
            add_bad(pieces, 5, YELLOW, format!("{} closed", Grouped(closed)));
            worst = worst.filter(|(_, count)| *count >= found.1).or(Some(found));
        }
    }
    if let Some((reason, count)) = worst {
        add_bad(pieces, 2, "", format!("most: {} {}", Grouped(count), reason_text(reason)));
    }
}

/// The most frequent end reason of a state, with its count.
fn most_frequent(progress: &Progress<'_>, state: State) -> Option<(EndReason, u64)> {
    let found = EndReason::ALL.into_iter().filter(|reason| reason.ends_in() == state);
    let counted = found.map(|reason| (reason, progress.flow[reason as usize]));
    // The first of equals, so that the line is stable.
    counted.rev().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0)
}

/// Short enough for one row.
pub fn reason_text(reason: EndReason) -> &'static str {
    match reason {
        EndReason::HalfOpen => "half-open",
        EndReason::OtherHere | EndReason::OtherBeyond => "failed",
        other => other.word(),
    }
}

/// The same for a close in a narrow terminal.
fn close_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::PeerReset => "reset",
        EndReason::HalfOpen => "half-open",
        EndReason::Lost => "lost",
        EndReason::Aborted => "closed here",
        _ => "closed",
    }
}

fn add(pieces: &mut Vec<Piece>, rank: u8, text: String) {
    add_bad(pieces, rank, "", text);
}

fn add_bad(pieces: &mut Vec<Piece>, rank: u8, colour: &'static str, text: String) {
    pieces.push(Piece { text, rank, colour });
}

/// In columns: every character of these texts takes one.
fn width(pieces: &[Piece]) -> usize {
    let texts: usize = pieces.iter().map(|piece| piece.text.chars().count()).sum();
    texts + GAP.len() * pieces.len().saturating_sub(1)
}

fn write_bar(out: &mut String, share: Share, columns: usize) {
    let inside = columns - 2;
    let done = u128::from(share.done) * inside as u128 / u128::from(share.all.max(1));
    let done = usize::try_from(done).unwrap_or(inside).min(inside);
    // Writing to a string cannot fail.
    let _ = write!(out, "[{:-<inside$}]", "#".repeat(done));
}

/// Whole seconds: `59 s`, `1m5s`, `2h0m0s`.
fn seconds(span: Span) -> String {
    let whole = span.0 / NS_PER_S;
    if whole < 60 { format!("{whole} s") } else { Span(whole * NS_PER_S).to_string() }
}

#[cfg(test)]
mod tests;
