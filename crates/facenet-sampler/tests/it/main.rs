//! Integration tests of the sampler: golden cases and properties.

mod golden;
mod mt19937;
mod properties;
