//! The program's lines, parsed strictly.

use std::time::Duration;

/// A statistics line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub total: u64,
    pub dialing: u64,
    pub established: u64,
    pub closed: u64,
    pub error: u64,
    pub not_initiated: u64,
}

const STATS: &str = "Total: #, Dialing: #, Established: #, Closed: #, Error: #, NotInitiated: #";

const COUNTS: &str = "Accepted: #, Open: #, MostOpen: #, Closed: #";

/// The whole statistics lines of a text.
///
/// # Panics
/// If one does not balance.
pub fn stats(text: &str) -> Vec<Stats> {
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(|line| numbers(line, STATS)).map(balanced).collect()
}

fn balanced(numbers: Vec<u64>) -> Stats {
    let [total, dialing, established, closed, error, not_initiated] = numbers[..] else {
        unreachable!("the shape has six numbers")
    };
    let sum = dialing + established + closed + error + not_initiated;
    assert_eq!(total, sum, "a statistics line does not balance: {numbers:?}");
    Stats { total, dialing, established, closed, error, not_initiated }
}

/// The statistics line of `serve`: accepted, open, most open, closed.
pub fn counts(line: &str) -> Option<[u64; 4]> {
    let counts: [u64; 4] = numbers(line.trim_end(), COUNTS)?.try_into().unwrap();
    assert_eq!(counts[0], counts[1] + counts[3], "counts do not balance: {line}");
    Some(counts)
}

fn numbers(line: &str, shape: &str) -> Option<Vec<u64>> {
    Some(matches(line, shape)?.iter().map(|word| word.parse().unwrap()).collect())
}

/// The wildcards of a line, if it has this shape: `#` is a number, `@` a duration as Go prints it, `*`
/// any text up to what follows in the shape.
pub fn matches(line: &str, shape: &str) -> Option<Vec<String>> {
    let Some(place) = shape.find(['#', '@', '*']) else {
        return (line == shape).then(Vec::new);
    };
    let (before, rest) = (&shape[..place], &shape[place + 1..]);
    let line = line.strip_prefix(before)?;
    let literal_end = rest.find(['#', '@', '*']).unwrap_or(rest.len());
    let literal = &rest[..literal_end];
    let length = match shape.as_bytes()[place] {
        b'#' => line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len()),
        b'@' => line.find(|c: char| !"0123456789.hmsnµ".contains(c)).unwrap_or(line.len()),
        _ if rest.is_empty() => line.len(),
        _ => line.find(literal)?,
    };
    let (word, line) = line.split_at(length);
    let fits = match shape.as_bytes()[place] {
        b'@' => duration(word).is_some(),
        _ => !word.is_empty(),
    };
    let mut found = vec![word.to_owned()];
    found.extend(matches(line, rest).filter(|_| fits)?);
    Some(found)
}

/// A duration exactly as Go's `Duration.String` prints it: one unit below a second, hours and
/// minutes above, no zeros at the end of a fraction.
pub fn duration(text: &str) -> Option<Duration> {
    let units = [("ms", 1_000_000, 6), ("µs", 1000, 3), ("ns", 1, 0)];
    for (unit, ns, places) in units {
        if let Some(number) = text.strip_suffix(unit) {
            let (whole, below) = decimal(number, places)?;
            let fits = (1..1000).contains(&whole);
            return fits.then(|| Duration::from_nanos(whole * ns + below));
        }
    }
    let seconds = text.strip_suffix('s')?;
    let (hours, rest) = seconds.split_once('h').unwrap_or(("", seconds));
    let (minutes, seconds) = rest.split_once('m').unwrap_or(("", rest));
    let whole = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let (hours, minutes, (seconds, ns)) = (whole(hours)?, whole(minutes)?, decimal(seconds, 9)?);
    // Below a second the unit is smaller, except for 0s.
    let is_nothing = text == "0s";
    let fits = minutes < 60 && seconds < 60 && (hours + minutes + seconds > 0 || is_nothing);
    fits.then(|| Duration::new(hours * 3600 + minutes * 60 + seconds, ns as u32))
}

/// A decimal with a fraction of at most `places` digits without trailing zeros, and that fraction in
/// units of the last place.
fn decimal(text: &str, places: usize) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_whole = whole == "0" || !whole.starts_with('0');
    let is_fraction = !text.contains('.') || (!fraction.ends_with('0') && fraction.len() <= places);
    if !is_whole || !is_fraction {
        return None;
    }
    let below = if text.contains('.') { format!("{fraction:0<places$}") } else { "0".into() };
    Some((whole.parse().ok()?, below.parse().ok()?))
}

/// Whether a text is a time of day such as `2026-01-31T23:59:59.123Z`.
pub fn is_rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
    shape == "dddd-dd-ddTdd:dd:dd.dddZ"
}

/// The duration of a wildcard.
#[track_caller]
pub fn span(word: &str) -> Duration {
    duration(word).unwrap_or_else(|| panic!("'{word}' is no duration"))
}
