#![doc = include_str!("../README.md")]

mod error;
mod graph;
mod onnx;
mod order;
mod pickle;
mod tensor;
mod torch;
mod torch_writer;
mod wire;
mod zip;

pub use error::FormatError;
pub use graph::{Graph, MAX_INPUTS, MAX_NODES, Node};
pub use onnx::{Axis, OnnxWriter, Setting};
pub use tensor::{Array, Element, MAX_RANK};
pub use torch::{NOTE, StateDict};
pub use torch_writer::{Tensor, write_state_dict};
pub use wire::{Field, FieldWriter, Fields, Value};
pub use zip::{MAX_FILES, Zip, ZipWriter};
