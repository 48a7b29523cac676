//! Fields of a protocol buffer by their numbers.

use facenet_formats::{Fields, Value};

/// The values of a field, in order.
pub(crate) fn values(bytes: &[u8], number: u64) -> Vec<Value<'_>> {
    let fields = Fields::new(bytes, 0).map(|field| field.expect("a message"));
    let of_number = fields.filter(|field| field.number == number);
    of_number.map(|field| field.value).collect()
}

/// The messages, texts or bytes of a field, in order.
pub(crate) fn parts(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let values = values(bytes, number).into_iter();
    values.map(|value| value.bytes().expect("bytes")).collect()
}

/// The texts of a field, in order.
pub(crate) fn texts(bytes: &[u8], number: u64) -> Vec<&str> {
    let text = |bytes| std::str::from_utf8(bytes).expect("UTF-8");
    parts(bytes, number).into_iter().map(text).collect()
}

/// The whole numbers of a field, in order.
pub(crate) fn numbers(bytes: &[u8], number: u64) -> Vec<usize> {
    let values = values(bytes, number).into_iter();
    let number = |value: Value<'_>| value.varint().expect("a number") as usize;
    values.map(number).collect()
}
