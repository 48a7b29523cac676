//! The inner loops: the matrix product of a strip, and scans of one row of distances.
//!
//! The scans are plain loops, compiled a second time for AVX2 and chosen at run time; they
//! compare and count, so the two give the same answer.
#![expect(
    unsafe_code,
    reason = "calls into the gemm crate and into functions compiled for AVX2"
)]
#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for AVX2 only where it is inlined"
)]

use gemm::Parallelism;

/// Columns that a scan tests together before it looks at each.
const CHUNK: usize = 64;

/// `out[i, j] = sum over k of lhs[i, k] * rhs[j, k]` in f32, in an order of gemm's choosing.
///
/// - `lhs`: `[m, dim]`, `rhs`: `[n, dim]`, `out`: `[m, n]`, all row-major
pub(crate) fn dot_rows(lhs: &[f32], rhs: &[f32], dim: usize, out: &mut [f32]) {
    let (m, n) = (lhs.len() / dim, rhs.len() / dim);
    assert!(
        lhs.len() == m * dim && rhs.len() == n * dim && out.len() == m * n,
        "whole rows"
    );
    if m == 0 || n == 0 {
        return;
    }
    let (dim_stride, out_stride) = (dim as isize, n as isize);
    // SAFETY: the lengths are checked above, so every `i * dim + k`, `j * dim + k` and `i * n + j`
    // that the strides reach lies within its slice; `out` is borrowed mutably and so overlaps
    // neither input; it is initialised and, with `read_dst` false, only written.
    unsafe {
        gemm::gemm(
            m,
            n,
            dim,
            out.as_mut_ptr(),
            1,
            out_stride,
            false,
            lhs.as_ptr(),
            1,
            dim_stride,
            rhs.as_ptr(),
            dim_stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Open interval of approximate distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) above: f32,
    pub(crate) below: f32,
}

impl Span {
    #[inline(always)]
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without a branch the loops vectorise"
    )]
    pub(crate) fn holds(self, x: f32) -> bool {
        (x > self.above) & (x < self.below)
    }
}

/// Compiles a loop for the baseline and for AVX2, and chooses at run time.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident = $body:ident($($arg:ident: $ty:ty),*) -> $out:ty) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $ty),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $ty),*) -> $out {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the one feature that `wide` asks for.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

dispatched! {
    /// How many of `xs` lie in `inner` and in `outer`.
    count_two = count_two_loop(xs: &[f32], inner: Span, outer: Span) -> (usize, usize)
}

dispatched! {
    /// Position of number `rank` (from 0) among those of `xs` that lie in `span`.
    nth_within = nth_within_loop(xs: &[f32], span: Span, rank: usize) -> Option<usize>
}

dispatched! {
    /// Appends the positions of those of `xs` that lie in `span`, ascending.
    positions_within = positions_within_loop(xs: &[f32], span: Span, out: &mut Vec<u32>) -> ()
}

dispatched! {
    /// The smallest of `xs` above `above`, or infinity.
    min_above = min_above_loop(xs: &[f32], above: f32) -> f32
}

dispatched! {
    /// Turns dot products into squared distances: `xs[j] = (sq_norm + sq_norms[j]) - 2 xs[j]`.
    distances_from_dots = distances_loop(xs: &mut [f32], sq_norm: f32, sq_norms: &[f32]) -> ()
}

#[inline(always)]
fn count_two_loop(xs: &[f32], inner: Span, outer: Span) -> (usize, usize) {
    let (mut n_inner, mut n_outer) = (0u32, 0u32);
    for &x in xs {
        n_inner += u32::from(inner.holds(x));
        n_outer += u32::from(outer.holds(x));
    }
    (n_inner as usize, n_outer as usize)
}

#[inline(always)]
fn count_loop(xs: &[f32], span: Span) -> usize {
    xs.iter().map(|&x| u32::from(span.holds(x))).sum::<u32>() as usize
}

