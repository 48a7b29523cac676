//! How high each value of a row of distances stands on a ladder of a few ascending bounds, and
//! which stand at a given height.

/// Most bounds of a ladder: with a place for none, as many as two AVX-512 vectors hold.
pub(crate) const RUNGS: usize = 31;

/// Bounds with a zone of doubt below each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ladder {
    /// Ascending. A value at a rung or above has reached it. NaN, which nothing reaches, beyond
    /// the last: 32 values can be read from each place that a search by halves starts from.
    rungs: [f32; 48],
    /// Ascending, none above the rung of its place: a value from here on that has not reached the
    /// rung is in doubt.
    doubts: [f32; RUNGS + 1],
}

impl Ladder {
    /// - `bounds`: pairs of a start of doubt and a rung, both ascending, at most [`RUNGS`]
    pub(crate) fn new(bounds: impl IntoIterator<Item = (f32, f32)>) -> Self {
        let mut ladder = Self {
            rungs: [f32::NAN; 48],
            doubts: [f32::NAN; RUNGS + 1],
        };
        let places = ladder.doubts[..RUNGS].iter_mut().zip(&mut ladder.rungs);
        for ((doubt, rung), bound) in places.zip(bounds) {
            (*doubt, *rung) = bound;
        }
        ladder
    }
}

/// Plain version of [`crate::simd::climb`].
pub(crate) fn climb_plain(
    xs: &[[f32; 64]],
    ladder: &Ladder,
    heights: &mut [[u8; 64]],
    doubtful: &mut [u64],
) -> bool {
    let mut any = false;
    for ((xs, heights), word) in xs.iter().zip(heights).zip(doubtful) {
        *word = 0;
        for (place, (&x, height)) in xs.iter().zip(heights).enumerate() {
            let reached = ladder.rungs[..RUNGS].partition_point(|&rung| x >= rung);
            *height = reached as u8;
            *word |= u64::from(x >= ladder.doubts[reached]) << place;
        }
        any |= *word != 0;
    }
    any
}

