//! Which algorithm a convolution goes by.

use crate::nhwc::plan::ConvShape;
use crate::nhwc::winograd;

/// An algorithm of dense convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// One product for each tap inside the image.
    #[default]
    Direct,
    /// Winograd's F(4 x 4, 3 x 3): kernels of 3 x 3 with stride 1 and a padding of 2 at most, by a
    /// quarter of the products and results off by about 1e-5 of the largest.
    ///
    /// An input that is not finite makes all outputs that depend on it infinite or NaN, and may
    /// make others of the same 4 x 4 outputs so; inputs above 1e36 may overflow on the way.
    Winograd,
}

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    DataGradient,
    WeightGradient,
}

impl Algorithm {
    /// Whether it is for such a convolution.
    pub(crate) fn is_possible(self, shape: &ConvShape) -> bool {
        self == Self::Direct || winograd::is_possible(shape)
    }

    /// Winograd where that is allowed, possible and faster.
    pub(crate) fn chosen(is_winograd: bool, shape: &ConvShape, pass: Pass) -> Self {
        if is_winograd && winograd::is_possible(shape) && is_faster(shape, pass) {
            Self::Winograd
        } else {
            Self::Direct
        }
    }
}

/// Fewest channels on either side that Winograd was measured with.
const CHANNELS: usize = 32;
/// Fewest tiles of 4 x 4 outputs to turn the weights for.
const TILES: usize = 16;
/// Weights a tile, for which a weight gradient sums as fast either way.
const WEIGHTS: usize = 1024;

/// Whether Winograd's algorithm is faster, by the number of tiles against that of weights.
///
/// Turning the weights costs as much as the products of a dozen tiles. A weight gradient reads and
/// writes 36 sums for each pair of channels, which takes long where they fill a cache and tiles are
/// few. Edges count: tiles of which less than half is inside are not worth their products.
///
/// Nominal GF/s of a core of an AMD EPYC (Zen 4, AVX-512), direct / Winograd, by
/// `cargo bench -p facenet-ops --bench layers -- BATCH winograd`, weights turned at each call:
///
/// | layer, batch | tiles | forward | data gradient | weight gradient |
/// |---|---|---|---|---|
/// | 3x3 32-32 @79, 1 | 400 | 102 / 147 | 101 / 149 | 99 / 182 |
/// | 3x3p1 32-64 @77, 8 | 3,200 | 97 / 143 | 100 / 165 | 100 / 163 |
/// | 3x3 80-192 @38, 1 | 81 | 102 / 215 | 97 / 185 | 99 / 203 |
/// | the same, 30 | 2,430 | 98 / 212 | 99 / 202 | 104 / 240 |
/// | 3x3p1 32-32 @17, 1 | 25 | 81 / 92 | 80 / 93 | 76 / 90 |
/// | the same, 30 | 750 | 108 / 121 | 109 / 120 | 108 / 134 |
/// | 3x3p1 192-192 @17, 1 | 25 | 96 / 134 | 97 / 144 | 94 / 94 |
/// | the same, 8 | 200 | 116 / 210 | 116 / 209 | 113 / 174 |
/// | 3x3p1 256-256 @8, 1 | 4 | 62 / 47 | 61 / 57 | 56 / 23 |
/// | the same, 8 | 32 | 107 / 177 | 105 / 201 | 108 / 110 |
/// | the same, 30 | 120 | 125 / 246 | 125 / 257 | 119 / 176 |
fn is_faster(shape: &ConvShape, pass: Pass) -> bool {
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let (height, width) = if pass == Pass::DataGradient {
        shape.size
    } else {
        shape.out
    };
    let of_image = height.div_ceil(4) * width.div_ceil(4);
    let tiles = shape.n * of_image;
    let is_large = c_in.min(c_out) >= CHANNELS && tiles >= TILES;
    let is_worth_it = pass != Pass::WeightGradient || tiles * WEIGHTS >= c_in * c_out;
    is_large && is_worth_it && 2 * height * width >= 16 * of_image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;

    fn chosen(n: usize, side: usize, channels: (usize, usize), pass: Pass) -> Algorithm {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (1, 1),
        };
        let shape = ConvShape::new(n, (side, side), channels, (3, 3), config).expect("it fits");
        assert_eq!(Algorithm::chosen(false, &shape, pass), Algorithm::Direct);
        Algorithm::chosen(true, &shape, pass)
    }

    #[test]
    fn few_tiles_go_the_direct_way() {
        let wide = (256, 256);
        for pass in [Pass::Forward, Pass::DataGradient, Pass::WeightGradient] {
            assert_eq!(chosen(1, 8, wide, pass), Algorithm::Direct);
            assert_eq!(chosen(1, 17, (32, 32), pass), Algorithm::Winograd);
            assert_eq!(chosen(30, 8, wide, pass), Algorithm::Winograd);
            assert_eq!(chosen(30, 17, (3, 32), pass), Algorithm::Direct);
            assert_eq!(chosen(30, 2, wide, pass), Algorithm::Direct);
        }
        assert_eq!(chosen(8, 8, wide, Pass::Forward), Algorithm::Winograd);
        assert_eq!(chosen(8, 8, wide, Pass::WeightGradient), Algorithm::Direct);
    }

    #[test]
    fn other_convolutions_go_the_direct_way() {
        let config = ConvConfig {
            stride: (2, 2),
            padding: (1, 1),
        };
        let shape = ConvShape::new(30, (17, 17), (64, 64), (3, 3), config).expect("it fits");
        assert_eq!(
            Algorithm::chosen(true, &shape, Pass::Forward),
            Algorithm::Direct
        );
    }
}
