//! The crate's integration tests, in one binary.

mod checkup;
mod fuzz;
mod golden;
mod hostile;
mod loader;
mod memory;
mod mutated;
mod properties;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
mod synth;
mod test_data;
