//! Forms in which embeddings are stored, and what they cost a score.

use std::fmt;
use std::str::FromStr;

use facenet_lfw::Report;
use half::f16;
use serde::Serialize;

use crate::error::TrainError;

/// Largest whole number of an 8-bit form; -128 is not used, so that both signs are alike.
const LARGEST: f32 = 127.0;

/// A form in which embeddings are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// As they are computed: four bytes a number.
    #[default]
    F32,
    /// IEEE 754's half, two bytes a number, rounded to nearest, ties to even: within 2^-12 of a number
    /// below 1, relative 2^-11.
    F16,
    /// Whole numbers from -127 to 127, a byte each, and a scale of four bytes an embedding, its
    /// largest magnitude over 127: a number is its whole number times the scale, within half a scale of
    /// what it was. No number is cut off, since each embedding has a scale of its own.
    Int8,
}

impl Storage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// The name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of an embedding of `dim` numbers.
    pub fn bytes(self, dim: usize) -> usize {
        match self {
            Self::F32 => 4 * dim,
            Self::F16 => 2 * dim,
            Self::Int8 => dim + size_of::<f32>(),
        }
    }

    /// The rows as they come back from this form. They are not made unit length again. A row with a
    /// number that is none stays one.
    ///
    /// - `rows`: `[n, dim]`, row-major
    ///
    /// # Panics
    /// Where `dim` is 0.
    pub fn restored(self, rows: &[f32], dim: usize) -> Vec<f32> {
        match self {
            Self::F32 => rows.to_vec(),
            Self::F16 => rows.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
            Self::Int8 => rows.chunks(dim).flat_map(in_8_bits).collect(),
        }
    }
}

/// A row through whole numbers and its scale.
fn in_8_bits(row: &[f32]) -> Vec<f32> {
    let scale = scale(row);
    let whole = |&x: &f32| {
        if scale == 0.0 {
            0
        } else {
            (x / scale).round() as i8
        }
    };
    let stored: Vec<i8> = row.iter().map(whole).collect();
    stored
        .into_iter()
        .map(|whole| f32::from(whole) * scale)
        .collect()
}

/// The largest magnitude over [`LARGEST`]; NaN where a number is.
fn scale(row: &[f32]) -> f32 {
    if row.iter().any(|x| x.is_nan()) {
        return f32::NAN;
    }
    let most = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    most / LARGEST
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Storage {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let known = Self::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| {
            let problem = format!("found {text}, expected f32, f16 or int8");
            TrainError::config("--stored-as", problem)
        })
    }
}

/// A score of embeddings in one form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredScore {
    /// The form.
    pub stored_as: Storage,
    /// Whether the mirrored image's embedding is part of what is stored.
    pub is_flipped: bool,
    /// Bytes of an embedding.
    pub bytes: usize,
    /// The figures.
    #[serde(flatten)]
    pub report: Report,
}

impl StoredScore {
    /// Scores rows in each of some forms.
    ///
    /// - `score`: what scores `[n, dim]` rows
    pub(crate) fn of_each(
        forms: &[Storage],
        (rows, dim, is_flipped): (&[f32], usize, bool),
        mut score: impl FnMut(&[f32]) -> Result<Report, TrainError>,
    ) -> Result<Vec<Self>, TrainError> {
        let of = |&stored_as: &Storage| {
            Ok(Self {
                stored_as,
                is_flipped,
                bytes: stored_as.bytes(dim),
                report: score(&stored_as.restored(rows, dim))?,
            })
        };
        forms.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_come_back_as_they_are_defined() {
        let row = [1.0, -0.5, 0.25, 0.0];
        assert_eq!(Storage::F32.restored(&row, 4), row);
        assert_eq!(Storage::F16.restored(&row, 4), row);
        // The scale is 1 / 127: -63.5 goes to -64 and 31.75 to 32.
        let scale = 1.0_f32 / 127.0;
        let expected = [127.0, -64.0, 32.0, 0.0].map(|whole| whole * scale);
        assert_eq!(Storage::Int8.restored(&row, 4), expected);
        // A scale for each row; one of zeros has none.
        let two = Storage::Int8.restored(&[4.0, -2.0, 0.0, 0.0], 2);
        let scale = 4.0_f32 / 127.0;
        assert_eq!(two, [127.0 * scale, -64.0 * scale, 0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        for form in Storage::ALL {
            let back = form.restored(&[0.5, f32::NAN, 0.25, 0.5], 2);
            assert!(back[1].is_nan() && !back[2].is_nan(), "{form}: {back:?}");
        }
    }

    #[test]
    fn forms_are_named_and_have_their_bytes() {
        let found = Storage::ALL.map(|form| (form.name(), form.bytes(512)));
        assert_eq!(found, [("f32", 2048), ("f16", 1024), ("int8", 516)]);
        for form in Storage::ALL {
            assert_eq!(form.name().parse::<Storage>().expect("known"), form);
        }
        let error = "int4".parse::<Storage>().expect_err("unknown").to_string();
        assert!(
            error.contains("found int4, expected f32, f16 or int8"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn errors_are_bounded(row in prop::collection::vec(-1.0_f32..=1.0, 1..64)) {
            let dim = row.len();
            let apart = |form: Storage| -> Vec<(f32, f32)> {
                let back = form.restored(&row, dim);
                row.iter().zip(back).map(|(x, back)| (x.abs(), (x - back).abs())).collect()
            };
            for (x, off) in apart(Storage::F16) {
                // Half of the last of eleven bits; below 2^-14 halves have a fixed step of 2^-24.
                prop_assert!(off <= (x * 2.0_f32.powi(-11)).max(2.0_f32.powi(-25)), "{x} {off}");
            }
            let most = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (x, off) in apart(Storage::Int8) {
                // Half a scale, and three roundings of f32 of numbers up to the largest.
                prop_assert!(off <= most * (0.5 / 127.0 + 3.0 * f32::EPSILON), "{x} {off}");
            }
        }
    }
}
