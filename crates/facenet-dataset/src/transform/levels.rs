//! Standardisation of pixel levels.

use crate::recipe::Standardisation;
use crate::wide::wide;

/// Exact sums over 8-bit values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    count: u64,
    sum: u64,
    squares: u64,
}

impl Sums {
    /// Adds values.
    pub(crate) fn add(&mut self, values: &[u8]) {
        // u32 holds 66,000 squares.
        for chunk in values.chunks(1 << 15) {
            let (sum, squares) = wide(
                #[inline(always)]
                || totals(chunk),
            );
            self.sum += u64::from(sum);
            self.squares += u64::from(squares);
        }
        self.count += values.len() as u64;
    }

    /// Adds `n` zeros.
    pub(crate) fn add_zeros(&mut self, n: usize) {
        self.count += n as u64;
    }

    /// Mean, and population standard deviation but at least `1 / sqrt(count)`.
    fn mean_and_deviation(&self) -> (f64, f64) {
        let count = self.count.max(1) as f64;
        // Integers until the division: exact, where E[x^2] - E[x]^2 in floats would cancel.
        let spread = u128::from(self.count) * u128::from(self.squares)
            - u128::from(self.sum) * u128::from(self.sum);
        let deviation = (spread as f64).sqrt() / count;
        (self.sum as f64 / count, deviation.max(1.0 / count.sqrt()))
    }
}

/// The sum of at most 2^15 values, and that of their squares.
#[inline(always)]
#[expect(clippy::inline_always, reason = "to be compiled for wide vectors")]
fn totals(values: &[u8]) -> (u32, u32) {
    values
        .iter()
        .fold((0, 0), |(sum, squares): (u32, u32), &x| {
            let x = u32::from(x);
            // Without a look for overflows, of which there are none.
            (sum.wrapping_add(x), squares.wrapping_add(x * x))
        })
}

impl Standardisation {
    /// What each of the 256 levels becomes in a picture of these values.
    pub(crate) fn table(self, sums: &Sums) -> [f32; 256] {
        let (mean, deviation) = match self {
            Self::PerImage => sums.mean_and_deviation(),
            Self::Fixed => (127.5, 128.0),
        };
        std::array::from_fn(|level| ((level as f64 - mean) / deviation) as f32)
    }

    /// Standardises 8-bit values, computed in f64 and rounded once.
    ///
    /// - `values`: of one whole picture, in any order
    pub fn apply(self, values: &[u8]) -> Vec<f32> {
        let mut sums = Sums::default();
        sums.add(values);
        let table = self.table(&sums);
        values.iter().map(|&x| table[usize::from(x)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_is_a_line() {
        let found = Standardisation::Fixed.apply(&[0, 127, 255]);
        assert_eq!(found, [-0.996_093_75, -0.003_906_25, 0.996_093_75]);
    }

    #[test]
    fn per_image_has_mean_0_and_deviation_1() {
        // mean 100, population variance (100 + 100 + 0 + 0) / 4 = 50
        let found = Standardisation::PerImage.apply(&[90, 110, 100, 100]);
        let unit = (10.0 / 50f64.sqrt()) as f32;
        assert_eq!(found, [-unit, unit, 0.0, 0.0]);
    }

    #[test]
    fn the_deviation_has_a_floor() {
        // 16 values, one off by one: variance 15/256 < 1/16, so 1/sqrt(16) divides.
        let mut values = [100; 16];
        values[3] = 101;
        let found = Standardisation::PerImage.apply(&values);
        assert_eq!((found[0], found[3]), (-0.25, 3.75));
        assert_eq!(Standardisation::PerImage.apply(&[7; 5]), [0.0; 5]);
        assert_eq!(Standardisation::PerImage.apply(&[]), [0.0; 0]);
    }

    #[test]
    fn zeros_count_as_values() {
        let (mut added, mut counted) = (Sums::default(), Sums::default());
        added.add(&[9, 0, 0]);
        counted.add(&[9]);
        counted.add_zeros(2);
        let bits = |sums| Standardisation::PerImage.table(sums).map(f32::to_bits);
        assert_eq!(bits(&added), bits(&counted));
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut sums = Sums::default();
        sums.add(&vec![255; 300_000]);
        assert_eq!(sums.squares, 300_000 * 65_025);
    }
}
