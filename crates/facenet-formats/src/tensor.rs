//! A tensor where it lies in a file.

use crate::error::FormatError;

/// Most axes of a tensor that is read; an embedder has four.
pub const MAX_RANK: usize = 8;
/// Most values that a single one is repeated to: vectors of a normalisation are far shorter, and
/// a file of a few bytes shall not ask for more memory than that.
const MAX_REPEATED: u64 = 1 << 20;

/// What the values of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
    /// IEEE 754, 16 bits.
    F16,
    /// The upper half of an [`Element::F32`].
    Bf16,
    /// Whole numbers of 32 bits.
    I32,
    /// Whole numbers of 64 bits.
    I64,
    /// Any other, by the number or name that its format gives it.
    Other(u64),
}

impl Element {
    /// Bytes of a value, where it can be read as a floating-point number here.
    fn width(self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::F16 | Self::Bf16 | Self::I32 | Self::I64 | Self::Other(_) => None,
        }
    }
}

/// A tensor of a file: its shape, and its values as little-endian bytes that nobody has copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    /// Kind of the values.
    pub element: Element,
    /// Length of each axis.
    pub shape: Vec<u64>,
    /// The values, row-major; where they are fewer than the shape has, the last one goes on to the
    /// end, as in TensorFlow.
    pub(crate) values: &'a [u8],
    /// Values that stand alone, instead of [`Array::values`].
    pub(crate) single: Option<f32>,
}

impl<'a> Array<'a> {
    /// A tensor of as many values as `values` has bytes for.
    pub fn new(element: Element, shape: Vec<u64>, values: &'a [u8]) -> Self {
        Self {
            element,
            shape,
            values,
            single: None,
        }
    }

    /// How many values the shape has.
    ///
    /// # Errors
    /// [`FormatError::Contradiction`] where that is beyond any file.
    pub fn len(&self, name: &str) -> Result<u64, FormatError> {
        let product = self
            .shape
            .iter()
            .try_fold(1u64, |n, &len| n.checked_mul(len));
        product
            .filter(|&n| u32::try_from(n).is_ok())
            .ok_or_else(|| {
                let found = format!("shape {:?}", self.shape);
                FormatError::contradiction(name, found, "fewer values than 2^32")
            })
    }

    /// The values as `f32`; memory is asked for only once the bytes are there.
    ///
    /// # Errors
    /// [`FormatError::Contradiction`] for values that are no floating-point numbers, or not as
    /// many as the shape has.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let count = self.len(name)?;
        let Some(width) = self.element.width() else {
            let found = format!("values of type {:?}", self.element);
            return Err(FormatError::contradiction(name, found, "float32"));
        };
        if let Some(value) = self.single {
            return repeated(name, count, vec![value]);
        }
        let bytes = self.values.len();
        if !bytes.is_multiple_of(width) || (bytes / width) as u64 > count {
            let found = format!("{bytes} bytes for shape {:?}", self.shape);
            let expected = format!("{width} a value");
            return Err(FormatError::contradiction(name, found, expected));
        }
        repeated(name, count, decode(self.values, self.element))
    }
}

fn decode(bytes: &[u8], element: Element) -> Vec<f32> {
    if element == Element::F64 {
        let values = bytes.as_chunks().0.iter();
        return values
            .map(|bytes| f64::from_le_bytes(*bytes) as f32)
            .collect();
    }
    let values = bytes.as_chunks().0.iter();
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// `values` with the last one repeated up to `count`.
fn repeated(name: &str, count: u64, mut values: Vec<f32>) -> Result<Vec<f32>, FormatError> {
    let missing = count.saturating_sub(values.len() as u64);
    if missing == 0 {
        return Ok(values);
    }
    match values.last() {
        Some(&last) if missing <= MAX_REPEATED => {
            values.resize(count as usize, last);
            Ok(values)
        }
        _ => {
            let found = format!("{} values", values.len());
            Err(FormatError::contradiction(name, found, format!("{count}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[u64], values: &'static [u8]) -> Array<'static> {
        Array::new(Element::F32, shape.to_vec(), values)
    }

    #[track_caller]
    fn check(array: &Array<'_>, expected: Result<&[f32], &str>) {
        let found = array.to_f32("t").map_err(|error| error.to_string());
        assert_eq!(
            found.as_deref(),
            expected.map_err(str::to_owned).as_ref().copied()
        );
    }

    #[test]
    fn values_are_those_of_the_bytes_and_the_last_goes_on() {
        check(&array(&[2], b"\0\0\x80\x3f\0\0\0\x40"), Ok(&[1.0, 2.0]));
        check(
            &array(&[3], b"\0\0\x80\x3f\0\0\0\x40"),
            Ok(&[1.0, 2.0, 2.0]),
        );
        check(&array(&[0], b""), Ok(&[]));
        let wide = Array {
            element: Element::F64,
            ..array(&[1], b"\0\0\0\0\0\0\xf0\x3f")
        };
        check(&wide, Ok(&[1.0]));
        let single = Array {
            single: Some(0.5),
            ..array(&[2], b"")
        };
        check(&single, Ok(&[0.5, 0.5]));
    }

    #[test]
    fn values_that_the_shape_has_no_room_for_are_refused() {
        let two = b"\0\0\x80\x3f\0\0\0\x40";
        check(
            &array(&[1], two),
            Err("t: found 8 bytes for shape [1], expected 4 a value"),
        );
        check(
            &array(&[2], &two[..7]),
            Err("t: found 7 bytes for shape [2], expected 4 a value"),
        );
        check(&array(&[2], b""), Err("t: found 0 values, expected 2"));
        let other = Array {
            element: Element::Other(3),
            ..array(&[2], two)
        };
        check(
            &other,
            Err("t: found values of type Other(3), expected float32"),
        );
    }

    #[test]
    fn no_shape_asks_for_memory_that_the_file_does_not_hold() {
        let huge = array(&[1 << 20, 1 << 20], b"\0\0\x80\x3f");
        let message = huge.to_f32("t").expect_err("too large").to_string();
        assert!(message.contains("fewer values than 2^32"), "{message}");
        let lying = array(&[1 << 31], b"\0\0\x80\x3f");
        check(&lying, Err("t: found 1 values, expected 2147483648"));
        assert!(array(&[u64::MAX, 2], b"").len("t").is_err());
    }
}
