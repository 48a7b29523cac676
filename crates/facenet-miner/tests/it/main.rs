//! Integration tests of the miner: golden cases, and properties against a naive f64 oracle.

mod device;
mod files;
mod fuzz;
mod golden;
#[cfg(feature = "cuda")]
mod gpu;
mod kernels;
mod mt19937;
#[cfg(feature = "cuda")]
mod nvrtc;
mod oracle;
mod properties;
mod shim;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
