//! Integration tests of the training engine.

mod checkpoint;
mod ema;
mod golden;
mod optimizer;
mod schedule;
