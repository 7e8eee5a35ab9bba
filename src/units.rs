//! Moments, spans, ticks, counts and rates: their types, and one table of units to parse and print
//! them. All are integers: nanoseconds in `u64` last for 584 years.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};

pub const NS_PER_US: u64 = 1_000;
pub const NS_PER_MS: u64 = 1_000_000;
pub const NS_PER_S: u64 = 1_000_000_000;

/// The longest span that a flag accepts: 10 days. The wheel's 32-bit deadlines reach 12.4 days.
pub const SPAN_MAX: Span = Span(10 * 24 * 3600 * NS_PER_S);

/// A point on the run's clock, in nanoseconds since the clock's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Moment(pub u64);

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span(pub u64);

/// A point on the wheel's clock: a count of ticks of [`Tick::LENGTH`] since the same origin as
/// [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Tick(pub u64);

impl Moment {
    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// The first of the moments start, start + interval, start + 2 × interval, … after `now`. Missed
/// ones are skipped.
///
/// # Panics
/// If the interval is zero. (No interval is `None`.)
pub fn next_beat(start: Moment, interval: Span, now: Moment) -> Moment {
    let beats = (now.since(start).0 / interval.0).saturating_add(1);
    start + Span(beats.saturating_mul(interval.0))
}

impl Add<Span> for Moment {
    type Output = Moment;

    /// Saturates: such a deadline never comes.
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_us(us: u64) -> Span {
        Span(us * NS_PER_US)
    }

    pub const fn from_ms(ms: u64) -> Span {
        Span(ms * NS_PER_MS)
    }

    pub const fn from_s(s: u64) -> Span {
        Span(s * NS_PER_S)
    }

    /// Truncated to microseconds, as in the original's timing lines.
    pub fn truncated_to_us(self) -> Span {
        Span(self.0 - self.0 % NS_PER_US)
    }

    /// Rounded to three significant digits: histograms have an error of 1%.
    pub fn rounded_to_3_digits(self) -> Span {
        Span(rounded_to_3_digits(self.0))
    }
}

/// Rounded to three significant digits.
pub fn rounded_to_3_digits(number: u64) -> u64 {
    let mut unit = 1u64;
    while number / unit >= 1000 {
        unit *= 10;
    }
    number.saturating_add(unit / 2) / unit * unit
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;

    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Tick {
    /// A quarter of a millisecond.
    pub const LENGTH: Span = Span::from_us(250);

    /// The first tick that begins at `moment` or later: deadlines round up, never early.
    pub fn at_or_after(moment: Moment) -> Tick {
        Tick(moment.0.div_ceil(Tick::LENGTH.0))
    }

    /// The last tick that has begun at `moment`.
    pub fn begun_by(moment: Moment) -> Tick {
        Tick(moment.0 / Tick::LENGTH.0)
    }

    /// When it begins.
    pub fn moment(self) -> Moment {
        Moment(self.0.saturating_mul(Tick::LENGTH.0))
    }
}

/// The low 32 bits: the only narrowing conversion that loses bits.
pub const fn low_32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The units of time in nanoseconds, longest first, with the names that are parsed; the first name
/// is printed.
const TIME_UNITS: [(u64, &[&str]); 6] = [
    (3600 * NS_PER_S, &["h", "hr", "hrs", "hour", "hours"]),
    (60 * NS_PER_S, &["m", "min", "mins", "minute", "minutes"]),
    (NS_PER_S, &["s", "sec", "secs", "second", "seconds"]),
    (NS_PER_MS, &["ms", "msec", "msecs", "millisecond", "milliseconds"]),
    (NS_PER_US, &["µs", "us", "μs", "usec", "usecs", "microsecond", "microseconds"]),
    (1, &["ns", "nsec", "nanosecond", "nanoseconds"]),
];

/// A unit that is parsed and never printed, as Go does.
const DAY: (u64, &[&str]) = (24 * 3600 * NS_PER_S, &["d", "day", "days"]);

/// The format of a time, for error messages.
pub const TIME_ACCEPTED: &str =
    "a number with or without a unit (us, ms, s, m, h), at most 10 days";

/// The units of counts, largest first.
const COUNT_UNITS: [(u64, char); 2] = [(1_000_000, 'm'), (1_000, 'k')];

/// Go's `time.Duration.String`: `0s`, `99µs`, `17.929ms`, `5.000819s`, `1m0.5s`, `1h0m0s`.
///
/// Source: <https://pkg.go.dev/time#Duration.String>
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let second = 2;
        if self.0 < NS_PER_S {
            let fits = TIME_UNITS[second + 1..].iter().find(|unit| self.0 >= unit.0);
            let (unit_ns, words) = fits.unwrap_or(&TIME_UNITS[TIME_UNITS.len() - 1]);
            return write_decimal(f, self.0, *unit_ns, words[0]);
        }
        let mut rest = self.0;
        for (unit_ns, words) in &TIME_UNITS[..second] {
            // Go prints `1h0m0s`: all units after the first one, even if zero.
            if self.0 >= *unit_ns {
                write!(f, "{}{}", rest / unit_ns, words[0])?;
                rest %= unit_ns;
            }
        }
        write_decimal(f, rest, NS_PER_S, TIME_UNITS[second].1[0])
    }
}

