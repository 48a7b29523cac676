//! Many f64 distances from one row: eight at a time, each summed as [`crate::sq_l2`] sums.

use crate::simd::{Level, sq_l2_of_eight, sq_l2_to_eight};

/// Rows of one call.
const LANES: usize = 8;

/// Appends the distances from `x` to each of `rows`.
///
/// - `x`: `[dim]`, exact f64 of the f32 values
/// - `rows`: `[dim]` each
pub(crate) fn sq_l2_to_each<'a>(
    x: &[f64],
    rows: impl IntoIterator<Item = &'a [f32]>,
    out: &mut Vec<f64>,
) {
    let level = Level::best();
    let mut rows = rows.into_iter();
    while let Some(first) = rows.next() {
        let (mut eight, mut n_rows) = ([first; LANES], 1);
        for (place, row) in eight[1..].iter_mut().zip(&mut rows) {
            *place = row;
            n_rows += 1;
        }
        out.extend(&sq_l2_to_eight(level, x, eight)[..n_rows]);
    }
}

/// The distances of pairs of rows, in their order.
///
/// - `pairs`: both rows `[dim]`
pub(crate) fn sq_l2_of_pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a [f32], &'a [f32])>,
) -> Vec<f64> {
    let (level, mut out) = (Level::best(), Vec::new());
    let mut pairs = pairs.into_iter();
    while let Some(first) = pairs.next() {
        let (mut eight, mut n_pairs) = ([first; LANES], 1);
        for (place, pair) in eight[1..].iter_mut().zip(&mut pairs) {
            *place = pair;
            n_pairs += 1;
        }
        let (xs, ys) = (eight.map(|pair| pair.0), eight.map(|pair| pair.1));
        out.extend(&sq_l2_of_eight(level, xs, ys)[..n_pairs]);
    }
    out
}

/// Plain version of [`sq_l2_of_eight`].
pub(crate) fn of_eight_plain(xs: [&[f32]; LANES], ys: [&[f32]; LANES]) -> [f64; LANES] {
    std::array::from_fn(|lane| crate::sq_l2(xs[lane], ys[lane]))
}

/// Plain version of [`sq_l2_to_eight`].
pub(crate) fn to_eight_plain(x: &[f64], rows: [&[f32]; LANES]) -> [f64; LANES] {
    rows.map(|row| {
        x.iter().zip(row).fold(0.0, |sum, (&x, &y)| {
            let diff = x - f64::from(y);
            sum + diff * diff
        })
    })
}

