//! How a tape's convolutions are computed.

/// Number format and algorithm of a tape's convolutions. So far only the default is computed:
/// anything else is refused, never computed otherwise than asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arithmetic {
    /// What activations and packed weights are kept in.
    pub precision: Precision,
    /// Whether 3 x 3 layers of stride 1 may go by Winograd's F(4 x 4, 3 x 3), where that is
    /// faster; `f32` only.
    pub is_winograd: bool,
}

/// A number format of activations; sums, normalisation and master weights are `f32` or wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single precision.
    #[default]
    F32,
    /// The upper half of an `f32`: 8 bits of mantissa.
    Bf16,
}
