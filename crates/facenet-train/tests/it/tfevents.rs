//! A reader of TensorBoard event files, from the formats' descriptions alone.

/// One value of a summary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) step: i64,
    pub(crate) tag: String,
    pub(crate) value: f32,
}

/// A field of a protocol buffer: number and contents.
enum Field<'a> {
    Varint(u64),
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

/// All scalars of a file, in order. Panics where a checksum or a form is wrong.
pub(crate) fn scalars(file: &[u8]) -> Vec<Scalar> {
    let records = records(file);
    let version = fields(records[0])
        .into_iter()
        .find(|(number, _)| *number == 3);
    assert!(matches!(version, Some((_, Field::Bytes(b"brain.Event:2")))));
    records[1..]
        .iter()
        .flat_map(|record| event(record))
        .collect()
}

/// `TFRecord`: length (u64), its masked CRC, data, its masked CRC; all little-endian.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let (length, rest) = file.split_at(8);
        let (length_crc, rest) = rest.split_at(4);
        assert_eq!(length_crc, masked_crc(length), "CRC of a length");
        let n_bytes = u64::from_le_bytes(length.try_into().expect("eight bytes"));
        let (data, rest) = rest.split_at(usize::try_from(n_bytes).expect("it fits memory"));
        let (crc, rest) = rest.split_at(4);
        assert_eq!(crc, masked_crc(data), "CRC of a record");
        records.push(data);
        file = rest;
    }
    records
}

/// CRC-32C, rotated right by 15 bits, plus a constant.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    let crc = crc32c(data).rotate_right(15);
    crc.wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Castagnoli's CRC, bit by bit: polynomial 0x1EDC6F41, reflected.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    })
}

/// `Event`: 1 wall time, 2 step, 5 summary; `Summary`: 1 value; `Value`: 1 tag, 2 number.
fn event(record: &[u8]) -> Vec<Scalar> {
    let (mut step, mut values) = (0, Vec::new());
    for (number, field) in fields(record) {
        match (number, field) {
            (1, Field::Fixed(time)) => {
                let seconds = f64::from_le_bytes(time.try_into().expect("eight bytes"));
                assert!(seconds > 1e9, "{seconds} s is not of this century");
            }
            (2, Field::Varint(found)) => step = found.cast_signed(),
            (5, Field::Bytes(summary)) => values = fields(summary),
            (number, _) => panic!("field {number} of an event"),
        }
    }
    values
        .into_iter()
        .map(|(number, field)| match field {
            Field::Bytes(bytes) if number == 1 => value(step, bytes),
            _ => panic!("field {number} of a summary"),
        })
        .collect()
}

fn value(step: i64, bytes: &[u8]) -> Scalar {
    let (mut tag, mut value) = (None, None);
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(text)) => tag = String::from_utf8(text.to_vec()).ok(),
            (2, Field::Fixed(number)) => value = number.try_into().map(f32::from_le_bytes).ok(),
            (number, _) => panic!("field {number} of a value"),
        }
    }
    Scalar {
        step,
        tag: tag.expect("a tag in UTF-8"),
        value: value.expect("a number of four bytes"),
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Fixed(take(&mut bytes, 8)),
            2 => {
                let n_bytes = varint(&mut bytes);
                Field::Bytes(take(
                    &mut bytes,
                    usize::try_from(n_bytes).expect("it fits memory"),
                ))
            }
            5 => Field::Fixed(take(&mut bytes, 4)),
            wire => panic!("wire type {wire}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], n_bytes: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n_bytes);
    *bytes = rest;
    taken
}

#[test]
fn the_independent_crc_is_castagnolis() {
    // RFC 3720, appendix B.4
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
