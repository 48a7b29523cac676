//! Protocol buffers' wire format: fields read where they lie, and written.
//!
//! <https://protobuf.dev/programming-guides/encoding/>: a field is a varint of number and wire
//! type, then its value. Nothing is allocated by reading, whatever a length claims.

use crate::error::FormatError;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its number in the message's definition.
    pub number: u64,
    /// Its value.
    pub value: Value<'a>,
}

/// A field's value by its wire type; the two kinds of groups are refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number, or a truth value.
    Varint(u64),
    /// Eight bytes: a `double` in TensorFlow's messages.
    Fixed64([u8; 8]),
    /// Text, bytes, a message, or numbers packed.
    Bytes(&'a [u8]),
    /// Four bytes: a `float` in TensorFlow's messages.
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited value.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of a varint.
    pub fn varint(self) -> Option<u64> {
        match self {
            Self::Varint(number) => Some(number),
            _ => None,
        }
    }
}

/// The fields of one message, in the file's order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message that `bytes` are.
    ///
    /// - `at`: where in the file `bytes` begin, for errors
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    /// Where in the file the next field begins.
    pub fn at(&self) -> usize {
        self.at
    }

    fn field(&mut self) -> Result<Field<'a>, FormatError> {
        let at = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => Value::Bytes(self.delimited()?),
            5 => Value::Fixed32(self.fixed()?),
            kind => {
                let found = format!("wire type {kind}");
                return Err(FormatError::bytes(at, found, "0, 1, 2 or 5"));
            }
        };
        let number = key >> 3;
        Ok(Field { number, value })
    }

    fn varint(&mut self) -> Result<u64, FormatError> {
        let mut number = 0;
        for (place, &byte) in self.rest.iter().take(MAX_VARINT).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.take(place + 1)?;
                return Ok(number);
            }
        }
        let found = if self.rest.len() < MAX_VARINT {
            "the end"
        } else {
            "a number that does not end"
        };
        Err(FormatError::bytes(
            self.at,
            found,
            "a number of 10 bytes at most",
        ))
    }

    fn delimited(&mut self) -> Result<&'a [u8], FormatError> {
        let at = self.at;
        let length = self.varint()?;
        if length > self.rest.len() as u64 {
            let found = format!("a length of {length}");
            let expected = format!("the {} bytes that are left at most", self.rest.len());
            return Err(FormatError::bytes(at, found, expected));
        }
        self.take(length as usize)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            let found = format!("{} bytes", self.rest.len());
            return Err(FormatError::bytes(self.at, found, format!("{length}")));
        };
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Most bytes of a varint: 64 bits in sevens.
const MAX_VARINT: usize = 10;

/// A message as it is written, field by field.
#[derive(Clone, Debug, Default)]
pub struct FieldWriter(Vec<u8>);

impl FieldWriter {
    /// A whole number.
    #[must_use]
    pub fn varint(mut self, number: u64, value: u64) -> Self {
        self.key(number, 0);
        self.put_varint(value);
        self
    }

    /// A `float`.
    #[must_use]
    pub fn float(mut self, number: u64, value: f32) -> Self {
        self.key(number, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Text, bytes, or a message's bytes.
    #[must_use]
    pub fn bytes(mut self, number: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.key(number, 2);
        self.put_varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A message inside.
    #[must_use]
    pub fn message(self, number: u64, inner: Self) -> Self {
        self.bytes(number, inner.0)
    }

    /// Whatever fields `items` write, in their order.
    #[must_use]
    pub fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        put: impl Fn(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, put)
    }

    /// The fields of `others` after these.
    #[must_use]
    pub fn joined(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, number: u64, kind: u64) {
        self.put_varint(number << 3 | kind);
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, FormatError> {
        Fields::new(bytes, 0).collect()
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let message = fields(bytes).expect_err("no message").to_string();
        assert_eq!(message, expected);
    }

    #[test]
    fn the_guides_own_examples_are_read() {
        // Message Test1 { a = 150 } and Test2 { b = "testing" } of the encoding guide.
        let varint = |value| Value::Varint(value);
        let of = |number, value| Field { number, value };
        assert_eq!(fields(&[0x08, 0x96, 0x01]), Ok(vec![of(1, varint(150))]));
        let text = b"\x12\x07testing";
        assert_eq!(fields(text), Ok(vec![of(2, Value::Bytes(b"testing"))]));
    }

    #[test]
    fn what_is_cut_or_lies_is_refused_where_it_stands() {
        check_refused(
            b"\x08",
            "byte 1: found the end, expected a number of 10 bytes at most",
        );
        check_refused(
            &[&[0x08][..], &[0xff; 11]].concat(),
            "byte 1: found a number that does not end, expected a number of 10 bytes at most",
        );
        check_refused(
            b"\x08\x01\x12\x05ab",
            "byte 3: found a length of 5, expected the 2 bytes that are left at most",
        );
        check_refused(b"\x0d\0\0", "byte 1: found 2 bytes, expected 4");
        check_refused(b"\x0b", "byte 0: found wire type 3, expected 0, 1, 2 or 5");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(number in 1u64..1 << 29, value: u64, real: f32, text: Vec<u8>) {
            let inner = FieldWriter::default().varint(number, value);
            let written = FieldWriter::default()
                .varint(number, value)
                .float(2, real)
                .bytes(3, &text)
                .message(4, inner.clone())
                .finish();
            let read = fields(&written).expect("a message");
            prop_assert_eq!(read[0], Field { number, value: Value::Varint(value) });
            prop_assert_eq!(read[1].value, Value::Fixed32(real.to_le_bytes()));
            prop_assert_eq!(read[2].value.bytes(), Some(text.as_slice()));
            let inner = inner.finish();
            prop_assert_eq!(read[3].value.bytes(), Some(inner.as_slice()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = fields(&bytes);
        }
    }
}
