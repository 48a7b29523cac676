//! The few fields of `tensorflow.Event` that we write, as protocol-buffer bytes.
//!
//! `Event`: `wall_time` double 1, `step` int64 2, `file_version` string 3, `summary` message 5.
//! `Summary`: repeated `value` message 1; `Value`: `tag` string 1, `simple_value` float 2.

use super::LoggedEvent;

/// How a field's bytes are to be read: the low three bits of its key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The event as a protocol buffer.
pub(super) fn encode(event: &LoggedEvent) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, 1 << 3 | FIXED64);
    out.extend(event.wall_time.to_le_bytes());
    if event.step > 0 {
        put_varint(&mut out, 2 << 3 | VARINT);
        put_varint(&mut out, event.step);
    }
    if let Some(version) = &event.file_version {
        put_bytes(&mut out, 3, version.as_bytes());
    }
    if !event.values.is_empty() {
        let mut summary = Vec::new();
        for (tag, value) in &event.values {
            put_bytes(&mut summary, 1, &encode_value(tag, *value));
        }
        put_bytes(&mut out, 5, &summary);
    }
    out
}

/// The event in a protocol buffer; fields that we do not write are passed over. `None` when the
/// bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<LoggedEvent> {
    let mut event = LoggedEvent::default();
    for field in fields(bytes)? {
        match field {
            (1, Field::Fixed64(bits)) => event.wall_time = f64::from_bits(bits),
            (2, Field::Varint(step)) => event.step = step,
            (3, Field::Bytes(text)) => {
                event.file_version = Some(String::from_utf8(text.to_vec()).ok()?);
            }
            (5, Field::Bytes(summary)) => {
                for field in fields(summary)? {
                    if let (1, Field::Bytes(value)) = field {
                        event.values.push(decode_value(value)?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(event)
}

fn encode_value(tag: &str, value: f32) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, tag.as_bytes());
    put_varint(&mut out, 2 << 3 | FIXED32);
    out.extend(value.to_le_bytes());
    out
}

fn decode_value(bytes: &[u8]) -> Option<(String, f32)> {
    let (mut tag, mut value) = (String::new(), 0.0);
    for field in fields(bytes)? {
        match field {
            (1, Field::Bytes(text)) => tag = String::from_utf8(text.to_vec()).ok()?,
            (2, Field::Fixed32(bits)) => value = f32::from_bits(bits),
            _ => {}
        }
    }
    Some((tag, value))
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Number and contents of each field of a message.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = match key & 7 {
            VARINT => Field::Varint(take_varint(&mut bytes)?),
            FIXED64 => Field::Fixed64(u64::from_le_bytes(*take_array(&mut bytes)?)),
            FIXED32 => Field::Fixed32(u32::from_le_bytes(*take_array(&mut bytes)?)),
            BYTES => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let (contents, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(contents)
            }
            _ => return None,
        };
        fields.push((key >> 3, field));
    }
    Some(fields)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_scalar_has_the_bytes_of_the_protocol() {
        let values = vec![("a".to_owned(), 1.0)];
        let event = LoggedEvent {
            wall_time: 0.0,
            step: 300,
            file_version: None,
            values,
        };
        let value = b"\x0a\x01a\x15\x00\x00\x80\x3f"; // tag "a", simple_value 1.0f32
        let mut expected = vec![0x09, 0, 0, 0, 0, 0, 0, 0, 0]; // wall_time
        expected.extend([0x10, 0xac, 0x02]); // step: 300 = 0b10_0101100
        expected.extend([0x2a, 10, 0x0a, 8]); // summary, value
        expected.extend(value);
        assert_eq!(encode(&event), expected);
        assert_eq!(decode(&expected), Some(event));
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        // field 9: varint 1, then wall_time 0, then field 10: two bytes
        let bytes = b"\x48\x01\x09\x00\x00\x00\x00\x00\x00\x00\x00\x52\x02ab";
        assert_eq!(decode(bytes), Some(LoggedEvent::default()));
    }

    #[test]
    fn varints_end_within_64_bits() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 128);
        assert_eq!(bytes, [0x80, 0x01], "seven bits a byte");
        bytes.clear();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(take_varint(&mut bytes.as_slice()), Some(u64::MAX));
        *bytes.last_mut().expect("ten bytes") = 0x7f;
        assert_eq!(take_varint(&mut bytes.as_slice()), None, "65 bits");
        assert_eq!(take_varint(&mut [0x80u8; 11].as_slice()), None, "no end");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn any_bytes_are_an_event_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
