//! ZIP archives of files that are stored, not compressed, as `torch.save` writes them.
//!
//! APPNOTE.TXT 6.3.10, <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, sections
//! 4.3 to 4.5; ZIP64's larger numbers are read and never needed in writing.

use std::collections::BTreeMap;

use crate::error::FormatError;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
/// Bytes of the end record without its comment, and the longest comment.
const END_LENGTH: usize = 22;
const MAX_COMMENT: usize = 0xffff;
/// A number of 32 bits that stands for one of 64 elsewhere.
const ELSEWHERE: u64 = 0xffff_ffff;
/// Most files of an archive: the larger network's has 800.
pub const MAX_FILES: usize = 1 << 16;
/// Days since 1980 in DOS's form: 1 January 1980, so that equal models give equal files.
const FIRST_DAY: u16 = 0x21;

/// The files of an archive, where they lie.
#[derive(Clone, Debug)]
pub struct Zip<'a> {
    files: BTreeMap<&'a str, &'a [u8]>,
}

impl<'a> Zip<'a> {
    /// Whether bytes begin as an archive does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&LOCAL.to_le_bytes())
    }

    /// Finds the files of an archive.
    ///
    /// # Errors
    /// [`FormatError::Bytes`] for what is no archive, is cut or lies about places and lengths;
    /// for files that are compressed or encrypted, of one name, or damaged by their checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (count, mut at) = directory(bytes)?;
        let mut files = BTreeMap::new();
        if count > MAX_FILES as u64 {
            let what = "files";
            return Err(FormatError::TooMany {
                what,
                most: MAX_FILES,
            });
        }
        let mut left = bytes.len();
        for _ in 0..count {
            let (name, file, next) = entry(bytes, at, left)?;
            left -= file.len();
            if files.insert(name, file).is_some() {
                return Err(FormatError::contradiction(name, "two files", "one"));
            }
            at = next;
        }
        Ok(Self { files })
    }

    /// Names and contents, by name.
    pub fn files(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.files.iter().map(|(&name, &file)| (name, file))
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.files.get(name).copied()
    }
}

/// How many files the archive has, and where they are listed.
fn directory(bytes: &[u8]) -> Result<(u64, usize), FormatError> {
    let at = end_record(bytes)?;
    let (count, start) = (number(bytes, at + 10, 2)?, number(bytes, at + 16, 4)?);
    let is_elsewhere = count == 0xffff || start == ELSEWHERE;
    let locator = at.checked_sub(20).filter(|_| is_elsewhere);
    let Some(locator) = locator else {
        return Ok((count, place(bytes, at, start)?));
    };
    expect(bytes, locator, LOCATOR64)?;
    let end = number(bytes, locator + 8, 8)?;
    let end = place(bytes, locator, end)?;
    expect(bytes, end, END64)?;
    let start = number(bytes, end + 48, 8)?;
    Ok((number(bytes, end + 32, 8)?, place(bytes, end, start)?))
}

/// Where the end record is: the last one whose comment goes to the end.
fn end_record(bytes: &[u8]) -> Result<usize, FormatError> {
    let last = bytes.len().checked_sub(END_LENGTH);
    let found = last.and_then(|last| {
        let first = last.saturating_sub(MAX_COMMENT);
        let ends_here = |&at: &usize| {
            number(bytes, at, 4) == Ok(u64::from(END))
                && number(bytes, at + 20, 2) == Ok((last - at) as u64)
        };
        (first..=last).rev().find(ends_here)
    });
    found.ok_or_else(|| FormatError::bytes(bytes.len(), "no end record", "that of a ZIP archive"))
}

