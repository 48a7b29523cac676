//! What a file is, by its first bytes.

use std::fmt;

/// How many bytes [`sniff`] looks at.
pub(crate) const HEAD: usize = 16;

/// An image format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// PBM, PGM or PPM, plain or raw.
    Pnm,
    /// WebP.
    WebP,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Pnm => "PBM, PGM or PPM",
            Self::WebP => "WebP",
        })
    }
}

/// The format of a file that starts with `head`, or a name for what it is instead.
///
/// The file's name plays no part: `jpg_named.png` is a JPEG.
pub(crate) fn sniff(head: &[u8]) -> Result<Format, &'static str> {
    match head {
        [] => Err("an empty file"),
        [0xff, 0xd8] | [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::Png),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Ok(Format::WebP),
        [b'P', b'1'..=b'6', space, ..] if space.is_ascii_whitespace() || *space == b'#' => {
            Ok(Format::Pnm)
        }
        _ => Err(other(head)),
    }
}

/// Names the formats that people have lying about.
fn other(head: &[u8]) -> &'static str {
    match head {
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'B', b'M', ..] => "BMP",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "TIFF",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => "AVIF",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e' | b'i', ..] => "HEIF",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a video",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        _ if head
            .iter()
            .all(|&byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "a text"
        }
        _ => "a file of unknown format",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: Result<Format, &str>) {
        assert_eq!(sniff(head), expected, "{head:?}");
    }

    #[test]
    fn formats_are_known_by_content() {
        check(b"\xff\xd8\xff\xe0", Ok(Format::Jpeg));
        check(b"\xff\xd8", Ok(Format::Jpeg)); // cut off at once
        check(b"\x89PNG\r\n\x1a\n", Ok(Format::Png));
        check(b"RIFF\x10\0\0\0WEBPVP8 ", Ok(Format::WebP));
        check(b"P5\n92 112", Ok(Format::Pnm));
        check(b"P6#by hand\n", Ok(Format::Pnm));
    }

    #[test]
    fn what_is_not_read_is_named() {
        check(b"GIF89a", Err("GIF"));
        check(b"BM\x36\0\0\0", Err("BMP"));
        check(b"II*\0", Err("TIFF"));
        check(b"MM\0*", Err("TIFF"));
        check(b"\0\0\0\x20ftypavif", Err("AVIF"));
        check(b"\0\0\0\x20ftypheic", Err("HEIF"));
        check(b"<!DOCTYPE html>", Err("a text"));
        check(b"", Err("an empty file"));
        check(b"\x01\x02\x03", Err("a file of unknown format"));
    }

    #[test]
    fn a_prefix_of_a_signature_is_not_the_format() {
        check(b"\xff\xd8\0", Err("a file of unknown format"));
        check(b"P5", Err("a text"));
        check(b"P7\n", Err("a text"));
        check(b"RIFF\x10\0\0\0WAVE", Err("a file of unknown format"));
    }
}
