//! How a tape is computed.

/// Number format of a tape, and algorithm of its convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arithmetic {
    /// What activations, their gradients and packed weights are kept in.
    pub precision: Precision,
    /// Whether 3 x 3 layers of stride 1 may go by Winograd's F(4 x 4, 3 x 3), where that is
    /// faster; `f32` only.
    pub is_winograd: bool,
}

impl Arithmetic {
    /// What embedding and training go by where nothing else is asked for: Winograd, whose differences are far
    /// below those between embeddings of two photographs of a person, and in training below those
    /// between two seeds.
    pub fn of_inference() -> Self {
        Self {
            is_winograd: true,
            ..Self::default()
        }
    }
}

/// A number format of activations and their gradients, rounded where they are stored; sums,
/// normalisation, master weights and their gradients are `f32` or wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single precision.
    #[default]
    F32,
    /// The upper half of an `f32`, 8 bits of mantissa: [`crate::Bf16`]. Half the memory, and where
    /// [`crate::Isa::has_bf16`] about twice the speed; elsewhere slower than `f32`.
    Bf16,
}
