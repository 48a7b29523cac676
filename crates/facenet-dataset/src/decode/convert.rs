//! Stored samples to 8-bit RGB.

use image::ColorType;

/// Converts decoded samples to `[n, 3]` 8-bit RGB; `None` for a colour type that no decoder here
/// produces.
///
/// - `samples`: as `image` decodes them, 16-bit ones in native byte order
///
/// Grey is repeated, alpha is dropped, and of 16 bits the high byte stays.
pub(super) fn to_rgb8(samples: Vec<u8>, colour: ColorType) -> Option<Vec<u8>> {
    Some(match colour {
        ColorType::Rgb8 => samples,
        ColorType::L8 => repeat::<1>(&samples),
        ColorType::La8 => repeat::<2>(&samples),
        ColorType::Rgba8 => first_three::<4>(&samples),
        ColorType::L16 => repeat::<1>(&high_bytes(&samples)),
        ColorType::La16 => repeat::<2>(&high_bytes(&samples)),
        ColorType::Rgb16 => high_bytes(&samples),
        ColorType::Rgba16 => first_three::<4>(&high_bytes(&samples)),
        _ => return None,
    })
}

/// The first of every `N` samples, three times.
pub(super) fn repeat<const N: usize>(samples: &[u8]) -> Vec<u8> {
    let pixels = samples.chunks_exact(N);
    pixels.flat_map(|pixel| [pixel[0]; 3]).collect()
}

/// The first three of every `N` samples.
fn first_three<const N: usize>(samples: &[u8]) -> Vec<u8> {
    let pixels = samples.chunks_exact(N);
    pixels
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect()
}

/// `sample >> 8` of native 16-bit samples, as libpng's `png_set_strip_16`.
fn high_bytes(samples: &[u8]) -> Vec<u8> {
    let words = samples.chunks_exact(2);
    words
        .map(|word| u16::from_ne_bytes([word[0], word[1]]).to_be_bytes()[0])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(samples: &[u8], colour: ColorType, expected: &[u8]) {
        assert_eq!(to_rgb8(samples.to_vec(), colour).as_deref(), Some(expected));
    }

    fn words(samples: &[u16]) -> Vec<u8> {
        samples.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn grey_is_repeated() {
        check(&[7, 9], ColorType::L8, &[7, 7, 7, 9, 9, 9]);
    }

    #[test]
    fn alpha_is_dropped() {
        check(&[7, 0, 9, 255], ColorType::La8, &[7, 7, 7, 9, 9, 9]);
        check(&[1, 2, 3, 0], ColorType::Rgba8, &[1, 2, 3]);
    }

    #[test]
    fn sixteen_bits_keep_the_high_byte() {
        check(&words(&[0x12ff]), ColorType::L16, &[0x12; 3]);
        check(&words(&[0x12ff, 0xffff]), ColorType::La16, &[0x12; 3]);
        check(
            &words(&[0x0100, 0x02ff, 0xff00]),
            ColorType::Rgb16,
            &[1, 2, 255],
        );
        check(
            &words(&[0x0100, 0x0200, 0x0300, 0]),
            ColorType::Rgba16,
            &[1, 2, 3],
        );
    }
}
