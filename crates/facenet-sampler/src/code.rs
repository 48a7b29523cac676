//! Short codes of embeddings, whose differing bits count the angle between them.

use std::f64::consts::PI;

use crate::ChaChaDraw;

/// Bytes of a [`Code`].
pub const CODE_BYTES: usize = 48;

/// Words of a code.
const WORDS: usize = CODE_BYTES / 8;
/// Bits that stand for a side of a plane; the last one says that there is a code.
const BITS: u32 = 64 * WORDS as u32 - 1;
/// Planes as they are held: the last one is idle, to make whole words.
const PLANES_HELD: usize = 64 * WORDS;
/// The bit of a code that is there.
const KNOWN: u64 = 1 << 63;
/// Purpose of the planes' draws.
const PLANES: u64 = u64::from_le_bytes(*b"planes\0\0");

/// An identity in 48 bytes: of 383 random planes through the origin, on which side its embedding
/// lies (Charikar, STOC 2002: two embeddings lie apart with probability angle / π), or that it
/// has not been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Code([u64; WORDS]);

impl Code {
    /// Whether an embedding has been seen.
    pub fn is_known(&self) -> bool {
        self.0[WORDS - 1] & KNOWN != 0
    }

    /// Planes that lie between two codes, 0 to 383.
    #[inline]
    pub fn planes_between(&self, other: &Self) -> u32 {
        let words = self.0.iter().zip(&other.0);
        words.map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// Squared L2 between the unit embeddings of two known codes, as the planes tell it: the
    /// standard deviation is 0.05 at 0.2 and 0.13 at 1.
    pub fn sq_l2(&self, other: &Self) -> f64 {
        2.0 - 2.0 * (PI * f64::from(self.planes_between(other)) / f64::from(BITS)).cos()
    }

    /// The code as it is stored, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; CODE_BYTES] {
        let mut bytes = [0; CODE_BYTES];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; CODE_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut code = Self::default();
        for (word, bytes) in code.0.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        code
    }
}

/// Planes that lie between unit embeddings of this squared L2, on average.
///
/// - `sq_l2`: in `[0, 4]`
pub(crate) fn planes_at(sq_l2: f64) -> f64 {
    f64::from(BITS) * (1.0 - sq_l2 / 2.0).acos() / PI
}

/// Makes codes: the planes, drawn from a seed.
#[derive(Clone, Debug)]
pub struct Coder {
    /// `[dim]` of a number for each plane: whole ones, so that every machine draws the same.
    planes: Vec<[f32; PLANES_HELD]>,
}

impl Coder {
    /// Draws the planes for embeddings of `dim` numbers, 1 or more.
    pub fn new(seed: u64, dim: usize) -> Self {
        let mut draw = ChaChaDraw::of_purpose(seed, PLANES, 0, 0);
        // A sum of eight bytes, less its mean: near enough to a normal distribution, whose
        // planes have no preferred direction.
        let mut number = || {
            let sum: i16 = draw.word().to_le_bytes().map(i16::from).iter().sum();
            f32::from(2 * sum - 8 * 255)
        };
        let planes = (0..dim).map(|_| std::array::from_fn(|_| number()));
        Self {
            planes: planes.collect(),
        }
    }

    /// Numbers of an embedding.
    pub fn dim(&self) -> usize {
        self.planes.len()
    }

    /// The code of a direction; its length does not matter, as long as it has one.
    ///
    /// - `direction`: `[dim]`; of another length the shorter counts
    pub fn code(&self, direction: &[f64]) -> Code {
        // All planes side by side, each summed in order.
        let mut sides = [0.0_f64; PLANES_HELD];
        for (planes, &x) in self.planes.iter().zip(direction) {
            for (side, &plane) in sides.iter_mut().zip(planes) {
                *side += f64::from(plane) * x;
            }
        }
        let mut code = Code::default();
        for (word, sides) in code.0.iter_mut().zip(sides.chunks_exact(64)) {
            let bits = sides.iter().enumerate();
            *word = bits.fold(0, |word, (bit, &side)| word | u64::from(side > 0.0) << bit);
        }
        code.0[WORDS - 1] |= KNOWN;
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_count_the_angle() {
        let coder = Coder::new(7, 16);
        let at = |angle: f64| {
            let mut direction = vec![0.0; 16];
            (direction[3], direction[9]) = (angle.cos(), angle.sin());
            coder.code(&direction)
        };
        for degrees in [0.0_f64, 20.0, 60.0, 90.0, 150.0, 180.0] {
            let angle = degrees.to_radians();
            let share = degrees / 180.0;
            let found = at(0.3).planes_between(&at(0.3 + angle));
            // Binomial of 383 planes: five standard deviations, and a few for the sums' shape.
            let most = 5.0 * (383.0 * share * (1.0 - share)).sqrt() + 4.0;
            assert!(
                (f64::from(found) - 383.0 * share).abs() <= most,
                "{degrees}: {found}"
            );
            let sq_l2 = at(0.3).sq_l2(&at(0.3 + angle));
            assert!(
                (sq_l2 - (2.0 - 2.0 * angle.cos())).abs() < 0.6,
                "{degrees}: {sq_l2}"
            );
            let expected = planes_at(2.0 - 2.0 * angle.cos());
            assert!(
                (expected - 383.0 * share).abs() < 1e-5,
                "{degrees}: {expected}"
            );
        }
    }

    #[test]
    fn a_code_is_of_a_direction_and_of_its_seed() {
        let (coder, other) = (Coder::new(1, 4), Coder::new(2, 4));
        let direction = [0.5, -1.0, 0.25, 2.0];
        let code = coder.code(&direction);
        assert_eq!(code, coder.code(&direction.map(|x| 3.0 * x)));
        assert_eq!(
            code.planes_between(&coder.code(&direction.map(|x| -x))),
            383
        );
        assert_ne!(code, other.code(&direction));
        assert!(code.is_known() && !Code::default().is_known());
    }

    #[test]
    fn codes_come_back_from_bytes() {
        let code = Coder::new(5, 3).code(&[1.0, 2.0, -3.0]);
        assert_eq!(Code::from_bytes(&code.to_bytes()), code);
        assert_eq!(size_of::<Code>(), CODE_BYTES);
    }
}
