//! Tiles of f32 squared distances to rows kept as halves (IEEE 754 binary16).

use crate::tile::PANEL;

/// Rows that the plain version sums at a time: few enough for 16 registers of four.
const PLAIN: usize = 16;

/// Operands of one tile. The sums run over `k` ascending, in f32; a half becomes the f32 of its
/// value, exactly.
#[derive(Debug)]
pub(crate) struct HalfTile<'a, const N: usize> {
    /// `[dim]`: value `k` of every probe.
    pub(crate) probes: &'a [[f32; N]],
    /// `[dim]`: value `k` of every row, finite.
    pub(crate) rows: &'a [[u16; PANEL]],
    pub(crate) probe_sq_norms: &'a [f32; N],
    pub(crate) row_sq_norms: &'a [f32; PANEL],
}

/// The value of a finite half. The exponent moves from binary16's bias of 15 to f32's of 127 by a
/// product with 2^112, which is exact, and right for subnormal halves too.
#[inline]
fn widened(half: u16) -> f32 {
    const TWO_TO_112: f32 = (1u128 << 112) as f32;
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * TWO_TO_112;
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

/// `out[i, j] = (|x_i|^2 + |y_j|^2) - 2 x_i.h_j`, with `h_j` the halves of row `y_j`.
pub(crate) fn fill_plain<const N: usize>(tile: &HalfTile<'_, N>, out: &mut [[f32; PANEL]; N]) {
    for start in (0..PANEL).step_by(PLAIN) {
        let mut dots = [[0.0f32; PLAIN]; N];
        for (probes, rows) in tile.probes.iter().zip(tile.rows) {
            let rows: [f32; PLAIN] = std::array::from_fn(|j| widened(rows[start + j]));
            for (dots, &probe) in dots.iter_mut().zip(probes) {
                for (dot, &row) in dots.iter_mut().zip(&rows) {
                    *dot += probe * row;
                }
            }
        }
        for (i, dots) in dots.iter().enumerate() {
            for (j, dot) in (start..).zip(dots) {
                out[i][j] = (tile.probe_sq_norms[i] + tile.row_sq_norms[j]) - 2.0 * dot;
            }
        }
    }
}

/// The same with vectors; sums and the last subtraction are fused.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps,
        _mm512_set1_ps, _mm512_setzero_ps,
    };

    use super::HalfTile;
    use crate::simd::vectors::{
        floats_of_8, floats_of_16, load_8, load_16, load_halves_8, load_halves_16,
    };
    use crate::tile::{BLOCK, PANEL};

    /// `N` probes by 64 rows in registers.
    #[target_feature(enable = "avx512f")]
    pub(crate) fn fill_avx512<const N: usize>(tile: &HalfTile<'_, N>, out: &mut [[f32; PANEL]; N]) {
        let mut dots = [[_mm512_setzero_ps(); 4]; N];
        for (probes, rows) in tile.probes.iter().zip(tile.rows) {
            let (rows, _) = rows.as_chunks::<16>();
            let rows = [
                _mm512_cvtph_ps(load_halves_16(rows[0])),
                _mm512_cvtph_ps(load_halves_16(rows[1])),
                _mm512_cvtph_ps(load_halves_16(rows[2])),
                _mm512_cvtph_ps(load_halves_16(rows[3])),
            ];
            for (dots, &probe) in dots.iter_mut().zip(probes) {
                let probe = _mm512_set1_ps(probe);
                for (dot, row) in dots.iter_mut().zip(rows) {
                    *dot = _mm512_fmadd_ps(probe, row, *dot);
                }
            }
        }
        let (norms, _) = tile.row_sq_norms.as_chunks::<16>();
        let two = _mm512_set1_ps(2.0);
        for ((out, dots), &sq_norm) in out.iter_mut().zip(dots).zip(tile.probe_sq_norms) {
            let (out, _) = out.as_chunks_mut::<16>();
            for ((out, dot), other) in out.iter_mut().zip(dots).zip(norms) {
                let sum = _mm512_add_ps(_mm512_set1_ps(sq_norm), load_16(*other));
                *out = floats_of_16(_mm512_fnmadd_ps(two, dot, sum));
            }
        }
    }

    /// One probe by 64 rows in registers.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn fill_one_avx2(tile: &HalfTile<'_, 1>, out: &mut [[f32; PANEL]; 1]) {
        fill_part::<1, 8>(tile, 0, out);
    }

    /// 6 probes by 16 rows in registers, four times.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn fill_block_avx2(tile: &HalfTile<'_, BLOCK>, out: &mut [[f32; PANEL]; BLOCK]) {
        for first in [0, 2, 4, 6] {
            fill_part::<BLOCK, 2>(tile, first, out);
        }
    }

    /// Vectors `first..first + W` of eight rows.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn fill_part<const N: usize, const W: usize>(
        tile: &HalfTile<'_, N>,
        first: usize,
        out: &mut [[f32; PANEL]; N],
    ) {
        let mut dots = [[_mm256_setzero_ps(); W]; N];
        for (probes, rows) in tile.probes.iter().zip(tile.rows) {
            let (rows, _) = rows.as_chunks::<8>();
            let mut wide = [_mm256_setzero_ps(); W];
            for (wide, &row) in wide.iter_mut().zip(&rows[first..]) {
                *wide = _mm256_cvtph_ps(load_halves_8(row));
            }
            for (dots, &probe) in dots.iter_mut().zip(probes) {
                let probe = _mm256_set1_ps(probe);
                for (dot, row) in dots.iter_mut().zip(wide) {
                    *dot = _mm256_fmadd_ps(probe, row, *dot);
                }
            }
        }
        let (norms, _) = tile.row_sq_norms.as_chunks::<8>();
        let two = _mm256_set1_ps(2.0);
        for ((out, dots), &sq_norm) in out.iter_mut().zip(dots).zip(tile.probe_sq_norms) {
            let (out, _) = out.as_chunks_mut::<8>();
            for (i, dot) in (first..).zip(dots) {
                let sum = _mm256_add_ps(_mm256_set1_ps(sq_norm), load_8(norms[i]));
                out[i] = floats_of_8(_mm256_fnmadd_ps(two, dot, sum));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::simd::{Level, fill_half, fill_halves};
    use crate::tile::BLOCK;

    /// Values of probe `i` and of row `j` at `k`: whole numbers small enough for every sum to be
    /// exact in f32, and for every row to be exact in halves.
    fn value(k: usize, at: usize) -> f32 {
        ((k * PANEL + at) * 37 % 23) as f32 - 11.0
    }

    #[track_caller]
    fn check<const N: usize>(fill: fn(Level, &HalfTile<'_, N>, &mut [[f32; PANEL]; N])) {
        for dim in [1, 2, 7, 8, 33, 128] {
            let wide =
                |of: usize, at: usize| (0..dim).map(move |k| value(k, of * (at + 1) + 5 * at));
            let probe = |i: usize| wide(3, i);
            let row = |j: usize| wide(7, j);
            let at = |values: &mut dyn Iterator<Item = f32>, k: usize| {
                values.nth(k).expect("one of dim")
            };
            let probes: Vec<[f32; N]> = (0..dim)
                .map(|k| std::array::from_fn(|i| at(&mut probe(i), k)))
                .collect();
            let half = |j: usize, k: usize| f16::from_f32(at(&mut row(j), k)).to_bits();
            let rows: Vec<[u16; PANEL]> = (0..dim)
                .map(|k| std::array::from_fn(|j| half(j, k)))
                .collect();
            let tile = HalfTile {
                probes: &probes,
                rows: &rows,
                probe_sq_norms: &std::array::from_fn(|i| probe(i).map(|x| x * x).sum()),
                row_sq_norms: &std::array::from_fn(|j| row(j).map(|x| x * x).sum()),
            };
            let sq_l2 = |i, j| probe(i).zip(row(j)).map(|(x, y)| (x - y).powi(2)).sum();
            let expected: [[f32; PANEL]; N] =
                std::array::from_fn(|i| std::array::from_fn(|j| sq_l2(i, j)));
            for level in Level::available() {
                let mut out = [[f32::NAN; PANEL]; N];
                fill(level, &tile, &mut out);
                assert_eq!(out, expected, "{level:?} {dim}");
            }
        }
    }

    #[test]
    fn every_level_gives_the_exact_distances_of_whole_numbers() {
        check::<1>(fill_half);
        check::<BLOCK>(fill_halves);
    }

    #[test]
    fn every_finite_half_is_widened_to_its_value() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                let expected = half.to_f32().to_bits();
                assert_eq!(widened(bits).to_bits(), expected, "{bits:#06x}");
            }
        }
    }
}
