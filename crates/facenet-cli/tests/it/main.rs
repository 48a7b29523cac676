//! The built program, from command line to exit code and files.

mod bad_input;
mod bad_model;
mod bench;
mod browser;
mod clusters;
mod computing;
mod config_file;
mod data_sets;
mod demo;
mod doctor;
mod embed;
mod evaluate;
mod examples;
mod exit_codes;
mod extremes;
mod foreign;
#[cfg(unix)]
mod full_disk;
mod going_on;
mod golden;
mod hostile;
mod lfw_people;
mod mine;
#[cfg(unix)]
mod odd_names;
mod prove;
mod recognition;
mod report;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
mod streams;
mod support;
mod train;
mod usage;
mod watch;