/// The same with vectors: eight values of eight rows are transposed, so that a lane is a row.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        __m256, _mm256_add_pd, _mm256_castps256_ps128, _mm256_cvtps_pd, _mm256_extractf128_ps,
        _mm256_mul_pd, _mm256_permute2f128_ps, _mm256_set1_pd, _mm256_setzero_pd,
        _mm256_shuffle_ps, _mm256_sub_pd, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_pd,
        _mm512_cvtps_pd, _mm512_mul_pd, _mm512_set1_pd, _mm512_setzero_pd, _mm512_sub_pd,
    };

    use super::LANES;
    use crate::simd::vectors::{doubles_of_8, doubles_of_two, load_8};

    /// Eight values of each row; item `k` of the result holds value `k` of every row. A macro,
    /// because a function is not inlined and hands its eight vectors over in memory.
    macro_rules! transposed {
        ($rows:expr, $chunk:expr) => {{
            let [a, b, c, d, e, f, g, h] = $rows;
            let (a, b) = (chunk_of(a, $chunk), chunk_of(b, $chunk));
            let (c, d) = (chunk_of(c, $chunk), chunk_of(d, $chunk));
            let (e, f) = (chunk_of(e, $chunk), chunk_of(f, $chunk));
            let (g, h) = (chunk_of(g, $chunk), chunk_of(h, $chunk));
            let (low, high) = (quads(a, b, c, d), quads(e, f, g, h));
            [
                _mm256_permute2f128_ps::<0x20>(low[0], high[0]),
                _mm256_permute2f128_ps::<0x20>(low[1], high[1]),
                _mm256_permute2f128_ps::<0x20>(low[2], high[2]),
                _mm256_permute2f128_ps::<0x20>(low[3], high[3]),
                _mm256_permute2f128_ps::<0x31>(low[0], high[0]),
                _mm256_permute2f128_ps::<0x31>(low[1], high[1]),
                _mm256_permute2f128_ps::<0x31>(low[2], high[2]),
                _mm256_permute2f128_ps::<0x31>(low[3], high[3]),
            ]
        }};
    }

    #[target_feature(enable = "avx512f,avx2")]
    pub(crate) fn to_eight_avx512(x: &[f64], rows: [&[f32]; LANES]) -> [f64; LANES] {
        let (whole, rest) = x.as_chunks::<8>();
        let mut sums = _mm512_setzero_pd();
        for (chunk, xs) in whole.iter().enumerate() {
            let columns = transposed!(rows, chunk);
            for (&x, ys) in xs.iter().zip(columns) {
                let diff = _mm512_sub_pd(_mm512_set1_pd(x), _mm512_cvtps_pd(ys));
                sums = _mm512_add_pd(sums, _mm512_mul_pd(diff, diff));
            }
        }
        with_rest(doubles_of_8(sums), rest, rows)
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn to_eight_avx2(x: &[f64], rows: [&[f32]; LANES]) -> [f64; LANES] {
        let (whole, rest) = x.as_chunks::<8>();
        let mut sums = [_mm256_setzero_pd(); 2];
        for (chunk, xs) in whole.iter().enumerate() {
            let columns = transposed!(rows, chunk);
            for (&x, ys) in xs.iter().zip(columns) {
                let halves = [_mm256_castps256_ps128(ys), _mm256_extractf128_ps::<1>(ys)];
                for (sum, ys) in sums.iter_mut().zip(halves) {
                    let diff = _mm256_sub_pd(_mm256_set1_pd(x), _mm256_cvtps_pd(ys));
                    *sum = _mm256_add_pd(*sum, _mm256_mul_pd(diff, diff));
                }
            }
        }
        with_rest(doubles_of_two(sums), rest, rows)
    }

    #[target_feature(enable = "avx512f,avx2")]
    pub(crate) fn of_eight_avx512(xs: [&[f32]; LANES], ys: [&[f32]; LANES]) -> [f64; LANES] {
        let n_whole = xs[0].len() / LANES;
        let mut sums = _mm512_setzero_pd();
        for chunk in 0..n_whole {
            let (x, y) = (transposed!(xs, chunk), transposed!(ys, chunk));
            for (x, y) in x.into_iter().zip(y) {
                let diff = _mm512_sub_pd(_mm512_cvtps_pd(x), _mm512_cvtps_pd(y));
                sums = _mm512_add_pd(sums, _mm512_mul_pd(diff, diff));
            }
        }
        with_rest_of(doubles_of_8(sums), n_whole * LANES, xs, ys)
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn of_eight_avx2(xs: [&[f32]; LANES], ys: [&[f32]; LANES]) -> [f64; LANES] {
        let n_whole = xs[0].len() / LANES;
        let mut sums = [_mm256_setzero_pd(); 2];
        for chunk in 0..n_whole {
            let (x, y) = (transposed!(xs, chunk), transposed!(ys, chunk));
            for (x, y) in x.into_iter().zip(y) {
                let x = [_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)];
                let y = [_mm256_castps256_ps128(y), _mm256_extractf128_ps::<1>(y)];
                for (sum, (x, y)) in sums.iter_mut().zip(x.into_iter().zip(y)) {
                    let diff = _mm256_sub_pd(_mm256_cvtps_pd(x), _mm256_cvtps_pd(y));
                    *sum = _mm256_add_pd(*sum, _mm256_mul_pd(diff, diff));
                }
            }
        }
        with_rest_of(doubles_of_two(sums), n_whole * LANES, xs, ys)
    }

    /// Adds the values of pairs from `start` on one by one.
    fn with_rest_of(
        sums: [f64; LANES],
        start: usize,
        xs: [&[f32]; LANES],
        ys: [&[f32]; LANES],
    ) -> [f64; LANES] {
        let mut sums = sums;
        for (sum, (x, y)) in sums.iter_mut().zip(xs.into_iter().zip(ys)) {
            for (&x, &y) in x[start..].iter().zip(&y[start..]) {
                let diff = f64::from(x) - f64::from(y);
                *sum += diff * diff;
            }
        }
        sums
    }

    /// Adds the last values, fewer than eight, one by one.
    fn with_rest(sums: [f64; LANES], rest: &[f64], rows: [&[f32]; LANES]) -> [f64; LANES] {
        let mut sums = sums;
        for (sum, row) in sums.iter_mut().zip(rows) {
            let start = row.len() - rest.len();
            for (&x, &y) in rest.iter().zip(&row[start..]) {
                let diff = x - f64::from(y);
                *sum += diff * diff;
            }
        }
        sums
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn chunk_of(row: &[f32], chunk: usize) -> __m256 {
        load_8(row.as_chunks::<8>().0[chunk])
    }

    /// Transposes 4 x 4 values in each half: item `k` holds values `k` and `k + 4` of four rows.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn quads(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
        let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
            _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sq_l2;

    /// Values whose sums depend on their order.
    fn rows(n: usize, dim: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 % 1013) as f32 - 506.0) * 0.37 / (1 + i % 5) as f32;
        (0..n * dim).map(value).collect()
    }

    #[test]
    fn every_level_sums_in_the_defined_order() {
        for dim in [1, 3, 7, 8, 9, 16, 31, 128] {
            let values = rows(9, dim);
            let x: Vec<f64> = values[..dim].iter().copied().map(f64::from).collect();
            let row = |i: usize| &values[i * dim..][..dim];
            let eight = std::array::from_fn(|i| row(i + 1));
            let expected = eight.map(|y| sq_l2(row(0), y).to_bits());
            for level in Level::available() {
                let found = sq_l2_to_eight(level, &x, eight).map(f64::to_bits);
                assert_eq!(found, expected, "{level:?} {dim}");
                let xs = std::array::from_fn(|i| row(8 - i));
                let expected = std::array::from_fn(|i| sq_l2(row(8 - i), row(i + 1)).to_bits());
                let found = sq_l2_of_eight(level, xs, eight).map(f64::to_bits);
                assert_eq!(found, expected, "{level:?} {dim}: pairs");
            }
        }
    }

    #[test]
    fn any_number_of_rows_is_served() {
        let values = rows(20, 5);
        let x: Vec<f64> = values[..5].iter().copied().map(f64::from).collect();
        for n in [0, 1, 7, 8, 9, 19] {
            let mut found = vec![];
            sq_l2_to_each(&x, values[5..].chunks(5).take(n), &mut found);
            let expected: Vec<f64> = values[5..]
                .chunks(5)
                .take(n)
                .map(|y| sq_l2(&values[..5], y))
                .collect();
            assert_eq!(found, expected);
            let pairs = values[5..].chunks(5).take(n).map(|y| (&values[..5], y));
            assert_eq!(sq_l2_of_pairs(pairs), expected);
        }
    }
}