/// `value / unit` with all decimals but trailing zeros, and the name of the unit.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, word: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let fraction = value % unit;
    if fraction > 0 {
        // Units below a minute are powers of ten, so the decimals are the digits of the remainder.
        let width = unit.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(word)
}

/// Parses a time such as `1.5` (in `bare_unit`), `250ms`, `1m30s`; at most [`SPAN_MAX`]. Fractions
/// of a nanosecond are dropped, but the result is zero only for zero, which flags treat
/// differently.
pub fn parse_span(text: &str, bare_unit: Span) -> Option<Span> {
    let mut total_ns = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_end);
        let unit_end =
            behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (word, next) = behind.split_at(unit_end);
        let unit_ns = match word {
            // Only a number on its own can be without a unit: `1m30` is ambiguous.
            "" if number.len() == text.len() => bare_unit.0,
            _ => TIME_UNITS.iter().chain([&DAY]).find(|unit| unit.1.contains(&word))?.0,
        };
        total_ns = total_ns.checked_add(parse_scaled(number, unit_ns)?)?;
        rest = next;
    }
    if total_ns == 0 && text.contains(|c: char| ('1'..='9').contains(&c)) {
        total_ns = 1;
    }
    (!text.is_empty() && total_ns <= SPAN_MAX.0).then_some(Span(total_ns))
}

/// Parses a count: digits with an optional `k` or `m`, and decimals if the result is whole
/// (`1.5k`); also `10,000`, `10_000` and `1e4`, which have one meaning each.
pub fn parse_count(text: &str) -> Option<u64> {
    let (number, unit) = split_count_unit(text);
    let number = without_separators(number)?;
    let thousandths = parse_scaled(&number, unit.checked_mul(1000)?)?;
    // Decimals that parse_scaled() would drop are an error.
    let decimals = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let whole = thousandths.is_multiple_of(1000) && decimals <= unit.ilog10() as usize;
    whole.then_some(thousandths / 1000)
}

/// Parses a rate in thousandths a second: as a count, with any three decimals (`0.5`, `2.5k`), and
/// with or without a `/s`.
pub fn parse_rate_milli(text: &str) -> Option<u64> {
    let per_second = ["/s", "/sec", "/second"];
    let text = per_second.iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    let (number, unit) = split_count_unit(text);
    parse_scaled(&without_separators(number)?, unit.checked_mul(1000)?)
}

fn split_count_unit(text: &str) -> (&str, u64) {
    for (unit, letter) in COUNT_UNITS {
        if let Some(number) = text.strip_suffix([letter, letter.to_ascii_uppercase()]) {
            return (number, unit);
        }
    }
    let exponent = text.split_once(['e', 'E']).and_then(|(number, exponent)| {
        let digits = !exponent.is_empty() && exponent.bytes().all(|b| b.is_ascii_digit());
        let unit = 10u64.checked_pow(exponent.parse().ok().filter(|_| digits)?)?;
        Some((number, unit))
    });
    exponent.unwrap_or((text, 1))
}

/// The digits of a number in groups of three: `10,000` and `10_000`. A comma elsewhere may be a
/// decimal one or part two numbers: `None`.
fn without_separators(number: &str) -> Option<Cow<'_, str>> {
    let Some(separator) = number.chars().find(|c| [',', '_'].contains(c)) else {
        return Some(Cow::Borrowed(number));
    };
    let whole = number.split('.').next().unwrap_or(number);
    let mut groups = whole.split(separator);
    let first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()));
    let fits = first && groups.all(|group| group.len() == 3) && whole != "0";
    fits.then(|| Cow::Owned(number.replace(separator, "")))
}

/// A plain decimal number (`12`, `1.5`, `.5`) times `unit`, rounded down. No sign, no exponent.
fn parse_scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits_only = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !digits_only(whole) || !digits_only(decimals) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut digit_unit = unit;
    for digit in decimals.bytes() {
        digit_unit /= 10;
        total = total.checked_add(u64::from(digit - b'0') * digit_unit)?;
    }
    Some(total)
}

/// A UTC date and time by RFC 3339, to the millisecond: `2026-11-22T11:48:00.123Z`.
///
/// Source: the days-to-civil algorithm of <https://howardhinnant.github.io/date_algorithms.html>
pub fn rfc3339(unix_ns: u64) -> String {
    let (days, of_day_ns) = (unix_ns / (86_400 * NS_PER_S), unix_ns % (86_400 * NS_PER_S));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (s, ms) = (of_day_ns / NS_PER_S, of_day_ns % NS_PER_S / NS_PER_MS);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// `10,000`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            fmt::Write::write_char(f, digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
