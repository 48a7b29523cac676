//! Scans of one row of distances: which values lie in a span, a bit each.

/// Open interval of approximate distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) above: f32,
    pub(crate) below: f32,
}

impl Span {
    /// Everything below a bound.
    pub(crate) fn below(below: f32) -> Self {
        Self {
            above: f32::NEG_INFINITY,
            below,
        }
    }

    #[inline]
    pub(crate) fn holds(self, x: f32) -> bool {
        x > self.above && x < self.below
    }

    /// Whether `above` excludes a number at all.
    #[inline]
    fn is_bounded_below(self) -> bool {
        self.above >= f32::MIN
    }
}

/// Plain version of [`crate::simd::mark_within`].
pub(crate) fn within_plain(xs: &[[f32; 64]], span: Span, words: &mut [u64]) -> usize {
    let mut count = 0;
    for (xs, word) in xs.iter().zip(words) {
        *word = 0;
        for (place, &x) in xs.iter().enumerate() {
            *word |= u64::from(span.holds(x)) << place;
        }
        count += word.count_ones() as usize;
    }
    count
}

/// Plain version of [`crate::simd::mark_both`].
pub(crate) fn both_plain(xs: &[[f32; 64]], spans: [Span; 2], words: [&mut [u64]; 2]) -> [usize; 2] {
    let [first, second] = words;
    [
        within_plain(xs, spans[0], first),
        within_plain(xs, spans[1], second),
    ]
}

/// Plain version of [`crate::simd::nth_marked`].
pub(crate) fn nth_plain(words: &[u64], rank: usize) -> Option<usize> {
    let (base, mut word, rank) = word_of(words, rank)?;
    (0..rank).for_each(|_| word &= word - 1);
    Some(base + word.trailing_zeros() as usize)
}

/// Position of the first bit of the word that holds marked value number `rank`, the word, and the
/// number of the value in it.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn word_of(words: &[u64], mut rank: usize) -> Option<(usize, u64, usize)> {
    for (&word, base) in words.iter().zip((0..).step_by(64)) {
        let count = word.count_ones() as usize;
        if rank < count {
            return Some((base, word, rank));
        }
        rank -= count;
    }
    None
}

/// Positions of the bits that are set, ascending.
pub(crate) fn positions(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words
        .iter()
        .zip((0u32..).step_by(64))
        .flat_map(|(&word, base)| {
            let rest = |&word: &u64| Some(word & (word - 1)).filter(|&rest| rest != 0);
            let words = std::iter::successors(Some(word).filter(|&word| word != 0), rest);
            words.map(move |word| base + word.trailing_zeros())
        })
}

/// Body of [`crate::simd::min_above`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
pub(crate) fn min_above_loop(xs: &[[f32; 64]], above: f32) -> f32 {
    let mut least = [f32::INFINITY; 64];
    for chunk in xs {
        for (least, &x) in least.iter_mut().zip(chunk) {
            let kept = if x > above { x } else { f32::INFINITY };
            *least = if kept < *least { kept } else { *least };
        }
    }
    least.into_iter().fold(f32::INFINITY, f32::min)
}

