//! Integration tests of the training engine.

mod checkpoint;
mod ema;
mod epochs;
mod golden;
mod logs;
mod optimizer;
mod refusals;
mod runs;
mod same_bytes;
mod schedule;
mod stops;
mod tfevents;
