//! Integration tests of the miner: golden cases, and properties against a naive f64 oracle.

mod files;
mod golden;
mod mt19937;
mod oracle;
mod properties;
