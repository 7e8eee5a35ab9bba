//! The id of a cause as it was typed, and what may have been meant by it.

use super::distance::distance;
use crate::diagnosis::causes::Cause;
use crate::escape::quoted;

/// The most ids that are suggested.
const SUGGESTED_MAX: usize = 3;

/// Reads the words behind `tcpgoon explain`: an id, or none for the list.
///
/// # Errors
/// An id that no cause has, with the nearest ones; or more than one word.
pub fn cause(words: &[String]) -> Result<Option<Cause>, String> {
    match words {
        [] => Ok(None),
        [id] => Cause::find(id).map(Some).ok_or_else(|| unknown(id)),
        [_, more, ..] => Err(format!(
            "{}: 'tcpgoon explain' takes one id; a host of that name is reached with --host explain",
            quoted(more)
        )),
    }
}

fn unknown(typed: &str) -> String {
    let typed_lower = typed.to_lowercase();
    let mut ids: Vec<(usize, &str)> = Cause::ALL
        .into_iter()
        .filter_map(|cause| Some((slips(cause.id(), &typed_lower)?, cause.id())))
        .collect();
    // Of equally near ones the table's order decides, as the sort is stable.
    ids.sort_by_key(|(count, _)| *count);
    ids.truncate(SUGGESTED_MAX);
    let ids: Vec<&str> = ids.into_iter().map(|(_, id)| id).collect();
    let meant = match ids.split_last() {
        None => "the list has all of them".to_owned(),
        Some((last, [])) => format!("is {last} meant?"),
        Some((last, others)) => format!("is {} or {last} meant?", others.join(", ")),
    };
    format!("{}: no cause has this id; {meant}", quoted(typed))
}

/// How far what was typed is from an id, where it is near enough to have been meant: a part of it,
/// or a third of its letters wrong at most.
fn slips(id: &str, typed: &str) -> Option<usize> {
    let count = distance(id, typed)?;
    let is_part = typed.len() > 1 && id.contains(typed);
    (is_part || 3 * count <= typed.chars().count()).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Cause>, String> {
        cause(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn an_id_is_found_and_none_is_the_list() {
        assert_eq!(read(""), Ok(None));
        for cause in Cause::ALL {
            assert_eq!(read(cause.id()), Ok(Some(cause)));
        }
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_nearest() {
        for (typed, said) in [
            ("accept-queue-ful", "is accept-queue-full meant?"),
            ("queue", "is accept-queue-full or accept-queue-overflow meant?"),
            ("Packet-Loss", "is packet-loss meant?"),
            ("pakcet-los", "is packet-loss meant?"),
            ("conntrack", "is local-conntrack meant?"),
            ("fd", "is fd-limit or server-fd-limit meant?"),
            ("limit", "is fd-limit, rate-limit or client-limit meant?"),
            ("x", "the list has all of them"),
            ("no-such-cause-at-all-whatever-it-is", "the list has all of them"),
        ] {
            assert_eq!(read(typed), Err(format!("'{typed}': no cause has this id; {said}")));
        }
        let escaped = read("\u{1b}[2J").unwrap_err();
        assert!(escaped.starts_with("'\\u{1b}[2J': "), "{escaped}");
    }

    #[test]
    fn one_id_is_all_that_it_takes() {
        let said = "'80': 'tcpgoon explain' takes one id; a host of that name is reached with \
                    --host explain";
        assert_eq!(read("explain 80 81"), Err(said.into()));
    }
}
