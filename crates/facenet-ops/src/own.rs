//! The own route: custom operations for the CPU, `f32` and `f64`, threaded by rayon.
//!
//! No result depends on the number of threads: every reduction is cut into parts that follow
//! from the shape, and the parts are added in order.

mod columns;
pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod element;
pub(crate) mod norm;
pub(crate) mod pointwise;
pub(crate) mod pool;