/// The file that the central record at `at` lists: name, content, and where the next record is.
///
/// - `left`: bytes that files before it have not taken, so that no byte is read for many files
fn entry(bytes: &[u8], at: usize, left: usize) -> Result<(&str, &[u8], usize), FormatError> {
    expect(bytes, at, CENTRAL)?;
    let field = |offset, width| number(bytes, at + offset, width);
    let (flags, method) = (field(8, 2)?, field(10, 2)?);
    let lengths = [field(28, 2)?, field(30, 2)?, field(32, 2)?].map(|length| length as usize);
    let name = part(bytes, at + 46, lengths[0])?;
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(FormatError::bytes(
            at + 46,
            "a name that is no UTF-8",
            "one that is",
        ));
    };
    if flags & 1 != 0 || method != 0 {
        let found = format!("method {method}, flags {flags}");
        return Err(FormatError::contradiction(
            name,
            found,
            "a file that is stored as it is",
        ));
    }
    let extra_at = at + 46 + lengths[0];
    let extra = part(bytes, extra_at, lengths[1])?;
    let mut wide = wide_numbers(extra);
    // The order in which ZIP64's field has those that are elsewhere.
    let mut whole = |value: u64| match value {
        ELSEWHERE => wide.next().unwrap_or(value),
        _ => value,
    };
    let (size, stored) = (whole(field(24, 4)?), whole(field(20, 4)?));
    let start = whole(field(42, 4)?);
    if size > left as u64 {
        let found = format!("{size} bytes");
        let expected = format!("{left} at most");
        return Err(FormatError::contradiction(name, found, expected));
    }
    if size != stored {
        let found = format!("{stored} bytes for {size}");
        return Err(FormatError::contradiction(name, found, "as many"));
    }
    let file = content(bytes, place(bytes, at, start)?, (size, name))?;
    let sum = field(16, 4)?;
    if u64::from(crc32(file)) != sum {
        let found = format!("another checksum than {sum:08x}");
        return Err(FormatError::contradiction(name, found, "that of its bytes"));
    }
    Ok((name, file, extra_at + lengths[1] + lengths[2]))
}

/// The bytes of the file whose local record is at `at`.
fn content<'a>(
    bytes: &'a [u8],
    at: usize,
    (size, name): (u64, &str),
) -> Result<&'a [u8], FormatError> {
    expect(bytes, at, LOCAL)?;
    let skipped = 30 + number(bytes, at + 26, 2)? + number(bytes, at + 28, 2)?;
    let start = at + skipped as usize;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    part(bytes, start, size).map_err(|_| {
        let found = format!("{size} bytes from byte {start}");
        FormatError::contradiction(name, found, format!("an archive of {}", bytes.len()))
    })
}

/// The numbers of 64 bits in a record's extra fields.
fn wide_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let Some((&[a, b, c, d], rest)) = extra.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([c, d])).min(rest.len());
        let (field, rest) = rest.split_at(length);
        if [a, b] == [1, 0] {
            found = field;
        }
        extra = rest;
    }
    found
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

