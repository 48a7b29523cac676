//! Integration tests of facenet-model.

mod bf16;
mod case;
mod eval;
mod filler;
mod folder;
mod frozen;
mod import;
mod interpreter;
mod network;
mod onnx;
mod optim;
mod properties;
mod python;
mod statistics;
mod steps;
mod tolerance;
mod torch;
mod train;
mod winograd;
