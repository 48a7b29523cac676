#![doc = include_str!("../README.md")]

mod args;
mod ci;
mod cuda;
mod demo;
mod deny;
mod exit;
mod faults;
mod fixtures;
mod fuzz;
mod outside;
mod peers;
mod prove;
mod python;
mod snippet;
mod tidy;
mod workspace;

pub use args::{Args, run};
pub use cuda::nvcc::{is_nvcc, nvcc};
pub use exit::exit_code;
pub use fixtures::{Fixtures, Source, Summary};
