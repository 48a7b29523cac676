//! The segments of a plain JPEG file (T.81, annex B): what this decoder takes.
//!
//! A file that has anything else gives `None`, and is another decoder's.

use std::sync::Arc;

use super::huffman::{Class, Huffman, shared};

/// A component of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    /// Blocks of an MCU, across and down.
    pub(super) h: usize,
    pub(super) v: usize,
    quants: usize,
}

/// The picture: its size, and one component (grey) or three (luma and chroma).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// Largest sampling factors.
    pub(super) fn most(&self) -> (usize, usize) {
        let most = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max();
        (most(|c| c.h).unwrap_or(1), most(|c| c.v).unwrap_or(1))
    }
}

/// A component of a scan, and its tables.
pub(super) struct Coded {
    /// Its place in the frame.
    pub(super) index: usize,
    pub(super) dc: Arc<Huffman>,
    pub(super) ac: Arc<Huffman>,
    /// In zigzag order.
    pub(super) quants: [i16; 64],
}

/// A scan's header.
pub(super) struct Scan {
    pub(super) components: Vec<Coded>,
    /// MCUs between restart markers; 0 for none.
    pub(super) interval: usize,
    /// Where its data begin.
    pub(super) start: usize,
}

/// What comes after some segments.
pub(super) enum After {
    /// The data of a scan.
    Scan(Scan),
    /// Nothing of the image.
    End,
}

/// Reads segments one after another.
pub(super) struct Segments<'a> {
    pub(super) bytes: &'a [u8],
    /// What comes next: to be set to where the data of a scan end.
    pub(super) at: usize,
    /// Known once a scan was met.
    pub(super) frame: Option<Frame>,
    /// What the last EXIF segment holds.
    pub(super) exif: Option<&'a [u8]>,
    quants: [Option<[i16; 64]>; 4],
    /// DC tables 0 to 3, then AC tables.
    codes: [Option<Arc<Huffman>>; 8],
    interval: usize,
}

