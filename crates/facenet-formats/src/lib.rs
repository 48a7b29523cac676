#![doc = include_str!("../README.md")]

mod error;
mod graph;
mod onnx;
mod order;
mod tensor;
mod wire;

pub use error::FormatError;
pub use graph::{Graph, MAX_INPUTS, MAX_NODES, Node};
pub use onnx::{Axis, OnnxWriter, Setting};
pub use tensor::{Array, Element, MAX_RANK};
pub use wire::{Field, FieldWriter, Fields, Value};
