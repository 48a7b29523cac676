//! The segments of a JPEG file, and whether it is whole (ITU-T T.81, annex B).

use super::entropy::{Blocks, Damage, Huffman, check_scan};

const CUT_OFF: Damage = "no end-of-image marker: the file is cut off";
const MALFORMED: Damage = "a malformed header segment";

/// Refuses a file that a decoder may take although it is damaged: one that does not come to its
/// end-of-image marker, or a sequential scan whose codes do not fill its data exactly.
///
/// Scans of progressive files are not walked: their damage is the decoder's to find. What
/// follows the end of the image is no concern.
pub(super) fn check(bytes: &[u8]) -> Result<(), Damage> {
    let mut file = File::default();
    let mut at = 2;
    loop {
        let (marker, after) = next_marker(bytes, at).ok_or(CUT_OFF)?;
        at = match marker {
            0xd9 => return Ok(()),
            0x01 | 0xd0..=0xd8 => after,
            _ => {
                let segment = segment(bytes, after).ok_or(CUT_OFF)?;
                let end = after + 2 + segment.len();
                file.read(marker, segment)?;
                if marker == 0xda {
                    file.check_data(segment, bytes, end)?
                } else {
                    end
                }
            }
        };
    }
}

/// The next marker's code, and where what follows it begins.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let prefix = rest.iter().position(|&byte| byte == 0xff)?;
    let code = rest[prefix..].iter().position(|&byte| byte != 0xff)?;
    Some((rest[prefix + code], at + prefix + code + 1))
}

/// What a segment holds, its length field left out.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let field = bytes.get(at..at + 2)?;
    let length = usize::from(u16::from_be_bytes([field[0], field[1]]));
    bytes.get(at + 2..at + length.max(2))
}

/// Where entropy-coded data end: at a marker other than a restart.
fn data_end(bytes: &[u8], start: usize) -> Option<usize> {
    let is_end = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    let at = bytes.get(start..)?.windows(2).position(is_end)?;
    // Fill bytes before the marker belong to it.
    let fill = bytes[start..start + at].iter().rev();
    Some(start + at - fill.take_while(|&&byte| byte == 0xff).count())
}

/// A component of the frame: its identifier and sampling factors.
#[derive(Clone, Copy)]
struct Component {
    id: u8,
    h: usize,
    v: usize,
}

/// What the segments so far say.
#[derive(Default)]
struct File {
    is_sequential: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
    /// DC tables 0 to 3, then AC tables.
    tables: [Option<Huffman>; 8],
    interval: usize,
}

