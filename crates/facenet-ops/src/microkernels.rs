//! Calls that need `unsafe`, each behind a safe function.

pub(crate) mod gemm;