/// The same with vectors.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _CMP_LT_OQ, _mm256_and_ps, _mm256_cmp_ps, _mm256_movemask_ps, _mm256_set1_ps,
        _mm512_cmp_ps_mask, _mm512_mask_cmp_ps_mask, _mm512_set1_ps, _pdep_u64,
    };

    use super::{Span, word_of};
    use crate::simd::vectors::{load_8, load_16};

    #[target_feature(enable = "bmi2,popcnt")]
    pub(crate) fn nth_bmi2(words: &[u64], rank: usize) -> Option<usize> {
        let (base, word, rank) = word_of(words, rank)?;
        Some(base + _pdep_u64(1 << rank, word).trailing_zeros() as usize)
    }

    /// Most spans have no lower bound, and half the work.
    macro_rules! versions {
        ($within:ident, $both:ident, $loop:ident, $word:ident, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(crate) fn $within(xs: &[[f32; 64]], span: Span, words: &mut [u64]) -> usize {
                let mut count = 0;
                for (xs, out) in xs.iter().zip(words) {
                    *out = $word::<true>(xs, span);
                    count += out.count_ones();
                }
                count as usize
            }

            #[target_feature(enable = $features)]
            pub(crate) fn $both(
                xs: &[[f32; 64]],
                spans: [Span; 2],
                words: [&mut [u64]; 2],
            ) -> [usize; 2] {
                if spans.iter().any(|span| span.is_bounded_below()) {
                    $loop::<true>(xs, spans, words)
                } else {
                    $loop::<false>(xs, spans, words)
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn $loop<const BOUNDED: bool>(
                xs: &[[f32; 64]],
                spans: [Span; 2],
                [first, second]: [&mut [u64]; 2],
            ) -> [usize; 2] {
                let mut counts = [0; 2];
                for ((xs, first), second) in xs.iter().zip(first).zip(second) {
                    *first = $word::<BOUNDED>(xs, spans[0]);
                    *second = $word::<BOUNDED>(xs, spans[1]);
                    counts[0] += first.count_ones();
                    counts[1] += second.count_ones();
                }
                counts.map(|count| count as usize)
            }
        };
    }

    versions!(
        within_avx512,
        both_avx512,
        loop_avx512,
        word_avx512,
        "avx512f,popcnt"
    );
    versions!(within_avx2, both_avx2, loop_avx2, word_avx2, "avx2,popcnt");

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn word_avx512<const BOUNDED: bool>(xs: &[f32; 64], span: Span) -> u64 {
        let (above, below) = (_mm512_set1_ps(span.above), _mm512_set1_ps(span.below));
        let mut word = 0;
        for (xs, shift) in xs.as_chunks::<16>().0.iter().zip([0, 16, 32, 48]) {
            let xs = load_16(*xs);
            let mut mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(xs, below);
            if BOUNDED {
                mask = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(mask, xs, above);
            }
            word |= u64::from(mask) << shift;
        }
        word
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn word_avx2<const BOUNDED: bool>(xs: &[f32; 64], span: Span) -> u64 {
        let (above, below) = (_mm256_set1_ps(span.above), _mm256_set1_ps(span.below));
        let mut word = 0;
        for (xs, shift) in xs.as_chunks::<8>().0.iter().zip((0..).step_by(8)) {
            let xs = load_8(*xs);
            let mut mask = _mm256_cmp_ps::<_CMP_LT_OQ>(xs, below);
            if BOUNDED {
                mask = _mm256_and_ps(mask, _mm256_cmp_ps::<_CMP_GT_OQ>(xs, above));
            }
            word |= (_mm256_movemask_ps(mask) as u64) << shift;
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, mark_both, mark_within, min_above, nth_marked};

    /// 0, 1, 2, ... modulo 10, with a NaN and an infinity, in which no span lies.
    fn row(n_chunks: usize) -> Vec<[f32; 64]> {
        let value = |i: usize| match i {
            17 => f32::NAN,
            18 => f32::INFINITY,
            _ => (i % 10) as f32,
        };
        (0..n_chunks)
            .map(|chunk| std::array::from_fn(|i| value(64 * chunk + i)))
            .collect()
    }

    #[test]
    fn marks_are_the_values_in_the_open_span() {
        let spans = [
            Span {
                above: 3.0,
                below: 6.0,
            },
            Span::below(4.0),
            Span {
                above: f32::MIN,
                below: f32::INFINITY,
            },
            Span::below(f32::NEG_INFINITY),
        ];
        let levels = Level::available().into_iter();
        for (level, n_chunks) in levels.flat_map(|level| [0, 1, 5].map(|n| (level, n))) {
            let xs = row(n_chunks);
            for span in spans {
                let held = |(i, &x): (usize, &f32)| span.holds(x).then_some(i as u32);
                let expected: Vec<u32> = xs
                    .as_flattened()
                    .iter()
                    .enumerate()
                    .filter_map(held)
                    .collect();
                let mut words = vec![u64::MAX; n_chunks];
                assert_eq!(mark_within(level, &xs, span, &mut words), expected.len());
                assert_eq!(
                    positions(&words).collect::<Vec<_>>(),
                    expected,
                    "{level:?} {span:?}"
                );
                for rank in 0..=expected.len() {
                    let nth = nth_marked(level, &words, rank).map(|position| position as u32);
                    assert_eq!(nth, expected.get(rank).copied());
                }
                let (mut first, mut second) = (words.clone(), words.clone());
                let both = [&mut first[..], &mut second[..]];
                let counts = mark_both(level, &xs, [span, spans[0]], both);
                assert_eq!((counts[0], first), (expected.len(), words), "{level:?}");
                assert_eq!(counts[1], within_plain(&xs, spans[0], &mut second));
            }
        }
    }

    #[test]
    fn spans_exclude_their_bounds() {
        let span = Span {
            above: 3.0,
            below: 6.0,
        };
        assert_eq!(
            [3.0, 4.0, 5.0, 6.0].map(|x| span.holds(x)),
            [false, true, true, false]
        );
    }

    #[test]
    fn min_above_excludes_the_bound() {
        for level in Level::available() {
            for (above, expected) in [(3.0, 4.0), (9.0, f32::INFINITY), (f32::NEG_INFINITY, 0.0)] {
                let found = min_above(level, &row(3), above);
                assert_eq!(found.to_bits(), f32::to_bits(expected), "{level:?} {above}");
            }
        }
    }
}
