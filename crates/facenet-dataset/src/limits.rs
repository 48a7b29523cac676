//! How large a picture may be, asked of its header.

use std::path::Path;

use crate::error::DatasetError;

/// Files may be this much larger than their decoded pixels: metadata, and 16-bit samples.
const FILE_SLACK: u64 = 1 << 20;

/// Bounds on one image, checked on its header before a pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest width and height, in pixels; default 8192.
    pub max_side: u32,
    /// Largest size when decoded as the file stores it and as 8-bit RGB, in bytes; default 64 MiB.
    pub max_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_side: 8192,
            max_bytes: 64 << 20,
        }
    }
}

impl DecodeLimits {
    /// Refuses a header beyond the limits.
    ///
    /// - `stored`: bytes of the decoded image in the file's own sample format
    pub(crate) fn check(
        &self,
        path: &Path,
        width: u64,
        height: u64,
        stored: u64,
    ) -> Result<(), DatasetError> {
        let rgb = width.saturating_mul(height).saturating_mul(3);
        let bytes = rgb.max(stored);
        let side = u64::from(self.max_side);
        if width <= side && height <= side && bytes <= self.max_bytes {
            return Ok(());
        }
        Err(DatasetError::Limit {
            path: path.to_owned(),
            width,
            height,
            bytes,
            max_side: self.max_side,
            max_bytes: self.max_bytes,
        })
    }

    /// The largest file that can hold an image within the limits and is worth reading.
    pub(crate) fn max_file(&self) -> u64 {
        self.max_bytes.saturating_mul(2).saturating_add(FILE_SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(width: u64, height: u64, stored: u64, is_within: bool) {
        let limits = DecodeLimits {
            max_side: 10,
            max_bytes: 60,
        };
        let found = limits.check(Path::new("x.png"), width, height, stored);
        assert_eq!(found.is_ok(), is_within, "{found:?}");
    }

    #[test]
    fn a_limit_itself_is_within() {
        check(10, 2, 60, true);
        check(2, 10, 0, true);
    }

    #[test]
    fn one_beyond_a_limit_is_not() {
        check(11, 1, 0, false);
        check(1, 11, 0, false);
        check(7, 3, 0, false); // 63 bytes of RGB
        check(2, 2, 61, false);
    }

    #[test]
    fn a_huge_header_does_not_overflow() {
        check(u64::MAX, u64::MAX, u64::MAX, false);
    }

    #[test]
    fn the_message_names_both_sizes() {
        let limits = DecodeLimits::default();
        let error = limits.check(Path::new("a/b.png"), 60_000, 60_000, 0);
        assert_eq!(
            error.expect_err("too large").to_string(),
            "a/b.png: image is 60000x60000, 10800000000 bytes decoded, expected at most 8192 a \
             side and 67108864 bytes; shrink it or raise the limits"
        );
    }
}