/// Plain version of [`crate::simd::mark_up_to`].
pub(crate) fn up_to_plain(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize {
    let mut count = 0;
    for (heights, word) in heights.iter().zip(words) {
        let bits = heights.iter().enumerate();
        *word = bits.fold(0, |word, (place, &x)| {
            word | u64::from(x <= height) << place
        });
        count += word.count_ones() as usize;
    }
    count
}

/// Plain version of [`crate::simd::unmark_up_to`].
pub(crate) fn not_up_to_plain(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize {
    let mut count = 0;
    for (heights, word) in heights.iter().zip(words) {
        let bits = heights.iter().enumerate();
        *word &= bits.fold(0, |word, (place, &x)| word | u64::from(x > height) << place);
        count += word.count_ones() as usize;
    }
    count
}

/// The same with vectors.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        __m512, _CMP_GE_OQ, _mm256_castps_si256, _mm256_cmp_ps, _mm256_cmpeq_epi8, _mm256_min_epu8,
        _mm256_movemask_epi8, _mm256_set1_epi8, _mm256_set1_ps, _mm256_setzero_si256,
        _mm256_sub_epi32, _mm256_xor_si256, _mm512_cmp_ps_mask, _mm512_cmple_epu8_mask,
        _mm512_cvtepi32_epi8, _mm512_mask_add_epi32, _mm512_maskz_set1_epi32,
        _mm512_permutex2var_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    };

    use super::{Ladder, RUNGS};
    use crate::simd::vectors::{
        bytes_of_16, ints_of_8, load_8, load_16, load_bytes_32, load_bytes_64,
    };

    /// A search by halves: the rung to compare with is looked up in two vectors.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(crate) fn climb_avx512(
        xs: &[[f32; 64]],
        ladder: &Ladder,
        heights: &mut [[u8; 64]],
        doubtful: &mut [u64],
    ) -> bool {
        let middle = _mm512_set1_ps(ladder.rungs[RUNGS / 2]);
        let tables = [7, 3, 1, 0].map(|first| two_at(&ladder.rungs[first..]));
        let doubts = two_at(&ladder.doubts);
        let mut any = 0;
        for ((xs, heights), word) in xs.iter().zip(heights).zip(doubtful) {
            *word = 0;
            let (xs, heights) = (xs.as_chunks::<16>().0, heights.as_chunks_mut::<16>().0);
            for ((xs, heights), shift) in xs.iter().zip(heights).zip([0, 16, 32, 48]) {
                let xs = load_16(*xs);
                let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(xs, middle);
                let mut reached = _mm512_maskz_set1_epi32(above, 16);
                for (table, step) in tables.iter().zip([8, 4, 2, 1]) {
                    let rungs = _mm512_permutex2var_ps(table[0], reached, table[1]);
                    let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(xs, rungs);
                    let step = _mm512_set1_epi32(step);
                    reached = _mm512_mask_add_epi32(reached, above, reached, step);
                }
                let doubts = _mm512_permutex2var_ps(doubts[0], reached, doubts[1]);
                *word |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(xs, doubts)) << shift;
                *heights = bytes_of_16(_mm512_cvtepi32_epi8(reached));
            }
            any |= *word;
        }
        any != 0
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn two_at(values: &[f32]) -> [__m512; 2] {
        let (vectors, _) = values.as_chunks::<16>();
        [load_16(vectors[0]), load_16(vectors[1])]
    }

    /// Every rung and every start of doubt in turn.
    #[target_feature(enable = "avx2,popcnt")]
    pub(crate) fn climb_avx2(
        xs: &[[f32; 64]],
        ladder: &Ladder,
        heights: &mut [[u8; 64]],
        doubtful: &mut [u64],
    ) -> bool {
        let n_rungs = ladder.rungs.iter().position(|rung| rung.is_nan());
        let n_rungs = n_rungs.unwrap_or(RUNGS);
        let bounds = || ladder.rungs[..n_rungs].iter().zip(&ladder.doubts);
        let mut any = 0;
        for ((xs, heights), word) in xs.iter().zip(heights).zip(doubtful) {
            *word = 0;
            let (xs, heights) = (xs.as_chunks::<8>().0, heights.as_chunks_mut::<8>().0);
            for ((xs, heights), shift) in xs.iter().zip(heights).zip((0..).step_by(8)) {
                let xs = load_8(*xs);
                let (mut reached, mut zones) = (_mm256_setzero_si256(), _mm256_setzero_si256());
                for (&rung, &doubt) in bounds() {
                    let above = _mm256_cmp_ps::<_CMP_GE_OQ>(xs, _mm256_set1_ps(rung));
                    let in_doubt = _mm256_cmp_ps::<_CMP_GE_OQ>(xs, _mm256_set1_ps(doubt));
                    let [above, in_doubt] = [above, in_doubt].map(|x| _mm256_castps_si256(x));
                    reached = _mm256_sub_epi32(reached, above); // a mask is -1
                    zones = _mm256_sub_epi32(zones, _mm256_xor_si256(above, in_doubt));
                }
                *heights = ints_of_8(reached).map(|height| height as u8);
                for (bit, zones) in (shift..).zip(ints_of_8(zones)) {
                    *word |= u64::from(zones != 0) << bit;
                }
            }
            any |= *word;
        }
        any != 0
    }

    /// Loops over words, given the word of 64 heights that are at most `height`.
    macro_rules! versions {
        ($up_to:ident, $not_up_to:ident, $word:ident, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(crate) fn $up_to(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize {
                let mut count = 0;
                for (heights, word) in heights.iter().zip(words) {
                    *word = $word(heights, height);
                    count += word.count_ones();
                }
                count as usize
            }

            #[target_feature(enable = $features)]
            pub(crate) fn $not_up_to(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize {
                let mut count = 0;
                for (heights, word) in heights.iter().zip(words) {
                    *word &= !$word(heights, height);
                    count += word.count_ones();
                }
                count as usize
            }
        };
    }

    versions!(
        up_to_avx512,
        not_up_to_avx512,
        word_avx512,
        "avx512f,avx512bw,popcnt"
    );
    versions!(up_to_avx2, not_up_to_avx2, word_avx2, "avx2,popcnt");

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn word_avx512(heights: &[u8; 64], height: u8) -> u64 {
        let most = _mm512_set1_epi8(height.cast_signed());
        _mm512_cmple_epu8_mask(load_bytes_64(*heights), most)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn word_avx2(heights: &[u8; 64], height: u8) -> u64 {
        let most = _mm256_set1_epi8(height.cast_signed());
        let halves = heights.as_chunks::<32>().0.iter().zip([0, 32]);
        halves.fold(0, |word, (heights, shift)| {
            let heights = load_bytes_32(*heights);
            let at_most = _mm256_cmpeq_epi8(_mm256_min_epu8(heights, most), heights);
            word | u64::from(_mm256_movemask_epi8(at_most).cast_unsigned()) << shift
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, climb, mark_up_to, unmark_up_to};

    /// Rungs at 1, 2, 3, ..., each with a doubt of a quarter below it.
    fn ladder(n_rungs: usize) -> Ladder {
        Ladder::new((1..=n_rungs).map(|rung| (rung as f32 - 0.25, rung as f32)))
    }

    /// Eighths from -1 on, and an infinity.
    fn values() -> Vec<[f32; 64]> {
        let value = |i: usize| match i {
            70 => f32::INFINITY,
            _ => i as f32 / 8.0 - 1.0,
        };
        let chunk = |chunk: usize| std::array::from_fn(|i| value(64 * chunk + i));
        (0..5).map(chunk).collect()
    }

    #[test]
    fn heights_count_the_rungs_reached_and_doubt_is_below_a_rung() {
        let xs = values();
        for (level, n_rungs) in Level::available()
            .into_iter()
            .flat_map(|level| [0, 1, 2, 15, 16, 17, RUNGS].map(|n| (level, n)))
        {
            let (mut heights, mut doubtful) = (vec![[99; 64]; 5], vec![u64::MAX; 5]);
            let any = climb(level, &xs, &ladder(n_rungs), &mut heights, &mut doubtful);
            assert_eq!(any, n_rungs > 0, "{level:?} {n_rungs}");
            for (i, &x) in xs.as_flattened().iter().enumerate() {
                let height = x.floor().clamp(0.0, n_rungs as f32);
                assert_eq!(heights.as_flattened()[i], height as u8, "{level:?} {x}");
                let is_doubtful = x - height >= 0.75 && height < n_rungs as f32;
                let found = doubtful[i / 64] >> (i % 64) & 1 == 1;
                assert_eq!(found, is_doubtful, "{level:?} {n_rungs} {x}");
            }
        }
    }

    #[test]
    fn marks_are_the_heights_up_to_one() {
        let heights: Vec<[u8; 64]> = (0..5)
            .map(|chunk| std::array::from_fn(|i| ((chunk * 64 + i) * 7 % 32) as u8))
            .collect();
        for (level, height) in Level::available()
            .into_iter()
            .flat_map(|level| [0, 5, 30, 31].map(|height| (level, height)))
        {
            let (mut marked, mut left) = (vec![u64::MAX; 5], vec![u64::MAX; 5]);
            let n_marked = mark_up_to(level, &heights, height, &mut marked);
            let n_left = unmark_up_to(level, &heights, height, &mut left);
            assert_eq!(n_marked + n_left, 5 * 64, "{level:?} {height}");
            for (i, &x) in heights.as_flattened().iter().enumerate() {
                let bit = |words: &[u64]| words[i / 64] >> (i % 64) & 1 == 1;
                assert_eq!((bit(&marked), bit(&left)), (x <= height, x > height));
            }
        }
    }
}
