//! The edit distance of two words, for suggestions after a typing mistake.

/// Longer words are not compared: no flag or cause has such a name.
const COMPARED_CHARS_MAX: usize = 32;

/// The number of characters to insert, delete, replace or swap with their neighbour to turn one
/// word into the other: the optimal string alignment distance. `None` if a word is longer than any
/// name here. O(length × length).
///
/// Source:
/// <https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance>
pub fn distance(one: &str, other: &str) -> Option<usize> {
    let one: Vec<char> = one.chars().take(COMPARED_CHARS_MAX + 1).collect();
    let other: Vec<char> = other.chars().take(COMPARED_CHARS_MAX + 1).collect();
    if one.len().max(other.len()) > COMPARED_CHARS_MAX {
        return None;
    }
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    Some(rows[one.len()][other.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_typing_mistake_counts_one() {
        for (one, other, count) in [
            ("", "", 0),
            ("port", "port", 0),
            ("conections", "connections", 1),
            ("prot", "port", 1),
            ("hots", "host", 1),
            ("sleeps", "sleep", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), Some(count), "{one} {other}");
            assert_eq!(distance(other, one), Some(count), "{other} {one}");
        }
        assert_eq!(distance(&"x".repeat(33), "x"), None);
    }
}
