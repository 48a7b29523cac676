//! Integration tests of the sampler: golden cases, definitions and properties.

mod damaged;
mod golden;
mod look_alike;
mod mt19937;
mod properties;
