//! Mining by kernels, apart from what runs them.
//!
//! [`Device`] is memory and launches; everything else, from the order of the launches to the
//! draws and the triplets, is here and the same for every device. The crate's tests implement it
//! by the kernels compiled as C++, `CudaDevice` by a GPU. Hidden from the documentation: a seam
//! for those two, not an API.

mod closest;
mod hardest;
mod kernel;
mod launch;
mod pairs;
mod session;

use std::fmt;

use crate::MineError;

pub use kernel::{Kernel, TILE, compile_options};
pub use launch::{Arg, Launch};
pub use session::distances;
pub(crate) use session::{Engine, Session};

/// A machine that runs the kernels.
pub trait Device: fmt::Debug + Send + Sync {
    /// Values in its memory.
    type Buffer: Memory;

    /// Anchors a block, as its kernels were compiled: a multiple of 16, at most [`TILE`].
    fn tile(&self) -> u32;

    /// Number of blocks from which on all of it is busy; the triplets do not depend on it.
    fn blocks(&self) -> u32;

    /// Copies values to its memory.
    ///
    /// # Errors
    /// [`MineError::Device`] where the device refuses.
    fn upload(&self, values: Slice<'_>) -> Result<Self::Buffer, MineError>;

    /// Copies the embeddings to its memory, or takes those that are there.
    ///
    /// # Errors
    /// [`MineError::Device`] where the device refuses.
    fn upload_rows(&self, rows: &[f32]) -> Result<Self::Buffer, MineError> {
        self.upload(Slice::F32(rows))
    }

    /// Makes room for `len` zeros.
    ///
    /// # Errors
    /// [`MineError::Device`] where the device refuses.
    fn zeros(&self, element: Element, len: usize) -> Result<Self::Buffer, MineError>;

    /// Copies values back, once every launch before is done.
    ///
    /// # Errors
    /// [`MineError::Device`] where the device refuses, or where a launch before has failed.
    fn download(&self, buffer: &Self::Buffer) -> Result<Values, MineError>;

    /// Runs a kernel after all that was asked for before.
    ///
    /// # Errors
    /// [`MineError::Device`] where the device refuses.
    fn launch(&self, launch: Launch<'_, Self::Buffer>) -> Result<(), MineError>;
}

/// Values in a device's memory.
pub trait Memory: fmt::Debug + Send + Sync {
    /// Number of values.
    fn len(&self) -> usize;

    /// Their type.
    fn element(&self) -> Element;

    /// Whether there is no value.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 32-bit unsigned.
    U32,
}

/// Values on their way to a device.
#[derive(Debug, Clone, Copy)]
pub enum Slice<'a> {
    /// Of [`Element::F32`].
    F32(&'a [f32]),
    /// Of [`Element::F64`].
    F64(&'a [f64]),
    /// Of [`Element::U32`].
    U32(&'a [u32]),
}

/// Values back from a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Of [`Element::F32`].
    F32(Vec<f32>),
    /// Of [`Element::F64`].
    F64(Vec<f64>),
    /// Of [`Element::U32`].
    U32(Vec<u32>),
}

impl Values {
    /// The values, if they are f32.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self {
            Self::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The values, if they are f64.
    pub fn into_f64(self) -> Option<Vec<f64>> {
        match self {
            Self::F64(values) => Some(values),
            _ => None,
        }
    }

    /// The values, if they are u32.
    pub fn into_u32(self) -> Option<Vec<u32>> {
        match self {
            Self::U32(values) => Some(values),
            _ => None,
        }
    }
}

impl Slice<'_> {
    /// A copy.
    pub fn to_values(self) -> Values {
        match self {
            Self::F32(values) => Values::F32(values.to_vec()),
            Self::F64(values) => Values::F64(values.to_vec()),
            Self::U32(values) => Values::U32(values.to_vec()),
        }
    }
}

impl Element {
    /// `len` zeros.
    pub fn zeros(self, len: usize) -> Values {
        match self {
            Self::F32 => Values::F32(vec![0.0; len]),
            Self::F64 => Values::F64(vec![0.0; len]),
            Self::U32 => Values::U32(vec![0; len]),
        }
    }
}

impl Memory for Values {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }

    fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F64(_) => Element::F64,
            Self::U32(_) => Element::U32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_type_and_number() {
        for element in [Element::F32, Element::F64, Element::U32] {
            let values = element.zeros(3);
            assert_eq!((values.element(), values.len()), (element, 3));
            assert!(element.zeros(0).is_empty());
        }
        let values = Slice::U32(&[1, 2]).to_values();
        assert_eq!(values.clone().into_f32(), None);
        assert_eq!(values.clone().into_f64(), None);
        assert_eq!(values.into_u32(), Some(vec![1, 2]));
    }
}
