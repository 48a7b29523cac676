//! Integration tests of facenet-formats.

mod graph;
mod torch;
