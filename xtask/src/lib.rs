#![doc = include_str!("../README.md")]

mod args;
mod ci;
mod demo;
mod fixtures;
mod outside;
mod snippet;
mod tidy;
mod workspace;

pub use args::{Args, run};
pub use fixtures::{Fixtures, Source, Summary};
