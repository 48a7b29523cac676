//! `TensorBoard` event files: scalars by tag and step, written and read back.
//!
//! A file is a row of records: length (u64), masked CRC-32C of it, the record, its masked CRC-32C
//! (`TFRecord`; integers little-endian). A record is the protocol buffer `tensorflow.Event`.

mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use facenet_files::{Access, Disk, FileError, FileSystem, Output};

use crate::error::TrainError;

/// What the first record says; readers refuse files without it.
const FILE_VERSION: &str = "brain.Event:2";
/// Added to a rotated CRC, so that a CRC of data with CRCs in it stays a good one (`TFRecord`).
const MASK_DELTA: u32 = 0xa282_ead8;
/// Bytes of a record's frame before and after the record.
const FRAME: (usize, usize) = (12, 4);

/// One record of an event file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedEvent {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Optimizer steps made.
    pub step: u64,
    /// Version of the format, in the first record only.
    pub file_version: Option<String>,
    /// Tag and value, in the order written.
    pub values: Vec<(String, f32)>,
}

/// Appends scalars to an event file of its own.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: Box<dyn Output>,
    step: u64,
    tags: BTreeSet<String>,
}

impl EventWriter {
    /// Begins a new file in `folder`: `events.out.tfevents.<seconds>.facenet`, then `.2`, `.3`
    /// where a name is taken. No host name: logs are shared.
    ///
    /// - `wall_time`: seconds since 1970
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be made.
    pub fn create(folder: &Path, wall_time: f64) -> Result<Self, TrainError> {
        Self::create_on(&Disk, folder, wall_time)
    }

    /// As [`create`](Self::create), on a file system of the caller's.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_on(
        files: &dyn FileSystem,
        folder: &Path,
        wall_time: f64,
    ) -> Result<Self, TrainError> {
        let (path, file) = create_file(files, folder, wall_time)?;
        let mut writer = Self {
            path,
            file,
            step: 0,
            tags: BTreeSet::new(),
        };
        let version = Some(FILE_VERSION.to_owned());
        writer.append(&LoggedEvent {
            wall_time,
            file_version: version,
            ..LoggedEvent::default()
        })?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the values of `step` as one summary, in one write.
    ///
    /// A tag has one value a step: given again, in this call or the next, it is left out (the
    /// reference adds several, of which viewers show one or another).
    ///
    /// - `wall_time`: seconds since 1970
    /// - `step`: optimizer steps made
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be written.
    pub fn write(
        &mut self,
        wall_time: f64,
        step: u64,
        values: &[(&str, f32)],
    ) -> Result<(), TrainError> {
        if step != self.step {
            self.step = step;
            self.tags.clear();
        }
        let new = values
            .iter()
            .filter(|(tag, _)| self.tags.insert((*tag).to_owned()));
        let values: Vec<_> = new
            .map(|(tag, value)| ((*tag).to_owned(), *value))
            .collect();
        if values.is_empty() {
            return Ok(());
        }
        self.append(&LoggedEvent {
            wall_time,
            step,
            values,
            file_version: None,
        })
    }

    fn append(&mut self, event: &LoggedEvent) -> Result<(), TrainError> {
        let record = frame(&wire::encode(event));
        self.file.write_all(&record).map_err(|source| {
            let error = FileError::new(&self.path, "append to this event file", source);
            error.needing(&Disk, &self.path, record.len() as u64).into()
        })
    }
}

/// Reads an event file back, checking every length and CRC.
///
/// # Errors
/// [`TrainError::Io`] when the file cannot be read, [`TrainError::Data`] with the offset of the
/// first record that is cut off, fails its CRC, or is no event.
pub fn read_events(path: &Path) -> Result<Vec<LoggedEvent>, TrainError> {
    let bytes =
        fs::read(path).map_err(|source| TrainError::io(path, "read this event file", source))?;
    let (mut events, mut offset) = (Vec::new(), 0);
    while offset < bytes.len() {
        let wrong = |what: &str| TrainError::Data {
            path: path.to_owned(),
            what: format!("record at byte {offset}: {what}"),
            remedy: "what comes before it is good; delete the rest or the file".to_owned(),
        };
        let record = unframe(&bytes[offset..]).map_err(wrong)?;
        events.push(wire::decode(record).ok_or_else(|| wrong("found no event"))?);
        offset += FRAME.0 + record.len() + FRAME.1;
    }
    Ok(events)
}

fn create_file(
    files: &dyn FileSystem,
    folder: &Path,
    wall_time: f64,
) -> Result<(PathBuf, Box<dyn Output>), TrainError> {
    let name = format!(
        "events.out.tfevents.{:010}.facenet",
        wall_time.max(0.0) as u64
    );
    let mut path = folder.join(&name);
    let mut next = 2;
    loop {
        match files.create(&path, Access::Usual) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                path = folder.join(format!("{name}.{next}"));
                next += 1;
            }
            Err(source) => {
                return Err(FileError::new(&path, "make this event file", source).into());
            }
        }
    }
}

fn frame(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut framed = Vec::with_capacity(FRAME.0 + record.len() + FRAME.1);
    framed.extend(length);
    framed.extend(masked_crc(&length).to_le_bytes());
    framed.extend(record);
    framed.extend(masked_crc(record).to_le_bytes());
    framed
}

