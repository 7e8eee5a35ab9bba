//! Parses the id of a cause; suggests ids for a mistyped one.

use super::distance::distance;
use super::mistake::Mistake;
use crate::diagnosis::causes::Cause;
use crate::escape::quoted;
use crate::order::sort_short_by_key;

/// The most ids that are suggested.
const SUGGESTED_MAX: usize = 3;

/// The words after `tcpgoon explain`: an id, or none for the list.
///
/// # Errors
/// An unknown id, with the nearest ones; or more than one word.
pub fn cause(words: &[String]) -> Result<Option<Cause>, Mistake> {
    match words {
        [] => Ok(None),
        [id] => Cause::find(id)
            .map(Some)
            .ok_or_else(|| Mistake::Word { word: id.clone(), line: unknown(id) }),
        [_, more, ..] => Err(Mistake::Other(format!(
            "{}: 'tcpgoon explain' takes one id; for a host of that name use --host explain",
            quoted(more)
        ))),
    }
}

fn unknown(typed: &str) -> String {
    let ids = nearest(typed);
    let meant = match ids.split_last() {
        None => "run 'tcpgoon explain' for the list".to_owned(),
        Some((last, [])) => format!("did you mean {last}?"),
        Some((last, others)) => format!("did you mean {} or {last}?", others.join(", ")),
    };
    format!("{}: no cause has this id; {meant}", quoted(typed))
}

/// The ids that may have been meant, nearest first.
pub fn nearest(typed: &str) -> Vec<&'static str> {
    let typed_lower = typed.to_ascii_lowercase();
    let mut ids: Vec<(usize, &'static str)> = Cause::ALL
        .into_iter()
        .filter_map(|cause| Some((near(cause.id(), &typed_lower)?, cause.id())))
        .collect();
    // The sort is stable: equally near ones stay in the order of the table.
    sort_short_by_key(&mut ids, |(count, _)| *count);
    ids.truncate(SUGGESTED_MAX);
    ids.into_iter().map(|(_, id)| id).collect()
}

/// The distance of a typed id from a known one, if it is near enough to suggest it: a part of it,
/// or at most a third of its letters wrong.
fn near(id: &str, typed: &str) -> Option<usize> {
    let count = distance(id, typed)?;
    let is_part = typed.len() > 1 && id.contains(typed);
    (is_part || 3 * count <= typed.chars().count()).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Cause>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        cause(&words).map_err(|mistake| mistake.line())
    }

    #[test]
    fn an_id_is_found_and_none_is_the_list() {
        assert_eq!(read(""), Ok(None));
        for cause in Cause::ALL {
            assert_eq!(read(cause.id()), Ok(Some(cause)));
        }
    }

    #[test]
    fn the_nearest_ids_are_suggested_for_an_unknown_one() {
        for (typed, expected) in [
            ("accept-queue-ful", "did you mean accept-queue-full?"),
            ("queue", "did you mean accept-queue-full or accept-queue-overflow?"),
            ("Packet-Loss", "did you mean packet-loss?"),
            ("pakcet-los", "did you mean packet-loss?"),
            ("conntrack", "did you mean local-conntrack?"),
            ("fd", "did you mean fd-limit or server-fd-limit?"),
            ("limit", "did you mean fd-limit, rate-limit or client-limit?"),
            ("x", "run 'tcpgoon explain' for the list"),
            ("no-such-cause-at-all-whatever-it-is", "run 'tcpgoon explain' for the list"),
        ] {
            assert_eq!(read(typed), Err(format!("'{typed}': no cause has this id; {expected}")));
        }
        let escaped = read("\u{1b}[2J").unwrap_err();
        assert!(escaped.starts_with("'\\u{1b}[2J': "), "{escaped}");
    }

    #[test]
    fn more_than_one_id_is_an_error() {
        let expected = "'80': 'tcpgoon explain' takes one id; for a host of that name use \
                    --host explain";
        assert_eq!(read("explain 80 81"), Err(expected.into()));
    }
}