#[inline(always)]
fn nth_within_loop(xs: &[f32], span: Span, mut rank: usize) -> Option<usize> {
    for (chunk, base) in xs.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
        let n_held = count_loop(chunk, span);
        if rank < n_held {
            let held = (base..).zip(chunk).filter(|&(_, &x)| span.holds(x));
            return held.map(|(position, _)| position).nth(rank);
        }
        rank -= n_held;
    }
    None
}

#[inline(always)]
fn positions_within_loop(xs: &[f32], span: Span, out: &mut Vec<u32>) {
    for (chunk, base) in xs.chunks(CHUNK).zip((0u32..).step_by(CHUNK)) {
        if count_loop(chunk, span) > 0 {
            let held = (base..).zip(chunk).filter(|&(_, &x)| span.holds(x));
            out.extend(held.map(|(position, _)| position));
        }
    }
}

#[inline(always)]
fn min_above_loop(xs: &[f32], above: f32) -> f32 {
    let mut lanes = [f32::INFINITY; 16];
    let (whole, rest) = xs.as_chunks::<16>();
    for chunk in whole {
        for (least, &x) in lanes.iter_mut().zip(chunk) {
            let kept = if x > above { x } else { f32::INFINITY };
            *least = if kept < *least { kept } else { *least };
        }
    }
    let rest = rest.iter().copied().filter(|&x| x > above);
    lanes.into_iter().chain(rest).fold(f32::INFINITY, f32::min)
}

#[inline(always)]
fn distances_loop(xs: &mut [f32], sq_norm: f32, sq_norms: &[f32]) {
    for (x, &other) in xs.iter_mut().zip(sq_norms) {
        *x = (sq_norm + other) - 2.0 * *x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, 2, ... modulo 10: long enough for whole chunks and a rest.
    fn row(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i % 10) as f32).collect()
    }

    #[test]
    fn dot_rows_is_the_matrix_product() {
        let (lhs, rhs) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 0.0, -1.0, 2.0, 1.0, 0.0],
        );
        let mut out = [9.0; 4];
        dot_rows(&lhs, &rhs, 3, &mut out);
        assert_eq!(out.map(|x| x as i32), [-2, 4, -2, 13]);
        dot_rows(&[], &rhs, 3, &mut []);
    }

    #[test]
    fn scans_agree_with_their_definitions() {
        let span = Span {
            above: 3.0,
            below: 6.0,
        }; // 4 and 5
        for len in [0, 1, 5, 63, 64, 65, 200, 777] {
            let xs = row(len);
            let expected: Vec<u32> = (0..len as u32)
                .filter(|i| [4, 5].contains(&(i % 10)))
                .collect();
            let mut found = Vec::new();
            positions_within(&xs, span, &mut found);
            assert_eq!(found, expected);
            let all = Span {
                above: f32::NEG_INFINITY,
                below: f32::INFINITY,
            };
            assert_eq!(count_two(&xs, span, all), (expected.len(), len));
            for rank in 0..=expected.len() {
                let nth = nth_within(&xs, span, rank).map(|position| position as u32);
                assert_eq!(nth, expected.get(rank).copied());
            }
        }
    }

    #[test]
    fn min_above_excludes_the_bound() {
        for len in [5, 9, 40, 133] {
            assert_eq!(min_above(&row(len), 3.0).to_bits(), 4.0f32.to_bits());
        }
        assert_eq!(min_above(&row(133), 9.0).to_bits(), f32::INFINITY.to_bits());
        assert_eq!(
            min_above(&row(7), f32::NEG_INFINITY).to_bits(),
            0.0f32.to_bits()
        );
    }

    #[test]
    fn the_baseline_and_the_wide_scans_agree() {
        let (xs, span) = (
            row(500),
            Span {
                above: 1.0,
                below: 8.0,
            },
        );
        let outer = Span {
            above: 0.0,
            below: 9.0,
        };
        assert_eq!(
            count_two(&xs, span, outer),
            count_two_loop(&xs, span, outer)
        );
        assert_eq!(nth_within(&xs, span, 100), nth_within_loop(&xs, span, 100));
        assert_eq!(
            min_above(&xs, 2.5).to_bits(),
            min_above_loop(&xs, 2.5).to_bits()
        );
    }
}
