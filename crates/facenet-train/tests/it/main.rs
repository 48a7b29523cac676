//! Integration tests of the training engine.

mod checkpoint;
mod classifiers;
mod defaults;
mod ema;
mod epochs;
mod folders;
mod going_on;
mod golden;
mod keeping;
mod logs;
mod look_alike;
mod losses;
mod one_pass;
mod optimizer;
mod orl;
mod pretrained;
mod refusals;
mod rewind;
mod rollback;
mod runs;
mod same_bytes;
mod schedule;
mod statistics;
mod stops;
mod tfevents;