impl<'a> Segments<'a> {
    /// - `bytes`: of a JPEG file
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 2,
            frame: None,
            exif: None,
            quants: [None; 4],
            codes: [const { None }; 8],
            interval: 0,
        }
    }

    /// Reads up to the next scan, or to the end of the image.
    pub(super) fn next(&mut self) -> Option<After> {
        loop {
            let marker = self.marker()?;
            if marker == 0xd9 {
                return Some(After::End);
            }
            let segment = self.segment()?;
            match marker {
                0xda => return self.scan(segment).map(After::Scan),
                0xc0 | 0xc1 => self.read_frame(segment)?,
                0xc4 => self.read_codes(segment)?,
                0xdb => self.read_quants(segment)?,
                0xdd => self.interval = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
                0xe0..=0xef => self.read_application(marker, segment)?,
                0xfe => {}
                _ => return None,
            }
        }
    }

    fn marker(&mut self) -> Option<u8> {
        if *self.bytes.get(self.at)? != 0xff {
            return None;
        }
        let rest = &self.bytes[self.at..];
        // Fill bytes before a marker belong to it.
        let n = rest.iter().position(|&byte| byte != 0xff)?;
        self.at += n + 1;
        Some(rest[n])
    }

    /// What a segment holds, its length field left out.
    fn segment(&mut self) -> Option<&'a [u8]> {
        let (field, rest) = self.bytes.get(self.at..)?.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*field));
        let segment = rest.get(..length.checked_sub(2)?)?;
        self.at += length;
        Some(segment)
    }

    fn read_application(&mut self, marker: u8, segment: &'a [u8]) -> Option<()> {
        match (marker, segment) {
            // Pictures of films lack their tables.
            (0xe0, [b'A', b'V', b'I', b'1', ..]) => return None,
            (0xee, [b'A', b'd', b'o', b'b', b'e', rest @ ..]) => {
                // The byte that says whether colours are luma and chroma.
                (rest.get(6) == Some(&1)).then_some(())?;
            }
            (0xe1, [b'E', b'x', b'i', b'f', 0, 0, exif @ ..]) if !exif.is_empty() => {
                self.exif = Some(exif);
            }
            _ => {}
        }
        Some(())
    }

    fn read_frame(&mut self, segment: &[u8]) -> Option<()> {
        let [8, h1, h0, w1, w0, n, fields @ ..] = segment else {
            return None;
        };
        let is_known = self.frame.is_some();
        if is_known || !matches!(n, 1 | 3) || fields.len() != 3 * usize::from(*n) {
            return None;
        }
        let component = |field: &[u8]| Component {
            id: field[0],
            h: usize::from(field[1] >> 4),
            v: usize::from(field[1] & 15),
            quants: usize::from(field[2]),
        };
        let mut components: Vec<_> = fields.chunks_exact(3).map(component).collect();
        let is_factor = |factor| (1..=2).contains(&factor);
        match &mut components[..] {
            // By itself a component has a block an MCU, whatever its factors.
            [grey] if is_factor(grey.h) && is_factor(grey.v) => (grey.h, grey.v) = (1, 1),
            [y, b, r] if is_factor(y.h) && is_factor(y.v) => {
                let is_small = |c: &Component| (c.h, c.v) == (1, 1);
                let is_rgb = [y.id, b.id, r.id] == *b"RGB";
                let differ = y.id != b.id && b.id != r.id && r.id != y.id;
                (is_small(b) && is_small(r) && differ && !is_rgb).then_some(())?;
            }
            _ => return None,
        }
        let frame = Frame {
            width: u16::from_be_bytes([*w1, *w0]).into(),
            height: u16::from_be_bytes([*h1, *h0]).into(),
            components,
        };
        (frame.width > 0 && frame.height > 0).then_some(())?;
        self.frame = Some(frame);
        Some(())
    }

    fn read_codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [place, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let n = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(n)?;
            let class = match place >> 4 {
                0 => Class::Dc,
                1 => Class::Ac,
                _ => return None,
            };
            let index = usize::from(place >> 4) * 4 + usize::from(place & 15);
            *self.codes.get_mut(index)? = Some(shared(counts, symbols, class)?);
            segment = rest;
        }
        Some(())
    }

    fn read_quants(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [place, rest @ ..] = segment {
            let bytes = match place >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let (values, rest) = rest.split_at_checked(64 * bytes)?;
            let mut quants = [0; 64];
            for (quant, value) in quants.iter_mut().zip(values.chunks_exact(bytes)) {
                *quant = value
                    .iter()
                    .fold(0, |value, &byte| value << 8 | i16::from(byte));
            }
            *self.quants.get_mut(usize::from(place & 15))? = Some(quants);
            segment = rest;
        }
        Some(())
    }

    fn scan(&self, segment: &[u8]) -> Option<Scan> {
        let (n, fields) = segment.split_first()?;
        let n = usize::from(*n);
        // All coefficients, at once.
        if n == 0 || fields.len() != 2 * n + 3 || fields[2 * n..] != [0, 63, 0] {
            return None;
        }
        let frame = self.frame.as_ref()?;
        let coded = |field: &[u8]| {
            let index = frame.components.iter().position(|c| c.id == field[0])?;
            let codes = |index: u8| self.codes.get(usize::from(index))?.clone();
            let (dc, ac) = (field[1] >> 4, field[1] & 15);
            let quants = self.quants.get(frame.components[index].quants)?;
            Some(Coded {
                index,
                dc: codes(if dc < 4 { dc } else { return None })?,
                ac: codes(ac + 4)?,
                quants: (*quants)?,
            })
        };
        Some(Scan {
            components: fields[..2 * n]
                .chunks_exact(2)
                .map(coded)
                .collect::<Option<_>>()?,
            interval: self.interval,
            start: self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTS: [u8; 69] = {
        let mut segment = [1; 69];
        [segment[0], segment[1], segment[2], segment[3], segment[4]] = [0xff, 0xdb, 0, 67, 0];
        segment
    };
    const FRAME: [u8; 13] = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x22, 0];
    const SCAN: [u8; 10] = [0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0];

    /// One code, for a block's end or no difference.
    fn codes(place: u8) -> Vec<u8> {
        [&[0xff, 0xc4, 0, 20, place, 1][..], &[0; 15], &[0]].concat()
    }

    fn segments() -> Vec<Vec<u8>> {
        let (quants, frame) = (QUANTS.to_vec(), FRAME.to_vec());
        vec![
            vec![0xff, 0xd8],
            quants,
            frame,
            codes(0x00),
            codes(0x10),
            SCAN.to_vec(),
        ]
    }

    #[track_caller]
    fn check(segments: &[Vec<u8>], expected: bool) {
        let bytes = segments.concat();
        let mut found = Segments::new(&bytes);
        match found.next() {
            Some(After::Scan(scan)) => {
                assert!(expected && scan.start == bytes.len(), "{bytes:x?}");
                let frame = found.frame.expect("a frame before a scan");
                assert_eq!((frame.width, frame.height, frame.most()), (16, 8, (1, 1)));
            }
            _ => assert!(!expected, "{bytes:x?}"),
        }
    }

    #[test]
    fn each_segment_is_needed() {
        check(&segments(), true);
        for i in 1..6 {
            let mut segments = segments();
            segments.remove(i);
            check(&segments, false);
        }
    }

    #[test]
    fn other_segments_are_passed_over() {
        for (extra, expected) in [
            (&b"\xff\xfe\0\x04ab"[..], true),
            (b"\xff\xff\xe5\0\x02", true), // a fill byte
            (b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01", true),
            (b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0", false),
            (b"\xff\xe0\0\x07AVI1\0", false),
            (b"\xff\xcc\0\x02", false),
            (b"\xff\xe5\0\x01", false),
            (b"a\xff\xe5\0\x02", false),
        ] {
            let mut segments = segments();
            segments.insert(1, extra.to_vec());
            check(&segments, expected);
        }
    }

    #[test]
    fn the_last_exif_counts() {
        let mut segments = segments();
        segments.insert(1, b"\xff\xe1\0\x0aExif\0\0ab".to_vec());
        segments.insert(2, b"\xff\xe1\0\x0aExif\0\0cd".to_vec());
        let bytes = segments.concat();
        let mut found = Segments::new(&bytes);
        assert!(found.next().is_some());
        assert_eq!(found.exif, Some(&b"cd"[..]));
    }

    #[test]
    fn frames_that_are_not_plain_are_refused() {
        for (at, value) in [
            (4, 12),
            (6, 0),
            (8, 0),
            (9, 2),
            (11, 0x31),
            (11, 0x10),
            (12, 4),
        ] {
            let mut segments = segments();
            segments[2][at] = value;
            check(&segments, false);
        }
        for (at, value) in [
            (5, 2),
            (6, 0x01),
            (6, 0x10),
            (6, 0x40),
            (7, 1),
            (8, 62),
            (9, 0x10),
        ] {
            let mut segments = segments();
            segments[5][at] = value;
            check(&segments, false);
        }
    }
}
