//! Order in short lists.

/// Sorts a short list by a key, the least first; equal ones stay in their order. O(items²).
///
/// `slice::sort_by_key` takes 5 KB of the binary for each type that it sorts; this takes next to
/// nothing, and is as fast for the few dozens that a report lists.
pub fn sort_short_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..items.len() {
        let place = items[..end].partition_point(|item| key(item) <= key(&items[end]));
        items[place..=end].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_stable_sort_of_the_library(items: Vec<(u8, u32)>) {
            let (mut ours, mut theirs) = (items.clone(), items);
            sort_short_by_key(&mut ours, |(key, _)| key % 8);
            theirs.sort_by_key(|(key, _)| key % 8);
            prop_assert_eq!(ours, theirs);
        }
    }
}
