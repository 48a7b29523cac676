//! The inverse DCT of libjpeg's accurate method, to the last bit.
//!
//! Loeffler, Ligtenberg and Moschytz (ICASSP 1989) in integers, columns and then rows, with 13
//! bits of constants and 2 more of precision between the passes. Arithmetic is that of
//! libjpeg-turbo's vectors also where coefficients are out of any picture's range: 16 bits that
//! wrap where they are added, and saturate where sums of 32 bits are cut.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Coefficients of two blocks, multiplied by their quants: by vertical frequency, block, and
/// horizontal frequency.
pub(super) type Pair = [[[i16; 8]; 2]; 8];

/// Samples of two blocks: by row of half the number, block, even and odd row, and column.
pub(super) type Samples = [[[[u8; 8]; 2]; 2]; 4];

/// A way to compute the transform.
pub(super) trait Transform: Copy {
    /// Samples of two blocks.
    fn samples(self, pair: &Pair) -> Samples;
}

/// Without vectors; what the others must equal.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Transform for Plain {
    fn samples(self, pair: &Pair) -> Samples {
        let blocks = [0, 1].map(|i| {
            let columns = transposed(pass::<FIRST>(pair.map(|rows| rows[i])));
            transposed(pass::<SECOND>(columns))
        });
        let row = |i: usize, y: usize| blocks[i][y].map(|x| (x.clamp(-128, 127) + 128) as u8);
        std::array::from_fn(|y| [0, 1].map(|i| [row(i, 2 * y), row(i, 2 * y + 1)]))
    }
}

/// Bits below the point of the constants, and of what is between the passes.
const CONST_BITS: u32 = 13;
const PASS_BITS: u32 = 2;
/// What a pass leaves off; the second one also divides by 8.
const FIRST: u32 = CONST_BITS - PASS_BITS;
const SECOND: u32 = CONST_BITS + PASS_BITS + 3;

/// A pair of inputs times each of these gives one of the sums: `[for the first, for the second]`.
mod factors {
    // Each is `round(x * 2^13)` of the number in its name; the sums of two are exact.
    const F_0_298: i32 = 2446;
    const F_0_390: i32 = 3196;
    const F_0_541: i32 = 4433;
    const F_0_765: i32 = 6270;
    const F_0_899: i32 = 7373;
    const F_1_175: i32 = 9633;
    const F_1_501: i32 = 12299;
    const F_1_847: i32 = 15137;
    const F_1_961: i32 = 16069;
    const F_2_053: i32 = 16819;
    const F_2_562: i32 = 20995;
    const F_3_072: i32 = 25172;

    pub(super) const EVEN_2: [i32; 2] = [F_0_541, F_0_541 - F_1_847];
    pub(super) const EVEN_3: [i32; 2] = [F_0_541 + F_0_765, F_0_541];
    pub(super) const ODD_Z3: [i32; 2] = [F_1_175 - F_1_961, F_1_175];
    pub(super) const ODD_Z4: [i32; 2] = [F_1_175, F_1_175 - F_0_390];
    pub(super) const ODD_0: [i32; 2] = [F_0_298 - F_0_899, -F_0_899];
    pub(super) const ODD_3: [i32; 2] = [-F_0_899, F_1_501 - F_0_899];
    pub(super) const ODD_1: [i32; 2] = [F_2_053 - F_2_562, -F_2_562];
    pub(super) const ODD_2: [i32; 2] = [-F_2_562, F_3_072 - F_2_562];
}

/// The sample of a block that is the same all over.
///
/// - `first`: the only coefficient that is not 0
pub(super) fn flat(first: i16) -> u8 {
    let level = i32::from(first) << PASS_BITS;
    let level = level.clamp(i16::MIN.into(), i16::MAX.into());
    (((level + 16) >> 5) + 128).clamp(0, 255) as u8
}

