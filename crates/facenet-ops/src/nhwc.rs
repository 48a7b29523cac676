//! Operations on NHWC activations, `f32`.
//!
//! Convolution is an implicit matrix product: neither windows nor padding are written out.
//! Output pixels with the same set of taps inside the image form a class, and a class starts at
//! its first tap.

pub(crate) mod algorithm;
pub(crate) mod axis;
pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod kept;
pub(crate) mod norm;
pub(crate) mod panels;
pub(crate) mod plan;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod transpose;
pub(crate) mod weight_plan;
pub(crate) mod winograd;
