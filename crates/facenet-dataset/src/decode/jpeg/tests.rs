//! The plain decoder against the definition, against the lenient one, and on damaged files.

use proptest::prelude::*;

use super::encoder::{Component, Encoding, encode};
use super::*;

/// Largest difference from the definition, in levels: inverse DCTs are less than 1 off, a filtered
/// row rounds once more, and blue takes 1.772 of its chroma: `1 + 1.772 * 1.5 + 0.5`.
const EXACT_MAX: f64 = 4.2;
/// Mean difference from the lenient decoder, in levels; measured 1.8 over 20,000 pictures, 0.9 where
/// both sides are above 16 pixels: it has other rims.
const LENIENT_MEAN: f64 = 3.0;

prop_compose! {
    /// Waves and noise; sides up to `max`.
    fn arb_picture(max: usize)(
        width in 1..=max,
        height in 1..=max,
        waves in prop::array::uniform3((0.0..0.7f64, 0.0..0.7f64, 0.0..6.0f64)),
        noise in 0..64u32,
        seed: u32,
    ) -> Rgb8 {
        let mut state = seed;
        let mut level = |at: usize| {
            let (y, x) = (at / 3 / width, at / 3 % width);
            let (across, down, phase) = waves[at % 3];
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state >> 16) / 65536.0 * f64::from(noise);
            let wave = (across * x as f64 + down * y as f64 + phase).sin();
            (128.0 + 100.0 * wave + noise) as u8
        };
        let pixels = (0..3 * width * height).map(&mut level).collect();
        Rgb8 { width, height, pixels }
    }
}

prop_compose! {
    fn arb_encoding()(
        sampling in prop::option::weighted(0.8, (1..=2usize, 1..=2usize)),
        quant in prop_oneof![1..=4u8, 1..=255u8],
        interval in prop_oneof![Just(0u16), 1..=9u16],
        is_interleaved: bool,
    ) -> Encoding {
        Encoding { sampling, quant, interval, is_interleaved }
    }
}

fn decode_plain(bytes: &[u8]) -> Option<Rgb8> {
    plain(bytes, Path::new("p.jpg"), &DecodeLimits::default())
}

fn decode_lenient(bytes: &[u8]) -> Result<Rgb8, DatasetError> {
    lenient::decode(bytes, Path::new("p.jpg"), &DecodeLimits::default())
}

/// The level of a component at a pixel: samples lie in the middle of their pixels, and what is
/// between them is linear.
fn level(component: &Component, (across, down): (usize, usize), x: usize, y: usize) -> f64 {
    let axis = |pixel: usize, pixels: usize| {
        let near = (pixel / pixels) as i64;
        match (pixels, pixel % 2) {
            (1, _) => (near, near),
            (_, 0) => (near, near - 1),
            _ => (near, near + 1),
        }
    };
    let ((x, beside), (y, below)) = (axis(x, across), axis(y, down));
    let row = |y: i64| 0.75 * component.sample(x, y) + 0.25 * component.sample(beside, y);
    0.75 * row(y) + 0.25 * row(below)
}

/// The pixel that the components define (JFIF 1.02), not rounded.
fn exact(components: &[Component], encoding: Encoding, x: usize, y: usize) -> [f64; 3] {
    let luma = level(&components[0], (1, 1), x, y);
    let Some(sampling) = encoding.sampling else {
        return [luma; 3];
    };
    let [blue, red] = [1, 2].map(|i| level(&components[i], sampling, x, y) - 128.0);
    [
        luma + 1.402 * red,
        luma - 0.344_136 * blue - 0.714_136 * red,
        luma + 1.772 * blue,
    ]
}

proptest! {
    #[test]
    fn pixels_are_the_definitions(picture in arb_picture(40), encoding in arb_encoding()) {
        let (bytes, components) = encode(&picture, encoding);
        let found = decode_plain(&bytes).expect("a plain file");
        prop_assert_eq!((found.width, found.height), (picture.width, picture.height));
        // Narrow chroma is repeated, not filtered.
        prop_assume!(encoding.sampling.is_none_or(|(h, _)| h == 1 || picture.width > 4));
        for (at, &level) in found.pixels.iter().enumerate() {
            let (x, y) = (at / 3 % found.width, at / 3 / found.width);
            let exact = exact(&components, encoding, x, y)[at % 3].clamp(0.0, 255.0);
            prop_assert!((f64::from(level) - exact).abs() <= EXACT_MAX, "{} {}", level, exact);
        }
    }
}

/// Largest and mean difference of two pictures of one size, in levels.
fn differences(x: &Rgb8, y: &Rgb8) -> (u8, f64) {
    assert_eq!((x.width, x.height), (y.width, y.height));
    let pairs = x.pixels.iter().zip(&y.pixels);
    let all: Vec<_> = pairs.map(|(x, y)| x.abs_diff(*y)).collect();
    let sum: f64 = all.iter().copied().map(f64::from).sum();
    (
        all.iter().copied().max().unwrap_or(0),
        sum / all.len() as f64,
    )
}

proptest! {
    #[test]
    fn the_lenient_decoder_agrees(picture in arb_picture(40), encoding in arb_encoding()) {
        // Components that come one after another it takes for something else.
        let encoding = Encoding { is_interleaved: true, ..encoding };
        prop_assume!(picture.width > 4 && picture.height > 4);
        let (bytes, _) = encode(&picture, encoding);
        let found = decode_plain(&bytes).expect("a plain file");
        let (max, mean) = differences(&found, &decode_lenient(&bytes)?);
        prop_assert!(mean <= LENIENT_MEAN, "{} {}", max, mean);
    }

    /// What the walk over the codes refuses, this decoder does, so the walk's messages stay.
    #[test]
    fn no_damage_is_decoded(
        picture in arb_picture(40),
        encoding in arb_encoding(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 0..4),
        length in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (mut bytes, _) = encode(&picture, encoding);
        for (at, bit) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        let found = decode_plain(&bytes);
        if let (Some(found), Err(damage)) = (&found, markers::check(&bytes)) {
            prop_assert!(false, "{}x{} of what is damaged: {}", found.width, found.height, damage);
        }
        prop_assert!(found.is_some() || !flips.is_empty() || length.is_some());
    }
}
