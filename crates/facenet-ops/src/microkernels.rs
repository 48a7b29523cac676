//! Calls that need `unsafe`, each behind a safe function.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod buffer;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod gemm;
#[cfg(all(test, target_os = "linux"))]
mod guarded;
pub(crate) mod implicit;
mod kernels;
pub(crate) mod lanes;
pub(crate) mod max_pool;
pub(crate) mod norm;
pub(crate) mod peak;
pub(crate) mod pool;
mod portable;
pub(crate) mod weights;
pub(crate) mod winograd;

pub(crate) use kernels::{Activation, Added, Epilogue, Kernels, Segment};
