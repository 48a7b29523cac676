//! Integration tests of facenet-model.

mod bf16;
mod case;
mod eval;
mod faults;
mod filler;
mod folder;
mod frozen;
mod fuzz;
mod import;
mod network;
mod onnx;
mod optim;
mod properties;
mod python;
mod safetensors;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
mod statistics;
mod steps;
mod tolerance;
mod torch;
mod train;
mod winograd;
mod wire;
