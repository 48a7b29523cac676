//! How a round is cut into chunks.

use std::ops::Range;

use facenet_dataset::ImageId;

/// Rows `0..n` in as few parts of at most `most` as there can be, of lengths that differ by one
/// at most: none is a rest too short for batch statistics.
pub(crate) fn parts(n: usize, most: usize) -> Vec<Range<usize>> {
    let count = n.div_ceil(most);
    let start = |part: usize| part * (n / count) + part.min(n % count);
    (0..count)
        .map(|part| start(part)..start(part + 1))
        .collect()
}

/// The images dealt out so that [`parts`] of them hold every identity alike: batch statistics of
/// a few identities would tell them apart by what they have in common.
pub(crate) fn dealt(ids: &[ImageId], chunk_size: usize) -> Vec<ImageId> {
    let count = ids.len().div_ceil(chunk_size);
    let hand = |first| ids.iter().skip(first).step_by(count).copied();
    (0..count).flat_map(hand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_even() {
        assert_eq!(parts(10, 4), [0..4, 4..7, 7..10]);
        assert_eq!(parts(4, 3), [0..2, 2..4]);
        assert_eq!(parts(5, 3), [0..3, 3..5]);
        assert!(parts(0, 3).is_empty());
        for n in 2..200 {
            for most in 3..20 {
                let lengths: Vec<_> = parts(n, most).iter().map(Range::len).collect();
                assert_eq!(lengths.iter().sum::<usize>(), n);
                assert!(
                    lengths.iter().all(|&one| (2..=most).contains(&one)),
                    "{n} {most}"
                );
            }
        }
    }

    #[test]
    fn every_chunk_is_dealt_every_identity() {
        let image = |row: u32| ImageId {
            identity: row / 3,
            image: row % 3,
        };
        let ids: Vec<_> = (0..12).map(image).collect();
        assert_eq!(dealt(&ids, 12), ids);
        let hands = dealt(&ids, 4);
        let identities =
            |rows: Range<usize>| -> Vec<u32> { hands[rows].iter().map(|id| id.identity).collect() };
        for rows in parts(12, 4) {
            assert_eq!(identities(rows), [0, 1, 2, 3]);
        }
        let mut back = hands;
        back.sort_by_key(|id| (id.identity, id.image));
        assert_eq!(back, ids);
    }
}