/// The record that `bytes` begins with.
fn unframe(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let cut = "found the end of the file, expected more";
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(cut)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
    if u32::from_le_bytes(*crc) != masked_crc(length) {
        return Err("its length fails the checksum");
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut)?;
    let (record, rest) = rest.split_at_checked(length).ok_or(cut)?;
    let (crc, _) = rest.split_first_chunk::<4>().ok_or(cut)?;
    if u32::from_le_bytes(*crc) != masked_crc(record) {
        return Err("its contents fail the checksum");
    }
    Ok(record)
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(MASK_DELTA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch folder")
    }

    #[test]
    fn crcs_are_castagnoli() {
        // RFC 3720, appendix B.4
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c::crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn masking_rotates_and_adds() {
        // crc 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8 is 0xc78ab0e5
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn the_first_record_is_the_one_tensorboard_wants() {
        let folder = folder();
        let writer = EventWriter::create(folder.path(), 1.5).expect("writable");
        let bytes = fs::read(writer.path()).expect("just written");
        // 24 bytes: field 1 (1.5 as f64), field 3 (13 bytes of text)
        assert_eq!(bytes[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        let record = &bytes[12..bytes.len() - 4];
        assert_eq!(
            record,
            b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x1a\x0dbrain.Event:2"
        );
    }

    #[test]
    fn values_of_a_step_are_one_summary_and_a_tag_has_one_value() {
        let folder = folder();
        let mut writer = EventWriter::create(folder.path(), 0.0).expect("writable");
        writer
            .write(1.0, 7, &[("loss", 0.5), ("rate", 0.1), ("loss", 9.0)])
            .expect("writable");
        writer
            .write(2.0, 7, &[("loss", 8.0), ("time", 3.0)])
            .expect("writable");
        writer.write(2.0, 7, &[("time", 4.0)]).expect("writable");
        writer.write(3.0, 8, &[("loss", 0.25)]).expect("writable");
        let events = read_events(writer.path()).expect("as written");
        let tags = |event: &LoggedEvent| (event.step, event.values.clone());
        let value = |tag: &str, value| (tag.to_owned(), value);
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(
            events[1..].iter().map(tags).collect::<Vec<_>>(),
            [
                (7, vec![value("loss", 0.5), value("rate", 0.1)]),
                (7, vec![value("time", 3.0)]),
                (8, vec![value("loss", 0.25)]),
            ]
        );
    }

    #[test]
    fn a_taken_name_gets_a_number_and_nothing_is_overwritten() {
        let folder = folder();
        let names: Vec<_> = (0..3)
            .map(|_| {
                let writer = EventWriter::create(folder.path(), 1_700_000_000.9);
                let path = writer.expect("writable").path().to_owned();
                path.file_name()
                    .expect("a file")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let name = "events.out.tfevents.1700000000.facenet";
        assert_eq!(
            names,
            [name.to_owned(), format!("{name}.2"), format!("{name}.3")]
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = folder();
        let error = EventWriter::create(&folder.path().join("no"), 0.0).expect_err("not there");
        assert!(
            error.to_string().contains("cannot make this event file"),
            "{error}"
        );
    }

    fn arb_values() -> impl Strategy<Value = Vec<(String, f32)>> {
        let value =
            prop_oneof![any::<f32>().prop_filter("NaN differs from itself", |x| !x.is_nan())];
        prop::collection::btree_map(".{0,12}", value, 1..5)
            .prop_map(|values| values.into_iter().collect())
    }

    fn written(steps: &[(u64, Vec<(String, f32)>)]) -> (tempfile::TempDir, PathBuf) {
        let folder = folder();
        let mut writer = EventWriter::create(folder.path(), 0.0).expect("writable");
        for (index, (step, values)) in steps.iter().enumerate() {
            let values: Vec<_> = values
                .iter()
                .map(|(tag, value)| (tag.as_str(), *value))
                .collect();
            // Steps of one parity never follow each other, so that no tag is left out.
            writer
                .write(0.5, step * 2 + index as u64 % 2, &values)
                .expect("writable");
        }
        let path = writer.path().to_owned();
        (folder, path)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_written_is_read(
            steps in prop::collection::vec((1u64..u64::MAX / 4, arb_values()), 0..5),
        ) {
            let (_folder, path) = written(&steps);
            let events = read_events(&path)?;
            prop_assert_eq!(events.len(), steps.len() + 1);
            for (event, (_, values)) in events[1..].iter().zip(&steps) {
                prop_assert_eq!(&event.values, values);
                prop_assert_eq!(event.wall_time.to_bits(), 0.5f64.to_bits());
            }
        }

        #[test]
        fn a_cut_or_changed_file_is_an_error_with_its_offset(
            values in arb_values(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let (_folder, path) = written(&[(1, values)]);
            let good = fs::read(&path)?;
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed[at] ^= flip;
            fs::write(&path, &changed)?;
            prop_assert!(read_events(&path).is_err(), "byte {} changed", at);
            fs::write(&path, &good[..at])?;
            let first = FRAME.0 + 24 + FRAME.1;
            let is_whole = at == 0 || at == first;
            prop_assert_eq!(read_events(&path).is_ok(), is_whole, "cut at {}", at);
        }
    }
}