fn transposed(rows: [[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
}

/// The transform of each column.
fn pass<const SHIFT: u32>(rows: [[i16; 8]; 8]) -> [[i16; 8]; 8] {
    use factors::{EVEN_2, EVEN_3, ODD_0, ODD_1, ODD_2, ODD_3, ODD_Z3, ODD_Z4};

    let mut out = [[0; 8]; 8];
    for x in 0..8 {
        let input = |y: usize| rows[y][x];
        let dot =
            |a: i16, b: i16, [f, g]: [i32; 2]| (i32::from(a) * f).wrapping_add(i32::from(b) * g);
        let (sum, difference) = (
            input(0).wrapping_add(input(4)),
            input(0).wrapping_sub(input(4)),
        );
        let [sum, difference] = [sum, difference].map(|z| i32::from(z) << CONST_BITS);
        let t2 = dot(input(2), input(6), EVEN_2);
        let t3 = dot(input(2), input(6), EVEN_3);
        let even = [
            sum.wrapping_add(t3),
            difference.wrapping_add(t2),
            difference.wrapping_sub(t2),
            sum.wrapping_sub(t3),
        ];
        let (z3, z4) = (
            input(7).wrapping_add(input(3)),
            input(5).wrapping_add(input(1)),
        );
        let (z3, z4) = (dot(z3, z4, ODD_Z3), dot(z3, z4, ODD_Z4));
        let odd = [
            dot(input(7), input(1), ODD_3).wrapping_add(z4),
            dot(input(5), input(3), ODD_2).wrapping_add(z3),
            dot(input(5), input(3), ODD_1).wrapping_add(z4),
            dot(input(7), input(1), ODD_0).wrapping_add(z3),
        ];
        let cut = |sum: i32| {
            let level = sum.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
            level.clamp(i16::MIN.into(), i16::MAX.into()) as i16
        };
        for i in 0..4 {
            out[i][x] = cut(even[i].wrapping_add(odd[i]));
            out[7 - i][x] = cut(even[i].wrapping_sub(odd[i]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition (T.81, A.3.3) of a block, by row and column, before rounding.
    fn naive(pair: &Pair, i: usize) -> [[f64; 8]; 8] {
        let basis = |x: usize, u: usize| {
            let scale = if u == 0 { 0.5f64.sqrt() } else { 1.0 };
            let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0;
            scale * angle.cos() / 2.0
        };
        let sample = |y: usize, x: usize| {
            let term = |v: usize, u: usize| f64::from(pair[v][i][u]) * basis(y, v) * basis(x, u);
            let terms = (0..64).map(|place| term(place / 8, place % 8));
            128.0 + terms.sum::<f64>()
        };
        std::array::from_fn(|y| std::array::from_fn(|x| sample(y, x)))
    }

    fn pair(values: &[i16]) -> Pair {
        std::array::from_fn(|v| [0, 64].map(|i| std::array::from_fn(|u| values[i + 8 * v + u])))
    }

    /// Coefficients of any size, and such as pictures have.
    fn arb_pair(limit: i16) -> impl Strategy<Value = Pair> {
        let few = prop_oneof![9 => Just(0i16), 1 => -limit..limit];
        prop_oneof![
            prop::collection::vec(-limit..limit, 128),
            prop::collection::vec(few, 128),
        ]
        .prop_map(|values| pair(&values))
    }

    proptest! {
        #[test]
        fn vectors_are_the_plain_version(pair in arb_pair(i16::MAX), small in arb_pair(300)) {
            for pair in [pair, small] {
                prop_assert_eq!(best(&pair), Plain.samples(&pair));
            }
        }

        /// 1 level: a half by the last rounding, and less than that by the one between the passes.
        #[test]
        fn levels_are_the_definitions(pair in arb_pair(300)) {
            let found = Plain.samples(&pair);
            for i in [0, 1] {
                for (y, row) in naive(&pair, i).iter().enumerate() {
                    for (exact, found) in row.iter().zip(found[y / 2][i][y % 2]) {
                        let difference = f64::from(found) - exact.clamp(0.0, 255.0);
                        prop_assert!(difference.abs() < 1.0, "{} for {}", found, exact);
                    }
                }
            }
        }
    }

    /// By the vectors that this machine has.
    fn best(pair: &Pair) -> Samples {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(|| simd.samples(pair));
        }
        // Not `eprintln!`, which the harness captures.
        let what = format_args!("SKIPPED: this machine has no vectors to test\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), what).expect("stderr is open");
        Plain.samples(pair)
    }

    #[test]
    fn flat_blocks_are_their_first_coefficient() {
        for first in i16::MIN..=i16::MAX {
            let mut pair = [[[0; 8]; 2]; 8];
            pair[0][1][0] = first;
            let expected = [[[128; 8]; 2], [[flat(first); 8]; 2]];
            assert_eq!(Plain.samples(&pair), [expected; 4], "{first}");
        }
    }
}
