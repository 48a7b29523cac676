//! Integration tests of the training engine.

mod checkpoint;
mod defaults;
mod ema;
mod epochs;
mod folders;
mod golden;
mod keeping;
mod logs;
mod optimizer;
mod orl;
mod pretrained;
mod refusals;
mod runs;
mod same_bytes;
mod schedule;
mod stops;
mod tfevents;
