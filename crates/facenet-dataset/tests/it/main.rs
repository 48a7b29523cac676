//! The crate's integration tests, in one binary.

mod checkup;
mod fuzz;
mod golden;
mod hostile;
mod loader;
mod memory;
mod mutated;
mod properties;
mod skip;
mod synth;
mod test_data;