impl File {
    fn read(&mut self, marker: u8, segment: &[u8]) -> Result<(), Damage> {
        match marker {
            0xc4 => self.read_tables(segment),
            0xc0..=0xc2 => self.read_frame(marker != 0xc2, segment),
            0xdd if segment.len() == 2 => {
                self.interval = usize::from(u16::from_be_bytes([segment[0], segment[1]]));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_frame(&mut self, is_sequential: bool, segment: &[u8]) -> Result<(), Damage> {
        let [_, h1, h0, w1, w0, _, components @ ..] = segment else {
            return Err(MALFORMED);
        };
        self.is_sequential = is_sequential;
        self.height = usize::from(u16::from_be_bytes([*h1, *h0]));
        self.width = usize::from(u16::from_be_bytes([*w1, *w0]));
        let component = |field: &[u8]| Component {
            id: field[0],
            h: usize::from(field[1] >> 4),
            v: usize::from(field[1] & 15),
        };
        self.components = components.chunks_exact(3).map(component).collect();
        let is_good = |c: &Component| (1..=4).contains(&c.h) && (1..=4).contains(&c.v);
        if self.components.is_empty() || !self.components.iter().all(is_good) {
            return Err(MALFORMED);
        }
        Ok(())
    }

    fn read_tables(&mut self, mut segment: &[u8]) -> Result<(), Damage> {
        while let [place, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(MALFORMED)?;
            let n: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let symbols = rest.get(..n).ok_or(MALFORMED)?;
            let index = usize::from(place >> 4) * 4 + usize::from(place & 15);
            let slot = self.tables.get_mut(index).ok_or(MALFORMED)?;
            *slot = Some(Huffman::new(*counts, symbols));
            segment = &rest[n..];
        }
        Ok(())
    }

    /// Checks the data that follow a scan's header; returns where they end.
    fn check_data(&self, header: &[u8], bytes: &[u8], start: usize) -> Result<usize, Damage> {
        let end = data_end(bytes, start).ok_or(CUT_OFF)?;
        if self.is_sequential {
            let (components, n_mcus) = self.scan(header).ok_or(MALFORMED)?;
            check_scan(&bytes[start..end], &components, n_mcus, self.interval)?;
        }
        Ok(end)
    }

    /// The components of a scan, and how many MCUs it has.
    fn scan(&self, header: &[u8]) -> Option<(Vec<Blocks<'_>>, usize)> {
        let n = usize::from(*header.first()?);
        let mut scan = Vec::with_capacity(n);
        for field in header.get(1..1 + 2 * n)?.chunks_exact(2) {
            let component = self.components.iter().find(|one| one.id == field[0])?;
            let table = |index: u8| self.tables.get(usize::from(index))?.as_ref();
            scan.push((
                *component,
                table(field[1] >> 4)?,
                table((field[1] & 15) + 4)?,
            ));
        }
        let h_max = self.components.iter().map(|one| one.h).max()?;
        let v_max = self.components.iter().map(|one| one.v).max()?;
        let n_mcus = if let [(only, ..)] = &scan[..] {
            // A component by itself has its own blocks, one an MCU (T.81, A.2.2).
            let width = (self.width * only.h).div_ceil(h_max);
            let height = (self.height * only.v).div_ceil(v_max);
            width.div_ceil(8) * height.div_ceil(8)
        } else {
            self.width.div_ceil(8 * h_max) * self.height.div_ceil(8 * v_max)
        };
        let is_alone = scan.len() == 1;
        let blocks = scan.into_iter().map(|(component, dc, ac)| Blocks {
            n: if is_alone {
                1
            } else {
                component.h * component.v
            },
            dc,
            ac,
        });
        Some((blocks.collect(), n_mcus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One grey 16 x 8 picture: tables of [`super::super::entropy`]'s tests, `data` after SOS.
    fn grey(data: &[u8]) -> Vec<u8> {
        let dc = [&[0xff, 0xc4, 0, 22, 0x00, 1, 2][..], &[0; 14], &[0, 1, 2]].concat();
        let ac = [&[0xff, 0xc4, 0, 21, 0x10, 1, 1][..], &[0; 14], &[0, 0xf1]].concat();
        let frame = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0];
        let scan = [0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0];
        [&[0xff, 0xd8][..], &frame, &dc, &ac, &scan, data].concat()
    }

    #[track_caller]
    fn check_file(bytes: &[u8], expected: Result<(), &str>) {
        match (check(bytes), expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => assert_eq!(found, expected),
        }
    }

    #[test]
    fn a_whole_file_is_good_whatever_follows() {
        check_file(&grey(b"\x0f\xff\xd9"), Ok(()));
        check_file(&grey(b"\x0f\xff\xff\xd9"), Ok(())); // a fill byte
        check_file(&grey(b"\x0f\xff\xd9 and more"), Ok(()));
    }

    #[test]
    fn no_prefix_is_whole() {
        let bytes = grey(b"\x0f\xff\xd9");
        for n in 2..bytes.len() {
            assert!(check(&bytes[..n]).is_err(), "{n}");
        }
        check_file(&grey(b"\x0f"), Err("cut off"));
    }

    #[test]
    fn two_blocks_are_two_blocks() {
        check_file(&grey(b"\x0f\x3f\xff\xd9"), Err("left over"));
        check_file(&grey(b"\xff\xd9"), Err("too early"));
    }

    #[test]
    fn sampling_factors_belong_to_their_axes() {
        // 32 x 8 pixels, the first component twice as wide: two MCUs of three blocks.
        let mut bytes = grey(b"\x00\x0f\xff\xd9");
        let scan = bytes.len() - 14;
        bytes.splice(
            scan..scan + 10,
            [0xff, 0xda, 0, 10, 2, 1, 0, 2, 0, 0, 63, 0],
        );
        let frame = [0xff, 0xc0, 0, 14, 8, 0, 8, 0, 32, 2, 1, 0x21, 0, 2, 0x11, 0];
        bytes.splice(2..15, frame);
        check_file(&bytes, Ok(()));
    }

    #[test]
    fn malformed_segments_are_found() {
        let mut bytes = grey(b"\x0f\xff\xd9");
        bytes[13] = 0x00; // sampling factors 0 x 0
        check_file(&bytes, Err("malformed"));
        let mut bytes = grey(b"\x0f\xff\xd9");
        bytes[19] = 200; // more codes than the segment holds
        check_file(&bytes, Err("malformed"));
    }
}
