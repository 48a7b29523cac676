//! Integration tests of facenet-formats.

mod fuzz;
mod graph;
mod torch;
