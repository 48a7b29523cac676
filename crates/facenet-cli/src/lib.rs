#![doc = include_str!("../README.md")]

mod app;
pub mod args;
mod batch;
mod clock;
mod commands;
mod config_file;
mod failure;
mod idle;
mod loss;
mod memory;
mod miner;
mod page;
mod plot;
mod progress;
mod report;
mod signals;
mod strategy;
mod stream;
mod train_config;
mod values;

pub use app::main;
