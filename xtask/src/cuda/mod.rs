//! What can be checked of CUDA on a machine without a GPU, and the check for one that has it.

mod ceilings;
pub(crate) mod check;
pub(crate) mod gpu;
pub(crate) mod kernels;
pub(crate) mod nvcc;
mod ptxas;
mod wheels;
