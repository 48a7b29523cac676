//! Integration tests of the training engine.

mod checkpoint;
mod classifiers;
mod damaged;
mod defaults;
mod ema;
mod epochs;
mod faults;
mod folders;
mod fuzz;
mod going_on;
mod golden;
mod keeping;
mod logs;
mod look_alike;
mod losses;
mod norms;
mod one_pass;
mod optimizer;
mod orl;
mod pretrained;
mod published;
mod refusals;
mod rewind;
mod rollback;
mod runs;
mod same_bytes;
mod schedule;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
mod statistics;
mod stop_asked;
mod stops;
mod tfevents;