/// A place in the archive, said by the record at `at`.
fn place(bytes: &[u8], at: usize, value: u64) -> Result<usize, FormatError> {
    let place = usize::try_from(value)
        .ok()
        .filter(|&place| place < bytes.len());
    place.ok_or_else(|| {
        let expected = format!("one before {}", bytes.len());
        FormatError::bytes(at, format!("a place at {value}"), expected)
    })
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], FormatError> {
    let end = at.checked_add(length);
    let part = end.and_then(|end| bytes.get(at..end));
    part.ok_or_else(|| FormatError::bytes(at, "the end", format!("{length} bytes")))
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Result<u64, FormatError> {
    let part = part(bytes, at, width)?;
    Ok(part
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn expect(bytes: &[u8], at: usize, signature: u32) -> Result<(), FormatError> {
    let found = number(bytes, at, 4)?;
    if found == u64::from(signature) {
        return Ok(());
    }
    let expected = format!("the signature {signature:08x}");
    Err(FormatError::bytes(at, format!("{found:08x}"), expected))
}

/// An archive as it is written, file after file.
#[derive(Clone, Debug, Default)]
pub struct ZipWriter {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: usize,
}

impl ZipWriter {
    /// Adds a file as it is.
    ///
    /// # Errors
    /// [`FormatError::TooMany`] beyond 65,535 files or 4 GiB.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Result<(), FormatError> {
        let (size, start) = (narrow(content.len())?, narrow(self.bytes.len())?);
        let Ok(name_length) = u16::try_from(name.len()) else {
            let what = "bytes of a file's name";
            return Err(FormatError::TooMany { what, most: 0xffff });
        };
        // Both records: version to read, flags, method, time, date, checksum, lengths.
        let mut shared = Vec::new();
        for half in [10, 0, 0, 0, FIRST_DAY] {
            shared.extend(half.to_le_bytes());
        }
        for word in [crc32(content), size, size] {
            shared.extend(word.to_le_bytes());
        }
        shared.extend(name_length.to_le_bytes());
        shared.extend([0, 0]);
        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend(&shared);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.directory.extend(CENTRAL.to_le_bytes());
        self.directory.extend([10, 0]);
        self.directory.extend(&shared);
        // No comment, the first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// The archive.
    ///
    /// # Errors
    /// As [`ZipWriter::file`].
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let (start, size) = (narrow(self.bytes.len())?, narrow(self.directory.len())?);
        let Ok(count) = u16::try_from(self.count) else {
            return Err(FormatError::TooMany {
                what: "files",
                most: 0xffff,
            });
        };
        self.bytes.extend(self.directory);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([count.to_le_bytes(); 2].concat());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

fn narrow(length: usize) -> Result<u32, FormatError> {
    // The largest number stands for one elsewhere.
    let most = u32::MAX as usize - 1;
    match u32::try_from(length) {
        Ok(length) if length < u32::MAX => Ok(length),
        _ => Err(FormatError::TooMany {
            what: "bytes",
            most,
        }),
    }
}

/// ZIP's checksum: the CRC of polynomial 0x04c11db7, bits reversed.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

/// The checksum's step by a byte.
static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::default();
        for (name, content) in files {
            writer.file(name, content).expect("short");
        }
        writer.finish().expect("short")
    }

    #[test]
    fn the_checksum_has_its_published_check_value() {
        // Williams, "A painless guide to CRC error detection algorithms": CRC-32 of "123456789".
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn files_come_back_by_name_and_none_from_an_archive_that_is_cut() {
        let bytes = archive(&[("b/x", b"one"), ("a", b"")]);
        let zip = Zip::parse(&bytes).expect("whole");
        let files: Vec<_> = zip.files().collect();
        assert_eq!(files, [("a", &b""[..]), ("b/x", b"one")]);
        assert_eq!(zip.get("b/x"), Some(&b"one"[..]));
        for length in 0..bytes.len() {
            assert!(Zip::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let message = Zip::parse(bytes).expect_err("refused").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn what_is_double_damaged_or_compressed_is_refused() {
        check_refused(&archive(&[("a", b"1"), ("a", b"2")]), "two files");
        let whole = archive(&[("a", b"123456789")]);
        let mut damaged = whole.clone();
        damaged[31] ^= 1;
        check_refused(&damaged, "another checksum than cbf43926");
        let central = whole.len() - END_LENGTH - 47;
        let mut packed = whole.clone();
        packed[central + 10] = 8;
        check_refused(&packed, "method 8, flags 0");
        let mut longer = whole;
        longer[central + 20] = 100;
        longer[central + 24] = 100;
        check_refused(&longer, "100 bytes from byte 31");
        longer[central + 20] = 200;
        longer[central + 24] = 200;
        check_refused(&longer, "found 200 bytes, expected 109 at most");
    }

    #[test]
    fn larger_numbers_are_found_in_their_field() {
        let extra = [9, 0, 1, 0, 7, 1, 0, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(wide_numbers(&extra).collect::<Vec<_>>(), [5]);
        assert_eq!(wide_numbers(&extra[..12]).count(), 0);
    }

    proptest! {
        #[test]
        fn a_damaged_archive_is_read_or_refused(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = archive(&[("data.pkl", b"0123456789"), ("data/0", &[7; 40])]);
            for (place, byte) in edits {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Ok(zip) = Zip::parse(&bytes) {
                prop_assert!(zip.files().all(|(_, file)| file.len() <= bytes.len()));
            }
        }
    }
}
