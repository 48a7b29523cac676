//! What can be wrong with a request to mine.

/// Why nothing can be mined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MineError {
    /// A slice does not have the length that the others imply.
    #[error("miner: {what} has length {found}, expected {expected}; pass one per embedding row")]
    Shape {
        /// The slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// The embeddings are not whole rows.
    #[error(
        "miner: {len} values are not rows of {dim}; pass row-major [n, dim] with dim of 1 or more"
    )]
    Ragged {
        /// Values given.
        len: usize,
        /// Values a row.
        dim: usize,
    },
    /// Rows are numbered in 32 bits.
    #[error(
        "miner: {found} embeddings, expected fewer than {}; mine in parts",
        u32::MAX
    )]
    TooManyRows {
        /// Rows given.
        found: usize,
    },
    /// The margin is no positive number.
    #[error(
        "miner: margin is {found}, expected a positive finite number; the paper trains with 0.2"
    )]
    Margin {
        /// The margin given.
        found: f32,
    },
    /// More triplets than may be collected; the count is exact.
    #[error(
        "miner: the batch has {count} triplets, above the limit of {max_triplets}; raise \
         --max-triplets, lower --people-per-batch or --images-per-person, or visit the triplets \
         without collecting them"
    )]
    TooManyTriplets {
        /// Triplets in the batch.
        count: u64,
        /// The limit of the configuration.
        max_triplets: usize,
    },
    /// The device refused; the CPU gives the same triplets.
    #[error("miner: the device failed ({what}); free its memory, or mine on the CPU")]
    Device {
        /// What it said.
        what: String,
    },
    /// A rule or a choice of negative has no such name.
    #[error("miner: no {what} is named {found:?}; expected one of {expected}")]
    UnknownName {
        /// What was to be named.
        what: &'static str,
        /// The name given.
        found: String,
        /// The names that exist.
        expected: String,
    },
}

impl MineError {
    /// A failure of the device.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn device(what: impl ToString) -> Self {
        let what = what.to_string();
        Self::Device { what }
    }
}
